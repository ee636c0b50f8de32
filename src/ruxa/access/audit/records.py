"""The SQL of the audit log: each statement beside the row it gives. Entries are written by functions of the schema."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from ruxa.access.records import Addressee
from ruxa.store.work import Work


async def snapshot(work: Work) -> None:
    """All that the work reads is of one moment. Must be its first statement."""
    await work.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


async def now(work: Work) -> datetime:
    """The store's time."""
    return await work.value("SELECT ruxa.now()")


async def write(
    work: Work,
    entry_id: UUID,
    lasting: bool,
    organisation_id: UUID | None,
    actor_index: bytes | None,
    fields: bytes,
    details: bytes,
    commitment: bytes,
) -> None:
    """One entry, waiting for its place in the tree."""
    await work.run(
        "SELECT audit.write(%s, %s, %s, %s, %s, %s, %s)",
        entry_id,
        lasting,
        organisation_id,
        actor_index,
        fields,
        details,
        commitment,
    )


# The tree


class Leaf(NamedTuple):
    """A leaf as it is stored: where, when it got its place (ms), which entry, what it commits to, its hash."""

    seq: int
    at_ms: int
    entry_id: UUID
    commitment: bytes
    hash: bytes


class Signed(NamedTuple):
    """A signed tree head."""

    size: int
    root: bytes
    key_id: bytes
    note: str
    at: datetime


async def instance(work: Work) -> UUID:
    """Whose log it is; zeros while the database belongs to no installation."""
    return await work.value("SELECT id FROM ruxa.instance") or UUID(int=0)


async def lock(work: Work) -> None:
    """Be the one sequencer, until the work ends."""
    await work.run("SELECT pg_advisory_xact_lock(hashtextextended('ruxa.audit', 0))")


async def last_leaf(work: Work) -> tuple[int, int]:
    """Size of the tree and the last leaf's time (ms)."""
    row = await work.row("SELECT seq + 1, at_ms FROM audit.leaf ORDER BY seq DESC LIMIT 1")
    return (0, 0) if row is None else (row[0], row[1])


async def pending(work: Work, limit: int) -> list[tuple[UUID, bytes]]:
    """Entries that wait for their place, oldest first, with their commitments."""
    rows = await work.rows("SELECT entry_id, commitment FROM audit.pending ORDER BY entry_id LIMIT %s", limit)
    return [(row[0], row[1]) for row in rows]


async def hashes(work: Work, level: int, start: int, count: int) -> list[bytes]:
    """Hashes of the tree: leaf hashes at level 0, roots of full tiles above."""
    if level == 0:
        rows = await work.rows(
            "SELECT hash FROM audit.leaf WHERE seq >= %s AND seq < %s ORDER BY seq", start, start + count
        )
    else:
        rows = await work.rows(
            "SELECT hash FROM audit.node WHERE level = %s AND number >= %s AND number < %s ORDER BY number",
            level,
            start,
            start + count,
        )
    return [row[0] for row in rows]


async def append(
    work: Work,
    first: int,
    at_ms: int,
    entries: Sequence[tuple[UUID, bytes]],
    leaf_hashes: Sequence[bytes],
    nodes: Sequence[tuple[int, int, bytes]],
) -> None:
    """The next leaves, whose entries leave the queue, and the roots of the tiles they filled; by the log's own login.

    Raises Conflict ``RX353`` when they do not come next or an entry does not wait.
    """
    await work.run(
        """
        INSERT INTO audit.leaf (seq, at_ms, entry_id, commitment, hash)
        SELECT %s + given.place - 1, %s, given.id, given.commitment, given.hash
        FROM unnest(%s::uuid[], %s::bytea[], %s::bytea[]) WITH ORDINALITY AS given (id, commitment, hash, place)
        ORDER BY given.place
        """,
        first,
        at_ms,
        [entry for entry, _ in entries],
        [commitment for _, commitment in entries],
        list(leaf_hashes),
    )
    await work.run(
        "INSERT INTO audit.node (level, number, hash) SELECT * FROM unnest(%s::integer[], %s::bigint[], %s::bytea[])",
        [level for level, _, _ in nodes],
        [number for _, number, _ in nodes],
        [node for _, _, node in nodes],
    )


