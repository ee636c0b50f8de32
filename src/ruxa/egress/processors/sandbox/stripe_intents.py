"""Stripe's API of payment intents."""

from __future__ import annotations

from typing import Final

from ruxa.egress.processors.sandbox.books import Books, Json
from ruxa.egress.processors.sandbox.forms import Form
from ruxa.egress.processors.sandbox.stripe_api import Ask, emit, find, listed, route
from ruxa.egress.processors.sandbox.stripe_charges import settle
from ruxa.egress.processors.sandbox.stripe_customers import living
from ruxa.egress.processors.sandbox.stripe_errors import refuse
from ruxa.egress.processors.sandbox.stripe_methods import usable
from ruxa.egress.processors.sandbox.stripe_payments import (
    OPEN,
    amount_of,
    confirm,
    currency_of,
    make_intent,
    unauthenticated,
    unexpected,
)

_CREATE: Final = (
    "amount",
    "automatic_payment_methods",
    "capture_method",
    "confirm",
    "currency",
    "customer",
    "description",
    "error_on_requires_action",
    "metadata",
    "off_session",
    "payment_method",
    "return_url",
    "setup_future_usage",
    "statement_descriptor_suffix",
)


@route("POST", "/v1/payment_intents")
def create(ask: Ask) -> Json:
    """A payment intent; with ``confirm`` it is charged at once, with ``off_session`` without the customer."""
    form, books = ask.form, ask.books
    form.only(*_CREATE)
    amount, _ = amount_of(form), currency_of(form)
    customer = living(books, form.need("customer"), "customer")["id"] if form.has("customer") else None
    if automatic := form.part("automatic_payment_methods"):
        automatic.only("enabled", "allow_redirects")
    now, off = bool(form.flag("confirm")), bool(form.flag("off_session"))
    if off and not now:
        raise refuse("off_session can only be used when confirm is true.", param="off_session")
    method = _method(books, form, customer) if form.text("payment_method") else None
    if now and method is None:
        raise refuse(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
            "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a "
            "payment method or ConfirmationToken.",
            code="payment_intent_unexpected_state",
        )
    intent = make_intent(
        books,
        amount=amount,
        customer=customer,
        description=form.text("description"),
        metadata=form.metadata(),
        setup_future_usage=form.text("setup_future_usage", "off_session", "on_session"),
        capture_method=form.text("capture_method", "automatic", "automatic_async", "manual") or "automatic_async",
    )
    intent["_return"] = form.text("return_url")
    if method is not None:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    if now:
        assert method is not None
        return _confirmed(books, intent, method, form, off=off)
    return books.put("payment_intent", intent)


def _method(books: Books, form: Form, customer: str | None) -> Json:
    id_ = form.need("payment_method")
    method = usable(books, id_, form.name("payment_method"))
    if method["customer"] is not None and method["customer"] != customer:
        raise refuse(
            f"The customer does not have a payment method with the ID {id_}. The payment method must be attached to "
            "the customer.",
            code="payment_method_unexpected_state" if customer else "payment_intent_invalid_parameter",
            param=form.name("payment_method"),
        )
    return method


def _confirmed(books: Books, intent: Json, method: Json, form: Form, *, off: bool) -> Json:
    intent = confirm(books, intent, method, "off_session" if off else "on_session")
    if intent["status"] == "requires_action" and form.flag("error_on_requires_action"):
        raise unauthenticated(books, intent, method)
    return intent


@route("GET", "/v1/payment_intents")
def every(ask: Ask) -> Json:
    """Payment intents, of a customer if asked."""
    ask.form.only("created", "customer", "ending_before", "limit", "starting_after")
    customer = ask.form.text("customer")
    if customer:
        living(ask.books, customer, "customer")
    found = (one for one in ask.books.every("payment_intent") if customer in (None, one["customer"]))
    return listed(ask, found, "/v1/payment_intents")


