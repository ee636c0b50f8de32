"""The watch: whether the clock by which things are destroyed can be believed (D35).

Destruction cannot be taken back, so it needs more than the database's word for what day it is. What is believed is an
anchor: at this much uptime of this machine it was that time. Uptime cannot be set, and goes on while a machine sleeps;
so a clock that is more than five minutes off the anchor has jumped, whoever moved it. After a restart of the machine
only what came before is known: a clock that is behind it, or more than seven days ahead, is not believed either.

While the clock is not believed nothing is destroyed by age, until it is back where it should be, or somebody
acknowledges that it is right. A simulated instance's announced moves are not part of what is compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from ruxa.kernel import bounds
from ruxa.kernel.clock import Clock, uptime_ms
from ruxa.privacy.retention import records
from ruxa.privacy.retention.records import Anchor
from ruxa.store.work import Work

JUMP_MS: Final = 5 * 60 * 1000
# A sound clock is steered by less than a thousandth; more than that adds up to a jump.
STEERED: Final = 1000
AWAY_MS: Final = bounds.EPOCH_DAYS * 24 * 3600 * 1000

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Three clocks at one moment: the database's, this process's (both unmoved), and the machine's uptime."""

    database_ms: int
    wall_ms: int
    uptime_ms: int
    boot: str


async def read(work: Work, clock: Clock) -> Reading:
    """The clocks now."""
    database_ms = await records.clocks(work)
    return Reading(
        database_ms=database_ms,
        wall_ms=clock.unix_ms() - clock.offset_s * 1000,
        uptime_ms=uptime_ms(),
        boot=_BOOT.read_text().strip() if _BOOT.exists() else "",
    )


def jump_ms(anchor: Anchor | None, reading: Reading) -> int | None:
    """How far the clock is from where it should be, when that is too far; None when it is believed."""
    if abs(reading.wall_ms - reading.database_ms) > JUMP_MS:
        return reading.database_ms - reading.wall_ms
    if anchor is None:
        return None
    if _same_uptime(anchor, reading):
        elapsed = reading.uptime_ms - anchor.uptime_ms
        off = reading.database_ms - anchor.database_ms - elapsed
        return off if abs(off) > JUMP_MS + elapsed // STEERED else None
    gap = reading.database_ms - anchor.seen_ms
    return gap if not -JUMP_MS <= gap <= AWAY_MS else None


async def check(work: Work, reading: Reading) -> int | None:
    """Compares, and writes down what is believed from now on; how far the clock jumped, None when it is believed."""
    anchor = await records.anchor(work)
    jump = jump_ms(anchor, reading)
    if jump is not None:
        if anchor is None:
            # Never believed at all: the first word is the process's own.
            await records.put_anchor(work, reading.boot, reading.uptime_ms, reading.wall_ms, reading.wall_ms)
        await records.pause(work, jump)
        return jump
    if anchor is not None and _same_uptime(anchor, reading):
        # The anchor itself stays, so that many small steps are one large one.
        await records.put_anchor(
            work, anchor.boot, anchor.uptime_ms, anchor.database_ms, max(reading.database_ms, anchor.seen_ms)
        )
    else:
        await records.put_anchor(work, reading.boot, reading.uptime_ms, reading.database_ms, reading.database_ms)
    return None


async def acknowledge(work: Work, reading: Reading) -> None:
    """Somebody says that the database's clock is right: it is believed from now on."""
    await records.put_anchor(work, reading.boot, reading.uptime_ms, reading.database_ms, reading.database_ms)


def _same_uptime(anchor: Anchor, reading: Reading) -> bool:
    return bool(reading.boot) and anchor.boot == reading.boot and reading.uptime_ms >= anchor.uptime_ms
