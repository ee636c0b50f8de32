"""Stripe and PayPal as adapters, against the sandbox processor over real sockets: a payment's life, as facts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from payment_tills import Till, till
from ruxa.egress.processor import (
    Checkout,
    Declined,
    Fact,
    NeedsAction,
    Order,
    Processor,
    ProcessorRefused,
    leads_to,
    own_page,
)
from ruxa.egress.processors import paypal, stripe
from ruxa.egress.processors.bank import Bank
from ruxa.egress.processors.stripe_transport import SENT
from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall, NoUpstream, Unsupported, UpstreamError

EXPECTED = {"stripe": "card", "paypal": "paypal"}


@pytest.fixture
async def house() -> AsyncGenerator[Till]:
    async with till() as made:
        yield made


@pytest.fixture(params=["stripe", "paypal"])
def name(request: pytest.FixtureRequest) -> str:
    """Each processor in turn."""
    found: str = request.param
    return found


def of(house: Till, name: str) -> Processor:
    return house.stripe if name == "stripe" else house.paypal


async def paid(house: Till, name: str, cents: int = 1000, **changes: Any) -> tuple[Order, Checkout, list[Fact]]:
    """An order that its customer paid."""
    processor = of(house, name)
    order = house.order(EXPECTED[name], cents, **changes)
    checkout = await processor.checkout(order)
    assert checkout.url is not None
    await (house.pay if name == "stripe" else house.approve)(checkout.url)
    return order, checkout, await processor.capture(order.id, checkout.ext_id)


async def test_a_payment_becomes_one_capture(house: Till, name: str) -> None:
    order, checkout, facts = await paid(house, name, 1234)
    assert checkout.url is not None
    assert checkout.url.startswith(of(house, name).origins[0])
    assert len(facts) == 1
    fact = facts[0]
    assert (fact.kind, fact.status, fact.amount_minor, fact.currency) == ("capture", "succeeded", 1234, "USD")
    assert fact.order_id == order.id
    assert fact.fee_minor is not None
    assert fact.fee_minor > 0
    assert fact.livemode is False
    assert fact.account == of(house, name).account != ""
    if name == "stripe":
        assert fact.card is not None
        assert (fact.card.brand, fact.card.last4) == ("visa", "4242")
    assert await of(house, name).fetch(order.id, checkout.ext_id) == facts


async def test_asking_twice_makes_one_checkout_and_one_capture(house: Till, name: str) -> None:
    processor = of(house, name)
    order = house.order(EXPECTED[name])
    first = await processor.checkout(order)
    again = await processor.checkout(order)
    assert first.ext_id == again.ext_id
    assert first.url is not None
    await (house.pay if name == "stripe" else house.approve)(first.url)
    facts = [await processor.capture(order.id, first.ext_id) for _ in range(3)]
    assert facts[0] == facts[1] == facts[2]
    assert len(facts[0]) == 1


async def test_nothing_is_paid_until_it_is(house: Till, name: str) -> None:
    processor = of(house, name)
    order = house.order(EXPECTED[name])
    checkout = await processor.checkout(order)
    assert not any(fact.status == "succeeded" for fact in await processor.capture(order.id, checkout.ext_id))
    assert await processor.capture(uuid4(), checkout.ext_id) == []


async def test_a_completed_checkout_that_is_unpaid_is_no_money(house: Till) -> None:
    order = house.order("card")
    checkout = await house.stripe.checkout(order)
    assert checkout.url is not None
    await house.browse(checkout.url, bank="pays")
    before = await house.stripe.fetch(order.id, checkout.ext_id)
    assert [fact.status for fact in before] == ["pending"]
    await house.control("settle", id=checkout.ext_id, end="succeeded")
    after = await house.stripe.fetch(order.id, checkout.ext_id)
    assert [(fact.ext_id, fact.status) for fact in after] == [(before[0].ext_id, "succeeded")]
    assert after[0].rank > before[0].rank


async def test_a_pending_paypal_capture_is_no_money(house: Till) -> None:
    order = house.order("paypal")
    checkout = await house.paypal.checkout(order)
    assert checkout.url is not None
    await house.approve(checkout.url, "pending")
    facts = await house.paypal.capture(order.id, checkout.ext_id)
    assert [fact.status for fact in facts] == ["pending"]
    await house.control("settle", id=facts[0].ext_id, end="succeeded")
    assert [fact.status for fact in await house.paypal.fetch(order.id, checkout.ext_id)] == ["succeeded"]


async def test_a_declined_paypal_source_leaves_the_order_open(house: Till) -> None:
    order = house.order("paypal")
    checkout = await house.paypal.checkout(order)
    assert checkout.url is not None
    await house.approve(checkout.url, "declined")
    assert not any(fact.status == "succeeded" for fact in await house.paypal.capture(order.id, checkout.ext_id))


async def test_whose_payment_it_is_only_we_can_say(house: Till) -> None:
    # As a payment link of the same account makes it, to whose address anybody adds a client_reference_id.
    order = house.order("card")
    checkout = await house.stripe.checkout(order)
    books = house.sandbox.books
    session = books.get("session", checkout.ext_id)
    assert session is not None
    assert (session["client_reference_id"], session["metadata"]) == (str(order.id), {"order": str(order.id)})
    books.put("session", {**session, "metadata": {}, "_intent": {}})
    assert checkout.url is not None
    await house.pay(checkout.url)
    for intent in books.every("payment_intent"):
        books.put("payment_intent", {**intent, "metadata": {}})
    found = await house.stripe.read("checkout.session.completed", checkout.ext_id)
    assert [(fact.status, fact.order_id) for fact in found] == [("succeeded", None)]


async def test_an_expired_checkout_says_so(house: Till) -> None:
    order = house.order("card")
    checkout = await house.stripe.checkout(order)
    await house.control("clock", shift_s=2 * 3600)
    facts = await house.stripe.fetch(order.id, checkout.ext_id)
    assert [(fact.ext_id, fact.status) for fact in facts] == [(checkout.ext_id, "expired")]


async def test_a_refund_is_asked_once_per_key_and_seen_from_everywhere(house: Till, name: str) -> None:
    processor = of(house, name)
    order, checkout, facts = await paid(house, name, 5000)
    capture = facts[0].ext_id
    key = uuid4()
    first = await processor.refund(capture, 2000, key)
    again = await processor.refund(capture, 2000, key)
    assert first == again
    assert (first.kind, first.status, first.amount_minor, first.parent) == ("refund", "succeeded", 2000, capture)
    assert first.account == processor.account
    seen = await processor.fetch(order.id, checkout.ext_id)
    assert [(fact.kind, fact.amount_minor, fact.parent) for fact in seen] == [
        ("capture", 5000, None),
        ("refund", 2000, capture),
    ]
    assert seen[1].ext_id == first.ext_id
    assert seen[1].order_id == order.id
    kind = "refund.updated" if name == "stripe" else "PAYMENT.CAPTURE.REFUNDED"
    assert await processor.read(kind, first.ext_id) == seen
    with pytest.raises(ProcessorRefused) as over:
        await processor.refund(capture, 3001, uuid4())
    assert over.value.known


@pytest.mark.parametrize("end", ["won", "lost"])
async def test_a_dispute_and_its_end(house: Till, name: str, end: str) -> None:
    processor = of(house, name)
    order, _, facts = await paid(house, name, 5000)
    capture = facts[0].ext_id
    dispute = await house.control("dispute", id=await _disputed(house, name, capture))
    dispute_id = dispute["id" if name == "stripe" else "dispute_id"]
    kind = "charge.dispute.created" if name == "stripe" else "CUSTOMER.DISPUTE.CREATED"
    opened = [fact for fact in await processor.read(kind, dispute_id) if fact.kind == "dispute"]
    assert [(fact.ext_id, fact.status, fact.parent) for fact in opened] == [(dispute_id, "open", capture)]
    assert opened[0].amount_minor == 5000
    assert opened[0].order_id == order.id
    await processor.submit_evidence(dispute_id, "They used it: request ids a to z.")
    await house.control("dispute/close", id=dispute_id, end=end)
    closed = [fact for fact in await processor.read(kind, dispute_id) if fact.kind == "dispute"]
    assert [fact.status for fact in closed] == [end]
    assert closed[0].rank > opened[0].rank
    assert closed[0].account == processor.account


async def _disputed(house: Till, name: str, capture: str) -> str:
    """What the control API opens a dispute about."""
    if name == "paypal":
        return capture
    intent = house.sandbox.books.get("payment_intent", capture)
    assert intent is not None
    charge: str = intent["latest_charge"]
    return charge


async def test_a_saved_card_is_charged_without_the_customer_once_per_key(house: Till) -> None:
    customer = await house.stripe.create_customer("c0ffee")
    assert await house.stripe.create_customer("c0ffee") == customer
    _, _, facts = await paid(house, "stripe", customer=customer, save_method=True)
    assert facts[0].customer == customer
    saved = facts[0].saved
    assert saved is not None
    order, key = house.order("card", 700), uuid4()
    first = await house.stripe.charge_saved(customer, saved, order, key)
    again = await house.stripe.charge_saved(customer, saved, order, key)
    assert isinstance(first, Fact)
    assert first == again
    assert (first.order_id, first.status, first.amount_minor) == (order.id, "succeeded", 700)
    assert (await house.stripe.fetch(order.id, first.ext_id))[0].ext_id == first.ext_id
    url = await house.stripe.portal(customer, "http://127.0.0.1:1/billing")
    assert (await house.browse(url)).status == 200


async def test_a_saved_paypal_account_is_charged_without_the_payer_once_per_key(house: Till) -> None:
    async def kept(funding: str) -> tuple[str, str]:
        asked = house.order("paypal", save_method=True)
        checkout = await house.paypal.checkout(asked)
        assert checkout.url is not None
        await house.approve(checkout.url, funding)
        (fact,) = await house.paypal.capture(asked.id, checkout.ext_id)
        assert fact.customer is not None
        assert fact.saved is not None
        return fact.customer, fact.saved

    good = await kept("pays")
    order, key = house.order("paypal", 700, reference="RX-AAAA-CCCC"), uuid4()
    first = await house.paypal.charge_saved(*good, order, key)
    again = await house.paypal.charge_saved(*good, order, key)
    assert isinstance(first, Fact)
    assert first == again
    assert (first.order_id, first.status, first.amount_minor) == (order.id, "succeeded", 700)
    refused = await house.paypal.charge_saved(*await kept("later_declined"), house.order("paypal"), uuid4())
    assert refused == Declined(code="instrument_declined", retry=True)
    gone = await house.paypal.charge_saved(good[0], "none", house.order("paypal"), uuid4())
    assert gone == Declined(code="token_id_not_found", retry=False)
    waits = await house.paypal.charge_saved(*await kept("later_asks"), house.order("paypal"), uuid4())
    assert isinstance(waits, NeedsAction)
    assert waits.url.startswith(house.sandbox.access.url)
    with pytest.raises(Unsupported):
        await house.paypal.portal("", "http://127.0.0.1:1/")


@pytest.mark.parametrize(
    ("does", "outcome"),
    [
        ("declined", Declined(code="generic_decline", retry=True)),
        ("insufficient_funds", Declined(code="insufficient_funds", retry=True)),
        ("do_not_honor", Declined(code="do_not_honor", retry=False)),
        ("stolen", Declined(code="stolen_card", retry=False)),
        ("lost", Declined(code="lost_card", retry=False)),
        ("expired", Declined(code="expired_card", retry=False)),
    ],
)
async def test_a_refused_card_says_whether_it_may_be_tried_again(house: Till, does: str, outcome: Declined) -> None:
    customer, saved = await _saved_card(house)
    await house.control("method", id=saved, does=does)
    assert await house.stripe.charge_saved(customer, saved, house.order("card"), uuid4()) == outcome


async def test_a_bank_that_wants_to_see_the_customer_gets_them(house: Till) -> None:
    customer, saved = await _saved_card(house)
    await house.control("method", id=saved, does="always_authenticates")
    outcome = await house.stripe.charge_saved(customer, saved, house.order("card"), uuid4())
    assert isinstance(outcome, NeedsAction)
    assert outcome.ext_id.startswith("pi_")


async def _saved_card(house: Till) -> tuple[str, str]:
    customer = await house.stripe.create_customer("c0ffee")
    _, _, facts = await paid(house, "stripe", customer=customer, save_method=True)
    assert facts[0].saved is not None
    return customer, facts[0].saved


async def test_the_event_list_tells_what_no_webhook_did(house: Till, name: str) -> None:
    order, checkout, _ = await paid(house, name)
    now = house.clock.now()
    hints = await of(house, name).events(now - timedelta(minutes=5), now)
    assert len({hint.event_id for hint in hints}) == len(hints) > 0
    assert [hint.at for hint in hints] == sorted(hint.at for hint in hints)
    assert any(hint.ext_id == checkout.ext_id and hint.order_id == order.id for hint in hints)
    found = [fact for hint in hints for fact in await of(house, name).read(hint.kind, hint.ext_id)]
    assert {fact.status for fact in found if fact.kind == "capture"} == {"succeeded"}
    assert await of(house, name).events(now + timedelta(minutes=5), now + timedelta(minutes=6)) == []
    assert await of(house, name).events(now - timedelta(minutes=9), now - timedelta(minutes=5)) == []


async def test_a_list_without_end_is_not_read_without_end(
    house: Till, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor, now = of(house, name), house.clock.now()
    monkeypatch.setattr(stripe, "_LIST", 1)
    monkeypatch.setattr(paypal, "_EVENTS", 1)
    monkeypatch.setattr(paypal, "_TRANSACTIONS", 1)
    monkeypatch.setattr(bounds, "EVENT_PAGES_MAX", 2)
    monkeypatch.setattr(bounds, "REPORT_PAGES_MAX", 2)
    for _ in range(3):
        await paid(house, name)
    for act in (
        lambda: processor.events(now - timedelta(minutes=5), house.clock.now()),
        lambda: processor.report(now.date()),
    ):
        with pytest.raises(ProcessorRefused) as refusal:
            await act()
        assert refusal.value.code == "processor_too_much"


async def test_the_books_of_a_day_agree_with_the_facts(house: Till, name: str) -> None:
    processor = of(house, name)
    _, _, facts = await paid(house, name, 5000)
    refund = await processor.refund(facts[0].ext_id, 1500, uuid4())
    entries = {entry.source: entry for entry in await processor.report(house.clock.now().date())}
    capture = entries[facts[0].ext_id]
    assert (capture.kind, capture.gross_minor, capture.fee_minor) == ("capture", 5000, facts[0].fee_minor)
    assert capture.net_minor == capture.gross_minor - capture.fee_minor
    back = entries[refund.ext_id]
    assert (back.kind, back.gross_minor, back.parent) == ("refund", -1500, facts[0].ext_id)
    assert await processor.report(house.clock.now().date() - timedelta(days=2)) == []


async def test_a_payout_is_a_fact(house: Till) -> None:
    await paid(house, "stripe", 5000)
    payout = await house.control("payout", vendor="stripe")
    facts = await house.stripe.read("payout.paid", payout["id"])
    assert [(fact.kind, fact.order_id) for fact in facts] == [("payout", None)]
    assert facts[0].amount_minor == abs(payout["amount"])


@pytest.mark.parametrize("body", ["html", "empty", "array", "null", "object", "cut", "bytes"])
async def test_nonsense_is_never_believed(house: Till, name: str, body: str) -> None:
    order, checkout, _ = await paid(house, name)
    where = "GET /v1/checkout/sessions/*" if name == "stripe" else "GET /v2/checkout/orders/*"
    await house.control("faults", on=where, do="nonsense", body=body)
    with pytest.raises(ProcessorRefused) as refused:
        await of(house, name).fetch(order.id, checkout.ext_id)
    assert refused.value.code == "processor_nonsense"
    assert len(await of(house, name).fetch(order.id, checkout.ext_id)) == 1


@pytest.mark.parametrize("do", ["refuse_before", "refuse_after", "lost_before", "lost_after"])
async def test_a_refund_whose_answer_was_lost_is_asked_again_with_its_key(house: Till, name: str, do: str) -> None:
    _, _, facts = await paid(house, name, 5000)
    where = "POST /v1/refunds" if name == "stripe" else "POST /v2/payments/captures/*/refund"
    await house.control("faults", on=where, do=do, times=2)  # the wire itself asks once again where it may
    key = uuid4()
    with pytest.raises((ProcessorRefused, UpstreamError)) as lost:
        await of(house, name).refund(facts[0].ext_id, 2000, key)
    assert not isinstance(lost.value, ProcessorRefused) or not lost.value.known
    house.sandbox.faults.rules.clear()
    fact = await of(house, name).refund(facts[0].ext_id, 2000, key)
    assert fact.amount_minor == 2000
    everything = await of(house, name).read(
        "charge.refunded" if name == "stripe" else "PAYMENT.CAPTURE.COMPLETED", facts[0].ext_id
    )
    assert [one.amount_minor for one in everything if one.kind == "refund"] == [2000]


async def test_what_is_unknown_is_nothing(house: Till, name: str) -> None:
    processor = of(house, name)
    kinds = ("payment_intent.succeeded", "CHECKOUT.ORDER.APPROVED", "PAYMENT.CAPTURE.COMPLETED", "whatever")
    for kind in kinds:
        for ext_id in ("pi_3nothing", "cs_test_nothing", "0NOTHING0000", "re_nothing", "x/../../v1/refunds"):
            assert await processor.read(kind, ext_id) == []


async def test_a_wrong_key_is_refused_and_not_shown(house: Till) -> None:
    wrong = house.another_paypal(secret="E" + "0" * 48)
    with pytest.raises(ProcessorRefused) as refused:
        await wrong.checkout(house.order("paypal"))
    assert refused.value.code == "processor_key_refused"
    assert "E000" not in f"{refused.value} {refused.value.detail} {refused.value.public}"


async def test_a_method_that_is_not_offered_is_refused(house: Till, name: str) -> None:
    with pytest.raises(InvalidCall):
        await of(house, name).checkout(house.order("bank_transfer"))


async def test_only_what_is_declared_leaves(house: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that went out in a whole life of a customer: no header of the SDK's, no field about a person."""
    heard: list[tuple[str, dict[str, str], bytes]] = []
    serve = house.sandbox.listener.serve

    async def hear(call: Any) -> Any:
        heard.append((f"{call.method} {call.path}", call.headers, call.body + repr(call.query).encode()))
        return await serve(call)

    house.sandbox.listener.serve = hear
    monkeypatch.setenv("CODEX_SANDBOX", "1")  # the SDK would tell which tool drives it
    acts: list[Callable[[], Awaitable[object]]] = [
        lambda: paid(house, "stripe", save_method=True, customer=None),
        lambda: paid(house, "paypal", save_method=True),
        lambda: house.stripe.events(house.clock.now() - timedelta(hours=1), house.clock.now()),
        lambda: house.paypal.report(house.clock.now().date()),
        lambda: house.stripe.report(house.clock.now().date()),
    ]
    for act in acts:
        await act()
    assert len(heard) > 8
    for what, headers, _ in heard:
        names = set(headers) - SENT - {"host", "user-agent", "content-length", "accept", "prefer", "paypal-request-id"}
        assert not names, (what, names)
        assert headers["user-agent"] == "ruxa"
    everything = b"\n".join(body for *_, body in heard).lower()
    for word in (b"email", b"phone", b"address", b"organisation", b"first_name", b"%40", b"codex"):
        assert word not in everything, word
    counted = {(line.recipient, line.category) for line in house.pool.register.tally.take()}
    assert counted == {
        (who, what) for who in ("stripe", "paypal") for what in ("user.payment", "user.unique_id.pseudonymous")
    }


