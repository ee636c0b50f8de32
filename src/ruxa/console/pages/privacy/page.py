"""The privacy notice, as text."""

from __future__ import annotations

from ruxa.console import texts
from ruxa.console.page import Page, View, Visit
from ruxa.store.work import Work


async def load(visit: Visit, work: Work) -> View:
    """The text."""
    del work
    text = texts.privacy(visit.words.language)
    return View({"blocks": texts.blocks(text), "sum": texts.digest(text)})


PAGE = Page(name="privacy", path="/privacy", area="public", load=load)
