"""Requests for responses as neutral calls: every kind of item, every wrong field named, nothing lost in silence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ruxa.dialects import TRANSLATORS
from ruxa.dialects.call import (
    Cache,
    Call,
    Carried,
    Format,
    Media,
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
from ruxa.dialects.signature import pack
from ruxa.kernel.errors import InvalidCall

HERE = TRANSLATORS["openai_responses"]
PLACE = Place(dialect="openai_responses", endpoint="responses")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAE="
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True, "description": "d"}


def read(**members: Any) -> Call:
    body = {"model": "gpt", "input": "hi", **members}
    raw = json.dumps({name: value for name, value in body.items() if value is not ...}, separators=(",", ":"))
    return HERE.read_call(PLACE, raw.encode())


def turns(*items: Any) -> list[Turn]:
    return read(input=list(items)).turns


def user(*parts: dict[str, Any]) -> list[Any]:
    return turns({"role": "user", "content": list(parts)})[0].parts


def losses(call: Call) -> list[str]:
    return [loss.name for loss in call.losses]


def test_the_envelope() -> None:
    call = read(
        stream=True, temperature=0.5, top_p=1, max_output_tokens=100, user="u", safety_identifier="s",
        prompt_cache_key="k", parallel_tool_calls=False, metadata={"a": "b"}, client_metadata={"c": "d"}, store=True,
        previous_response_id="resp_1", truncation="disabled", service_tier="auto", background=False,
        stream_options={"include_obfuscation": False}, include=["reasoning.encrypted_content"], conversation=None,
    )  # fmt: skip
    assert (call.model, call.cap, call.stream, call.usage) == ("gpt", 100, True, True)
    assert (call.temperature, call.top_p, call.parallel) == (0.5, 1, False)
    assert (call.identity, call.cache_key, call.logprobs) == ("s", "k", None)
    assert call.losses == ()
    assert call.turns == [Turn(role="user", parts=[Text(text="hi")], at="input")]


def test_instructions_are_the_systems_and_a_string_is_one_turn() -> None:
    call = read(instructions="Be kind.")
    assert call.turns == [
        Turn(role="system", parts=[Text(text="Be kind.")], at="instructions"),
        Turn(role="user", parts=[Text(text="hi")], at="input"),
    ]


def test_items_without_a_type_are_messages() -> None:
    assert turns({"role": "user", "content": "a"}, {"role": "developer", "content": "b"}) == [
        Turn(role="user", parts=[Text(text="a")], at="input[0]"),
        Turn(role="system", developer=True, parts=[Text(text="b")], at="input[1]"),
    ]


def test_what_the_model_said_in_one_go_is_one_turn() -> None:
    found = turns(
        {"role": "user", "content": "x"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "a"},
         {"type": "summary_text", "text": "b"}], "encrypted_content": "ENC"},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "phase": "commentary",
         "content": [{"type": "output_text", "text": "I look", "annotations": [], "logprobs": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": '{"n": 1.0}'},
        {"type": "custom_tool_call", "call_id": "call_2", "name": "p", "input": "free", "namespace": "ns"},
        {"type": "function_call_output", "call_id": "call_1", "output": "one"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "two"}]},
        {"role": "user", "content": "y"},
    )  # fmt: skip
    assert [turn.role for turn in found] == ["user", "assistant", "user", "user"]
    assert found[1].phase == "commentary"
    assert found[1].parts == [
        Thinking(text="a\n\nb", signature="ENC", origin="openai", summary=True, id="rs_1"),
        Text(text="I look"),
        ToolCall(id="call_1", name="f", arguments='{"n": 1.0}'),
        ToolCall(id="call_2", name="p", arguments="free", custom=True, namespace="ns"),
    ]
    assert found[2].parts == [
        ToolResult(call_id="call_1", parts=[Text(text="one")]),
        ToolResult(call_id="call_2", parts=[Text(text="two")], custom=True),
    ]


def test_phases_of_messages_stay_apart() -> None:
    found = turns(
        {"role": "assistant", "content": "a", "phase": "commentary"},
        {"role": "assistant", "content": "b", "phase": "final_answer"},
    )
    assert [turn.phase for turn in found] == ["commentary", "final_answer"]


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ({"type": "input_text", "text": "ü"}, Text(text="ü")),
        (
            {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
            Text(text="a", cache=Cache()),
        ),
        (
            {"type": "input_image", "detail": "low", "image_url": f"data:image/jpeg;base64,{PNG}"},
            Media(kind="image", media_type="image/png", data=PNG, detail="low"),
        ),
        ({"type": "input_image", "image_url": "https://x.test/a"}, Media(kind="image", url="https://x.test/a")),
        ({"type": "input_image", "file_id": "file-1"}, Media(kind="image", file_id="file-1")),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQ="},
            Media(kind="document", media_type="application/pdf", data="JVBERi0xLjQ=", title="a.pdf"),
        ),
        (
            {"type": "input_file", "file_data": "JVBERi0xLjQ="},
            Media(kind="document", media_type="application/pdf", data="JVBERi0xLjQ="),
        ),
        ({"type": "input_file", "file_url": "https://x.test/a"}, Media(kind="document", url="https://x.test/a")),
        ({"type": "input_file", "file_id": "file-1"}, Media(kind="document", file_id="file-1")),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            Media(kind="audio", media_type="audio/wav", data="AAAA"),
        ),
        ({"type": "refusal", "refusal": "no"}, Refusal(text="no")),
        (
            {"type": "novel", "x": 1},
            Carried(dialect="openai_responses", kind="content.novel", raw=b'{"type":"novel","x":1}'),
        ),
    ],
)
def test_parts_of_a_message(part: dict[str, Any], found: Any) -> None:
    assert user(part) == [found]


def test_an_image_in_a_result() -> None:
    output = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}]
    assert turns({"type": "function_call_output", "call_id": "c", "output": output})[0].parts == [
        ToolResult(call_id="c", parts=[Text(text="a"), Media(kind="image", media_type="image/png", data=PNG)])
    ]


def test_a_result_says_that_its_tool_failed() -> None:
    found = turns({"type": "function_call_output", "call_id": "c", "output": "[tool error] gone"})[0].parts
    assert found == [ToolResult(call_id="c", parts=[Text(text="gone")], error=True)]


def test_thinking_of_another_vendor_comes_back_as_it_was() -> None:
    def item(text: str, encrypted: str) -> dict[str, Any]:
        summary = [{"type": "summary_text", "text": text}] if text else []
        return {"type": "reasoning", "summary": summary, "encrypted_content": encrypted}

    found = turns(item("deep", pack("anthropic", "SIG")), item("", pack("anthropic", "!DATA")))[0].parts
    assert found == [
        Thinking(text="deep", signature="SIG", origin="anthropic", summary=True),
        Thinking(signature="DATA", origin="anthropic", redacted=True),
    ]
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    assert turns(item("", pack("google", "MARK")), call)[0].parts == [
        ToolCall(id="c", name="f", signature="MARK", origin="google")
    ]


def test_items_of_hosted_tools_are_carried_where_they_stood() -> None:
    found = turns(
        {"role": "user", "content": "x"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"role": "assistant", "content": "found"},
        {"type": "shell_call_output", "call_id": "s", "output": []},
    )
    assert [turn.role for turn in found] == ["user", "assistant", "user"]
    assert isinstance(found[1].parts[0], Carried)
    assert [part.kind for turn in found for part in turn.parts if isinstance(part, Carried)] == [
        "web_search_call",
        "shell_call_output",
    ]


def test_tools_of_every_kind() -> None:
    call = read(
        tools=[
            FUNCTION,
            {"type": "custom", "name": "p", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
            {"type": "namespace", "name": "ns", "description": "N", "tools": [{"type": "function", "name": "g"}]},
            {"type": "web_search", "external_web_access": False},
        ],
        tool_choice="required",
    )
    assert call.tools == [
        Tool(name="f", description="d", schema=b'{"type":"object"}', strict=True),
        Tool(name="p", kind="custom", schema=b'{"type":"grammar","syntax":"lark","definition":"x"}'),
        Tool(name="g", namespace="ns", about="N"),
        Tool(
            name="web_search",
            kind="hosted",
            raw=b'{"type":"web_search","external_web_access":false}',
            dialect="openai_responses",
        ),
    ]
    assert call.choice == ToolChoice(mode="any")
    assert call.losses == ()


@pytest.mark.parametrize(
    ("choice", "read_as", "left"),
    [
        ("auto", ToolChoice(mode="auto"), 3),
        ("none", ToolChoice(mode="none"), 3),
        ({"type": "function", "name": "f"}, ToolChoice(mode="any", names=("f",)), 3),
        ({"type": "function", "name": "g"}, ToolChoice(mode="any", names=("ns__g",)), 3),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
         ToolChoice(mode="auto"), 1),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"},
          {"type": "function", "name": "g"}]}, ToolChoice(mode="any"), 2),
    ],
)  # fmt: skip
def test_choices(choice: Any, read_as: ToolChoice, left: int) -> None:
    inner = {"type": "namespace", "name": "ns", "description": "N", "tools": [{"type": "function", "name": "g"}]}
    call = read(tools=[FUNCTION, inner, {"type": "web_search"}], tool_choice=choice)
    assert (call.choice, len(call.tools)) == (read_as, left)


def test_forms_of_text_and_reasoning() -> None:
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"}
    call = read(text={"format": schema, "verbosity": "low"}, reasoning={"effort": "high", "summary": "detailed"})
    assert call.format == Format(kind="schema", name="n", description="d", schema=b'{"type":"object"}', strict=True)
    assert (call.verbosity, call.reasoning) == ("low", Reasoning(effort="high", shown=True))
    assert read(text={"format": {"type": "json_object"}}).format == Format(kind="json")
    assert read(text={"format": {"type": "text"}}, reasoning={}).format is None
    assert read(top_logprobs=3).logprobs == 3
    assert read(include=["message.output_text.logprobs"]).logprobs == 0


def test_what_cannot_be_carried_is_named() -> None:
    call = read(
        frobnicate=1, truncation="auto", service_tier="flex", max_tool_calls=3, context_management=[{"type": "x"}],
        reasoning={"effort": "low", "mode": "pro"}, tools=[{"type": "web_search"}, {**FUNCTION, "output_schema": {}}],
        text={"format": {"type": "text"}, "novel": 1}, **{"not a header": 2},
        input=[{"role": "user", "content": [{"type": "output_text", "text": "a", "annotations": [{"type": "x"}]}]}],
    )  # fmt: skip
    assert set(losses(call)) == {
        "frobnicate", "unknown", "truncation", "service_tier", "max_tool_calls", "context_management", "reasoning.mode",
        "tools.output_schema", "text.novel", "annotations",
    }  # fmt: skip


def test_the_settings_are_kept_as_they_were_sent() -> None:
    kept = json.loads(read(tools=[FUNCTION], instructions="x", metadata={"a": "b"}, frobnicate=1).echo)
    assert kept == {"instructions": "x", "metadata": {"a": "b"}, "tools": [FUNCTION]}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": ...}, "model"),
    ({"input": ...}, "input"),
    ({"input": 7}, "input"),
    ({"input": [7]}, "input[0]"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
    ({"input": [{"id": "x"}]}, "input[0]"),
    ({"input": [{"role": "king", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
    ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type"),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]}]},
        "input[0].content[0].image_url",
    ),
    ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
    ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}]}, "input[0].arguments"),
    ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
    ({"input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": 1}]}]},
     "input[0].output[0].text"),
    ({"input": [{"type": "reasoning", "summary": [{"type": "summary_text"}]}]}, "input[0].summary[0].text"),
    ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"tools": [{"name": "f"}]}, "tools[0].type"),
    ({"tools": [{"type": "function", "name": "f", "parameters": 1}]}, "tools[0].parameters"),
    ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}]}, "tools[0].tools[0].name"),
    ({"tools": [FUNCTION], "tool_choice": "sometimes"}, "tool_choice"),
    ({"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice.name"),
    ({"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}, "tool_choice"),
    ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
    ({"text": {"format": {"type": "yaml"}}}, "text.format.type"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"temperature": "hot"}, "temperature"),
    ({"background": True}, "background"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt"),
]  # fmt: skip


@pytest.mark.parametrize(("members", "param"), WRONG, ids=[param for _, param in WRONG])
def test_every_wrong_field_is_named(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        read(**members)
    assert caught.value.param == param
    assert param in caught.value.public or caught.value.public.startswith("Invalid value: ")
