"""Staff: the price books, their rules over the list, and which organisation has which."""

from __future__ import annotations

import msgspec

from ruxa.access import organisations
from ruxa.console import forms, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.kernel.errors import NotFound
from ruxa.ledger import plans
from ruxa.ledger.prices import LIST
from ruxa.store.work import Work

PATH = "/staff/plans"


class Assign(msgspec.Struct, frozen=True):
    """Whose plan, which."""

    organisation: str
    plan: str


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    found = await plans.listed(work)
    return View(
        {
            "plans": [
                {
                    "name": one.name,
                    "beyond": one.beyond_list,
                    "organisations": one.organisations,
                    "rules": [] if one.name == LIST else await plans.margins(work, one.name),
                }
                for one in found
            ],
            "names": [(one.name, one.name) for one in found],
        }
    )


async def assign(visit: Visit, work: Work) -> Go:
    """From now on; calls under way keep their price."""
    form = forms.read(Assign, visit.form)
    try:
        one = await organisations.find(work, visit.deps.vault, ids.read("org", form.organisation))
    except NotFound:
        raise forms.Faults({"organisation": "books.no_organisation"}) from None
    try:
        made = await plans.assign(work, one.organisation_ref, form.plan)
    except NotFound:
        raise forms.Faults({"plan": "form.invalid"}) from None
    await visits.note(visit, work, "plan:assigned", made, organisation_id=one.id, details={"plan": form.plan})
    return Go(to=PATH, done="plan_assigned")


PAGE = Page(
    name="plans",
    path=PATH,
    area="staff",
    load=load,
    permission="staff_payment:read",
    actions={"assign": assign},
    needs={"assign": "staff_price:change"},
    parent="payments",
    tab=True,
)
