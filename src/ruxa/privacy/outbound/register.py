"""Who is declared to receive data, and how often each did: written by the processes that send, read by the pages.

The counts are of sends, by UTC day, recipient, host and category, over all customers together: nobody's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import msgspec

from ruxa.egress.recipient import Register
from ruxa.egress.tally import Line
from ruxa.privacy.outbound import records
from ruxa.store.work import Work


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient at one destination of the register, as it was declared last.

    categories, purposes: words of the data map; place: country (ISO 3166), ``own`` or ``unknown``; source: where the
    recipient publishes its terms, "" when not known. trains, retention_days, zero_retention, mechanism, certified_on:
    what it does with what it gets and what a transfer rests on, None when nobody wrote it down.
    """

    name: str
    host: str
    port: int
    role: str
    who: str
    categories: tuple[str, ...]
    purposes: tuple[str, ...]
    place: str
    safeguard: str
    source: str
    trains: bool | None
    retention_days: int | None
    zero_retention: bool | None
    mechanism: str | None
    certified_on: date | None
    first_at: datetime
    last_at: datetime


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """So many sends of a category to a recipient's host on a day."""

    day: date
    recipient: str
    host: str
    category: str
    sends: int


async def declare(work: Work, register: Register) -> None:
    """Write down every recipient at every destination that this process may dial."""
    for (host, port), there in sorted(register.destinations().items()):
        for recipient in sorted(there, key=lambda one: one.name):  # processes that start at once take one order
            await records.declare(work, recipient, host, port)


async def count(work: Work, lines: Iterable[Line]) -> None:
    """Add what was sent to the counts of today (by the database's clock)."""
    for line in sorted(lines):
        await records.count(work, line)


async def recipients(work: Work) -> list[Declared]:
    """Every recipient at every destination ever declared, providers first."""
    return [
        Declared(
            name=row[0],
            host=row[1],
            port=row[2],
            role=row[3],
            who=row[4],
            categories=tuple(row[5]),
            purposes=tuple(row[6]),
            place=row[7],
            safeguard=row[8],
            source=row[9],
            trains=row[10],
            retention_days=row[11],
            zero_retention=row[12],
            mechanism=row[13],
            certified_on=row[14],
            first_at=row[15],
            last_at=row[16],
        )
        for row in await records.recipients(work)
    ]


async def counts(work: Work, today: date, days: int) -> list[Count]:
    """The counts of ``today`` and the ``days`` - 1 days before it, newest day first."""
    return [
        Count(day=day, recipient=recipient, host=host, category=category, sends=sends)
        for day, recipient, host, category, sends in await records.days(work, today - timedelta(days=days - 1))
    ]


async def strangers(work: Work, today: date, days: int) -> dict[str, int]:
    """Host -> how often: what was asked for or reached in these days and no declaration names."""
    return dict(await records.strangers(work, today - timedelta(days=days - 1)))
