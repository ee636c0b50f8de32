"""My data: a copy of it, and its end. Each grave act asks for the password again, within the last 15 minutes."""

from __future__ import annotations

import msgspec

from ruxa.access import entrance, organisations, sessions
from ruxa.console import forms, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import bounds, ids
from ruxa.kernel.errors import CallerError
from ruxa.kernel.sealed import Sealed
from ruxa.privacy import erase, export
from ruxa.store.work import Work

PURPOSE = "provide"
PATH = "/settings/data"


class Proof(msgspec.Struct, frozen=True):
    """The password, again."""

    password: str


class Erase(msgspec.Struct, frozen=True):
    """``now``: without the day to think it over; ``forfeit``: credit that is left is given up."""

    now: bool = False
    forfeit: bool = False


class Close(msgspec.Struct, frozen=True):
    """``forfeit``: credit that is left is given up."""

    forfeit: bool = False


async def load(visit: Visit, work: Work) -> View:
    """The page; the acts once the password was given."""
    person = visit.person
    seen = await erase.outlook(work, person.member_id)
    waits = await erase.waiting(work, person.member_id)
    owner = person.may("organisation:change")
    closes = await erase.waiting(work, person.organisation_id) if owner else None
    alone = [await organisations.find(work, visit.deps.vault, one) for one in seen.organisations]
    return View(
        {
            "proved": person.session.proved_recently,
            "copies": [
                {"id": ids.text("exp", one.id), "asked_at": one.asked_at, "until": one.expires_at, "used": one.used_at}
                for one in await export.of_member(work, person.member_id)
            ],
            "waits": None if waits is None else waits.due_at,
            "waits_still": waits is not None and waits.state == "waiting",
            "with_it": [one.name.open(PURPOSE) for one in alone],
            "last_owner": any(one.code == "last_owner" for one in seen.obstacles),
            "left": sum(one.micros for one in seen.obstacles),
            "owner": owner,
            "closes": None if closes is None else closes.due_at,
            "own_name": person.organisation_name,
            "grace": erase.GRACE_DAYS,
        }
    )


async def prove(visit: Visit) -> Go:
    """The password is given again; this browser gets a new token."""
    form = forms.read(Proof, visit.form)
    visitor = visits.visitor(visit)
    try:
        token = await entrance.prove(visit.deps.entrance, visit.person.session, Sealed(form.password), visitor)
    except CallerError as fault:
        if fault.code == "sign_in_refused":
            raise forms.Faults({"password": "my_data.wrong"}) from None
        raise
    life_s = bounds.STAFF_SESSION_H * 3600 if visit.person.staff_role else bounds.SESSION_DAYS_MAX * 86_400
    return Go(to=PATH, session=token.open("security"), session_s=life_s)


async def copy(visit: Visit, work: Work) -> Go:
    """Asks for a copy, to be fetched once within a week."""
    sessions.require_proof(visit.person.session)
    await export.ask(work, visit.person.member_id)
    return Go(to=PATH, done="copy_asked")


async def end(visit: Visit, work: Work) -> Go:
    """Asks for the erasure of the account."""
    sessions.require_proof(visit.person.session)
    form = forms.read(Erase, visit.form)
    wait_h = 0 if form.now else erase.COOLING_H
    member_id = visit.person.member_id
    asked = await erase.ask(work, visit.deps.vault, member_id, by="subject", wait_h=wait_h, forfeit=form.forfeit)
    if form.now:
        await erase.hurry(work, asked)
    await visits.note(visit, work, "subject:erased", asked, purpose="legal", details={"step": "asked"})
    return Go(to=PATH, done="erasure_asked")


async def back(visit: Visit, work: Work) -> Go:
    """Takes the erasure back while it waits."""
    waits = await erase.waiting(work, visit.person.member_id)
    if waits is not None:
        await erase.take_back(work, waits.id)
        await visits.note(visit, work, "subject:erased", waits.id, purpose="legal", details={"step": "taken back"})
    return Go(to=PATH, done="erasure_back")


async def close(visit: Visit, work: Work) -> Go:
    """Closes the organisation: it stops now and is erased after 30 days."""
    sessions.require_proof(visit.person.session)
    form = forms.read(Close, visit.form)
    one = visit.person.organisation_id
    asked = await erase.ask_organisation(work, visit.deps.vault, one, by="subject", forfeit=form.forfeit)
    await organisations.close(work, one)
    await visits.note(visit, work, "organisation:suspended", one, details={"why": "closed", "erasure": asked.hex})
    return Go(to=PATH, done="closed")


async def reopen(visit: Visit, work: Work) -> Go:
    """Opens the organisation again."""
    one = visit.person.organisation_id
    waits = await erase.waiting(work, one)
    if waits is not None:
        await erase.take_back(work, waits.id)
    await organisations.reopen(work, one)
    await visits.note(visit, work, "organisation:restored", one, details={"why": "reopened"})
    return Go(to=PATH, done="reopened")


PAGE = Page(
    name="my_data",
    path=PATH,
    area="customer",
    load=load,
    actions={"copy": copy, "end": end, "back": back, "close": close, "reopen": reopen},
    needs={"close": "organisation:change", "reopen": "organisation:change"},
    doors={"prove": prove},
    parent="settings",
)
