"""Checks the log in the database with the code that auditors have: tree, signatures, times, and every entry's hash.

More than an export shows: entries whose day's key lives are opened and compared with what the tree committed to; those
that lost their place, or are gone before their time, are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Final
from uuid import UUID

import msgspec

from ruxa.access.audit import log, published, reading, records, sequencer, verify
from ruxa.access.audit.log import Fields
from ruxa.kernel import bounds, ids
from ruxa.kernel.errors import Broken
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault
from ruxa.store.work import Work

_PAGE: Final = 10_000
_ENTRIES: Final = 500
_NAMED: Final = 100
# An entry has its place within seconds; after this long the sequencer is not running.
WAITING_S: Final = 300
# For how long an entry that lasts is there (the schema drops no day of it earlier).
LASTING_DAYS: Final = 730


async def check(
    pool: Pool,
    vault: Vault,
    *,
    kept: Sequence[verify.Note] = (),
    witnesses: Sequence[verify.Key] = (),
    signed_within: timedelta | None = None,
    marks: list[verify.Mark] | None = None,
) -> verify.Report:
    """Checks the log. ``kept``: checkpoints from elsewhere; ``signed_within``: no older signatures than that.

    marks: with one in it only what came after it is checked: new leaves, their hashes and entries, and that the
    checkpoint of the mark's size is still the one; a new one is put there when all is well, none otherwise.
    """
    async with pool.work() as work:
        await records.snapshot(work)
        since = 0 if signed_within is None else await records.signed_before(work, signed_within)
        keys = await published.keys_of_log(vault, await sequencer.origin(work))
        after = marks[-1] if marks else None
        first = 0 if after is None else after.size
        notes = await _notes(work, max(first - 1, 0))
        checker = verify.Checker(keys, notes, kept, witnesses, since=since, tail=True, after=after)
        if (size := await records.size(work)) < first:
            checker.wrong("missing", size, f"the log ends at {size} leaves, it had {first}")
        await _leaves(work, checker, first)
        await _nodes(work, checker)
        await _entries(work, vault, checker, first)
        for entry_id in await records.lost(work, _NAMED):
            checker.wrong("entry", None, f"entry {entry_id.hex} has no place in the tree and waits for none")
        waited_s = await records.waiting_longest_s(work)
        if waited_s > WAITING_S:
            checker.wrong("sequencer", None, f"an entry has waited {waited_s} s for its place")
        report = checker.end()
        if marks is not None:
            marks[:] = [] if report.problems else [checker.mark()]
        return report


async def _notes(work: Work, above: int) -> list[verify.Note]:
    found: list[verify.Note] = []
    while rows := await records.checkpoints(work, above, _PAGE):
        for row in rows:
            try:
                found.append(verify.read_note(row.note + "".join(await records.cosignatures(work, row.size))))
            except verify.Unreadable:
                # What cannot be read was not signed by us: the verifier says so of a note without signatures.
                found.append(verify.Note("", row.size, row.root, "", ()))
        above = rows[-1].size
    return found


async def _leaves(work: Work, checker: verify.Checker, first: int) -> None:
    while rows := await records.leaves(work, first, _PAGE):
        for row in rows:
            checker.leaf(sequencer.leaf(row.seq, row.at_ms, row.entry_id, row.commitment), row.hash)
        first = rows[-1].seq + 1


async def _nodes(work: Work, checker: verify.Checker) -> None:
    for level in range(1, 8):
        expected, start = checker.expected(level), checker.known(level)
        while start < expected:
            hashes = await records.hashes(work, level, start, _PAGE)
            checker.tile(level, start, hashes)
            start += len(hashes)
            if not hashes:
                checker.missing_tile(level, start // verify.TILE)
                break


async def _entries(work: Work, vault: Vault, checker: verify.Checker, first: int) -> None:
    after = UUID(int=0)
    if first:
        oldest = min((entry_id for entry_id, _ in checker.placed()), default=None)
        if oldest is None:
            return
        after = UUID(int=UUID(oldest).int - 1)
    seen: set[str] = set()
    while rows := await records.entries_after(work, after, _ENTRIES):
        for row in rows:
            seen.add(row.id.hex)
            if row.seq is not None and row.seq >= first:
                await _entry(vault, row, checker)
        after = rows[-1].id
    today = (await records.now(work)).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    young = ids.floor(int((today - timedelta(days=bounds.USAGE_DAYS - 1)).timestamp() * 1000)).hex
    lasting = ids.floor(int((today - timedelta(days=LASTING_DAYS - 1)).timestamp() * 1000)).hex
    for entry_id, seq in checker.placed():
        if entry_id in seen:
            continue
        if entry_id >= (lasting if log.lasts(UUID(entry_id)) else young):
            checker.wrong("entry", seq, f"the entry of leaf {seq} is gone before its time")


async def _entry(vault: Vault, row: records.EntryRow, checker: verify.Checker) -> None:
    try:
        shown = await reading.opened(vault, row, "proof")
    except Broken:
        checker.wrong("entry", row.seq, f"the entry of leaf {row.seq} was changed")
        return
    checker.unmatched(row.id.hex, row.commitment)
    if shown is None:
        return
    checker.entry(row.id.hex, shown.fields, shown.salt, shown.details, shown.detail_key)
    fields = msgspec.json.decode(shown.fields, type=Fields)
    organisation = "" if row.organisation_id is None else row.organisation_id.hex
    actor = "" if row.actor_index is None else row.actor_index.hex()
    if fields.organisation != organisation or fields.actor != actor:
        checker.wrong("entry", row.seq, f"the entry of leaf {row.seq} is filed under another organisation or actor")
