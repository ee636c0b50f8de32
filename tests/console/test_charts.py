"""Buckets of a period: enough of them, aligned, the last one running now."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from ruxa.console import charts


@pytest.mark.parametrize(
    ("period", "count", "step_s"), [("day", 24, 3600), ("week", 28, 21_600), ("month", 30, 86_400)]
)
def test_buckets_end_now(period: charts.Period, count: int, step_s: int) -> None:
    now = datetime(2026, 11, 24, 15, 42, 7, tzinfo=UTC)
    starts, step = charts.buckets(period, now)
    assert (len(starts), step) == (count, step_s)
    assert starts[-1] <= now
    assert (now - starts[-1]).total_seconds() < step_s
    assert all(int(start.timestamp()) % step_s == 0 for start in starts)
    assert {later.timestamp() - earlier.timestamp() for earlier, later in pairwise(starts)} == {step_s}


def test_an_unknown_period_is_the_day() -> None:
    assert charts.period("century") == "day"
    assert charts.period("week") == "week"
    assert charts.period(None) == "day"
