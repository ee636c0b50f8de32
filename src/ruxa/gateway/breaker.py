"""Breaker: stop asking a target that keeps failing, and ask again soon with one call.

It counts failures of the target only (errors, time-outs, slow first tokens); a caller who hangs up, a caller's own
mistake and a provider's 429 never count.
"""

from __future__ import annotations

from collections.abc import Callable

FAILURES_MIN = 10
WINDOW_S = 30.0
OPEN_S = 5.0


class Breaker:
    """State of one target: closed, open until a moment, or half open with one probe under way."""

    __slots__ = ("_now", "_probe_until", "_since", "failures", "good", "open_until", "trips")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.failures = 0
        self.good = 0
        self.trips = 0
        self.open_until = 0.0
        self._probe_until = 0.0
        self._since = 0.0

    def allows(self) -> bool:
        """May a call go to the target? In the half-open state one may, the others wait for its outcome."""
        if self.open_until == 0.0:
            return True
        now = self._now()
        if now < self.open_until or now < self._probe_until:
            return False
        self._probe_until = now + OPEN_S
        return True

    def resting(self) -> bool:
        """Whether ``allows`` would say no; asking so changes nothing."""
        if self.open_until == 0.0:
            return False
        now = self._now()
        return now < self.open_until or now < self._probe_until

    def wait_s(self) -> int:
        """Seconds until asking again makes sense, at least one."""
        return max(1, round(max(self.open_until, self._probe_until) - self._now()))

    def succeeded(self) -> None:
        """The target answered as it should."""
        self.good += 1
        if self.open_until:
            self.open_until = self._probe_until = 0.0
            self.failures = 0

    def answered(self) -> None:
        """The target is alive, whatever it said: a probe need not be repeated, nothing is counted."""
        if self.open_until:
            self.succeeded()

    def failed(self) -> None:
        """The target failed. Opens after enough failures that are at least half of what was asked."""
        now = self._now()
        if self.open_until:
            self.open_until, self._probe_until = now + OPEN_S, 0.0
            return
        if now - self._since > WINDOW_S:
            self._since = now
            self.failures = self.good = 0
        self.failures += 1
        if self.failures >= FAILURES_MIN and self.failures >= self.good:
            self.open_until = now + OPEN_S
            self.trips += 1
