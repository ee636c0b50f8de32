"""What a call sent and got: sealed and written, found and opened, deleted; and the end of a day of it.

Kept only for keys with ``store_days`` from 1 to 23. An item's last day is the call's day plus that number: from the
first moment of that day on it is gone, so an item lives at most ``store_days`` times 24 hours (D30 counts from the
oldest moment of the day). It is sealed under the organisation's content key and the key of its last day, each part
bound to its call, and filed under its last day: the day's key, its partition and its objects all go at once.

Up to 64 KiB a side lies in the row, more in object storage in chunks; a side over 10 MiB is not kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Literal, Protocol
from uuid import UUID

import msgspec

from ruxa.egress.objects import Objects
from ruxa.kernel import bounds, crypto, ids
from ruxa.kernel.errors import Conflict, NotFound, Unavailable
from ruxa.kernel.sealed import Sealed
from ruxa.privacy.content import records
from ruxa.store import partitions
from ruxa.store.keystore import Destroyed
from ruxa.store.vault import Vault
from ruxa.store.work import Work

State = Literal["stored", "too_large", "none", "lost"]
Part = Literal["request", "answer", "refusal"]

TABLE: Final = "content.item"
# What ends by the day with it: files that callers upload, and batches of calls over them (``privacy.files``).
TABLES: Final = (TABLE, "content.file", "content.batch", "content.batch_line", "content.repeat", "content.response")
# Of the day keys, of the subject's key, and the first segment of every object's name.
CLASS: Final = "content"
PREFIX: Final = "content"
# Keys and partitions are made for the longest limit and a week more.
DAYS_AHEAD: Final = bounds.CONTENT_DAYS + 7
PLAIN_TYPE: Final = "application/octet-stream"
_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9.+-]{0,40}/[a-z0-9][a-z0-9.+-]{0,50}")
# Above this a side is sealed in a thread: below, the thread costs more than the sealing.
_INLINE_SEAL_BYTES: Final = 256 * 1024


class Works(Protocol):
    """Who gives units of work; ``store.pool.Pool`` is one."""

    def work(self, principal: str = ...) -> Any:
        """One transaction."""
        ...


class Side(msgspec.Struct, frozen=True):
    """A request or an answer on its way into the store. ``data`` only where ``state`` is stored."""

    state: State
    media_type: str
    size: int
    data: bytes = b""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be kept of one call. ``refusal``: the provider's own words when it refused, for the operator alone."""

    call_id: UUID
    organisation_id: UUID
    key_id: UUID
    until: date
    request: Side
    answer: Side
    refusal: bytes = b""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A side that is kept, or why it is not; ``size`` in bytes as it was sent."""

    state: State
    media_type: str
    size: int
    object: str | None


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one call, unopened. It is gone at ``gone_at``."""

    call_id: UUID
    organisation_id: UUID
    key_id: UUID
    until: date
    request: Kept
    answer: Kept
    refused: bool

    @property
    def gone_at(self) -> datetime:
        """The first moment of the last day, UTC."""
        return moment(self.until)

    def side(self, part: Literal["request", "answer"]) -> Kept:
        """One of the two."""
        return self.request if part == "request" else self.answer


class Keeper:
    """``seal`` and ``write`` with a pool, a vault and an object store of their own."""

    def __init__(self, works: Works, vault: Vault, objects: Objects) -> None:
        self._works = works
        self._vault = vault
        self._objects = objects

    async def seal(self, item: Item, *, give_up: bool) -> tuple[object, ...]:
        """See the function."""
        return await seal(self._vault, self._objects, item, give_up=give_up)

    async def write(self, rows: Sequence[tuple[object, ...]]) -> None:
        """See the function."""
        async with self._works.work("content") as work:
            await write(work, rows)


class Ended(msgspec.Struct, frozen=True):
    """What ``end_days`` destroyed: day keys, partitions, objects."""

    keys: tuple[Destroyed, ...]
    partitions: tuple[str, ...]
    objects: int


def until_of(call_id: UUID, store_days: int) -> date:
    """The last day of a call's content: the day of the call (UTC, in its id) plus the key's days."""
    return datetime.fromtimestamp(ids.unix_ms(call_id) / 1000, UTC).date() + timedelta(days=store_days)


def moment(until: date) -> datetime:
    """When content of that last day is gone."""
    return datetime.combine(until, time(), UTC)


def media_type(said: str) -> str:
    """A content type as it may stand in a row: without parameters, and only what looks like one."""
    plain = said.partition(";")[0].strip().lower()
    return plain if _TYPE.fullmatch(plain) else PLAIN_TYPE


def day_prefix(until: date) -> str:
    """Where the objects of a last day lie."""
    return f"{PREFIX}/{until}"


# Writing


