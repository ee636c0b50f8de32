"""Limits: never more than the limit in any sixty seconds, told in seconds to wait; exact, and given back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa.gateway.limits import WINDOW_S, Limiter, Minute
from ruxa.kernel.errors import Limited


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_requests_are_exact_and_the_wait_is_true() -> None:
    time = Time()
    limiter = Limiter(3, None, None, time)
    for _ in range(3):
        limiter.enter()
        time.now += 10
    with pytest.raises(Limited) as refused:
        limiter.enter()
    assert refused.value.code == "requests_limit"
    wait = refused.value.retry_after_s
    assert wait is not None
    time.now += wait - 1
    with pytest.raises(Limited):
        limiter.enter()
    time.now += 1
    limiter.enter()


def test_a_refused_call_counts_nothing() -> None:
    limiter = Limiter(1, None, 5, Time())
    limiter.enter()
    with pytest.raises(Limited):
        limiter.enter()
    assert limiter.inside == 1
    assert limiter.requests is not None
    assert limiter.requests.used == 1


def test_concurrency_ends_with_leave() -> None:
    limiter = Limiter(None, None, 2, Time())
    limiter.enter()
    limiter.enter()
    with pytest.raises(Limited) as refused:
        limiter.enter()
    assert refused.value.code == "concurrency_limit"
    limiter.leave(0, 0)
    limiter.enter()


def test_tokens_are_expected_then_corrected() -> None:
    time = Time()
    limiter = Limiter(None, 100, None, time)
    limiter.enter()
    expected = limiter.expect(60)
    limiter.enter()
    with pytest.raises(Limited) as refused:
        limiter.expect(60)
    assert refused.value.code == "tokens_limit"
    limiter.leave(expected, 20)
    assert limiter.expect(60) == 60
    with pytest.raises(Limited) as never:
        limiter.expect(101)
    assert never.value.retry_after_s is None


def test_changed_limits_keep_what_was_used() -> None:
    limiter = Limiter(2, None, None, Time())
    limiter.enter()
    limiter.enter()
    limiter.change(3, 10, 1)
    assert limiter.requests is not None
    assert limiter.requests.used == 2
    limiter.leave(0, 0)
    limiter.leave(0, 0)
    limiter.enter()
    limiter.leave(0, 0)
    with pytest.raises(Limited):
        limiter.enter()


@given(st.lists(st.tuples(st.integers(0, 70), st.integers(1, 4)), max_size=60), st.integers(1, 12))
def test_no_window_of_sixty_seconds_holds_more_than_the_limit(steps: list[tuple[int, int]], limit: int) -> None:
    minute = Minute(limit)
    now = 0
    taken: list[tuple[int, int]] = []
    for pause, amount in steps:
        now += pause
        minute.advance(now)
        if minute.used + amount <= limit:
            minute.add(amount)
            taken.append((now, amount))
        else:
            wait = minute.wait_s(amount)
            assert 1 <= wait <= WINDOW_S
    for moment, _ in taken:
        assert sum(amount for at, amount in taken if moment - WINDOW_S < at <= moment) <= limit
