"""Top-ups: the ways credit comes into being. Each has an origin; the same origin again is the same lot."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict
from ruxa.kernel.money import MICROS_MAX
from ruxa.ledger import records
from ruxa.store.work import Work

# Consumption order among lots: smaller first. Credit that ends goes before credit that lasts.
PRIORITY_PROMO = 50
PRIORITY_PAID = 100

# A single credit by hand; more needs several, and in live mode four eyes.
CREDIT_MICROS_MAX = 1_000_000_000_000


async def credit(
    work: Work,
    organisation_ref: UUID,
    amount_micros: int,
    *,
    lot_id: UUID | None = None,
    reason_sealed: bytes | None = None,
) -> UUID:
    """Credit of scope ``live`` that the operator grants; it never ends. The lot's id.

    lot_id: the caller's own id makes a repeat harmless, and is the row that ``reason_sealed``
    (``ledger.lot.reason_sealed``) is sealed for.
    """
    return await _grant(
        work,
        lot_id or ids.fresh(),
        organisation_ref,
        "live",
        "paid",
        amount_micros,
        priority=PRIORITY_PAID,
        reason_sealed=reason_sealed,
    )


async def sandbox(
    work: Work,
    organisation_ref: UUID,
    amount_micros: int,
    *,
    lot_id: UUID | None = None,
    reason_sealed: bytes | None = None,
) -> UUID:
    """Sandbox money: buys only ``sandbox/*`` (decision D10); the rest as ``credit``."""
    return await _grant(
        work,
        lot_id or ids.fresh(),
        organisation_ref,
        "sandbox",
        "paid",
        amount_micros,
        priority=PRIORITY_PAID,
        reason_sealed=reason_sealed,
    )


async def trial(work: Work, organisation_ref: UUID, amount_micros: int, *, expires_at: datetime) -> UUID:
    """Trial credit of scope ``live``, once an organisation (setting ``trial_micros``, 30 days)."""
    return await _grant(
        work,
        ids.fresh(),
        organisation_ref,
        "live",
        "promo",
        amount_micros,
        priority=PRIORITY_PROMO,
        expires_at=expires_at,
        origin=f"trial:{organisation_ref.hex}",
    )


async def grant(
    work: Work,
    organisation_ref: UUID,
    amount_micros: int,
    *,
    scope: str,
    category: str,
    priority: int,
    origin: str,
    expires_at: datetime | None = None,
    lot_id: UUID | None = None,
) -> UUID:
    """Any lot: category paid, promo, refund or compensation; ``origin`` names what it is for, once."""
    return await _grant(
        work,
        lot_id or ids.fresh(),
        organisation_ref,
        scope,
        category,
        amount_micros,
        priority=priority,
        expires_at=expires_at,
        origin=origin,
    )


async def _grant(
    work: Work,
    lot_id: UUID,
    organisation_ref: UUID,
    scope: str,
    category: str,
    amount_micros: int,
    *,
    priority: int,
    expires_at: datetime | None = None,
    origin: str | None = None,
    reason_sealed: bytes | None = None,
) -> UUID:
    if not 0 < amount_micros <= min(CREDIT_MICROS_MAX, MICROS_MAX):
        raise Conflict("The amount must be positive and at most 1,000,000 USD.", code="amount_out_of_range")
    found: UUID = await work.value(
        records.LOT_GRANT,
        lot_id,
        organisation_ref,
        scope,
        category,
        amount_micros,
        priority,
        expires_at,
        origin or f"lot:{lot_id.hex}",
        reason_sealed,
        work.principal,
    )
    return found
