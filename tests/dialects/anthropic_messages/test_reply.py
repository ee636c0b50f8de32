"""Whole answers: what a message of Anthropic's says, and messages that Anthropic's own SDK understands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message

from ruxa.dialects import TRANSLATORS
from ruxa.dialects.call import Call, Carried, Media, Refusal, Text, Thinking, ToolCall
from ruxa.dialects.dialect import Finish
from ruxa.dialects.reply import Asked, Choice, Reply, Said
from ruxa.dialects.signature import pack
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import UpstreamBroken

HERE = TRANSLATORS["anthropic_messages"]
ASKED = Asked(call=Call(model="m", turns=[]), model="public/m", request_id="req_" + "ab" * 16, created_s=1)


def message(*content: dict[str, Any], **members: Any) -> bytes:
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": list(content),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 5},
        **members,
    }
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def written(reply: Reply) -> dict[str, Any]:
    body = json.loads(HERE.write_reply(reply, ASKED))
    Message.model_validate(body)
    return body


def said(*parts: Said, **members: Any) -> dict[str, Any]:
    return written(Reply(choices=[Choice(parts=[*parts], **members)], usage=Usage(input_tokens=1, output_tokens=2)))


def test_every_part_is_read() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1.0}}
    reply = HERE.read_reply(
        message(
            {"type": "thinking", "thinking": "hm", "signature": "EqRk=="},
            {"type": "redacted_thinking", "data": "Emw="},
            {"type": "text", "text": "日本", "citations": [{"type": "char_location"}]},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"n": 1.0}},
            search,
            stop_reason="tool_use",
            container={"id": "c"},
        )
    )
    assert (reply.id, reply.model) == ("msg_1", "claude-x")
    assert reply.choices == [
        Choice(
            parts=[
                Thinking(text="hm", signature="EqRk==", origin="anthropic"),
                Thinking(signature="Emw=", origin="anthropic", redacted=True),
                Text(text="日本"),
                ToolCall(id="toolu_1", name="f", arguments='{"n":1.0}'),
                Carried(
                    dialect="anthropic_messages",
                    kind="server_tool_use",
                    raw=json.dumps(search, separators=(",", ":")).encode(),
                ),
            ],
            finish="tool",
        )
    ]
    assert [loss.name for loss in reply.losses] == ["citations", "container"]


@pytest.mark.parametrize(
    ("reason", "finish", "detail"),
    [
        ("end_turn", "stop", ""),
        ("stop_sequence", "stop", ""),
        ("max_tokens", "length", ""),
        ("tool_use", "tool", ""),
        ("pause_turn", "pause", "pause_turn"),
        ("refusal", "filter", "refusal"),
        ("model_context_window_exceeded", "length", "model_context_window_exceeded"),
        ("novelty", "other", "novelty"),
    ],
)
def test_w41_stop_reasons_and_back(reason: str, finish: Finish, detail: str) -> None:
    content = {"type": "text", "text": "x"}
    if reason == "tool_use":
        content = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    sequence = "END" if reason == "stop_sequence" else None
    reply = HERE.read_reply(message(content, stop_reason=reason, stop_sequence=sequence))
    choice = reply.choices[0]
    assert (choice.finish, choice.detail, choice.stop) == (finish, detail, sequence or "")
    body = written(reply)
    assert body["stop_reason"] == ("end_turn" if reason == "novelty" else reason)
    assert body["stop_sequence"] == sequence


def test_w75_a_refusal_both_ways() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "No."}
    reply = HERE.read_reply(message(stop_reason="refusal", stop_details=details))
    assert reply.choices == [Choice(parts=[Refusal(text="No.")], finish="filter", detail="bio")]
    body = written(reply)
    assert (body["content"], body["stop_reason"], body["stop_details"]) == ([], "refusal", details)
    body = said(Refusal(text="I can't."), finish="stop")
    assert body["stop_details"] == {"type": "refusal", "category": None, "explanation": "I can't."}
    body = said(finish="filter", detail="SAFETY")
    assert body["stop_details"]["explanation"] == "The provider withheld the answer: SAFETY."
    body = said(finish="error", detail="MALFORMED_FUNCTION_CALL")
    assert body["stop_reason"] == "refusal"
    assert "MALFORMED_FUNCTION_CALL" in body["stop_details"]["explanation"]


def test_figures_are_the_same_both_ways() -> None:
    usage = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 12304,
        "cache_read_input_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 12000, "ephemeral_1h_input_tokens": 304},
        "output_tokens": 550,
        "output_tokens_details": {"thinking_tokens": 500},
    }
    reply = HERE.read_reply(message({"type": "text", "text": "x"}, usage=usage))
    assert reply.usage is not None
    assert (reply.usage.input_total, reply.usage.output_total) == (12314, 550)
    assert written(reply)["usage"] == usage


def test_w45_figures_of_another_dialect_and_w49_a_write_without_its_split() -> None:
    told = Usage(input_tokens=400, cache_read_tokens=15802, audio_input_tokens=10, output_tokens=4, reasoning_tokens=6)
    body = written(Reply(choices=[Choice(parts=[Text(text="x")])], usage=told))
    usage = body["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (410, 15802, 10)
    assert usage["output_tokens_details"] == {"thinking_tokens": 6}
    figures = {"input_tokens": 1, "cache_creation_input_tokens": 50, "output_tokens": 1}
    reply = HERE.read_reply(message(usage=figures))
    assert reply.usage == Usage(input_tokens=1, cache_write_5m_tokens=50, output_tokens=1)


def test_ids_are_anthropics_or_made() -> None:
    body = written(
        Reply(id="chatcmpl-1", choices=[Choice(parts=[ToolCall(id="", name="f"), ToolCall(id="", name="g")])])
    )
    assert body["id"] == "msg_" + "ab" * 16
    assert [block["id"] for block in body["content"]] == ["toolu_" + "ab" * 16, "toolu_" + "ab" * 16 + "01"]
    assert (body["stop_reason"], body["model"]) == ("tool_use", "public/m")
    assert written(Reply(id="msg_9"))["id"] == "msg_9"


@pytest.mark.parametrize("arguments", ['{"path": "a', "[]", "7"])
def test_w43_a_cut_tool_call_still_has_an_object(arguments: str) -> None:
    body = said(ToolCall(id="t", name="f", arguments=arguments), finish="length")
    assert (body["stop_reason"], body["content"][0]["input"]) == ("max_tokens", {"unparsed_arguments": arguments})


def test_arguments_keep_their_spelling() -> None:
    arguments = '{"n": 1.0, "big": 123456789012345678901234567890, "t": "日本"}'
    reply = Reply(choices=[Choice(parts=[ToolCall(id="t", name="f", arguments=arguments)], finish="tool")])
    assert b'"input":' + arguments.encode() in HERE.write_reply(reply, ASKED)
    assert said(ToolCall(id="t", name="f", arguments=""), finish="tool")["content"][0]["input"] == {}
    assert said(ToolCall(id="t", name="f", arguments='x"', custom=True))["content"][0]["input"] == {"input": 'x"'}


def test_signatures_of_other_vendors_travel_packed() -> None:
    body = said(
        Thinking(text="own", signature="s", origin="anthropic"),
        Thinking(text="shown", signature="g", origin="google"),
        Thinking(text="unsigned"),
        Thinking(signature="enc", origin="openai", redacted=True),
        Thinking(signature="Emw=", origin="anthropic", redacted=True),
        Thinking(),
        Text(text=""),
        ToolCall(id="t", name="f", signature="AsF=", origin="google"),
        finish="tool",
    )
    assert body["content"] == [
        {"type": "thinking", "thinking": "own", "signature": "s"},
        {"type": "thinking", "thinking": "shown", "signature": pack("google", "g")},
        {"type": "thinking", "thinking": "unsigned", "signature": ""},
        {"type": "redacted_thinking", "data": pack("openai", "enc")},
        {"type": "redacted_thinking", "data": "Emw="},
        {"type": "thinking", "thinking": "", "signature": pack("google", "AsF=")},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ]


def test_pictures_are_told_as_text_and_foreign_blocks_are_not() -> None:
    body = said(
        Media(kind="image", media_type="image/png", data="iVBO"),
        Media(kind="audio", url="https://a.example/x.wav"),
        Carried(dialect="openai_responses", kind="x", raw=b"{}"),
    )
    texts = [block["text"] for block in body["content"]]
    assert texts == ["![image](data:image/png;base64,iVBO)", "[audio](https://a.example/x.wav)"]


def test_w63_the_answer_comes_out_of_the_forced_tool() -> None:
    tool = {"type": "tool_use", "id": "t", "name": "ruxa_answer", "input": {"a": 1.0}}
    reply = HERE.read_reply(message(tool, stop_reason="tool_use"))
    assert reply.choices == [Choice(parts=[Text(text='{"a":1.0}')], finish="stop")]
    tool = {"type": "tool_use", "id": "t", "name": "ruxa_answer_value", "input": {"answer": [1, 2.0]}}
    reply = HERE.read_reply(message(tool, stop_reason="max_tokens"))
    assert reply.choices == [Choice(parts=[Text(text="[1,2.0]")], finish="length")]
    other = {"type": "tool_use", "id": "u", "name": "f", "input": {}}
    assert HERE.read_reply(message(tool, other, stop_reason="tool_use")).choices[0].finish == "tool"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"content":5}',
        b'{"content":[{"type":"text"}]}',
        b'{"content":[],"usage":{"input_tokens":"x"}}',
        b'{"content":[],"stop_details":5,"stop_reason":"refusal"}',
        b'{"content":[{"type":"text","text":"\xff"}]}',
    ],
)
def test_what_is_no_message_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        HERE.read_reply(body)
