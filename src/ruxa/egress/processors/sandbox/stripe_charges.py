"""Stripe's charges: what became of each attempt to pay."""

from __future__ import annotations

from typing import Literal

from ruxa.egress.processors.sandbox.books import Books, Json, fresh
from ruxa.egress.processors.sandbox.stripe_api import Ask, emit, find, listed, route
from ruxa.egress.processors.sandbox.stripe_disputes import open_dispute
from ruxa.egress.processors.sandbox.stripe_money import book, fee_of

End = Literal["succeeded", "pending", "failed", "authorized"]


def charge_for(
    books: Books,
    intent: Json,
    method: Json,
    end: End,
    *,
    failure: tuple[str, str | None, str] | None = None,
) -> Json:
    """The charge of an attempt; the intent's latest. ``failure``: code, decline code, message."""
    code, decline, message = failure or (None, None, None)
    captured = end == "succeeded"
    outcome = {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if failure else "approved_by_network",
        "reason": decline or code,
        "risk_level": "normal",
        "risk_score": 12,
        "seller_message": "The bank did not return any further details with this decline."
        if failure
        else "Payment complete.",
        "type": "issuer_declined" if failure else "authorized",
    }
    charge: Json = {
        "id": fresh("ch_3" if method["type"] == "card" else "py_3"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if captured else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "RUXA SANDBOX",
        "captured": captured,
        "created": books.now(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": code,
        "failure_message": message,
        "fraud_details": {},
        "livemode": books.livemode,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": outcome,
        "paid": end in ("succeeded", "authorized"),
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _details(method, intent),
        "radar_options": {},
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "succeeded" if end == "authorized" else end,
        "transfer_data": None,
        "transfer_group": None,
        "_refunds": {"object": "list", "data": [], "has_more": False, "url": ""},
    }
    charge["_refunds"]["url"] = f"/v1/charges/{charge['id']}/refunds"
    intent["latest_charge"] = charge["id"]
    books.put("charge", charge)
    if end in ("pending", "failed"):
        emit(books, f"charge.{end}", charge)
    return charge


def settle(books: Books, intent: Json, charge: Json, *, disputed: bool) -> Json:
    """The money of a charge has come: balance, states, events; ``disputed``: the cardholder complains at once."""
    amount = charge["amount_captured"] or intent["amount"]
    kind = "charge" if charge["id"].startswith("ch_") else "payment"
    txn = book(books, kind, amount, fee_of(amount), charge["id"], intent["description"])
    charge |= {"balance_transaction": txn["id"], "status": "succeeded", "paid": True, "captured": True}
    charge |= {"amount_captured": amount}
    books.put("charge", charge)
    intent |= {"status": "succeeded", "amount_received": amount, "processing": None, "next_action": None}
    books.put("payment_intent", intent)
    emit(books, "charge.succeeded", charge)
    emit(books, "payment_intent.succeeded", intent)
    if disputed:
        open_dispute(books, charge)
    return intent


def _details(method: Json, intent: Json) -> Json:
    if method["type"] != "card":
        return {"type": method["type"], method["type"]: dict(method[method["type"]])}
    card = method["card"]
    shared = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4", "wallet")
    secure = None
    if "authenticat" in method["_does"] and intent["status"] == "requires_action":
        secure = {
            "authentication_flow": "challenge",
            "result": "authenticated",
            "result_reason": None,
            "version": "2.2.0",
        }
    return {
        "type": "card",
        "card": {
            "amount_authorized": intent["amount"],
            **{name: card[name] for name in shared},
            "installments": None,
            "mandate": None,
            "network": card["brand"],
            "network_token": {"used": False},
            "three_d_secure": secure,
        },
    }


@route("GET", "/v1/charges")
def every(ask: Ask) -> Json:
    """Charges, of a customer or a payment intent if asked."""
    form = ask.form
    form.only("created", "customer", "ending_before", "limit", "payment_intent", "starting_after")
    customer, intent = form.text("customer"), form.text("payment_intent")
    found = (
        one
        for one in ask.books.every("charge")
        if customer in (None, one["customer"]) and intent in (None, one["payment_intent"])
    )
    return listed(ask, found, "/v1/charges")


@route("GET", "/v1/charges/{}")
def retrieve(ask: Ask) -> Json:
    """One charge."""
    ask.form.only()
    return find(ask.books, "charge", ask.ids[0])
