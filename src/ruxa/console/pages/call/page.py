"""One call: tokens by class, price and arithmetic, ledger line, lease and transfers, what is stored and its limit."""

from __future__ import annotations

from datetime import timedelta

from ruxa.access import keys
from ruxa.console import money
from ruxa.console.page import Page, View, Visit
from ruxa.kernel import bounds, ids
from ruxa.kernel.errors import NotFound
from ruxa.ledger import activity, prices, statements
from ruxa.store.work import Work

PURPOSE = "provide"


async def load(visit: Visit, work: Work) -> View:
    """The page. NotFound for another organisation's call."""
    person = visit.person
    found = await activity.call(work, person.organisation_ref, ids.read("req", visit.places["request_id"]))
    if found is None:
        raise NotFound("No such call here.")
    price, starts = None, None
    if found.price_id is not None:
        for row, since, _ in await prices.history(work, found.model):
            if row.id == found.price_id:
                price, starts = row, since
    try:
        key_name = (await keys.find(work, visit.deps.vault, person.organisation_id, found.key_id)).name.open(PURPOSE)
    except NotFound:
        key_name = None
    moved = (
        await statements.lease_lines(work, found.lease_id)
        if found.lease_id is not None and person.may("ledger:read")
        else []
    )
    return View(
        {
            "call": found,
            "shown_id": found.shown_id,
            "price": None if starts is None else {"starts": starts},
            "lines": money.terms(found, price) if price is not None else [],
            "key_name": key_name,
            "key_shown": ids.text("key", found.key_id),
            "lease_shown": ids.text("lease", found.lease_id) if found.lease_id is not None else "",
            "price_shown": ids.text("price", found.price_id) if found.price_id is not None else "",
            "settling": found.line_state == "settling",
            "transfers": [
                {
                    "kind": f"{one.code} · {one.state}",
                    "debit": one.debit,
                    "credit": one.credit,
                    "amount": one.amount_micros,
                }
                for one in moved
            ],
            "row_until": found.at + timedelta(days=bounds.USAGE_DAYS),
        }
    )


PAGE = Page(
    name="call",
    path="/activity/{request_id:str}",
    area="customer",
    load=load,
    permission="usage:read",
    parent="activity",
)
