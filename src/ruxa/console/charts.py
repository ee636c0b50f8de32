"""Time series for uPlot, and the same numbers as rows of the table that stands beside each chart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

Period = Literal["day", "week", "month"]
PERIODS: tuple[Period, ...] = ("day", "week", "month")

# period -> (number of buckets, seconds in one)
_SHAPES: dict[Period, tuple[int, int]] = {"day": (24, 3600), "week": (7 * 4, 6 * 3600), "month": (30, 86_400)}


class Series(msgspec.Struct, frozen=True):
    """One line or bar set: its label, its unit and a value (or None) for each bucket."""

    label: str
    unit: str
    values: list[int | None]
    kind: Literal["bar", "line"] = "line"


class Chart(msgspec.Struct, frozen=True):
    """What a chart element carries as JSON: bucket starts in unix seconds, bucket length, series.

    Values are divided by ``scale`` where it is not 0 and shown with ``places`` decimals.
    """

    starts: list[int]
    step_s: int
    series: list[Series]
    time: str = ""
    scale: int = 0
    places: int = 0


def buckets(period: Period, now: datetime) -> tuple[list[datetime], int]:
    """The starts of the period's buckets, oldest first, the last one running now; and a bucket's seconds."""
    count, step_s = _SHAPES[period]
    last = int(now.timestamp()) // step_s * step_s
    starts = [datetime.fromtimestamp(last, UTC) - timedelta(seconds=step_s * back) for back in range(count - 1, -1, -1)]
    return starts, step_s


def period(value: str | None) -> Period:
    """``value`` when it names a period, else the day."""
    return value if value in PERIODS else "day"
