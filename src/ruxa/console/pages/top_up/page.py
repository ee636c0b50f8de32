"""Top up: how much and by which way, then the price with tax and what holds for it, then the processor's own page."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from ruxa.access import authorize
from ruxa.console import bills, forms, paying, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.console.paying import Choice
from ruxa.kernel import ids
from ruxa.ledger.payments.orders import MICROS_PER_MINOR
from ruxa.store.work import Work

PATH = "/billing/top-up"


class Ask(msgspec.Struct, frozen=True):
    """Amount (one of the usual, or ``other`` with its own field) and the way to pay."""

    by: str
    usd: str = "other"
    other: str = ""
    save: bool = False


async def load(visit: Visit, work: Work) -> View:
    """The form; with ``usd`` and ``by`` in the address the price and what holds for it."""
    words = visit.words
    ways = [{"choice": one, "how": bills.how(words, one.method)} for one in paying.choices(visit.deps)]
    values: dict[str, object] = {
        "ways": ways,
        "usual": paying.USUAL_USD,
        "review": None,
        "taxed": visit.deps.terms.engine.name,
    }
    found = paying.chosen(visit.deps, visit.query.get("by", ""))
    if found is None or "usd" not in visit.query or visit.form:
        return View(values)
    try:
        amount = _cents(visit.query["usd"])
    except forms.Faults:
        return View(values)
    quote = await paying.priced(work, visit.deps, visit.person.organisation_ref, amount)
    values["review"] = {
        "choice": found,
        "how": bills.how(words, found.method),
        "usd": words.exact(amount),
        "amount": amount,
        "taxes": [
            {
                "name": one.name or one.jurisdiction,
                "rate": one.rate,
                "micros": one.tax_minor * MICROS_PER_MINOR,
                "note": one.note,
            }
            for one in quote.lines
        ],
        "total": quote.gross_minor * MICROS_PER_MINOR,
        "save": visit.query.get("save") == "true" and found.saves,
    }
    return View(values)


def _cents(usd: str) -> int:
    return forms.cents(usd, "other", least=paying.LEAST_MICROS, most=paying.MOST_MICROS)


def _read(visit: Visit) -> tuple[int, Choice, bool]:
    form = forms.read(Ask, visit.form)
    found = paying.chosen(visit.deps, form.by)
    if found is None:
        raise forms.Faults({"by": "top_up.choose"})
    return _cents(form.other if form.usd == "other" else form.usd), found, form.save


async def review(visit: Visit, work: Work) -> Go:
    """Amount and way are well: see the price."""
    del work
    amount, found, save = _read(visit)
    whole, rest = divmod(amount // MICROS_PER_MINOR, 100)
    asked = {"usd": f"{whole}.{rest:02d}", "by": found.value, **({"save": "true"} if save else {})}
    return Go(to=f"{PATH}?{urlencode(asked)}")


async def pay(visit: Visit) -> Go:
    """Makes the order and sends the customer to the processor's page; a bank transfer has its lines on the order's."""
    person = visit.person
    authorize.require(person.session.principal, "topup:create", person.organisation_id)
    amount, found, save = _read(visit)
    order, checkout = await paying.begin(
        visit.deps,
        person.session.principal,
        paying.Wanted(
            organisation_id=person.organisation_id,
            organisation_ref=person.organisation_ref,
            amount_micros=amount,
            choice=found,
            save=save,
            block=visits.visitor(visit).block,
            request=visit.request_id,
        ),
    )
    return Go(to=checkout.url or f"/billing/orders/{ids.text('order', order.id)}")


PAGE = Page(
    name="top_up",
    path=PATH,
    area="customer",
    load=load,
    permission="topup:create",
    actions={"review": review},
    doors={"pay": pay},
    parent="billing",
    tab=True,
)
