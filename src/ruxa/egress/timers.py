"""One coarse clock for every network deadline of a process: a sweep each tick instead of a timer per call.

A deadline costs one attribute: whatever has a ``due`` time is watched, and ``expire`` is called in the first sweep
after it. ``now`` is the loop's time at the last sweep, so a deadline may come up to one tick late, never early by
more than a tick. Never used for wall time.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

NEVER = float("inf")
TICK_S = 0.25


class Watched(Protocol):
    """Something with a deadline: ``due`` in the loop's seconds, ``NEVER`` when none runs."""

    due: float

    def expire(self) -> None:
        """The deadline has passed; ``due`` must be moved or the thing dropped."""
        ...


class Wheel:
    """The sweep. ``now`` is good enough for setting deadlines: ``thing.due = wheel.now + seconds``."""

    __slots__ = ("_loop", "_next", "_things", "now", "tick_s")

    def __init__(self, *, tick_s: float = TICK_S) -> None:
        self.tick_s = tick_s
        self.now = 0.0
        self._things: set[Watched] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to sweep on the running loop; starting twice is harmless."""
        if self._next is None:
            self._loop = asyncio.get_running_loop()
            self.now = self._loop.time()
            self._next = self._loop.call_later(self.tick_s, self._sweep)

    def stop(self) -> None:
        """End the sweep and forget everything watched."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._things.clear()

    def watch(self, thing: Watched) -> None:
        """Look at ``thing.due`` in every sweep from now on."""
        self._things.add(thing)

    def drop(self, thing: Watched) -> None:
        """Stop looking; a thing that is not watched is fine."""
        self._things.discard(thing)

    def __len__(self) -> int:
        return len(self._things)

    def _sweep(self) -> None:
        loop = self._loop
        if loop is None or self._next is None:
            return
        self._next = loop.call_later(self.tick_s, self._sweep)
        now = self.now = loop.time()
        for thing in [thing for thing in self._things if thing.due <= now]:
            thing.expire()
