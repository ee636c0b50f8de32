"""The official ``stripe`` SDK, unmodified, drives the sandbox processor through every call that it plays."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import stripe
import stripe.params
from stripe.params.checkout import SessionCreateParams as CheckoutParams

from processors_sandbox import Catcher, Sandbox, running
from ruxa.egress.processors.sandbox import (
    stripe_api,
    stripe_customers,
    stripe_disputes,
    stripe_intents,
    stripe_sessions,
)

BACK = "http://127.0.0.1:1/back?s={CHECKOUT_SESSION_ID}"


@pytest.fixture(scope="module")
def catcher() -> Iterator[Catcher]:
    made = Catcher()
    yield made
    made.close()


@pytest.fixture(scope="module")
def sandbox(catcher: Catcher) -> Iterator[Sandbox]:
    with running(webhooks=catcher.url) as made:
        yield made


@pytest.fixture(scope="module")
def client(sandbox: Sandbox) -> Any:
    base = {"api": sandbox.access.url}
    return stripe.StripeClient(sandbox.access.stripe_key, base_addresses=base, max_network_retries=0).v1  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def healed(sandbox: Sandbox) -> Iterator[None]:
    yield
    sandbox.heal()


def session_of(client: Any, *, cents: int = 2500, **more: Any) -> Any:
    price = {"currency": "usd", "unit_amount": cents, "product_data": {"name": "Ruxa credit"}}
    return client.checkout.sessions.create(
        params={
            "mode": "payment",
            "success_url": BACK,
            "cancel_url": "http://127.0.0.1:1/cancel",
            "line_items": [{"quantity": 1, "price_data": price}],
            **more,
        }
    )


def paid(sandbox: Sandbox, client: Any, number: str = "4242424242424242", **more: Any) -> Any:
    session = session_of(client, **more)
    assert sandbox.pay(session.url, number).status_code == 303
    return client.checkout.sessions.retrieve(session.id, params={"expand": ["payment_intent.latest_charge"]})


def intent_of(client: Any, method: str = "pm_card_visa", cents: int = 1000, **more: Any) -> Any:
    params = {"amount": cents, "currency": "usd", "payment_method": method, "confirm": True, **more}
    return client.payment_intents.create(params=params)


def saved(client: Any, method: str = "pm_card_visa") -> tuple[Any, Any]:
    customer = client.customers.create()
    return customer, client.payment_methods.attach(method, params={"customer": customer.id})


def test_customers(client: Any) -> None:
    email = f"{uuid4().hex}@example.com"
    made = client.customers.create(params={"email": email, "metadata": {"ref": "a"}, "address": {"country": "DE"}})
    assert (made.object, made.email, made.metadata["ref"], made.address.country) == ("customer", email, "a", "DE")
    changed = client.customers.update(made.id, params={"metadata": {"ref": "", "b": "2"}, "name": "N"})
    assert dict(changed.metadata.to_dict()) == {"b": "2"}
    assert [one.id for one in client.customers.list(params={"email": email}).data] == [made.id]
    assert client.customers.retrieve(made.id).name == "N"
    assert client.customers.delete(made.id).deleted
    assert client.customers.retrieve(made.id).deleted
    with pytest.raises(stripe.InvalidRequestError, match="No such customer") as refused:
        client.customers.update(made.id, params={"name": "x"})
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")


def test_payment_methods(client: Any) -> None:
    customer, method = saved(client)
    assert (method.card.brand, method.card.last4, method.customer) == ("visa", "4242", customer.id)
    other = client.payment_methods.create(
        params={"type": "card", "card": {"number": "5555555555554444", "exp_month": 5, "exp_year": 2033, "cvc": "123"}}
    )
    assert (other.card.brand, other.card.exp_year) == ("mastercard", 2033)
    client.payment_methods.attach(other.id, params={"customer": customer.id})
    found = client.payment_methods.list(params={"customer": customer.id, "type": "card"})
    assert [one.id for one in found.data] == [other.id, method.id]
    assert [one.id for one in client.customers.payment_methods.list(customer.id).data] == [other.id, method.id]
    assert client.customers.payment_methods.retrieve(customer.id, method.id).id == method.id
    assert client.payment_methods.retrieve(method.id).card.fingerprint != other.card.fingerprint
    assert client.payment_methods.detach(method.id).customer is None
    with pytest.raises(stripe.InvalidRequestError):
        client.payment_methods.attach(method.id, params={"customer": customer.id})
    with pytest.raises(stripe.CardError) as refused:
        client.payment_methods.attach("pm_card_chargeDeclined", params={"customer": customer.id})
    assert (refused.value.code, refused.value.http_status) == ("card_declined", 402)
    number = "4111 1111 1111 1111"
    with pytest.raises(stripe.CardError, match="non test card") as unknown:
        client.payment_methods.create(
            params={"type": "card", "card": {"number": number, "exp_month": 1, "exp_year": 40}}
        )
    assert "1111" not in str(unknown.value)


@pytest.mark.parametrize(("answer", "status"), [("yes", "succeeded"), ("no", "requires_payment_method")])
def test_a_setup_intent_that_asks_the_bank(sandbox: Sandbox, client: Any, answer: str, status: str) -> None:
    customer = client.customers.create()
    asked = client.setup_intents.create(
        params={
            "customer": customer.id,
            "payment_method": "pm_card_authenticationRequiredOnSetup",
            "confirm": True,
            "return_url": "http://127.0.0.1:1/kept",
        }
    )
    url = asked.next_action.redirect_to_url.url
    assert "Keep this card" in sandbox.http.get(url).text
    assert sandbox.http.post(url, data={"answer": answer}).headers["location"] == "http://127.0.0.1:1/kept"
    done = client.setup_intents.retrieve(asked.id)
    assert done.status == status
    if status == "succeeded":
        later = intent_of(client, done.payment_method, customer=customer.id, off_session=True)
        assert later.status == "succeeded"


def test_setup_intents(client: Any) -> None:
    customer = client.customers.create()
    params = {"customer": customer.id, "payment_method": "pm_card_visa", "confirm": True}
    made = client.setup_intents.create(params=params)
    assert (made.status, made.usage) == ("succeeded", "off_session")
    waiting = client.setup_intents.create(params={"customer": customer.id})
    assert waiting.status == "requires_payment_method"
    asked = client.setup_intents.confirm(waiting.id, params={"payment_method": "pm_card_authenticationRequiredOnSetup"})
    assert (asked.status, asked.next_action.type) == ("requires_action", "redirect_to_url")
    assert client.setup_intents.cancel(waiting.id).status == "canceled"
    assert (
        client.setup_intents.retrieve(made.id, params={"expand": ["payment_method"]}).payment_method.customer
        == customer.id
    )
    assert [one.id for one in client.setup_intents.list(params={"customer": customer.id}).data] == [waiting.id, made.id]
    with pytest.raises(stripe.CardError):
        client.setup_intents.create(params={**params, "payment_method": "pm_card_chargeDeclined"})


def test_payment_intents_are_made_confirmed_captured_and_canceled(client: Any) -> None:
    customer = client.customers.create()
    made = client.payment_intents.create(
        params={
            "amount": 1234,
            "currency": "usd",
            "customer": customer.id,
            "metadata": {"order": "o"},
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "setup_future_usage": "off_session",
        }
    )
    assert (made.status, made.amount_received) == ("requires_payment_method", 0)
    made = client.payment_intents.confirm(made.id, params={"payment_method": "pm_card_visa"})
    assert (made.status, made.amount_received, made.metadata["order"]) == ("succeeded", 1234, "o")
    assert len(client.payment_methods.list(params={"customer": customer.id}).data) == 1
    assert [one.id for one in client.payment_intents.list(params={"customer": customer.id}).data] == [made.id]
    assert client.payment_intents.update(made.id, params={"metadata": {"more": "1"}}).metadata["more"] == "1"
    with pytest.raises(stripe.InvalidRequestError) as again:
        client.payment_intents.confirm(made.id)
    assert again.value.code == "payment_intent_unexpected_state"
    held = intent_of(client, capture_method="manual")
    assert (held.status, held.amount_capturable) == ("requires_capture", 1000)
    part = client.payment_intents.capture(held.id, params={"amount_to_capture": 600, "expand": ["latest_charge"]})
    assert (part.status, part.amount_received, part.latest_charge.amount_captured) == ("succeeded", 600, 600)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        client.refunds.create(params={"payment_intent": held.id, "amount": 601})
    assert client.refunds.create(params={"payment_intent": held.id}).amount == 600
    gone = client.payment_intents.cancel(intent_of(client, capture_method="manual").id)
    assert (gone.status, gone.amount_received) == ("canceled", 0)


@pytest.mark.parametrize(
    ("alias", "code", "decline"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
    ],
)
def test_declines(client: Any, alias: str, code: str, decline: str) -> None:
    with pytest.raises(stripe.CardError) as refused:
        intent_of(client, alias)
    error: Any = refused.value
    assert (error.http_status, error.code, error.error.decline_code) == (402, code, decline)
    intent = client.payment_intents.retrieve(error.error.payment_intent.id, params={"expand": ["latest_charge"]})
    assert (intent.status, intent.payment_method) == ("requires_payment_method", None)
    assert intent.last_payment_error.decline_code == decline
    assert (intent.latest_charge.status, intent.latest_charge.paid) == ("failed", False)


def test_a_card_that_attaches_and_fails_later(client: Any) -> None:
    customer, method = saved(client, "pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError) as refused:
        intent_of(client, method.id, customer=customer.id, off_session=True)
    assert refused.value.code == "card_declined"


def test_off_session_authentication(sandbox: Sandbox, client: Any) -> None:
    customer, method = saved(client, "pm_card_authenticationRequired")
    with pytest.raises(stripe.CardError) as refused:
        intent_of(client, method.id, customer=customer.id, off_session=True)
    error: Any = refused.value
    assert (error.http_status, error.code) == (402, "authentication_required")
    # The recovery: the same intent, with the customer there.
    intent = client.payment_intents.confirm(
        error.error.payment_intent.id, params={"payment_method": method.id, "return_url": "http://127.0.0.1:1/done"}
    )
    assert intent.status == "requires_action"
    url = intent.next_action.redirect_to_url.url
    assert "is it you" in sandbox.http.get(url).text
    back = sandbox.http.post(url, data={"answer": "yes"})
    assert (back.status_code, back.headers["location"]) == (303, "http://127.0.0.1:1/done")
    assert client.payment_intents.retrieve(intent.id).status == "succeeded"


def test_a_card_saved_on_the_page_is_charged_later(sandbox: Sandbox, client: Any) -> None:
    session = session_of(client, payment_intent_data={"setup_future_usage": "off_session"})
    asked = sandbox.pay(session.url, "4000002500003155")
    assert asked.headers["location"].startswith("/c/3ds/")
    assert client.checkout.sessions.retrieve(session.id).status == "open"
    refused = sandbox.http.post(asked.headers["location"], data={"answer": "no"})
    assert "unable to authenticate" in refused.text
    again = sandbox.pay(session.url, "4000002500003155")
    assert sandbox.http.post(again.headers["location"], data={"answer": "yes"}).status_code == 303
    done = client.checkout.sessions.retrieve(session.id, params={"expand": ["payment_intent"]})
    assert (done.status, done.payment_status) == ("complete", "paid")
    assert done.customer
    later = intent_of(client, done.payment_intent.payment_method, customer=done.customer, off_session=True)
    assert later.status == "succeeded"


def test_the_page_declines_and_then_pays(sandbox: Sandbox, client: Any) -> None:
    session = session_of(client, cents=5000)
    wrong = sandbox.pay(session.url, "4000000000009995")
    assert "insufficient funds" in wrong.text
    assert sandbox.pay(session.url, "4111 1111 1111 1111").text.count("4111") == 0
    assert client.checkout.sessions.retrieve(session.id).payment_status == "unpaid"
    assert sandbox.pay(session.url).status_code == 303
    assert "paid already" in sandbox.pay(session.url).text
    charges = client.charges.list(
        params={"payment_intent": client.checkout.sessions.retrieve(session.id).payment_intent}
    )
    assert [one.status for one in charges.data] == ["succeeded", "failed"]
    assert client.charges.retrieve(charges.data[0].id).outcome.type == "authorized"


def test_sessions_are_listed_expired_and_checked(sandbox: Sandbox, client: Any) -> None:
    customer = client.customers.create()
    one = session_of(client, customer=customer.id, expires_at=int(time.time()) + 1900, metadata={"order": "o"})
    two = session_of(client, customer=customer.id)
    assert [s.id for s in client.checkout.sessions.list(params={"customer": customer.id}).data] == [two.id, one.id]
    assert client.checkout.sessions.line_items.list(one.id).data[0].amount_total == 2500
    gone = client.checkout.sessions.expire(one.id)
    assert (gone.status, gone.url, gone.metadata["order"]) == ("expired", None, "o")
    assert "expired" in sandbox.pay(one.url).text
    with pytest.raises(stripe.InvalidRequestError, match="at least 30 minutes"):
        session_of(client, expires_at=int(time.time()) + 1700)
    with pytest.raises(stripe.InvalidRequestError) as small:
        session_of(client, cents=49)
    assert small.value.code == "amount_too_small"
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        session_of(client, allow_promotion_codes=True)
    assert (unknown.value.code, unknown.value.param) == ("parameter_unknown", "allow_promotion_codes")
    # What it was called in earlier versions of the API is unknown in this one.
    with pytest.raises(stripe.InvalidRequestError) as older:
        session_of(client, payment_method_types=["card"])
    assert older.value.param == "payment_method_types"
    narrow = session_of(client, allowed_payment_method_types=["card"])
    assert (narrow.allowed_payment_method_types, narrow.payment_method_types) == (["card"], ["card"])
    assert "bank account" not in sandbox.http.get(narrow.url).text


def test_tax_is_added_on_the_page_when_asked(sandbox: Sandbox, client: Any) -> None:
    session = session_of(client, cents=10_000, automatic_tax={"enabled": True}, tax_id_collection={"enabled": True})
    assert "Choose the country" in sandbox.pay(session.url).text
    assert sandbox.pay(session.url, country="DE").status_code == 303
    done = client.checkout.sessions.retrieve(session.id, params={"expand": ["payment_intent"]})
    assert (done.amount_subtotal, done.total_details.amount_tax, done.amount_total) == (10_000, 1900, 11_900)
    assert (done.payment_intent.amount_received, done.customer_details.address.country) == (11_900, "DE")


@pytest.mark.parametrize(("bank", "end", "status"), [("pays", "succeeded", "paid"), ("fails", "failed", "unpaid")])
def test_a_slow_method_completes_first_and_pays_later(
    sandbox: Sandbox, client: Any, catcher: Catcher, bank: str, end: str, status: str
) -> None:
    session = session_of(client)
    assert sandbox.http.post(session.url, data={"bank": bank}).status_code == 303
    waiting = client.checkout.sessions.retrieve(session.id, params={"expand": ["payment_intent"]})
    assert (waiting.status, waiting.payment_status, waiting.payment_intent.status) == (
        "complete",
        "unpaid",
        "processing",
    )
    sandbox.control("settle", id=session.id, end=end)
    assert client.checkout.sessions.retrieve(session.id).payment_status == status
    sandbox.calm()
    kinds = [one["type"] for one in catcher.events() if one["data"]["object"]["id"] == session.id]
    assert sorted(kinds) == [f"checkout.session.async_payment_{end}", "checkout.session.completed"]


def test_refunds(sandbox: Sandbox, client: Any) -> None:
    session = paid(sandbox, client)
    charge = session.payment_intent.latest_charge
    part = client.refunds.create(
        params={"payment_intent": session.payment_intent.id, "amount": 1000, "metadata": {"r": "1"}},
        options={"idempotency_key": uuid4().hex},
    )
    assert (part.status, part.amount, part.charge) == ("succeeded", 1000, charge.id)
    with pytest.raises(stripe.InvalidRequestError, match=r"\$15.01.*greater than unrefunded amount.*\$15.00"):
        client.refunds.create(params={"charge": charge.id, "amount": 1501})
    rest = client.refunds.create(params={"charge": charge.id})
    assert rest.amount == 1500
    with pytest.raises(stripe.InvalidRequestError) as again:
        client.refunds.create(params={"charge": charge.id})
    assert again.value.code == "charge_already_refunded"
    read = client.charges.retrieve(charge.id, params={"expand": ["refunds"]})
    assert (read.amount_refunded, read.refunded, [one.id for one in read.refunds.data]) == (
        2500,
        True,
        [rest.id, part.id],
    )
    assert [one.id for one in client.refunds.list(params={"charge": charge.id}).data] == [rest.id, part.id]
    one = client.refunds.retrieve(part.id, params={"expand": ["balance_transaction"]})
    assert (one.balance_transaction.amount, one.balance_transaction.source) == (-1000, part.id)
    assert client.refunds.update(part.id, params={"metadata": {"s": "2"}}).metadata.to_dict() == {"r": "1", "s": "2"}
    lines = client.balance_transactions.list(params={"source": charge.id})
    assert [(line.type, line.fee, line.net) for line in lines.data] == [("charge", 103, 2397)]


def test_a_refund_that_fails_comes_back(sandbox: Sandbox, client: Any, catcher: Catcher) -> None:
    session = paid(sandbox, client)
    refund = client.refunds.create(params={"payment_intent": session.payment_intent.id, "amount": 2500})
    sandbox.control("settle", id=refund.id, end="failed")
    failed = client.refunds.retrieve(refund.id, params={"expand": ["failure_balance_transaction"]})
    assert (failed.status, failed.failure_balance_transaction.amount) == ("failed", 2500)
    charge = client.charges.retrieve(refund.charge)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    assert client.refunds.create(params={"charge": charge.id}).amount == 2500
    sandbox.calm()
    kinds = [one["type"] for one in catcher.events() if one["data"]["object"]["id"] == refund.id]
    assert sorted(kinds) == ["charge.refund.updated", "refund.created", "refund.failed"]


def test_disputes_take_money_and_give_it_back(sandbox: Sandbox, client: Any, catcher: Catcher) -> None:
    session = paid(sandbox, client, "4000000000000259")
    charge = session.payment_intent.latest_charge
    assert charge.disputed
    dispute = client.disputes.list(params={"charge": charge.id}).data[0]
    assert (dispute.status, dispute.amount, dispute.payment_intent) == (
        "needs_response",
        2500,
        session.payment_intent.id,
    )
    assert [(line.amount, line.fee) for line in dispute.balance_transactions] == [(-2500, 1500)]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.refunds.create(params={"charge": charge.id})
    assert refused.value.code == "charge_disputed"
    staged = client.disputes.update(
        dispute.id, params={"evidence": {"uncategorized_text": "they used it"}, "submit": False}
    )
    assert (staged.status, staged.evidence_details.has_evidence) == ("needs_response", True)
    sent = client.disputes.update(dispute.id, params={"evidence": {"product_description": "API calls"}, "submit": True})
    assert (sent.status, sent.evidence_details.submission_count) == ("under_review", 1)
    sandbox.control("dispute/close", id=dispute.id, end="won")
    won = client.disputes.retrieve(dispute.id)
    assert (won.status, [line.amount for line in won.balance_transactions]) == ("won", [-2500, 2500])
    sandbox.calm()
    kinds = {one["type"] for one in catcher.events() if one["data"]["object"]["id"] == dispute.id}
    assert kinds == {
        f"charge.dispute.{what}" for what in ("created", "funds_withdrawn", "updated", "funds_reinstated", "closed")
    }
    other = sandbox.control("dispute", id=paid(sandbox, client).payment_intent.id, reason="product_not_received")
    lost = client.disputes.close(other["id"])
    assert (lost.status, lost.reason) == ("lost", "product_not_received")
    losing = sandbox.control("dispute", id=paid(sandbox, client).payment_intent.id)
    ended = client.disputes.update(losing["id"], params={"evidence": {"uncategorized_text": "losing_evidence"}})
    assert ended.status == "lost"


def test_events_tell_what_happened(sandbox: Sandbox, client: Any) -> None:
    session = paid(sandbox, client)
    kinds = ["checkout.session.completed", "charge.succeeded"]
    found = client.events.list(params={"types": kinds, "created": {"gte": session.created}, "limit": 100}).data
    mine = next(one for one in found if one.data.object.id == session.id)
    read = client.events.retrieve(mine.id)
    assert (read.type, read.api_version, read.livemode) == ("checkout.session.completed", stripe_api.VERSION, False)
    assert {one.type for one in found} <= set(kinds)
    assert client.events.list(params={"type": "charge.*", "limit": 1}).data[0].type.startswith("charge.")


def test_payouts_name_what_they_pay_out(sandbox: Sandbox, client: Any) -> None:
    session = paid(sandbox, client)
    made = sandbox.control("payout")
    assert (made["automatic"], made["status"]) == (True, "paid")
    lines = client.balance_transactions.list(params={"payout": made["id"], "limit": 100})
    assert session.payment_intent.latest_charge.balance_transaction in [line.id for line in lines.auto_paging_iter()]
    assert sum(line.net for line in lines.auto_paging_iter()) == 0
    assert client.balance_transactions.retrieve(made["balance_transaction"]).type == "payout"
    paid(sandbox, client, cents=3000)
    by_hand = client.payouts.create(params={"amount": 100, "currency": "usd"})
    assert client.payouts.retrieve(by_hand.id).amount == 100
    assert client.payouts.list(params={"limit": 1}).data[0].id == by_hand.id
    assert client.balance.retrieve().available[0].currency == "usd"
    rest = sandbox.control("payout")
    assert rest["amount"] == 3000 - 117 - 100
    assert client.balance.retrieve().available[0].amount == 0
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.payouts.create(params={"amount": 90_000_000, "currency": "usd"})
    assert refused.value.code == "balance_insufficient"


def test_the_portal_shows_and_deletes_cards(sandbox: Sandbox, client: Any) -> None:
    customer, method = saved(client)
    session = client.billing_portal.sessions.create(
        params={"customer": customer.id, "return_url": "http://127.0.0.1:1/b"}
    )
    assert "Visa ending in 4242" in sandbox.http.get(session.url).text
    assert "is deleted" in sandbox.http.post(session.url, data={"delete": method.id}).text
    assert client.payment_methods.list(params={"customer": customer.id}).data == []
    _, foreign = saved(client)
    sandbox.http.post(session.url, data={"delete": foreign.id})
    assert client.payment_methods.retrieve(foreign.id).customer is not None


def test_webhook_endpoints_have_secrets_of_their_own(sandbox: Sandbox, client: Any, catcher: Catcher) -> None:
    made = client.webhook_endpoints.create(params={"url": f"{catcher.url}/own", "enabled_events": ["customer.created"]})
    customer = client.customers.create()
    sandbox.calm()
    told = [(headers, body) for path, headers, body in catcher.caught if path == "/own"]
    assert len(told) == 1
    event = stripe.Webhook.construct_event(told[0][1], told[0][0]["stripe-signature"], made.secret)
    assert event.data.object.id == customer.id
    assert client.webhook_endpoints.update(made.id, params={"disabled": True}).status == "disabled"
    client.customers.create()
    sandbox.calm()
    assert len([path for path, _, _ in catcher.caught if path == "/own"]) == 1
    assert made.id in [one.id for one in client.webhook_endpoints.list().data]
    assert client.webhook_endpoints.retrieve(made.id).enabled_events == ["customer.created"]
    assert client.webhook_endpoints.delete(made.id).deleted


def test_the_account(client: Any) -> None:
    own = client.accounts.retrieve_current()
    assert own.country == "US"
    assert client.accounts.retrieve(own.id).id == own.id


def test_one_key_is_one_payment(client: Any) -> None:
    key = uuid4().hex
    params = {"amount": 700, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    one = client.payment_intents.create(params=params, options={"idempotency_key": key})
    two = client.payment_intents.create(params=params, options={"idempotency_key": key})
    assert (one.id, one.latest_charge) == (two.id, two.latest_charge)
    assert two.last_response.headers["idempotent-replayed"] == "true"
    assert two.last_response.headers["original-request"] == one.last_response.headers["request-id"]
    with pytest.raises(stripe.IdempotencyError) as other:
        client.payment_intents.create(params={**params, "amount": 701}, options={"idempotency_key": key})
    assert other.value.http_status == 400
    # A decline was begun and is kept; a refusal of the request was not.
    key = uuid4().hex
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            client.payment_intents.create(
                params={**params, "payment_method": "pm_card_chargeDeclined"}, options={"idempotency_key": key}
            )
        declined_intent = declined.value.error.payment_intent.id
        assert client.payment_intents.retrieve(declined_intent).status == "requires_payment_method"
    key = uuid4().hex
    with pytest.raises(stripe.InvalidRequestError):
        client.payment_intents.create(params={**params, "amount": 1}, options={"idempotency_key": key})
    assert client.payment_intents.create(params=params, options={"idempotency_key": key}).status == "succeeded"


def test_two_at_once_with_one_key(sandbox: Sandbox, client: Any) -> None:
    sandbox.control("faults", on="POST /v1/payment_intents", do="delay", ms=300)
    key, first = uuid4().hex, []
    params = {"amount": 800, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}

    def slow() -> None:
        first.append(client.payment_intents.create(params=params, options={"idempotency_key": key}))

    thread = threading.Thread(target=slow)
    thread.start()
    while not sandbox.http.get("/_sandbox/faults").json()[0]["hits"]:
        pass
    with pytest.raises(stripe.APIError) as busy:
        client.payment_intents.create(params=params, options={"idempotency_key": key})
    told: Any = busy.value.json_body
    assert (busy.value.http_status, told["error"]["code"]) == (409, "idempotency_key_in_use")
    thread.join()
    assert client.payment_intents.create(params=params, options={"idempotency_key": key}).id == first[0].id


def test_pages_of_a_list(client: Any) -> None:
    customer = client.customers.create()
    made = [
        client.payment_intents.create(params={"amount": 500 + n, "currency": "usd", "customer": customer.id})
        for n in range(5)
    ]
    newest = [one.id for one in reversed(made)]
    page = client.payment_intents.list(params={"customer": customer.id, "limit": 2})
    assert (page.has_more, [one.id for one in page.data]) == (True, newest[:2])
    assert [one.id for one in page.auto_paging_iter()] == newest
    back = client.payment_intents.list(params={"customer": customer.id, "limit": 2, "ending_before": newest[4]})
    assert ([one.id for one in back.data], back.has_more) == (newest[2:4], True)
    with pytest.raises(stripe.InvalidRequestError, match="between 1 and 100"):
        client.payment_intents.list(params={"limit": 101})


def test_bad_requests(sandbox: Sandbox, client: Any) -> None:
    for params, code, param in (
        ({"amount": 1000, "currency": "usd", "confrim": True}, "parameter_unknown", "confrim"),
        ({"currency": "usd"}, "parameter_missing", "amount"),
        ({"amount": "12.5", "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": -5, "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": 0, "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": 100_000_000, "currency": "usd"}, "amount_too_large", "amount"),
        ({"amount": 1000, "currency": "eur"}, None, "currency"),
        ({"amount": 1000, "currency": "usd", "customer": "cus_none"}, "resource_missing", "customer"),
        ({"amount": 1000, "currency": "usd", "payment_method": "pm_none"}, "resource_missing", "payment_method"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.payment_intents.create(params=params)
        assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, code, param), params
    intent_of(client)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        client.payment_intents.list(params={"expand": ["data.nothing"]})
    assert (
        sandbox.http.get("/v1/nothing", headers={"authorization": f"Bearer {sandbox.access.stripe_key}"}).status_code
        == 404
    )


def test_keys_and_headers(sandbox: Sandbox, client: Any) -> None:
    wrong = stripe.StripeClient(
        "sk_test_" + "x" * 30, base_addresses={"api": sandbox.access.url}, max_network_retries=0
    )
    with pytest.raises(stripe.AuthenticationError, match=r"sk_test_\*+xxxx"):
        wrong.v1.customers.list()
    assert sandbox.http.get("/v1/customers").status_code == 401
    headers = client.customers.list().last_response.headers
    assert headers["stripe-version"] == stripe.api_version == stripe_api.VERSION
    assert headers["request-id"].startswith("req_")
    with pytest.raises(stripe.PermissionError):
        client.customers.list(options={"stripe_account": "acct_other"})


def test_every_member_and_parameter_is_one_that_the_sdk_knows(sandbox: Sandbox, client: Any) -> None:
    """Against shapes of earlier versions of the API: the SDK's types are written from Stripe's own description."""
    session = paid(sandbox, client, "4000000000000259")
    saved(client)
    client.setup_intents.create()
    client.webhook_endpoints.create(params={"url": "http://127.0.0.1:9/x", "enabled_events": ["none"]})
    client.refunds.create(params={"payment_intent": paid(sandbox, client).payment_intent.id})
    paid(sandbox, client, cents=100_000)
    sandbox.control("payout")
    client.billing_portal.sessions.create(params={"customer": client.customers.create().id})
    kinds: dict[str, Any] = {
        "customer": stripe.Customer,
        "payment_method": stripe.PaymentMethod,
        "payment_intent": stripe.PaymentIntent,
        "setup_intent": stripe.SetupIntent,
        "charge": stripe.Charge,
        "refund": stripe.Refund,
        "dispute": stripe.Dispute,
        "event": stripe.Event,
        "session": stripe.checkout.Session,
        "portal": stripe.billing_portal.Session,
        "txn": stripe.BalanceTransaction,
        "payout": stripe.Payout,
        "endpoint": stripe.WebhookEndpoint,
    }
    assert session.payment_intent.latest_charge.disputed
    for kind, known in kinds.items():
        thing = next(sandbox.server.books.every(kind))
        strange = [name for name in thing if not name.startswith("_") and name not in known.__annotations__]
        assert strange == [], kind
    taken: list[tuple[tuple[str, ...], Any]] = [
        (stripe_sessions._CREATE, CheckoutParams),  # pyright: ignore[reportPrivateUsage]
        (stripe_intents._CREATE, stripe.params.PaymentIntentCreateParams),  # pyright: ignore[reportPrivateUsage]
        (stripe_customers._CUSTOMER, stripe.params.CustomerCreateParams),  # pyright: ignore[reportPrivateUsage]
        (stripe_disputes._EVIDENCE, stripe.params.DisputeUpdateParamsEvidence),  # pyright: ignore[reportPrivateUsage]
    ]
    for names, params in taken:
        assert [name for name in names if name not in params.__annotations__] == [], params
