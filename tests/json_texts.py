"""Strategies for JSON as anyone may write it: any white space, escaped names, repeated names, unknown fields."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from hypothesis import strategies as st

LONG = "--long" in sys.argv or os.environ.get("RUXA_TEST_LONG") == "1"


def examples(usual: int) -> int:
    """How many examples a property tries: the usual number, forty times as many in the long stage (decision D49)."""
    return usual * 40 if LONG else usual


SPACE = st.sampled_from(["", "", "", " ", "\n  ", "\t", "\r\n"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), inner, max_size=3),
    ),
    max_leaves=8,
)


@st.composite
def name_text(draw: st.DrawFn, name: str) -> str:
    """A name as a JSON string, some of its characters escaped."""
    if not draw(st.integers(0, 4)):
        return (
            '"'
            + "".join(
                f"\\u{ord(c):04x}" if ord(c) < 0x10000 and draw(st.booleans()) else json.dumps(c)[1:-1] for c in name
            )
            + '"'
        )
    return json.dumps(name, ensure_ascii=draw(st.booleans()))


@st.composite
def value_text(draw: st.DrawFn, value: Any) -> str:
    """A value as JSON, compact or spaced, ASCII or not."""
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]))
    return json.dumps(value, separators=separators, ensure_ascii=draw(st.booleans()))


@st.composite
def object_text(draw: st.DrawFn, pairs: list[tuple[str, Any]]) -> bytes:
    """An object of these members, in this order; compact half of the time."""
    if draw(st.booleans()):
        members = [f"{json.dumps(name)}:{json.dumps(value, separators=(',', ':'))}" for name, value in pairs]
        return ("{" + ",".join(members) + "}").encode()
    space = lambda: draw(SPACE)  # noqa: E731
    members = [
        space() + draw(name_text(name)) + space() + ":" + space() + draw(value_text(value)) + space()
        for name, value in pairs
    ]
    return (space() + "{" + (",".join(members) or space()) + "}" + space()).encode()


def pairs_of(text: bytes) -> list[tuple[str, Any]]:
    """The top-level members as the standard library reads them, doubles kept."""
    return json.loads(text, object_pairs_hook=_Pairs).pairs


class _Pairs(dict[str, Any]):
    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs
