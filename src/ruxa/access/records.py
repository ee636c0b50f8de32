"""The SQL of the room: each statement beside the row it gives. Values are parameters; time is the store's.

Nothing here opens a seal: sealed columns come and go as bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from ruxa.store.work import Work


async def _one(work: Work, sql: LiteralString, *args: object) -> bool:
    return await work.run(sql, *args) == 1


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
    conditions: list[str]
    guard: list[str]
    habits: dict[str, Any]
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_day: date | None
    created_at: datetime


async def grant_of(work: Work, key_hash: bytes) -> tuple[Any, ...] | None:
    """The living grant behind a secret's hash, with the organisation's plan, its end and its own provider keys."""
    return await work.row(
        """
        SELECT g.*, p.book, p.until_ms, ARRAY(SELECT to_jsonb(k) FROM access.provider_keys_of(g.organisation_id) k)
        FROM access.grant_of(%s) g CROSS JOIN LATERAL ledger.plan_of(g.organisation_ref) p
        """,
        key_hash,
    )


async def grant_of_key(work: Work, key_id: UUID) -> tuple[Any, ...] | None:
    """The same of a living key by its id."""
    return await work.row(
        """
        SELECT g.*, p.book, p.until_ms, ARRAY(SELECT to_jsonb(k) FROM access.provider_keys_of(g.organisation_id) k)
        FROM access.grant_of_key(%s) g CROSS JOIN LATERAL ledger.plan_of(g.organisation_ref) p
        """,
        key_id,
    )


async def key_changes(work: Work, seq: int) -> tuple[int, list[UUID]]:
    """Keys changed since, and where to go on."""
    row = await work.row("SELECT next, key_ids FROM access.key_changes(%s)", seq)
    assert row is not None
    return row[0], list(row[1])


class ProviderKeyRow(NamedTuple):
    """access.provider_key without its secret."""

    id: UUID
    provider: str
    ending: str
    house_stands_in: bool
    created_at: datetime


async def insert_provider_key(
    work: Work,
    row_id: UUID,
    organisation_id: UUID,
    provider: str,
    secret_sealed: bytes,
    ending: str,
    house_stands_in: bool,
    created_by: UUID | None,
) -> None:
    """In the place of the one there was."""
    await delete_provider_key(work, organisation_id, provider)
    await work.run(
        """
        INSERT INTO access.provider_key (id, organisation_id, provider, secret_sealed, ending, house_stands_in,
            created_by) VALUES (%s, %s, %s, %s, %s, %s, %s)
        """,
        row_id,
        organisation_id,
        provider,
        secret_sealed,
        ending,
        house_stands_in,
        created_by,
    )


async def delete_provider_key(work: Work, organisation_id: UUID, provider: str) -> UUID | None:
    """The row that went; None when there was none."""
    return await work.value(
        "DELETE FROM access.provider_key WHERE organisation_id = %s AND provider = %s RETURNING id",
        organisation_id,
        provider,
    )


async def provider_keys(work: Work, organisation_id: UUID) -> list[ProviderKeyRow]:
    """By provider."""
    return [
        ProviderKeyRow(*row)
        for row in await work.rows(
            """
            SELECT id, provider, ending, house_stands_in, created_at FROM access.provider_key
            WHERE organisation_id = %s ORDER BY provider
            """,
            organisation_id,
        )
    ]


async def mark_keys_used(work: Work, keys: list[UUID]) -> None:
    """Sets last_used_day to today."""
    await work.run("SELECT access.mark_keys_used(%s)", keys)


async def insert_key(
    work: Work,
    key_id: UUID,
    organisation_id: UUID,
    name_sealed: bytes,
    values: Sequence[object],
    created_by: UUID | None,
) -> bool:
    """False when the expiry lies in the past."""
    return await _one(
        work,
        """
        INSERT INTO access.key (id, organisation_id, name_sealed, created_by, livemode, scopes, models,
            requests_per_minute, tokens_per_minute, concurrency, store_days, budget_micros, budget_period, conditions,
            guard, habits, expires_at)
        SELECT v.* FROM (VALUES (%s::uuid, %s::uuid, %s::bytea, %s::uuid, %s::boolean, %s::text[], %s::text[],
            %s::bigint, %s::bigint, %s::bigint, %s::integer, %s::bigint, %s::text, %s::text[], %s::text[],
            %s::jsonb, %s::timestamptz)) AS v
        WHERE v.column17 IS NULL OR v.column17 > ruxa.now()
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
            tokens_per_minute, concurrency, store_days, budget_micros, budget_period, conditions, guard, habits, kind,
            session_id, created_by, expires_at)
        SELECT %s::uuid, %s::uuid, %s::bytea, %s::boolean, %s::text[], %s::text[], %s::bigint, %s::bigint, %s::bigint,
            %s::integer, %s::bigint, %s::text, %s::text[], %s::text[], %s::jsonb, 'playground', s.id, s.member_id,
            ruxa.now() + make_interval(secs => %s)
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
    return await _one(
        work,
        "INSERT INTO access.key_secret (hash, key_id, prefix) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        key_hash,
        key_id,
        prefix,
    )


