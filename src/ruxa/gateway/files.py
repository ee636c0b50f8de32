"""Files and batches as the door serves them: kept by us, for any provider; free, not calls, without a usage row.

An upload is a form; its bytes are sealed before it is answered. A file's content is sent piece by piece as it is
opened, at the pace of the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from ruxa.access.grants import Grant
from ruxa.dialects.openai_media import kept as shapes
from ruxa.dialects.openai_media.kept import BatchShown, FileShown
from ruxa.dialects.references import Inside, expand, path_of
from ruxa.gateway import answer as answers
from ruxa.gateway import message_batches, uploads
from ruxa.gateway.exchange import Exchange
from ruxa.gateway.message_batches import Wake
from ruxa.gateway.uploads import Hashes
from ruxa.kernel import bounds, ids
from ruxa.kernel.errors import Forbidden, InvalidCall, NotFound, RuxaError, TooLarge
from ruxa.privacy.files.batches import Batch, Batches
from ruxa.privacy.files.kept import File, Owner

_PLAIN = b"content-type: application/octet-stream\r\nx-content-type-options: nosniff\r\n"


async def serve(exchange: Exchange, batches: Batches, wake: Wake, keys: Hashes, public_url: str | None) -> None:
    """One request of these endpoints. Raises what the dialect then says."""
    entry, place, request = exchange.entry, exchange.place, exchange.request
    assert entry is not None
    owner = owner_of(entry.grant)
    method = request.method
    if place.dialect == "anthropic_messages":
        await message_batches.serve(exchange, batches, owner, wake)
        return
    if place.dialect == "gemini_generate":
        await uploads.serve(exchange, batches, owner, keys, public_url)
        return
    match place.endpoint:
        case "files" if method == b"POST":
            await _upload(exchange, batches, owner)
        case "files":
            await _list_files(exchange, batches, owner)
        case "file" if method == b"DELETE":
            if not await batches.files.delete(owner, _item(exchange, "file")):
                raise shapes.no_file()
            _answer(exchange, shapes.deleted(place.item))
        case "file":
            _answer(exchange, shapes.file_object(shown_file(await _file(exchange, batches, owner))))
        case "file_content":
            await _content(exchange, batches, await _file(exchange, batches, owner))
        case "batches" if method == b"POST":
            await _order(exchange, batches, owner)
            wake()
        case "batches":
            await _list_batches(exchange, batches, owner)
        case "batch":
            _batch(exchange, await batches.find(owner, _item(exchange, "batch")))
        case _:
            _batch(exchange, await batches.cancel(owner, _item(exchange, "batch")))
            wake()


async def expanded(exchange: Exchange, batches: Batches, wanted: Sequence[str]) -> bytes:
    """The call's body with the files that it names put inside. Raises InvalidCall ``file_not_found``, TooLarge."""
    entry = exchange.entry
    assert entry is not None
    owner = owner_of(entry.grant)
    if "files" not in entry.grant.scopes:
        raise Forbidden("This key has no scope for files.", code="scope_missing")
    inside: dict[str, Inside] = {}
    left = bounds.BODY_BYTES_MAX - len(exchange.request.body)
    for name in wanted:
        file = await batches.files.find(owner, ids.read("file", name))
        if file is None or file.purpose not in shapes.PURPOSES or file.purpose == "batch":
            raise InvalidCall(
                f"There is no file {name} here that a call can use.",
                code="file_not_found",
                param=path_of(exchange.request.body, name, exchange.place.dialect),
            )
        left -= file.size * 4 // 3
        if left < 0:
            raise TooLarge("With its files the call is too large.", code="request_too_large")
        data = await batches.files.whole(file, bounds.FILE_BYTES_MAX)
        inside[name] = Inside(name=file.name, media_type=file.media_type, data=data)
    return await asyncio.to_thread(expand, exchange.request.body, inside)


def owner_of(grant: Grant) -> Owner:
    """Whose files a key sees."""
    return Owner(organisation_id=grant.organisation_id, key_id=grant.key_id, livemode=grant.livemode)


def _item(exchange: Exchange, kind: ids.Kind) -> UUID:
    try:
        return ids.read(kind, exchange.place.item)
    except NotFound:
        raise (shapes.no_file() if kind == "file" else shapes.no_batch()) from None


def _answer(exchange: Exchange, body: object) -> None:
    rendered = shapes.answer(body, exchange.request_id)
    exchange.reply.send(rendered.status, rendered.headers + answers.limits(exchange), rendered.body)


