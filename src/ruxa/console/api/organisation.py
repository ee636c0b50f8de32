"""``/api/v1/organisation``, its members, and the caller's own profile."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, delete, get, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from ruxa.access import members, organisations
from ruxa.access.roles import Role
from ruxa.console.api import caller
from ruxa.console.api.caller import PURPOSE
from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.kernel import ids
from ruxa.kernel.sealed import Sealed


class Organisation(msgspec.Struct, frozen=True, kw_only=True):
    """The organisation of the key or the session."""

    id: str
    name: str
    suspended: bool
    output_tokens_default: int
    created_at: datetime
    members: int


class OrganisationChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shall change; what is left out stays."""

    name: str | None = None
    output_tokens_default: int | None = None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member; ``accepted_at`` is null while the invitation is open."""

    id: str
    email: str
    name: str | None
    role: Role
    accepted_at: datetime | None


class Members(msgspec.Struct, frozen=True):
    """Everybody of the organisation."""

    members: list[Member]


class Invitation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to invite, as what. The link goes by mail and to nobody else."""

    email: str
    role: Role


class Invited(msgspec.Struct, frozen=True):
    """Who was invited."""

    id: str


class RoleChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The new role."""

    role: Role


def handlers(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    """The routes."""

    @get("/api/v1/organisation", operation_id="organisation_show", tags=["Organisation"], summary="The organisation")
    async def organisation_show(request: Request[Any, Any, Any]) -> Organisation:
        async with caller.entered(deps, edge, request, "organisation:read") as who:
            return shown(await organisations.find(who.work, deps.vault, who.organisation_id))

    @patch(
        "/api/v1/organisation",
        operation_id="organisation_change",
        tags=["Organisation"],
        summary="Rename it, or set the output tokens that are held for a call without a cap",
    )
    async def organisation_change(request: Request[Any, Any, Any], data: JSONBody[OrganisationChange]) -> Organisation:
        async with caller.entered(deps, edge, request, "organisation:change") as who:
            if data.name is not None:
                await organisations.rename(who.work, deps.vault, who.organisation_id, Sealed(data.name))
                await who.note("organisation:renamed")
            if data.output_tokens_default is not None:
                await organisations.set_output_default(who.work, who.organisation_id, data.output_tokens_default)
                await who.note("organisation:changed")
            return shown(await organisations.find(who.work, deps.vault, who.organisation_id))

    @get("/api/v1/members", operation_id="members_list", tags=["Organisation"], summary="Members and invitations")
    async def members_list(request: Request[Any, Any, Any]) -> Members:
        async with caller.entered(deps, edge, request, "member:read") as who:
            return Members(
                [
                    Member(
                        id=ids.text("mem", one.member_id),
                        email=one.email.open(PURPOSE),
                        name=None if one.name is None else one.name.open(PURPOSE),
                        role=one.role,
                        accepted_at=one.accepted_at,
                    )
                    for one in await members.team(who.work, deps.vault, who.organisation_id)
                ]
            )

    @post("/api/v1/members", operation_id="members_invite", tags=["Organisation"], summary="Invite somebody by mail")
    async def members_invite(request: Request[Any, Any, Any], data: JSONBody[Invitation]) -> Invited:
        async with caller.entered(deps, edge, request, "member:invite") as who:
            member_id = await members.invite_by_mail(
                who.work, deps.vault, who.organisation_id, Sealed(data.email), data.role, base_url=deps.base_url
            )
            await who.note("member:invited", member_id, details={"role": data.role})
            return Invited(ids.text("mem", member_id))

    @patch(
        "/api/v1/members/{member_id:str}",
        operation_id="members_role",
        status_code=204,
        tags=["Organisation"],
        summary="Another role",
    )
    async def members_role(
        request: Request[Any, Any, Any], member_id: FromPath[str], data: JSONBody[RoleChange]
    ) -> None:
        async with caller.entered(deps, edge, request, "member:change") as who:
            wanted = ids.read("mem", member_id)
            await members.set_role(who.work, who.organisation_id, wanted, data.role)
            await who.note("member:role_changed", wanted, details={"role": data.role})

    @delete(
        "/api/v1/members/{member_id:str}",
        operation_id="members_remove",
        tags=["Organisation"],
        summary="End a membership or an invitation",
    )
    async def members_remove(request: Request[Any, Any, Any], member_id: FromPath[str]) -> None:
        async with caller.entered(deps, edge, request, "member:change") as who:
            wanted = ids.read("mem", member_id)
            await members.remove(who.work, who.organisation_id, wanted)
            await who.note("member:removed", wanted)

    return [organisation_show, organisation_change, members_list, members_invite, members_role, members_remove]


def shown(one: organisations.Organisation) -> Organisation:
    """An organisation as JSON."""
    return Organisation(
        id=ids.text("org", one.id),
        name=one.name.open(PURPOSE),
        suspended=one.suspended_at is not None,
        output_tokens_default=one.output_tokens_default,
        created_at=one.created_at,
        members=one.members,
    )
