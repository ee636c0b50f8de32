"""Staff: bank transfers that one person has seen arrive and another has to confirm."""

from __future__ import annotations

from typing import get_args
from urllib.parse import urlencode

import msgspec

from ruxa.console import bills, forms, tables, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.ledger.payments import manual, orders
from ruxa.ledger.payments.manual import Confirmation, State
from ruxa.ledger.payments.orders import MICROS_PER_MINOR
from ruxa.store.work import Work

PATH = "/staff/transfers"
STATES: tuple[State, ...] = get_args(State)
BADGES: dict[State, str] = {"first": "warn", "confirmed": "pass", "withdrawn": "none"}
HEAD = (
    "id", "order", "day", "reference", "account", "state", "amount_micros", "first", "ended", "organisation_ref",
)  # fmt: skip


class Which(msgspec.Struct, frozen=True):
    """Which confirmation."""

    confirmation: str


class Find(msgspec.Struct, frozen=True):
    """A reference as the bank's line has it."""

    reference: str


async def load(visit: Visit, work: Work) -> View:
    """The page: what waits, then what became of the others; or all of it as a file."""
    query, words = visit.query, visit.words
    state: State | None = next((one for one in STATES if one == query.get("state")), None)
    asked = tables.asked(query)
    before = ids.read("cfm", asked.before) if asked.before else None
    found = await manual.listed(work, state=state, reference=asked.find or None, before=before, limit=asked.limit)
    if asked.file:
        return bills.file_of(asked.file, "ruxa-transfers", HEAD, [_row(one) for one in found])
    me = visit.person.session.principal.text
    rows = [_shown(one, me) for one in found]
    return View(
        {
            "rows": [_shown(one, me) for one in await manual.waiting(work)],
            "leaf": tables.leaf(rows, [str(row["id"]) for row in rows], before=None, after=None),
            "asked": asked.find,
            "state": state or "",
            "states": [(one, words.plain(f"transfers.state_{one}")) for one in STATES],
            "filters": urlencode({"find": asked.find, "state": state or ""}),
        }
    )


def _shown(one: Confirmation, me: str) -> dict[str, object]:
    return {
        "id": ids.text("cfm", one.id),
        "order": ids.text("order", one.order_id),
        "amount": one.amount_minor * MICROS_PER_MINOR,
        "day": one.day,
        "line": one.reference,
        "account": one.account,
        "state": one.state,
        "badge": BADGES[one.state],
        "at": one.first_at,
        "then": one.second_at,
        "mine": one.first_by == me,
    }


def _row(one: Confirmation) -> tuple[str | int | None, ...]:
    return (
        ids.text("cfm", one.id), ids.text("order", one.order_id), one.day.isoformat(), one.reference, one.account,
        one.state, one.amount_minor * MICROS_PER_MINOR, one.first_at.isoformat(),
        None if one.second_at is None else one.second_at.isoformat(), one.organisation_ref.hex,
    )  # fmt: skip


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
