"""Pace: how fast one person or key may fill the audit log. What is written costs room for years.

A bucket for each principal in this process's memory: full at first, refilled steadily. Nothing of it is stored.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from uuid import UUID

import msgspec

from ruxa.kernel import bounds
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import Limited


class Rate(msgspec.Struct, frozen=True):
    """``burst`` at once, then one every ``every_s`` seconds."""

    name: str
    burst: int
    every_s: float


ACTS: Final = Rate("acts", bounds.ACTS_BURST, 60 / bounds.ACTS_PER_MINUTE)
ACKNOWLEDGEMENTS: Final = Rate(
    "acknowledgements", bounds.ACKNOWLEDGEMENTS_BURST, 3600 / bounds.ACKNOWLEDGEMENTS_PER_HOUR
)


class Pace:
    """Buckets of one process."""

    def __init__(self, now: Callable[[], float] = monotonic, kept: int = bounds.KEY_CACHE_MAX) -> None:
        self._now = now
        self._kept = kept
        self._buckets: OrderedDict[tuple[str, UUID | None], tuple[float, float]] = OrderedDict()

    def take(self, rate: Rate, who: UUID | None) -> None:
        """One act of ``who`` (None: whoever has no id, together). Raises Limited ``acts_too_many``."""
        now = self._now()
        left, at = self._buckets.pop((rate.name, who), (float(rate.burst), now))
        left = min(float(rate.burst), left + (now - at) / rate.every_s)
        taken = left >= 1
        self._buckets[rate.name, who] = (left - taken, now)
        if len(self._buckets) > self._kept:
            self._buckets.popitem(last=False)
        if not taken:
            raise Limited(
                "Too many acts that are written to the audit log; wait a little.",
                code="acts_too_many",
                retry_after_s=max(1, round((1 - left) * rate.every_s)),
            )
