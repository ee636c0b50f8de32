"""Lays a logical backup back into an empty database and data directory: all of it in one transaction, or nothing."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec
import psycopg
from psycopg import sql

from ruxa.kernel.errors import Conflict, RuxaError
from ruxa.store import fault
from ruxa.store.archive import manifest, programs, selection
from ruxa.store.archive.container import BackupKey, damaged
from ruxa.store.archive.manifest import Item, Manifest
from ruxa.store.archive.target import Target

# (class, day) -> the day's key, of those that live.
DayKeys = Mapping[tuple[str, date], bytes]
_HEAD: Final = 64 * 1024
_TAIL: Final = 512


class Laid(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. dead_days: objects whose day's key is destroyed; they stay closed for ever."""

    days: int
    rows: int
    dead_days: tuple[str, ...]
    segments: int
    files: int


class Source(msgspec.Struct, frozen=True):
    """One backup and what opens it."""

    target: Target
    made: Manifest
    key: BackupKey
    days: DayKeys

    def second(self, item: Item) -> bytes | None:
        """The second key of an object; None when it needs none. Raises Broken ``backup_damaged`` when it is gone."""
        if item.key_class is None or item.day is None:
            return None
        found = self.days.get((item.key_class, item.day))
        if found is None:
            raise damaged(
                f"The key of {item.name} was destroyed: this backup has ended, or is younger than the keys' export."
            )
        return found

    def lives(self, item: Item) -> bool:
        """Whether its second key, if it needs one, is still there."""
        return item.key_class is None or item.day is None or (item.key_class, item.day) in self.days

    def chunks(self, item: Item) -> Iterator[bytes]:
        """An object's content."""
        return manifest.chunks(self.target, self.made, item, self.key, also=self.second(item))


def database(source: Source, url: str, bin_dir: Path, told: Callable[[str], None] = lambda _: None) -> Laid:
    """Fills the empty database at ``url`` (the owner's) in one transaction; the journal and files come by ``files``.

    Raises Conflict ``database_not_empty``, Broken ``backup_damaged``, Unavailable ``program_failed``.
    """
    psql = programs.find(bin_dir, "psql")
    version = _empty(url)
    days = [item for item in source.made.items if item.kind == "day"]
    living = [item for item in days if source.lives(item)]

    def script() -> Iterator[bytes]:
        for name in ("pre", "data"):
            told(name)
            yield from _plain(source.chunks(source.made.item(name)), version)
        for item in living:
            told(item.name)
            yield from _copy(item, source.chunks(item))
        left_out = set(source.made.left_out)
        for table, statement in selection.LETTING_GO:
            if table in left_out:
                yield statement.encode() + b";\n"
        told("post")
        yield from _plain(source.chunks(source.made.item("post")), version)

    arguments = ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--file=-"]
    programs.feed(psql, url, arguments, script())
    return Laid(
        days=len(living),
        rows=sum(item.rows or 0 for item in living),
        dead_days=tuple(item.name for item in days if not source.lives(item)),
        segments=0,
        files=0,
    )


def files(source: Source, data: Path, *, journal: bool = True) -> tuple[int, int]:
    """Lays the journal's segments, stored content and small files into ``data``; (segments, files).

    Segments whose day's key is destroyed stay away: what they held has ended.
    """
    segments = count = 0
    for item in source.made.items:
        if item.kind == "journal" and journal and source.lives(item):
            path = _inside(data / "journal", item.path)
            _write(path, source.chunks(item))
            segments += 1
        elif item.kind == "file" and source.lives(item):
            if (item.path or "").startswith("objects/"):
                count += untar(data / "objects", source.chunks(item))
            else:
                _write(_inside(data, item.path), source.chunks(item))
                count += 1
    return segments, count


def counts(url: str, made: Manifest) -> dict[str, int]:
    """How many rows each day of the backup has in the database at ``url`` (the owner's), by the object's name."""
    found: dict[str, int] = {}
    failure: RuxaError
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            for item in made.items:
                if item.kind != "day" or item.table is None or item.path is None:
                    continue
                partition = sql.Identifier(item.table.partition(".")[0], item.path)
                row = connection.execute(sql.SQL("SELECT count(*) FROM ONLY {}").format(partition)).fetchone()
                assert row is not None
                found[item.name] = int(row[0])
            return found
    except psycopg.Error as error:
        failure = fault.of(error)
    raise failure


def _empty(url: str) -> int:
    """The server's major version, when the database holds nothing of ours."""
    failure: RuxaError
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN"
                " ('information_schema', 'public')"
            ).fetchone()
            assert row is not None
            if row[0] == 0:
                return connection.info.server_version // 10000
        failure = Conflict("The database to restore into is not empty.", code="database_not_empty")
    except psycopg.Error as error:
        failure = fault.of(error)
    raise failure


def _plain(chunks: Iterable[bytes], version: int) -> Iterator[bytes]:
    """pg_dump's text as an older server and psql take it: without what only newer ones know."""
    head, begun, tail = b"", False, b""
    for chunk in chunks:
        if not begun:
            head += chunk
            if len(head) < _HEAD:
                continue
            chunk, begun = _lines_of_today(head, version), True
        tail += chunk
        yield tail[:-_TAIL]
        tail = tail[-_TAIL:]
    if not begun:
        tail = _lines_of_today(head, version)
    # psql's own guard against a dump from a foreign server; ours is proved to be ours.
    yield b"\n".join(line for line in tail.split(b"\n") if not line.startswith(b"\\unrestrict "))


def _lines_of_today(head: bytes, version: int) -> bytes:
    lines = head.split(b"\n")
    kept: list[bytes] = []
    for number, line in enumerate(lines):
        if number < 40 and (
            line.startswith(b"\\restrict ") or (version < 17 and line == b"SET transaction_timeout = 0;")
        ):
            continue
        kept.append(line)
    return b"\n".join(kept)


def _copy(item: Item, chunks: Iterable[bytes]) -> Iterator[bytes]:
    assert item.table is not None
    assert item.path is not None
    partition = sql.Identifier(item.table.partition(".")[0], item.path)
    names = sql.SQL(", ").join(map(sql.Identifier, item.columns))
    yield sql.SQL("COPY {} ({}) FROM stdin;\n").format(partition, names).as_bytes()
    yield from chunks
    yield b"\\.\n"


def _inside(root: Path, path: str | None) -> Path:
    """A path of the backup below ``root``; one that leads out of it is refused."""
    parts = PurePosixPath(path or "")
    if path is None or parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise damaged("It names a file outside the data directory.")
    return root / parts


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as out:
        for chunk in chunks:
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())


class _Stream(io.RawIOBase):
    """Chunks as a file that is read once."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        while not self._rest:
            following = next(self._chunks, None)
            if following is None:
                return 0
            self._rest = memoryview(following)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def untar(root: Path, chunks: Iterable[bytes], *, dirs: bool = False) -> int:
    """Writes a tar stream's regular files (and directories, links never) below ``root``; how many files."""
    count = 0
    stream = io.BufferedReader(_Stream(chunks), 1 << 20)
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                path = _inside(root, member.name.removeprefix("./") or ".") if member.name not in (".", "./") else root
                if member.isdir():
                    if dirs:
                        path.mkdir(mode=0o700, parents=True, exist_ok=True)
                    continue
                if not member.isfile():
                    raise damaged("It holds something that is no file.")
                source = tar.extractfile(member)
                assert source is not None
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
                count += 1
        # To the very end: only there it shows that nothing was cut off.
        while stream.read(1 << 20):
            pass
    except tarfile.TarError:
        raise damaged("Its archive of files cannot be read.") from None
    return count
