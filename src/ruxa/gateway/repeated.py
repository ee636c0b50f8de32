"""Repeated: calls that were to be made once, and answers that may be used again (decision D14).

``Idempotency-Key`` makes a call once: the same again gets the first one's answer for 24 hours. ``ruxa-cache`` lets the
same call of the same key be answered by what was answered before. Both look only after every other gate - restriction,
who may get the call, budget - has let the call pass; both cost one round trip to the database, and nothing for who
sends neither header.
"""

from __future__ import annotations

import asyncio
from typing import Protocol
from uuid import UUID

from ruxa.access.grants import Grant
from ruxa.gateway import answer as answers
from ruxa.gateway import meter
from ruxa.gateway.exchange import Exchange, Gear, fresh_id
from ruxa.gateway.once import Wish
from ruxa.kernel import bounds, ids
from ruxa.kernel.errors import Conflict, RuxaError, Unsupported
from ruxa.privacy.content.repeats import Answer, Found

# How long the end of an answer is waited for after its charge was booked: a slow caller's last bytes.
_END_S = bounds.SEND_TIMEOUT_S
_STEP_S = 0.02
_NO_RETENTION = "zero-retention"


class Repeats(Protocol):
    """What is kept for repeats; ``privacy.content.repeats.Repeats`` is one."""

    async def begin(self, call_id: UUID, grant: Grant, name: bytes, body: bytes) -> Found | None:
        """See the class."""
        ...

    async def end(self, call_id: UUID, grant: Grant, amount_micros: int, answer: Answer | None) -> None:
        """See the class."""
        ...

    async def drop(self, call_id: UUID, grant: Grant) -> None:
        """See the class."""
        ...

    async def cached(self, grant: Grant, body: bytes, age_s: int) -> Found | None:
        """See the class."""
        ...

    async def cache(self, call_id: UUID, grant: Grant, body: bytes, life_s: int, answer: Answer) -> None:
        """See the class."""
        ...


async def look(gear: Gear, exchange: Exchange, repeats: Repeats, wish: Wish) -> bool:
    """Whether the call is answered by what is kept; else it has to be made. Raises Conflict, Unsupported."""
    entry = exchange.entry
    assert entry is not None
    grant = entry.grant
    if wish.name:
        found = await repeats.begin(UUID(int=exchange.id), grant, wish.name, wish.body)
        if found is not None:
            _answer_once(gear, exchange, found)
            return True
        wish.noted = True
    if wish.age_s:
        found = await repeats.cached(grant, wish.body, wish.age_s)
        if found is not None and found.answer is not None:
            if wish.noted:
                await repeats.end(UUID(int=exchange.id), grant, 0, found.answer)
                wish.noted = False
            _replay(gear, exchange, found.call_id, found.answer, b"cache")
            return True
    return False


def _answer_once(gear: Gear, exchange: Exchange, found: Found) -> None:
    first = ids.text("req", found.call_id)
    if not found.same:
        raise Unsupported(f"This Idempotency-Key came with another body before ({first}).", code="idempotency_mismatch")
    if found.state == "running":
        raise Conflict(
            f"The call of this Idempotency-Key is still under way ({first}).",
            code="idempotency_in_progress",
            retry_after_s=found.wait_s,
        )
    if found.answer is None:
        raise Conflict(
            f"The call of this Idempotency-Key was made ({first}, {found.amount_micros} micros), its answer not kept.",
            code="idempotency_completed",
        )
    _replay(gear, exchange, found.call_id, found.answer, b"idempotency")


def _replay(gear: Gear, exchange: Exchange, first: UUID, answer: Answer, why: bytes) -> None:
    """The first one's answer, at no cost."""
    exchange.repeat = None
    exchange.dropped = answer.dropped
    exchange.output_cap = None
    meter.settle(gear, exchange, 200, source="cached")
    reply = exchange.reply
    lines = answers.head(exchange, answer.content_type, answer.streamed)
    lines += b"ruxa-answered-from: %b\r\nruxa-original: %b\r\n" % (why, ids.text("req", first).encode())
    gear.metrics.add("repeats", 1, f'reason="{why.decode()}"')
    if answer.streamed:
        reply.start(200, lines)
        for piece in answer.pieces:
            reply.write(piece)
        reply.end()
    else:
        reply.send(200, lines, b"".join(answer.pieces))


async def settled(gear: Gear, exchange: Exchange, repeats: Repeats, wish: Wish) -> None:
    """After the call was booked: what it came to is kept, or that it came to nothing."""
    entry, reply, recording = exchange.entry, exchange.reply, wish.recording
    assert entry is not None
    waited = 0.0
    while not reply.ended and not reply.gone and waited < _END_S:
        await asyncio.sleep(_STEP_S)
        waited += _STEP_S
    grant, call_id = entry.grant, UUID(int=exchange.id)
    whole = not exchange.failed and reply.ended and not reply.gone and _NO_RETENTION not in conditions(exchange)
    answer = None
    if whole and recording is not None and recording.pieces is not None:
        answer = Answer(
            content_type=recording.content_type,
            streamed=exchange.streams,
            dropped=exchange.dropped,
            pieces=tuple(recording.pieces),
        )
    try:
        if wish.noted and exchange.failed and not exchange.amount:
            await repeats.drop(call_id, grant)
        elif wish.noted:
            await repeats.end(call_id, grant, exchange.amount, answer)
        if wish.age_s and answer is not None:
            # Two rows of one call would share an id: what is cached of it has one of its own.
            cached_id = UUID(int=fresh_id(exchange.id >> 80)) if wish.noted else call_id
            await repeats.cache(cached_id, grant, wish.body, wish.age_s, answer)
    except RuxaError as error:
        gear.metrics.add("repeats_lost")
        gear.sink.emit("content.dropped", "warning", reason=error.code, count=1)


def conditions(exchange: Exchange) -> tuple[str, ...]:
    """What the key and the call demand of who gets it."""
    entry, caller = exchange.entry, exchange.caller
    assert entry is not None
    return entry.grant.conditions + (() if caller is None else caller.conditions)
