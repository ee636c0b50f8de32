"""``ruxa key``: create, list, revoke, rotate. A secret is printed once, at its creation."""

from __future__ import annotations

import difflib
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, cast

from ruxa.access import habits, keys, organisations
from ruxa.access.audit import log
from ruxa.access.authorize import OPERATOR
from ruxa.access.habits import NONE, Habits
from ruxa.access.keys import Created, KeyLine, KeyWish
from ruxa.access.roles import CALL_SCOPES, Scope
from ruxa.app.house import House
from ruxa.app.keys import make
from ruxa.cli import output, session
from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.settings import duration_s
from ruxa.ledger import prices, routing
from ruxa.ledger.prices import Price


def create(args: Namespace) -> int:
    """``ruxa key create``."""

    async def act(house: House) -> Created:
        wish = KeyWish(
            name=Sealed(args.name),
            livemode=not args.test,
            scopes=cast(tuple[Scope, ...], session.names(args.scopes) or CALL_SCOPES),
            models=session.names(args.models),
            requests_per_minute=args.rpm,
            tokens_per_minute=args.tpm,
            concurrency=args.concurrency,
            store_days=args.store_days,
            budget_micros=args.budget_micros,
            budget_period=args.budget_period,
            conditions=session.names(args.policy) or (),
            guard=_guard(args),
            habits=_habits(args, NONE),
            expires_at=session.moment(args.expires, house.clock, "--expires", past=False) if args.expires else None,
        )
        async with house.work() as work:
            owner = await organisations.find(work, house.vault, session.organisation(args))
            created = await make(house, work, owner, wish)
            for name, near in _unknown(wish.models or (), await prices.current(work), await routing.current(work)):
                output.complain(f"note: no model {name} has a price here{f'; did you mean {near}?' if near else '.'}")
            return created

    output.show(args, _secret(session.within(args, act)))
    return 0


def _guard(args: Namespace) -> tuple[str, ...]:
    kinds = session.names(args.guard_kinds) or ()
    if args.guard is None and kinds:
        raise InvalidCall("--guard-kinds needs --guard mask or --guard refuse.", param="guard")
    return () if args.guard is None else (args.guard, *kinds)


def _habits(args: Namespace, before: Habits) -> Habits:
    """The habits that the arguments name, over those that were."""
    routes = dict(before.routes)
    for said in args.route or ():
        name, _, models = said.partition("=")
        routes.pop(name.strip(), None)
        if models.strip():
            routes |= habits.read_lines(said)
    return Habits(
        cache_s=before.cache_s if args.cache_s is None else args.cache_s,
        keep_responses=before.keep_responses if args.keep_responses is None else args.keep_responses == "on",
        routes=routes,
    )


def set_(args: Namespace) -> int:
    """``ruxa key set``."""

    async def act(house: House) -> dict[str, Any]:
        key_id = session.identifier("key", args.key)
        async with house.work() as work:
            owner = await keys.organisation_of(work, key_id)
            line = await keys.find(work, house.vault, owner, key_id)
            wanted = _habits(args, line.habits)
            await keys.accustom(work, owner, key_id, wanted)
            await log.add(
                work,
                house.vault,
                OPERATOR,
                "key:changed",
                organisation_id=owner,
                object_id=key_id,
                details={"habits": habits.told(wanted)},
            )
            return {"id": args.key, **_told(wanted)}

    output.show(args, session.within(args, act))
    return 0


def _told(wanted: Habits) -> dict[str, Any]:
    return {
        "cache_s": wanted.cache_s,
        "keep_responses": wanted.keep_responses,
        "routes": {name: list(models) for name, models in wanted.routes.items()},
    }


def list_(args: Namespace) -> int:
    """``ruxa key list``."""

    async def act(house: House) -> list[KeyLine]:
        async with house.work() as work:
            owner = await organisations.find(work, house.vault, session.organisation(args))
            return await keys.of_organisation(work, house.vault, owner.id, limit=1000)

    rows = [_row(line) for line in session.within(args, act)]
    limits = ["rpm", "tpm", "concurrency", "budget_micros", "budget_period", "store_days"]
    columns = ["id", "name", "prefix", "livemode", "scopes", "models", *limits]
    columns += ["policy", "guard", "expires_at", "revoked_at"]
    output.table(args, rows, columns, empty="No keys.")
    return 0


def revoke(args: Namespace) -> int:
    """``ruxa key revoke``."""

    async def act(house: House) -> None:
        key_id = session.identifier("key", args.key)
        async with house.work() as work:
            owner = await keys.organisation_of(work, key_id)
            await keys.revoke(work, owner, key_id)
            await log.add(work, house.vault, OPERATOR, "key:revoked", organisation_id=owner, object_id=key_id)

    session.within(args, act)
    output.show(args, {"id": args.key, "revoked": True})
    return 0


def rotate(args: Namespace) -> int:
    """``ruxa key rotate``."""

    async def act(house: House) -> Created:
        key_id = session.identifier("key", args.key)
        overlap = timedelta(seconds=duration_s(args.overlap))
        async with house.work() as work:
            owner = await keys.organisation_of(work, key_id)
            renewed = await keys.rotate(work, house.vault, owner, key_id, overlap=overlap)
            await log.add(work, house.vault, OPERATOR, "key:rotated", organisation_id=owner, object_id=key_id)
            return renewed

    output.show(args, _secret(session.within(args, act)))
    return 0


def _unknown(
    models: tuple[str, ...], here: Mapping[str, Price], routes: Iterable[str]
) -> Iterator[tuple[str, str | None]]:
    """Names of a key's list that nothing answers to now, each with the nearest one; they may be priced later."""
    known = {*here, *routes, *(alias for price in here.values() for alias in price.aliases)}
    known |= {f"{price.provider}/*" for price in here.values()}
    for name in models:
        if name not in known:
            yield name, next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.6)), None)


def _secret(created: Created) -> dict[str, Any]:
    return {"id": ids.text("key", created.id), "key": created.secret.open("provide"), "expires_at": created.expires_at}


def _row(line: KeyLine) -> dict[str, Any]:
    return {
        "id": ids.text("key", line.id),
        "name": line.name.open("provide"),
        "prefix": line.prefixes[0] if line.prefixes else None,
        "livemode": line.livemode,
        "scopes": list(line.scopes),
        "models": None if line.models is None else list(line.models),
        "rpm": line.requests_per_minute,
        "tpm": line.tokens_per_minute,
        "concurrency": line.concurrency,
        "store_days": line.store_days,
        "budget_micros": line.budget_micros,
        "budget_period": line.budget_period,
        "policy": list(line.conditions),
        "guard": list(line.guard),
        **_told(line.habits),
        "expires_at": line.expires_at,
        "revoked_at": line.revoked_at,
        "last_used_day": line.last_used_day,
        "created_at": line.created_at,
    }
