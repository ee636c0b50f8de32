"""Payments: every top-up that was asked for, by the customer or by auto top-up, and what became of it."""

from __future__ import annotations

from ruxa.console import bills, paying, tables
from ruxa.console.page import Page, View, Visit
from ruxa.ledger.payments import orders
from ruxa.store.work import Work

HEAD = (
    "id", "reference", "time", "method", "processor", "scope", "state", "amount_micros", "tax_micros",
    "received_micros", "refunded_micros",
)  # fmt: skip


async def load(visit: Visit, work: Work) -> View:
    """The list, or a file of it."""
    ref, query = visit.person.organisation_ref, visit.query
    if query.get("as") in ("csv", "json"):
        every = [bills.order(one, visit.words) for one in await orders.listed(work, ref, limit=tables.EXPORT_ROWS_MAX)]
        rows = [
            (one.id, one.reference, one.at.isoformat(), one.method, one.processor, one.scope, one.state, one.amount,
             one.tax, one.received, one.refunded)
            for one in every
        ]  # fmt: skip
        return bills.file_of(query["as"], "ruxa-payments", HEAD, rows)
    before = query.get("before")
    found = await orders.listed(work, ref, before=bills.before(before), limit=tables.ROWS + 1)
    rows = [bills.order(one, visit.words) for one in found]
    return View(
        {
            "pays": bool(paying.choices(visit.deps)),
            "leaf": tables.leaf(rows, [one.id for one in rows], before=None, after=None),
        }
    )


PAGE = Page(
    name="orders",
    path="/billing/orders",
    area="customer",
    load=load,
    permission="payment:read",
    parent="billing",
    tab=True,
)
