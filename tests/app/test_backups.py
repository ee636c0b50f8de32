"""The scheduled jobs of backups, with the worker's own login: made when due, recorded, ended, and told when late."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fixtures_database import Database
from ruxa.app import backup_jobs, backups
from ruxa.app.backups import Archive
from ruxa.app.instance import Instance
from ruxa.egress.recipient import Register
from ruxa.kernel import ids, settings
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Conflict, InvalidCall
from ruxa.privacy.backups import records
from ruxa.store.archive import manifest
from ruxa.store.archive.target import Folder


class Told:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def emit(self, event: str, level: str = "info", **fields: Any) -> None:
        self.told.append((event, fields))


@pytest.fixture
async def archive(database: Database, tmp_path: Path) -> Archive:
    (tmp_path / "data").mkdir()
    asked = settings.load(env={}, flags={"data": str(tmp_path / "data")}, cwd=tmp_path)
    found = Instance(id=ids.fresh(), machine="m0", mode="live", simulated=False, created="")
    return Archive(
        asked,
        found,
        database.address,
        await database.pool("ruxa_worker"),
        await database.vault(),
        Clock(),
        Told(),  # pyright: ignore[reportArgumentType]
        actor="system",
        cause="schedule",
    )


async def test_a_backup_is_made_once_a_day_and_recorded(archive: Archive, tmp_path: Path) -> None:
    data, keys = Folder(tmp_path / "backups"), Folder(tmp_path / "keys-target")
    for _ in range(2):
        await backup_jobs._data(archive, data, by_log=False)
    assert len(manifest.listed(data)) == 1
    await archive.export_keys(keys, [data])
    async with archive.pool.work() as work:
        made = await records.newest(work, ("logical", "living"), 9)
    assert {(one.kind, one.state) for one in made} == {("logical", "done"), ("living", "done")}
    counted = (tmp_path / "data" / "run" / "metrics").glob("*backup*")
    assert any(b"backup_done_s" in path.read_bytes() for path in counted)
    # A day later the next one is due; four weeks later the first one has ended, with its day's key.
    async with archive.pool.work() as work:
        now = await records.now(work)
    assert not await backup_jobs._due(archive, "logical", timedelta(hours=24))
    archive.clock = Clock(int(timedelta(days=29).total_seconds()))
    gone = await archive.expire(data)
    assert len(gone.backups) == 1
    assert manifest.listed(data) == []
    async with archive.pool.work() as work:
        (logical,) = await records.newest(work, ("logical",), 9)
    assert (logical.state, logical.expired_at is not None) == ("expired", True)
    assert now


async def test_what_failed_is_recorded_and_told(archive: Archive, tmp_path: Path) -> None:
    class Full(Folder):
        def free_bytes(self) -> int | None:
            return 0

    with pytest.raises(Exception, match="free"):
        await archive.create(Full(tmp_path / "backups"), "logical")
    async with archive.pool.work() as work:
        (one,) = await records.newest(work, ("logical",), 9)
    assert (one.state, one.code) == ("failed", "target_full")
    assert ("backup.failed", {"kind": "logical", "code": "target_full"}) in archive.sink.told  # type: ignore[attr-defined]


async def test_a_base_backup_needs_a_cluster_of_our_own(archive: Archive, tmp_path: Path) -> None:
    asked = settings.load(
        env={"RUXA_DATABASE_URL": "postgresql://db.example/ruxa"}, flags={"data": str(tmp_path / "data")}, cwd=tmp_path
    )
    archive.settings = asked
    with pytest.raises(Conflict, match="uses one of its own"):
        await archive.create(Folder(tmp_path / "backups"), "base")


@pytest.mark.parametrize(
    ("target", "keys_target", "says"),
    [
        ("folder:/srv/a", None, "needs both"),
        ("folder:/srv/a", "folder:/srv/a", "must not lie together"),
        ("folder:/srv/a", "folder:/srv/a/keys", "must not lie together"),
        ("folder:relative", "folder:/srv/b", "absolute"),
        ("/srv/a", "folder:/srv/b", "absolute"),
        ("s3://bucket/data", "folder:/srv/b", "access_key"),
    ],
)
def test_targets_that_cannot_be_are_refused_at_the_start(
    tmp_path: Path, target: str, keys_target: str | None, says: str
) -> None:
    env = {"RUXA_BACKUP__TARGET": target} | ({"RUXA_BACKUP__KEYS_TARGET": keys_target} if keys_target else {})
    asked = settings.load(env=env, flags={"data": str(tmp_path / "data")}, cwd=tmp_path)
    with pytest.raises(InvalidCall, match=says):
        backups.configured(asked, Register(Told()))  # pyright: ignore[reportArgumentType]
