"""``/api/v1/usage`` and ``/api/v1/receipts``: what calls consumed and cost."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, QueryParameter

from ruxa.console.api import caller
from ruxa.console.api.caller import ManyLimit
from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.kernel import ids, moments
from ruxa.kernel.errors import NotFound
from ruxa.ledger import activity

Before = Annotated[str | None, QueryParameter(description="Id of the last row of the page before.")]
Status = Literal["pending", "settling", "posted", "free"]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a call consumed; ``input_tokens`` are those that came from no cache."""

    input_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_input_tokens: int
    audio_output_tokens: int
    images: int
    input_total: int
    output_total: int


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One call; ``id`` is its answer's ``x-request-id``, ``status`` the HTTP status."""

    id: str
    time: datetime
    key_id: str
    model: str
    provider: str | None
    dialect: str
    endpoint: str
    stream: bool
    status: int
    error_code: str | None
    finish: str | None
    usage: Usage
    usage_source: str
    cost_micros: int
    price_id: str | None
    lease_id: str | None
    line_state: str
    latency_ms: int
    first_token_ms: int | None
    attempts: int
    lossy: list[str]


class UsagePage(msgspec.Struct, frozen=True):
    """Calls, newest first; ``next`` is the ``before`` of the next page."""

    rows: list[UsageRow]
    next: str | None


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a call cost, within a second of its end. ``pending``: the call runs, or its row is on its way."""

    id: str
    status: Status
    cost_micros: int | None = None
    usage: Usage | None = None
    usage_source: str | None = None
    http_status: int | None = None
    waived_micros: int = 0


def usage_of(call: activity.Call) -> Usage:
    """The usage vector as JSON."""
    return Usage(
        input_tokens=call.input_tokens,
        cache_read_tokens=call.cache_read_tokens,
        cache_write_5m_tokens=call.cache_write_5m_tokens,
        cache_write_1h_tokens=call.cache_write_1h_tokens,
        output_tokens=call.output_tokens,
        reasoning_tokens=call.reasoning_tokens,
        audio_input_tokens=call.audio_input_tokens,
        audio_output_tokens=call.audio_output_tokens,
        images=call.images,
        input_total=call.input_total,
        output_total=call.output_total,
    )


def row_of(call: activity.Call) -> UsageRow:
    """A call as JSON."""
    return UsageRow(
        id=call.shown_id,
        time=call.at,
        key_id=ids.text("key", call.key_id),
        model=call.model,
        provider=call.provider,
        dialect=call.dialect,
        endpoint=call.endpoint,
        stream=call.stream,
        status=call.status,
        error_code=call.error_code,
        finish=call.finish,
        usage=usage_of(call),
        usage_source=call.usage_source,
        cost_micros=call.amount_micros,
        price_id=None if call.price_id is None else ids.text("price", call.price_id),
        lease_id=None if call.lease_id is None else ids.text("lease", call.lease_id),
        line_state=call.line_state,
        latency_ms=call.latency_ms,
        first_token_ms=call.first_token_ms,
        attempts=call.attempts,
        lossy=call.lossy,
    )


Since = Annotated[
    str | None,
    QueryParameter(description="1h or 7d (ago), a date (UTC), or a time such as 2027-01-31T12:00:00Z."),
]


def handlers(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    """The routes."""

    @get("/api/v1/usage", operation_id="usage_list", tags=["Usage"], summary="Calls of the organisation, newest first")
    async def usage_list(
        request: Request[Any, Any, Any],
        since: Since = None,
        model: FromQuery[str | None] = None,
        key_id: FromQuery[str | None] = None,
        outcome: FromQuery[Literal["ok", "failed"] | None] = None,
        before: Before = None,
        limit: ManyLimit = 100,
    ) -> UsagePage:
        async with caller.entered(deps, edge, request, "usage:read") as who:
            at = None if since is None else moments.read(since, deps.clock.now(), "since", past=True, param="since")
            asked = activity.Filter(
                model=model, key_id=ids.read("key", key_id) if key_id else None, outcome=outcome, since=at
            )
            found = await activity.calls(
                who.work,
                who.organisation_ref,
                asked,
                before=ids.read("req", before) if before else None,
                after=None,
                limit=limit,
            )
            rows = [row_of(call) for call in found]
            return UsagePage(rows, rows[-1].id if len(rows) == limit else None)

    @get("/api/v1/usage/{request_id:str}", operation_id="usage_show", tags=["Usage"], summary="One call")
    async def usage_show(request: Request[Any, Any, Any], request_id: FromPath[str]) -> UsageRow:
        async with caller.entered(deps, edge, request, "usage:read") as who:
            call = await activity.call(who.work, who.organisation_ref, ids.read("req", request_id))
            if call is None:
                raise NotFound("No such call.")
            return row_of(call)

    @get(
        "/api/v1/receipts/{request_id:str}",
        operation_id="receipts_show",
        tags=["Usage"],
        summary="What a call cost, within a second of its end",
    )
    async def receipts_show(request: Request[Any, Any, Any], request_id: FromPath[str]) -> Receipt:
        async with caller.entered_of_call(deps, edge, request) as who:
            call = await activity.call(who.work, who.organisation_ref, ids.read("req", request_id))
            if call is None or (who.session is None and not who.sees(call.key_id)):
                return Receipt(id=request_id, status="pending")
            return Receipt(
                id=request_id,
                status=msgspec.convert(call.line_state, Status),
                cost_micros=call.amount_micros,
                usage=usage_of(call),
                usage_source=call.usage_source,
                http_status=call.status,
                waived_micros=call.waived_micros,
            )

    return [usage_list, usage_show, receipts_show]
