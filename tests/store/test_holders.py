"""A key is called gone only when no process can use it: all acknowledge, or their lease ends (D28, F.2)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import psycopg
import pytest

from fixtures_database import Database
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import NotFound
from ruxa.store import holders
from ruxa.store.vault import Vault

NAME = "access.member.name_sealed"
HELD_S = 2.0

# Opens what it is told to, again and again, and says how it went.
HOLD = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from uuid import UUID
    from ruxa.kernel.clock import Clock
    from ruxa.kernel.errors import RuxaError
    from ruxa.store.address import Address
    from ruxa.store.logins import Logins
    from ruxa.store.vault import Vault
    sockets, database, logins, keys, held_s, subject, sealed = sys.argv[1:]
    async def main():
        address = Address.at_socket(sockets, 5432, Logins.load(Path(logins)), database)
        vault = await Vault.unlock(address, Path(keys), clock=Clock(), name="other", held_s=float(held_s))
        while True:
            try:
                await vault.open("access.member.name_sealed", UUID(subject), UUID(subject), bytes.fromhex(sealed),
                    purpose="provide")
                print("open", flush=True)
            except RuxaError as error:
                print(error.code, flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    asyncio.run(main())
""")


class Process:
    """Another process that holds the key."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    async def start(cls, database: Database, subject: UUID, sealed: bytes) -> Process:
        session = database.session
        arguments = [session.sockets, database.name, str(session.directory / "keys"), str(database.keys), str(HELD_S)]
        found = cls(
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", HOLD, *arguments, str(subject), sealed.hex(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        )  # fmt: skip
        assert await found.said() == "open"
        return found

    async def said(self) -> str:
        assert self._process.stdout is not None
        return (await asyncio.wait_for(self._process.stdout.readline(), 20)).decode().strip()

    async def again(self) -> str:
        """It tries once more."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()
        return await self.said()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@pytest.fixture
async def vault(database: Database) -> Vault:
    return await database.vault()


@pytest.fixture
async def held(database: Database, vault: Vault) -> AsyncIterator[tuple[UUID, Process]]:
    """A subject, and another process that has opened a value of it."""
    ada = uuid4()
    await vault.create_subject(ada)
    process = await Process.start(database, ada, await vault.seal(NAME, ada, ada, "Ada"))
    yield ada, process
    await process.end()


async def test_a_living_process_acknowledges_at_once(vault: Vault, held: tuple[UUID, Process]) -> None:
    ada, process = held
    destroyed = await vault.destroy_subject(ada, ("account",))
    begun = monotonic()
    assert await vault.acknowledged(destroyed, 10)
    assert monotonic() - begun < HELD_S, "waited for a lease instead of hearing it"
    assert await process.again() == "key_destroyed"


async def test_a_hung_process_is_waited_for_and_uses_nothing_when_it_wakes(
    database: Database, vault: Vault, held: tuple[UUID, Process]
) -> None:
    ada, process = held
    process.signal(signal.SIGSTOP)
    destroyed = await vault.destroy_subject(ada, ("account",))
    # It still has the key: nobody may say that it is gone.
    assert not await vault.acknowledged(destroyed, 0.5)
    pool = await database.pool("ruxa_keystore")
    assert await holders.behind(pool, destroyed[0].number) == ["other"]
    # Its lease ends, and by then what it holds is too old to be used.
    assert await vault.acknowledged(destroyed, 10)
    process.signal(signal.SIGCONT)
    assert await process.again() == "key_destroyed"


async def test_a_slow_process_delays_and_then_acknowledges(vault: Vault, held: tuple[UUID, Process]) -> None:
    ada, process = held
    process.signal(signal.SIGSTOP)
    destroyed = await vault.destroy_subject(ada, ("account",))
    waiting = asyncio.create_task(vault.acknowledged(destroyed, 10))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    process.signal(signal.SIGCONT)
    assert await waiting
    assert await process.again() == "key_destroyed"


async def test_a_killed_process_ends_by_its_lease(vault: Vault, held: tuple[UUID, Process]) -> None:
    ada, process = held
    process.signal(signal.SIGKILL)
    destroyed = await vault.destroy_subject(ada, ("account",))
    assert not await vault.acknowledged(destroyed, 0.1)
    assert await vault.acknowledged(destroyed, 10)


async def test_who_left_is_not_waited_for(database: Database, vault: Vault) -> None:
    other = await database.vault()
    await other.close()
    ada = uuid4()
    await vault.create_subject(ada)
    begun = monotonic()
    assert await vault.acknowledged(await vault.destroy_subject(ada, ("account",)), 10)
    assert monotonic() - begun < 2
    assert await vault.acknowledged([], 0)


async def test_a_key_fetched_while_it_is_destroyed_is_not_held(database: Database, vault: Vault) -> None:
    """The race that a plain cache loses: read, then destroyed and dropped, then put."""
    other = await database.vault()
    ada = uuid4()
    await vault.create_subject(ada)
    sealed = await vault.seal(NAME, ada, ada, "Ada")
    keystore = other._keystore  # pyright: ignore[reportPrivateUsage]
    read, go_on = keystore.version, asyncio.Event()
    entered = asyncio.Event()

    async def slowly(*args: object) -> object:
        found = await read(*args)  # type: ignore[arg-type]
        entered.set()
        await go_on.wait()
        return found

    keystore.version = slowly  # type: ignore[method-assign,assignment]
    opening = asyncio.create_task(other.open(NAME, ada, ada, sealed, purpose="provide"))
    await entered.wait()
    destroyed = await vault.destroy_subject(ada, ("account",))
    assert await vault.acknowledged(destroyed, 10)
    go_on.set()
    with pytest.raises(NotFound):
        await opening


async def test_numbers_come_in_the_order_of_commits(database: Database, vault: Vault) -> None:
    """Else a process could acknowledge a change that it cannot see yet."""
    subjects = [uuid4() for _ in range(2)]
    for subject in subjects:
        await vault.create_subject(subject)
    with psycopg.connect(database.admin_url) as admin:
        # One destruction is under way and not committed.
        admin.execute("SELECT pg_advisory_xact_lock(hashtextextended('ruxa.keystore.change', 0))")
        admin.execute("INSERT INTO keystore.change (key_id, what) VALUES ('12345678', 'destroyed')")
        second = asyncio.create_task(vault.destroy_subject(subjects[1], ("account",)))
        await asyncio.sleep(0.2)
        assert not second.done(), "a later number would be seen before this one"
        admin.commit()
    assert (await second)[0].number == 2


async def test_whoever_was_forgotten_registers_anew_and_forgets(database: Database, vault: Vault) -> None:
    ada = uuid4()
    await vault.create_subject(ada)
    with psycopg.connect(database.admin_url) as admin:
        admin.execute("DELETE FROM keystore.holder")
    await vault._holder.beat()  # pyright: ignore[reportPrivateUsage]
    assert len(vault._keys) == 0  # pyright: ignore[reportPrivateUsage]
    with psycopg.connect(database.admin_url) as admin:
        assert admin.execute("SELECT count(*) FROM keystore.holder").fetchone() == (1,)
