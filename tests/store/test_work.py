"""Work: statements and rows; driver errors become ours at one seam, and no value gets past it (X34)."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest

from fixtures_database import Database
from ruxa.kernel.errors import Broken, Conflict, RuxaError, Unavailable
from ruxa.store.pool import Pool
from ruxa.store.work import Work

CANARY = "CANARY4b81e07"


@pytest.fixture
async def pool(database: Database) -> Pool:
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
        await admin.execute(
            "CREATE TABLE ruxa.thing (n bigint PRIMARY KEY, label text UNIQUE, CONSTRAINT thing_small CHECK (n < 100))"
        )
        await admin.execute("GRANT ALL ON ruxa.thing TO ruxa_worker")
        await admin.execute(
            "CREATE FUNCTION ruxa.refuse(why text) RETURNS void LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'no: %', why USING ERRCODE = 'RX042'; END$$"
        )
    return await database.pool("ruxa_worker")


async def test_rows_row_value_run_many_copy(pool: Pool) -> None:
    async with pool.work() as work:
        await work.many("INSERT INTO ruxa.thing VALUES (%s, %s)", [(1, "a"), (2, "b")])
        await work.copy(
            "COPY ruxa.thing (n, label) FROM STDIN (FORMAT BINARY)", ["int8", "text"], ((n, f"c{n}") for n in (3, 4))
        )
        assert await work.run("UPDATE ruxa.thing SET label = %s WHERE n = %s", "z", 1) == 1
        assert await work.rows("SELECT n, label FROM ruxa.thing ORDER BY n") == [
            (1, "z"), (2, "b"), (3, "c3"), (4, "c4"),
        ]  # fmt: skip
        assert await work.row("SELECT n FROM ruxa.thing WHERE n = 9") is None
        assert await work.value("SELECT n FROM ruxa.thing WHERE n = 9") is None
        assert await work.value("SELECT count(*) FROM ruxa.thing") == 4
        # Without arguments a percent sign is only a percent sign.
        assert await work.value("SELECT count(*) FROM ruxa.thing WHERE label LIKE 'c%'") == 2


async def test_a_savepoint_bounds_a_failure(pool: Pool) -> None:
    async with pool.work() as work:
        await work.run("INSERT INTO ruxa.thing VALUES (1, 'a')")

        async def twice() -> None:
            async with work.savepoint():
                await work.run("INSERT INTO ruxa.thing VALUES (2, 'b')")
                await work.run("INSERT INTO ruxa.thing VALUES (1, 'a')")

        with pytest.raises(Conflict):
            await twice()
        async with work.savepoint():
            await work.run("INSERT INTO ruxa.thing VALUES (3, 'c')")
    async with pool.work() as work:
        assert await work.rows("SELECT n FROM ruxa.thing ORDER BY n") == [(1,), (3,)]


async def _copy(work: Work) -> object:
    return await work.copy(
        "COPY ruxa.thing (n, label) FROM STDIN (FORMAT BINARY)", ["int8", "text"], [(1, CANARY), (2, CANARY)]
    )


async def _many(work: Work) -> object:
    return await work.many("INSERT INTO ruxa.thing VALUES (%s, %s)", [(1, CANARY), (2, CANARY)])


def _say(sql: LiteralString, *args: object) -> Callable[[Work], Awaitable[object]]:
    return lambda work: work.value(sql, *args)


FAILURES: dict[str, tuple[Callable[[Work], Awaitable[object]], type[RuxaError], str, str]] = {
    "unique": (
        _say("INSERT INTO ruxa.thing SELECT n, %s FROM generate_series(1, 2) n", CANARY),
        Conflict, "thing_label_key", "sqlstate=23505 constraint=thing_label_key",
    ),
    "check": (
        _say("INSERT INTO ruxa.thing VALUES (500, %s)", CANARY),
        Conflict, "thing_small", "sqlstate=23514 constraint=thing_small",
    ),
    "our function": (_say("SELECT ruxa.refuse(%s)", CANARY), Conflict, "RX042", "sqlstate=RX042"),
    "cast": (_say("SELECT %s::text::int", CANARY), Broken, "internal_error", "sqlstate=22P02"),
    "cast of a literal": (_say("SELECT 'CANARY4b81e07'::text::uuid"), Broken, "internal_error", "sqlstate=22P02"),
    "json": (_say("SELECT %s::text::json", '{"a":' + CANARY), Broken, "internal_error", "sqlstate=22P02"),
    "syntax": (_say("SELECT 'CANARY4b81e07' FROM WHERE"), Broken, "internal_error", "sqlstate=42601"),
    "forbidden": (_say("SELECT * FROM keystore.key WHERE 'CANARY4b81e07' <> ''"), Broken, "internal_error",
                  "sqlstate=42501"),
    "copy": (_copy, Conflict, "thing_label_key", "sqlstate=23505 constraint=thing_label_key"),
    "many": (_many, Conflict, "thing_label_key", "sqlstate=23505 constraint=thing_label_key"),
    "wrong count of arguments": (_say("SELECT %s, %s", CANARY), Broken, "internal_error", "driver=ProgrammingError"),
    "statement timeout": (
        _say("SELECT set_config('statement_timeout', '20', true), pg_sleep(0.001), 'CANARY4b81e07'"),
        Unavailable, "database_busy", "sqlstate=57014",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
async def test_no_value_gets_past_the_seam(database: Database, pool: Pool, name: str) -> None:
    action, kind, code, detail = FAILURES[name]

    async def fail() -> None:
        async with pool.work() as work:
            await action(work)
            if name == "statement timeout":
                await work.value("SELECT pg_sleep(5) WHERE 'CANARY4b81e07' <> ''")

    with pytest.raises(kind) as caught:
        await fail()
    error = caught.value
    assert (error.code, error.detail) == (code, detail)
    assert error.__context__ is None
    assert error.__cause__ is None
    # Whole texts and not the frames' source lines, which quote this test.
    assert CANARY not in f"{error} {error!r} {error.public} {error.detail} {error.code}"
    assert CANARY not in "".join(traceback.TracebackException.from_exception(error).format_exception_only())
    log = database.session.directory / "data" / "run" / "postgres.log"
    assert CANARY not in log.read_text()


async def test_the_log_is_really_looked_at(database: Database, pool: Pool) -> None:
    """The control of the test above: with the role's quiet settings undone the value does reach the log."""
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            await admin.execute("SELECT %s::text::int", ["CONTROL77aa"])
    log = database.session.directory / "data" / "run" / "postgres.log"
    assert "CONTROL77aa" in log.read_text()


