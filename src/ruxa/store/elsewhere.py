"""The live check that keys are nowhere but in the keystore (D28): every other bytea column is tried as a possible key.

Three ways in which a key could lie elsewhere: a living key's 32 bytes inside a value, a copy of a wrapped key (its
envelope names the epoch), or a value of 32 bytes that opens wrapped keys as an epoch's key would.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import psycopg
from psycopg import sql

from ruxa.kernel import crypto
from ruxa.kernel.errors import Broken
from ruxa.store.work import Work

VALUES_MAX: Final = 5_000
_BYTES_MAX: Final = 4_096

_COLUMNS: Final = """
    SELECT n.nspname, c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND a.atttypid = 'bytea'::regtype AND a.attnum > 0
        AND NOT a.attisdropped AND n.nspname NOT IN ('keystore', 'pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_'
    ORDER BY 1, 2, 3
"""


class Elsewhere(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at, and the columns in which a key lies that should not: ``schema.table.column``, how."""

    columns: int
    values: int
    found: tuple[tuple[str, str], ...]


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """The living keys. ``wrapped``: of each epoch a few envelopes and what they are bound to. Never kept or shown."""

    secrets: frozenset[bytes]
    wrapped: Mapping[bytes, list[tuple[bytes, bytes]]]


async def look(work: Work, known: Known, values_max: int = VALUES_MAX) -> Elsewhere:
    """Tries every bytea column that ``work`` (the owner's) can read, at most ``values_max`` values of each."""
    found: list[tuple[str, str]] = []
    columns = values = 0
    for schema, table, column in await work.rows(_COLUMNS):
        columns += 1
        statement = sql.SQL("SELECT {0} FROM {1}.{2} WHERE octet_length({0}) BETWEEN 32 AND {3} LIMIT {4}").format(
            sql.Identifier(column), sql.Identifier(schema), sql.Identifier(table), _BYTES_MAX, values_max
        )
        cursor: psycopg.AsyncCursor[tuple[bytes]] = await work.connection.execute(statement)  # type: ignore[assignment]
        rows = await cursor.fetchall()
        values += len(rows)
        how = next((how for (value,) in rows if (how := _key_in(value, known)) is not None), None)
        if how is not None:
            found.append((f"{schema}.{table}.{column}", how))
    return Elsewhere(columns=columns, values=values, found=tuple(found))


def _key_in(value: bytes, known: Known) -> str | None:
    """How a value holds a key; None when it holds none."""
    if any(value[at : at + crypto.KEY_BYTES] in known.secrets for at in range(len(value) - crypto.KEY_BYTES + 1)):
        return "a living key in the clear"
    for epoch, wrapped in known.wrapped.items():
        if b"\x01\x01" + epoch in value:
            return "a wrapped key"
        if len(value) == crypto.KEY_BYTES and any(_opens(value, one) for one in wrapped):
            return "the key of an epoch"
    return None


def _opens(key: bytes, wrapped: tuple[bytes, bytes]) -> bool:
    try:
        crypto.unseal(key, *wrapped)
    except Broken:
        return False
    return True
