"""Disputes: what a payer's bank took back. Money and spending stop at once; a person decides about both."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from ruxa.ledger.payments import records
from ruxa.store.work import Work


class Dispute(msgspec.Struct, frozen=True, kw_only=True):
    """One dispute. held_micros: of the unspent credit; debt_micros: of what was spent (pending, or owed when lost)."""

    id: UUID
    ext_id: str
    processor: str
    order_id: UUID
    organisation_ref: UUID
    scope: str
    amount_minor: int
    status: str
    held_micros: int
    debt_micros: int
    opened_at: datetime
    changed_at: datetime
    evidence_sealed: bytes | None
    evidence_by: str | None
    evidence_state: str | None


async def listed(
    work: Work,
    *,
    organisation_ref: UUID | None = None,
    order_id: UUID | None = None,
    status: str | None = None,
    open_only: bool = False,
    before: UUID | None = None,
    limit: int = 100,
) -> list[Dispute]:
    """Disputes, newest first, after ``before``; of an order or organisation, in a state."""
    last = None if before is None else await find(work, before)
    chosen = (organisation_ref, organisation_ref, open_only, order_id, order_id, status, status)
    cursor = (None, None, None) if last is None else (last.id, last.opened_at, last.id)
    return [_dispute(row) for row in await work.rows(records.DISPUTES, *chosen, *cursor, limit)]


async def find(work: Work, dispute_id: UUID) -> Dispute | None:
    """One dispute."""
    row = await work.row(records.DISPUTE, dispute_id)
    return None if row is None else _dispute(row)


async def evidence(work: Work, dispute_id: UUID, text_sealed: bytes, by: str) -> None:
    """What staff answers, in place of what was not sent (sealed for ``payment.evidence.text_sealed``, row = dispute).

    Raises Conflict ``RX076`` when an answer was sent, or the bank waits for none.
    """
    await work.run(records.EVIDENCE_PUT, dispute_id, text_sealed, by)


async def evidence_due(work: Work) -> list[Dispute]:
    """Disputes whose answer waits to be sent."""
    return [_dispute(row) for row in await work.rows(records.EVIDENCE_DUE)]


async def evidence_sent(work: Work, dispute_id: UUID) -> None:
    """The processor has it."""
    await work.run(records.EVIDENCE_SENT, dispute_id)


def _dispute(row: tuple[object, ...]) -> Dispute:
    return msgspec.convert(dict(zip(records.DISPUTE_FIELDS, row, strict=True)), Dispute)
