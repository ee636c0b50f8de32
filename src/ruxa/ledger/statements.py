"""Statements: an organisation's transfers, and one call's ledger line with its state (decision D18)."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from ruxa.ledger import records
from ruxa.store.work import Work

LineState = Literal["free", "settling", "posted"]

_LAST = UUID(int=2**128 - 1)


class Line(msgspec.Struct, frozen=True):
    """One transfer. debit, credit: account codes; ref: the lease, lot or hold it is for; lot_id: the lot it moves."""

    id: UUID
    at: datetime
    state: str
    code: str
    debit: str
    credit: str
    amount_micros: int
    scope: str | None
    ref: UUID | None
    lot_id: UUID | None


class ChargeLine(msgspec.Struct, frozen=True):
    """A call's ledger line. settling: its lease is open, at most 40 s after the last call; posted: it is closed."""

    id: UUID
    at: datetime
    model: str
    provider: str | None
    status: int
    usage_source: str
    price_id: UUID | None
    amount_micros: int
    waived_micros: int
    scope: str
    lease_id: UUID | None
    state: LineState
    lease_closed_at: datetime | None


async def lines(work: Work, organisation_ref: UUID, *, before: UUID | None = None, limit: int = 100) -> list[Line]:
    """An organisation's transfers, newest first; ``before`` is the last line's id of the page before."""
    return [Line(*row) for row in await work.rows(records.LINES, organisation_ref, before or _LAST, limit)]


async def charge(work: Work, request_id: UUID) -> ChargeLine | None:
    """The ledger line of one call (by its x-request-id); None when there is none."""
    row = await work.row(records.CHARGE, request_id)
    return None if row is None else ChargeLine(*row)


async def lease_lines(work: Work, lease_id: UUID) -> list[Line]:
    """The transfers of one lease or hold, in order."""
    return [Line(*row) for row in await work.rows(records.LEASE_LINES, lease_id)]
