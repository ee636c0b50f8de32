"""What an empty data directory gets on its first start: prices always; in a demo an organisation, a key, an owner.

Everything may be interrupted anywhere and is done again: ``demo.json`` is written under another name before the
transaction commits and renamed after it, so that the key in it is never lost and never one that does not exist.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import UUID

import msgspec

from ruxa.access import keys, members, organisations, terms
from ruxa.access.audit import log
from ruxa.access.habits import Habits
from ruxa.access.keys import KeyWish
from ruxa.access.passwords import Hasher
from ruxa.access.roles import CALL_SCOPES
from ruxa.app import config_prices, custody, instance
from ruxa.app.instance import Instance
from ruxa.egress.recipient import Register
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Conflict, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.settings import Settings
from ruxa.kernel.signals import JsonLines, Sink
from ruxa.ledger import prices, topups
from ruxa.store.address import Address
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

CREDIT_MICROS = 5_000_000
OWNER = "owner@demo.example"
_CURL = (
    "curl {base_url}/v1/chat/completions -H 'Authorization: Bearer {api_key}' -H 'Content-Type: application/json' "
    """-d '{{"model":"sandbox/chat","messages":[{{"role":"user","content":"Say hello."}}]}}'"""
)


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    """``demo.json``: what somebody needs to try everything on their own machine (synthetic; decision D9)."""

    base_url: str
    console_url: str
    api_key: str
    owner_email: str
    owner_password: str
    organisation: str


def read(data: Path) -> Demo | None:
    """``demo.json``, or None."""
    try:
        return msgspec.json.decode((data / "demo.json").read_bytes(), type=Demo)
    except (OSError, msgspec.MsgspecError):
        return None


async def live(settings: Settings, found: Instance, address: Address, clock: Clock, sink: Sink) -> list[str]:
    """The price book; and what to do next while nobody runs the installation."""
    async with _store(settings, found, address, clock) as (pool, vault):
        await _seed(pool, settings, sink)
        async with pool.work() as work:
            if await members.staff(work, vault):
                return []
    return ["Nobody runs this installation yet. Make yourself its operator with: ruxa operator add YOUR@EMAIL"]


async def demo(
    settings: Settings, found: Instance, address: Address, clock: Clock, sink: Sink, base_url: str
) -> list[str]:
    """The demo, once. Lines for people on the first start, none later (only the address in ``demo.json`` is kept)."""
    path = settings.data / "demo.json"
    waiting = settings.data / "demo.json.waiting"
    async with _store(settings, found, address, clock) as (pool, vault):
        await _seed(pool, settings, sink)
        known = read(settings.data)
        if known is not None:
            if known.base_url != base_url:
                moved = msgspec.structs.replace(known, base_url=base_url, console_url=base_url + "/")
                instance.write_private(path, _encode(moved))
            return []
        if waiting.exists():
            committed = msgspec.json.decode(waiting.read_bytes(), type=Demo)
            async with pool.work() as work:
                try:
                    await organisations.find(work, vault, ids.read("org", committed.organisation))
                except NotFound:
                    waiting.unlink()
                else:
                    waiting.rename(path)
                    return _lines(committed)
        async with pool.work() as work:
            anybody = await organisations.page(work, vault, limit=1)
        if anybody:
            return []
        made = await _make(pool, vault, base_url, waiting)
        waiting.rename(path)
        return _lines(made)


async def _seed(pool: Pool, settings: Settings, sink: Sink) -> None:
    """Shipped prices, the operator's file over them, and the texts that people agree to. Repeatable."""
    # With a clock set back behind the newest price a seed contradicts the book; what is booked stays.
    with contextlib.suppress(Conflict):
        async with pool.work() as work:
            await prices.seed(work)
    await config_prices.put(pool, settings.models, sink)
    async with pool.work() as work:
        for name in terms.ACCEPTED:
            for locale in terms.LOCALES:
                await terms.publish(work, terms.document(name, locale))


@contextlib.asynccontextmanager
async def _store(
    settings: Settings, found: Instance, address: Address, clock: Clock
) -> AsyncGenerator[tuple[Pool, Vault]]:
    pool = await Pool.open(address.url("ruxa_operator"), login="ruxa_operator", max_size=2, clock=clock)
    try:
        epochs = custody.epoch_keys(settings, found, Register(JsonLines("supervisor", clock)))
        vault = await Vault.unlock(address, epochs, clock=clock, name="first start")
        try:
            yield pool, vault
        finally:
            await vault.close()
    finally:
        await pool.close()


# As OpenAI does it: a newcomer's second call goes on from the first one's response (D13). Nothing else is kept.
HABITS = Habits(keep_responses=True)


async def _make(pool: Pool, vault: Vault, base_url: str, waiting: Path) -> Demo:
    password = "-".join(secrets.token_hex(3) for _ in range(3))
    hasher = Hasher(vault)
    hashed = await hasher.hash(Sealed(password))
    hasher.close()
    async with pool.work("first start") as work:
        organisation = await organisations.create(work, vault, Sealed("Demo"), synthetic=True)
        owner = await members.create_synthetic(
            work, vault, Sealed(OWNER), Sealed("Demo Owner"), hashed, organisation.id
        )
        wish = KeyWish(name=Sealed("demo"), scopes=(*CALL_SCOPES, "usage:read", "billing:read"), habits=HABITS)
        key = await keys.create(work, vault, organisation.id, wish, created_by=owner)
        lot_id = await topups.sandbox(work, organisation.organisation_ref, CREDIT_MICROS)
        acts: tuple[tuple[log.Act, UUID], ...] = (
            ("organisation:created", organisation.id),
            ("key:created", key.id),
            ("credit:given", lot_id),
        )
        for act, thing in acts:
            await log.add(work, vault, None, act, organisation_id=organisation.id, object_id=thing)
        made = Demo(
            base_url=base_url,
            console_url=base_url + "/",
            api_key=key.secret.open("provide"),
            owner_email=OWNER,
            owner_password=password,
            organisation=ids.text("org", organisation.id),
        )
        instance.write_private(waiting, _encode(made))
    return made


def _encode(made: Demo) -> bytes:
    return msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"


def _lines(made: Demo) -> list[str]:
    shown = msgspec.structs.asdict(made)
    width = max(map(len, shown))
    return [
        "",
        *(f"  {name.ljust(width)}  {value}" for name, value in shown.items()),
        "",
        "Paste this:",
        "",
        "  " + _CURL.format(base_url=made.base_url, api_key=made.api_key),
        "",
    ]
