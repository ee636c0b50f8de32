"""Streams of a provider of Anthropic's dialect as deltas: every event, cut anywhere, and what the whole answer says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from json_texts import VALUES, examples
from ruxa.dialects import TRANSLATORS
from ruxa.dialects.call import Carried, Refusal, Text, Thinking, ToolCall
from ruxa.dialects.reply import Choice, Counted, Delta, Ended, Opened, Over, Piece, Reply, collected
from ruxa.dialects.signature import pack
from ruxa.dialects.usage import Usage

HERE = TRANSLATORS["anthropic_messages"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
START = {
    "type": "message_start",
    "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}},
}
PING = {"type": "ping"}
STOP = {"type": "message_stop"}


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def stream(*events: dict[str, Any]) -> bytes:
    return "".join(f"event: {event['type']}\ndata: {compact(event)}\n\n" for event in events).encode()


def start(index: int, block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **members: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **members}}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def end(reason: str | None = "end_turn", **members: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, **members}, "usage": {"output_tokens": 9}}


def read(data: bytes, size: int = 1 << 20) -> tuple[list[Delta], list[str]]:
    reader = HERE.reader()
    deltas: list[Delta] = []
    for at in range(0, len(data), size):
        deltas += reader.feed(data[at : at + size])
    deltas += reader.end()
    return deltas, [loss.name for loss in reader.losses]


def reply(*events: dict[str, Any]) -> Reply:
    deltas, _ = read(stream(START, *events, STOP))
    assert isinstance(deltas[-1], Over)
    return collected(deltas)


def test_every_block() -> None:
    deltas, told = read(
        stream(
            START,
            PING,
            start(0, {"type": "thinking", "thinking": "", "signature": ""}),
            delta(0, "thinking_delta", thinking="h"),
            delta(0, "thinking_delta", thinking="m"),
            delta(0, "signature_delta", signature="EqRk=="),
            stop(0),
            start(1, {"type": "redacted_thinking", "data": "Emw="}),
            stop(1),
            start(2, {"type": "text", "text": ""}),
            delta(2, "text_delta", text="日"),
            delta(2, "citations_delta", citation={"type": "char_location"}),
            delta(2, "text_delta", text="本"),
            stop(2),
            start(3, {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}),
            delta(3, "input_json_delta", partial_json=""),
            delta(3, "input_json_delta", partial_json='{"n": 1'),
            delta(3, "input_json_delta", partial_json=".0}"),
            stop(3),
            start(4, {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}}),
            stop(4),
            end("tool_use", container={"id": "c"}),
            STOP,
        )
    )
    assert collected(deltas) == Reply(
        id="msg_1",
        model="m",
        choices=[
            Choice(
                parts=[
                    Thinking(text="hm", signature="EqRk==", origin="anthropic"),
                    Thinking(signature="Emw=", origin="anthropic", redacted=True),
                    Text(text="日本"),
                    ToolCall(id="toolu_1", name="f", arguments='{"n": 1.0}'),
                    ToolCall(id="toolu_2", name="g"),
                ],
                finish="tool",
            )
        ],
        usage=Usage(input_tokens=3, output_tokens=9),
    )
    assert told == ["citations", "container"]


def test_a_server_tool_comes_whole_with_its_input() -> None:
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    result = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "web_search_result"}]}
    found = reply(
        start(0, block),
        delta(0, "input_json_delta", partial_json='{"q": 1.0}'),
        stop(0),
        start(1, result),
        stop(1),
        end(),
    )
    raw = compact({**block, "input": None}).replace("null", '{"q": 1.0}').encode()
    assert found.choices[0].parts == [
        Carried(dialect="anthropic_messages", kind="server_tool_use", raw=raw),
        Carried(dialect="anthropic_messages", kind="web_search_tool_result", raw=compact(result).encode()),
    ]


def test_w47_w48_figures_are_running_totals_and_may_come_late() -> None:
    late = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {
            "output_tokens": 20,
            "cache_read_input_tokens": 7,
            "cache_creation_input_tokens": 40,
            "output_tokens_details": {"thinking_tokens": 15},
        },
    }
    deltas, _ = read(stream(START, {**end(None), "usage": {"output_tokens": 12}}, late, STOP))
    counts = [each.usage for each in deltas if isinstance(each, Counted)]
    assert counts[-1] == Usage(
        input_tokens=3, cache_read_tokens=7, cache_write_5m_tokens=40, output_tokens=5, reasoning_tokens=15
    )
    assert sum(isinstance(each, Ended) for each in deltas) == 1


def test_w63_the_forced_tool_is_text_as_it_comes() -> None:
    events = [
        start(0, {"type": "tool_use", "id": "t", "name": "ruxa_answer", "input": {}}),
        delta(0, "input_json_delta", partial_json='{"a"'),
        delta(0, "input_json_delta", partial_json=":1.0}"),
        stop(0),
        end("tool_use"),
    ]
    deltas, _ = read(stream(START, *events[:2]))
    assert [each.text for each in deltas if isinstance(each, Piece)] == ['{"a"']
    assert reply(*events).choices == [Choice(parts=[Text(text='{"a":1.0}')], finish="stop")]
    events[0]["content_block"]["name"] = "ruxa_answer_value"
    events[1]["delta"]["partial_json"] = '{"answer": [1'
    events[2]["delta"]["partial_json"] = ", 2.0]}"
    assert reply(*events).choices == [Choice(parts=[Text(text="[1, 2.0]")], finish="stop")]
    assert reply(*events[:2], stop(0), end("max_tokens")).choices == [Choice(parts=[Text(text="[1")], finish="length")]


def test_an_input_that_comes_at_once_is_not_lost() -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1.0}}
    assert reply(start(0, block), stop(0), end("tool_use")).choices[0].parts == [
        ToolCall(id="t", name="f", arguments='{"a":1.0}')
    ]


def test_w75_a_refusal_in_a_stream() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "No."}
    found = reply(start(0, {"type": "text", "text": "I"}), stop(0), end("refusal", stop_details=details))
    assert found.choices == [Choice(parts=[Text(text="I"), Refusal(text="No.")], finish="filter", detail="cyber")]


def test_an_error_ends_the_deltas() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    deltas, _ = read(stream(START, start(0, {"type": "text", "text": ""}), error, stop(0), end(), STOP))
    assert [type(each).__name__ for each in deltas] == ["Begun", "Counted", "Opened"]


def test_a_stream_that_dies_is_not_over() -> None:
    deltas, _ = read(stream(START, start(0, {"type": "text", "text": "x"}), end())[:-9])
    assert not any(isinstance(each, Over | Ended) for each in deltas)
    deltas, _ = read(stream(START, end(), STOP)[:-2])  # only the last line break is missing
    assert isinstance(deltas[-1], Over)


def test_what_is_left_open_or_unsaid_is_closed() -> None:
    deltas, _ = read(stream(START, start(0, {"type": "text", "text": "x"}), STOP))
    assert [type(each).__name__ for each in deltas[-3:]] == ["Closed", "Ended", "Over"]
    assert collected(deltas).choices[0].finish == "other"


def test_foreign_signatures_and_nulls() -> None:
    block = {"type": "thinking", "thinking": None, "signature": None}
    found = reply(
        start(0, block),
        delta(0, "thinking_delta", thinking="x"),
        delta(0, "signature_delta", signature=pack("google", "g")),
        stop(0),
        end(stop_sequence="E"),
    )
    assert found.choices[0].parts == [Thinking(text="x", signature="g", origin="google")]


@pytest.mark.parametrize(
    "frame", [b"data: [5]\n\n", b"data: {oops\n\n", b'data: {"type":"content_block_delta","delta":5}\n\n']
)
def test_frames_that_make_no_sense_are_told(frame: bytes) -> None:
    deltas, told = read(stream(START) + frame + stream(end(), STOP))
    assert (told, type(deltas[-1])) == (["event"], Over)


def test_unknown_events_and_deltas() -> None:
    deltas, told = read(
        stream(
            START,
            {"type": "novelty"},
            delta(7, "text_delta", text="nowhere"),
            start(0, {"type": "text", "text": ""}),
            delta(0, "wonder_delta"),
            stop(0),
            stop(5),
            end(),
            STOP,
        )
    )
    assert told == ["wonder_delta"]
    assert sum(isinstance(each, Opened) for each in deltas) == 1


@st.composite
def blocks(draw: st.DrawFn) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(["text", "thinking", "redacted_thinking", "tool_use", "server_tool_use"]))
        if kind == "text":
            made.append({"type": kind, "text": draw(TEXT)})
        elif kind == "thinking":
            made.append({"type": kind, "thinking": draw(TEXT), "signature": draw(st.sampled_from(["EqRk==", "s"]))})
        elif kind == "redacted_thinking":
            made.append({"type": kind, "data": "Emw="})
        else:
            arguments = draw(st.dictionaries(TEXT, VALUES, max_size=3))
            made.append({"type": kind, "id": f"t{number}", "name": "f", "input": arguments})
    return made


def streamed(made: list[dict[str, Any]], data: st.DataObject) -> bytes:
    events: list[dict[str, Any]] = [START, PING]
    for index, block in enumerate(made):
        shown = dict(block)
        pieces: list[tuple[str, str, str]] = []
        if block["type"] == "text":
            shown["text"] = ""
            pieces.append(("text_delta", "text", block["text"]))
        elif block["type"] == "thinking":
            shown["thinking"] = shown["signature"] = ""
            pieces.append(("thinking_delta", "thinking", block["thinking"]))
        elif "input" in block:
            shown["input"] = {}
            if block["input"]:
                pieces.append(("input_json_delta", "partial_json", compact(block["input"])))
        events.append(start(index, shown))
        for kind, member, text in pieces:
            at = data.draw(st.integers(0, len(text)))
            events += [delta(index, kind, **{member: part}) for part in (text[:at], text[at:])]
        if block["type"] == "thinking":
            events.append(delta(index, "signature_delta", signature=block["signature"]))
        events.append(stop(index))
    return stream(*events, end(), STOP)


@given(made=blocks(), data=st.data())
@settings(max_examples=examples(60), deadline=None)
def test_any_cut_of_a_stream_tells_what_the_whole_answer_tells(made: list[dict[str, Any]], data: st.DataObject) -> None:
    whole = HERE.read_reply(
        compact(
            {
                "id": "msg_1",
                "model": "m",
                "type": "message",
                "role": "assistant",
                "content": made,
                "stop_reason": "end_turn",
                "usage": {"input_tokens": 3, "output_tokens": 9},
            }
        ).encode()
    )
    size = data.draw(st.integers(1, 300))
    deltas, told = read(streamed(made, data), size)
    assert (collected(deltas), told) == (whole, [])
