"""The daily comparison, for the worker to schedule: every processor's books up to yesterday, and yesterday's calls."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Protocol

from ruxa.egress.processor import Entry
from ruxa.kernel.errors import RuxaError
from ruxa.kernel.signals import Sink
from ruxa.ledger.leases import Works
from ruxa.ledger.reconciliation import differences, records
from ruxa.ledger.reconciliation.differences import Ran, Scope

# A processor that was away for longer is asked for the days before by hand (``ruxa reconcile run``).
DAYS_BACK = 7


class Books(Protocol):
    """Who reads processors' books (``ledger/collection.py``)."""

    def reporting(self) -> list[str]:
        """The names of the processors that have books."""
        ...

    async def report(self, name: str, day: date) -> list[Entry]:
        """The books of a day."""
        ...


async def run(works: Works, books: Books, scopes: Mapping[str, Scope], sink: Sink) -> int:
    """Compares every day up to yesterday that was not compared yet; how many differences are open.

    scopes: processor -> whose money it moves. A processor that can't be asked keeps no other from its turn.
    """
    async with works.work("reconciliation") as work:
        today: date = await work.value(records.TODAY)
        await differences.upstream(work, today - timedelta(days=1))
    for name in books.reporting():
        scope = scopes[name]
        async with works.work("reconciliation") as work:
            last = await differences.last_day(work, name, scope)
        day = max(last + timedelta(days=1) if last else today - timedelta(days=1), today - timedelta(days=DAYS_BACK))
        try:
            while day < today:
                await of_day(works, books, name, day, scope)
                day += timedelta(days=1)
        except RuxaError as fault:
            if fault.code.startswith("database_"):
                raise
            sink.emit("payment.failed", "warning", provider=name, kind="report", code=fault.code)
    async with works.work("reconciliation") as work:
        found = await differences.listed(work, limit=1000)
    for name in sorted({one.processor for one in found}):
        count = sum(one.processor == name for one in found)
        sink.emit("reconciliation.differs", "warning", provider=name, kind="open", count=count)
    return len(found)


async def of_day(works: Works, books: Books, name: str, day: date, scope: Scope) -> Ran:
    """Compares one day of one processor. Raises as the processor."""
    entries = await books.report(name, day)
    async with works.work("reconciliation") as work:
        return await differences.run(work, name, day, entries, scope=scope)
