"""``/api/v1/balance``, ledger lines and the demo's sandbox top-up."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter

from ruxa.console import money, records
from ruxa.console.api import caller
from ruxa.console.api.caller import ManyLimit
from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.kernel import ids
from ruxa.kernel.errors import Forbidden, InvalidCall, NotFound
from ruxa.ledger import topups

TOP_UP_MICROS_MAX = 50_000_000
Before = Annotated[str | None, QueryParameter(description="Id of the last line of the page before.")]


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """Micros of USD. Free is balance less held; sandbox money pays for ``sandbox/*`` only."""

    balance_micros: int
    held_micros: int
    free_micros: int
    sandbox_micros: int
    live_micros: int


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger line: a call's charge (``req_`` id, below zero) or a transfer (``xfer_`` id)."""

    id: str
    time: datetime
    code: str
    model: str | None
    scope: str
    amount_micros: int
    state: str


class LinePage(msgspec.Struct, frozen=True):
    """Ledger lines, newest first; ``next`` is the ``before`` of the next page."""

    lines: list[Line]
    next: str | None


class TopUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sandbox credit; at most 50 USD at a time."""

    micros: int


class Booked(msgspec.Struct, frozen=True):
    """The lot that a credit made; ``waits``: once a second person has approved it."""

    lot_id: str
    waits: bool = False


def balance_of(purse: money.Purse) -> Balance:
    """A purse as JSON."""
    return Balance(
        balance_micros=purse.total,
        held_micros=purse.held,
        free_micros=purse.free,
        sandbox_micros=purse.sandbox,
        live_micros=purse.live,
    )


def line_of(found: records.Line) -> Line:
    """A ledger line as JSON."""
    return Line(
        id=ids.text("req" if found.code == "charge" else "xfer", found.id),
        time=found.at,
        code=found.code,
        model=found.model or None,
        scope=found.scope,
        amount_micros=found.amount_micros,
        state=found.state,
    )


def handlers(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    """The routes."""

    @get("/api/v1/balance", operation_id="balance_show", tags=["Billing"], summary="Balance and what is held")
    async def balance_show(request: Request[Any, Any, Any]) -> Balance:
        async with caller.entered(deps, edge, request, "balance:read") as who:
            return balance_of(await money.purse_of(who.work, who.organisation_ref))

    @get("/api/v1/ledger/lines", operation_id="ledger_lines", tags=["Billing"], summary="Ledger lines, newest first")
    async def ledger_lines(request: Request[Any, Any, Any], before: Before = None, limit: ManyLimit = 100) -> LinePage:
        async with caller.entered(deps, edge, request, "ledger:read") as who:
            found = await records.lines(who.work, who.organisation_ref, before=_cursor(before), after=None, limit=limit)
            lines = [line_of(line) for line in found]
            return LinePage(lines, lines[-1].id if len(lines) == limit else None)

    @post("/api/v1/topups", operation_id="topups_create", tags=["Billing"], summary="Sandbox credit, in a demo")
    async def topups_create(request: Request[Any, Any, Any], data: JSONBody[TopUp]) -> Booked:
        async with caller.entered(deps, edge, request, "topup:create") as who:
            if deps.mode != "demo":
                raise Forbidden("Sandbox credit is given in the demo only.", code="not_a_demo")
            if not 0 < data.micros <= TOP_UP_MICROS_MAX:
                raise InvalidCall("Between 1 and 50,000,000 micros.", param="micros")
            return Booked(ids.text("lot", await topups.sandbox(who.work, who.organisation_ref, data.micros)))

    return [balance_show, ledger_lines, topups_create]


def _cursor(shown: str | None) -> Any:
    if shown is None:
        return None
    try:
        return ids.read("req", shown)
    except NotFound:
        return ids.read("xfer", shown)
