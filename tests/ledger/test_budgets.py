"""Budgets: accounts that cannot be overdrawn, by period, together with the balance, across processes."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from books import Books
from ruxa.kernel import ids
from ruxa.kernel.errors import InsufficientCredit
from ruxa.ledger import accounts, budgets


async def test_the_first_empty_one_answers(books: Books) -> None:
    ref = await books.organisation(live=10_000)
    key = ids.fresh()
    async with books.console.work() as work:
        await budgets.put(work, "key", key, ref, limit_micros=1000, period="day")
    lent = books.leases()
    with pytest.raises(InsufficientCredit) as budget:
        await lent.reserve(ref, "live", key.hex, 1001)
    assert budget.value.code == "key_budget_exceeded"
    with pytest.raises(InsufficientCredit) as balance:
        await lent.reserve(ref, "live", key.hex, 10_001)
    assert balance.value.code == "insufficient_credits"
    taken = await lent.reserve(ref, "live", key.hex, 1000)
    row = books.row(ref, taken.lease_id, 600)
    taken.settle(600)
    await books.flush([row])
    lent.flushed([row])
    assert await lent.drain(5)
    async with books.console.work() as work:
        state = await budgets.state(work, "key", key)
    assert state is not None
    assert (state.limit_micros, state.used_micros, state.held_micros) == (1000, 600, 0)
    await books.prove()


async def test_a_key_said_to_have_a_budget_and_having_none_may_not_spend(books: Books) -> None:
    ref = await books.organisation(live=10_000)
    stranger = await books.organisation(live=10_000)
    key = ids.fresh()
    with pytest.raises(InsufficientCredit) as refused:
        await books.leases().reserve(ref, "live", key.hex, 1)
    assert refused.value.code == "key_budget_exceeded"
    async with books.console.work() as work:
        await budgets.put(work, "key", key, stranger, limit_micros=1000, period="day")
    with pytest.raises(InsufficientCredit):
        await books.leases().reserve(ref, "live", key.hex, 1)


async def test_an_organisations_budget_binds_every_key(books: Books) -> None:
    ref = await books.organisation(live=10_000)
    async with books.console.work() as work:
        await budgets.put(work, "organisation", ref, ref, limit_micros=100, period="total")
    lent = books.leases()
    with pytest.raises(InsufficientCredit) as refused:
        await lent.reserve(ref, "live", None, 101)
    assert refused.value.code == "organisation_budget_exceeded"
    (await lent.reserve(ref, "live", None, 100)).release()


async def test_raising_lowering_lifting(books: Books) -> None:
    ref = await books.organisation(live=1_000_000)
    key = ids.fresh()

    async def limit(micros: int | None) -> None:
        async with books.console.work() as work:
            await budgets.put(work, "key", key, ref, limit_micros=micros, period="month")

    async def can(hold: int) -> bool:
        lent = books.leases()
        try:
            (await lent.reserve(ref, "live", key.hex, hold)).release()
        except InsufficientCredit:
            return False
        finally:
            assert await lent.drain(5)
        return True

    await limit(100)
    assert not await can(101)
    await limit(500)
    assert await can(500)
    assert not await can(501)
    await limit(50)
    assert not await can(51)
    assert await can(50)
    await limit(200)
    assert await can(200)
    assert not await can(201)
    await limit(None)
    assert await can(100_000)
    await books.prove()


async def test_a_period_starts_afresh_at_midnight_utc(books: Books) -> None:
    ref = await books.organisation(live=1_000_000)
    key = ids.fresh()
    async with books.console.work() as work:
        await budgets.put(work, "key", key, ref, limit_micros=100, period="day")
    lent = books.leases()
    taken = await lent.reserve(ref, "live", key.hex, 100)
    row = books.row(ref, taken.lease_id, 100)
    taken.settle(100)
    await books.flush([row])
    lent.flushed([row])
    assert await lent.drain(5)
    with pytest.raises(InsufficientCredit):
        await books.leases().reserve(ref, "live", key.hex, 1)
    await books.later(86_400)
    (await books.leases().reserve(ref, "live", key.hex, 100)).release()
    await books.prove()


async def test_two_workers_cannot_overspend_one_budget(books: Books) -> None:
    ref = await books.organisation(live=10_000_000)
    key = ids.fresh()
    async with books.console.work() as work:
        await budgets.put(work, "key", key, ref, limit_micros=20_000, period="total")
    workers = [books.leases(worker=f"w{number}", workers=2) for number in range(2)]
    tasks = [asyncio.create_task(lent.run()) for lent in workers]
    spent = 0
    refusals: set[str] = set()

    async def spend(index: int) -> None:
        nonlocal spent
        lent = workers[index % 2]
        for _ in range(100):
            try:
                taken = lent.draw(ref, "live", key.hex, 300) or await lent.reserve(ref, "live", key.hex, 300)
            except InsufficientCredit as refused:
                refusals.add(refused.code)
                return
            row = books.row(ref, taken.lease_id, 170)
            taken.settle(170)
            spent += 170
            await books.flush([row])
            lent.flushed([row])

    await asyncio.gather(*map(spend, range(4)))
    for lent in workers:
        assert await lent.drain(5)
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert 18_000 < spent <= 20_000
    assert refusals == {"key_budget_exceeded"}
    async with books.console.work() as work:
        state = await budgets.state(work, "key", key)
    assert state is not None
    assert (state.used_micros, state.held_micros) == (spent, 0)
    assert await books.balance(ref) == accounts.Balance(10_000_000 - spent, 0, 0)
    await books.prove()


async def test_late_charges_count_on_the_budget_as_far_as_it_reaches(books: Books) -> None:
    ref = await books.organisation(live=10_000)
    key = ids.fresh()
    async with books.console.work() as work:
        await budgets.put(work, "key", key, ref, limit_micros=1000, period="total")
    lent = books.leases()
    taken = await lent.reserve(ref, "live", key.hex, 800)
    lease = taken.lease_id
    assert lease is not None
    await books.close(lease)
    other = await books.leases().reserve(ref, "live", key.hex, 700)
    await books.flush([books.row(ref, lease, 800)])
    async with books.console.work() as work:
        state = await budgets.state(work, "key", key)
    assert state is not None
    assert (state.used_micros, state.held_micros) == (300, 700)
    assert (await books.balance(ref)).balance_micros == 9200
    other.release()
    await books.prove()