async def lock_living_key(
    work: Work, organisation_id: UUID, key_id: UUID
) -> tuple[bool, datetime | None, list[str]] | None:
    """(livemode, expires_at, scopes) of a living key, locked until the end of the work."""
    return await work.row(
        """
        SELECT livemode, expires_at, scopes FROM access.key
        WHERE id = %s AND organisation_id = %s AND revoked_at IS NULL AND kind = 'api'
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
    return await _one(
        work,
        "UPDATE access.key SET revoked_at = coalesce(revoked_at, ruxa.now()) WHERE id = %s AND organisation_id = %s",
        key_id,
        organisation_id,
    )


async def change_store_days(work: Work, key_id: UUID, store_days: int) -> int:
    """What it was before."""
    return await work.value(
        "UPDATE access.key k SET store_days = %s FROM access.key old WHERE k.id = %s AND old.id = k.id"
        " RETURNING old.store_days",
        store_days,
        key_id,
    )


async def change_guard(work: Work, key_id: UUID, guard: list[str]) -> None:
    """Another guard for the key."""
    await work.run("UPDATE access.key SET guard = %s WHERE id = %s", guard, key_id)


async def change_habits(work: Work, key_id: UUID, habits: bytes) -> None:
    """Other habits for the key, as JSON."""
    await work.run("UPDATE access.key SET habits = %s::jsonb WHERE id = %s", habits.decode(), key_id)


# The columns of a KeyRow, in its order.
_KEY: Final[LiteralString] = """
    SELECT k.id, k.organisation_id, k.name_sealed,
        ARRAY(SELECT s.prefix FROM access.key_secret s
              WHERE s.key_id = k.id AND (s.expires_at IS NULL OR s.expires_at > ruxa.now())
              ORDER BY s.expires_at DESC NULLS FIRST),
        k.livemode, k.scopes, k.models, k.requests_per_minute, k.tokens_per_minute, k.concurrency, k.store_days,
        k.budget_micros, k.budget_period, k.conditions, k.guard, k.habits, k.expires_at, k.revoked_at, k.last_used_day,
        k.created_at
    FROM access.key k
"""


async def keys_of(work: Work, organisation_id: UUID, below: UUID | None, limit: int) -> list[KeyRow]:
    """Newest first, playground keys left out."""
    return [
        KeyRow(*row)
        for row in await work.rows(
            _KEY
            + """
            WHERE k.organisation_id = %s AND k.kind = 'api' AND (%s::uuid IS NULL OR k.id < %s::uuid)
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
        _KEY + "WHERE k.id = %s AND k.organisation_id = %s",
        key_id,
        organisation_id,
    )
    return None if row is None else KeyRow(*row)


async def organisation_of_key(work: Work, key_id: UUID) -> UUID | None:
    """Whose key it is."""
    return await work.value("SELECT organisation_id FROM access.key WHERE id = %s", key_id)


# Organisations and members


async def insert_organisation(
    work: Work, organisation_id: UUID, organisation_ref: UUID, name_sealed: bytes, synthetic: bool
) -> None:
    """One organisation."""
    await work.run(
        "INSERT INTO access.organisation (id, organisation_ref, name_sealed, synthetic) VALUES (%s, %s, %s, %s)",
        organisation_id,
        organisation_ref,
        name_sealed,
        synthetic,
    )


class OrganisationRow(NamedTuple):
    """access.organisation with the number of its members."""

    id: UUID
    organisation_ref: UUID
    name_sealed: bytes
    synthetic: bool
    output_tokens_default: int
    suspended_at: datetime | None
    suspended_why: str | None
    created_at: datetime
    members: int


async def organisation(work: Work, organisation_id: UUID) -> OrganisationRow | None:
    """One organisation."""
    row = await work.row(
        """
        SELECT o.id, o.organisation_ref, o.name_sealed, o.synthetic, o.output_tokens_default, o.suspended_at,
            o.suspended_why, o.created_at,
            (SELECT count(*) FROM access.membership m WHERE m.organisation_id = o.id AND m.accepted_at IS NOT NULL)
        FROM access.organisation o WHERE o.id = %s AND o.erased_at IS NULL
        """,
        organisation_id,
    )
    return None if row is None else OrganisationRow(*row)


async def organisation_of_ref(work: Work, organisation_ref: UUID) -> UUID | None:
    """The organisation that money knows by this reference; None when it was erased."""
    found: UUID | None = await work.value(
        "SELECT id FROM access.organisation WHERE organisation_ref = %s AND erased_at IS NULL", organisation_ref
    )
    return found


async def organisations(work: Work, below: UUID | None, limit: int) -> list[OrganisationRow]:
    """Newest first."""
    return [
        OrganisationRow(*row)
        for row in await work.rows(
            """
            SELECT o.id, o.organisation_ref, o.name_sealed, o.synthetic, o.output_tokens_default, o.suspended_at,
                o.suspended_why, o.created_at,
                (SELECT count(*) FROM access.membership m WHERE m.organisation_id = o.id AND m.accepted_at IS NOT NULL)
            FROM access.organisation o WHERE o.erased_at IS NULL AND (%s::uuid IS NULL OR o.id < %s::uuid)
            ORDER BY o.id DESC LIMIT %s
            """,
            below,
            below,
            limit,
        )
    ]


async def rename_organisation(work: Work, organisation_id: UUID, name_sealed: bytes) -> bool:
    """False when there is none."""
    return await _one(
        work, "UPDATE access.organisation SET name_sealed = %s WHERE id = %s", name_sealed, organisation_id
    )


async def set_output_default(work: Work, organisation_id: UUID, tokens: int) -> bool:
    """False when there is none."""
    return await _one(
        work, "UPDATE access.organisation SET output_tokens_default = %s WHERE id = %s", tokens, organisation_id
    )


async def organisation_limits(work: Work, organisation_id: UUID) -> Any:
    """The limits of all keys together, as they are kept; locks the organisation. None when there is none."""
    return await work.value(
        "SELECT limits FROM access.organisation WHERE id = %s AND erased_at IS NULL FOR NO KEY UPDATE", organisation_id
    )


async def set_organisation_limits(work: Work, organisation_id: UUID, limits: str) -> None:
    """limits: JSON."""
    await work.run("UPDATE access.organisation SET limits = %s::jsonb WHERE id = %s", limits, organisation_id)


