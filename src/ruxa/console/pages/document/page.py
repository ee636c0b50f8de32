"""One document as a file: PDF, or HTML that needs nothing else, in the reader's language."""

from __future__ import annotations

from ruxa.console import assets
from ruxa.console.page import Page, View, Visit
from ruxa.kernel import ids
from ruxa.ledger.documents import document, show
from ruxa.store.work import Work


async def load(visit: Visit, work: Work) -> View:
    """The file."""
    found = await document.find(work, ids.read("doc", visit.places["document_id"]), visit.person.organisation_ref)
    if visit.query.get("as") == "html":
        page = await show.html(work, visit.deps.vault, found, visit.words)
        return View(body=page.encode(), media_type="text/html")
    if visit.query.get("as") == "csv":
        return View(body=await show.csv(work, found), media_type="text/csv", filename=f"{found.name}.csv")
    made = await show.pdf(work, visit.deps.vault, found, visit.words, assets.VENDOR)
    return View(body=made, media_type="application/pdf", filename=f"{found.name}.pdf")


PAGE = Page(
    name="document",
    path="/billing/documents/{document_id:str}",
    area="customer",
    load=load,
    permission="document:read",
    parent="billing",
)
