"""PayPal's transaction search: what each payment, refund and dispute did to the balance."""

from __future__ import annotations

from typing import Any, Final

from ruxa.egress.processors.sandbox.access import PAYPAL_MERCHANT
from ruxa.egress.processors.sandbox.books import Books, Json, fresh_capitals, shown
from ruxa.egress.processors.sandbox.paypal_api import Ask, invalid, link, moment, money, route, stamp

SPAN_MAX_S: Final = 31 * 24 * 3600
PAGE_MAX: Final = 500


def note(books: Books, code: str, id_: str, cents: int, fee: int, captured: Json, *, about: str = "") -> None:
    """One line. T0006 payment, T1107 refund, T1201 dispute, T1202 dispute won, T0106 dispute fee, T0403 payout."""
    info: Json = {
        "transaction_id": id_,
        "paypal_reference_id": about or captured.get("_order"),
        "paypal_reference_id_type": "TXN" if about else "ODR",
        "transaction_event_code": code,
        "transaction_initiation_date": stamp(books.now()),
        "transaction_updated_date": stamp(books.now()),
        "transaction_amount": money(cents),
        "fee_amount": money(fee),
        "transaction_status": "S",
        "invoice_id": captured.get("invoice_id"),
        "custom_field": captured.get("custom_id"),
        "protection_eligibility": "01",
    }
    info = {name: value for name, value in info.items() if value is not None}
    if not fee:
        del info["fee_amount"]
    line = {"id": f"line {fresh_capitals()}", "transaction_info": info, "_at": books.now(), "_net": cents + fee}
    books.put("paypal.line", line)


@route("GET", "/v1/reporting/transactions")
def transactions(ask: Ask) -> tuple[int, Any]:
    """The lines of a span of at most 31 days, oldest first."""
    call, books = ask.call, ask.books
    if not call.asked("start_date") or not call.asked("end_date"):
        raise invalid("MISSING_REQUIRED_PARAMETER", "A required field / parameter is missing.", "start_date")
    start, end = moment(call.asked("start_date")), moment(call.asked("end_date"))
    if not 0 <= end - start <= SPAN_MAX_S:
        raise invalid("INVALID_PARAMETER_VALUE", "Date range is greater than 31 days", "end_date")
    size, number = _count(call.asked("page_size") or "100", PAGE_MAX), _count(call.asked("page") or "1", 10_000)
    wanted = call.asked("transaction_id")
    found = [
        {"transaction_info": shown(line)["transaction_info"]}
        for line in reversed(list(books.every("paypal.line")))
        if start <= line["_at"] <= end and wanted in ("", line["transaction_info"]["transaction_id"])
    ]
    return 200, {
        "transaction_details": found[(number - 1) * size : number * size],
        "account_number": PAYPAL_MERCHANT,
        "start_date": stamp(start),
        "end_date": stamp(end),
        "last_refreshed_datetime": stamp(books.now()),
        "page": number,
        "total_items": len(found),
        "total_pages": -(-len(found) // size),
        "links": [link(books, "/v1/reporting/transactions", "self")],
    }


def _count(text: str, most: int) -> int:
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise invalid("INVALID_PARAMETER_VALUE", "The value of a field is invalid.")
    return int(text)
