"""Documents: invoices, receipts, credit notes and monthly statements, each as PDF and HTML; the list as a file."""

from __future__ import annotations

from ruxa.console import bills, paying, tables
from ruxa.console.page import Page, View, Visit
from ruxa.kernel import ids
from ruxa.ledger.documents import document
from ruxa.store.work import Work

HEAD = ("id", "number", "kind", "issued", "scope", "net_micros", "tax_micros", "gross_micros", "currency")


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
    return View(
        {
            "pays": bool(paying.choices(visit.deps)),
            "sells": visit.deps.terms.seller is not None,
            "leaf": tables.leaf(rows, [one.id for one in rows], before=None, after=None),
        }
    )


PAGE = Page(
    name="documents",
    path="/billing/documents",
    area="customer",
    load=load,
    permission="document:read",
    parent="billing",
    tab=True,
)
