"""Day partitions: made ahead by the one clock, bounded by UUIDv7, dropped by the worker's login."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from fixtures_database import Database
from ruxa.kernel import ids
from ruxa.kernel.errors import Broken, Conflict
from ruxa.store import instance, partitions
from ruxa.store.pool import Pool

TABLE = "ruxa.visit"


@pytest.fixture
async def pool(database: Database) -> Pool:
    async with await psycopg.AsyncConnection.connect(database.url("ruxa_owner"), autocommit=True) as owner:
        await owner.execute("CREATE TABLE ruxa.visit (id uuid PRIMARY KEY, n int) PARTITION BY RANGE (id)")
        await owner.execute("GRANT SELECT, INSERT ON ruxa.visit TO ruxa_worker")
    return await database.pool("ruxa_worker")


async def _today(pool: Pool) -> date:
    async with pool.work() as work:
        return await work.value("SELECT ruxa.today()")


async def test_makes_yesterday_to_a_week_ahead_once(pool: Pool) -> None:
    today = await _today(pool)
    async with pool.work() as work:
        assert await partitions.ensure(work, TABLE) == 9
        assert await partitions.ensure(work, TABLE) == 0
        assert await partitions.ensure(work, TABLE, days_ahead=9) == 2
        found = await partitions.present(work, TABLE)
    assert [one.day for one in found] == [today + timedelta(days=n) for n in range(-1, 10)]
    assert found[0].name == f"ruxa.visit_{found[0].day:%Y%m%d}"


async def test_an_id_falls_into_its_utc_day_to_the_millisecond(pool: Pool) -> None:
    today = await _today(pool)
    midnight = int(datetime(today.year, today.month, today.day, tzinfo=UTC).timestamp() * 1000)
    async with pool.work() as work:
        await partitions.ensure(work, TABLE)
        for moment in (midnight - 1, midnight, midnight + 86_400_000 - 1, midnight + 86_400_000):
            await work.run("INSERT INTO ruxa.visit VALUES (%s, 1)", ids.at(moment))
        rows = await work.rows("SELECT tableoid::regclass::text FROM ruxa.visit ORDER BY id")
        assert await work.value("SELECT ruxa.id_floor('2026-11-24 00:00Z')") == ids.floor(1_795_478_400_000)
        one = ids.at(1_795_478_400_123)
        assert await work.value("SELECT ruxa.id_time(%s)", one) == datetime(2026, 11, 24, 0, 0, 0, 123_000, tzinfo=UTC)
    days = [today - timedelta(days=1), today, today, today + timedelta(days=1)]
    assert [row[0] for row in rows] == [f"ruxa.visit_{day:%Y%m%d}" for day in days]


async def test_drops_whole_days_only_those_asked_for(pool: Pool) -> None:
    today = await _today(pool)
    async with pool.work() as work:
        await partitions.ensure(work, TABLE)
        assert await partitions.drop(work, TABLE, today + timedelta(days=3))
        assert not await partitions.drop(work, TABLE, today + timedelta(days=3))
        gone = await partitions.drop_before(work, TABLE, today + timedelta(days=2))
        assert [one.day for one in gone] == [today + timedelta(days=n) for n in (-1, 0, 1)]
        left = await partitions.present(work, TABLE)
    assert [one.day for one in left] == [today + timedelta(days=n) for n in (2, 4, 5, 6, 7)]


async def test_two_at_once_make_each_day_once(pool: Pool) -> None:
    async def ensure() -> int:
        async with pool.work() as work:
            return await partitions.ensure(work, TABLE)

    assert sum(await asyncio.gather(*(ensure() for _ in range(4)))) == 9


async def test_follows_the_one_clock(database: Database, pool: Pool) -> None:
    url = database.url("ruxa_owner")
    today = await _today(pool)
    instance.settle(url, id=ids.fresh(), mode="demo", simulated=True)
    instance.move_clock(url, 91 * 86_400)
    async with pool.work() as work:
        await partitions.ensure(work, TABLE, days_ahead=0)
        found = await partitions.present(work, TABLE)
    assert found[-1].day == today + timedelta(days=91)


@pytest.mark.parametrize("table", ["ruxa.instance", "pg_catalog.pg_class"])
async def test_only_partitioned_tables_of_ours(pool: Pool, table: str) -> None:
    async def ensure() -> None:
        async with pool.work() as work:
            await partitions.ensure(work, table)

    with pytest.raises((Broken, Conflict)):
        await ensure()


async def test_no_other_login_may(database: Database, pool: Pool) -> None:
    gateway = await database.pool("ruxa_gateway")

    async def drop() -> None:
        async with gateway.work() as work:
            await partitions.drop(work, TABLE, await _today(gateway))

    with pytest.raises(Broken, match="refused") as caught:
        await drop()
    assert caught.value.detail == "sqlstate=42501"
