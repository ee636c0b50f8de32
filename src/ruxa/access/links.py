"""One-time links: 256 random bits, kept as keyed hash, used by one conditional UPDATE, dead after 30 minutes.

Looking at a link (a mail scanner does) uses nothing; only ``use`` does, once. Using a link ends the member's other
links of its kind.
"""

from __future__ import annotations

import secrets
from typing import Final, Literal
from uuid import UUID

import msgspec

from ruxa.access import records
from ruxa.kernel import bounds
from ruxa.kernel.errors import NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.store.vault import Vault
from ruxa.store.work import Work

Kind = Literal["verify", "reset", "invite", "operator", "sign_in"]

LABEL: Final = "link"
PURPOSE: Final = "security"
PATHS: Final[dict[Kind, str]] = {
    "verify": "/verify/",
    "reset": "/reset/",
    "invite": "/invite/",
    "operator": "/operator/",
    "sign_in": "/enter/",
}


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A living link that somebody holds. ``ticketed``: the sign-up's own browser needs no password."""

    kind: Kind
    member_id: UUID
    organisation_id: UUID | None
    ticketed: bool


async def make(
    work: Work, vault: Vault, kind: Kind, member_id: UUID, *, organisation_id: UUID | None = None
) -> Sealed[str]:
    """A fresh link's secret (43 characters of base64url), the only time it exists here."""
    return await _make(work, vault, kind, member_id, organisation_id, None)


async def make_ticketed(work: Work, vault: Vault, member_id: UUID, ticket: Sealed[str]) -> Sealed[str]:
    """A ``verify`` link that the holder of ``ticket`` may use without the password."""
    return await _make(work, vault, "verify", member_id, None, _hash(vault, ticket))


async def _make(
    work: Work,
    vault: Vault,
    kind: Kind,
    member_id: UUID,
    organisation_id: UUID | None,
    ticket_hash: bytes | None,
) -> Sealed[str]:
    secret = draw()
    await records.insert_link(
        work, _hash(vault, secret), kind, member_id, organisation_id, ticket_hash, bounds.LINK_TTL_S
    )
    return secret


def draw() -> Sealed[str]:
    """256 random bits as text."""
    return Sealed(secrets.token_urlsafe(32))


def url(base_url: str, kind: Kind, secret: Sealed[str]) -> Sealed[str]:
    """The address to open. ``base_url``: scheme, host and port without a path."""
    return Sealed(base_url.rstrip("/") + PATHS[kind] + secret.open(PURPOSE))


async def look(
    work: Work, vault: Vault, kind: Kind, secret: Sealed[str], ticket: Sealed[str] | None = None
) -> Link | None:
    """The living link, unused after this; None when it is unknown, used or too old."""
    row = None
    for hashed in _hashes(vault, secret):
        row = row or await records.living_link(work, hashed, kind)
    return None if row is None else _link(vault, kind, row, ticket)


async def use(work: Work, vault: Vault, kind: Kind, secret: Sealed[str], ticket: Sealed[str] | None = None) -> Link:
    """Uses the link up. NotFound ``link_dead`` when it is unknown, used or too old; of two at once one wins."""
    row = None
    for hashed in _hashes(vault, secret):
        row = row or await records.use_link(work, hashed, kind)
    if row is None:
        raise dead()
    await records.end_links(work, row[0], kind)
    return _link(vault, kind, row, ticket)


async def end_all(work: Work, member_id: UUID) -> None:
    """Ends every unused link of the member (password changed, suspended)."""
    await records.end_links(work, member_id, None)


def dead() -> NotFound:
    """What an unknown, used or too old link is answered with."""
    return NotFound("This link was used already or is too old; ask for a new one.", code="link_dead")


def _link(vault: Vault, kind: Kind, row: tuple[UUID, UUID | None, bytes | None], ticket: Sealed[str] | None) -> Link:
    right = (
        ticket is not None
        and row[2] is not None
        # Each one, so that the time does not tell which fits.
        and any([secrets.compare_digest(row[2], hashed) for hashed in _hashes(vault, ticket)])  # noqa: C419
    )
    return Link(kind=kind, member_id=row[0], organisation_id=row[1], ticketed=right)


def _hash(vault: Vault, secret: Sealed[str]) -> bytes:
    return _hashes(vault, secret)[0]


def _hashes(vault: Vault, secret: Sealed[str]) -> list[bytes]:
    return vault.keyed_hashes(LABEL, secret.open(PURPOSE).encode("utf-8", "surrogatepass"))