async def set_member_limits(work: Work, organisation_id: UUID, member_id: UUID, limits: str) -> bool:
    """limits: JSON. False when the member is not of the organisation."""
    return bool(
        await work.run(
            "UPDATE access.membership SET limits = %s::jsonb WHERE organisation_id = %s AND member_id = %s",
            limits,
            organisation_id,
            member_id,
        )
    )


async def close_organisation(work: Work, organisation_id: UUID, close: bool) -> bool:
    """Closed: stopped too. Open again: as before, unless it was stopped for another reason. False: there is none."""
    return await _one(
        work,
        """
        UPDATE access.organisation SET
            closed_at = CASE WHEN %s THEN coalesce(closed_at, ruxa.now()) END,
            suspended_at = CASE WHEN %s THEN coalesce(suspended_at, ruxa.now())
                WHEN suspended_why <> 'request' THEN suspended_at END,
            suspended_why = CASE WHEN %s THEN coalesce(suspended_why, 'request')
                WHEN suspended_why <> 'request' THEN suspended_why END
        WHERE id = %s AND erased_at IS NULL
        """,
        close,
        close,
        close,
        organisation_id,
    )


async def suspend_organisation(work: Work, organisation_id: UUID, why: str | None) -> bool:
    """With None: lifts the suspension. False when there is none."""
    return await _one(
        work,
        """
        UPDATE access.organisation SET suspended_why = %s::text,
            suspended_at = CASE WHEN %s::text IS NULL THEN NULL ELSE coalesce(suspended_at, ruxa.now()) END
        WHERE id = %s
        """,
        why,
        why,
        organisation_id,
    )


async def lock_organisation(work: Work, organisation_id: UUID) -> bool:
    """Locks it until the end of the work, so that its members change one at a time."""
    return (
        await work.row("SELECT id FROM access.organisation WHERE id = %s FOR NO KEY UPDATE", organisation_id)
    ) is not None


class MemberRow(NamedTuple):
    """access.member without its password."""

    id: UUID
    email_sealed: bytes
    name_sealed: bytes | None
    locale: str
    staff_role: str | None
    adult: bool
    verified: bool
    suspended: bool
    created_at: datetime


async def member(work: Work, member_id: UUID) -> MemberRow | None:
    """One member."""
    row = await work.row(
        """
        SELECT id, email_sealed, name_sealed, locale, staff_role, adult_at IS NOT NULL, verified_at IS NOT NULL,
            suspended_at IS NOT NULL, created_at
        FROM access.member WHERE id = %s
        """,
        member_id,
    )
    return None if row is None else MemberRow(*row)


async def lift_email(work: Work, email_index: bytes, others: Sequence[bytes]) -> None:
    """Moves whoever has the address to the index that writes now, from those of the key's other versions.

    Whoever does so for an address takes turns by the oldest of them, which every process knows.
    """
    lock = int.from_bytes(min(email_index, *others)[:8], "big", signed=True)
    await work.run("SELECT pg_advisory_xact_lock(%s)", lock)
    await work.run("UPDATE access.member SET email_index = %s WHERE email_index = ANY (%s)", email_index, list(others))


async def member_by_email(work: Work, email_index: bytes) -> UUID | None:
    """Who has that address."""
    return await work.value("SELECT id FROM access.member WHERE email_index = %s", email_index)


class Credentials(NamedTuple):
    """What signing in asks of a member."""

    id: UUID
    password_hash: str | None
    verified: bool
    suspended: bool
    adult: bool


async def credentials_by_email(work: Work, email_index: bytes) -> Credentials | None:
    """For signing in."""
    row = await work.row(
        """
        SELECT id, password_hash, verified_at IS NOT NULL, suspended_at IS NOT NULL, adult_at IS NOT NULL
        FROM access.member WHERE email_index = %s
        """,
        email_index,
    )
    return None if row is None else Credentials(*row)


async def credentials(work: Work, member_id: UUID, *, lock: bool = False) -> Credentials | None:
    """The same by id; with ``lock`` nobody else changes the member until the end of the work."""
    if lock:
        await work.row("SELECT id FROM access.member WHERE id = %s FOR NO KEY UPDATE", member_id)
    row = await work.row(
        """
        SELECT id, password_hash, verified_at IS NOT NULL, suspended_at IS NOT NULL, adult_at IS NOT NULL
        FROM access.member WHERE id = %s
        """,
        member_id,
    )
    return None if row is None else Credentials(*row)


async def insert_sign_up(
    work: Work,
    member_id: UUID,
    email_index: bytes,
    email_sealed: bytes,
    name_sealed: bytes,
    password_hash: str,
    locale: str,
) -> bool:
    """An adult with a password and an unproved address; False when the address is taken."""
    return await _one(
        work,
        """
        INSERT INTO access.member (id, email_index, email_sealed, name_sealed, password_hash, password_set_at, locale,
            adult_at)
        VALUES (%s, %s, %s, %s, %s, ruxa.now(), %s, ruxa.now()) ON CONFLICT (email_index) DO NOTHING
        """,
        member_id,
        email_index,
        email_sealed,
        name_sealed,
        password_hash,
        locale,
    )


async def sign_up_again(work: Work, email_index: bytes) -> tuple[UUID, bool, bool] | None:
    """(member, verified, whether a password was ever set), locked until the end of the work."""
    return await work.row(
        """
        SELECT id, verified_at IS NOT NULL, password_set_at IS NOT NULL FROM access.member WHERE email_index = %s
        FOR NO KEY UPDATE
        """,
        email_index,
    )


