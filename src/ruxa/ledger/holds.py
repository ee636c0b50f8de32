"""Holds: money kept in the database for one long task, until it is settled, released or its time is over."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from ruxa.kernel.errors import Conflict, InsufficientCredit
from ruxa.ledger import records
from ruxa.store.work import Work


async def place(
    work: Work,
    hold_id: UUID,
    organisation_ref: UUID,
    scope: str,
    amount_micros: int,
    *,
    ttl_s: int,
    budget_scopes: Sequence[str] = (),
) -> None:
    """Keeps ``amount_micros`` for ``ttl_s`` seconds; the same id again is the same hold.

    budget_scopes: the keys' ids in hex, as in ``Leases.reserve``. Raises InsufficientCredit
    (``insufficient_credits``, ``key_budget_exceeded``, ``organisation_budget_exceeded``, ``spending_frozen``); Conflict
    when the id belongs to another hold or is over.
    """
    budgets = [f"key:{scope_id}" for scope_id in budget_scopes]
    refusal: str | None = await work.value(
        records.HOLD_PLACE, hold_id, organisation_ref, scope, budgets, amount_micros, ttl_s
    )
    if refusal == "lease_closed":
        raise Conflict("This hold is over.", code="hold_over")
    if refusal is not None:
        raise InsufficientCredit("The prepaid balance or the key's budget does not cover this task.", code=refusal)


async def settle(work: Work, hold_id: UUID, amount_micros: int) -> bool:
    """Charges ``amount_micros`` of the hold and gives the rest back; False when done before.

    Raises Conflict ``RX006`` (no such hold), ``RX007`` (more than was held), ``RX024`` (over, or settled otherwise).
    """
    new: bool = await work.value(records.HOLD_SETTLE, hold_id, amount_micros)
    return new


async def release(work: Work, hold_id: UUID) -> bool:
    """Gives the whole hold back; False when done before."""
    new: bool = await work.value(records.HOLD_RELEASE, hold_id)
    return new
