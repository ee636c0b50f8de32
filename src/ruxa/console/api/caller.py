"""Who calls ``/api/v1``: an API key with scope, or a member's session with its form token from this origin."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request
from litestar.params import QueryParameter

from ruxa.access import authorize, grants, keys, sessions
from ruxa.access.audit import log
from ruxa.access.authorize import Principal
from ruxa.access.roles import Permission
from ruxa.console import headers, pace, visits
from ruxa.console.headers import Edge
from ruxa.console.pace import Pace
from ruxa.console.page import Deps
from ruxa.kernel import cards
from ruxa.kernel.errors import InvalidCall, Unauthenticated
from ruxa.kernel.sealed import Sealed
from ruxa.store.vault import Vault
from ruxa.store.work import Work

AnyRequest = Request[Any, Any, Any]
SAFE = frozenset({"GET", "HEAD"})
CSRF_HEADER = "x-csrf-token"
KEY_BYTES_MAX = 512
PURPOSE = "provide"
# What lists are asked by: where to go on, and how many rows (of people's things few, of calls and lines many).
After = Annotated[str | None, QueryParameter(description="Id of the last row of the page before.")]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Rows at most.")]
ManyLimit = Annotated[int, QueryParameter(ge=1, le=1000, description="Rows at most.")]


@dataclass(frozen=True, slots=True)
class Caller:
    """One authorised call: its unit of work, who acts, and the organisation it is about."""

    work: Work
    principal: Principal
    session: sessions.Session | None
    organisation_id: UUID
    organisation_ref: UUID
    vault: Vault
    request_id: str
    pace: Pace

    async def note(
        self,
        act: log.Act,
        thing: UUID | None = None,
        *,
        organisation_id: UUID | None = None,
        staff: bool = False,
        purpose: str = "",
        details: Mapping[str, str] | None = None,
    ) -> None:
        """Writes the act to the audit log; with ``staff`` or an ``organisation_id``: done to it, by staff role."""
        self.pace.take(pace.ACTS, self.principal.id)
        staff = staff or organisation_id is not None
        if organisation_id is None and not staff:
            organisation_id = self.organisation_id
        await log.add(
            self.work,
            self.vault,
            self.principal,
            act,
            organisation_id=organisation_id,
            object_id=thing,
            staff=staff,
            request=self.request_id,
            purpose=purpose,
            details=details,
        )

    def sees(self, key_id: UUID) -> bool:
        """Whether a call of ``key_id`` may be shown: a key sees its own, with ``usage:read`` its organisation's."""
        return self.principal.id == key_id or authorize.may(self.principal, "usage:read", self.organisation_id)


@contextlib.asynccontextmanager
async def entered(deps: Deps, edge: Edge, request: AnyRequest, permission: Permission) -> AsyncGenerator[Caller, None]:
    """The caller, inside one unit of work, when they may. Raises Unauthenticated, NotFound or Forbidden."""
    edge.refuse_host(request.headers)
    given = _key(request)
    if given is None and request.method not in SAFE:
        headers.same_origin(request.headers)
    await refuse_cards(request)
    async with deps.pool.work(visits.PRINCIPAL) as work:
        if given is not None:
            caller = await _by_key(work, deps, request, given)
        else:
            caller = await _by_session(work, deps, request)
        organisation = None if permission.startswith("staff_") else caller.organisation_id
        authorize.require(caller.principal, permission, organisation)
        yield caller


@contextlib.asynccontextmanager
async def entered_of_call(deps: Deps, edge: Edge, request: AnyRequest) -> AsyncGenerator[Caller, None]:
    """Like ``entered`` for receipts: any key may ask, since it may always see what its own calls cost."""
    edge.refuse_host(request.headers)
    given = _key(request)
    async with deps.pool.work(visits.PRINCIPAL) as work:
        if given is not None:
            yield await _by_key(work, deps, request, given)
            return
        caller = await _by_session(work, deps, request)
        authorize.require(caller.principal, "usage:read", caller.organisation_id)
        yield caller


@contextlib.asynccontextmanager
async def entered_as_member(
    deps: Deps, edge: Edge, request: AnyRequest
) -> AsyncGenerator[tuple[Caller, sessions.Session], None]:
    """The signed-in member, about nobody but themselves: no key stands for a person. Raises Unauthenticated."""
    edge.refuse_host(request.headers)
    refuse_key(request)
    if request.method not in SAFE:
        headers.same_origin(request.headers)
    await refuse_cards(request)
    async with deps.pool.work(visits.PRINCIPAL) as work:
        caller = await _by_session(work, deps, request)
        assert caller.session is not None
        yield caller, caller.session


async def refuse_cards(request: AnyRequest) -> None:
    """Raises InvalidCall ``card_number`` when the body has a card's number in it: none belongs here (policy P6, P9)."""
    if request.method in SAFE:
        return
    body = await request.body()
    if not body:
        return
    try:
        place = cards.where(msgspec.json.decode(body))
    except msgspec.DecodeError:
        place = "" if cards.found(body.decode("utf-8", "replace")) else None
    except RecursionError:
        raise InvalidCall("The body is nested too deeply.", code="too_deep") from None
    if place is not None:
        raise InvalidCall(
            "This looks like a card number. Card numbers are given on the processor's own page only.",
            code="card_number",
            param=place or "body",
        )


def refuse_key(request: AnyRequest) -> None:
    """Raises Unauthenticated when a key is sent where none counts."""
    if _key(request) is not None:
        raise Unauthenticated("No key stands for a person here: sign in.", code="sign_in_required")


def _key(request: AnyRequest) -> bytes | None:
    """The API key of the request, as any of the SDKs would send it."""
    bearer = request.headers.get("authorization", "")
    if bearer[:7].lower() == "bearer ":
        return bearer[7:].strip().encode()
    own = request.headers.get("x-api-key")
    return own.strip().encode() if own else None


async def _by_key(work: Work, deps: Deps, request: AnyRequest, given: bytes) -> Caller:
    refused = Unauthenticated("The API key is not known here. Check it, or make a new one in the console.")
    if not 0 < len(given) <= KEY_BYTES_MAX:
        raise refused
    if given[:8] in (b"rx_live_", b"rx_test_") and not keys.well_formed(given):
        raise refused
    grant = await grants.find(work, *keys.hashes_of(deps.vault, given))
    if grant is None:
        raise refused
    shown = headers.request_id(request.scope)
    return Caller(
        work, authorize.of_key(grant), None, grant.organisation_id, grant.organisation_ref, deps.vault, shown, deps.pace
    )


async def _by_session(work: Work, deps: Deps, request: AnyRequest) -> Caller:
    secret = request.cookies.get(headers.cookie_name(deps.base_url))
    session = await sessions.find(work, deps.vault, Sealed(secret)) if secret else None
    if session is None:
        raise Unauthenticated("Send an API key as bearer token, or sign in.", code="sign_in_required")
    if request.method not in SAFE:
        sessions.check_csrf(session, request.headers.get(CSRF_HEADER))
    ref = await visits.organisation_ref(work, deps, session.organisation_id)
    organisation_id = session.organisation_id or visits.NOWHERE
    shown = headers.request_id(request.scope)
    return Caller(work, session.principal, session, organisation_id, ref, deps.vault, shown, deps.pace)
