"""Statements of retention: runs, the state of classes, the believed clock, holds and what they keep."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final, LiteralString
from uuid import UUID

import msgspec

from ruxa.store.work import Row, Work


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the job. state: running, done, paused, failed; ``left_over``: what should have gone and has not."""

    id: UUID
    started_at: datetime
    ended_at: datetime | None
    state: str
    cause: str
    code: str | None
    planned: int
    destroyed: int
    held: int
    left_over: int
    planned_entry: UUID | None
    done_entry: UUID | None


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """Which clock is believed, in milliseconds without any announced move; see ``watch``."""

    boot: str
    uptime_ms: int
    database_ms: int
    seen_ms: int
    jump_ms: int | None
    paused_at: datetime | None


class HoldFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a hold without its reason. living: it stops deletion now."""

    id: UUID
    scope: str
    subject_id: UUID
    basis: str
    owner_id: UUID
    approver_id: UUID | None
    gagged: bool
    placed_at: datetime
    approved_at: datetime | None
    ends_at: datetime
    ended_at: datetime | None
    told_at: datetime | None
    living: bool


class HoldRow(HoldFacts, frozen=True, kw_only=True):
    """One hold as stored."""

    reason_sealed: bytes | None


_RUN: Final[LiteralString] = (
    "SELECT id, started_at, ended_at, state, cause, code, planned, destroyed, held, left_over, planned_entry,"
    " done_entry FROM privacy.retention_run "
)


async def lock(work: Work) -> bool:
    """Whether this transaction is now the only run; it is until the transaction ends."""
    await work.run("SET LOCAL idle_in_transaction_session_timeout = 0")
    return bool(await work.value("SELECT pg_try_advisory_xact_lock(hashtextextended('ruxa.retention', 0))"))


async def today(work: Work) -> date:
    """The store's day, UTC."""
    day: date = await work.value("SELECT ruxa.today()")
    return day


async def begin(work: Work, run_id: UUID, cause: str) -> None:
    """A run begins; whatever still says it runs was killed."""
    await work.run(
        "UPDATE privacy.retention_run SET state = 'failed', code = 'killed', ended_at = ruxa.now()"
        " WHERE state = 'running'"
    )
    await work.run("INSERT INTO privacy.retention_run (id, state, cause) VALUES (%s, 'running', %s)", run_id, cause)


async def planned(work: Work, run_id: UUID, count: int, entry: UUID) -> None:
    """What the run is about to destroy, and the audit entry that says so."""
    await work.run(
        "UPDATE privacy.retention_run SET planned = %s, planned_entry = %s WHERE id = %s", count, entry, run_id
    )


async def end(
    work: Work,
    run_id: UUID,
    state: str,
    *,
    code: str | None = None,
    destroyed: int = 0,
    held: int = 0,
    left_over: int = 0,
    entry: UUID | None = None,
) -> None:
    """How the run ended."""
    await work.run(
        "UPDATE privacy.retention_run SET state = %s, code = %s, destroyed = %s, held = %s, left_over = %s,"
        " done_entry = %s, ended_at = ruxa.now() WHERE id = %s",
        state,
        code,
        destroyed,
        held,
        left_over,
        entry,
        run_id,
    )


async def runs(work: Work, limit: int) -> list[RunRow]:
    """The last runs, newest first."""
    return [_run(row) for row in await work.rows(_RUN + "ORDER BY id DESC LIMIT %s", limit)]


async def last_good(work: Work) -> RunRow | None:
    """The last run that destroyed all that was due."""
    row = await work.row(_RUN + "WHERE state = 'done' ORDER BY ended_at DESC LIMIT 1")
    return None if row is None else _run(row)


async def age_s(work: Work) -> int:
    """Seconds since the last good run; since the instance was made when there was none."""
    seconds: int = await work.value(
        "SELECT floor(extract(epoch FROM ruxa.now() - coalesce("
        "(SELECT max(ended_at) FROM privacy.retention_run WHERE state = 'done'),"
        "(SELECT created_at FROM ruxa.instance), (SELECT min(applied_at) FROM ruxa.migration))))::bigint"
    )
    return seconds


