"""The drill: a scratch instance from the targets and the recovery kit alone, looked at, measured, thrown away (P53).

It never touches the living instance but to write down its result: the scratch instance has a data and a keys directory
of its own in the system's temporary folder (TMPDIR), listens nowhere, and its cluster is gone when the drill ends.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal
from uuid import UUID

import msgspec

from ruxa.access import members
from ruxa.access.audit import log
from ruxa.app import restore
from ruxa.app.backups import Archive, Targets
from ruxa.app.restore import Open, Wish
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import InvalidCall, RuxaError
from ruxa.ledger import proofs
from ruxa.privacy.backups import records
from ruxa.privacy.restore import replay
from ruxa.store.archive import manifest, physical, unpack, wal
from ruxa.store.archive.container import BackupKey
from ruxa.store.archive.kit import Opened
from ruxa.store.archive.target import Target

Kind = Literal["logical", "base"]
SAMPLE = 50


class Looked(msgspec.Struct):
    """What was looked at in the restored instance. ``failures``: names of checks that did not hold."""

    examined: int = 0
    failures: list[str] = msgspec.field(default_factory=list[str])
    erased: int = 0
    readable: int = 0

    def check(self, name: str, good: bool) -> None:
        """One check."""
        self.examined += 1
        if not good:
            self.failures.append(name)


async def run(
    archive: Archive,
    targets: Targets,
    opened: Opened | None,
    *,
    kind: Kind | None = None,
    look: Callable[[Open], None] = lambda _: None,
) -> records.Drill:
    """Restores, checks, measures, records. opened: the recovery kit; None takes the living instance's own backup key.

    kind: None takes in turns what there is. Raises InvalidCall when there are no targets; what fails is the result.
    """
    data, keys = targets.data, targets.keys
    if data is None or keys is None:
        raise InvalidCall(
            "No backup targets are configured: set backup.target and backup.keys_target, "
            "or give --dir, --keystore and --recovery-kit.",
            code="no_targets",
        )
    drill_id = ids.fresh()
    async with archive.pool.work() as work:
        await records.drill_begin(work, drill_id, "schedule" if archive.scheduled else "command")
        began = await records.now(work)
        before = await records.drills(work, 2)
    key = opened or await _own(archive)
    chosen = kind or await asyncio.to_thread(_in_turn, archive, data, before)
    looked, code = Looked(), None
    restored: restore.Restored | None = None
    rpo_s: int | None = None
    place = Path(tempfile.mkdtemp(prefix="ruxa-drill-"))
    try:
        rpo_s = await asyncio.to_thread(_age_s, archive, data, key.key, chosen, began)
        settings = msgspec.structs.replace(
            archive.settings, data=place / "data", keys=place / "keys", database_url=None, clock_offset_s=0
        )
        wish = Wish(source=data, keystore=keys, kit=key, kind=chosen, rehearsal=True)
        async with restore.opened(settings, wish, archive.sink, lambda _: None) as there:
            restored = there.restored
            await _look(archive, there, data, key.key, looked)
            await asyncio.to_thread(look, there)
    except RuxaError as error:
        code = error.code
    finally:
        await asyncio.to_thread(_clear, place)
    return await _record(archive, drill_id, restored, looked, code, rpo_s)


async def _record(
    archive: Archive,
    drill_id: UUID,
    restored: restore.Restored | None,
    looked: Looked,
    code: str | None,
    rpo_s: int | None,
) -> records.Drill:
    async with archive.pool.work() as work:
        await records.drill_end(
            work,
            drill_id,
            backup=None if restored is None else restored.backup,
            living=None if restored is None else restored.living,
            code=code,
            rpo_s=rpo_s,
            rto_ms=None if restored is None else restored.took_ms,
            rows=None if restored is None else restored.rows,
            examined=looked.examined,
            failures=looked.failures,
            erased=looked.erased if code is None else None,
            readable=looked.readable if code is None else None,
        )
        (found,) = [drill for drill in await records.drills(work, 5) if drill.id == drill_id]
        await log.write(
            work,
            archive.vault,
            "backup:drilled",
            actor=archive.actor,
            purpose="security",
            outcome="done" if found.state == "passed" else "failed",
            details={"backup": found.backup or "", "failures": ",".join(found.failures)[:400]},
        )
    passed = found.state == "passed"
    archive.sink.emit(
        "drill.done", "info" if passed else "error", passed=passed, rpo_s=found.rpo_s, rto_ms=found.rto_ms
    )
    return found


async def _look(archive: Archive, there: Open, data: Target, key: BackupKey, looked: Looked) -> None:
    made = await asyncio.to_thread(manifest.read, data, there.restored.backup, key)
    async with there.operator.work() as work:
        for proof in await proofs.check(work):
            looked.check(f"ledger {proof.name}", proof.ok)
    size, _ = await replay.head(there.operator)
    looked.check("audit log is whole", size == there.restored.size)
    if made.tree is not None:
        looked.check(
            "audit log continues the backup's", await replay.root_is(there.operator, made.tree.size, made.tree.root)
        )
    rows = await asyncio.to_thread(unpack.counts, there.address.url("ruxa_owner"), made)
    alive = [item for item in made.items if item.kind == "day" and item.name not in there.restored.dead_days]
    for item in alive:
        assert item.table is not None
        assert item.rows is not None
        there_are, goes_on = rows.get(item.name, 0), item.table.startswith("audit.")
        # A restore writes entries of its own into the log's day, beside those that came with the keys.
        looked.check(f"rows of {item.name}", there_are == item.rows or (goes_on and there_are > item.rows))
    await _look_at_people(archive, there, looked)


async def _look_at_people(archive: Archive, there: Open, looked: Looked) -> None:
    """Whoever was erased, here or there, is not in the restored data; the others' sealed names open."""
    seen = await replay.who_is_back([archive.pool], there.operator, there.vault)
    looked.erased, looked.readable = seen.erased, seen.back
    looked.check("nobody erased is readable", seen.back == 0)
    opened = 0
    async with there.operator.work() as work:
        for one in seen.others[:SAMPLE]:
            try:
                await members.profile(work, there.vault, one)
            except RuxaError:
                continue
            opened += 1
    looked.check("sealed names open", opened > 0 or not seen.others)


