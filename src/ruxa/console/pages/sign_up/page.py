"""Sign up: 18 or over, terms, and a proof of the address by mail. A refusal for age stores nothing (decision D45)."""

from __future__ import annotations

from datetime import date

import msgspec

from ruxa.access import entrance, terms
from ruxa.console import forms, newcomers, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import bounds
from ruxa.kernel.errors import Forbidden
from ruxa.kernel.sealed import Sealed
from ruxa.store.work import Work


class Form(msgspec.Struct, frozen=True):
    """What is asked."""

    email: str
    name: str
    password: str
    version: date
    adult: bool = False
    terms: bool = False


async def load(visit: Visit, work: Work) -> View:
    """The form, or where to look once it was sent."""
    del work
    return View(
        {
            "sent": "sent" in visit.query,
            "refused": visit.under_age,
            "hours": bounds.SIGN_UP_TTL_H,
            "terms_version": terms.CURRENT.isoformat(),
            "terms_link": newcomers.text_link(visit, "terms"),
            "refunds_link": newcomers.text_link(visit, "refunds"),
            "privacy_link": newcomers.text_link(visit, "privacy"),
        }
    )


async def sign_up(visit: Visit) -> Go:
    """Begins the sign-up; the same answer for a known address."""
    form = forms.read(Form, visit.form)
    if visit.under_age:
        raise Forbidden("Ruxa is for people of 18 years or over.", code="under_age")
    if form.adult and not form.terms:
        raise forms.Faults({"terms": "fault.terms_not_accepted"})
    ticket = await entrance.sign_up(
        visit.deps.entrance,
        entrance.SignUp(
            email=Sealed(form.email),
            name=Sealed(form.name),
            password=Sealed(form.password),
            adult=form.adult,
            terms=form.version,
            locale=visit.words.language,
        ),
        visits.visitor(visit),
    )
    return Go(to="/sign-up?sent=1", ticket=ticket.open("security"))


PAGE = Page(name="sign_up", path="/sign-up", area="public", load=load, doors={"sign_up": sign_up})
