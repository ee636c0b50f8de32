"""API keys: format, creation, rotation with overlap, revocation. A secret is shown once and kept only as keyed hash.

    rx_live_ + 33 base62 + 6 base62 of CRC32 over all before it     (47 characters; rx_test_ reaches sandbox/* only)

The checksum lets the gateway, and a secret scanner, drop what was never a key without asking the database. A key has
at most two live secrets: ``rotate`` makes the new one and lets the old one live on for the overlap.
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final, Literal, cast
from uuid import UUID

import msgspec

from ruxa.access import addresses, conditions, guards, habits, records
from ruxa.access.habits import NONE, Habits
from ruxa.access.roles import CALL_SCOPES, OF_ROLE, OF_SCOPE, SCOPES, Permission, Role, Scope
from ruxa.kernel import bounds, codec, ids
from ruxa.kernel.errors import Conflict, Forbidden, InvalidCall, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.store.vault import Vault
from ruxa.store.work import Work

LABEL: Final = "api-key"
BASE62: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUES: Final = bytes(max(BASE62.find(byte), 0) for byte in range(256))
BODY: Final = 33
SUM: Final = 6
LENGTH: Final = 8 + BODY + SUM
PREFIX_SHOWN: Final = 8 + 8
NAME_COLUMN: Final = "access.key.name_sealed"
PURPOSE: Final = "provide"
# Of the organisation's key that seals what its calls sent and got.
CONTENT_CLASS: Final = "content"

Period = Literal["day", "month", "total"]


class KeyWish(msgspec.Struct, frozen=True, kw_only=True):
    """What a new key shall be. ``models`` None: all; an entry is a public name or ``provider/*``. Limits None: none.

    conditions: what it demands of those who get its calls (``conditions``); guard: what it does not let through
    (``guards``); habits: what every call of it wants.
    """

    name: Sealed[str]
    livemode: bool = True
    scopes: tuple[Scope, ...] = CALL_SCOPES
    models: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    store_days: int = 0
    budget_micros: int | None = None
    budget_period: Period | None = None
    conditions: tuple[str, ...] = ()
    guard: tuple[str, ...] = ()
    habits: Habits = NONE
    expires_at: datetime | None = None


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """A new secret, the only time it exists outside its owner's hands; ``id`` is the key's."""

    id: UUID
    secret: Sealed[str]
    prefix: str
    expires_at: datetime | None


class KeyLine(msgspec.Struct, frozen=True, kw_only=True):
    """A key as its organisation sees it. ``prefixes`` has one entry per live secret, newest first."""

    id: UUID
    organisation_id: UUID
    name: Sealed[str]
    prefixes: tuple[str, ...]
    livemode: bool
    scopes: tuple[str, ...]
    models: tuple[str, ...] | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrency: int | None
    store_days: int
    budget_micros: int | None
    budget_period: Period | None
    conditions: tuple[str, ...]
    guard: tuple[str, ...]
    habits: Habits
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_day: date | None
    created_at: datetime


def checksum(head: bytes) -> bytes:
    """Six base62 digits, most significant first, of the CRC32 of ``head``."""
    rest = zlib.crc32(head)
    digits = bytearray(SUM)
    for place in range(SUM - 1, -1, -1):
        rest, digit = divmod(rest, 62)
        digits[place] = BASE62[digit]
    return bytes(digits)


def draw(livemode: bool) -> str:
    """A fresh secret: 33 base62 digits (196 bits) of the system's randomness and their checksum."""
    head = (b"rx_live_" if livemode else b"rx_test_") + bytes(secrets.choice(BASE62) for _ in range(BODY))
    return (head + checksum(head)).decode()


def well_formed(secret: bytes) -> bool:
    """Whether ``secret`` has our format and a true checksum. No secret is compared: nothing to time."""
    return (
        len(secret) == LENGTH
        and secret.startswith((b"rx_live_", b"rx_test_"))
        and secret[8:].isalnum()
        and _number(secret[-SUM:]) == zlib.crc32(secret[:-SUM])
    )


def _number(digits: bytes) -> int:
    value = 0
    for digit in digits:
        value = value * 62 + _VALUES[digit]
    return value


def hash_of(vault: Vault, secret: bytes) -> bytes:
    """The keyed hash under which a secret is stored and looked up."""
    return vault.keyed_hash(LABEL, secret)


def hashes_of(vault: Vault, secret: bytes) -> list[bytes]:
    """``hash_of`` under every living version of the pepper: what a lookup must try, in this order."""
    return vault.keyed_hashes(LABEL, secret)


def _check(wish: KeyWish) -> None:
    if not wish.scopes or not set(wish.scopes) <= set(SCOPES):
        raise InvalidCall("Scopes are: " + ", ".join(SCOPES) + ".", param="scopes")
    if wish.models is not None and not (
        1 <= len(wish.models) <= bounds.KEY_MODELS_MAX and all(1 <= len(name) <= 200 for name in wish.models)
    ):
        raise InvalidCall(f"Models: 1 to {bounds.KEY_MODELS_MAX} names, or leave it out for all.", param="models")
    for param in ("requests_per_minute", "tokens_per_minute", "concurrency", "budget_micros"):
        limit: int | None = getattr(wish, param)
        if limit is not None and not 1 <= limit <= bounds.LIMIT_MAX:
            raise InvalidCall("A limit is a whole number from 1 on.", param=param)
    _check_days(wish.store_days)
    habits.check(wish.habits)
    if (wish.budget_micros is None) != (wish.budget_period is None):
        raise InvalidCall("A budget has both an amount and a period.", param="budget_period")


def _check_days(store_days: int) -> None:
    if not 0 <= store_days <= bounds.CONTENT_DAYS:
        raise InvalidCall(f"Content is kept 0 to {bounds.CONTENT_DAYS} days.", param="store_days")


async def _prepare_content(vault: Vault, organisation_id: UUID, store_days: int) -> None:
    """The organisation gets the key that seals its content with the first key that stores any."""
    if store_days:
        await vault.create_subject(organisation_id, [CONTENT_CLASS])


def _values(wish: KeyWish) -> tuple[object, ...]:
    return (
        wish.livemode,
        list(wish.scopes),
        None if wish.models is None else list(wish.models),
        wish.requests_per_minute,
        wish.tokens_per_minute,
        wish.concurrency,
        wish.store_days,
        wish.budget_micros,
        wish.budget_period,
        list(conditions.read(wish.conditions)),
        list(guards.read(wish.guard)),
        codec.encode(wish.habits).decode(),
        wish.expires_at,
    )


async def create(
    work: Work, vault: Vault, organisation_id: UUID, wish: KeyWish, *, created_by: UUID | None = None
) -> Created:
    """Make a key of the organisation; ``created_by`` is a member's id. InvalidCall names the wrong field.

    Forbidden ``scope_beyond_role`` when a scope allows more than the member's own role: a key is no way up.
    """
    _check(wish)
    if created_by is not None:
        await _require_role(work, organisation_id, created_by, wish.scopes)
    await _prepare_content(vault, organisation_id, wish.store_days)
    key_id = ids.fresh()
    name = await vault.seal(NAME_COLUMN, organisation_id, key_id, addresses.name(wish.name).open(PURPOSE))
    if not await records.insert_key(work, key_id, organisation_id, name, _values(wish), created_by):
        raise InvalidCall("The expiry lies in the past.", param="expires_at")
    return await _add_secret(work, vault, key_id, wish.livemode, wish.expires_at)


async def _require_role(work: Work, organisation_id: UUID, member_id: UUID, scopes: Sequence[Scope]) -> None:
    """Whoever sees a secret may do what it allows: a key is no way up."""
    role = cast(Role | None, await records.membership_role(work, organisation_id, member_id))
    own = frozenset[Permission]() if role is None else OF_ROLE[role]
    if beyond := [scope for scope in scopes if not OF_SCOPE[scope] <= own]:
        public = "Your role does not allow to give these scopes: " + ", ".join(beyond) + "."
        raise Forbidden(public, code="scope_beyond_role", param="scopes")


async def create_for_playground(
    work: Work, vault: Vault, organisation_id: UUID, session_id: UUID, *, budget_micros: int
) -> Created:
    """A key for the playground of one session: 15 minutes, a total budget of its own, gone with the session."""
    wish = KeyWish(name=Sealed("playground"), budget_micros=budget_micros, budget_period="total")
    key_id = ids.fresh()
    name = await vault.seal(NAME_COLUMN, organisation_id, key_id, wish.name.open(PURPOSE))
    expires_at = await records.insert_playground_key(
        work, key_id, organisation_id, name, _values(wish), session_id, bounds.PLAYGROUND_KEY_S
    )
    if expires_at is None:
        raise NotFound("No such session.")
    return await _add_secret(work, vault, key_id, True, expires_at)


async def adopt(work: Work, vault: Vault, organisation_id: UUID, wish: KeyWish, secret: bytes) -> UUID:
    """Accept a key that another platform issued, in whatever format (imports); Conflict when it is known already."""
    _check(wish)
    if not bounds.SECRET_BYTES_MIN <= len(secret) <= bounds.SECRET_BYTES_MAX:
        raise InvalidCall("That secret is too short or too long to be adopted.", param="secret")
    await _prepare_content(vault, organisation_id, wish.store_days)
    key_id = ids.fresh()
    name = await vault.seal(NAME_COLUMN, organisation_id, key_id, addresses.name(wish.name).open(PURPOSE))
    if not await records.insert_key(work, key_id, organisation_id, name, _values(wish), None):
        raise InvalidCall("The expiry lies in the past.", param="expires_at")
    shown = secret[:4].decode("ascii", "replace")
    if not await records.insert_secret(work, hash_of(vault, secret), key_id, shown):
        raise Conflict("That key is known already.", code="key_known")
    return key_id


async def _add_secret(work: Work, vault: Vault, key_id: UUID, livemode: bool, expires_at: datetime | None) -> Created:
    secret = draw(livemode)
    added = await records.insert_secret(work, hash_of(vault, secret.encode()), key_id, secret[:PREFIX_SHOWN])
    assert added, "196 random bits were drawn twice"
    return Created(id=key_id, secret=Sealed(secret), prefix=secret[:PREFIX_SHOWN], expires_at=expires_at)


async def rotate(
    work: Work,
    vault: Vault,
    organisation_id: UUID,
    key_id: UUID,
    *,
    overlap: timedelta = timedelta(days=1),
    rotated_by: UUID | None = None,
) -> Created:
    """A new secret for the key; the old one lives on for ``overlap`` (0 to 30 days), older ones end now.

    rotated_by: the member who will see the secret. NotFound when the organisation has no such living key; Forbidden
    ``scope_beyond_role`` when the key may do more than that member.
    """
    if not timedelta(0) <= overlap <= timedelta(days=bounds.ROTATION_DAYS_MAX):
        raise InvalidCall(f"The overlap is 0 to {bounds.ROTATION_DAYS_MAX} days.", param="overlap")
    row = await records.lock_living_key(work, organisation_id, key_id)
    if row is None:
        raise NotFound("No such key.")
    livemode, expires_at, scopes = row
    if rotated_by is not None:
        await _require_role(work, organisation_id, rotated_by, cast(list[Scope], scopes))
    await records.end_secrets(work, key_id, overlap)
    return await _add_secret(work, vault, key_id, livemode, expires_at)


async def store(work: Work, vault: Vault, organisation_id: UUID, key_id: UUID, store_days: int) -> int:
    """From now on (2 s everywhere) keep the content of the key's calls so many days, 0 not at all; what it was before.

    What is stored already keeps its limit. NotFound when the organisation has no such living key.
    """
    _check_days(store_days)
    if await records.lock_living_key(work, organisation_id, key_id) is None:
        raise NotFound("No such key.")
    await _prepare_content(vault, organisation_id, store_days)
    return await records.change_store_days(work, key_id, store_days)


async def protect(work: Work, organisation_id: UUID, key_id: UUID, guard: Sequence[str]) -> tuple[str, ...]:
    """From now on (2 s everywhere) this guard for the key's calls, () for none; its words in their one spelling.

    InvalidCall ``bad_guard``; NotFound when the organisation has no such living key.
    """
    words = guards.read(guard)
    if await records.lock_living_key(work, organisation_id, key_id) is None:
        raise NotFound("No such key.")
    await records.change_guard(work, key_id, list(words))
    return words


async def accustom(work: Work, organisation_id: UUID, key_id: UUID, wanted: Habits) -> None:
    """From now on (2 s everywhere) these habits for the key's calls.

    InvalidCall names the wrong field; NotFound when the organisation has no such living key.
    """
    habits.check(wanted)
    if await records.lock_living_key(work, organisation_id, key_id) is None:
        raise NotFound("No such key.")
    await records.change_habits(work, key_id, codec.encode(wanted))


async def revoke(work: Work, organisation_id: UUID, key_id: UUID) -> None:
    """End the key now, everywhere within 2 s; a second time is no error. NotFound for another organisation's."""
    if not await records.revoke_key(work, organisation_id, key_id):
        raise NotFound("No such key.")


async def of_organisation(
    work: Work, vault: Vault, organisation_id: UUID, *, after: UUID | None = None, limit: int = 50
) -> list[KeyLine]:
    """The organisation's keys without playground ones, newest first, from below ``after`` (the last id seen)."""
    return [
        await _line(vault, row)
        for row in await records.keys_of(work, organisation_id, after, min(limit, bounds.PAGE_ROWS_MAX))
    ]


async def find(work: Work, vault: Vault, organisation_id: UUID, key_id: UUID) -> KeyLine:
    """One key of the organisation; NotFound otherwise."""
    row = await records.key_by_id(work, organisation_id, key_id)
    if row is None:
        raise NotFound("No such key.")
    return await _line(vault, row)


async def organisation_of(work: Work, key_id: UUID) -> UUID:
    """Whose key it is (command line, staff); NotFound when there is none."""
    found: UUID | None = await records.organisation_of_key(work, key_id)
    if found is None:
        raise NotFound("No such key.")
    return found


async def _line(vault: Vault, line: records.KeyRow) -> KeyLine:
    name = await vault.open(NAME_COLUMN, line.organisation_id, line.id, line.name_sealed, purpose=PURPOSE)
    return KeyLine(
        id=line.id,
        organisation_id=line.organisation_id,
        name=name,
        prefixes=tuple(line.prefixes),
        livemode=line.livemode,
        scopes=tuple(line.scopes),
        models=None if line.models is None else tuple(line.models),
        requests_per_minute=line.requests_per_minute,
        tokens_per_minute=line.tokens_per_minute,
        concurrency=line.concurrency,
        store_days=line.store_days,
        budget_micros=line.budget_micros,
        budget_period=cast(Period | None, line.budget_period),
        conditions=tuple(line.conditions),
        guard=tuple(line.guard),
        habits=msgspec.convert(line.habits, Habits),
        expires_at=line.expires_at,
        revoked_at=line.revoked_at,
        last_used_day=line.last_used_day,
        created_at=line.created_at,
    )


async def made_before(work: Work, moment: datetime) -> int:
    """How many keys that still work have no secret made since that moment: they end with the pepper of then."""
    return await records.keys_made_before(work, moment)


async def end_made_before(work: Work, moment: datetime) -> int:
    """Takes away every secret made before that moment, also where a gateway remembers it; how many."""
    return await records.end_secrets_made_before(work, moment)
