"""Stripe's disputes: opened by a cardholder (a test card, or the control API), answered with evidence, won or lost."""

from __future__ import annotations

from typing import Final, Literal

from ruxa.egress.processors.sandbox.books import Books, Json, fresh
from ruxa.egress.processors.sandbox.stripe_api import Ask, emit, find, listed, route
from ruxa.egress.processors.sandbox.stripe_errors import refuse
from ruxa.egress.processors.sandbox.stripe_money import book

FEE_CENTS: Final = 1500
DAYS_TO_ANSWER: Final = 9
_EVIDENCE: Final = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_tracking_number",
    "uncategorized_text",
)
_FILES: Final = (
    "cancellation_policy",
    "customer_communication",
    "customer_signature",
    "duplicate_charge_documentation",
    "receipt",
    "service_documentation",
    "shipping_documentation",
    "uncategorized_file",
)
_EVIDENCE_CHARS_MAX: Final = 150_000


def open_dispute(books: Books, charge: Json, *, amount: int | None = None, reason: str = "fraudulent") -> Json:
    """A cardholder disputes a charge: the amount and a fee leave the balance. Raises Refused when that can't be."""
    taken: int = charge["amount"] - charge["amount_refunded"] if amount is None else amount
    if charge["disputed"] or charge["status"] != "succeeded" or not 1 <= taken <= charge["amount"]:
        raise refuse("This charge can not be disputed for that amount.", code="charge_not_disputable")
    id_ = fresh("du_1")
    text = f"Chargeback withdrawal for {charge['id']}"
    txn = book(books, "adjustment", -taken, FEE_CENTS, id_, text, category="dispute")
    nothing: Json = dict.fromkeys((*_EVIDENCE, *_FILES))
    dispute: Json = {
        "id": id_,
        "object": "dispute",
        "amount": taken,
        "balance_transactions": [txn],
        "charge": charge["id"],
        "created": books.now(),
        "currency": "usd",
        "enhanced_eligibility_types": [],
        "evidence": nothing | {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": books.now() + DAYS_TO_ANSWER * 86_400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": False,
        "livemode": books.livemode,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {"brand": "visa", "case_type": "chargeback", "network": "visa", "network_reason_code": "10.4"},
            "type": "card",
        },
        "reason": reason,
        "status": "needs_response",
    }
    books.put("dispute", dispute)
    books.put("charge", charge | {"disputed": True})
    emit(books, "charge.dispute.created", dispute)
    emit(books, "charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_dispute(books: Books, dispute: Json, end: Literal["won", "lost"]) -> Json:
    """The bank has decided; when it is won the amount comes back, the fee does not. Raises Refused when it is over."""
    if dispute["status"] in ("won", "lost"):
        raise refuse("This dispute is already closed", code="dispute_already_closed")
    dispute["status"] = end
    if end == "won":
        text = f"Chargeback reversal for {dispute['charge']}"
        back = book(books, "adjustment", dispute["amount"], 0, dispute["id"], text, category="dispute_reversal")
        dispute["balance_transactions"] = [*dispute["balance_transactions"], back]
        emit(books, "charge.dispute.funds_reinstated", dispute)
    emit(books, "charge.dispute.closed", dispute)
    return books.put("dispute", dispute)


@route("GET", "/v1/disputes")
def every(ask: Ask) -> Json:
    """Disputes, of a charge or a payment intent if asked."""
    form = ask.form
    form.only("charge", "created", "ending_before", "limit", "payment_intent", "starting_after")
    charge, intent = form.text("charge"), form.text("payment_intent")
    found = (
        one
        for one in ask.books.every("dispute")
        if charge in (None, one["charge"]) and intent in (None, one["payment_intent"])
    )
    return listed(ask, found, "/v1/disputes")


@route("GET", "/v1/disputes/{}")
def retrieve(ask: Ask) -> Json:
    """One dispute."""
    ask.form.only()
    return find(ask.books, "dispute", ask.ids[0])


@route("POST", "/v1/disputes/{}")
def update(ask: Ask) -> Json:
    """Evidence: staged with ``submit=false``, else sent to the bank. Evidence that says ``winning_evidence`` wins and
    ``losing_evidence`` loses, as in Stripe's test mode."""
    form, books = ask.form, ask.books
    form.only("evidence", "metadata", "submit")
    dispute = find(books, "dispute", ask.ids[0])
    if dispute["status"] in ("won", "lost"):
        raise refuse("This dispute is already closed", code="dispute_already_closed")
    if form.has("metadata"):
        dispute["metadata"] = form.metadata(dispute["metadata"])
    evidence = form.part("evidence")
    if evidence is not None:
        evidence.only(*_EVIDENCE)
        for name in evidence.tree:
            dispute["evidence"][name] = evidence.text(name)
        if sum(len(value) for value in dispute["evidence"].values() if isinstance(value, str)) > _EVIDENCE_CHARS_MAX:
            raise refuse("The combined character count of your evidence is too large.", param="evidence")
        details = dispute["evidence_details"]
        details["has_evidence"] = any(dispute["evidence"][name] for name in _EVIDENCE)
    if evidence is not None and form.flag("submit") is not False:
        dispute["evidence_details"] |= {
            "submission_count": dispute["evidence_details"]["submission_count"] + 1,
            "submission_method": "manual",
        }
        dispute["status"] = "under_review"
        books.put("dispute", dispute)
        emit(books, "charge.dispute.updated", dispute, {"status": "needs_response"})
        said = dispute["evidence"]["uncategorized_text"]
        if said in ("winning_evidence", "losing_evidence"):
            return close_dispute(books, dispute, "won" if said == "winning_evidence" else "lost")
        return dispute
    emit(books, "charge.dispute.updated", dispute, {})
    return books.put("dispute", dispute)


@route("POST", "/v1/disputes/{}/close")
def close(ask: Ask) -> Json:
    """We give in: it is lost."""
    ask.form.only()
    return close_dispute(ask.books, find(ask.books, "dispute", ask.ids[0]), "lost")
