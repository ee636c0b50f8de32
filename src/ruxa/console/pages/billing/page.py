"""Billing: what the balance is, what it is made of, what is owed and why, and every ledger line."""

from __future__ import annotations

from uuid import UUID

import msgspec

from ruxa.console import bills, forms, money, paying, records, tables
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.kernel.errors import Forbidden, NotFound
from ruxa.ledger import accounts, topups
from ruxa.ledger.payments import auto, freezes, orders
from ruxa.store.work import Work

TOP_UP_USD_MAX = 50
ORDERS = 5
HEAD = ("id", "time", "what", "scope", "amount_micros", "state")


class TopUp(msgspec.Struct, frozen=True):
    """How many USD of sandbox credit."""

    usd: int


async def load(visit: Visit, work: Work) -> View:
    """The page, or a file of the ledger lines."""
    person, query, words = visit.person, visit.query, visit.words
    if query.get("as") in ("csv", "json"):
        return await _file(visit, work, query["as"])
    ref = person.organisation_ref
    found = await records.lines(
        work, ref, before=cursor(query.get("before")), after=cursor(query.get("after")), limit=tables.ROWS + 1
    )
    lines = [money.line(one, words) for one in found]
    recent = await orders.listed(work, ref, limit=ORDERS)
    refill = await auto.find(work, ref)
    return View(
        {
            "balance": await money.purse_of(work, ref),
            "lots": bills.lots(await accounts.lots(work, ref), words, visit.deps.clock.now()),
            "recent": [bills.order(one, words) for one in recent],
            "frozen": [one for one in await freezes.of(work, ref) if one.ended_at is None],
            "refill": refill.state if refill is not None else None,
            "pays": bool(paying.choices(visit.deps)),
            "leaf": tables.leaf(lines, [one.id for one in lines], before=query.get("before"), after=query.get("after")),
        }
    )


def cursor(shown: str | None) -> UUID | None:
    """The id in a page's address: a call's or a transfer's. Raises NotFound when it is neither."""
    if not shown:
        return None
    try:
        return ids.read("req", shown)
    except NotFound:
        return ids.read("xfer", shown)


async def _file(visit: Visit, work: Work, kind: str) -> View:
    found = await records.lines(
        work, visit.person.organisation_ref, before=None, after=None, limit=tables.EXPORT_ROWS_MAX
    )
    lines = [
        (line.id, line.at.isoformat(), line.what, line.scope, line.amount, "settling" if line.settling else "posted")
        for line in (money.line(one, visit.words) for one in found)
    ]
    return bills.file_of(kind, "ruxa-ledger", HEAD, lines)


async def top_up(visit: Visit, work: Work) -> Go:
    """Books sandbox credit; only a demo gives money away."""
    form = forms.read(TopUp, visit.form)
    if visit.deps.mode != "demo":
        raise Forbidden("Sandbox credit is given in the demo only.", code="not_a_demo")
    if not 1 <= form.usd <= TOP_UP_USD_MAX:
        raise forms.Faults({"": "form.amount"})
    await topups.sandbox(work, visit.person.organisation_ref, form.usd * 1_000_000)
    return Go(to="/billing", done="topped_up")


PAGE = Page(
    name="billing",
    path="/billing",
    area="customer",
    load=load,
    permission="ledger:read",
    actions={"top_up": top_up},
    needs={"top_up": "topup:create"},
    icon="card",
    group="access",
)
