"""Streams of every dialect, made from a whole answer: put together again they are that answer, and keep the rules.

Each rule bites: a stream that breaks it is told.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from ruxa.egress.conformance import case, frames, material
from ruxa.egress.conformance.case import CODES, Code, fill
from ruxa.egress.conformance.look import Seen
from ruxa.egress.conformance.streams import seen

EVENTS = {"content-type": "text/event-stream; charset=utf-8"}
ANSWERS = {
    (run.steps[0].target, run.steps[0].answer)
    for each in case.load()
    for run in each.runs
    for step in run.steps
    if step.status == 200 and step.target is not None and step.frames is None and "sent.tools" not in step.answer
}


def read(code: Code, data: bytes, *, usage: bool = True, complete: bool = True) -> Seen:
    return seen(code, data, EVENTS, usage, complete)


def stream(code: Code, answer: str, *, usage: bool = True) -> bytes:
    return b"".join(frames.stream(code, answer, usage))


@pytest.mark.parametrize(("code", "answer"), sorted(ANSWERS), ids=lambda value: value if len(value) == 2 else "")
def test_a_vendors_own_stream_keeps_the_rules_and_is_its_answer(code: Code, answer: str) -> None:
    if code == "OC":
        answer = answer.replace('"arguments":""', '"arguments":"{}"')
    found = read(code, stream(code, answer))
    assert [fault for fault in found.faults if "no JSON object" not in fault] == []
    whole = json.loads(answer)
    match code:
        case "OC":
            for got, given in zip(found.body["choices"], whole["choices"], strict=True):
                assert got["finish_reason"] == given["finish_reason"]
                for name, value in given["message"].items():
                    if value is not None:
                        assert got["message"][name] == value
            assert found.body["usage"] == whole["usage"]
        case "AM":
            assert found.body["content"] == whole["content"]
            assert found.body["stop_reason"] == whole["stop_reason"]
            assert found.body["usage"]["output_tokens"] == whole["usage"]["output_tokens"]
        case "GG":
            for got, given in zip(found.body.get("candidates", []), whole.get("candidates", []), strict=True):
                assert got["content"]["parts"] == given.get("content", {}).get("parts", [])
                assert got["finishReason"] == given["finishReason"]
            assert found.body["usageMetadata"] == whole["usageMetadata"]
        case "OR":
            assert found.body == whole


def plain(code: Code) -> bytes:
    return stream(code, fill(material.ANSWERS[code], {"upstream_model": "m"}))


@pytest.mark.parametrize("code", CODES)
def test_a_stream_that_breaks_off_is_told(code: Code) -> None:
    data = plain(code)
    events = re.split(rb"(?<=\n\n)|(?<=\n\r\n)", data)
    assert read(code, data).faults == []
    assert read(code, b"".join(events[: len(events) // 2])).faults


def swapped(data: bytes, first: bytes, second: bytes) -> bytes:
    assert first in data
    return data.replace(first, second)


@pytest.mark.parametrize(
    ("code", "first", "second", "said"),
    [
        ("OC", b"data: [DONE]\n\n", b"", "no [DONE]"),
        ("OC", b'"choices":[]', b'"choices":[{"index":0,"delta":{}}]', "usage chunk has choices"),
        ("OC", b'"role":"assistant",', b"", "has no role"),
        ("OC", b'"finish_reason":"stop"', b'"finish_reason":null', "no finish_reason"),
        ("OC", b"data: [DONE]", b"data: [DONE]\n\ndata: {}", "follows [DONE]"),
        ("OC", b"data: {", b"event: x\ndata: {", "has the name"),
        ("AM", b"event: ping", b"event: pong", "has the name"),
        ("AM", b"event: ping\n", b"", "has the name"),
        ("AM", b'"index":0', b'"index":1', "index"),
        ("AM", b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n', b"", "inside a block"),
        ("AM", b"text_delta", b"thinking_delta", "in a text block"),
        ("AM", b'"stop_reason":"end_turn"', b'"stop_reason":null', "without a stop_reason"),
        ("AM", b'event: message_stop\ndata: {"type":"message_stop"}\n\n', b"", "neither"),
        ("GG", b"data: ", b"event: x\ndata: ", "has the name"),
        ("GG", b'"finishReason":"STOP",', b"", "no finishReason"),
        ("OR", b'"sequence_number":3', b'"sequence_number":4', "has the number"),
        ("OR", b'"delta":"It', b'"delta":"Is', "do not make up"),
        ("OR", b"event: response.created", b"event: created", "has the name"),
        ("OR", b'"id":"resp_wire1","object":"response","created_at":1764000000,"status":"completed"',
         b'"id":"resp_2","object":"response","created_at":1764000000,"status":"completed"', "more than one id"),
    ],
)  # fmt: skip
def test_each_rule_bites(code: Code, first: bytes, second: bytes, said: str) -> None:
    faults = read(code, swapped(plain(code), first, second)).faults
    assert any(said in fault for fault in faults), faults


def test_what_was_not_asked_for_is_told() -> None:
    assert read("OC", plain("OC"), usage=False).faults == ["there are 1 usage chunks"]
    bare = stream("OC", fill(material.ANSWERS["OC"], {"upstream_model": "m"}), usage=False)
    assert read("OC", bare, usage=False).faults == []


def test_interleaved_calls_are_told_apart_and_a_broken_input_is_told() -> None:
    (found,) = (run for each in case.load("W53") for run in each.runs if run.id == "W53.OC-OC.stream")
    frames_of = frames.spelled("OC", found.steps[0].frames or "", True)
    calls = read("OC", b"".join(frames_of)).body["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ['{"a":1}', '{"b":2}']
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"type": "message", "content": [], "usage": {}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "input": {}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"a"'}},
        {"type": "content_block_stop", "index": 0},
    ]
    data = b"".join(frames.written(str(event["type"]), event) for event in events)
    assert any("no JSON object" in fault for fault in read("AM", data).faults)


def test_an_array_of_google_is_put_together_too() -> None:
    events = [json.loads(line[6:]) for line in plain("GG").splitlines() if line.startswith(b"data: ")]
    found = seen("GG", json.dumps(events).encode(), {"content-type": "application/json"}, False, True)
    assert found.faults == []
    assert found.body["candidates"][0]["content"]["parts"] == [{"text": "It is said."}]


def test_no_stream_where_one_was_asked_for() -> None:
    found = seen("OC", b"{}", {"content-type": "application/json"}, True, True)
    assert found.faults == ["the answer is no event stream"]
