"""Limits: requests and tokens per minute, calls at a time. Exact within one process, no clock but monotonic.

Of a key; and, where they are set, of all keys that a member made, of all of an organisation, and of those that call one
model: then a call needs all of them, and the first one that is used up answers.

A minute is a ring of sixty one-second buckets, so that no window of sixty seconds ever holds more than the limit.
Tokens are counted at admission by the estimate and corrected to what the provider reported at the end.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

from ruxa.kernel.errors import Limited

WINDOW_S = 60


class Minute:
    """How much happened in the last sixty seconds."""

    __slots__ = ("buckets", "last", "limit", "others", "second", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.others = 0  # used at other workers, as far as this one has heard (``shares``)
        self.second = 0
        self.last = 0
        self.buckets = array("q", bytes(8 * WINDOW_S))

    def advance(self, second: int) -> None:
        """Let go of the seconds that left the window."""
        passed = second - self.second
        if passed <= 0:
            return
        buckets = self.buckets
        if passed >= WINDOW_S:
            self.used = 0
            self.buckets = array("q", bytes(8 * WINDOW_S))
        else:
            for gone in range(self.second + 1, second + 1):
                index = gone % WINDOW_S
                self.used -= buckets[index]
                buckets[index] = 0
        self.second = second

    def add(self, amount: int) -> None:
        """Count ``amount`` now (negative corrects); ``advance`` came first."""
        second = self.last = self.second
        self.buckets[second % WINDOW_S] += amount
        self.used += amount

    def wait_s(self, needed: int) -> int:
        """Seconds until ``needed`` more fit; ``WINDOW_S`` when they never do."""
        over = self.used + self.others + needed - self.limit
        if over <= 0:
            return 0
        for age in range(WINDOW_S - 1, -1, -1):
            over -= self.buckets[(self.second - age) % WINDOW_S]
            if over <= 0:
                return WINDOW_S - age
        return WINDOW_S


class Limiter:
    """The limits of one key, or of what ``whose`` says, and how far they are used. ``enter`` before a call, ``leave``
    after it, always."""

    __slots__ = ("_now", "concurrency", "elsewhere", "inside", "limited", "requests", "template", "tokens", "whose")

    def __init__(
        self,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
        concurrency: int | None,
        now: Callable[[], float],
        whose: str = "This key",
    ) -> None:
        self._now = now
        self.whose = whose
        self.concurrency = concurrency
        self.inside = 0
        self.elsewhere = 0  # calls under way at other workers
        self.requests = Minute(requests_per_minute) if requests_per_minute is not None else None
        self.tokens = Minute(tokens_per_minute) if tokens_per_minute is not None else None
        self.limited = self.requests is not None or self.tokens is not None  # per minute
        self.template: Any = None  # of ``standing``, for these limits

    def change(self, requests_per_minute: int | None, tokens_per_minute: int | None, concurrency: int | None) -> None:
        """Take over new limits without forgetting what was used."""
        self.concurrency = concurrency
        self.requests = _changed(self.requests, requests_per_minute)
        self.tokens = _changed(self.tokens, tokens_per_minute)
        self.limited = self.requests is not None or self.tokens is not None
        self.template = None

    def enter(self, now: float | None = None) -> None:
        """Count one call in; ``now``: the monotonic time, if known. Raises Limited (nothing counted then)."""
        concurrency, requests, tokens = self.concurrency, self.requests, self.tokens
        if concurrency is not None and self.inside + self.elsewhere >= concurrency:
            raise Limited(
                f"{self.whose} may have {concurrency} calls running at a time.",
                code="concurrency_limit",
                retry_after_s=1,
            )
        if requests is not None or tokens is not None:
            second = int(self._now() if now is None else now)
            if tokens is not None:
                if tokens.second != second:
                    tokens.advance(second)
                if tokens.used + tokens.others >= tokens.limit:
                    raise Limited(
                        f"{self.whose} may use {tokens.limit} tokens a minute.",
                        code="tokens_limit",
                        retry_after_s=tokens.wait_s(1),
                    )
            if requests is not None:
                if requests.second != second:
                    requests.advance(second)
                if requests.used + requests.others >= requests.limit:
                    raise Limited(
                        f"{self.whose} may make {requests.limit} requests a minute.",
                        code="requests_limit",
                        retry_after_s=requests.wait_s(1),
                    )
                requests.last = second = requests.second
                requests.buckets[second % WINDOW_S] += 1
                requests.used += 1
        self.inside += 1

    def expect(self, tokens: int, now: float | None = None) -> int:
        """Count the call's estimated tokens; gives what was counted. Raises Limited, the call is still inside."""
        minute = self.tokens
        if minute is None:
            return 0
        second = int(self._now() if now is None else now)
        if minute.second != second:
            minute.advance(second)
        if minute.used + minute.others + tokens > minute.limit:
            if tokens > minute.limit:
                raise Limited(
                    f"This call needs about {tokens} tokens. {self.whose} may use {minute.limit} a minute.",
                    code="tokens_limit",
                )
            raise Limited(
                f"{self.whose} may use {minute.limit} tokens a minute.",
                code="tokens_limit",
                retry_after_s=minute.wait_s(tokens),
            )
        minute.last = second = minute.second
        minute.buckets[second % WINDOW_S] += tokens
        minute.used += tokens
        return tokens

    def leave(self, expected: int, used: int, now: float | None = None) -> None:
        """The call is over: correct its tokens from ``expected`` to ``used``."""
        self.inside -= 1
        minute = self.tokens
        if minute is not None and used != expected:
            second = int(self._now() if now is None else now)
            if minute.second != second:
                minute.advance(second)
            minute.last = second = minute.second
            minute.buckets[second % WINDOW_S] += used - expected
            minute.used += used - expected

    def undo(self, tokens: int = 0, *, entered: bool = True) -> None:
        """Take back an ``enter`` (if there was one) and an ``expect`` of so many tokens: the call is not let in."""
        if entered:
            self.inside -= 1
            if self.requests is not None:
                self.requests.add(-1)
        if tokens and self.tokens is not None:
            self.tokens.add(-tokens)

    def idle(self) -> bool:
        """Nothing is counted in any window now."""
        second = int(self._now())
        for minute in (self.requests, self.tokens):
            if minute is not None:
                minute.advance(second)
                if minute.used:
                    return False
        return True


