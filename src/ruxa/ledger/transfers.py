"""Transfers: the only way money moves. Each is written once; a correction is another transfer.

Lots, leases and holds make their own transfers inside the database; these functions are the operator's way to correct
by hand and need the operator's login.
"""

from __future__ import annotations

from uuid import UUID

from ruxa.ledger import records
from ruxa.store.work import Work


async def post(
    work: Work,
    transfer_id: UUID,
    *,
    debit: str,
    credit: str,
    amount_micros: int,
    code: str,
    organisation_ref: UUID | None = None,
    ref: UUID | None = None,
) -> bool:
    """Moves micros between two accounts (by code); False when this very transfer was made before.

    Raises Conflict ``RX005`` (same id, other contents), ``RX004`` (no such account), ``RX003`` (units differ),
    ``account_no_overdraft``.
    """
    new: bool = await work.value(
        records.TRANSFER_POST, transfer_id, debit, credit, amount_micros, code, organisation_ref, ref, False
    )
    return new


async def hold(
    work: Work,
    transfer_id: UUID,
    *,
    debit: str,
    credit: str,
    amount_micros: int,
    code: str,
    organisation_ref: UUID | None = None,
    ref: UUID | None = None,
) -> bool:
    """As ``post``, but pending until ``resolve``. The id's last bit must be 0 (``pending_id``)."""
    new: bool = await work.value(
        records.TRANSFER_POST, transfer_id, debit, credit, amount_micros, code, organisation_ref, ref, True
    )
    return new


def pending_id(fresh: UUID) -> UUID:
    """``fresh`` with its last bit cleared: an id that a resolution can follow."""
    return UUID(int=fresh.int & ~1)


async def resolve(work: Work, pending: UUID, amount_micros: int) -> bool:
    """Posts ``amount_micros`` of a pending transfer and gives the rest back; 0 voids it. False when done before.

    Raises Conflict ``RX001`` (no such), ``RX002`` (more than was pending), ``RX005`` (resolved with another amount).
    """
    new: bool = await work.value(records.TRANSFER_RESOLVE, pending, amount_micros)
    return new