async def runs_older(work: Work, days: int) -> int:
    """How many runs ended more than so many days ago."""
    count: int = await work.value(
        "SELECT count(*) FROM privacy.retention_run WHERE ended_at < ruxa.now() - make_interval(days => %s)", days
    )
    return count


async def forget_runs(work: Work, days: int) -> int:
    """Removes runs that ended more than so many days ago."""
    return await work.run(
        "DELETE FROM privacy.retention_run WHERE ended_at < ruxa.now() - make_interval(days => %s)", days
    )


async def put_state(work: Work, classes: Sequence[tuple[str, datetime | None]]) -> None:
    """How old the oldest item of each class is."""
    await work.many(
        "INSERT INTO privacy.retention_state (class, oldest_at, checked_at) VALUES (%s, %s, ruxa.now())"
        " ON CONFLICT (class) DO UPDATE SET oldest_at = excluded.oldest_at, checked_at = excluded.checked_at",
        classes,
    )


async def state(work: Work) -> dict[str, tuple[datetime | None, datetime]]:
    """class -> oldest item, when that was looked at."""
    rows = await work.rows("SELECT class, oldest_at, checked_at FROM privacy.retention_state")
    return {row[0]: (row[1], row[2]) for row in rows}


async def switch_log(work: Work) -> bool:
    """The write-ahead log goes on in a new segment; False where this login may not say so.

    The segment before it goes with the next checkpoint, which follows within minutes of the next thing written; so no
    row in the clear stays in the log of an installation that writes little for longer than its day.
    """
    may = "SELECT has_function_privilege('pg_catalog.pg_switch_wal()', 'EXECUTE')"
    if not await work.value(may):
        return False
    await work.run("SELECT pg_catalog.pg_switch_wal()")
    return True


# The clock


async def clocks(work: Work) -> int:
    """The database's clock in milliseconds since 1970, less what a simulated one was moved by."""
    moment: int = await work.value(
        "SELECT floor(extract(epoch FROM ruxa.now()) * 1000)::bigint"
        " - 1000 * coalesce((SELECT offset_s FROM ruxa.clock_offset), 0)"
    )
    return moment


_ANCHOR: Final[LiteralString] = (
    "SELECT boot, uptime_ms, database_ms, seen_ms, jump_ms, paused_at FROM privacy.retention_clock"
)


async def anchor(work: Work) -> Anchor | None:
    """What was believed last, and nobody changes it until this transaction ends; None before the first run."""
    return _anchor(await work.row(_ANCHOR + " FOR UPDATE"))


async def anchor_seen(work: Work) -> Anchor | None:
    """What was believed last; None before the first run."""
    return _anchor(await work.row(_ANCHOR))


def _anchor(row: Row | None) -> Anchor | None:
    if row is None:
        return None
    return Anchor(boot=row[0], uptime_ms=row[1], database_ms=row[2], seen_ms=row[3], jump_ms=row[4], paused_at=row[5])


async def put_anchor(work: Work, boot: str, uptime_ms: int, database_ms: int, seen_ms: int) -> None:
    """This is believed from now on; a pause is over."""
    await work.run(
        "INSERT INTO privacy.retention_clock (boot, uptime_ms, database_ms, seen_ms) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (one) DO UPDATE SET boot = excluded.boot, uptime_ms = excluded.uptime_ms,"
        " database_ms = excluded.database_ms, seen_ms = excluded.seen_ms, jump_ms = NULL, paused_at = NULL",
        boot,
        uptime_ms,
        database_ms,
        seen_ms,
    )


async def pause(work: Work, jump_ms: int) -> None:
    """The clock jumped: what was believed stays, and nothing is destroyed."""
    await work.run(
        "UPDATE privacy.retention_clock SET jump_ms = %s, paused_at = coalesce(paused_at, ruxa.now())", jump_ms
    )


