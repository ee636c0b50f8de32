"""The SQL of backups and drills as records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from ruxa.store.work import Work

Kind = Literal["logical", "base", "living", "log", "kit"]
Cause = Literal["schedule", "command", "drill"]

# Archived pieces of the log come every few minutes: only their last days are remembered.
LOG_ROWS_DAYS: Final = 7


class Made(msgspec.Struct, frozen=True):
    """One backup as it was recorded."""

    id: UUID
    kind: Kind
    state: str
    name: str | None
    code: str | None
    bytes: int | None
    items: int | None
    taken_at: datetime | None
    started_at: datetime
    ended_at: datetime | None
    expired_at: datetime | None


class Drill(msgspec.Struct, frozen=True):
    """One drill as it was recorded. rpo_s: age of the data when it began; rto_ms: until it could serve."""

    id: UUID
    state: str
    backup: str | None
    living: str | None
    code: str | None
    rpo_s: int | None
    rto_ms: int | None
    rows: int | None
    examined: int
    failures: tuple[str, ...]
    erased: int | None
    readable: int | None
    started_at: datetime
    ended_at: datetime | None


async def begin(work: Work, backup_id: UUID, kind: Kind, cause: Cause) -> None:
    """A backup is being made."""
    await work.run(
        "INSERT INTO privacy.backup (id, kind, cause, state) VALUES (%s, %s, %s, 'running')", backup_id, kind, cause
    )


async def done(work: Work, backup_id: UUID, name: str, size: int, items: int, taken_at: datetime) -> None:
    """It is made."""
    await work.run(
        "UPDATE privacy.backup SET state = 'done', name = %s, bytes = %s, items = %s, taken_at = %s,"
        " ended_at = ruxa.now() WHERE id = %s",
        name,
        size,
        items,
        taken_at,
        backup_id,
    )


async def failed(work: Work, backup_id: UUID, code: str) -> None:
    """It could not be made."""
    await work.run(
        "UPDATE privacy.backup SET state = 'failed', code = %s, ended_at = ruxa.now() WHERE id = %s", code, backup_id
    )


async def expired(work: Work, name: str) -> None:
    """It was removed, its time being over."""
    await work.run(
        "UPDATE privacy.backup SET state = 'expired', expired_at = ruxa.now() WHERE name = %s AND state = 'done'", name
    )


async def tidy(work: Work) -> int:
    """Ends what a killed process left as running, and forgets old pieces of the log."""
    await work.run(
        "UPDATE privacy.backup SET state = 'failed', code = 'interrupted', ended_at = ruxa.now()"
        " WHERE state = 'running' AND started_at < ruxa.now() - interval '1 day'"
    )
    await work.run(
        "UPDATE privacy.restore_drill SET state = 'failed', code = 'interrupted', ended_at = ruxa.now()"
        " WHERE state = 'running' AND started_at < ruxa.now() - interval '1 day'"
    )
    return await work.run(
        "DELETE FROM privacy.backup WHERE kind IN ('log', 'living')"
        " AND started_at < ruxa.now() - make_interval(days => %s)",
        LOG_ROWS_DAYS,
    )


async def last_done(work: Work, kind: Kind) -> Made | None:
    """The newest one that was made."""
    row = await work.row(
        "SELECT id, kind, state, name, code, bytes, items, taken_at, started_at, ended_at, expired_at"
        " FROM privacy.backup WHERE kind = %s AND state IN ('done', 'expired')"
        " ORDER BY ended_at DESC LIMIT 1",
        kind,
    )
    return None if row is None else Made(*row)


async def newest(work: Work, kinds: Sequence[Kind], limit: int) -> list[Made]:
    """The newest of these kinds."""
    rows = await work.rows(
        "SELECT id, kind, state, name, code, bytes, items, taken_at, started_at, ended_at, expired_at"
        " FROM privacy.backup WHERE kind = ANY (%s) ORDER BY started_at DESC, id DESC LIMIT %s",
        list(kinds),
        limit,
    )
    return [Made(*row) for row in rows]


async def drill_begin(work: Work, drill_id: UUID, cause: Cause) -> None:
    """A drill begins."""
    await work.run("INSERT INTO privacy.restore_drill (id, cause, state) VALUES (%s, %s, 'running')", drill_id, cause)


async def drill_end(
    work: Work,
    drill_id: UUID,
    *,
    backup: str | None,
    living: str | None,
    code: str | None,
    rpo_s: int | None,
    rto_ms: int | None,
    rows: int | None,
    examined: int,
    failures: Sequence[str],
    erased: int | None,
    readable: int | None,
) -> None:
    """A drill's result: passed when it examined something and nothing failed."""
    passed = code is None and examined > 0 and not failures and readable == 0
    await work.run(
        "UPDATE privacy.restore_drill SET state = %s, backup = %s, living = %s, code = %s, rpo_s = %s, rto_ms = %s,"
        " rows = %s, examined = %s, failures = %s, erased = %s, readable = %s, ended_at = ruxa.now() WHERE id = %s",
        "passed" if passed else "failed",
        backup,
        living,
        code,
        rpo_s,
        rto_ms,
        rows,
        examined,
        list(failures),
        erased,
        readable,
        drill_id,
    )


async def drills(work: Work, limit: int) -> list[Drill]:
    """The newest drills."""
    rows = await work.rows(
        "SELECT id, state, backup, living, code, rpo_s, rto_ms, rows, examined, failures,"
        " erased, readable, started_at, ended_at FROM privacy.restore_drill ORDER BY started_at DESC, id DESC LIMIT %s",
        limit,
    )
    return [_drill(row) for row in rows]


async def last_passed(work: Work) -> Drill | None:
    """The newest drill that passed."""
    row = await work.row(
        "SELECT id, state, backup, living, code, rpo_s, rto_ms, rows, examined, failures,"
        " erased, readable, started_at, ended_at FROM privacy.restore_drill WHERE state = 'passed'"
        " ORDER BY ended_at DESC LIMIT 1"
    )
    return None if row is None else _drill(row)


def _drill(row: tuple[Any, ...]) -> Drill:
    values = list(row)
    values[9] = tuple(values[9])
    return Drill(*values)


async def now(work: Work) -> datetime:
    """The database's time."""
    return await work.value("SELECT ruxa.now()")


async def created(work: Work) -> datetime:
    """Since when this database is an instance's."""
    return await work.value("SELECT coalesce((SELECT created_at FROM ruxa.instance), ruxa.now())")
