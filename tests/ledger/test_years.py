"""Years that are over: transfers gone, every account's balance and every proof as before; never a day too early."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from books import Books
from payment_books import desk_of
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict
from ruxa.ledger import budgets, evidence, jobs, years
from ruxa.ledger.payments import corrections, orders

DAY_S = 86_400


class Decade:
    """The test's clock, by dates."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.began = datetime.now(UTC)

    async def to(self, moment: datetime) -> None:
        """That moment or a little later, never before it."""
        await self.books.later(math.ceil((moment - self.began).total_seconds()))

    async def sealed(self) -> None:
        """Everything there is by now, ten minutes later, under a seal."""
        await self.books.later(int(await self.now()) + 600)
        await jobs.seals(self.books.worker)

    async def now(self) -> float:
        (row,) = await self.rows("SELECT extract(epoch FROM ruxa.now() - clock_timestamp())")
        return float(row[0])

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        async with self.books.admin() as admin:
            cursor = await admin.execute(statement.encode())
            return await cursor.fetchall() if cursor.description else []

    async def balances(self) -> list[tuple[Any, ...]]:
        return await self.rows(
            "SELECT code, debits_posted - credits_posted FROM ledger.account_balance"
            " WHERE unit = 'usd_micros' AND debits_posted <> credits_posted ORDER BY code"
        )


@pytest.fixture
async def decade(books: Books) -> Decade:
    return Decade(books)


async def _spent(decade: Decade, ref: UUID, amount: int, lease: UUID | None = None, *, lend: int = 0) -> UUID:
    books = decade.books
    lease = lease or await books.lend(ref, max(amount, lend))
    if amount:
        at_ms = int((datetime.now(UTC).timestamp() + await decade.now()) * 1000)
        row = books.row(ref, lease, amount, id=ids.at(at_ms), at_ms=at_ms)
        assert (await books.flush([row])).refused == ()
    await books.close(lease)
    return lease


async def _reduced(decade: Decade) -> None:
    """Charges as they are after 83 days: evidence."""
    async with decade.books.worker.work() as work:
        days = [one.day for one in await evidence.days(work)]
    for day in days:
        await evidence.reduce(decade.books.worker, day)


async def test_a_year_goes_and_nothing_changes_but_its_rows(decade: Decade) -> None:
    books, year = decade.books, decade.began.year
    ref, empty = await books.organisation(live=1_000), await books.organisation(live=50)
    async with books.operator.work() as work:
        await budgets.put(work, "organisation", ref, ref, limit_micros=500, period="day")
    gone = await _spent(decade, ref, 300, lend=305)
    await _spent(decade, empty, 50)
    # A lease that is open over the year's end goes with the next year.
    over_midnight = await books.lend(ref, 100, ttl_s=DAY_S * 900)
    await decade.sealed()
    await decade.to(datetime(year + 1, 1, 2, tzinfo=UTC))
    await _spent(decade, ref, 30, over_midnight)
    await _spent(decade, ref, 7)
    await decade.sealed()
    await books.prove()
    over = datetime(year + 8, 1, 1, tzinfo=UTC)
    await decade.to(over - timedelta(days=1))
    await _reduced(decade)
    before, wallet = await decade.balances(), await books.balance(ref)
    assert await _years(decade, 1) == []
    with pytest.raises(Conflict) as caught:
        await years.end(books.worker, year, 1)
    assert caught.value.code == "RX053"
    with pytest.raises(psycopg.Error) as refused:
        await decade.rows("DELETE FROM ledger.transfer RETURNING id")
    assert refused.value.sqlstate == "RX900"

    await decade.to(over)
    # A fiscal year that begins in March ends two months later; the 29th of February is still in it.
    assert await _years(decade, 3) == []
    assert await _years(decade, 1) == [year]
    async with books.admin() as admin:
        await admin.execute("UPDATE ledger.lease SET extra_micros = 1 WHERE id = %s", [gone])
    moves = await decade.rows("SELECT count(*) FROM ledger.transfer")
    with pytest.raises(Conflict) as caught:
        await years.end(books.worker, year, 1)
    assert caught.value.code == "ledger_proofs"
    assert await decade.rows("SELECT count(*) FROM ledger.transfer") == moves
    async with books.admin() as admin:
        await admin.execute("UPDATE ledger.lease SET extra_micros = 0 WHERE id = %s", [gone])
    assert await years.end(books.worker, year, 1) > 0
    assert await years.end(books.worker, year, 1) == 0
    await years.drop(books.worker, year)
    await years.drop(books.worker, year)
    assert await _years(decade, 1) == []
    await books.prove()
    assert (await decade.balances(), await books.balance(ref)) == (before, wallet)
    leases = await decade.rows("SELECT id FROM ledger.lease")
    assert (gone,) not in leases
    assert (over_midnight,) in leases
    assert await decade.rows("SELECT DISTINCT ref FROM ledger.kept_transfer") == [(over_midnight,)]
    assert await decade.rows(f"SELECT count(*) FROM ledger.lot WHERE organisation_ref = '{empty}'") == [(0,)]
    assert await decade.rows(f"SELECT count(*) FROM ledger.account WHERE organisation_ref = '{empty}'") == [(0,)]
    assert await decade.rows(f"SELECT count(*) FROM ledger.billing_evidence WHERE month < '{year + 1}-01-01'") == [(0,)]
    assert await decade.rows("SELECT count(*) FROM ledger.opening_usage") == [(0,)]
    # What is left is spent like ever, and money that is changed now shows.
    await _spent(decade, ref, 20)
    await books.prove()
    async with books.admin() as admin:
        await admin.execute("UPDATE ledger.opening SET cr_posted = cr_posted + 1"
                            " WHERE account_id = ledger.account_id('revenue:usage:live')")  # fmt: skip
    assert not (await books.proofs())["I8"].ok
    async with books.admin() as admin:
        await admin.execute("UPDATE ledger.opening SET cr_posted = cr_posted - 1"
                            " WHERE account_id = ledger.account_id('revenue:usage:live')")  # fmt: skip

    await decade.sealed()
    await decade.to(datetime(year + 9, 3, 1, tzinfo=UTC))
    await _reduced(decade)
    before = await decade.balances()
    assert await _years(decade, 3) == [year + 1]
    await years.end(books.worker, year + 1, 3)
    await years.drop(books.worker, year + 1)
    await books.prove()
    assert await decade.balances() == before
    assert await decade.rows("SELECT count(*) FROM ledger.kept_transfer") == [(0,)]
    assert (over_midnight,) not in await decade.rows("SELECT id FROM ledger.lease")
    left = await decade.rows(
        "SELECT left(split_part(code, ':', 4), 4)::int FROM ledger.account WHERE code LIKE 'budget:org%'"
    )
    assert left == [(year + 8,)], "budgets of days that are gone are gone"
    assert await decade.rows("SELECT year FROM ledger.year_ended ORDER BY year") == [(year,), (year + 1,)]