# Holds

_HOLD: Final[LiteralString] = """
    SELECT id, scope, subject_id, basis, owner_id, approver_id, gagged, placed_at, approved_at, ends_at, ended_at,
        told_at, ended_at IS NULL AND ends_at > ruxa.now()
            AND (approved_at IS NOT NULL OR placed_at > ruxa.now() - interval '3 days'), reason_sealed
    FROM privacy.hold
"""


async def insert_hold(
    work: Work,
    hold_id: UUID,
    *,
    scope: str,
    subject_id: UUID,
    reason: bytes,
    basis: str,
    owner_id: UUID,
    gagged: bool,
    ends_at: datetime,
) -> None:
    """A hold, not approved yet. Raises Conflict ``hold_twelve_months``."""
    await work.run(
        "INSERT INTO privacy.hold (id, scope, subject_id, reason_sealed, basis, owner_id, gagged, ends_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        hold_id,
        scope,
        subject_id,
        reason,
        basis,
        owner_id,
        gagged,
        ends_at,
    )


async def approve_hold(work: Work, hold_id: UUID, approver_id: UUID) -> bool:
    """The second pair of eyes; False when it was approved or has ended. Raises Conflict ``hold_four_eyes``."""
    return bool(
        await work.run(
            "UPDATE privacy.hold SET approver_id = %s, approved_at = ruxa.now()"
            " WHERE id = %s AND approved_at IS NULL AND ended_at IS NULL AND ends_at > ruxa.now()",
            approver_id,
            hold_id,
        )
    )


async def end_hold(work: Work, hold_id: UUID) -> bool:
    """The end; its reason goes with its key. False when it had ended."""
    return bool(
        await work.run(
            "UPDATE privacy.hold SET ended_at = ruxa.now(), reason_sealed = NULL WHERE id = %s AND ended_at IS NULL",
            hold_id,
        )
    )


async def drop_held(work: Work, hold_id: UUID) -> int:
    """Removes what a hold kept; how many items."""
    return await work.run("DELETE FROM privacy.held_item WHERE hold_id = %s", hold_id)


async def told(work: Work, hold_id: UUID) -> None:
    """The person or organisation was told of it."""
    await work.run("UPDATE privacy.hold SET told_at = ruxa.now() WHERE id = %s", hold_id)


async def hold(work: Work, hold_id: UUID) -> HoldRow | None:
    """One hold."""
    row = await work.row(_HOLD + "WHERE id = %s", hold_id)
    return None if row is None else _hold(row)


async def holds(work: Work, *, ended: bool) -> list[HoldRow]:
    """Every hold, newest first; without ``ended`` those that have not ended only."""
    return [_hold(row) for row in await work.rows(_HOLD + "WHERE ended_at IS NULL OR %s ORDER BY id DESC", ended)]


async def holds_over(work: Work) -> list[UUID]:
    """Holds whose time is over: past their end, or never approved within three days."""
    rows = await work.rows(
        "SELECT id FROM privacy.hold WHERE ended_at IS NULL AND (ends_at <= ruxa.now()"
        " OR approved_at IS NULL AND placed_at <= ruxa.now() - interval '3 days') ORDER BY id"
    )
    return [row[0] for row in rows]


async def holds_left(work: Work) -> list[UUID]:
    """Holds that have ended and still keep something: their end was cut off."""
    rows = await work.rows(
        "SELECT id FROM privacy.hold AS h WHERE ended_at IS NOT NULL"
        " AND EXISTS (SELECT FROM privacy.held_item AS i WHERE i.hold_id = h.id) ORDER BY id"
    )
    return [row[0] for row in rows]


async def holds_living(work: Work) -> int:
    """How many holds stop a deletion now."""
    count: int = await work.value("SELECT privacy.holds_living()")
    return count


async def held_back(work: Work, subject_id: UUID) -> bool:
    """Whether a hold stops now the deletion of an organisation or member."""
    found: bool = await work.value("SELECT content.held(%s)", subject_id)
    return found


