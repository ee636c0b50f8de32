"""PayPal's orders: made by us, approved by the payer on a page, captured by us."""

from __future__ import annotations

from typing import Any, Final, cast

from ruxa.egress.processors.sandbox import paypal_vault
from ruxa.egress.processors.sandbox.access import PAYPAL_MERCHANT
from ruxa.egress.processors.sandbox.books import Books, Json, fresh_capitals, shown
from ruxa.egress.processors.sandbox.paypal_api import (
    Ask,
    cents_of,
    emit,
    find,
    invalid,
    link,
    money,
    route,
    stamp,
    unprocessable,
)
from ruxa.egress.processors.sandbox.paypal_report import note

APPROVAL_LIVES_S: Final = 3 * 3600
# How long a payment from a bank account is pending: days at PayPal, seconds here.
SLOW_S: Final = 5
_TEXTS: Final = {"reference_id": 256, "custom_id": 255, "invoice_id": 127, "description": 127, "soft_descriptor": 22}
_PAYER: Final[Json] = {
    "name": {"given_name": "Test", "surname": "Buyer"},
    "email_address": "buyer@sandbox.example",
    "payer_id": "SANDBOXBUYER1",
    "address": {"country_code": "US"},
}


def fee_of(cents: int) -> int:
    """What PayPal keeps of a payment: 3.49 % and 49 cents."""
    return (cents * 349 + 5000) // 10_000 + 49


def _object(value: object) -> Json:
    return cast(Json, value) if isinstance(value, dict) else {}


@route("POST", "/v2/checkout/orders")
def create(ask: Ask) -> tuple[int, Any]:
    """An order of one unit that waits for the payer, or is paid at once from an account that was kept."""
    body, books = ask.body, ask.books
    if body.get("intent") not in ("CAPTURE", "AUTHORIZE"):
        raise invalid("INVALID_PARAMETER_VALUE", "The value of a field is invalid.", "/intent")
    if body["intent"] == "AUTHORIZE":
        raise unprocessable("PAYEE_NOT_ENABLED_FOR_AUTHORIZE", "The sandbox processor captures only.", "/intent")
    units = body.get("purchase_units")
    if not isinstance(units, list) or len(cast("list[object]", units)) != 1:
        raise invalid("MISSING_REQUIRED_PARAMETER", "One purchase unit is needed.", "/purchase_units")
    unit = _unit(_object(cast("list[object]", units)[0]))
    source = _object(_object(body.get("payment_source")).get("paypal"))
    token = paypal_vault.kept(books, source["vault_id"]) if source.get("vault_id") else None
    context = _object(source.get("experience_context")) or _object(body.get("application_context"))
    id_ = fresh_capitals()
    now = stamp(books.now())
    order: Json = {
        "id": id_,
        "status": "PAYER_ACTION_REQUIRED" if source else "CREATED",
        "intent": "CAPTURE",
        "purchase_units": [unit],
        "create_time": now,
        "update_time": now,
        "links": [
            link(books, f"/v2/checkout/orders/{id_}", "self"),
            link(books, f"/checkoutnow?token={id_}", "payer-action" if source else "approve"),
        ],
        "_return": context.get("return_url"),
        "_cancel": context.get("cancel_url"),
        "_at": books.now(),
        "_funding": "",
        "_keep": bool(_object(_object(source.get("attributes")).get("vault")).get("store_in_vault")),
    }
    if source:
        order["payment_source"] = {"paypal": {}}
    books.put("paypal.order", order)
    if token is not None and token["_does"] in ("pays", "pending"):
        approve(books, order, token["_does"])
        _take(books, order)
        return 201, shown(order)
    if ask.whole:
        return 201, shown(order)
    kept = ("id", "status", "links", *(("payment_source",) if source else ()))
    return 201, {name: order[name] for name in kept}


