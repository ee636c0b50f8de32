"""Keys of blind indexes and peppers are replaced while people come and go: nobody is lost, nobody is there twice."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import textwrap
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg

from fixtures_access import VISITOR, House, Person
from ruxa.access import addresses, grants, keys, links, members, sessions
from ruxa.access import entrance as door
from ruxa.access.keys import KeyWish
from ruxa.gateway.snapshot import Snapshot
from ruxa.kernel.sealed import Sealed
from ruxa.store.vault import Vault

if TYPE_CHECKING:
    from conftest import Sizes

ROTATE = textwrap.dedent("""
    import asyncio, sys
    from datetime import timedelta
    from pathlib import Path
    from ruxa.access import addresses
    from ruxa.kernel.clock import Clock
    from ruxa.store import keystore
    from ruxa.store.address import Address
    from ruxa.store.logins import Logins
    from ruxa.store.vault import Vault
    sockets, database, logins, keys = sys.argv[1:]
    keystore._BATCH = 3
    async def main():
        address = Address.at_socket(sockets, 5432, Logins.load(Path(logins)), database)
        # Its own lease is short, so that the next one need not wait for it when it is killed.
        vault = await Vault.unlock(address, Path(keys), clock=Clock(), held_s=0.5)
        while True:
            await vault.rotate_root("index", 5)
            for _ in range(2):
                await vault.reindex("access.member.email_index", "access.member.email_sealed", addresses.LABEL,
                    addresses.normal, timedelta())
            print("rotated", flush=True)
    asyncio.run(main())
