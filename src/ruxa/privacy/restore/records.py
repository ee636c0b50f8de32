"""The SQL of the replay: what a living export carries beside the keys, and how it is put upon an older database.

The extracts are ids, states, hashes and sealed entries: who may do what now, whom to erase again, and the audit log's
last 36 days (no backup that opens is older). ``STAGE`` makes a temporary table of each, ``APPLY`` does the rest, as the
owner and in one transaction. The state wins over the restored row, but nothing that was ended is begun again.
"""

from __future__ import annotations

from typing import Final, LiteralString

import msgspec

from ruxa.store.work import Work

# name -> what is exported. A temporary table of the same name and columns receives it.
EXTRACTS: Final[dict[LiteralString, LiteralString]] = {
    "replay_leaf": "SELECT * FROM audit.leaf WHERE seq >= (SELECT coalesce(min(seq), 0) FROM audit.leaf"
    " WHERE at_ms > extract(epoch FROM ruxa.now() - interval '36 days') * 1000)",
    "replay_node": "SELECT * FROM audit.node",
    "replay_checkpoint": "SELECT * FROM audit.checkpoint WHERE at > ruxa.now() - interval '36 days'",
    "replay_cosignature": "SELECT * FROM audit.cosignature WHERE size IN"
    " (SELECT size FROM audit.checkpoint WHERE at > ruxa.now() - interval '36 days')",
    "replay_acknowledgement": "SELECT * FROM audit.acknowledgement WHERE size IN"
    " (SELECT size FROM audit.checkpoint WHERE at > ruxa.now() - interval '36 days')",
    "replay_pending": "SELECT * FROM audit.pending",
    "replay_entry": "SELECT * FROM audit.entry WHERE id >= ruxa.id_floor(ruxa.now() - interval '36 days')",
    "replay_customer_entry": "SELECT * FROM audit.customer_entry"
    " WHERE id >= ruxa.id_floor(ruxa.now() - interval '36 days')",
    "replay_organisation": "SELECT id, suspended_at, suspended_why, closed_at FROM access.organisation",
    "replay_member": "SELECT id, staff_role, suspended_at, password_set_at FROM access.member",
    "replay_membership": "SELECT organisation_id, member_id, role, accepted_at, created_at FROM access.membership",
    "replay_key": "SELECT id, scopes, models, requests_per_minute, tokens_per_minute, concurrency, store_days,"
    " conditions, guard, expires_at, revoked_at FROM access.key WHERE kind = 'api'",
    "replay_key_secret": "SELECT s.hash, s.key_id, s.prefix, s.expires_at, s.created_at FROM access.key_secret s"
    " JOIN access.key k ON k.id = s.key_id WHERE k.kind = 'api'",
    "replay_provider_key": "SELECT id, created_at FROM access.provider_key",
    "replay_saved_method": "SELECT organisation_ref, processor, ext_id FROM payment.saved_method",
    "replay_restriction": "SELECT * FROM privacy.restriction",
    "replay_hold": "SELECT * FROM privacy.hold",
    "replay_erasure": "SELECT * FROM privacy.erasure",
}

# What stands in the way of a change, although it is the owner who makes it: triggers of tables that are put right.
_GUARDED: Final[tuple[LiteralString, ...]] = ("privacy.hold", "privacy.erasure")

# (what, statement), in this order; the rows that each touched are told.
LOG: Final[tuple[tuple[str, LiteralString], ...]] = (
    (
        "leaves",
        "INSERT INTO audit.leaf SELECT * FROM pg_temp.replay_leaf r"
        " WHERE r.seq > (SELECT coalesce(max(seq), -1) FROM audit.leaf) ORDER BY r.seq",
    ),
    ("nodes", "INSERT INTO audit.node SELECT * FROM pg_temp.replay_node ON CONFLICT DO NOTHING"),
    ("checkpoints", "INSERT INTO audit.checkpoint SELECT * FROM pg_temp.replay_checkpoint ON CONFLICT DO NOTHING"),
    ("cosignatures", "INSERT INTO audit.cosignature SELECT * FROM pg_temp.replay_cosignature ON CONFLICT DO NOTHING"),
    (
        "acknowledgements",
        "INSERT INTO audit.acknowledgement SELECT * FROM pg_temp.replay_acknowledgement ON CONFLICT DO NOTHING",
    ),
    (
        "entry_days",
        "SELECT ruxa.partition_create('audit.entry'::regclass, day) FROM"
        " (SELECT DISTINCT (ruxa.id_time(id) AT TIME ZONE 'UTC')::date AS day FROM pg_temp.replay_entry) AS days",
    ),
    ("entries", "INSERT INTO audit.entry SELECT * FROM pg_temp.replay_entry ON CONFLICT DO NOTHING"),
    (
        "customer_entry_days",
        "SELECT ruxa.partition_create('audit.customer_entry'::regclass, day) FROM"
        " (SELECT DISTINCT (ruxa.id_time(id) AT TIME ZONE 'UTC')::date AS day FROM pg_temp.replay_customer_entry)"
        " AS days",
    ),
    (
        "customer_entries",
        "INSERT INTO audit.customer_entry SELECT * FROM pg_temp.replay_customer_entry ON CONFLICT DO NOTHING",
    ),
    ("placed", "DELETE FROM audit.pending p USING audit.leaf l WHERE l.entry_id = p.entry_id"),
    (
        "pending",
        "INSERT INTO audit.pending SELECT * FROM pg_temp.replay_pending r"
        " WHERE NOT EXISTS (SELECT FROM audit.leaf l WHERE l.entry_id = r.entry_id) ON CONFLICT DO NOTHING",
    ),
)

