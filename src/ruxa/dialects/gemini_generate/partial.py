"""Arguments that come in parts (``partialArgs``): each names its place by a JSON path, all are an object."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import msgspec

from ruxa.dialects.body import ABSENT, given
from ruxa.dialects.gemini_generate.schema import is_array, is_object

_STEP = re.compile(
    r"\.([^.\[\]]+)|\[(\d{1,6})\]|\['((?:[^'\\]|\\.)*)'\]|\[\"((?:[^\"\\]|\\.)*)\"\]",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ITEMS_MAX = 10_000
_DEPTH_MAX = 100

_encode = msgspec.json.Encoder().encode


class PartialArg(msgspec.Struct, gc=False, rename="camel"):
    """One part: a value, or more of a string that ``will_continue``."""

    json_path: str = ""
    string_value: str | None = None
    number_value: msgspec.Raw = ABSENT
    bool_value: bool | None = None
    null_value: msgspec.Raw = ABSENT
    will_continue: bool | None = None


class Arguments:
    """The arguments of one call under way."""

    __slots__ = ("_root", "_running")

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}
        self._running: set[str] = set()

    def add(self, part: PartialArg) -> None:
        """Puts one part in its place. A path that leads nowhere is passed over."""
        steps = _steps(part.json_path)
        if not steps:
            return
        holder = self._holder(steps)
        if holder is None:
            return
        last = steps[-1]
        value: Any = part.string_value
        if value is None:
            value = part.bool_value if part.bool_value is not None else None
            if given(part.number_value):
                value = msgspec.Raw(bytes(part.number_value))
        elif part.json_path in self._running:
            known = _get(holder, last)
            value = known + value if isinstance(known, str) else value
        if part.will_continue:
            self._running.add(part.json_path)
        else:
            self._running.discard(part.json_path)
        _put(holder, last, value)

    def text(self) -> str:
        """The object as JSON."""
        return _encode(self._root).decode()

    def _holder(self, steps: list[str | int]) -> dict[str, Any] | list[Any] | None:
        """What holds the place; made on the way."""
        holder: dict[str, Any] | list[Any] = self._root
        for step, after in pairwise(steps):
            inner: Any = _get(holder, step)
            if is_object(inner) or is_array(inner):
                holder = inner
                continue
            made: dict[str, Any] | list[Any] = [] if isinstance(after, int) else {}
            if not _put(holder, step, made):
                return None
            holder = made
        return holder


def _steps(path: str) -> list[str | int]:
    """``$.a['b'][0]`` as its steps; none when it is no such path."""
    if not path.startswith("$"):
        return []
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None or len(steps) >= _DEPTH_MAX:
            return []
        at = step.end()
        if step[2] is not None:
            steps.append(int(step[2]))
        elif step[1] is not None:
            steps.append(step[1])
        else:
            steps.append(_ESCAPED.sub(r"\1", step[3] if step[3] is not None else step[4]))
    return steps


def _get(holder: dict[str, Any] | list[Any], step: str | int) -> Any:
    if isinstance(holder, dict):
        return holder.get(str(step))
    return holder[step] if isinstance(step, int) and step < len(holder) else None


def _put(holder: dict[str, Any] | list[Any], step: str | int, value: Any) -> bool:
    if isinstance(holder, dict):
        holder[str(step)] = value
        return True
    if not isinstance(step, int) or step > _ITEMS_MAX:
        return False
    holder.extend([None] * (step + 1 - len(holder)))
    holder[step] = value
    return True