async def sign(work: Work, size: int, root: bytes, key_id: bytes, note: str, at: datetime) -> None:
    """A checkpoint, by the log's own login. Raises Conflict ``RX354`` when it does not come next."""
    await work.run(
        "INSERT INTO audit.checkpoint (size, root, key_id, note, at) VALUES (%s, %s, %s, %s, %s)",
        size,
        root,
        key_id,
        note,
        at,
    )


async def last_checkpoint(work: Work) -> Signed | None:
    """The largest."""
    row = await work.row("SELECT size, root, key_id, note, at FROM audit.checkpoint ORDER BY size DESC LIMIT 1")
    return None if row is None else Signed(*row)


async def checkpoint(work: Work, size: int) -> Signed | None:
    """The one of that size."""
    row = await work.row("SELECT size, root, key_id, note, at FROM audit.checkpoint WHERE size = %s", size)
    return None if row is None else Signed(*row)


async def checkpoints(work: Work, above: int, limit: int) -> list[Signed]:
    """Those above a size, smallest first."""
    rows = await work.rows(
        "SELECT size, root, key_id, note, at FROM audit.checkpoint WHERE size > %s ORDER BY size LIMIT %s", above, limit
    )
    return [Signed(*row) for row in rows]


async def signed_before(work: Work, age: timedelta) -> int:
    """The size of the largest checkpoint that is older than that; 0 when none is."""
    return await work.value("SELECT coalesce(max(size), 0) FROM audit.checkpoint WHERE at < ruxa.now() - %s", age)


async def cosign(work: Work, size: int, witness: str, line: str) -> bool:
    """A witness's line, by the log's own login; False when it is there already."""
    return bool(
        await work.run(
            "INSERT INTO audit.cosignature (size, witness, line) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            size,
            witness,
            line,
        )
    )


async def cosignatures(work: Work, size: int) -> list[str]:
    """The lines of all witnesses for a checkpoint."""
    rows = await work.rows("SELECT line FROM audit.cosignature WHERE size = %s ORDER BY witness", size)
    return [row[0] for row in rows]


async def last_cosigned(work: Work, witness: str) -> tuple[int, datetime] | None:
    """The largest tree head that a witness signed, and when we got it."""
    row = await work.row(
        "SELECT size, at FROM audit.cosignature WHERE witness = %s ORDER BY size DESC LIMIT 1", witness
    )
    return None if row is None else (row[0], row[1])


async def acknowledge(work: Work, acknowledgement_id: UUID, size: int, organisation_id: UUID | None) -> None:
    """Somebody keeps a copy of that checkpoint."""
    await work.run("SELECT audit.acknowledge(%s, %s, %s)", acknowledgement_id, size, organisation_id)


async def last_acknowledged(work: Work, organisation_id: UUID | None) -> tuple[int, datetime] | None:
    """The checkpoint that an organisation (None: any) said last to keep, and when."""
    row = await work.row(
        "SELECT size, at FROM audit.acknowledgement WHERE organisation_id = coalesce(%s, organisation_id)"
        " ORDER BY at DESC LIMIT 1",
        organisation_id,
    )
    return None if row is None else (row[0], row[1])


async def leaves(work: Work, first: int, limit: int) -> list[Leaf]:
    """Leaves from a place on, in order."""
    rows = await work.rows(
        "SELECT seq, at_ms, entry_id, commitment, hash FROM audit.leaf WHERE seq >= %s ORDER BY seq LIMIT %s",
        first,
        limit,
    )
    return [Leaf(*row) for row in rows]


async def size(work: Work) -> int:
    """How many leaves there are, by the number of the last."""
    return await work.value("SELECT coalesce(max(seq) + 1, 0) FROM audit.leaf")


async def waiting_longest_s(work: Work) -> int:
    """How long the oldest entry has waited for its place, seconds; 0 when none waits."""
    return await work.value(
        "SELECT coalesce((SELECT extract(epoch FROM ruxa.now() - ruxa.id_time(entry_id))::integer FROM audit.pending"
        " ORDER BY entry_id LIMIT 1), 0)"
    )


# Entries


class EntryRow(NamedTuple):
    """An entry as it is stored, in either table; ``seq`` is its leaf, None while it waits."""

    table: str
    id: UUID
    organisation_id: UUID | None
    actor_index: bytes | None
    fields_sealed: bytes
    details_sealed: bytes
    commitment: bytes
    seq: int | None


