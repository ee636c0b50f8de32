"""Requests in Anthropic's words as neutral calls: every kind of block, every wrong field, every loss."""

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
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from ruxa.dialects.dialect import Endpoint, Place
from ruxa.dialects.signature import pack
from ruxa.kernel.errors import InvalidCall

HERE = TRANSLATORS["anthropic_messages"]
USER = {"role": "user", "content": "hi"}


def read(endpoint: Endpoint = "messages", /, **members: Any) -> Call:
    body = {"model": "claude", "max_tokens": 100, "messages": [USER], **members}
    raw = json.dumps({name: value for name, value in body.items() if value is not ...}, separators=(",", ":"))
    return HERE.read_call(Place(dialect="anthropic_messages", endpoint=endpoint), raw.encode())


def block(role: str, *blocks: dict[str, Any]) -> Turn:
    return read(messages=[{"role": role, "content": list(blocks)}]).turns[0]


def losses(call: Call) -> list[str]:
    return [loss.name for loss in call.losses]


def test_the_envelope() -> None:
    call = read(stream=True, temperature=0.5, top_p=1, top_k=40, stop_sequences=["a", "b"], metadata={"user_id": "u1"})
    assert (call.model, call.cap, call.stream, call.identity) == ("claude", 100, True, "u1")
    assert (call.temperature, call.top_p, call.top_k, call.stop) == (0.5, 1, 40, ("a", "b"))
    assert call.losses == ()
    assert call.turns == [Turn(role="user", parts=[Text(text="hi")], at="messages.0")]


def test_a_count_has_no_cap() -> None:
    assert read("count_tokens", max_tokens=...).cap is None
    with pytest.raises(InvalidCall, match="max_tokens: Field required"):
        read(max_tokens=...)


def test_system_as_a_text_a_list_and_inside_the_messages() -> None:
    assert read(system="be brief").turns[0] == Turn(role="system", parts=[Text(text="be brief")], at="system")
    mark = {"type": "ephemeral", "ttl": "1h"}
    call = read(
        system=[{"type": "text", "text": "a", "cache_control": mark}, {"type": "text", "text": "b"}],
        messages=[USER, {"role": "system", "content": "now in French"}],
    )
    assert call.turns[0].parts == [Text(text="a", cache=Cache(ttl="1h")), Text(text="b")]
    assert [turn.role for turn in call.turns] == ["system", "user", "system"]
    assert call.turns[2] == Turn(role="system", parts=[Text(text="now in French")], at="messages.1")
    assert [turn.role for turn in read(system="").turns] == ["user"]


