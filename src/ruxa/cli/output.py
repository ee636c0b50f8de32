"""What a command prints: JSON for scripts, or lines and tables for people; errors always on standard error."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, cast
from uuid import UUID

import msgspec

from ruxa.kernel import money

Row = Mapping[str, Any]


def line(text: str = "") -> None:
    """One line for people."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"ruxa: {text}\n")
    sys.stderr.flush()


def plain(value: object) -> Any:
    """``value`` as JSON shows it: times ISO 8601, ids as text."""
    return msgspec.to_builtins(value, enc_hook=str)


def as_json(value: object) -> None:
    """One JSON document."""
    line(msgspec.json.format(msgspec.json.encode(plain(value)), indent=2).decode())


def show(args: Namespace, row: Row) -> None:
    """One thing."""
    if args.json:
        as_json(row)
        return
    width = max((len(_title(name)) for name in row), default=0)
    for name, value in row.items():
        line(f"{_title(name).ljust(width)}  {_text(name, value)}")


def table(args: Namespace, rows: Sequence[Row], columns: Sequence[str], *, empty: str) -> None:
    """Many things: JSON holds every field, the table ``columns``."""
    if args.json:
        as_json(list(rows))
        return
    if not rows:
        line(empty)
        return
    cells = [list(map(_title, columns)), *([_text(name, row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(columns))]
    numeric = [all(_is_number(row.get(name)) for row in rows) for name in columns]
    for row in cells:
        shown = (c.rjust(w) if right else c.ljust(w) for c, w, right in zip(row, widths, numeric, strict=True))
        line("  ".join(shown).rstrip())


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _title(name: str) -> str:
    """A field's name for people, who read its money in USD."""
    return name.removesuffix("_micros")


def _text(name: str, value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_micros") and isinstance(value, int):
        return f"{money.usd(value)} USD"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date | UUID):
        return str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={inner}" for key, inner in cast(Row, value).items() if inner) or "-"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(str(entry) for entry in cast(Sequence[object], value)) or "-"
    return str(value)
