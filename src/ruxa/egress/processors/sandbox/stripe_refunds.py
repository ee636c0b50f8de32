"""Stripe's refunds: never more than was paid, and never while a dispute has the money."""

from __future__ import annotations

from ruxa.egress.processors.sandbox.books import Books, Json, fresh
from ruxa.egress.processors.sandbox.forms import Form
from ruxa.egress.processors.sandbox.stripe_api import Ask, emit, find, listed, route
from ruxa.egress.processors.sandbox.stripe_errors import refuse
from ruxa.egress.processors.sandbox.stripe_money import book


def make_refund(
    books: Books, charge: Json, amount: int | None, *, reason: str | None = None, form: Form | None = None
) -> Json:
    """Gives back ``amount`` cents, or all that is left. Raises Refused."""
    left: int = charge["amount_captured"] - (charge["amount_refunded"] - (charge["amount"] - charge["amount_captured"]))
    amount = left if amount is None else amount
    if charge["status"] != "succeeded":
        raise refuse("This PaymentIntent does not have a successful charge to refund.", code="charge_not_refundable")
    if charge["disputed"]:
        raise refuse(f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
    if left <= 0:
        raise refuse(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if amount < 1:
        raise refuse("Invalid positive integer", code="parameter_invalid_integer", param="amount")
    if amount > left:
        raise refuse(
            f"Refund amount (${amount / 100:,.2f}) is greater than unrefunded amount on charge (${left / 100:,.2f})",
            param="amount",
        )
    id_ = fresh("re_3" if charge["id"].startswith("ch_") else "pyr_3")
    kind = "refund" if charge["id"].startswith("ch_") else "payment_refund"
    refund: Json = {
        "id": id_,
        "object": "refund",
        "amount": amount,
        "balance_transaction": book(books, kind, -amount, 0, id_, f"REFUND FOR CHARGE {charge['id']}")["id"],
        "charge": charge["id"],
        "created": books.now(),
        "currency": charge["currency"],
        "destination_details": {
            "card": {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"},
            "type": "card",
        },
        "metadata": form.metadata() if form else {},
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    books.put("refund", refund)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] >= charge["amount"]
    charge["_refunds"]["data"] = [refund, *charge["_refunds"]["data"]]
    books.put("charge", charge)
    emit(books, "refund.created", refund)
    emit(books, "charge.refunded", charge, {"amount_refunded": charge["amount_refunded"] - amount})
    return refund


def fail_refund(books: Books, refund: Json) -> Json:
    """The customer's bank could not take a refund: the amount is back with us. Raises Refused when it failed before."""
    if refund["status"] != "succeeded":
        raise refuse("This refund has failed already.")
    text = f"REFUND FAILURE FOR CHARGE {refund['charge']}"
    back = book(books, "refund_failure", refund["amount"], 0, refund["id"], text, category="refund_failure")
    refund |= {
        "status": "failed",
        "failure_reason": "lost_or_stolen_card",
        "failure_balance_transaction": back["id"],
    }
    books.put("refund", refund)
    charge = find(books, "charge", refund["charge"])
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    charge["_refunds"]["data"] = [refund if one["id"] == refund["id"] else one for one in charge["_refunds"]["data"]]
    books.put("charge", charge)
    emit(books, "refund.failed", refund)
    emit(books, "charge.refund.updated", refund)
    return refund


@route("POST", "/v1/refunds")
def create(ask: Ask) -> Json:
    """A refund of a charge, named by itself or by its payment intent."""
    form, books = ask.form, ask.books
    form.only("amount", "charge", "metadata", "payment_intent", "reason")
    reason = form.text("reason", "duplicate", "fraudulent", "requested_by_customer")
    charge_id, intent_id = form.text("charge"), form.text("payment_intent")
    if charge_id is None:
        if intent_id is None:
            raise refuse("One of the following params should be provided for this request: payment_intent or charge.")
        intent = find(books, "payment_intent", intent_id, "payment_intent")
        charge_id = intent["latest_charge"]
        if charge_id is None or intent["status"] != "succeeded":
            raise refuse(
                f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.",
                code="charge_not_refundable",
                param="payment_intent",
            )
    charge = find(books, "charge", charge_id, "charge")
    amount = form.whole("amount") if form.has("amount") else None
    return make_refund(books, charge, amount, reason=reason, form=form)


@route("GET", "/v1/refunds")
def every(ask: Ask) -> Json:
    """Refunds, of a charge or a payment intent if asked."""
    form = ask.form
    form.only("charge", "created", "ending_before", "limit", "payment_intent", "starting_after")
    charge, intent = form.text("charge"), form.text("payment_intent")
    found = (
        one
        for one in ask.books.every("refund")
        if charge in (None, one["charge"]) and intent in (None, one["payment_intent"])
    )
    return listed(ask, found, "/v1/refunds")


@route("GET", "/v1/refunds/{}")
def retrieve(ask: Ask) -> Json:
    """One refund."""
    ask.form.only()
    return find(ask.books, "refund", ask.ids[0])


@route("POST", "/v1/refunds/{}")
def update(ask: Ask) -> Json:
    """Changes what a refund says about itself."""
    ask.form.only("metadata")
    refund = find(ask.books, "refund", ask.ids[0])
    refund["metadata"] = ask.form.metadata(refund["metadata"])
    return ask.books.put("refund", refund)
