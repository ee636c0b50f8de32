"""Retention is total: every table, partition and file has a class, and the gate refuses what has none."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from fixtures_database import Database
from ruxa.kernel import datamap
from ruxa.privacy.content import items
from ruxa.privacy.retention import engine, stores
from ruxa.store import inventory, partitions
from ruxa.store.pool import Pool


async def _gate(pool: Pool, data: Path) -> list[str]:
    async with pool.work() as work:
        keeps = [
            (f"{column.schema}.{column.table}", column.declaration.keep)
            for column in await inventory.read(work)
            if column.declaration is not None
        ]
        return await engine.unclassed(work, keeps, data, None)


async def test_everything_the_schema_stores_has_a_class(database: Database, tmp_path: Path) -> None:
    assert await _gate(await database.pool("ruxa_operator"), tmp_path) == []


async def test_every_table_of_a_class_is_there(database: Database) -> None:
    """A class for a table that is gone would hide the next one of that name."""
    pool = await database.pool("ruxa_operator")
    async with pool.work() as work:
        from ruxa.privacy.retention import records

        there = set(await records.tables(work))
    named = {place for store in stores.CLASSES if store.kind == "table" for place in store.places}
    assert named - there == set()


async def test_what_has_no_class_is_refused(database: Database, tmp_path: Path) -> None:
    pool = await database.pool("ruxa_operator")
    import psycopg

    plants = {
        "CREATE TABLE ledger.note (id uuid)": ["table ledger.note has no class"],
        "CREATE TABLE public.note (id uuid)": ["table public.note has no class"],
        "CREATE MATERIALIZED VIEW ledger.sums AS SELECT 1 AS n": ["table ledger.sums has no class"],
        "CREATE TABLE ledger.usage_rest PARTITION OF ledger.usage_event DEFAULT": [
            "partition usage_rest of ledger.usage_event is none of a day or year"
        ],
        "COMMENT ON COLUMN ledger.price.model IS 'data: category=user.content subject=member purpose=provide"
        " basis=contract keep=content seal=none erase=delete export=yes'": [
            "table ledger.price keeps 'content', which its class does not say"
        ],
    }
    for plant, refused in plants.items():
        async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
            await admin.execute(plant.encode())
            assert await _gate(pool, tmp_path) == refused
            if plant.startswith("COMMENT"):
                await admin.execute("COMMENT ON COLUMN ledger.price.model IS 'data: none'")
            else:
                made, named = (
                    ("CREATE TABLE", "TABLE") if "CREATE TABLE" in plant else ("CREATE MATERIALIZED VIEW",) * 2
                )
                name = plant.removeprefix(made).split()[0]
                await admin.execute(f"DROP {named.removeprefix('CREATE ')} {name}".encode())


@pytest.mark.parametrize("name", ["prompts.txt", "run", "journal/w0/x.sqlite", "objects/hold/2026-11-24/x", "dump.sql"])
async def test_a_file_without_a_class_is_refused(database: Database, tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("x")
    assert await _gate(await database.pool("ruxa_operator"), tmp_path) == [f"data/{name} has no class"]


def test_every_word_of_the_data_map_is_a_class_with_a_clock() -> None:
    assert {one.name for one in stores.classes()} == set(datamap.KEEPS)
    for store in stores.CLASSES:
        assert set(store.classes) <= set(datamap.KEEPS), store


def test_the_limits_are_those_of_the_policy_and_the_last_copy() -> None:
    """Numbers of the published promise (D30), not of what drives the engine."""
    found = {one.name: (one.service, one.published) for one in stores.classes()}
    assert found["usage"] == ("83 days", "90 days")
    assert found["content"] == ("23 days", "30 days")
    assert found["account"] == ("30 days", "30 days")
    assert found["transactions"] == ("7 years", "7 years")
    assert found["support"] == ("3 years", "3 years")
    assert found["sign_up"] == ("48 hours", "48 hours")
    assert found["outbox"] == ("7 days", "7 days")
    assert found["audit"] == ("2 years", None)


async def test_the_engine_knows_every_table_of_days(database: Database) -> None:
    """A table with day partitions that no step drops would keep its days for ever."""
    pool = await database.pool("ruxa_operator")
    async with pool.work() as work:
        from ruxa.privacy.retention import records

        roots = {table for table, name in await records.partitions(work) if stores.day_of(table, name)}
        roots |= {
            row[0]
            for row in await work.rows(
                "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE c.relkind = 'p' AND c.relname <> 'transfer'"
            )
        }
        for root in roots:
            await partitions.present(work, root)
    driven = {table for table, _ in stores.day_stores()} | {"ledger.usage_event", "ledger.usage_day", *items.TABLES}
    assert roots == driven


# The clocks of classes whose tables come later, and of those that are counted in years


@pytest.mark.parametrize(
    ("resolved", "kept", "gone"),
    [
        (date(2026, 11, 24), date(2029, 11, 23), date(2029, 11, 24)),
        (date(2028, 2, 29), date(2031, 2, 28), date(2031, 3, 1)),
        (date(2025, 3, 1), date(2028, 2, 29), date(2028, 3, 1)),
        (date(2025, 2, 28), date(2028, 2, 27), date(2028, 2, 28)),
        (date(2026, 1, 1), date(2028, 12, 31), date(2029, 1, 1)),
    ],
)
def test_three_years_end_on_the_day(resolved: date, kept: date, gone: date) -> None:
    for over in (stores.support_over, stores.consent_over):
        assert not over(resolved, kept)
        assert over(resolved, gone)
        assert over(resolved, date(gone.year, gone.month, gone.day + 1))


@pytest.mark.parametrize("posted", [date(2026, 1, 1), date(2026, 11, 24), date(2026, 12, 31)])
def test_transactions_end_seven_years_after_their_fiscal_year(posted: date) -> None:
    assert not stores.transaction_over(posted, date(2033, 12, 31))
    assert stores.transaction_over(posted, date(2034, 1, 1))
    assert stores.transaction_over(posted, date(2034, 1, 2))
    assert not stores.transaction_over(date(2027, 1, 1), date(2034, 1, 2))


@pytest.mark.parametrize(("day", "days", "kept", "gone"), [
    (date(2026, 11, 24), 83, date(2027, 2, 14), date(2027, 2, 15)),
    (date(2027, 12, 9), 83, date(2028, 2, 29), date(2028, 3, 1)),
    (date(2028, 2, 29), 83, date(2028, 5, 21), date(2028, 5, 22)),
    (date(2026, 11, 24), 23, date(2026, 12, 16), date(2026, 12, 17)),
])  # fmt: skip
def test_days_are_counted_from_their_first_moment(day: date, days: int, kept: date, gone: date) -> None:
    assert not stores.over(day, kept, days)
    assert stores.over(day, gone, days)


def test_names_of_partitions() -> None:
    assert stores.day_of("ledger.usage_event", "usage_event_20261124") == date(2026, 11, 24)
    assert stores.day_of("ledger.usage_event", "usage_event_20261324") is None
    assert stores.day_of("ledger.usage_event", "other_20261124") is None
    assert stores.year_of("ledger.transfer", "transfer_2026") == 2026
    assert stores.year_of("ledger.transfer", "transfer_20261124") is None
