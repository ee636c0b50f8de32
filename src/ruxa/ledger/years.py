"""Years that are over: seven years after a fiscal year its transfers go, and every proof is right before and after.

What remains is each account's sum, the chain's hashes and that the year was ended; what went on in a later year goes
with that one (51_year.sql).
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from ruxa.kernel.errors import Conflict
from ruxa.ledger import proofs, records
from ruxa.ledger.evidence import HeldRow
from ruxa.ledger.leases import Works
from ruxa.store.work import Work

_ROWS: Final = 500


async def over(work: Work, fiscal_month: int) -> list[int]:
    """Calendar years of which there are transfers and whose time is over, oldest first.

    fiscal_month: in which a fiscal year begins; its end is so much later than the calendar's.
    """
    return [year for (year,) in await work.rows(records.YEARS_OVER, fiscal_month)]


async def rows(work: Work, year: int, organisations: list[UUID], after: UUID | None) -> list[HeldRow]:
    """Up to 500 of the transfers of these organisations that go with the year, by id, from above ``after``."""
    return [HeldRow(*row) for row in await work.rows(records.YEAR_ROWS, year, organisations, after, _ROWS)]


async def end(works: Works, year: int, fiscal_month: int) -> int:
    """Ends the oldest year, without making anybody wait; how many transfers went. Again: 0.

    Raises Conflict: ``RX053`` before its time, ``RX051`` while an older one is there, ``RX054`` while money of it is
    pending or not sealed, ``ledger_proofs`` when a proof is wrong, before or after; then nothing has happened.
    """
    async with works.work("retention") as work:
        # Once a year, over a year of any size: bounded by the job, not by the statement.
        await work.run("SET LOCAL statement_timeout = 0")
        await _proved(work)
        gone: int = await work.value(records.YEAR_END, year, fiscal_month)
        await _proved(work)
        return gone


async def drop(works: Works, year: int) -> None:
    """Drops the empty room of a year that was ended. Raises Unavailable ``database_busy``: try again."""
    async with works.work("retention") as work:
        await work.run(records.YEAR_DROP, year)


async def _proved(work: Work) -> None:
    wrong = [proof.name for proof in await proofs.check(work) if not proof.ok]
    if wrong:
        raise Conflict("The books do not prove themselves.", code="ledger_proofs", detail="; ".join(wrong))
