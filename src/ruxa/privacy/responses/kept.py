"""Responses that are kept: what was asked and answered, so that the next call can go on from it (decision D13).

A response is found by a keyed hash of its id and of the key that made it, and by nothing else; it is sealed under the
organisation's content key and the key of its last day, as the content of calls is: up to 64 KiB in the row, more in
object storage. It holds the whole conversation up to itself, so one look is enough to go on from it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

import msgspec

from ruxa.access.grants import Grant
from ruxa.egress.objects import Objects
from ruxa.kernel import bounds, crypto
from ruxa.kernel.errors import Conflict, NotFound, Unavailable
from ruxa.privacy.content import items
from ruxa.privacy.content.items import Works
from ruxa.privacy.responses import records
from ruxa.store.vault import Vault
from ruxa.store.work import Work

TABLE: Final = "content.response"
PURPOSE: Final = "provide"
_COLUMN: Final = f"{TABLE}.state_sealed"
_MARK: Final = "response-id"
# Above this a state is sealed in a thread: below, the thread costs more than the sealing.
_THREAD_BYTES: Final = 256 * 1024


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A kept response, unopened. id: of its call's usage row."""

    id: UUID
    until: date
    organisation_id: UUID
    sealed: bytes | None
    object: str | None


class Responses:
    """With a pool, a vault and an object store of their own."""

    def __init__(self, works: Works, vault: Vault, objects: Objects) -> None:
        self._works = works
        self._vault = vault
        self._objects = objects

    async def add(self, call_id: UUID, grant: Grant, response_id: str, days: int, state: bytes) -> None:
        """Keep what a call was asked and answered for so many days.

        Raises NotFound ``key_destroyed`` when the organisation keeps no content (any more), Unavailable.
        """
        until = items.until_of(call_id, days)
        place = (_COLUMN, grant.organisation_id, call_id)
        mark = self._vault.keyed_hash(_MARK, grant.key_id.bytes + response_id.encode())
        sealed: bytes | None = None
        stored: str | None = None
        if len(state) <= bounds.CONTENT_INLINE_BYTES:
            sealed = await self._vault.seal_bytes(*place, state, day=until)
        else:
            sealer = await self._vault.chunk_sealer(*place, day=until)
            if len(state) > _THREAD_BYTES:
                body = await asyncio.to_thread(lambda: sealer.feed(state) + sealer.finish())
            else:
                body = sealer.feed(state) + sealer.finish()
            stored = f"{items.day_prefix(until)}/{secrets.token_hex(16)}"
            await self._objects.put(stored, body)
        row = (call_id, until, grant.organisation_id, grant.key_id, mark, len(state), sealed, stored)
        async with self._works.work("responses") as work:
            await records.add(work, row)

    async def find(self, grant: Grant, response_id: str) -> bytes | None:
        """What is kept of a response of that key; None when nothing is (any more). Raises Unavailable, Broken."""
        async with self._works.work("responses") as work:
            row = await records.find(work, grant.key_id, self._marks(grant, response_id))
        if row is None:
            return None
        kept = Kept(id=row[0], until=row[1], organisation_id=grant.organisation_id, sealed=row[2], object=row[3])
        return await read(self._vault, self._objects, kept, purpose=PURPOSE)

    async def delete(self, grant: Grant, response_id: str) -> bool:
        """Deletes a response; False when there is none. Raises Conflict ``erasure_not_now``."""
        held = False
        gone: list[str] = []
        try:
            async with self._works.work("responses") as work:
                gone = await records.delete(work, grant.organisation_id, grant.key_id, self._marks(grant, response_id))
        except Conflict as error:
            held = error.code == "RX470"
            if not held:
                raise
        if held:
            # Whether there is a hold may be a secret (D46): the words say no more than that somebody has to look.
            raise Conflict(
                "This cannot be deleted now; whoever runs this server will tell you when.", code="erasure_not_now"
            )
        await self._objects.remove([name for name in gone if name])
        return bool(gone)

    def _marks(self, grant: Grant, response_id: str) -> list[bytes]:
        return self._vault.keyed_hashes(_MARK, grant.key_id.bytes + response_id.encode())


async def read(vault: Vault, objects: Objects | None, kept: Kept, *, purpose: str) -> bytes | None:
    """What is kept, opened; None when its key is gone. Raises Unavailable, Broken ``sealed_damaged``."""
    place = (_COLUMN, kept.organisation_id, kept.id)
    try:
        if kept.object is None:
            if kept.sealed is None:
                return None
            opened = await vault.open_bytes(*place, kept.sealed, purpose=purpose, day=kept.until)
            return opened.open(purpose)
        if objects is None:
            raise Unavailable("Stored content can't be reached here.", code="storage_away")
        body = b"".join([piece async for piece in objects.get(kept.object)])
        head = body[: crypto.CHUNKS_HEAD_BYTES]
        opener = await vault.chunk_opener(*place, head, purpose=purpose, day=kept.until)
        return opener.feed(body) + opener.finish()
    except NotFound:
        return None


def _of_row(row: Sequence[Any]) -> Kept:
    return Kept(id=row[0], until=row[1], organisation_id=row[2], sealed=row[3], object=row[4])


async def of_day(work: Work, until: date, organisations: Sequence[UUID]) -> list[Kept]:
    """What these organisations have kept until that day, unopened: for holds that copy it in time."""
    return [_of_row(row) for row in await records.of_day(work, until, list(organisations))]


async def of_organisation(work: Work, response_id: UUID, organisation_id: UUID) -> Kept | None:
    """One by its organisation alone: for exports."""
    row = await records.of_organisation(work, response_id, organisation_id)
    return None if row is None else _of_row(row)
