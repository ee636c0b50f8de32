"""Books: the ledger as the journal of a worker sees it - runs, segments, rows, leases - and the recovery of a worker.

``recover`` is run by a worker for its own directory before it serves, and by the job worker for directories whose
worker is gone (``recover_all``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from pathlib import Path

import msgspec

from ruxa.gateway import journal, recovery
from ruxa.kernel.errors import RuxaError, Unavailable
from ruxa.kernel.signals import Sink
from ruxa.ledger import leases, packed, usage
from ruxa.ledger.leases import Intent, Works

DayKey = Callable[[date], Awaitable[bytes]]

encode_intent = msgspec.msgpack.Encoder().encode
_decode_intent = msgspec.msgpack.Decoder(Intent).decode


class LedgerBooks:
    """``recovery.Books`` on the ledger's tables, for one worker's name."""

    def __init__(self, works: Works, worker: str, sink: Sink) -> None:
        self._works = works
        self.worker = worker
        self._sink = sink

    async def begin(self, run: int, number: int) -> str:
        """See ``recovery.Books``."""
        async with self._works.work() as work:
            return await usage.segment_begin(work, usage.Segment(self.worker, run, number))

    async def book(self, run: int, number: int, rows: Sequence[bytes]) -> tuple[int, int]:
        """See ``recovery.Books``."""
        try:
            return await self._book(run, number, rows), 0
        except Unavailable:
            raise
        except RuxaError as fault:
            # A row that the database can't take must not keep the others, and the worker, waiting for ever.
            self._sink.emit("ledger.finding", "error", proof="usage_replay", value=fault.detail or fault.code)
        booked = failed = 0
        for row in rows:
            try:
                booked += await self._book(run, number, [row])
            except Unavailable:
                raise
            except RuxaError:
                failed += 1
        return booked, failed

    async def _book(self, run: int, number: int, rows: Sequence[bytes]) -> int:
        async with self._works.work() as work:
            flushed = await packed.flush(work, rows, usage.Segment(self.worker, run, number))
        for _, reason in flushed.refused:
            self._sink.emit("ledger.finding", "error", proof="usage_refused", value=reason)
        return flushed.booked

    async def close_leases(self, run: int, intents: Sequence[bytes]) -> None:
        """See ``recovery.Books``."""
        async with self._works.work() as work:
            found = [_decode_intent(intent) for intent in intents]
            await leases.close_all(work, found, worker=self.worker, run=run)

    async def acknowledge(self, run: int, number: int, digest: bytes, rows: int) -> None:
        """See ``recovery.Books``."""
        async with self._works.work() as work:
            segment = usage.Segment(self.worker, run, number)
            await usage.segment_acknowledge(work, segment, sha256=digest, rows=rows)

    async def refuse(self, run: int, number: int, digest: bytes, reason: str) -> None:
        """See ``recovery.Books``."""
        async with self._works.work() as work:
            segment = usage.Segment(self.worker, run, number)
            await usage.segment_refuse(work, segment, sha256=digest, reason=reason)

    async def end_runs(self, but: int | None = None) -> None:
        """Every earlier run of this worker is drained: nothing of it is on file any more."""
        async with self._works.work() as work:
            for run in await usage.runs_open(work, self.worker):
                if run != but:
                    await usage.run_end(work, self.worker, run)


async def replay(directory: Path, books: LedgerBooks, *, day_key: DayKey, today: date, sink: Sink) -> int:
    """Book every segment in ``directory`` (its lock is held); gives the rows that were new. Raises Unavailable."""
    return await recovery.replay(directory, books.worker, day_key=day_key, today=today, books=books, sink=sink)


async def recover(directory: Path, worker: str, works: Works, *, day_key: DayKey, today: date, sink: Sink) -> int:
    """Book what earlier runs of ``worker`` left in ``directory`` (its lock is held); gives the rows that were new."""
    books = LedgerBooks(works, worker, sink)
    booked = await replay(directory, books, day_key=day_key, today=today, sink=sink)
    await books.end_runs()
    return booked


async def recover_all(root: Path, works: Works, *, day_key: DayKey, today: date, sink: Sink) -> int:
    """The job worker's round: every directory below ``root`` that no living worker holds."""
    booked = 0
    for directory in sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else ():
        if not any(directory.glob("*.rxj")):
            continue
        try:
            held = journal.lock(directory)
        except Unavailable:
            continue
        try:
            booked += await recover(directory, directory.name, works, day_key=day_key, today=today, sink=sink)
        finally:
            journal.unlock(held)
    return booked
