"""Billing details: whom invoices are for, and the tax id; sealed, and copied into each document when it is issued."""

from __future__ import annotations

import msgspec

from ruxa.console import forms, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.sealed import Sealed
from ruxa.ledger.documents import profile
from ruxa.store.work import Work

PATH = "/billing/details"
FAULTS = {"bad_text": "billing_details.bad_text", "bad_country": "billing_details.bad_country",
          "bad_tax_id": "billing_details.bad_tax_id", "card_number": "form.card"}  # fmt: skip


class Details(msgspec.Struct, frozen=True):
    """As people write it."""

    name: str
    address: str = ""
    country: str = ""
    tax_id: str = ""
    contact: str = ""
    language: str = "en"


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    found = await profile.find(work, visit.deps.vault, visit.person.organisation_ref)
    party = None if found is None else found.party.open(profile.PURPOSE)
    written = {
        "name": party.name if party else "",
        "address": "\n".join(party.address) if party else "",
        "country": party.country if party else "",
        "tax_id": party.tax_id if party else "",
        "contact": party.contact if party else "",
        "language": party.language if party else visit.words.language,
    }
    if visit.form:
        written |= {name: visit.form.get(name, "") for name in written}
    return View({"written": written, "changed_at": None if found is None else found.changed_at})


async def save(visit: Visit, work: Work) -> Go:
    """Writes them; what is wrong is said beside its field."""
    form = forms.read(Details, visit.form)
    try:
        party = profile.checked(
            form.name,
            tuple(form.address.splitlines()),
            form.country,
            form.tax_id,
            form.contact,
            "zh" if form.language == "zh" else "en",
        )
    except InvalidCall as fault:
        raise forms.Faults({fault.param or "": FAULTS.get(fault.code, "form.invalid")}) from None
    await profile.put(work, visit.deps.vault, visit.person.organisation_ref, Sealed(party))
    await visits.note(visit, work, "billing:changed", visit.person.organisation_id)
    return Go(to=PATH, done="saved")


PAGE = Page(
    name="billing_details",
    path=PATH,
    area="customer",
    load=load,
    permission="document:read",
    actions={"save": save},
    needs={"save": "billing:change"},
    parent="billing",
    tab=True,
)
