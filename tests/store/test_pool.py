"""Pool: one transaction a Work, commit or rollback, and the truth about a database that is away."""

from __future__ import annotations

import asyncio
import os

import psycopg
import pytest
import uvloop

from fixtures_database import Database
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Unavailable
from ruxa.store.notify import Notices
from ruxa.store.pool import Pool


async def _table(database: Database) -> None:
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
        await admin.execute("CREATE TABLE ruxa.thing (n bigint PRIMARY KEY, label text)")
        await admin.execute("GRANT ALL ON ruxa.thing TO ruxa_worker")


async def test_commits_on_exit_and_rolls_back_on_error(database: Database) -> None:
    await _table(database)
    pool = await database.pool("ruxa_worker")
    async with pool.work("tester") as work:
        assert work.principal == "tester"
        assert await work.run("INSERT INTO ruxa.thing VALUES (%s, %s)", 1, "kept") == 1

    async def fail() -> None:
        async with pool.work() as work:
            await work.run("INSERT INTO ruxa.thing VALUES (2, 'lost')")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with pool.work() as work:
        assert await work.rows("SELECT n, label FROM ruxa.thing") == [(1, "kept")]


async def test_the_servers_process_steps_back_for_others_when_it_is_asked_to(database: Database) -> None:
    found: list[int] = []
    for niceness in (0, 10):
        pool = await Pool.open(
            database.url("ruxa_worker"), login="ruxa_worker", clock=database.clock, niceness=niceness
        )
        async with pool.work() as work:
            found.append(os.getpriority(os.PRIO_PROCESS, await work.value("SELECT pg_backend_pid()")))
        await pool.close()
    assert found[1] - found[0] == 10


async def test_what_is_rarely_done_holds_no_connection_before_and_after(database: Database) -> None:
    def backends() -> int:
        with psycopg.connect(database.admin_url) as admin:
            row = admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ruxa_audit'"
            ).fetchone()
        assert row is not None
        return row[0]

    pool = Pool.on_demand(database.url("ruxa_audit"), login="ruxa_audit", clock=database.clock)
    assert backends() == 0
    async with pool.work() as work:
        assert await work.value("SELECT count(*) FROM audit.leaf") == 0
        assert backends() == 1
    async with asyncio.timeout(10):
        while backends():
            await asyncio.sleep(0.01)


async def test_cancelled_work_is_rolled_back_and_the_pool_goes_on(database: Database) -> None:
    await _table(database)
    pool = await database.pool("ruxa_worker", max_size=1)
    begun = asyncio.Event()

    async def slow() -> None:
        async with pool.work() as work:
            await work.run("INSERT INTO ruxa.thing VALUES (1, 'lost')")
            begun.set()
            await work.run("SELECT pg_sleep(30)")

    task = asyncio.create_task(slow())
    await begun.wait()
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with pool.work() as work:
        assert await work.value("SELECT count(*) FROM ruxa.thing") == 0


async def test_a_broken_idle_connection_is_replaced_unnoticed(database: Database) -> None:
    pool = await database.pool("ruxa_worker")
    async with pool.work() as work:
        first = await work.value("SELECT pg_backend_pid()")
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
        await admin.execute("SELECT pg_terminate_backend(%s)", [first])
    await asyncio.sleep(0.1)
    async with pool.work() as work:
        assert await work.value("SELECT pg_backend_pid()") != first


async def test_all_connections_in_use_is_busy_not_away(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ruxa.store.pool.WAIT_TIMEOUT_S", 0.1)
    pool = await database.pool("ruxa_worker", max_size=1)
    async with pool.work():
        with pytest.raises(Unavailable) as caught:
            async with pool.work():
                pass
    assert caught.value.code == "database_busy"


async def test_no_more_connections_than_allowed_and_none_left_after(database: Database) -> None:
    pool = await database.pool("ruxa_worker", max_size=3)

    async def hold() -> None:
        async with pool.work() as work:
            await work.value("SELECT pg_sleep(0.05)")

    async def count() -> int:
        async with await psycopg.AsyncConnection.connect(database.admin_url) as admin:
            row = await (
                await admin.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name = 'ruxa_worker'"
                )
            ).fetchone()
        assert row is not None
        return row[0]

    await asyncio.gather(*(hold() for _ in range(12)))
    assert await count() == 3
    await pool.close()
    for _ in range(100):
        if await count() == 0:
            break
        await asyncio.sleep(0.02)
    assert await count() == 0
    with pytest.raises(Unavailable):
        await hold()


async def test_a_wrong_password_is_away_without_a_word_of_it(database: Database) -> None:
    right = database.session.logins.password("ruxa_worker")
    url = database.url("ruxa_worker").replace(right, "wrong-secret-77")
    with pytest.raises(Unavailable) as caught:
        await Pool.open(url, login="ruxa_worker", clock=Clock())
    assert caught.value.__context__ is None
    assert "wrong-secret-77" not in f"{caught.value} {caught.value.detail}"


def test_works_under_uvloop(fresh_database: Database) -> None:
    async def main() -> tuple[str, list[str]]:
        heard: list[str] = []
        pool = await fresh_database.pool("ruxa_gateway")
        notices = Notices(fresh_database.url("ruxa_gateway"))
        notices.listen("price_changed", heard.append)
        await notices.open()
        await notices.settled()
        vault = await fresh_database.vault()
        await vault.rotate_epoch()
        for n in range(3):
            async with pool.work() as work:
                await work.run("SELECT pg_notify('price_changed', %s)", str(n))
        task = asyncio.create_task(_slow(pool))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(100):
            if len(heard) == 3:
                break
            await asyncio.sleep(0.02)
        await notices.close()
        await fresh_database.close()
        return type(asyncio.get_running_loop()).__module__, heard

    loop, heard = uvloop.run(main())
    assert loop.startswith("uvloop")
    assert heard == ["0", "1", "2"]


async def _slow(pool: Pool) -> None:
    async with pool.work() as work:
        await work.run("SELECT pg_sleep(30)")