async def seal(vault: Vault, objects: Objects, item: Item, *, give_up: bool = False) -> tuple[object, ...]:
    """The row of an item, its large sides in object storage already.

    give_up: a side that the object store does not take now is marked lost; else Unavailable is raised. NotFound
    ``key_destroyed``: the organisation has no content key (any more), or the last day is over.
    """
    request = await _seal_side(vault, objects, item, "request", item.request, give_up)
    answer = await _seal_side(vault, objects, item, "answer", item.answer, give_up)
    refusal = None
    if item.refusal:
        refusal = await vault.seal_bytes(
            _column("refusal"), item.organisation_id, item.call_id, item.refusal, day=item.until
        )
    return (item.call_id, item.until, item.organisation_id, item.key_id, *request, *answer, refusal)


async def write(work: Work, rows: Sequence[tuple[object, ...]]) -> None:
    """Sealed rows of ``seal``; a row that is there already stays as it is."""
    await records.insert(work, rows)


async def _seal_side(
    vault: Vault, objects: Objects, item: Item, part: Literal["request", "answer"], side: Side, give_up: bool
) -> tuple[State, str, int, bytes | None, str | None]:
    """State, type, size, sealed bytes, object's name."""
    if side.state != "stored":
        return side.state, side.media_type, side.size, None, None
    place = (_column(part), item.organisation_id, item.call_id)
    if side.size <= bounds.CONTENT_INLINE_BYTES:
        return "stored", side.media_type, side.size, await vault.seal_bytes(*place, side.data, day=item.until), None
    sealer = await vault.chunk_sealer(*place, day=item.until)
    if side.size <= _INLINE_SEAL_BYTES:
        sealed = sealer.feed(side.data) + sealer.finish()
    else:
        sealed = await asyncio.to_thread(lambda: sealer.feed(side.data) + sealer.finish())
    name = f"{day_prefix(item.until)}/{secrets.token_hex(16)}"
    try:
        await objects.put(name, sealed)
    except Unavailable:
        if not give_up:
            raise
        return "lost", side.media_type, side.size, None, None
    return "stored", side.media_type, side.size, None, name


def _column(part: Part) -> str:
    return f"{TABLE}.{part}_sealed"


# Reading


async def find(work: Work, call_id: UUID, organisation_id: UUID | None = None) -> Content | None:
    """What is kept of a call, unopened; None when nothing is, or it is gone, or it is not that organisation's."""
    row = await records.find(work, call_id, organisation_id)
    return None if row is None else _content(row)


async def of_day(work: Work, until: date, organisations: Sequence[UUID]) -> list[Content]:
    """What these organisations have kept until that day, unopened, over or not: for holds that copy it in time."""
    return [_content(row) for row in await records.of_day(work, until, list(organisations))]


async def oldest(work: Work) -> datetime | None:
    """When the oldest call was made whose content is there."""
    found = await records.oldest(work)
    return None if found is None else datetime.fromtimestamp(ids.unix_ms(found) / 1000, UTC)


def _content(row: Sequence[Any]) -> Content:
    return Content(
        call_id=row[0],
        until=row[1],
        organisation_id=row[2],
        key_id=row[3],
        request=Kept(state=row[4], media_type=row[5], size=row[6], object=row[7]),
        answer=Kept(state=row[8], media_type=row[9], size=row[10], object=row[11]),
        refused=row[12],
    )


async def read(
    work: Work, vault: Vault, objects: Objects | None, content: Content, part: Part, *, purpose: str
) -> Sealed[bytes] | None:
    """One part, opened, whole; None when it is not stored or its key is gone. Raises as ``pieces``.

    Whoever calls this writes the audit entry of the reading.
    """
    found = await pieces(work, vault, objects, content, part, purpose=purpose)
    if found is None:
        return None
    return Sealed(b"".join([piece async for piece in found]), _column(part), (purpose,))


async def pieces(
    work: Work, vault: Vault, objects: Objects | None, content: Content, part: Part, *, purpose: str
) -> AsyncGenerator[bytes, None] | None:
    """One part, opened, a few chunks of 64 KiB at a time; None when it is not stored or its key is gone.

    The work may end before the pieces are taken. Raises Unavailable, Broken ``sealed_damaged``, the latter also between
    pieces: each is authentic, that they are all is known at the end. Whoever calls this writes the audit entry.
    """
    place = (_column(part), content.organisation_id, content.call_id)
    kept = None if part == "refusal" else content.side(part)
    try:
        if kept is not None and kept.object is not None:
            if objects is None:
                raise Unavailable("Stored content can't be reached here.", code="storage_away")
            rest = _of_object(vault, objects, place, kept.object, content.until, purpose)
            return _after(await anext(rest, b""), rest)
        row = await records.sealed(work, content.call_id, content.until)
        found = None if row is None else row[("request", "answer", "refusal").index(part)]
        if found is None:
            return None
        opened = await vault.open_bytes(*place, found, purpose=purpose, day=content.until)
        return _after(opened.open(purpose))
    except NotFound:
        return None


async def _of_object(
    vault: Vault, objects: Objects, place: tuple[str, UUID, UUID], name: str, until: date, purpose: str
) -> AsyncGenerator[bytes, None]:
    opener: crypto.ChunkOpener | None = None
    head = b""
    async for piece in objects.get(name):
        data = piece
        if opener is None:
            head += piece
            if len(head) < crypto.CHUNKS_HEAD_BYTES:
                continue
            opener = await vault.chunk_opener(*place, head[: crypto.CHUNKS_HEAD_BYTES], purpose=purpose, day=until)
            data = head
        if clear := opener.feed(data):
            yield clear
    if opener is None:
        raise NotFound("That object is not there.", code="object_missing")
    if clear := opener.finish():
        yield clear