def _unit(given: Json) -> Json:
    amount = _object(given.get("amount"))
    cents = cents_of(amount, "/purchase_units/@reference_id=='default'/amount")
    unit: Json = {"reference_id": "default", "amount": money(cents)}
    for name, most in _TEXTS.items():
        value = given.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or not 1 <= len(value) <= most:
            raise invalid("INVALID_STRING_LENGTH", "The value of a field is too long or too short.", f"/{name}")
        unit[name] = value
    breakdown = _object(amount.get("breakdown"))
    if breakdown:
        parts = {name: cents_of(part, f"/amount/breakdown/{name}") for name, part in breakdown.items() if _worth(part)}
        less = sum(value for name, value in parts.items() if name in ("discount", "shipping_discount"))
        if sum(parts.values()) - 2 * less != cents:
            raise unprocessable("AMOUNT_MISMATCH", "Should equal item_total + tax_total + ...", "/amount/value")
        unit["amount"]["breakdown"] = breakdown
    if given.get("items"):
        unit["items"] = given["items"]
    return unit | {"payee": {"email_address": "seller@sandbox.example", "merchant_id": PAYPAL_MERCHANT}}


def _worth(part: object) -> bool:
    return _object(part).get("value") not in ("0", "0.00")


@route("GET", "/v2/checkout/orders/{}")
def retrieve(ask: Ask) -> tuple[int, Any]:
    """One order, whole."""
    order = find(ask.books, "paypal.order", ask.ids[0])
    expire(ask.books, order)
    return 200, shown(order)


def expire(books: Books, order: Json) -> None:
    """An order that nobody approved in time is gone."""
    waits = order["status"] in ("CREATED", "PAYER_ACTION_REQUIRED", "APPROVED")
    if waits and order["_at"] + APPROVAL_LIVES_S <= books.now():
        order["status"] = "VOIDED"
        books.put("paypal.order", order)


def approve(books: Books, order: Json, funding: str) -> None:
    """The payer agrees; ``funding``: of ``paypal_page.FUNDING``."""
    order |= {"status": "APPROVED", "_funding": funding, "payer": _PAYER, "update_time": stamp(books.now())}
    order["payment_source"] = {"paypal": {**_PAYER, "account_id": _PAYER["payer_id"], "account_status": "VERIFIED"}}
    order["links"] = [
        link(books, f"/v2/checkout/orders/{order['id']}", "self"),
        link(books, f"/v2/checkout/orders/{order['id']}/capture", "capture", "POST"),
    ]
    books.put("paypal.order", order)
    emit(books, "CHECKOUT.ORDER.APPROVED", "checkout-order", "An order has been approved by buyer", order)


@route("POST", "/v2/checkout/orders/{}/capture")
def capture(ask: Ask) -> tuple[int, Any]:
    """Takes the money of an approved order."""
    books = ask.books
    order = find(books, "paypal.order", ask.ids[0])
    expire(books, order)
    if order["status"] == "COMPLETED":
        text = "Order already captured. If 'intent=CAPTURE' only one capture per order is allowed."
        raise unprocessable("ORDER_ALREADY_CAPTURED", text)
    if order["status"] == "VOIDED":
        raise unprocessable("ORDER_EXPIRED", "Order has expired.")
    if order["status"] != "APPROVED":
        raise unprocessable("ORDER_NOT_APPROVED", "Payer has not yet approved the Order for payment.")
    if order["_funding"] == "declined":
        text = "The instrument presented was either declined by the processor or bank, or it can't be used."
        raise unprocessable("INSTRUMENT_DECLINED", text)
    _take(books, order)
    if ask.whole:
        return 201, shown(order)
    unit = order["purchase_units"][0]
    told = {name: order[name] for name in ("id", "status", "payment_source", "payer", "links")}
    return 201, told | {"purchase_units": [{name: unit[name] for name in ("reference_id", "payments")}]}


