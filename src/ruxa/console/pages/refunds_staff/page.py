"""Staff: refunds under way; a large one is approved by somebody else than who asked."""

from __future__ import annotations

import msgspec

from ruxa.console import forms, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.ledger.payments import limits, refunds
from ruxa.store.work import Work

PATH = "/staff/refunds"
BADGES = {"waiting": "warn", "done": "pass", "failed": "fail", "canceled": "none"}


class Which(msgspec.Struct, frozen=True):
    """Which refund."""

    refund: str


async def load(visit: Visit, work: Work) -> View:
    """The page: what waits first."""
    found = await refunds.listed(work)
    me = visit.person.session.principal.text
    rows = [
        {
            "id": ids.text("rfnd", one.id),
            "order": ids.text("order", one.order_id),
            "amount": one.amount_micros,
            "processor": one.processor,
            "scope": one.scope,
            "state": one.state,
            "badge": BADGES.get(one.state, "live"),
            "at": one.created_at,
            "mine": one.asked_by == me,
            "failure": one.failure,
        }
        for one in found
    ]
    rows.sort(key=lambda one: one["state"] != "waiting")
    return View({"rows": rows, "bound": await limits.bound(work, "four_eyes_micros")})


async def approve(visit: Visit, work: Work) -> Go:
    """The second pair of eyes."""
    one = ids.read("rfnd", forms.read(Which, visit.form).refund)
    await refunds.approve(work, one, visit.person.session.principal.text)
    await visits.note(visit, work, "refund:approved", one, staff=True)
    return Go(to=PATH, done="refund_approved")


async def cancel(visit: Visit, work: Work) -> Go:
    """Drops what was not sent yet."""
    one = ids.read("rfnd", forms.read(Which, visit.form).refund)
    await refunds.cancel(work, one, visit.person.session.principal.text)
    await visits.note(visit, work, "refund:canceled", one, staff=True)
    return Go(to=PATH, done="refund_canceled")


PAGE = Page(
    name="refunds_staff",
    path=PATH,
    area="staff",
    load=load,
    permission="staff_payment:read",
    actions={"approve": approve, "cancel": cancel},
    needs={"approve": "staff_refund:approve", "cancel": "staff_refund:approve"},
    parent="payments",
    tab=True,
)
