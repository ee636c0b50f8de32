"""Batches run: one worker at a time takes one up and makes its calls through the worker's own pipeline, as the key's.

Each call is a call like any other: the key's limits, budget and conditions hold, its price is the model's, its row is
in the ledger, and only its answer goes to a file instead of a socket. Calls of one batch run side by side, a few at a
time. What the key's limits or a busy provider turn away is tried again later, as long as the batch has time.

A killed worker's batch is taken up by itself when it is back, or by another: lines that have their answer are left
alone, and a line that was begun is made again, at the platform's expense when the first call of it was booked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Final, Protocol
from uuid import UUID

import msgspec

from ruxa.dialects.body import cut
from ruxa.dialects.openai_media import kept as shapes
from ruxa.gateway.door import Reply
from ruxa.gateway.exchange import Spawn
from ruxa.gateway.framing import Request
from ruxa.gateway.snapshot import Entry
from ruxa.kernel import bounds, ids
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import InvalidCall, RuxaError
from ruxa.privacy.files.batches import RUNNER_S, Batch, Batches

# What waits wakes the worker that was told of it; another one finds it, or one whose runner is gone, by looking.
LOOK_EVERY_S: Final = 10.0
RENEW_EVERY_S: Final = 2.0
KEY_KNOWN_S: Final = 2.0
AGAIN: Final = frozenset({429, 503, 529})
TRIES_MAX: Final = 40
AGAIN_S_MAX: Final = 60.0
STOP_S: Final = 3.0
# Lines that are looked at before others get their turn.
_TURN_LINES: Final = 200
_TRUE: Final = msgspec.Raw(b"true")


class Call(Protocol):
    """Makes a call for a key, as if it came through the door (``Pipeline.within``)."""

    def __call__(self, request: Request, reply: Reply, entry: Entry, call: int, *, borne: bool) -> None:
        """See the class."""
        ...


class Held(Reply, eq=False):
    """An answer that no socket waits for: held until it is whole. ``over`` is set at its end."""

    status: int = 0
    pieces: list[bytes] = msgspec.field(default_factory=list[bytes])
    over: asyncio.Event = msgspec.field(default_factory=asyncio.Event)

    def send(self, status: int, headers: bytes, body: bytes = b"") -> None:
        """See ``Reply``."""
        self.start(status, headers)
        self.write(body)
        self.end()

    def start(self, status: int, headers: bytes, *, length: int | None = None) -> None:
        """See ``Reply``."""
        self.started = True
        self.status = status
        if self.copy is not None:
            self.copy.start(headers)

    def write(self, data: bytes) -> None:
        """See ``Reply``."""
        if self.copy is not None:
            self.copy.add(data)
        self.pieces.append(data)

    def end(self) -> None:
        """See ``Reply``."""
        self.ended = True
        self.over.set()

    def abort(self) -> None:
        """See ``Reply``."""
        self.status = 502
        self.end()

    def fail(self, error: RuxaError) -> None:
        """See ``Reply``."""
        self.status = error.status
        self.end()

    def leave(self) -> None:
        """Our own stop: nobody waits for it any more."""
        self.cut = True
        self.left()
        self.over.set()


class _Watch:
    """What has become of a batch while it runs. lost: somebody else's, or this process stops; short: its time was over
    before all of its calls were made."""

    def __init__(self) -> None:
        self.lost = False
        self.cancelled = False
        self.expired = False
        self.short = False
        self.held: set[Held] = set()

    @property
    def over(self) -> bool:
        """No further line is begun."""
        return self.lost or self.cancelled or self.expired


class Runner:
    """The batches of one gateway worker. ``name``: the worker and its run."""

    def __init__(
        self,
        batches: Batches,
        *,
        name: str,
        call: Call,
        find: Callable[[UUID], Awaitable[Entry | None]],
        now_ms: Callable[[], int],
        spawn: Spawn,
    ) -> None:
        self._batches = batches
        self._name = name
        self._call = call
        self._find = find
        self._now_ms = now_ms
        self._spawn = spawn
        self._awake = asyncio.Event()
        self._stopped = False
        self._running: dict[asyncio.Task[None], _Watch] = {}
        self._keys: dict[UUID, tuple[Entry | None, float]] = {}

    def wake(self) -> None:
        """A batch waits, or one is not wanted any more."""
        self._awake.set()

    async def run(self) -> None:
        """Takes up batches until cancelled."""
        while True:
            with suppress(RuxaError):
                await self._look()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._awake.wait()
            self._awake.clear()

    async def stop(self) -> None:
        """Begins no further call, waits a moment for those under way, and lets the batches go. Any number of times."""
        self._stopped = True
        for watch in self._running.values():
            watch.lost = True
        if self._running:
            await asyncio.wait(self._running, timeout=STOP_S)
        for watch in self._running.values():
            for held in list(watch.held):
                held.leave()
        if self._running:
            await asyncio.wait(self._running, timeout=STOP_S)
        for task in list(self._running):
            task.cancel()

    async def _look(self) -> None:
        while not self._stopped and len(self._running) < bounds.BATCHES_AT_ONCE:
            batch = await self._batches.claim(self._name)
            if batch is None:
                return
            watch = _Watch()
            watch.cancelled = batch.state == "cancelling"
            task = self._spawn(self._run(batch, watch))
            self._running[task] = watch
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Whatever went wrong: the batch is taken up again when its runner has been silent for its time."""
        self._running.pop(task, None)
        self._awake.set()

    async def _run(self, batch: Batch, watch: _Watch) -> None:
        keeping = asyncio.create_task(self._keep(batch, watch))
        try:
            if batch.state == "finalizing":
                watch.short = self._now_ms() >= batch.expires_at.timestamp() * 1000
            else:
                lines = await self._lines(batch)
                if isinstance(lines, tuple):
                    await self._batches.end(batch, self._name, "failed", fault=lines)
                    return
                await self._make(batch, lines, watch)
                # What stopped the lines may be known to the database alone until now.
                state = await self._batches.renew(batch, self._name)
                watch.lost = watch.lost or state is None
                watch.cancelled = watch.cancelled or state == "cancelling"
            if watch.lost:
                await self._batches.let_go(batch, self._name)
                return
            state = "cancelled" if watch.cancelled else "expired" if watch.short else "completed"
            await self._batches.end(batch, self._name, state)
        finally:
            keeping.cancel()

    async def _keep(self, batch: Batch, watch: _Watch) -> None:
        """Says that we are still there, and learns what others want of the batch."""
        heard_at = monotonic()
        ends_ms = batch.expires_at.timestamp() * 1000
        while not watch.lost:
            watch.expired = watch.expired or self._now_ms() >= ends_ms
            await asyncio.sleep(RENEW_EVERY_S)
            with suppress(RuxaError):
                state = await self._batches.renew(batch, self._name)
                heard_at = monotonic()
                watch.lost = watch.lost or state is None
                watch.cancelled = watch.cancelled or state == "cancelling"
            watch.lost = watch.lost or monotonic() - heard_at > RUNNER_S

    # --- its lines

    async def _lines(self, batch: Batch) -> list[memoryview] | tuple[str, int | None]:
        """The lines of its file; or what is wrong with it, and in which line."""
        file = await self._batches.files.find(batch.owner, batch.input_file_id)
        if file is None:
            return "input_file_gone", None
        data = await self._batches.files.whole(file, bounds.FILE_BYTES_MAX)
        found: list[memoryview] = []
        seen: set[str] = set()
        number = 0
        for start, end in _cut(data):
            number += 1
            text = memoryview(data)[start:end]
            if not bytes(text[:256]).strip():
                continue
            if len(found) >= bounds.BATCH_LINES_MAX:
                return "too_many_lines", number
            if len(text) > bounds.BATCH_LINE_BYTES_MAX:
                return "line_too_large", number
            try:
                line = shapes.read_line(text, batch.endpoint)
                if cut(line.body).get("stream") == _TRUE:
                    return "streamed", number
            except InvalidCall as error:
                return ("invalid_body" if error.code in ("too_deep", "duplicate_field") else error.code), number
            if line.custom_id in seen:
                return "duplicate_custom_id", number
            seen.add(line.custom_id)
            found.append(text)
            if len(found) % _TURN_LINES == 0:
                await asyncio.sleep(0)
        return found or ("empty_file", None)

    async def _make(self, batch: Batch, lines: list[memoryview], watch: _Watch) -> None:
        done = await self._batches.begin(batch, self._name, len(lines))
        left = iter([(number, text) for number, text in enumerate(lines, 1) if number not in done])
        entry = await self._entry(batch.key_id)
        most = bounds.BATCH_CONCURRENCY
        if entry is not None and entry.grant.concurrency is not None:
            most = max(min(most, entry.grant.concurrency - 1), 1)  # one stays for whoever asks how far it is
        hands = [asyncio.create_task(self._some(batch, left, watch)) for _ in range(most)]
        try:
            await asyncio.gather(*hands)
        finally:
            for hand in hands:
                hand.cancel()
        if watch.expired and not watch.lost and not watch.cancelled:
            for number, text in left:
                await self._late(batch, number, text, watch)

    async def _some(self, batch: Batch, left: Iterator[tuple[int, memoryview]], watch: _Watch) -> None:
        while not watch.over:
            following = next(left, None)
            if following is None:
                return
            await self._line(batch, *following, watch)

    async def _line(self, batch: Batch, number: int, text: memoryview, watch: _Watch) -> None:
        """One line, until it has its answer or there is no time left."""
        line = shapes.read_line(text, batch.endpoint)
        for tries in range(1, TRIES_MAX + 1):
            call = ids.at(self._now_ms())
            paid = await self._batches.line_begin(batch, number, call, self._name)
            if paid is None:
                return
            entry = await self._entry(batch.key_id)
            if entry is None:
                await self._unmade(batch, number, text, "key_revoked", "The key is not valid any more.")
                return
            held = await self._ask(batch, line.body, entry, call, watch, paid=paid)
            if held.cut:
                return
            if held.status in AGAIN and tries < TRIES_MAX and await self._patience(tries, watch):
                continue
            if held.status in AGAIN and watch.over:
                break
            body = b"".join(held.pieces)
            outcome = shapes.outcome(f"batch_req_{call.hex}", line.custom_id, held.status, ids.text("req", call), body)
            await self._batches.line_end(batch, call, outcome, failed=held.status >= 400)
            return
        if watch.expired and not watch.lost:
            await self._late(batch, number, text, watch)

    async def _late(self, batch: Batch, number: int, text: memoryview, watch: _Watch) -> None:
        watch.short = True
        await self._unmade(batch, number, text, "batch_expired", "The batch's time was over before this call.")

    async def _ask(self, batch: Batch, body: bytes, entry: Entry, call: UUID, watch: _Watch, *, paid: bool) -> Held:
        headers = {b"content-type": b"application/json"}
        if batch.endpoint == "/v1/messages":
            headers[b"anthropic-version"] = b"2023-06-01"
        request = Request(
            method=b"POST",
            path=batch.endpoint.encode(),
            query=b"",
            headers=headers,
            body=body,
            peer="",
            http10=False,
            secure=True,
        )
        held = Held(None, request)
        watch.held.add(held)
        try:
            self._call(request, held, entry, call.int, borne=paid)
            await held.over.wait()
        finally:
            watch.held.discard(held)
        return held

    async def _patience(self, tries: int, watch: _Watch) -> bool:
        """Waits before the next try; False when there will be none."""
        until = monotonic() + min(2.0 ** min(tries - 1, 6), AGAIN_S_MAX)
        while monotonic() < until:
            if watch.over:
                return False
            await asyncio.sleep(0.25)
        return not watch.over

    async def _unmade(self, batch: Batch, number: int, text: memoryview, code: str, message: str) -> None:
        line = shapes.read_line(text, batch.endpoint)
        call = ids.at(self._now_ms())
        if await self._batches.line_begin(batch, number, call, self._name) is not None:
            outcome = shapes.unmade(f"batch_req_{call.hex}", line.custom_id, code, message)
            await self._batches.line_end(batch, call, outcome, failed=True)

    async def _entry(self, key_id: UUID) -> Entry | None:
        """The key as it is now, or was a moment ago."""
        known = self._keys.get(key_id)
        if known is not None and monotonic() - known[1] < KEY_KNOWN_S:
            return known[0]
        entry = await self._find(key_id)
        self._keys = {one: value for one, value in self._keys.items() if monotonic() - value[1] < KEY_KNOWN_S}
        self._keys[key_id] = (entry, monotonic())
        return entry


def _cut(data: bytes) -> Iterator[tuple[int, int]]:
    """Where each line lies."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        yield start, end
        start = end + 1
