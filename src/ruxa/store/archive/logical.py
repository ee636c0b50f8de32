"""A logical backup: one snapshot of the database as pg_dump sees it, without keys, sessions and days (D30, X16).

Objects: ``pre``, ``data``, ``post`` (pg_dump's sections as plain SQL, so that any PostgreSQL of 15 to 18 takes them);
one for each day partition, under that day's key as well; the journal's segments, under theirs as well; the folder of
stored content, sealed as it lies there; the small files of DATA. What has no day of its own is under the key of the
backup's day (class ``backup``): destroyed after 28 days, so that after 35 no copy opens, wherever it was taken.

All rows are of one moment: pg_dump and we share a snapshot. The journal is read before that moment, so a call is in
the one or in the other.
"""

from __future__ import annotations

import asyncio
import io
import struct
import tarfile
from collections.abc import Awaitable, Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from ruxa.store import inventory
from ruxa.store.archive import programs, selection
from ruxa.store.archive.create import Pen, file_chunks
from ruxa.store.archive.manifest import Manifest, Tree
from ruxa.store.archive.selection import Day, Selection

# The key of a class's day, or None when it is gone: such a day is not copied.
DayKey = Callable[[str, date], Awaitable[bytes | None]]
_Key = Callable[[str, date], bytes | None]

# The class of the day keys that end logical backups.
CLASS: Final = "backup"
SECTIONS: Final = {"pre": "pre-data", "data": "data", "post": "post-data"}
# The head of a journal segment tells its day (gateway/journal.py: magic, run, number, day, salt, crc32).
_SEGMENT: Final = struct.Struct(">4sQII16sI")
_SESSION: Final[tuple[LiteralString, ...]] = (
    "SET statement_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
    "SET lock_timeout = '30s'",
)


async def make(pen: Pen, url: str, bin_dir: Path, data: Path, day_key: DayKey, day_classes: frozenset[str]) -> Manifest:
    """Makes one of the database at ``url`` (the owner's) and of the files of ``data``.

    Raises Unavailable (``database_away``, ``target_full``, ``target_unwritable``, ``program_failed``); nothing that
    looks like a backup is left then.
    """
    loop = asyncio.get_running_loop()
    day = pen.clock.today()
    backup_key = await day_key(CLASS, day)
    assert backup_key is not None, "the key of a day that is not over is made"

    def key(key_class: str, day: date) -> bytes | None:
        return asyncio.run_coroutine_threadsafe(_awaited(day_key(key_class, day)), loop).result()

    pen.also(CLASS, day, backup_key)
    return await asyncio.to_thread(_make, pen, url, bin_dir, data, key, day_classes)


async def _awaited(key: Awaitable[bytes | None]) -> bytes | None:
    return await key


def _make(pen: Pen, url: str, bin_dir: Path, data: Path, key: _Key, day_classes: frozenset[str]) -> Manifest:
    dump = programs.find(bin_dir, "pg_dump")
    return pen.of(url, lambda connection: _written(pen, connection, url, dump, data, key, day_classes))