async def insert_invited(work: Work, member_id: UUID, email_index: bytes, email_sealed: bytes, locale: str) -> bool:
    """Somebody who has not said anything yet; False when the address is known."""
    return await _one(
        work,
        """
        INSERT INTO access.member (id, email_index, email_sealed, locale) VALUES (%s, %s, %s, %s)
        ON CONFLICT (email_index) DO NOTHING
        """,
        member_id,
        email_index,
        email_sealed,
        locale,
    )


async def insert_synthetic(
    work: Work,
    member_id: UUID,
    email_index: bytes,
    email_sealed: bytes,
    name_sealed: bytes,
    password_hash: str,
    locale: str,
) -> None:
    """The demo's owner: verified, an operator, declared synthetic."""
    await work.run(
        """
        INSERT INTO access.member (id, email_index, email_sealed, name_sealed, password_hash, password_set_at, locale,
            adult_at, verified_at, staff_role, synthetic)
        VALUES (%s, %s, %s, %s, %s, ruxa.now(), %s, ruxa.now(), ruxa.now(), 'operator', true)
        """,
        member_id,
        email_index,
        email_sealed,
        name_sealed,
        password_hash,
        locale,
    )


async def set_password(work: Work, member_id: UUID, password_hash: str) -> None:
    """A new hash."""
    await work.run(
        "UPDATE access.member SET password_hash = %s, password_set_at = ruxa.now() WHERE id = %s",
        password_hash,
        member_id,
    )


async def rehash_password(work: Work, member_id: UUID, old: str, new: str) -> None:
    """The same password under today's costs, unless it was changed meanwhile."""
    await work.run(
        "UPDATE access.member SET password_hash = %s WHERE id = %s AND password_hash = %s", new, member_id, old
    )


async def set_adult(work: Work, member_id: UUID) -> None:
    """The member said to be 18 or over."""
    await work.run("UPDATE access.member SET adult_at = coalesce(adult_at, ruxa.now()) WHERE id = %s", member_id)


async def set_verified(work: Work, member_id: UUID) -> None:
    """The address is proved."""
    await work.run("UPDATE access.member SET verified_at = coalesce(verified_at, ruxa.now()) WHERE id = %s", member_id)


async def set_name(work: Work, member_id: UUID, name_sealed: bytes) -> None:
    """The member's name."""
    await work.run("UPDATE access.member SET name_sealed = %s WHERE id = %s", name_sealed, member_id)


async def set_locale(work: Work, member_id: UUID, locale: str) -> None:
    """The member's language."""
    await work.run("UPDATE access.member SET locale = %s WHERE id = %s", locale, member_id)


async def set_staff_role(work: Work, member_id: UUID, staff_role: str | None) -> None:
    """The member's part in running the installation."""
    await work.run("UPDATE access.member SET staff_role = %s WHERE id = %s", staff_role, member_id)


async def suspend_member(work: Work, member_id: UUID, suspend: bool) -> bool:
    """False when there is none."""
    return await _one(
        work,
        """
        UPDATE access.member
        SET suspended_at = CASE WHEN %s THEN coalesce(suspended_at, ruxa.now()) END WHERE id = %s
        """,
        suspend,
        member_id,
    )


async def staff(work: Work) -> list[MemberRow]:
    """Everybody with a staff role."""
    return [
        MemberRow(*row)
        for row in await work.rows(
            """
            SELECT id, email_sealed, name_sealed, locale, staff_role, adult_at IS NOT NULL, verified_at IS NOT NULL,
                suspended_at IS NOT NULL, created_at
            FROM access.member WHERE staff_role IS NOT NULL ORDER BY id
            """
        )
    ]


# Memberships


async def insert_membership(work: Work, organisation_id: UUID, member_id: UUID, role: str, accepted: bool) -> bool:
    """False when the member is in it already."""
    return await _one(
        work,
        """
        INSERT INTO access.membership (organisation_id, member_id, role, accepted_at)
        VALUES (%s, %s, %s, CASE WHEN %s THEN ruxa.now() END) ON CONFLICT DO NOTHING
        """,
        organisation_id,
        member_id,
        role,
        accepted,
    )


async def change_open_invitation(work: Work, organisation_id: UUID, member_id: UUID, role: str) -> bool:
    """False when the membership is accepted already."""
    return await _one(
        work,
        """
        UPDATE access.membership SET role = %s
        WHERE organisation_id = %s AND member_id = %s AND accepted_at IS NULL
        """,
        role,
        organisation_id,
        member_id,
    )


async def accept_membership(work: Work, organisation_id: UUID, member_id: UUID) -> bool:
    """False when the invitation was withdrawn."""
    return await _one(
        work,
        """
        UPDATE access.membership SET accepted_at = coalesce(accepted_at, ruxa.now())
        WHERE organisation_id = %s AND member_id = %s
        """,
        organisation_id,
        member_id,
    )


async def memberships(work: Work, member_id: UUID) -> list[tuple[UUID, str, bool]]:
    """(organisation, role, accepted), oldest first."""
    return await work.rows(
        """
        SELECT organisation_id, role, accepted_at IS NOT NULL FROM access.membership
        WHERE member_id = %s ORDER BY created_at, organisation_id
        """,
        member_id,
    )


async def membership_role(work: Work, organisation_id: UUID, member_id: UUID) -> str | None:
    """The role, accepted or not."""
    return await work.value(
        "SELECT role FROM access.membership WHERE organisation_id = %s AND member_id = %s", organisation_id, member_id
    )


