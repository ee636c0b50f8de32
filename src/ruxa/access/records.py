"""The SQL of the room: each statement beside the row it gives. Values are parameters; time is the store's.

Nothing here opens a seal: sealed columns come and go as bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from ruxa.store.work import Work

# Keys


class KeyRow(NamedTuple):
    """access.key with the prefixes of its live secrets."""

    id: UUID
    organisation_id: UUID
    name_sealed: bytes
    prefixes: list[str]
    livemode: bool
    scopes: list[str]
    models: list[str] | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrency: int | None
    store_days: int
    budget_micros: int | None
    budget_period: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_day: date | None
    created_at: datetime


async def grant_of(work: Work, key_hash: bytes) -> tuple[object, ...] | None:
    """The living grant behind a secret's hash."""
    return await work.row("SELECT * FROM access.grant_of(%s)", key_hash)


async def key_changes(work: Work, seq: int) -> tuple[int, list[UUID]]:
    """Keys changed since, and where to go on."""
    row = await work.row("SELECT next, key_ids FROM access.key_changes(%s)", seq)
    assert row is not None
    return row[0], list(row[1])


async def mark_keys_used(work: Work, keys: list[UUID]) -> None:
    """Sets last_used_day to today."""
    await work.run("SELECT access.mark_keys_used(%s)", keys)


async def key_budgets(work: Work) -> list[tuple[UUID, UUID, int, str]]:
    """Living keys with a budget."""
    return await work.rows(
        """
        SELECT k.id, o.organisation_ref, k.budget_micros, k.budget_period
        FROM access.key k JOIN access.organisation o ON o.id = k.organisation_id
        WHERE k.budget_micros IS NOT NULL AND k.revoked_at IS NULL
          AND (k.expires_at IS NULL OR k.expires_at > ruxa.now())
        ORDER BY k.id
        """
    )


async def insert_key(
    work: Work,
    key_id: UUID,
    organisation_id: UUID,
    name_sealed: bytes,
    values: Sequence[object],
    created_by: UUID | None,
) -> bool:
    """False when the expiry lies in the past."""
    return 1 == await work.run(
        """
        INSERT INTO access.key (id, organisation_id, name_sealed, created_by, livemode, scopes, models,
            requests_per_minute, tokens_per_minute, concurrency, store_days, budget_micros, budget_period, expires_at)
        SELECT v.* FROM (VALUES (%s::uuid, %s::uuid, %s::bytea, %s::uuid, %s::boolean, %s::text[], %s::text[],
            %s::bigint, %s::bigint, %s::bigint, %s::integer, %s::bigint, %s::text, %s::timestamptz)) AS v
        WHERE v.column14 IS NULL OR v.column14 > ruxa.now()
        """,
        key_id,
        organisation_id,
        name_sealed,
        created_by,
        *values,
    )


async def insert_playground_key(
    work: Work,
    key_id: UUID,
    organisation_id: UUID,
    name_sealed: bytes,
    values: Sequence[object],
    session_id: UUID,
    live_s: int,
) -> datetime | None:
    """When it ends; None when there is no such session."""
    return await work.value(
        """
        INSERT INTO access.key (id, organisation_id, name_sealed, livemode, scopes, models, requests_per_minute,
            tokens_per_minute, concurrency, store_days, budget_micros, budget_period, session_id, created_by, expires_at)
        SELECT %s::uuid, %s::uuid, %s::bytea, %s::boolean, %s::text[], %s::text[], %s::bigint, %s::bigint, %s::bigint,
            %s::integer, %s::bigint, %s::text, s.id, s.member_id, ruxa.now() + make_interval(secs => %s)
        FROM access.session s WHERE s.id = %s
        RETURNING expires_at
        """,
        key_id,
        organisation_id,
        name_sealed,
        *values[:-1],
        live_s,
        session_id,
    )


