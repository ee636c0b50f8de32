"""Base backups and the log: back to any moment, from a cluster's files and what was archived since."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from conftest import Sizes
from ruxa.kernel import crypto, ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Broken, Unavailable
from ruxa.kernel.signing import SigningKey
from ruxa.store import binaries, database
from ruxa.store.archive import physical, wal
from ruxa.store.archive.container import BackupKey
from ruxa.store.archive.create import About, Pen
from ruxa.store.archive.target import Folder
from ruxa.store.embedded import Cluster
from ruxa.store.logins import ADMIN, Logins

BIN = binaries.find()
KEY = BackupKey(crypto.fresh_key())
SIGNER = SigningKey(bytes(8), "backup", crypto.fresh_key())
ABOUT = About(id=uuid4(), machine="m0", mode="live", simulated=False, created="2026-11-24T00:00:00+00:00")


class Running:
    """A cluster of this test's own with a table of marks."""

    def __init__(self, place: Path) -> None:
        self.cluster = Cluster(place, Logins(crypto.fresh_key()))
        self.cluster.initialise()
        self.cluster.start()
        self.cluster.ready()
        database.setup(self.cluster.address)
        self.admin = self.cluster.address.admin_url()
        self.connection = psycopg.connect(self.admin, autocommit=True)
        self.connection.execute("CREATE TABLE mark (name text, at timestamptz DEFAULT clock_timestamp())")

    def mark(self, name: str) -> datetime:
        """Writes a row; a moment right after it."""
        self.connection.execute("INSERT INTO mark (name) VALUES (%s)", [name])
        row = self.connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        return row[0]

    async def base(self, target: Folder) -> None:
        await physical.make(Pen(target, KEY, SIGNER, ABOUT, Clock()), self.admin, BIN)

    async def push(self, target: Folder) -> wal.Pushed:
        return await wal.push(target, self.admin, self.cluster.directory, ABOUT.id, KEY, SIGNER, Clock())

    def stop(self) -> None:
        self.connection.close()
        self.cluster.stop()


@pytest.fixture
def running(memory_path: Path) -> Iterator[Running]:
    made = Running(memory_path / "data")
    yield made
    made.stop()


def restored(place: Path, target: Folder, until: datetime | None, *, log: bool = True) -> list[str]:
    """The marks of a cluster that was laid back and recovered, with passwords of its own."""
    logins = Logins(crypto.fresh_key())
    made = physical.choose(target, KEY, until)
    cluster = Cluster(place, logins, fsync=False)
    physical.lay(target, made, KEY, cluster.directory, until, log=log)
    try:
        cluster.start()
        cluster.ready()
        physical.settle(cluster.address.admin_url("postgres"), cluster.directory, ADMIN, logins.verifier(ADMIN))
        database.setup(cluster.address)
        with psycopg.connect(cluster.address.admin_url()) as connection:
            marks = [str(row[0]) for row in connection.execute("SELECT name FROM mark ORDER BY at")]
        foreign = Cluster(place, Logins(crypto.fresh_key())).address.admin_url()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(foreign)
        return marks
    finally:
        cluster.stop()


async def test_it_goes_back_to_before_and_after_a_known_row(running: Running, memory_path: Path, sizes: Sizes) -> None:
    target = Folder(memory_path / "backups")
    running.mark("before the base")
    await running.push(target)
    await running.base(target)
    first = running.mark("first")
    running.connection.execute("SELECT pg_switch_wal()")
    second = running.mark("second")
    assert (await running.push(target)).segments >= 2
    running.mark("third")
    await running.push(target)
    running.mark("after the last push: lost")

    assert restored(memory_path / "a", target, first) == ["before the base", "first"]
    assert restored(memory_path / "b", target, second) == ["before the base", "first", "second"]
    # Later than the log goes: said, not passed over.
    with pytest.raises(Unavailable, match="recovery"):
        restored(memory_path / "e", target, datetime.fromisoformat("2099-01-01T00:00:00+00:00"))
    if not sizes.long:
        return
    assert restored(memory_path / "c", target, None) == ["before the base", "first", "second", "third"]
    # The base alone is whole too.
    assert restored(memory_path / "d", target, None, log=False) == ["before the base"]


async def test_nothing_of_it_is_readable_and_nothing_can_be_changed(running: Running, memory_path: Path) -> None:
    target = Folder(memory_path / "backups")
    running.mark("canary-7d1f")
    await running.push(target)
    await running.base(target)
    assert not any(b"canary-7d1f" in path.read_bytes() for path in target.path.rglob("*") if path.is_file())

    name = target.under("wal/")[-1]
    piece, content = wal.read(target, name, KEY, ABOUT.id)
    assert b"canary-7d1f" in content
    whole = (target.path / name).read_bytes()
    for forged in (whole[:-1], whole[:-1] + b"\0", whole.replace(b'"bytes":', b'"bytes": ', 1)[:-40] + bytes(40)):
        (target.path / name).write_bytes(forged)
        with pytest.raises(Broken, match=r"changed|segment|archived"):
            wal.read(target, name, KEY, ABOUT.id)
    # Another's place, another instance's, another key's.
    other = name[:-1] + ("1" if name[-1] != "1" else "2")
    shutil.copy(target.path / name, target.path / other)
    (target.path / other).write_bytes(whole)
    with pytest.raises(Broken):
        wal.read(target, other, KEY, ABOUT.id)
    (target.path / name).write_bytes(whole)
    with pytest.raises(Broken):
        wal.read(target, name, KEY, ids.fresh())
    with pytest.raises(Broken):
        wal.read(target, name, BackupKey(crypto.fresh_key()), ABOUT.id)
    assert wal.read(target, name, KEY, ABOUT.id)[0] == piece


async def test_a_lost_slot_says_that_a_new_base_is_due(running: Running, memory_path: Path) -> None:
    target = Folder(memory_path / "backups")
    assert (await running.push(target)).fresh_slot
    assert not (await running.push(target)).fresh_slot
    wal.drop_slot(running.admin)
    assert (await running.push(target)).fresh_slot
