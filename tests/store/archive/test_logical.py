"""Logical backups: what is in them and what is not, what opens them and what does not, and how they come back."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from archive_places import BIN, Instance, rows
from conftest import Sizes
from fixtures_database import Database, Session
from ruxa.kernel import crypto
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Broken, Conflict, InvalidCall, NotFound, Unavailable
from ruxa.store import binaries, inventory, partitions
from ruxa.store.archive import expiry, living, logical, manifest, selection, unpack
from ruxa.store.archive.container import BackupKey
from ruxa.store.archive.manifest import Manifest
from ruxa.store.archive.target import Folder, refuse_together
from ruxa.store.database import setup
from ruxa.store.embedded import Cluster
from ruxa.store.logins import Logins
from ruxa.store.vault import DAY_CLASSES

EMAIL = "canary.7f3a@example.com"


@pytest.fixture
async def instance(database: Database, tmp_path: Path) -> Instance:
    return await Instance.open(database, tmp_path)


@pytest.fixture
def empty(cluster: Session) -> Iterator[str]:
    """The owner's URL of an empty database."""
    name = f"r_{secrets.token_hex(6)}"
    cluster.admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")  # pyright: ignore[reportArgumentType]
    cluster.admin.execute(f"GRANT CREATE ON DATABASE {name} TO ruxa_owner")  # pyright: ignore[reportArgumentType]
    yield cluster.address(name).url("ruxa_owner")
    cluster.admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # pyright: ignore[reportArgumentType]


async def _days(instance: Instance) -> dict[str, int]:
    """A row in today's and yesterday's partition of a table of days; (partition, rows)."""
    pool = await instance.database.pool("ruxa_owner", max_size=1)
    async with pool.work() as work:
        await partitions.ensure(work, "audit.entry")
        for back in (0, 1):
            await work.run(
                "INSERT INTO audit.entry (id, fields_sealed, details_sealed, commitment)"
                " SELECT ruxa.id_floor(ruxa.now() - make_interval(days => %s)), 'fields-canary', 'd',"
                " sha256('c'::bytea)",
                back,
            )
        found = await work.rows("SELECT tableoid::regclass::text, count(*) FROM audit.entry GROUP BY 1")
    return {str(name): count for name, count in found}


async def _source(instance: Instance, made: Manifest) -> unpack.Source:
    export = await living.open_export(instance.keys_target, (await instance.living()).name, instance.key)
    return unpack.Source(instance.backups, made, instance.key, export.days())


async def test_it_comes_back_whole_without_keys_sessions_and_dead_days(instance: Instance, empty: str) -> None:
    member = await instance.member(EMAIL)
    owner = instance.database.url("ruxa_owner")
    rows(owner, f"INSERT INTO access.session (id, token_hash, member_id, idle_s, ends_at) VALUES (gen_random_uuid(),"
         f" sha256('t'), '{member}', 1, ruxa.now()) RETURNING 1")  # fmt: skip
    parts = await _days(instance)
    assert len(parts) == 2
    made = await instance.logical()
    assert {"access.session", "access.mail", "keystore.key", "jobs.procrastinate_jobs"} <= set(made.left_out)
    assert {item.name for item in made.items if item.kind == "day"} == {
        f"day-audit.entry-{name[-8:]}" for name in parts
    }
    export = await living.open_export(instance.keys_target, (await instance.living()).name, instance.key)
    keys = export.days()
    yesterday = min(day for key_class, day in keys if key_class == "audit")
    del keys["audit", yesterday]
    laid = unpack.database(unpack.Source(instance.backups, made, instance.key, keys), empty, BIN)
    # The day whose key is destroyed stays closed, the other one is back.
    assert (laid.days, laid.rows) == (1, 1)
    assert laid.dead_days == (f"day-audit.entry-{yesterday:%Y%m%d}",)
    assert rows(empty, "SELECT count(*) FROM audit.entry") == [(1,)]
    assert rows(empty, "SELECT id FROM access.member") == [(member,)]
    for table in ("keystore.key", "access.session", "jobs.procrastinate_jobs"):
        assert rows(empty, f"SELECT count(*) FROM {table}") == [(0,)]
    living.load(empty, export)
    assert rows(empty, "SELECT count(*) FROM keystore.key") == rows(owner, "SELECT count(*) FROM keystore.key")
    # What guards the books is back too: triggers, constraints, rights.
    names = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal", "SELECT count(*) FROM pg_constraint"
    for statement in names:
        assert rows(empty, statement) == rows(owner, statement)
    grants = "SELECT count(*) FROM information_schema.role_table_grants WHERE grantee LIKE 'ruxa%'"
    assert rows(empty, grants) == rows(owner, grants)
    with pytest.raises(Conflict, match="not empty"):
        unpack.database(unpack.Source(instance.backups, made, instance.key, keys), empty, BIN)


