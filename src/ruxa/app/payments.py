"""Payments' wiring: the processors that the settings name; in a demo Stripe, PayPal and the bank against the sandbox.

A real one and the demo never meet (decision D9): a demo has only the sandbox processor of this machine, a live
installation only what its settings name. The console sends customers to them and takes their webhooks; the worker asks
them what became of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from ruxa.egress.http import Pool
from ruxa.egress.processor import Processor
from ruxa.egress.processors import thirds
from ruxa.egress.processors.bank import Bank
from ruxa.egress.processors.paypal import PayPal
from ruxa.egress.processors.sandbox.access import Access
from ruxa.egress.processors.stripe import PAGES, Stripe
from ruxa.egress.recipient import Recipient, Register
from ruxa.egress.timers import Wheel
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import InvalidCall, RuxaError
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.settings import ProcessorSettings, Settings, read_secret
from ruxa.ledger.collection import Collection
from ruxa.store.jobs import Jobs
from ruxa.store.notify import Notices

# Five fields, or six with seconds last.
EVERY_10_MINUTES: Final = "*/10 * * * *"

_WHO: Final = {
    "stripe": ("Stripe, Inc. and its affiliates", "https://stripe.com/privacy"),
    "paypal": ("PayPal, Inc. and its affiliates", "https://www.paypal.com/webapps/mpp/ua/privacy-full"),
}
_DEMO_BANK: Final = ("Account holder: The operator of this demo", "IBAN: DE00 0000 0000 0000 0000 00", "BIC: SANDBOX0")


def processors(
    settings: Settings,
    register: Register,
    clock: Clock,
    stack: AsyncExitStack,
    *,
    sandbox: Access | None = None,
) -> dict[str, Processor]:
    """Every processor there is, by name, in the order in which customers see them.

    sandbox: where the sandbox processor is, in a demo: then it plays all of them. Raises InvalidCall ``bad_setting``,
    ``secret_missing``.
    """
    wheel = Wheel()
    stack.callback(wheel.stop)
    pool = Pool(register, wheel=wheel)
    stack.push_async_callback(pool.close)
    if sandbox is not None:
        return _played(pool, clock, sandbox)
    made: dict[str, Processor] = {}
    for name in sorted(settings.payments, key=_place):
        taxed = _taxed(settings, settings.payments[name])
        made[name] = _MAKERS[name](pool, clock, taxed) if name in _MAKERS else _brought(name, pool, clock, taxed)
    return made


def schedule(jobs: Jobs, collection: Collection) -> None:
    """What the worker does about payments; a hint is looked at as soon as it is told, see ``listen``."""
    jobs.add("payments", collection.soon, timeout_s=300, every_s=10)
    jobs.add("payment orders", collection.poll, timeout_s=300, every_s=30)
    jobs.add("payment events", collection.missed, timeout_s=300, cron=EVERY_10_MINUTES)


async def listen(url: str, collection: Collection, stack: AsyncExitStack) -> None:
    """From now on a hint that any process puts into the inbox is looked at when it is committed."""
    notices = Notices(url)
    told = asyncio.Event()
    notices.listen("payment_hint", lambda _: told.set(), told.set)
    await notices.open()
    stack.push_async_callback(notices.close)

    async def look() -> None:
        while True:
            await told.wait()
            told.clear()
            # Whatever fails now is looked at again by the job, which tells of it.
            with contextlib.suppress(RuxaError):
                await collection.hints()

    looking = asyncio.ensure_future(look())
    stack.callback(looking.cancel)


def check(settings: Settings) -> None:
    """What is wrong with the settings of payments, before anything is started. Raises as ``processors`` does."""
    for name, told in settings.payments.items():
        if name not in _MAKERS:
            thirds.find(name)
        for field in _NEEDED.get(name, ()):
            if not getattr(told, field):
                raise InvalidCall(f"payments.{name}.{field} must be set.", code="bad_setting")
        for field in ("key", "webhook_secret"):
            if (reference := getattr(told, field)) is not None:
                read_secret(reference)
        if told.tax and settings.billing.tax == "table":
            raise InvalidCall(f'payments.{name}.tax and billing.tax = "table" would tax twice.', code="bad_setting")
    if settings.payments.get("stripe") is not None:
        key = read_secret(settings.payments["stripe"].key or "")
        if not key.startswith(("sk_", "rk_")):
            raise InvalidCall("payments.stripe.key is no secret key (sk_... or rk_...).", code="bad_setting")


def _taxed(settings: Settings, told: ProcessorSettings) -> ProcessorSettings:
    """``[billing] tax = "processor"`` says it for all of them."""
    return msgspec.structs.replace(told, tax=told.tax or settings.billing.tax == "processor")


def _place(name: str) -> tuple[int, str]:
    """Our own first, as they stand here; then those of packages, by name."""
    return (list(_MAKERS).index(name) if name in _MAKERS else len(_MAKERS), name)


def _options(name: str, lines: Sequence[str]) -> dict[str, str]:
    if any("=" not in line for line in lines):
        raise InvalidCall(f"payments.{name}.options: each is NAME=VALUE.", code="bad_setting")
    return {word.strip(): value.strip() for word, _, value in (line.partition("=") for line in lines)}


def _brought(name: str, pool: Pool, clock: Clock, told: ProcessorSettings) -> Processor:
    """One that an installed package brings."""
    offered = thirds.Offered(
        name=name,
        pool=pool,
        clock=clock,
        key=Sealed(read_secret(told.key)) if told.key is not None else None,
        webhook_secret=Sealed(read_secret(told.webhook_secret)) if told.webhook_secret is not None else None,
        base_url=told.base_url,
        pages=told.pages,
        account=told.account or "",
        methods=told.methods,
        options=_options(name, told.options),
        where=told.where,
    )
    return thirds.make(thirds.find(name), offered)


def _stripe(pool: Pool, clock: Clock, told: ProcessorSettings) -> Processor:
    del clock
    return Stripe(
        pool,
        key=read_secret(told.key or ""),
        webhook_secrets=read_secret(told.webhook_secret or "").split(),
        methods=told.methods,
        tax=told.tax,
        account=told.account or "",
        pages=told.pages or PAGES,
        recipient=_recipient("stripe", told.where),
        **({} if told.base_url is None else {"base_url": told.base_url}),
    )


def _paypal(pool: Pool, clock: Clock, told: ProcessorSettings) -> Processor:
    return PayPal(
        pool,
        client_id=told.client_id or "",
        secret=read_secret(told.key or ""),
        webhook_id=told.webhook_id or "",
        webhook_check=told.webhook_check,
        account=told.account or "",
        roots=told.roots,
        pages=told.pages,
        clock=clock,
        recipient=_recipient("paypal", told.where),
        **({} if told.base_url is None else {"base_url": told.base_url}),
    )


def _bank(pool: Pool, clock: Clock, told: ProcessorSettings) -> Processor:
    del pool, clock
    return Bank(told.lines, livemode=True)


def _played(pool: Pool, clock: Clock, sandbox: Access) -> dict[str, Processor]:
    stripe = Stripe(
        pool,
        key=sandbox.stripe_key,
        webhook_secrets=(sandbox.stripe_webhook_secret,),
        base_url=sandbox.url,
        pages=(sandbox.url,),
        recipient=_played_by("stripe"),
    )
    paypal = PayPal(
        pool,
        client_id=sandbox.paypal_client_id,
        secret=sandbox.paypal_client_secret,
        webhook_id=sandbox.paypal_webhook_id,
        clock=clock,
        base_url=sandbox.url,
        pages=(sandbox.url,),
        roots_target=sandbox.paypal_root_url.removeprefix(sandbox.url),
        recipient=_played_by("paypal"),
    )
    return {"stripe": stripe, "paypal": paypal, "bank": Bank(_DEMO_BANK, livemode=False)}


def _recipient(name: str, where: str) -> Recipient:
    who, source = _WHO[name]
    return thirds.recipient(name, who, where, source)


def _played_by(name: str) -> Recipient:
    return Recipient(
        name=name,
        role="own",
        who=f"the sandbox processor of this installation, as {_WHO[name][0].partition(',')[0]}",
        what=thirds.TOLD,
        why=thirds.WHY,
        where="own",
        safeguard="nothing leaves this machine",
        source=_WHO[name][1],
    )


_MAKERS: Final[Mapping[str, Callable[[Pool, Clock, ProcessorSettings], Processor]]] = {
    "stripe": _stripe,
    "paypal": _paypal,
    "bank": _bank,
}
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "stripe": ("key", "webhook_secret"),
    "paypal": ("client_id", "key", "webhook_id"),
    "bank": ("lines",),
}
