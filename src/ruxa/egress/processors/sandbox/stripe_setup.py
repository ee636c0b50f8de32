"""Stripe's setup intents: a method is made ready for later charges without one now."""

from __future__ import annotations

from typing import Final

from ruxa.egress.processors.sandbox import cards
from ruxa.egress.processors.sandbox.books import Books, Json, fresh
from ruxa.egress.processors.sandbox.stripe_api import Ask, emit, find, listed, route
from ruxa.egress.processors.sandbox.stripe_customers import living
from ruxa.egress.processors.sandbox.stripe_errors import declined, refuse, state
from ruxa.egress.processors.sandbox.stripe_methods import attach_to, usable

_OPEN: Final = ("requires_payment_method", "requires_confirmation", "requires_action")


@route("POST", "/v1/setup_intents")
def create(ask: Ask) -> Json:
    """A setup intent, confirmed at once if asked."""
    form, books = ask.form, ask.books
    form.only(
        "automatic_payment_methods",
        "confirm",
        "customer",
        "description",
        "metadata",
        "payment_method",
        "return_url",
        "usage",
    )
    customer = living(books, form.need("customer"), "customer")["id"] if form.has("customer") else None
    if automatic := form.part("automatic_payment_methods"):
        automatic.only("enabled", "allow_redirects")
    method = usable(books, form.need("payment_method"), "payment_method") if form.has("payment_method") else None
    id_ = fresh("seti_1")
    intent: Json = {
        "id": id_,
        "object": "setup_intent",
        "application": None,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "cancellation_reason": None,
        "client_secret": f"{id_}_secret_{fresh('', 24)}",
        "created": books.now(),
        "customer": customer,
        "description": form.text("description"),
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": ask.books.livemode,
        "mandate": None,
        "metadata": form.metadata(),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": method["id"] if method else None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "single_use_mandate": None,
        "status": "requires_confirmation" if method else "requires_payment_method",
        "usage": form.text("usage", "off_session", "on_session") or "off_session",
        "_return": form.text("return_url"),
    }
    books.put("setup_intent", intent)
    emit(books, "setup_intent.created", intent)
    if form.flag("confirm"):
        if method is None:
            raise refuse("You cannot confirm this SetupIntent because it's missing a payment method.")
        return _confirm(books, intent, method)
    return intent


def _confirm(books: Books, intent: Json, method: Json) -> Json:
    if intent["status"] not in _OPEN:
        raise state(f"This SetupIntent has a status of {intent['status']}.", "setup_intent_unexpected_state", intent)
    intent["payment_method"] = method["id"]
    if method["_does"] in cards.DECLINES and method["_does"] != "later_declined":
        code, decline, message = cards.DECLINES[method["_does"]]
        intent |= {"status": "requires_payment_method", "payment_method": None}
        refused = declined(code, decline, message, intent, method, None)
        intent["last_setup_error"] = {
            name: value for name, value in refused.body["error"].items() if name != "setup_intent"
        }
        emit(books, "setup_intent.setup_failed", books.put("setup_intent", intent))
        raise refused
    if method["_does"] in ("authenticates", "always_authenticates"):
        url = {"url": f"{books.access.url}/c/3ds/{intent['id']}", "return_url": intent["_return"]}
        intent |= {"status": "requires_action", "next_action": {"type": "redirect_to_url", "redirect_to_url": url}}
        emit(books, "setup_intent.requires_action", intent)
        return books.put("setup_intent", intent)
    return succeed(books, intent, method)


def succeed(books: Books, intent: Json, method: Json) -> Json:
    """The method is ready, and attached."""
    if intent["customer"]:
        attach_to(books, method, living(books, intent["customer"]))
    books.put("payment_method", method | {"_set_up": True})
    intent |= {"status": "succeeded", "next_action": None}
    emit(books, "setup_intent.succeeded", intent)
    return books.put("setup_intent", intent)


def answered(books: Books, intent: Json, *, passed: bool) -> None:
    """The customer's bank has seen them, or not."""
    if passed:
        succeed(books, intent, find(books, "payment_method", intent["payment_method"]))
        return
    message = (
        "We are unable to authenticate your payment method. Please choose a different payment method and try again."
    )
    error = {"code": "setup_intent_authentication_failure", "message": message, "type": "invalid_request_error"}
    intent |= {"status": "requires_payment_method", "payment_method": None, "next_action": None}
    intent["last_setup_error"] = error
    emit(books, "setup_intent.setup_failed", books.put("setup_intent", intent))


@route("GET", "/v1/setup_intents")
def every(ask: Ask) -> Json:
    """Setup intents, of a customer or a method if asked."""
    form = ask.form
    form.only("created", "customer", "ending_before", "limit", "payment_method", "starting_after")
    customer, method = form.text("customer"), form.text("payment_method")
    found = (
        one
        for one in ask.books.every("setup_intent")
        if customer in (None, one["customer"]) and method in (None, one["payment_method"])
    )
    return listed(ask, found, "/v1/setup_intents")


@route("GET", "/v1/setup_intents/{}")
def retrieve(ask: Ask) -> Json:
    """One setup intent."""
    ask.form.only("client_secret")
    return find(ask.books, "setup_intent", ask.ids[0])


@route("POST", "/v1/setup_intents/{}/confirm")
def confirm(ask: Ask) -> Json:
    """Makes the method ready."""
    ask.form.only("payment_method", "return_url")
    intent = find(ask.books, "setup_intent", ask.ids[0])
    if ask.form.has("return_url"):
        intent["_return"] = ask.form.text("return_url")
    named = ask.form.text("payment_method") or intent["payment_method"]
    if named is None:
        raise refuse("You cannot confirm this SetupIntent because it's missing a payment method.")
    return _confirm(ask.books, intent, usable(ask.books, named, "payment_method"))


@route("POST", "/v1/setup_intents/{}/cancel")
def cancel(ask: Ask) -> Json:
    """Cancels an open setup intent."""
    ask.form.only("cancellation_reason")
    intent = find(ask.books, "setup_intent", ask.ids[0])
    if intent["status"] not in _OPEN:
        raise state(f"This SetupIntent has a status of {intent['status']}.", "setup_intent_unexpected_state", intent)
    reason = ask.form.text("cancellation_reason", "abandoned", "duplicate", "requested_by_customer")
    intent |= {"status": "canceled", "cancellation_reason": reason, "next_action": None}
    emit(ask.books, "setup_intent.canceled", intent)
    return ask.books.put("setup_intent", intent)