async def _upload(exchange: Exchange, batches: Batches, owner: Owner) -> None:
    upload = shapes.read_upload(exchange.place, exchange.request.body)
    if len(upload.data) > bounds.FILE_BYTES_MAX:
        raise TooLarge(f"A file has at most {bounds.FILE_BYTES_MAX} bytes.", code="file_too_large")
    file = await batches.files.add(
        owner, upload.purpose, upload.name, upload.media_type, bytes(upload.data), upload.life_s
    )
    _answer(exchange, shapes.file_object(shown_file(file)))


async def _list_files(exchange: Exchange, batches: Batches, owner: Owner) -> None:
    query = exchange.place.query
    limit, after, oldest = shapes.page(query, shapes.PAGE_MAX, shapes.PAGE_MAX)
    found = await batches.files.list(
        owner,
        purpose=query.get("purpose") or None,
        after=None if after is None else ids.read("file", after),
        oldest=oldest,
        limit=limit + 1,
    )
    objects = [shapes.file_object(shown_file(file)) for file in found[:limit]]
    _answer(exchange, shapes.shown_list(objects, more=len(found) > limit))


async def _file(exchange: Exchange, batches: Batches, owner: Owner) -> File:
    file = await batches.files.find(owner, _item(exchange, "file"))
    if file is None:
        raise shapes.no_file()
    return file


async def _content(exchange: Exchange, batches: Batches, file: File) -> None:
    """The file's bytes, at the caller's pace; one that cannot be read to its end is cut off, never cut short."""
    reply = exchange.reply
    room = asyncio.Event()
    room.set()
    pieces = batches.files.read(file)
    first = await anext(pieces, b"")
    lines = _PLAIN + b"x-request-id: %b\r\n" % exchange.request_id.encode() + answers.limits(exchange)
    reply.on_pause, reply.on_resume, reply.on_gone = room.clear, room.set, room.set
    reply.start(200, lines, length=file.size)
    reply.write(first)
    try:
        async for piece in pieces:
            if reply.gone:
                return
            reply.write(piece)
            await room.wait()
    except RuxaError:
        reply.abort()
        raise
    reply.end()


async def _order(exchange: Exchange, batches: Batches, owner: Owner) -> None:
    order = shapes.read_order(exchange.request.body)
    try:
        file = await batches.files.find(owner, ids.read("file", order.input_file))
    except NotFound:
        file = None
    if file is None or file.purpose != "batch":
        raise NotFound(
            "There is no file of purpose 'batch' with that id.", code="file_not_found", param="input_file_id"
        )
    batch = await batches.add(owner, order.endpoint, file, order.metadata, order.output_life_s)
    _batch(exchange, batch)


async def _list_batches(exchange: Exchange, batches: Batches, owner: Owner) -> None:
    limit, after, _ = shapes.page(exchange.place.query, shapes.BATCH_PAGE, shapes.BATCH_PAGE_MAX)
    since = None if after is None else ids.read("batch", after)
    found = await batches.list(owner, after=since, limit=limit + 1)
    objects = [shapes.batch_object(shown_batch(batch)) for batch in found[:limit]]
    _answer(exchange, shapes.shown_list(objects, more=len(found) > limit))


def _batch(exchange: Exchange, batch: Batch | None) -> None:
    if batch is None:
        raise shapes.no_batch()
    _answer(exchange, shapes.batch_object(shown_batch(batch)))


def shown_file(file: File) -> FileShown:
    """A file for the dialect."""
    return FileShown(
        id=ids.text("file", file.id),
        bytes=file.size,
        created_s=ids.unix_ms(file.id) // 1000,
        name=file.name,
        purpose=file.purpose,
        expires_s=int(file.expires_at.timestamp()),
    )


def shown_batch(batch: Batch) -> BatchShown:
    """A batch for the dialect."""

    def file(one: UUID | None) -> str | None:
        return None if one is None else ids.text("file", one)

    return BatchShown(
        id=ids.text("batch", batch.id),
        endpoint=batch.endpoint,
        input_file=ids.text("file", batch.input_file_id),
        state=batch.state,
        created_s=ids.unix_ms(batch.id) // 1000,
        expires_s=int(batch.expires_at.timestamp()),
        total=batch.total,
        completed=batch.completed,
        failed=batch.failed,
        output_file=file(batch.output_file_id),
        error_file=file(batch.error_file_id),
        begun_s=_seconds(batch.begun_at),
        finalizing_s=_seconds(batch.finalizing_at),
        cancelling_s=_seconds(batch.cancelling_at),
        ended_s=_seconds(batch.ended_at),
        metadata=batch.metadata,
        fault_code=batch.fault_code,
        fault_line=batch.fault_line,
    )


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())
