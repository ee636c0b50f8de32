"""Staff: one organisation; credit given and taken back with a reason, suspend and resume, each in the log by name."""

from __future__ import annotations

from typing import get_args

import msgspec

from ruxa.access import organisations
from ruxa.console import bills, forms, money, records, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.ledger import accounts
from ruxa.ledger.payments import facts, limits
from ruxa.store.work import Work

PURPOSE = "provide"
LINES = 20


class Credit(msgspec.Struct, frozen=True):
    """How much, for what, why."""

    usd: str
    reason: str
    scope: str = "sandbox"


class TakeBack(msgspec.Struct, frozen=True):
    """Which credit, why."""

    lot: str
    why: str


class Suspend(msgspec.Struct, frozen=True):
    """Why."""

    why: organisations.Why


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    one = await organisations.find(work, visit.deps.vault, visits.organisation_of(visit.places["organisation_id"]))
    lines = await records.lines(work, one.organisation_ref, before=None, after=None, limit=LINES)
    lots = bills.lots(await accounts.lots(work, one.organisation_ref), visit.words, visit.deps.clock.now())
    return View(
        {
            "one": {
                "shown_id": ids.text("org", one.id),
                "name": one.name.open(PURPOSE),
                "suspended": one.suspended_at is not None,
                "members": one.members,
                "key_count": await records.key_count(work, one.id),
            },
            "balance": await money.purse_of(work, one.organisation_ref),
            "lots": lots,
            # Credit that a payment bought is refunded, on that payment's page.
            "payments": await _payments(work, lots),
            "bound": await limits.bound(work, "four_eyes_micros"),
            "lines": [money.line(line, visit.words) for line in lines],
            "whys": [(why, visit.words.plain(f"organisation.why_{why}")) for why in get_args(organisations.Why)],
        }
    )


async def _payments(work: Work, lots: list[bills.ShownLot]) -> dict[str, str]:
    found: dict[str, str] = {}
    for lot in lots:
        fact = await facts.find(work, ids.read("lot", lot.id))
        if fact is not None and fact.order_id is not None:
            found[lot.id] = ids.text("order", fact.order_id)
    return found


async def credit(visit: Visit, work: Work) -> Go:
    """Books a credit under the member's name; its reason is sealed under the organisation's key."""
    form = forms.read(Credit, visit.form)
    amount = forms.micros(form.usd, "usd")
    one = await organisations.find(work, visit.deps.vault, visits.organisation_of(visit.places["organisation_id"]))
    by = visit.person.session.principal.text
    lot_id, booked = await money.give_credit(work, visit.deps, one, form.scope, amount, form.reason, by)
    await visits.note(visit, work, "credit:given", lot_id, organisation_id=one.id)
    return Go(to=visit.path, done="credited" if booked else "credit_waits")


async def take_back(visit: Visit, work: Work) -> Go:
    """Takes back what is left of a credit that nobody paid for; a large one waits for a second person."""
    form = forms.read(TakeBack, visit.form)
    one = await organisations.find(work, visit.deps.vault, visits.organisation_of(visit.places["organisation_id"]))
    by, lot_id = visit.person.session.principal.text, ids.read("lot", form.lot)
    _, moved = await money.take_back(work, visit.deps, one, lot_id, form.why, by)
    await visits.note(visit, work, "credit:voided", lot_id, organisation_id=one.id)
    return Go(to=visit.path, done="taken_back" if moved is not None else "wish_waits")


async def suspend(visit: Visit, work: Work) -> Go:
    """Stops the organisation's keys."""
    form = forms.read(Suspend, visit.form)
    one = await organisations.find(work, visit.deps.vault, visits.organisation_of(visit.places["organisation_id"]))
    await organisations.suspend(work, one.id, form.why)
    await visits.note(visit, work, "organisation:suspended", one.id, organisation_id=one.id, details={"why": form.why})
    return Go(to=visit.path, done="suspended")


async def resume(visit: Visit, work: Work) -> Go:
    """Lets them work again."""
    one = await organisations.find(work, visit.deps.vault, visits.organisation_of(visit.places["organisation_id"]))
    await organisations.restore(work, one.id)
    await visits.note(visit, work, "organisation:restored", one.id, organisation_id=one.id)
    return Go(to=visit.path, done="resumed")


PAGE = Page(
    name="organisation",
    path="/staff/organisations/{organisation_id:str}",
    area="staff",
    load=load,
    permission="staff_organisation:list",
    actions={"credit": credit, "take_back": take_back, "suspend": suspend, "resume": resume},
    needs={
        "credit": "staff_credit:give",
        "take_back": "staff_credit:give",
        "suspend": "staff_organisation:suspend",
        "resume": "staff_organisation:suspend",
    },
    parent="organisations",
)
