"""Decision D12 for every dialect: what the provider parses is what Ruxa read, and content bytes stay as they came.

The provider's part is played by the standard library's JSON reader, with each of the two habits it may have about
repeated names: the first wins, the last wins.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from json_texts import VALUES, examples, object_text, pairs_of
from ruxa.dialects import DIALECTS
from ruxa.dialects.dialect import Envelope, Name, Patched, Place, Terms
from ruxa.dialects.gemini_generate.table import GENERATE, camel
from ruxa.dialects.openai_chat.table import CHAT
from ruxa.dialects.openai_responses.table import CREATE
from ruxa.kernel.errors import CallerError

FREE = Terms(allowed=frozenset({"*"}))
# Without the word by which what must not leave is known below: content may hold it, and does leave.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(lambda text: "secret" not in text)

OPENAI_MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"])},
        optional={
            "content": TEXT
            | st.lists(
                st.one_of(
                    st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}),
                    st.builds(
                        lambda url: {"type": "image_url", "image_url": {"url": url}},
                        st.sampled_from(["data:image/png;base64,AAAA", "https://x.test/a.png"]),
                    ),
                ),
                max_size=3,
            ),
            "name": TEXT,
            "mystery": VALUES,
        },
    ),
    min_size=1,
    max_size=4,
)
ANTHROPIC_MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"])},
        optional={
            "content": TEXT
            | st.lists(
                st.one_of(
                    st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}),
                    st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": TEXT}),
                    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": TEXT, "signature": TEXT}),
                    st.fixed_dictionaries({"type": st.just("novel_block"), "anything": VALUES}),
                    st.just({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}),
                ),
                max_size=3,
            )
        },
    ),
    min_size=1,
    max_size=4,
)
CONTENTS = st.lists(
    st.fixed_dictionaries(
        {"parts": st.lists(st.fixed_dictionaries({"text": TEXT}, optional={"novel": VALUES}), max_size=3)},
        optional={"role": st.sampled_from(["user", "model"])},
    ),
    min_size=1,
    max_size=4,
)
ITEMS = TEXT | st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "developer"])},
            optional={
                "type": st.just("message"),
                "content": TEXT
                | st.lists(
                    st.fixed_dictionaries({"type": st.just("input_text"), "text": TEXT})
                    | st.builds(
                        lambda url: {"type": "input_image", "image_url": url},
                        st.sampled_from(["data:image/png;base64,AAAA", "https://x.test/a.png"]),
                    ),
                    max_size=3,
                ),
                "mystery": VALUES,
            },
        ),
        st.fixed_dictionaries({"type": st.just("function_call_output"), "call_id": TEXT, "output": TEXT}),
        st.fixed_dictionaries({"type": st.just("novel_item"), "anything": VALUES}),
    ),
    min_size=1,
    max_size=4,
)
SOME = st.sampled_from

CALLS: dict[Name, dict[str, st.SearchStrategy[Any]]] = {
    "openai_chat": {
        "model": SOME(["a/b", "x", 'q"uote', "ü"]),
        "messages": OPENAI_MESSAGES,
        "stream": SOME([True, False, None]),
        "max_tokens": SOME([None, 1, 100, 2**31 - 1]),
        "max_completion_tokens": SOME([None, 5, 4096]),
        "n": SOME([1, 2, None]),
        "tools": SOME([None, [], [{"type": "function", "function": {"name": "f", "parameters": {"é": [1.0, 1]}}}]]),
        "stream_options": SOME(
            [None, {}, {"include_usage": True}, {"include_usage": False, "include_obfuscation": False}]
        ),
        "user": SOME([None, "u-1"]),
        "store": SOME([True, False, None]),
        "temperature": SOME([0, 0.25, None]),
        "frobnicate": VALUES,
        "metadata": SOME([{"a": "b"}]),
        "client_metadata": SOME([{"account": "secret"}]),
        "prompt_cache_key": SOME(["k"]),
    },
    "openai_responses": {
        "model": SOME(["a/b", "x", 'q"uote', "ü"]),
        "input": ITEMS,
        "instructions": TEXT,
        "stream": SOME([True, False, None]),
        "max_output_tokens": SOME([None, 1, 100, 2**31 - 1]),
        "tools": SOME([None, [], [{"type": "function", "name": "f", "parameters": {"é": [1.0, 1]}}]]),
        "previous_response_id": SOME([None, "resp_secret"]),
        "user": SOME([None, "u-1"]),
        "store": SOME([True, False, None]),
        "background": SOME([True, False, None]),
        "conversation": SOME([None, "conv_secret"]),
        "temperature": SOME([0, 0.25, None]),
        "frobnicate": VALUES,
        "metadata": SOME([{"a": "secret"}]),
        "client_metadata": SOME([{"account": "secret"}]),
        "prompt_cache_key": SOME(["k"]),
    },
    "anthropic_messages": {
        "model": SOME(["a/b", "x", 'q"uote', "ü"]),
        "messages": ANTHROPIC_MESSAGES,
        "max_tokens": SOME([1, 100, 2**31 - 1]),
        "stream": SOME([True, False, None]),
        "system": TEXT | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}), max_size=2),
        "tools": SOME(
            [[], [{"name": "f", "input_schema": {"type": "object"}}], [{"type": "bash_20250124", "name": "bash"}]]
        ),
        "metadata": SOME([None, {}, {"user_id": "u-1", "more": 1}]),
        "thinking": SOME([{"type": "enabled", "budget_tokens": 1024}, {"type": "disabled"}]),
        "workspace_id": SOME(["w-1"]),
        "frobnicate": VALUES,
    },
    "gemini_generate": {
        "contents": CONTENTS,
        "generationConfig": SOME([None, {}, {"maxOutputTokens": 7}, {"max_output_tokens": 9, "candidateCount": 2}]),
        "generation_config": SOME([{"maxOutputTokens": 8}]),
        "systemInstruction": SOME([{"parts": [{"text": "x"}]}]),
        "tools": SOME([None, [{"functionDeclarations": [{"name": "f"}]}]]),
        "store": SOME([True, False]),
        "model": SOME(["models/other"]),
        "frobnicate": VALUES,
        "labels": SOME([{"who": "secret"}]),
    },
}
REQUIRED = {
    "openai_chat": {"model", "messages"},
    "openai_responses": {"model", "input"},
    "anthropic_messages": {"model", "messages", "max_tokens"},
    "gemini_generate": {"contents"},
}
ENDPOINTS: dict[Name, Place] = {
    "openai_chat": Place(dialect="openai_chat", endpoint="chat"),
    "openai_responses": Place(dialect="openai_responses", endpoint="responses"),
    "anthropic_messages": Place(dialect="anthropic_messages", endpoint="messages"),
    "gemini_generate": Place(dialect="gemini_generate", endpoint="generate", model="sandbox/chat", stream=True),
}


def first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def patch(name: Name, envelope: Envelope, terms: Terms = FREE, **more: Any) -> Patched:
    return DIALECTS[name].patch(
        envelope, upstream_model="up/stream", pseudonym=lambda given: f"ps-{len(given)}", terms=terms, **more
    )


@pytest.mark.parametrize("name", list(CALLS))
@given(data=st.data())
@settings(max_examples=examples(60), deadline=None)
def test_the_provider_parses_what_was_read(name: Name, data: st.DataObject) -> None:
    fields = CALLS[name]
    chosen = data.draw(st.lists(st.sampled_from(sorted(fields)), max_size=8))
    names = [*chosen, *(REQUIRED[name] if data.draw(st.integers(0, 9)) else set())]
    names = data.draw(st.permutations(list(dict.fromkeys(names)) if data.draw(st.integers(0, 4)) else names))
    text = data.draw(object_text([(one, data.draw(fields[one])) for one in names]))
    place = ENDPOINTS[name]
    try:
        envelope = DIALECTS[name].read(place, text)
        patched = patch(name, envelope, Terms(allowed=frozenset({"url:image"})))
    except CallerError:
        return
    body = b"".join(patched.pieces)
    assert patched.length == len(body)
    theirs = pairs_of(body)
    parsed = dict(theirs)
    assert parsed == first_wins(theirs), "no name goes out twice"
    given_pairs = dict(pairs_of(text))
    assert "frobnicate" not in parsed
    if "frobnicate" in given_pairs:
        assert "frobnicate" in patched.dropped
    if name == "gemini_generate":
        _check_gemini(envelope, parsed)
    else:
        _check_named(name, envelope, patched, parsed, given_pairs)
    for field in ("messages", "input", "instructions", "contents", "tools", "system", "systemInstruction"):
        if field in envelope.members and field in parsed:
            if field == "messages" and "thinking" in patched.dropped:
                assert parsed[field] == signed_alone(given_pairs[field]) != given_pairs[field]
            else:
                assert bytes(envelope.members[field]) in body, "content goes out byte for byte"


def signed_alone(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages without thinking that nobody signed (W33), and without a message that was nothing else."""

    def unsigned(block: dict[str, Any]) -> bool:
        return block["type"] == "thinking" and not block["signature"]

    kept: list[dict[str, Any]] = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list) and any(map(unsigned, content)):
            left = [block for block in content if not unsigned(block)]
            kept += [{**message, "content": left}] if left else []
        else:
            kept.append(message)
    return kept