async def test_an_older_postgresql_takes_it(instance: Instance, memory_path: Path, sizes: Sizes) -> None:
    older = [bin_dir for bin_dir in binaries.of_system() if binaries.major(bin_dir) < binaries.major(BIN)]
    if not sizes.long or not older:
        # Nothing to compare with; the head of the dump is made for the oldest all the same.
        head = b"SET statement_timeout = 0;\nSET transaction_timeout = 0;\n\\restrict x\n"
        assert b"".join(unpack._plain([head], 15)).split() == b"SET statement_timeout = 0;".split()
        return
    member = await instance.member(EMAIL)
    await _days(instance)
    source = await _source(instance, await instance.logical())
    cluster = Cluster(memory_path / "data", Logins(crypto.fresh_key()), older[-1], fsync=False)
    try:
        cluster.initialise()
        cluster.start()
        cluster.ready()
        setup(cluster.address)
        laid = unpack.database(source, cluster.address.url("ruxa_owner"), BIN)
        assert laid.rows == 2
        assert rows(cluster.address.url("ruxa_owner"), "SELECT id FROM access.member") == [(member,)]
    finally:
        cluster.stop()


async def test_nothing_is_readable_without_its_keys(instance: Instance) -> None:
    await instance.member(EMAIL)
    await _days(instance)
    made = await instance.logical()
    every = [path for path in instance.backups.path.rglob("*") if path.is_file()]
    for canary in (b"fields-canary", b"member_email", EMAIL.encode(), b"CREATE TABLE"):
        assert not any(canary in path.read_bytes() for path in every)
    # Positive control: with its keys the dump is text in which it is found.
    source = await _source(instance, made)
    assert b"CREATE TABLE access.member" in b"".join(source.chunks(made.item("pre")))
    day = next(item for item in made.items if item.kind == "day")
    assert b"6669656c64732d63616e617279" in b"".join(source.chunks(day))  # the canary, as COPY writes bytes
    # The kit's key alone is not enough for a day, nor for the dump of a day that has ended.
    gone = unpack.Source(instance.backups, made, instance.key, {})
    for item in (day, made.item("data")):
        with pytest.raises(Broken, match="was destroyed"):
            list(gone.chunks(item))
        with pytest.raises(Broken):
            list(manifest.chunks(instance.backups, made, item, instance.key, also=crypto.fresh_key()))
    # Somebody else's kit opens nothing at all.
    with pytest.raises(Broken, match="recovery kit"):
        manifest.read(instance.backups, made.name, BackupKey(crypto.fresh_key()))


