"""Entries: which privileged act was done by whom to what, as ids and a closed grammar of words, never free text."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import msgspec

from ruxa.access import records
from ruxa.access.authorize import Principal
from ruxa.kernel import bounds, ids
from ruxa.store.work import Work

Act = Literal[
    "member:signed_up",
    "member:verified",
    "member:signed_in",
    "member:signed_out",
    "member:password_changed",
    "member:invited",
    "member:joined",
    "member:role_changed",
    "member:removed",
    "member:suspended",
    "member:restored",
    "organisation:created",
    "organisation:renamed",
    "organisation:changed",
    "organisation:suspended",
    "organisation:restored",
    "key:created",
    "key:rotated",
    "key:revoked",
    "staff:added",
    "staff:removed",
    "credit:given",
    "price:changed",
]

# What a member does and is kept 2 years like the acts of staff; the rest of theirs ages with their usage (D46).
SECURITY_ACTS: Final[tuple[Act, ...]] = (
    "member:password_changed",
    "member:invited",
    "member:joined",
    "member:role_changed",
    "member:removed",
    "member:suspended",
    "member:restored",
    "key:created",
    "key:rotated",
    "key:revoked",
)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One act. ``actor``: member, key, staff (a member by staff role), operator (command line), system."""

    id: UUID
    actor: str
    member_id: UUID | None
    organisation_id: UUID | None
    act: str
    object_id: UUID | None
    at: datetime


async def add(
    work: Work,
    principal: Principal | None,
    act: Act,
    *,
    organisation_id: UUID | None = None,
    object_id: UUID | None = None,
    staff: bool = False,
) -> None:
    """Notes an act in the work that does it: both happen or none. ``staff``: done by staff role, not membership."""
    actor, member_id = "system", None
    if principal is not None:
        actor = "staff" if staff and principal.kind == "member" else principal.kind
        member_id = principal.id if principal.kind == "member" else None
    await records.insert_entry(work, ids.fresh(), actor, member_id, organisation_id, act, object_id)


async def of_organisation(
    work: Work, organisation_id: UUID, *, after: UUID | None = None, limit: int = 50
) -> list[Entry]:
    """The organisation's entries, newest first, from below ``after``."""
    return await _page(work, organisation_id, after, limit)


async def everywhere(work: Work, *, after: UUID | None = None, limit: int = 50) -> list[Entry]:
    """All entries, newest first (staff)."""
    return await _page(work, None, after, limit)


async def _page(work: Work, organisation_id: UUID | None, after: UUID | None, limit: int) -> list[Entry]:
    return [
        Entry(
            id=row.id,
            actor=row.actor,
            member_id=row.member_id,
            organisation_id=row.organisation_id,
            act=row.act,
            object_id=row.object_id,
            at=row.created_at,
        )
        for row in await records.entries(work, organisation_id, after, min(limit, bounds.PAGE_ROWS_MAX))
    ]
