"""Statements equal the ledger to the micro; exports of any size stream in the memory of a page."""

from __future__ import annotations

import csv
import io
import random
import tracemalloc
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import psycopg
import pytest

from books import Books
from fixtures_database import Database
from ruxa.console import words
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict
from ruxa.kernel.money import usd
from ruxa.kernel.settings import Settings
from ruxa.ledger import topups
from ruxa.ledger.documents import document, export, monthly, printed, profile, seller
from ruxa.ledger.documents.monthly import KINDS, Statement
from ruxa.store import instance

if TYPE_CHECKING:
    from conftest import Sizes

TERMS = seller.terms(Settings())
DAY_S = 86_400


@pytest.fixture
async def books(database: Database) -> Books:
    """An empty ledger whose clock can be moved."""
    instance.settle(database.url("ruxa_owner"), id=ids.fresh(), mode="demo", simulated=True)
    return await Books.open(database)


class Time:
    """Moves the books' clock to instants of the future."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self.now = datetime.now(UTC)

    async def to(self, moment: datetime) -> None:
        instance.move_clock(self._books.database.url("ruxa_owner"), int((moment - datetime.now(UTC)).total_seconds()))
        self.now = moment
        async with self._books.worker.work() as work:
            await work.value("SELECT ledger.partitions_ahead(2)")

    def id(self) -> UUID:
        return ids.at(int(self.now.timestamp() * 1000))


async def spend(books: Books, time: Time, ref: UUID, amounts: list[int], *, close: bool = True) -> UUID:
    """Calls of now on a lease of their own."""
    lease = await books.lend(ref, sum(amounts))
    at_ms = int(time.now.timestamp() * 1000)
    rows = [books.row(ref, lease, amount, id=time.id(), at_ms=at_ms) for amount in amounts]
    assert (await books.flush(rows)).refused == ()
    if close:
        await books.close(lease)
    return lease


def adds_up(statement: Statement) -> None:
    moved = statement.sum_of(*(kind for kind in KINDS if kind not in ("opening", "closing")))
    assert statement.opening_micros + moved == statement.closing_micros


async def posted(books: Books, ref: UUID) -> int:
    """What is on the organisation's lots, less its debt, as the accounts' counters have it."""
    async with books.operator.work() as work:
        found: int = await work.value(
            "SELECT coalesce(sum(a.credits_posted - a.debits_posted), 0)::bigint FROM ledger.account_balance AS a"
            " WHERE a.organisation_ref = %s AND a.unit = 'usd_micros'",
            ref,
        )
        return found


async def test_three_months_chain_and_equal_the_ledger(books: Books) -> None:
    time, chance = Time(books), random.Random(7)
    first = monthly.next_month(time.now.date().replace(day=1))
    months = [first, monthly.next_month(first), monthly.next_month(monthly.next_month(first))]
    ref, other = await books.organisation(), await books.organisation(live=10_000_000)
    for month in months:
        for day in (0, 13):
            await time.to(datetime(month.year, month.month, 1, 12, tzinfo=UTC) + timedelta(days=day))
            async with books.operator.work() as work:
                await topups.credit(work, ref, 1_000_000 + chance.randrange(1000))
                ends = time.now + timedelta(days=3)
                await topups.grant(
                    work,
                    ref,
                    5_000,
                    scope="live",
                    category="promo",
                    priority=50,
                    origin=f"t:{uuid4()}",
                    expires_at=ends,
                )
            await spend(books, time, ref, [chance.randrange(1, 2000) for _ in range(5)])
            await spend(books, time, other, [7])
            await time.to(time.now + timedelta(days=5))
            async with books.worker.work() as work:
                for (lot,) in await work.rows("SELECT ledger.lots_expired(10)"):
                    await work.value("SELECT ledger.lot_expire(%s)", lot)
    # A lease that is open when the last month ends is settled in the next.
    last_second = datetime.combine(monthly.next_month(months[-1]), datetime.min.time(), UTC) - timedelta(seconds=20)
    await time.to(last_second)
    open_lease = await spend(books, time, ref, [333], close=False)
    after = monthly.next_month(months[-1])
    await time.to(last_second + timedelta(hours=2))
    await books.close(open_lease)
    async with books.console.work() as work:
        found = [await monthly.of_month(work, ref, month) for month in [*months, after]]
    for earlier, later in pairwise(found):
        assert earlier.closing_micros == later.opening_micros
    for statement in found:
        adds_up(statement)
        assert [line.kind for line in statement.lines] == sorted(
            (line.kind for line in statement.lines), key=KINDS.index
        )
    assert found[0].opening_micros == 0
    assert found[-1].closing_micros == await posted(books, ref)
    assert found[2].sum_of("carried") == 333
    assert found[3].sum_of("carried") == -333
    calls = [line for line in found[0].lines if line.kind == "call"]
    assert [(line.label, line.quantity) for line in calls] == [("openai/test", 10)]
    assert found[0].sum_of("expiry") < 0

    # As numbered documents: of those whose money moved, once.
    vault = await books.database.vault()
    async with books.console.work() as work:
        with pytest.raises(Conflict) as told:
            await monthly.issue_for(work, vault, TERMS, ref, after)
        assert told.value.code == "month_not_over"
        one = await document.find(work, await monthly.issue_for(work, vault, TERMS, ref, months[0]))
        assert await monthly.issue_for(work, vault, TERMS, ref, months[0]) == one.id
        lines = await document.lines(work, one.id)
        assert tuple(lines) == found[0].lines
        page = printed.page(one, lines, (), None, words.Library().words("en"))
    assert (one.kind, one.gross_micros, one.period_from) == ("statement", found[0].closing_micros, months[0])
    assert page.rows[0].text == "Opening balance"
    assert page.rows[-1].amount == printed.amount(found[0].closing_micros, exact=True)
    # Organisations that are in nobody's books have no statement of their own.
    assert await monthly.issue_due(books.worker, vault, TERMS) == 0
    for one_ref in (ref, other):
        await _join(books, one_ref)
    assert await monthly.issue_due(books.worker, vault, TERMS) == 2
    assert await monthly.issue_due(books.worker, vault, TERMS) == 0


async def test_beyond_the_usage_limit_the_models_come_from_the_evidence(books: Books) -> None:
    time = Time(books)
    month = monthly.next_month(time.now.date().replace(day=1))
    await time.to(datetime(month.year, month.month, 3, tzinfo=UTC))
    ref = await books.organisation(live=1_000_000)
    await spend(books, time, ref, [11, 22, 33])
    async with books.console.work() as work:
        before = await monthly.of_month(work, ref, month)
    await time.to(time.now + timedelta(days=90))
    async with books.worker.work() as work:
        for day, _ in await work.rows("SELECT day, state FROM ledger.usage_days_present()"):
            if day < (time.now - timedelta(days=84)).date():
                await work.value("SELECT ledger.evidence_prepare(%s)", day)
                await work.value("SELECT ledger.day_reduce(%s)", day)
        assert await work.value("SELECT count(*) FROM ledger.billing_evidence") == 1
    async with books.console.work() as work:
        assert await monthly.of_month(work, ref, month) == before
    assert before.sum_of("call") == -66


async def test_debts_are_in_the_balance(books: Books) -> None:
    time = Time(books)
    ref = await books.organisation(live=100)
    lease = await books.lend(ref, 100)
    await books.flush([books.row(ref, lease, 100)])
    await books.close(lease)
    await books.flush([books.row(ref, lease, 60)])
    async with books.console.work() as work:
        statement = await monthly.of_days(
            work, ref, time.now.date() - timedelta(days=1), time.now.date() + timedelta(days=1)
        )
    adds_up(statement)
    assert statement.closing_micros == await posted(books, ref) <= 0


async def test_exports_say_every_line_once_whatever_the_page(books: Books) -> None:
    time = Time(books)
    ref = await books.organisation(live=1_000_000)
    await spend(books, time, ref, list(range(1, 30)))
    since, until = time.now - timedelta(days=1), time.now + timedelta(days=1)
    whole = b"".join([piece async for piece in export.ledger_lines(books.console, ref, since, until)])
    paged = b"".join([piece async for piece in export.ledger_lines(books.console, ref, since, until, page=2)])
    assert whole == paged
    rows = list(csv.DictReader(io.StringIO(whole.decode())))
    async with books.console.work() as work:
        count = await work.value("SELECT count(*) FROM ledger.statement_line WHERE organisation_ref = %s", ref)
    assert len(rows) == count == len({row["id"] for row in rows})
    calls = b"".join([piece async for piece in export.calls(books.console, ref, since, until, page=10)])
    found = list(csv.DictReader(io.StringIO(calls.decode())))
    assert sum(int(row["amount_usd"].replace(".", "")) for row in found) == sum(range(1, 30))
    assert sorted(row["amount_usd"] for row in found) == sorted(usd(micros) for micros in range(1, 30))
    nothing = [piece async for piece in export.calls(books.console, uuid4(), since, until)]
    assert nothing == [export.table([export.CALL_COLUMNS])]


async def test_an_export_of_many_lines_takes_the_memory_of_a_page(books: Books, sizes: Sizes) -> None:
    """Ten times the lines are no more memory; a million in the long stage."""
    count = sizes["export_lines"]
    ref = await books.organisation(live=1)
    async with await _admin(books) as admin:
        await admin.execute(
            """
            INSERT INTO ledger.transfer (id, state, debit_id, credit_id, amount_micros, code, organisation_ref, scope)
            SELECT ledger.derived_id(ruxa.now(), 'many ' || n), 'posted', ledger.account_id('expense:promo'),
                ledger.account_id('revenue:usage:live'), 1, 'usage', %s, 'live'
            FROM generate_series(1, %s) AS n
            """,
            [ref, count],
        )
    now = datetime.now(UTC)

    async def peak() -> tuple[int, int]:
        lines = 0
        tracemalloc.start()
        async for piece in export.ledger_lines(books.console, ref, now - timedelta(days=1), now + timedelta(days=1)):
            lines += piece.count(b"\n")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return lines, most

    lines, most = await peak()
    assert lines == count + 2
    assert most < 8 << 20, most


async def _admin(books: Books) -> psycopg.AsyncConnection[tuple[object, ...]]:
    return await psycopg.AsyncConnection.connect(books.database.admin_url, autocommit=True)


async def _join(books: Books, ref: UUID) -> None:
    """Makes a reference that of an organisation."""
    async with await _admin(books) as admin:
        await admin.execute(
            "INSERT INTO access.organisation (id, organisation_ref, name_sealed) VALUES (%s, %s, 'x')", [uuid4(), ref]
        )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("@x", "'@x"),
        ("-1.5", "-1.5"),
        ("-cmd", "'-cmd"),
        ("+1", "'+1"),
        ("a", "a"),
        (None, ""),
        (7, "7"),
    ],
)
def test_nothing_in_a_table_is_a_formula(value: object, shown: str) -> None:
    assert export.cell(value) == shown


def test_months_follow_each_other() -> None:
    assert monthly.next_month(date(2026, 12, 1)) == date(2027, 1, 1)
    assert monthly.next_month(date(2026, 2, 1)) == date(2026, 3, 1)
    assert profile.checked("A").language == "en"
