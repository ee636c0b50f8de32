"""Holds: money kept for one long task, settled once, released when its time is over."""

from __future__ import annotations

import pytest

from books import Books
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict, InsufficientCredit
from ruxa.ledger import accounts, budgets, holds, jobs


async def test_place_and_settle_once(books: Books) -> None:
    ref = await books.organisation(live=1000)
    hold = ids.fresh()
    for _ in range(2):
        async with books.gateway.work() as work:
            await holds.place(work, hold, ref, "live", 600, ttl_s=60)
    assert await books.balance(ref) == accounts.Balance(1000, 600, 0)
    with pytest.raises(InsufficientCredit):
        async with books.gateway.work() as work:
            await holds.place(work, ids.fresh(), ref, "live", 401, ttl_s=60)
    with pytest.raises(Conflict) as more:
        async with books.gateway.work() as work:
            await holds.settle(work, hold, 601)
    assert more.value.code == "RX007"
    async with books.worker.work() as work:
        assert await holds.settle(work, hold, 450) is True
        assert await holds.settle(work, hold, 450) is False
    with pytest.raises(Conflict) as other:
        async with books.gateway.work() as work:
            await holds.settle(work, hold, 449)
    assert other.value.code == "RX024"
    with pytest.raises(Conflict) as over:
        async with books.gateway.work() as work:
            await holds.place(work, hold, ref, "live", 600, ttl_s=60)
    assert over.value.code == "hold_over"
    assert await books.balance(ref) == accounts.Balance(550, 0, 0)
    await books.prove()


async def test_release_and_expire(books: Books) -> None:
    ref = await books.organisation(live=1000)
    released, forgotten = ids.fresh(), ids.fresh()
    async with books.gateway.work() as work:
        await holds.place(work, released, ref, "live", 300, ttl_s=60)
        await holds.place(work, forgotten, ref, "live", 300, ttl_s=60)
        assert await holds.release(work, released) is True
    await books.later(61)
    assert await jobs.janitor(books.worker) == 1
    assert await books.balance(ref) == accounts.Balance(1000, 0, 0)
    with pytest.raises(Conflict):
        async with books.gateway.work() as work:
            await holds.settle(work, forgotten, 10)
    with pytest.raises(Conflict) as unknown:
        async with books.gateway.work() as work:
            await holds.settle(work, ids.fresh(), 10)
    assert unknown.value.code == "RX006"
    await books.prove()


async def test_a_hold_draws_on_the_budget_too(books: Books) -> None:
    ref = await books.organisation(live=1000)
    key = ids.fresh()
    async with books.console.work() as work:
        await budgets.put(work, "key", key, ref, limit_micros=500, period="total")
    with pytest.raises(InsufficientCredit) as refused:
        async with books.gateway.work() as work:
            await holds.place(work, ids.fresh(), ref, "live", 501, ttl_s=60, budget_scopes=[key.hex])
    assert refused.value.code == "key_budget_exceeded"
    hold = ids.fresh()
    async with books.gateway.work() as work:
        await holds.place(work, hold, ref, "live", 500, ttl_s=60, budget_scopes=[key.hex])
        await holds.settle(work, hold, 123)
    async with books.console.work() as work:
        state = await budgets.state(work, "key", key)
    assert state is not None
    assert state.used_micros == 123
    await books.prove()
