"""Departures: what becomes of a call whose caller left (decision D16) - stopped, waited for, or read to its end.

While the provider is still making its answer nothing but more cost can come, so its connection is closed at once. When
the answer is made and only its end is on the way (a whole answer whose head has come, a stream that told its finish but
not its figures), the figures are waited for, two seconds at most. What ends without the provider's figures is an
estimate that the platform may lose by: an organisation that leaves often has its further calls read to their end,
so that it pays what was really made. Counted per worker; a restart forgets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from ruxa.egress.timers import NEVER
from ruxa.kernel import bounds
from ruxa.kernel.clock import monotonic

_ORGANISATIONS_MAX = 10_000


class Reading(Protocol):
    """A call that is read on although its caller left."""

    def give_up(self) -> None:
        """Stop the provider now and settle by what is known."""
        ...


class Departures:
    """One per worker."""

    __slots__ = ("_noted", "_now", "_reading")

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._noted: dict[UUID, deque[float]] = {}
        self._reading: set[Reading] = set()

    def wait_s(self, organisation_ref: UUID, *, ending: bool) -> float:
        """How long the provider is read on, in seconds: 0 not at all, ``NEVER`` to its end."""
        if self.drains(organisation_ref):
            return NEVER
        return bounds.LEFT_READ_S if ending else 0.0

    def drains(self, organisation_ref: UUID) -> bool:
        """Whether the organisation left more often than the platform bears."""
        noted = self._noted.get(organisation_ref)
        return (
            noted is not None
            and len(noted) >= bounds.ABANDONED_CALLS_MAX
            and self._now() - noted[0] < bounds.ABANDONED_WINDOW_S
        )

    def note(self, organisation_ref: UUID) -> None:
        """One of its calls ended by an estimate, because its caller left."""
        noted = self._noted.get(organisation_ref)
        if noted is None:
            if len(self._noted) >= _ORGANISATIONS_MAX:
                self._tidy()
            noted = self._noted[organisation_ref] = deque(maxlen=bounds.ABANDONED_CALLS_MAX)
        noted.append(self._now())

    def _tidy(self) -> None:
        old = self._now() - bounds.ABANDONED_WINDOW_S
        self._noted = {who: noted for who, noted in self._noted.items() if noted[-1] > old}

    def begin(self, reading: Reading) -> None:
        """It is read on."""
        self._reading.add(reading)

    def end(self, reading: Reading) -> None:
        """It is over; told of another is fine."""
        self._reading.discard(reading)

    def close(self) -> None:
        """The worker stops: nothing is read any more."""
        for reading in list(self._reading):
            reading.give_up()

    def __len__(self) -> int:
        return len(self._reading)
