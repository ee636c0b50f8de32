"""The sweep: deadlines come in the first sweep after them, and one thing may drop another."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ruxa.egress.timers import NEVER, Wheel
from wire_parts import until


@dataclass(eq=False)
class Thing:
    wheel: Wheel
    due: float = NEVER
    expired: list[float] = field(default_factory=list)
    also: Thing | None = None

    def expire(self) -> None:
        self.expired.append(self.wheel.now)
        self.due = NEVER
        if self.also is not None:
            self.wheel.drop(self.also)


async def test_deadlines_come_once_and_not_early() -> None:
    wheel = Wheel(tick_s=0.02)
    wheel.start()
    wheel.start()
    soon, never, moved = Thing(wheel), Thing(wheel), Thing(wheel)
    for thing in (soon, never, moved):
        wheel.watch(thing)
    begun = wheel.now
    soon.due = begun + 0.05
    moved.due = begun + 0.05
    await asyncio.sleep(0.03)
    moved.due = begun + 0.2
    await until(lambda: soon.expired)
    assert begun + 0.05 <= soon.expired[0] < begun + 1
    assert not moved.expired
    await until(lambda: moved.expired)
    assert moved.expired[0] >= begun + 0.2
    assert len(soon.expired) == 1
    assert not never.expired
    assert len(wheel) == 3
    wheel.stop()
    assert len(wheel) == 0


async def test_a_thing_may_drop_itself_and_others_while_sweeping() -> None:
    wheel = Wheel(tick_s=0.02)
    wheel.start()
    first, second = Thing(wheel), Thing(wheel)
    first.also = first
    second.also = first
    for thing in (first, second):
        wheel.watch(thing)
        thing.due = 0.0
    await until(lambda: second.expired)
    assert len(wheel) == 1
    wheel.stop()


async def test_a_stopped_wheel_calls_nobody() -> None:
    wheel = Wheel(tick_s=0.01)
    wheel.start()
    thing = Thing(wheel, due=0.0)
    wheel.watch(thing)
    wheel.stop()
    await asyncio.sleep(0.05)
    assert not thing.expired
