"""Staff: the processors' books against ours, day by day; each difference with its age, its owner and its end."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from ruxa.console import forms, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.ledger.reconciliation import differences, report
from ruxa.ledger.reconciliation.differences import Outcome
from ruxa.store.work import Work

PATH = "/staff/reconciliation"
DAYS = 14


class Which(msgspec.Struct, frozen=True):
    """Which difference."""

    difference: str


class Resolve(msgspec.Struct, frozen=True):
    """How a difference ends, and where that is written down."""

    difference: str
    outcome: Outcome
    reference: str | None = None


async def load(visit: Visit, work: Work) -> View:
    """The page, or the report of the last days as a file."""
    words = visit.words
    today = visit.deps.clock.now().date()
    since = today - timedelta(days=DAYS)
    if visit.query.get("as") in ("csv", "json"):
        found = await report.of_days(work, since, today + timedelta(days=1))
        if visit.query["as"] == "csv":
            return View(body=report.csv(found), media_type="text/csv", filename="ruxa-reconciliation.csv")
        return View(body=report.as_json(found), media_type="application/json", filename="ruxa-reconciliation.json")
    found = await report.of_days(work, since, today)
    me = visit.person.member_id
    rows = await differences.listed(work)
    return View(
        {
            "days": [
                {
                    "day": one.day,
                    "processor": one.processor,
                    "object": words.plain(f"reconciliation.object_{one.object}")
                    if words.has(f"reconciliation.object_{one.object}")
                    else one.object,
                    "here": one.here * differences.MICROS_PER_MINOR,
                    "there": one.there * differences.MICROS_PER_MINOR,
                    "count_here": one.count_here,
                    "count_there": one.count_there,
                    "agrees": one.here == one.there and one.count_here == one.count_there,
                }
                for one in found.totals
            ],
            "rows": [
                {
                    "id": ids.text("diff", one.id),
                    "kind": words.plain(f"reconciliation.kind_{one.kind}"),
                    "object": one.object,
                    "ext_id": one.ext_id,
                    "processor": one.processor,
                    "day": one.day,
                    "age": one.age_days,
                    "here": None if one.here is None else one.here * differences.MICROS_PER_MINOR,
                    "there": None if one.there is None else one.there * differences.MICROS_PER_MINOR,
                    "counts": one.kind == "upstream_differs",
                    "calls": (one.here, one.there),
                    "mine": one.owner_id == me,
                    "owned": one.owner_id is not None,
                }
                for one in rows
            ],
            "outcomes": [(one, words.plain(f"reconciliation.outcome_{one}")) for one in differences.OUTCOMES],
        }
    )


async def take(visit: Visit, work: Work) -> Go:
    """The visitor looks after it."""
    one = ids.read("diff", forms.read(Which, visit.form).difference)
    await differences.assign(work, one, visit.person.member_id)
    await visits.note(visit, work, "difference:taken", one, staff=True)
    return Go(to=PATH, done="difference_taken")


async def resolve(visit: Visit, work: Work) -> Go:
    """Ends it by the visitor's word."""
    form = forms.read(Resolve, visit.form)
    one = ids.read("diff", form.difference)
    await differences.resolve(work, one, form.outcome, form.reference, visit.person.session.principal.text)
    await visits.note(visit, work, "difference:resolved", one, staff=True, details={"outcome": form.outcome})
    return Go(to=PATH, done="difference_resolved")


PAGE = Page(
    name="reconciliation",
    path=PATH,
    area="staff",
    load=load,
    permission="staff_payment:read",
    actions={"take": take, "resolve": resolve},
    needs={"take": "staff_difference:resolve", "resolve": "staff_difference:resolve"},
    parent="payments",
    tab=True,
)
