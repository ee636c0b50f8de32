"""Stripe's payment intents: made, confirmed (by a page or by us, with the customer or without), captured, canceled."""

from __future__ import annotations

from typing import Final, Literal

from ruxa.egress.processors.sandbox import cards
from ruxa.egress.processors.sandbox.books import Books, Json, fresh
from ruxa.egress.processors.sandbox.forms import Form
from ruxa.egress.processors.sandbox.stripe_api import Ask, emit, find, listed, route
from ruxa.egress.processors.sandbox.stripe_charges import charge_for, settle
from ruxa.egress.processors.sandbox.stripe_customers import attach_to, living, usable
from ruxa.egress.processors.sandbox.stripe_errors import Refused, declined, refuse, state

AMOUNT_MIN: Final = 50
AMOUNT_MAX: Final = 99_999_999
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
_OPEN: Final = ("requires_payment_method", "requires_confirmation", "requires_action")
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
        "livemode": False,
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
    if intent["status"] not in _OPEN:
        raise _unexpected(intent, "confirm", "requires_payment_method, requires_confirmation, requires_action")
    intent |= {"payment_method": method["id"], "last_payment_error": None, "next_action": None}
    does = method["_does"]
    if does == "always_authenticates" or (does == "authenticates" and not method.get("_set_up")):
        if present == "off_session":
            raise _fail(books, intent, method, "authentication_required", "authentication_required", _SEE_THEM)
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
        raise _unexpected(intent, "authenticate", "requires_action")
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


def fail_late(books: Books, intent: Json, charge: Json) -> None:
    """A slow payment did not come after all."""
    code, message = "payment_method_provider_decline", "The customer's bank account could not be debited."
    charge |= {"status": "failed", "paid": False, "failure_code": code, "failure_message": message}
    emit(books, "charge.failed", books.put("charge", charge))
    error = {"code": code, "message": message, "type": "card_error"}
    intent |= {"status": "requires_payment_method", "processing": None, "last_payment_error": error}
    emit(books, "payment_intent.payment_failed", books.put("payment_intent", intent))


def _unexpected(intent: Json, verb: str, needed: str) -> Refused:
    return state(
        f"This PaymentIntent's {verb} could not be carried out because it has a status of {intent['status']}. Only a "
        f"PaymentIntent with one of the following statuses may be used: {needed}.",
        "payment_intent_unexpected_state",
        intent,
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
        raise _fail(books, intent, method, "authentication_required", "authentication_required", _SEE_THEM)
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
    if intent["status"] not in _OPEN:
        raise _unexpected(intent, "confirm", "requires_payment_method, requires_confirmation, requires_action")
    if form.has("return_url"):
        intent["_return"] = form.text("return_url")
    if form.text("setup_future_usage", "off_session", "on_session"):
        intent["setup_future_usage"] = form.text("setup_future_usage")
    if form.text("payment_method"):
        method = _method(books, form, intent["customer"])
    elif intent["payment_method"]:
        method = usable(books, intent["payment_method"], "payment_method")
    else:
        raise _unexpected(intent, "confirm without a payment method", "requires_confirmation")
    return _confirmed(books, intent, method, form, off=bool(form.flag("off_session")))


@route("POST", "/v1/payment_intents/{}/capture")
def capture(ask: Ask) -> Json:
    """Takes what was authorized, or a part of it."""
    form, books = ask.form, ask.books
    form.only("amount_to_capture", "metadata")
    intent = find(books, "payment_intent", ask.ids[0])
    if intent["status"] != "requires_capture":
        raise _unexpected(intent, "capture", "requires_capture")
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
    if intent["status"] not in (*_OPEN, "requires_capture"):
        raise _unexpected(intent, "cancel", f"{', '.join(_OPEN)}, requires_capture")
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
