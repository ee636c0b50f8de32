"""What the sandbox says: deterministic, bounded, and made of what it was given."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ruxa.egress.sandbox import mind
from ruxa.egress.sandbox.faults import FAULTS, fault_of
from ruxa.egress.sandbox.mind import Media, Offer, Prompt, Result
from ruxa.egress.sandbox.vectors import packed, vector


@given(st.text(max_size=200))
@settings(deadline=None)
def test_tokens_are_the_text(text: str) -> None:
    cut = mind.tokens(text)
    assert "".join(cut) == text
    assert all(len(token.strip()) <= 12 for token in cut)


@given(st.text(max_size=80), st.integers(1, 30), st.booleans())
@settings(deadline=None)
def test_a_plan_keeps_the_cap_and_repeats(user: str, cap: int, thinking: bool) -> None:
    tools = [Offer(name="get_weather", schema={"type": "object", "properties": {"city": {"type": "string"}}})]
    prompt = Prompt(model="m", user=user, history=[user], cap=cap, thinking=thinking, tools=tools)
    plan = mind.make(prompt)
    assert plan.output_tokens + plan.thinking_tokens <= cap
    assert mind.make(prompt) == plan
    assert plan.ending in ("stop", "length", "tool", "refusal")


def test_choices_of_tools() -> None:
    tools = [Offer(name="get_weather", schema={}), Offer(name="get_time", schema={})]

    def called(user: str, choice: str = "auto", *, parallel: bool = True, results: bool = False) -> list[str]:
        given_results = [Result(name="get_time", text="noon")] if results else []
        prompt = Prompt(
            model="m", user=user, history=[user], tools=tools, choice=choice, parallel=parallel, results=given_results
        )
        return [call.name for call in mind.make(prompt).calls]

    assert called("hello") == []
    assert called("what is the get weather and get_time") == ["get_weather", "get_time"]
    assert called("get weather, get time", parallel=False) == ["get_weather"]
    assert called("hello", "any") == ["get_weather"]
    assert called("hello", "get_time") == ["get_time"]
    assert called("get weather", "none") == []
    assert called("get weather", results=True) == []
    assert called("use the tool [[calls=3]]") == ["get_weather"] * 3


def test_a_prompt_names_the_tool_and_its_arguments() -> None:
    tools = [Offer("read", {"type": "object"}), Offer("write", {"type": "object"})]
    asks = 'read and write [[tool=write]] [[arguments={"path":"/a b"}]]'
    calls = mind.make(Prompt(model="m", user=asks, tools=tools)).calls
    assert [(call.name, call.arguments) for call in calls] == [("write", {"path": "/a b"})]
    broken = mind.make(Prompt(model="m", user="read [[arguments={not json]]", tools=tools)).calls
    assert [(call.name, call.arguments) for call in broken] == [("read", {})]
    assert not mind.make(Prompt(model="m", user="read [[tool=other]]", tools=tools)).calls


def test_ids_of_calls_differ_and_signatures_hold() -> None:
    tools = [Offer(name="f", schema={})]
    calls = mind.make(Prompt(model="m", user="f [[calls=4]]", tools=tools)).calls
    assert len({call.id for call in calls}) == 4
    assert mind.sign("a") != mind.sign("b")
    assert mind.make(Prompt(model="m", user="x", thinking=True)).signature == mind.sign(
        "".join(mind.make(Prompt(model="m", user="x", thinking=True)).thinking)
    )


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, 42),
        ({"type": ["string", "null"]}, "Ann"),
        ({"enum": ["red", "blue"]}, "red"),
        ({"const": 7}, 7),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, True),
        ({"type": "array", "items": {"type": "number"}}, [42]),
        ({"properties": {"a": {"type": "null"}, "b": {"type": "OBJECT"}}}, {"a": None, "b": {}}),
    ],
)
def test_examples_fit_a_schema(schema: dict[str, Any], value: object) -> None:
    assert mind.example(schema, "Tell me that Ann is 42") == value


def test_an_endless_schema_ends() -> None:
    schema: dict[str, Any] = {"type": "object"}
    schema["properties"] = {"again": schema}
    assert isinstance(mind.example(schema, "x"), dict)


def test_stops_refusals_and_marks() -> None:
    stopped = mind.make(Prompt(model="m", user="one two three [[echo]]", stops=["two", "three"]))
    assert (stopped.text, stopped.ending, stopped.stop_sequence) == ("one ", "stop_sequence", "two")
    assert mind.make(Prompt(model="m", user="[[refuse]]")).ending == "refusal"
    assert len(mind.make(Prompt(model="m", user="[[tokens=3]]")).pieces) == 3
    assert mind.number({"a": "12"}, "a", 5, 10) == 10
    assert mind.number({"a": "x"}, "a", 5) == 5
    media = Media(kind="image", media_type="image/png", data=b"abc")
    assert media.shown() == "image/png, 3 bytes, sha256 ba7816bf8f01cfea"
    assert "at https://x" in Media(kind="image", media_type="image", url="https://x").shown()


def test_faults_by_name_and_by_mark() -> None:
    for fault in FAULTS:
        assert fault_of(f"sandbox/fail-{fault}", {}) == fault
        assert fault_of("sandbox/chat", {f"fail-{fault}": ""}) == fault
    assert fault_of("sandbox/fail-nothing", {}) is None
    assert fault_of("sandbox/chat", {"echo": ""}) is None


@given(st.text(max_size=20), st.integers(1, 300))
@settings(deadline=None)
def test_vectors_are_unit_and_repeat(text: str, dimensions: int) -> None:
    values = vector(text, dimensions)
    assert len(values) == dimensions
    assert math.isclose(sum(value * value for value in values), 1, rel_tol=1e-5)
    assert vector(text, dimensions) == values
    assert list(struct.unpack(f"<{dimensions}f", base64.b64decode(packed(values)))) == values