async def test_what_was_changed_is_refused_and_nothing_of_it_is_laid_back(instance: Instance, empty: str) -> None:
    await instance.member(EMAIL)
    made, other = await instance.logical(), await instance.logical()
    source = await _source(instance, made)
    trusted = {(await instance.vault.signing_key("backup")).public}
    assert manifest.read(instance.backups, made.name, instance.key, trusted) == made

    place = instance.backups.path / made.name
    good = {path.name: path.read_bytes() for path in place.iterdir()}

    def refused(name: str, content: bytes, match: str) -> None:
        (place / name).write_bytes(content)
        with pytest.raises(Broken, match=match):
            manifest.check(instance.backups, manifest.read(instance.backups, made.name, instance.key, trusted))
        with pytest.raises(Broken):
            unpack.database(
                unpack.Source(
                    instance.backups, manifest.unproved(instance.backups, made.name), instance.key, source.days
                ),
                empty,
                BIN,
            ) if name != "manifest.json" else manifest.read(instance.backups, made.name, instance.key, trusted)
        (place / name).write_bytes(good[name])

    post = good["post"]
    flipped = bytearray(post)
    flipped[-100] ^= 1
    refused("post", bytes(flipped), "manifest says")
    refused("post", post[:-1], "manifest says")
    refused("post", good["pre"], "manifest says")
    refused("post", (instance.backups.path / other.name / "post").read_bytes(), "manifest says")
    refused("manifest.json", good["manifest.json"].replace(b'"rows"', b'"r0ws"', 1).replace(
        made.items[0].sha256.encode(), secrets.token_hex(32).encode()), "recovery kit")  # fmt: skip
    refused("manifest.json", (instance.backups.path / other.name / "manifest.json").read_bytes(), "another backup")
    # A manifest with the right proof but signed by a stranger, and one signed by us but proved by nobody.
    with pytest.raises(Broken, match="not this instance's"):
        manifest.read(instance.backups, made.name, instance.key, {bytes(32)})
    assert rows(empty, "SELECT count(*) FROM pg_namespace WHERE nspname = 'access'") == [(0,)]
    unpack.database(source, empty, BIN)
    assert rows(empty, "SELECT count(*) FROM access.member") == [(1,)]


_KILLED = """
    import asyncio, os, signal, sys
    from pathlib import Path
    from uuid import UUID
    from ruxa.kernel.clock import Clock
    from ruxa.kernel.signing import SigningKey
    from ruxa.store import binaries
    from ruxa.store.archive import logical
    from ruxa.store.archive.container import BackupKey
    from ruxa.store.archive.create import About, Pen
    from ruxa.store.archive.target import Folder

    url, target, at = sys.argv[1:]
    about = About(id=UUID(int=1), machine="m", mode="live", simulated=False, created="")
    def checkpoint(step):
        if step == at:
            os.kill(os.getpid(), signal.SIGKILL)
    pen = Pen(Folder(Path(target)), BackupKey(bytes(range(32))), SigningKey(bytes(8), "backup", bytes(32)), about,
              Clock(), checkpoint=checkpoint)
    async def key(key_class, day):
        return bytes(32)
    asyncio.run(logical.make(pen, url, binaries.find(), Path(target) / "none", key, frozenset({"usage", "audit"})))
"""


@pytest.mark.parametrize("at", ["stored data", "before_manifest", "after_manifest"])
def test_a_killed_backup_is_never_taken_for_a_good_one(fresh_database: Database, tmp_path: Path, at: str) -> None:
    target = Folder(tmp_path / "backups")
    command = [sys.executable, "-c", textwrap.dedent(_KILLED), fresh_database.url("ruxa_owner"), str(target.path), at]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    whole = manifest.listed(target)
    assert len(whole) == (at == "after_manifest")
    now = Clock().now()
    # What it left is nobody's after a day, and goes; a whole one stays.
    assert expiry.data(target, now).left_over == 0
    gone = expiry.data(target, now + timedelta(days=2))
    assert (gone.left_over > 0) == (at != "after_manifest")
    assert manifest.listed(target) == whole
    if whole:
        manifest.check(target, manifest.read(target, whole[0], BackupKey(bytes(range(32)))))


async def test_a_full_target_is_said_before_anything_is_written(instance: Instance) -> None:
    class Full(Folder):
        def free_bytes(self) -> int | None:
            return 1 << 20

    instance.backups = Full(instance.backups.path)
    with pytest.raises(Unavailable, match="1 MiB free"):
        await instance.logical()
    assert instance.backups.under() == []


async def test_a_backup_ends_by_its_key_whether_or_not_it_was_removed(instance: Instance) -> None:
    await instance.member(EMAIL)
    made = await instance.logical()
    source = await _source(instance, made)
    day = made.item("data").day
    assert day is not None
    list(source.chunks(made.item("data")))
    await instance.vault.destroy_days_before(logical.CLASS, day + timedelta(days=1))
    after = await _source(instance, made)
    with pytest.raises(Broken, match="has ended"):
        list(after.chunks(made.item("data")))
    for days, there in ((27, True), (28, False)):
        expiry.data(instance.backups, made.finished_at + timedelta(days=days))
        assert (instance.backups.path / made.name).exists() == there


