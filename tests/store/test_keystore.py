"""Epoch rotation: everything stays readable wherever a process dies in it, and what was deleted stays unreadable."""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import signal
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import psycopg
import pytest

from fixtures_database import Database
from ruxa.kernel import crypto
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Broken, Unavailable
from ruxa.store import database as databases
from ruxa.store import keystore, migrate
from ruxa.store.embedded import Cluster
from ruxa.store.keystore import Keystore
from ruxa.store.logins import Logins
from ruxa.store.vault import Vault

if TYPE_CHECKING:
    from conftest import Sizes

POINTS = (
    "before_epoch_key", "after_epoch_key", "after_epoch_row", "after_batch", "before_destruction", "after_destruction",
    "after_epoch_ended",
)  # fmt: skip

ROTATE = textwrap.dedent("""
    import asyncio, os, signal, sys
    from pathlib import Path
    from ruxa.kernel.clock import Clock
    from ruxa.store import keystore
    from ruxa.store.address import Address
    from ruxa.store.logins import Logins
    from ruxa.store.vault import Vault
    sockets, database, logins, keys, point, batch = sys.argv[1:]
    keystore._BATCH = int(batch)
    def checkpoint(name):
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)
    async def main():
        address = Address.at_socket(sockets, 5432, Logins.load(Path(logins)), database)
        vault = await Vault.unlock(address, Path(keys), clock=Clock(), checkpoint=checkpoint)
        await vault.rotate_epoch()
        await vault.close()
    asyncio.run(main())
""")


