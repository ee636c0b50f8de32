"""Staff: bank transfers that one person has seen arrive and another has to confirm."""

from __future__ import annotations

import msgspec

from ruxa.console import forms, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.ledger.payments import manual, orders
from ruxa.ledger.payments.orders import MICROS_PER_MINOR
from ruxa.store.work import Work

PATH = "/staff/transfers"


class Which(msgspec.Struct, frozen=True):
    """Which confirmation."""

    confirmation: str


class Find(msgspec.Struct, frozen=True):
    """A reference as the bank's line has it."""

    reference: str


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    me = visit.person.session.principal.text
    return View(
        {
            "rows": [
                {
                    "id": ids.text("cfm", one.id),
                    "order": ids.text("order", one.order_id),
                    "amount": one.amount_minor * MICROS_PER_MINOR,
                    "day": one.day,
                    "line": one.reference,
                    "account": one.account,
                    "at": one.first_at,
                    "mine": one.first_by == me,
                }
                for one in await manual.waiting(work)
            ]
        }
    )


async def find(visit: Visit, work: Work) -> Go:
    """The order of a reference: there the first confirmation is given."""
    found = await orders.by_reference(work, forms.read(Find, visit.form).reference)
    if found is None:
        raise forms.Faults({"reference": "transfers.unknown"})
    return Go(to=f"/staff/payments/{ids.text('order', found.id)}")


async def second(visit: Visit, work: Work) -> Go:
    """The second person: now it is credited."""
    one = ids.read("cfm", forms.read(Which, visit.form).confirmation)
    effect = await manual.second(work, one, visit.person.session.principal.text)
    await visits.note(
        visit, work, "transfer:confirmed", one, staff=True, details={"eyes": "second", "outcome": effect.outcome}
    )
    return Go(to=PATH, done="transfer_second" if effect.outcome == "posted" else "transfer_parked")


async def withdraw(visit: Visit, work: Work) -> Go:
    """Takes the first confirmation back."""
    one = ids.read("cfm", forms.read(Which, visit.form).confirmation)
    await manual.withdraw(work, one, visit.person.session.principal.text)
    await visits.note(visit, work, "transfer:withdrawn", one, staff=True)
    return Go(to=PATH, done="transfer_withdrawn")


PAGE = Page(
    name="transfers",
    path=PATH,
    area="staff",
    load=load,
    permission="staff_payment:read",
    actions={"find": find, "second": second, "withdraw": withdraw},
    needs={
        "find": "staff_payment:read",
        "second": "staff_transfer:confirm",
        "withdraw": "staff_transfer:confirm",
    },
    parent="payments",
    tab=True,
)
