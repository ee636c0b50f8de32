"""Stripe's API of customers, and of the payment methods attached to them."""

from __future__ import annotations

from typing import Final

from ruxa.egress.processors.sandbox import cards
from ruxa.egress.processors.sandbox.books import Books, Json, fresh
from ruxa.egress.processors.sandbox.forms import Form
from ruxa.egress.processors.sandbox.stripe_api import Ask, emit, find, listed, route
from ruxa.egress.processors.sandbox.stripe_errors import no_such, refuse
from ruxa.egress.processors.sandbox.stripe_methods import attach_to, detached, make_card, usable

_CUSTOMER: Final = ("address", "description", "email", "metadata", "name", "phone", "preferred_locales", "tax_exempt")
_ADDRESS: Final = ("city", "country", "line1", "line2", "postal_code", "state")


def make_customer(books: Books, *, email: str | None = None, metadata: Json | None = None) -> Json:
    """A new customer."""
    id_ = fresh("cus_", 14)
    made: Json = {
        "id": id_,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": books.now(),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": email,
        "invoice_prefix": id_[-8:].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": books.livemode,
        "metadata": metadata or {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    return books.put("customer", made)


def _fill(books: Books, customer: Json, form: Form) -> Json:
    """Takes over what the form says; gives what was there before."""
    before: Json = {}
    for name in ("description", "email", "name", "phone"):
        if form.has(name):
            before[name], customer[name] = customer[name], form.text(name)
    if form.has("tax_exempt"):
        customer["tax_exempt"] = form.text("tax_exempt", "none", "exempt", "reverse") or "none"
    if form.has("preferred_locales"):
        customer["preferred_locales"] = form.words("preferred_locales")
    if form.has("address"):
        customer["address"] = address(form.part("address"))
    if form.has("metadata"):
        before["metadata"], customer["metadata"] = customer["metadata"], form.metadata(customer["metadata"])
    if settings := form.part("invoice_settings"):
        settings.only("default_payment_method")
        method = settings.text("default_payment_method")
        if method is not None:
            found = find(books, "payment_method", method, settings.name("default_payment_method"))
            if found["customer"] != customer["id"]:
                raise no_such("payment_method", method, settings.name("default_payment_method"), status=400)
        customer["invoice_settings"]["default_payment_method"] = method
    return before


def address(form: Form | None) -> Json | None:
    """A postal address."""
    if form is None:
        return None
    form.only(*_ADDRESS)
    return {name: form.text(name) for name in _ADDRESS}


def living(books: Books, id_: str, param: str | None = None) -> Json:
    """The customer, unless deleted."""
    customer = find(books, "customer", id_, param)
    if customer.get("deleted"):
        raise no_such("customer", id_, param or "id", status=400 if param else 404)
    return customer


@route("POST", "/v1/customers")
def create(ask: Ask) -> Json:
    """A new customer, with a payment method if one is named."""
    form, books = ask.form, ask.books
    form.only(*_CUSTOMER, "payment_method", "invoice_settings")
    method = (
        find(books, "payment_method", form.need("payment_method"), "payment_method")
        if form.has("payment_method")
        else None
    )
    customer = make_customer(books)
    if method is not None:
        attach_to(books, method, customer)
    _fill(books, customer, form)
    emit(books, "customer.created", customer)
    return books.put("customer", customer)


@route("GET", "/v1/customers")
def every(ask: Ask) -> Json:
    """Customers, by e-mail if asked."""
    ask.form.only("created", "email", "ending_before", "limit", "starting_after")
    email = ask.form.text("email")
    found = (one for one in ask.books.every("customer") if not one.get("deleted") and email in (None, one.get("email")))
    return listed(ask, found, "/v1/customers")


@route("GET", "/v1/customers/{}")
def retrieve(ask: Ask) -> Json:
    """One customer; a deleted one says so."""
    ask.form.only()
    return find(ask.books, "customer", ask.ids[0])


@route("POST", "/v1/customers/{}")
def update(ask: Ask) -> Json:
    """Changes a customer."""
    ask.form.only(*_CUSTOMER, "invoice_settings")
    customer = living(ask.books, ask.ids[0])
    before = _fill(ask.books, customer, ask.form)
    emit(ask.books, "customer.updated", customer, before)
    return ask.books.put("customer", customer)


@route("DELETE", "/v1/customers/{}")
def delete(ask: Ask) -> Json:
    """Deletes a customer and lets go of the methods."""
    books = ask.books
    customer = living(books, ask.ids[0])
    for method in books.where("payment_method", customer=customer["id"]):
        books.put("payment_method", method | {"customer": None, "_gone": True})
    emit(books, "customer.deleted", customer)
    gone = {"id": customer["id"], "object": "customer", "deleted": True, "_n": customer["_n"]}
    return books.put("customer", gone)


@route("POST", "/v1/payment_methods")
def create_method(ask: Ask) -> Json:
    """A payment method of a test card's number, or of an alias's token. Any other number is refused, never kept."""
    form = ask.form
    form.only("type", "card", "metadata", "allow_redisplay", "billing_details")
    form.need("type", "card")
    typed = form.part("card")
    if typed is None:
        raise refuse("Missing required param: card.", code="parameter_missing", param="card")
    typed.only("number", "exp_month", "exp_year", "cvc", "token")
    if token := typed.text("token"):
        card = cards.by_alias(token.replace("tok_", "pm_card_"))
        if card is None:
            raise no_such("token", token, "card[token]", status=400)
        return make_card(ask.books, card, 12, 2034)
    card = cards.by_number(typed.need("number"))
    if card is None:
        raise refuse(
            "Your card was declined. Your request was in test mode, but used a non test card. For a list of valid "
            "test cards, visit: https://stripe.com/docs/testing.",
            code="card_declined",
            kind="card_error",
            status=402,
        )
    month, year = typed.whole("exp_month") or 0, typed.whole("exp_year") or 0
    if not 1 <= month <= 12:
        raise refuse(
            "Your card's expiration month is invalid.", code="invalid_expiry_month", kind="card_error", status=402
        )
    made = make_card(ask.books, card, month, year + 2000 if year < 100 else year)
    made["metadata"] = form.metadata()
    return ask.books.put("payment_method", made)


@route("GET", "/v1/payment_methods")
def methods(ask: Ask) -> Json:
    """The methods of a customer."""
    ask.form.only("customer", "ending_before", "limit", "starting_after", "type", "allow_redisplay")
    return _methods(ask, ask.form.text("customer"), "/v1/payment_methods")


@route("GET", "/v1/customers/{}/payment_methods")
def methods_of(ask: Ask) -> Json:
    """The same, below the customer."""
    ask.form.only("ending_before", "limit", "starting_after", "type", "allow_redisplay")
    living(ask.books, ask.ids[0])
    return _methods(ask, ask.ids[0], f"/v1/customers/{ask.ids[0]}/payment_methods")


def _methods(ask: Ask, customer: str | None, url: str) -> Json:
    if customer is None:
        return listed(ask, (), url)
    living(ask.books, customer, "customer")
    kind = ask.form.text("type")
    found = (one for one in ask.books.where("payment_method", customer=customer) if kind in (None, one["type"]))
    return listed(ask, found, url)


@route("GET", "/v1/payment_methods/{}")
def method(ask: Ask) -> Json:
    """One method; an alias makes a fresh one, as at Stripe."""
    ask.form.only()
    return (
        usable(ask.books, ask.ids[0], "payment_method")
        if cards.by_alias(ask.ids[0])
        else find(ask.books, "payment_method", ask.ids[0])
    )


@route("GET", "/v1/customers/{}/payment_methods/{}")
def method_of(ask: Ask) -> Json:
    """One method of that customer."""
    ask.form.only()
    found = find(ask.books, "payment_method", ask.ids[1])
    if found["customer"] != ask.ids[0]:
        raise no_such("payment_method", ask.ids[1])
    return found


@route("POST", "/v1/payment_methods/{}/attach")
def attach(ask: Ask) -> Json:
    """Attaches a method to a customer; one that is always declined is refused here already."""
    ask.form.only("customer")
    customer = living(ask.books, ask.form.need("customer"), "customer")
    method = usable(ask.books, ask.ids[0], "payment_method")
    if method["_does"] in cards.DECLINES and method["_does"] != "later_declined":
        code, decline, message = cards.DECLINES[method["_does"]]
        refused = refuse(message, code=code, kind="card_error", status=402)
        refused.body["error"]["decline_code"] = decline
        refused.begun = True
        raise refused
    return attach_to(ask.books, method, customer)


@route("POST", "/v1/payment_methods/{}/detach")
def detach(ask: Ask) -> Json:
    """Detaches a method for good."""
    ask.form.only()
    method = find(ask.books, "payment_method", ask.ids[0])
    if method["customer"] is None:
        raise refuse("The payment method you provided is not attached to a customer so detachment is impossible.")
    return detached(ask.books, method)