async def other_owners(work: Work, organisation_id: UUID, member_id: UUID) -> int:
    """How many owners there are beside this member; who is only invited counts beside one who is only invited."""
    return await work.value(
        """
        SELECT count(*) FROM access.membership mine
        JOIN access.membership ms ON ms.organisation_id = mine.organisation_id AND ms.member_id <> mine.member_id
        JOIN access.member m ON m.id = ms.member_id
        WHERE mine.organisation_id = %s AND mine.member_id = %s AND ms.role = 'owner' AND m.suspended_at IS NULL
          AND (ms.accepted_at IS NOT NULL OR mine.accepted_at IS NULL)
        """,
        organisation_id,
        member_id,
    )


async def ownerless(work: Work) -> list[UUID]:
    """Organisations that are open and have neither an owner nor an invitation for one, oldest first."""
    rows = await work.rows(
        """
        SELECT o.id FROM access.organisation o WHERE o.closed_at IS NULL AND o.erased_at IS NULL
          AND NOT EXISTS (SELECT FROM access.membership m WHERE m.organisation_id = o.id AND m.role = 'owner')
        ORDER BY o.id
        """
    )
    return [row[0] for row in rows]


async def set_role(work: Work, organisation_id: UUID, member_id: UUID, role: str) -> None:
    """The member's role here; playground keys, made under the old role, end."""
    await _end_playground(work, organisation_id, member_id)
    await work.run(
        "UPDATE access.membership SET role = %s WHERE organisation_id = %s AND member_id = %s",
        role,
        organisation_id,
        member_id,
    )


async def delete_membership(work: Work, organisation_id: UUID, member_id: UUID) -> None:
    """The member leaves; the keys they made stay the organisation's, their playground keys there end."""
    await work.run(
        "DELETE FROM access.membership WHERE organisation_id = %s AND member_id = %s", organisation_id, member_id
    )
    await _end_playground(work, organisation_id, member_id)


async def _end_playground(work: Work, organisation_id: UUID, member_id: UUID) -> None:
    await work.run(
        """
        UPDATE access.key SET revoked_at = ruxa.now()
        WHERE organisation_id = %s AND created_by = %s AND kind = 'playground' AND revoked_at IS NULL
        """,
        organisation_id,
        member_id,
    )


class TeamRow(NamedTuple):
    """A member of one organisation."""

    member_id: UUID
    email_sealed: bytes
    name_sealed: bytes | None
    role: str
    accepted_at: datetime | None
    suspended: bool


async def team(work: Work, organisation_id: UUID) -> list[TeamRow]:
    """The organisation's members, oldest first."""
    return [
        TeamRow(*row)
        for row in await work.rows(
            """
            SELECT m.id, m.email_sealed, m.name_sealed, ms.role, ms.accepted_at, m.suspended_at IS NOT NULL
            FROM access.membership ms JOIN access.member m ON m.id = ms.member_id
            WHERE ms.organisation_id = %s ORDER BY ms.created_at, m.id
            """,
            organisation_id,
        )
    ]


# Sessions


async def insert_session(
    work: Work,
    session_id: UUID,
    token_hash: bytes,
    member_id: UUID,
    agent_sealed: bytes,
    lives_s: tuple[int, int, int],
) -> int | None:
    """Seconds it lives at most (``lives_s``: idle, absolute, staff); None for an unknown or suspended member."""
    idle, absolute, staff_life = lives_s
    return await work.value(
        """
        INSERT INTO access.session (id, token_hash, member_id, agent_sealed, idle_s, ends_at)
        SELECT %s, %s, m.id, %s, life.idle_s, ruxa.now() + make_interval(secs => life.most_s)
        FROM access.member m, LATERAL (SELECT
            CASE WHEN m.staff_role IS NULL THEN %s ELSE %s END AS idle_s,
            CASE WHEN m.staff_role IS NULL THEN %s ELSE %s END AS most_s) life
        WHERE m.id = %s AND m.suspended_at IS NULL
        RETURNING extract(epoch FROM ends_at - created_at)::integer
        """,
        session_id,
        token_hash,
        agent_sealed,
        idle,
        staff_life,
        absolute,
        staff_life,
        member_id,
    )


class SessionRow(NamedTuple):
    """A living session with its member's present roles."""

    id: UUID
    member_id: UUID
    organisation_id: UUID | None
    locale: str
    staff_role: str | None
    organisations: list[UUID]
    roles: list[str]
    proved_recently: bool
    ends_at: datetime
    stale: bool


async def session_of(work: Work, token_hash: bytes, proved_within_s: int) -> SessionRow | None:
    """The living session of a token."""
    row = await work.row(
        """
        SELECT s.id, s.member_id, s.organisation_id, m.locale, m.staff_role,
            coalesce(r.organisations, '{}'), coalesce(r.roles, '{}'),
            s.proved_at > ruxa.now() - make_interval(secs => %s), s.ends_at,
            s.seen_at < ruxa.now() - interval '5 minutes'
        FROM access.session s
        JOIN access.member m ON m.id = s.member_id
        CROSS JOIN LATERAL (
            SELECT array_agg(ms.organisation_id ORDER BY ms.created_at, ms.organisation_id) AS organisations,
                array_agg(ms.role ORDER BY ms.created_at, ms.organisation_id) AS roles
            FROM access.membership ms WHERE ms.member_id = m.id AND ms.accepted_at IS NOT NULL) r
        WHERE s.token_hash = %s AND m.suspended_at IS NULL AND s.ends_at > ruxa.now()
          AND s.seen_at + make_interval(secs => s.idle_s) > ruxa.now()
        """,
        proved_within_s,
        token_hash,
    )
    return None if row is None else SessionRow(*row)


async def touch_session(work: Work, session_id: UUID) -> None:
    """The session was used."""
    await work.run("UPDATE access.session SET seen_at = ruxa.now() WHERE id = %s", session_id)


