"""Alerts by mail: each bound, once a crossing, to owners and who does the billing, in their language; switched off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from books import Books, Silent
from fixtures_access import House, Person, house, hurry
from ruxa.access import keys, organisations
from ruxa.app import alerts as telling
from ruxa.egress.processor import Fact
from ruxa.kernel import ids
from ruxa.ledger import budgets, topups
from ruxa.ledger.alerts import alerts
from ruxa.ledger.payments import auto, facts, orders

BASE = "http://127.0.0.1:8000"
USD = 1_000_000


class Told:
    """One organisation with its books, and the mails that alerts send."""

    def __init__(self, house: House, books: Books, organisation_id: UUID, ref: UUID) -> None:
        self.house, self.books, self.organisation_id, self.ref = house, books, organisation_id, ref
        self.signals = Silent()

    async def mails(self) -> list[str]:
        """Runs the job; the bodies of what arrived just now."""
        await telling.run(self.house.worker, self.house.vault, BASE, self.signals)
        return [letter.text.open("communicate") for letter in await self.house.deliver()]

    async def spend(self, micros: int) -> None:
        """Charges a call."""
        lease = await self.books.lend(self.ref, micros, "live")
        await self.books.flush([self.books.row(self.ref, lease, micros, "live")])
        await self.books.close(lease)

    async def draw(self, scope: str, micros: int) -> None:
        """Charges a call to a budget."""
        lease = ids.fresh()
        async with self.house.gateway.work() as work:
            row = await work.row(
                "SELECT amount, refusal FROM ledger.lease_open(%s, %s, 'live', %s, 'w0', %s, %s, %s, %s, 1,"
                " make_interval(secs => 30))",
                *(lease, self.ref, [scope], self.books.segment.run, micros, micros, micros),
            )
        assert row == (micros, None), row
        await self.books.flush([self.books.row(self.ref, lease, micros, "live")])
        await self.books.close(lease)


@pytest.fixture
async def told(house: House) -> Told:
    """An owner's organisation."""
    _, _, organisation_id = await house.owner()
    async with house.console.work() as work:
        ref = (await organisations.find(work, house.vault, organisation_id)).organisation_ref
    books = await Books.open(house.database)
    await house.deliver()
    return Told(house, books, organisation_id, ref)


async def test_a_low_balance_is_told_once_each_time_it_is_crossed(told: Told) -> None:
    async with told.house.operator.work() as work:
        await topups.credit(work, told.ref, 6 * USD)
    assert await told.mails() == []
    await told.spend(2 * USD)
    (mail,) = await told.mails()
    assert "4.00 USD, below the 5.00 USD" in mail
    assert f"{BASE}/billing/top-up" in mail
    assert "My organisation" in mail
    assert await told.mails() == []
    async with told.house.operator.work() as work:
        await topups.credit(work, told.ref, 2 * USD)
    assert await told.mails() == []
    await told.spend(3 * USD)
    assert len(await told.mails()) == 1
    async with told.house.console.work() as work:
        listed = await alerts.listed(work, told.ref)
    assert [one.ended_at is None for one in listed] == [True, False]
    assert ("alert.told", {"kind": "low_balance"}) in told.signals.told


async def test_who_never_had_so_much_or_wants_no_mail_gets_none(told: Told) -> None:
    async with told.house.operator.work() as work:
        await topups.credit(work, told.ref, 4 * USD)
    assert await told.mails() == [], "a newcomer's small credit is no crossing"
    async with told.house.console.work() as work:
        await alerts.put(work, told.ref, alerts.Settings(low_micros=0, budget=False, payment=False, unusual=False))
    async with told.house.operator.work() as work:
        await topups.credit(work, told.ref, 10 * USD)
    await told.spend(13 * USD)
    assert await told.mails() == []


async def test_a_budget_is_told_at_eighty_percent_and_at_its_end(told: Told) -> None:
    key = ids.fresh()
    async with told.house.operator.work() as work:
        await topups.credit(work, told.ref, 100 * USD)
    async with told.house.console.work() as work:
        await budgets.put(work, "key", key, told.ref, limit_micros=10 * USD, period="month")
    scope = f"key:{key.hex}"
    await told.draw(scope, 7 * USD)
    assert await told.mails() == []
    await told.draw(scope, 1 * USD)
    (mail,) = await told.mails()
    assert "8.00 of 10.00 USD are used" in mail
    assert f"{BASE}/keys/key_{key.hex}" in mail
    assert await told.mails() == []
    await told.draw(scope, 2 * USD)
    (mail,) = await told.mails()
    assert "used up" in mail
    assert await told.mails() == []


