"""Pool: one transaction a Work, commit or rollback, and the truth about a database that is away."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from fixtures_database import Database
from ruxa.kernel.errors import Unavailable


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
