"""Staff: refunds under way; a large one is approved by somebody else than who asked."""

from __future__ import annotations

from typing import get_args
from urllib.parse import urlencode

import msgspec

from ruxa.console import bills, forms, money, paying, tables, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.ledger.payments import limits, refunds
from ruxa.ledger.payments.refunds import Refund, State
from ruxa.store.work import Work

STATES: tuple[State, ...] = get_args(State)
HEAD = (
    "id", "order", "time", "processor", "scope", "state", "amount_micros", "tax_micros", "failure", "organisation_ref",
)  # fmt: skip
PATH = "/staff/refunds"
BADGES = {"waiting": "warn", "done": "pass", "failed": "fail", "canceled": "none"}


class Which(msgspec.Struct, frozen=True):
    """Which refund."""

    refund: str


async def load(visit: Visit, work: Work) -> View:
    """The page: what waits first; or the list as a file."""
    query, words = visit.query, visit.words
    state: State | None = next((one for one in STATES if one == query.get("state")), None)
    asked = tables.asked(query)
    sought = await paying.sought(work, visit.deps, asked.find) if asked.find else paying.Sought()
    found: list[Refund] = []
    if sought is not None:
        found = await refunds.listed(
            work,
            order_id=sought.order_id,
            organisation_ref=sought.organisation_ref,
            state=state,
            before=ids.read("rfnd", asked.before) if asked.before else None,
            limit=asked.limit,
        )
    if asked.file:
        return bills.file_of(asked.file, "ruxa-refunds", HEAD, [_row(one) for one in found])
    rows = [await _shown(visit, work, one) for one in found]
    leaf = tables.leaf(rows, [str(one["id"]) for one in rows], before=None, after=None)
    leaf.rows.sort(key=lambda one: one["state"] != "waiting")
    return View(
        {
            "leaf": leaf,
            "asked": asked.find,
            "state": state or "",
            "states": [(one, words.plain(f"refund.state_{one}")) for one in STATES],
            "filters": urlencode({"find": asked.find, "state": state or ""}),
            "bound": await limits.bound(work, "four_eyes_micros"),
        }
    )


async def _shown(visit: Visit, work: Work, one: Refund) -> dict[str, object]:
    """A row; whoever may approve what waits reads why it was asked for."""
    reason = ""
    if one.state == "waiting" and visit.person.may("staff_refund:approve"):
        place = (paying.REASON_COLUMN, one.id, one.reason_sealed, one.created_at)
        reason = await money.reason(work, visit.deps, one.organisation_ref, *place)
    return {
        "id": ids.text("rfnd", one.id),
        "order": ids.text("order", one.order_id),
        "amount": one.amount_micros,
        "processor": one.processor,
        "scope": one.scope,
        "state": one.state,
        "badge": BADGES.get(one.state, "live"),
        "at": one.created_at,
        "mine": one.asked_by == visit.person.session.principal.text,
        "failure": one.failure,
        "reason": reason,
    }


def _row(one: Refund) -> tuple[str | int | None, ...]:
    return (
        ids.text("rfnd", one.id), ids.text("order", one.order_id), one.created_at.isoformat(), one.processor, one.scope,
        one.state, one.amount_micros, one.tax_micros, one.failure, one.organisation_ref.hex,
    )  # fmt: skip


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
