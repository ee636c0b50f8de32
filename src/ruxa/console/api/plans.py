"""``/api/v1/staff``, plans: the price books with their rules over the list, and which organisation has which."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, get, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from ruxa.access import organisations
from ruxa.console.api import caller
from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.kernel import ids
from ruxa.ledger import plans
from ruxa.ledger.prices import LIST


class StaffMargin(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of a plan. share: of the list, in basis points (10,000 is the list); null leaves the models out."""

    pattern: str
    usage_class: str
    share: int | None
    since: datetime
    until: datetime | None


class StaffPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A price book; beyond_list: what it does not name costs what the list says; organisations: how many have it."""

    name: str
    beyond_list: bool
    organisations: int
    margins: list[StaffMargin]


class StaffAssigned(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation's plan in a period."""

    plan: str
    since: datetime
    until: datetime | None


class StaffPlanOf(msgspec.Struct, frozen=True, kw_only=True):
    """The plan that an organisation has now, and those it had and will have, newest first."""

    plan: str
    history: list[StaffAssigned]


class PlanWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A plan by its name. starts: from when on, now when not given."""

    plan: str
    starts: datetime | None = None


def handlers(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    """The routes."""

    @get("/api/v1/staff/plans", operation_id="staff_plans", tags=["Staff"], summary="Plans and their rules")
    async def staff_plans(request: Request[Any, Any, Any]) -> list[StaffPlan]:
        async with caller.entered(deps, edge, request, "staff_payment:read") as who:
            return [
                StaffPlan(
                    name=one.name,
                    beyond_list=one.beyond_list,
                    organisations=one.organisations,
                    margins=[
                        StaffMargin(
                            pattern=rule.pattern,
                            usage_class=rule.usage_class,
                            share=rule.share,
                            since=rule.since,
                            until=rule.until,
                        )
                        for rule in ([] if one.name == LIST else await plans.margins(who.work, one.name))
                    ],
                )
                for one in await plans.listed(who.work)
            ]

    @get(
        "/api/v1/staff/organisations/{organisation_id:str}/plan",
        operation_id="staff_organisation_plan",
        tags=["Staff"],
        summary="The plan of an organisation",
    )
    async def staff_organisation_plan(request: Request[Any, Any, Any], organisation_id: FromPath[str]) -> StaffPlanOf:
        async with caller.entered(deps, edge, request, "staff_payment:read") as who:
            one = await organisations.find(who.work, deps.vault, ids.read("org", organisation_id))
            return await _plan_of(who, one)

    @put(
        "/api/v1/staff/organisations/{organisation_id:str}/plan",
        operation_id="staff_organisation_plan_put",
        tags=["Staff"],
        summary="Give an organisation a plan; calls under way keep their price",
    )
    async def staff_organisation_plan_put(
        request: Request[Any, Any, Any], organisation_id: FromPath[str], data: JSONBody[PlanWish]
    ) -> StaffPlanOf:
        async with caller.entered(deps, edge, request, "staff_price:change") as who:
            one = await organisations.find(who.work, deps.vault, ids.read("org", organisation_id))
            made = await plans.assign(who.work, one.organisation_ref, data.plan, starts=data.starts)
            await who.note("plan:assigned", made, organisation_id=one.id, details={"plan": data.plan})
            return await _plan_of(who, one)

    return [staff_plans, staff_organisation_plan, staff_organisation_plan_put]


async def _plan_of(who: caller.Caller, one: organisations.Organisation) -> StaffPlanOf:
    return StaffPlanOf(
        plan=await plans.of(who.work, one.organisation_ref),
        history=[
            StaffAssigned(plan=period.book, since=period.since, until=period.until)
            for period in await plans.history(who.work, one.organisation_ref)
        ],
    )