async def test_a_lost_connection_is_away_and_the_next_work_works(database: Database, pool: Pool) -> None:
    async def fail() -> None:
        async with pool.work() as work:
            pid = await work.value("SELECT pg_backend_pid()")
            async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
                await admin.execute("SELECT pg_terminate_backend(%s)", [pid])
            await work.value("SELECT 1")

    with pytest.raises(Unavailable) as caught:
        await fail()
    assert caught.value.code == "database_away"
    async with pool.work() as work:
        assert await work.value("SELECT 1") == 1


async def test_a_commit_that_fails_is_told(database: Database, pool: Pool) -> None:
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
        await admin.execute("ALTER TABLE ruxa.thing ADD CONSTRAINT thing_late UNIQUE (n) DEFERRABLE INITIALLY DEFERRED")
        await admin.execute("ALTER TABLE ruxa.thing DROP CONSTRAINT thing_pkey")

    async def fail() -> None:
        async with pool.work() as work:
            await work.run("INSERT INTO ruxa.thing VALUES (1, 'a'), (1, 'b')")

    with pytest.raises(Conflict) as caught:
        await fail()
    assert caught.value.code == "thing_late"


async def test_a_deadlock_is_busy_so_that_the_caller_tries_again(pool: Pool) -> None:
    import asyncio

    async with pool.work() as work:
        await work.run("INSERT INTO ruxa.thing VALUES (1, 'a'), (2, 'b')")
    reached = [asyncio.Event(), asyncio.Event()]

    async def cross(first: int, second: int) -> None:
        async with pool.work() as work:
            await work.run("UPDATE ruxa.thing SET label = %s WHERE n = %s", str(uuid4()), first)
            reached[first - 1].set()
            await reached[second - 1].wait()
            await work.run("UPDATE ruxa.thing SET label = %s WHERE n = %s", str(uuid4()), second)

    ends = await asyncio.gather(cross(1, 2), cross(2, 1), return_exceptions=True)
    failures = [end for end in ends if end is not None]
    assert len(failures) == 1
    assert isinstance(failures[0], Unavailable)
    assert (failures[0].code, failures[0].detail) == ("database_busy", "sqlstate=40P01")
