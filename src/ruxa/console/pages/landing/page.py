"""Landing: what Ruxa is, one curl line with this server's own address, what it offers at what price."""

from __future__ import annotations

import msgspec

from ruxa.console import money, shown
from ruxa.console.page import Page, View, Visit
from ruxa.store.work import Work

SHOWN_MAX = 24
FIRST = ("sandbox/chat", "sandbox/embedding")


class Offered(msgspec.Struct, frozen=True):
    """One line of the price table: micros per million tokens."""

    name: str
    input: int
    cache: int
    output: int


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    book = await money.offered(work, visit.deps)
    offered = [Offered(price.model, price.input_micros, price.cache_read_micros, price.output_micros) for price in book]
    offered.sort(key=lambda one: (one.name not in FIRST, one.name))
    model = offered[0].name if offered else "provider/model"
    base = visit.deps.base_url
    return View(
        {
            "models": offered[:SHOWN_MAX],
            "more": max(0, len(offered) - SHOWN_MAX),
            "curl": shown.curl(base, model),
            "sdk": shown.sdk(base, model),
        }
    )


PAGE = Page(name="landing", path="/", area="public", load=load)
