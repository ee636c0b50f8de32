"""Shares: what the gateway workers of one machine have let in of a key, so that its limits count over all of them.

Each worker writes its own file in ``DATA/run/limits`` and only reads the others', all mapped into memory: no lock, no
socket, no database. A slot holds a key's calls and tokens of the last minute and its calls under way. What one worker
lets in the others see at once; two that decide in the same instant may both let one in, so N workers let in at most
N - 1 more than the limit. A worker that is gone is not counted after 10 s. Machines know nothing of each other.

A figure is a word of eight bytes, stored and read at once: who reads while another writes sees the old or the new one.
``struct`` would not do: it empties the place first and then stores byte by byte.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from ruxa.gateway.limits import Limiter
from ruxa.kernel.clock import monotonic

SLOTS = 4096
PROBES = 16
STALE_S = 10

# A slot: the key, then the second of the machine's monotonic clock, calls, tokens, calls under way.
_KEY_BYTES, _WORD = 16, 8
_SLOT_BYTES = _KEY_BYTES + 4 * _WORD
_BYTES = SLOTS * _SLOT_BYTES
_NOBODY = bytes(_KEY_BYTES)
_NOTHING = bytes(4 * _WORD)


class _Slots:
    """A worker's file in memory, as bytes and as words."""

    def __init__(self, path: Path, *, write: bool) -> None:
        file = os.open(path, (os.O_RDWR | os.O_CREAT if write else os.O_RDONLY) | os.O_CLOEXEC, 0o600)
        try:
            if write:
                os.ftruncate(file, _BYTES)
            self.bytes = mmap.mmap(file, _BYTES, access=mmap.ACCESS_WRITE if write else mmap.ACCESS_READ)
        finally:
            os.close(file)
        self.words = memoryview(self.bytes).cast("q")

    @property
    def closed(self) -> bool:
        return self.bytes.closed

    def close(self) -> None:
        self.words.release()
        self.bytes.close()


class Shares:
    """One per worker; ``tick`` every second."""

    def __init__(self, directory: Path, worker: str) -> None:
        self._directory = directory
        self._name = f"{worker}.slots"
        self._peers: dict[str, _Slots] = {}
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._own = _Slots(directory / self._name, write=True)
        self._own.bytes[:] = bytes(_BYTES)
        self._look_round()

    def limiter(
        self, key_id: UUID, limits: tuple[int | None, int | None, int | None], whose: str = "This key"
    ) -> SharedLimiter:
        """A limiter of that key (or whatever the id stands for) that counts with the other workers'."""
        return SharedLimiter(self, key_id, *limits, whose)

    def tick(self, limiters: Iterable[Limiter]) -> None:
        """Show that this worker lives, let go of what left the window, look for other workers."""
        for limiter in limiters:
            if isinstance(limiter, SharedLimiter):
                limiter.show()
        self._look_round()

    def close(self) -> None:
        """This worker lets nobody in any more. Its file stays: who has mapped it must see the next run's figures."""
        self._own.bytes[:] = bytes(_BYTES)
        for mapped in (self._own, *self._peers.values()):
            mapped.close()
        self._peers.clear()

    def write(self, key: bytes, second: int, calls: int, tokens: int, inside: int) -> None:
        """What this worker has let in. With all of the key's places taken it is counted here alone."""
        if self._own.closed:
            return
        own, words = self._own.bytes, self._own.words
        free = -1
        for at in _places(key):
            holder = own[at : at + _KEY_BYTES]
            if holder == key:
                free = at
                break
            if free < 0 and (holder == _NOBODY or own[at + _KEY_BYTES : at + _SLOT_BYTES] == _NOTHING):
                free = at
                if holder == _NOBODY:
                    break
        if free < 0:
            return
        if own[free : free + _KEY_BYTES] != key:
            own[free : free + _KEY_BYTES] = key
        first = (free + _KEY_BYTES) // _WORD
        words[first] = second if calls or tokens or inside else 0
        words[first + 1] = calls
        words[first + 2] = tokens
        words[first + 3] = inside

    def others(self, key: bytes, second: int) -> tuple[int, int, int]:
        """Calls, tokens and calls under way at the other workers."""
        calls = tokens = inside = 0
        for peer in self._peers.values():
            for at in _places(key):
                holder = peer.bytes[at : at + _KEY_BYTES]
                if holder == key:
                    first, words = (at + _KEY_BYTES) // _WORD, peer.words
                    if -1 <= second - words[first] <= STALE_S:
                        calls += words[first + 1]
                        tokens += words[first + 2]
                        inside += words[first + 3]
                    break
                if holder == _NOBODY:
                    break
        return calls, tokens, inside

    def _look_round(self) -> None:
        for path in self._directory.glob("*.slots"):
            if path.name != self._name and path.name not in self._peers:
                try:
                    self._peers[path.name] = _Slots(path, write=False)
                except (OSError, ValueError):
                    continue  # just being made


class SharedLimiter(Limiter):
    """A key's limiter whose windows count the other workers of the machine too."""

    __slots__ = ("_key", "_shares")

    def __init__(
        self,
        shares: Shares,
        key_id: UUID,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
        concurrency: int | None,
        whose: str = "This key",
    ) -> None:
        super().__init__(requests_per_minute, tokens_per_minute, concurrency, monotonic, whose)
        self._shares = shares
        self._key = key_id.bytes

    def enter(self, now: float | None = None) -> None:
        """See ``Limiter``."""
        if self._unlimited():
            super().enter(now)
            return
        now = monotonic() if now is None else now
        self._hear(int(now))
        super().enter(now)
        self._tell(int(now))

    def expect(self, tokens: int, now: float | None = None) -> int:
        """See ``Limiter``."""
        now = monotonic() if now is None else now
        self._hear(int(now))
        counted = super().expect(tokens, now)
        self._tell(int(now))
        return counted

    def leave(self, expected: int, used: int, now: float | None = None) -> None:
        """See ``Limiter``."""
        if self._unlimited():
            super().leave(expected, used, now)
            return
        now = monotonic() if now is None else now
        super().leave(expected, used, now)
        self._tell(int(now))

    def undo(self, tokens: int = 0, *, entered: bool = True) -> None:
        """See ``Limiter``."""
        super().undo(tokens, entered=entered)
        if not self._unlimited():
            self._tell(int(monotonic()))

    def show(self) -> None:
        """Write down where the key stands now, if it stands anywhere."""
        requests, tokens = self.requests, self.tokens
        if self._unlimited():
            return
        if self.inside or (requests is not None and requests.used) or (tokens is not None and tokens.used):
            self._tell(int(monotonic()))

    def _unlimited(self) -> bool:
        """Nothing of the key is limited, so the other workers need not know of it."""
        return self.requests is None and self.tokens is None and self.concurrency is None

    def _hear(self, second: int) -> None:
        requests, tokens = self.requests, self.tokens
        calls, used, self.elsewhere = self._shares.others(self._key, second)
        if requests is not None:
            requests.others = calls
        if tokens is not None:
            tokens.others = used

    def _tell(self, second: int) -> None:
        requests, tokens = self.requests, self.tokens
        for minute in (requests, tokens):
            if minute is not None:
                minute.advance(second)
        calls = 0 if requests is None else requests.used
        used = 0 if tokens is None else tokens.used
        self._shares.write(self._key, second, calls, used, self.inside)


def _places(key: bytes) -> Iterable[int]:
    """Where in a file a key may stand, the first one first. A place that was never taken ends the search."""
    first = int.from_bytes(key[8:], "big")
    return ((first + step) % SLOTS * _SLOT_BYTES for step in range(PROBES))
