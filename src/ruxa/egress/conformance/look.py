"""Looking: paths into JSON, and what a check says of what is there.

A path is words and numbers with dots: ``messages.0.content.-1.text``. ``*`` is every element (what is missing in one is
left out), ``role=tool`` the elements whose ``role`` is that, ``@json`` reads the text found so far as JSON, ``@text``
takes the text of a string or of a list of text parts, ``@list`` puts a single value into a list.

A check looks at the path ``at`` in a JSON body, at a ``header``, or, without either, at the body's text; with ``in =
"events"`` at the list of a stream's events. Then: ``is``, ``is_not``, ``json`` (equal to that JSON text), ``any_of``,
``absent``, ``present``, ``has`` and ``has_not`` (texts in it), ``matches`` (a regular expression), ``order`` (texts
that stand in it in that order), ``len``, ``least``, ``below`` (the number at another path); ``events`` (the types of a
stream's events, repeats once), ``grammar`` (the stream keeps its dialect's rules), ``any`` (one of these lists of
checks holds), ``only`` (one mode).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from ruxa.egress.conformance.case import Check, Mode

MISSING = object()
SHOWN_MAX = 300


class Seen(msgspec.Struct, kw_only=True):
    """What is looked at: text, the JSON of it (MISSING: none), headers by lower-case name; of a stream its events and
    what is wrong with them."""

    text: str
    body: Any = MISSING
    headers: Mapping[str, str] = {}
    events: list[Any] = []
    kinds: list[str] = []
    faults: list[str] = []


def parse(text: str | bytes) -> Any:
    """JSON, MISSING when it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return MISSING


def find(value: Any, path: str) -> Any:
    """What is at the path, or MISSING."""
    return _find(value, path.split(".") if path else [])


def _find(value: Any, words: list[str]) -> Any:
    for at, word in enumerate(words):
        if value is MISSING:
            return MISSING
        if word == "*":
            if not isinstance(value, list):
                return MISSING
            rest = words[at + 1 :]
            found = [_find(entry, rest) for entry in cast(list[Any], value)]
            found = [entry for entry in found if entry is not MISSING]
            return [inner for entry in found for inner in entry] if "*" in rest else found
        value = _step(value, word)
    return value


def _step(value: Any, word: str) -> Any:
    if word == "@json":
        return parse(value) if isinstance(value, str) else MISSING
    if word == "@text":
        return _text(value)
    if word == "@list":
        return cast(Any, value) if isinstance(value, list) else [value]
    if isinstance(value, list):
        entries = cast(list[Any], value)
        if "=" in word:
            name, _, wanted = word.partition("=")
            return [entry for entry in entries if _step(entry, name) == wanted]
        if re.fullmatch(r"-?\d+", word) and -len(entries) <= int(word) < len(entries):
            return entries[int(word)]
        return MISSING
    return cast(dict[str, Any], value).get(word, MISSING) if isinstance(value, dict) else MISSING


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        texts = [_step(part, "text") for part in cast(list[Any], value)]
        return "".join(text for text in texts if isinstance(text, str))
    return MISSING


def problems(checks: list[Check], seen: Seen, mode: Mode, where: str) -> list[str]:
    """What does not hold, as sentences that show what came."""
    return [
        f"{where}: {problem}"
        for check in checks
        if check.only in (None, mode)
        if (problem := _problem(check, seen, mode)) is not None
    ]


def _problem(check: Check, seen: Seen, mode: Mode) -> str | None:
    if check.any is not None:
        tried = [problems(option, seen, mode, "") for option in check.any]
        return None if any(not found for found in tried) else "none of: " + " | ".join("".join(t) for t in tried)
    if check.grammar:
        return "; ".join(seen.faults[:3]) or None
    if check.events is not None:
        return None if seen.kinds == check.events else f"events are {_shown(seen.kinds)}"
    if check.header is not None:
        value = seen.headers.get(check.header, MISSING)
        name = f"header {check.header}"
    elif check.at is not None:
        value = find(seen.events if check.of == "events" else seen.body, check.at)
        name = check.at
    else:
        value, name = seen.text, "the text"
    wrong = _wrong(check, value, seen.body)
    if wrong is None or value is MISSING:
        return None if wrong is None else f"{name} {wrong}"
    return f"{name} {wrong}; it is {_shown(value)}"


def _wrong(check: Check, value: Any, body: Any) -> str | None:
    if check.absent:
        return None if value is MISSING or value is None else "should be absent"
    if value is MISSING:
        return "is missing"
    told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    size = len(cast(Any, value)) if isinstance(value, str | list | dict) else -1
    number = value if isinstance(value, int | float) else None
    for holds, wrong in (
        (check.is_ is msgspec.UNSET or _equal(value, check.is_), f"should be {_shown(check.is_)}"),
        (check.is_not is msgspec.UNSET or not _equal(value, check.is_not), f"should not be {_shown(check.is_not)}"),
        (check.json is None or _equal(value, json.loads(check.json)), f"should be {check.json}"),
        (check.any_of is None or any(_equal(value, each) for each in check.any_of), f"should be in {check.any_of}"),
        (not check.present or value is not None, "should be there"),
        (all(text in told for text in _list(check.has)), f"should hold {check.has}"),
        (not any(text in told for text in _list(check.has_not)), f"should not hold {check.has_not}"),
        (check.matches is None or re.search(check.matches, told) is not None, f"should match {check.matches}"),
        (check.order is None or _in_order(told, check.order), f"should hold in order {check.order}"),
        (check.len is None or size == check.len, f"should have length {check.len}"),
        (check.least is None or (number is not None and number >= check.least), f"should be {check.least} or more"),
        (check.below is None or _below(number, find(body, check.below)), f"should be below {check.below}"),
    ):
        if not holds:
            return wrong
    return None


def _below(number: float | None, other: Any) -> bool:
    return number is not None and isinstance(other, int | float) and number < other


def _list(texts: str | list[str] | None) -> list[str]:
    return [texts] if isinstance(texts, str) else texts or []


def _in_order(text: str, wanted: list[str]) -> bool:
    at = 0
    for each in wanted:
        found = text.find(each, at)
        if found < 0:
            return False
        at = found + len(each)
    return True


def _equal(left: Any, right: Any) -> bool:
    """Equal as JSON: true is not 1, 1 is 1.0, the order of members does not count."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        one, other = cast(dict[str, Any], left), cast(dict[str, Any], right)
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    if isinstance(left, list) and isinstance(right, list):
        many, others = cast(list[Any], left), cast(list[Any], right)
        return len(many) == len(others) and all(map(_equal, many, others))
    return left == right


def _shown(value: Any) -> str:
    if value is MISSING:
        return "missing"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…"
