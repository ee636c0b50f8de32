"""The living export: the keystore as it is now, under the epoch key, in a target of its own (D29).

``NAME/`` holds the keystore's tables, each under the current epoch's key as well as the backup key; ``epochs/ID.key``
holds an epoch's key, to the backup key, while the epoch lives. When an epoch ends its object is removed and every
export made under it stays closed for ever: so a key destroyed today is in no export that opens after at most 7 days.
Where a key server keeps the epoch keys there is no such object; restoring needs that server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql

from ruxa.kernel.custody import EpochKeys
from ruxa.kernel.errors import NotFound, RuxaError, Unavailable
from ruxa.store import fault, files, keystore
from ruxa.store.archive import container, manifest
from ruxa.store.archive.container import BackupKey, damaged
from ruxa.store.archive.create import About, Pen
from ruxa.store.archive.manifest import Item, Manifest, Tree
from ruxa.store.archive.target import Target
from ruxa.store.keystore import Epoch, Slot

EPOCHS: Final = "epochs"
# In the order in which rows may be put in. Holders are processes of the running server; they do not travel.
TABLES: Final = (
    "keystore.epoch",
    "keystore.key",
    "keystore.public_key",
    "keystore.change",
    "keystore.destruction",
)
# The same as a rotation takes: no key changes its epoch while we read.
_LOCK: Final[LiteralString] = "SELECT pg_advisory_xact_lock_shared(hashtextextended('ruxa.keystore', 0))"
_DAYS: Final[LiteralString] = (
    "SELECT id, class, day, epoch, wrapped FROM keystore.key WHERE kind = 'day' ORDER BY class, day"
)


class Wrapped(msgspec.Struct, frozen=True):
    """A day's key as it is stored."""

    id: bytes
    key_class: str
    day: date
    epoch: UUID
    wrapped: bytes


class Held(msgspec.Struct, frozen=True):
    """An epoch as the export names it: its key lies in ``epochs/`` or with the provider."""

    id: UUID
    state: str
    provider: str
    wrapped: bytes | None


async def make(
    pen: Pen,
    url: str,
    epochs: Callable[[], Awaitable[list[Epoch]]],
    key: BackupKey,
    extracts: Mapping[LiteralString, LiteralString] | None = None,
) -> Manifest:
    """Exports the keystore of the database at ``url`` (the owner's), and ``extracts`` with it: name -> statement of
    what restoring replays.

    epochs: ``vault.epochs``. Raises Unavailable ``epoch_unfinished`` while a rotation is half done.
    """
    held: list[Epoch] = await epochs()
    if len(held) != 1:
        raise Unavailable(
            "A change of epoch is half done; it is finished within the hour, then the keys can be exported.",
            code="epoch_unfinished",
        )
    return await asyncio.to_thread(_make, pen, url, held[0], key, extracts or {})


def _make(
    pen: Pen, url: str, epoch: Epoch, key: BackupKey, extracts: Mapping[LiteralString, LiteralString]
) -> Manifest:
    return pen.of(url, lambda connection: _written(pen, connection, epoch, key, extracts), autocommit=False)


def _written(
    pen: Pen,
    connection: psycopg.Connection[Any],
    epoch: Epoch,
    key: BackupKey,
    extracts: Mapping[LiteralString, LiteralString],
) -> Manifest:
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    connection.execute("SET LOCAL statement_timeout = 0")
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    connection.execute(_LOCK)
    row = connection.execute(
        "SELECT ruxa.now(), clock_timestamp(), pg_total_relation_size('keystore.key') + 1048576,"
        " (SELECT id FROM keystore.epoch WHERE state = 'current')"
    ).fetchone()
    assert row is not None
    taken_at, real_at, size, current = row
    if current != epoch.id:
        raise Unavailable("The epoch changed while the keys were exported; try again.", code="epoch_unfinished")
    pen.begin("living", pen.clock.now(), size)
    if epoch.provider == "directory":
        # The key first: an export without it would open nowhere.
        put_epoch(pen.target, pen.about, epoch, key)
    held = Held(epoch.id, epoch.state, epoch.provider, epoch.wrapped)
    pen.put("epochs.json", "file", [msgspec.json.encode([held])])
    days = [Wrapped(*values) for values in connection.execute(_DAYS).fetchall()]
    pen.put("days.json", "file", [msgspec.json.encode(days)], also=epoch.key)
    for table in TABLES:
        names = columns(connection, table)
        query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(map(sql.Identifier, names)), _table(table))
        _put(pen, connection, table, query, names, epoch.key)
    for name, statement in extracts.items():
        found = connection.execute(sql.SQL("SELECT * FROM ({}) AS it LIMIT 0").format(sql.SQL(statement)))
        assert found.description is not None
        names = tuple(column.name for column in found.description)
        _put(pen, connection, name, sql.SQL(statement), names, epoch.key)
    tree = connection.execute("SELECT size, root FROM audit.checkpoint ORDER BY size DESC LIMIT 1").fetchone()
    connection.rollback()
    return pen.finish(
        taken_at,
        real_at,
        connection.info.server_version // 10000,
        tree=None if tree is None else Tree(int(tree[0]), bytes(tree[1]).hex()),
        epoch=epoch.id,
    )


