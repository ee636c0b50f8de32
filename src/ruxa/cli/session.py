"""What nearly every command needs: the house's objects for the length of one coroutine, and readers of arguments."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from ruxa.access import members
from ruxa.access.authorize import OPERATOR, Principal, may
from ruxa.access.roles import Permission
from ruxa.app.house import House, opened
from ruxa.cli import settings as settings_
from ruxa.kernel import ids, moments
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Forbidden, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.store.work import Work

T = TypeVar("T")

_IDS: dict[str, tuple[str, str]] = {
    "org": ("organisation", "ruxa org list"),
    "key": ("key", "ruxa key list --org ORG"),
    "req": ("call", "ruxa usage list --org ORG"),
}


def within(args: Namespace, act: Callable[[House], Awaitable[T]]) -> T:
    """Run ``act`` with the house open: the running server's database, or one started for this command (D6)."""
    settings = settings_.load(args)

    async def run() -> T:
        async with opened(settings, f"ruxa {args.command}") as house:
            return await act(house)

    return asyncio.run(run())


def organisation(args: Namespace) -> UUID:
    """The organisation a command is about."""
    return identifier("org", args.org)


async def person(args: Namespace, house: House, work: Work, permission: Permission) -> Principal:
    """Whose act this is where two people count: the member of staff that ``--as`` names, else nobody in particular.

    Raises NotFound, Forbidden ``role_missing`` for who has no role that may do it.
    """
    if args.person is None:
        return OPERATOR
    member_id = await members.find_by_email(work, house.vault, Sealed(args.person))
    known = None if member_id is None else await members.profile(work, house.vault, member_id)
    if known is None or known.staff_role is None or known.suspended or not known.verified:
        raise NotFound("--as names nobody of the staff; `ruxa operator add` makes somebody one.")
    principal = Principal(kind="member", id=known.id, staff_role=known.staff_role)
    if not may(principal, permission):
        raise Forbidden("Whom --as names has no role that may do this.", code="role_missing")
    return principal


def said_by(principal: Principal) -> dict[str, str]:
    """The detail of an audit entry that says who sat at the command line, where that was said."""
    return {} if principal.id is None else {"person": ids.text("mem", principal.id)}


def identifier(kind: ids.Kind, shown: str) -> UUID:
    """The uuid of an argument. Raises NotFound that says what such an id looks like and which command shows them."""
    try:
        return ids.read(kind, shown)
    except NotFound:
        what, where = _IDS[kind]
        # Somebody may have pasted the secret itself, which must not be repeated.
        said = "That" if shown.startswith("rx_") or len(shown) > 60 else shown or "Nothing"
        raise NotFound(f"{said} is no {what} id ({kind}_ and 32 hex digits); `{where}` shows them.") from None


def moment(text: str, clock: Clock, option: str, *, past: bool) -> datetime:
    """``30d`` from now (or ago, when ``past``), or a date (its first instant, UTC), or an ISO time. InvalidCall."""
    return moments.read(text, clock.now(), option, past=past)


def names(text: str | None) -> tuple[str, ...] | None:
    """``a,b`` -> (a, b); None stays None."""
    if text is None:
        return None
    return tuple(part.strip() for part in text.split(",") if part.strip())