async def test_exports_of_the_keystore_end_with_their_epoch(instance: Instance) -> None:
    await instance.member(EMAIL)
    old = await instance.living()
    assert (await living.open_export(instance.keys_target, old.name, instance.key)).signers()
    # Somebody keeps a copy of it, and later every secret that lives then.
    copy = Folder(instance.keys_target.path.parent / "copy")
    for key in instance.keys_target.under(f"{old.name}/"):
        copy.put(key, instance.keys_target.get(key))
    await instance.vault.rotate_epoch()
    new = await instance.living()
    (epoch,) = await instance.vault.epochs()
    gone = expiry.keys(instance.keys_target, [epoch.id], Clock().now(), kept=3)
    assert gone.backups == [old.name]
    assert gone.epochs == [old.epoch]
    assert (await living.open_export(instance.keys_target, new.name, instance.key)).signers()
    with pytest.raises(NotFound, match="ended with their epoch"):
        await living.open_export(copy, old.name, instance.key)
    assert old.epoch is not None
    living.put_epoch(copy, instance.about, msgspec.structs.replace(epoch, id=old.epoch), instance.key)
    with pytest.raises(Broken):
        (await living.open_export(copy, old.name, instance.key)).signers()


async def test_only_the_newest_exports_stay(instance: Instance) -> None:
    names = [(await instance.living()).name for _ in range(4)]
    (epoch,) = await instance.vault.epochs()
    gone = expiry.keys(instance.keys_target, [epoch.id], Clock().now(), kept=3)
    assert gone.backups == names[:1]
    assert manifest.listed(instance.keys_target) == names[1:]


async def test_every_table_has_its_place(instance: Instance) -> None:
    pool = await instance.database.pool("ruxa_owner", max_size=1)
    async with pool.work() as work:
        columns = await inventory.read(work)
        parts = await work.rows(selection.PARTITIONS)
        roots = {row[0] for row in await work.rows(
            "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind = 'p'")}  # fmt: skip
        ties = await work.rows(
            "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
            " AND conparentid = 0"
        )
    chosen = selection.select(columns, parts, roots, {"access.throttle"}, DAY_CLASSES)  # pyright: ignore[reportArgumentType]
    by_day = {pattern.replace('"', "").removesuffix("_????????") for pattern in chosen.without_rows if "?" in pattern}
    assert {"ledger.usage_event", "audit.entry", "audit.customer_entry", "content.item"} <= by_day
    assert not by_day & set(chosen.left_out)
    # Whatever is not named here is in a backup: who adds a table that is not decides so.
    assert set(chosen.left_out) == {
        "access.mail", "access.one_time_link", "access.session", "access.throttle", "ledger.alert", "ledger.spend_day",
        "payment.inbox", "payment.velocity_mark", "privacy.export",
        *(f"{one.schema}.{one.table}" for one in columns if one.schema in selection.LEFT_OUT_SCHEMAS),
    }  # fmt: skip
    # A row that is restored never points to one that is not, but where that is put right.
    handled = {table for table, _ in selection.LETTING_GO}
    for table, referenced in ties:
        if referenced in chosen.left_out and table not in chosen.left_out:
            assert referenced in handled, f"{table} points to {referenced}, whose rows are not restored"


def test_keys_and_data_never_lie_together(tmp_path: Path) -> None:
    data = Folder(tmp_path / "backups")
    for keys in (tmp_path / "backups", tmp_path / "backups" / "keys", tmp_path):
        with pytest.raises(InvalidCall, match="must not lie together"):
            refuse_together(Folder(keys), data)
    (tmp_path / "link").symlink_to(tmp_path / "backups")
    (tmp_path / "backups").mkdir()
    with pytest.raises(InvalidCall, match="must not lie together"):
        refuse_together(Folder(tmp_path / "link" / "inside"), data)
    refuse_together(Folder(tmp_path / "elsewhere"), data)
