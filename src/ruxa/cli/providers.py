"""``ruxa provider``: is it there, does it take our key, does one cheap call succeed; and the routes it had closed."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from typing import Any

from ruxa.access.audit import log
from ruxa.access.authorize import OPERATOR
from ruxa.app import hook, house
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.cli import settings as settings_
from ruxa.egress import providers
from ruxa.egress.http import Answer, Deadlines, Pool
from ruxa.egress.provider import Provider
from ruxa.egress.recipient import Register
from ruxa.egress.timers import Wheel
from ruxa.kernel.clock import Clock, monotonic
from ruxa.kernel.errors import NotFound, UpstreamError
from ruxa.kernel.settings import Settings, read_secret
from ruxa.kernel.signals import JsonLines
from ruxa.ledger import routes
from ruxa.ledger.routes import Closed

_DEADLINES = Deadlines(connect_s=5, first_byte_s=15, between_s=15, whole_s=20)


def check(args: Namespace) -> int:
    """``ruxa provider check``. 1 when one of them fails."""
    settings = settings_.load(args)
    server = house.running(settings.data)
    rows = asyncio.run(_check(settings, args.name, server.sandbox_url if server else None))
    output.table(
        args, rows, ["name", "ok", "reachable", "key_ok", "status", "latency_ms", "finding"], empty="No providers."
    )
    return 0 if all(row["ok"] for row in rows) else 1


def closed(args: Namespace) -> int:
    """``ruxa provider closed``."""

    async def act(house: House) -> list[Closed]:
        async with house.work() as work:
            return await routes.closed(work)

    rows = [
        {"model": route.model, "over_percent": route.over_percent, "closed_at": route.closed_at}
        for route in session.within(args, act)
    ]
    output.table(args, rows, ["model", "over_percent", "closed_at"], empty="No model is closed.")
    return 0


def reopen(args: Namespace) -> int:
    """``ruxa provider open``."""

    async def act(house: House) -> None:
        async with house.work() as work:
            price_id = await routes.reopen(work, args.model)
            if price_id is None:
                raise NotFound(f"{args.model} is not closed; `ruxa provider closed` lists what is.")
            await log.add(work, house.vault, OPERATOR, "route:opened", object_id=price_id)

    session.within(args, act)
    output.show(args, {"model": args.model, "closed": False})
    return 0


async def _check(settings: Settings, name: str | None, sandbox_url: str | None) -> list[dict[str, Any]]:
    loaded = providers.load(settings.providers, read_secret, sandbox_url=sandbox_url)
    if name is not None and name not in loaded.ready and name not in loaded.unready:
        known = ", ".join([*loaded.ready, *loaded.unready]) or "none"
        raise NotFound(f"The provider {name} is not configured; configured are: {known}.")
    sink = JsonLines("command", Clock(), minimum="error")
    register = Register(sink)
    for provider in loaded.ready.values():
        register.allow(provider.recipient, provider.origin.host, provider.origin.port)
    hook.install(register, sink)
    wheel = Wheel()
    wheel.start()
    pool = Pool(register, wheel=wheel)
    try:
        rows = [_unready(each, why) for each, why in loaded.unready.items() if name in (None, each)]
        wanted = [provider for each, provider in loaded.ready.items() if name in (None, each)]
        rows += await asyncio.gather(*(_try(pool, provider) for provider in wanted))
        return rows
    finally:
        await pool.close()
        wheel.stop()


async def _try(pool: Pool, provider: Provider) -> dict[str, Any]:
    upstream = pool.upstream(provider.origin)
    base = next(iter(provider.bases.values()))
    head = upstream.head("GET", base + provider.adapter.probe(), provider.headers())
    begun = monotonic()
    answer: Answer = upstream.ask(head, (), _DEADLINES)
    try:
        status = await answer.head()
        await answer.body()
    except UpstreamError as error:
        return _row(provider.name, finding=f"{error.public} Check base_url, the network and the provider's status.")
    latency_ms = int((monotonic() - begun) * 1000)
    finding = ""
    if status in (401, 403) and not provider.keyed:
        finding = f"The provider wants a key and none is configured: give providers.{provider.name} a key."
    elif status in (401, 403):
        finding = "The provider refuses the key: check what it names and that the key lives."
    elif status >= 400:
        finding = f"The provider answers {status}: check base_url (it usually ends in a version, such as /v1)."
    return _row(
        provider.name,
        reachable=True,
        key_ok=status not in (401, 403),
        status=status,
        latency_ms=latency_ms,
        finding=finding,
    )


def _unready(name: str, why: str) -> dict[str, Any]:
    return _row(name, finding=f"Not usable: {why}.".replace("..", "."))


def _row(
    name: str,
    *,
    reachable: bool = False,
    key_ok: bool = False,
    status: int | None = None,
    latency_ms: int | None = None,
    finding: str = "",
) -> dict[str, Any]:
    return {
        "name": name,
        "ok": not finding,
        "reachable": reachable,
        "key_ok": key_ok,
        "status": status,
        "latency_ms": latency_ms,
        "finding": finding,
    }