async def replace_token(work: Work, session_id: UUID, token_hash: bytes, proved: bool) -> bool:
    """False when there is no such session."""
    return await _one(
        work,
        """
        UPDATE access.session SET token_hash = %s, proved_at = CASE WHEN %s THEN ruxa.now() ELSE proved_at END
        WHERE id = %s
        """,
        token_hash,
        proved,
        session_id,
    )


async def choose_organisation(work: Work, session_id: UUID, organisation_id: UUID) -> None:
    """The browser's organisation."""
    await work.run("UPDATE access.session SET organisation_id = %s WHERE id = %s", organisation_id, session_id)


async def sessions_of(work: Work, member_id: UUID) -> list[tuple[UUID, bytes | None, datetime, datetime]]:
    """Living sessions, last seen first."""
    return await work.rows(
        """
        SELECT id, agent_sealed, created_at, seen_at FROM access.session
        WHERE member_id = %s AND ends_at > ruxa.now() AND seen_at + make_interval(secs => idle_s) > ruxa.now()
        ORDER BY seen_at DESC, id
        """,
        member_id,
    )


async def delete_session(work: Work, member_id: UUID, session_id: UUID) -> bool:
    """False when it is not theirs."""
    return await _one(work, "DELETE FROM access.session WHERE id = %s AND member_id = %s", session_id, member_id)


async def delete_sessions(work: Work, member_id: UUID, keep: UUID | None) -> int:
    """All but one."""
    if keep is None:
        return await work.run("DELETE FROM access.session WHERE member_id = %s", member_id)
    return await work.run("DELETE FROM access.session WHERE member_id = %s AND id <> %s", member_id, keep)


# Links


async def insert_link(
    work: Work,
    link_hash: bytes,
    kind: str,
    member_id: UUID,
    organisation_id: UUID | None,
    ticket_hash: bytes | None,
    live_s: int,
) -> None:
    """A fresh link."""
    await work.run(
        """
        INSERT INTO access.one_time_link (hash, kind, member_id, organisation_id, ticket_hash, expires_at)
        VALUES (%s, %s, %s, %s, %s, ruxa.now() + make_interval(secs => %s))
        """,
        link_hash,
        kind,
        member_id,
        organisation_id,
        ticket_hash,
        live_s,
    )


async def living_link(work: Work, link_hash: bytes, kind: str) -> tuple[UUID, UUID | None, bytes | None] | None:
    """(member, organisation, ticket)."""
    return await work.row(
        """
        SELECT member_id, organisation_id, ticket_hash FROM access.one_time_link
        WHERE hash = %s AND kind = %s AND used_at IS NULL AND expires_at > ruxa.now()
        """,
        link_hash,
        kind,
    )


async def use_link(work: Work, link_hash: bytes, kind: str) -> tuple[UUID, UUID | None, bytes | None] | None:
    """The one conditional use."""
    return await work.row(
        """
        UPDATE access.one_time_link SET used_at = ruxa.now()
        WHERE hash = %s AND kind = %s AND used_at IS NULL AND expires_at > ruxa.now()
        RETURNING member_id, organisation_id, ticket_hash
        """,
        link_hash,
        kind,
    )


async def end_links(work: Work, member_id: UUID, kind: str | None) -> None:
    """Ends the member's unused links of that kind, or of every kind."""
    await work.run(
        """
        UPDATE access.one_time_link SET used_at = ruxa.now()
        WHERE member_id = %s AND used_at IS NULL AND (%s::text IS NULL OR kind = %s::text)
        """,
        member_id,
        kind,
        kind,
    )


# Terms


async def insert_terms(work: Work, document: str, version: date, locale: str, text_sha256: bytes) -> bytes:
    """Publishes a text; the hash under which this version is known already if it is."""
    await work.run(
        """
        INSERT INTO access.terms_version (document, version, locale, text_sha256) VALUES (%s, %s, %s, %s)
        ON CONFLICT DO NOTHING
        """,
        document,
        version,
        locale,
        text_sha256,
    )
    return await work.value(
        "SELECT text_sha256 FROM access.terms_version WHERE document = %s AND version = %s AND locale = %s",
        document,
        version,
        locale,
    )


async def insert_acceptance(
    work: Work, member_id: UUID, document: str, version: date, locale: str, text_sha256: bytes
) -> None:
    """Accepting a second time changes nothing: the first instant counts."""
    await work.run(
        """
        INSERT INTO access.terms_acceptance (member_id, document, version, locale, text_sha256)
        VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
        """,
        member_id,
        document,
        version,
        locale,
        text_sha256,
    )


async def acceptances(work: Work, member_id: UUID) -> list[tuple[str, date, str, bytes, datetime]]:
    """(document, version, locale, hash, at), oldest first."""
    return await work.rows(
        """
        SELECT document, version, locale, text_sha256, accepted_at FROM access.terms_acceptance
        WHERE member_id = %s ORDER BY accepted_at, document
        """,
        member_id,
    )


# Mail


async def insert_mail(
    work: Work,
    mail_id: UUID,
    member_id: UUID,
    template: str,
    locale: str,
    recipient_sealed: bytes,
    variables_sealed: bytes,
    organisation_id: UUID | None,
    organisation_sealed: bytes | None,
) -> None:
    """Into the outbox."""
    await work.run(
        """
        INSERT INTO access.mail (id, member_id, template, locale, recipient_sealed, variables_sealed, organisation_id,
            organisation_sealed)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
        """,
        mail_id,
        member_id,
        template,
        locale,
        recipient_sealed,
        variables_sealed,
        organisation_id,
        organisation_sealed,
    )


class Addressee(NamedTuple):
    """Who a mail goes to, when it was not decided by one of their own acts."""

    member_id: UUID
    locale: str
    email_sealed: bytes


