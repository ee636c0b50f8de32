"""What happens to a Checkout session of Stripe's: its page is paid, left, or too old."""

from __future__ import annotations

from typing import Final, Literal

from ruxa.egress.processors.sandbox.books import Books, Json, fresh
from ruxa.egress.processors.sandbox.stripe_api import emit, find
from ruxa.egress.processors.sandbox.stripe_charges import settle
from ruxa.egress.processors.sandbox.stripe_customers import make_customer
from ruxa.egress.processors.sandbox.stripe_payments import (
    authenticated,
    confirm,
    fail_late,
    make_intent,
)

# How long a bank debit takes: days at Stripe, seconds here.
SLOW_S: Final = 5
# Country -> name, tax in hundredths of a percent, when the session asks Stripe to compute tax.
TAX: Final[dict[str, tuple[str, int]]] = {
    "US": ("United States", 0),
    "DE": ("Germany", 1900),
    "FR": ("France", 2000),
    "GB": ("United Kingdom", 2000),
    "CH": ("Switzerland", 810),
}


def expired(books: Books, session: Json) -> Json:
    """The session is over without a payment."""
    session |= {"status": "expired", "url": None}
    if session["payment_intent"]:
        intent = find(books, "payment_intent", session["payment_intent"])
        intent |= {
            "status": "canceled",
            "canceled_at": books.now(),
            "cancellation_reason": "automatic",
            "next_action": None,
        }
        emit(books, "payment_intent.canceled", intent)
        books.put("payment_intent", intent)
    emit(books, "checkout.session.expired", session)
    return books.put("session", session)


def expire_due(books: Books) -> None:
    """Ends every session that is too old now."""
    for session in books.where("session", status="open"):
        if session["expires_at"] <= books.now():
            expired(books, session)


def pay(books: Books, session: Json, method: Json, *, save: bool, country: str | None) -> Json:
    """The customer pays on the page; the intent afterwards. Raises Refused when the method is declined."""
    _tax_for(session, country)
    data: Json = session["_intent"]
    usage = data.get("setup_future_usage") or ("off_session" if save else None)
    if session["customer"] is None and (usage or session["customer_creation"] == "always"):
        customer = make_customer(books, email=session["customer_email"])
        session["customer"] = customer["id"]
        emit(books, "customer.created", customer)
    if session["payment_intent"] is None:
        intent = make_intent(
            books,
            amount=session["amount_total"],
            customer=session["customer"],
            description=data.get("description"),
            metadata=data.get("metadata"),
            capture_method=data.get("capture_method", "automatic_async"),
        )
        session["payment_intent"] = intent["id"]
    intent = find(books, "payment_intent", session["payment_intent"])
    intent |= {"amount": session["amount_total"], "customer": session["customer"], "setup_future_usage": usage}
    books.put("session", session)
    confirm(books, intent, method, "page")
    return _ended(books, session, intent)


def pay_authenticated(books: Books, session: Json, intent: Json, *, passed: bool) -> Json:
    """The customer comes back from their bank. Raises Refused when it did not recognise them."""
    authenticated(books, intent, passed=passed)
    return _ended(books, session, intent)


def _ended(books: Books, session: Json, intent: Json) -> Json:
    if intent["status"] == "requires_action":
        return intent
    paid = intent["status"] == "succeeded"
    session |= {"status": "complete", "payment_status": "paid" if paid else "unpaid", "url": None}
    books.put("session", session)
    emit(books, "checkout.session.completed", session)
    if intent["status"] == "processing":
        books.put("timer", {"id": fresh("tm_"), "due": books.now() + SLOW_S, "session": session["id"]})
    return intent


def _tax_for(session: Json, country: str | None) -> None:
    """What Stripe's tax engine would add: the country's rate on top, or within a price that includes it."""
    if not session["automatic_tax"]["enabled"]:
        return
    rate = TAX.get(country or "", ("", 0))[1]
    tax = 0
    for item in session["_line_items"]["data"]:
        amount = item["amount_subtotal"]
        inclusive = item["price"]["tax_behavior"] == "inclusive"
        item["amount_tax"] = (
            (amount * rate + 5000) // 10_000 if not inclusive else amount - amount * 10_000 // (10_000 + rate)
        )
        item["amount_total"] = amount if inclusive else amount + item["amount_tax"]
        tax += item["amount_tax"]
    session["amount_total"] = sum(item["amount_total"] for item in session["_line_items"]["data"])
    session["total_details"]["amount_tax"] = tax
    session["automatic_tax"]["status"] = "complete"
    where = dict.fromkeys(("city", "line1", "line2", "postal_code", "state")) | {"country": country}
    session["customer_details"] = {
        "address": where,
        "email": session["customer_email"],
        "name": None,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }


def settle_late(books: Books, session: Json, end: Literal["succeeded", "failed"]) -> None:
    """A slow payment has come, or not."""
    intent = find(books, "payment_intent", session["payment_intent"])
    if intent["status"] != "processing":
        return
    charge = find(books, "charge", intent["latest_charge"])
    if end == "succeeded":
        settle(books, intent, charge, disputed=False)
        session["payment_status"] = "paid"
    else:
        fail_late(books, intent, charge)
    books.put("session", session)
    emit(books, f"checkout.session.async_payment_{end}", session)


def run_timers(books: Books) -> None:
    """Settles what is due."""
    for timer in list(books.every("timer")):
        if timer["due"] <= books.now():
            books.drop("timer", timer["id"])
            session = find(books, "session", timer["session"])
            intent = find(books, "payment_intent", session["payment_intent"])
            method = find(books, "payment_method", intent["payment_method"])
            settle_late(books, session, "succeeded" if method["_does"] == "pays" else "failed")
