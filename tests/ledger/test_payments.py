"""Payments: facts become money once, whatever comes how often and in which order; bad input never does."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from books import Books
from payment_books import Desk, desk_of
from ruxa.kernel.errors import Conflict, InsufficientCredit, InvalidCall
from ruxa.ledger.payments import facts, freezes, manual, orders, refunds, writeoffs


@pytest.fixture
async def desk(books: Books) -> Desk:
    """An organisation with a desk that takes payments for it."""
    return await desk_of(books)


async def test_a_capture_is_credit_tax_and_fee(desk: Desk) -> None:
    order = await desk.order(10_000_000, tax=1_900_000)
    effect = await desk.capture(order, fee=65)
    assert (effect.outcome, effect.organisation_ref) == ("posted", desk.ref)
    assert (await desk.books.balance(desk.ref)).balance_micros == 10_000_000
    assert await desk.sums("asset:clearing:stripe") == 11_900_000 - 650_000
    assert await desk.sums("liability:tax:de") == -1_900_000
    assert await desk.sums("expense:processor_fees") == 650_000
    found = await desk.find(order)
    assert (found.state, found.received_minor, found.difference_minor) == ("paid", 1190, 0)
    for _ in range(3):
        assert (await desk.capture(order, fee=65)).outcome == "unchanged"
    assert (await desk.books.balance(desk.ref)).balance_micros == 10_000_000
    await desk.books.prove()


async def test_a_refund_goes_back_from_the_unspent_with_its_tax(desk: Desk) -> None:
    order = await desk.order(10_000_000, tax=1_900_000)
    await desk.capture(order)
    assert await desk.refundable(order) == 11_900_000
    wish = await desk.ask(order, 5_950_000)
    assert (wish.state, wish.tax_micros) == ("approved", 950_000)
    assert (await desk.books.balance(desk.ref)).balance_micros == 10_000_000
    await desk.books.prove()
    [due] = await desk.refunds_due()
    assert (due.id, due.state, due.capture_ext_id) == (wish.id, "sending", "ch_1")
    assert (await desk.sent(due, "re_1")).outcome == "posted"
    assert (await desk.books.balance(desk.ref)).balance_micros == 5_000_000
    assert await desk.sums("liability:tax:de") == -950_000
    assert (await desk.refund(order, 595, "re_1")).outcome == "unchanged"
    assert await desk.refundable(order) == 5_950_000
    await desk.books.prove()


async def test_a_dispute_stops_spending_first_and_holds_what_is_unspent(desk: Desk) -> None:
    order = await desk.order(10_000_000, tax=1_900_000)
    await desk.capture(order)
    await desk.spend(6_000_000)
    lease = await desk.books.lend(desk.ref, 1_000_000)
    assert (await desk.dispute(order, 1190, "open", fee_minor=1500)).outcome == "posted"
    [dispute] = await desk.disputed()
    assert (dispute.held_micros, dispute.debt_micros) == (3_000_000, 7_000_000)
    assert (await desk.find(order)).state == "disputed"
    leases = desk.books.leases()
    with pytest.raises(InsufficientCredit) as refused:
        await leases.reserve(desk.ref, "live", None, 10)
    assert refused.value.code == "spending_frozen"
    with pytest.raises(Conflict, match="dispute"):
        await desk.order(5_000_000)
    assert (await desk.order(5_000_000, method="paypal")).state == "open"
    with pytest.raises(Conflict) as open_dispute:
        await desk.ask(order, 1_190_000)
    assert open_dispute.value.code == "dispute_open"
    await desk.books.prove()

    # What the lease gives back is held as soon as the dispute is looked at again.
    await desk.books.close(lease)
    assert (await desk.dispute(order, 1190, "pending")).outcome == "posted"
    [dispute] = await desk.disputed()
    assert (dispute.held_micros, dispute.debt_micros) == (4_000_000, 6_000_000)
    assert (await desk.balance()).debt_micros == 0
    await desk.books.prove()

    assert (await desk.dispute(order, 1190, "lost", fee_minor=1500)).outcome == "posted"
    balance = await desk.balance()
    assert (balance.balance_micros, balance.debt_micros) == (0, 6_000_000)
    assert await desk.sums("asset:clearing:stripe") == -15_000_000
    assert await desk.sums("liability:tax:de") == 0
    assert (await desk.find(order)).state == "charged_back"
    for status in ("open", "pending", "lost"):
        assert (await desk.dispute(order, 1190, status)).outcome == "unchanged"
    assert (await desk.dispute(order, 1190, "won")).reason == "contradiction"

    # A person looks; the next credit pays the debt first, line by line.
    async with desk.books.console.work() as work:
        [waits] = await freezes.waiting(work)
        await freezes.review(work, waits.id, "lift", "staff:1")
        assert await freezes.waiting(work) == []
    other = await desk.order(8_000_000)
    await desk.capture(other, ext_id="ch_2")
    balance = await desk.balance()
    assert (balance.balance_micros, balance.debt_micros) == (2_000_000, 0)
    async with desk.books.console.work() as work:
        lines = await writeoffs.debts(work, desk.ref)
    assert [(line.code, line.amount_micros) for line in lines] == [("debt", -6_000_000), ("dispute_debt", 6_000_000)]
    await desk.books.prove()


async def test_a_freeze_reaches_a_worker_that_has_credit_in_hand(desk: Desk) -> None:
    """What is lent already is called back; the worker gets no more."""
    order = await desk.order(10_000_000)
    await desk.capture(order)
    leases = desk.books.leases()
    spending = asyncio.create_task(leases.run())
    (await leases.reserve(desk.ref, "live", None, 1000)).release()
    assert (await desk.balance()).held_micros > 0
    await desk.dispute(order, 1000, "open")
    leases.recall(str(desk.ref))
    async with asyncio.timeout(5):
        while await desk.lent():
            await asyncio.sleep(0.02)
    with pytest.raises(InsufficientCredit) as refused:
        await leases.reserve(desk.ref, "live", None, 1000)
    assert refused.value.code == "spending_frozen"
    await desk.dispute(order, 1000, "pending")
    [dispute] = await desk.disputed()
    assert (dispute.held_micros, dispute.debt_micros) == (10_000_000, 0)
    spending.cancel()
    await desk.books.prove()


async def test_a_dispute_that_is_won_leaves_nothing_but_a_review(desk: Desk) -> None:
    order = await desk.order(10_000_000)
    await desk.capture(order)
    # The end alone, then its beginning: the same as nothing.
    assert (await desk.dispute(order, 400, "won", "dp_0")).outcome == "noted"
    assert (await desk.dispute(order, 400, "open", "dp_0")).outcome == "unchanged"
    assert await desk.freezes() == []
    await desk.dispute(order, 1000, "open")
    assert (await desk.balance()).free_micros == 0
    assert (await desk.dispute(order, 1000, "won")).outcome == "posted"
    [freeze] = await desk.freezes()
    assert (freeze.cause, freeze.method, freeze.decision) == ("dispute", "card", None)
    assert freeze.ended_at is not None
    await desk.spend(10_000_000)
    assert (await desk.find(order)).state == "paid"
    await desk.books.prove()


async def test_refunds_need_what_the_design_says(desk: Desk) -> None:
    order = await desk.order(2_000_000_000)
    with pytest.raises(Conflict) as early:
        await desk.ask(order, 10_000)
    assert early.value.code == "not_captured"
    await desk.capture(order)
    for amount in (0, -10_000, 10_000 - 1, 10_001, 2**62):
        with pytest.raises(InvalidCall):
            await desk.ask(order, amount)
    with pytest.raises(Conflict) as much:
        await desk.ask(order, 2_000_010_000)
    assert much.value.code == "refund_exceeds_capture"
    large = await desk.ask(order, 1_500_000_000, "staff:1")
    assert large.state == "waiting"
    assert await desk.refunds_due() == []
    async with desk.books.console.work() as work:
        with pytest.raises(Conflict) as alone:
            await refunds.approve(work, large.id, "staff:1")
        assert alone.value.code == "second_person"
        await refunds.approve(work, large.id, "staff:2")
    with pytest.raises(Conflict) as twice:
        await desk.ask(order, 600_000_000)
    assert twice.value.code == "refund_exceeds_capture"
    await desk.spend(400_000_000)
    with pytest.raises(Conflict) as spent:
        await desk.ask(order, 200_000_000)
    assert spent.value.code == "refund_exceeds_unspent"
    beyond = await desk.ask(order, 200_000_000, "staff:1", beyond_unspent=True)
    await desk.books.prove()

    # A dispute cancels what was not sent and lets nothing go out.
    [sending] = [wish for wish in await desk.refunds_due() if wish.id == large.id]
    later = await desk.ask(order, 10_000, beyond_unspent=True)
    await desk.dispute(order, 10_000, "open")
    async with desk.books.console.work() as work:
        states = {wish.id: wish.state for wish in await refunds.listed(work, order_id=order.id)}
    assert states == {large.id: "sending", beyond.id: "sending", later.id: "canceled"}
    assert await desk.refunds_due() == []
    await desk.books.prove()
    # It was sent all the same, and what the processor did is done.
    await desk.sent(sending, "re_1")
    async with desk.books.worker.work() as work:
        await refunds.refused(work, beyond.id, "charge_disputed", final=True)
        await refunds.refused(work, beyond.id, "charge_disputed", final=True)
    await desk.dispute(order, 10_000, "won")
    assert (await desk.find(order)).refunded_minor == 150_000
    assert (await desk.balance()).balance_micros == 100_000_000
    await desk.books.prove()


async def test_a_large_refund_in_parts_needs_two_people_too(desk: Desk) -> None:
    order = await desk.order(4_000_000_000)
    await desk.capture(order)
    first, second, third = [await desk.ask(order, 600_000_000) for _ in range(3)]
    assert [one.state for one in (first, second, third)] == ["approved", "waiting", "waiting"]
    async with desk.books.console.work() as work:
        await refunds.cancel(work, third.id, "member:1")
        await refunds.approve(work, second.id, "staff:2")
    assert (await desk.ask(order, 400_000_000)).state == "approved"
    assert (await desk.ask(order, 10_000)).state == "waiting"


async def test_a_refund_made_at_the_processor_is_a_debt_beyond_the_unspent(desk: Desk) -> None:
    order = await desk.order(10_000_000)
    # Before its capture: taken up with it.
    assert (await desk.refund(order, 300, "re_0")).outcome == "parked"
    assert (await desk.refund(order, 300, "re_0")).outcome == "parked"
    await desk.capture(order)
    assert (await desk.balance()).balance_micros == 7_000_000
    wish = await desk.ask(order, 7_000_000)
    assert (await desk.refund(order, 100, "re_1")).outcome == "posted"
    async with desk.books.console.work() as work:
        gone = await refunds.find(work, wish.id)
    assert gone is not None
    assert (gone.state, gone.failure) == ("failed", "refunded_elsewhere")
    await desk.spend(5_500_000)
    assert (await desk.refund(order, 600, "re_2", "pending")).outcome == "posted"
    assert (await desk.refund(order, 1, "re_3")).reason == "refund_exceeds_capture"
    assert (await desk.balance()).debt_micros == 0
    await desk.books.prove()
    await desk.refund(order, 600, "re_2")
    balance = await desk.balance()
    assert (balance.balance_micros, balance.debt_micros) == (0, 5_500_000)
    assert (await desk.find(order)).state == "refunded"
    # The bank would not take it: the debt goes first.
    assert (await desk.refund(order, 600, "re_2", "failed")).outcome == "posted"
    assert (await desk.refund(order, 600, "re_2")).outcome == "unchanged"
    balance = await desk.balance()
    assert (balance.balance_micros, balance.debt_micros) == (500_000, 0)
    await desk.books.prove()


async def test_an_answer_that_was_lost_finds_its_refund(desk: Desk) -> None:
    order = await desk.order(10_000_000)
    await desk.capture(order)
    wish = await desk.ask(order, 2_000_000)
    await desk.refunds_due()
    await desk.refund(order, 200, "re_1")
    async with desk.books.console.work() as work:
        done = await refunds.find(work, wish.id)
    assert done is not None
    assert (done.state, done.fact_id is not None) == ("done", True)
    assert (await desk.sent(wish, "re_1")).outcome == "unchanged"
    assert (await desk.balance()).balance_micros == 8_000_000
    await desk.books.prove()


async def test_bad_input_is_seen_and_never_credited(desk: Desk) -> None:
    order = await desk.order(10_000_000, tax=1_900_000)
    good = desk.fact("capture", "ch_x", 1190, "succeeded", order_id=order.id)
    bad: list[tuple[str, dict[str, Any]]] = [
        ("amount", {"amount_minor": 0}),
        ("amount", {"amount_minor": -1190}),
        ("amount", {"amount_minor": 2**63}),
        ("amount", {"amount_minor": 1189}),
        ("amount", {"amount_minor": 1191}),
        ("amount", {"amount_minor": 119_000}),
        ("amount", {"tax_minor": 1191}),
        ("amount", {"tax_minor": 191}),
        ("amount", {"fee_minor": -1}),
        ("currency", {"currency": "EUR"}),
        ("currency", {"currency": "usd"}),
        ("order", {"order_id": None}),
        ("order", {"order_id": uuid4()}),
        ("mode", {"livemode": False}),
        ("field", {"status": "won"}),
        ("field", {"ext_id": ""}),
        ("field", {"ext_id": "x" * 201}),
        ("field", {"at": datetime(1970, 1, 1, tzinfo=UTC)}),
        ("field", {"at": datetime(2999, 1, 1, tzinfo=UTC)}),
    ]
    for reason, change in bad:
        effect = await desk.note(msgspec.structs.replace(good, **change))
        assert (effect.outcome, effect.reason) == ("quarantined", reason), change
    # A test-mode fact said whose account that mode's key has; live money has its own.
    await desk.note(desk.fact("fee", "fee_1", 10, "succeeded"))
    for reason, change in (("account", {"account": "acct_2"}), ("account", {"account": ""})):
        assert (await desk.note(msgspec.structs.replace(good, **change))).reason == reason
    foreign = Desk(desk.books, desk.ref, "paypal")
    assert (await foreign.note(good)).reason == "order"
    assert (await desk.balance()).balance_micros == 0
    told = [fields["reason"] for event, fields in desk.books.signals.told if event == "payment.quarantined"]
    assert len(told) == len(bad) + 3
    await desk.books.prove()

    # The good one clears what was only doubted; another payment for the same order is nobody's credit until accepted.
    assert (await desk.note(good)).outcome == "posted"
    assert (await desk.note(msgspec.structs.replace(good, amount_minor=1191))).reason == "contradiction"
    assert (await desk.note(msgspec.structs.replace(good, status="open", amount_minor=0))).outcome == "unchanged"
    assert (await desk.note(msgspec.structs.replace(good, order_id=uuid4()))).reason == "order"
    second = msgspec.structs.replace(good, ext_id="ch_y")
    assert (await desk.note(second)).reason == "second_capture"
    assert (await desk.balance()).balance_micros == 10_000_000
    async with desk.books.console.work() as work:
        waiting = {(one.ext_id, one.reason): one for one in await facts.quarantined(work)}
        accepted = await facts.accept(work, waiting["ch_y", "second_capture"].id, uuid4())
        assert accepted.outcome == "posted"
    with pytest.raises(Conflict):
        async with desk.books.console.work() as work:
            await facts.accept(work, waiting["ch_y", "second_capture"].id, uuid4())
    async with desk.books.console.work() as work:
        assert await facts.dismiss(work, waiting["ch_x", "contradiction"].id, uuid4())
        assert not await facts.dismiss(work, waiting["ch_x", "contradiction"].id, uuid4())
    assert (await desk.balance()).balance_micros == 20_000_000
    assert (await desk.find(order)).difference_minor == 1190
    await desk.books.prove()


async def test_what_is_asked_for_is_checked(desk: Desk) -> None:
    for amount, tax in ((0, 0), (-10_000, 0), (10_000_001, 0), (10_000_000, 1), (10_000_000, -10_000),
                        (1_000_000_010_000, 0), (10_000, 20_000), (2**70, 0)):  # fmt: skip
        with pytest.raises(InvalidCall) as refused:
            await desk.order(amount, tax=tax)
        assert refused.value.code == "amount_out_of_range"
    order = await desk.order(10_000_000)
    async with desk.books.console.work() as work:
        await orders.bind(work, order.id, "cs_1", "https://pay.example/1")
        await orders.bind(work, order.id, "cs_1", "https://pay.example/1")
        found = await orders.by_reference(work, f" rx {order.reference[3:].lower().replace('1', 'l')}")
        assert found is not None
        assert (found.id, found.url) == (order.id, "https://pay.example/1")
        assert await orders.by_reference(work, "RX-") is None
        assert await orders.find(work, order.id, uuid4()) is None
        assert [one.id for one in await orders.listed(work, desk.ref)] == [order.id]
        assert await orders.listed(work, desk.ref, before=order.id) == []
    async with desk.books.console.work() as work:
        with pytest.raises(Conflict):
            await orders.bind(work, order.id, "cs_2", None)
    async with desk.books.worker.work() as work:
        assert [one.id for one in await orders.open_older(work, 0)] == [order.id]
        assert await orders.open_older(work, 60) == []
        assert await orders.close(work, order.id, "canceled")
        assert not await orders.close(work, order.id, "expired")
    closed = await desk.find(order)
    assert (closed.state, closed.url) == ("canceled", None)
    # Money that comes after the end is money.
    await desk.capture(order)
    assert (await desk.find(order)).state == "paid"
    await desk.books.prove()


async def test_a_clock_that_jumps_moves_no_money_twice(desk: Desk) -> None:
    order = await desk.order(10_000_000)
    fact = desk.fact("capture", "ch_1", 1000, "succeeded", order_id=order.id)
    await desk.books.later(-40 * 86400)
    assert (await desk.note(fact)).reason == "field"
    await desk.books.later(0)
    assert (await desk.note(fact)).outcome == "posted"
    for jump in (400 * 86400, -3600):
        await desk.books.later(jump)
        assert (await desk.note(msgspec.structs.replace(fact, at=datetime(2026, 1, 1, tzinfo=UTC)))).outcome != "posted"
    await desk.books.later(0)
    assert (await desk.balance()).balance_micros == 10_000_000
    await desk.books.prove()


async def test_a_bank_transfer_counts_when_two_people_saw_it(books: Books) -> None:
    desk = await desk_of(books, "bank")
    order = await desk.order(10_000_000, tax=1_900_000, method="bank_transfer")
    day = date(2026, 11, 2)

    async def first(amount: int, by: str = "staff:1", reference: str = "RX", of: UUID = order.id) -> UUID:
        async with books.console.work() as work:
            return await manual.first(
                work, of, amount_micros=amount, day=day, reference=reference, account="DE1", by=by
            )

    async def second(confirmation: UUID, by: str) -> facts.Effect:
        async with books.console.work() as work:
            return await manual.second(work, confirmation, by)

    half = await first(5_950_000)
    with pytest.raises(Conflict) as known:
        await first(5_950_000, "staff:2")
    assert known.value.code == "entry_known"
    with pytest.raises(Conflict) as copied:
        await first(5_950_000, "staff:2", " r x\t")
    assert copied.value.code == "entry_known"
    with pytest.raises(Conflict) as same:
        await second(half, "staff:1")
    assert same.value.code == "second_person"
    assert (await desk.balance()).balance_micros == 0
    effects = await asyncio.gather(*(second(half, f"staff:{n}") for n in (2, 3, 4)), return_exceptions=True)
    assert [getattr(effect, "outcome", getattr(effect, "code", None)) for effect in effects].count("posted") == 1
    assert (await desk.balance()).balance_micros == 5_000_000
    found = await desk.find(order)
    assert (found.state, found.difference_minor) == ("partial", -595)
    rest = await first(7_000_000, reference="RX again")
    await second(rest, "staff:2")
    found = await desk.find(order)
    assert (found.state, found.difference_minor) == ("paid", 105)
    balance = (await desk.balance()).balance_micros
    assert balance + -await desk.sums("liability:tax:de") == 12_950_000
    dropped = await first(10_000, reference="wrong")
    async with books.console.work() as work:
        await manual.withdraw(work, dropped, "staff:1")
    with pytest.raises(Conflict):
        await second(dropped, "staff:2")
    with pytest.raises(Conflict) as none:
        await first(10_000, of=uuid4())
    assert none.value.code == "no_order"
    for amount in (0, -10_000, 15, 2**63):
        with pytest.raises(InvalidCall):
            await first(amount)
    await books.prove()


async def test_payouts_and_fees_move_what_the_processor_holds(desk: Desk) -> None:
    order = await desk.order(10_000_000)
    assert (await desk.note(desk.fact("payout", "po_1", 900, "pending"))).outcome == "noted"
    # Its fee is known a day later, once.
    await desk.capture(order)
    assert (await desk.capture(order, fee=59)).outcome == "posted"
    assert (await desk.capture(order, fee=70)).outcome == "unchanged"
    await desk.note(desk.fact("fee", "fee_1", 200, "succeeded"))
    await desk.note(desk.fact("payout", "po_1", 900, "succeeded"))
    assert await desk.sums("asset:clearing:stripe") == 10_000_000 - 590_000 - 2_000_000 - 9_000_000
    assert await desk.sums("asset:bank") == 9_000_000
    await desk.books.prove()
    await desk.note(desk.fact("payout", "po_1", 900, "failed"))
    assert await desk.sums("asset:bank") == 0
    await desk.books.prove()


async def test_sandbox_payments_buy_sandbox_credit_only(books: Books) -> None:
    desk = await desk_of(books, "stripe", "sandbox")
    order = await desk.order(5_000_000, tax=950_000)
    await desk.capture(order, fee=20)
    assert (await books.balance(desk.ref, "sandbox")).balance_micros == 5_000_000
    assert (await books.balance(desk.ref, "live")).balance_micros == 0
    assert await desk.sums("asset:clearing:stripe:sandbox") == 5_950_000 - 200_000
    assert await desk.sums("liability:tax:de:sandbox") == -950_000
    await books.prove()


async def test_the_tax_of_what_goes_back_is_never_more_than_it(desk: Desk) -> None:
    """A dispute about cents that a refund was asked for, which then gives way to a smaller one made elsewhere."""
    order = await desk.order(20_000, tax=20_000)
    await desk.capture(order)
    await desk.ask(order, 30_000)
    await desk.dispute(order, 3, "open")
    assert (await desk.refund(order, 1, "re_1")).outcome == "posted"
    await desk.books.prove()
    await desk.dispute(order, 3, "won")
    assert (await desk.refund(order, 3, "re_2")).outcome == "posted"
    assert await desk.sums("liability:tax:de") == 0
    assert (await desk.balance()).balance_micros == 0
    await desk.books.prove()
