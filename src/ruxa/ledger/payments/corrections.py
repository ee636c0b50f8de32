"""Corrections by people: credits, write-offs and credit taken back; large ones need two people."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict
from ruxa.ledger.payments import people, records
from ruxa.store.work import Work

# A credit's reason goes on to the lot of the same id, for which it is sealed from the beginning.
LOT_REASON: Final = "ledger.lot.reason_sealed"
WISH_REASON: Final = "payment.wish.reason_sealed"
_REFUSALS: Final = {
    "no_debt": "More than is owed.",
    "second_person": "A second, different person must approve it.",
    "wrong_state": "This is not waiting for that.",
    "no_lot": "No such lot of this organisation, or it is void.",
    "lot_was_paid": "Credit that was paid for is refunded, not taken back.",
    "lot_is_spent": "Nothing is left of this credit.",
    "lot_waits": "Taking this credit back already waits for a second person.",
}


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A correction that waits for a second person. kind: ``credit``, ``writeoff`` or ``void`` (of ``lot_id``)."""

    id: UUID
    kind: str
    organisation_ref: UUID
    scope: str
    amount_micros: int
    account: str | None
    reason_sealed: bytes | None
    asked_by: str
    asked_at: datetime
    lot_id: UUID | None = None


def reason_column(kind: str) -> str:
    """For which column the reason of a wish of that kind is sealed; the row is the wish's id."""
    return LOT_REASON if kind == "credit" else WISH_REASON


async def credit(
    work: Work,
    organisation_ref: UUID,
    amount_micros: int,
    *,
    by: str,
    lot_id: UUID | None = None,
    reason_sealed: bytes | None = None,
) -> UUID | None:
    """Credit by hand of any size: the lot's id, or None when (live mode, over the bound) a second person must approve.

    The row that the reason is sealed for is ``ledger.lot.reason_sealed`` of ``lot_id``. Raises Conflict
    ``person_unnamed`` when there must be a second, but who is first has no name.
    """
    if not 0 < amount_micros <= 1_000_000_000_000:
        raise Conflict("The amount must be positive and at most 1,000,000 USD.", code="amount_out_of_range")
    made: bool = await work.value(
        records.WISH_PUT, lot_id := lot_id or ids.fresh(), "credit", organisation_ref, "live", amount_micros, None,
        reason_sealed, by,
    )  # fmt: skip
    if not made and not people.named(by):
        raise people.unnamed()
    return lot_id if made else None


async def approve(work: Work, wish_id: UUID, by: str) -> None:
    """The second person. Raises Conflict ``second_person``, ``wrong_state``, ``no_debt``, ``no_lot``."""
    _refuse(await work.value(records.WISH_APPROVE, wish_id, by))


async def reject(work: Work, wish_id: UUID, by: str) -> None:
    """Drops a wish. Raises Conflict ``wrong_state``."""
    _refuse(await work.value(records.WISH_REJECT, wish_id, by))


async def waiting(work: Work) -> list[Wish]:
    """What waits for a second person, oldest first."""
    return [
        msgspec.convert(dict(zip(records.WISH_FIELDS, row, strict=True)), Wish)
        for row in await work.rows(records.WISHES)
    ]


async def void_lot(
    work: Work, lot_id: UUID, *, by: str, wish_id: UUID | None = None, reason_sealed: bytes | None = None
) -> int | None:
    """Takes back what is left of a lot that nobody paid for: micros moved now (what leases hold follows), or None when
    (live mode, over the bound) a second person must approve.

    The row that the reason is sealed for is ``payment.wish.reason_sealed`` of ``wish_id``. Raises Conflict ``no_lot``,
    ``lot_was_paid``, ``lot_is_spent``, ``lot_waits``, ``person_unnamed``.
    """
    row = await work.row(records.LOT_VOID, wish_id or ids.fresh(), lot_id, reason_sealed, by)
    assert row is not None
    _refuse(row[0])
    moved: int | None = row[1]
    if moved is None and not people.named(by):
        raise people.unnamed()
    return moved


def _refuse(refusal: str | None) -> None:
    if refusal is not None:
        raise Conflict(_REFUSALS[refusal], code=refusal)
