"""Breaker: opens after enough failures, lets one probe through, closes when it succeeds."""

from __future__ import annotations

from ruxa.gateway.breaker import FAILURES_MIN, OPEN_S, WINDOW_S, Breaker


class Time:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def opened(time: Time) -> Breaker:
    breaker = Breaker(time)
    for _ in range(FAILURES_MIN):
        assert breaker.allows()
        breaker.failed()
    return breaker


def test_it_opens_and_asks_again_with_one_call() -> None:
    time = Time()
    breaker = opened(time)
    assert not breaker.allows()
    assert breaker.wait_s() == OPEN_S
    time.now += OPEN_S
    assert breaker.allows()
    assert not breaker.allows()
    breaker.succeeded()
    assert breaker.allows()
    assert breaker.allows()


def test_to_ask_whether_it_rests_takes_nobodys_turn() -> None:
    time = Time()
    breaker = opened(time)
    assert breaker.resting()
    time.now += OPEN_S
    assert not breaker.resting()
    assert not breaker.resting()
    assert breaker.allows()
    assert breaker.resting(), "one is asking"
    breaker.succeeded()
    assert not breaker.resting()


def test_a_failed_probe_opens_it_again() -> None:
    time = Time()
    breaker = opened(time)
    time.now += OPEN_S
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()


def test_a_lost_probe_does_not_keep_it_open_for_ever() -> None:
    time = Time()
    breaker = opened(time)
    time.now += OPEN_S
    assert breaker.allows()
    time.now += OPEN_S
    assert breaker.allows()


def test_mostly_good_targets_stay_closed_and_old_failures_are_forgotten() -> None:
    time = Time()
    breaker = Breaker(time)
    for _ in range(FAILURES_MIN * 3):
        breaker.succeeded()
        breaker.succeeded()
        breaker.failed()
    assert breaker.allows()
    breaker = Breaker(time)
    for _ in range(FAILURES_MIN * 3):
        breaker.failed()
        time.now += WINDOW_S / 5
    assert breaker.allows()
