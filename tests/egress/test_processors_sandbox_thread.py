"""The shortest ways through the sandbox processor: pay at "Stripe" and at "PayPal", and be told of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import stripe

from processors_sandbox import Catcher, Sandbox, running


@pytest.fixture(scope="module")
def catcher() -> Iterator[Catcher]:
    made = Catcher()
    yield made
    made.close()


@pytest.fixture(scope="module")
def sandbox(catcher: Catcher) -> Iterator[Sandbox]:
    with running(webhooks=catcher.url) as made:
        yield made


def session_params(**more: Any) -> Any:
    return {
        "mode": "payment",
        "success_url": "http://127.0.0.1:1/back?s={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://127.0.0.1:1/cancel",
        "client_reference_id": "order-1",
        "line_items": [
            {
                "quantity": 1,
                "price_data": {"currency": "usd", "unit_amount": 2500, "product_data": {"name": "Ruxa credit"}},
            }
        ],
        "payment_intent_data": {"metadata": {"order": "order-1"}, "setup_future_usage": "off_session"},
        **more,
    }


def test_checkout_is_made_paid_told_and_read(sandbox: Sandbox, catcher: Catcher) -> None:
    client = stripe.StripeClient(sandbox.access.stripe_key, base_addresses={"api": sandbox.access.url})
    session = client.v1.checkout.sessions.create(params=session_params())
    assert session.status == "open"
    assert session.url is not None
    assert "4242" in sandbox.http.get(session.url).text
    back = sandbox.pay(session.url)
    assert back.status_code == 303
    assert back.headers["location"] == f"http://127.0.0.1:1/back?s={session.id}"
    read = client.v1.checkout.sessions.retrieve(
        session.id,
        params={"expand": ["payment_intent.latest_charge.balance_transaction", "payment_intent.payment_method"]},
    )
    assert (read.status, read.payment_status, read.amount_total) == ("complete", "paid", 2500)
    intent: Any = read.payment_intent
    assert intent.metadata["order"] == "order-1"
    assert intent.latest_charge.payment_method_details.card.last4 == "4242"
    assert intent.latest_charge.balance_transaction.fee == 103
    assert intent.payment_method.customer == read.customer
    sandbox.calm()
    kinds = [one["type"] for one in catcher.events()]
    assert "checkout.session.completed" in kinds
    for path, headers, body in catcher.caught:
        if path != "/stripe":
            continue
        stripe.Webhook.construct_event(body, headers["stripe-signature"], sandbox.access.stripe_webhook_secret)


def test_an_order_is_made_approved_captured_and_told(sandbox: Sandbox, catcher: Catcher) -> None:
    access, http = sandbox.access, sandbox.http
    auth = (access.paypal_client_id, access.paypal_client_secret)
    token = http.post("/v1/oauth2/token", auth=auth, data={"grant_type": "client_credentials"}).json()["access_token"]
    bearer = {"authorization": f"Bearer {token}"}
    made = http.post(
        "/v2/checkout/orders",
        headers=bearer,
        json={
            "intent": "CAPTURE",
            "purchase_units": [{"custom_id": "order-2", "amount": {"currency_code": "USD", "value": "25.00"}}],
            "payment_source": {
                "paypal": {
                    "experience_context": {
                        "return_url": "http://127.0.0.1:1/back",
                        "cancel_url": "http://127.0.0.1:1/no",
                    }
                }
            },
        },
    )
    assert made.status_code == 201
    order = made.json()
    way = next(one["href"] for one in order["links"] if one["rel"] == "payer-action")
    assert "Approve" in http.get(way).text
    too_early = http.post(f"/v2/checkout/orders/{order['id']}/capture", headers=bearer, json={})
    assert (too_early.status_code, too_early.json()["details"][0]["issue"]) == (422, "ORDER_NOT_APPROVED")
    back = http.post(way, data={"answer": "approve", "funding": "pays"})
    assert parse_qs(urlsplit(back.headers["location"]).query)["token"] == [order["id"]]
    captured = http.post(f"/v2/checkout/orders/{order['id']}/capture", headers=bearer, json={})
    assert captured.status_code == 201
    capture = captured.json()["purchase_units"][0]["payments"]["captures"][0]
    assert (capture["status"], capture["amount"]["value"], capture["custom_id"]) == ("COMPLETED", "25.00", "order-2")
    sandbox.calm()
    kinds = {one["event_type"] for one in catcher.events("/paypal")}
    assert kinds == {"CHECKOUT.ORDER.APPROVED", "PAYMENT.CAPTURE.COMPLETED"}
