"""Rollups: finished buckets are read once, the running one each time; percentiles true to a percent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa.console import charts, records, rollups
from ruxa.ledger import topups


@given(st.lists(st.integers(0, 600_000), min_size=1, max_size=200), st.sampled_from([50, 95]))
def test_percentiles_are_true_to_a_percent(latencies: list[int], percent: int) -> None:
    import math

    bins: dict[int, int] = {}
    for one in latencies:
        number = math.floor(math.log(one + 1) * rollups.BINS_PER_E)
        bins[number] = bins.get(number, 0) + 1
    exact = sorted(latencies)[-(-len(latencies) * percent // 100) - 1]
    shown = rollups.percentile(bins, percent)
    assert shown is not None
    assert abs(shown - exact) <= max(1, exact * 0.011)


def test_nothing_has_no_percentile() -> None:
    assert rollups.percentile({}, 50) is None


async def test_finished_buckets_are_read_once(console: Any, books: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, organisation_id = await console.owner()
    ref = await console.ref(organisation_id)
    async with console.house.operator.work() as work:
        await topups.sandbox(work, ref, 1_000_000)
    lease = await books.lend(ref, 1000, "sandbox")
    await books.flush([books.row(ref, lease, 10, "sandbox")])
    asked: list[int] = []
    read = records.bucket_sums

    async def counted(work: Any, organisation_ref: Any, since_s: int, step_s: int) -> Any:
        asked.append(since_s)
        return await read(work, organisation_ref, since_s, step_s)

    monkeypatch.setattr(records, "bucket_sums", counted)
    now = console.house.database.clock.now()
    starts, step_s = charts.buckets("day", now)
    kept = rollups.Rollups()
    async with console.house.console.work() as work:
        first = await kept.period(work, ref, starts, step_s, now)
        await books.flush([books.row(ref, lease, 5, "sandbox")])
        second = await kept.period(work, ref, starts, step_s, now)
        assert (first.total.spend, second.total.spend) == (10, 15)
        assert asked[0] == int(starts[0].timestamp())
        assert now.timestamp() - asked[1] < 2 * step_s
        later = now + timedelta(hours=3)
        moved, _ = charts.buckets("day", later)
        third = await kept.period(work, ref, moved, step_s, later)
        assert third.total.spend == 15
    assert len(kept._kept) <= rollups.BUCKETS_MAX
