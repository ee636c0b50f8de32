"""Backups on schedule: each job looks whether its turn has come, so that one that was missed is made up for."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from ruxa.app import backups, drill
from ruxa.app.backups import Archive, Targets
from ruxa.app.instance import Instance
from ruxa.egress.recipient import Register
from ruxa.gateway import metrics
from ruxa.kernel import bounds
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import RuxaError
from ruxa.kernel.settings import Settings, read_secret
from ruxa.kernel.signals import Sink
from ruxa.privacy.backups import records, watch
from ruxa.store.address import Address
from ruxa.store.archive import kit, wal
from ruxa.store.archive.target import Target
from ruxa.store.jobs import Jobs
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

# A run that came a little early does not wait for another day.
SLACK = timedelta(minutes=30)
TIMEOUT_S = 3000

# After the hour's rotation of the epoch: the export follows it before anything else is lost.
KEYS_CRON = "11 * * * *"
DATA_CRON = "17,47 * * * *"
LOG_CRON = f"*/{bounds.LOG_EVERY_M} * * * *"
EXPIRE_CRON = "23 * * * *"
DRILL_CRON = "41 * * * *"


def schedule(
    jobs: Jobs,
    settings: Settings,
    found: Instance,
    address: Address,
    pool: Pool,
    vault: Vault,
    clock: Clock,
    sink: Sink,
    register: Register,
) -> None:
    """Adds the jobs when ``[backup]`` names targets; without them only the slot of an archive that was ends."""
    targets = backups.configured(settings, register)
    archive = Archive(settings, found, address, pool, vault, clock, sink, actor="system", cause="schedule")
    embedded = settings.database_url is None
    data, keys = targets.data, targets.keys
    if data is None or keys is None:
        if embedded:
            jobs.add("backup slot", lambda: _no_archive(address), timeout_s=60, cron="29 * * * *")
        return
    by_log = embedded and settings.backup.point_in_time
    jobs.add("backup keys", lambda: archive.export_keys(keys, [data]), timeout_s=600, cron=KEYS_CRON)
    jobs.add("backup data", lambda: _data(archive, data, by_log=by_log), timeout_s=TIMEOUT_S, cron=DATA_CRON)
    jobs.add("backup expiry", lambda: _expire(archive, data, keys), timeout_s=TIMEOUT_S, cron=EXPIRE_CRON)
    jobs.add("backup drill", lambda: _drill(archive, targets), timeout_s=TIMEOUT_S, attempts=2, cron=DRILL_CRON)
    jobs.add("backup watch", lambda: look(archive), timeout_s=60, cron="53 * * * *")
    if by_log:
        jobs.add("backup log", lambda: _log(archive, data), timeout_s=600, cron=LOG_CRON)


async def _data(archive: Archive, target: Target, *, by_log: bool) -> None:
    kinds: tuple[backups.Kind, ...] = ("logical", "base") if by_log else ("logical",)
    for kind in kinds:
        if await _due(archive, kind, timedelta(hours=bounds.BACKUP_EVERY_H)):
            await archive.create(target, kind)
    await look(archive)


async def _due(archive: Archive, kind: backups.Kind, every: timedelta) -> bool:
    async with archive.pool.work() as work:
        last = await records.last_done(work, kind)
        now = await records.now(work)
    return last is None or last.started_at <= now - every + SLACK


async def _log(archive: Archive, target: Target) -> None:
    pushed = await archive.archive_log(target)
    if pushed.fresh_slot:
        # A gap lies before this piece: only a base backup made after it leads over it.
        await archive.create(target, "base")


async def _expire(archive: Archive, data: Target, keys: Target) -> None:
    await archive.expire(data)
    await archive.expire_keys(keys)


async def _drill(archive: Archive, targets: Targets) -> None:
    async with archive.pool.work() as work:
        last = await records.drills(work, 1)
        backup = await records.last_done(work, "logical")
        now = await records.now(work)
    due = not last or now - last[0].started_at >= timedelta(days=bounds.DRILL_EVERY_DAYS)
    if not due or backup is None:
        return
    asked, opened = archive.settings.backup, None
    if asked.kit is not None and asked.drill_passphrase is not None:
        raw = await asyncio.to_thread(Path(asked.kit).read_bytes)
        passphrase = read_secret(asked.drill_passphrase)
        opened = await asyncio.to_thread(lambda: kit.open_kit(raw, passphrase=lambda: passphrase))
    await drill.run(archive, targets, opened)
    await look(archive)


async def _no_archive(address: Address) -> None:
    with suppress(RuxaError):
        await asyncio.to_thread(wal.drop_slot, address.admin_url("postgres"))


async def look(archive: Archive) -> None:
    """Says what is late, and leaves the figures where the gateway finds them."""
    async with archive.pool.work() as work:
        lasts = await watch.look(work)
        passed = await records.last_passed(work)
    counted = metrics.Metrics()
    names = {"logical": "backup_done_s", "living": "backup_keys_s", "drill": "drill_done_s"}
    for last in lasts:
        if last.late:
            archive.sink.emit("backup.missed", "error", kind=last.what, hours=last.hours)
        if last.at is not None:
            counted.put(names[last.what], int(last.at.timestamp()))
    if passed is not None and passed.rpo_s is not None and passed.rto_ms is not None:
        counted.put("drill_rpo_s", passed.rpo_s)
        counted.put("drill_rto_ms", passed.rto_ms)
    place = archive.settings.data / "run" / "metrics"
    with suppress(OSError):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        metrics.write(place, "backup", counted.snapshot())
