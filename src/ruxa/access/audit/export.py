"""Exports the log as static files: what ``ruxa-verify`` reads, anywhere, without us.

checkpoint, checkpoints.jsonl, keys.json
tile/<level>/<number>[.p/<width>]       hashes (C2SP tlog-tiles)
tile/entries/<number>[.p/<width>]       leaves: time, entry id, commitment, number
entries.jsonl                           opened entries, when asked for with a purpose
ruxa-verify.py                          the program that checks all this
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from ruxa.access.audit import published, reading, records, sequencer, verify
from ruxa.access.audit.reading import Purpose
from ruxa.kernel import codec
from ruxa.kernel.errors import Conflict
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault
from ruxa.store.work import Work

_PAGE: Final = 500


class Exported(msgspec.Struct, frozen=True):
    """What was written: size and root of the tree, how many entries were opened."""

    size: int
    root: bytes
    opened: int


async def export(pool: Pool, vault: Vault, out: Path, *, purpose: Purpose | None = None) -> Exported:
    """Writes the log up to its last checkpoint into an empty or new directory; opened entries for a ``purpose`` only.

    Raises Conflict: ``not_empty``, ``log_empty``.
    """
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(out.iterdir()):
        raise Conflict(f"{out} is not empty.", code="not_empty")
    async with pool.work() as work:
        await records.snapshot(work)
        last = await sequencer.checkpoint(work)
        if last is None:
            raise Conflict("The log is empty: there is no checkpoint yet.", code="log_empty")
        keys = await published.keys_document(vault, await sequencer.origin(work))
        _write(out / "keys.json", codec.encode(keys))
        _write(out / "ruxa-verify.py", published.verifier())
        await _checkpoints(work, out)
        await _tiles(work, out, last.size)
        opened = 0 if purpose is None else await _entries(work, vault, out, last.size, purpose)
        # Last: a directory with a checkpoint is a whole one.
        _write(out / "checkpoint", last.text.encode())
    return Exported(last.size, last.root, opened)


async def _checkpoints(work: Work, out: Path) -> None:
    above = 0
    with (out / "checkpoints.jsonl").open("wb") as file:
        while rows := await records.checkpoints(work, above, _PAGE):
            for row in rows:
                note = row.note + "".join(await records.cosignatures(work, row.size))
                file.write(codec.encode({"size": row.size, "at": row.at, "note": note}) + b"\n")
            above = rows[-1].size


async def _tiles(work: Work, out: Path, size: int) -> None:
    for number in range(-(-size // verify.TILE)):
        width = min(verify.TILE, size - number * verify.TILE)
        rows = await records.leaves(work, number * verify.TILE, width)
        bundle = [sequencer.leaf(row.seq, row.at_ms, row.entry_id, row.commitment) for row in rows]
        data = b"".join(len(one).to_bytes(2, "big") + one for one in bundle)
        _write(out / verify.tile_path("entries", number, width), data)
        _write(out / verify.tile_path("0", number, width), b"".join(row.hash for row in rows))
    level = 1
    while count := size >> 8 * level:
        for number in range(-(-count // verify.TILE)):
            width = min(verify.TILE, count - number * verify.TILE)
            hashes = await records.hashes(work, level, number * verify.TILE, width)
            _write(out / verify.tile_path(str(level), number, width), b"".join(hashes))
        level += 1


async def _entries(work: Work, vault: Vault, out: Path, size: int, purpose: Purpose) -> int:
    after, count = UUID(int=0), 0
    with (out / "entries.jsonl").open("wb") as file:
        while rows := await records.entries_after(work, after, _PAGE):
            for row in rows:
                shown = await reading.opened(vault, row, purpose) if row.seq is not None and row.seq < size else None
                if shown is not None:
                    line = {
                        "seq": row.seq,
                        "id": row.id.hex,
                        "fields": shown.fields,
                        "salt": shown.salt.hex(),
                        "details": shown.details,
                        "detail_key": shown.detail_key.hex(),
                    }
                    file.write(codec.encode(line) + b"\n")
                    count += 1
            after = rows[-1].id
    return count


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_bytes(data)
