"""Auto top-up: charges a saved method when the balance falls below a threshold, up to a target, within a monthly cap.

One attempt at a time; open attempts count towards the cap. Declined: again after 1 h, 6 h, 24 h; the third failure in a
row, or a card that must never be tried again, ends it; a bank that wants to see the customer pauses it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import msgspec

from ruxa.egress.processor import Declined, Fact, NeedsAction
from ruxa.kernel.errors import Conflict, InvalidCall
from ruxa.ledger.payments import orders, records
from ruxa.store.work import Work

State = Literal["on", "off", "paused"]
# What no charge is made below (cents).
_LEAST_MINOR: Final = 50


class Auto(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation's auto top-up; micros.

    reason: why it is off or paused (``failures``, ``card``, ``action``, ``owner``, ``capped``); recovery_url: where the
    customer goes on when ``paused``; month_micros: charged or being charged this month (UTC), tax included, as the cap.
    """

    organisation_ref: UUID
    scope: str
    state: State
    reason: str | None
    threshold_micros: int
    target_micros: int
    monthly_cap_micros: int
    processor: str
    saved: str
    failures: int
    next_at: datetime | None
    recovery_url: str | None
    month_micros: int


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation whose balance is below its threshold: so much credit is wanted (whole cents).

    room_micros: what the month's cap leaves for the charge, tax included.
    """

    organisation_ref: UUID
    scope: str
    amount_micros: int
    room_micros: int
    processor: str
    method: str


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One charge. id: also the key towards the processor; customer, saved: what it charges there, however often it is
    asked for, None once it ended; is_kept: the organisation still has that method.
    """

    id: UUID
    organisation_ref: UUID
    order_id: UUID
    number: int
    state: str
    amount_micros: int
    tax_micros: int
    processor: str
    customer: str | None
    saved: str | None
    is_kept: bool
    code: str | None
    begun_at: datetime


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How auto top-up stands after an attempt. tell: what the owners are to be told now, if anything."""

    state: State
    tell: Literal["off", "paused", "failed"] | None
    failures: int


async def put(
    work: Work,
    organisation_ref: UUID,
    *,
    enabled: bool,
    threshold_micros: int,
    target_micros: int,
    monthly_cap_micros: int,
    processor: str,
    saved: str,
    scope: orders.Scope = "live",
) -> None:
    """Sets it; switching it on forgets earlier failures. Raising cap or target or changing the method needs step-up.

    Raises InvalidCall ``auto_topup_out_of_range`` (threshold < target <= cap, whole cents), Conflict
    ``no_saved_method``.
    """
    for amount in (threshold_micros, target_micros, monthly_cap_micros):
        if amount < 0 or amount % orders.MICROS_PER_MINOR or amount > orders.ORDER_MICROS_MAX:
            raise InvalidCall(
                "An amount is a whole number of cents, at most 1,000,000 USD.", code="amount_out_of_range"
            )
    if not threshold_micros < target_micros <= monthly_cap_micros:
        raise InvalidCall("The target lies above the threshold and within the cap.", code="auto_topup_out_of_range")
    refusal: str | None = await work.value(
        records.AUTO_PUT,
        organisation_ref,
        scope,
        enabled,
        threshold_micros,
        target_micros,
        monthly_cap_micros,
        processor,
        saved,
    )
    if refusal is not None:
        raise Conflict("Save a payment method first.", code=refusal)


async def stop(work: Work, organisation_ref: UUID, reason: str = "owner") -> None:
    """Switches it off (also: a leaked key's freeze, a removed method)."""
    await work.run(records.AUTO_STOP, organisation_ref, reason)


async def find(work: Work, organisation_ref: UUID) -> Auto | None:
    """An organisation's auto top-up."""
    row = await work.row(records.AUTO, organisation_ref)
    return None if row is None else msgspec.convert(dict(zip(records.AUTO_FIELDS, row, strict=True)), Auto)


async def due(work: Work, *, limit: int = 50) -> list[Due]:
    """Whose balance fell below the threshold, with nothing under way and no pause running."""
    return [Due(**dict(zip(records.DUE_FIELDS, row, strict=True))) for row in await work.rows(records.AUTO_DUE, limit)]


def within_cap(due: Due, tax_of: Callable[[int], int]) -> int | None:
    """The credit (micros, whole cents) whose charge fits the month's cap; None when too little is left.

    tax_of: cents of credit -> cents of tax on top.
    """
    minor, room = due.amount_micros // orders.MICROS_PER_MINOR, due.room_micros // orders.MICROS_PER_MINOR
    while minor >= _LEAST_MINOR and (total := minor + tax_of(minor)) > room:
        minor = min(minor * room // total, minor - 1)
    return minor * orders.MICROS_PER_MINOR if minor >= _LEAST_MINOR else None


async def begin(work: Work, due: Due, *, tax_micros: int = 0, tax_code: str = "none") -> Attempt | None:
    """Opens the one attempt with its order, looking again under the organisation's lock; None when it is not due now.

    Commit before charging: a crash then leaves an open attempt, which ``unfinished`` finds.
    """
    orders.checked(due.amount_micros, tax_micros)
    made: UUID | None = await work.value(
        records.AUTO_BEGIN,
        due.organisation_ref,
        due.amount_micros,
        tax_micros,
        tax_code,
        orders.reference(),
    )
    return None if made is None else await attempt(work, made)


async def unfinished(work: Work, *, seconds: int = 120, limit: int = 20) -> list[Attempt]:
    """Open attempts that began so long ago: charge again with the same key, which tells what became of the first."""
    due_now = [row[0] for row in await work.rows(records.ATTEMPTS_OPEN, seconds, limit)]
    return [_attempt(row) for row in await work.rows(records.ATTEMPTS_OF, due_now)]


async def attempt(work: Work, attempt_id: UUID) -> Attempt | None:
    """One attempt."""
    row = await work.row(records.ATTEMPT, attempt_id)
    return None if row is None else _attempt(row)


async def attempts(work: Work, organisation_ref: UUID, *, limit: int = 50) -> list[Attempt]:
    """An organisation's attempts, newest first."""
    return [_attempt(row) for row in await work.rows(records.ATTEMPTS, organisation_ref, limit)]


async def ended(work: Work, attempt_id: UUID, outcome: Fact | Declined | NeedsAction) -> Ended:
    """What became of a charge. A Fact is noted by ``facts.note`` besides; that alone also ends the attempt."""
    match outcome:
        case Fact():
            if outcome.status not in ("failed", "canceled", "expired", "succeeded"):
                args = ("open", None, None)
            else:
                args = ("succeeded", None, None) if outcome.status == "succeeded" else ("failed", outcome.status, None)
        case Declined():
            args = ("failed" if outcome.retry else "refused", outcome.code, None)
        case NeedsAction():
            args = ("action", "authentication_required", outcome.url or None)
    row = await work.row(records.ATTEMPT_ENDED, attempt_id, *args)
    assert row is not None
    return Ended(state=row[0], tell=row[1], failures=row[2])


def _attempt(row: tuple[object, ...]) -> Attempt:
    return msgspec.convert(dict(zip(records.ATTEMPT_FIELDS, row, strict=True)), Attempt)
