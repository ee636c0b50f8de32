"""Staff: one payment: its order, what the processor confirmed, refunds, bank confirmations, documents."""

from __future__ import annotations

import re
from datetime import date

import msgspec

from ruxa.access import organisations
from ruxa.console import bills, forms, paying, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.kernel.errors import NotFound
from ruxa.ledger.documents import document
from ruxa.ledger.payments import facts, freezes, manual, orders, refunds
from ruxa.ledger.payments.orders import MICROS_PER_MINOR, Order
from ruxa.store.work import Work

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class AskRefund(msgspec.Struct, frozen=True):
    """How much, why, and whether what is spent may become a debt."""

    usd: str
    reason: str
    beyond: bool = False


class Arrived(msgspec.Struct, frozen=True):
    """A line of the bank's statement."""

    received: str
    day: str
    line: str
    account: str


async def _order(visit: Visit, work: Work) -> Order:
    found = await orders.find(work, ids.read("order", visit.places["order_id"]))
    if found is None:
        raise NotFound("No such order.")
    return found


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    found = await _order(visit, work)
    words = visit.words
    organisation_id = await organisations.of_ref(work, found.organisation_ref)
    return View(
        {
            "one": bills.order(found, words),
            "organisation": None if organisation_id is None else ids.text("org", organisation_id),
            "ext_id": found.ext_id,
            "facts": [
                {
                    "kind": words.plain(f"payment.kind_{one.kind}"),
                    "ext_id": one.ext_id,
                    "status": one.status,
                    "badge": {"succeeded": "pass", "won": "pass", "failed": "fail", "lost": "fail"}.get(
                        one.status, "live"
                    ),
                    "amount": one.amount_minor * MICROS_PER_MINOR,
                    "fee": None if one.fee_minor is None else one.fee_minor * MICROS_PER_MINOR,
                    "at": one.at,
                }
                for one in await facts.of_order(work, found.id)
            ],
            "refunds": [
                {"id": ids.text("rfnd", one.id), "at": one.created_at, "amount": one.amount_micros, "state": one.state}
                for one in await refunds.listed(work, order_id=found.id)
            ],
            "refundable": await refunds.refundable(work, found.id) if found.received_minor else 0,
            "left": max(found.received_minor - found.refunded_minor, 0) * MICROS_PER_MINOR,
            "confirmations": [
                {
                    "id": ids.text("cfm", one.id),
                    "amount": one.amount_minor * MICROS_PER_MINOR,
                    "day": one.day,
                    "line": one.reference,
                    "state": one.state,
                }
                for one in await manual.of_order(work, found.id)
            ],
            "freezes": [one for one in await freezes.of(work, found.organisation_ref) if one.ended_at is None],
            "documents": [bills.document(one, words) for one in await document.of_order(work, found.id)],
        }
    )


async def refund(visit: Visit, work: Work) -> Go:
    """Asks for a refund; a large one waits for a second person."""
    form = forms.read(AskRefund, visit.form)
    found = await _order(visit, work)
    most = max((found.received_minor - found.refunded_minor) * MICROS_PER_MINOR, MICROS_PER_MINOR)
    amount = forms.cents(form.usd, "usd", least=MICROS_PER_MINOR, most=most)
    organisation_id = await organisations.of_ref(work, found.organisation_ref)
    if organisation_id is None:
        raise NotFound("The organisation was erased.")
    by = visit.person.session.principal.text
    made = await paying.ask_refund(
        work, visit.deps, organisation_id, found, amount, form.reason, by, beyond=form.beyond
    )
    await visits.note(visit, work, "refund:asked", made.id, organisation_id=organisation_id)
    return Go(to=visit.path, done="refund_asked")


async def confirm(visit: Visit, work: Work) -> Go:
    """The first of two people says that a transfer has arrived."""
    form = forms.read(Arrived, visit.form)
    found = await _order(visit, work)
    amount = forms.cents(form.received, "received", least=MICROS_PER_MINOR, most=orders.ORDER_MICROS_MAX)
    try:
        day = date.fromisoformat(form.day) if _DAY.fullmatch(form.day) else None
    except ValueError:
        day = None
    if day is None:
        raise forms.Faults({"day": "payment.bad_day"})
    made = await manual.first(
        work,
        found.id,
        amount_micros=amount,
        day=day,
        reference=form.line,
        account=form.account,
        by=visit.person.session.principal.text,
    )
    await visits.note(visit, work, "transfer:confirmed", made, staff=True, details={"eyes": "first"})
    return Go(to=visit.path, done="transfer_first")


PAGE = Page(
    name="payment",
    path="/staff/payments/{order_id:str}",
    area="staff",
    load=load,
    permission="staff_payment:read",
    actions={"refund": refund, "confirm": confirm},
    needs={"refund": "staff_refund:ask", "confirm": "staff_transfer:confirm"},
    parent="payments",
)
