"""Staff: every payment, by state and processor; search by reference, by order or by organisation."""

from __future__ import annotations

from typing import get_args
from urllib.parse import urlencode

from ruxa.console import bills, paying, tables
from ruxa.console.page import Page, View, Visit
from ruxa.ledger.payments import orders
from ruxa.ledger.payments.orders import Order, State
from ruxa.store.work import Work

PATH = "/staff/payments"
STATES: tuple[State, ...] = get_args(State)
HEAD = (
    "id", "reference", "time", "method", "processor", "scope", "state", "amount_micros", "tax_micros",
    "received_micros", "refunded_micros", "organisation_ref",
)  # fmt: skip


async def load(visit: Visit, work: Work) -> View:
    """The list, or a file of it."""
    query, words = visit.query, visit.words
    asked = tables.asked(query)
    named = query.get("state")
    state: State | None = next((one for one in STATES if one == named), None)
    processor = query.get("processor") or None
    if asked.find:
        found = await _search(visit, work, asked.find)
    else:
        before = bills.before(asked.before)
        found = await orders.listed(work, before=before, state=state, processor=processor, limit=asked.limit)
    if asked.file:
        return bills.file_of(asked.file, "ruxa-payments", HEAD, [_row(one, bills.order(one, words)) for one in found])
    rows = [bills.order(one, words) for one in found]
    return View(
        {
            "asked": asked.find,
            "state": state or "",
            "processor": processor or "",
            "states": [(one, words.plain(f"order.state_{one}")) for one in STATES],
            "processors": sorted({*visit.deps.processors, *(one.processor for one in found)}),
            "filters": urlencode({"state": state or "", "processor": processor or ""}),
            "leaf": tables.leaf(rows, [one.id for one in rows], before=None, after=None),
        }
    )


def _row(one: Order, shown: bills.ShownOrder) -> tuple[str | int | None, ...]:
    return (
        shown.id, shown.reference, shown.at.isoformat(), shown.method, shown.processor, shown.scope, shown.state,
        shown.amount, shown.tax, shown.received, shown.refunded, one.organisation_ref.hex,
    )  # fmt: skip


async def _search(visit: Visit, work: Work, asked: str) -> list[Order]:
    sought = await paying.sought(work, visit.deps, asked)
    if sought is None:
        return []
    if sought.order_id is None:
        return await orders.listed(work, sought.organisation_ref, limit=tables.ROWS)
    found = await orders.find(work, sought.order_id)
    return [] if found is None else [found]


PAGE = Page(
    name="payments",
    path=PATH,
    area="staff",
    load=load,
    permission="staff_payment:read",
    icon="card",
    group="staff",
)
