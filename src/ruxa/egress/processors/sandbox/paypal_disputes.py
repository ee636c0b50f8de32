"""PayPal's disputes: opened by the payer (the control API), answered, won or lost."""

from __future__ import annotations

from typing import Any, Final, Literal

from ruxa.egress.processors.sandbox.access import PAYPAL_MERCHANT
from ruxa.egress.processors.sandbox.books import Books, Json, fresh_capitals, shown
from ruxa.egress.processors.sandbox.paypal_api import (
    Ask,
    emit,
    find,
    invalid,
    link,
    moment,
    money,
    parts_of,
    route,
    stamp,
    unprocessable,
)
from ruxa.egress.processors.sandbox.paypal_report import note

FEE_CENTS: Final = 1500
DAYS_TO_ANSWER: Final = 10
_SUMMARY: Final = (
    "dispute_id",
    "create_time",
    "update_time",
    "reason",
    "status",
    "dispute_state",
    "dispute_amount",
    "dispute_life_cycle_stage",
    "dispute_channel",
    "links",
)


def open_dispute(books: Books, captured: Json, cents: int | None, reason: str) -> Json:
    """The payer disputes a capture; the amount is held. Raises Refused."""
    amount: int = captured["_cents"] - captured["_refunded"] if cents is None else cents
    open_already = books.where("paypal.dispute", _capture=captured["id"], _open=True)
    if (
        captured["status"] not in ("COMPLETED", "PARTIALLY_REFUNDED")
        or open_already
        or not 1 <= amount <= captured["_cents"]
    ):
        raise unprocessable("CAPTURE_NOT_DISPUTABLE", "This capture can not be disputed for that amount.")
    id_, now = f"PP-D-{fresh_capitals(8)}", stamp(books.now())
    dispute: Json = {
        "id": id_,
        "dispute_id": id_,
        "create_time": now,
        "update_time": now,
        "disputed_transactions": [
            {
                "seller_transaction_id": captured["id"],
                "create_time": captured["create_time"],
                "transaction_status": "COMPLETED",
                "gross_amount": captured["amount"],
                "invoice_number": captured.get("invoice_id"),
                "custom": captured.get("custom_id"),
                "buyer": {"payer_id": "SANDBOXBUYER1"},
                "seller": {"merchant_id": PAYPAL_MERCHANT},
            }
        ],
        "reason": "UNAUTHORISED" if reason == "fraudulent" else reason,
        "status": "WAITING_FOR_SELLER_RESPONSE",
        "dispute_state": "REQUIRED_ACTION",
        "dispute_amount": money(amount),
        "dispute_life_cycle_stage": "CHARGEBACK",
        "dispute_channel": "INTERNAL",
        "seller_response_due_date": stamp(books.now() + DAYS_TO_ANSWER * 86_400),
        "links": [
            link(books, f"/v1/customer/disputes/{id_}", "self"),
            link(books, f"/v1/customer/disputes/{id_}/accept-claim", "accept_claim", "POST"),
            link(books, f"/v1/customer/disputes/{id_}/provide-evidence", "provide_evidence", "POST"),
        ],
        "_capture": captured["id"],
        "_cents": amount,
        "_open": True,
        "_at": books.now(),
    }
    books.put("paypal.dispute", dispute)
    note(books, "T1201", id_, -amount, 0, captured, about=captured["id"])
    _emit(books, "CREATED", "A new dispute opened", dispute)
    return dispute


def _emit(books: Books, what: str, summary: str, dispute: Json) -> None:
    emit(books, f"CUSTOMER.DISPUTE.{what}", "dispute", summary, _whole(dispute))


def _whole(dispute: Json) -> Json:
    return {name: value for name, value in shown(dispute).items() if name != "id"}


