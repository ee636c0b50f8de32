"""Who is visiting: the session behind a cookie, the member and organisation it stands for, and what they may open."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from litestar.datastructures import Headers
from litestar.types import Scope

from ruxa.access import authorize, members, organisations, sessions
from ruxa.access.audit import log
from ruxa.access.roles import OF_ROLE, OF_STAFF_ROLE, Permission, Role, StaffRole
from ruxa.access.sessions import Visitor
from ruxa.console import forms, pace
from ruxa.console.page import Deps, Page, Person, Visit
from ruxa.console.words import Language, Library, language, prefer
from ruxa.kernel import ids
from ruxa.kernel.errors import NotFound, Unauthenticated
from ruxa.kernel.sealed import Sealed
from ruxa.store.work import Work

PRINCIPAL = "console"
PURPOSE = "provide"
OTHERS_MAX = 50
NOWHERE = UUID(int=0)


def language_of(headers: Headers) -> Language:
    """What the browser prefers among our languages."""
    return prefer(headers.get("accept-language", ""))


def address_of(scope: Scope) -> str:
    """The visitor's address as the door saw it (we listen on a unix socket, so the header is the door's own)."""
    for name, value in scope["headers"]:
        if name == b"x-forwarded-for":
            return value.decode("latin-1").rpartition(",")[2].strip()
    client: tuple[str, int] | None = scope["client"]
    return client[0] if client else ""


def visitor(visit: Visit) -> Visitor:
    """Where the request comes from, as coarse as access uses it."""
    return Visitor.of(visit.address, visit.agent)


async def enter(visit: Visit, work: Work, page: Page, library: Library) -> None:
    """Fills in who visits and checks that they may open ``page``.

    Without a language chosen in this browser the member's own is spoken. Raises Unauthenticated, NotFound
    or Forbidden. A public page is shown to everybody; staff pages do not exist for who is not staff.
    """
    session = await sessions.find(work, visit.deps.vault, Sealed(visit.secret)) if visit.secret else None
    if session is None:
        if page.area != "public":
            raise Unauthenticated("Sign in first.", code="sign_in_required")
        return
    visit.someone = await person(visit, work, session)
    if not visit.language_chosen and (own := language(session.locale)) is not None:
        visit.words = library.words(own)
    if page.area == "staff" and visit.someone.staff_role is None:
        raise NotFound("There is no such page here.")
    if page.permission is not None:
        authorize.require(session.principal, page.permission, session.organisation_id)


def _permissions(role: Role | None, staff: StaffRole | None) -> frozenset[Permission]:
    nothing: frozenset[Permission] = frozenset()
    return (OF_ROLE[role] if role else nothing) | (OF_STAFF_ROLE[staff] if staff else nothing)


async def person(visit: Visit, work: Work, session: sessions.Session) -> Person:
    """The member of ``session`` and the organisation it looks at. NotFound for a member of none who is not staff."""
    vault = visit.deps.vault
    profile = await members.profile(work, vault, session.member_id)
    staff = session.principal.staff_role
    if session.organisation_id is None:
        if staff is None:
            raise NotFound("You are in no organisation any more. Ask to be invited again.", code="no_organisation")
        organisation = None
    else:
        organisation = await organisations.find(work, vault, session.organisation_id)
    roles = session.principal.roles
    others: list[tuple[str, str]] = []
    if len(roles) > 1:
        for other in list(roles)[:OTHERS_MAX]:
            found = await organisations.find(work, vault, other)
            others.append((ids.text("org", other), found.name.open(PURPOSE)))
    role = roles[organisation.id] if organisation is not None else None
    return Person(
        member_id=session.member_id,
        session_id=session.id,
        session=session,
        email=profile.email.open(PURPOSE),
        name=profile.name.open(PURPOSE) if profile.name is not None else "",
        organisation_id=organisation.id if organisation is not None else NOWHERE,
        organisation_ref=organisation.organisation_ref if organisation is not None else NOWHERE,
        organisation_name=organisation.name.open(PURPOSE) if organisation is not None else "Ruxa",
        suspended=organisation is not None and organisation.suspended_at is not None,
        role=role,
        staff_role=staff,
        csrf=session.csrf,
        permissions=_permissions(role, staff),
        others=tuple(others),
    )


async def _session(visit: Visit, work: Work, secret: str) -> sessions.Session | None:
    session = await sessions.find(work, visit.deps.vault, Sealed(secret))
    if session is not None:
        sessions.check_csrf(session, visit.form.get(forms.CSRF_FIELD))
    return session


async def look_at(visit: Visit, work: Work, secret: str, organisation: str) -> None:
    """Another organisation for this browser."""
    session = await _session(visit, work, secret)
    if session is not None:
        await sessions.choose_organisation(work, session, ids.read("org", organisation))


async def leave(visit: Visit, work: Work, secret: str) -> None:
    """Ends the session, and with it its playground keys."""
    session = await _session(visit, work, secret)
    if session is not None:
        await sessions.revoke(work, session.member_id, session.id)
        await log.add(
            work,
            visit.deps.vault,
            session.principal,
            "member:signed_out",
            object_id=session.id,
            request=visit.request_id,
        )


async def note(
    visit: Visit,
    work: Work,
    act: log.Act,
    thing: UUID | None = None,
    *,
    organisation_id: UUID | None = None,
    staff: bool = False,
    purpose: str = "",
    details: Mapping[str, str] | None = None,
) -> None:
    """Writes what the visitor does to the audit log, in the work that does it.

    Done in the visitor's own organisation, unless ``organisation_id`` names one or ``staff`` says that it is about
    none: then it is done by staff role.
    """
    person = visit.person
    visit.deps.pace.take(pace.ACTS, person.session.principal.id)
    staff = staff or organisation_id is not None
    if organisation_id is None and not staff:
        organisation_id = person.organisation_id
    await log.add(
        work,
        visit.deps.vault,
        person.session.principal,
        act,
        organisation_id=organisation_id,
        object_id=thing,
        staff=staff,
        request=visit.request_id,
        purpose=purpose,
        details=details,
    )


def cursor(shown: str | None) -> UUID | None:
    """The id of an entry in a page's address. Raises NotFound when it is none."""
    try:
        return UUID(shown) if shown else None
    except ValueError:
        raise NotFound("There is no such page.") from None


def organisation_of(shown: str) -> UUID:
    """The uuid of a shown organisation id. Raises NotFound."""
    return ids.read("org", shown)


async def organisation_ref(work: Work, deps: Deps, organisation_id: UUID | None) -> UUID:
    """What money and usage know the organisation by; nowhere for staff without one."""
    if organisation_id is None:
        return NOWHERE
    return (await organisations.find(work, deps.vault, organisation_id)).organisation_ref
