"""Sign in with e-mail and password; one answer for an unknown address and a wrong password."""

from __future__ import annotations

import msgspec

from ruxa.access import entrance
from ruxa.console import forms, newcomers, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel.sealed import Sealed
from ruxa.store.work import Work


class Form(msgspec.Struct, frozen=True):
    """What is asked; ``next`` is where to go then."""

    email: str
    password: str
    next: str = "/home"


async def load(visit: Visit, work: Work) -> View | Go:
    """The form; who is signed in already goes on."""
    del work
    to = forms.local_path(visit.form.get("next") or visit.query.get("next"), "/home")
    if visit.someone is not None:
        return Go(to=to)
    return View({"next": to})


async def sign_in(visit: Visit) -> Go:
    """Begins a session."""
    form = forms.read(Form, visit.form)
    done = await entrance.sign_in(visit.deps.entrance, Sealed(form.email), Sealed(form.password), visits.visitor(visit))
    return await newcomers.arrive(visit, done, forms.local_path(form.next, "/home"))


async def again(visit: Visit) -> Go:
    """Sends the proof of an address once more to who knows its password."""
    form = forms.read(Form, visit.form)
    ticket = await entrance.ask_for_proof_again(
        visit.deps.entrance, Sealed(form.email), Sealed(form.password), visits.visitor(visit)
    )
    return Go(to="/sign-up?sent=1", ticket=ticket.open("security"))


PAGE = Page(name="sign_in", path="/sign-in", area="public", load=load, doors={"sign_in": sign_in, "again": again})
