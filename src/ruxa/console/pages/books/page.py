"""Staff: the trial balance; debts given up to named accounts; corrections that wait for a second person."""

from __future__ import annotations

from typing import Literal

import msgspec

from ruxa.access import organisations
from ruxa.console import bills, forms, money, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict, NotFound
from ruxa.ledger import accounts
from ruxa.ledger.payments import corrections, limits, writeoffs
from ruxa.ledger.payments.orders import ORDER_MICROS_MAX
from ruxa.store.work import Work

PATH = "/staff/books"
REASONS = ("bad_debt", "goodwill", "fraud", "rounding")
HEAD = ("account", "kind", "unit", "debits_posted", "credits_posted", "debits_pending", "credits_pending")
# Accounts of one organisation, lot or budget are summed up under their first word.
MANY = ("lot", "shortfall", "budget")


class WriteOff(msgspec.Struct, frozen=True):
    """Whose debt, how much, to which account, why."""

    organisation: str
    usd: str
    account: Literal["bad_debt", "goodwill", "fraud", "rounding"]
    reason: str
    scope: Literal["live", "sandbox"] = "live"


class Which(msgspec.Struct, frozen=True):
    """Which correction."""

    wish: str


async def load(visit: Visit, work: Work) -> View:
    """The page, or the trial balance as a file."""
    every = await accounts.every(work)
    if visit.query.get("as") in ("csv", "json"):
        rows = [
            (one.code, one.kind, one.unit, one.debits_posted, one.credits_posted, one.debits_pending,
             one.credits_pending)
            for one in every
        ]  # fmt: skip
        return bills.file_of(visit.query["as"], "ruxa-trial-balance", HEAD, rows)
    summed = _summed(every)
    sums = [one for one in summed if one.unit == "usd_micros"]
    return View(
        {
            "accounts": sums,
            "debits": sum(one.debits for one in sums),
            "credits": sum(one.credits for one in sums),
            "reasons": [(one, visit.words.plain(f"books.account_{one}")) for one in REASONS],
            "bound": await limits.bound(work, "four_eyes_micros"),
            "wishes": [await _wish(visit, work, one) for one in await corrections.waiting(work)],
        }
    )


async def _wish(visit: Visit, work: Work, one: corrections.Wish) -> dict[str, object]:
    """What the second person has to know: whose, how much, why."""
    organisation_id = await organisations.of_ref(work, one.organisation_ref)
    reason = ""
    if visit.person.may("staff_writeoff:post"):
        place = (corrections.reason_column(one.kind), one.id, one.reason_sealed, one.asked_at)
        reason = await money.reason(work, visit.deps, one.organisation_ref, *place)
    return {
        "id": ids.text("wish", one.id),
        "kind": visit.words.plain(f"books.kind_{one.kind}"),
        "organisation": "" if organisation_id is None else ids.text("org", organisation_id),
        "reason": reason,
        "amount": one.amount_micros,
        "account": one.account or "",
        "scope": one.scope,
        "at": one.asked_at,
        "mine": one.asked_by == visit.person.session.principal.text,
    }


class Row(msgspec.Struct, kw_only=True):
    """One line of the trial balance; ``count`` accounts together."""

    code: str
    unit: str
    debits: int = 0
    credits: int = 0
    pending: int = 0
    count: int = 0


def _summed(every: list[accounts.Account]) -> list[Row]:
    """One row an account; those of one organisation together by their first word."""
    found: dict[tuple[str, str], Row] = {}
    for one in every:
        first = one.code.split(":")[0]
        code = f"{first}:*" if first in MANY and one.organisation_ref is not None else one.code
        row = found.setdefault((code, one.unit), Row(code=code, unit=one.unit))
        row.debits += one.debits_posted
        row.credits += one.credits_posted
        row.pending += one.debits_pending + one.credits_pending
        row.count += 1
    return sorted(found.values(), key=lambda row: row.code)


async def write_off(visit: Visit, work: Work) -> Go:
    """Gives a debt up, by name; a large one waits for a second person."""
    form = forms.read(WriteOff, visit.form)
    amount = forms.micros(form.usd, "usd")
    if not 0 < amount <= ORDER_MICROS_MAX:
        raise forms.Faults({"usd": "form.amount"})
    try:
        one = await organisations.find(work, visit.deps.vault, ids.read("org", form.organisation))
    except NotFound:
        raise forms.Faults({"organisation": "books.no_organisation"}) from None
    wish_id = ids.fresh()
    year = visit.deps.terms.fiscal_year(visit.deps.clock.now())
    sealed = await visit.deps.vault.seal(money.WISH_COLUMN, one.id, wish_id, form.reason, year=year)
    try:
        made = await writeoffs.post(
            work,
            one.organisation_ref,
            amount,
            form.account,
            sealed,
            by=visit.person.session.principal.text,
            scope=form.scope,
            wish_id=wish_id,
        )
    except Conflict as fault:
        if fault.code in ("no_debt", "RX077"):
            raise forms.Faults({"usd": "books.no_debt"}) from None
        raise
    await visits.note(
        visit, work, "debt:written_off", wish_id, organisation_id=one.id, details={"account": form.account}
    )
    return Go(to=PATH, done="written_off" if made else "wish_waits")


async def approve(visit: Visit, work: Work) -> Go:
    """The second person."""
    one = ids.read("wish", forms.read(Which, visit.form).wish)
    await corrections.approve(work, one, visit.person.session.principal.text)
    await visits.note(visit, work, "wish:approved", one, staff=True)
    return Go(to=PATH, done="wish_approved")


async def reject(visit: Visit, work: Work) -> Go:
    """Drops it."""
    one = ids.read("wish", forms.read(Which, visit.form).wish)
    await corrections.reject(work, one, visit.person.session.principal.text)
    await visits.note(visit, work, "wish:rejected", one, staff=True)
    return Go(to=PATH, done="wish_rejected")


PAGE = Page(
    name="books",
    path=PATH,
    area="staff",
    load=load,
    permission="staff_payment:read",
    actions={"write_off": write_off, "approve": approve, "reject": reject},
    needs={"write_off": "staff_writeoff:post", "approve": "staff_writeoff:post", "reject": "staff_writeoff:post"},
    parent="payments",
    tab=True,
)
