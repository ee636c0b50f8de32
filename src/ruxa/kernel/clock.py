"""The one clock: the only place that reads wall time (decision D35).

In live mode it is the machine's clock; a directory made with ``--simulated`` adds ``offset_s``. Durations come from
``monotonic``, never from wall time.
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta

monotonic = time.monotonic


def uptime_ms() -> int:
    """Milliseconds since the machine started, also those it slept: nobody can set this clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Clock:
    """Wall time with an announced offset in seconds (0 unless the data directory is simulated)."""

    __slots__ = ("offset_s",)

    def __init__(self, offset_s: int = 0) -> None:
        self.offset_s = offset_s

    def now(self) -> datetime:
        """Now, UTC, aware."""
        return datetime.now(UTC) + timedelta(seconds=self.offset_s)

    def unix_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return time.time_ns() // 1_000_000 + self.offset_s * 1000

    def today(self) -> date:
        """The UTC day."""
        return self.now().date()