async def insert_secret(work: Work, key_hash: bytes, key_id: UUID, prefix: str) -> bool:
    """False when that hash is known already."""
    return 1 == await work.run(
        "INSERT INTO access.key_secret (hash, key_id, prefix) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        key_hash,
        key_id,
        prefix,
    )


async def lock_living_key(work: Work, organisation_id: UUID, key_id: UUID) -> tuple[bool, datetime | None] | None:
    """(livemode, expires_at) of a living key, locked until the end of the work."""
    return await work.row(
        """
        SELECT livemode, expires_at FROM access.key
        WHERE id = %s AND organisation_id = %s AND revoked_at IS NULL AND session_id IS NULL
          AND (expires_at IS NULL OR expires_at > ruxa.now())
        FOR NO KEY UPDATE
        """,
        key_id,
        organisation_id,
    )


async def end_secrets(work: Work, key_id: UUID, overlap: timedelta) -> None:
    """The secret without an end gets one; those that were ending already end now."""
    await work.run("DELETE FROM access.key_secret WHERE key_id = %s AND expires_at IS NOT NULL", key_id)
    if overlap:
        await work.run(
            "UPDATE access.key_secret SET expires_at = ruxa.now() + %s WHERE key_id = %s",
            overlap,
            key_id,
        )
    else:
        await work.run("DELETE FROM access.key_secret WHERE key_id = %s", key_id)


async def revoke_key(work: Work, organisation_id: UUID, key_id: UUID) -> bool:
    """False when the organisation has no such key."""
    return 1 == await work.run(
        "UPDATE access.key SET revoked_at = coalesce(revoked_at, ruxa.now()) WHERE id = %s AND organisation_id = %s",
        key_id,
        organisation_id,
    )


async def keys_of(work: Work, organisation_id: UUID, below: UUID | None, limit: int) -> list[KeyRow]:
    """Newest first, playground keys left out."""
    return [
        KeyRow(*row)
        for row in await work.rows(
            """
            SELECT k.id, k.organisation_id, k.name_sealed,
                ARRAY(SELECT s.prefix FROM access.key_secret s
                      WHERE s.key_id = k.id AND (s.expires_at IS NULL OR s.expires_at > ruxa.now())
                      ORDER BY s.expires_at DESC NULLS FIRST),
                k.livemode, k.scopes, k.models, k.requests_per_minute, k.tokens_per_minute, k.concurrency,
                k.store_days, k.budget_micros, k.budget_period, k.expires_at, k.revoked_at, k.last_used_day, k.created_at
            FROM access.key k
            WHERE k.organisation_id = %s AND k.session_id IS NULL AND (%s::uuid IS NULL OR k.id < %s::uuid)
            ORDER BY k.id DESC LIMIT %s
            """,
            organisation_id,
            below,
            below,
            limit,
        )
    ]


async def key_by_id(work: Work, organisation_id: UUID, key_id: UUID) -> KeyRow | None:
    """One key of the organisation, revoked or not."""
    row = await work.row(
        """
        SELECT k.id, k.organisation_id, k.name_sealed,
            ARRAY(SELECT s.prefix FROM access.key_secret s
                  WHERE s.key_id = k.id AND (s.expires_at IS NULL OR s.expires_at > ruxa.now())
                  ORDER BY s.expires_at DESC NULLS FIRST),
            k.livemode, k.scopes, k.models, k.requests_per_minute, k.tokens_per_minute, k.concurrency,
            k.store_days, k.budget_micros, k.budget_period, k.expires_at, k.revoked_at, k.last_used_day, k.created_at
        FROM access.key k WHERE k.id = %s AND k.organisation_id = %s
        """,
        key_id,
        organisation_id,
    )
    return None if row is None else KeyRow(*row)


async def organisation_of_key(work: Work, key_id: UUID) -> UUID | None:
    """Whose key it is."""
    return await work.value("SELECT organisation_id FROM access.key WHERE id = %s", key_id)
