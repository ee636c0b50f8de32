"""OpenAI's whole answers read and written: every kind of part, how answers end, and figures that add up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from ruxa.dialects import TRANSLATORS
from ruxa.dialects.call import Call, Carried, Media, Refusal, Text, Thinking, Tool, ToolCall, Turn, wrapped
from ruxa.dialects.dialect import Finish
from ruxa.dialects.losses import told
from ruxa.dialects.reply import Asked, Choice, Reply
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import UpstreamBroken

CHAT = TRANSLATORS["openai_chat"]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


def asked(**more: Any) -> Asked:
    call = Call(model="m", turns=[Turn(role="user", parts=[Text(text="x")])], **more)
    return Asked(call=call, model="anthropic/claude", request_id="req_" + "0" * 31 + "7", created_s=1_800_000_000)


def written(reply: Reply, **more: Any) -> dict[str, Any]:
    body = json.loads(CHAT.write_reply(reply, asked(**more)))
    ChatCompletion.model_validate(body)
    return body


def message(*parts: Any, finish: Finish = "stop", **more: Any) -> dict[str, Any]:
    return written(Reply(choices=[Choice(parts=list(parts), finish=finish)]), **more)["choices"][0]["message"]


def read(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> Choice:
    body = {"id": "c", "model": "g", "choices": [{"index": 0, "message": message, "finish_reason": finish, **more}]}
    return CHAT.read_reply(json.dumps(body, ensure_ascii=False).encode()).choices[0]


def test_a_whole_answer() -> None:
    reply = Reply(
        id="msg_1",
        model="claude-x",
        choices=[Choice(parts=[Text(text="Grü"), Text(text="ße")], finish="stop")],
        usage=Usage(input_tokens=3, cache_write_5m_tokens=12304, output_tokens=550),
    )
    assert written(reply) == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 1_800_000_000,
        "model": "anthropic/claude",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Grüße", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        # W44: the sum, each class once
        "usage": {
            "prompt_tokens": 12307,
            "completion_tokens": 550,
            "total_tokens": 12857,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 12304, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    }
    assert "Grüße".encode() in CHAT.write_reply(reply, asked())


def test_thinking_stands_beside_the_text() -> None:
    """W31."""
    signed = Thinking(text="hm", signature="S", origin="anthropic")
    hidden = Thinking(signature="E", origin="anthropic", redacted=True)
    found = message(signed, hidden, Text(text="x"))
    assert (found["content"], found["reasoning_content"]) == ("x", "hm")
    assert found["reasoning_details"] == [
        {"type": "reasoning.text", "text": "hm", "signature": "S", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "E", "format": "anthropic-claude-v1", "index": 1},
    ]
    assert read(found).parts == [signed, hidden, Text(text="x")]
    assert "reasoning_details" not in message(Thinking(text="hm"), Text(text="x"))


def test_tool_calls_are_numbered_and_signed() -> None:
    """W34, W54."""
    call = ToolCall(id="a", name="f", arguments='{"n":1.0}', signature="c2ln", origin="google")
    found = message(call, ToolCall(id="", name="g"), finish="tool")
    assert found["content"] is None
    assert found["tool_calls"] == [
        {
            "id": "a",
            "type": "function",
            "function": {"name": "f", "arguments": '{"n":1.0}'},
            "extra_content": {"google": {"thought_signature": "c2ln"}},
        },
        {"id": "call_" + "0" * 31 + "701", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert read(found, "tool_calls").parts[0] == call


def test_the_older_words_are_answered_in_them() -> None:
    reply = Reply(choices=[Choice(parts=[ToolCall(id="a", name="f", arguments='{"a":1}')], finish="tool")])
    choice = written(reply, functions=True)["choices"][0]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert "tool_calls" not in choice["message"]
    back = read(choice["message"], "function_call")
    assert (back.finish, back.parts) == ("tool", [ToolCall(id="", name="f", arguments='{"a":1}')])


def test_a_free_text_tool_comes_back_as_free_text() -> None:
    part = ToolCall(id="a", name="sh", arguments=wrapped("ls\n"))
    found = message(part, finish="tool", tools=[Tool(name="sh", kind="custom")])
    assert found["tool_calls"] == [{"id": "a", "type": "custom", "custom": {"name": "sh", "input": "ls\n"}}]
    assert read(found).parts == [ToolCall(id="a", name="sh", arguments="ls\n", custom=True)]


def test_a_refusal_is_no_empty_success() -> None:
    """W75."""
    choice = written(Reply(choices=[Choice(parts=[Refusal(text="no")], finish="filter", detail="refusal")]))["choices"][
        0
    ]
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": "no"}
    assert (choice["finish_reason"], choice["native_finish_reason"]) == ("content_filter", "refusal")
    assert read(choice["message"], "content_filter") == Choice(parts=[Refusal(text="no")], finish="filter")


def test_an_answer_that_broke_off_with_nothing_says_so() -> None:
    """W42."""
    reply = Reply(choices=[Choice(finish="error", detail="MALFORMED_FUNCTION_CALL")])
    choice = written(reply)["choices"][0]
    assert "MALFORMED_FUNCTION_CALL" in choice["message"]["refusal"]
    assert written(Reply())["choices"][0]["finish_reason"] == "content_filter"


def test_an_empty_text_that_hit_its_cap_is_an_empty_text() -> None:
    """W06."""
    choice = written(Reply(choices=[Choice(finish="length")]))["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool", "tool_calls"),
        ("filter", "content_filter"),
        ("pause", "stop"),
        ("error", "stop"),
        ("other", "stop"),
    ],
)
def test_how_answers_end(finish: Finish, word: str) -> None:
    """W41."""
    assert (
        written(Reply(choices=[Choice(parts=[Text(text="x")], finish=finish)]))["choices"][0]["finish_reason"] == word
    )


@pytest.mark.parametrize(
    ("word", "finish", "detail"),
    [
        ("stop", "stop", ""),
        ("length", "length", ""),
        ("content_filter", "filter", ""),
        ("tool_calls", "tool", ""),
        ("model_length", "length", ""),
        ("insufficient_system_resource", "error", "insufficient_system_resource"),
        ("bored", "other", "bored"),
        (None, "stop", ""),
    ],
)
def test_how_servers_say_that_they_end(word: str | None, finish: Finish, detail: str) -> None:
    choice = read({"content": "x"}, word)
    assert (choice.finish, choice.detail) == (finish, detail)


def test_a_named_tool_ends_in_stop_and_is_a_tool_call_all_the_same() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    assert read({"content": None, "tool_calls": [call]}) == Choice(parts=[ToolCall(id="a", name="f")], finish="tool")


def test_media_that_the_model_made() -> None:
    picture = Media(kind="image", media_type="image/png", data=PNG)
    found = message(Text(text="see"), picture)
    assert found["images"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert read(found).parts == [Text(text="see"), picture]
    sound = Media(kind="audio", media_type="audio/wav", data="UklGRiQAAABXQVZFZm10IBAAAAABAAEA")
    found = message(Text(text="hello"), sound)
    assert found["content"] is None
    assert found["audio"] == {
        "id": "audio_" + "0" * 31 + "7",
        "data": sound.data,
        "expires_at": 1_800_003_600,
        "transcript": "hello",
    }
    assert read(found).parts == [Text(text="hello"), sound]


def test_a_texts_signature_comes_back() -> None:
    part = Text(text="x", signature="c2ln", origin="google")
    assert read(message(part)).parts == [part]
    foreign = Text(text="x", signature="s", origin="anthropic")
    assert read(message(foreign)).parts == [foreign]


def test_blocks_of_other_dialects_are_not_written() -> None:
    assert message(Text(text="x"), Carried(dialect="anthropic_messages", kind="y", raw=b"{}"))["content"] == "x"


def test_logprobs_pass() -> None:
    entry: dict[str, Any] = {"token": "x", "logprob": -0.5, "bytes": None, "top_logprobs": []}
    choice = read({"content": "x"}, logprobs={"content": [entry], "refusal": None})
    assert json.loads(choice.logprobs) == [entry]
    assert written(Reply(choices=[choice]))["choices"][0]["logprobs"] == {"content": [entry], "refusal": None}


def test_several_choices() -> None:
    reply = Reply(choices=[Choice(parts=[Text(text="a")]), Choice(parts=[ToolCall(id="", name="f")], finish="tool")])
    body = written(reply)
    assert [(each["index"], each["finish_reason"]) for each in body["choices"]] == [(0, "stop"), (1, "tool_calls")]
    back = CHAT.read_reply(json.dumps(body).encode())
    assert [type(choice.parts[0]) for choice in back.choices] == [Text, ToolCall]


def test_servers_that_think_inside_the_content() -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}]},
        {"type": "text", "text": "x"},
    ]
    assert read({"content": content}).parts == [Thinking(text="hm"), Text(text="x")]
    assert read({"content": "x", "reasoning": "hm"}).parts == [Thinking(text="hm"), Text(text="x")]


def test_citations_are_told_as_lost() -> None:
    body = {"choices": [{"message": {"content": "x", "annotations": [{"type": "url_citation"}]}}]}
    assert told(CHAT.read_reply(json.dumps(body).encode()).losses) == ("annotations",)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"{}", b'{"choices":[]}', b'{"choices":[{"message":{"content":1}}]}']
)
def test_what_is_no_answer_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        CHAT.read_reply(body)
