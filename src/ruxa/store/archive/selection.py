"""Which table's rows go where in a logical backup: decided by the data map, so that a new table is covered when born.

A logical backup lives 35 days. Rows that must be gone sooner than that after their own end are not in it (sessions,
links, mail, counters), or, when their table has day partitions and a day's key, each day is an object of its own that
dies with that key (D30). Keys are never in it (X16); neither is the queue of jobs, whose schedule makes itself anew.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Final, LiteralString

import msgspec

from ruxa.kernel.datamap import KEEPS
from ruxa.store.inventory import Column

# Rows whose own limit is as long as a backup's life, or longer by its nature, stay in the dump.
_LONG: Final = frozenset({"account", "transactions", "support", "consent", "audit", "hold", "instance"})
assert KEEPS.keys() >= _LONG, "words of the data map"

# Proofs of what was booked: a call would be booked again, or be missed by the proofs, where they are not restored. The
# ids that live shorter in them are there only until a segment ends.
_PROOFS: Final = frozenset({"ledger.journal_segment"})

# Left out whole: keys travel apart (D29); the queue's periodic jobs are put in again by the worker.
LEFT_OUT_SCHEMAS: Final = ("keystore", "jobs")

_PARTITION = re.compile(r"(.+)_(\d{8})")

# (schema, root, partition, columns in order); the columns of the root, by name.
PARTITIONS: LiteralString = """
    SELECT n.nspname, r.relname, c.relname,
        (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    JOIN pg_class r ON r.oid = i.inhparent
    JOIN pg_namespace n ON n.oid = r.relnamespace
    WHERE c.relispartition AND c.relkind = 'r'
    ORDER BY 1, 2, 3
"""

# What a row that points to a row which is not restored becomes: (referenced table, statement run before the keys).
LETTING_GO: Final[tuple[tuple[str, LiteralString], ...]] = (
    (
        "access.session",
        "UPDATE access.key SET session_id = NULL, revoked_at = coalesce(revoked_at, created_at)"
        " WHERE session_id IS NOT NULL",
    ),
)


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """One day partition that is an object of its own."""

    table: str
    partition: str
    columns: tuple[str, ...]
    day: date
    key_class: str


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """days: objects of their own; without_rows: pg_dump patterns of tables whose rows stay out of the dump;
    left_out: tables whose rows are in no part of the backup."""

    days: tuple[Day, ...]
    without_rows: tuple[str, ...]
    left_out: tuple[str, ...]


def select(
    columns: Sequence[Column],
    partitions: Sequence[tuple[str, str, str, Sequence[str]]],
    roots: Collection[str],
    unlogged: Collection[str],
    day_classes: Collection[str],
) -> Selection:
    """Sorts every table. roots: ``schema.table`` of partitioned tables; unlogged: those that no backup takes."""
    keeps: dict[str, set[str]] = {}
    for column in columns:
        found = keeps.setdefault(f"{column.schema}.{column.table}", set())
        if column.declaration is not None:
            found.add(column.declaration.keep)
    by_day = {
        root: next(iter(keeps[root]))
        for root in sorted(roots)
        if len(keeps.get(root, ())) == 1 and keeps[root] <= set(day_classes)
    }
    days = [
        Day(table=f"{schema}.{root}", partition=partition, columns=tuple(names), day=day, key_class=by_day[table])
        for schema, root, partition, names in partitions
        if (table := f"{schema}.{root}") in by_day and (day := _day_of(partition)) is not None
    ]
    left_out = [
        table
        for table, words in sorted(keeps.items())
        if table.partition(".")[0] in LEFT_OUT_SCHEMAS
        or table in unlogged
        or (table not in by_day and table not in _PROOFS and words and not words & _LONG)
    ]
    without: list[str] = []
    for table in left_out:
        if table.partition(".")[0] not in LEFT_OUT_SCHEMAS:
            without.append(_pattern(table))
            if table in roots:
                without.append(_pattern(table) + "_*")
    without += [_pattern(schema) + ".*" for schema in LEFT_OUT_SCHEMAS]
    # By pattern: a partition made between our look and pg_dump's is left out too.
    without += [_pattern(table) + "_????????" for table in by_day]
    return Selection(days=tuple(days), without_rows=tuple(without), left_out=tuple(left_out))


def _day_of(partition: str) -> date | None:
    match = _PARTITION.fullmatch(partition)
    if match is None:
        return None
    try:
        return datetime.strptime(match[2], "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return None


def _pattern(name: str) -> str:
    return ".".join(f'"{part}"' for part in name.split("."))
