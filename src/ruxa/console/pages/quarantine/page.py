"""Staff: what processors confirmed and did not fit: seen, named, never credited until a person decides."""

from __future__ import annotations

from typing import cast

import msgspec

from ruxa.console import forms, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.ledger.payments import facts
from ruxa.ledger.payments.orders import MICROS_PER_MINOR
from ruxa.store.work import Work

PATH = "/staff/quarantine"
ACCEPTABLE = frozenset({"amount", "second_capture"})


class Which(msgspec.Struct, frozen=True):
    """Which of them."""

    fact: str


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    return View(
        {
            "rows": [
                {
                    "id": ids.text("fact", one.id),
                    "processor": one.processor,
                    "kind": visit.words.plain(f"payment.kind_{one.kind}"),
                    "ext_id": one.ext_id,
                    "reason": visit.words.plain(f"quarantine.reason_{one.reason}"),
                    "amount": cast(int, one.reading.get("amount_minor") or 0) * MICROS_PER_MINOR,
                    "currency": one.reading.get("currency", ""),
                    "times": one.times,
                    "first_at": one.first_at,
                    "acceptable": one.reason in ACCEPTABLE,
                }
                for one in await facts.quarantined(work)
            ]
        }
    )


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
