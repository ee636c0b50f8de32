"""Terms and refund terms, as text, with the hash under which they are accepted."""

from __future__ import annotations

from ruxa.access import terms
from ruxa.console import texts
from ruxa.console.page import Page, View, Visit
from ruxa.store.work import Work


async def load(visit: Visit, work: Work) -> View:
    """The text."""
    del work
    name: terms.Name = "refunds" if visit.path == "/refunds" else "terms"
    text = terms.document(name, visit.words.language).text
    return View({"blocks": texts.blocks(text), "sum": texts.digest(text)})


PAGE = Page(name="terms", path=("/terms", "/refunds"), area="public", load=load)