""")


def old_roots(house: House, key_class: str) -> int:
    with psycopg.connect(house.database.admin_url) as admin:
        row = admin.execute(
            "SELECT count(*) FROM keystore.key WHERE kind = 'root' AND class = %s AND superseded_at IS NOT NULL",
            [key_class],
        ).fetchone()
    assert row is not None
    return row[0]


async def test_addresses_are_found_at_every_step_of_a_rotation(house: House) -> None:
    early, middle, late = Person(), Person(), Person()
    entered = await house.join(early)
    other = await house.database.vault()
    before = house.vault.index(addresses.LABEL, "x")
    # First everybody learns to read by the new key, and nobody writes by it.
    number = await other._keystore.prepare_root("index")  # pyright: ignore[reportPrivateUsage]
    await house.vault._holder.beat()  # pyright: ignore[reportPrivateUsage]
    assert number
    assert house.vault.index(addresses.LABEL, "x") == before
    assert len(house.vault.indexes(addresses.LABEL, "x")) == 2
    await house.join(middle)

    assert await other.rotate_root("index", 10)
    await house.vault._holder.beat()  # pyright: ignore[reportPrivateUsage]
    assert house.vault.index(addresses.LABEL, "x") != before
    # Under the older key or the newer: found, and the same member.
    for person in (early, middle):
        assert (await door.sign_in(house.door, person.email, person.password, VISITOR)).new_organisation is None
    await house.join(late)
    # Signing up once more with a known address makes no second member.
    await door.sign_up(house.door, early.form(), VISITOR)
    async with house.operator.work() as work:
        assert await members.find_by_email(work, house.vault, early.email) == entered.member_id

    with psycopg.connect(house.database.admin_url) as admin:
        assert admin.execute("SELECT count(*) FROM access.member").fetchone() == (3,)
        admin.execute("UPDATE keystore.key SET superseded_at = superseded_at - interval '1 hour' WHERE kind = 'root'")
    passes = [await addresses.reindex(house.vault) for _ in range(2)]
    assert passes[-1].moved == 0
    assert old_roots(house, "index") == 0
    for person in (early, middle, late):
        await door.sign_in(house.door, person.email, person.password, VISITOR)
    assert len(house.vault.indexes(addresses.LABEL, "x")) == 1


async def test_an_old_index_key_waits_for_transactions_that_may_still_write(house: House) -> None:
    await house.join(Person())
    assert await house.vault.rotate_root("index", 10)
    assert (await addresses.reindex(house.vault)).moved == 1
    assert (await addresses.reindex(house.vault)).destroyed == ()
    assert old_roots(house, "index") == 1


async def test_who_does_not_hear_holds_up_the_switch(house: House) -> None:
    """A process that cannot read by the new key yet would not find what is written by it."""
    with psycopg.connect(house.database.admin_url) as admin:
        admin.execute(
            "INSERT INTO keystore.holder (id, name, acknowledged, alive_until)"
            " VALUES (gen_random_uuid(), 'hung', 0, pg_catalog.clock_timestamp() + interval '1 hour')"
        )
    before = house.vault.index(addresses.LABEL, "x")
    assert not await house.vault.rotate_root("index", 0.3)
    assert house.vault.index(addresses.LABEL, "x") == before
    with psycopg.connect(house.database.admin_url) as admin:
        admin.execute("DELETE FROM keystore.holder WHERE name = 'hung'")
    assert await house.vault.rotate_root("index", 5)
    assert house.vault.index(addresses.LABEL, "x") != before


async def test_a_new_pepper_locks_nobody_out(house: House) -> None:
    person, member_id, organisation_id = await house.owner()
    async with house.console.work() as work:
        old_key = await keys.create(work, house.vault, organisation_id, KeyWish(name=Sealed("a")))
        link = await links.make(work, house.vault, "reset", member_id)
    session = await door.sign_in(house.door, person.email, person.password, VISITOR)
    async with house.console.work() as work:
        form = await sessions.find(work, house.vault, session.session.token)
    assert form is not None
    assert await house.vault.rotate_root("pepper", 10)

    async with house.console.work() as work:
        found = await sessions.find(work, house.vault, session.session.token)
        assert found is not None
        sessions.check_csrf(found, form.csrf)
        assert found.csrf != form.csrf
        assert await links.look(work, house.vault, "reset", link) is not None
        new_key = await keys.create(work, house.vault, organisation_id, KeyWish(name=Sealed("b")))
        for one in (old_key, new_key):
            secret = one.secret.open("provide").encode()
            grant = await grants.find(work, *keys.hashes_of(house.vault, secret))
            assert grant is not None
            assert grant.key_id == one.id

    async def find(hashed: bytes) -> grants.Grant | None:
        async with house.gateway.work() as work:
            return await grants.find(work, hashed)

    vault = house.vault
    snapshot = Snapshot(
        find, lambda one: vault.keyed_hash("api-key", one), older=lambda one: vault.keyed_hashes("api-key", one)[1:]
    )
    for one in (old_key, new_key):
        secret = one.secret.open("provide").encode()
        assert (await snapshot.look_up(secret)).grant.key_id == one.id
        assert snapshot.known(secret) is not None

    # Signing in moves the password to the pepper that writes now; the others' move when they are made anew.
    await door.sign_in(house.door, person.email, person.password, VISITOR)
    (old,) = await vault.old_roots("pepper")
    await vault.end_root(old.id)
    await door.sign_in(house.door, person.email, person.password, VISITOR)
    async with house.console.work() as work:
        assert await grants.find(work, *keys.hashes_of(vault, old_key.secret.open("provide").encode())) is None
        assert await grants.find(work, *keys.hashes_of(vault, new_key.secret.open("provide").encode())) is not None


async def test_killed_at_any_moment_of_rotations_everybody_is_found_once(house: House, sizes: Sizes) -> None:
    people = [Person() for _ in range(4)]
    known = [(await house.join(person)).member_id for person in people]
    session = house.database.session
    arguments = [session.sockets, house.database.name, str(session.directory / "keys"), str(house.database.keys)]
    for _ in range(sizes["rotation_kills"] // 2):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ROTATE, *arguments,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readline(), 20)
        await asyncio.sleep(random.random() / 5)
        process.kill()
        await process.communicate()
        fresh = await house.database.vault()
        for vault in (house.vault, fresh):
            for number, person in enumerate(people):
                async with house.operator.work() as work:
                    assert await members.find_by_email(work, vault, person.email) == known[number]
        await fresh.close()
    with psycopg.connect(house.database.admin_url) as admin:
        assert admin.execute("SELECT count(*) FROM access.member").fetchone() == (4,)
    vault: Vault = house.vault
    assert await vault.rotate_root("index", 10)
    for _ in range(2):
        await vault.reindex(
            "access.member.email_index", "access.member.email_sealed", addresses.LABEL, addresses.normal, timedelta()
        )
    assert old_roots(house, "index") == 0
