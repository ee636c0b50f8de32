"""Shapes: what is known again is read and patched as the dialect would; what differs in anything is not known."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa.dialects import DIALECTS
from ruxa.dialects.body import cut
from ruxa.dialects.dialect import Dialect, Envelope, Place, Terms
from ruxa.dialects.shape import SETTINGS_BYTES_MAX, SHAPES_MAX, Shapes, settings_of
from ruxa.kernel.errors import InvalidCall, RuxaError

CHAT = Place(dialect="openai_chat", endpoint="chat")
MESSAGES = Place(dialect="anthropic_messages", endpoint="messages")
PLACES = {"openai_chat": CHAT, "anthropic_messages": MESSAGES}
BASE: dict[str, Any] = {"model": "sandbox/mind", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 64}
TERMS = [Terms(), Terms(drop_fields=frozenset({"store"}))]


def body_of(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def learnt(place: Place, *bodies: bytes) -> Shapes:
    """What is known after each of ``bodies`` came twice."""
    dialect, shapes = DIALECTS[place.dialect], Shapes()
    assert dialect.shaping is not None
    for body in bodies:
        for _ in range(2):
            if shapes.read(place, body) is None:
                shapes.learn(dialect.read(place, body), dialect.shaping)
    return shapes


def sent(
    dialect: Dialect, envelope: Envelope, terms: Terms, cap: int | None = None
) -> tuple[bytes, int, object, object]:
    patched = dialect.patch(
        envelope, upstream_model="real-model", pseudonym=lambda name: name[::-1], terms=terms, output_cap=cap
    )
    return b"".join(patched.pieces), patched.length, patched.dropped, patched.replaced


def same(place: Place, shapes: Shapes, body: bytes) -> bool:
    """Whether the body is known; if so it must be read and patched as by the dialect."""
    dialect = DIALECTS[place.dialect]
    known = shapes.read(place, body)
    if known is None:
        return False
    read = dialect.read(place, body)
    skipped = {"members", "shape"}
    for name in Envelope.__struct_fields__:
        if name not in skipped:
            assert getattr(known, name) == getattr(read, name), name
    for terms in TERMS:
        for cap in (None, 7):
            assert sent(dialect, known, terms, cap) == sent(dialect, read, terms, cap)
    return True


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_third_call_of_equal_settings_is_known(place: Place) -> None:
    dialect, shapes = DIALECTS[place.dialect], Shapes()
    assert dialect.shaping is not None
    for number in range(2):
        body = body_of({**BASE, "messages": [{"role": "user", "content": "x" * number}]})
        assert shapes.read(place, body) is None
        shapes.learn(dialect.read(place, body), dialect.shaping)
    assert same(place, shapes, body_of({**BASE, "messages": [{"role": "user", "content": "quite another text"}]}))
    assert same(place, shapes, body_of({**BASE, "messages": []}))
    assert same(place, shapes, body_of({**BASE, "messages": [{"role": "user", "content": 'a "quoted" [list]'}]}))
    assert same(place, shapes, body_of({**BASE, "messages": [{"role": "user", "content": "é" * 20_000}]}))


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(
    "change",
    [{"model": "sandbox/other"}, {"max_tokens": 65}, {"stream": True}, {"temperature": 1}, {"max_tokens": 640}],
)
def test_other_settings_are_not_known(place: Place, change: dict[str, Any]) -> None:
    assert not same(place, learnt(place, body_of(BASE)), body_of({**BASE, **change}))


@pytest.mark.parametrize(
    "value",
    [
        b"[],[]",
        b'[],"messages":[]',
        b'[{"role":"user"}],"model":"sandbox/dear","x":[]',
        b"[] ",
        b" []",
        b"[]]",
        b"[",
        b"]",
        b"",
        b"{}",
        b'"[]"',
        b"[1}",
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_only_one_array_stands_between_the_settings(value: bytes) -> None:
    before, after = b'{"model":"sandbox/mind","messages":', b',"max_tokens":64}'
    shapes = learnt(CHAT, before + b"[]" + after)
    assert shapes.read(CHAT, before + value + after) is None
    assert shapes.read(CHAT, before[:-1] + after) is None


def test_media_is_weighed_and_what_needs_permission_is_looked_at() -> None:
    shapes = learnt(CHAT, body_of(BASE))
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 90}}
    remote = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    text = {"type": "text", "text": "what is this?"}
    assert same(CHAT, shapes, body_of({**BASE, "messages": [{"role": "user", "content": [text, picture]}]}))
    assert not same(CHAT, shapes, body_of({**BASE, "messages": [{"role": "user", "content": [text, remote]}]}))
    with pytest.raises(InvalidCall):
        shapes.read(CHAT, body_of({**BASE, "messages": [{"role": "user", "content": [7]}]}))


@pytest.mark.parametrize(
    "more",
    [
        {"user": "somebody"},
        {"stop": "a word of the caller's"},
        {"stop": ["a"]},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"service_tier": "flex"},
        {"unheard_of": 1},
        {"model": "m" * 65},
    ],
)
def test_what_a_caller_writes_freely_is_never_kept(more: dict[str, Any]) -> None:
    body = body_of({**BASE, **more})
    assert settings_of(DIALECTS["openai_chat"].read(CHAT, body), "messages") is None
    assert shapes_known(learnt(CHAT, body)) == 0


def test_little_is_kept() -> None:
    numbers = dict.fromkeys(("temperature", "top_p", "n", "seed", "frequency_penalty", "presence_penalty"), 1)
    bodies = [body_of({**BASE, **dict(list(numbers.items())[:count])}) for count in range(len(numbers) + 1)]
    shapes = learnt(CHAT, *bodies)
    assert shapes_known(shapes) == SHAPES_MAX
    assert [same(CHAT, shapes, body) for body in bodies] == [False] * (len(bodies) - SHAPES_MAX) + [True] * SHAPES_MAX
    long = body_of({**BASE, "temperature": int("1" * SETTINGS_BYTES_MAX)})
    assert shapes_known(learnt(CHAT, long)) == 0
    assert shapes_known(learnt(CHAT, json.dumps(BASE).encode())) == 0


def shapes_known(shapes: Shapes) -> int:
    return len(shapes._known)  # pyright: ignore[reportPrivateUsage]


SETTINGS = st.fixed_dictionaries(
    {"model": st.sampled_from(["a", "b/c"]), "max_tokens": st.sampled_from([1, 64, 640])},
    optional={
        "temperature": st.sampled_from([0, 0.7, 1]),
        "stream": st.booleans(),
        "top_p": st.sampled_from([0.1, 1]),
        "stop": st.none(),
        "n": st.sampled_from([1, 2]),
        "reasoning_effort": st.sampled_from(["none", "low"]),
        "stream_options": st.sampled_from([None, {"include_usage": True}]),
        "store": st.booleans(),
    },
)
TEXTS = st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": st.text(max_size=8)}), max_size=3)


@given(st.lists(st.tuples(SETTINGS, TEXTS, st.integers(0, 10)), max_size=8), st.sampled_from(list(PLACES.values())))
def test_a_key_with_changing_calls_is_always_read_right(
    calls: list[tuple[dict[str, Any], list[dict[str, str]], int]], place: Place
) -> None:
    dialect, shapes = DIALECTS[place.dialect], Shapes()
    assert dialect.shaping is not None
    for fields, messages, at in calls:
        if place is MESSAGES:
            fields = {name: fields[name] for name in fields if name in ("model", "max_tokens", "temperature", "stream")}
        items = list(fields.items())
        items.insert(at, ("messages", messages))
        body = body_of(dict(items))
        for _ in range(3):
            if not same(place, shapes, body):
                shapes.learn(dialect.read(place, body), dialect.shaping)


@given(st.binary(max_size=12), st.integers(0, 60), st.integers(0, 6))
def test_bytes_put_anywhere_are_never_misread(put: bytes, at: int, drop: int) -> None:
    body = body_of(BASE)
    shapes = learnt(CHAT, body)
    changed = body[:at] + put + body[at + drop :]
    try:
        known = shapes.read(CHAT, changed)
    except RuxaError:
        known = None
    if known is not None:
        assert same(CHAT, shapes, changed)
        assert cut(changed).keys() == BASE.keys()