STANDING: Final[tuple[tuple[str, LiteralString], ...]] = (
    (
        "organisations_stopped",
        "UPDATE access.organisation o SET suspended_at = r.suspended_at, suspended_why = r.suspended_why,"
        " closed_at = coalesce(r.closed_at, o.closed_at) FROM pg_temp.replay_organisation r WHERE r.id = o.id"
        " AND (r.suspended_at, r.suspended_why, r.closed_at) IS DISTINCT FROM"
        " (o.suspended_at, o.suspended_why, o.closed_at) AND o.closed_at IS NULL",
    ),
    (
        "organisations_unknown",
        "UPDATE access.organisation SET suspended_at = ruxa.now(), suspended_why = 'security'"
        " WHERE suspended_at IS NULL AND id NOT IN (SELECT id FROM pg_temp.replay_organisation)",
    ),
    (
        "passwords_ended",
        "UPDATE access.member m SET password_hash = NULL, password_set_at = NULL FROM pg_temp.replay_member r"
        " WHERE r.id = m.id AND m.password_hash IS NOT NULL AND r.password_set_at IS DISTINCT FROM m.password_set_at",
    ),
    (
        "members_changed",
        "UPDATE access.member m SET staff_role = r.staff_role, suspended_at = r.suspended_at"
        " FROM pg_temp.replay_member r WHERE r.id = m.id"
        " AND (r.staff_role, r.suspended_at) IS DISTINCT FROM (m.staff_role, m.suspended_at)",
    ),
    (
        "members_unknown",
        "UPDATE access.member SET suspended_at = coalesce(suspended_at, ruxa.now()), staff_role = NULL"
        " WHERE id NOT IN (SELECT id FROM pg_temp.replay_member)",
    ),
    (
        "memberships_ended",
        "DELETE FROM access.membership m WHERE NOT EXISTS (SELECT FROM pg_temp.replay_membership r"
        " WHERE r.organisation_id = m.organisation_id AND r.member_id = m.member_id)",
    ),
    (
        "roles_changed",
        "UPDATE access.membership m SET role = r.role, accepted_at = r.accepted_at FROM pg_temp.replay_membership r"
        " WHERE r.organisation_id = m.organisation_id AND r.member_id = m.member_id"
        " AND (r.role, r.accepted_at) IS DISTINCT FROM (m.role, m.accepted_at)",
    ),
    (
        "memberships_new",
        "INSERT INTO access.membership (organisation_id, member_id, role, accepted_at, created_at)"
        " SELECT r.* FROM pg_temp.replay_membership r JOIN access.organisation o ON o.id = r.organisation_id"
        " JOIN access.member m ON m.id = r.member_id ON CONFLICT DO NOTHING",
    ),
    (
        "keys_changed",
        "UPDATE access.key k SET scopes = r.scopes, models = r.models, requests_per_minute = r.requests_per_minute,"
        " tokens_per_minute = r.tokens_per_minute, concurrency = r.concurrency, store_days = r.store_days,"
        " conditions = r.conditions, guard = r.guard, expires_at = r.expires_at,"
        " revoked_at = coalesce(k.revoked_at, r.revoked_at)"
        " FROM pg_temp.replay_key r WHERE r.id = k.id AND (r.scopes, r.models, r.requests_per_minute,"
        " r.tokens_per_minute, r.concurrency, r.store_days, r.conditions, r.guard, r.expires_at, r.revoked_at)"
        " IS DISTINCT FROM"
        " (k.scopes, k.models, k.requests_per_minute, k.tokens_per_minute, k.concurrency, k.store_days,"
        " k.conditions, k.guard, k.expires_at, k.revoked_at)",
    ),
    (
        "keys_unknown",
        "UPDATE access.key SET revoked_at = ruxa.now()"
        " WHERE revoked_at IS NULL AND id NOT IN (SELECT id FROM pg_temp.replay_key)",
    ),
    (
        "secrets_ended",
        "DELETE FROM access.key_secret WHERE hash NOT IN (SELECT hash FROM pg_temp.replay_key_secret)",
    ),
    (
        "secrets_new",
        "INSERT INTO access.key_secret (hash, key_id, prefix, expires_at, created_at)"
        " SELECT r.* FROM pg_temp.replay_key_secret r JOIN access.key k ON k.id = r.key_id"
        " ON CONFLICT (hash) DO UPDATE SET expires_at = excluded.expires_at",
    ),
    (
        "own_keys_ended",
        "DELETE FROM access.provider_key WHERE (id, created_at) NOT IN"
        " (SELECT id, created_at FROM pg_temp.replay_provider_key)",
    ),
    (
        # Nobody is charged by a method that was removed.
        "auto_top_up_stopped",
        "UPDATE payment.auto a SET state = 'off', reason = 'method_removed' WHERE a.state <> 'off' AND NOT EXISTS"
        " (SELECT FROM pg_temp.replay_saved_method r WHERE r.organisation_ref = a.organisation_ref"
        " AND r.processor = a.processor AND r.ext_id = a.saved)",
    ),
    (
        "saved_methods_ended",
        "DELETE FROM payment.saved_method s WHERE NOT EXISTS (SELECT FROM pg_temp.replay_saved_method r"
        " WHERE (r.organisation_ref, r.processor, r.ext_id) = (s.organisation_ref, s.processor, s.ext_id))",
    ),
    (
        "restrictions_lifted",
        "DELETE FROM privacy.restriction WHERE member_id NOT IN (SELECT member_id FROM pg_temp.replay_restriction)",
    ),
    (
        "restrictions",
        "INSERT INTO privacy.restriction SELECT r.* FROM pg_temp.replay_restriction r"
        " JOIN access.member m ON m.id = r.member_id ON CONFLICT DO NOTHING",
    ),
    ("holds_known", "DELETE FROM privacy.hold h USING pg_temp.replay_hold r WHERE r.id = h.id"),
    ("holds", "INSERT INTO privacy.hold SELECT * FROM pg_temp.replay_hold"),
    ("erasures_known", "DELETE FROM privacy.erasure e USING pg_temp.replay_erasure r WHERE r.id = e.id"),
    ("erasures", "INSERT INTO privacy.erasure SELECT * FROM pg_temp.replay_erasure"),
)


