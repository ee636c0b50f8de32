"""The sequencer: gives committed entries their place in the tree, and signs the tree's head. One at a time.

A leaf's bytes are canonical JSON of its time, its entry's id and commitment, and its number. Places are given without
gaps, times never step back; the database refuses anything else. Killed at any point, it leaves the tree as it was.
It looks with any login that reads the log, and writes (``writer``) with ``ruxa_audit``, which only adds to the tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

import msgspec

from ruxa.access.audit import log, notes, records, tree
from ruxa.kernel import ids
from ruxa.store import partitions
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault
from ruxa.store.work import Work

SIGN_AFTER: Final = timedelta(seconds=60)
SIGN_LEAVES: Final = 1000
BATCH: Final = 1000


class Checkpoint(msgspec.Struct, frozen=True):
    """A signed tree head; ``text`` is the note with every cosignature that came."""

    size: int
    root: bytes
    text: str
    at: datetime


def leaf(seq: int, at_ms: int, entry_id: UUID, commitment: bytes) -> bytes:
    """The bytes that a leaf is."""
    return b'{"at":%d,"commitment":"%b","id":"%b","seq":%d}' % (
        at_ms,
        commitment.hex().encode(),
        entry_id.hex.encode(),
        seq,
    )


def origin_of(instance: UUID) -> str:
    """The log's name, the same for its whole life: an installation's address may change, its id does not."""
    return f"ruxa-log/{instance.hex}"


async def origin(work: Work) -> str:
    """This installation's."""
    return origin_of(await records.instance(work))


async def prepare(pool: Pool) -> None:
    """Makes the days ahead, so that no act has to."""
    async with pool.work() as work:
        for table in (log.LASTING, log.CUSTOMER):
            await partitions.ensure(work, table)


async def run(pool: Pool, writer: Pool, vault: Vault, *, sign_now: bool = False) -> int:
    """Places all that waits and signs when it is time (60 s or 1000 leaves since the last, or ``sign_now``).

    Gives the number of leaves placed.
    """
    placed = 0
    while True:
        count = await place(pool, writer)
        placed += count
        await sign(pool, writer, vault, now=sign_now and count < BATCH)
        if count < BATCH:
            return placed


async def place(pool: Pool, writer: Pool, *, limit: int = BATCH) -> int:
    """Gives up to ``limit`` waiting entries their place; how many."""
    async with pool.work() as work:
        if not await records.pending(work, 1):
            return 0
    async with writer.work() as work:
        await records.lock(work)
        waiting = await records.pending(work, limit)
        if not waiting:
            return 0
        size, last_ms = await records.last_leaf(work)
        now_ms = int((await records.now(work)).timestamp() * 1000)
        # A clock set back does not turn the log's time back.
        at_ms = max(now_ms, last_ms, *(ids.unix_ms(entry_id) for entry_id, _ in waiting))
        found = _hashes(size, at_ms, waiting)
        edge = await tree.edge_of(partial(records.hashes, work), size)
        await records.append(work, size, at_ms, waiting, found, tree.grow(edge, size, found).nodes)
        return len(waiting)


def _hashes(size: int, at_ms: int, waiting: Sequence[tuple[UUID, bytes]]) -> list[bytes]:
    return [
        tree.leaf_hash(leaf(seq, at_ms, entry_id, commitment))
        for seq, (entry_id, commitment) in enumerate(waiting, start=size)
    ]


async def sign(pool: Pool, writer: Pool, vault: Vault, *, now: bool = False) -> Checkpoint | None:
    """Signs the tree's head when there is something new and it is time; the new checkpoint."""
    async with pool.work() as work:
        last = await records.last_checkpoint(work)
        size, _ = await records.last_leaf(work)
        if not _due(last, size, await records.now(work), now):
            return None
    # The key may have to be fetched: not under the lock.
    signer = await vault.signing_key("audit")
    async with writer.work() as work:
        await records.lock(work)
        last = await records.last_checkpoint(work)
        size, last_ms = await records.last_leaf(work)
        moment = await records.now(work)
        if not _due(last, size, moment, now):
            return None
        newest = datetime.fromtimestamp(last_ms / 1000, UTC)
        at = max(moment, newest, moment if last is None else last.at)
        root = tree.edge_root(await tree.edge_of(partial(records.hashes, work), size))
        note = notes.sign(await origin(work), size, root, int(at.timestamp()), signer)
        await records.sign(work, size, root, signer.id, note, at)
        return Checkpoint(size, root, note, at)


def _due(last: records.Signed | None, size: int, now: datetime, at_once: bool) -> bool:
    if last is None:
        return size > 0
    fresh = size - last.size
    return fresh > 0 and (at_once or fresh >= SIGN_LEAVES or now - last.at >= SIGN_AFTER)


async def checkpoint(work: Work) -> Checkpoint | None:
    """The last signed one, with the cosignatures that came for it; None while the log is empty."""
    last = await records.last_checkpoint(work)
    return None if last is None else await _with_witnesses(work, last)


async def checkpoint_at(work: Work, size: int) -> Checkpoint | None:
    """The one of that size."""
    found = await records.checkpoint(work, size)
    return None if found is None else await _with_witnesses(work, found)


async def _with_witnesses(work: Work, found: records.Signed) -> Checkpoint:
    lines = await records.cosignatures(work, found.size)
    return Checkpoint(found.size, found.root, found.note + "".join(lines), found.at)


async def tile(work: Work, level: int, number: int, width: int) -> bytes | None:
    """A hash tile as it is public: only what a signed checkpoint covers; None otherwise."""
    last = await records.last_checkpoint(work)
    size = 0 if last is None else last.size
    if not 0 <= level <= 7 or number < 0 or not 1 <= width <= tree.TILE:
        return None
    if (number * tree.TILE + width) << 8 * level > size:
        return None
    return b"".join(await records.hashes(work, level, number * tree.TILE, width))
