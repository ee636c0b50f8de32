"""Stripe's API of Checkout sessions."""

from __future__ import annotations

from typing import Final

from ruxa.egress.processors.sandbox.books import Books, Json, fresh
from ruxa.egress.processors.sandbox.forms import Form
from ruxa.egress.processors.sandbox.stripe_api import Ask, find, listed, route
from ruxa.egress.processors.sandbox.stripe_checkout import expired
from ruxa.egress.processors.sandbox.stripe_customers import living
from ruxa.egress.processors.sandbox.stripe_errors import missing, refuse
from ruxa.egress.processors.sandbox.stripe_payments import (
    AMOUNT_MAX,
    AMOUNT_MIN,
    currency_of,
)

LIFE_MIN_S: Final = 30 * 60
LIFE_MAX_S: Final = 24 * 3600
_TYPES: Final = ("card", "us_bank_account")
_CREATE: Final = (
    "allowed_payment_method_types",
    "automatic_tax",
    "billing_address_collection",
    "cancel_url",
    "client_reference_id",
    "customer",
    "customer_creation",
    "customer_email",
    "customer_update",
    "expires_at",
    "line_items",
    "locale",
    "metadata",
    "mode",
    "payment_intent_data",
    "saved_payment_method_options",
    "submit_type",
    "success_url",
    "tax_id_collection",
    "ui_mode",
)


@route("POST", "/v1/checkout/sessions")
def create(ask: Ask) -> Json:
    """A hosted page on which a customer pays once."""
    form, books = ask.form, ask.books
    form.only(*_CREATE)
    form.need("mode", "payment")
    form.text("ui_mode", "hosted_page")
    form.text("locale")
    id_ = fresh("cs_test_a1", 56)
    items = [_item(one, at) for at, one in enumerate(form.parts("line_items"))]
    if not items:
        raise missing("line_items")
    total = sum(item["amount_total"] for item in items)
    if not AMOUNT_MIN <= total <= AMOUNT_MAX:
        raise refuse(
            "The Checkout Session's total amount due must add up to at least $0.50 usd and no more than $999,999.99",
            code="amount_too_small" if total < AMOUNT_MIN else "amount_too_large",
        )
    customer = living(books, form.need("customer"), "customer")["id"] if form.has("customer") else None
    creation = form.text("customer_creation", "always", "if_required")
    if customer and creation:
        raise refuse("You may only specify one of these parameters: customer, customer_creation.")
    tax = form.part("automatic_tax")
    taxed = bool(tax and tax.flag("enabled"))
    success = form.need("success_url")
    for name in ("success_url", "cancel_url"):
        if (url := form.text(name)) and not url.startswith(("http://", "https://")):
            raise refuse("Not a valid URL", code="url_invalid", param=name)
    saved = form.part("saved_payment_method_options")
    if saved is not None:
        saved.only("payment_method_save", "allow_redisplay_filters")
    details = dict.fromkeys(("address", "business_name", "email", "individual_name", "name", "phone"))
    email = form.text("customer_email")
    session: Json = {
        "id": id_,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "after_expiration": None,
        "allow_promotion_codes": None,
        "allowed_payment_method_types": form.words("allowed_payment_method_types") or None,
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {
            "enabled": taxed,
            "liability": {"type": "self"} if taxed else None,
            "provider": "stripe" if taxed else None,
            "status": "requires_location_inputs" if taxed else None,
        },
        "billing_address_collection": form.text("billing_address_collection", "auto", "required"),
        "cancel_url": form.text("cancel_url"),
        "client_reference_id": form.text("client_reference_id"),
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": books.now(),
        "currency": "usd",
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": customer,
        "customer_creation": None if customer else creation or "if_required",
        "customer_details": details | {"email": email, "tax_exempt": "none", "tax_ids": None}
        if email or customer
        else None,
        "customer_email": email,
        "discounts": [],
        "expires_at": _expiry(books, form),
        "invoice": None,
        "invoice_creation": {"enabled": False},
        "livemode": ask.books.livemode,
        "locale": form.text("locale"),
        "metadata": form.metadata(),
        "mode": "payment",
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "if_required",
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": _types(form),
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "saved_payment_method_options": {
            "allow_redisplay_filters": ["always"],
            "payment_method_remove": "disabled",
            "payment_method_save": saved.text("payment_method_save", "enabled", "disabled") if saved else None,
        },
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": form.text("submit_type", "auto", "book", "donate", "pay"),
        "subscription": None,
        "success_url": success,
        "tax_id_collection": _tax_ids(form),
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": f"{books.access.url}/c/pay/{id_}",
        "wallet_options": None,
        "_line_items": {
            "object": "list",
            "data": items,
            "has_more": False,
            "url": f"/v1/checkout/sessions/{id_}/line_items",
        },
        "_intent": _intent_data(form),
    }
    return books.put("session", session)


