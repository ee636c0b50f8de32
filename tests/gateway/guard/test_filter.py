"""Texts and arguments that come in pieces: the same outcome wherever they are cut, little held back, nothing leaks."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from json_texts import VALUES, examples
from ruxa.access.guards import Guard
from ruxa.gateway.guard import spans
from ruxa.gateway.guard.arguments import JsonFilter, masked_json
from ruxa.gateway.guard.filter import Filter, Found, masked
from ruxa.kernel.errors import Forbidden, UpstreamBroken

MASK = Guard("mask")
REFUSE = Guard("refuse")
BLOCK = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEabc123/+=\n" * 300 + "-----END RSA PRIVATE KEY-----"
SECRETS = [
    "bob@example.com",
    "+49 170 1234567",
    "DE89 3704 0044 0532 0130 00",
    "4111 1111 1111 1111",
    "AB 12 34 56 C",
    "12345678 Z",
    "1 85 05 78 006 084 91",
    "192.168.1.10",
    "2001:db8::8a2e:370:7334",
    "sk-ant-api03-" + "Ab1-" * 20,
    "sk-" + "Ab1" * 900,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0." + "abc_" * 700,
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    BLOCK,
]
WORDS = st.one_of(
    st.sampled_from(SECRETS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    st.sampled_from(
        ["The", "call", "AB", "12", "4111", "a@", "sk-", "-----", "-----BEGIN", "DE89", "1234 5678", "日本"]
    ),
)
TEXTS = st.lists(WORDS, max_size=10).map(lambda words: " ".join(words))


def found() -> Found:
    return Counter()


def cut(data: st.DataObject, text: str) -> list[str]:
    size = data.draw(st.sampled_from([1, 2, 3, 7, 40, 500, 5000]))
    return [text[at : at + size] for at in range(0, len(text), size)]


@given(text=TEXTS, data=st.data())
@settings(max_examples=examples(60), deadline=None)
def test_the_cut_changes_nothing(text: str, data: st.DataObject) -> None:
    stream = Filter(MASK, found())
    out = "".join(stream.feed(piece) for piece in cut(data, text)) + stream.end()
    whole = masked(text, MASK, found())
    assert out == whole
    assert stream.changed == (whole != text)


@pytest.mark.parametrize("secret", SECRETS, ids=[secret[:20] for secret in SECRETS])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_nothing_leaks_at_any_cut(secret: str, size: int) -> None:
    text = f"Take {secret} and go on."
    stream = Filter(MASK, found())
    out = "".join(stream.feed(text[at : at + size]) for at in range(0, len(text), size)) + stream.end()
    assert out.startswith("Take ")
    assert out.endswith(" and go on.")
    assert "masked]" in out
    assert len(out) < 90
    assert secret[-8:] not in out


def test_plain_text_is_a_word_late_and_no_more() -> None:
    stream = Filter(MASK, found())
    passed = ""
    text = "The quick brown fox jumps over the lazy dog, again and again and again, until it is tired of it."
    for at, char in enumerate(text):
        passed += stream.feed(char)
        assert at - len(passed) < 12
    assert passed + stream.end() == text


def test_what_is_held_is_bounded() -> None:
    for piece in ("a", "1 ", "9", "AB ", "a@", "eyJ", "-----BEGIN ", "+4 ", "é"):
        stream = Filter(MASK, found())
        fed = passed = 0
        for _ in range(1500):
            fed += len(piece)
            passed += len(stream.feed(piece))
            assert fed - passed <= spans.REACH + 100


def test_a_block_without_its_end_is_swallowed_to_the_end() -> None:
    stream = Filter(MASK, found())
    text = "key: " + BLOCK[:-30]
    out = "".join(stream.feed(text[at : at + 9]) for at in range(0, len(text), 9)) + stream.end()
    assert out == "key: [secret masked]"


def test_a_guard_that_refuses_says_what_it_found() -> None:
    seen = found()
    with pytest.raises(Forbidden) as caught:
        masked("mail bob@example.com or +49 170 1234567", REFUSE, seen)
    assert (caught.value.code, caught.value.status) == ("guard_refused", 403)
    assert "email, phone" in caught.value.public
    assert "bob" not in caught.value.public
    assert seen == {"email": 1, "phone": 1}
    stream = Filter(REFUSE, found())
    with pytest.raises(Forbidden):
        list(map(stream.feed, "mail bob@example.com now"))
    assert masked("nothing here", REFUSE, found()) == "nothing here"


OBJECTS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6), st.one_of(VALUES, TEXTS), max_size=4
)


def walk(value: Any) -> Any:
    """A value with all its texts masked, as a reader of JSON would do it."""
    if isinstance(value, str):
        return masked(value, MASK, found())
    if isinstance(value, list):
        return [walk(each) for each in value]
    if isinstance(value, dict):
        return {walk(name): walk(each) for name, each in value.items()}
    return value


@given(value=OBJECTS, ascii_only=st.booleans(), spaced=st.booleans(), data=st.data())
@settings(max_examples=examples(50), deadline=None)
def test_arguments_stay_json_wherever_they_are_cut(
    value: dict[str, Any], ascii_only: bool, spaced: bool, data: st.DataObject
) -> None:
    separators = (", ", ": ") if spaced else (",", ":")
    text = json.dumps(value, ensure_ascii=ascii_only, separators=separators)
    whole = masked_json(text, MASK, found())
    read = json.loads(whole)
    stream = JsonFilter(MASK, found())
    out = "".join(stream.feed(piece) for piece in cut(data, text)) + stream.end()
    assert json.loads(out) == read
    if not any(isinstance(each, int | float) for each in flat(value)):
        assert read == walk(value)
    if whole == text:
        assert json.loads(out) == value


def flat(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [inner for each in value for inner in flat(each)]
    if isinstance(value, dict):
        return [inner for each in value.values() for inner in flat(each)]
    return [value]


def test_what_is_not_masked_keeps_its_spelling() -> None:
    text = (
        '{"n": 1.0, "big": 123456789012345678901234567890123, "e": 1E5 , "u": "\\u00e9 \\/", "to": "bob@example.com"}'
    )
    new = masked_json(text, MASK, found())
    assert new == text.replace("bob@example.com", "[email masked]")
    assert masked_json(text, Guard("mask", frozenset({"ip"})), found()) is text


def test_numbers_escapes_and_names_are_looked_at() -> None:
    assert masked_json('{"card":4111111111111111}', MASK, found()) == '{"card":"[card masked]"}'
    assert masked_json('{"a":"bob\\u0040example.com"}', MASK, found()) == '{"a":"[email masked]"}'
    assert masked_json('{"bob@example.com":1}', MASK, found()) == '{"[email masked]":1}'
    stream = JsonFilter(MASK, found())
    text = '{"card":4111111111111111,"a":"x\\ud83d\\ude00bob\\u0040example.com"}'
    out = "".join(map(stream.feed, text)) + stream.end()
    assert json.loads(out) == {"card": "[card masked]", "a": "x😀[email masked]"}
    assert stream.changed


def test_kept_members_are_left_alone() -> None:
    text = '{"id":"bob@example.com","text":"eve@example.com","data":["bob@example.com"]}'
    new = masked_json(text, MASK, found(), frozenset({"id", "data"}))
    assert new == text.replace("eve@example.com", "[email masked]")


def test_arguments_that_end_in_the_middle_or_are_none() -> None:
    for text in ('{"a":"bob@example.com', '{"a":"x", "b": 4111111111111111', '{"a":"x\\u00', "plain bob@example.com"):
        stream = JsonFilter(MASK, found())
        out = "".join(map(stream.feed, text)) + stream.end()
        assert "bob" not in out
        assert "4111" not in out
    stream = JsonFilter(MASK, found())
    with pytest.raises(UpstreamBroken):
        stream.feed('{"a":"\\u12zz and more of it"}')
