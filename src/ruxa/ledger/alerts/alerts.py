"""Alerts: an organisation's settings, what was crossed, what is still to be told."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import msgspec

from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall
from ruxa.ledger.alerts import records
from ruxa.store.work import Work

Kind = Literal[
    "low_balance", "budget_80", "budget_100", "payment_failed", "auto_off", "auto_paused", "unusual", "dispute"
]
LOW_MICROS_MAX: Final = 1_000_000_000_000
# The kinds that last: open until the bound is crossed back.
LASTING: Final = frozenset({"low_balance", "auto_off", "auto_paused"})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an organisation is told. low_micros: below which balance, 0 for never."""

    low_micros: int
    budget: bool
    payment: bool
    unusual: bool


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A bound that was crossed. micros: what it was; bound_micros: what was crossed (unusual: the mean day)."""

    id: UUID
    kind: Kind
    subject: str
    micros: int
    bound_micros: int
    began_at: datetime
    ended_at: datetime | None


class Untold(msgspec.Struct, frozen=True, kw_only=True):
    """One that nobody was told of yet; ``subject``: scope, ``key:<hex>:<period>``, order, dispute or day."""

    id: UUID
    organisation_ref: UUID
    kind: Kind
    subject: str
    micros: int
    bound_micros: int


async def find(work: Work, organisation_ref: UUID) -> Settings:
    """An organisation's settings, the usual ones where it set none."""
    row = await work.row(records.OF, organisation_ref)
    assert row is not None
    return Settings(low_micros=row[0], budget=row[1], payment=row[2], unusual=row[3])


async def put(work: Work, organisation_ref: UUID, settings: Settings) -> None:
    """Sets them. Raises InvalidCall ``amount_out_of_range``."""
    if not 0 <= settings.low_micros <= LOW_MICROS_MAX:
        raise InvalidCall("Between 0 and 1,000,000 USD.", code="amount_out_of_range", param="low_micros")
    await work.run(
        records.PUT, organisation_ref, settings.low_micros, settings.budget, settings.payment, settings.unusual
    )


async def listed(work: Work, organisation_ref: UUID, *, limit: int = 20) -> list[Alert]:
    """What was crossed, newest first."""
    return [
        Alert(
            id=row[0], kind=row[1], subject=row[2], micros=row[3], bound_micros=row[4], began_at=row[5], ended_at=row[6]
        )
        for row in await work.rows(records.LISTED, organisation_ref, limit)
    ]


async def look(work: Work) -> int:
    """Looks at everything but what was spent; how many bounds were crossed just now. Login ``worker``."""
    count: int = await work.value(records.LOOK)
    return count


async def spend(work: Work) -> int:
    """Adds up today's spending and looks at it; how many spent unusually much. Login ``worker``."""
    count: int = await work.value(records.SPEND)
    return count


async def untold(work: Work, *, limit: int = 20) -> list[Untold]:
    """What is to be told, locked for this work."""
    return [
        Untold(id=row[0], organisation_ref=row[1], kind=row[2], subject=row[3], micros=row[4], bound_micros=row[5])
        for row in await work.rows(records.UNTOLD, limit)
    ]


async def told(work: Work, alert_id: UUID) -> None:
    """It was told, in the same work."""
    await work.run(records.TOLD, alert_id)


async def sweep(work: Work) -> int:
    """Deletes what is older than usage is kept; how many."""
    count: int = await work.value(records.SWEEP, bounds.USAGE_DAYS)
    return count