def test_images_and_documents_from_every_source() -> None:
    png = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    turn = block(
        "user",
        {"type": "image", "source": png, "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "document", "source": pdf, "title": "T", "context": "C", "citations": {"enabled": True}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        {"type": "document", "source": {"type": "url", "url": "https://a.example/x.pdf"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_2"}},
        {"type": "document", "source": {"type": "content", "content": "chunk"}},
    )
    assert turn.parts == [
        Media(kind="image", media_type="image/png", data="iVBORw0KGgo=", cache=Cache()),
        Media(kind="image", url="https://a.example/x.png"),
        Media(kind="image", file_id="file_1"),
        Media(kind="document", media_type="application/pdf", data="JVBERi0=", title="T", context="C", cited=True),
        Media(kind="document", media_type="text/plain", text="words"),
        Media(kind="document", media_type="application/pdf", url="https://a.example/x.pdf"),
        Media(kind="document", file_id="file_2"),
        Media(kind="document", media_type="text/plain", text="chunk"),
    ]


def test_chunks_and_found_texts_stay_texts_and_say_what_was_lost() -> None:
    chunks = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    found = {"type": "search_result", "source": "https://a.example", "title": "T", "content": chunks[:1]}
    call = read(
        messages=[
            {
                "role": "user",
                "content": [{"type": "document", "source": {"type": "content", "content": chunks}}, found],
            }
        ]
    )
    assert call.turns[0].parts == [
        Media(kind="document", media_type="text/plain", text="one\n\ntwo"),
        Media(kind="document", media_type="text/plain", text="one", title="T", context="https://a.example"),
    ]
    assert losses(call) == ["document.chunks", "search_result"]
    pictured = [*chunks, {"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}}]
    source = {"type": "content", "content": pictured}
    call = read(messages=[{"role": "user", "content": [{"type": "document", "source": source, "title": "T"}]}])
    kinds = [type(part) for part in call.turns[0].parts]
    assert kinds == [Text, Text, Text, Media]
    assert losses(call) == ["document"]


def test_thinking_keeps_whose_it_is() -> None:
    turn = block(
        "assistant",
        {"type": "thinking", "thinking": "hm", "signature": "EqRk=="},
        {"type": "redacted_thinking", "data": "Emw="},
        {"type": "thinking", "thinking": "ah", "signature": pack("openai", "enc")},
        {"type": "redacted_thinking", "data": pack("openai", "rs")},
        {"type": "thinking", "thinking": "unsigned", "signature": ""},
    )
    assert turn.parts == [
        Thinking(text="hm", signature="EqRk==", origin="anthropic"),
        Thinking(signature="Emw=", origin="anthropic", redacted=True),
        Thinking(text="ah", signature="enc", origin="openai"),
        Thinking(signature="rs", origin="openai", redacted=True),
        Thinking(text="unsigned"),
    ]


def test_a_foreign_signature_goes_back_to_its_tool_call() -> None:
    turn = block(
        "assistant",
        {"type": "thinking", "thinking": "", "signature": pack("google", "AsF=")},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
        {"type": "thinking", "thinking": "", "signature": "own"},
        {"type": "tool_use", "id": "t2", "name": "f", "input": {}},
    )
    assert turn.parts == [
        ToolCall(id="t1", name="f", signature="AsF=", origin="google"),
        Thinking(signature="own", origin="anthropic"),
        ToolCall(id="t2", name="f"),
    ]


def test_tool_calls_keep_the_spelling_of_their_arguments() -> None:
    source = '{ "n": 1.0, "big": 123456789012345678901234567890, "e": 1E5 , "ü": "日本\\u00e9 x" }'
    raw = (
        '{"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":'
        '[{"type":"tool_use","id":"t","name":"f","input":' + source + "}]}]}"
    )
    call = HERE.read_call(Place(dialect="anthropic_messages", endpoint="messages"), raw.encode())
    part = call.turns[0].parts[0]
    assert isinstance(part, ToolCall)
    assert part.arguments == '{"n":1.0,"big":123456789012345678901234567890,"e":1E5,"ü":"日本\\u00e9 x"}'


def test_tool_results() -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}}
    turn = block(
        "user",
        {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "ok"}, picture]},
        {"type": "tool_result", "tool_use_id": "t2", "content": "bad", "is_error": True},
        {"type": "tool_result", "tool_use_id": "t3", "cache_control": {"type": "ephemeral"}},
        {"type": "tool_result", "tool_use_id": "t4", "content": [{"type": "tool_reference", "tool_name": "f"}]},
        {"type": "text", "text": "and?"},
    )
    reference = Carried(
        dialect="anthropic_messages", kind="tool_reference", raw=b'{"type":"tool_reference","tool_name":"f"}'
    )
    assert turn.parts == [
        ToolResult(call_id="t1", parts=[Text(text="ok"), Media(kind="image", url="https://a.example/x.png")]),
        ToolResult(call_id="t2", parts=[Text(text="bad")], error=True),
        ToolResult(call_id="t3", cache=Cache()),
        ToolResult(call_id="t4", parts=[reference]),
        Text(text="and?"),
    ]


def test_unknown_blocks_are_carried_byte_for_byte() -> None:
    raw = b'{"type":"server_tool_use", "id":"s1","name":"web_search","input":{"q":1.0}}'
    body = b'{"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":[' + raw + b"]}]}"
    call = HERE.read_call(Place(dialect="anthropic_messages", endpoint="messages"), body)
    assert call.turns[0].parts == [Carried(dialect="anthropic_messages", kind="server_tool_use", raw=raw)]


def test_tools_and_the_choice_of_them() -> None:
    schema = {"type": "object", "properties": {"a": {"minimum": 1.0}}}
    call = read(
        tools=[
            {"name": "f", "description": "d", "input_schema": schema, "strict": True},
            {"type": "custom", "name": "g", "input_schema": {}, "cache_control": {"type": "ephemeral"}},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
        ],
        tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    )
    raw = b'{"type":"web_search_20250305","name":"web_search","max_uses":2}'
    assert call.tools == [
        Tool(name="f", description="d", schema=json.dumps(schema, separators=(",", ":")).encode(), strict=True),
        Tool(name="g", schema=b"{}", cache=Cache()),
        Tool(name="web_search", kind="hosted", raw=raw, dialect="anthropic_messages"),
    ]
    assert (call.choice, call.parallel) == (ToolChoice(mode="any", names=("f",)), False)
    for kind in ("auto", "any", "none"):
        assert read(tool_choice={"type": kind}).choice == ToolChoice(mode=kind)
    assert read(tool_choice={"type": "auto", "disable_parallel_tool_use": False}).parallel is True


def test_a_tool_of_the_providers_own_is_chosen_by_its_kind() -> None:
    tool = {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}
    call = read(tools=[tool], tool_choice={"type": "tool", "name": "str_replace_based_edit_tool"})
    assert call.choice == ToolChoice(mode="any", names=("text_editor",))
    assert call.tools[0].name == "text_editor"


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, Reasoning(mode="on", budget=2048)),
        (
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "high"}},
            Reasoning(mode="adaptive", effort="high", shown=True),
        ),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, Reasoning(mode="adaptive", shown=False)),
        ({"thinking": {"type": "disabled"}}, Reasoning(mode="off")),
        ({"output_config": {"effort": "max"}}, Reasoning(effort="max")),
        ({}, None),
    ],
)
def test_thinking_by_the_table(members: dict[str, Any], wanted: Reasoning | None) -> None:
    call = read(**members)
    assert call.reasoning == wanted
    assert call.losses == ()


