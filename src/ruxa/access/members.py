"""Members: people, their profile, and their part in organisations and in running the installation.

How they get in is ``entrance``. An organisation always keeps an owner; who runs the installation is decided at its
command line only (the console's login cannot write a staff role).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, cast
from uuid import UUID

import msgspec

from ruxa.access import addresses, links, organisations, outbox, records, sessions, terms, throttle
from ruxa.access.roles import ROLES, STAFF_ROLES, Role, StaffRole
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict, InvalidCall, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.store.vault import Vault
from ruxa.store.work import Work

EMAIL_COLUMN: Final = outbox.EMAIL_COLUMN
NAME_COLUMN: Final = outbox.NAME_COLUMN
PURPOSE: Final = "provide"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A member as they, and staff, see them."""

    id: UUID
    email: Sealed[str]
    name: Sealed[str] | None
    locale: str
    staff_role: StaffRole | None
    verified: bool
    suspended: bool
    created_at: datetime


class TeamLine(msgspec.Struct, frozen=True, kw_only=True):
    """A member as their organisation sees them; ``accepted_at`` None while the invitation is open."""

    member_id: UUID
    email: Sealed[str]
    name: Sealed[str] | None
    role: Role
    accepted_at: datetime | None
    suspended: bool


class Invited(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation: the link's secret, for ``links.url``, the only time it exists here.

    Who holds the secret of a newcomer's link can become that person: it is for the operator's own command line.
    """

    member_id: UUID
    secret: Sealed[str]


async def profile(work: Work, vault: Vault, member_id: UUID) -> Profile:
    """One member; NotFound when there is none."""
    row = await records.member(work, member_id)
    if row is None:
        raise NotFound("No such member.")
    return await _profile(vault, row)


async def find_by_email(work: Work, vault: Vault, email: Sealed[str]) -> UUID | None:
    """Whose address it is (command line, staff): never shown to the public."""
    return await records.member_by_email(work, await addresses.found(work, vault, addresses.address(email)))


async def set_name(work: Work, vault: Vault, member_id: UUID, name: Sealed[str]) -> None:
    """The member's own change of name."""
    checked = addresses.name(name)
    await records.set_name(work, member_id, await vault.seal(NAME_COLUMN, member_id, member_id, checked.open(PURPOSE)))


async def set_locale(work: Work, member_id: UUID, locale: str) -> None:
    """The language of pages and mail."""
    await records.set_locale(work, member_id, terms.locale_of(locale))


async def memberships(work: Work, member_id: UUID) -> dict[UUID, Role]:
    """organisation -> role, accepted ones only, oldest first."""
    return {row[0]: cast(Role, row[1]) for row in await records.memberships(work, member_id) if row[2]}


async def team(work: Work, vault: Vault, organisation_id: UUID) -> list[TeamLine]:
    """The organisation's members and open invitations, oldest first."""
    return [
        TeamLine(
            member_id=row.member_id,
            email=await vault.open(EMAIL_COLUMN, row.member_id, row.member_id, row.email_sealed, purpose=PURPOSE),
            name=await _name(vault, row.member_id, row.name_sealed),
            role=cast(Role, row.role),
            accepted_at=row.accepted_at,
            suspended=row.suspended,
        )
        for row in await records.team(work, organisation_id)
    ]


async def invite(
    work: Work, vault: Vault, organisation_id: UUID, email: Sealed[str], role: Role, *, locale: str = "en"
) -> Invited:
    """Invites an address and gives the link (command line); known or not, the answer is the same.

    Inviting again renews the link and the role; Conflict ``member_already`` when the invitation is accepted,
    ``last_owner`` when nobody would own the organisation.
    """
    if role not in ROLES:
        raise InvalidCall("Roles are: " + ", ".join(ROLES) + ".", param="role")
    member_id = await _known_or_new(work, vault, email, locale)
    if not await records.insert_membership(work, organisation_id, member_id, role, False):
        await _keep_an_owner(work, organisation_id, member_id, leaves=role != "owner")
        if not await records.change_open_invitation(work, organisation_id, member_id, role):
            raise Conflict("That person is a member already.", code="member_already")
    secret = await links.make(work, vault, "invite", member_id, organisation_id=organisation_id)
    return Invited(member_id=member_id, secret=secret)


async def invite_by_mail(
    work: Work,
    vault: Vault,
    organisation_id: UUID,
    email: Sealed[str],
    role: Role,
    *,
    base_url: str,
    locale: str = "en",
) -> UUID:
    """``invite``, the link mailed to the address and shown to nobody else; the member's id.

    Limited when the address gets too much mail, or the organisation invites too many.
    """
    index = await addresses.found(work, vault, addresses.address(email))
    for rule, subject in ((throttle.INVITATIONS, organisation_id.bytes), (throttle.MAIL_ACCOUNT, index)):
        if wait_s := await throttle.take(work, vault, rule, subject):
            raise throttle.refuse(wait_s)
    organisation = await organisations.find(work, vault, organisation_id)
    invited = await invite(work, vault, organisation_id, email, role, locale=locale)
    name = Sealed(organisation.name.open(PURPOSE))
    variables = {"organisation": name, "url": links.url(base_url, "invite", invited.secret)}
    await outbox.put(work, vault, invited.member_id, "invite", variables, organisation_id=organisation_id)
    return invited.member_id


async def set_role(work: Work, organisation_id: UUID, member_id: UUID, role: Role) -> None:
    """Another role here; Conflict ``last_owner`` when nobody would own the organisation."""
    if role not in ROLES:
        raise InvalidCall("Roles are: " + ", ".join(ROLES) + ".", param="role")
    await _keep_an_owner(work, organisation_id, member_id, leaves=role != "owner")
    await records.set_role(work, organisation_id, member_id, role)


async def remove(work: Work, organisation_id: UUID, member_id: UUID) -> None:
    """Ends the membership or invitation; Conflict ``last_owner`` when nobody would own the organisation."""
    await _keep_an_owner(work, organisation_id, member_id, leaves=True)
    await records.delete_membership(work, organisation_id, member_id)


async def add_staff(work: Work, vault: Vault, email: Sealed[str], role: StaffRole, *, locale: str = "en") -> Invited:
    """Gives an address a staff role and makes the one-time link by which its owner comes in (command line only).

    Sessions of a known member end: they were opened under weaker rules.
    """
    if role not in STAFF_ROLES:
        raise InvalidCall("Staff roles are: " + ", ".join(STAFF_ROLES) + ".", param="role")
    member_id = await _known_or_new(work, vault, email, locale)
    await records.set_staff_role(work, member_id, role)
    await sessions.revoke_all(work, member_id)
    return Invited(member_id=member_id, secret=await links.make(work, vault, "operator", member_id))


async def remove_staff(work: Work, member_id: UUID) -> None:
    """Takes the staff role away and ends the member's sessions."""
    await records.set_staff_role(work, member_id, None)
    await sessions.revoke_all(work, member_id)


async def staff(work: Work, vault: Vault) -> list[Profile]:
    """Everybody with a staff role."""
    return [await _profile(vault, row) for row in await records.staff(work)]


async def suspend(work: Work, member_id: UUID) -> None:
    """Signs the member out everywhere and keeps them out; unused links die."""
    if not await records.suspend_member(work, member_id, True):
        raise NotFound("No such member.")
    await sessions.revoke_all(work, member_id)
    await links.end_all(work, member_id)


async def restore(work: Work, member_id: UUID) -> None:
    """Lets a suspended member in again."""
    if not await records.suspend_member(work, member_id, False):
        raise NotFound("No such member.")


async def create_synthetic(
    work: Work, vault: Vault, email: Sealed[str], name: Sealed[str], password_hash: str, organisation_id: UUID
) -> UUID:
    """The demo's owner (D9): verified, owner of the organisation, an operator, declared synthetic."""
    address, member_id = addresses.address(email), ids.fresh()
    await vault.create_subject(member_id)
    await records.insert_synthetic(
        work,
        member_id,
        addresses.index(vault, address),
        await vault.seal(EMAIL_COLUMN, member_id, member_id, address.open(PURPOSE)),
        await vault.seal(NAME_COLUMN, member_id, member_id, addresses.name(name).open(PURPOSE)),
        password_hash,
        "en",
    )
    await records.insert_membership(work, organisation_id, member_id, "owner", True)
    return member_id


async def _known_or_new(work: Work, vault: Vault, email: Sealed[str], locale: str) -> UUID:
    address = addresses.address(email)
    index = await addresses.found(work, vault, address)
    known: UUID | None = await records.member_by_email(work, index)
    if known is not None:
        return known
    member_id = ids.fresh()
    await vault.create_subject(member_id)
    sealed = await vault.seal(EMAIL_COLUMN, member_id, member_id, address.open(PURPOSE))
    if await records.insert_invited(work, member_id, index, sealed, terms.locale_of(locale)):
        return member_id
    await vault.destroy_subject(member_id, ("account",))
    known = await records.member_by_email(work, index)
    assert known is not None
    return known


async def _keep_an_owner(work: Work, organisation_id: UUID, member_id: UUID, *, leaves: bool) -> None:
    await records.lock_organisation(work, organisation_id)
    role = await records.membership_role(work, organisation_id, member_id)
    if role is None:
        raise NotFound("No such member.")
    if leaves and role == "owner" and not await records.other_owners(work, organisation_id, member_id):
        raise Conflict("An organisation keeps at least one owner.", code="last_owner")


async def _profile(vault: Vault, row: records.MemberRow) -> Profile:
    return Profile(
        id=row.id,
        email=await vault.open(EMAIL_COLUMN, row.id, row.id, row.email_sealed, purpose=PURPOSE),
        name=await _name(vault, row.id, row.name_sealed),
        locale=row.locale,
        staff_role=cast(StaffRole | None, row.staff_role),
        verified=row.verified,
        suspended=row.suspended,
        created_at=row.created_at,
    )


async def _name(vault: Vault, member_id: UUID, sealed: bytes | None) -> Sealed[str] | None:
    if sealed is None:
        return None
    return await vault.open(NAME_COLUMN, member_id, member_id, sealed, purpose=PURPOSE)
