"""Repeats: answers kept for who asks the same again - a call that was to be made once, or one whose answer may be used
again (decision D14).

Scoped by key, found by keyed hashes alone, sealed under the organisation's content key and the key of the last day. A
call with ``Idempotency-Key`` is noted before it goes out and for 24 hours; sending the header is the wish to have the
answer kept. An organisation without a content key, and an answer over 1 MiB, leave the note that there was an answer.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import msgspec

from ruxa.access.grants import Grant
from ruxa.kernel import bounds, ids
from ruxa.kernel.errors import NotFound
from ruxa.privacy.content import records
from ruxa.privacy.content.items import Works
from ruxa.store.vault import Vault

COLUMN: Final = "content.repeat.answer_sealed"
PURPOSE: Final = "provide"
DAYS: Final = 2
LIFE_S: Final = 24 * 3600
# Longer than a call can take; then nobody waits for its end any more.
BUSY_S: Final = bounds.CALL_TIMEOUT_S + 60
_ONCE, _BODY, _CACHE = "repeat-once", "repeat-body", "repeat-cache"

State = Literal["running", "kept", "told"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it went out. pieces: of a stream as they were written, else the body alone."""

    content_type: bytes
    streamed: bool
    dropped: tuple[str, ...] = ()
    pieces: tuple[bytes, ...]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the same call. same: its body was the same; wait_s: when to ask again, if it still runs."""

    call_id: UUID
    state: State
    same: bool = True
    amount_micros: int = 0
    answer: Answer | None = None
    wait_s: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Answer).decode


class Repeats:
    """With a pool and a vault of their own."""

    def __init__(self, works: Works, vault: Vault) -> None:
        self._works = works
        self._vault = vault

    async def begin(self, call_id: UUID, grant: Grant, name: bytes, body: bytes) -> Found | None:
        """Note a call that is to be made once, in one round trip; what is known of it, None when it is the first."""
        marks = self._vault.keyed_hashes(_ONCE, grant.key_id.bytes + name)
        bodies = self._vault.keyed_hashes(_BODY, body)
        async with self._works.work("gateway") as work:
            row = await records.repeat_begin(
                work, call_id, grant.organisation_id, grant.key_id, marks, bodies, LIFE_S, BUSY_S
            )
        state, first, until, same, amount, sealed, wait_s = row
        if state == "fresh":
            return None
        answer = None if sealed is None or not same else await self._open(grant, first, until, sealed)
        if state == "kept" and answer is None and same:
            state = "told"
        return Found(call_id=first, state=state, same=same, amount_micros=amount, answer=answer, wait_s=wait_s)

    async def end(self, call_id: UUID, grant: Grant, amount_micros: int, answer: Answer | None) -> None:
        """The noted call was answered; ``answer`` None: it is not kept."""
        until = _until(call_id)
        sealed = None if answer is None else await self._seal(grant, call_id, until, answer)
        async with self._works.work("gateway") as work:
            await records.repeat_end(work, call_id, grant.key_id, until, amount_micros, sealed)

    async def drop(self, call_id: UUID, grant: Grant) -> None:
        """The noted call came to nothing: it may be made again."""
        async with self._works.work("gateway") as work:
            await records.repeat_drop(work, call_id, grant.key_id, _until(call_id))

    async def cached(self, grant: Grant, body: bytes, age_s: int) -> Found | None:
        """The newest answer to the same call that may be used again."""
        marks = self._vault.keyed_hashes(_CACHE, grant.key_id.bytes + body)
        async with self._works.work("gateway") as work:
            row = await records.cached(work, grant.key_id, marks, age_s)
        if row is None:
            return None
        answer = await self._open(grant, row[0], row[1], row[2])
        return None if answer is None else Found(call_id=row[0], state="kept", answer=answer)

    async def cache(self, call_id: UUID, grant: Grant, body: bytes, life_s: int, answer: Answer) -> None:
        """Keep an answer for the same call of the same key."""
        until = _until(call_id)
        sealed = await self._seal(grant, call_id, until, answer)
        if sealed is None:
            return
        mark = self._vault.keyed_hash(_CACHE, grant.key_id.bytes + body)
        async with self._works.work("gateway") as work:
            await records.cache(work, call_id, until, grant.organisation_id, grant.key_id, mark, life_s, sealed)

    async def _seal(self, grant: Grant, call_id: UUID, until: date, answer: Answer) -> bytes | None:
        try:
            return await self._vault.seal_bytes(COLUMN, grant.organisation_id, call_id, _encode(answer), day=until)
        except NotFound:
            return None

    async def _open(self, grant: Grant, call_id: UUID, until: date, sealed: bytes) -> Answer | None:
        place = (COLUMN, grant.organisation_id, call_id)
        try:
            opened = await self._vault.open_bytes(*place, sealed, purpose=PURPOSE, day=until)
        except NotFound:
            return None
        return _decode(opened.open(PURPOSE))


def _until(call_id: UUID) -> date:
    return datetime.fromtimestamp(ids.unix_ms(call_id) / 1000, UTC).date() + timedelta(days=DAYS)
