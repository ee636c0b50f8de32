"""Alerts by mail: what the ledger saw crossed, told once to an organisation's owners and who does its billing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast
from uuid import UUID

from ruxa.access import payers
from ruxa.access.outbox import Template
from ruxa.kernel import ids
from ruxa.kernel.money import usd
from ruxa.kernel.signals import Sink
from ruxa.ledger.alerts import alerts
from ruxa.ledger.alerts.alerts import Untold
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault
from ruxa.store.work import Work

BATCH: Final = 20
# Where a mail sends its reader.
_PLACES: Final[Mapping[str, str]] = {
    "low_balance": "/billing/top-up",
    "budget_80": "/keys",
    "budget_100": "/keys",
    "auto_off": "/billing/auto",
    "auto_paused": "/billing/auto",
    "unusual": "/activity",
    "dispute": "/billing/orders",
}
_NAMED: Final[Mapping[str, str]] = {"budget_80": "budget_near", "budget_100": "budget_used"}


async def run(pool: Pool, vault: Vault, base_url: str, sink: Sink) -> int:
    """Looks, and puts the mails of what was crossed into the outbox; how many. May run twice at once."""
    async with pool.work() as work:
        await alerts.look(work)
    return await tell(pool, vault, base_url, sink)


async def spend(pool: Pool) -> int:
    """Adds up the day and deletes old lines; how many spent unusually much. Their mails go with the next ``run``."""
    async with pool.work() as work:
        await alerts.sweep(work)
        return await alerts.spend(work)


async def tell(pool: Pool, vault: Vault, base_url: str, sink: Sink) -> int:
    """The mails of what nobody was told of yet."""
    count = 0
    while True:
        async with pool.work() as work:
            found = await alerts.untold(work, limit=BATCH)
            for one in found:
                count += await _tell(work, vault, base_url, one)
                await alerts.told(work, one.id)
        for one in found:
            sink.emit("alert.told", "info", kind=one.kind)
        if len(found) < BATCH:
            return count


async def _tell(work: Work, vault: Vault, base_url: str, one: Untold) -> int:
    template = cast(Template, f"alert_{_NAMED.get(one.kind, one.kind)}")
    amount, bound = usd(one.micros, 2), usd(one.bound_micros, 2)
    url = base_url + place(one)
    return await payers.tell(work, vault, one.organisation_ref, template, amount=amount, bound=bound, url=url)


def place(one: Untold) -> str:
    """The page that an alert is about."""
    if one.kind == "payment_failed":
        return f"/billing/orders/{ids.text('order', UUID(one.subject))}"
    if one.subject.startswith("key:"):
        return f"/keys/{ids.text('key', UUID(one.subject.split(':')[1]))}"
    return _PLACES[one.kind]
