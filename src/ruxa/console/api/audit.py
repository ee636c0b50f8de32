"""``/api/v1/audit``: the organisation's entries, and saying that a checkpoint is kept; staff see all, for a purpose."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter

from ruxa.access.audit import acknowledging, reading, sequencer
from ruxa.access.audit.reading import Entry, Purpose
from ruxa.console import pace, visits
from ruxa.console.api import caller
from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall, NotFound

Limit = Annotated[int, QueryParameter(ge=1, le=bounds.PAGE_ROWS_MAX, description="Rows at most.")]
Before = Annotated[str | None, QueryParameter(description="Id of the last row of the page before.")]
Why = Annotated[
    Purpose | None, QueryParameter(description="What the entries are opened for; it becomes an entry itself.")
]


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. ``leaf``: its place in the log, null for some seconds; what is null otherwise cannot be read any more.

    ``actor``: member, key, staff, operator or system; ``pseudonym`` stands for the member or key.
    """

    id: str
    time: datetime
    leaf: int | None
    organisation: str | None
    act: str | None = None
    actor: str | None = None
    pseudonym: str | None = None
    role: str | None = None
    object: str | None = None
    purpose: str | None = None
    outcome: str | None = None
    request_id: str | None = None
    details: dict[str, str] = {}


class AuditPage(msgspec.Struct, frozen=True):
    """Entries, newest first; ``next`` is the ``before`` of the next page."""

    rows: list[AuditEntry]
    next: str | None


class Checkpoint(msgspec.Struct, frozen=True):
    """The log's last signed head, as the note that ``ruxa-verify`` reads."""

    size: int
    time: datetime
    note: str


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which checkpoint is kept."""

    size: Annotated[int, msgspec.Meta(ge=1)]


def handlers(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    """The routes."""

    @get("/api/v1/audit/entries", operation_id="audit_list", tags=["Audit"], summary="What was done here, newest first")
    async def audit_list(request: Request[Any, Any, Any], limit: Limit = 50, before: Before = None) -> AuditPage:
        async with caller.entered(deps, edge, request, "entry:read") as who:
            found = await reading.page(
                who.work,
                deps.vault,
                "security",
                organisation_id=who.organisation_id,
                below=visits.cursor(before),
                limit=limit,
            )
            return _page(found, limit)

    @get("/api/v1/audit/checkpoint", operation_id="audit_checkpoint", tags=["Audit"], summary="The last checkpoint")
    async def audit_checkpoint(request: Request[Any, Any, Any]) -> Checkpoint:
        async with caller.entered(deps, edge, request, "entry:read") as who:
            last = await sequencer.checkpoint(who.work)
            if last is None:
                raise NotFound("The log has no checkpoint yet.")
            return Checkpoint(last.size, last.at, last.text)

    @post(
        "/api/v1/audit/acknowledgements",
        operation_id="audit_acknowledge",
        status_code=204,
        tags=["Audit"],
        summary="Say that you keep a copy of a checkpoint",
    )
    async def audit_acknowledge(request: Request[Any, Any, Any], data: JSONBody[Kept]) -> None:
        async with caller.entered(deps, edge, request, "entry:read") as who:
            who.pace.take(pace.ACKNOWLEDGEMENTS, who.organisation_id)
            await acknowledging.acknowledge(who.work, data.size, who.organisation_id)
            await who.note("log:acknowledged", details={"size": str(data.size)})

    @get("/api/v1/staff/audit/entries", operation_id="staff_audit", tags=["Staff"], summary="Every entry of the log")
    async def staff_audit(
        request: Request[Any, Any, Any], purpose: Why = None, limit: Limit = 50, before: Before = None
    ) -> AuditPage:
        async with caller.entered(deps, edge, request, "staff_entry:read") as who:
            if purpose is None:
                raise InvalidCall("Say what the entries are opened for.", code="purpose_missing", param="purpose")
            await who.note("log:opened", staff=True, purpose=purpose)
            found = await reading.page(who.work, deps.vault, purpose, below=visits.cursor(before), limit=limit)
            return _page(found, limit)

    return [audit_list, audit_checkpoint, audit_acknowledge, staff_audit]


def _page(found: list[Entry], limit: int) -> AuditPage:
    return AuditPage([_row(one) for one in found], found[-1].id.hex if len(found) == limit else None)


def _row(one: Entry) -> AuditEntry:
    organisation = None if one.organisation_id is None else f"org_{one.organisation_id.hex}"
    fields = one.fields
    if fields is None:
        return AuditEntry(id=one.id.hex, time=one.at, leaf=one.seq, organisation=organisation)
    return AuditEntry(
        id=one.id.hex,
        time=one.at,
        leaf=one.seq,
        organisation=organisation,
        act=fields.action,
        actor=fields.kind,
        pseudonym=fields.actor or None,
        role=fields.role or None,
        object=fields.object or None,
        purpose=fields.purpose or None,
        outcome=fields.outcome,
        request_id=f"req_{fields.request}" if fields.request else None,
        details=dict(one.details),
    )