async def _rotate_elsewhere(database: Database, point: str, batch: int = 7) -> int:
    """A process of its own rotates and dies at a point; its exit code."""
    session = database.session
    arguments = [session.sockets, database.name, str(session.directory / "keys"), str(database.keys), point, str(batch)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ROTATE, *arguments,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    return await process.wait()


async def _subjects(vault: Vault, count: int) -> dict[UUID, bytes]:
    """Subjects and a value sealed for each."""
    found: dict[UUID, bytes] = {}
    for _ in range(count):
        subject = uuid4()
        await vault.create_subject(subject)
        found[subject] = await vault.seal("access.member.name_sealed", subject, subject, f"name of {subject}")
    return found


async def _readable(database: Database, sealed: dict[UUID, bytes]) -> None:
    """A fresh process's view: every value opens."""
    vault = await Vault.unlock(database.address, database.keys, clock=Clock())
    for subject, envelope in sealed.items():
        opened = await vault.open("access.member.name_sealed", subject, subject, envelope, purpose="provide")
        assert opened.open("provide") == f"name of {subject}"
    await vault.close()


async def _epochs(database: Database) -> list[str]:
    pool = await database.pool("ruxa_keystore")
    async with pool.work() as work:
        return [row[0] for row in await work.rows("SELECT state FROM keystore.epoch ORDER BY created_at, state DESC")]


def _files(database: Database) -> set[str]:
    return {file.stem for file in (database.keys / "epochs").iterdir()}


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_any_point_leaves_everything_readable(database: Database, point: str) -> None:
    vault = await database.vault()
    sealed = await _subjects(vault, 20)
    assert await _rotate_elsewhere(database, point) == -signal.SIGKILL
    await _readable(database, sealed)
    # The processes that were there all along read on, too: their epoch key may be gone from the disk.
    for subject, envelope in sealed.items():
        await vault.open("access.member.name_sealed", subject, subject, envelope, purpose="provide")
    # Whoever comes next ends what was begun.
    await vault.rotate_epoch()
    await _readable(database, sealed)
    states = await _epochs(database)
    assert states.count("current") == 1
    assert "retiring" not in states
    pool = await database.pool("ruxa_keystore")
    async with pool.work() as work:
        current = await work.value("SELECT id FROM keystore.epoch WHERE state = 'current'")
        assert await work.rows("SELECT DISTINCT epoch FROM keystore.key") == [(current,)]
    # A key whose epoch was never recorded stays for an hour, since it might be a young one; no other old one does.
    assert current.hex in _files(database)
    assert len(_files(database)) == (2 if point == "after_epoch_key" else 1)


async def test_a_rotation_re_wraps_in_place_and_destroys_the_old_key(database: Database) -> None:
    vault = await database.vault()
    sealed = await _subjects(vault, 5)
    pool = await database.pool("ruxa_keystore")
    async with pool.work() as work:
        before = await work.rows("SELECT id, wrapped FROM keystore.key ORDER BY id")
    (old_file,) = (database.keys / "epochs").iterdir()
    old_key = old_file.read_bytes()
    rotation = await vault.rotate_epoch()
    assert rotation.keys == 7
    assert [epoch.hex for epoch in rotation.destroyed] == [old_file.stem]
    assert _files(database) == {rotation.epoch.hex}
    async with pool.work() as work:
        after = await work.rows("SELECT id, wrapped FROM keystore.key ORDER BY id")
    assert [row[0] for row in before] == [row[0] for row in after]
    assert not {row[1] for row in before} & {row[1] for row in after}
    await _readable(database, sealed)
    # The attack of D32 in small: with the old epoch key the old bytes open (positive control), the new ones do not.
    opened = 0
    for rows in (before, after):
        for key_id, wrapped in rows:
            place = _place(key_id, sealed, database)
            for bound_to in place:
                try:
                    crypto.unseal(old_key, wrapped, bound_to)
                except Exception:  # noqa: BLE001
                    continue
                opened += 1
    assert opened == 5, "the control must open what was wrapped before, and nothing else may open"


def _place(key_id: bytes, sealed: dict[UUID, bytes], database: Database) -> list[bytes]:
    epochs = [UUID(name) for name in _known_epochs(database)]
    return [
        keystore._bound_to(key_id, "subject", "account", subject, None, epoch)  # pyright: ignore[reportPrivateUsage]
        for subject in sealed
        for epoch in epochs
    ]


def _known_epochs(database: Database) -> list[str]:
    with psycopg.connect(database.url("ruxa_keystore")) as connection:
        return [str(row[0]) for row in connection.execute("SELECT id FROM keystore.epoch")]


async def test_keys_made_during_rotations_are_kept(database: Database) -> None:
    """Two processes rotate again and again while two others make keys and read them."""
    vaults = [await database.vault() for _ in range(3)]
    sealed: dict[UUID, bytes] = {}
    done = asyncio.Event()

    async def make(vault: Vault) -> None:
        while not done.is_set():
            sealed.update(await _subjects(vault, 1))

    async def read(vault: Vault) -> None:
        while not done.is_set():
            for subject, envelope in list(sealed.items()):
                vault._forget_all()  # pyright: ignore[reportPrivateUsage]
                await vault.open("access.member.name_sealed", subject, subject, envelope, purpose="provide")
            await asyncio.sleep(0)

    others = [asyncio.create_task(make(vaults[0])), asyncio.create_task(make(vaults[1]))]
    others.append(asyncio.create_task(read(vaults[2])))
    await asyncio.gather(*(vault.rotate_epoch() for vault in vaults[:2]), vaults[0].rotate_epoch())
    for _ in range(3):
        await vaults[1].rotate_epoch()
    done.set()
    await asyncio.gather(*others)
    assert len(sealed) > 5
    await _readable(database, sealed)
    assert len(_files(database)) == 1


async def test_destroying_during_a_rotation_stays_destroyed(database: Database) -> None:
    vault = await database.vault()
    sealed = await _subjects(vault, 30)
    victims = list(sealed)[:15]
    rotation = asyncio.create_task(vault.rotate_epoch())
    for subject in victims:
        assert len(await vault.destroy_subject(subject, ("account",))) == 1
    await rotation
    for subject in victims:
        del sealed[subject]
    await _readable(database, sealed)
    pool = await database.pool("ruxa_keystore")
    async with pool.work() as work:
        assert await work.value("SELECT count(*) FROM keystore.destruction") == 15
        assert await work.value("SELECT count(*) FROM keystore.key WHERE subject = ANY (%s)", victims) == 0


async def test_rotates_only_when_due(database: Database) -> None:
    vault = await database.vault()
    assert await vault.rotate_epoch_if_due() is None
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("UPDATE keystore.epoch SET created_at = created_at - interval '6 days'")
    assert (await vault.epoch_age()).days == 6
    assert await vault.rotate_epoch_if_due() is not None
    assert (await vault.epoch_age()).days == 0


async def test_a_key_cannot_be_moved_to_another_subject(database: Database) -> None:
    vault = await database.vault()
    first, second = await _subjects(vault, 2)
    with psycopg.connect(database.admin_url) as admin:
        admin.execute(
            "UPDATE keystore.key SET wrapped = (SELECT wrapped FROM keystore.key WHERE subject = %s)"
            " WHERE subject = %s",
            [first, second],
        )
    fresh = await database.vault()
    with pytest.raises(Exception, match="damaged"):
        await fresh.seal("access.member.name_sealed", second, second, "x")


async def test_an_old_stray_key_is_swept(database: Database) -> None:
    vault = await database.vault()
    stray = database.keys / "epochs" / f"{uuid4().hex}.key"
    stray.write_bytes(bytes(32))
    os.utime(stray, (1, 1))
    await vault.rotate_epoch()
    assert not stray.exists()


def test_a_stored_key_shows_no_secret() -> None:
    key = keystore.Key(b"12345678", b"s" * 32)
    assert repr(key) == "<key 3132333435363738>"


def test_every_point_of_a_rotation_is_tried() -> None:
    source = inspect.getsource(Keystore)
    assert {line.split('"')[1] for line in source.splitlines() if "_checkpoint(" in line} == set(POINTS)


async def test_killed_at_any_moment_again_and_again(database: Database, sizes: Sizes) -> None:
    """Not at a named point but at a random moment: the same process, the same promise."""
    vault = await database.vault()
    sealed = await _subjects(vault, 10)
    session = database.session
    arguments = [session.sockets, database.name, str(session.directory / "keys"), str(database.keys), "none", "2"]
    for _ in range(max(2, sizes["kills"] // 2)):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            ROTATE.replace("await vault.rotate_epoch()", "while True: await vault.rotate_epoch(); print(flush=True)"),
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert process.stdout is not None
        await process.stdout.readline()
        await asyncio.sleep(random.random() / 10)
        process.kill()
        await process.communicate()
        await _readable(database, sealed)
    await vault.rotate_epoch()
    await _readable(database, sealed)
    # One living epoch; a key that was made and never recorded may lie there for an hour.
    assert (await _epochs(database)).count("destroyed") == len(await _epochs(database)) - 1


async def test_the_database_killed_in_rotations_loses_no_key(memory_path: Path) -> None:
    """An epoch's key is destroyed only after the move of the last key under it is on disk."""
    logins = Logins(bytes(range(32)))
    cluster = Cluster(memory_path / "data", logins)
    cluster.initialise()
    cluster.start()
    cluster.ready()
    try:
        databases.setup(cluster.address)
        migrate.migrate(cluster.url("ruxa_owner"))
        vault = await Vault.unlock(cluster.address, memory_path / "keys", clock=Clock())
        sealed = await _subjects(vault, 12)
        outages = 0
        for _ in range(4):
            stop = asyncio.Event()

            async def rotate(stop: asyncio.Event = stop) -> None:
                nonlocal outages
                while not stop.is_set():
                    try:
                        await vault.rotate_epoch()
                    except Unavailable:
                        outages += 1
                        await asyncio.sleep(0.01)

            rotating = asyncio.create_task(rotate())
            await asyncio.sleep(random.random() / 5)
            os.kill(int((cluster.directory / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
            while cluster.poll() is None:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(cluster.start)
            await asyncio.to_thread(cluster.ready)
            stop.set()
            await rotating
            fresh = await Vault.unlock(cluster.address, memory_path / "keys", clock=Clock())
            for subject, envelope in sealed.items():
                opened = await fresh.open("access.member.name_sealed", subject, subject, envelope, purpose="provide")
                assert opened.open("provide") == f"name of {subject}"
            await fresh.close()
        assert outages
        await vault.close()
    finally:
        cluster.stop()


def _recovered(cluster: Cluster, secrets: list[bytes], epochs: list[UUID], subject: UUID, envelope: bytes) -> bool:
    """The attack of D32: every stored key carved out of heap and WAL, every secret tried on each, the value opened."""
    stolen = b"".join(path.read_bytes() for path in cluster.directory.rglob("*") if path.is_file())
    key_id = crypto.kid(envelope)
    for epoch in epochs:
        head = b"\x01\x01" + epoch.bytes[-8:]
        bound_to = keystore._bound_to(key_id, "subject", "account", subject, None, epoch)  # pyright: ignore[reportPrivateUsage]
        at = stolen.find(head)
        while at != -1:
            wrapped = stolen[at : at + crypto.KEY_BYTES + crypto.OVERHEAD_BYTES]
            at = stolen.find(head, at + 1)
            for secret in secrets:
                try:
                    key = crypto.unseal(secret, wrapped, bound_to)
                    field = crypto.derive(key, "ruxa1|account|access.member|name_sealed")
                    place = f"access.member|name_sealed|{subject.hex}|{subject.hex}||1".encode()
                    return crypto.unseal(field, envelope, place) == f"name of {subject}".encode()
                except Broken:
                    continue
    return False


async def test_a_destroyed_key_is_in_no_copy_once_its_epoch_has_ended(memory_path: Path) -> None:
    """DELETE alone leaves it in heap and WAL (the control shows that it is found there); the epoch's end does not."""
    cluster = Cluster(memory_path / "data", Logins(bytes(range(32))), fsync=False)
    cluster.initialise()
    cluster.start()
    cluster.ready()
    try:
        databases.setup(cluster.address)
        migrate.migrate(cluster.url("ruxa_owner"))
        keys = memory_path / "keys"
        vault = await Vault.unlock(cluster.address, keys, clock=Clock())
        ((subject, envelope),) = (await _subjects(vault, 1)).items()
        seen: set[UUID] = set()

        def recovered() -> bool:
            with psycopg.connect(cluster.address.admin_url(), autocommit=True) as admin:
                admin.execute("CHECKPOINT")
                seen.update(row[0] for row in admin.execute("SELECT id FROM keystore.epoch"))
            secrets = [path.read_bytes() for path in (keys / "epochs").iterdir()]
            return _recovered(cluster, secrets, sorted(seen), subject, envelope)

        assert recovered(), "the control: a living key is found, or the attack proves nothing"
        await vault.destroy_subject(subject, ("account",))
        assert recovered(), "the published window: until its epoch ends the key is in copies"
        old_secrets = [path.read_bytes() for path in (keys / "epochs").iterdir()]
        await vault.rotate_epoch()
        assert not recovered()
        assert _recovered(cluster, old_secrets, sorted(seen), subject, envelope), (
            "the bytes are there; the epoch is not"
        )
        await vault.close()
    finally:
        cluster.stop()
