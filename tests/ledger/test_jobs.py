"""Upkeep: each job may run at any time, twice at once, and finds its work done when it is."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import psycopg
import pytest

from books import Books
from ruxa.kernel.clock import Clock, monotonic
from ruxa.ledger import accounts, jobs


async def test_partitions_are_made_ahead_and_for_every_year(books: Books) -> None:
    assert await jobs.partitions(books.worker) == 9
    await books.later(86_400 * 400)
    await asyncio.gather(*(jobs.partitions(books.worker) for _ in range(4)))
    day = (Clock().now() + timedelta(days=400)).date()
    async with books.admin() as admin:
        names = {
            row[0] for row in await (await admin.execute("SELECT inhrelid::regclass::text FROM pg_inherits")).fetchall()
        }
    assert f"ledger.transfer_{day.year}" in names
    for ahead in range(-1, 8):
        assert f"ledger.usage_event_{day + timedelta(days=ahead):%Y%m%d}" in names
    ref = await books.organisation(live=100)
    lease = await books.lend(ref, 50)
    await books.close(lease)
    await books.prove()


async def test_money_moves_in_a_year_that_no_job_prepared(books: Books) -> None:
    await books.later(86_400 * 365 * 5)
    ref = await books.organisation(live=100)
    await books.close(await books.lend(ref, 50))
    assert await books.balance(ref) == accounts.Balance(100, 0, 0)


async def test_two_janitors_at_once_do_each_step_once(books: Books) -> None:
    refs = [await books.organisation(live=1000) for _ in range(8)]
    for ref in refs:
        await books.lend(ref, 100)
        await books.lend(ref, 200)
    await books.later(31)
    await asyncio.gather(*(jobs.janitor(books.worker) for _ in range(4)))
    await books.prove()
    await books.later(1000)
    await asyncio.gather(*(jobs.janitor(books.worker) for _ in range(4)))
    for ref in refs:
        assert await books.balance(ref) == accounts.Balance(1000, 0, 0)
    assert await jobs.janitor(books.worker) == 0
    await books.prove()


async def test_a_process_frozen_in_a_transaction_locks_its_organisation_for_seconds_only(books: Books) -> None:
    ref = await books.organisation(live=1000)
    async with await psycopg.AsyncConnection.connect(books.database.url("ruxa_worker")) as frozen:
        lease = await books.lend(ref, 100, ttl_s=-1)
        await frozen.execute("SELECT ledger.lease_expire(%s)", [lease])
        started = monotonic()
        other = await books.lend(ref, 200)
        assert 3 < monotonic() - started < 4.9
        with pytest.raises(psycopg.Error):
            await frozen.execute("SELECT 1")
        await frozen.close()
    await books.close(other)
    await books.prove()