async def test_another_host_is_never_dialled(house: Till) -> None:
    order, _, _ = await paid(house, "stripe")
    recipient = house.stripe.recipient
    assert recipient is not None
    where = house.sandbox.port
    for who in (recipient, house.paypal.recipient):
        assert who is not None
        house.pool.register.withdraw(who, "127.0.0.1", where)
    async with till() as fresh:
        fresh.pool.register.withdraw(recipient, "127.0.0.1", fresh.sandbox.port)
        paypal = fresh.paypal.recipient
        assert paypal is not None
        fresh.pool.register.withdraw(paypal, "127.0.0.1", fresh.sandbox.port)
        with pytest.raises(NoUpstream):
            await fresh.stripe.checkout(fresh.order("card"))
    assert order.livemode is False


async def test_a_bank_gives_lines_and_a_reference() -> None:
    async with till() as house:
        order = house.order("bank_transfer", 2500, tax_minor=475)
    bank = Bank(["Account holder: Ruxa Inc.", "IBAN: DE00 0000 0000 0000 0000 00"], livemode=True)
    checkout = await bank.checkout(order)
    assert checkout.url is None
    assert checkout.instructions == {
        "Account holder": "Ruxa Inc.",
        "IBAN": "DE00 0000 0000 0000 0000 00",
        "Amount": "29.75 USD",
        "Reference": order.reference,
    }
    with pytest.raises(Unsupported):
        await bank.refund("x", 1, uuid4())
    with pytest.raises(InvalidCall):
        Bank([], livemode=True)
    with pytest.raises(InvalidCall):
        Bank(["no label"], livemode=True)


