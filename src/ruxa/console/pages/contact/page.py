"""Contact: who runs this server and where they are reached; where to report a weakness."""

from __future__ import annotations

from ruxa.console import wellknown
from ruxa.console.page import Page, View, Visit
from ruxa.store.work import Work


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    del work
    deps = visit.deps
    return View(
        {
            "operator": deps.operator,
            "contact": deps.contact,
            "contact_url": wellknown.contact_of(deps),
            "security_txt": wellknown.PATH,
        }
    )


PAGE = Page(name="contact", path="/contact", area="public", load=load)