def _put(
    pen: Pen,
    connection: psycopg.Connection[Any],
    name: str,
    query: sql.Composable,
    names: tuple[str, ...],
    epoch_key: bytes,
) -> None:
    copy = sql.SQL("COPY ({}) TO STDOUT").format(query)

    def lines() -> Iterator[bytes]:
        with connection.cursor() as cursor, cursor.copy(copy) as out:
            yield from map(bytes, out)

    pen.put(f"table-{name}", "table", lines(), also=epoch_key, table=name, columns=names)


def columns(connection: psycopg.Connection[Any], table: str) -> tuple[str, ...]:
    """A table's columns in order, without generated ones."""
    rows = connection.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " AND attgenerated = '' ORDER BY attnum",
        [table],
    ).fetchall()
    return tuple(str(name) for (name,) in rows)


def put_epoch(target: Target, about: About, epoch: Epoch, key: BackupKey) -> None:
    """Stores an epoch's key, sealed to the backup key, unless it is there."""
    name = _epoch_name(epoch.id)
    if name not in target.under(name):
        place = manifest.place(about.id, EPOCHS, epoch.id.hex)
        target.put(name, container.seal(key.public, place, [epoch.key], count=lambda _: None))


def epoch_ids(target: Target) -> list[UUID]:
    """The epochs whose keys lie in the target."""
    found: list[UUID] = []
    for name in target.under(f"{EPOCHS}/"):
        stem = name.removeprefix(f"{EPOCHS}/").removesuffix(".key")
        if len(stem) == 32:
            found.append(UUID(hex=stem))
    return found


def remove_epoch(target: Target, epoch: UUID) -> None:
    """The epoch has ended: its key goes."""
    target.delete(_epoch_name(epoch))


class Export(msgspec.Struct, frozen=True):
    """A living export, opened: its manifest and the keys that lead to what it holds."""

    target: Target
    made: Manifest
    key: BackupKey
    epoch: UUID
    epoch_key: bytes
    provider: str

    def chunks(self, item: Item) -> Iterator[bytes]:
        """A table's rows."""
        return manifest.chunks(self.target, self.made, item, self.key, also=self.epoch_key)

    def tables(self) -> list[Item]:
        """The tables it holds, in the order in which they may be put in."""
        return [item for item in self.made.items if item.kind == "table"]

    def extract(self, name: str) -> tuple[tuple[str, ...], bytes] | None:
        """An extract's columns and rows (COPY text); None when an older release made the export without it."""
        for item in self.tables():
            if item.table == name:
                return item.columns, b"".join(self.chunks(item))
        return None

    def days(self) -> dict[tuple[str, date], bytes]:
        """The keys of every day that lived."""
        raw = b"".join(self.chunks(self.made.item("days.json")))
        return {
            (day.key_class, day.day): keystore.opened(
                self.epoch_key, day.epoch, day.id, Slot("day", day.key_class, None, day.day), day.wrapped
            )
            for day in msgspec.json.decode(raw, type=list[Wrapped])
        }

    def signers(self, signed: str = "backup") -> set[bytes]:
        """The public keys that ever signed this instance's backups, or what else is ``signed``."""
        item = self.made.item("table-keystore.public_key")
        use, public = item.columns.index("use"), item.columns.index("public")
        rows = [line.split("\t") for line in b"".join(self.chunks(item)).decode().splitlines()]
        return {bytes.fromhex(row[public].removeprefix("\\\\x")) for row in rows if row[use] == signed}

    def __repr__(self) -> str:
        return f"<living export {self.made.name}>"


