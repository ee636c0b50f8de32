"""Billing evidence: what remains of charges when their day's rows go (D30, D31), and how a day is ended.

A day that has been over for two days gets its sums (``prepare``); when it is 83 days old they are added to the month's
evidence and its rows are dropped (``reduce``), in one transaction: there is no moment at which a charge is in neither
or in both. Both may run twice at once and be killed at any point.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal
from uuid import UUID

import msgspec

from ruxa.kernel.errors import Conflict
from ruxa.ledger import records
from ruxa.ledger.leases import Works
from ruxa.store.work import Work

State = Literal["ready", "stale"]

_ROWS = 500
_PREPARES_MAX = 3


class Day(msgspec.Struct, frozen=True):
    """A UTC day that has usage rows; state of its sums: None (not made), ``ready``, ``stale`` (a late row came)."""

    day: date
    state: State | None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One month of charges at one price. sha256: chain over the days' hashes, in order of days.

    A day's hash is SHA-256 over the SHA-256 of each charge in order of ids; a charge is its id, quantities, amount and
    waived amount in decimal, joined by ``|``, so that whoever kept the rows can show that they are these.
    """

    organisation_ref: UUID
    month: date
    price_id: UUID
    scope: str
    kind: str
    long: bool
    calls: int
    quantities: tuple[int, ...]
    amount_micros: int
    waived_micros: int
    sha256: bytes


class HeldRow(msgspec.Struct, frozen=True):
    """A usage row as JSON, for whoever has to keep it longer (a hold)."""

    id: UUID
    organisation_ref: UUID
    body: str


async def days(work: Work) -> list[Day]:
    """The days that have usage rows, or room for them, oldest first."""
    return [Day(day, state) for day, state in await work.rows(records.USAGE_DAYS)]


async def oldest(work: Work) -> datetime | None:
    """When the oldest usage row was made."""
    moment: datetime | None = await work.value(records.USAGE_OLDEST)
    return moment


async def prepare(works: Works, day: date) -> int | None:
    """Makes the sums of a day that is over for two days; the number of charges, None when nothing was to do.

    Raises Conflict ``RX050`` for a younger day, Unavailable.
    """
    async with works.work("retention") as work:
        # One pass over a day of any size: bounded by the job, not by the statement.
        await work.run("SET LOCAL statement_timeout = 0")
        charges: int | None = await work.value(records.EVIDENCE_PREPARE, day)
        return charges


async def reduce(works: Works, day: date) -> int | None:
    """Ends a day: sums into the month's evidence, rows dropped; the number of charges, None when it has no rows.

    Raises Conflict ``RX053`` before its 83rd day, ``RX051`` while an older one is there; Unavailable
    ``database_busy`` when somebody reads the table for longer than half a second: try again.
    """
    for _ in range(_PREPARES_MAX):
        try:
            async with works.work("retention") as work:
                charges: int | None = await work.value(records.DAY_REDUCE, day)
                return charges
        except Conflict as fault:
            if fault.code != "RX052":
                raise
        await prepare(works, day)
    raise Conflict("Late rows keep coming for a day that is to end.", code="RX052")


async def rows(work: Work, day: date, organisations: list[UUID] | None, after: UUID | None) -> list[HeldRow]:
    """Up to 500 of a day's rows of these organisations (None: all), in order of ids, from above ``after``."""
    return [HeldRow(*row) for row in await work.rows(records.USAGE_ROWS, day, organisations, after, _ROWS)]


async def of_organisation(work: Work, organisation_ref: UUID) -> list[Evidence]:
    """What remains of an organisation's usage beyond the usage limit, newest month first."""
    return [
        Evidence(
            organisation_ref=row[0],
            month=row[1],
            price_id=row[2],
            scope=row[3],
            kind=row[4],
            long=row[5],
            calls=row[6],
            quantities=tuple(row[7:16]),
            amount_micros=row[16],
            waived_micros=row[17],
            sha256=bytes(row[18]),
        )
        for row in await work.rows(records.EVIDENCE, organisation_ref)
    ]
