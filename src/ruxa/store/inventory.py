"""The data map as the live schema declares it: every column, its declaration, or what is wrong with it (F.1)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import LiteralString

import msgspec

from ruxa.kernel import datamap
from ruxa.kernel.datamap import Declaration
from ruxa.store.work import Row, Work

# Tables, partitioned roots (a partition inherits its root's declarations), materialized views, foreign tables; all
# that the migrations' owner owns, and all that anybody put into a schema of theirs.
COLUMNS: LiteralString = """
    SELECT n.nspname, c.relname, a.attname, a.atttypid::regtype::text, c.relkind::text, col_description(c.oid, a.attnum)
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
        AND a.attnum > 0 AND NOT a.attisdropped
        AND 'ruxa_owner'::regrole IN (c.relowner, n.nspowner)
    ORDER BY 1, 2, a.attnum
"""


# Those that can be sealed: envelopes are bytes.
_SEALABLE: LiteralString = COLUMNS.replace("NOT a.attisdropped", "NOT a.attisdropped AND a.atttypid = 'bytea'::regtype")


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column: ``problem`` is set when its declaration is missing or wrong; no declaration and no problem: none."""

    schema: str
    table: str
    column: str
    type: str
    declaration: Declaration | None
    problem: str | None

    @property
    def name(self) -> str:
        """``schema.table.column``, as the vault and the reports call it."""
        return f"{self.schema}.{self.table}.{self.column}"


def columns(rows: Iterable[Row]) -> list[Column]:
    """What the rows of ``COLUMNS`` say."""
    return [_column(*row) for row in rows]


async def read(work: Work) -> list[Column]:
    """The data map of the database."""
    return columns(await work.rows(COLUMNS))


async def sealable(work: Work) -> list[Column]:
    """The part of the data map that can be sealed."""
    return columns(await work.rows(_SEALABLE))


def undeclared(found: Iterable[Column]) -> list[Column]:
    """The columns that hold up a migration and turn ``doctor`` red."""
    return [column for column in found if column.problem is not None]


@cache
def _column(schema: str, table: str, column: str, type_name: str, _kind: str, comment: str | None) -> Column:
    declaration: Declaration | None = None
    problem: str | None = None
    try:
        declaration = datamap.parse(comment)
    except datamap.Undeclared as error:
        problem = str(error)
    if declaration is not None and declaration.seal not in ("none", "hash") and type_name != "bytea":
        problem = f"seal={declaration.seal} needs type bytea, not {type_name}"
    return Column(schema=schema, table=table, column=column, type=type_name, declaration=declaration, problem=problem)
