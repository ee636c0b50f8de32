"""Stripe's payment intents as such: made, charged (by a page or by us, with the customer or without), failed."""

from __future__ import annotations

from typing import Final, Literal

from ruxa.egress.processors.sandbox import cards
from ruxa.egress.processors.sandbox.books import Books, Json, fresh
from ruxa.egress.processors.sandbox.forms import Form
from ruxa.egress.processors.sandbox.stripe_api import emit
from ruxa.egress.processors.sandbox.stripe_charges import charge_for, settle
from ruxa.egress.processors.sandbox.stripe_errors import Refused, declined, refuse, state
from ruxa.egress.processors.sandbox.stripe_methods import attach_to

AMOUNT_MIN: Final = 50
AMOUNT_MAX: Final = 99_999_999
OPEN: Final = ("requires_payment_method", "requires_confirmation", "requires_action")
Present = Literal["page", "on_session", "off_session"]


def amount_of(form: Form, name: str = "amount") -> int:
    """An amount in cents that Stripe charges. Raises Refused."""
    amount = form.whole(name)
    if amount is None:
        form.need(name)
    assert amount is not None
    if amount < 1:
        raise refuse("Invalid positive integer", code="parameter_invalid_integer", param=form.name(name))
    if amount < AMOUNT_MIN:
        raise refuse("Amount must be at least $0.50 usd", code="amount_too_small", param=form.name(name))
    if amount > AMOUNT_MAX:
        raise refuse("Amount must be no more than $999,999.99", code="amount_too_large", param=form.name(name))
    return amount


def currency_of(form: Form) -> str:
    """The one currency that is played. Raises Refused."""
    currency = form.need("currency").lower()
    if currency != "usd":
        raise refuse(
            f"Invalid currency: {currency[:10]}. The sandbox processor takes usd.",
            code="parameter_invalid_string_empty" if not currency else None,
            param=form.name("currency"),
        )
    return currency


def make_intent(
    books: Books,
    *,
    amount: int,
    customer: str | None,
    description: str | None = None,
    metadata: Json | None = None,
    setup_future_usage: str | None = None,
    capture_method: str = "automatic_async",
) -> Json:
    """A new payment intent without a method."""
    id_ = fresh("pi_3")
    made: Json = {
        "id": id_,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": capture_method,
        "client_secret": f"{id_}_secret_{fresh('', 24)}",
        "confirmation_method": "automatic",
        "created": books.now(),
        "currency": "usd",
        "customer": customer,
        "description": description,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": books.livemode,
        "metadata": metadata or {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card", "us_bank_account"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": setup_future_usage,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }
    emit(books, "payment_intent.created", made)
    return books.put("payment_intent", made)


def confirm(books: Books, intent: Json, method: Json, present: Present) -> Json:
    """Try to charge ``method``. Raises Refused (402) when declined; ``requires_action`` waits for the customer."""
    if intent["status"] not in OPEN:
        raise unexpected(intent, "confirm", "requires_payment_method, requires_confirmation, requires_action")
    intent |= {"payment_method": method["id"], "last_payment_error": None, "next_action": None}
    does = method["_does"]
    if does == "always_authenticates" or (does == "authenticates" and not method.get("_set_up")):
        if present == "off_session":
            raise unauthenticated(books, intent, method)
        intent |= {
            "status": "requires_action",
            "next_action": {
                "type": "redirect_to_url",
                "redirect_to_url": {
                    "url": f"{books.access.url}/c/3ds/{intent['id']}",
                    "return_url": intent.get("_return"),
                },
            },
        }
        emit(books, "payment_intent.requires_action", intent)
        return books.put("payment_intent", intent)
    if does == "later_declined" and present == "page":
        does = "pays"
    return _charge(books, intent, method, does)


_SEE_THEM: Final = "Your card was declined. This transaction requires authentication."


def authenticated(books: Books, intent: Json, *, passed: bool) -> Json:
    """The customer's bank has seen them, or not. Raises Refused when that fails."""
    if intent["status"] != "requires_action":
        raise unexpected(intent, "authenticate", "requires_action")
    method = books.get("payment_method", intent["payment_method"])
    assert method is not None
    if not passed:
        message = (
            "We are unable to authenticate your payment method. Please choose a different payment method and try again."
        )
        raise _fail(books, intent, method, "payment_intent_authentication_failure", None, message, charged=False)
    intent["next_action"] = None
    if intent["setup_future_usage"] == "off_session":
        method["_set_up"] = True
    return _charge(books, intent, method, "pays")


def _charge(books: Books, intent: Json, method: Json, does: str) -> Json:
    if method["type"] == "us_bank_account":
        intent |= {"status": "processing", "processing": {"type": "us_bank_account"}, "next_action": None}
        charge_for(books, intent, method, "pending")
        emit(books, "payment_intent.processing", intent)
        return books.put("payment_intent", intent)
    if does in cards.DECLINES:
        raise _fail(books, intent, method, *cards.DECLINES[does])
    if intent["setup_future_usage"] and intent["customer"]:
        customer = books.get("customer", intent["customer"])
        if customer is not None and not customer.get("deleted"):
            attach_to(books, method, customer)
    if intent["capture_method"] == "manual":
        charge_for(books, intent, method, "authorized")
        intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
        emit(books, "payment_intent.amount_capturable_updated", intent)
        return books.put("payment_intent", intent)
    charge = charge_for(books, intent, method, "succeeded")
    return settle(books, intent, charge, disputed=does == "disputes")


def _fail(
    books: Books, intent: Json, method: Json, code: str, decline: str | None, message: str, *, charged: bool = True
) -> Refused:
    """The method is let go, the failure noted; what to raise."""
    charge = charge_for(books, intent, method, "failed", failure=(code, decline, message)) if charged else None
    intent |= {"status": "requires_payment_method", "payment_method": None, "next_action": None}
    intent["last_payment_error"] = None
    refused = declined(code, decline, message, intent, method, charge["id"] if charge else None)
    error: Json = refused.body["error"]
    intent["last_payment_error"] = {name: value for name, value in error.items() if name != "payment_intent"}
    error["payment_intent"] = {**error["payment_intent"], "last_payment_error": intent["last_payment_error"]}
    emit(books, "payment_intent.payment_failed", intent)
    books.put("payment_intent", intent)
    return refused


def unauthenticated(books: Books, intent: Json, method: Json) -> Refused:
    """The bank wants to see the customer, who is not there; what to raise."""
    return _fail(books, intent, method, "authentication_required", "authentication_required", _SEE_THEM)


def fail_late(books: Books, intent: Json, charge: Json) -> None:
    """A slow payment did not come after all."""
    code, message = "payment_method_provider_decline", "The customer's bank account could not be debited."
    charge |= {"status": "failed", "paid": False, "failure_code": code, "failure_message": message}
    emit(books, "charge.failed", books.put("charge", charge))
    error = {"code": code, "message": message, "type": "card_error"}
    intent |= {"status": "requires_payment_method", "processing": None, "last_payment_error": error}
    emit(books, "payment_intent.payment_failed", books.put("payment_intent", intent))


def unexpected(intent: Json, verb: str, needed: str) -> Refused:
    return state(
        f"This PaymentIntent's {verb} could not be carried out because it has a status of {intent['status']}. Only a "
        f"PaymentIntent with one of the following statuses may be used: {needed}.",
        "payment_intent_unexpected_state",
        intent,
    )
