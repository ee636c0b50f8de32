"""No personal value where it can outlive its key: statistics, heap and log files, temporary files, core dumps."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import psycopg

from fixtures_database import Database
from ruxa.app import child
from ruxa.kernel.clock import Clock
from ruxa.store import database as databases
from ruxa.store import elsewhere, migrate, sealings
from ruxa.store.embedded import Cluster
from ruxa.store.keystore import Slot
from ruxa.store.logins import Logins
from ruxa.store.vault import Vault

CONTROL = "open-mark-of-the-control"
SEALED = r"\mseal=(subject|day|dual|blind|hash)\M"


def test_no_sealed_column_has_statistics(fresh_database: Database) -> None:
    """X33: what ``ANALYZE`` has copied outlives the row. Partitions made later are like their root."""
    with psycopg.connect(fresh_database.admin_url, autocommit=True) as admin:
        made = 0
        for (root,) in admin.execute(
            "SELECT c.oid::regclass FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid"
        ).fetchall():
            # Some have partitions of years, made otherwise.
            with (
                psycopg.connect(fresh_database.url("ruxa_owner"), autocommit=True) as owner,
                contextlib.suppress(psycopg.errors.InvalidObjectDefinition),
            ):
                owner.execute("SELECT ruxa.partition_create(%s::regclass, ruxa.today() + 40)", [root])
                made += 1
        assert made > 1
        rows = admin.execute(
            "SELECT a.attrelid::regclass::text || '.' || a.attname, a.attstattarget FROM pg_attribute a"
            " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " LEFT JOIN pg_inherits i ON i.inhrelid = c.oid"
            " WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped"
            " AND (n.nspname = 'keystore' AND a.attname IN ('wrapped', 'public')"
            " OR col_description(coalesce(i.inhparent, c.oid),"
            " (SELECT b.attnum FROM pg_attribute b WHERE b.attrelid = coalesce(i.inhparent, c.oid)"
            " AND b.attname = a.attname)) ~ %s)",
            [SEALED],
        ).fetchall()
    assert len(rows) > 15
    assert [name for name, target in rows if target != 0] == []


async def test_a_living_key_is_found_wherever_it_lies(database: Database) -> None:
    vault = await database.vault()
    ada = uuid4()
    await vault.create_subject(ada)
    await vault.rotate_epoch()
    owner = await database.pool("ruxa_owner")
    async with owner.work() as work:
        clean = await vault.keys_elsewhere(work)
    assert clean.columns > 15
    assert clean.found == ()
    key = await vault._keystore.found(Slot("subject", "account", ada))  # pyright: ignore[reportPrivateUsage]
    epoch = next((database.keys / "epochs").iterdir()).read_bytes()
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA attic")
        admin.execute("GRANT USAGE ON SCHEMA attic TO ruxa_owner")
        admin.execute("CREATE TABLE attic.box (inside bytea, copied bytea, epoch bytea, noise bytea)")
        admin.execute("GRANT SELECT ON attic.box TO ruxa_owner")
        admin.execute(
            "INSERT INTO attic.box SELECT %s, wrapped, %s, sha256('x') FROM keystore.key WHERE subject = %s",
            [b"before" + key.secret + b"after", epoch, ada],
        )
    async with owner.work() as work:
        found = await vault.keys_elsewhere(work)
    assert dict(found.found) == {
        "attic.box.inside": "a living key in the clear",
        "attic.box.copied": "a wrapped key",
        "attic.box.epoch": "a living key in the clear",
    }
    # A key of an epoch that this process does not know is found by trying it.
    known = await vault._keystore.known()  # pyright: ignore[reportPrivateUsage]
    stranger = elsewhere.Known(secrets=frozenset(), wrapped=known.wrapped)
    async with owner.work() as work:
        assert ("attic.box.epoch", "the key of an epoch") in (await elsewhere.look(work, stranger)).found


async def test_what_is_sealed_is_in_no_file_of_the_cluster(memory_path: Path) -> None:
    """Sorted, indexed, analysed, vacuumed, dumped, with little memory: in every file there is ciphertext only."""
    logins = Logins(bytes(range(32)))
    cluster = Cluster(memory_path / "data", logins)
    cluster.initialise()
    cluster.start()
    cluster.ready()
    canary = "Canary Plaintext 7f1e03"
    try:
        databases.setup(cluster.address)
        migrate.migrate(cluster.url("ruxa_owner"))
        vault = await Vault.unlock(cluster.address, memory_path / "keys", clock=Clock())
        with psycopg.connect(cluster.url("ruxa_owner"), autocommit=True) as owner:
            owner.execute("SET work_mem = '64kB'")
            for number in range(60):
                one = uuid4()
                await vault.create_subject(one)
                name = f"{canary} {number}"
                owner.execute(
                    "INSERT INTO access.member (id, email_index, email_sealed, name_sealed, locale)"
                    " VALUES (%s, %s, %s, %s, 'en')",
                    [
                        one,
                        vault.index("member.email", name),
                        await vault.seal("access.member.email_sealed", one, one, name),
                        await vault.seal("access.member.name_sealed", one, one, name),
                    ],
                )
            owner.execute("ANALYZE access.member")
            rows = owner.execute(
                "SELECT id, name_sealed FROM access.member ORDER BY name_sealed, email_sealed"
            ).fetchall()
            # A sort that does not fit into memory lies in files while somebody looks at it: they are read there.
            with owner.transaction():
                owner.execute(
                    "DECLARE held SCROLL CURSOR FOR SELECT m.name_sealed, m.email_sealed, %s AS control"
                    " FROM access.member m, generate_series(1, 400) AS n ORDER BY m.email_sealed, n DESC",
                    [CONTROL],
                )
                owner.execute("FETCH LAST FROM held")
                places = cluster.directory.rglob("pgsql_tmp/*")
                spilled = b"".join(path.read_bytes() for path in places if path.is_file())
            owner.execute("UPDATE access.member SET locale = 'zh'")
            owner.execute("DELETE FROM access.member")
            owner.execute("VACUUM access.member")
        # The control: the values were there and can be opened.
        subject: UUID
        subject, sealed = rows[0]
        opened = await vault.open("access.member.name_sealed", subject, subject, sealed, purpose="provide")
        assert opened.open("provide").startswith(canary)
        await vault.close()
    finally:
        cluster.stop()
    files = [path for path in memory_path.rglob("*") if path.is_file()]
    assert len(files) > 500
    marks = (canary.encode(), canary.encode("utf-16-le"), canary.encode().hex().encode())
    assert CONTROL.encode() in spilled, "the control: rows of the sort are in the files"
    assert any(bytes(row[1])[20:36] in spilled for row in rows)
    assert [mark for mark in marks if mark in spilled] == []
    assert [path for path in files if any(mark in path.read_bytes() for mark in marks)] == []
    # And the attack can see: the same search finds what is not sealed.
    assert any(b"email_sealed" in path.read_bytes() for path in files)


def test_whoever_unlocks_the_keys_has_forbidden_core_dumps() -> None:
    """Children of the supervisor do as they begin (``child.main``), a first start within the supervisor."""
    source = Path(child.__file__).parents[1]
    unlocking = {
        str(path.relative_to(source)): path.read_text()
        for path in source.rglob("*.py")
        if "Vault.unlock(" in path.read_text()
    }
    begun = {"app/worker.py", "app/console.py", "app/gateway.py", "app/first_start.py"}
    assert begun < unlocking.keys()
    for path in (*(source / "app" / name for name in ("child.py", "serve.py")), *(source / one for one in unlocking)):
        text = path.read_text()
        assert str(path.relative_to(source)) in begun or "    core_dumps.forbid()" in text, path


def test_no_process_that_holds_keys_dumps_core() -> None:
    said = subprocess.run(
        [
            sys.executable, "-c",
            "import resource, ctypes\n"
            "from ruxa.app import core_dumps\n"
            "core_dumps.forbid()\n"
            "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))",
        ],
        capture_output=True, text=True, check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20)),
    ).stdout.split()  # fmt: skip
    assert said == ["(0,", "0)", "0"]


async def test_how_often_a_key_has_sealed_is_bounded_by_what_was_written(database: Database) -> None:
    vault = await database.vault()
    for _ in range(30):
        await vault.create_subject(uuid4())
    pool = await database.pool("ruxa_operator")
    table, written = "", 0
    for _ in range(100):
        # A connection tells what it wrote when it writes again, a second later at the earliest.
        await vault.create_subject(uuid4())
        async with pool.work() as work:
            table, written = await sealings.most(work)
        if written >= 30:
            break
        await asyncio.sleep(0.1)
    assert table == "keystore.key"
    assert 30 <= written <= 30 + 100 + 20
