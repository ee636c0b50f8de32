"""Staff: legal holds, approved here by somebody else than who placed them; and erasures that are late."""

from __future__ import annotations

import msgspec

from ruxa.console import forms
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.privacy import erase
from ruxa.privacy.retention import holds
from ruxa.store.work import Work

PATH = "/staff/holds"


class Approve(msgspec.Struct, frozen=True):
    """Which hold."""

    hold: str


async def load(visit: Visit, work: Work) -> View:
    """The page. Reasons are opened for whoever may approve."""
    me = visit.person.member_id
    found = await holds.every(work, visit.deps.vault, ended=True)
    late = await erase.refused(work)
    return View(
        {
            "holds": [
                {
                    "id": ids.text("hold", one.id),
                    "subject": ids.text("org" if one.scope == "organisation" else "mem", one.subject_id),
                    "basis": visit.words.plain(f"holds.basis_{one.basis}"),
                    "reason": one.reason,
                    "state": holds.state_of(one),
                    "placed_at": one.placed_at,
                    "ends_at": one.ended_at or one.ends_at,
                    "ended": one.ended_at is not None,
                    "gagged": one.gagged,
                    "kept": visit.words.number(one.items),
                    "mine": one.owner_id == me,
                }
                for one in found
            ],
            "late": [
                {
                    "id": ids.text("ers", one.id),
                    "kind": visit.words.plain(f"holds.kind_{one.kind}"),
                    "due_at": one.due_at,
                    "why": [visit.words.plain(f"holds.why_{why}") for why in one.why or ("keys",)],
                }
                for one in late
            ],
        }
    )


async def approve(visit: Visit, work: Work) -> Go:
    """The second pair of eyes; the hold's own entry in the log is written with it."""
    form = forms.read(Approve, visit.form)
    person = visit.person
    await holds.approve(work, visit.deps.vault, person.session.principal, ids.read("hold", form.hold), person.member_id)
    return Go(to=PATH, done="hold_approved")


PAGE = Page(
    name="holds",
    path=PATH,
    area="staff",
    load=load,
    permission="staff_hold:approve",
    actions={"approve": approve},
    needs={"approve": "staff_hold:approve"},
    icon="hand",
    group="staff",
)