def test_thinking_between_tools_is_off_elsewhere_and_told() -> None:
    call = read(thinking={"type": "between_tools"})
    assert call.reasoning == Reasoning(mode="off")
    assert losses(call) == ["thinking.between_tools"]


def test_the_form_of_the_answer() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "number"}}, "additionalProperties": False}
    wanted = Format(kind="schema", schema=json.dumps(schema, separators=(",", ":")).encode(), strict=True)
    form = {"type": "json_schema", "schema": schema}
    assert read(output_config={"format": form}).format == wanted
    assert read(output_format=form).format == wanted


def test_the_mark_for_all_stands_on_the_last_block() -> None:
    call = read(cache_control={"type": "ephemeral", "ttl": "1h"})
    assert call.turns[0].parts == [Text(text="hi", cache=Cache(ttl="1h"))]


def test_what_no_call_holds_is_told_by_name() -> None:
    call = read(
        service_tier="priority",
        container={"id": "c"},
        mcp_servers=[{"url": "https://a.example"}],
        inference_geo="eu",
        metadata={"user_id": "u", "other": 1},
        output_config={"task_budget": {"total": 5}},
        tools=[
            {"name": "f", "input_schema": {"type": "object"}, "defer_loading": True, "eager_input_streaming": False}
        ],
        messages=[
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "x", "citations": [{"type": "page_location"}]},
                    {"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "code_execution"}},
                ],
            }
        ],
        **{"white space": 1},
    )
    told = {loss.name: loss.param for loss in call.losses}
    assert told == {
        "citations": "messages.0.content.0.citations",
        "tool_use.caller": "messages.0.content.1.caller",
        "tools.defer_loading": "tools.0.defer_loading",
        "output_config.task_budget": "output_config.task_budget",
        "metadata.other": "metadata.other",
        "service_tier": "service_tier",
        "container": "container",
        "mcp_servers": "mcp_servers",
        "inference_geo": "inference_geo",
        "unknown": "white space",
    }
    usual = read(service_tier="auto", speed="standard", inference_geo="global", mcp_servers=[], container=None)
    assert usual.losses == ()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": 5}, "model"),
    ({"messages": "hi"}, "messages"),
    ({"messages": [5]}, "messages.0"),
    ({"messages": [{"content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
    ({"messages": [{"role": "user"}]}, "messages.0.content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
    ({"messages": [USER, {"role": "user", "content": [{"type": "text"}]}]}, "messages.1.content.0.text"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages.0.content.0.text"),
    ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.0.content.0.type"),
    ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages.0.content.0.source"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "ftp"}}]}]},
        "messages.0.content.0.source.type",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{}]}]}]},
        "messages.0.content.0.content.0.type",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}]},
        "messages.0.content.0.type",
    ),
    (
        {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": []}]}]},
        "messages.0.content.0.input",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "x"}}]}]},
        "messages.0.content.0.cache_control.type",
    ),
    (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "9m"}}],
                }
            ]
        },
        "messages.0.content.0.cache_control.ttl",
    ),
    ({"system": [{"type": "image", "source": {}}]}, "system.0.type"),
    ({"system": 5}, "system"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": "5"}, "max_tokens"),
    ({"temperature": 2}, "temperature"),
    ({"top_p": "x"}, "top_p"),
    ({"top_k": 1.5}, "top_k"),
    ({"stop_sequences": [5]}, "stop_sequences.0"),
    ({"stream": "yes"}, "stream"),
    ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
    ({"tools": [{"name": "f"}]}, "tools.0.input_schema"),
    ({"tools": [{"name": "f", "input_schema": "x"}]}, "tools.0.input_schema"),
    ({"tool_choice": {"type": "must"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"thinking": {"type": "some"}}, "thinking.type"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "adaptive", "display": "all"}}, "thinking.display"),
    ({"output_config": {"format": {"type": "text"}}}, "output_config.format.type"),
    ({"output_config": {"format": {"type": "json_schema", "schema": 1}}}, "output_config.format.schema"),
    ({"metadata": {"user_id": 5}}, "metadata.user_id"),
    ({"cache_control": {"type": "eternal"}}, "cache_control.type"),
]


@pytest.mark.parametrize(("members", "path"), WRONG, ids=[path + str(at) for at, (_, path) in enumerate(WRONG)])
def test_every_wrong_field_is_named(members: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        read(**members)
    assert caught.value.param == path
    assert caught.value.public.startswith(path + ":")
