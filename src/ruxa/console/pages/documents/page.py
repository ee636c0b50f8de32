"""Documents: invoices, receipts, credit notes and monthly statements, each as PDF and HTML; the list as a file."""

from __future__ import annotations

import msgspec

from ruxa.console import bills, forms, paying, tables, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.ledger.documents import document, issue, profile
from ruxa.store.work import Work

PATH = "/billing/documents"
HEAD = ("id", "number", "kind", "issued", "scope", "net_micros", "tax_micros", "gross_micros", "currency")


class Which(msgspec.Struct, frozen=True):
    """For which receipt."""

    document: str


async def load(visit: Visit, work: Work) -> View:
    """The list, or a file of it."""
    ref, query = visit.person.organisation_ref, visit.query
    if query.get("as") in ("csv", "json"):
        rows = [
            (ids.text("doc", one.id), one.name, one.kind, one.issued_at.isoformat(), one.scope, one.net_micros,
             one.tax_micros, one.gross_micros, one.currency)
            for one in await document.listed(work, ref, limit=tables.EXPORT_ROWS_MAX)
        ]  # fmt: skip
        return bills.file_of(query["as"], "ruxa-documents", HEAD, rows)
    before = ids.read("doc", query["before"]) if query.get("before") else None
    found = await document.listed(work, ref, before=before, limit=tables.ROWS + 1)
    rows = [bills.document(one, visit.words) for one in found]
    # A receipt and its invoice stand beside each other; to ask for one that is on the next page finds that.
    invoiced = {one.fact_id for one in found if one.kind == "invoice"}
    lacking = [one for one in found if one.kind == "receipt" and one.order_id is not None]
    lacking = [one for one in lacking if one.fact_id not in invoiced]
    if lacking and await profile.find(work, visit.deps.vault, ref) is None:
        lacking = []
    return View(
        {
            "lacking": {ids.text("doc", one.id) for one in lacking},
            "pays": bool(paying.choices(visit.deps)),
            "sells": visit.deps.terms.seller is not None,
            "leaf": tables.leaf(rows, [one.id for one in rows], before=None, after=None),
        }
    )


async def invoice(visit: Visit, work: Work) -> Go:
    """The invoice of a receipt from before there were billing details."""
    shown = forms.read(Which, visit.form).document
    one = await document.find(work, ids.read("doc", shown), visit.person.organisation_ref)
    if one.order_id is None:
        raise forms.Faults({"": "fault.nothing_paid"})
    known = {paper.id for paper in await document.of_order(work, one.order_id)}
    made = await issue.invoice_for(work, visit.deps.vault, visit.deps.terms, one.order_id)
    await visits.note(visit, work, "document:asked", one.order_id)
    return Go(to=PATH, done="invoice_known" if known.issuperset(made) else "invoice_made")


PAGE = Page(
    name="documents",
    path=PATH,
    area="customer",
    load=load,
    permission="document:read",
    actions={"invoice": invoice},
    needs={"invoice": "billing:change"},
    parent="billing",
    tab=True,
)
