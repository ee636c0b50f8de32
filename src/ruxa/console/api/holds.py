"""``/api/v1/staff/holds``: legal holds, and approving one that somebody else placed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ruxa.console.api import caller
from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.kernel import ids
from ruxa.privacy.retention import holds


class StaffHold(msgspec.Struct, frozen=True, kw_only=True):
    """A hold as staff see it. subject: whom it concerns; reason: None when it has ended; items: what it keeps."""

    id: str
    subject: str
    basis: str
    reason: str | None
    state: Literal["waits", "approved", "over", "ended"]
    gagged: bool
    placed_at: datetime
    ends_at: datetime
    items: int


def handlers(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    """The routes."""

    @get("/api/v1/staff/holds", operation_id="staff_holds", tags=["Staff"], summary="Legal holds")
    async def staff_holds(request: Request[Any, Any, Any]) -> list[StaffHold]:
        async with caller.entered(deps, edge, request, "staff_hold:approve") as who:
            return [_shown(one) for one in await holds.every(who.work, deps.vault, ended=True)]

    @post(
        "/api/v1/staff/holds/{hold_id:str}/approve",
        operation_id="staff_hold_approve",
        status_code=204,
        tags=["Staff"],
        summary="Approve a hold that somebody else placed",
    )
    async def staff_hold_approve(request: Request[Any, Any, Any], hold_id: FromPath[str]) -> None:
        async with caller.entered(deps, edge, request, "staff_hold:approve") as who:
            assert who.principal.id is not None, "only a member has a staff role"
            await holds.approve(who.work, deps.vault, who.principal, ids.read("hold", hold_id), who.principal.id)

    return [staff_holds, staff_hold_approve]


def _shown(one: holds.Hold) -> StaffHold:
    return StaffHold(
        id=ids.text("hold", one.id),
        subject=ids.text("org" if one.scope == "organisation" else "mem", one.subject_id),
        basis=one.basis,
        reason=one.reason,
        state=holds.state_of(one),
        gagged=one.gagged,
        placed_at=one.placed_at,
        ends_at=one.ends_at,
        items=one.items,
    )
