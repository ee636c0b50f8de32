"""Lists: keyset pages (never an offset) and exports that a spreadsheet opens without running anything."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, Literal, TypeVar

import msgspec

T = TypeVar("T")
ROWS = 50
EXPORT_ROWS_MAX = 10_000
# What a spreadsheet takes for the start of a formula, or drops and looks behind; also in the width of Asian scripts.
_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


class Leaf(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list, newest first: its rows and the cursors of its neighbours, where there are any."""

    rows: list[T]
    newer: str | None
    older: str | None


class Asked(msgspec.Struct, frozen=True):
    """What a list is asked for that is searched and exported. find: as typed; file: to make of it, None for a page;
    before: the id that a page begins after, a file begins at the newest.
    """

    find: str
    file: Literal["csv", "json"] | None
    before: str | None

    @property
    def limit(self) -> int:
        """How many rows to read: for a page one more than it shows."""
        return ROWS + 1 if self.file is None else EXPORT_ROWS_MAX


def asked(query: Mapping[str, str]) -> Asked:
    """The wish that an address holds; ``as`` in other words than ours is a page."""
    kind = query.get("as")
    file = kind if kind == "csv" or kind == "json" else None
    return Asked(find=query.get("find", "").strip(), file=file, before=None if file else query.get("before"))


def leaf(
    found: Sequence[T], cursor: Sequence[str], *, before: str | None, after: str | None, size: int = ROWS
) -> Leaf[T]:
    """Cuts a page out of up to ``size + 1`` rows, newest first; ``cursor`` names each row in the same order.

    ``before`` and ``after`` are the cursors that were asked for: the row beyond the size only tells that more exists.
    Rows read with ``after`` have their extra row at the newest end.
    """
    more = len(found) > size
    if after is not None:
        rows, names = list(found[-size:]), list(cursor[-size:])
        newer, older = more, bool(rows)
    else:
        rows, names = list(found[:size]), list(cursor[:size])
        newer, older = before is not None and bool(rows), more
    return Leaf(rows=rows, newer=names[0] if newer and names else None, older=names[-1] if older and names else None)


def as_csv(head: Sequence[str], rows: Iterable[Sequence[str | int | None]]) -> bytes:
    """CSV with a header line; a cell that a spreadsheet would take for a formula is quoted with an apostrophe."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(head)
    writer.writerows([_tame(cell) for cell in row] for row in rows)
    return out.getvalue().encode()


def _tame(cell: str | int | None) -> str | int:
    if cell is None:
        return ""
    if isinstance(cell, str) and cell[:1] in _FORMULA:
        return "'" + cell
    return cell
