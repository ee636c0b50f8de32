"""Settings: profile, language, password, sessions, and what was accepted."""

from __future__ import annotations

from uuid import UUID

import msgspec

from ruxa.access import entrance, members, sessions, terms
from ruxa.console import forms, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.console.words import language
from ruxa.kernel import bounds, ids
from ruxa.kernel.sealed import Sealed
from ruxa.store.work import Work


class Profile(msgspec.Struct, frozen=True):
    """Name and language."""

    name: str | None = None
    language: str = "en"


class Password(msgspec.Struct, frozen=True):
    """The present password and the new one."""

    password_now: str
    password: str


class End(msgspec.Struct, frozen=True):
    """Which session."""

    session: str


async def load(visit: Visit, work: Work) -> View:
    """The page."""
    person = visit.person
    living = await sessions.of_member(work, visit.deps.vault, person.member_id)
    accepted = await terms.accepted_by(work, person.member_id)
    return View(
        {
            "sessions": [
                {
                    "id": ids.text("ses", one.id),
                    "agent": one.agent.open(sessions.PURPOSE) if one.agent is not None else "–",
                    "created_at": one.created_at,
                    "seen_at": one.seen_at,
                    "here": one.id == person.session_id,
                }
                for one in living
            ],
            "accepted": [
                {"path": one.name, "name": one.name, "version": one.version.isoformat(), "at": one.at}
                for one in accepted
            ],
        }
    )


async def profile(visit: Visit, work: Work) -> Go:
    """Saves name and language; the language is this browser's too."""
    form = forms.read(Profile, visit.form)
    member: UUID = visit.person.member_id
    if form.name is not None:
        await members.set_name(work, visit.deps.vault, member, Sealed(form.name))
    chosen = language(form.language) or "en"
    await members.set_locale(work, member, chosen)
    return Go(to="/settings", done="saved", cookies={"language": chosen})


async def password(visit: Visit) -> Go:
    """Changes the password; every other session ends and this one gets a new token."""
    form = forms.read(Password, visit.form)
    token = await entrance.change_password(
        visit.deps.entrance,
        visit.person.session,
        Sealed(form.password_now),
        Sealed(form.password),
        visits.visitor(visit),
    )
    life_s = bounds.STAFF_SESSION_H * 3600 if visit.person.staff_role else bounds.SESSION_DAYS_MAX * 86_400
    return Go(to="/settings", done="password_changed", session=token.open("security"), session_s=life_s)


async def end(visit: Visit, work: Work) -> Go:
    """Ends one session."""
    form = forms.read(End, visit.form)
    ended = ids.read("ses", form.session)
    await sessions.revoke(work, visit.person.member_id, ended)
    await visits.note(visit, work, "member:signed_out", ended)
    return Go(to="/settings", done="session_ended")


async def everywhere(visit: Visit, work: Work) -> Go:
    """Ends every session, this one too."""
    person = visit.person
    await sessions.revoke_all(work, person.member_id)
    await visits.note(visit, work, "member:signed_out", person.session_id)
    return Go(to="/sign-in", done="signed_out", session="")


PAGE = Page(
    name="settings",
    path="/settings",
    area="customer",
    load=load,
    actions={"profile": profile, "end": end, "everywhere": everywhere},
    doors={"password": password},
    icon="gear",
    group="trust",
)
