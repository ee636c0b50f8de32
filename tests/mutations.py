"""Requests and answers gone wrong: one of many small or large damages to bytes, to a JSON text, or to a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from random import Random
from typing import Any, cast

from ruxa.dialects.paths import locate
from ruxa.egress.conformance import case, runner

# What stands in place of a value, as JSON text.
ODD: tuple[str, ...] = (
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1.0",
    "-0.0",
    "1e400",
    "-1e-400",
    "3.5",
    "9007199254740993",
    "18446744073709551616",
    "1" * 400,
    '""',
    '" "',
    '"\\u0000"',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"' + "x" * 3000 + '"',
    '"é漢👩‍👩‍👧"',
    '"data:image/png;base64,%%%"',
    '"http://127.0.0.1:1/x"',
    "[]",
    "{}",
    "[[]]",
    "[null]",
    "[{}]",
    '[""]',
    '{"type":"made_up"}',
    '{"type":null}',
    '[{"type":"text"}]',
    '[{"type":"text","text":null}]',
    '{"":""}',
    "[" * 60 + "]" * 60,
    '{"a":' * 60 + "1" + "}" * 60,
    "[" * 400 + "]" * 400,
    '{"type":"object","properties":{"a":{"$ref":"#"}}}',
    '{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}',
)
BROKEN_UTF8 = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xe2\x28\xa1", b"\x00", b"\x80")


class _Pairs(list[tuple[str, Any]]):
    """An object as its members, so that names may repeat."""


class _Text(str):
    """JSON text that is taken as it is."""

    __slots__ = ()


def damaged(random: Random, body: bytes) -> bytes:
    """The body with one to three damages."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        body = _bytes(random, body) if random.random() < 0.25 else _json(random, body)
    return body


def damaged_stream(random: Random, frames: Sequence[bytes]) -> bytes:
    """A stream whose frames are damaged, dropped, repeated, swapped, or cut off."""
    made = list(frames)
    for _ in range(random.choice((1, 1, 2, 3))):
        if not made:
            break
        at = random.randrange(len(made))
        match random.randrange(9):
            case 0:
                del made[at]
            case 1:
                made.insert(at, made[at])
            case 2:
                other = random.randrange(len(made))
                made[at], made[other] = made[other], made[at]
            case 3:
                made[at:] = [made[at][: random.randrange(len(made[at]) + 1)]]
            case 4:
                made[at] = _bytes(random, made[at])
            case 5:
                made.insert(at, random.choice((b": x\n\n", b"\n", b"data:\n\n", b"event: x\n\n", b"data: {}\n\n")))
            case _:
                made[at] = _frame(random, made[at])
    return b"".join(made)


def _frame(random: Random, frame: bytes) -> bytes:
    """One event with its data damaged."""
    lines = frame.split(b"\n")
    for number, line in enumerate(lines):
        if line.startswith(b"data:"):
            lines[number] = b"data: " + _json(random, line[5:].strip())
    return b"\n".join(lines)


def cut(random: Random, data: bytes) -> list[bytes]:
    """The same bytes in pieces."""
    most = random.choice((1, 7, 100, 5000, 1 << 20)) if len(data) < 4000 else random.choice((100, 5000, 1 << 20))
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        size = random.randint(1, most)
        pieces.append(data[at : at + size])
        at += size
    return pieces


def _bytes(random: Random, body: bytes) -> bytes:
    at = random.randrange(len(body) + 1)
    match random.randrange(6):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + random.randbytes(1) + body[at + 1 :]
        case 2:
            return body[:at] + random.choice(BROKEN_UTF8) + body[at:]
        case 3:
            return body[:at] + body[at + random.randint(1, 20) :]
        case 4:
            return body[:at] + body[max(at - 30, 0) : at] + body[at:]
        case _:
            return body[:at] + random.choice((b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b" ", b"\n")) + body[at:]


