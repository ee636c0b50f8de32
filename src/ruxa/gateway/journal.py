"""The journal: one append-only file per run of a worker, so that a delivered call is charged once whatever dies (D19).

A segment is a file ``DATA/journal/<worker>/<run>-<number>.rxj``: a header (``HEADER``), then frames
``length, crc32, number`` + sealed payload, the rest zeros (its room is taken from the disk beforehand, so that a full
disk refuses new calls and never an answer that is under way). A payload is one or more records (kind, length, body),
sealed with AES-256-GCM under a key derived from the usage day key, the worker, the run and the segment; the nonce is
the frame's number, which is never used twice. Records: INTENT (a lease is about to be asked for), OPEN (a call goes
upstream), CLOSE (the whole usage row, written before the last byte of the answer goes out).

One ``pwrite`` a turn of the loop in which a CLOSE comes (or a stream's CLOSE); OPENs go with it, or after 5 ms. One
``fdatasync`` every 20 ms off the loop's thread. Segments are rotated when full or old, and unlinked once every row in
them is committed in the database and the segment's permanent row says so.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from zlib import crc32

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import RuxaError, Unavailable
from ruxa.kernel.signals import Sink

MAGIC = b"RXJ1"
HEADER = struct.Struct(">4sQII16sI")  # magic, run, number, day (proleptic ordinal), salt, crc32 of what precedes
FRAME = struct.Struct(">III")  # length of the sealed payload, crc32 of it, number of the frame (the nonce)

RECORD = struct.Struct(">cH")  # kind, length of the body; a payload is one or more records
FRAME_EXTRA = FRAME.size + RECORD.size + 16  # and the tag
_RECORD = RECORD.pack
_OPEN = struct.Struct(">cH16s16sQ").pack

INTENT, OPEN, CLOSE = b"I", b"O", b"C"

SEGMENT_BYTES = 16 * 1024 * 1024
SEGMENT_AGE_S = 60
SYNC_EVERY_S = 0.02
OPEN_WITHIN_S = 0.005
OPEN_BYTES = 40 + FRAME_EXTRA  # as if each had a frame of its own
CLOSE_BYTES_MAX = 1536  # a usage row, sealed and framed; what is kept free for every open call
RECORD_BYTES_MAX = CLOSE_BYTES_MAX - FRAME_EXTRA

DayKey = Callable[[date], Awaitable[bytes]]


def segment_key(day_key: bytes, worker: str, run: int, number: int, salt: bytes) -> bytes:
    """The 32-byte key of one segment."""
    info = b"ruxa.journal|%b|%d|%d" % (worker.encode(), run, number)
    return HKDF(SHA256(), 32, salt, info).derive(day_key)


class Segment:
    """One file of the journal while this run holds it."""

    __slots__ = (
        "born",
        "day",
        "digest",
        "fd",
        "frames",
        "number",
        "offset",
        "path",
        "rows",
        "run",
        "seal",
        "size",
        "written",
    )

    def __init__(self, path: Path, fd: int, run: int, number: int, day: date, key: bytes, header: bytes, size: int):
        self.path = path
        self.fd = fd
        self.run = run
        self.number = number
        self.day = day
        self.seal = AESGCM(key).encrypt
        self.size = size
        self.offset = len(header)
        self.frames = 0
        self.rows = 0  # CLOSE records not yet committed in the database
        self.written = 0  # CLOSE records in all
        self.born = monotonic()
        self.digest = hashlib.sha256(header)  # over the header and every frame's tag: names the content

    def end(self) -> None:
        """Close the file; the content stays."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Journal:
    """The writing side. ``append`` is synchronous and cheap; everything slow happens in ``tick`` and threads."""

    def __init__(
        self,
        directory: Path,
        worker: str,
        run: int,
        *,
        day_key: DayKey,
        today: Callable[[], date],
        sink: Sink,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.directory = directory
        self.worker = worker
        self.run = run
        self.day_key = day_key
        self.today = today
        self.sink = sink
        self.segment_bytes = segment_bytes
        self.open_calls = 0
        self.full: list[Segment] = []  # rotated out, waiting for their rows to be committed
        self.failed: str | None = None  # after a sync that failed: nobody knows what reached the disk
        self._current: Segment | None = None
        self._standby: Segment | None = None
        self._number = 0
        self._lock = -1
        self._waiting: list[bytes] = []  # CLOSEs of this turn of the loop and the last OPENs, not written yet
        self._closing: list[Callable[[Segment | None], None]] = []  # who waits for a CLOSE among them
        self._late: asyncio.TimerHandle | None = None  # writes OPENs that no other record took along
        self._dirty = False
        # Something was written, or a segment is full: there may be something for the database.
        self.used = asyncio.Event()
        self._preparing: asyncio.Task[None] | None = None
        self._syncing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take the directory (Unavailable when another process has it) and make the first two segments."""
        self.lock()
        self._current = await self._make()
        self._standby = await self._make()

    def lock(self) -> None:
        """Hold the worker's directory. Raises Unavailable ``journal_in_use`` when another process holds it."""
        if self._lock >= 0:
            return
        self._lock = lock(self.directory)

    # -- writing ------------------------------------------------------------------------------------------------

    def intent(self, intent: bytes) -> None:
        """Say that a lease is about to be asked for, so that a crash before the answer leaves a trace."""
        self._write(INTENT, intent, self.open_calls)

    def open(self, call: int, lease: bytes, hold_micros: int) -> None:
        """A call is about to go upstream (its id as an integer). Raises Unavailable when no CLOSE could be written.

        The record goes to the file with the next one, after 5 ms at the latest: it only tells what was lost.
        """
        segment = self._current
        if segment is None or self.failed is not None:
            raise _unavailable()
        waiting = self._waiting
        kept = (self.open_calls + 1) * CLOSE_BYTES_MAX + (len(waiting) + 1) * OPEN_BYTES
        if segment.offset + kept > segment.size:
            self._rotate(kept)
        self.open_calls += 1
        if self._late is None:
            self._late = asyncio.get_running_loop().call_later(OPEN_WITHIN_S, self._write_late)
        waiting.append(_OPEN(OPEN, 40, call.to_bytes(16, "big"), lease, hold_micros))

    def abandon(self) -> None:
        """A call that was opened will not be closed by a row of its own (its answer is not charged)."""
        self.open_calls -= 1

    def close(self, row: bytes) -> Segment:
        """The usage row of a call, encoded; gives the segment that holds it. Raises Unavailable."""
        segment = self._write(CLOSE, row, self.open_calls - 1)
        self.open_calls -= 1
        segment.rows += 1
        segment.written += 1
        return segment

    def close_in_turn(self, row: bytes, then: Callable[[Segment | None], None]) -> None:
        """As ``close``, but written together with every other record of the loop's turn; then ``then`` is called, with
        None when it could not be written. For whole answers, which go out after that."""
        size = len(row)
        assert size <= RECORD_BYTES_MAX, size
        waiting, closing = self._waiting, self._closing
        if not closing:
            asyncio.get_running_loop().call_soon(self._write_waiting)
        waiting.append(_RECORD(CLOSE, size))
        waiting.append(row)
        closing.append(then)

    def note(self, row: bytes) -> Segment:
        """A usage row that had no OPEN (a refused or free call)."""
        segment = self._write(CLOSE, row, self.open_calls)
        segment.rows += 1
        segment.written += 1
        return segment

    def _write(self, kind: bytes, body: bytes, kept_calls: int) -> Segment:
        """One record, with the OPENs that wait, as one frame by one write."""
        segment = self._current
        if segment is None or self.failed is not None:
            raise _unavailable()
        size = len(body)
        assert size <= RECORD_BYTES_MAX, size
        waiting = self._waiting
        # Room is kept for the CLOSE of every open call, so only records that come before a call's work can be refused.
        kept = kept_calls * CLOSE_BYTES_MAX + len(waiting) * OPEN_BYTES + FRAME_EXTRA + size
        if segment.offset + kept > segment.size:
            segment = self._rotate(kept)
        if waiting:
            waiting.append(_RECORD(kind, size))
            waiting.append(body)
            plain = b"".join(waiting)
            waiting.clear()
        else:
            plain = _RECORD(kind, size) + body
        self._seal_turn(segment, plain)
        return segment

    def _write_late(self) -> None:
        self._late = None
        self._write_waiting()

    def _write_waiting(self) -> None:
        """The end of a turn of the loop: all that waits, as one frame."""
        waiting, segment = self._waiting, self._current
        if not waiting:
            return
        plain = b"".join(waiting)
        waiting.clear()
        if segment is None or self.failed is not None:
            self._closed(None)
        else:
            with suppress(Unavailable):  # told; whoever waits for it is told so too
                self._seal_turn(segment, plain)

    def _seal_turn(self, segment: Segment, plain: bytes) -> None:
        """A frame that may hold CLOSEs of this turn: whoever waits for them goes on."""
        if not self._closing:
            self._seal(segment, plain)
            return
        try:
            self._seal(segment, plain)
        except Unavailable:
            self._closed(None)
            raise
        self._closed(segment)

    def _closed(self, segment: Segment | None) -> None:
        closing, self._closing = self._closing, []
        self.open_calls -= len(closing)
        if segment is not None:
            segment.rows += len(closing)
            segment.written += len(closing)
        self._go_on(closing, segment)

    def _go_on(self, closing: list[Callable[[Segment | None], None]], segment: Segment | None) -> None:
        closing.reverse()
        try:
            while closing:
                closing.pop()(segment)
        finally:
            if closing:  # one of them broke: the others are not to wait for ever
                closing.reverse()
                asyncio.get_running_loop().call_soon(self._go_on, closing, segment)

    def _seal(self, segment: Segment, plain: bytes) -> None:
        number = segment.frames
        segment.frames = number + 1
        sealed = segment.seal(number.to_bytes(12, "big"), plain, None)
        frame = FRAME.pack(len(sealed), crc32(sealed), number) + sealed
        try:
            written = os.pwrite(segment.fd, frame, segment.offset)
        except OSError as fault:
            raise self._refused(fault) from None
        if written != len(frame):
            # A torn frame: wiped as far as possible; the next one takes its place under another number.
            os.pwrite(segment.fd, bytes(max(written, 0)), segment.offset)
            raise self._refused(OSError(errno.ENOSPC, "short write"))
        segment.offset += written
        segment.digest.update(sealed[-16:])
        if not self._dirty:
            self._dirty = True
            asyncio.get_running_loop().call_later(SYNC_EVERY_S, self._sync_soon)

    def _refused(self, fault: OSError) -> Unavailable:
        code = errno.errorcode.get(fault.errno or 0, "OSError")
        self.sink.emit("journal.refused", "error", worker=self.worker, code=code)
        return _unavailable()

    def _rotate(self, kept: int) -> Segment:
        old, fresh = self._current, self._standby
        assert old is not None
        if fresh is None or fresh.offset + kept > fresh.size:
            # No room prepared: the disk is full, the keys are away, or too many calls are open.
            if fresh is None:
                self._prepare()
            raise self._refused(OSError(errno.ENOSPC, "no segment"))
        self._current, self._standby = fresh, None
        fresh.born = monotonic()
        self.full.append(old)
        self.used.set()
        self._prepare()
        return fresh

    # -- housekeeping -------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Once a second: rotate what is old, make the standby, keep it of today."""
        segment, standby, today = self._current, self._standby, self.today()
        if standby is not None and standby.day != today:
            self._standby = None
            discard(standby)
        if self._standby is None:
            self._prepare()
        elif (
            segment is not None
            and segment.frames
            and (segment.day != today or monotonic() - segment.born > SEGMENT_AGE_S)
        ):
            self._rotate(self.open_calls * CLOSE_BYTES_MAX)

    def ready(self) -> bool:
        """True while a new call could be journaled."""
        segment = self._current
        if segment is None or self.failed is not None:
            return False
        needed = (len(self._waiting) + 1) * OPEN_BYTES + (self.open_calls + 1) * CLOSE_BYTES_MAX
        standby = self._standby
        return segment.offset + needed <= segment.size or (
            standby is not None and standby.offset + needed <= standby.size
        )

    def acknowledged(self) -> list[Segment]:
        """The rotated segments whose rows are all committed; the caller records and unlinks them."""
        done = [segment for segment in self.full if segment.rows == 0]
        if done:
            self.full = [segment for segment in self.full if segment.rows]
        return done

    async def stop(self) -> None:
        """Sync, rotate everything out, close the files; the caller acknowledges ``full`` and then calls ``unlock``."""
        if self._preparing is not None:
            await asyncio.wait([self._preparing])
        self._write_waiting()
        await self._sync()
        if self._standby is not None:
            discard(self._standby)
            self._standby = None
        if self._current is not None:
            if self._current.frames:
                self.full.append(self._current)
            else:
                discard(self._current)
            self._current = None

    def unlock(self) -> None:
        """Let the directory go."""
        for segment in self.full:
            segment.end()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _prepare(self) -> None:
        if self._preparing is None or self._preparing.done():
            self._preparing = asyncio.get_running_loop().create_task(self._prepare_standby())

    async def _prepare_standby(self) -> None:
        try:
            segment = await self._make()
        except OSError as fault:
            self._refused(fault)
        except RuxaError as fault:
            self.sink.emit("journal.refused", "error", worker=self.worker, code=fault.code)
        else:
            if self._standby is None and self._current is not None:
                self._standby = segment
            else:
                discard(segment)

    async def _make(self) -> Segment:
        day = self.today()
        key = await self.day_key(day)
        self._number += 1
        return await asyncio.to_thread(self._create, day, key, self._number)

    def _create(self, day: date, day_key: bytes, number: int) -> Segment:
        salt = os.urandom(16)
        fields = (MAGIC, self.run, number, day.toordinal(), salt)
        head = HEADER.pack(*fields, 0)[:-4]
        header = head + crc32(head).to_bytes(4, "big")
        path = self.directory / f"{self.run:010d}-{number:06d}.rxj"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, self.segment_bytes)
            os.pwrite(fd, header, 0)
            os.fsync(fd)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        key = segment_key(day_key, self.worker, self.run, number, salt)
        return Segment(path, fd, self.run, number, day, key, header, self.segment_bytes)

    def _sync_soon(self) -> None:
        self.used.set()
        self._syncing = asyncio.get_running_loop().create_task(self._sync())

    async def _sync(self) -> None:
        self._dirty = False
        fds = [segment.fd for segment in (*self.full[-1:], self._current) if segment is not None and segment.fd >= 0]
        try:
            await asyncio.get_running_loop().run_in_executor(None, _fdatasync, fds)
        except OSError as fault:
            # After a failed sync nobody knows what reached the disk: no new call until a restart replays.
            self.failed = errno.errorcode.get(fault.errno or 0, "OSError")
            self._refused(fault)


def _unavailable() -> Unavailable:
    return Unavailable("The journal can't be written now. Try again shortly.", code="journal_unavailable")


def _fdatasync(fds: list[int]) -> None:
    for fd in fds:
        try:
            os.fdatasync(fd)
        except OSError as fault:
            if fault.errno != errno.EBADF:  # closed meanwhile: acknowledged, hence committed
                raise


def lock(directory: Path) -> int:
    """Hold a worker's directory; gives the descriptor to close. Raises Unavailable ``journal_in_use``."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise Unavailable("Another process holds this worker's journal.", code="journal_in_use") from None
    return fd


def discard(segment: Segment) -> None:
    """Close and unlink a segment: empty, or acknowledged."""
    segment.end()
    segment.path.unlink(missing_ok=True)


def unlock(fd: int) -> None:
    """Let a directory go that ``lock`` held."""
    os.close(fd)