def close_dispute(books: Books, dispute: Json, end: Literal["won", "lost"]) -> Json:
    """PayPal has decided; when it is won the amount comes back, when it is lost a fee goes too. Raises Refused."""
    if not dispute["_open"]:
        raise unprocessable("DISPUTE_ALREADY_RESOLVED", "This dispute is resolved.")
    captured = find(books, "paypal.capture", dispute["_capture"])
    won = end == "won"
    dispute |= {
        "status": "RESOLVED",
        "dispute_state": "RESOLVED",
        "update_time": stamp(books.now()),
        "dispute_outcome": {
            "outcome_code": "RESOLVED_SELLER_FAVOUR" if won else "RESOLVED_BUYER_FAVOUR",
            "amount_refunded": money(0 if won else dispute["_cents"]),
        },
        "links": dispute["links"][:1],
        "_open": False,
    }
    if won:
        note(books, "T1202", dispute["id"], dispute["_cents"], 0, captured, about=captured["id"])
    else:
        note(books, "T0106", dispute["id"], -FEE_CENTS, 0, captured, about=captured["id"])
    books.put("paypal.dispute", dispute)
    _emit(books, "RESOLVED", "A dispute was resolved", dispute)
    return dispute


@route("GET", "/v1/customer/disputes")
def every(ask: Ask) -> tuple[int, Any]:
    """Disputes, newest first; pages by ``next_page_token``."""
    call, books = ask.call, ask.books
    size = call.asked("page_size") or "10"
    if not size.isdigit() or not 1 <= int(size) <= 50:
        raise invalid("INVALID_PARAMETER_VALUE", "page_size is invalid.", "page_size")
    start = moment(call.asked("start_time")) if call.asked("start_time") else 0
    about, state, token = (
        call.asked("disputed_transaction_id"),
        call.asked("dispute_state"),
        call.asked("next_page_token"),
    )
    found = [
        one
        for one in books.every("paypal.dispute")
        if one["_at"] >= start and about in ("", one["_capture"]) and state in ("", one["dispute_state"])
    ]
    at = next((number + 1 for number, one in enumerate(found) if one["id"] == token), 0)
    page = found[at : at + int(size)]
    links = [link(books, "/v1/customer/disputes", "self")]
    if at + int(size) < len(found):
        query = f"page_size={size}&next_page_token={page[-1]['id']}"
        links.append(link(books, f"/v1/customer/disputes?{query}", "next"))
    return 200, {"items": [{name: one[name] for name in _SUMMARY} for one in page], "links": links}


@route("GET", "/v1/customer/disputes/{}")
def retrieve(ask: Ask) -> tuple[int, Any]:
    """One dispute, whole."""
    return 200, _whole(find(ask.books, "paypal.dispute", ask.ids[0]))


@route("POST", "/v1/customer/disputes/{}/accept-claim")
def accept(ask: Ask) -> tuple[int, Any]:
    """We give in: it is lost."""
    dispute = close_dispute(ask.books, find(ask.books, "paypal.dispute", ask.ids[0]), "lost")
    return 200, {"links": dispute["links"]}


@route("POST", "/v1/customer/disputes/{}/provide-evidence")
def provide(ask: Ask) -> tuple[int, Any]:
    """Evidence for PayPal to read. Notes that say ``winning_evidence`` or ``losing_evidence`` decide at once."""
    dispute = find(ask.books, "paypal.dispute", ask.ids[0])
    evidences = parts_of(ask.body.get("evidences") or ask.body.get("evidence"), "evidences")
    if dispute["status"] != "WAITING_FOR_SELLER_RESPONSE":
        raise unprocessable("DISPUTE_STATE_NOT_VALID", "This dispute does not wait for evidence.")
    dispute |= {
        "status": "UNDER_REVIEW",
        "dispute_state": "UNDER_PAYPAL_REVIEW",
        "update_time": stamp(ask.books.now()),
        "evidences": evidences,
    }
    ask.books.put("paypal.dispute", dispute)
    _emit(ask.books, "UPDATED", "A dispute was updated with evidence", dispute)
    said = [str(one.get("notes", "")) for one in evidences]
    for word, end in (("winning_evidence", "won"), ("losing_evidence", "lost")):
        if word in said:
            close_dispute(ask.books, dispute, "won" if end == "won" else "lost")
    return 200, {"links": dispute["links"]}
