"""Files by Google's own protocol: begun, uploaded in pieces, put together; listed, shown and deleted as any other file.

Google's SDK sends the pieces without a key, to an address that only who began the upload knows. So the address is a
ticket: key and upload, with a keyed hash that nobody else can make. What is under way lies as files do, sealed, each
piece a row beside the upload's own, for an hour at most; no worker keeps anything of it in memory.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncGenerator
from typing import Protocol
from uuid import UUID

from ruxa.dialects.gemini_generate import files as shapes
from ruxa.dialects.gemini_generate.files import FileShown
from ruxa.gateway import answer as answers
from ruxa.gateway.exchange import Exchange
from ruxa.kernel import bounds, ids
from ruxa.kernel.errors import NotFound, TooLarge
from ruxa.privacy.files.batches import Batches
from ruxa.privacy.files.kept import File, Files, Owner

_LABEL = "api-key"
_DOMAIN = b"upload\0"
_MAC_BYTES = 16
_TICKET_BYTES = 16 + 16 + _MAC_BYTES
_ACTIVE = b"x-goog-upload-status: active\r\nx-goog-upload-size-received: %d\r\n"
_FINAL = b"x-goog-upload-status: final\r\n"
_BEGUN = (
    b"x-goog-upload-url: %b\r\nx-goog-upload-control-url: %b\r\nx-goog-upload-status: active\r\n"
    b"x-goog-upload-chunk-granularity: %d\r\n"
)


class Hashes(Protocol):
    """What is needed of the key store."""

    def keyed_hash(self, label: str, value: bytes) -> bytes:
        """The keyed hash of a value."""
        ...

    def keyed_hashes(self, label: str, value: bytes) -> list[bytes]:
        """The same under every living version of the pepper, newest first."""
        ...


def ticket(keys: Hashes, key_id: UUID, upload: UUID) -> str:
    """What stands in the address of an upload."""
    told = key_id.bytes + upload.bytes
    return (told + keys.keyed_hash(_LABEL, _DOMAIN + told)[:_MAC_BYTES]).hex()


def holder(keys: Hashes, said: str) -> tuple[UUID, UUID]:
    """Whose upload an address is of, and which. Raises NotFound for one that was not made here."""
    try:
        raw = bytes.fromhex(said)
    except ValueError:
        raw = b""
    told, mac = raw[:32], raw[32:]
    if len(raw) != _TICKET_BYTES or not any(
        hmac.compare_digest(made[:_MAC_BYTES], mac) for made in keys.keyed_hashes(_LABEL, _DOMAIN + told)
    ):
        raise shapes.no_upload()
    return UUID(bytes=told[:16]), UUID(bytes=told[16:])


async def serve(exchange: Exchange, batches: Batches, owner: Owner, keys: Hashes, public_url: str | None) -> None:
    """One request of these endpoints. Raises what the dialect then says."""
    place, method, files = exchange.place, exchange.request.method, batches.files
    base = _base(exchange, public_url)
    match place.endpoint:
        case "upload":
            await _upload(exchange, files, owner, keys, base)
        case "files":
            await _list(exchange, files, owner, base)
        case _ if method == b"DELETE":
            if not await files.delete(owner, _id(place.item)):
                raise shapes.no_file()
            _answer(exchange, {})
        case _:
            file = await files.find(owner, _id(place.item))
            if file is None:
                raise shapes.no_file()
            _answer(exchange, shapes.file_object(_shown(file, base)))


def _base(exchange: Exchange, public_url: str | None) -> str:
    """Where the caller reaches us, without a path."""
    if public_url:
        return public_url.rstrip("/")
    host = exchange.request.headers.get(b"host", b"").decode("latin-1")
    plain = all(char.isalnum() or char in ".-:[]_" for char in host) and host.isascii()
    return f"http://{host if plain and host else '127.0.0.1'}"


def _answer(exchange: Exchange, body: object, more: bytes = b"") -> None:
    rendered = shapes.answer(body, exchange.request_id, more)
    exchange.reply.send(rendered.status, rendered.headers + answers.limits(exchange), rendered.body)


def _id(item: str) -> UUID:
    return UUID(hex=shapes.hex_of(item))


def _shown(file: File, base: str) -> FileShown:
    return FileShown(
        hex=file.id.hex,
        bytes=file.size,
        media_type=file.media_type,
        created_s=ids.unix_ms(file.id) // 1000,
        expires_s=int(file.expires_at.timestamp()),
        name=file.name,
        uri=f"{base}/v1beta/{shapes.PREFIX}{file.id.hex}",
    )


async def _list(exchange: Exchange, files: Files, owner: Owner, base: str) -> None:
    limit, token = shapes.page(exchange.place.query)
    after = None if token is None else UUID(hex=token)
    found = await files.list(owner, purpose=None, after=after, oldest=False, limit=limit + 1)
    some = found[:limit]
    objects = [shapes.file_object(_shown(file, base)) for file in some]
    _answer(exchange, shapes.shown_list(objects, after=some[-1].id.hex if len(found) > limit else ""))


async def _upload(exchange: Exchange, files: Files, owner: Owner, keys: Hashes, base: str) -> None:
    request = exchange.request
    asked = shapes.commands(request.headers)
    said = exchange.place.query.get("upload_id")
    if said is None:
        if asked != frozenset({"start"}):
            raise shapes.no_upload()
        begun = shapes.read_start(request.headers, request.body)
        upload = await files.begin(owner, begun.name, begun.media_type, begun.size)
        path = f"{base}/upload/v1beta/files?upload_id={ticket(keys, owner.key_id, upload)}&upload_protocol=resumable"
        url = path.encode("latin-1")
        _answer(exchange, {}, _BEGUN % (url, url, bounds.UPLOAD_PIECE_BYTES_MIN))
        return
    _, upload = holder(keys, said)
    whole = await files.begun(owner, upload)
    if whole is None or "start" in asked:
        raise shapes.no_upload()
    if "cancel" in asked:
        await files.leave(owner, whole)
        _answer(exchange, {}, b"x-goog-upload-status: cancelled\r\n")
        return
    there = await files.pieces_of(owner, whole)
    received = sum(piece.size for piece in there)
    if "query" in asked:
        _answer(exchange, {}, _ACTIVE % received)
        return
    data = bytes(request.body) if "upload" in asked else b""
    if "upload" in asked and shapes.number(request.headers, b"x-goog-upload-offset") != received:
        raise shapes.unfit("X-Goog-Upload-Offset", f"{received} bytes have come so far")
    size = int(await files.whole(whole, bounds.FILE_BYTES_MAX) or b"0")
    if received + len(data) > size:
        raise TooLarge(f"More bytes than the {size} that were announced.", code="file_too_large")
    if "finalize" not in asked:
        if len(data) < bounds.UPLOAD_PIECE_BYTES_MIN:
            raise shapes.unfit("X-Goog-Upload-Command", f"a piece has at least {bounds.UPLOAD_PIECE_BYTES_MIN} bytes")
        await files.go_on(owner, whole, len(there), data)
        _answer(exchange, {}, _ACTIVE % (received + len(data)))
        return
    if received + len(data) != size:
        raise shapes.unfit(
            "X-Goog-Upload-Command", f"{size} bytes were announced, and {received + len(data)} have come"
        )
    file = await files.add(
        owner, "user_data", whole.name, whole.media_type, _joined(files, there, data) if there else data
    )
    await files.leave(owner, whole)
    _answer(exchange, {"file": shapes.file_object(_shown(file, base))}, _FINAL)


async def _joined(files: Files, pieces: list[File], last: bytes) -> AsyncGenerator[bytes]:
    for piece in pieces:
        async for data in files.read(piece):
            yield data
    if last:
        yield last


def gone() -> NotFound:
    """For whoever asks with an address of a key that is not valid any more."""
    return shapes.no_upload()