def _take(books: Books, order: Json) -> None:
    """The money of an approved order."""
    unit = order["purchase_units"][0]
    made = _capture(books, order, unit, pending=order["_funding"] == "pending")
    unit["payments"] = {"captures": [shown(made)]}
    order |= {"status": "COMPLETED", "update_time": stamp(books.now())}
    order["links"] = [link(books, f"/v2/checkout/orders/{order['id']}", "self")]
    books.put("paypal.order", order)
    if made["status"] == "COMPLETED":
        complete(books, made)
        if order["_keep"]:
            paypal_vault.keep(books, order)
            books.put("paypal.order", order)
    else:
        emit(books, "PAYMENT.CAPTURE.PENDING", "capture", f"Payment pending for $ {made['amount']['value']} USD", made)
        books.put("paypal.timer", {"id": f"timer {made['id']}", "due": books.now() + SLOW_S, "capture": made["id"]})


def _capture(books: Books, order: Json, unit: Json, *, pending: bool) -> Json:
    id_, now = fresh_capitals(), stamp(books.now())
    gross = cents_of(unit["amount"], "")
    made: Json = {
        "id": id_,
        "status": "PENDING" if pending else "COMPLETED",
        "amount": money(gross),
        "final_capture": True,
        "seller_protection": {
            "status": "ELIGIBLE",
            "dispute_categories": ["ITEM_NOT_RECEIVED", "UNAUTHORIZED_TRANSACTION"],
        },
        "seller_receivable_breakdown": _receivable(gross),
        "custom_id": unit.get("custom_id"),
        "invoice_id": unit.get("invoice_id"),
        "create_time": now,
        "update_time": now,
        "payee": unit["payee"],
        "supplementary_data": {"related_ids": {"order_id": order["id"]}},
        "links": [
            link(books, f"/v2/payments/captures/{id_}", "self"),
            link(books, f"/v2/payments/captures/{id_}/refund", "refund", "POST"),
            link(books, f"/v2/checkout/orders/{order['id']}", "up"),
        ],
        "_order": order["id"],
        "_cents": gross,
        "_refunded": 0,
    }
    if pending:
        made["status_details"] = {"reason": "ECHECK"}
        del made["seller_receivable_breakdown"]
    made = {name: value for name, value in made.items() if value is not None}
    return books.put("paypal.capture", made)


def _receivable(gross: int) -> Json:
    fee = fee_of(gross)
    return {"gross_amount": money(gross), "paypal_fee": money(fee), "net_amount": money(gross - fee)}


def complete(books: Books, made: Json) -> None:
    """The money of a capture has come."""
    gross: int = made["_cents"]
    made |= {
        "status": "COMPLETED",
        "seller_receivable_breakdown": _receivable(gross),
        "update_time": stamp(books.now()),
    }
    made.pop("status_details", None)
    renew(books, made)
    note(books, "T0006", made["id"], gross, -fee_of(gross), made)
    emit(books, "PAYMENT.CAPTURE.COMPLETED", "capture", f"Payment completed for $ {made['amount']['value']} USD", made)


def run_timers(books: Books) -> None:
    """Completes what is pending for long enough."""
    for timer in list(books.every("paypal.timer")):
        if timer["due"] <= books.now():
            books.drop("paypal.timer", timer["id"])
            made = find(books, "paypal.capture", timer["capture"])
            if made["status"] == "PENDING":
                complete(books, made)


def deny(books: Books, made: Json) -> None:
    """A pending capture comes to nothing."""
    made |= {"status": "DECLINED", "update_time": stamp(books.now())}
    renew(books, made)
    emit(books, "PAYMENT.CAPTURE.DENIED", "capture", "A capture was denied", made)


def renew(books: Books, made: Json) -> None:
    """The capture as it is now, in its order too."""
    books.put("paypal.capture", made)
    order = books.get("paypal.order", made["_order"])
    if order is not None:
        payments = order["purchase_units"][0].setdefault("payments", {})
        payments["captures"] = [shown(made)]
        refunds = [shown(one) for one in books.where("paypal.refund", _capture=made["id"])]
        if refunds:
            payments["refunds"] = refunds
        books.put("paypal.order", order)
