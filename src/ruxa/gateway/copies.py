"""Copies: the content of calls whose key asks for it, held by reference until it is sealed and written (D13, F.6).

A call is never slowed or failed by its copy: bytes are noted as they pass, and everything else happens in a task of its
own, about four times a second. What waits is bounded in bytes and calls; above that, or when the keys are gone, a copy
is dropped and counted (``content_dropped``, signal ``content.dropped``) and the call goes on. A crash loses the copies
of its last moments; the usage rows are the journal's and are not lost.

Copied is what a caller sent and got of a call that was sent to a provider, whatever came of it. A call that was refused
before is not copied.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from typing import Literal, Protocol
from uuid import UUID

from ruxa.access.grants import Grant
from ruxa.gateway.framing import Request
from ruxa.gateway.metrics import Metrics
from ruxa.kernel import bounds
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import NotFound, RuxaError, Unavailable
from ruxa.kernel.signals import Sink
from ruxa.privacy.content import items
from ruxa.privacy.content.items import Item, Side

EVERY_S = 0.25
AGAIN_S = 1.0
BATCH_ROWS = 100
BATCH_BYTES = 4 * 1024 * 1024
# How long a large side waits for an object store that is away before the call is written without it.
PATIENCE_S = 60.0
CLOSE_S = 3.0
SIGNAL_EVERY_S = 10.0
# Sealing is quick, but a round of it must not hold up the calls.
_TURN_ITEMS = 8

Why = Literal["full", "no_key", "over", "refused", "stopped"]


class Replied(Protocol):
    """What a copy asks of a reply: whether more can come."""

    ended: bool
    gone: bool


class Keeper(Protocol):
    """Seals and writes; ``items`` bound to a pool, a vault and an object store."""

    async def seal(self, item: Item, *, give_up: bool) -> tuple[object, ...]:
        """See ``items.seal``."""
        ...

    async def write(self, rows: list[tuple[object, ...]]) -> None:
        """See ``items.write``."""
        ...


class Copy:
    """One call's content, while it passes. ``held``: the bytes that are in memory for it alone or longer."""

    __slots__ = (
        "_copies",
        "answer_bytes",
        "answer_head",
        "call",
        "grant",
        "held",
        "lost",
        "over",
        "pieces",
        "refusal",
        "reply",
        "request",
        "request_bytes",
        "request_type",
        "row",
        "since",
    )

    def __init__(self, copies: Copies, call: int, grant: Grant, request: Request, reply: Replied) -> None:
        body = request.body
        self._copies = copies
        self.call = call
        self.grant = grant
        self.reply = reply
        self.request: bytes | None = body if len(body) <= bounds.CONTENT_BYTES_MAX else None
        self.request_bytes = len(body)
        self.request_type = request.headers.get(b"content-type", b"application/json")
        self.held = len(body) if self.request is not None else 0
        self.answer_head: bytes | None = None
        self.answer_bytes = 0
        self.pieces: list[bytes] | None = []
        self.refusal = b""
        self.lost = False
        self.over = False  # written or dropped
        self.since = monotonic()
        self.row: tuple[object, ...] | None = None

    def start(self, headers: bytes) -> None:
        """The answer begins, with this block of headers."""
        self.answer_head = headers

    def add(self, data: bytes) -> None:
        """Some of the answer's bytes, as they go to the caller."""
        size = len(data)
        self.answer_bytes += size
        pieces = self.pieces
        if pieces is None:
            return
        if self.answer_bytes > bounds.CONTENT_BYTES_MAX:
            self.drop_answer()
        elif self._copies.take(size):
            self.held += size
            pieces.append(data)
        else:
            self.lost = True
            self.drop_answer()

    def drop_answer(self) -> None:
        """It is not kept after all."""
        freed = sum(map(len, self.pieces or ()))
        self.pieces = None
        self.held -= freed
        self._copies.give_back(freed)

    def refused(self, body: bytes) -> None:
        """The provider's own words as it refused; the last ones count."""
        self.refusal = body[: bounds.CONTENT_ERROR_BYTES]

    def item(self) -> Item:
        """What is to be kept."""
        grant, call_id = self.grant, UUID(int=self.call)
        return Item(
            call_id=call_id,
            organisation_id=grant.organisation_id,
            key_id=grant.key_id,
            until=items.until_of(call_id, grant.store_days),
            request=self._request(),
            answer=self._answer(),
            refusal=self.refusal,
        )

    def _request(self) -> Side:
        said = items.media_type(self.request_type.decode("latin-1"))
        if self.request is None:
            return Side("too_large", said, self.request_bytes)
        return Side("stored", said, self.request_bytes, self.request)

    def _answer(self) -> Side:
        size, pieces = self.answer_bytes, self.pieces
        if self.answer_head is None:
            return Side("none", items.PLAIN_TYPE, 0)
        said = items.media_type(_content_type(self.answer_head))
        if pieces is None:
            return Side("lost" if self.lost else "too_large", said, size)
        return Side("stored", said, size, pieces[0] if len(pieces) == 1 else b"".join(pieces))


