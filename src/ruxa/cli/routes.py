"""``ruxa route``: public names that stand for several models, or for one that will go, and what they stood for."""

from __future__ import annotations

from argparse import Namespace
from typing import Any
from uuid import UUID

from ruxa.access.audit import log
from ruxa.access.authorize import OPERATOR
from ruxa.app.house import House
from ruxa.cli import output, session
from ruxa.kernel.errors import InvalidCall, NotFound
from ruxa.ledger import prices, routing
from ruxa.ledger.routing import Goal, Route

COLUMNS = ["name", "by", "targets", "retires_at", "successor", "since", "until"]


def list_(args: Namespace) -> int:
    """``ruxa route list``."""

    async def act(house: House) -> list[Route]:
        async with house.work() as work:
            if args.name is not None:
                return await routing.history(work, args.name)
            return list((await routing.current(work)).values())

    rows = [_row(route) for route in session.within(args, act)]
    output.table(args, rows, COLUMNS, empty="No routes.")
    return 0


def set_(args: Namespace) -> int:
    """``ruxa route set``."""
    goals = [_goal(text) for text in args.targets]

    async def act(house: House) -> Route:
        retires_at = session.moment(args.retires, house.clock, "--retires", past=False) if args.retires else None
        async with house.work() as work:
            priced = await prices.current(work)
            for goal in goals:
                if goal.model not in priced:
                    output.complain(f"note: no model {goal.model} has a price here; until it has, it is left out.")
            if args.name in priced:
                output.complain(
                    f"note: {args.name} is a model with a price; calls of that name take the route from now on."
                )
            before = await routing.current(work)
            route_id = await routing.put(
                work, args.name, goals, by=args.by, retires_at=retires_at, successor=args.successor
            )
            if args.name not in before or before[args.name].id != route_id:
                await log.add(work, house.vault, OPERATOR, "route:set", object_id=route_id)
            return (await routing.current(work))[args.name]

    output.show(args, _row(session.within(args, act)))
    return 0


def remove(args: Namespace) -> int:
    """``ruxa route remove``."""

    async def act(house: House) -> UUID:
        async with house.work() as work:
            route_id = await routing.remove(work, args.name)
            if route_id is None:
                raise NotFound(f"There is no route {args.name}; `ruxa route list` shows what there is.")
            await log.add(work, house.vault, OPERATOR, "route:removed", object_id=route_id)
            return route_id

    session.within(args, act)
    output.show(args, {"name": args.name, "removed": True})
    return 0


def _goal(text: str) -> Goal:
    model, equals, weight = text.rpartition("=")
    if not equals:
        return Goal(text)
    if not weight.isdecimal() or len(weight) > 9:
        raise InvalidCall(f"A target is MODEL or MODEL=WEIGHT, not {text!r}.", code="bad_route")
    return Goal(model, int(weight))


def _row(route: Route) -> dict[str, Any]:
    weighted = route.by == "weight"
    return {
        "name": route.name,
        "by": route.by,
        "targets": [f"{goal.model}={goal.weight}" if weighted else goal.model for goal in route.goals],
        "retires_at": route.retires_at,
        "successor": route.successor,
        "since": route.since,
        "until": route.until,
    }
