"""Files: sealed and stored, found, read piece by piece, deleted. Each ends by itself: at the latest after 23 days.

A file belongs to an organisation and to one of its two worlds (test keys see no live file). Its bytes lie in the row up
to 64 KiB, above that in object storage, sealed under the organisation's content key and the key of its last day, as
the content of calls is.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from ruxa.egress.objects import Objects
from ruxa.kernel import bounds, crypto, ids
from ruxa.kernel.errors import Conflict, NotFound, TooLarge, Unavailable
from ruxa.privacy.content import items
from ruxa.privacy.content.items import Works
from ruxa.privacy.files import records
from ruxa.store.vault import Vault
from ruxa.store.work import Work

Purpose = Literal["batch", "batch_output", "user_data", "vision", "upload"]
"""``upload``: one under way, whose pieces are rows of the same purpose with the ids that follow its own."""

TABLE: Final = records.FILE_TABLE
_NAME: Final = "content.file.name_sealed"
_BODY: Final = "content.file.body_sealed"
PURPOSE: Final = "provide"
# Above this a piece is sealed in a thread: below, the thread costs more than the sealing.
_THREAD_BYTES: Final = 256 * 1024
OVER_AT_ONCE: Final = 500


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Whose files: an organisation's, of one of its worlds; key_id: who uploads."""

    organisation_id: UUID
    key_id: UUID
    livemode: bool


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file, unopened but for its name."""

    id: UUID
    until: date
    organisation_id: UUID
    purpose: Purpose
    media_type: str
    size: int
    name: str
    expires_at: datetime
    sealed: bytes | None = None
    object: str | None = None

    @property
    def created_at(self) -> datetime:
        """When it was stored."""
        return datetime.fromtimestamp(ids.unix_ms(self.id) / 1000, UTC)


class Files:
    """Files with a pool, a vault and an object store of their own."""

    def __init__(self, works: Works, vault: Vault, objects: Objects) -> None:
        self._works = works
        self._vault = vault
        self._objects = objects

    async def add(
        self,
        owner: Owner,
        purpose: Purpose,
        name: str,
        media_type: str,
        data: bytes | AsyncIterator[bytes],
        life_s: int | None = None,
    ) -> File:
        """Stores a file. life_s: its end, if sooner than the longest time.

        Raises Conflict ``too_many_files``, NotFound ``key_destroyed``, Unavailable.
        """
        now = await self._room(owner)
        row, file = await self.prepare(now, owner, purpose, name, media_type, data, life_s)
        async with self._works.work("files") as work:
            await records.add_file(work, row)
        return file

    async def _room(self, owner: Owner) -> datetime:
        """Now, if the organisation may have another file. Raises Conflict ``too_many_files``."""
        async with self._works.work("files") as work:
            if await records.count_files(work, owner.organisation_id) >= bounds.FILES_MAX:
                raise Conflict(f"There are {bounds.FILES_MAX} files already. Delete some first.", code="too_many_files")
            return await records.now(work)

    async def prepare(
        self,
        now: datetime,
        owner: Owner,
        purpose: Purpose,
        name: str,
        media_type: str,
        data: bytes | AsyncIterator[bytes],
        life_s: int | None,
        file_id: UUID | None = None,
    ) -> tuple[tuple[object, ...], File]:
        """The row of a file whose bytes are in object storage already, if they are many."""
        file_id = file_id or ids.at(int(now.timestamp() * 1000))
        expires_at, until = life(now, life_s)
        place = (owner.organisation_id, file_id)
        named = await self._vault.seal_bytes(_NAME, *place, name.encode(), day=until)
        sealed: bytes | None = None
        stored: str | None = None
        if not isinstance(data, bytes):
            data = await _small(data)
        if isinstance(data, bytes) and len(data) <= bounds.CONTENT_INLINE_BYTES:
            size = len(data)
            sealed = await self._vault.seal_bytes(_BODY, *place, data, day=until)
        else:
            stored = f"{items.day_prefix(until)}/{secrets.token_hex(16)}"
            sealer = await self._vault.chunk_sealer(_BODY, *place, day=until)
            counted = _Counted(sealer, _once(data) if isinstance(data, bytes) else data)
            await self._objects.put(stored, counted.pieces())
            size = counted.size
        plain = items.media_type(media_type)
        live = owner.livemode
        row = (
            file_id, until, owner.organisation_id, owner.key_id, live, purpose, plain, size, named, sealed, stored,
            expires_at,
        )  # fmt: skip
        return row, File(
            id=file_id,
            until=until,
            organisation_id=owner.organisation_id,
            purpose=purpose,
            media_type=plain,
            size=size,
            name=name,
            expires_at=expires_at,
            sealed=sealed,
            object=stored,
        )

    async def find(self, owner: Owner, file_id: UUID) -> File | None:
        """A living file of the owner's; None when there is none."""
        file = await self._found(owner, file_id)
        return None if file is None or file.purpose == "upload" else file

    async def _found(self, owner: Owner, file_id: UUID) -> File | None:
        async with self._works.work("files") as work:
            row = await records.file(work, owner.organisation_id, owner.livemode, file_id)
        return None if row is None else await self._file(row)

    # Uploads in pieces

    async def begin(self, owner: Owner, name: str, media_type: str, size: int) -> UUID:
        """An upload of so many bytes; it ends by itself in ``UPLOAD_LIFE_S``. Raises as ``add``."""
        now = await self._room(owner)
        first = _follower(ids.at(int(now.timestamp() * 1000)), 0)
        row, _ = await self.prepare(
            now, owner, "upload", name, media_type, b"%d" % size, bounds.UPLOAD_LIFE_S, file_id=first
        )
        async with self._works.work("files") as work:
            await records.add_file(work, row)
        return first

    async def begun(self, owner: Owner, upload: UUID) -> File | None:
        """An upload under way; its bytes say how many were announced."""
        file = await self._found(owner, upload)
        return file if file is not None and file.purpose == "upload" and upload == _follower(upload, 0) else None

    async def pieces_of(self, owner: Owner, upload: File) -> list[File]:
        """What has come of an upload, in order."""
        found: list[File] = []
        while len(found) < bounds.UPLOAD_PIECES_MAX:
            piece = await self._found(owner, _follower(upload.id, len(found) + 1))
            if piece is None:
                break
            found.append(piece)
        return found

    async def go_on(self, owner: Owner, upload: File, number: int, data: bytes) -> None:
        """The piece of that number, from 0. Raises Conflict when it has come already, TooLarge for one too many."""
        if number >= bounds.UPLOAD_PIECES_MAX:
            raise TooLarge(f"A file comes in at most {bounds.UPLOAD_PIECES_MAX} pieces.", code="too_many_pieces")
        async with self._works.work("files") as work:
            now = await records.now(work)
        piece = _follower(upload.id, number + 1)
        left_s = int((upload.expires_at - now).total_seconds())
        row, made = await self.prepare(now, owner, "upload", "", upload.media_type, data, max(left_s, 1), file_id=piece)
        try:
            async with self._works.work("files") as work:
                await records.add_file(work, row)
        except Conflict:
            if made.object is not None:
                await self._objects.remove([made.object])
            raise

    async def leave(self, owner: Owner, upload: File) -> None:
        """Deletes an upload and its pieces; under a hold they stay until their end."""
        for one in [*await self.pieces_of(owner, upload), upload]:
            try:
                await self.delete(owner, one.id)
            except Conflict:
                return

    async def list(
        self, owner: Owner, *, purpose: str | None, after: UUID | None, oldest: bool, limit: int
    ) -> Sequence[File]:
        """The owner's living files, newest first or oldest first, from after one of them."""
        async with self._works.work("files") as work:
            rows = await records.files(work, owner.organisation_id, owner.livemode, purpose, after, oldest, limit)
        return [
            File(
                id=row[0],
                until=row[1],
                organisation_id=owner.organisation_id,
                purpose=row[2],
                media_type=row[6],
                size=row[3],
                name=await self._name(owner.organisation_id, row[0], row[4], row[1]),
                expires_at=row[5],
            )
            for row in rows
        ]

    async def delete(self, owner: Owner, file_id: UUID) -> bool:
        """Deletes a file; False when there is none. Raises Conflict ``erasure_not_now``."""
        held = False
        gone: str | None = None
        try:
            async with self._works.work("files") as work:
                gone = await records.delete_file(work, owner.organisation_id, owner.livemode, file_id)
        except Conflict as error:
            held = error.code == "RX470"
            if not held:
                raise
        if held:
            # Whether there is a hold may be a secret (D46): the words say no more than that somebody has to look.
            raise Conflict(
                "This cannot be deleted now; whoever runs this server will tell you when.", code="erasure_not_now"
            )
        if gone:
            await self._objects.remove([gone])
        return gone is not None

    async def read(self, file: File) -> AsyncGenerator[bytes]:
        """The bytes of a file, in order. Raises NotFound when its key is gone, Unavailable, Broken."""
        async for piece in pieces(self._vault, self._objects, file, purpose=PURPOSE):
            yield piece

    async def whole(self, file: File, most: int) -> bytes:
        """All bytes of a file. Raises TooLarge, and as ``read``."""
        if file.size > most:
            raise TooLarge(f"The file has more than {most} bytes.", code="file_too_large")
        return b"".join([piece async for piece in self.read(file)])

    async def _file(self, row: Sequence[Any]) -> File:
        return of_row(row, await self._name(row[2], row[0], row[8], row[1]))

    async def _name(self, organisation_id: UUID, file_id: UUID, sealed: bytes, until: date) -> str:
        try:
            opened = await self._vault.open(_NAME, organisation_id, file_id, sealed, purpose=PURPOSE, day=until)
        except NotFound:
            return ""
        return opened.open(PURPOSE)