def _check_named(
    name: Name, envelope: Envelope, patched: Patched, parsed: dict[str, Any], ours: dict[str, Any]
) -> None:
    assert envelope.model == ours["model"]
    assert parsed["model"] == "up/stream"
    assert bool(parsed.get("stream")) == envelope.stream
    names = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    caps = [parsed[cap] for cap in names if parsed.get(cap) is not None]
    assert envelope.load.output_cap == max(caps, default=None)
    assert parsed.get("tools") == ours.get("tools")
    assert "u-1" not in json.dumps(parsed, default=str)
    assert "secret" not in json.dumps(parsed, default=str)
    assert "w-1" not in json.dumps(parsed, default=str)
    if name == "openai_responses":
        assert parsed["store"] is False
        assert set(parsed) <= CREATE.keys() - {"previous_response_id", "conversation"}
        assert not parsed.get("background")
    if name == "openai_chat":
        assert parsed["store"] is False
        assert (parsed.get("n") or 1) == envelope.load.choices
        if envelope.stream:
            assert parsed["stream_options"]["include_usage"] is True
        assert set(parsed) <= CHAT.keys()
        if ours.get("user"):
            assert parsed["user"] == "ps-3"
            assert "user" in patched.replaced
            assert "user" not in patched.dropped


def _check_gemini(envelope: Envelope, parsed: dict[str, Any]) -> None:
    config = {camel(key): value for key, value in (_either(parsed, "generationConfig") or {}).items()}
    assert envelope.load.output_cap == config.get("maxOutputTokens")
    assert envelope.load.choices == config.get("candidateCount", 1)
    assert parsed.get("store") in (None, False)
    assert parsed.get("model") in (None, "models/up/stream")
    assert set(parsed) <= GENERATE.keys()
    assert "secret" not in json.dumps(parsed)


