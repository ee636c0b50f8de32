"""Anthropic's message batches as the door serves them: the same queue, files and bounds as OpenAI's (``files``).

An order brings its requests along; they become the batch's file. The results are read out of the batch's two files,
and out of its own file for what was never made.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol
from uuid import UUID

from ruxa.dialects.anthropic_messages import batches as shapes
from ruxa.dialects.anthropic_messages.batches import Counts, Shown
from ruxa.gateway import answer as answers
from ruxa.gateway.exchange import Exchange
from ruxa.kernel import bounds, ids
from ruxa.kernel.errors import Conflict, NotFound, RuxaError, TooLarge
from ruxa.privacy.files.batches import Batch, Batches
from ruxa.privacy.files.kept import Owner

_LINES = b"content-type: application/x-jsonl\r\nx-content-type-options: nosniff\r\n"
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_AT_ONCE = 100


class Wake(Protocol):
    """Told that a batch waits."""

    def __call__(self) -> None:
        """See the class."""
        ...


async def serve(exchange: Exchange, batches: Batches, owner: Owner, wake: Wake) -> None:
    """One request of these endpoints. Raises what the dialect then says."""
    place, method = exchange.place, exchange.request.method
    match place.endpoint:
        case "batches" if method == b"POST":
            await _order(exchange, batches, owner)
            wake()
        case "batches":
            await _list(exchange, batches, owner)
        case "batch_results":
            await _results(exchange, batches, await _found(exchange, batches, owner))
        case "batch_cancel":
            batch = await _found(exchange, batches, owner)
            _answer(exchange, await _shown(batches, await batches.cancel(owner, batch.id) or batch))
            wake()
        case _ if method == b"DELETE":
            await _delete(exchange, batches, await _found(exchange, batches, owner))
        case _:
            _answer(exchange, await _shown(batches, await _found(exchange, batches, owner)))


def _answer(exchange: Exchange, body: object) -> None:
    rendered = shapes.answer(body, exchange.request_id)
    exchange.reply.send(rendered.status, rendered.headers + answers.limits(exchange), rendered.body)


def _id(name: str) -> UUID:
    try:
        return ids.read("batch", "batch_" + name.removeprefix(shapes.PREFIX))
    except NotFound:
        raise shapes.no_batch() from None


async def _found(exchange: Exchange, batches: Batches, owner: Owner) -> Batch:
    batch = await batches.find(owner, _id(exchange.place.item))
    if batch is None or batch.endpoint != shapes.ENDPOINT:
        raise shapes.no_batch()
    return batch


async def _order(exchange: Exchange, batches: Batches, owner: Owner) -> None:
    lines = await asyncio.to_thread(shapes.read_order, exchange.request.body)
    if len(lines) > bounds.FILE_BYTES_MAX:
        raise TooLarge(f"A batch has at most {bounds.FILE_BYTES_MAX} bytes.", code="file_too_large")
    file = await batches.files.add(owner, "batch", "requests.jsonl", "application/jsonl", lines, None)
    try:
        batch = await batches.add(owner, shapes.ENDPOINT, file, None, None)
    except RuxaError:
        await batches.files.delete(owner, file.id)
        raise
    _answer(exchange, await _shown(batches, batch))


async def _list(exchange: Exchange, batches: Batches, owner: Owner) -> None:
    limit, after, before = shapes.page(exchange.place.query)
    last = None if after is None else _id(after)
    until = None if before is None else _id(before)
    found: list[Batch] = []
    done = False
    while not done:
        some = await batches.list(owner, after=last, limit=_AT_ONCE)
        done = len(some) < _AT_ONCE
        for batch in some:
            last = batch.id
            if last == until:
                done = True
                break
            if batch.endpoint == shapes.ENDPOINT:
                found.append(batch)
        done = done or (until is None and len(found) > limit)
    more = len(found) > limit
    found = found[:limit] if until is None else found[-limit:]
    _answer(exchange, shapes.shown_list([await _shown(batches, batch) for batch in found], more=more))


async def _delete(exchange: Exchange, batches: Batches, batch: Batch) -> None:
    if batch.state not in _ENDED:
        raise Conflict("A batch is deleted once it has ended; cancel it first.", code="batch_runs")
    await batches.delete(batch)
    _answer(exchange, shapes.deleted(exchange.place.item))


async def _shown(batches: Batches, batch: Batch) -> dict[str, object]:
    ended = batch.state in _ENDED
    counts = Counts(succeeded=batch.completed, errored=batch.failed)
    total = batch.total
    if not total:
        total = len([line async for line in _lines(batches, batch, batch.input_file_id)])
    left = max(total - batch.completed - batch.failed, 0)
    if not ended:
        counts.processing = left
    elif batch.state == "cancelled":
        counts.canceled = left
    else:
        counts.errored += left
    if batch.state == "expired":
        kinds = [shapes.result(line)[1] async for line in _lines(batches, batch, batch.error_file_id)]
        counts.expired = kinds.count("expired")
        counts.errored -= counts.expired
    return shapes.shown(
        Shown(
            hex=batch.id.hex,
            state="ended" if ended else "canceling" if batch.state == "cancelling" else "in_progress",
            counts=counts,
            created_s=ids.unix_ms(batch.id) // 1000,
            expires_s=int(batch.expires_at.timestamp()),
            cancelling_s=None if batch.cancelling_at is None else int(batch.cancelling_at.timestamp()),
            ended_s=None if batch.ended_at is None else int(batch.ended_at.timestamp()),
        )
    )


async def _lines(batches: Batches, batch: Batch, file_id: UUID | None) -> AsyncGenerator[bytes]:
    """The lines of one of the batch's files that are not blank; none when it is not there any more."""
    file = None if file_id is None else await batches.files.find(batch.owner, file_id)
    if file is None:
        return
    rest = b""
    async for piece in batches.files.read(file):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
    if rest.strip():
        yield rest


async def _told(batches: Batches, batch: Batch) -> AsyncGenerator[bytes]:
    """Every line of the results."""
    seen: set[str] = set()
    for file_id in (batch.output_file_id, batch.error_file_id):
        async for line in _lines(batches, batch, file_id):
            custom_id, _, told = shapes.result(line)
            seen.add(custom_id)
            yield told
    if len(seen) == batch.total and batch.total:
        return
    async for line in _lines(batches, batch, batch.input_file_id):
        custom_id, told = shapes.left_out(line)
        if custom_id not in seen:
            yield told if batch.state == "cancelled" else shapes.unmade(custom_id, "")


async def _results(exchange: Exchange, batches: Batches, batch: Batch) -> None:
    """Line by line, at the caller's pace; what cannot be read to its end is cut off, never cut short."""
    if batch.state not in _ENDED:
        raise NotFound("The batch has no results before it has ended.", code="batch_runs")
    reply = exchange.reply
    room = asyncio.Event()
    room.set()
    lines = _told(batches, batch)
    first = await anext(lines, b"")
    reply.on_pause, reply.on_resume, reply.on_gone = room.clear, room.set, room.set
    reply.start(200, _LINES + b"request-id: %b\r\n" % exchange.request_id.encode() + answers.limits(exchange))
    reply.write(first)
    try:
        async for line in lines:
            if reply.gone:
                return
            reply.write(line)
            await room.wait()
    except RuxaError:
        reply.abort()
        raise
    reply.end()