def _written(
    pen: Pen,
    connection: psycopg.Connection[Any],
    url: str,
    dump: Path,
    data: Path,
    key: _Key,
    day_classes: frozenset[str],
) -> Manifest:
    for statement in _SESSION:
        connection.execute(statement)
    size = _one(connection, "SELECT pg_database_size(current_database())")[0]
    # Rows compress to less than half; the journal's and the content's files are counted as they are.
    pen.begin("logical", pen.clock.now(), size // 2 + _size_of(data / "journal") + _size_of(data / "objects"))
    _put_journal(pen, data / "journal", key)
    connection.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    snapshot, taken_at, real_at = _one(connection, "SELECT pg_export_snapshot(), ruxa.now(), clock_timestamp()")
    chosen = _select(connection, day_classes)
    arguments = [f"--snapshot={snapshot}", "--format=plain", "--encoding=UTF8", "--exclude-schema=public"]
    # What an administrator allowed a login of the server's own functions, the next one's set-up allows it again.
    arguments += ["--exclude-schema=pg_catalog"]
    arguments += ["--no-unlogged-table-data", "--no-publications", "--no-subscriptions", "--no-tablespaces"]
    arguments += [f"--exclude-table-data={pattern}" for pattern in chosen.without_rows]
    for name, section in SECTIONS.items():
        pen.put(name, "dump", programs.output(dump, url, [*arguments, f"--section={section}"]))
    for day in chosen.days:
        _put_day(pen, connection, day, key)
    tree = _tree(connection)
    postgres = connection.info.server_version // 10000
    connection.execute("COMMIT")
    _put_content(pen, data / "objects")
    demo = data / "demo.json"
    if pen.about.mode == "demo" and demo.is_file():
        pen.put("file-demo.json", "file", file_chunks(demo), path="demo.json")
    return pen.finish(taken_at, real_at, postgres, tree=tree, left_out=chosen.left_out)


def _select(connection: psycopg.Connection[Any], day_classes: frozenset[str]) -> Selection:
    columns = inventory.columns(connection.execute(inventory.COLUMNS).fetchall())
    partitions = connection.execute(selection.PARTITIONS).fetchall()
    tables = connection.execute(
        "SELECT n.nspname || '.' || c.relname, c.relkind = 'p', c.relpersistence = 'u'"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')"
    ).fetchall()
    roots = {str(name) for name, root, _ in tables if root}
    unlogged = {str(name) for name, _, gone in tables if gone}
    return selection.select(columns, partitions, roots, unlogged, day_classes)


def _put_day(pen: Pen, connection: psycopg.Connection[Any], day: Day, key: _Key) -> None:
    partition = sql.Identifier(day.table.partition(".")[0], day.partition)
    rows = connection.execute(sql.SQL("SELECT count(*) FROM ONLY {}").format(partition)).fetchone()
    assert rows is not None
    if rows[0] == 0:
        return
    day_key = key(day.key_class, day.day)
    if day_key is None:
        return
    names = sql.SQL(", ").join(map(sql.Identifier, day.columns))
    copy = sql.SQL("COPY (SELECT {} FROM ONLY {}) TO STDOUT").format(names, partition)

    def lines() -> Iterator[bytes]:
        with connection.cursor() as cursor, cursor.copy(copy) as out:
            yield from map(bytes, out)

    pen.put(
        f"day-{day.table}-{day.day:%Y%m%d}",
        "day",
        lines(),
        also=day_key,
        table=day.table,
        columns=day.columns,
        rows=lambda: int(rows[0]),
        day=day.day,
        key_class=day.key_class,
        path=day.partition,
    )


def _put_journal(pen: Pen, journal: Path, key: _Key) -> None:
    number = 0
    for path in sorted(journal.glob("*/*.rxj")):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            # Booked and unlinked since we looked: its rows are in the snapshot that comes.
            continue
        day = _segment_day(content)
        day_key = None if day is None else key("usage", day)
        if day_key is not None:
            # Its room was taken beforehand: the zeros behind the last frame are not copied.
            pen.put(
                f"journal-{number}",
                "journal",
                [content.rstrip(b"\0") + bytes(64)],
                also=day_key,
                day=day,
                key_class="usage",
                path=path.relative_to(journal).as_posix(),
            )
            number += 1


def _segment_day(content: bytes) -> date | None:
    if len(content) < _SEGMENT.size:
        return None
    ordinal = _SEGMENT.unpack_from(content)[3]
    return date.fromordinal(ordinal) if 0 < ordinal <= date.max.toordinal() else None


def _put_content(pen: Pen, objects: Path) -> None:
    """Stored content, sealed as it lies there: one object a folder, since there may be many thousands."""
    folders = sorted({path.parent for path in objects.rglob("*") if path.is_file() and not path.name.startswith(".")})
    for number, folder in enumerate(folders):
        inside = folder.relative_to(objects).as_posix()
        pen.put(f"content-{number}", "file", _tar(objects, folder), path=f"objects/{inside}")


def _tar(root: Path, folder: Path) -> Iterator[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                try:
                    tar.add(path, arcname=path.relative_to(root).as_posix(), recursive=False)
                except FileNotFoundError:
                    # Its time had come while we copied.
                    continue
            if buffer.tell() > programs.READ_BYTES:
                yield buffer.getvalue()
                buffer.seek(0)
                buffer.truncate()
    yield buffer.getvalue()


def _tree(connection: psycopg.Connection[Any]) -> Tree | None:
    """The last signed head of the audit log in this snapshot."""
    row = connection.execute("SELECT size, root FROM audit.checkpoint ORDER BY size DESC LIMIT 1").fetchone()
    return None if row is None else Tree(int(row[0]), bytes(row[1]).hex())


def _one(connection: psycopg.Connection[Any], statement: LiteralString) -> tuple[Any, ...]:
    row = connection.execute(statement).fetchone()
    assert row is not None
    return row


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
