"""Staff: disputes with what is held and owed, the answer to the bank, and the freezes that a person has to look at."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlencode
from uuid import UUID

import msgspec

from ruxa.access import organisations
from ruxa.console import bills, forms, paying, tables, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.kernel.errors import NotFound
from ruxa.ledger.payments import disputes, freezes
from ruxa.ledger.payments.disputes import Dispute
from ruxa.ledger.payments.orders import MICROS_PER_MINOR
from ruxa.store.work import Work

PATH = "/staff/disputes"
COLUMN = "payment.evidence.text_sealed"
STATUSES = ("open", "pending", "won", "lost", "canceled")
HEAD = (
    "id", "order", "opened", "processor", "scope", "status", "amount_micros", "held_micros", "debt_micros", "answer",
    "organisation_ref",
)  # fmt: skip
BADGES = {"won": "pass", "lost": "fail"}


class Answer(msgspec.Struct, frozen=True):
    """What is said to the bank."""

    dispute: str
    text: str


class Review(msgspec.Struct, frozen=True):
    """A person's decision about a freeze."""

    freeze: str
    decision: Literal["lift", "keep"]


class Freeze(msgspec.Struct, frozen=True):
    """Whose spending is stopped."""

    organisation: str
    scope: Literal["live", "sandbox"] = "live"


async def load(visit: Visit, work: Work) -> View:
    """The page, or the list as a file."""
    query, words = visit.query, visit.words
    status = next((one for one in STATUSES if one == query.get("status")), None)
    asked = tables.asked(query)
    sought = await paying.sought(work, visit.deps, asked.find) if asked.find else paying.Sought()
    found: list[Dispute] = []
    if sought is not None:
        found = await disputes.listed(
            work,
            order_id=sought.order_id,
            organisation_ref=sought.organisation_ref,
            status=status,
            before=ids.read("dsp", asked.before) if asked.before else None,
            limit=asked.limit,
        )
    if asked.file:
        return bills.file_of(asked.file, "ruxa-disputes", HEAD, [_row(one) for one in found])
    waiting = await freezes.waiting(work)
    names: dict[UUID, str] = {}
    for ref in {one.organisation_ref for one in found} | {one.organisation_ref for one in waiting}:
        organisation_id = await organisations.of_ref(work, ref)
        names[ref] = "" if organisation_id is None else ids.text("org", organisation_id)
    rows = [
        {
            "id": ids.text("dsp", one.id),
            "order": ids.text("order", one.order_id),
            "organisation": names[one.organisation_ref],
            "processor": one.processor,
            "amount": one.amount_minor * MICROS_PER_MINOR,
            "held": one.held_micros,
            "debt": one.debt_micros,
            "status": one.status,
            "badge": BADGES.get(one.status, "warn"),
            "at": one.opened_at,
            "answered": one.evidence_state,
            "open": one.status in ("open", "pending"),
        }
        for one in found
    ]
    return View(
        {
            "leaf": tables.leaf(rows, [str(row["id"]) for row in rows], before=None, after=None),
            "asked": asked.find,
            "status": status or "",
            "statuses": [(one, words.plain(f"disputes.status_{one}")) for one in STATUSES],
            "filters": urlencode({"find": asked.find, "status": status or ""}),
            "freezes": [
                {
                    "id": ids.text("frz", one.id),
                    "organisation": names[one.organisation_ref],
                    "cause": visit.words.plain(f"disputes.cause_{one.cause}"),
                    "scope": one.scope,
                    "began_at": one.began_at,
                    "ended": one.ended_at is not None,
                }
                for one in waiting
            ],
        }
    )


def _row(one: Dispute) -> tuple[str | int | None, ...]:
    return (
        ids.text("dsp", one.id), ids.text("order", one.order_id), one.opened_at.isoformat(), one.processor, one.scope,
        one.status, one.amount_minor * MICROS_PER_MINOR, one.held_micros, one.debt_micros, one.evidence_state,
        one.organisation_ref.hex,
    )  # fmt: skip


async def answer(visit: Visit, work: Work) -> Go:
    """Keeps the answer sealed until the worker has sent it."""
    form = forms.read(Answer, visit.form)
    one = await disputes.find(work, ids.read("dsp", form.dispute))
    if one is None:
        raise NotFound("No such dispute.")
    organisation_id = await organisations.of_ref(work, one.organisation_ref)
    if organisation_id is None:
        raise NotFound("The organisation was erased.")
    year = visit.deps.terms.fiscal_year(visit.deps.clock.now())
    sealed = await visit.deps.vault.seal(COLUMN, organisation_id, one.id, form.text, year=year)
    await disputes.evidence(work, one.id, sealed, visit.person.session.principal.text)
    await visits.note(visit, work, "dispute:answered", one.id, staff=True)
    return Go(to=PATH, done="dispute_answered")


async def review(visit: Visit, work: Work) -> Go:
    """Lifts a freeze or keeps it: either way a person has looked."""
    form = forms.read(Review, visit.form)
    one = ids.read("frz", form.freeze)
    await freezes.review(work, one, form.decision, visit.person.session.principal.text)
    await visits.note(visit, work, "freeze:reviewed", one, staff=True, details={"decision": form.decision})
    return Go(to=PATH, done="freeze_reviewed")


async def freeze(visit: Visit, work: Work) -> Go:
    """Stops an organisation's spending by hand."""
    form = forms.read(Freeze, visit.form)
    try:
        one = await organisations.find(work, visit.deps.vault, ids.read("org", form.organisation))
    except NotFound:
        raise forms.Faults({"organisation": "books.no_organisation"}) from None
    made = await freezes.put(work, one.organisation_ref, form.scope, visit.person.session.principal.text)
    await visits.note(visit, work, "freeze:placed", made, organisation_id=one.id)
    return Go(to=PATH, done="frozen")


PAGE = Page(
    name="disputes",
    path=PATH,
    area="staff",
    load=load,
    permission="staff_payment:read",
    actions={"answer": answer, "review": review, "freeze": freeze},
    needs={"answer": "staff_dispute:answer", "review": "staff_freeze:lift", "freeze": "staff_freeze:lift"},
    parent="payments",
    tab=True,
)