async def keep(work: Work, rows: Sequence[tuple[UUID, str, UUID, str, bytes]]) -> None:
    """Items of holds: hold, store, item, part, sealed body; one that is kept already stays."""
    await work.many(
        "INSERT INTO privacy.held_item (hold_id, store, item_id, part, body_sealed) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        rows,
    )


async def held(work: Work, hold_id: UUID) -> list[tuple[str, UUID, str, bytes]]:
    """What a hold keeps: store, item, part, sealed body."""
    rows = await work.rows(
        "SELECT store, item_id, part, body_sealed FROM privacy.held_item WHERE hold_id = %s ORDER BY item_id, part",
        hold_id,
    )
    return [(row[0], row[1], row[2], bytes(row[3])) for row in rows]


async def held_counts(work: Work) -> dict[UUID, int]:
    """hold -> how many items it keeps."""
    return {
        row[0]: row[1] for row in await work.rows("SELECT hold_id, count(*) FROM privacy.held_item GROUP BY hold_id")
    }


async def organisation_refs(work: Work, organisations: Sequence[UUID]) -> dict[UUID, UUID]:
    """organisation -> the reference by which usage knows it."""
    rows = await work.rows(
        "SELECT id, organisation_ref FROM access.organisation WHERE id = ANY (%s)", list(organisations)
    )
    return {row[0]: row[1] for row in rows}


_EXPORTS_OVER: Final[LiteralString] = (
    "FROM privacy.export WHERE expires_at <= ruxa.now() OR used_at <= ruxa.now() - interval '1 day'"
)


async def closures_due(work: Work, days: int) -> list[UUID]:
    """Organisations closed for so many days whose erasure is due and not on hold, longest closed first."""
    rows = await work.rows(
        "SELECT o.id FROM access.organisation AS o WHERE o.closed_at <= ruxa.now() - make_interval(days => %s)"
        " AND o.erased_at IS NULL AND NOT EXISTS (SELECT FROM privacy.hold AS h WHERE h.scope = 'organisation'"
        " AND h.subject_id = o.id AND h.ended_at IS NULL AND h.ends_at > ruxa.now()"
        " AND (h.approved_at IS NOT NULL OR h.placed_at > ruxa.now() - interval '3 days')) ORDER BY o.closed_at",
        days,
    )
    return [row[0] for row in rows]


async def exports_over(work: Work) -> int:
    """How many copies for members were fetched, or not within their time."""
    count: int = await work.value("SELECT count(*) " + _EXPORTS_OVER)
    return count


async def forget_exports(work: Work) -> int:
    """Removes those."""
    return await work.run("DELETE " + _EXPORTS_OVER)


# The live schema

_TABLES: Final[LiteralString] = """
    SELECT n.nspname || '.' || c.relname, c.relkind = 'p'
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
        AND n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema'
    ORDER BY 1
"""
_PARTITIONS: Final[LiteralString] = """
    SELECT n.nspname || '.' || r.relname, c.relname
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid JOIN pg_class AS r ON r.oid = i.inhparent
        JOIN pg_namespace AS n ON n.oid = r.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname NOT LIKE 'pg\\_%%'
    ORDER BY 1, 2
"""


async def tables(work: Work) -> list[str]:
    """Every table of the database that is no partition and not PostgreSQL's own: ``schema.table``."""
    return [row[0] for row in await work.rows(_TABLES, *())]


async def partitions(work: Work) -> list[tuple[str, str]]:
    """Every partition: its table, its own name."""
    return [(row[0], row[1]) for row in await work.rows(_PARTITIONS, *())]


def _run(row: tuple[object, ...]) -> RunRow:
    return msgspec.convert(dict(zip(RunRow.__struct_fields__, row, strict=True)), RunRow, strict=False)


def _hold(row: tuple[object, ...]) -> HoldRow:
    return msgspec.convert(dict(zip(HoldRow.__struct_fields__, row, strict=True)), HoldRow, strict=False)