async def entries(
    work: Work,
    *,
    floor: UUID,
    below: UUID,
    organisation_id: UUID | None,
    actor_indexes: list[bytes] | None,
    limit: int,
) -> list[EntryRow]:
    """Entries of both tables from ``floor`` to below ``below``, newest first; of one organisation or actor, or all."""
    asked = (floor, below, organisation_id, organisation_id, actor_indexes, actor_indexes, limit)
    rows = await work.rows(
        """
        SELECT found.*, leaf.seq FROM (
            (SELECT 'audit.entry' AS kept_in, id, organisation_id, actor_index, fields_sealed,
                details_sealed, commitment
             FROM audit.entry
             WHERE id >= %s AND id < %s AND (%s::uuid IS NULL OR organisation_id = %s::uuid)
               AND (%s::bytea[] IS NULL OR actor_index = ANY (%s::bytea[]))
             ORDER BY id DESC LIMIT %s)
            UNION ALL
            (SELECT 'audit.customer_entry', id, organisation_id, actor_index, fields_sealed,
                details_sealed, commitment
             FROM audit.customer_entry
             WHERE id >= %s AND id < %s AND (%s::uuid IS NULL OR organisation_id = %s::uuid)
               AND (%s::bytea[] IS NULL OR actor_index = ANY (%s::bytea[]))
             ORDER BY id DESC LIMIT %s)
        ) found LEFT JOIN audit.leaf ON leaf.entry_id = found.id
        ORDER BY found.id DESC LIMIT %s
        """,
        *asked,
        *asked,
        limit,
    )
    return [EntryRow(*row) for row in rows]


async def entries_after(work: Work, after: UUID, limit: int) -> list[EntryRow]:
    """Entries of both tables above an id, oldest first."""
    rows = await work.rows(
        """
        SELECT found.*, leaf.seq FROM (
            (SELECT 'audit.entry' AS kept_in, id, organisation_id, actor_index, fields_sealed,
                details_sealed, commitment
             FROM audit.entry WHERE id > %s ORDER BY id LIMIT %s)
            UNION ALL
            (SELECT 'audit.customer_entry', id, organisation_id, actor_index, fields_sealed,
                details_sealed, commitment
             FROM audit.customer_entry WHERE id > %s ORDER BY id LIMIT %s)
        ) found LEFT JOIN audit.leaf ON leaf.entry_id = found.id
        ORDER BY found.id LIMIT %s
        """,
        after,
        limit,
        after,
        limit,
        limit,
    )
    return [EntryRow(*row) for row in rows]


async def lost(work: Work, limit: int) -> list[UUID]:
    """Entries that neither wait for a place in the tree nor have one."""
    rows = await work.rows(
        """
        SELECT found.id FROM (SELECT id FROM audit.entry UNION ALL SELECT id FROM audit.customer_entry) found
        WHERE NOT EXISTS (SELECT FROM audit.leaf WHERE leaf.entry_id = found.id)
          AND NOT EXISTS (SELECT FROM audit.pending WHERE pending.entry_id = found.id)
        ORDER BY found.id LIMIT %s
        """,
        limit,
    )
    return [row[0] for row in rows]


# The daily mail


class Mailing(NamedTuple):
    """A day's mailing that is not over: which checkpoint, and the last member who got it."""

    day: date
    size: int
    after: UUID


async def mailing(work: Work) -> Mailing | None:
    """Today's mailing, begun when it was not; None when it is over, or nothing was signed since the last one.

    The row is locked: two runs take turns.
    """
    await work.run(
        """
        INSERT INTO audit.mailing (day, size, after)
        SELECT ruxa.today(), max(size), '00000000-0000-0000-0000-000000000000' FROM audit.checkpoint
        HAVING max(size) > coalesce((SELECT max(size) FROM audit.mailing), 0)
        ON CONFLICT DO NOTHING
        """
    )
    row = await work.row("SELECT day, size, after FROM audit.mailing WHERE day = ruxa.today() AND NOT over FOR UPDATE")
    return None if row is None else Mailing(*row)


async def mailed(work: Work, after: UUID, limit: int) -> list[Addressee]:
    """Who gets the checkpoint, in the order of their ids: owners, data protection officers, operators."""
    rows = await work.rows("SELECT * FROM access.checkpoint_readers(%s, %s)", after, limit)
    return [Addressee(*row) for row in rows]


async def mailing_went_on(work: Work, day: date, after: UUID, *, over: bool) -> None:
    """How far it is."""
    await work.run("UPDATE audit.mailing SET after = %s, over = %s WHERE day = %s", after, over, day)
