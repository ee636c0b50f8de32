"""Tally: how often what left this process, by recipient, host and category of data; counted in memory, never whose.

What is counted is that something was sent, not what: no content, no identity, no time finer than the day it is kept by.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

# The recipient's name of what was refused because nobody declared it.
UNDECLARED = "undeclared"


class Line(NamedTuple):
    """So many sends of a category of data to a recipient's host."""

    recipient: str
    host: str
    category: str
    sends: int


class Tally:
    """Counts of one process until they are taken."""

    __slots__ = ("_sends",)

    def __init__(self) -> None:
        self._sends: dict[tuple[str, str, str], int] = {}

    def add(self, recipient: str, host: str, category: str, sends: int = 1) -> None:
        """Count ``sends``; none is fine."""
        if sends:
            line = recipient, host, category
            self._sends[line] = self._sends.get(line, 0) + sends

    def take(self) -> list[Line]:
        """All of it; the tally begins again at nothing."""
        taken = [Line(*line, sends) for line, sends in self._sends.items()]
        self._sends.clear()
        return taken

    def put_back(self, lines: Iterable[Line]) -> None:
        """What could not be written down waits for the next time."""
        for line in lines:
            self.add(*line)