class Head(msgspec.Struct, frozen=True):
    """The audit log as it lies in the database: how many leaves, and whether each has its place."""

    size: int
    whole: bool


async def stage(work: Work, name: LiteralString) -> None:
    """An empty temporary table with an extract's columns, gone with the transaction."""
    await work.run("CREATE TEMPORARY TABLE " + name + " ON COMMIT DROP AS " + EXTRACTS[name] + " WITH NO DATA")


async def guards(work: Work, *, on: bool) -> None:
    """Takes the guards of what is put right away, or puts them back."""
    for table in _GUARDED:
        await work.run("ALTER TABLE " + table + (" ENABLE TRIGGER USER" if on else " DISABLE TRIGGER USER"))


async def forked(work: Work) -> int | None:
    """The first leaf that the restored log and the export have otherwise; None when they are one log."""
    return await work.value(
        "SELECT min(l.seq) FROM audit.leaf l JOIN pg_temp.replay_leaf r ON r.seq = l.seq WHERE r.hash <> l.hash"
    )


async def gap(work: Work) -> bool:
    """Whether leaves are missing between the restored log's end and the export's begin."""
    return bool(
        await work.value(
            "SELECT (SELECT min(seq) FROM pg_temp.replay_leaf) > (SELECT coalesce(max(seq) + 1, 0) FROM audit.leaf)"
        )
    )


async def head(work: Work) -> Head:
    """How far the log goes."""
    row = await work.row("SELECT coalesce(max(seq) + 1, 0), count(*) FROM audit.leaf")
    assert row is not None
    return Head(int(row[0]), row[0] == row[1])


async def root_at(work: Work, size: int) -> list[bytes]:
    """The hashes of the first ``size`` leaves, in order."""
    return [bytes(row[0]) for row in await work.rows("SELECT hash FROM audit.leaf WHERE seq < %s ORDER BY seq", size)]
