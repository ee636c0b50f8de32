"""The sandbox processors' books against ours after all that can happen to a payment: nothing differs, until it does."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from fixtures_access import House, house, hurry
from payment_shop import Shop, counter
from ruxa.ledger.payments import facts
from ruxa.ledger.payments.orders import Order
from ruxa.ledger.reconciliation import differences, jobs
from ruxa.ledger.reconciliation.differences import Difference, Ran

__all__ = ["house", "hurry"]


@pytest.fixture
async def store(house: House) -> AsyncGenerator[Shop]:
    async with counter(house) as made:
        yield made


async def capture(store: Shop, order: Order) -> str:
    """The processor's id of what was paid."""
    async with store.house.operator.work() as work:
        (known,) = [one for one in await facts.of_order(work, order.id) if one.kind == "capture"]
    return known.ext_id


async def compare(store: Shop, name: str) -> Ran:
    await store.heard()
    await store.collection.poll(seconds=0)
    day = store.till.clock.now().date()
    return await jobs.of_day(store.house.worker, store.collection, name, day, "sandbox")


async def opened(store: Shop) -> list[Difference]:
    async with store.house.operator.work() as work:
        return await differences.listed(work)


@pytest.mark.parametrize("name", ["stripe", "paypal"])
async def test_books_agree_whatever_became_of_a_payment(store: Shop, name: str) -> None:
    plain, back, lost, won = [await store.paid(name, cents) for cents in (5000, 4000, 3000, 2000)]
    await store.till.control("refund", id=await capture(store, back), amount=1500)
    for order, end in ((lost, "lost"), (won, "won")):
        made: dict[str, Any] = await store.till.control("dispute", id=await capture(store, order))
        await store.heard()
        await store.till.control("dispute/close", id=made["id" if name == "stripe" else "dispute_id"], end=end)
    if name == "stripe":
        await store.till.control("payout", vendor="stripe")
    ran = await compare(store, name)
    differing = {(one.object, one.kind): (one.here, one.there) for one in await opened(store)}
    # Stripe keeps its fee of a dispute that was won, too.
    assert differing == {}
    assert ran.compared >= 7
    assert (await store.known(plain.id)).state == "paid"
    await store.prove()


async def test_money_that_we_were_never_told_of_is_seen(store: Shop) -> None:
    order, checkout = await store.order("stripe", 5000)
    await store.pays(checkout)
    day = store.till.clock.now().date()
    await jobs.of_day(store.house.worker, store.collection, "stripe", day, "sandbox")
    assert {one.kind for one in await opened(store)} == {"missing_here", "balance_differs"}
    await store.collection.look(await store.known(order.id))
    await jobs.of_day(store.house.worker, store.collection, "stripe", day, "sandbox")
    assert await opened(store) == []
