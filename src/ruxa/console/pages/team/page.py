"""Team: who may do what in the organisation; invitations; an organisation always keeps an owner."""

from __future__ import annotations

import msgspec

from ruxa.access import members, roles
from ruxa.console import forms, visits
from ruxa.console.page import Go, Page, View, Visit
from ruxa.kernel import ids
from ruxa.kernel.sealed import Sealed
from ruxa.store.work import Work

PURPOSE = "provide"


class Invite(msgspec.Struct, frozen=True):
    """Whom, as what."""

    email: str
    role: roles.Role = "developer"


class Change(msgspec.Struct, frozen=True):
    """Whose role."""

    member: str
    role: roles.Role = "viewer"


class Remove(msgspec.Struct, frozen=True):
    """Who goes."""

    member: str


async def load(visit: Visit, work: Work) -> View:
    """Members, open invitations, the form."""
    person = visit.person
    team = await members.team(work, visit.deps.vault, person.organisation_id)
    return View(
        {
            "members": [
                {
                    "id": ids.text("mem", one.member_id),
                    "email": one.email.open(PURPOSE),
                    "name": one.name.open(PURPOSE) if one.name is not None else "",
                    "role": one.role,
                    "since": one.accepted_at,
                    "me": one.member_id == person.member_id,
                }
                for one in team
            ],
            "roles": roles.ROLES,
            "may_change": person.may("member:change"),
            "may_invite": person.may("member:invite"),
        }
    )


async def invite(visit: Visit, work: Work) -> Go:
    """Mails an invitation; known address or new, the same answer."""
    form = forms.read(Invite, visit.form)
    person = visit.person
    member_id = await members.invite_by_mail(
        work,
        visit.deps.vault,
        person.organisation_id,
        Sealed(form.email),
        form.role,
        base_url=visit.deps.base_url,
        locale=visit.words.language,
    )
    await visits.note(visit, work, "member:invited", member_id, details={"role": form.role})
    return Go(to="/team", done="invited")


async def role(visit: Visit, work: Work) -> Go:
    """Another role for a member."""
    form = forms.read(Change, visit.form)
    person = visit.person
    member_id = ids.read("mem", form.member)
    await members.set_role(work, person.organisation_id, member_id, form.role)
    await visits.note(visit, work, "member:role_changed", member_id, details={"role": form.role})
    return Go(to="/team", done="role_changed")


async def remove(visit: Visit, work: Work) -> Go:
    """Ends a membership or an invitation."""
    form = forms.read(Remove, visit.form)
    person = visit.person
    member_id = ids.read("mem", form.member)
    await members.remove(work, person.organisation_id, member_id)
    await visits.note(visit, work, "member:removed", member_id)
    return Go(to="/team", done="removed")


PAGE = Page(
    name="team",
    path="/team",
    area="customer",
    load=load,
    permission="member:read",
    actions={"invite": invite, "role": role, "remove": remove},
    needs={"invite": "member:invite", "role": "member:change", "remove": "member:change"},
    icon="team",
    group="trust",
)