class Payer(NamedTuple):
    """Who is told about an organisation's money; the organisation's name with it."""

    member_id: UUID
    locale: str
    email_sealed: bytes
    name_sealed: bytes | None
    organisation_id: UUID
    organisation_sealed: bytes


async def payers(work: Work, organisation_ref: UUID) -> list[Payer]:
    """The owners of an organisation and who does its billing."""
    return [Payer(*row) for row in await work.rows("SELECT * FROM access.payers(%s)", organisation_ref)]


class MailRow(NamedTuple):
    """access.mail."""

    id: UUID
    member_id: UUID
    template: str
    locale: str
    recipient_sealed: bytes | None
    variables_sealed: bytes | None
    organisation_id: UUID | None
    organisation_sealed: bytes | None
    state: str
    attempts: int
    sent_at: datetime | None
    fault: str | None
    created_at: datetime


async def claim_mail(work: Work, lease_s: int) -> MailRow | None:
    """Takes one that is due for ``lease_s`` seconds; another worker skips it."""
    row = await work.row(
        """
        UPDATE access.mail SET attempts = attempts + 1, next_at = ruxa.now() + make_interval(secs => %s)
        WHERE id = (SELECT id FROM access.mail
                    WHERE state = 'waiting' AND next_at <= ruxa.now()
                      AND recipient_sealed IS NOT NULL AND variables_sealed IS NOT NULL
                    ORDER BY next_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING id, member_id, template, locale, recipient_sealed, variables_sealed, organisation_id,
            organisation_sealed, state, attempts, sent_at, fault, created_at
        """,
        lease_s,
    )
    return None if row is None else MailRow(*row)


async def mail_sent(work: Work, mail_id: UUID) -> None:
    """Sent: the body goes."""
    await work.run(
        """
        UPDATE access.mail SET state = 'sent', sent_at = ruxa.now(), recipient_sealed = NULL, variables_sealed = NULL,
            organisation_sealed = NULL, fault = NULL
        WHERE id = %s
        """,
        mail_id,
    )


async def mail_failed(work: Work, mail_id: UUID, fault: str, retry_s: int | None) -> None:
    """Tried again in ``retry_s`` seconds, or given up (the body goes) with None."""
    if retry_s is None:
        await work.run(
            """
            UPDATE access.mail SET state = 'failed', fault = %s, recipient_sealed = NULL, variables_sealed = NULL,
                organisation_sealed = NULL
            WHERE id = %s
            """,
            fault,
            mail_id,
        )
    else:
        await work.run(
            "UPDATE access.mail SET fault = %s, next_at = ruxa.now() + make_interval(secs => %s) WHERE id = %s",
            fault,
            retry_s,
            mail_id,
        )


async def mail_page(work: Work, below: UUID | None, limit: int) -> list[MailRow]:
    """Newest first."""
    return [
        MailRow(*row)
        for row in await work.rows(
            """
            SELECT id, member_id, template, locale, recipient_sealed, variables_sealed, organisation_id,
                organisation_sealed, state, attempts, sent_at, fault, created_at
            FROM access.mail WHERE %s::uuid IS NULL OR id < %s::uuid ORDER BY id DESC LIMIT %s
            """,
            below,
            below,
            limit,
        )
    ]


async def mail_by_id(work: Work, mail_id: UUID) -> MailRow | None:
    """One mail."""
    row = await work.row(
        """
        SELECT id, member_id, template, locale, recipient_sealed, variables_sealed, organisation_id,
            organisation_sealed, state, attempts, sent_at, fault, created_at
        FROM access.mail WHERE id = %s
        """,
        mail_id,
    )
    return None if row is None else MailRow(*row)


# Throttles


async def today(work: Work) -> date:
    """The store's UTC day."""
    return await work.value("SELECT (ruxa.now() AT TIME ZONE 'UTC')::date")


async def take_attempt(work: Work, mark: bytes, free: int, wait_s: int, window_s: int, wait_s_max: int) -> int:
    """Counts an attempt, or says how many seconds it has to wait."""
    return await work.value(
        """
        INSERT INTO access.throttle AS t (mark) VALUES (%s)
        ON CONFLICT (mark) DO UPDATE SET
            refused = coalesce(t.blocked_until > excluded.touched_at, false),
            attempts = CASE
                WHEN t.blocked_until > excluded.touched_at THEN t.attempts
                WHEN t.touched_at < excluded.touched_at - make_interval(secs => %s) THEN 1
                ELSE t.attempts + 1 END,
            blocked_until = CASE
                WHEN t.blocked_until > excluded.touched_at THEN t.blocked_until
                WHEN t.touched_at < excluded.touched_at - make_interval(secs => %s) THEN NULL
                WHEN t.attempts + 1 >= %s THEN excluded.touched_at
                    + make_interval(secs => least(%s::bigint, %s * (1 << least(t.attempts + 1 - %s, 16)))) END,
            touched_at = CASE
                WHEN t.blocked_until > excluded.touched_at THEN t.touched_at ELSE excluded.touched_at END
        RETURNING CASE WHEN t.refused THEN greatest(1, ceil(extract(epoch FROM t.blocked_until - ruxa.now())))::integer
            ELSE 0 END
        """,
        mark,
        window_s,
        window_s,
        free,
        wait_s_max,
        wait_s,
        free,
    )


async def clear_attempts(work: Work, mark: bytes) -> None:
    """Forgets them."""
    await work.run("DELETE FROM access.throttle WHERE mark = %s", mark)


async def give_attempt_back(work: Work, mark: bytes) -> None:
    """One fewer."""
    await work.run("UPDATE access.throttle SET attempts = greatest(attempts - 1, 0) WHERE mark = %s", mark)


# The sweep: what is over its time, counted or ended by the same words