async def _after(first: bytes, rest: AsyncGenerator[bytes, None] | None = None) -> AsyncGenerator[bytes, None]:
    """Pieces with one before them that is there already."""
    yield first
    if rest is not None:
        async with contextlib.aclosing(rest):
            async for piece in rest:
                yield piece


async def count(work: Work, organisation_id: UUID, key_id: UUID | None = None) -> tuple[int, int]:
    """How many calls of the organisation, or of one of its keys, have content now; and its bytes."""
    return await records.count(work, organisation_id, key_id)


# Deleting: what a customer deletes is gone from the service at once; sealed remains in the write-ahead log and in
# backups open no more once the key of their last day is destroyed. While a hold forbids to delete, nothing is: what
# the hold is to keep is copied when its day goes, and must be there then.


async def _require_free(work: Work, organisation_id: UUID) -> None:
    if await records.held(work, organisation_id):
        # Whether there is a hold may be a secret (D46): the words say no more than that somebody has to look.
        raise Conflict(
            "This cannot be deleted now; whoever runs this server will tell you when.",
            code="erasure_not_now",
            detail=organisation_id.hex,
        )


async def delete(work: Work, objects: Objects, organisation_id: UUID, call_id: UUID) -> bool:
    """Deletes what is kept of one call; False when there is nothing. Raises Conflict ``erasure_not_now``."""
    await _require_free(work, organisation_id)
    return await _delete(objects, await records.delete(work, organisation_id, call_id=call_id)) > 0


async def delete_of_key(
    work: Work, objects: Objects, organisation_id: UUID, key_id: UUID, *, beyond_days: int = 0
) -> int:
    """Deletes what is kept of a key's calls; with ``beyond_days`` only what was to be kept for longer. How many.

    Raises Conflict ``erasure_not_now``.
    """
    await _require_free(work, organisation_id)
    if not beyond_days:
        await records.delete_repeats(work, organisation_id, key_id)
    await objects.remove(await records.delete_responses(work, organisation_id, key_id, beyond_days))
    return await _delete(objects, await records.delete(work, organisation_id, key_id=key_id, beyond=beyond_days))


async def delete_of_organisation(work: Work, vault: Vault, objects: Objects, organisation_id: UUID) -> int:
    """Deletes everything kept for the organisation, its files and batches too, and destroys the key that sealed it; how
    many calls.

    Calls that are answered meanwhile are kept under the fresh key. Raises Conflict ``erasure_not_now``.
    """
    await _require_free(work, organisation_id)
    gone = await _delete(objects, await records.delete(work, organisation_id))
    await objects.remove(await records.delete_files(work, organisation_id))
    await records.delete_repeats(work, organisation_id)
    await objects.remove(await records.delete_responses(work, organisation_id))
    await vault.destroy_subject(organisation_id, [CLASS])
    await vault.create_subject(organisation_id, [CLASS])
    return gone


async def destroy_organisation(
    work: Work, vault: Vault, objects: Objects, organisation_id: UUID
) -> tuple[list[Destroyed], int]:
    """The end of an organisation's content for good: key first, then rows and objects; keys and calls."""
    destroyed = await vault.destroy_subject(organisation_id, [CLASS])
    await records.delete_repeats(work, organisation_id)
    await objects.remove(await records.delete_files(work, organisation_id))
    await objects.remove(await records.delete_responses(work, organisation_id))
    return destroyed, await _delete(objects, await records.delete(work, organisation_id))


async def _delete(objects: Objects, rows: Sequence[tuple[str | None, str | None]]) -> int:
    names = [name for row in rows for name in row if name is not None]
    await objects.remove(names)
    return len(rows)


# Days


async def prepare(work: Work) -> int:
    """Makes the partitions of every last day to come; how many were missing. Their keys: ``vault.create_day_keys``."""
    return sum([await partitions.ensure(work, table, days_ahead=DAYS_AHEAD, days_behind=-1) for table in TABLES])


async def end_days(works: Works, vault: Vault, objects: Objects, today: date) -> Ended:
    """Destroys everything whose last day is ``today`` or earlier: keys first, then partitions and objects.

    Can be repeated and killed at any point. Holds are not looked at: whoever holds something copies it before.
    """
    keys = await vault.destroy_days_before(CLASS, today + timedelta(days=1))
    async with works.work("retention") as work:
        gone = [one for table in TABLES for one in await partitions.drop_before(work, table, today + timedelta(days=1))]
    objects_gone = 0
    for until in sorted(map(date.fromisoformat, await objects.folders(PREFIX))):
        if until <= today:
            objects_gone += await objects.delete(day_prefix(until))
    return Ended(tuple(keys), tuple(partition.name for partition in gone), objects_gone)
