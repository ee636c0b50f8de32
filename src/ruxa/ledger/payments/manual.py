"""Bank transfers: a line of a bank statement becomes money when two different people confirm it (decision D25)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final, Literal
from uuid import UUID

import msgspec

from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict
from ruxa.ledger.payments import facts, orders, records
from ruxa.store.work import Work

State = Literal["first", "confirmed", "withdrawn"]
_REFUSALS: Final = {
    "no_order": "No such order, or none that a bank transfer pays.",
    "person_unnamed": "Two people must be known by name: say who you are.",
    "entry_known": "This line of the bank statement is confirmed already.",
    "second_person": "A second, different person must confirm it.",
    "wrong_state": "This is not waiting for that.",
}


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the bank's statement, unique by account, reference, day and amount (of which no two are believed).

    Case and blanks make no other of it.
    """

    id: UUID
    order_id: UUID
    organisation_ref: UUID
    account: str
    reference: str
    day: date
    amount_minor: int
    state: State
    first_by: str
    second_by: str | None
    first_at: datetime
    second_at: datetime | None


async def first(
    work: Work, order_id: UUID, *, amount_micros: int, day: date, reference: str, account: str, by: str
) -> UUID:
    """The first person says that the money is there; nothing moves. The confirmation's id.

    amount_micros: the whole received amount, more or less than the order's; day, reference, account: of the bank's
    line; by: of real money a person (``member:<hex>``). Raises Conflict ``no_order``, ``entry_known``,
    ``person_unnamed``; InvalidCall ``amount_out_of_range``.
    """
    orders.checked(amount_micros)
    made = ids.fresh()
    _refuse(
        await work.value(
            records.CONFIRM_FIRST,
            made,
            order_id,
            amount_micros // orders.MICROS_PER_MINOR,
            day,
            reference,
            account,
            by,
        )
    )
    return made


async def second(work: Work, confirmation_id: UUID, by: str) -> facts.Effect:
    """The second person says so too: the amount is credited. Raises Conflict ``second_person``, ``wrong_state``."""
    row = await work.row(records.CONFIRM_SECOND, confirmation_id, by)
    assert row is not None
    _refuse(row[0])
    return facts.Effect(outcome=row[1], reason=row[2], fact_id=row[3], order_id=row[4], organisation_ref=row[5])


async def withdraw(work: Work, confirmation_id: UUID, by: str) -> None:
    """Takes back what waits for the second person. Raises Conflict ``wrong_state``."""
    _refuse(await work.value(records.CONFIRM_WITHDRAW, confirmation_id, by))


async def waiting(work: Work) -> list[Confirmation]:
    """What waits for the second person, oldest first."""
    return [_confirmation(row) for row in await work.rows(records.CONFIRMATIONS_WAITING)]


async def listed(
    work: Work,
    *,
    state: State | None = None,
    reference: str | None = None,
    before: UUID | None = None,
    limit: int = 100,
) -> list[Confirmation]:
    """Every confirmation, newest first, from below ``before``; in a state, of a bank's line."""
    chosen = (state, state, reference, reference, before or orders.LAST, limit)
    return [_confirmation(row) for row in await work.rows(records.CONFIRMATIONS, *chosen)]


async def of_order(work: Work, order_id: UUID) -> list[Confirmation]:
    """An order's confirmations, oldest first."""
    return [_confirmation(row) for row in await work.rows(records.CONFIRMATIONS_OF, order_id)]


def _refuse(refusal: str | None) -> None:
    if refusal is not None:
        raise Conflict(_REFUSALS[refusal], code=refusal)


def _confirmation(row: tuple[object, ...]) -> Confirmation:
    return msgspec.convert(dict(zip(records.CONFIRMATION_FIELDS, row, strict=True)), Confirmation)
