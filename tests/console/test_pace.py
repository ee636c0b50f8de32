"""Acts that the audit log keeps are few: a burst, then a steady rate, for each person and key by itself."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from ruxa.console.pace import ACKNOWLEDGEMENTS, ACTS, Pace, Rate
from ruxa.kernel.errors import Limited

ONE, OTHER = UUID(int=1), UUID(int=2)
SLOW = Rate("slow", 3, 10.0)


def test_a_burst_then_one_at_a_time() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    for _ in range(3):
        pace.take(SLOW, ONE)
    with pytest.raises(Limited) as caught:
        pace.take(SLOW, ONE)
    assert (caught.value.code, caught.value.retry_after_s) == ("acts_too_many", 10)
    pace.take(SLOW, OTHER)
    pace.take(ACTS, ONE)
    now[0] = 9.9
    with pytest.raises(Limited):
        pace.take(SLOW, ONE)
    now[0] = 10.1
    pace.take(SLOW, ONE)
    now[0] = 1000.0
    for _ in range(3):
        pace.take(SLOW, ONE)
    with pytest.raises(Limited):
        pace.take(SLOW, ONE)


def test_what_is_remembered_is_bounded() -> None:
    pace = Pace(lambda: 0.0, kept=10)
    for number in range(1000):
        pace.take(SLOW, UUID(int=number))
    assert len(pace._buckets) == 10  # pyright: ignore[reportPrivateUsage]


async def test_too_many_acts_are_refused_and_leave_no_entry(console: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, _, _ = await console.owner()

    async def entries() -> int:
        async with console.house.operator.work() as work:
            return await work.value(
                "SELECT (SELECT count(*) FROM audit.customer_entry) + (SELECT count(*) FROM audit.entry)"
            )

    for _ in range(ACKNOWLEDGEMENTS.burst):
        await browser.api("POST", "/api/v1/audit/acknowledgements", {"size": 10**6}, status=404)
    refused = await browser.api("POST", "/api/v1/audit/acknowledgements", {"size": 10**6}, status=429)
    assert refused.json()["error"]["type"] == "acts_too_many"
    assert int(refused.headers["retry-after"]) > 60
    # Only how many: the way to the refusal is the same for the thousandth act as for the third.
    monkeypatch.setattr("ruxa.console.pace.ACTS", Rate("acts", 2, 60.0))
    for status in (201, 201, 429):
        before = await entries()
        await browser.api("POST", "/api/v1/keys", {"name": "k", "livemode": False}, status=status)
        assert await entries() == before + (status == 201)
    assert len((await browser.api("GET", "/api/v1/keys")).json()["keys"]) == 2, "what is not written is not done"
