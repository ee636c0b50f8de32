"""One payment: where it stands, how to go on, what it became; while it waits the page looks again by itself."""

from __future__ import annotations

import msgspec

from ruxa.console import bills, forms, money, paying, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.ledger.documents import document, issue, profile
from ruxa.ledger.payments import orders, refunds
from ruxa.ledger.payments.orders import Order
from ruxa.store.work import Work


class AskRefund(msgspec.Struct, frozen=True):
    """How much, why."""

    usd: str
    reason: str


async def _own(visit: Visit, work: Work) -> Order:
    return await paying.own(work, visit.places["order_id"], visit.person.organisation_ref)


async def load(visit: Visit, work: Work) -> View:
    """The page. Who comes back from paying makes the worker look at once."""
    found = await _own(visit, work)
    if found.state in orders.OPEN and visit.query.get("back") == "paid":
        await paying.ask_again(work, visit.deps, found)
    person, words = visit.person, visit.words
    given = await refunds.listed(work, order_id=found.id)
    papers = await document.of_order(work, found.id)
    return View(
        {
            "one": bills.order(found, words),
            "back": visit.query.get("back", ""),
            "balance": await money.purse_of(work, person.organisation_ref),
            "lines": await paying.instructions(visit.deps, found),
            "documents": [bills.document(one, words) for one in papers],
            "invoice": await _invoice(visit, work, {one.kind for one in papers}),
            "refundable": await refunds.refundable(work, found.id) if found.received_minor else 0,
            "refunds": [
                {
                    "id": ids.text("rfnd", one.id),
                    "at": one.created_at,
                    "amount": one.amount_micros,
                    "state": one.state,
                    "badge": {"done": "pass", "failed": "fail", "canceled": "none"}.get(one.state, "live"),
                }
                for one in given
            ],
        }
    )


async def _invoice(visit: Visit, work: Work, kinds: set[str]) -> str:
    """Whether an invoice can still be made: ``ready``, ``profile`` (billing details are missing) or not at all."""
    lacks = "receipt" in kinds and "invoice" not in kinds and visit.deps.terms.seller is not None
    if not lacks or not visit.person.may("billing:change"):
        return ""
    written = await profile.find(work, visit.deps.vault, visit.person.organisation_ref)
    return "profile" if written is None else "ready"


async def cancel(visit: Visit, work: Work) -> Go:
    """Ends an order that nothing was paid for."""
    found = await _own(visit, work)
    if await orders.close(work, found.id, "canceled"):
        await visits.note(visit, work, "payment:canceled", found.id)
        return Go(to=visit.path, done="payment_canceled")
    return Go(to=visit.path)


async def look(visit: Visit, work: Work) -> Go:
    """Asks the processor once more (the worker does), for who has no scripts or no patience."""
    await paying.ask_again(work, visit.deps, await _own(visit, work))
    return Go(to=f"{visit.path}?back=paid")


async def refund(visit: Visit, work: Work) -> Go:
    """A wish for money back, of what is unspent of this payment."""
    form = forms.read(AskRefund, visit.form)
    found = await _own(visit, work)
    left = await refunds.refundable(work, found.id)
    amount = forms.cents(form.usd, "usd", least=min(10_000, left or 10_000), most=max(left, 10_000))
    person = visit.person
    by = f"member:{person.member_id.hex}"
    made = await paying.ask_refund(work, visit.deps, person.organisation_id, found, amount, form.reason, by)
    await visits.note(visit, work, "refund:asked", made.id)
    return Go(to=visit.path, done="refund_asked")


async def invoice(visit: Visit, work: Work) -> Go:
    """The invoice of a payment that was made before there were billing details."""
    found = await _own(visit, work)
    await issue.invoice_for(work, visit.deps.vault, visit.deps.terms, found.id)
    await visits.note(visit, work, "document:asked", found.id)
    return Go(to=visit.path, done="invoice_made")


PAGE = Page(
    name="order",
    path="/billing/orders/{order_id:str}",
    area="customer",
    load=load,
    permission="payment:read",
    actions={"cancel": cancel, "look": look, "refund": refund, "invoice": invoice},
    needs={
        "cancel": "topup:create",
        "look": "payment:read",
        "refund": "payment:change",
        "invoice": "billing:change",
    },
    parent="billing",
)
