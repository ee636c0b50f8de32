"""Stripe's balance: what each payment, refund, dispute and payout did to it, and what Stripe kept of it."""

from __future__ import annotations

from ruxa.egress.processors.sandbox.books import Books, Json, fresh
from ruxa.egress.processors.sandbox.forms import Form
from ruxa.egress.processors.sandbox.stripe_api import Ask, emit, find, listed, route
from ruxa.egress.processors.sandbox.stripe_errors import refuse

_CATEGORY = {
    "charge": "charge",
    "payment": "charge",
    "refund": "refund",
    "payment_refund": "refund",
    "payout": "payout",
}


def fee_of(amount: int) -> int:
    """What Stripe keeps of a charge of ``amount`` cents: 2.9 % and 30 cents."""
    return (amount * 29 + 500) // 1000 + 30


def book(
    books: Books, kind: str, amount: int, fee: int, source: str, description: str | None = None, *, category: str = ""
) -> Json:
    """A balance transaction; ``amount`` and ``fee`` in cents, signed."""
    details = [
        {
            "amount": fee,
            "application": None,
            "currency": "usd",
            "description": "Stripe processing fees",
            "type": "stripe_fee",
        }
    ]
    return books.put(
        "txn",
        {
            "id": fresh("txn_1"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": books.now(),
            "balance_type": "payments",
            "created": books.now(),
            "currency": "usd",
            "description": description,
            "exchange_rate": None,
            "fee": fee,
            "fee_details": details if fee else [],
            "net": amount - fee,
            "reporting_category": category or _CATEGORY[kind],
            "source": source,
            "status": "available",
            "type": kind,
            "_payout": None,
        },
    )


@route("GET", "/v1/balance_transactions")
def transactions(ask: Ask) -> Json:
    """Balance transactions: by type, source, or the payout that paid them out."""
    form = ask.form
    form.only("created", "currency", "ending_before", "limit", "payout", "source", "starting_after", "type")
    kind, source, payout = form.text("type"), form.text("source"), form.text("payout")
    if payout:
        find(ask.books, "payout", payout, "payout")
    found = (
        one
        for one in ask.books.every("txn")
        if kind in (None, one["type"])
        and source in (None, one["source"])
        and payout in (None, one["_payout"])
        and form.text("currency") in (None, one["currency"])
    )
    return listed(ask, found, "/v1/balance_transactions")


@route("GET", "/v1/balance_transactions/{}")
def transaction(ask: Ask) -> Json:
    """One balance transaction."""
    ask.form.only()
    return find(ask.books, "txn", ask.ids[0])


@route("GET", "/v1/balance")
def balance(ask: Ask) -> Json:
    """All there is. Everything counts as available at once."""
    ask.form.only()
    amount = sum(one["net"] for one in ask.books.every("txn"))
    part = {"amount": amount, "currency": "usd", "source_types": {"card": amount}}
    nothing = {"amount": 0, "currency": "usd", "source_types": {"card": 0}}
    return {"object": "balance", "available": [part], "livemode": ask.books.livemode, "pending": [nothing]}


def make_payout(books: Books, amount: int | None, form: Form | None = None) -> Json:
    """Pays out ``amount`` cents, or, automatically, all that was not paid out yet."""
    # Payouts by hand are among them: what they took is not there to be paid out again.
    unpaid = [one for one in books.every("txn") if one["_payout"] is None]
    automatic = amount is None
    amount = sum(one["net"] for one in unpaid) if amount is None else amount
    if amount <= 0 or amount > sum(one["net"] for one in books.every("txn")):
        raise refuse(
            "You have insufficient funds in your Stripe account for this transfer.", code="balance_insufficient"
        )
    now = books.now()
    payout: Json = {
        "id": fresh("po_1"),
        "object": "payout",
        "amount": amount,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": now - now % 86_400 + 86_400,
        "automatic": automatic,
        "balance_transaction": None,
        "created": now,
        "currency": "usd",
        "description": "STRIPE PAYOUT" if automatic else (form.text("description") if form else None),
        "destination": "ba_1RuxaSandbox0000",
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": books.livemode,
        "metadata": form.metadata() if form else {},
        "method": "standard",
        "original_payout": None,
        "payout_method": None,
        "reconciliation_status": "completed" if automatic else "not_applicable",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": None,
        "status": "paid",
        "trace_id": None,
        "type": "bank_account",
    }
    payout["balance_transaction"] = book(books, "payout", -amount, 0, payout["id"], "STRIPE PAYOUT")["id"]
    if automatic:
        for one in (*unpaid, find(books, "txn", payout["balance_transaction"])):
            books.put("txn", one | {"_payout": payout["id"]})
    books.put("payout", payout)
    emit(books, "payout.created", payout | {"status": "in_transit"})
    emit(books, "payout.paid", payout)
    return payout


@route("POST", "/v1/payouts")
def pay_out(ask: Ask) -> Json:
    """A payout by hand."""
    ask.form.only("amount", "currency", "description", "metadata")
    ask.form.need("currency", "usd")
    ask.form.need("amount")
    return make_payout(ask.books, ask.form.whole("amount"), ask.form)


@route("GET", "/v1/payouts")
def payouts(ask: Ask) -> Json:
    """Payouts, newest first."""
    ask.form.only("created", "ending_before", "limit", "starting_after", "status")
    status = ask.form.text("status")
    found = (one for one in ask.books.every("payout") if status in (None, one["status"]))
    return listed(ask, found, "/v1/payouts")


@route("GET", "/v1/payouts/{}")
def payout(ask: Ask) -> Json:
    """One payout."""
    ask.form.only()
    return find(ask.books, "payout", ask.ids[0])
