"""What the worker does about payments, against the sandbox processor: refunds, disputes, charges of saved cards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import pairwise
from typing import Any, LiteralString
from uuid import UUID

import pytest

from fixtures_access import House, house, hurry
from payment_shop import Shop, counter
from ruxa.access import organisations
from ruxa.egress.processors import stripe
from ruxa.egress.processors.sandbox import stripe_charges, stripe_payments
from ruxa.kernel import bounds
from ruxa.kernel.errors import Conflict
from ruxa.ledger import collection
from ruxa.ledger.documents import profile
from ruxa.ledger.payments import auto, disputes, facts, freezes, limits, methods, orders, refunds
from ruxa.ledger.payments.orders import Order

__all__ = ["house", "hurry"]


@pytest.fixture
async def store(house: House) -> AsyncGenerator[Shop]:
    async with counter(house) as made:
        yield made


async def asked(store: Shop, order: Order, cents: int) -> refunds.Refund:
    """A refund that a customer asked for."""
    async with store.house.console.work() as work:
        return await refunds.ask(work, store.ref, order.id, cents * 10_000, None, "member:0")


async def state(store: Shop, refund_id: UUID) -> str:
    async with store.house.console.work() as work:
        found = await refunds.find(work, refund_id)
    assert found is not None
    return found.state


@pytest.mark.parametrize("name", ["stripe", "paypal"])
@pytest.mark.parametrize("trouble", ["", "lost_before", "lost_after", "refuse_after"])
async def test_a_refund_goes_out_once_whatever_becomes_of_the_answer(store: Shop, name: str, trouble: str) -> None:
    order = await store.paid(name, 5000)
    refund = await asked(store, order, 2000)
    where = "POST /v1/refunds" if name == "stripe" else "POST /v2/payments/captures/*/refund"
    if trouble:
        await store.till.control("faults", on=where, do=trouble, times=2)
        await store.collection.refunds()
        assert await state(store, refund.id) in ("approved", "sending")
        await later(store, "UPDATE payment.refund SET next_at = ruxa.now()")
        store.till.sandbox.faults.rules.clear()
    await store.collection.refunds()
    assert await state(store, refund.id) == "done"
    await store.collection.poll(seconds=0)
    await store.heard()
    assert (await store.balance()).balance_micros == 30_000_000
    assert await refunded(store, name) == [2000]
    await store.prove()


async def refunded(store: Shop, name: str) -> list[int]:
    """What the processor gave back."""
    books = store.till.sandbox.books
    if name == "stripe":
        return [one["amount"] for one in books.every("refund")]
    return [round(float(one["amount"]["value"]) * 100) for one in books.every("paypal.refund")]


async def test_a_refund_that_the_processor_will_never_make_is_dropped(store: Shop) -> None:
    order = await store.paid("stripe", 5000)
    refund = await asked(store, order, 2000)
    async with store.house.operator.work() as work:
        known = await facts.of_order(work, order.id)
    await store.till.control("refund", id=known[0].ext_id, amount=5000)  # somebody did it by hand there
    await store.collection.refunds()
    assert await state(store, refund.id) == "failed"


async def test_what_staff_gives_back_at_the_processor_itself_is_seen(store: Shop) -> None:
    order = await store.paid("stripe", 5000)
    async with store.house.operator.work() as work:
        known = await facts.of_order(work, order.id)
    await store.till.control("refund", id=known[0].ext_id, amount=1500)
    await store.heard()
    assert (await store.balance()).balance_micros == 35_000_000
    assert (await store.known(order.id)).refunded_minor == 1500
    await store.prove()


@pytest.mark.parametrize("name", ["stripe", "paypal"])
@pytest.mark.parametrize("end", ["won", "lost"])
async def test_a_dispute_stops_spending_and_ends_once(store: Shop, name: str, end: str) -> None:
    _, _, organisation_id = await store.house.owner()
    async with store.house.console.work() as work:
        store.ref = (await organisations.find(work, store.house.vault, organisation_id)).organisation_ref
    order = await store.paid(name, 5000)
    async with store.house.operator.work() as work:
        known = await facts.of_order(work, order.id)
    captured = known[0].ext_id
    if name == "stripe":
        intent = store.till.sandbox.books.get("payment_intent", captured)
        assert intent is not None
        captured = intent["latest_charge"]
    made = await store.till.control("dispute", id=captured)
    await store.heard()
    assert (await store.balance()).free_micros == 0
    async with store.house.console.work() as work:
        listed = await disputes.listed(work, open_only=True)
        frozen = await freezes.of(work, store.ref)
    assert [one.status for one in listed] == ["open"]
    assert [one.cause for one in frozen] == ["dispute"]
    async with store.house.console.work() as work:
        subject = await profile.subject_of(work, store.ref)
    text = await store.house.vault.seal(
        collection.EVIDENCE_COLUMN, subject, listed[0].id, "Request ids a to z.", year=store.till.clock.now().year
    )
    async with store.house.operator.work() as work:
        await disputes.evidence(work, listed[0].id, text, "staff:0")
    assert await store.collection.evidence() == 1
    assert await store.collection.evidence() == 0
    await store.till.control("dispute/close", id=made["id" if name == "stripe" else "dispute_id"], end=end)
    await store.heard()
    assert (await store.balance()).balance_micros == (50_000_000 if end == "won" else 0)
    await store.prove()


async def saved(store: Shop) -> methods.Method:
    """A card that was saved with a first payment."""
    customer = await store.till.stripe.create_customer("c0ffee")
    async with store.house.console.work() as work:
        await methods.put_customer(work, store.ref, "stripe", customer)
    await store.paid("stripe", 1000, save_method=True)
    async with store.house.console.work() as work:
        return (await methods.listed(work, store.ref))[0]


async def watched(store: Shop, card: methods.Method, **changes: Any) -> None:
    """Auto top-up below 20 USD, to 50."""
    given = {"threshold_micros": 20_000_000, "target_micros": 50_000_000, "monthly_cap_micros": 100_000_000}
    async with store.house.console.work() as work:
        await auto.put(
            work, store.ref, enabled=True, processor="stripe", saved=card.saved, scope="sandbox", **(given | changes)
        )


async def standing(store: Shop) -> auto.Auto:
    async with store.house.console.work() as work:
        found = await auto.find(work, store.ref)
    assert found is not None
    return found


async def later(store: Shop, statement: LiteralString) -> None:
    """Whatever waits has waited long enough."""
    async with store.books.admin() as admin:
        await admin.execute(statement)


async def test_a_low_balance_is_filled_once_from_the_saved_card(store: Shop) -> None:
    card = await saved(store)
    assert (card.brand, card.last4) == ("visa", "4242")
    await watched(store, card)
    assert await store.collection.top_up() == 1
    assert (await store.balance()).balance_micros == 50_000_000
    assert await store.collection.top_up() == 0
    await store.heard()
    await store.collection.poll(seconds=0)
    assert (await store.balance()).balance_micros == 50_000_000
    assert (await standing(store)).month_micros == 40_000_000
    await store.prove()


@pytest.mark.parametrize("trouble", ["lost_before", "lost_after", "refuse_after"])
async def test_a_charge_whose_answer_was_lost_is_made_once(store: Shop, trouble: str) -> None:
    await watched(store, await saved(store))
    await store.till.control("faults", on="POST /v1/payment_intents", do=trouble, times=2)
    await store.collection.top_up()
    store.till.sandbox.faults.rules.clear()
    await later(store, "UPDATE payment.attempt SET sent_at = sent_at - interval '5 minutes'")
    await store.collection.top_up()
    assert (await store.balance()).balance_micros == 50_000_000
    charges = [one["amount"] for one in store.till.sandbox.books.every("charge") if one["paid"]]
    assert sorted(charges) == [1000, 4000]


@pytest.mark.parametrize("trouble", ["lost_before", "lost_after"])
@pytest.mark.parametrize("then", ["another", "none"])
async def test_a_charge_is_repeated_with_its_own_card_or_not_at_all(store: Shop, trouble: str, then: str) -> None:
    first = await saved(store)
    await store.paid("stripe", 1000, save_method=True)
    async with store.house.console.work() as work:
        [second] = [one for one in await methods.listed(work, store.ref) if one.saved != first.saved]
    await watched(store, first, threshold_micros=25_000_000)
    await store.till.control("faults", on="POST /v1/payment_intents", do=trouble, times=2)
    await store.collection.top_up()
    store.till.sandbox.faults.rules.clear()
    if then == "another":
        await watched(store, second, threshold_micros=25_000_000)
    else:
        async with store.house.console.work() as work:
            assert await methods.remove(work, store.ref, "stripe", first.saved)
    await later(store, "UPDATE payment.attempt SET sent_at = sent_at - interval '5 minutes'")
    await store.collection.top_up()
    made = [one for one in store.till.sandbox.books.every("payment_intent") if one["amount"] != 1000]
    expected = [] if (trouble, then) == ("lost_before", "none") else [first.saved]
    assert [one["payment_method"] for one in made] == expected
    await store.heard()
    assert (await store.balance()).balance_micros == (50_000_000 if expected else 20_000_000)


async def days_later(store: Shop) -> None:
    """More than a day passed: the processor has forgotten its keys."""
    await store.till.control("clock", shift_s=90_000)
    await later(store, "UPDATE payment.attempt SET sent_at = sent_at - interval '25 hours'")


def charged(store: Shop) -> list[int]:
    """What saved methods were charged with or are being."""
    return [one["amount"] for one in store.till.sandbox.books.every("charge") if one["amount"] != 1000]


async def test_a_charge_is_never_repeated_when_its_key_may_be_forgotten(store: Shop) -> None:
    await watched(store, await saved(store))
    await store.heard()
    await store.till.control("faults", on="POST /v1/payment_intents", do="lost_after", times=2)
    await store.collection.top_up()
    store.till.sandbox.faults.rules.clear()
    await days_later(store)
    await store.collection.top_up()
    assert charged(store) == [4000]
    found = await standing(store)
    assert (found.state, found.failures) == ("on", 1)
    await store.heard()
    assert (await store.balance()).balance_micros == 50_000_000
    found = await standing(store)
    assert (found.state, found.failures, found.month_micros) == ("on", 0, 40_000_000)


@pytest.mark.parametrize("comes", [True, False])
async def test_a_bank_that_takes_days_is_asked_once(store: Shop, comes: bool) -> None:
    card = await saved(store)
    method = store.till.sandbox.books.get("payment_method", card.saved)
    assert method is not None
    bank = {"bank_name": "STRIPE TEST BANK", "last4": "6789", "fingerprint": "f", "account_type": "checking"}
    store.till.sandbox.books.put("payment_method", {**method, "type": "us_bank_account", "us_bank_account": bank})
    await watched(store, card)
    await store.collection.top_up()
    await days_later(store)
    await store.collection.top_up()
    assert charged(store) == [4000]
    books = store.till.sandbox.books
    [intent] = [one for one in books.every("payment_intent") if one["amount"] == 4000]
    charge = books.get("charge", intent["latest_charge"])
    assert charge is not None
    if comes:
        stripe_charges.settle(books, intent, charge, disputed=False)
    else:
        stripe_payments.fail_late(books, intent, charge)
    await store.collection.poll(seconds=0)
    await later(store, "UPDATE payment.attempt SET sent_at = sent_at - interval '5 minutes'")
    await store.collection.top_up()
    found = await standing(store)
    assert (found.failures, found.month_micros) == ((0, 40_000_000) if comes else (1, 0))
    assert (await store.balance()).balance_micros == (50_000_000 if comes else 10_000_000)


async def test_a_refund_is_never_repeated_when_its_key_may_be_forgotten(store: Shop) -> None:
    order = await store.paid("stripe", 5000)
    refund = await asked(store, order, 2000)
    await store.till.control("faults", on="POST /v1/refunds", do="lost_after", times=2)
    await store.collection.refunds()
    store.till.sandbox.faults.rules.clear()
    await store.till.control("clock", shift_s=90_000)
    await later(store, "UPDATE payment.refund SET next_at = ruxa.now()")
    await store.collection.refunds()
    assert await refunded(store, "stripe") == [2000]
    assert await state(store, refund.id) == "done"


async def test_three_refusals_end_it(store: Shop) -> None:
    card = await saved(store)
    await watched(store, card)
    await store.till.control("method", id=card.saved, does="insufficient_funds")
    for tries in (1, 2, 3):
        await store.collection.top_up()
        assert (await standing(store)).failures == tries
        await later(store, "UPDATE payment.auto SET next_at = NULL")
    found = await standing(store)
    assert (found.state, found.reason) == ("off", "failures")
    assert (await store.balance()).balance_micros == 10_000_000
    assert await store.collection.top_up() == 0


async def test_a_stolen_card_is_never_tried_again(store: Shop) -> None:
    card = await saved(store)
    await watched(store, card)
    await store.till.control("method", id=card.saved, does="stolen")
    await store.collection.top_up()
    found = await standing(store)
    assert (found.state, found.reason) == ("off", "card")


async def test_a_bank_that_wants_to_see_the_customer_pauses_it(store: Shop) -> None:
    card = await saved(store)
    await watched(store, card)
    await store.till.control("method", id=card.saved, does="always_authenticates")
    await store.collection.top_up()
    found = await standing(store)
    assert (found.state, found.reason) == ("paused", "action")
    assert found.recovery_url == f"{store.base}/billing/auto"
    assert await store.collection.top_up() == 0


async def test_the_days_report_brings_the_payouts(store: Shop) -> None:
    await store.paid("stripe", 5000)
    payout = await store.till.control("payout", vendor="stripe")
    assert "stripe" in store.collection.reporting()
    entries = await store.collection.report("stripe", store.till.clock.now().date())
    assert {entry.kind for entry in entries} == {"capture", "payout"}
    async with store.house.operator.work() as work:
        known = await work.rows("SELECT kind, ext_id FROM payment.fact WHERE kind = 'payout'")
    assert known == [("payout", payout["id"])]
    await store.prove()


async def test_everything_soon_goes_on_where_a_part_fails(store: Shop) -> None:
    order = await store.paid("stripe", 5000)
    refund = await asked(store, order, 1000)
    await store.collection.soon()
    assert await state(store, refund.id) == "done"


async def test_cards_that_are_refused_on_the_page_count_and_too_many_stop_it(store: Shop) -> None:
    order, checkout = await store.order("stripe", 1000)
    async with store.house.operator.work() as work:
        most = await limits.bound(work, "declines_day")
        await limits.check(work, store.ref)
    for _ in range(most):
        await store.pays(checkout, "4000000000000002")
    await store.heard()
    async with store.house.operator.work() as work:
        with pytest.raises(Conflict) as stopped:
            await limits.check(work, store.ref)
    assert stopped.value.code == "payment_velocity"
    assert (await store.known(order.id)).state == "open"
    await store.pays(checkout)  # what was begun may be paid
    await store.heard()
    assert (await store.known(order.id)).state == "paid"


@pytest.mark.parametrize("name", ["stripe", "paypal"])
async def test_everybody_at_once_credits_once(store: Shop, name: str) -> None:
    paid: list[Order] = []
    for cents in (1000, 2000, 3000):
        order, checkout = await store.order(name, cents)
        await store.pays(checkout)
        paid.append(await store.known(order.id))
    await store.collection.missed()
    await asyncio.gather(
        *(store.collection.look(order) for order in paid for _ in range(4)),
        *(store.collection.hints() for _ in range(3)),
        *(store.collection.poll(seconds=0) for _ in range(3)),
    )
    await store.heard()
    assert (await store.balance()).balance_micros == 60_000_000
    assert [(await store.known(order.id)).state for order in paid] == ["paid"] * 3
    await store.prove()


async def test_tax_that_stripe_took_is_no_credit(store: Shop) -> None:
    taxing = store.till.another_stripe(tax=True)
    store.processors["stripe"] = taxing
    order, checkout = await store.order("stripe", 1000)
    assert checkout.url is not None
    await store.till.browse(checkout.url, number="4242424242424242", expiry="12 / 34", cvc="123", country="DE")
    await store.heard()
    found = await store.known(order.id)
    assert (found.state, found.received_minor) == ("paid", 1190)
    assert (await store.balance()).balance_micros == 10_000_000
    await store.prove()


async def events_long_ago(store: Shop, hours: int, cents: int) -> Order:
    """A payment that nobody told us of, and that happened so long ago."""
    await store.till.control("clock", shift_s=-hours * 3600)
    order, checkout = await store.order("stripe", cents)
    await store.pays(checkout)
    await store.till.control("clock", shift_s=hours * 3600)
    return order


async def test_what_happened_while_we_were_away_is_found_however_long_that_was(store: Shop) -> None:
    order = await events_long_ago(store, 30, 1000)
    assert await store.collection.missed() > 0, "an empty inbox is no reason to look only one hour back"
    await store.collection.hints()
    assert (await store.known(order.id)).state == "paid"
    # From now on from where the last good look ended; one that failed is none.
    lost = await events_long_ago(store, 2, 2000)
    assert await store.collection.missed() == 0
    await later(store, "UPDATE payment.looked SET until = until - interval '3 hours'")
    await store.till.control("faults", on="GET /v1/events", do="refuse_before", times=1)
    assert await store.collection.missed() == 0
    assert await store.collection.missed() > 0
    await store.collection.hints()
    assert (await store.known(lost.id)).state == "paid"


async def test_a_long_list_of_events_is_read_in_shorter_looks(store: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    paid = [await events_long_ago(store, hours, 1000 + hours) for hours in (600, 400, 200, 90, 20, 3)]
    monkeypatch.setattr(stripe, "_LIST", 10)
    monkeypatch.setattr(bounds, "EVENT_PAGES_MAX", 1)
    assert await store.collection.missed() > 10
    await store.collection.hints()
    assert [(await store.known(order.id)).state for order in paid] == ["paid"] * 6
    assert await store.collection.missed() == 0


@pytest.mark.parametrize("end", ["succeeded", "failed"])
async def test_a_pending_charge_at_paypal_is_found_by_polling_alone(store: Shop, end: str) -> None:
    await store.paid("paypal", 1000, save_method=True)
    async with store.house.console.work() as work:
        [account] = await methods.listed(work, store.ref)
        await auto.put(
            work, store.ref, enabled=True, processor="paypal", saved=account.saved, scope="sandbox",
            threshold_micros=20_000_000, target_micros=50_000_000, monthly_cap_micros=100_000_000,
        )  # fmt: skip
    books = store.till.sandbox.books
    token = books.get("paypal.vault", account.saved)
    assert token is not None
    books.put("paypal.vault", {**token, "_does": "pending"})
    await store.collection.top_up()
    assert (await store.balance()).balance_micros == 10_000_000
    [waits] = [one for one in books.every("paypal.capture") if one["status"] == "PENDING"]
    await store.till.control("settle", id=waits["id"], end=end)
    await store.collection.poll(seconds=0)
    assert (await store.balance()).balance_micros == (50_000_000 if end == "succeeded" else 10_000_000)
    await store.prove()


async def test_a_refund_that_the_bank_sends_back_is_credit_again(store: Shop) -> None:
    order = await store.paid("stripe", 5000)
    refund = await asked(store, order, 5000)
    await store.collection.refunds()
    assert await state(store, refund.id) == "done"
    assert (await store.balance()).balance_micros == 0
    [made] = store.till.sandbox.books.every("refund")
    await store.till.control("settle", id=made["id"], end="failed")
    await store.heard()
    assert (await store.balance()).balance_micros == 50_000_000
    assert await state(store, refund.id) == "failed"
    assert ((await store.known(order.id)).state, (await store.known(order.id)).refunded_minor) == ("paid", 0)
    again = await asked(store, order, 5000)
    await store.collection.refunds()
    assert await state(store, again.id) == "done"
    await store.prove()


async def test_an_old_order_is_asked_about_ever_less_often(store: Shop) -> None:
    order, _ = await store.order("stripe", 1000)
    asked_about: list[int] = []
    for minutes in range(0, 24 * 60, 5):
        async with store.books.admin() as admin:
            await admin.execute("SET session_replication_role = replica")
            await admin.execute(
                "UPDATE payment.orders SET created_at = ruxa.now() - make_interval(mins => %s),"
                " polled_at = polled_at - interval '5 minutes' WHERE id = %s",
                [minutes, order.id],
            )
        async with store.house.worker.work() as work:
            if await orders.open_older(work, collection.POLL_AFTER_S):
                asked_about.append(minutes)
    assert [one for one in asked_about if one <= 30] == [5, 10, 15, 20, 25, 30]
    gaps = [after - before for before, after in pairwise(asked_about)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == 60
    async with store.house.worker.work() as work:
        assert await orders.open_older(work, 0), "asked by hand it is asked at once"
