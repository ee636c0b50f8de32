"""Staff: what processors confirmed and did not fit: seen, named, never credited until a person decides."""

from __future__ import annotations

from typing import cast, get_args
from urllib.parse import urlencode

import msgspec

from ruxa.console import bills, forms, tables, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.ledger.payments import facts
from ruxa.ledger.payments.facts import Kept, Quarantined
from ruxa.ledger.payments.orders import MICROS_PER_MINOR
from ruxa.store.work import Work

PATH = "/staff/quarantine"
KEPT: tuple[Kept, ...] = get_args(Kept)
HEAD = (
    "id", "processor", "kind", "ext_id", "reason", "state", "amount_micros", "currency", "times", "first", "last",
)  # fmt: skip
ACCEPTABLE = frozenset({"amount", "second_capture"})


class Which(msgspec.Struct, frozen=True):
    """Which of them."""

    fact: str


async def load(visit: Visit, work: Work) -> View:
    """The page: what waits, unless something else is asked for; or the list as a file."""
    query, words = visit.query, visit.words
    named: Kept | None = next((one for one in KEPT if one == query.get("state")), None)
    state: Kept = "waiting" if named is None else named
    asked, processor = tables.asked(query), query.get("processor", "")
    limit = tables.EXPORT_ROWS_MAX if asked.file else tables.ROWS
    ext_id = asked.find or None
    found = await facts.quarantined(work, state=state, processor=processor or None, ext_id=ext_id, limit=limit)
    if asked.file:
        return bills.file_of(asked.file, "ruxa-quarantine", HEAD, [_row(one) for one in found])
    me = visit.person.member_id
    return View(
        {
            "rows": [
                {
                    "id": ids.text("fact", one.id),
                    "processor": one.processor,
                    "kind": words.plain(f"payment.kind_{one.kind}"),
                    "ext_id": one.ext_id,
                    "reason": words.plain(f"quarantine.reason_{one.reason}"),
                    "amount": _micros(one),
                    "currency": one.reading.get("currency", ""),
                    "times": one.times,
                    "first_at": one.first_at,
                    "waits": one.state == "waiting",
                    "acceptable": one.reason in ACCEPTABLE,
                    "asked": one.asked_by is not None,
                    "mine": one.asked_by == me,
                }
                for one in found
            ],
            "asked": asked.find,
            "state": state,
            "states": [(one, words.plain(f"quarantine.state_{one}")) for one in KEPT],
            "processor": processor,
            "processors": [(one, one) for one in sorted({*visit.deps.processors, *(one.processor for one in found)})],
            "filters": urlencode({"find": asked.find, "state": state, "processor": processor}),
        }
    )


def _micros(one: Quarantined) -> int:
    return cast(int, one.reading.get("amount_minor") or 0) * MICROS_PER_MINOR


def _row(one: Quarantined) -> tuple[str | int | None, ...]:
    return (
        ids.text("fact", one.id), one.processor, one.kind, one.ext_id, one.reason, one.state, _micros(one),
        str(one.reading.get("currency", "")), one.times, one.first_at.isoformat(), one.last_at.isoformat(),
    )  # fmt: skip


async def accept(visit: Visit, work: Work) -> Go:
    """The money is there all the same: credited as it is; a large one when a second person says so too."""
    one = ids.read("fact", forms.read(Which, visit.form).fact)
    waits = (await facts.accept(work, one, visit.person.member_id)).outcome == "waiting"
    details = {"eyes": "first"} if waits else None
    await visits.note(visit, work, "payment:accepted", one, staff=True, details=details)
    return Go(to=PATH, done="payment_accept_waits" if waits else "payment_accepted")


async def dismiss(visit: Visit, work: Work) -> Go:
    """Looked at: nothing to credit."""
    one = ids.read("fact", forms.read(Which, visit.form).fact)
    if await facts.dismiss(work, one, visit.person.member_id):
        await visits.note(visit, work, "payment:dismissed", one, staff=True)
    return Go(to=PATH, done="payment_dismissed")


PAGE = Page(
    name="quarantine",
    path=PATH,
    area="staff",
    load=load,
    permission="staff_payment:read",
    actions={"accept": accept, "dismiss": dismiss},
    needs={"accept": "staff_difference:resolve", "dismiss": "staff_difference:resolve"},
    parent="payments",
    tab=True,
)
