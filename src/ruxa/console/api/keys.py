"""``/api/v1/keys`` and the playground's 15-minute key."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from ruxa.access import habits, keys
from ruxa.access.habits import NONE, Habits
from ruxa.access.roles import CALL_SCOPES, Scope
from ruxa.console import money
from ruxa.console.api import caller
from ruxa.console.api.caller import PURPOSE, After, Limit
from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.kernel import ids
from ruxa.kernel.errors import Forbidden
from ruxa.kernel.sealed import Sealed


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret."""

    id: str
    name: str
    prefixes: tuple[str, ...]
    livemode: bool
    scopes: tuple[str, ...]
    models: tuple[str, ...] | None
    rpm: int | None
    tpm: int | None
    concurrency: int | None
    store_days: int
    budget_micros: int | None
    budget_period: keys.Period | None
    policy: tuple[str, ...]
    guard: tuple[str, ...]
    habits: Habits
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_day: str | None
    created_at: datetime


class KeyPage(msgspec.Struct, frozen=True):
    """Keys, newest first; ``next`` is the ``after`` of the next page."""

    keys: list[Key]
    next: str | None


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a new key shall be; what is left out is unlimited, all models, and every call scope."""

    name: str
    livemode: bool = True
    scopes: tuple[Scope, ...] = CALL_SCOPES
    models: tuple[str, ...] | None = None
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    store_days: Annotated[
        int, msgspec.Meta(description="For how many days the content of its calls is stored, 0 (not at all) to 23.")
    ] = 0
    budget_micros: int | None = None
    budget_period: keys.Period | None = None
    policy: Annotated[
        tuple[str, ...],
        msgspec.Meta(description="Who may get its calls: zero-retention, no-training, region=EU, mechanism=scc."),
    ] = ()
    guard: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="What it does not let through: mask or refuse, then kinds (email, phone, iban, card, ip, "
            "national_id, secret, media); without kinds all but media."
        ),
    ] = ()
    habits: Annotated[
        Habits | None,
        msgspec.Meta(
            description="What every call wants without saying so: answers to the same call used again (cache_s, "
            "seconds), responses kept (keep_responses), models that calls go to instead of one (routes)."
        ),
    ] = None
    expires_at: datetime | None = None


class CreatedKey(msgspec.Struct, frozen=True):
    """The secret, this one time."""

    id: str
    key: str
    expires_at: datetime | None


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the old secret goes on, in hours (0 to 720)."""

    overlap_hours: int = 24


class GuardChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the key does not let through from now on; empty for everything."""

    guard: tuple[str, ...]


def shown(line: keys.KeyLine) -> Key:
    """A key as JSON."""
    return Key(
        id=ids.text("key", line.id),
        name=line.name.open(PURPOSE),
        prefixes=line.prefixes,
        livemode=line.livemode,
        scopes=line.scopes,
        models=line.models,
        rpm=line.requests_per_minute,
        tpm=line.tokens_per_minute,
        concurrency=line.concurrency,
        store_days=line.store_days,
        budget_micros=line.budget_micros,
        budget_period=line.budget_period,
        policy=line.conditions,
        guard=line.guard,
        habits=line.habits,
        expires_at=line.expires_at,
        revoked_at=line.revoked_at,
        last_used_day=None if line.last_used_day is None else line.last_used_day.isoformat(),
        created_at=line.created_at,
    )


def _created(made: keys.Created) -> CreatedKey:
    return CreatedKey(ids.text("key", made.id), made.secret.open(PURPOSE), made.expires_at)


def handlers(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    """The routes."""

    @get("/api/v1/keys", operation_id="keys_list", tags=["Keys"], summary="Keys of the organisation, newest first")
    async def keys_list(request: Request[Any, Any, Any], after: After = None, limit: Limit = 50) -> KeyPage:
        async with caller.entered(deps, edge, request, "key:read") as who:
            lines = await keys.of_organisation(
                who.work,
                deps.vault,
                who.organisation_id,
                after=ids.read("key", after) if after else None,
                limit=limit,
            )
            rows = [shown(line) for line in lines]
            return KeyPage(rows, rows[-1].id if len(rows) == limit else None)

    @post("/api/v1/keys", operation_id="keys_create", tags=["Keys"], summary="Make a key; its secret is shown once")
    async def keys_create(request: Request[Any, Any, Any], data: JSONBody[NewKey]) -> CreatedKey:
        async with caller.entered(deps, edge, request, "key:create") as who:
            wish = keys.KeyWish(
                name=Sealed(data.name),
                livemode=data.livemode,
                scopes=data.scopes,
                models=data.models,
                requests_per_minute=data.rpm,
                tokens_per_minute=data.tpm,
                concurrency=data.concurrency,
                store_days=data.store_days,
                budget_micros=data.budget_micros,
                budget_period=data.budget_period,
                conditions=data.policy,
                guard=data.guard,
                habits=data.habits or NONE,
                expires_at=data.expires_at,
            )
            if who.session is None and not set(data.scopes) <= who.principal.scopes | set(CALL_SCOPES):
                raise Forbidden("A key cannot make one that may do more than itself.", code="scope_missing")
            member = who.session.member_id if who.session else None
            made = await money.make_key(who.work, deps, who.organisation_id, who.organisation_ref, wish, member)
            await who.note("key:created", made.id)
            return _created(made)

    @get("/api/v1/keys/{key_id:str}", operation_id="keys_show", tags=["Keys"], summary="One key")
    async def keys_show(request: Request[Any, Any, Any], key_id: FromPath[str]) -> Key:
        async with caller.entered(deps, edge, request, "key:read") as who:
            return shown(await keys.find(who.work, deps.vault, who.organisation_id, ids.read("key", key_id)))

    @post(
        "/api/v1/keys/{key_id:str}/rotate",
        operation_id="keys_rotate",
        tags=["Keys"],
        summary="A new secret for the key; the old one goes on for the overlap",
    )
    async def keys_rotate(
        request: Request[Any, Any, Any], key_id: FromPath[str], data: JSONBody[Rotation]
    ) -> CreatedKey:
        async with caller.entered(deps, edge, request, "key:change") as who:
            wanted = ids.read("key", key_id)
            made = await keys.rotate(
                who.work,
                deps.vault,
                who.organisation_id,
                wanted,
                overlap=timedelta(hours=data.overlap_hours),
                rotated_by=who.session.member_id if who.session else None,
            )
            await who.note("key:rotated", wanted)
            return _created(made)

    @post(
        "/api/v1/keys/{key_id:str}/guard",
        operation_id="keys_guard",
        tags=["Keys"],
        summary="What the key does not let through, everywhere within 2 seconds",
    )
    async def keys_guard(request: Request[Any, Any, Any], key_id: FromPath[str], data: JSONBody[GuardChange]) -> Key:
        async with caller.entered(deps, edge, request, "key:change") as who:
            wanted = ids.read("key", key_id)
            words = await keys.protect(who.work, who.organisation_id, wanted, data.guard)
            await who.note("key:changed", wanted, details={"guard": ",".join(words)})
            return shown(await keys.find(who.work, deps.vault, who.organisation_id, wanted))

    @post(
        "/api/v1/keys/{key_id:str}/habits",
        operation_id="keys_habits",
        tags=["Keys"],
        summary="What every call of the key wants without saying so, everywhere within 2 seconds",
    )
    async def keys_habits(request: Request[Any, Any, Any], key_id: FromPath[str], data: JSONBody[Habits]) -> Key:
        async with caller.entered(deps, edge, request, "key:change") as who:
            wanted = ids.read("key", key_id)
            await keys.accustom(who.work, who.organisation_id, wanted, data)
            await who.note("key:changed", wanted, details={"habits": habits.told(data)})
            return shown(await keys.find(who.work, deps.vault, who.organisation_id, wanted))

    @delete(
        "/api/v1/keys/{key_id:str}",
        operation_id="keys_revoke",
        tags=["Keys"],
        summary="Revoke the key, everywhere within 2 seconds",
    )
    async def keys_revoke(request: Request[Any, Any, Any], key_id: FromPath[str]) -> None:
        async with caller.entered(deps, edge, request, "key:change") as who:
            wanted = ids.read("key", key_id)
            await keys.revoke(who.work, who.organisation_id, wanted)
            await who.note("key:revoked", wanted)

    @post(
        "/api/v1/playground/keys",
        operation_id="playground_key",
        tags=["Keys"],
        summary="A key for the playground of this session: 15 minutes, a budget of its own, gone at sign-out",
    )
    async def playground_key(request: Request[Any, Any, Any]) -> CreatedKey:
        async with caller.entered(deps, edge, request, "playground:use") as who:
            if who.session is None:
                raise Forbidden("A playground key belongs to a session, not to a key.", code="session_needed")
            return _created(
                await money.make_playground_key(
                    who.work, deps, who.organisation_id, who.organisation_ref, who.session.id
                )
            )

    return [keys_list, keys_create, keys_show, keys_rotate, keys_guard, keys_habits, keys_revoke, playground_key]
