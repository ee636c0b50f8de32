"""A JSON object cut anywhere can be closed again, and what was there is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ruxa.dialects.closing import closing

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, min_size=1, max_size=3), st.booleans(), st.integers(0, 1000))
@settings(max_examples=300)
def test_an_object_cut_anywhere_is_one_again(value: dict[str, Any], escaped: bool, cut: int) -> None:
    text = json.dumps(value, ensure_ascii=escaped)
    assert closing(text) == ""
    head = text[: 1 + cut % len(text)]
    whole: dict[str, Any] = json.loads(head + closing(head))
    assert list(whole)[:-2] == list(value)[: max(len(whole) - 2, 0)]


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ('{"city":"Ber', '"}'),
        ('{"a":[1,{"b":tr', "ue}]}"),
        ('{"a', '":null}'),
        ('{"a":', "null}"),
        ('{"a":1,', '"":null}'),
        ('{"a":"\\', '\\"}'),
        ('{"a":"\\u00e', '0"}'),
        ('{"a":-', "0}"),
        ("", ""),
        ("no object", ""),
        ('{"a" 1', ""),
    ],
)
def test_what_follows(head: str, tail: str) -> None:
    assert closing(head) == tail