def _either(parsed: dict[str, Any], name: str) -> Any:
    for given_name, value in parsed.items():
        if camel(given_name) == name:
            return value
    return None


@pytest.mark.parametrize("name", list(CALLS))
@given(text=st.binary(max_size=80) | st.text(alphabet='{}[]",:mode l1tru', max_size=60).map(str.encode), data=st.data())
@settings(max_examples=examples(60), deadline=None)
def test_no_body_breaks_the_reader(name: Name, text: bytes, data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        fields = CALLS[name]
        members = [
            (one, data.draw(VALUES)) for one in data.draw(st.lists(st.sampled_from(sorted(fields)), unique=True))
        ]
        text = data.draw(object_text(members))
    try:
        patch(name, DIALECTS[name].read(ENDPOINTS[name], text))
    except CallerError as error:
        refusal = error
    else:
        return
    assert refusal.public
    assert refusal.code
    rendered = DIALECTS[name].error(refusal, "req_1")
    assert json.loads(rendered.body)
    assert 400 <= rendered.status < 500


DEEP: dict[str, tuple[Place, str]] = {
    "openai": (
        ENDPOINTS["openai_chat"],
        '{"model":"m","messages":[{"role":"user","content":[{"type":"text","x":DEEP}]}],"tools":[{"x":DEEP}]}',
    ),
    "responses": (
        ENDPOINTS["openai_responses"],
        '{"model":"m","input":[{"role":"user","content":[{"type":"input_text","x":DEEP}],"tools":[{"x":DEEP}]}],"tools":[{"type":"function","x":DEEP}]}',
    ),
    "openai-embeddings": (Place(dialect="openai_chat", endpoint="embeddings"), '{"model":"m","input":[DEEP]}'),
    "anthropic": (
        ENDPOINTS["anthropic_messages"],
        '{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"x","content":DEEP}]}]}]}',
    ),
    "gemini": (
        ENDPOINTS["gemini_generate"],
        '{"contents":[{"parts":[{"x":DEEP}]}],"generationConfig":{"responseSchema":DEEP}}',
    ),
    "gemini-batch": (
        Place(dialect="gemini_generate", endpoint="batch_embed", model="m"),
        '{"requests":[{"content":{"parts":[{"x":DEEP}]}}]}',
    ),
    "gemini-count": (
        Place(dialect="gemini_generate", endpoint="count_tokens", model="m"),
        '{"generateContentRequest":{"contents":DEEP}}',
    ),
}


@pytest.mark.parametrize("case", list(DEEP))
def test_any_depth_is_read_or_refused(case: str) -> None:
    place, form = DEEP[case]
    refused = 0
    for depth in [1, 100, *range(700, 1020, 3), 50_000]:
        text = form.replace("DEEP", "[" * depth + "]" * depth).encode()
        try:
            envelope = DIALECTS[place.dialect].read(place, text)
            patch(place.dialect, envelope, Terms(allowed=frozenset({"*"})))
        except CallerError as error:
            refused += error.code == "too_deep"
    assert refused
