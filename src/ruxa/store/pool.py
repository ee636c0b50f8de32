"""Pool: the connections of one login; ``work()`` lends one for one transaction.

A small pool of our own and not psycopg_pool's: that one reconnects in the background with growing pauses, so callers
wait for a database that is back already; here a caller connects for itself, learns at once that the database is away,
and the first call after its return works.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from ruxa.kernel.clock import Clock, monotonic
from ruxa.kernel.errors import RuxaError, Unavailable
from ruxa.store import fault
from ruxa.store.logins import Login
from ruxa.store.work import Row, Work

CONNECT_TIMEOUT_S = 5
WAIT_TIMEOUT_S = 5.0
CONNECTION_LIFE_S = 3600.0

Connection = psycopg.AsyncConnection[Row]


class Pool:
    """Connections of one login. Belongs to one event loop.

    niceness: how far the server's processes behind these connections step back for others, where that is possible.
    keep: whether a connection that comes back waits for the next work; else it is closed.
    """

    def __init__(
        self, url: str, *, login: Login, max_size: int, clock: Clock, niceness: int = 0, keep: bool = True
    ) -> None:
        self.url = url
        self.login: Login = login
        self.clock = clock
        self.niceness = niceness
        self.keep = keep
        self._idle: list[tuple[Connection, float]] = []
        self._slots = asyncio.Semaphore(max_size)
        self._closed = False

    @classmethod
    async def open(
        cls, url: str, *, login: Login, min_size: int = 1, max_size: int = 8, clock: Clock, niceness: int = 0
    ) -> Pool:
        """A pool with ``min_size`` connections made. Raises Unavailable when the database is away."""
        pool = cls(url, login=login, max_size=max_size, clock=clock, niceness=niceness)
        try:
            for _ in range(min_size):
                pool._idle.append((await pool._connect(), monotonic() + CONNECTION_LIFE_S))
        except RuxaError:
            await pool.close()
            raise
        return pool

    @classmethod
    def on_demand(cls, url: str, *, login: Login, clock: Clock, max_size: int = 2) -> Pool:
        """For what is rarely done: no connection but while a work is under way, so there is nothing to close."""
        return cls(url, login=login, max_size=max_size, clock=clock, keep=False)

    async def close(self) -> None:
        """Closes the idle connections now and those at work when they come back."""
        self._closed = True
        while self._idle:
            await self._idle.pop()[0].close()

    @contextlib.asynccontextmanager
    async def work(self, principal: str = "system") -> AsyncGenerator[Work, None]:
        """One transaction: committed on exit, rolled back when the body raises or is cancelled.

        Raises Unavailable ``database_away`` when no connection can be made, ``database_busy`` when all stay in use.
        """
        try:
            async with asyncio.timeout(WAIT_TIMEOUT_S):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable("The database is busy; try again.", code="database_busy", retry_after_s=1) from None
        try:
            connection, ends = await self._take()
            try:
                yield Work(connection, principal)
                await _commit(connection)
            finally:
                await self._give_back(connection, ends)
        finally:
            self._slots.release()

    async def _take(self) -> tuple[Connection, float]:
        if self._closed:
            raise Unavailable("The store is closed.", code="database_away")
        while self._idle:
            connection, ends = self._idle.pop()
            if monotonic() < ends and not has_news(connection):
                return connection, ends
            await connection.close()
        return await self._connect(), monotonic() + CONNECTION_LIFE_S

    async def _give_back(self, connection: Connection, ends: float) -> None:
        """Keeps a healthy connection; whatever is still open in it is rolled back."""
        try:
            if connection.info.transaction_status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN):
                await connection.rollback()
        except psycopg.Error:
            await connection.close()
        except asyncio.CancelledError:
            await connection.close()
            raise
        if (
            not self.keep
            or self._closed
            or connection.closed
            or connection.info.transaction_status != TransactionStatus.IDLE
        ):
            await connection.close()
        else:
            self._idle.append((connection, ends))

    async def _connect(self) -> Connection:
        failure: RuxaError
        try:
            connection = await psycopg.AsyncConnection.connect(
                self.url, connect_timeout=CONNECT_TIMEOUT_S, application_name=self.login, prepare_threshold=3
            )
        except psycopg.Error as error:
            failure = fault.of(error)
        else:
            if self.niceness:
                _step_back(connection, self.login, self.niceness)
            return connection
        raise failure


def _step_back(connection: Connection, login: Login, niceness: int) -> None:
    """The server's process for a connection steps back, when it runs on this machine and may be told to.

    By a unix socket it does; its title shows that the number is that process's here, and not in another container.
    """
    if not connection.info.host.startswith("/"):
        return
    pid = connection.info.backend_pid
    with contextlib.suppress(OSError):
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(f"postgres: {login} ".encode()):
            os.setpriority(os.PRIO_PROCESS, pid, niceness)


def has_news(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether an idle connection's socket has something to read: the server said goodbye or broke off."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


async def _commit(connection: Connection) -> None:
    failure: RuxaError
    try:
        await connection.commit()
    except psycopg.Error as error:
        failure = fault.of(error)
    else:
        return
    raise failure
