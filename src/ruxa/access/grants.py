"""Grant: a key flattened for the gateway - what it may do and within which limits, and nothing about a person.

The gateway's login reads no table of this room: it calls the functions behind ``find``, ``revoked_since`` and
``mark_used``. A grant may be kept in memory until its key is named on the channel ``key_revoked`` (32 hex digits of
the key's id) or by ``revoked_since``; both mean "forget what you hold of that key", whatever changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from ruxa.access import records
from ruxa.access.habits import NONE, Habits
from ruxa.store.work import Work

CHANNEL = "key_revoked"


class Limits(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Of calls: how many a minute, how many tokens a minute, how many at a time; None: no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


class OrganisationLimits(Limits, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Of all keys of an organisation together; models: of their calls of one model, by its public name."""

    models: dict[str, Limits] = {}


UNLIMITED = OrganisationLimits()


class OwnKey(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation's own key for a provider, sealed as it is kept. ending: its last characters; aside: the house's
    key may stand in where the provider refuses this one."""

    id: UUID
    provider: str
    sealed: bytes
    ending: str
    aside: bool


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What one live secret stands for. Limits are per minute; None means no limit; ``expires_at_ms`` is wall time.

    conditions: what it demands of those who get its calls (``conditions``); guard: what it does not let through, read
    by ``guards.of``. member: what stands for the keys that one member made, and their limits together, where there are
    any; organisation: the limits of all its keys together. book: the organisation's plan, until ``book_until_ms`` where
    another one follows; own_keys: its own keys for providers; habits: what every call of the key wants.
    """

    key_id: UUID
    organisation_id: UUID
    organisation_ref: UUID
    livemode: bool
    scopes: frozenset[str]
    models: tuple[str, ...] | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrency: int | None
    store_days: int
    budget_scope: str | None
    expires_at_ms: int | None
    output_tokens_default: int
    conditions: tuple[str, ...] = ()
    guard: tuple[str, ...] = ()
    member: tuple[UUID, Limits] | None = None
    organisation: OrganisationLimits = UNLIMITED
    book: str = "list"
    book_until_ms: int | None = None
    own_keys: tuple[OwnKey, ...] = ()
    habits: Habits = NONE


async def find(work: Work, *key_hashes: bytes) -> Grant | None:
    """The grant of a secret's keyed hash (label ``api-key``), the first of these that is known.

    None when it is unknown, revoked or expired, or when its organisation is suspended or closed.
    """
    row = None
    for key_hash in key_hashes:
        row = row or await records.grant_of(work, key_hash)
    return None if row is None else _grant(row)


async def of_key(work: Work, key_id: UUID) -> Grant | None:
    """The grant of a key by its id, for calls that are made later in its name. None as for ``find``."""
    row = await records.grant_of_key(work, key_id)
    return None if row is None else _grant(row)


def _grant(row: Sequence[Any]) -> Grant:
    return Grant(
        key_id=row[0],
        organisation_id=row[1],
        organisation_ref=row[2],
        livemode=row[3],
        scopes=frozenset(row[4]),
        models=None if row[5] is None else tuple(row[5]),
        requests_per_minute=row[6],
        tokens_per_minute=row[7],
        concurrency=row[8],
        store_days=row[9],
        budget_scope=row[0].hex if row[10] else None,
        expires_at_ms=row[11],
        output_tokens_default=row[12],
        conditions=tuple(row[13]),
        guard=tuple(row[14]),
        member=None if row[15] is None else (row[15], msgspec.convert(row[16], Limits)),
        organisation=msgspec.convert(row[17], OrganisationLimits) if row[17] else UNLIMITED,
        habits=msgspec.convert(row[18], Habits) if row[18] else NONE,
        book=row[19],
        book_until_ms=row[20],
        own_keys=tuple(
            OwnKey(
                id=UUID(own["id"]),
                provider=own["provider"],
                sealed=bytes.fromhex(own["secret_sealed"][2:]),
                ending=own["ending"],
                aside=own["house_stands_in"],
            )
            for own in row[21]
        ),
    )


async def revoked_since(work: Work, seq: int) -> tuple[int, list[UUID]]:
    """The keys to forget since ``seq``, and the ``seq`` for the next time; start with 0.

    A key may be named twice, none is left out, in whatever order its transactions commit: ``seq`` is the oldest
    transaction that was still running, not the newest that was seen.
    """
    return await records.key_changes(work, seq)


async def mark_used(work: Work, keys: Sequence[UUID]) -> None:
    """Note today (UTC, a day and never a time) as the last day on which these keys were used."""
    if keys:
        await records.mark_keys_used(work, list(dict.fromkeys(keys)))
