"""Differences: a processor's books of a day against our facts, each disagreement named, owned, aged and ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from ruxa.egress.processor import Entry
from ruxa.kernel import codec, ids
from ruxa.kernel.errors import InvalidCall, NotFound
from ruxa.ledger.reconciliation import records
from ruxa.store.work import Work

Kind = Literal[
    "missing_here", "missing_there", "amount_differs", "fee_differs", "currency_differs", "status_differs",
    "balance_differs", "upstream_differs",
]  # fmt: skip
State = Literal["open", "resolved", "gone"]
Outcome = Literal["corrected_here", "corrected_there", "timing", "written_off", "accepted"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("corrected_here", "corrected_there", "timing", "written_off", "accepted")
Scope = Literal["live", "sandbox"]
MICROS_PER_MINOR: Final = 10_000
# Calls at the turn of a day, and what a provider is asked besides calls (its list of models), are no difference.
UPSTREAM_CALLS, UPSTREAM_PERCENT = 5, 1


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One difference. here, there: minor units as the processor's balance gained (calls: how many), None where it has
    nothing; ext_id: the processor's id of the object; owner_id: the member of staff who looks after it.

    gone: a later comparison did not find it any more; resolved: by ``ended_by``, as ``outcome``, with a ``reference``
    (a ticket, a document).
    """

    id: UUID
    processor: str
    scope: Scope
    day: date
    kind: Kind
    object: str
    ext_id: str
    organisation_ref: UUID | None
    here: int | None
    there: int | None
    currency: str
    found_at: datetime
    owner_id: UUID | None
    state: State
    outcome: Outcome | None
    reference: str | None
    ended_by: str | None
    ended_at: datetime | None
    age_days: int


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison: of how many objects, how many differences are open now, were opened, and are gone since."""

    compared: int
    differs: int
    opened: int
    gone: int


async def run(work: Work, processor: str, day: date, entries: Sequence[Entry], *, scope: Scope = "live") -> Ran:
    """Takes in a processor's books of a UTC day and compares them, what was posted that day, and what was open.

    Any number of times: lines that are known are not taken in again, and a difference is opened once.
    """
    lines = [
        (e.ext_id, e.kind, e.source, e.gross_minor, e.fee_minor, e.net_minor, e.currency.upper(), e.at) for e in entries
    ]
    row = await work.row(records.RECONCILE, ids.fresh(), processor, scope, day, codec.encode(lines).decode())
    assert row is not None
    await _balance(work, processor, scope, day)
    return Ran(compared=row[0], differs=row[1], opened=row[2], gone=row[3])


async def upstream(work: Work, day: date) -> bool:
    """Compares the calls that left for providers on a day with the tries that the books have (D24); whether they differ
    by more than what the turn of a day explains.
    """
    rows = await work.rows(records.UPSTREAM, day, day + timedelta(days=1))
    sent, tries = (rows[0][1], rows[0][2]) if rows else (0, 0)
    differs = abs(sent - tries) > max(UPSTREAM_CALLS, sent * UPSTREAM_PERCENT // 100)
    await work.run(
        records.OF_WHOLE,
        *(
            ids.fresh(),
            "providers",
            "live",
            day,
            "upstream_differs",
            "calls",
            day.isoformat(),
            tries,
            sent,
            "USD",
            differs,
        ),
    )
    return differs


async def last_day(work: Work, processor: str, scope: Scope) -> date | None:
    """The newest day that was compared."""
    day: date | None = await work.value(records.RAN, processor, scope)
    return day


async def listed(
    work: Work,
    *,
    state: State | None = "open",
    processor: str | None = None,
    owner_id: UUID | None = None,
    limit: int = 100,
) -> list[Difference]:
    """Differences, open ones first, the oldest first."""
    return [
        _difference(row)
        for row in await work.rows(records.DIFFERENCES, state, state, processor, processor, owner_id, owner_id, limit)
    ]


async def find(work: Work, difference_id: UUID) -> Difference:
    """One difference. NotFound."""
    row = await work.row(records.DIFFERENCE, difference_id)
    if row is None:
        raise NotFound("No such difference.")
    return _difference(row)


async def assign(work: Work, difference_id: UUID, owner_id: UUID | None) -> None:
    """Gives an open difference to a member of staff, or to nobody. Conflict ``RX085``."""
    await work.run(records.ASSIGN, difference_id, owner_id)


async def resolve(work: Work, difference_id: UUID, outcome: str, reference: str | None, by: str) -> None:
    """Ends an open difference by a person's word; ``reference``: letters, digits and ``._/#-``, 60 at most.

    The same difference is not opened again while both sides stay as they are. Conflict ``RX085``, InvalidCall.
    """
    if outcome not in OUTCOMES:
        raise InvalidCall(f"An outcome is one of {', '.join(OUTCOMES)}.", code="bad_outcome", param="outcome")
    if reference is not None and not (
        0 < len(reference) <= 60 and all(c.isascii() and (c.isalnum() or c in "._/#-") for c in reference)
    ):
        raise InvalidCall(
            "A reference is up to 60 letters, digits and ._/#- (a ticket, a document).",
            code="bad_reference",
            param="reference",
        )
    await work.run(records.RESOLVE, difference_id, outcome, reference, by)


async def _balance(work: Work, processor: str, scope: Scope, day: date) -> None:
    """The clearing account against the processor's own lines, once any of them were read."""
    for name, where, here_micros, there in await work.rows(records.CLEARING):
        if (name, where) == (processor, scope) and there is not None:
            here = here_micros // MICROS_PER_MINOR
            await work.run(
                records.OF_WHOLE,
                *(ids.fresh(), processor, scope, day, "balance_differs", "balance", "clearing", here, there, "USD"),
                here_micros != there * MICROS_PER_MINOR,
            )


def _difference(row: Sequence[Any]) -> Difference:
    return Difference(**dict(zip(records.DIFFERENCE_FIELDS, row, strict=True)))
