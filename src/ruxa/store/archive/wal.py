"""The write-ahead log of our own cluster, archived segment by segment, so that a base backup leads to any moment.

    wal/SYSTEM-TIMELINE/SEGMENT = one line of JSON (what it is, proof, signature) | sealed object

A replication slot of ours keeps segments until they are archived. The segment that is being written is archived too,
as far as it is on disk, and replaced next time: what is lost is what came since the last run. One object each, so that
it is there whole or not at all. The log holds all that base backups hold, and lives as long: 7 days.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
import psycopg

from ruxa.kernel import codec, signing
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import NotFound, RuxaError
from ruxa.kernel.signing import SigningKey
from ruxa.store import fault
from ruxa.store.archive import container, manifest
from ruxa.store.archive.container import BackupKey, damaged
from ruxa.store.archive.target import Target

PREFIX: Final = "wal"
SLOT: Final = "ruxa_archive"
SEGMENT_BYTES: Final = 16 << 20
_LINE_MAX: Final = 4096


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """What a segment's object is. bytes: of log it holds, from the segment's start; at: when that was on disk, by the
    server's own time; noted_at: by the instance's clock, which its end goes by.
    """

    instance: UUID
    system: str
    timeline: int
    segment: str
    bytes: int
    sha256: str
    at: datetime
    noted_at: datetime


class _Line(msgspec.Struct, frozen=True):
    piece: msgspec.Raw
    proof: str
    public: str
    signature: str


class Pushed(msgspec.Struct, frozen=True):
    """What a run archived: segments (the last may be in the writing), and up to which moment the log is safe."""

    segments: int
    at: datetime
    fresh_slot: bool


async def push(
    target: Target,
    admin_url: str,
    cluster: Path,
    instance: UUID,
    key: BackupKey,
    signer: SigningKey,
    clock: Clock,
    *,
    checkpoint: Callable[[str], None] = lambda _: None,
) -> Pushed:
    """Archives what was written since the last run. ``fresh_slot``: a gap lies before it, a new base backup is due.

    Raises Unavailable.
    """
    return await asyncio.to_thread(_push, target, admin_url, cluster, instance, key, signer, clock, checkpoint)


def _push(
    target: Target,
    url: str,
    cluster: Path,
    instance: UUID,
    key: BackupKey,
    signer: SigningKey,
    clock: Clock,
    checkpoint: Callable[[str], None],
) -> Pushed:
    failure: RuxaError
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=5, application_name="ruxa backup") as connection:
            # Two runs at once would archive the same: the second finds nothing left.
            connection.execute("SELECT pg_advisory_lock(hashtextextended('ruxa.archive', 0))")
            fresh = _slot(connection)
            system, timeline, start, end, at = _one(
                connection,
                "SELECT (SELECT system_identifier::text FROM pg_control_system()),"
                " (SELECT timeline_id FROM pg_control_checkpoint()), restart_lsn - '0/0'::pg_lsn,"
                " pg_current_wal_flush_lsn() - '0/0'::pg_lsn, clock_timestamp()"
                " FROM pg_replication_slots WHERE slot_name = %s",
                SLOT,
            )
            first, last = int(start) // SEGMENT_BYTES, int(end) // SEGMENT_BYTES
            for number in range(first, last + 1):
                held = SEGMENT_BYTES if number < last else int(end) % SEGMENT_BYTES
                if held == 0:
                    break
                name = segment_name(timeline, number)
                piece = (instance, system, timeline, name, at, clock.now())
                _put(target, cluster / "pg_wal" / name, held, piece, key, signer)
                checkpoint(f"stored {name}")
            if last > first:
                connection.execute(
                    "SELECT pg_replication_slot_advance(%s, '0/0'::pg_lsn + %s::numeric)", [SLOT, last * SEGMENT_BYTES]
                )
            return Pushed(last - first + 1, at, fresh)
    except psycopg.Error as error:
        failure = fault.of(error)
    raise failure


def _slot(connection: psycopg.Connection[Any]) -> bool:
    """Makes the slot when it is missing or was given up for keeping too much; whether it is new."""
    row = connection.execute(
        "SELECT wal_status = 'lost' OR restart_lsn IS NULL FROM pg_replication_slots WHERE slot_name = %s", [SLOT]
    ).fetchone()
    if row is not None and not row[0]:
        return False
    if row is not None:
        connection.execute("SELECT pg_drop_replication_slot(%s)", [SLOT])
    connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", [SLOT])
    return True


def drop_slot(admin_url: str) -> None:
    """Nobody archives any more: the cluster keeps no log for it."""
    failure: RuxaError
    try:
        with psycopg.connect(admin_url, autocommit=True, connect_timeout=5) as connection:
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                " WHERE slot_name = %s AND NOT active",
                [SLOT],
            )
            return
    except psycopg.Error as error:
        failure = fault.of(error)
    raise failure


def segment_name(timeline: int, number: int) -> str:
    """PostgreSQL's name of a segment of 16 MiB."""
    return f"{timeline:08X}{number >> 8:08X}{number & 0xFF:08X}"


