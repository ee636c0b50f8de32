"""Books of processors that move real money, over days and pages: compared by the job, differences named and ended."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from fixtures_access import House, house, hurry
from payment_shop import Shop, counter
from ruxa.app import payments
from ruxa.egress.processors import paypal, stripe
from ruxa.egress.recipient import Register
from ruxa.kernel.settings import ProcessorSettings, Settings
from ruxa.ledger.payments import facts
from ruxa.ledger.payments.orders import Order
from ruxa.ledger.reconciliation import differences, jobs, report
from ruxa.ledger.reconciliation.differences import Difference

__all__ = ["house", "hurry"]

DAYS = 5


@pytest.fixture
async def store(house: House, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Shop]:
    """A shop whose Stripe is made from a live installation's settings."""
    async with counter(house, live=True) as made, AsyncExitStack() as stack:
        secrets = made.till.sandbox.access
        monkeypatch.setenv("STRIPE_KEY", secrets.stripe_key)
        monkeypatch.setenv("STRIPE_HOOK", secrets.stripe_webhook_secret)
        told = ProcessorSettings(
            key="env:STRIPE_KEY", webhook_secret="env:STRIPE_HOOK", base_url=secrets.url, pages=(secrets.url,)
        )
        settings = Settings(payments={"stripe": told})
        payments.check(settings)
        register = Register(house.signals)
        made.processors["stripe"] = payments.processors(settings, register, house.database.clock, stack)["stripe"]
        assert made.processors["stripe"].livemode
        # PayPal is live by its own address alone, which no test may call.
        made.till.paypal.livemode = True
        monkeypatch.setattr(stripe, "_LIST", 3)
        monkeypatch.setattr(paypal, "_TRANSACTIONS", 3)
        yield made


async def paid(store: Shop, name: str, days_ago: int, cents: int, *, known: bool = True) -> Order:
    """Real money that came so many days ago. known: we were told."""
    await store.till.control("clock", shift_s=-days_ago * 86_400)
    order, checkout = await store.order(name, cents, scope="live")
    await store.pays(checkout)
    if known or name == "paypal":
        found = await store.processors[name].capture(order.id, checkout.ext_id)
        if known:
            await store.collection.note(name, found)
    await store.till.control("clock", shift_s=days_ago * 86_400)
    return order


async def compared(store: Shop, name: str) -> list[Difference]:
    """What the job of a worker finds from the oldest day on."""
    today = store.till.clock.now().date()
    await jobs.of_day(store.house.worker, store.collection, name, today - timedelta(days=DAYS), "live")
    only = _Only(store, name)
    await jobs.run(store.house.worker, only, {name: "live"}, store.house.signals)
    async with store.house.operator.work() as work:
        return await differences.listed(work, processor=name)


class _Only:
    """The books of one processor."""

    def __init__(self, store: Shop, name: str) -> None:
        self._collection = store.collection
        self._name = name

    def reporting(self) -> list[str]:
        return [self._name]

    async def report(self, name: str, day: Any) -> Any:
        return await self._collection.report(name, day)


@pytest.mark.parametrize("name", ["stripe", "paypal"])
async def test_days_of_a_live_processor_agree_page_by_page(store: Shop, name: str) -> None:
    for day in range(1, DAYS + 1):
        for number in range(4 + day % 2):
            await paid(store, name, day, 1000 + 100 * day + number)
    assert await compared(store, name) == []
    today = store.till.clock.now().date()
    async with store.house.operator.work() as work:
        made = await report.of_days(work, today - timedelta(days=DAYS), today)
    captured = [one for one in made.totals if one.object == "capture"]
    assert [(one.scope, one.count_here, one.count_there) for one in captured] == [
        ("live", 4 + day % 2, 4 + day % 2) for day in range(DAYS, 0, -1)
    ]
    assert all((one.here, one.fee_here) == (one.there, one.fee_there) for one in captured)
    # Each day once: a second run asks nobody for a day that was compared.
    await store.till.control("faults", on="GET *", do="refuse_before", times=9)
    assert await jobs.run(store.house.worker, _Only(store, name), {name: "live"}, store.house.signals) == 0
    assert [event for event, _ in store.house.signals.told if event == "payment.failed"] == []
    await store.prove()


async def test_differences_of_a_live_processor_are_named_aged_owned_and_ended(store: Shop) -> None:
    orders = {day: await paid(store, "stripe", day, 1000 + day) for day in range(1, DAYS + 1)}
    unknown = await paid(store, "stripe", 3, 7700, known=False)
    books = store.till.sandbox.books
    async with store.house.operator.work() as work:
        captures = {day: (await facts.of_order(work, order.id))[0].ext_id for day, order in orders.items()}

    def line(day: int) -> Any:
        intent = books.get("payment_intent", captures[day])
        assert intent is not None
        return next(one for one in books.every("txn") if one["source"] == intent["latest_charge"])

    gone = line(1)
    books.drop("txn", gone["id"])
    fee = line(2)
    books.put("txn", {**fee, "fee": fee["fee"] + 7, "net": fee["net"] - 7})
    amount = line(4)
    books.put("txn", {**amount, "amount": amount["amount"] - 100, "net": amount["net"] - 100})

    found = {one.kind: one for one in await compared(store, "stripe") if one.object == "capture"}
    assert {kind: (one.here, one.there) for kind, one in found.items()} == {
        "missing_there": (1001, None),
        "missing_here": (None, 7700),
        "fee_differs": (fee["fee"], fee["fee"] + 7),
        "amount_differs": (1004, 904),
    }
    assert {one.scope for one in found.values()} == {"live"}
    today = store.till.clock.now().date()
    assert {kind: (today - one.day).days for kind, one in found.items()} == {
        "missing_there": 1, "missing_here": 3, "fee_differs": 2, "amount_differs": 4,
    }  # fmt: skip

    owner = uuid4()
    async with store.house.operator.work() as work:
        await differences.assign(work, found["amount_differs"].id, owner)
        await differences.resolve(work, found["fee_differs"].id, "accepted", "T-1", "member:1")
    await store.books.later(3 * 86_400)
    async with store.house.operator.work() as work:
        mine = await differences.listed(work, owner_id=owner)
    assert [(one.kind, one.age_days) for one in mine] == [("amount_differs", 3)]

    # The payment is looked at after all, and the line comes with a later day's books.
    await store.collection.look(await store.known(unknown.id))
    books.put("txn", gone)
    day = today - timedelta(days=1)
    await jobs.of_day(store.house.worker, store.collection, "stripe", day, "live")
    async with store.house.operator.work() as work:
        still = await differences.listed(work, processor="stripe")
        ended = {one.kind: one.state for one in await differences.listed(work, state=None) if one.object == "capture"}
    assert {one.kind for one in still if one.object == "capture"} == {"amount_differs"}
    assert ended == {
        "missing_there": "gone", "missing_here": "gone", "fee_differs": "resolved", "amount_differs": "open",
    }  # fmt: skip
    await store.prove()
