"""Payments converge: shuffled, doubled and noted by eight tasks at once, facts end in the one state they tell of."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from books import Books
from conftest import Sizes
from payment_books import Desk, desk_of
from ruxa.egress.processor import Fact
from ruxa.ledger.payments import facts, orders

TASKS = 8


class Life:
    """One order's facts, in the order of their happening, and what must become of it."""

    def __init__(self, desk: Desk, order: orders.Order, number: int, chance: random.Random) -> None:
        self.desk = desk
        self.order = order
        self.events: list[Fact] = []
        self.refunded = 0
        self.state = "open"
        capture = f"ch_{number}"
        total = order.total_minor
        for status in chance.choice((("succeeded",), ("open", "pending", "succeeded"), ("failed",), ("pending",))):
            self._tell("capture", capture, total, status)
            self.state = {"succeeded": "paid"}.get(status, status)
        if self.state != "paid":
            return
        left = total
        for nth in range(chance.randint(0, 3)):
            amount = min(left, chance.randint(1, total // 2))
            path = chance.choice(
                (("succeeded",), ("pending", "succeeded"), ("pending", "failed"), ("succeeded", "failed"))
            )
            if not amount:
                continue
            # Failed ones gave back what they took: the order may then be anything but over-refunded at any moment.
            left -= amount
            for status in path:
                self._tell("refund", f"re_{number}_{nth}", amount, status, parent=capture)
            if path[-1] == "succeeded":
                self.refunded += amount
        if chance.random() < 0.4:
            amount = max(left, 1)
            end = chance.choice(("won", "lost", "open"))
            for status in ("open", end):
                self._tell("dispute", f"dp_{number}", amount, status, parent=capture)
            self.state = {"won": self.state, "lost": "charged_back", "open": "disputed"}[end]
        if self.state == "paid" and self.refunded == total:
            self.state = "refunded"

    def _tell(self, kind: str, ext_id: str, amount: int, status: str, parent: str | None = None) -> None:
        self.events.append(self.desk.fact(kind, ext_id, amount, status, order_id=self.order.id, parent=parent))


async def _run(books: Books, seed: int, count: int) -> tuple[list[str], Counter[str]]:
    chance = random.Random(seed)
    desks = [await desk_of(books) for _ in range(5)]
    lives = []
    for number in range(count):
        desk = chance.choice(desks)
        order = await desk.order(chance.randint(1, 5000) * 10_000 + 10_000_000, tax=chance.randint(0, 900) * 10_000)
        lives.append(Life(desk, order, number, chance))
    events = [(life.desk, fact) for life in lives for fact in life.events for _ in range(chance.randint(1, 3))]
    chance.shuffle(events)
    seen: Counter[str] = Counter()

    async def task() -> None:
        while events:
            desk, fact = events.pop()
            async with books.worker.work() as work:
                seen[(await facts.note(work, desk.processor, fact)).outcome] += 1

    await asyncio.gather(*(task() for _ in range(TASKS)))
    ends: list[str] = []
    for life in lives:
        found = await life.desk.find(life.order)
        assert found.state == life.state, (life.events, found)
        assert found.refunded_minor == life.refunded
        ends.append(found.state)
    await books.prove()
    return ends, seen


async def test_any_order_any_repetition_eight_at_once(books: Books, sizes: Sizes) -> None:
    ends, seen = await _run(books, 7, sizes["payment_orders"])
    assert set(ends) >= {"paid", "failed", "pending"}
    assert seen["posted"] > 10
    assert seen["unchanged"] > 10
    assert seen["parked"] > 0
    assert seen["quarantined"] == 0
