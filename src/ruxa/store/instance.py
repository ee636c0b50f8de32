"""Whose database this is, and its clock: the row in ``ruxa.instance``, the body of ``ruxa.now()`` (D9, D35)."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, cast
from uuid import UUID

import psycopg

from ruxa.kernel.errors import Conflict, RuxaError
from ruxa.store import fault
from ruxa.store.work import Work

Mode = Literal["demo", "live"]

# Compared by source when the clock is checked: these two bodies and no other.
_SIMULATED = """
    CREATE OR REPLACE FUNCTION ruxa.now() RETURNS timestamptz
        LANGUAGE sql VOLATILE PARALLEL SAFE
        RETURN pg_catalog.clock_timestamp()
            + pg_catalog.make_interval(secs => (SELECT offset_s FROM ruxa.clock_offset))
"""


def settle(url: str, *, id: UUID, mode: Mode, simulated: bool) -> None:
    """Writes whose database this is, as the owner, or checks it.

    Raises Conflict ``foreign_database`` for another instance's, ``clock_fixed`` when a live one is called simulated.
    """
    failure: RuxaError | None = None
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            connection.execute(
                "INSERT INTO ruxa.instance (id, mode, simulated) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                [id, mode, simulated],
            )
            row = connection.execute("SELECT id, simulated FROM ruxa.instance").fetchone()
            assert row is not None
            if row[0] != id:
                failure = Conflict(
                    "This database belongs to another instance of Ruxa; each needs a database of its own.",
                    code="foreign_database",
                )
            elif row[1] != simulated:
                failure = Conflict(
                    "Whether the clock is simulated is decided when an instance is made and cannot change.",
                    code="clock_fixed",
                )
            elif simulated:
                connection.execute(_SIMULATED)
                connection.execute("INSERT INTO ruxa.clock_offset (offset_s) VALUES (0) ON CONFLICT DO NOTHING")
            if failure is not None:
                connection.rollback()
    except psycopg.Error as error:
        failure = fault.of(error)
    if failure is not None:
        raise failure


def change_mode(url: str, mode: Mode) -> None:
    """Ends the demo or begins it (``ruxa demo remove``), as the owner."""
    _run(url, "UPDATE ruxa.instance SET mode = %s", mode)


def move_clock(url: str, offset_s: int) -> None:
    """Moves a simulated instance's SQL clock, as the owner. Raises Conflict ``clock_fixed`` on any other."""
    moved = _run(url, "UPDATE ruxa.clock_offset SET offset_s = %s, moved_at = pg_catalog.clock_timestamp()", offset_s)
    if moved == 0:
        raise Conflict("Only the clock of a directory made with --simulated can be moved.", code="clock_fixed")


def mode(url: str) -> Mode:
    """Demo or live, as the database has it: its word counts on every machine."""
    failure: RuxaError
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute("SELECT mode FROM ruxa.instance").fetchone()
            assert row is not None, "settle comes first"
            return cast(Mode, row[0])
    except psycopg.Error as error:
        failure = fault.of(error)
    raise failure


async def now(work: Work) -> datetime:
    """The database's time, as every room in SQL sees it."""
    moment: datetime = await work.value("SELECT ruxa.now()")
    return moment


async def log_leftovers(work: Work) -> list[str]:
    """Why rows in the clear could stay in the write-ahead log after their day was dropped; empty when they go."""
    found: list[str] = []
    if await work.value("SELECT current_setting('wal_recycle')::boolean"):
        found.append("old segments are recycled (wal_recycle is on)")
    if not await work.value("SELECT has_function_privilege('ruxa_worker', 'pg_catalog.pg_switch_wal()', 'EXECUTE')"):
        found.append("ruxa_worker may not begin a new segment (pg_switch_wal)")
    return found


def offset_s(url: str) -> int:
    """How far a simulated instance's SQL clock is moved, in seconds; 0 on any other."""
    failure: RuxaError
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute("SELECT offset_s FROM ruxa.clock_offset").fetchone()
            return 0 if row is None else int(row[0])
    except psycopg.Error as error:
        failure = fault.of(error)
    raise failure


def _run(url: str, statement: str, *args: object) -> int:
    failure: RuxaError
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            return connection.execute(statement.encode(), args).rowcount
    except psycopg.Error as error:
        failure = fault.of(error)
    raise failure
