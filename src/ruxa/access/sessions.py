"""Sessions of browsers: an opaque token of 256 bits in a cookie, its keyed hash here, and what the holder may do.

Idle 30 days, 90 days at most; staff 12 hours. The token is replaced whenever privilege changes. Of the browser only a
coarse label is kept ("Firefox on Linux"), sealed, so that people can tell their sessions apart; no address at all.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import secrets
from datetime import datetime
from typing import Final, cast
from uuid import UUID

import msgspec

from ruxa.access import records
from ruxa.access.authorize import Principal
from ruxa.access.roles import Role, StaffRole
from ruxa.kernel import bounds, ids
from ruxa.kernel.errors import Forbidden, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.store.vault import Vault
from ruxa.store.work import Work

LABEL: Final = "session"
LABEL_CSRF: Final = "csrf"
PURPOSE: Final = "security"
AGENT_COLUMN: Final = "access.session.agent_sealed"
PROVED_WITHIN_S: Final = 15 * 60

_BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request comes from, as coarse as it is used: an address block (/24, /48) and a browser's label."""

    block: Sealed[str] | None
    agent: str

    @classmethod
    def of(cls, peer: str | None, user_agent: str | None) -> Visitor:
        """From the peer's address and the User-Agent header; neither is kept."""
        return cls(block=_block(peer), agent=coarse(user_agent or ""))


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A living session. ``csrf`` goes into its forms, and ``csrf_before`` may still come from older ones;
    ``organisation_id`` is the one the browser has chosen.
    """

    id: UUID
    member_id: UUID
    principal: Principal
    organisation_id: UUID | None
    locale: str
    csrf: str
    csrf_before: tuple[str, ...] = ()
    proved_recently: bool
    ends_at: datetime


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A new token, the only time it exists here; ``seconds`` is the cookie's life."""

    id: UUID
    token: Sealed[str]
    seconds: int


class SessionLine(msgspec.Struct, frozen=True, kw_only=True):
    """A session as its member sees it."""

    id: UUID
    agent: Sealed[str] | None
    created_at: datetime
    seen_at: datetime


async def create(work: Work, vault: Vault, member_id: UUID, visitor: Visitor) -> Opened:
    """A session for a member who has just proved to be one; 12 hours for staff. NotFound for a suspended member."""
    session_id = ids.fresh()
    token = _draw()
    agent = await vault.seal(AGENT_COLUMN, member_id, session_id, visitor.agent)
    seconds = await records.insert_session(
        work,
        session_id,
        hash_of(vault, token),
        member_id,
        agent,
        (bounds.SESSION_IDLE_DAYS * 86_400, bounds.SESSION_DAYS_MAX * 86_400, bounds.STAFF_SESSION_H * 3600),
    )
    if seconds is None:
        raise NotFound("No such member.")
    return Opened(id=session_id, token=token, seconds=seconds)


async def find(work: Work, vault: Vault, token: Sealed[str]) -> Session | None:
    """The living session of a token with its member's present roles; None when it is unknown, ended or suspended."""
    row = None
    for token_hash in vault.keyed_hashes(LABEL, _bytes(token)):
        row = row or await records.session_of(work, token_hash, PROVED_WITHIN_S)
    if row is None:
        return None
    if row.stale:
        await records.touch_session(work, row.id)
    roles = dict(zip(row.organisations, cast(list[Role], row.roles), strict=True))
    return Session(
        id=row.id,
        member_id=row.member_id,
        principal=Principal(
            kind="member", id=row.member_id, roles=roles, staff_role=cast(StaffRole | None, row.staff_role)
        ),
        organisation_id=row.organisation_id if row.organisation_id in roles else next(iter(roles), None),
        locale=row.locale,
        csrf=csrf_of(vault, token),
        csrf_before=tuple(map(_text, vault.keyed_hashes(LABEL_CSRF, _bytes(token))[1:])),
        proved_recently=row.proved_recently,
        ends_at=row.ends_at,
    )


def csrf_of(vault: Vault, token: Sealed[str]) -> str:
    """The session's form token, derived from its secret: nothing more to store, a new one with every new token."""
    return _text(vault.keyed_hash(LABEL_CSRF, _bytes(token)))


def check_csrf(session: Session, given: str | None) -> None:
    """Forbidden ``csrf`` unless the form carries the session's token."""
    said = (given or "").encode("utf-8", "surrogatepass")
    if not any(hmac.compare_digest(one.encode(), said) for one in (session.csrf, *session.csrf_before)):
        raise Forbidden("This form is too old; load the page again.", code="csrf")


def require_proof(session: Session) -> None:
    """Forbidden ``proof_needed`` unless the password was given within the last 15 minutes (grave acts)."""
    if not session.proved_recently:
        raise Forbidden("Enter your password again to do this.", code="proof_needed")


async def rotate(work: Work, vault: Vault, session_id: UUID, *, proved: bool) -> Sealed[str]:
    """A new token for the session; the old one is dead. ``proved``: the password has just been given."""
    token = _draw()
    if not await records.replace_token(work, session_id, hash_of(vault, token), proved):
        raise NotFound("No such session.")
    return token


async def choose_organisation(work: Work, session: Session, organisation_id: UUID) -> None:
    """The organisation this browser works in from now on; NotFound when the member is not in it."""
    if organisation_id not in session.principal.roles:
        raise NotFound("No such organisation.")
    await records.choose_organisation(work, session.id, organisation_id)


async def of_member(work: Work, vault: Vault, member_id: UUID) -> list[SessionLine]:
    """The member's living sessions, last seen first."""
    return [
        SessionLine(
            id=row[0],
            agent=None
            if row[1] is None
            else await vault.open(AGENT_COLUMN, member_id, row[0], row[1], purpose=PURPOSE),
            created_at=row[2],
            seen_at=row[3],
        )
        for row in await records.sessions_of(work, member_id)
    ]


async def revoke(work: Work, member_id: UUID, session_id: UUID) -> None:
    """Ends one session of the member, with its playground keys; NotFound when it is not theirs."""
    if not await records.delete_session(work, member_id, session_id):
        raise NotFound("No such session.")


async def revoke_all(work: Work, member_id: UUID, *, keep: UUID | None = None) -> int:
    """Ends every session of the member but ``keep``; how many."""
    return await records.delete_sessions(work, member_id, keep)


def hash_of(vault: Vault, token: Sealed[str]) -> bytes:
    """The keyed hash under which a token is stored."""
    return vault.keyed_hash(LABEL, _bytes(token))


def _bytes(token: Sealed[str]) -> bytes:
    return token.open(PURPOSE).encode("utf-8", "surrogatepass")


def _text(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def coarse(user_agent: str) -> str:
    """A label from a closed set of words, whatever the header says: browser family and system, no version."""
    browser = next((label for mark, label in _BROWSERS if mark in user_agent), "Browser")
    system = next((label for mark, label in _SYSTEMS if mark in user_agent), "unknown system")
    return f"{browser} on {system}"


def _block(peer: str | None) -> Sealed[str] | None:
    try:
        address = ipaddress.ip_address(peer or "")
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return Sealed(str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False)))


def _draw() -> Sealed[str]:
    return Sealed(secrets.token_urlsafe(32))