def _follower(upload: UUID, number: int) -> UUID:
    """The id of an upload's piece; 0: its own."""
    return UUID(int=upload.int & ~0xFF | number)


class _Counted:
    """Bytes on their way into the store, sealed and counted."""

    def __init__(self, sealer: crypto.ChunkSealer, source: AsyncIterator[bytes]) -> None:
        self._sealer = sealer
        self._source = source
        self.size = 0

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Sealed."""
        async for piece in self._source:
            self.size += len(piece)
            if len(piece) > _THREAD_BYTES:
                yield await asyncio.to_thread(self._sealer.feed, piece)
            else:
                yield self._sealer.feed(piece)
        yield self._sealer.finish()


async def _small(source: AsyncIterator[bytes]) -> bytes | AsyncIterator[bytes]:
    """All of it, when it is so little that it lies in the row; else the same again, from its beginning."""
    head: list[bytes] = []
    size = 0
    async for piece in source:
        head.append(piece)
        size += len(piece)
        if size > bounds.CONTENT_INLINE_BYTES:
            return _after(head, source)
    return b"".join(head)


async def _after(head: list[bytes], rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    for piece in head:
        yield piece
    async for piece in rest:
        yield piece


async def _once(data: bytes) -> AsyncGenerator[bytes]:
    yield data


def of_row(row: Sequence[Any], name: str) -> File:
    """A file from its columns."""
    return File(
        id=row[0],
        until=row[1],
        organisation_id=row[2],
        purpose=row[5],
        media_type=row[6],
        size=row[7],
        name=name,
        expires_at=row[11],
        sealed=row[9],
        object=row[10],
    )


async def pieces(vault: Vault, objects: Objects | None, file: File, *, purpose: str) -> AsyncGenerator[bytes]:
    """The bytes of a file for a purpose, in order."""
    place = (_BODY, file.organisation_id, file.id)
    if file.object is None:
        if file.sealed is not None:
            opened = await vault.open_bytes(*place, file.sealed, purpose=purpose, day=file.until)
            yield opened.open(purpose)
        return
    if objects is None:
        raise Unavailable("Stored content can't be reached here.", code="storage_away")
    opener: crypto.ChunkOpener | None = None
    head = b""
    async for piece in objects.get(file.object):
        data = piece
        if opener is None:
            head += piece
            if len(head) < crypto.CHUNKS_HEAD_BYTES:
                continue
            opener = await vault.chunk_opener(*place, head[: crypto.CHUNKS_HEAD_BYTES], purpose=purpose, day=file.until)
            data = head
        if clear := opener.feed(data):
            yield clear
    if opener is None:
        raise NotFound("That object is not there.", code="object_missing")
    if clear := opener.finish():
        yield clear


def life(now: datetime, life_s: int | None) -> tuple[datetime, date]:
    """When a file of now ends, and the day with whose key it ends."""
    last = now.astimezone(UTC).date() + timedelta(days=bounds.CONTENT_DAYS)
    latest = datetime.combine(last, time(), UTC)
    if life_s is None:
        return latest, last
    ends = min(now.astimezone(UTC) + timedelta(seconds=life_s), latest)
    day = ends.date() if ends.time() == time() else ends.date() + timedelta(days=1)
    return ends, min(day, last)


async def end_over(works: Works, objects: Objects) -> int:
    """Deletes the files whose chosen end has come; how many."""
    gone = 0
    while True:
        async with works.work("files") as work:
            over = await records.delete_over(work, OVER_AT_ONCE)
        await objects.remove([name for name in over if name is not None])
        gone += len(over)
        if len(over) < OVER_AT_ONCE:
            return gone


async def of_day(work: Work, until: date, organisations: Sequence[UUID]) -> list[File]:
    """What these organisations have stored until that day, unopened: for holds that copy it in time."""
    return [of_row(row, "") for row in await records.files_of_day(work, until, list(organisations))]


async def of_organisation(work: Work, file_id: UUID, organisation_id: UUID) -> File | None:
    """A file by its organisation alone: for exports."""
    row = await records.file_row(work, file_id, organisation_id)
    return None if row is None else of_row(row, "")
