"""Whose database it is, and a clock that moves only where it was made to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from fixtures_database import Database
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict
from ruxa.store import instance
from ruxa.store.logins import LOGINS


def now(url: str) -> datetime:
    """The SQL clock, as one of the logins sees it."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT ruxa.now()").fetchone()
        assert row is not None
        return row[0]


def test_is_written_once_and_checked_after(fresh_database: Database) -> None:
    url, mine = fresh_database.url("ruxa_owner"), ids.fresh()
    instance.settle(url, id=mine, mode="live", simulated=False)
    instance.settle(url, id=mine, mode="live", simulated=False)
    with pytest.raises(Conflict) as caught:
        instance.settle(url, id=ids.fresh(), mode="live", simulated=False)
    assert caught.value.code == "foreign_database"
    with pytest.raises(Conflict) as caught:
        instance.settle(url, id=mine, mode="live", simulated=True)
    assert caught.value.code == "clock_fixed"
    instance.change_mode(url, "demo")
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT id, mode, simulated FROM ruxa.instance").fetchall() == [(mine, "demo", False)]


def test_a_live_clock_is_the_machines_and_cannot_be_moved(fresh_database: Database) -> None:
    url = fresh_database.url("ruxa_owner")
    instance.settle(url, id=ids.fresh(), mode="live", simulated=False)
    with pytest.raises(Conflict) as caught:
        instance.move_clock(url, 86_400)
    assert caught.value.code == "clock_fixed"
    # Not even by a row: the live body does not look at it.
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO ruxa.clock_offset (offset_s) VALUES (86400)")
    assert abs(now(fresh_database.url("ruxa_gateway")) - datetime.now(UTC)) < timedelta(seconds=30)


def test_a_simulated_clock_moves_for_every_login(fresh_database: Database) -> None:
    url, mine = fresh_database.url("ruxa_owner"), ids.fresh()
    instance.settle(url, id=mine, mode="demo", simulated=True)
    assert abs(now(fresh_database.url("ruxa_gateway")) - datetime.now(UTC)) < timedelta(seconds=30)
    instance.move_clock(url, 91 * 86_400)
    instance.settle(url, id=mine, mode="demo", simulated=True)
    for login in LOGINS:
        moved = now(fresh_database.url(login)) - datetime.now(UTC)
        assert abs(moved - timedelta(days=91)) < timedelta(seconds=30)


@pytest.mark.parametrize("login", ["ruxa_gateway", "ruxa_console", "ruxa_worker", "ruxa_operator"])
def test_only_the_migration_role_moves_it(fresh_database: Database, login: str) -> None:
    instance.settle(fresh_database.url("ruxa_owner"), id=ids.fresh(), mode="demo", simulated=True)
    url = fresh_database.url(login)  # type: ignore[arg-type]
    for statement in (
        "UPDATE ruxa.clock_offset SET offset_s = 5",
        "CREATE OR REPLACE FUNCTION ruxa.now() RETURNS timestamptz LANGUAGE sql RETURN '2020-01-01'::timestamptz",
    ):
        with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)  # type: ignore[call-overload]
