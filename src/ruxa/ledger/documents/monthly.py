"""Monthly statements: what an organisation's credit did in a month, equal to the ledger to the micro.

    opening + top-ups + credits - refunds - charges - what ended = closing

Everything but the charges by model is what was posted to the organisation's lots and its debt. Charges are listed by
model as the calls of the month cost; a line of its own says what of them was settled across the month's ends (a lease
that was open at midnight), so that the sum is the ledger's.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final, Literal
from uuid import UUID

import msgspec

from ruxa.kernel.errors import Conflict
from ruxa.ledger.documents import issue, profile, records
from ruxa.ledger.documents.document import Line
from ruxa.ledger.documents.issue import Draft
from ruxa.ledger.documents.seller import Terms
from ruxa.ledger.leases import Works
from ruxa.store.vault import Vault
from ruxa.store.work import Work

Scope = Literal["live", "sandbox"]
# What is listed, in order; ``call`` once a model, ``carried``: charges settled across the month's ends.
KINDS: Final = (
    "opening",
    "top_up",
    "credit",
    "refund",
    "dispute",
    "call",
    "carried",
    "expiry",
    "writeoff",
    "other",
    "closing",
)
# A lease that was open at midnight is settled by then.
SETTLED_H: Final = 1
_PAGE: Final = 100


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A month, or the days of one that is not over. Gains are positive; opening + movements = closing."""

    organisation_ref: UUID
    scope: Scope
    since: date
    until: date
    lines: tuple[Line, ...]

    def sum_of(self, *kinds: str) -> int:
        """The micros of the lines of these kinds."""
        return sum(line.amount_micros for line in self.lines if line.kind in kinds)

    @property
    def opening_micros(self) -> int:
        """What there was when it began."""
        return self.sum_of("opening")

    @property
    def closing_micros(self) -> int:
        """What there was when it ended."""
        return self.sum_of("closing")


async def of_month(work: Work, organisation_ref: UUID, month: date, *, scope: Scope = "live") -> Statement:
    """The statement of the month that ``month`` lies in, as the books are now."""
    since = month.replace(day=1)
    return await of_days(work, organisation_ref, since, next_month(since), scope=scope)


async def of_days(work: Work, organisation_ref: UUID, since: date, until: date, *, scope: Scope = "live") -> Statement:
    """The same from a day to before another (UTC); beyond the usage limit charges are known by whole months only."""
    rows = [
        Line(*row) for row in await work.rows(records.STATEMENT, organisation_ref, scope, _start(since), _start(until))
    ]
    charged = sum(line.amount_micros for line in rows if line.kind == "charge")
    by_model = sum(line.amount_micros for line in rows if line.kind == "call")
    if charged != by_model:
        rows.append(Line("carried", "", 0, charged - by_model))
    lines = sorted((line for line in rows if line.kind != "charge"), key=lambda line: KINDS.index(line.kind))
    return Statement(organisation_ref=organisation_ref, scope=scope, since=since, until=until, lines=tuple(lines))


async def issue_for(
    work: Work, vault: Vault, terms: Terms, organisation_ref: UUID, month: date, *, scope: Scope = "live"
) -> UUID:
    """The statement of a month as a numbered document, once. Conflict ``month_not_over``."""
    since = month.replace(day=1)
    now: datetime = await work.value(records.NOW)
    if (now - _start(next_month(since))).total_seconds() < SETTLED_H * 3600:
        raise Conflict("A month's statement is issued when the month is over.", code="month_not_over")
    statement = await of_month(work, organisation_ref, since, scope=scope)
    written = await profile.find(work, vault, organisation_ref)
    draft = Draft(
        kind="statement",
        organisation_ref=organisation_ref,
        scope=scope,
        origin=f"{_origin(since)}:{scope}:{organisation_ref.hex}",
        party=None if written is None else written.party,
        lines=statement.lines,
        net_micros=statement.closing_micros,
        supplied_on=statement.until,
        fields={"period_from": statement.since, "period_until": statement.until},
    )
    return await issue.enter(work, vault, terms, draft)


async def issue_due(works: Works, vault: Vault, terms: Terms) -> int:
    """Issues last month's statements of all whose money moved and that have none; how many. Repeatable."""
    made = 0
    while True:
        async with works.work("documents") as work:
            now: datetime = await work.value(records.NOW)
            until = now.astimezone(UTC).date().replace(day=1)
            if (now - _start(until)).total_seconds() < SETTLED_H * 3600:
                return made
            since = until.replace(year=until.year - (until.month == 1), month=(until.month - 2) % 12 + 1)
            due = await work.rows(records.STATEMENTS_DUE, _start(since), _start(until), _origin(since), _PAGE)
        for organisation_ref, scope in due:
            async with works.work("documents") as work:
                await issue_for(work, vault, terms, organisation_ref, since, scope=scope)
                made += 1
        if len(due) < _PAGE:
            return made


def next_month(first: date) -> date:
    """The first day of the month after."""
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _origin(since: date) -> str:
    return f"statement:{since:%Y-%m}"