async def _years(decade: Decade, month: int) -> list[int]:
    async with decade.books.worker.work() as work:
        return await years.over(work, month)


async def test_payments_go_with_the_year_in_which_they_ended(decade: Decade) -> None:
    books, year = decade.books, decade.began.year
    desk = await desk_of(books)
    first = await desk.order(10_000_000, tax=1_900_000)
    await desk.capture(first, fee=65)
    await desk.ask(first, 5_950_000)
    [due] = await desk.refunds_due()
    assert (await desk.sent(due, "re_1")).outcome == "posted"
    second = await desk.order(20_000_000)
    await desk.capture(second, ext_id="ch_2", fee=10)
    assert (await desk.note(desk.fact("payout", "po_1", 900, "succeeded"))).outcome == "posted"
    third = await desk.order(7_000_000)
    async with books.console.work() as work:
        await orders.close(work, third.id, "canceled")
    async with books.operator.work() as work:
        assert await corrections.credit(work, desk.ref, 5_000, by="s:1") is not None
    await decade.sealed()
    # What a customer gets back a year later keeps the payment for that year.
    await decade.to(datetime(year + 1, 2, 3, tzinfo=UTC))
    assert (await desk.refund(second, 1000, "re_2", parent="ch_2")).outcome == "posted"
    await decade.sealed()
    await decade.to(datetime(year + 8, 1, 1, tzinfo=UTC))
    await books.prove()
    before = await decade.balances()
    await years.end(books.worker, year, 1)
    await years.drop(books.worker, year)
    await books.prove()
    assert await decade.balances() == before
    assert await decade.rows("SELECT id FROM payment.orders") == [(second.id,)]
    assert await decade.rows("SELECT ext_id FROM payment.fact ORDER BY 1") == [("ch_2",), ("re_2",)]
    assert await decade.rows("SELECT (SELECT count(*) FROM payment.refund) + (SELECT count(*) FROM payment.wish)") == [
        (0,)
    ]
    assert (await desk.find(second)).state == "paid"
    await decade.to(datetime(year + 9, 1, 1, tzinfo=UTC))
    await years.end(books.worker, year + 1, 1)
    await books.prove()
    assert await decade.balances() == before
    assert await decade.rows("SELECT (SELECT count(*) FROM payment.fact) + (SELECT count(*) FROM payment.orders)"
                             " + (SELECT count(*) FROM ledger.movement)") == [(0,)]  # fmt: skip
    # What a processor says again of what is gone finds nothing to credit.
    assert (await desk.capture(first)).outcome == "quarantined"
