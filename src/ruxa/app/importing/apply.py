"""Makes what a plan says: routes and keys in the database, and the file for ``ruxa.toml``."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import msgspec

from ruxa.access import organisations
from ruxa.access.audit import log
from ruxa.access.authorize import OPERATOR
from ruxa.access.keys import KeyWish
from ruxa.access.roles import CALL_SCOPES
from ruxa.app.house import House
from ruxa.app.importing import fragment
from ruxa.app.importing.plan import Key, Plan
from ruxa.app.keys import make
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict, InvalidCall
from ruxa.kernel.sealed import Sealed
from ruxa.ledger import prices, routing
from ruxa.ledger.routing import Goal


class Made(msgspec.Struct, frozen=True):
    """A key that was made: its secret is shown this once."""

    name: str
    id: str
    key: str


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What was made. unpriced: models of routes that have no price here and are left out until they have one."""

    file: str
    routes: tuple[str, ...]
    keys: tuple[Made, ...]
    unpriced: tuple[str, ...]


def write_file(plan: Plan, path: Path) -> None:
    """The fragment, as a new file. Raises Conflict when there is one already."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(fragment.write(plan))
    except FileExistsError:
        raise Conflict(
            f"{path} exists: name another file with --out, and put its tables into your settings file.",
            code="file_exists",
        ) from None


async def apply(
    house: House, plan: Plan, organisation_id: UUID | None
) -> tuple[tuple[str, ...], tuple[Made, ...], tuple[str, ...]]:
    """Routes and keys in one transaction; names of routes, keys, and models without a price.

    Raises InvalidCall when there are keys to make and no organisation to make them for.
    """
    if plan.keys and organisation_id is None:
        raise InvalidCall(
            "There are keys to make: say for whom with --org ORG, or leave them out with --no-keys.", code="org_missing"
        )
    async with house.work() as work:
        priced = await prices.current(work)
        before = await routing.current(work)
        for way in plan.routes:
            goals = [Goal(target.model, target.weight) for target in way.targets]
            route_id = await routing.put(work, way.name, goals, by=way.by)
            if way.name not in before or before[way.name].id != route_id:
                await log.add(work, house.vault, OPERATOR, "route:set", object_id=route_id)
        made: list[Made] = []
        if organisation_id is not None and plan.keys:
            owner = await organisations.find(work, house.vault, organisation_id)
            for key in plan.keys:
                created = await make(house, work, owner, _wish(key))
                made.append(Made(key.name, ids.text("key", created.id), created.secret.open("provide")))
    wanted = {target.model: None for way in plan.routes for target in way.targets}
    return (
        tuple(way.name for way in plan.routes),
        tuple(made),
        tuple(name for name in wanted if name not in priced),
    )


def _wish(key: Key) -> KeyWish:
    return KeyWish(
        name=Sealed(key.name),
        livemode=True,
        scopes=CALL_SCOPES,
        models=key.models,
        requests_per_minute=key.requests_per_minute,
        tokens_per_minute=key.tokens_per_minute,
        concurrency=key.concurrency,
        budget_micros=key.budget_micros,
        budget_period=key.budget_period,
        expires_at=key.expires_at,
    )