@pytest.mark.parametrize("saved", [False, True])
async def test_tax_that_stripe_computes_is_told_whichever_way_the_payment_is_read(house: Till, saved: bool) -> None:
    taxing = house.another_stripe(tax=True)
    customer = await taxing.create_customer("c0ffee") if saved else None
    order = house.order("card", 1000, customer=customer, save_method=saved)
    checkout = await taxing.checkout(order)
    assert checkout.url is not None
    await house.browse(checkout.url, number="4242424242424242", expiry="12 / 34", cvc="123", country="DE")
    facts = await taxing.fetch(order.id, checkout.ext_id)
    assert [(fact.amount_minor, fact.tax_minor) for fact in facts] == [(1190, 190)]
    assert await taxing.read("payment_intent.succeeded", facts[0].ext_id) == facts


async def test_methods_that_are_named_are_what_the_page_offers(house: Till) -> None:
    named = house.another_stripe(methods=("card",))
    order = house.order("card", 1000, tax_minor=190)
    checkout = await named.checkout(order)
    assert checkout.url is not None
    assert b"bank" not in (await house.browse(checkout.url)).body
    await house.pay(checkout.url)
    assert [fact.amount_minor for fact in await named.fetch(order.id, checkout.ext_id)] == [1190]
    with pytest.raises(ProcessorRefused):
        await house.another_stripe(methods=("bitcoin",)).checkout(house.order("bitcoin"))


