"""Who holds keys: every process that opened the vault, by a lease, and up to which change it has dropped its keys.

A key may be called gone only when no memory can use it (D28, F.2). Each process that holds keys has a row: it renews
its lease while it lives, and after each change says up to which one it has dropped. One that was killed or hangs is
waited for until its lease ends; by then whatever it held is older than a key may be held.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from ruxa.kernel import ids
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import RuxaError
from ruxa.store.pool import Pool
from ruxa.store.work import Work

# Of the time a key may be held: how often a lease is renewed, and how much longer than a key it lasts. A key is
# fetched only on a lease renewed within that margin, so it is too old to be used before the lease has ended.
_BEAT: Final = 1 / 12
_MARGIN: Final = 1 / 4
_ASK_S: Final = 0.05

Drop = Callable[[Sequence[bytes]], Awaitable[None]]


class Holder:
    """This process's row. ``drop`` is called with the ids of keys to forget before they are acknowledged; with none,
    everything is to be forgotten. Belongs to one event loop.
    """

    def __init__(self, pool: Pool, name: str, held_s: float, drop: Drop) -> None:
        self.id = ids.fresh()
        self._pool = pool
        self._name = name
        self._lease_s = held_s * (1 + _MARGIN)
        self._beat_s = held_s * _BEAT
        self._margin_s = held_s * _MARGIN
        self._drop = drop
        self._renewed = 0.0
        self._heard = asyncio.Event()
        self._beating = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Registers, before any key is fetched, and begins to renew."""
        await self.beat()
        self._task = asyncio.create_task(self._renew())

    async def close(self) -> None:
        """Ends the lease; whatever was held must be forgotten by now."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        with contextlib.suppress(RuxaError):
            async with self._pool.work() as work:
                await work.run("DELETE FROM keystore.holder WHERE id = %s", self.id)

    def hear(self) -> None:
        """Something changed: acknowledge it soon. Called by whoever listens."""
        self._heard.set()

    async def fresh(self) -> None:
        """Returns once a key may be fetched: the lease was renewed recently enough. Raises Unavailable."""
        if monotonic() - self._renewed > self._margin_s:
            await self.beat()

    async def beat(self) -> None:
        """Renews the lease and acknowledges what changed. Raises Unavailable."""
        async with self._beating:
            begun = monotonic()
            async with self._pool.work() as work:
                row = await work.row(
                    "UPDATE keystore.holder SET alive_until = pg_catalog.clock_timestamp() + %s * interval '1 second'"
                    " WHERE id = %s RETURNING acknowledged, (SELECT coalesce(max(number), 0) FROM keystore.change)",
                    self._lease_s,
                    self.id,
                )
                if row is None:
                    await self._register(work)
            if row is None:
                # New here, or so long unheard of that the row was removed.
                await self._drop(())
            elif row[1] > row[0]:
                await self._acknowledge(*row)
            self._renewed = begun

    async def _register(self, work: Work) -> None:
        await work.run(
            "DELETE FROM keystore.holder WHERE alive_until < pg_catalog.clock_timestamp() - interval '1 day'"
        )
        await work.run(
            "INSERT INTO keystore.holder (id, name, acknowledged, alive_until) SELECT %s, %s, coalesce(max(number), 0),"
            " pg_catalog.clock_timestamp() + %s * interval '1 second' FROM keystore.change",
            self.id,
            self._name,
            self._lease_s,
        )

    async def _acknowledge(self, dropped: int, newest: int) -> None:
        async with self._pool.work() as work:
            rows = await work.rows(
                "SELECT number, key_id FROM keystore.change WHERE number > %s AND number <= %s", dropped, newest
            )
        # Old changes are removed in time; whoever missed some forgets everything.
        await self._drop([row[1] for row in rows] if len(rows) == newest - dropped else ())
        async with self._pool.work() as work:
            await work.run("UPDATE keystore.holder SET acknowledged = %s WHERE id = %s", newest, self.id)

    async def _renew(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._beat_s):
                    await self._heard.wait()
            self._heard.clear()
            # While the database is away nothing is fetched, and what is held grows too old.
            with contextlib.suppress(RuxaError):
                await self.beat()


async def acknowledged(pool: Pool, number: int, timeout_s: float) -> bool:
    """Whether every living holder has dropped what changed up to ``number``, waiting at most ``timeout_s``."""
    until = monotonic() + timeout_s
    while True:
        if not await behind(pool, number):
            return True
        if monotonic() >= until:
            return False
        await asyncio.sleep(_ASK_S)


async def behind(pool: Pool, number: int) -> list[str]:
    """The names of the living holders that have not."""
    async with pool.work() as work:
        rows = await work.rows(
            "SELECT name FROM keystore.holder WHERE acknowledged < %s AND alive_until > pg_catalog.clock_timestamp()"
            " ORDER BY name",
            number,
        )
    return [row[0] for row in rows]
