"""Come in by a one-time link: an invitation, an operator's first link, a link printed at the command line."""

from __future__ import annotations

from datetime import date

import msgspec

from ruxa.access import entrance, links, members, terms
from ruxa.console import forms, newcomers, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel.sealed import Sealed
from ruxa.store.work import Work

KINDS: dict[str, links.Kind] = {"invite": "invite", "operator": "operator", "enter": "sign_in"}


class Form(msgspec.Struct, frozen=True):
    """What an account without a password is asked; one with a password gives that, outside its own session."""

    name: str | None = None
    password: str | None = None
    version: date | None = None
    adult: bool = False
    terms: bool = False


def kind(visit: Visit) -> links.Kind:
    """Which sort of link this path is of."""
    return KINDS[visit.path.split("/")[1]]


async def load(visit: Visit, work: Work) -> View:
    """The form; who has an account already only confirms. A dead link is said so at once."""
    found = await links.look(work, visit.deps.vault, kind(visit), Sealed(visit.places["code"]))
    if found is None:
        raise links.dead()
    profile = await members.profile(work, visit.deps.vault, found.member_id)
    return View(
        {
            "known": profile.verified,
            "with_password": profile.verified
            and found.kind != "sign_in"
            and (visit.someone is None or visit.someone.member_id != found.member_id),
            "terms_version": terms.CURRENT.isoformat(),
            "terms_link": newcomers.text_link(visit, "terms"),
            "refunds_link": newcomers.text_link(visit, "refunds"),
            "privacy_link": newcomers.text_link(visit, "privacy"),
        }
    )


async def accept(visit: Visit) -> Go:
    """Uses the link up and signs in."""
    form = forms.read(Form, visit.form)
    arrival, password = None, None
    if form.version is None:
        password = Sealed(form.password) if form.password is not None else None
    elif form.name is None or form.password is None:
        raise forms.Faults({"password" if form.name else "name": "form.needed"})
    else:
        if form.adult and not form.terms:
            raise forms.Faults({"terms": "fault.terms_not_accepted"})
        arrival = entrance.Arrival(
            name=Sealed(form.name),
            password=Sealed(form.password),
            adult=form.adult,
            terms=form.version,
            locale=visit.words.language,
        )
    done = await entrance.accept(
        visit.deps.entrance,
        kind(visit),
        Sealed(visit.places["code"]),
        visits.visitor(visit),
        arrival=arrival,
        password=password,
        session=visit.someone.session if visit.someone is not None else None,
    )
    return await newcomers.arrive(visit, done, "/home?done=welcome")


PAGE = Page(
    name="accept",
    path=("/invite/{code:str}", "/operator/{code:str}", "/enter/{code:str}"),
    area="public",
    load=load,
    doors={"accept": accept},
)