class Copies:
    """The copies of one worker."""

    def __init__(self, keeper: Keeper, *, today: Callable[[], date], sink: Sink, metrics: Metrics) -> None:
        self._keeper = keeper
        self._today = today
        self._sink = sink
        self._metrics = metrics
        self._open: list[Copy] = []
        self._waiting: deque[Copy] = deque()
        self._flushing = asyncio.Lock()
        self._dropped: dict[Why, int] = {}
        self._told = 0.0
        self._begun = asyncio.Event()
        self.held = 0

    def __len__(self) -> int:
        return len(self._open) + len(self._waiting)

    def begin(self, call: int, grant: Grant, request: Request, reply: Replied) -> Copy | None:
        """A call whose key stores content goes upstream; None when there is no room for a copy of it."""
        copy = Copy(self, call, grant, request, reply)
        if len(self) >= bounds.CONTENT_WAITING_MAX or not self.take(copy.held):
            self._drop("full")
            return None
        self._open.append(copy)
        self._begun.set()
        return copy

    def take(self, size: int) -> bool:
        """Whether so many more bytes may be held; they count from now on."""
        if self.held + size > bounds.CONTENT_WAITING_BYTES_MAX:
            return False
        self.held += size
        return True

    def give_back(self, size: int) -> None:
        """They are not held any more."""
        self.held -= size

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            pause_s = EVERY_S if await self.flush() else AGAIN_S
            if not len(self) and not self._dropped:
                await self._begun.wait()
            self._begun.clear()
            await asyncio.sleep(pause_s)

    async def close(self) -> None:
        """The worker stops: write what can be written in a moment; the rest is dropped and told."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.flush(), CLOSE_S)
        for _ in range(len(self)):
            self._drop("stopped")
        self._told = 0.0
        self._tell()

    async def flush(self) -> bool:
        """Seal and write what is complete; False when the database or the object store is away."""
        async with self._flushing:
            self._sort()
            taken: list[Copy] = []
            try:
                return await self._flush(taken)
            finally:
                # What has to wait, or what we were stopped with in our hands.
                self._waiting.extend(copy for copy in taken if not copy.over)
                self._tell()

    async def _flush(self, taken: list[Copy]) -> bool:
        good = True
        rows: list[Copy] = []
        size = 0
        while self._waiting:
            copy = self._waiting.popleft()
            taken.append(copy)
            try:
                sealed = copy.row is not None or await self._seal(copy, storage=good)
            except Unavailable as error:
                good = False
                if error.code != "storage_away":
                    break
                sealed = False
            if sealed:
                rows.append(copy)
                size += copy.held
                if len(rows) >= BATCH_ROWS or size >= BATCH_BYTES:
                    good = await self._write(rows) and good
                    rows, size = [], 0
            if len(taken) % _TURN_ITEMS == 0:
                await asyncio.sleep(0)
        return await self._write(rows) and good

    def _sort(self) -> None:
        """Whose answer is over waits to be written."""
        still: list[Copy] = []
        for copy in self._open:
            if copy.reply.ended or copy.reply.gone:
                self._waiting.append(copy)
            else:
                still.append(copy)
        self._open = still

    async def _seal(self, copy: Copy, *, storage: bool) -> bool:
        """Seal one; False when it is dropped. Raises Unavailable when it has to wait."""
        give_up = monotonic() - copy.since > PATIENCE_S
        item = copy.item()
        if item.until <= self._today():
            self._let_go(copy, "over")
            return False
        large = max(item.request.size, item.answer.size) > bounds.CONTENT_INLINE_BYTES
        if large and not storage and not give_up:
            raise Unavailable("The object store is away.", code="storage_away")
        try:
            copy.row = await self._keeper.seal(item, give_up=give_up)
        except NotFound:
            self._let_go(copy, "no_key")
            return False
        copy.request = None
        copy.pieces = None
        return True

    async def _write(self, copies: list[Copy]) -> bool:
        """Write sealed rows; False when they have to wait."""
        if not copies:
            return True
        try:
            await self._keeper.write([copy.row for copy in copies if copy.row is not None])
        except Unavailable:
            return False
        except RuxaError:
            # One row that the database refuses must not cost the others.
            if len(copies) == 1:
                self._let_go(copies[0], "refused")
                return True
            alone = [await self._write([copy]) for copy in copies]
            return all(alone)
        for copy in copies:
            self._let_go(copy, None)
        return True

    def _let_go(self, copy: Copy, why: Why | None) -> None:
        copy.over = True
        self.held -= copy.held
        if why is not None:
            self._drop(why)
        else:
            self._metrics.add("content_stored")

    def _drop(self, why: Why) -> None:
        self._metrics.add("content_dropped", 1, f'reason="{why}"')
        self._dropped[why] = self._dropped.get(why, 0) + 1

    def _tell(self) -> None:
        """What was dropped, at most every ten seconds."""
        now = monotonic()
        if self._dropped and now - self._told >= SIGNAL_EVERY_S:
            for why, count in self._dropped.items():
                self._sink.emit("content.dropped", "error", reason=why, count=count)
            self._dropped.clear()
            self._told = now


def _content_type(head: bytes) -> str:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-type":
            return value.decode("latin-1")
    return items.PLAIN_TYPE
