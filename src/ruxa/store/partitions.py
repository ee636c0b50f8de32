"""Day partitions by bounds of UUIDv7 ids or dates: made ahead, listed, dropped; a day is gone in milliseconds.

The functions in the database do the work, so the worker's login needs no right to create or drop anything itself.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Final

import msgspec

from ruxa.store.work import Work

DAYS_AHEAD: Final = 7
# A call that began before midnight is booked after it.
DAYS_BEHIND: Final = 1
_NAME = re.compile(r".+_(\d{8})")


class Partition(msgspec.Struct, frozen=True):
    """One day of a table: its name and the UTC day it holds."""

    name: str
    day: date


async def ensure(work: Work, table: str, *, days_ahead: int = DAYS_AHEAD, days_behind: int = DAYS_BEHIND) -> int:
    """Makes the partitions of yesterday to ``days_ahead`` days ahead, by ``ruxa.now()``; how many were missing.

    days_behind: -1 where a table's first day is tomorrow.
    """
    today: date = await work.value("SELECT ruxa.today()")
    made = 0
    for offset in range(-days_behind, days_ahead + 1):
        made += await work.value(
            "SELECT ruxa.partition_create(%s::regclass, %s)::int", table, today + timedelta(days=offset)
        )
    return made


async def present(work: Work, table: str) -> list[Partition]:
    """The table's day partitions, oldest first."""
    rows = await work.rows(
        "SELECT n.nspname || '.' || c.relname, c.relname FROM pg_inherits i"
        " JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE i.inhparent = %s::regclass ORDER BY 2",
        table,
    )
    return [
        Partition(str(full), datetime.strptime(match[1], "%Y%m%d").date())  # noqa: DTZ007 - a day has no zone
        for full, name in rows
        if (match := _NAME.fullmatch(name))
    ]


async def drop(work: Work, table: str, day: date) -> bool:
    """Drops one day; False when it is not there."""
    return bool(await work.value("SELECT ruxa.partition_drop(%s::regclass, %s)", table, day))


async def drop_before(work: Work, table: str, day: date) -> list[Partition]:
    """Drops every day older than ``day``; which ones."""
    gone = [partition for partition in await present(work, table) if partition.day < day]
    for partition in gone:
        await drop(work, table, partition.day)
    return gone
