"""The cut of a body: what it finds is what any JSON reader finds, where it says, and never a repeated name."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from json_texts import VALUES, examples, object_text, pairs_of
from ruxa.dialects import body
from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall

NAMES = st.one_of(
    st.sampled_from(["model", "messages", "stream", "max_tokens", "ü", "", "a\\b", 'q"q', "漢字", "🙂"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=6)


@given(st.data(), PAIRS)
@settings(max_examples=examples(80), deadline=None)
def test_members_lie_where_the_spans_say(data: st.DataObject, pairs: list[tuple[str, Any]]) -> None:
    text = data.draw(object_text(pairs))
    theirs = pairs_of(text)
    names = [name for name, _ in theirs]
    if len(set(names)) != len(names):
        with pytest.raises(InvalidCall) as caught:
            body.spans(text, body.cut(text))
        assert caught.value.code == "duplicate_field"
        assert names.count(caught.value.param or "") > 1
        return
    members = body.cut(text)
    spans = body.spans(text, members)
    assert [span[0] for span in spans] == names
    for (name, key, at, end), (_, value) in zip(spans, theirs, strict=True):
        assert json.loads(text[at:end]) == value
        assert bytes(members[name]) == text[at:end]
        assert text[key : key + 1] == b'"'
        assert json.loads(b"{" + text[key:end] + b"}") == {name: value}


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"b":2,"a":345}',
        b'{"a":1,"\\u0061":1}',
        # crafted so that lengths alone could be fooled: the second value is as long as what the walk would skip
        b'{"a":{"x":1          ,"b":[2]} ,"b":[        ],"a":{"x":1}}',
        b'{"a":[1,"b",2],"b":1,"a":[1]}',
        b'{"model":"cheap","messages":[],"model":"dear"}',
        b'{"":1,"":2}',
        b'{ "a" : 1 , "a" : 1 }',
    ],
)
def test_repeated_names_are_refused(text: bytes) -> None:
    with pytest.raises(InvalidCall) as caught:
        body.spans(text, body.cut(text))
    assert caught.value.code == "duplicate_field"


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ 1atrue', max_size=40).map(str.encode))
@settings(max_examples=examples(80), deadline=None)
def test_any_bytes_are_an_object_or_refused(text: bytes) -> None:
    try:
        members = body.cut(text)
        spans = body.spans(text, members)
    except InvalidCall as error:
        refused = error.code
    else:
        assert len(spans) == len(members)
        assert text.strip(b" \t\r\n")[:1] == b"{"
        return
    assert refused in ("invalid_json", "too_deep", "duplicate_field")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "invalid_json"),
        (b"[]", "invalid_json"),
        (b'"x"', "invalid_json"),
        (b"{", "invalid_json"),
        (b'{"a":1}{', "invalid_json"),
        (b'{"a":NaN}', "invalid_json"),
        (b'\xef\xbb\xbf{"a":1}', "invalid_json"),
        (b'{"\xff":1}', "invalid_json"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "too_deep"),
    ],
)
def test_what_is_no_body(text: bytes, code: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        body.cut(text)
    assert caught.value.code == code


def test_errors_name_the_place() -> None:
    class Inner(msgspec.Struct):
        age: int

    decode = msgspec.json.Decoder(list[Inner]).decode

    def style(path: str, expected: str, got: str) -> str:
        return f"{path}|{expected}|{got}"

    for text, said in (
        (b'[{"age":"x"}]', "people[0].age|integer|string"),
        (b"[7]", "people[0]|object|integer"),
        (b"[{}]", "people[0].age|a value|nothing"),
        (b'[{"age":1e999}]', "people|a valid value|another"),
    ):
        with pytest.raises(InvalidCall) as caught:
            body.take("people", decode, msgspec.Raw(text), style)
        assert caught.value.public == said
    with pytest.raises(InvalidCall) as caught:
        body.take("name", msgspec.json.Decoder(str).decode, msgspec.Raw(b'"\\ud800"'), style)
    assert caught.value.code == "invalid_value"


def test_kinds() -> None:
    words = {b'"a"': "string", b"-1": "number", b"true": "boolean", b"[]": "array", b"{}": "object", b"null": "null"}
    assert {raw: body.kind_word(msgspec.Raw(raw)) for raw in words} == words
    assert body.kind_words(body.STRING | body.NULL) == "string"
    assert body.kind_words(body.NUMBER | body.ARRAY) == "number or array"


def nested(levels: int, kind: str, core: str = "1") -> str:
    """``levels`` arrays or objects in each other, both by turns for ``mixed``."""
    text = core
    for level in range(levels):
        listed = kind == "array" or (kind == "mixed" and level % 2)
        text = f"[{text}]" if listed else f'{{"a":{text}}}'
    return text


def padded(text: str, size: int) -> bytes:
    """In a body that is otherwise flat: brackets, quotes and backslashes in strings are no nesting."""
    odd = json.dumps(['\\\\"[{' * 60, "\\[" * 300, "]}" * 300, "x" * size, '\\n\\"[' * 200])
    return f'{{"before":{odd},"deep":{text},"after":[{",".join(["{}"] * 500)},{odd}]}}'.encode()


@pytest.mark.parametrize("kind", ["array", "object", "mixed"])
@pytest.mark.parametrize("core", ["1", '"[[[{{{"', '"\\\\"', '"\\""', '""', "[]", "{}"])
@pytest.mark.parametrize("size", [0, 10_000])
def test_two_hundred_levels_pass_and_one_more_does_not(kind: str, core: str, size: int) -> None:
    most = bounds.JSON_DEPTH_MAX - 1 - (core in ("[]", "{}"))  # the body is a level, and so is an empty core
    for build in (lambda text: f'{{"deep":{text}}}'.encode(), lambda text: padded(text, size)):
        assert body.cut(build(nested(most, kind, core)))
        with pytest.raises(InvalidCall) as caught:
            body.cut(build(nested(most + 1, kind, core)))
        assert caught.value.code == "too_deep"
        assert "200" in caught.value.public


@given(VALUES, st.integers(1, 8))
@settings(max_examples=examples(80), deadline=None)
def test_depth_is_what_a_reader_finds(value: Any, most: int) -> None:
    def depth(value: Any) -> int:
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inside is None else 1 + max(map(depth, inside), default=0)

    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        encoded = text.encode("utf-8", "surrogatepass")
        assert body.depth_over(encoded, most) is (depth(value) > most)


def test_a_very_large_body_is_looked_at_in_good_time() -> None:
    for core in ("[" * 150 + "]" * 150, "[]", '{"a":"[[["}', '"\\\\"'):
        text = f'{{"a":[[{",".join([core] * (4_000_000 // len(core)))}]]}}'.encode()
        begun = time.process_time()
        body.cut(text)
        assert time.process_time() - begun < 2