def _put(
    target: Target,
    path: Path,
    held: int,
    piece: tuple[UUID, str, int, str, datetime, datetime],
    key: BackupKey,
    signer: SigningKey,
) -> None:
    instance, system, timeline, name, at, noted_at = piece
    with path.open("rb") as source:
        content = source.read(held)
    place = _place(instance, system, name)
    sealed = b"".join(container.seal(key.public, place, [content], count=lambda _: None))
    made = Piece(
        instance=instance,
        system=system,
        timeline=timeline,
        segment=name,
        bytes=held,
        sha256=container.sha256(sealed),
        at=at,
        noted_at=noted_at,
    )
    message = _message(codec.canonical(made))
    line = {
        "piece": msgspec.to_builtins(made),
        "proof": key.proof(message).hex(),
        "public": signer.public.hex(),
        "signature": signer.sign(message).hex(),
    }
    target.put(_object(system, timeline, name), [msgspec.json.encode(line) + b"\n", sealed])


def read(target: Target, name: str, key: BackupKey, instance: UUID) -> tuple[Piece, bytes]:
    """An archived segment and what it holds. Raises Broken ``backup_damaged``, NotFound ``object_missing``."""
    line, newline, sealed = b"".join(target.get(name)).partition(b"\n")
    try:
        if not newline or len(line) > _LINE_MAX:
            raise damaged(f"{name} is no segment of the log.")
        said = msgspec.json.decode(line, type=_Line)
        piece = msgspec.json.decode(said.piece, type=Piece)
        public, signature = bytes.fromhex(said.public), bytes.fromhex(said.signature)
    except (msgspec.MsgspecError, ValueError):
        raise damaged(f"{name} is no segment of the log.") from None
    message = _message(codec.canonical(piece))
    proved = compare_digest(key.proof(message).hex(), said.proof) and signing.verify(public, signature, message)
    if not proved or piece.instance != instance or _object(piece.system, piece.timeline, piece.segment) != name:
        raise damaged(f"{name} was not archived by this instance, or lies in another's place.")
    if container.sha256(sealed) != piece.sha256:
        raise damaged(f"{name} was changed.")
    content = b"".join(container.unseal(key, _place(instance, piece.system, piece.segment), [sealed]))
    if len(content) != piece.bytes:
        raise damaged(f"{name} was changed.")
    return piece, content


def fetch(target: Target, system: str, timeline: int, wal_from: str, key: BackupKey, instance: UUID, into: Path) -> int:
    """Lays the archived log from ``wal_from`` on into ``into``; how many segments. It ends at the first gap."""
    high, _, low = wal_from.partition("/")
    number = ((int(high, 16) << 32) + int(low, 16)) // SEGMENT_BYTES
    count = 0
    while True:
        name = segment_name(timeline, number)
        try:
            piece, content = read(target, _object(system, timeline, name), key, instance)
        except NotFound:
            return count
        path = into / name
        if not path.exists() or piece.bytes == SEGMENT_BYTES or _behind(path, content):
            path.unlink(missing_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as out:
                out.write(content)
                out.truncate(SEGMENT_BYTES)
                out.flush()
                os.fsync(out.fileno())
        count += 1
        number += 1
        if piece.bytes < SEGMENT_BYTES:
            return count


def _behind(path: Path, content: bytes) -> bool:
    """Whether what came with the base backup is less than what was archived later."""
    return len(path.read_bytes().rstrip(b"\0")) < len(content.rstrip(b"\0"))


def ends_at(target: Target, system: str, timeline: int, key: BackupKey, instance: UUID) -> datetime | None:
    """Up to which moment the newest archived segment holds the log; None without any."""
    names = target.under(f"{PREFIX}/{system}-{timeline}/")
    return read(target, names[-1], key, instance)[0].at if names else None


def pieces(target: Target) -> Iterator[tuple[str, datetime]]:
    """(object, moment by the instance's clock) of every archived segment, as they say themselves: for expiry."""
    for name in target.under(f"{PREFIX}/"):
        head = b""
        for chunk in target.get(name):
            head += chunk
            if b"\n" in head or len(head) > _LINE_MAX:
                break
        try:
            said = msgspec.json.decode(head.partition(b"\n")[0], type=_Line)
            yield name, msgspec.json.decode(said.piece, type=Piece).noted_at
        except msgspec.MsgspecError:
            continue


def _object(system: str, timeline: int, segment: str) -> str:
    return f"{PREFIX}/{system}-{timeline}/{segment.lower()}"


def _place(instance: UUID, system: str, segment: str) -> bytes:
    return manifest.place(instance, f"{PREFIX}-{system}", segment)


def _message(canonical: bytes) -> bytes:
    return b"ruxa1|backup segment|" + canonical


def _one(connection: psycopg.Connection[Any], statement: LiteralString, *args: object) -> tuple[Any, ...]:
    row = connection.execute(statement, args or None).fetchone()
    assert row is not None
    return row
