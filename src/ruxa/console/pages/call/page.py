"""One call: tokens by class, price and arithmetic, ledger line, lease and transfers, what is stored and its limit.

What was sent and got is shown on request only: each showing is an entry of the audit log.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec

from ruxa.access import keys
from ruxa.console import content, forms, money, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import bounds, ids
from ruxa.kernel.errors import NotFound
from ruxa.ledger import activity, prices, statements
from ruxa.privacy.content import items
from ruxa.store.work import Work

PURPOSE = "provide"


class Download(msgspec.Struct, frozen=True):
    """Which side is wanted as a file."""

    part: content.Part


async def load(visit: Visit, work: Work) -> View:
    """The page. NotFound for another organisation's call."""
    return await _view(visit, work, None)


async def show(visit: Visit, work: Work) -> View:
    """The page with what was sent and got."""
    found = await _content(visit, work)
    await visits.note(visit, work, "content:read", found.call_id)
    return await _view(visit, work, await content.shown(work, visit.deps, found))


async def download(visit: Visit, work: Work) -> View:
    """One side as a file, byte for byte, never as something that a browser would run."""
    form = forms.read(Download, visit.form)
    found = await _content(visit, work)
    await visits.note(visit, work, "content:read", found.call_id)
    pieces = await content.pieces(work, visit.deps, found, form.part)
    if pieces is None:
        raise NotFound("That is not stored, or gone.", code="content_gone")
    return View(
        pieces=pieces,
        size=found.side(form.part).size,
        media_type=content.FILE,
        filename=content.filename(ids.text("req", found.call_id), found, form.part),
    )


async def delete(visit: Visit, work: Work) -> Go:
    """Deletes what is stored of the call."""
    call_id = ids.read("req", visit.places["request_id"])
    if await items.delete(work, content.objects_of(visit.deps), visit.person.organisation_id, call_id):
        await visits.note(visit, work, "content:deleted", call_id, details={"of": "call"})
    return Go(to=visit.path, done="content_deleted")


async def _content(visit: Visit, work: Work) -> items.Content:
    call_id = ids.read("req", visit.places["request_id"])
    found = await items.find(work, call_id, visit.person.organisation_id)
    if found is None:
        raise NotFound("That is not stored, or gone.", code="content_gone")
    return found


async def _view(visit: Visit, work: Work, sides: list[content.Shown] | None) -> View:
    person = visit.person
    found = await activity.call(work, person.organisation_ref, ids.read("req", visit.places["request_id"]))
    if found is None:
        raise NotFound("No such call here.")
    price, starts = None, None
    if found.price_id is not None:
        version = await prices.by_id(work, found.price_id)
        if version is not None:
            price, starts, _ = version
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
            "stored": await items.find(work, found.id, person.organisation_id),
            "sides": sides,
            "call": found,
            "shown_id": found.shown_id,
            "price": None if starts is None else {"starts": starts},
            "unit": "tokens" if price is None else price.units,
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
    actions={"show_content": show, "download_content": download, "delete_content": delete},
    needs={"show_content": "content:read", "download_content": "content:read", "delete_content": "content:delete"},
    parent="activity",
)