async def test_the_cap_of_a_playgrounds_key_is_ours_and_told_to_nobody(told: Told) -> None:
    """Nobody set it, it is in no list of keys, and it is gone in minutes."""
    entered = await told.house.join(Person())
    organisation_id = entered.new_organisation
    assert organisation_id is not None
    await told.house.deliver()
    async with told.house.console.work() as work:
        told.ref = (await organisations.find(work, told.house.vault, organisation_id)).organisation_ref
        key = await keys.create_for_playground(
            work, told.house.vault, organisation_id, entered.session.id, budget_micros=USD
        )
        await budgets.put(work, "key", key.id, told.ref, limit_micros=USD, period="total")
        assert await keys.of_organisation(work, told.house.vault, organisation_id) == []
    async with told.house.operator.work() as work:
        await topups.credit(work, told.ref, 100 * USD)
    await told.draw(f"key:{key.id.hex}", USD)
    assert await told.mails() == []


async def test_a_failed_payment_and_a_dispute_are_told_once(told: Told) -> None:
    now = datetime.now(UTC)

    async def order(usd: int) -> orders.Order:
        async with told.house.console.work() as work:
            made = await orders.create(
                work, told.ref, amount_micros=usd * USD, tax_micros=0, processor="stripe", method="card",
                kind="checkout", scope="sandbox", save_method=False, expires_at=now + timedelta(hours=1),
            )  # fmt: skip
            await orders.bind(work, made.id, f"cs_{made.id.hex}", "https://example.org/pay")
        return made

    async def note(made: orders.Order, kind: Any, status: Any, rank: int, ext: str, parent: str | None = None) -> None:
        fact = Fact(
            kind=kind, ext_id=f"{ext}_{made.id.hex}", order_id=made.id, parent=parent, amount_minor=made.amount_minor,
            currency="USD", status=status, rank=rank, at=now, livemode=False, account="acct_1",
        )  # fmt: skip
        async with told.house.worker.work() as work:
            effect = await facts.note(work, "stripe", fact)
        assert effect.outcome != "quarantined", effect

    failed = await order(7)
    await note(failed, "capture", "failed", 30, "pi")
    (mail,) = await told.mails()
    assert "a top-up of 7.00 USD" in mail
    assert f"/billing/orders/order_{failed.id.hex}" in mail
    paid = await order(9)
    await note(paid, "capture", "succeeded", 50, "pi")
    assert await told.mails() == []
    await note(paid, "dispute", "open", 10, "dp", f"pi_{paid.id.hex}")
    bodies = await told.mails()
    assert any("a dispute over 9.00 USD" in body for body in bodies), bodies
    assert await told.mails() == []


async def test_spending_is_unusual_over_ten_dollars_and_three_times_the_mean(told: Told) -> None:
    async with told.house.operator.work() as work:
        await topups.credit(work, told.ref, 1000 * USD)
    async with await psycopg.AsyncConnection.connect(told.house.database.admin_url, autocommit=True) as admin:
        await admin.execute(
            "INSERT INTO ledger.spend_day SELECT %s, (ruxa.now() AT TIME ZONE 'UTC')::date - n, %s"
            " FROM generate_series(2, 7) AS n",
            (told.ref, 7 * USD),
        )
    await told.spend(17 * USD)
    assert await telling.spend(told.house.worker) == 0, "three times the mean of 6 USD is 18"
    await told.spend(2 * USD)
    assert await telling.spend(told.house.worker) == 1
    (mail,) = await told.mails()
    assert "19.00 USD today" in mail
    assert "6.00 USD a day" in mail
    assert await telling.spend(told.house.worker) == 0


async def test_auto_top_up_that_stopped_is_told_until_it_is_on_again(told: Told) -> None:
    async with await psycopg.AsyncConnection.connect(told.house.database.admin_url, autocommit=True) as admin:
        await admin.execute(
            "INSERT INTO payment.auto (organisation_ref, scope, state, reason, threshold_micros, target_micros,"
            " monthly_cap_micros, processor, saved, failures, changed_at)"
            " VALUES (%s, 'live', 'off', 'failures', 1000000, 5000000, 20000000, 'stripe', 'pm_1', 3, ruxa.now())",
            (told.ref,),
        )
    (mail,) = await told.mails()
    assert "was switched off" in mail
    assert await told.mails() == []
    async with await psycopg.AsyncConnection.connect(told.house.database.admin_url, autocommit=True) as admin:
        await admin.execute("UPDATE payment.auto SET state = 'paused', reason = 'action'")
    (mail,) = await told.mails()
    assert "your bank wants to see you" in mail
    async with told.house.console.work() as work:
        await auto.stop(work, told.ref)
    assert await told.mails() == [], "who switches it off needs no mail about it"


__all__ = ["house", "hurry"]
