"""Flusher: usage rows from the journal's writer to the database, in batches, some times a second (decision D19).

A row leaves memory only when the database has committed it; a segment's file is unlinked only when all its rows are
and its permanent row says so. While the database is away rows wait here and in the journal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice, takewhile

from ruxa.gateway.journal import Journal, Segment, discard
from ruxa.gateway.metrics import Metrics
from ruxa.kernel.errors import RuxaError, Unavailable
from ruxa.kernel.signals import Sink
from ruxa.ledger import packed, usage
from ruxa.ledger.leases import Leases, Reservation, Works

EVERY_S = 0.5
AGAIN_S = 0.5
BATCH_ROWS = 1000
WAITING_ROWS_MAX = 200_000


class Flusher:
    """The rows of one worker that the database does not have yet."""

    def __init__(
        self, works: Works, journal: Journal, leases: Leases, worker: str, run: int, *, sink: Sink, metrics: Metrics
    ) -> None:
        self._works = works
        self._journal = journal
        self._leases = leases
        self._worker = worker
        self._run = run
        self._sink = sink
        self._metrics = metrics
        self._waiting: deque[tuple[Segment, bytes, Reservation | None]] = deque()
        # A packed row that the journal's segment holds already, and the reservation that it names, if any.
        self.put = self._waiting.append
        self._begun: set[int] = set()
        self._flushing = asyncio.Lock()

    def full(self) -> bool:
        """So many rows wait that no new call should add to them."""
        return len(self._waiting) >= WAITING_ROWS_MAX

    def __len__(self) -> int:
        return len(self._waiting)

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            pause_s = EVERY_S if await self.flush() else AGAIN_S
            if not self._waiting and not self._journal.full:
                await self._journal.used.wait()
            self._journal.used.clear()
            await asyncio.sleep(pause_s)

    async def flush(self) -> bool:
        """Commit what waits and let finished segments go; False when the database is away."""
        async with self._flushing:
            try:
                while self._waiting:
                    await self._flush_some()
                for segment in self._journal.acknowledged():
                    await self._acknowledge(segment)
            except Unavailable:
                return False
            return True

    async def _flush_some(self) -> None:
        batch = list(islice(self._waiting, BATCH_ROWS))
        segment = batch[0][0]
        if batch[-1][0] is not segment:
            batch = list(takewhile(lambda waiting: waiting[0] is segment, batch))
        rows = [row for _, row, _ in batch]
        paid = [paid_by for _, _, paid_by in batch]
        booked = len(rows)
        try:
            await self._book(segment, rows)
        except Unavailable:
            raise
        except RuxaError as fault:
            # One row the database can't take must not hold up the others.
            self._sink.emit("ledger.finding", "error", proof="usage_flush", value=fault.detail or fault.code)
            for index, row in enumerate(rows):
                if not await self._book_alone(segment, row):
                    paid[index] = None
                    booked -= 1
        drop = self._waiting.popleft
        for _ in rows:
            drop()
        # A row that is not booked keeps its segment on disk: the next start tries it again.
        segment.rows -= booked
        self._leases.settled(filter(None, paid))
        self._metrics.rows_flushed += booked

    async def _book(self, segment: Segment, rows: Sequence[bytes]) -> None:
        name = usage.Segment(self._worker, self._run, segment.number)
        async with self._works.work() as work:
            if segment.number not in self._begun:
                await usage.segment_begin(work, name)
            flushed = await packed.flush(work, rows, name)
        self._begun.add(segment.number)
        for _, reason in flushed.refused:
            self._sink.emit("ledger.finding", "error", proof="usage_refused", value=reason)

    async def _book_alone(self, segment: Segment, row: bytes) -> bool:
        try:
            await self._book(segment, [row])
        except Unavailable:
            raise
        except RuxaError as fault:
            self._sink.emit("ledger.finding", "error", proof="usage_row", value=fault.detail or fault.code)
            return False
        return True

    async def _acknowledge(self, segment: Segment) -> None:
        name = usage.Segment(self._worker, self._run, segment.number)
        try:
            async with self._works.work() as work:
                if segment.number not in self._begun:
                    await usage.segment_begin(work, name)
                await usage.segment_acknowledge(work, name, sha256=segment.digest.digest(), rows=segment.written)
        except Unavailable:
            self._journal.full.append(segment)
            raise
        self._begun.discard(segment.number)
        discard(segment)
