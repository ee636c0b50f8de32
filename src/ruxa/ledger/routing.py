"""Routing: the public names that stand for more than one model, or for one that will go - as rows, with their history.

A route is never changed: setting it again ends the row in force and begins another, so that it can always be said
where a call of a day would have gone. Told on the channel ``price_changed``, as prices are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID

import msgspec

from ruxa.kernel import bounds, ids
from ruxa.kernel.errors import InvalidCall
from ruxa.ledger import records
from ruxa.store.work import Work

By = Literal["order", "weight", "price", "latency"]
BYS: tuple[By, ...] = get_args(By)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:\-]*(/[A-Za-z0-9][A-Za-z0-9_.:\-]*)*\Z")
NAME_CHARS_MAX = 200
WEIGHT_MAX = 1_000_000


class Goal(msgspec.Struct, frozen=True):
    """One target of a route: a model of the price book, and its share where the route goes by weight."""

    model: str
    weight: int = 1


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One row. by: how a target is chosen; retires_at: from then on the name is refused, naming ``successor``."""

    id: UUID
    name: str
    by: By
    goals: tuple[Goal, ...]
    retires_at: datetime | None = None
    successor: str | None = None
    since: datetime
    until: datetime | None = None


async def current(work: Work) -> dict[str, Route]:
    """Every route in force, by name."""
    return {route.name: route for route in map(_route, await work.rows(records.ROUTES_NOW))}


async def history(work: Work, name: str) -> list[Route]:
    """Every row of a name, newest first."""
    return [_route(row) for row in await work.rows(records.ROUTE_HISTORY, name)]


async def put(
    work: Work,
    name: str,
    goals: Sequence[Goal],
    *,
    by: By = "order",
    retires_at: datetime | None = None,
    successor: str | None = None,
) -> UUID:
    """A route from now on; the id of its row. The same as the one in force changes nothing. Raises InvalidCall."""
    for each in (name, *(goal.model for goal in goals), *([] if successor is None else [successor])):
        if len(each) > NAME_CHARS_MAX or not _NAME.match(each):
            raise InvalidCall(f"No model has such a name: {each[:80]!r}.", code="bad_route")
    models = [goal.model for goal in goals]
    if not 1 <= len(goals) <= bounds.ROUTE_TARGETS_MAX or len(set(models)) < len(models):
        raise InvalidCall(f"A route has 1 to {bounds.ROUTE_TARGETS_MAX} targets, each once.", code="bad_route")
    if name in models and len(models) > 1 and by not in BYS:
        raise InvalidCall(f"A route goes by one of {', '.join(BYS)}.", code="bad_route")
    if any(not 1 <= goal.weight <= WEIGHT_MAX for goal in goals):
        raise InvalidCall(f"A weight lies between 1 and {WEIGHT_MAX}.", code="bad_route")
    if (retires_at is None) is not (successor is None):
        raise InvalidCall("A name that retires has both a date and a successor.", code="bad_route")
    found: UUID = await work.value(
        records.ROUTE_PUT,
        ids.fresh(),
        name,
        by,
        models,
        [goal.weight for goal in goals],
        retires_at,
        successor,
    )
    return found


async def remove(work: Work, name: str) -> UUID | None:
    """End the route of a name; its row, None when there is none."""
    found: UUID | None = await work.value(records.ROUTE_END, name)
    return found


def _route(row: tuple[object, ...]) -> Route:
    values = dict(zip(records.ROUTE_FIELDS, row, strict=True))
    models, weights = values.pop("models"), values.pop("weights")
    goals = [{"model": model, "weight": weight} for model, weight in zip(models, weights, strict=True)]  # pyright: ignore
    return msgspec.convert({**values, "goals": goals}, Route)
