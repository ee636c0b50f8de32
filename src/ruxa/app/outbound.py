"""Writes down what a process sent, every few seconds and at its end: declared recipients at the start, then counts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AsyncExitStack

from ruxa.egress.recipient import Register
from ruxa.kernel.errors import RuxaError
from ruxa.privacy.outbound import register as outbound
from ruxa.store.pool import Pool

EVERY_S = 5.0


def watch(register: Register, pool: Pool, stack: AsyncExitStack, *, collect: Callable[[], None] = lambda: None) -> None:
    """Declare what the register holds; from now until the stack closes, its tally goes to the database.

    ``collect`` puts into the tally what is counted elsewhere. While the database is away the tally waits.
    """
    running = asyncio.ensure_future(_run(register, pool, collect))

    async def end() -> None:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await _write(register, pool, collect)

    stack.push_async_callback(end)


async def _run(register: Register, pool: Pool, collect: Callable[[], None]) -> None:
    declared = False
    while True:
        declared = declared or await _declare(register, pool)
        await asyncio.sleep(EVERY_S)
        await _write(register, pool, collect)


async def _declare(register: Register, pool: Pool) -> bool:
    try:
        async with pool.work() as work:
            await outbound.declare(work, register)
    except RuxaError:
        return False
    return True


async def _write(register: Register, pool: Pool, collect: Callable[[], None]) -> None:
    collect()
    lines = register.tally.take()
    if not lines:
        return
    try:
        async with pool.work() as work:
            await outbound.count(work, lines)
    except RuxaError:
        register.tally.put_back(lines)
