"""Top-ups: credit comes into being once for its origin, and lots go in their order."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from books import Books
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Conflict
from ruxa.ledger import accounts, jobs, statements, topups


async def test_the_same_credit_twice_is_one(books: Books) -> None:
    ref = uuid4()
    lot = ids.fresh()
    for _ in range(3):
        async with books.operator.work("member:tester") as work:
            assert await topups.credit(work, ref, 500, lot_id=lot) == lot
    with pytest.raises(Conflict) as other:
        async with books.operator.work() as work:
            await topups.credit(work, ref, 501, lot_id=lot)
    assert other.value.code == "RX005"
    assert await books.balance(ref) == accounts.Balance(500, 0, 0)
    async with books.operator.work() as work:
        (line,) = await statements.lines(work, ref)
        made_by = await work.value("SELECT made_by FROM ledger.lot_line WHERE id = %s", lot)
    assert (line.code, line.debit, line.amount_micros, line.lot_id) == ("credit", "asset:operator_credit", 500, lot)
    assert made_by == "member:tester"
    await books.prove()


async def test_a_trial_is_once_an_organisation(books: Books) -> None:
    ref = uuid4()
    end = Clock().now() + timedelta(days=30)
    for _ in range(2):
        async with books.console.work() as work:
            await topups.trial(work, ref, 1000, expires_at=end)
    async with books.console.work() as work:
        (lot,) = await accounts.lots(work, ref)
    assert (lot.category, lot.granted_micros, lot.expires_at) == ("promo", 1000, end)


@pytest.mark.parametrize("amount", [0, -5, topups.CREDIT_MICROS_MAX + 1])
async def test_amounts_out_of_range_are_refused(books: Books, amount: int) -> None:
    with pytest.raises(Conflict) as refused:
        async with books.operator.work() as work:
            await topups.credit(work, uuid4(), amount)
    assert refused.value.code == "amount_out_of_range"


async def test_sandbox_and_live_money_never_mix(books: Books) -> None:
    ref = await books.organisation(live=100, sandbox=900)
    live = await books.lend(ref, 100, "live")
    sandbox = await books.lend(ref, 900, "sandbox")
    await books.flush([books.row(ref, live, 10), books.row(ref, sandbox, 20, "sandbox")])
    await books.close(live)
    await books.close(sandbox)
    assert await books.balance(ref, "live") == accounts.Balance(90, 0, 0)
    assert await books.balance(ref, "sandbox") == accounts.Balance(880, 0, 0)
    await books.prove()


async def test_lots_go_by_priority_then_end_then_promo_then_age(books: Books) -> None:
    ref = uuid4()
    now = Clock().now()
    wanted = []
    async with books.operator.work() as work:
        for name, priority, days, category in (
            ("5 last", 100, None, "paid"),
            ("2 sooner", 50, 10, "paid"),
            ("3 later", 50, 20, "paid"),
            ("4 promo before paid", 100, None, "promo"),
            ("1 first priority", 1, None, "paid"),
        ):
            lot = await topups.grant(
                work,
                ref,
                10,
                scope="live",
                category=category,
                priority=priority,
                origin=f"{ref}:{name}",
                expires_at=None if days is None else now + timedelta(days=days),
            )
            wanted.append((name, lot))
    wanted.sort()
    async with books.console.work() as work:
        assert [lot.id for lot in await accounts.lots(work, ref)] == [lot for _, lot in wanted]
    lease = await books.lend(ref, 45)
    await books.flush([books.row(ref, lease, 25)])
    await books.close(lease)
    async with books.console.work() as work:
        left = {lot.id: lot.left_micros for lot in await accounts.lots(work, ref)}
    assert [left[lot] for _, lot in wanted] == [0, 0, 5, 10, 10]
    await books.prove()


async def test_a_lot_that_ends_is_emptied_and_a_lease_ends_before_it(books: Books) -> None:
    ref = uuid4()
    now = Clock().now()
    async with books.operator.work() as work:
        for category, seconds in (("paid", 20), ("promo", 21)):
            await topups.grant(
                work, ref, 100, scope="live", category=category, priority=10, origin=f"{ref}:{category}",
                expires_at=now + timedelta(seconds=seconds),
            )  # fmt: skip
        await topups.credit(work, ref, 1000)
    lease = await books.lend(ref, 150)
    async with books.admin() as admin:
        row = await (
            await admin.execute("SELECT expires_at - opened_at FROM ledger.lease WHERE id = %s", [lease])
        ).fetchone()
    assert row is not None
    assert row[0] < timedelta(seconds=20)
    await books.flush([books.row(ref, lease, 30)])
    await books.close(lease)
    await books.later(25)
    assert await jobs.lots(books.worker) == 170
    assert await jobs.lots(books.worker) == 0
    assert await books.balance(ref) == accounts.Balance(1000, 0, 0)
    async with books.operator.work() as work:
        found = {account.code: account for account in await accounts.every(work)}
    assert found["revenue:breakage"].credits_posted == 70
    assert found["expense:promo"].credits_posted == 100
    await books.later(2 * 3600)
    await books.prove()
