"""``/api/v1/privacy``: a member's own copy and erasure, by their session; what became of an erasure, by its id."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody
from litestar.response import Stream

from ruxa.access import sessions
from ruxa.console import assets
from ruxa.console.api import caller
from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.console.words import Library
from ruxa.kernel import ids
from ruxa.kernel.errors import NotFound
from ruxa.ledger.documents import show
from ruxa.privacy import erase, export


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of what is kept about you; it is made while it is fetched, and can be fetched once."""

    id: str
    asked_at: datetime
    expires_at: datetime
    fetched_at: datetime | None


class Copies(msgspec.Struct, frozen=True):
    """The copies you asked for in the last week."""

    exports: list[Copy]


class EraseWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``now``: without the day to think it over; ``forfeit``: credit that is left is given up."""

    now: bool = False
    forfeit: bool = False


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """``state``: waiting, planned, shredding, shredded, cleared, done, cancelled; with its certificate when done."""

    id: str
    kind: str
    state: str
    asked_at: datetime
    due_at: datetime
    certificate: dict[str, Any] | None
    signature: str | None
    key_id: str | None


def handlers(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    """The routes."""
    turns = export.Turns()
    library = Library()

    @get("/api/v1/privacy/export", operation_id="privacy_exports", tags=["Privacy"], summary="Your copies")
    async def exports(request: Request[Any, Any, Any]) -> Copies:
        async with caller.entered_as_member(deps, edge, request) as (who, session):
            return Copies([_copy(one) for one in await export.of_member(who.work, session.member_id)])

    @post(
        "/api/v1/privacy/export",
        operation_id="privacy_export",
        tags=["Privacy"],
        summary="Ask for a copy of what is kept about you (a session whose password was given within 15 minutes)",
    )
    async def export_ask(request: Request[Any, Any, Any]) -> Copy:
        async with caller.entered_as_member(deps, edge, request) as (who, session):
            sessions.require_proof(session)
            asked = await export.ask(who.work, session.member_id)
            return next(_copy(one) for one in await export.of_member(who.work, session.member_id) if one.id == asked)

    @get(
        "/api/v1/privacy/export/{export_id:str}",
        operation_id="privacy_export_fetch",
        tags=["Privacy"],
        summary="Fetch a copy (ZIP), once within a week",
        media_type="application/zip",
    )
    async def export_fetch(request: Request[Any, Any, Any], export_id: FromPath[str]) -> Stream:
        async with caller.entered_as_member(deps, edge, request) as (who, session):
            sessions.require_proof(session)
            wanted = ids.read("exp", export_id)
            turns.require()
            await export.fetch(who.work, session.member_id, wanted)
            await who.note("subject:exported", wanted, purpose="legal")
        paper = show.paper(deps.vault, library.words, assets.VENDOR)
        pieces: AsyncGenerator[bytes, None] = export.stream(
            deps.copies, deps.vault, wanted, session.member_id, objects=deps.objects, turns=turns, paper=paper
        )
        head = {"content-disposition": f'attachment; filename="{ids.text("exp", wanted)}.zip"'}
        return Stream(pieces, media_type="application/zip", headers=head)

    @post(
        "/api/v1/privacy/erase",
        operation_id="privacy_erase",
        status_code=202,
        tags=["Privacy"],
        summary="Ask for the erasure of your account, after a day or at once (password within 15 minutes)",
    )
    async def erase_ask(request: Request[Any, Any, Any], data: JSONBody[EraseWish]) -> Erasure:
        async with caller.entered_as_member(deps, edge, request) as (who, session):
            sessions.require_proof(session)
            wait_h = 0 if data.now else erase.COOLING_H
            asked = await erase.ask(
                who.work, deps.vault, session.member_id, by="subject", wait_h=wait_h, forfeit=data.forfeit
            )
            if data.now:
                await erase.hurry(who.work, asked)
            await who.note("subject:erased", asked, purpose="legal", details={"step": "asked"})
            return _erasure(await erase.find(who.work, asked))

    @delete(
        "/api/v1/privacy/erase",
        operation_id="privacy_erase_back",
        tags=["Privacy"],
        summary="Take your erasure back while it waits",
    )
    async def erase_back(request: Request[Any, Any, Any]) -> None:
        async with caller.entered_as_member(deps, edge, request) as (who, session):
            waits = await erase.waiting(who.work, session.member_id)
            if waits is None:
                raise NotFound("There is no erasure that waits.")
            await erase.take_back(who.work, waits.id)
            await who.note("subject:erased", waits.id, purpose="legal", details={"step": "taken back"})

    @get(
        "/api/v1/privacy/erase/{erasure_id:str}",
        operation_id="privacy_erase_show",
        tags=["Privacy"],
        summary="What became of an erasure, with its certificate, for whoever knows its id",
    )
    async def erase_show(request: Request[Any, Any, Any], erasure_id: FromPath[str]) -> Erasure:
        edge.refuse_host(request.headers)
        caller.refuse_key(request)
        async with deps.pool.work("visitor") as work:
            return _erasure(await erase.find(work, ids.read("ers", erasure_id)))

    return [exports, export_ask, export_fetch, erase_ask, erase_back, erase_show]


def _copy(one: export.Line) -> Copy:
    return Copy(id=ids.text("exp", one.id), asked_at=one.asked_at, expires_at=one.expires_at, fetched_at=one.used_at)


def _erasure(one: erase.Erasure) -> Erasure:
    signed = None if one.signed is None else one.signed.builtins
    return Erasure(
        id=ids.text("ers", one.id),
        kind=one.kind,
        state=one.state,
        asked_at=one.asked_at,
        due_at=one.due_at,
        certificate=None if signed is None else signed["certificate"],
        signature=None if signed is None else signed["signature"],
        key_id=None if signed is None else signed["key_id"],
    )