def _expiry(books: Books, form: Form) -> int:
    now = books.now()
    at = form.whole("expires_at")
    if at is None:
        return now + LIFE_MAX_S
    if at < now + LIFE_MIN_S:
        raise refuse(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.", param="expires_at"
        )
    if at > now + LIFE_MAX_S:
        raise refuse(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.", param="expires_at"
        )
    return at


def _types(form: Form) -> list[str]:
    """The methods that the page offers: those that are named, else all that are played."""
    named = form.words("allowed_payment_method_types")
    for one in named:
        if one not in _TYPES:
            raise refuse(
                f"The payment method type provided: {one[:40]} is invalid.",
                param=form.name("allowed_payment_method_types"),
            )
    return named or list(_TYPES)


def _tax_ids(form: Form) -> Json:
    collection = form.part("tax_id_collection")
    return {"enabled": bool(collection and collection.flag("enabled")), "required": "never"}


def _intent_data(form: Form) -> Json:
    data = form.part("payment_intent_data")
    if data is None:
        return {}
    data.only("capture_method", "description", "metadata", "setup_future_usage", "statement_descriptor_suffix")
    return {
        "description": data.text("description"),
        "metadata": data.metadata(),
        "setup_future_usage": data.text("setup_future_usage", "off_session", "on_session"),
        "capture_method": data.text("capture_method", "automatic", "automatic_async", "manual") or "automatic_async",
    }


def _item(form: Form, at: int) -> Json:
    form.only("price_data", "quantity")
    price = form.part("price_data")
    if price is None:
        raise missing(form.name("price_data"))
    price.only("currency", "product_data", "tax_behavior", "unit_amount")
    product = price.part("product_data")
    if product is None:
        raise missing(price.name("product_data"))
    product.only("description", "metadata", "name", "tax_code")
    currency, unit = currency_of(price), price.whole("unit_amount")
    if unit is None:
        raise missing(price.name("unit_amount"))
    if unit < 0:
        raise refuse("Invalid non-negative integer", code="parameter_invalid_integer", param=price.name("unit_amount"))
    quantity = form.whole("quantity")
    if quantity is None or quantity < 1:
        raise refuse("Quantity is required and has to be at least 1.", param=form.name("quantity"))
    amount = unit * quantity
    return {
        "id": fresh("li_1"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": currency,
        "description": product.need("name"),
        "metadata": {},
        "price": {
            "id": fresh("price_1"),
            "object": "price",
            "active": False,
            "billing_scheme": "per_unit",
            "created": 0,
            "currency": currency,
            "custom_unit_amount": None,
            "livemode": False,
            "lookup_key": None,
            "metadata": {},
            "nickname": None,
            "product": fresh("prod_", 14),
            "recurring": None,
            "tax_behavior": price.text("tax_behavior", "exclusive", "inclusive", "unspecified") or "unspecified",
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "one_time",
            "unit_amount": unit,
            "unit_amount_decimal": str(unit),
        },
        "quantity": quantity,
    }


@route("GET", "/v1/checkout/sessions")
def every(ask: Ask) -> Json:
    """Sessions, of a customer, a payment intent, or in a state."""
    form = ask.form
    form.only("created", "customer", "ending_before", "limit", "payment_intent", "starting_after", "status")
    customer, intent = form.text("customer"), form.text("payment_intent")
    status = form.text("status", "open", "complete", "expired")
    found = (
        one
        for one in ask.books.every("session")
        if customer in (None, one["customer"])
        and intent in (None, one["payment_intent"])
        and status in (None, one["status"])
    )
    return listed(ask, found, "/v1/checkout/sessions")


@route("GET", "/v1/checkout/sessions/{}")
def retrieve(ask: Ask) -> Json:
    """One session."""
    ask.form.only()
    return find(ask.books, "session", ask.ids[0])


@route("GET", "/v1/checkout/sessions/{}/line_items")
def line_items(ask: Ask) -> Json:
    """What a session sells."""
    ask.form.only("ending_before", "limit", "starting_after")
    session = find(ask.books, "session", ask.ids[0])
    return listed(ask, session["_line_items"]["data"], session["_line_items"]["url"])


@route("POST", "/v1/checkout/sessions/{}/expire")
def expire(ask: Ask) -> Json:
    """Ends an open session."""
    ask.form.only()
    session = find(ask.books, "session", ask.ids[0])
    if session["status"] != "open":
        raise refuse(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of '
            f"{session['status']}."
        )
    return expired(ask.books, session)
