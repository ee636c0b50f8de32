"""Staff: what this server is, and what it offers now."""

from __future__ import annotations

from collections import Counter

from ruxa.console import money, records
from ruxa.console.page import Page, View, Visit
from ruxa.store.work import Work


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    deps, words = visit.deps, visit.words
    people, organisations = await records.headcount(work)
    offered = Counter(price.provider for price in await money.offered(work, deps))
    return View(
        {
            "facts": [
                ("mode", words.plain(f"system.mode_{deps.mode}")),
                ("version", deps.version),
                ("base_url", deps.base_url),
                ("mail", words.plain("system.mail_outbox" if deps.mail_url == "outbox:" else "system.mail_smtp")),
                ("database_time", words.moment(await records.database_time(work))),
                ("members", words.number(people)),
                ("organisations", words.number(organisations)),
            ],
            "providers": sorted(offered.items()),
        }
    )


PAGE = Page(
    name="system",
    path="/staff/system",
    area="staff",
    load=load,
    permission="staff_policy:read",
    icon="info",
    group="staff",
)