async def open_export(target: Target, name: str, key: BackupKey, provider: EpochKeys | None = None) -> Export:
    """Opens an export. provider: who keeps the epoch keys, where that is a key server.

    Raises NotFound ``backup_missing``, ``epoch_ended``; Broken ``backup_damaged``.
    """
    made = await asyncio.to_thread(manifest.read, target, name, key)
    raw = await asyncio.to_thread(lambda: b"".join(manifest.chunks(target, made, made.item("epochs.json"), key)))
    held = msgspec.json.decode(raw, type=list[Held])[0]
    if held.id != made.epoch:
        raise damaged("Its manifest names another epoch than it holds.")
    epoch_key: bytes | None
    if held.provider == "directory":
        epoch_key = await asyncio.to_thread(_epoch_key, target, made, held.id, key)
    elif provider is not None and provider.assurance.provider == held.provider:
        epoch_key = await provider.read(held.id, held.wrapped)
    else:
        raise Unavailable(
            f"The epoch keys of this instance are kept by {held.provider}: the settings must name it.",
            code="keys_provider_missing",
        )
    if epoch_key is None:
        raise NotFound(
            f"The keys of {name} have ended with their epoch: it opens nowhere any more. Use a newer export.",
            code="epoch_ended",
        )
    return Export(target, made, key, held.id, epoch_key, held.provider)


def load(url: str, export: Export) -> None:
    """Puts the export's keystore into the database at ``url`` (the owner's) in place of what is there.

    Tables beyond the keystore are for the replay. Raises Unavailable, Broken ``backup_damaged``; nothing is changed
    then.
    """
    failure: RuxaError
    try:
        with psycopg.connect(url, connect_timeout=5, application_name="ruxa restore") as connection:
            every = sql.SQL(", ").join(_table(table) for table in (*TABLES, "keystore.holder"))
            connection.execute(sql.SQL("TRUNCATE {}").format(every))
            for item in export.tables():
                if item.table in TABLES:
                    copy_in(connection, item, export.chunks(item), item.table)
            return
    except psycopg.Error as error:
        failure = fault.of(error)
    raise failure


def current_epoch(url: str) -> UUID | None:
    """The epoch that wraps the keys of the database at ``url`` (the owner's)."""
    failure: RuxaError
    try:
        with psycopg.connect(url, connect_timeout=5, application_name="ruxa restore") as connection:
            row = connection.execute("SELECT id FROM keystore.epoch WHERE state = 'current'").fetchone()
            return None if row is None else row[0]
    except psycopg.Error as error:
        failure = fault.of(error)
    raise failure


def copy_in(connection: psycopg.Connection[Any], item: Item, chunks: Iterator[bytes], table: str) -> None:
    """COPY of an item's rows into a table; sequences of identity columns go on behind them."""
    names = sql.SQL(", ").join(map(sql.Identifier, item.columns))
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(_table(table), names)) as copy,
    ):
        for chunk in chunks:
            copy.write(chunk)
    for (column,) in connection.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attidentity <> ''", [table]
    ).fetchall():
        connection.execute(
            sql.SQL("SELECT setval(pg_get_serial_sequence(%s, %s), coalesce(max({}), 0) + 1, false) FROM {}").format(
                sql.Identifier(column), _table(table)
            ),
            [table, column],
        )


def _table(name: str) -> sql.Identifier:
    return sql.Identifier(*name.split("."))


def write_epoch(keys: Path, export: Export) -> None:
    """Puts the epoch's key into a new keys directory, unless a key server has it."""
    if export.provider != "directory":
        return
    directory = keys / "epochs"
    files.private_directory(keys)
    files.private_directory(directory)
    files.create(directory / f"{export.epoch.hex}.key", export.epoch_key)


def _epoch_key(target: Target, made: Manifest, epoch: UUID, key: BackupKey) -> bytes | None:
    place = manifest.place(made.instance, EPOCHS, epoch.hex)
    try:
        return b"".join(container.unseal(key, place, target.get(_epoch_name(epoch))))
    except NotFound:
        return None


def _epoch_name(epoch: UUID) -> str:
    return f"{EPOCHS}/{epoch.hex}.key"
