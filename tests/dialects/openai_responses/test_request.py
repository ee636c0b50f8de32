"""Neutral calls as requests for responses: what a provider gets, to the member, and what was not carried."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseInputItem
from pydantic import TypeAdapter

from json_texts import examples
from ruxa.dialects import TRANSLATORS
from ruxa.dialects.call import (
    Cache,
    Call,
    Carried,
    Format,
    Media,
    Part,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from ruxa.dialects.dialect import Place
from ruxa.dialects.translator import Aim, Way
from ruxa.kernel.errors import InvalidCall

HERE = TRANSLATORS["openai_responses"]
WAYS: frozenset[Way] = frozenset(
    {"reasoning_effort", "thinking", "strict_tools", "structured_output", "prompt_cache_key", "sampling", "audio_input"}
)
AIM = Aim(model="up", cap=1000, ways=WAYS)
ITEM: TypeAdapter[Any] = TypeAdapter(ResponseInputItem)
HI = Turn(role="user", parts=[Text(text="hi")])


def write(call: Call, aim: Aim = AIM) -> tuple[dict[str, Any], list[str]]:
    written = HERE.write_call(call, aim)
    return json.loads(written.body), [loss.name for loss in written.losses]


def items(*turns: Turn) -> list[Any]:
    body, _ = write(Call(model="m", turns=[HI, *turns]))
    return body["input"][1:]


def test_everything_a_provider_needs_is_set() -> None:
    body, losses = write(Call(model="m", turns=[HI], stream=True, cap=5000))
    assert body == {
        "model": "up",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "max_output_tokens": 1000,
        "include": ["reasoning.encrypted_content"],
        "stream": True,
        "store": False,
    }
    assert losses == []


def test_a_plain_first_system_turn_is_instructions_and_others_stay() -> None:
    body, _ = write(
        Call(
            model="m",
            turns=[
                Turn(role="system", parts=[Text(text="a")]),
                HI,
                Turn(role="system", parts=[Text(text="b"), Text(text="c")]),
                Turn(role="system", developer=True, parts=[Text(text="d")]),
            ],
        )
    )
    assert body["instructions"] == "a"
    assert [item["role"] for item in body["input"]] == ["user", "system", "developer"]
    assert body["input"][1]["content"] == [{"type": "input_text", "text": "b"}, {"type": "input_text", "text": "c"}]


def test_a_tool_loop() -> None:
    found = items(
        Turn(
            role="assistant",
            parts=[
                Thinking(text="t", signature="ENC", origin="openai", summary=True, id="rs_1"),
                Text(text="a"),
                Text(text="b"),
                ToolCall(id="c1", name="f", arguments='{"n":1.0}'),
                ToolCall(id="c2", name="p", arguments="free", custom=True, namespace="ns"),
            ],
        ),
        Turn(
            role="user",
            parts=[
                ToolResult(call_id="c1", parts=[Text(text="one")]),
                ToolResult(call_id="c2", parts=[Text(text="two")], custom=True, error=True),
                Text(text="go on"),
            ],
        ),
    )
    assert found == [
        {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}],
         "encrypted_content": "ENC"},
        {"type": "message", "role": "assistant", "content": [
            {"type": "output_text", "text": "a", "annotations": []},
            {"type": "output_text", "text": "b", "annotations": []}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"n":1.0}'},
        {"type": "custom_tool_call", "call_id": "c2", "name": "p", "namespace": "ns", "input": "free"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "[tool error] two"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go on"}]},
    ]  # fmt: skip
    for item in found:
        ITEM.validate_python({"id": "msg_1", "status": "completed", **item})  # which a message need not have


def test_an_image_in_a_result() -> None:
    result = ToolResult(call_id="c", parts=[Text(text="a"), Media(kind="image", media_type="image/png", data="AAAA")])
    assert items(Turn(role="user", parts=[result])) == [
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,AAAA"},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (Media(kind="image", url="https://x", detail="high"),
         [{"type": "input_image", "detail": "high", "image_url": "https://x"}]),
        (Media(kind="document", media_type="application/pdf", data="JVBERi0=", title="a.pdf"),
         [{"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}]),
        (Media(kind="document", url="https://x", context="about"),
         [{"type": "input_text", "text": "about"}, {"type": "input_file", "file_url": "https://x"}]),
        (Media(kind="document", text="body", title="T"), [{"type": "input_text", "text": "T\n\nbody"}]),
        (Media(kind="audio", media_type="audio/wav", data="AAAA"),
         [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]),
        (Carried(dialect="openai_responses", kind="content.novel", raw=b'{"type":"novel"}'), [{"type": "novel"}]),
    ],
)  # fmt: skip
def test_media(part: Part, written: list[Any]) -> None:
    assert items(Turn(role="user", parts=[part]))[0]["content"] == written


@pytest.mark.parametrize("part", [Media(kind="audio", data="A", media_type="audio/wav"), Media(kind="video", url="x")])
def test_what_a_model_cannot_hear_or_see_is_refused(part: Media) -> None:
    turn = Turn(role="user", parts=[part], at="messages[3]")
    with pytest.raises(InvalidCall) as caught:
        HERE.write_call(Call(model="m", turns=[turn]), Aim(model="up"))
    assert (caught.value.param, caught.value.code) == ("messages[3]", f"unsupported_{part.kind}")


def test_thinking_of_another_vendor_stays_here() -> None:
    turn = Turn(
        role="assistant",
        parts=[Thinking(text="secret", signature="S", origin="anthropic"), Text(text="a")],
        at="messages[1]",
    )
    body, losses = write(Call(model="m", turns=[HI, turn]))
    assert "secret" not in json.dumps(body)
    assert losses == ["thinking"]


def test_tools_choices_and_forms() -> None:
    call = Call(
        model="m",
        turns=[HI],
        tools=[
            Tool(name="f", description="d", schema=b'{"type":"object","x":1.0}'),
            Tool(name="g", namespace="ns", about="N", strict=True),
            Tool(name="p", kind="custom", namespace="ns", schema=b'{"type":"text"}'),
            Tool(name="s", kind="hosted", dialect="anthropic_messages", raw=b"{}"),
            Tool(name="web_search", kind="hosted", dialect="openai_responses", raw=b'{"type":"web_search"}'),
        ],
        choice=ToolChoice(mode="any", names=("ns__g",)),
        parallel=False,
        reasoning=Reasoning(mode="on", budget=5000, shown=True),
        format=Format(kind="schema", schema=b'{"type":"object"}', strict=True),
        verbosity="high",
        logprobs=2,
        identity="u",
        cache_key="k",
    )
    body, losses = write(call)
    assert body["tools"] == [
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object", "x": 1.0},
         "strict": False},
        {"type": "namespace", "name": "ns", "description": "N", "tools": [
            {"type": "function", "name": "g", "parameters": {"type": "object", "properties": {}}, "strict": True},
            {"type": "custom", "name": "p", "format": {"type": "text"}}]},
        {"type": "web_search"},
    ]  # fmt: skip
    assert body["tool_choice"] == {"type": "function", "name": "g"}
    assert body["parallel_tool_calls"] is False
    assert body["reasoning"] == {"effort": "medium", "summary": "auto"}
    assert body["text"] == {
        "format": {"type": "json_schema", "name": "answer", "schema": {"type": "object"}, "strict": True},
        "verbosity": "high",
    }
    assert body["include"] == ["reasoning.encrypted_content", "message.output_text.logprobs"]
    assert (body["top_logprobs"], body["safety_identifier"], body["prompt_cache_key"]) == (2, "u", "k")
    assert losses == ["tools.s"]


def test_several_names_are_a_list_of_allowed_tools() -> None:
    tools = [Tool(name="f"), Tool(name="g", kind="custom")]
    body, _ = write(Call(model="m", turns=[HI], tools=tools, choice=ToolChoice(mode="any", names=("f", "g"))))
    named = [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}]
    assert body["tool_choice"] == {"type": "allowed_tools", "mode": "required", "tools": named}
    with pytest.raises(InvalidCall):
        write(Call(model="m", turns=[HI], tools=tools, choice=ToolChoice(mode="any", names=("h",))))


def test_what_this_dialect_or_model_has_no_word_for_is_named() -> None:
    call = Call(
        model="m", turns=[Turn(role="user", name="ann", parts=[Text(text="a", cache=Cache())])], top_k=4, stop=("x",),
        seed=1, presence_penalty=1, frequency_penalty=0, choices=2, temperature=1, cache_key="k", cap=3,
        reasoning=Reasoning(effort="high"), format=Format(kind="schema", schema=b"{}"), modalities=("text", "image"),
    )  # fmt: skip
    body, losses = write(call, Aim(model="up"))
    assert set(losses) == {
        "name", "cache_control", "max_output_tokens", "reasoning", "text.format", "n", "top_k", "stop", "seed",
        "presence_penalty", "modalities", "temperature", "prompt_cache_key",
    }  # fmt: skip
    assert body["max_output_tokens"] == 16
    assert "temperature" not in body
    assert "include" not in body


def test_names_that_a_provider_refuses_are_never_sent() -> None:
    aim = Aim(model="up", ways=WAYS, refused=frozenset({"store", "safety_identifier", "include"}))
    body, _ = write(Call(model="m", turns=[HI], identity="u"), aim)
    assert set(body) == {"model", "input"}


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES = st.sampled_from(["f", "get_weather", "x-1"])
IDS = st.text("abc123", min_size=1, max_size=6)
TEXTS = st.builds(lambda text: Text(text=text), TEXT)
IMAGES = st.builds(lambda url: Media(kind="image", url=url, detail="auto"), st.sampled_from(["https://a", "https://b"]))
FULL = st.builds(lambda text: Text(text=text), TEXT.filter(lambda text: bool(text) and not text.startswith("[tool")))
RESULTS = st.builds(
    lambda call_id, parts, error, custom: ToolResult(call_id=call_id, parts=parts, error=error, custom=custom),
    IDS,
    st.lists(FULL | IMAGES, max_size=3),
    st.booleans(),
    st.booleans(),
)
SAID = st.one_of(
    TEXTS,
    st.builds(lambda text: Refusal(text=text), TEXT),
    st.builds(
        lambda text, sign: Thinking(
            text=text, signature=sign, origin="openai", summary=bool(text), redacted=not text, id="rs_1"
        ),
        TEXT,
        IDS,
    ),
    st.builds(lambda i, name, args: ToolCall(id=i, name=name, arguments=args or "{}"), IDS, NAMES, TEXT),
    st.builds(lambda i, name, args: ToolCall(id=i, name=name, arguments=args, custom=True), IDS, NAMES, TEXT),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Turn]:
    """Turns as the reader gives them: an assistant's run is one turn, results in a row are one."""
    found: list[Turn] = []
    for role in draw(st.lists(st.sampled_from(["user", "assistant", "developer", "results"]), min_size=1, max_size=6)):
        if role == "assistant" and not (found and found[-1].role == "assistant"):
            found.append(Turn(role="assistant", parts=draw(st.lists(SAID, min_size=1, max_size=4))))
        elif role == "results" and not (found and found[-1].parts and isinstance(found[-1].parts[-1], ToolResult)):
            found.append(Turn(role="user", parts=list(draw(st.lists(RESULTS, min_size=1, max_size=3)))))
        elif role == "user":
            found.append(Turn(role="user", parts=draw(st.lists(TEXTS | IMAGES, min_size=1, max_size=3))))
        elif role == "developer":
            found.append(Turn(role="system", developer=True, parts=[draw(TEXTS)]))
    return found


def bare(turns: list[Turn]) -> list[Turn]:
    """Without the places where the turns stood."""
    return [Turn(role=turn.role, parts=turn.parts, developer=turn.developer) for turn in turns]


@given(turns=conversations())
@settings(max_examples=examples(150), deadline=None)
def test_a_call_comes_back_from_its_own_dialect(turns: list[Turn]) -> None:
    written = HERE.write_call(Call(model="m", turns=turns), AIM)
    assert written.losses == ()
    again = HERE.read_call(Place(dialect="openai_responses", endpoint="responses"), written.body)
    assert bare(again.turns) == bare(turns)
    assert again.losses == ()
