"""Landing: what Ruxa is, one curl line with this server's own address, what it offers at what price."""

from __future__ import annotations

import msgspec

from ruxa.console import money, shown
from ruxa.console.page import Page, View, Visit
from ruxa.ledger import prices
from ruxa.store.work import Work

SHOWN_MAX = 24
FIRST = ("sandbox/chat", "sandbox/embedding")


class Offered(msgspec.Struct, frozen=True):
    """One line of the price table: micros per million ``unit``; None: it has no such class."""

    name: str
    unit: prices.Units
    input: int
    cache: int | None
    output: int | None


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    book = await money.offered(work, visit.deps)
    offered = [_offered(price) for price in book]
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


def _offered(price: prices.Price) -> Offered:
    counts_tokens = price.units == "tokens"
    return Offered(
        price.model,
        price.units,
        price.asked_micros,
        price.cache_read_micros if counts_tokens else None,
        price.output_micros if counts_tokens or price.output_micros else None,
    )


PAGE = Page(name="landing", path="/", area="public", load=load)