class Joint(Limiter):
    """Several limits that a call needs all of, in this order; the headers tell of the first that has one."""

    __slots__ = ("_all",)

    def __init__(self, limiters: Sequence[Limiter], now: Callable[[], float]) -> None:
        super().__init__(None, None, None, now)
        self._all = tuple(limiters)
        self.requests = next((each.requests for each in limiters if each.requests is not None), None)
        self.tokens = next((each.tokens for each in limiters if each.tokens is not None), None)
        self.limited = self.requests is not None or self.tokens is not None

    def enter(self, now: float | None = None) -> None:
        """See ``Limiter``."""
        for number, each in enumerate(self._all):
            try:
                each.enter(now)
            except Limited:
                for other in self._all[:number]:
                    other.undo()
                raise

    def expect(self, tokens: int, now: float | None = None) -> int:
        """See ``Limiter``."""
        for number, each in enumerate(self._all):
            try:
                each.expect(tokens, now)
            except Limited:
                for other in self._all[:number]:
                    other.undo(tokens, entered=False)
                raise
        return tokens

    def undo(self, tokens: int = 0, *, entered: bool = True) -> None:
        """See ``Limiter``."""
        for each in self._all:
            each.undo(tokens, entered=entered)

    def leave(self, expected: int, used: int, now: float | None = None) -> None:
        """See ``Limiter``."""
        for each in self._all:
            each.leave(expected, used, now)


def _changed(minute: Minute | None, limit: int | None) -> Minute | None:
    if limit is None:
        return None
    if minute is None:
        return Minute(limit)
    minute.limit = limit
    return minute
