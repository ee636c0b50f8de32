"""Work: one unit of work = one transaction; statements with ``%s`` parameters, rows as tuples."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Iterable, Sequence
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from ruxa.kernel.errors import RuxaError
from ruxa.store import fault

Row = tuple[Any, ...]
T = TypeVar("T")


class Work:
    """One transaction of one principal. Made by ``Pool.work``; commit and rollback are the pool's.

    Every method raises the errors of ``fault.of``: Conflict, Unavailable or Broken, none of them with a value.
    After an error the transaction is lost; ``savepoint`` bounds that.
    """

    __slots__ = ("connection", "principal")

    def __init__(self, connection: psycopg.AsyncConnection[Row], principal: str) -> None:
        self.connection = connection
        self.principal = principal

    async def rows(self, sql: LiteralString, *args: object) -> list[Row]:
        """All rows."""
        return await _seam(self._rows(sql, args))

    async def row(self, sql: LiteralString, *args: object) -> Row | None:
        """The first row, or None."""
        return await _seam(self._row(sql, args))

    async def value(self, sql: LiteralString, *args: object) -> Any:
        """The first column of the first row, or None."""
        row = await _seam(self._row(sql, args))
        return None if row is None else row[0]

    async def run(self, sql: LiteralString, *args: object) -> int:
        """Executes; the number of rows it touched."""
        return await _seam(self._run(sql, args))

    async def many(self, sql: LiteralString, rows: Iterable[Sequence[object]]) -> None:
        """Executes once a row, pipelined."""
        await _seam(self._many(sql, rows))

    async def copy(self, sql: LiteralString, types: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """``COPY ... FROM STDIN (FORMAT BINARY)`` of rows whose columns have these PostgreSQL types."""
        await _seam(self._copy(sql, types, rows))

    async def copy_bytes(self, sql: LiteralString, data: bytes) -> None:
        """``COPY ... FROM STDIN`` of ready bytes, in whichever format the statement names."""
        await _seam(self._copy_bytes(sql, data))

    @contextlib.asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None, None]:
        """What fails inside is undone alone, and the transaction goes on."""
        await _seam(self._run("SAVEPOINT work", ()))
        try:
            yield
        except BaseException:
            if self.connection.info.transaction_status != TransactionStatus.UNKNOWN:
                await _seam(self._run("ROLLBACK TO SAVEPOINT work", ()))
            raise
        await _seam(self._run("RELEASE SAVEPOINT work", ()))

    async def _rows(self, sql: LiteralString, args: Sequence[object]) -> list[Row]:
        cursor = await self.connection.execute(sql, args or None)
        return await cursor.fetchall()

    async def _row(self, sql: LiteralString, args: Sequence[object]) -> Row | None:
        cursor = await self.connection.execute(sql, args or None)
        return await cursor.fetchone()

    async def _run(self, sql: LiteralString, args: Sequence[object]) -> int:
        cursor = await self.connection.execute(sql, args or None)
        return cursor.rowcount

    async def _many(self, sql: LiteralString, rows: Iterable[Sequence[object]]) -> None:
        async with self.connection.cursor() as cursor:
            await cursor.executemany(sql, rows)

    async def _copy(self, sql: LiteralString, types: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        async with self.connection.cursor() as cursor, cursor.copy(sql) as copy:
            copy.set_types(types)
            for row in rows:
                await copy.write_row(row)

    async def _copy_bytes(self, sql: LiteralString, data: bytes) -> None:
        async with self.connection.cursor() as cursor, cursor.copy(sql) as copy:
            await copy.write(data)


async def _seam(action: Awaitable[T]) -> T:
    failure: RuxaError
    try:
        return await action
    except psycopg.Error as error:
        failure = fault.of(error)
    raise failure
