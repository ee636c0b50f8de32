"""What a check finds, and what it says when it does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ruxa.egress.conformance.case import Check
from ruxa.egress.conformance.look import MISSING, Seen, find, problems

BODY: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "tool", "content": '{"n": 1.0, "big": 12345678901234567890}'},
    ],
    "n": 1,
    "none": None,
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("n", 1),
        ("none", None),
        ("messages.0.role", "user"),
        ("messages.-1.role", "tool"),
        ("messages.2.role", MISSING),
        ("messages.*.role", ["user", "tool"]),
        ("messages.*.content.*.text", ["a", "b"]),
        ("messages.*.nothing", []),
        ("messages.role=tool.0.content.@json.big", 12345678901234567890),
        ("messages.0.content.@text", "ab"),
        ("messages.1.content.@text", '{"n": 1.0, "big": 12345678901234567890}'),
        ("n.@list", [1]),
        ("n.@json", MISSING),
        ("n.x", MISSING),
        ("messages.x", MISSING),
    ],
)
def test_a_path(path: str, found: object) -> None:
    assert find(BODY, path) == found


def check(**fields: Any) -> Check:
    return msgspec.convert(fields, Check)


SEEN = Seen(text='{"a":"one two"}', body={"a": "one two", "n": 3, "m": 5}, headers={"x": "1"}, kinds=["p", "q"])


@pytest.mark.parametrize(
    "fields",
    [
        {"at": "a", "is": "one two"},
        {"at": "a", "is_not": "one"},
        {"at": "n", "json": "3.0"},
        {"at": "n", "any_of": [2, 3]},
        {"at": "z", "absent": True},
        {"at": "a", "present": True},
        {"at": "a", "has": ["one", "two"]},
        {"has_not": "three"},
        {"matches": "^.a"[1:]},
        {"order": ["one", "two"]},
        {"at": "a", "len": 7},
        {"at": "n", "least": 3},
        {"at": "n", "below": "m"},
        {"header": "x", "is": "1"},
        {"events": ["p", "q"]},
        {"grammar": True},
        {"any": [[{"at": "a", "is": 1}], [{"at": "n", "is": 3}]]},
        {"at": "a", "is": "not in this mode", "only": "stream"},
    ],
)
def test_what_holds(fields: dict[str, Any]) -> None:
    assert problems([check(**fields)], SEEN, "whole", "got") == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"at": "a", "is": "two"}, "got: a should be two; it is one two"),
        ({"at": "a", "is_not": "one two"}, "should not be"),
        ({"at": "n", "is": True}, "should be true"),
        ({"at": "n", "json": "4"}, "should be 4"),
        ({"at": "n", "any_of": [1]}, "should be in"),
        ({"at": "a", "absent": True}, "should be absent"),
        ({"at": "z", "present": True}, "is missing"),
        ({"at": "z", "is": None}, "is missing"),
        ({"at": "a", "has": ["one", "three"]}, "should hold"),
        ({"has_not": "one"}, "should not hold"),
        ({"matches": "^x"}, "should match"),
        ({"order": ["two", "one"]}, "in order"),
        ({"at": "a", "len": 6}, "length"),
        ({"at": "n", "least": 4}, "or more"),
        ({"at": "a", "least": 4}, "or more"),
        ({"at": "m", "below": "n"}, "below"),
        ({"at": "n", "below": "z"}, "below"),
        ({"header": "y", "is": "1"}, "header y is missing"),
        ({"events": ["p"]}, "events are"),
        ({"any": [[{"at": "a", "is": 1}], [{"at": "n", "is": 4}]]}, "none of"),
    ],
)
def test_what_does_not(fields: dict[str, Any], said: str) -> None:
    (problem,) = problems([check(**fields)], SEEN, "whole", "got")
    assert said in problem


def test_a_stream_against_its_rules_says_which() -> None:
    seen = Seen(text="", faults=["one", "two"])
    assert problems([check(grammar=True)], seen, "stream", "got") == ["got: one; two"]
