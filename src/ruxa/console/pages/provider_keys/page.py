"""Provider keys: the organisation's own keys at providers. One comes in and is never shown again."""

from __future__ import annotations

import msgspec

from ruxa.access import provider_keys
from ruxa.console import forms, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.sealed import Sealed
from ruxa.ledger import plans, prices
from ruxa.ledger.prices import LIST
from ruxa.store.work import Work

PATH = "/keys/providers"


class Wish(msgspec.Struct, frozen=True):
    """A key and where it is for."""

    provider: str
    secret: str
    house: bool = False


class Gone(msgspec.Struct, frozen=True):
    """Which."""

    provider: str


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    person = visit.person
    return View(
        {
            "lines": await provider_keys.listed(work, person.organisation_id),
            "providers": [(name, name) for name in await _providers(visit, work)],
            "may_change": person.may("organisation:change"),
        }
    )


async def _providers(visit: Visit, work: Work) -> list[str]:
    """Those that can be called and have a price."""
    priced = {price.provider for price in (await prices.current(work, LIST)).values()}
    return sorted(priced if visit.deps.providers is None else priced & visit.deps.providers)


async def put(visit: Visit, work: Work) -> Go:
    """In the place of the one there was, everywhere within 2 seconds."""
    form, person = forms.read(Wish, visit.form), visit.person
    if form.provider not in await _providers(visit, work):
        raise forms.Faults({"provider": "form.invalid"})
    await plans.own_book(work, await plans.of(work, person.organisation_ref))
    try:
        made = await provider_keys.put(
            work,
            visit.deps.vault,
            person.organisation_id,
            form.provider,
            Sealed(form.secret),
            house_stands_in=form.house,
            created_by=person.member_id,
        )
    except InvalidCall:
        raise forms.Faults({"secret": "provider_keys.wrong"}) from None
    await visits.note(visit, work, "provider_key:set", made, details={"provider": form.provider})
    return Go(to=PATH, done="saved")


async def remove(visit: Visit, work: Work) -> Go:
    """Destroys it, everywhere within 2 seconds."""
    form = forms.read(Gone, visit.form)
    gone = await provider_keys.remove(work, visit.person.organisation_id, form.provider)
    await visits.note(visit, work, "provider_key:removed", gone, details={"provider": form.provider})
    return Go(to=PATH, done="saved")


PAGE = Page(
    name="provider_keys",
    path=PATH,
    area="customer",
    load=load,
    permission="key:read",
    actions={"put": put, "remove": remove},
    needs={"put": "organisation:change", "remove": "organisation:change"},
    parent="keys",
    tab=True,
)
