"""Notices: one connection that hears what other processes tell through PostgreSQL (LISTEN, NOTIFY).

Told in the same transaction as the change (``pg_notify`` in a Work). What is said while the connection is down is
lost: ``on_gap`` is called when it is back, and whoever must not miss anything looks then, and polls besides.
While nothing is told nothing runs: the loop says when the socket has something (psycopg would look ten times a second).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Literal

import psycopg
from psycopg import sql

from ruxa.kernel.errors import RuxaError
from ruxa.store import fault

Channel = Literal["key_revoked", "key_destroyed", "price_changed", "lease_recall", "usage_flushed", "payment_hint"]
Callback = Callable[[str], None]
Gap = Callable[[], None]

_RETRY_S = (0.05, 0.1, 0.25, 0.5, 1.0)
_ALIVE_S = 30.0


class Notices:
    """Hears channels on one login's connection, and reconnects for ever until closed. Belongs to one event loop."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._callbacks: dict[str, list[Callback]] = {}
        self._gaps: list[Gap] = []
        self._task: asyncio.Task[None] | None = None
        self._connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None
        self._changed = asyncio.Event()
        self._heard: set[str] = set()
        self._settled = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether what is told now would be heard."""
        return self._settled.is_set()

    def listen(self, channel: Channel, callback: Callback, on_gap: Gap | None = None) -> None:
        """Calls ``callback(payload)`` for each notice from when ``settled`` returns. Callbacks are quick and sync."""
        self._callbacks.setdefault(channel, []).append(callback)
        if on_gap is not None:
            self._gaps.append(on_gap)
        if channel not in self._heard:
            self._settled.clear()
            self._changed.set()

    async def open(self) -> None:
        """Connects and hears. Raises Unavailable when the database is away."""
        failure: RuxaError | None = None
        try:
            await self._connect()
        except psycopg.Error as error:
            failure = fault.of(error)
        if failure is not None:
            raise failure
        self._task = asyncio.create_task(self._hear())

    async def settled(self) -> None:
        """Waits until every channel is heard."""
        await self._settled.wait()

    async def close(self) -> None:
        """Hears no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _connect(self) -> None:
        self._heard.clear()
        self._connection = await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=5, application_name="ruxa notices"
        )
        self._connection.add_notify_handler(self._tell)
        await self._subscribe()

    async def _subscribe(self) -> None:
        assert self._connection is not None
        self._changed.clear()
        for channel in self._callbacks.keys() - self._heard:
            await self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            self._heard.add(channel)
        if not self._changed.is_set():
            self._settled.set()

    async def _hear(self) -> None:
        while True:
            try:
                await self._hear_once()
            except psycopg.Error:
                self._settled.clear()
                await self._reconnect()

    async def _hear_once(self) -> None:
        """Passes notices on until a channel is added."""
        assert self._connection is not None
        await self._subscribe()
        reading = asyncio.ensure_future(self._read())
        changing = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({reading, changing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, changing):
                if not task.done():
                    task.cancel()
            await asyncio.gather(reading, changing, return_exceptions=True)
        if reading.done() and not reading.cancelled():
            reading.result()

    async def _read(self) -> None:
        assert self._connection is not None
        while True:
            if not await arrived(self._connection, _ALIVE_S):
                # A connection that a firewall cut in silence is noticed by asking.
                await self._connection.execute("")

    def _tell(self, notice: psycopg.Notify) -> None:
        # By call_soon: a callback that raises is the loop's to report, and the hub goes on hearing.
        call_soon = asyncio.get_running_loop().call_soon
        for callback in self._callbacks.get(notice.channel, ()):
            call_soon(callback, notice.payload)

    async def _reconnect(self) -> None:
        attempt = 0
        while True:
            if self._connection is not None:
                await self._connection.close()
            try:
                await self._connect()
            except psycopg.Error:
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1
            else:
                for gap in self._gaps:
                    gap()
                return


async def arrived(connection: psycopg.AsyncConnection[Any], within_s: float) -> bool:
    """Hands what the server has told to the connection's notify handlers, once something came; False when nothing did.

    Nothing else may run on the connection meanwhile. Raises psycopg.OperationalError when the server is gone.
    """
    loop = asyncio.get_running_loop()
    come: asyncio.Future[bool] = loop.create_future()

    def tell(something: bool) -> None:
        if not come.done():
            come.set_result(something)

    descriptor = connection.fileno()
    loop.add_reader(descriptor, tell, True)
    timer = loop.call_later(within_s, tell, False)
    try:
        if not await come:
            return False
    finally:
        timer.cancel()
        loop.remove_reader(descriptor)
    server = connection.pgconn
    server.consume_input()
    while (notice := server.notifies()) is not None:
        if server.notify_handler is not None:
            server.notify_handler(notice)
    return True
