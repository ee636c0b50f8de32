"""Routes closed for prepaid calls: the provider counted more than was held, and the next call may do so too.

What is closed is a price of a model (decision D21). It is served again when the operator opens it or its price changes;
both are told on the channel ``price_changed``.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from ruxa.ledger import records
from ruxa.store.work import Work


class Closed(msgspec.Struct, frozen=True):
    """A closed route. over_percent: how far the provider's figure was over the hold."""

    model: str
    price_id: UUID
    over_percent: int
    closed_at: datetime


async def closed(work: Work) -> list[Closed]:
    """The routes that are closed now, by model."""
    return [Closed(*row) for row in await work.rows(records.ROUTES_CLOSED)]


async def close(work: Work, price_id: UUID, over_percent: int) -> None:
    """Close the route at that price; once however often it is told."""
    await work.run(records.ROUTE_CLOSE, price_id, over_percent)


async def reopen(work: Work, model: str) -> UUID | None:
    """Open the route of a model; the price at which it was closed, None when it was open."""
    found: UUID | None = await work.value(records.ROUTE_OPEN, model)
    return found
