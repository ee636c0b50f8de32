"""A subject's key is replaced while everybody works: all stays readable, once, wherever a process dies in it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import textwrap
from datetime import date, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import psycopg
import pytest

from fixtures_database import Database
from ruxa.kernel import crypto
from ruxa.kernel.errors import NotFound
from ruxa.store.keystore import Slot
from ruxa.store.vault import GRACE, Vault

if TYPE_CHECKING:
    from conftest import Sizes

NAME, SEEN, BODY = "ruxa.person.name", "ruxa.person.seen", "ruxa.person.body"
DECLARED = {
    "name": "category=user.name subject=member purpose=provide basis=contract keep=account seal=subject erase=shred "
    "export=yes",
    "seen": "category=user.device.ip_address subject=member purpose=security basis=legitimate_interest keep=security "
    "seal=dual erase=shred export=yes",
    "body": "category=user.content.private subject=member purpose=provide basis=contract keep=content seal=subject "
    "erase=shred export=yes",
}
POINTS = ("after_reseal", "before_version_destroyed")

ROTATE = textwrap.dedent("""
    import asyncio, os, signal, sys
    from datetime import timedelta
    from pathlib import Path
    from ruxa.kernel.clock import Clock
    from ruxa.store import keystore
    from ruxa.store.address import Address
    from ruxa.store.logins import Logins
    from ruxa.store.vault import Vault
    sockets, database, logins, keys, point = sys.argv[1:]
    keystore._BATCH = 7
    def checkpoint(name):
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)
    async def main():
        address = Address.at_socket(sockets, 5432, Logins.load(Path(logins)), database)
        vault = await Vault.unlock(address, Path(keys), clock=Clock(), checkpoint=checkpoint)
        while True:
            await vault.rotate_subjects("account")
            for _ in range(2):
                await vault.reseal(timedelta())
            print("rotated", flush=True)
    asyncio.run(main())
""")


class People:
    """Rows of a table, and what they must say."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self.database = database
        self.vault = vault
        # row -> (subject, name, day, address)
        self.rows: dict[UUID, tuple[UUID, str, date, str]] = {}

    async def add(self, count: int) -> None:
        today = self.database.clock.now().date()
        subjects = [uuid4() for _ in range(3)]
        for subject in subjects:
            await self.vault.create_subject(subject, ("account", "content"))
        async with await psycopg.AsyncConnection.connect(self.database.url("ruxa_owner"), autocommit=True) as owner:
            for number in range(count):
                row, subject = uuid4(), subjects[number % 3]
                self.rows[row] = (subject, f"name {number}", today, f"192.0.2.{number}")
                _, name, day, seen = self.rows[row]
                await owner.execute(
                    "INSERT INTO ruxa.person VALUES (%s, %s, %s, %s, %s, %s)",
                    [
                        uuid4(), row, day,
                        await self.vault.seal(NAME, subject, row, name),
                        await self.vault.seal(SEEN, subject, row, seen, day=day),
                        await self.vault.seal(BODY, subject, row, name),
                    ],
                )  # fmt: skip

    async def readable(self, vault: Vault | None = None) -> set[bytes]:
        """Every value is there once and opens, for a fresh process too; the ids of the keys in use."""
        vault = vault or await self.database.vault()
        kids: set[bytes] = set()
        async with await psycopg.AsyncConnection.connect(self.database.url("ruxa_owner")) as owner:
            rows = await (await owner.execute("SELECT id, day, name, seen, body FROM ruxa.person")).fetchall()
        assert len(rows) == len(self.rows)
        for row, day, name, seen, body in rows:
            subject, said, _, address = self.rows[row]
            assert (await vault.open(NAME, subject, row, name, purpose="provide")).open("provide") == said
            assert (await vault.open(SEEN, subject, row, seen, purpose="security", day=day)).open("security") == address
            assert (await vault.open(BODY, subject, row, body, purpose="provide")).open("provide") == said
            kids |= {crypto.kid(name), crypto.kid(seen)}
        return kids

    def keys(self, key_class: str) -> int:
        with psycopg.connect(self.database.admin_url) as admin:
            found = admin.execute(
                "SELECT count(*) FROM keystore.key WHERE kind = 'subject' AND class = %s", [key_class]
            ).fetchone()
        assert found is not None
        return found[0]


@pytest.fixture
async def people(database: Database) -> People:
    async with await psycopg.AsyncConnection.connect(database.url("ruxa_owner"), autocommit=True) as owner:
        await owner.execute(
            "CREATE TABLE ruxa.person (tenant uuid, id uuid, day date, name bytea, seen bytea, body bytea)"
        )
        for column in ("tenant", "id", "day"):
            await owner.execute(f"COMMENT ON COLUMN ruxa.person.{column} IS 'data: none'")  # type: ignore[arg-type]
        for column, declared in DECLARED.items():
            await owner.execute(f"COMMENT ON COLUMN ruxa.person.{column} IS 'data: {declared}'")  # type: ignore[arg-type]
    found = People(database, await database.vault())
    await found.add(20)
    return found


async def test_every_value_moves_to_the_new_key_and_then_the_old_one_is_destroyed(people: People) -> None:
    before = await people.readable()
    vault = people.vault
    assert await vault.rotate_subjects("account") == 3
    # At once: old values open, new ones are sealed by the new key.
    await people.readable(vault)
    first = await vault.reseal(timedelta())
    assert (first.moved, first.left, first.waiting, first.destroyed) == (40, 0, 3, ())
    after = await people.readable()
    assert not before & after
    second = await vault.reseal(timedelta())
    assert (second.moved, second.waiting, len(second.destroyed)) == (0, 0, 3)
    assert {one.key_id for one in second.destroyed} == before
    assert await vault.acknowledged(second.destroyed, 10)
    assert people.keys("account") == 3
    assert await people.readable() == after


