"""One document as a file: PDF, or HTML that needs nothing else, in the reader's language."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

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
        return View(body=page.encode(), headers={"content-security-policy": policy(page)})
    if visit.query.get("as") == "csv":
        return View(body=await show.csv(work, found), media_type="text/csv", filename=f"{found.name}.csv")
    made = await show.pdf(work, visit.deps.vault, found, visit.words, assets.VENDOR)
    return View(body=made, media_type="application/pdf", filename=f"{found.name}.pdf")


def policy(page: str) -> str:
    """What a document on its own may do: nothing but its own style sheet, named by its hash."""
    sheets = [
        f"'sha256-{b64encode(sha256(found.encode()).digest()).decode()}'"
        for found in re.findall(r"<style[^>]*>(.*?)</style>", page, re.DOTALL)
    ]
    allowed = " ".join(sheets) or "'none'"
    return f"default-src 'none'; style-src {allowed}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


PAGE = Page(
    name="document",
    path="/billing/documents/{document_id:str}",
    area="customer",
    load=load,
    permission="document:read",
    parent="billing",
)
