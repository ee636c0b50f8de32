"""Marks: the signatures of tool calls, kept for a while for clients that lose them on the way (W34, W35).

In this worker's memory alone, bounded in number and in bytes, the least used first to go; nothing of it is written
down. A signature is nothing but the vendor's proof that a call is its own: it holds no content that could be read. By
the organisation and the call's id, so that nobody gets another one's. A call that comes back at another worker, or too
late, goes without.
"""

from __future__ import annotations

from collections import OrderedDict
from uuid import UUID

from ruxa.dialects.translated import Mark
from ruxa.kernel import bounds


class Marks:
    """All of a worker's."""

    __slots__ = ("_bytes", "_bytes_max", "_kept", "_marks_max")

    def __init__(self, marks_max: int = bounds.MARKS_MAX, bytes_max: int = bounds.MARKS_BYTES_MAX) -> None:
        self._kept: OrderedDict[tuple[UUID, str], Mark] = OrderedDict()
        self._bytes = 0
        self._marks_max = marks_max
        self._bytes_max = bytes_max

    def of(self, organisation_ref: UUID) -> Own:
        """The marks of one organisation."""
        return Own(self, organisation_ref)

    def keep(self, key: tuple[UUID, str], mark: Mark) -> None:
        """Keep it as the newest."""
        self._drop(key)
        self._kept[key] = mark
        self._bytes += len(key[1]) + len(mark[1])
        while len(self._kept) > self._marks_max or self._bytes > self._bytes_max:
            self._drop(next(iter(self._kept)))

    def find(self, key: tuple[UUID, str]) -> Mark | None:
        """What was kept; it counts as used."""
        mark = self._kept.get(key)
        if mark is not None:
            self._kept.move_to_end(key)
        return mark

    def _drop(self, key: tuple[UUID, str]) -> None:
        mark = self._kept.pop(key, None)
        if mark is not None:
            self._bytes -= len(key[1]) + len(mark[1])

    def __len__(self) -> int:
        return len(self._kept)


class Own:
    """One organisation's (``translated.Marks``)."""

    __slots__ = ("_marks", "_organisation_ref")

    def __init__(self, marks: Marks, organisation_ref: UUID) -> None:
        self._marks = marks
        self._organisation_ref = organisation_ref

    def keep(self, call_id: str, mark: Mark) -> None:
        """See ``translated.Marks``."""
        self._marks.keep((self._organisation_ref, call_id), mark)

    def find(self, call_id: str) -> Mark | None:
        """See ``translated.Marks``."""
        return self._marks.find((self._organisation_ref, call_id)) if call_id else None