async def test_an_old_key_waits_for_what_may_still_be_written_under_it(people: People) -> None:
    vault = people.vault
    await vault.rotate_subjects("account")
    for _ in range(2):
        assert (await vault.reseal()).destroyed == ()
    with psycopg.connect(people.database.admin_url) as admin:
        admin.execute("UPDATE keystore.key SET superseded_at = superseded_at - %s", [GRACE])
        # Somebody who had sealed by the old key writes only now.
        row, (subject, name, _, _) = next(iter(people.rows.items()))
        late = admin.execute(
            "SELECT id FROM keystore.key WHERE version = 1 AND class = 'account' AND subject = %s", [subject]
        ).fetchone()
        assert late is not None
        slot_key = await vault._keystore.version(  # pyright: ignore[reportPrivateUsage]
            Slot("subject", "account", subject), late[0]
        )
        field = crypto.derive(slot_key.secret, "ruxa1|account|ruxa.person|name")
        place = f"ruxa.person|name|{row.hex}|{subject.hex}||1".encode()
        admin.execute(
            "UPDATE ruxa.person SET name = %s WHERE id = %s", [crypto.seal(field, late[0], name.encode(), place), row]
        )
    passed = await vault.reseal()
    assert passed.moved == 1
    assert len(passed.destroyed) == 2, "a version that was met in this pass is not destroyed in it"
    assert len((await vault.reseal()).destroyed) == 1
    await people.readable()


async def test_what_dies_by_itself_is_not_sealed_anew(people: People) -> None:
    vault = people.vault
    await vault.rotate_subjects("content")
    passed = await vault.reseal(timedelta())
    assert (passed.moved, passed.waiting) == (0, 3)
    await people.readable()
    with psycopg.connect(people.database.admin_url) as admin:
        admin.execute("UPDATE keystore.key SET superseded_at = superseded_at - interval '26 days'")
    assert len((await vault.reseal(timedelta())).destroyed) == 3


async def test_a_table_that_refuses_keeps_its_key(people: People) -> None:
    with psycopg.connect(people.database.url("ruxa_owner")) as owner:
        owner.execute(
            "CREATE FUNCTION ruxa.never() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'never' USING ERRCODE = 'RX900'; END $$"
        )
        owner.execute("CREATE TRIGGER never BEFORE UPDATE ON ruxa.person FOR EACH ROW EXECUTE FUNCTION ruxa.never()")
    await people.vault.rotate_subjects("account")
    for _ in range(2):
        passed = await people.vault.reseal(timedelta())
        assert (passed.moved, passed.left, passed.destroyed) == (0, 40, ())
    await people.readable()


async def test_erasing_destroys_every_version(people: People) -> None:
    vault = people.vault
    await vault.rotate_subjects("account")
    row, (subject, _, _, _) = next(iter(people.rows.items()))
    with psycopg.connect(people.database.admin_url) as admin:
        found = admin.execute("SELECT name FROM ruxa.person WHERE id = %s", [row]).fetchone()
    assert found is not None
    assert len(await vault.destroy_subject(subject, ("account",))) == 2
    with pytest.raises(NotFound):
        await vault.open(NAME, subject, row, found[0], purpose="provide")
    with pytest.raises(NotFound):
        await vault.rotate_subjects("account", [subject])


async def test_only_sealed_columns_can_be_reached(people: People) -> None:
    """The keystore's login sees ciphertext of declared columns through the functions, and nothing else."""
    with psycopg.connect(people.database.url("ruxa_keystore"), autocommit=True) as keystore:
        for named in ("ruxa.person.id", "keystore.key.wrapped", "access.member.password_hash", "x'; DROP TABLE x; --"):
            with pytest.raises(psycopg.errors.NoDataFound):
                keystore.execute("SELECT * FROM keystore.sealed_rows(%s, '{}', 0, '(0,0)', 1)", [named])
            with pytest.raises(psycopg.errors.NoDataFound):
                keystore.execute("SELECT keystore.reseal(%s, 0, '(0,0)', '', '')", [named])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            keystore.execute("SELECT name FROM ruxa.person")
    for login in ("ruxa_gateway", "ruxa_console", "ruxa_worker", "ruxa_operator"):
        with psycopg.connect(people.database.url(login)) as other, pytest.raises(psycopg.Error):
            other.execute("SELECT * FROM keystore.sealed_rows('ruxa.person.name', '{}', 0, '(0,0)', 1)")


async def _elsewhere(database: Database, point: str) -> asyncio.subprocess.Process:
    session = database.session
    arguments = [session.sockets, database.name, str(session.directory / "keys"), str(database.keys), point]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", ROTATE, *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_a_point_leaves_everything_readable(people: People, point: str) -> None:
    process = await _elsewhere(people.database, point)
    assert await process.wait() == -signal.SIGKILL
    await people.readable()
    await people.readable(people.vault)


async def test_killed_at_any_moment_again_and_again(people: People, sizes: Sizes) -> None:
    for _ in range(sizes["rotation_kills"]):
        process = await _elsewhere(people.database, "none")
        assert process.stdout is not None
        if random.random() < 0.5:
            await asyncio.wait_for(process.stdout.readline(), 20)
        else:
            await asyncio.sleep(random.random() / 2)
        await asyncio.sleep(random.random() / 5)
        process.kill()
        await process.communicate()
        # The process that was there all along, and a fresh one.
        await people.readable(people.vault)
        fresh = await people.database.vault()
        await people.readable(fresh)
        await fresh.close()
    for _ in range(2):
        await people.vault.reseal(timedelta())
    assert people.keys("account") == 3
    await people.readable()
