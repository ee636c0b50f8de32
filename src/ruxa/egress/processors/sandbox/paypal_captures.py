"""PayPal's captures and refunds."""

from __future__ import annotations

from typing import Any

from ruxa.egress.processors.sandbox.books import Books, Json, fresh_capitals, shown
from ruxa.egress.processors.sandbox.paypal_api import (
    Ask,
    cents_of,
    emit,
    find,
    link,
    money,
    route,
    stamp,
    unprocessable,
)
from ruxa.egress.processors.sandbox.paypal_orders import renew
from ruxa.egress.processors.sandbox.paypal_report import note


@route("GET", "/v2/payments/captures/{}")
def capture(ask: Ask) -> tuple[int, Any]:
    """One capture."""
    return 200, shown(find(ask.books, "paypal.capture", ask.ids[0]))


@route("POST", "/v2/payments/captures/{}/refund")
def refund(ask: Ask) -> tuple[int, Any]:
    """Gives back a capture, or a part of it."""
    captured = find(ask.books, "paypal.capture", ask.ids[0])
    cents = cents_of(ask.body["amount"], "/amount") if ask.body.get("amount") else None
    texts = {name: ask.body[name] for name in ("custom_id", "invoice_id", "note_to_payer") if ask.body.get(name)}
    made = make_refund(ask.books, captured, cents, texts)
    return 201, shown(made) if ask.whole else {name: made[name] for name in ("id", "status", "links")}


def make_refund(books: Books, captured: Json, cents: int | None, texts: Json) -> Json:
    """Gives back ``cents``, or all that is left. Raises Refused."""
    left: int = captured["_cents"] - captured["_refunded"]
    if captured["status"] not in ("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"):
        raise unprocessable("CAPTURE_STATUS_NOT_VALID", "The capture is not in a state that can be refunded.")
    if books.where("paypal.dispute", _capture=captured["id"], _open=True):
        raise unprocessable("CAPTURE_DISPUTED_PARTIAL_REFUND_NOT_ALLOWED", "The capture is disputed.")
    if left <= 0:
        raise unprocessable("CAPTURE_FULLY_REFUNDED", "The capture has already been fully refunded.")
    cents = left if cents is None else cents
    if cents > left:
        text = "The refund amount must be less than or equal to the capture amount that has not yet been refunded."
        raise unprocessable("REFUND_AMOUNT_EXCEEDED", text, "/amount/value")
    id_, now = fresh_capitals(), stamp(books.now())
    captured["_refunded"] += cents
    captured |= {
        "status": "REFUNDED" if captured["_refunded"] == captured["_cents"] else "PARTIALLY_REFUNDED",
        "update_time": now,
    }
    nothing = money(0)
    made: Json = {
        "id": id_,
        "status": "COMPLETED",
        "amount": money(cents),
        **({"custom_id": captured["custom_id"]} if "custom_id" in captured else {}),
        **texts,
        "seller_payable_breakdown": {
            "gross_amount": money(cents),
            "paypal_fee": nothing,
            "net_amount": money(cents),
            "total_refunded_amount": money(captured["_refunded"]),
        },
        "payer": captured["payee"],
        "create_time": now,
        "update_time": now,
        "links": [
            link(books, f"/v2/payments/refunds/{id_}", "self"),
            link(books, f"/v2/payments/captures/{captured['id']}", "up"),
        ],
        "_capture": captured["id"],
    }
    books.put("paypal.refund", made)
    renew(books, captured)
    note(books, "T1107", id_, -cents, 0, captured, about=captured["id"])
    emit(
        books,
        "PAYMENT.CAPTURE.REFUNDED",
        "refund",
        f"A $ {made['amount']['value']} USD capture payment was refunded",
        made,
    )
    return made


@route("GET", "/v2/payments/refunds/{}")
def retrieve(ask: Ask) -> tuple[int, Any]:
    """One refund."""
    return 200, shown(find(ask.books, "paypal.refund", ask.ids[0]))


def pay_out(books: Books, cents: int | None) -> Json:
    """Moves ``cents``, or all there is, to the bank account. Raises Refused."""
    there: int = sum(line["_net"] for line in books.every("paypal.line"))
    cents = there if cents is None else cents
    if not 1 <= cents <= there:
        raise unprocessable("INSUFFICIENT_FUNDS", "There is not that much.")
    id_ = fresh_capitals()
    note(books, "T0403", id_, -cents, 0, {})
    return {"id": id_, "amount": money(cents)}
