"""Recovery: what a dead run of a worker left in its journal becomes usage rows, exactly once (decision D19).

Run at the start of a worker for its own directory, and by the job worker for directories whose worker is gone. It may
run any number of times and be killed at any point: rows have unique ids, a segment is unlinked only after its permanent
row says ``acknowledged``, and a segment that says so already is refused and reported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol
from zlib import crc32

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ruxa.gateway.journal import CLOSE, FRAME, HEADER, INTENT, MAGIC, OPEN, RECORD, segment_key
from ruxa.kernel import bounds
from ruxa.kernel.errors import Conflict, NotFound
from ruxa.kernel.signals import Sink

BATCH_ROWS = 500
TAG_BYTES = 16
PAYLOAD_BYTES_MAX = 4 * 1024 * 1024

Unseal = Callable[[bytes, bytes, None], bytes]


class Header(msgspec.Struct, frozen=True):
    """The plain start of a segment."""

    run: int
    number: int
    day: date
    salt: bytes
    raw: bytes


class Contents(msgspec.Struct):
    """What a segment holds. ``damaged`` counts whole frames that fail their checks; a torn tail is none of them."""

    rows: list[bytes]
    intents: list[bytes]
    opened: int
    frames: int
    damaged: int
    digest: bytes


class Books(Protocol):
    """Where a worker's segments are booked: the ledger; ``books.LedgerBooks`` is it."""

    async def begin(self, run: int, number: int) -> str:
        """Register a segment; the state of its permanent row: open, acknowledged, refused."""
        ...

    async def book(self, run: int, number: int, rows: Sequence[bytes]) -> tuple[int, int]:
        """Commit encoded usage rows, each once for ever; gives how many were new and how many can't be booked."""
        ...

    async def close_leases(self, run: int, intents: Sequence[bytes]) -> None:
        """Settle the leases whose intent is on file; all rows are booked by then."""
        ...

    async def acknowledge(self, run: int, number: int, digest: bytes, rows: int) -> None:
        """Write down, durably, that the segment is booked. Raises Conflict when it was so with other content."""
        ...

    async def refuse(self, run: int, number: int, digest: bytes, reason: str) -> None:
        """Write down that the segment is never booked."""
        ...


def read_header(data: bytes | memoryview) -> Header | None:
    """The header, or None when it was never written whole or is not ours."""
    if len(data) < HEADER.size:
        return None
    magic, run, number, day, salt, check = HEADER.unpack_from(data)
    raw = bytes(data[: HEADER.size])
    if magic != MAGIC or crc32(raw[:-4]) != check:
        return None
    return Header(run, number, date.fromordinal(day), salt, raw)


def read(data: bytes, header: Header, key: bytes) -> Contents:
    """Every record of a segment that can be trusted, in order. Never raises for what a crash or a bad disk left."""
    unseal = AESGCM(key).decrypt
    contents = Contents([], [], 0, 0, 0, b"")
    digest = hashlib.sha256(header.raw)
    at, written = HEADER.size, len(data.rstrip(b"\0"))
    while at < written:
        frame = _frame(data, at, contents.frames + contents.damaged, unseal)
        if frame is None:
            following = _resume(data, at + 1, written)
            if following is None:
                contents.damaged += _last(data, at, written, contents, unseal)
                break
            contents.damaged += 1
            at = following
            continue
        sealed, plain, whole = frame
        contents.damaged += not whole
        at += FRAME.size + len(sealed)
        contents.frames += 1
        digest.update(sealed[-16:])
        _take(contents, plain)
    contents.digest = digest.digest()
    return contents


def _take(contents: Contents, plain: bytes) -> None:
    """The records of one frame."""
    at, end = 0, len(plain)
    while at + RECORD.size <= end:
        kind, size = RECORD.unpack_from(plain, at)
        at += RECORD.size
        body = plain[at : at + size]
        at += size
        if kind == CLOSE:
            contents.rows.append(body)
        elif kind == OPEN:
            contents.opened += 1
        elif kind == INTENT:
            contents.intents.append(body)


def _frame(data: bytes, at: int, expected: int, unseal: Unseal) -> tuple[bytes, bytes, bool] | None:
    """The frame at ``at``: sealed and plain payload, and whether its plain fields agree with them too."""
    if at + FRAME.size > len(data):
        return None
    length, check, number = FRAME.unpack_from(data, at)
    after = at + FRAME.size + length
    if not TAG_BYTES < length <= PAYLOAD_BYTES_MAX or after > len(data):
        return None
    sealed = data[at + FRAME.size : after]
    plain = _unsealed(unseal, number, sealed)
    if plain is not None:
        return sealed, plain, crc32(sealed) == check
    if crc32(sealed) == check and number != expected:
        plain = _unsealed(unseal, expected, sealed)
        if plain is not None:
            return sealed, plain, False
    return None


def _resume(data: bytes, at: int, end: int) -> int | None:
    """Where the next frame with a good checksum starts, after one that can't be read."""
    while at + FRAME.size < end:
        length, check, _ = FRAME.unpack_from(data, at)
        if TAG_BYTES < length <= PAYLOAD_BYTES_MAX:
            after = at + FRAME.size + length
            if after <= len(data) and crc32(data[at + FRAME.size : after]) == check:
                return at
        at += 1
    return None


def _last(data: bytes, at: int, written: int, contents: Contents, unseal: Unseal) -> int:
    """What stands last and can't be read: 0 for a torn tail, 1 for damage (whose record is saved where it can be)."""
    if at + FRAME.size >= written:
        return 0
    length, check, number = FRAME.unpack_from(data, at)
    for end in range(written, min(written + TAG_BYTES, len(data)) + 1):
        sealed = data[at + FRAME.size : end]
        if crc32(sealed) == check:
            plain = _unsealed(unseal, number, sealed)
            if plain is not None:
                contents.frames += 1
                _take(contents, plain)
            return 1
    return int(at + FRAME.size + length <= written)


def _unsealed(unseal: Unseal, number: int, sealed: bytes) -> bytes | None:
    try:
        return unseal(number.to_bytes(12, "big"), sealed, None)
    except InvalidTag:
        return None


async def replay(
    directory: Path,
    worker: str,
    *,
    day_key: Callable[[date], Awaitable[bytes]],
    today: date,
    books: Books,
    sink: Sink,
) -> int:
    """Book what every segment in ``directory`` holds; gives the number of rows that were new.

    The caller holds the directory's lock. Raises Unavailable when the database is away, and then nothing is unlinked.
    """
    booked = 0
    for path in sorted(directory.glob("*.rxj")):
        data = path.read_bytes()
        header = read_header(data)
        if header is None:
            # The header is synced before a segment is used: zeros mean that nothing was ever written.
            if data.strip(b"\0"):
                _quarantine(path, sink, worker, 0, 0)
            else:
                path.unlink()
            continue
        booked += await _replay_one(path, data, header, worker, day_key=day_key, today=today, books=books, sink=sink)
    return booked


async def _replay_one(
    path: Path,
    data: bytes,
    header: Header,
    worker: str,
    *,
    day_key: Callable[[date], Awaitable[bytes]],
    today: date,
    books: Books,
    sink: Sink,
) -> int:
    run, number = header.run, header.number
    secret: bytes | None = None
    if header.day >= today - timedelta(days=bounds.USAGE_DAYS):
        with suppress(NotFound):
            secret = await day_key(header.day)
    if secret is None:
        await books.begin(run, number)
        await books.refuse(run, number, hashlib.sha256(data).digest(), "age")
        _quarantine(path, sink, worker, number, 0)
        return 0
    key = segment_key(secret, worker, run, number, header.salt)
    contents = read(data, header, key)
    if await books.begin(run, number) != "open":
        sink.emit("journal.refused", "warning", worker=worker, code="acknowledged")
        try:
            await books.acknowledge(run, number, contents.digest, len(contents.rows))
        except Conflict:
            _quarantine(path, sink, worker, number, contents.frames)
        else:
            path.unlink()  # the very content that is booked: the worker died just before it could do this
        return 0
    fresh = 0
    for start in range(0, len(contents.rows), BATCH_ROWS):
        booked, failed = await books.book(run, number, contents.rows[start : start + BATCH_ROWS])
        fresh += booked
        contents.damaged += failed
    if contents.intents:
        await books.close_leases(run, contents.intents)
    await books.acknowledge(run, number, contents.digest, len(contents.rows))
    if contents.rows:
        sink.emit("journal.replayed", worker=worker, segment=number, rows=len(contents.rows), late=fresh)
    if contents.damaged:
        _quarantine(path, sink, worker, number, contents.damaged)
    else:
        path.unlink()
    return fresh


def _quarantine(path: Path, sink: Sink, worker: str, segment: int, frames: int) -> None:
    sink.emit("journal.quarantined", "error", worker=worker, segment=segment, frames=frames)
    place = path.parent / "quarantine"
    place.mkdir(mode=0o700, exist_ok=True)
    target = place / path.name
    serial = 0
    while target.exists():
        serial += 1
        target = place / f"{path.name}.{serial}"
    path.rename(target)
