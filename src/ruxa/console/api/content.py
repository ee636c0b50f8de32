"""Stored content under ``/api/v1``: what a call sent and got, seen and deleted, and how long a key keeps it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, patch
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream

from ruxa.access import keys
from ruxa.console import content
from ruxa.console.api import caller
from ruxa.console.api.keys import Key, shown
from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.kernel import ids
from ruxa.kernel.errors import NotFound
from ruxa.privacy.content import items


class StoredContent(msgspec.Struct, frozen=True, kw_only=True):
    """A call's content; null when it is not stored or gone. It goes at ``content_until``."""

    id: str
    content: content.Sides | None
    content_until: datetime | None


class Deleted(msgspec.Struct, frozen=True):
    """Of how many calls the content was deleted."""

    calls: int


class KeyChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes about a key, within 2 seconds everywhere."""

    store_days: Annotated[
        int,
        msgspec.Meta(description="For how many days the content of its calls is stored, 0 (not at all) to 23."),
    ]
    delete_beyond: Annotated[
        bool,
        msgspec.Meta(description="Also delete what is stored already and was to be kept for more days than that."),
    ] = False


def handlers(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    """The routes."""

    @get(
        "/api/v1/usage/{request_id:str}/content",
        operation_id="content_show",
        tags=["Content"],
        summary="What a call sent and got, where its key stores content; each reading is an entry of the audit log",
    )
    async def content_show(request: Request[Any, Any, Any], request_id: FromPath[str]) -> StoredContent:
        async with caller.entered(deps, edge, request, "content:read") as who:
            call_id = ids.read("req", request_id)
            found = await items.find(who.work, call_id, who.organisation_id)
            if found is None:
                return StoredContent(id=request_id, content=None, content_until=None)
            await who.note("content:read", call_id)
            sides = await content.sides(who.work, deps, found, f"/api/v1/usage/{request_id}/content")
            return StoredContent(id=request_id, content=sides, content_until=found.gone_at)

    @get(
        "/api/v1/usage/{request_id:str}/content/{part:str}",
        operation_id="content_side",
        tags=["Content"],
        summary="The request or the answer of a call, byte for byte, where its key stores content",
        media_type=content.FILE,
    )
    async def content_side(request: Request[Any, Any, Any], request_id: FromPath[str], part: FromPath[str]) -> Stream:
        async with caller.entered(deps, edge, request, "content:read") as who:
            side = content.part_of(part)
            call_id = ids.read("req", request_id)
            found = await items.find(who.work, call_id, who.organisation_id)
            pieces = None if found is None else await content.pieces(who.work, deps, found, side)
            if found is None or pieces is None:
                raise NotFound("That is not stored, or gone.", code="content_gone")
            await who.note("content:read", call_id)
        response = content.streamed(pieces, found.side(side).size, content.FILE)
        named = content.filename(request_id, found, side)
        response.headers["content-disposition"] = f'attachment; filename="{named}"'
        return response

    @delete(
        "/api/v1/usage/{request_id:str}/content",
        operation_id="content_delete",
        tags=["Content"],
        summary="Delete what is stored of a call",
        status_code=200,
    )
    async def content_delete(request: Request[Any, Any, Any], request_id: FromPath[str]) -> Deleted:
        async with caller.entered(deps, edge, request, "content:delete") as who:
            call_id = ids.read("req", request_id)
            gone = await items.delete(who.work, content.objects_of(deps), who.organisation_id, call_id)
            if gone:
                await who.note("content:deleted", call_id, details={"of": "call"})
            return Deleted(int(gone))

    @delete(
        "/api/v1/keys/{key_id:str}/content",
        operation_id="content_delete_of_key",
        tags=["Content"],
        summary="Delete what is stored of a key's calls; with beyond_days only what was to be kept for longer",
        status_code=200,
    )
    async def content_delete_of_key(
        request: Request[Any, Any, Any], key_id: FromPath[str], beyond_days: FromQuery[int] = 0
    ) -> Deleted:
        async with caller.entered(deps, edge, request, "content:delete") as who:
            wanted = ids.read("key", key_id)
            count = await items.delete_of_key(
                who.work, content.objects_of(deps), who.organisation_id, wanted, beyond_days=max(beyond_days, 0)
            )
            await who.note("content:deleted", wanted, details={"of": "key", "calls": str(count)})
            return Deleted(count)

    @delete(
        "/api/v1/organisation/content",
        operation_id="content_delete_all",
        tags=["Content"],
        summary="Delete all stored content of the organisation and destroy the key that sealed it",
        status_code=200,
    )
    async def content_delete_all(request: Request[Any, Any, Any]) -> Deleted:
        async with caller.entered(deps, edge, request, "organisation:change") as who:
            return Deleted(await content.erase_all(deps, who.principal, who.organisation_id, who.request_id))

    @patch(
        "/api/v1/keys/{key_id:str}",
        operation_id="keys_change",
        tags=["Keys"],
        summary="For how long the content of the key's calls is stored",
    )
    async def keys_change(request: Request[Any, Any, Any], key_id: FromPath[str], data: JSONBody[KeyChange]) -> Key:
        async with caller.entered(deps, edge, request, "key:change") as who:
            wanted = ids.read("key", key_id)
            await keys.store(who.work, deps.vault, who.organisation_id, wanted, data.store_days)
            await who.note("key:changed", wanted, details={"store_days": str(data.store_days)})
            if data.delete_beyond:
                count = await items.delete_of_key(
                    who.work, content.objects_of(deps), who.organisation_id, wanted, beyond_days=data.store_days
                )
                await who.note("content:deleted", wanted, details={"of": "key", "calls": str(count)})
            return shown(await keys.find(who.work, deps.vault, who.organisation_id, wanted))

    return [content_show, content_side, content_delete, content_delete_of_key, content_delete_all, keys_change]