def test_nobody_is_sent_to_a_page_that_is_not_the_processors(house: Till) -> None:
    real = house.another_stripe(pages=("https://checkout.stripe.com",))
    for good in ("https://checkout.stripe.com/", "https://checkout.stripe.com/c/pay/cs_1#fid"):
        assert leads_to(real, good)
        assert own_page(real, good) == good
    for bad in (
        "", "https://checkout.stripe.com", "https://checkout.stripe.com.evil.example/", "http://checkout.stripe.com/c",
        "https://evil.example/https://checkout.stripe.com/", "https://checkout.stripe.com@evil.example/",
        "https://checkout.stripe.com\\@evil.example/", "https://checkout.stripe.com:444/", " https://checkout.stripe.com/",
        "https://checkout.stripe.com/\r\nset-cookie: a=b", "javascript:alert(1)",
        "https://checkout.stripe.com/" + "a" * 2000,
    ):  # fmt: skip
        assert not leads_to(real, bad), bad
        with pytest.raises(ProcessorRefused):
            own_page(real, bad)


async def test_a_refund_that_came_back_is_read_by_its_own_id(house: Till) -> None:
    _, _, facts = await paid(house, "stripe", 5000)
    refund = await house.stripe.refund(facts[0].ext_id, 5000, uuid4())
    await house.control("settle", id=refund.ext_id, end="failed")
    read = await house.stripe.read("refund.failed", refund.ext_id)
    assert [(one.kind, one.status, one.amount_minor) for one in read] == [
        ("capture", "succeeded", 5000),
        ("refund", "failed", 5000),
    ]


def test_only_words_of_a_refusal_are_kept() -> None:
    class Said(Exception):
        http_status = 400

        def __init__(self, code: str) -> None:
            self.http_body = msgspec.json.encode({"error": {"code": code, "message": "for ada@example.com"}})

    for code, kept in (("parameter_missing", "parameter_missing"), ("no Ada Lovelace here", "processor_refused"),
                       ("ada@example.com", "processor_refused"), ("4242424242424242", "processor_refused"),
                       ("a" * 61, "processor_refused")):  # fmt: skip
        refusal = stripe._refused(Said(code))  # pyright: ignore[reportPrivateUsage]
        assert isinstance(refusal, ProcessorRefused)
        assert refusal.code == kept
        assert "ada" not in f"{refusal} {refusal.public} {refusal.detail}".lower()
