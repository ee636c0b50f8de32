"""Notices: heard with the commit, across processes, again after the connection was cut; a gap is told."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from fixtures_database import Database
from ruxa.kernel.errors import Unavailable
from ruxa.store.notify import Notices
from ruxa.store.pool import Pool


async def _tell(pool: Pool, channel: str, payload: str) -> None:
    async with pool.work() as work:
        await work.run("SELECT pg_notify(%s, %s)", channel, payload)


async def _until(heard: list[str], wanted: list[str]) -> None:
    for _ in range(250):
        if heard == wanted:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{heard} is not {wanted}")


async def test_hears_in_order_what_was_committed_and_nothing_else(database: Database) -> None:
    pool = await database.pool("ruxa_console")
    notices = Notices(database.url("ruxa_gateway"))
    heard: list[str] = []
    notices.listen("key_revoked", heard.append)
    await notices.open()
    await notices.settled()

    async def lost() -> None:
        async with pool.work() as work:
            await work.run("SELECT pg_notify('key_revoked', 'lost')")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await lost()
    await _tell(pool, "price_changed", "not ours")
    await _tell(pool, "key_revoked", "1")
    await _tell(pool, "key_revoked", "2")
    await _until(heard, ["1", "2"])
    await notices.close()


async def test_a_channel_can_be_added_later(database: Database) -> None:
    pool = await database.pool("ruxa_console")
    notices = Notices(database.url("ruxa_gateway"))
    heard: list[str] = []
    await notices.open()
    await notices.settled()
    notices.listen("price_changed", heard.append)
    assert not notices.connected
    await asyncio.wait_for(notices.settled(), 5)
    await _tell(pool, "price_changed", "1")
    await _until(heard, ["1"])
    await notices.close()


async def test_reconnects_and_tells_that_there_was_a_gap(database: Database) -> None:
    pool = await database.pool("ruxa_console")
    notices = Notices(database.url("ruxa_gateway"))
    heard: list[str] = []
    notices.listen("key_revoked", heard.append, lambda: heard.append("gap"))
    await notices.open()
    await notices.settled()
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'ruxa notices' AND datname = current_database()"
        )
    await _until(heard, ["gap"])
    await notices.settled()
    await _tell(pool, "key_revoked", "1")
    await _until(heard, ["gap", "1"])
    await notices.close()


async def test_a_callback_that_fails_does_not_deafen(database: Database) -> None:
    pool = await database.pool("ruxa_console")
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(str(context["exception"])))
    notices = Notices(database.url("ruxa_gateway"))
    heard: list[str] = []

    def fail(payload: str) -> None:
        raise ValueError(payload)

    notices.listen("key_revoked", fail)
    notices.listen("key_revoked", heard.append)
    await notices.open()
    await notices.settled()
    await _tell(pool, "key_revoked", "1")
    await _tell(pool, "key_revoked", "2")
    await _until(heard, ["1", "2"])
    assert reported == ["1", "2"]
    await notices.close()


async def test_a_database_that_is_away_at_the_start_is_told(database: Database) -> None:
    notices = Notices("postgresql://ruxa_gateway@/ruxa?host=/nonexistent")
    with pytest.raises(Unavailable) as caught:
        await notices.open()
    assert caught.value.code == "database_away"
    await notices.close()