@route("GET", "/v1/payment_intents/{}")
def retrieve(ask: Ask) -> Json:
    """One payment intent."""
    ask.form.only("client_secret")
    return find(ask.books, "payment_intent", ask.ids[0], None)


@route("POST", "/v1/payment_intents/{}/confirm")
def confirm_one(ask: Ask) -> Json:
    """Charges a payment intent."""
    form, books = ask.form, ask.books
    form.only("payment_method", "off_session", "return_url", "setup_future_usage", "error_on_requires_action")
    intent = find(books, "payment_intent", ask.ids[0])
    if intent["status"] not in OPEN:
        raise unexpected(intent, "confirm", "requires_payment_method, requires_confirmation, requires_action")
    if form.has("return_url"):
        intent["_return"] = form.text("return_url")
    if form.text("setup_future_usage", "off_session", "on_session"):
        intent["setup_future_usage"] = form.text("setup_future_usage")
    if form.text("payment_method"):
        method = _method(books, form, intent["customer"])
    elif intent["payment_method"]:
        method = usable(books, intent["payment_method"], "payment_method")
    else:
        raise unexpected(intent, "confirm without a payment method", "requires_confirmation")
    return _confirmed(books, intent, method, form, off=bool(form.flag("off_session")))


@route("POST", "/v1/payment_intents/{}/capture")
def capture(ask: Ask) -> Json:
    """Takes what was authorized, or a part of it."""
    form, books = ask.form, ask.books
    form.only("amount_to_capture", "metadata")
    intent = find(books, "payment_intent", ask.ids[0])
    if intent["status"] != "requires_capture":
        raise unexpected(intent, "capture", "requires_capture")
    amount = form.whole("amount_to_capture") if form.has("amount_to_capture") else intent["amount"]
    if amount is None or not 1 <= amount <= intent["amount"]:
        raise refuse(
            "The requested capture amount is greater than the authorized amount.",
            code="amount_too_large",
            param="amount_to_capture",
        )
    charge = find(books, "charge", intent["latest_charge"])
    intent |= {"amount_capturable": 0, "metadata": form.metadata(intent["metadata"])}
    charge |= {"captured": True, "amount_captured": amount}
    charge["amount_refunded"] = charge["amount"] - amount
    return settle(books, intent, charge, disputed=False)


@route("POST", "/v1/payment_intents/{}/cancel")
def cancel(ask: Ask) -> Json:
    """Cancels what was not paid yet."""
    form, books = ask.form, ask.books
    form.only("cancellation_reason")
    reason = form.text("cancellation_reason", "abandoned", "duplicate", "fraudulent", "requested_by_customer")
    intent = find(books, "payment_intent", ask.ids[0])
    if intent["status"] not in (*OPEN, "requires_capture"):
        raise unexpected(intent, "cancel", f"{', '.join(OPEN)}, requires_capture")
    if intent["latest_charge"] and intent["status"] == "requires_capture":
        charge = find(books, "charge", intent["latest_charge"])
        books.put("charge", charge | {"amount_refunded": charge["amount"], "refunded": True})
    intent |= {"status": "canceled", "canceled_at": books.now(), "cancellation_reason": reason}
    intent |= {"amount_capturable": 0, "next_action": None}
    emit(books, "payment_intent.canceled", intent)
    return books.put("payment_intent", intent)


def with_metadata(intent: Json, form: Form) -> Json:
    """The intent with what the form says about itself."""
    if form.has("description"):
        intent["description"] = form.text("description")
    if form.has("metadata"):
        intent["metadata"] = form.metadata(intent["metadata"])
    return intent


@route("POST", "/v1/payment_intents/{}")
def update(ask: Ask) -> Json:
    """Changes what an open payment intent says about itself."""
    ask.form.only("description", "metadata")
    intent = find(ask.books, "payment_intent", ask.ids[0])
    return ask.books.put("payment_intent", with_metadata(intent, ask.form))