_SIGN_UPS_OVER: Final[LiteralString] = """
    FROM access.member m
    WHERE m.verified_at IS NULL AND m.created_at < ruxa.now() - make_interval(hours => %s)
      AND NOT EXISTS (SELECT FROM access.one_time_link l
          WHERE l.member_id = m.id AND l.used_at IS NULL AND l.expires_at > ruxa.now())
"""
_SESSIONS_OVER: Final[LiteralString] = """
    FROM access.session WHERE ends_at <= ruxa.now() OR seen_at + make_interval(secs => idle_s) <= ruxa.now()
"""
_LINKS_OVER: Final[LiteralString] = (
    "FROM access.one_time_link WHERE created_at < ruxa.now() - make_interval(hours => %s)"
)
_MAIL_OVER: Final[LiteralString] = "FROM access.mail WHERE created_at < ruxa.now() - make_interval(days => %s)"
_BODIES_OVER: Final[LiteralString] = """
    WHERE (recipient_sealed IS NOT NULL OR variables_sealed IS NOT NULL)
      AND created_at < ruxa.now() - make_interval(days => %s)
"""


async def keys_made_before(work: Work, moment: datetime) -> int:
    """How many API keys that still work have no secret made since that moment."""
    count: int = await work.value(
        "SELECT count(*) FROM access.key AS k WHERE k.kind = 'api' AND k.revoked_at IS NULL"
        " AND (k.expires_at IS NULL OR k.expires_at > ruxa.now())"
        " AND EXISTS (SELECT FROM access.key_secret AS s WHERE s.key_id = k.id)"
        " AND NOT EXISTS (SELECT FROM access.key_secret AS s WHERE s.key_id = k.id AND s.created_at >= %s)",
        moment,
    )
    return count


async def end_secrets_made_before(work: Work, moment: datetime) -> int:
    """Takes away secrets made before that moment; whoever remembers their keys is told. How many."""
    return await work.run("DELETE FROM access.key_secret WHERE created_at < %s", moment)


_SECRETS_OVER: Final[LiteralString] = "FROM access.key_secret WHERE expires_at <= ruxa.now()"
_PLAYGROUND_OVER: Final[LiteralString] = (
    "FROM access.key WHERE kind = 'playground' AND expires_at < ruxa.now() - make_interval(days => %s)"
)
_MARKS_OVER: Final[LiteralString] = "FROM access.throttle WHERE touched_at < ruxa.now() - interval '1 day'"
_CHANGES_OVER: Final[LiteralString] = "FROM access.key_change WHERE at < ruxa.now() - interval '1 day'"


async def over(work: Work, *, sign_up_hours: int, body_days: int, row_days: int) -> dict[str, int]:
    """How much is over its time, by kind."""
    return {
        "sign-ups": await work.value("SELECT count(*) " + _SIGN_UPS_OVER, sign_up_hours),
        "sessions": await work.value("SELECT count(*) " + _SESSIONS_OVER),
        "links": await work.value("SELECT count(*) " + _LINKS_OVER, sign_up_hours),
        "mails": await work.value("SELECT count(*) " + _MAIL_OVER, row_days),
        "mail bodies": await work.value("SELECT count(*) FROM access.mail " + _BODIES_OVER, body_days),  # noqa: S608
        "secrets": await work.value("SELECT count(*) " + _SECRETS_OVER),
        "playground keys": await work.value("SELECT count(*) " + _PLAYGROUND_OVER, row_days),
        "marks": await work.value("SELECT count(*) " + _MARKS_OVER),
        "key changes": await work.value("SELECT count(*) " + _CHANGES_OVER),
    }


async def oldest(work: Work) -> dict[str, datetime | None]:
    """When the oldest of each class was made: sessions by their last use, mail with a body, unproved sign-ups."""
    row = await work.row(
        """
        SELECT (SELECT min(seen_at) FROM access.session),
            (SELECT min(created_at) FROM access.mail
                WHERE recipient_sealed IS NOT NULL OR variables_sealed IS NOT NULL),
            (SELECT min(created_at) FROM access.member WHERE verified_at IS NULL),
            (SELECT min(created_at) FROM access.mail)
        """
    )
    assert row is not None
    return dict(zip(("session", "outbox", "sign_up", "security"), row, strict=True))


async def sweep_sign_ups(work: Work, hours: int) -> list[UUID]:
    """Unverified members older than that and without a living link go; their ids, for their keys to be destroyed."""
    return [row[0] for row in await work.rows("DELETE " + _SIGN_UPS_OVER + " RETURNING m.id", hours)]


async def sweep_sessions(work: Work) -> int:
    """Ended ones."""
    return await work.run("DELETE " + _SESSIONS_OVER)


async def sweep_links(work: Work, hours: int) -> int:
    """Used or too old ones."""
    return await work.run("DELETE " + _LINKS_OVER, hours)


async def sweep_mail(work: Work, body_days: int, row_days: int) -> int:
    """Rows, then bodies; how many of both."""
    rows = await work.run("DELETE " + _MAIL_OVER, row_days)
    return rows + await work.run(
        "UPDATE access.mail SET recipient_sealed = NULL, variables_sealed = NULL, organisation_sealed = NULL "  # noqa: S608
        + _BODIES_OVER,
        body_days,
    )


async def sweep_keys(work: Work, days: int) -> int:
    """Secrets whose overlap is over; playground keys when the usage that names them has gone."""
    ended = await work.run("DELETE " + _SECRETS_OVER)
    return ended + await work.run("DELETE " + _PLAYGROUND_OVER, days)


async def sweep_traces(work: Work) -> int:
    """Throttle marks and key changes a day old."""
    return await work.run("DELETE " + _MARKS_OVER) + await work.run("DELETE " + _CHANGES_OVER)