async def _own(archive: Archive) -> Opened:
    key = await archive.key()
    signers = tuple(public.public.hex() for public in await archive.vault.public_keys("backup"))
    return Opened(archive.instance.id, key.secret().hex(), signers)


def _in_turn(archive: Archive, data: Target, before: list[records.Drill]) -> Kind:
    """The kind that was not tried last, when there is one of it."""
    there = [kind for kind in ("logical", "base") if manifest.listed(data, (kind,))]
    if len(there) < 2:
        return "base" if there == ["base"] else "logical"
    last = next((drill.backup for drill in before if drill.backup), "") or ""
    return "base" if "-logical-" in last else "logical"


def _age_s(archive: Archive, data: Target, key: BackupKey, kind: Kind, began: datetime) -> int:
    """How old the data is that would come back now: what would be lost."""
    if kind == "base":
        made = physical.choose(data, key, None)
        assert made.system is not None
        assert made.timeline is not None
        ends = wal.ends_at(data, made.system, made.timeline, key, made.instance)
        # The log has the server's own time, wherever the instance's clock stands.
        now = Clock().now()
        return max(0, int((now - max(ends or made.real_at, made.real_at)).total_seconds()))
    names = manifest.listed(data, ("logical",))
    taken_at = manifest.read(data, names[-1], key).taken_at if names else began
    return max(0, int((began - taken_at).total_seconds()))


def _clear(place: Path) -> None:
    cluster = place / "data" / "postgres"
    if cluster.is_symlink():
        shutil.rmtree(cluster.resolve(), ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)