def _json(random: Random, body: bytes) -> bytes:
    """A damage at a place of a JSON text; other bytes are damaged as bytes."""
    try:
        told: Any = json.loads(body, object_pairs_hook=_Pairs, parse_float=_Text, parse_int=_Text)
        places = list(_places(cast("list[Any]", told))) if isinstance(told, list) else []
    except (ValueError, RecursionError):
        return _bytes(random, body)
    if not places:
        return random.choice(ODD).encode()
    holder, at = random.choice(places)
    if isinstance(holder, _Pairs):
        name, value = holder[at]
        match random.randrange(9):
            case 0:
                del holder[at]
            case 1:
                holder.append((name, _odd(random)))  # twice
            case 2:
                holder.append((random.choice(("extra", "cache_control", "type", "x" * 300, "", "é")), _odd(random)))
            case 3:
                holder[at] = (name, [value] if random.random() < 0.5 else _Pairs([("a", value)]))
            case 4:
                kinds: list[Any] = [
                    inner[place][1]
                    for inner, place in places
                    if isinstance(inner, _Pairs) and inner[place][0] in ("type", "role")
                ]
                holder[at] = (name, random.choice(kinds) if kinds else _odd(random))
            case 5:
                other, place = random.choice(places)
                holder[at] = (name, other[place][1] if isinstance(other, _Pairs) else other[place])
            case _:
                holder[at] = (name, _odd(random))
    else:
        match random.randrange(5):
            case 0:
                del holder[at]
            case 1:
                holder.insert(at, holder[at])
            case 2:
                holder[at : at + 1] = [holder[at]] * random.choice((0, 3, 40))
            case _:
                holder[at] = _odd(random)
    try:
        return _written(told, 0).encode("utf-8", "surrogatepass")
    except RecursionError:
        return body


def _odd(random: Random) -> _Text:
    return _Text(random.choice(ODD))


def _places(value: list[Any]) -> Iterator[tuple[list[Any], int]]:
    """Every place of a value: what holds it and where."""
    waiting: list[list[Any]] = [value]
    while waiting:
        held = waiting.pop()
        for at, entry in enumerate(held):
            inner = entry[1] if isinstance(held, _Pairs) else entry
            yield held, at
            if isinstance(inner, list):
                waiting.append(cast("list[Any]", inner))


def _written(value: Any, depth: int) -> str:
    if depth > 300:
        return "0"
    if isinstance(value, _Text):
        return str(value)
    if isinstance(value, _Pairs):
        return "{" + ",".join(f"{json.dumps(name)}:{_written(inner, depth + 1)}" for name, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_written(inner, depth + 1) for inner in cast("list[Any]", value)) + "]"
    return json.dumps(value, ensure_ascii=False)


@cache
def requests(dialect: str) -> tuple[tuple[str, bytes], ...]:
    """Path and body of every request of a dialect among the wire cases."""
    found: dict[bytes, str] = {}
    for each in case.load():
        for run in each.runs:
            for step in run.steps if case.DIALECTS[run.source] == dialect else ():
                path = step.path.partition("?")[0].encode()
                place = locate(step.method.encode(), path, b"", {})
                if step.request and place is not None and place.endpoint != "none" and len(step.request) < 20_000:
                    found.setdefault(step.request.encode(), step.path)
    return tuple((path, body) for body, path in found.items())


@cache
def answers(dialect: str) -> tuple[tuple[bytes, tuple[bytes, ...]], ...]:
    """Whole answer and stream of every provider of a dialect among the wire cases."""
    found: dict[bytes, tuple[bytes, ...]] = {}
    for each in case.load():
        for run in each.runs:
            for step in run.steps:
                if step.target is None or case.DIALECTS[step.target] != dialect or len(step.answer) > 20_000:
                    continue
                script = runner.script(step, {})
                assert script is not None
                asked = b'{"stream_options":{"include_usage":true},"tools":[{"name":"x"}]}'
                if step.status != 200 or run.mode == "stream":
                    whole = script.answer(asked)
                    found[whole] = (whole,) if step.status != 200 else tuple(script.frames(asked))
    return tuple(found.items())
