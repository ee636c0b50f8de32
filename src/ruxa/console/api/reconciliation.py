"""``/api/v1/staff``, books compared: each day's sums here and at the processors, and every difference to its end."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, QueryParameter

from ruxa.console.api import caller
from ruxa.console.api.caller import ManyLimit
from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall
from ruxa.ledger.reconciliation import differences, report

DAYS_MAX = 92
DAYS = 14
Since = Annotated[date | None, QueryParameter(description="First day; 14 days ago when not given.")]
Until = Annotated[date | None, QueryParameter(description="Day after the last one; tomorrow when not given.")]
In = Annotated[Literal["open", "resolved", "gone", "all"], QueryParameter(description="Differences in this state.")]
At = Annotated[str | None, QueryParameter(description="Of this processor only.")]


class StaffCompared(msgspec.Struct, frozen=True, kw_only=True):
    """A day of a kind of object at a processor: how many and how much here and there, in minor units."""

    day: date
    processor: str
    scope: str
    object: str
    currency: str
    count_here: int
    here: int
    count_there: int
    there: int
    agrees: bool


class StaffClearing(msgspec.Struct, frozen=True, kw_only=True):
    """What a processor owes: by our books (micros), by its own lines (minor units; null when none were read)."""

    processor: str
    scope: str
    here_micros: int
    there_minor: int | None


class StaffComparison(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared, day by day, and what rests at the processors now."""

    since: date
    until: date
    days: list[StaffCompared]
    clearing: list[StaffClearing]


class StaffDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A disagreement: here and there in minor units (calls: how many), null where one side has nothing.

    owner: the member of staff who looks after it; outcome, reference, ended_at: how and when it ended.
    """

    id: str
    processor: str
    scope: str
    day: date
    kind: str
    object: str
    ext_id: str
    here: int | None
    there: int | None
    currency: str
    found_at: datetime
    age_days: int
    owner: str | None
    state: str
    outcome: str | None
    reference: str | None
    ended_at: datetime | None


class Resolution(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a difference ends; reference: a ticket or document, up to 60 letters, digits and ``._/#-``."""

    outcome: differences.Outcome
    reference: str | None = None


def difference_of(one: differences.Difference) -> StaffDifference:
    """A difference as JSON."""
    return StaffDifference(
        id=ids.text("diff", one.id),
        processor=one.processor,
        scope=one.scope,
        day=one.day,
        kind=one.kind,
        object=one.object,
        ext_id=one.ext_id,
        here=one.here,
        there=one.there,
        currency=one.currency,
        found_at=one.found_at,
        age_days=one.age_days,
        owner=None if one.owner_id is None else ids.text("mem", one.owner_id),
        state=one.state,
        outcome=one.outcome,
        reference=one.reference,
        ended_at=one.ended_at,
    )


def handlers(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    """The routes."""

    @get(
        "/api/v1/staff/reconciliation",
        operation_id="staff_reconciliation",
        tags=["Staff"],
        summary="What was compared with the processors' books, day by day",
    )
    async def staff_reconciliation(
        request: Request[Any, Any, Any], since: Since = None, until: Until = None
    ) -> StaffComparison:
        async with caller.entered(deps, edge, request, "staff_payment:read") as who:
            last = until or deps.clock.now().date() + timedelta(days=1)
            first = since or last - timedelta(days=DAYS + 1)
            if not timedelta(0) < last - first <= timedelta(days=DAYS_MAX):
                raise InvalidCall(f"1 to {DAYS_MAX} days at a time.", param="until")
            found = await report.of_days(who.work, first, last)
            return StaffComparison(
                since=first,
                until=last,
                days=[
                    StaffCompared(
                        day=one.day,
                        processor=one.processor,
                        scope=one.scope,
                        object=one.object,
                        currency=one.currency,
                        count_here=one.count_here,
                        here=one.here,
                        count_there=one.count_there,
                        there=one.there,
                        agrees=(one.here, one.count_here) == (one.there, one.count_there),
                    )
                    for one in found.totals
                ],
                clearing=[
                    StaffClearing(
                        processor=one.processor,
                        scope=one.scope,
                        here_micros=one.here_micros,
                        there_minor=one.there_minor,
                    )
                    for one in found.clearing
                ],
            )

    @get(
        "/api/v1/staff/differences",
        operation_id="staff_differences",
        tags=["Staff"],
        summary="Differences, open ones first, the oldest first",
    )
    async def staff_differences(
        request: Request[Any, Any, Any], status: In = "open", processor: At = None, limit: ManyLimit = 100
    ) -> list[StaffDifference]:
        async with caller.entered(deps, edge, request, "staff_payment:read") as who:
            state = None if status == "all" else status
            found = await differences.listed(who.work, state=state, processor=processor, limit=limit)
            return [difference_of(one) for one in found]

    @post(
        "/api/v1/staff/differences/{difference_id:str}/take",
        operation_id="staff_difference_take",
        status_code=200,
        tags=["Staff"],
        summary="Look after a difference",
    )
    async def staff_difference_take(request: Request[Any, Any, Any], difference_id: FromPath[str]) -> StaffDifference:
        async with caller.entered(deps, edge, request, "staff_difference:resolve") as who:
            one = ids.read("diff", difference_id)
            await differences.find(who.work, one)
            await differences.assign(who.work, one, who.principal.id)
            await who.note("difference:taken", one, staff=True)
            return difference_of(await differences.find(who.work, one))

    @post(
        "/api/v1/staff/differences/{difference_id:str}/resolve",
        operation_id="staff_difference_resolve",
        status_code=200,
        tags=["Staff"],
        summary="End a difference by one's word",
    )
    async def staff_difference_resolve(
        request: Request[Any, Any, Any], difference_id: FromPath[str], data: JSONBody[Resolution]
    ) -> StaffDifference:
        async with caller.entered(deps, edge, request, "staff_difference:resolve") as who:
            one = ids.read("diff", difference_id)
            await differences.find(who.work, one)
            await differences.resolve(who.work, one, data.outcome, data.reference, who.principal.text)
            await who.note("difference:resolved", one, staff=True, details={"outcome": data.outcome})
            return difference_of(await differences.find(who.work, one))

    return [staff_reconciliation, staff_differences, staff_difference_take, staff_difference_resolve]
