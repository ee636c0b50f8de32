"""Writing Google's answers, whole and streamed: what Google's SDK reads of them, and what our own reader reads."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from google.genai import types as g
from hypothesis import given
from hypothesis import strategies as st

from ruxa.dialects.call import Call, Carried, Media, Origin, Refusal, Text, Thinking, ToolCall
from ruxa.dialects.dialect import Finish, Place
from ruxa.dialects.gemini_generate.call import read_call
from ruxa.dialects.gemini_generate.chunks import GenerateChunks
from ruxa.dialects.gemini_generate.deltas import GenerateDeltas, read_reply
from ruxa.dialects.gemini_generate.figures import Figures, figures_of, usage_of
from ruxa.dialects.gemini_generate.reply import write_reply
from ruxa.dialects.reply import (
    Asked,
    Begun,
    Choice,
    Closed,
    Counted,
    Delta,
    Ended,
    Opened,
    Over,
    Piece,
    Reply,
    Said,
    collected,
)
from ruxa.dialects.signature import pack, unpack
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import UpstreamBroken

REQUEST = "req_0123456789abcdef0123456789abcdef"
USAGE = Usage(input_tokens=5, cache_read_tokens=3, output_tokens=7, reasoning_tokens=11)


def asked(*, array: bool = False) -> Asked:
    return Asked(call=Call(model="m", turns=[]), model="pub/m", request_id=REQUEST, created_s=1, array=array)


def deltas_of(reply: Reply, size: int = 3) -> list[Delta]:
    """A stream of deltas that tells the reply, each text in pieces."""
    told: list[Delta] = [Begun(id=reply.id, model=reply.model)]
    for number, choice in enumerate(reply.choices):
        for index, part in enumerate(choice.parts):
            text, kind, more = "", "whole", {}
            match part:
                case Text():
                    text, kind = part.text, "text"
                case Refusal():
                    text, kind = part.text, "refusal"
                case Thinking():
                    text, kind = part.text, "thinking"
                    more = {"redacted": part.redacted, "summary": part.summary, "id": part.id}
                case ToolCall():
                    text, kind = part.arguments, "tool"
                    more = {"id": part.id, "name": part.name, "custom": part.custom, "namespace": part.namespace}
                case Media() | Carried():
                    more = {"whole": part}
            told.append(Opened(index=index, kind=kind, choice=number, **more))  # type: ignore[arg-type]
            told += [Piece(index=index, text=text[at : at + size], choice=number) for at in range(0, len(text), size)]
            if isinstance(part, Text | Thinking | ToolCall) and part.signature:
                told.append(Piece(index=index, signature=part.signature, origin=part.origin, choice=number))
            told.append(Closed(index=index, choice=number))
        told.append(Ended(finish=choice.finish, choice=number, detail=choice.detail))
    if reply.usage is not None:
        told.append(Counted(usage=reply.usage))
    return [*told, Over()]


def stream(reply: Reply, *, array: bool = False) -> bytes:
    writer = GenerateChunks(asked(array=array))
    return b"".join(writer.write([delta]) for delta in deltas_of(reply))


def events(data: bytes) -> list[Any]:
    assert data.endswith(b"\r\n\r\n")
    found = [json.loads(event.removeprefix(b"data: ")) for event in data.split(b"\r\n\r\n")[:-1]]
    for event in found:
        g.GenerateContentResponse.model_validate(event)
    return found


def whole(reply: Reply) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(write_reply(reply, asked()))
    g.GenerateContentResponse.model_validate(told)
    return told


def one(*parts: Said, finish: Finish = "stop", detail: str = "") -> Reply:
    return Reply(choices=[Choice(parts=list(parts), finish=finish, detail=detail)], usage=USAGE)


def test_a_whole_answer() -> None:
    told = whole(
        one(
            Thinking(text="hm"),
            Text(text="Hi"),
            ToolCall(id="", name="f", arguments='{"a":1.0}'),
            ToolCall(id="toolu_1", name="g", namespace="mcp"),
            ToolCall(id="c", name="free", arguments="x = 1", custom=True),
            finish="tool",
        )
    )
    assert told == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "hm", "thought": True},
                        {"text": "Hi"},
                        {"functionCall": {"id": f"call_{REQUEST[4:]}", "name": "f", "args": {"a": 1.0}}},
                        {"functionCall": {"id": "toolu_1", "name": "mcp__g", "args": {}}},
                        {"functionCall": {"id": "c", "name": "free", "args": {"input": "x = 1"}}},
                    ],
                    "role": "model",
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 8,
            "candidatesTokenCount": 7,
            "totalTokenCount": 26,
            "thoughtsTokenCount": 11,
            "cachedContentTokenCount": 3,
        },
        "modelVersion": "pub/m",
        "responseId": REQUEST[4:],
    }


@pytest.mark.parametrize(
    ("finish", "detail", "reason", "message"),
    [
        ("stop", "", "STOP", None),
        ("stop", "SAFETY", "STOP", "SAFETY"),
        ("tool", "", "STOP", None),
        ("length", "", "MAX_TOKENS", None),
        ("length", "model_context_window_exceeded", "MAX_TOKENS", "model_context_window_exceeded"),
        ("filter", "", "SAFETY", None),
        ("filter", "cyber", "SAFETY", "cyber"),
        ("filter", "RECITATION", "RECITATION", None),
        ("error", "MALFORMED_FUNCTION_CALL", "MALFORMED_FUNCTION_CALL", None),
        ("error", "", "OTHER", "error"),
        ("pause", "pause_turn", "OTHER", "pause_turn"),
        ("other", "", "OTHER", "other"),
    ],
)
def test_every_end(finish: Finish, detail: str, reason: str, message: str | None) -> None:
    reply = one(Text(text="a"), finish=finish, detail=detail)
    for candidate in (whole(reply)["candidates"][0], events(stream(reply))[-1]["candidates"][0]):
        assert (candidate["finishReason"], candidate.get("finishMessage")) == (reason, message)


def test_a_refusal_is_a_text_that_ends_in_safety() -> None:
    reply = one(Refusal(text="I won't."))
    for candidate in (whole(reply)["candidates"][0], events(stream(reply))[-1]["candidates"][0]):
        assert candidate["finishReason"] == "SAFETY"
    assert whole(reply)["candidates"][0]["content"]["parts"] == [{"text": "I won't."}]


def test_a_call_with_broken_arguments_is_no_success() -> None:
    for finish, reason in (("tool", "MALFORMED_FUNCTION_CALL"), ("length", "MAX_TOKENS")):
        reply = one(Text(text="a"), ToolCall(id="c", name="f", arguments='{"a":'), finish=finish)  # type: ignore[arg-type]
        for candidate in (whole(reply)["candidates"][0], events(stream(reply))[-1]["candidates"][0]):
            assert candidate["finishReason"] == reason
            assert "finishMessage" in candidate
            assert "functionCall" not in json.dumps(candidate)


def test_a_stream_as_sse() -> None:
    """W55: data frames without event names and without [DONE]; the last one has the end and the figures."""
    data = stream(one(Text(text="Hello 你好"), ToolCall(id="c", name="f", arguments='{"a":1}'), finish="tool"))
    assert b"[DONE]" not in data
    assert b"event:" not in data
    told = events(data)
    assert [event["candidates"][0]["content"]["parts"] for event in told] == [
        [{"text": "Hel"}],
        [{"text": "lo "}],
        [{"text": "你好"}],
        [{"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}}],
    ]
    assert [event["candidates"][0].get("finishReason") for event in told] == [None, None, None, "STOP"]
    assert ["usageMetadata" in event for event in told] == [False, False, False, True]
    assert {(event["modelVersion"], event["responseId"]) for event in told} == {("pub/m", REQUEST[4:])}


def test_a_stream_as_an_array() -> None:
    """W55: element by element, each whole as soon as it is written."""
    reply = one(Text(text="Hello"))
    writer = GenerateChunks(asked(array=True))
    data = b""
    for delta in deltas_of(reply):
        data += writer.write([delta])
        if data and not isinstance(delta, Over):
            json.loads(data + b"]")
    assert json.loads(data) == events(stream(reply))
    assert json.loads(stream(Reply(), array=True))


@pytest.mark.parametrize("array", [True, False])
@pytest.mark.parametrize("started", [True, False])
def test_an_error_in_the_stream(array: bool, started: bool) -> None:
    """W67, W57: the error's own shape, then nothing."""
    writer = GenerateChunks(asked(array=array))
    data = writer.write([Begun(), Opened(index=0, kind="text"), Piece(index=0, text="a")] if started else [Begun()])
    data += writer.heartbeat() + writer.fail(UpstreamBroken("It broke."), REQUEST)
    told = (
        json.loads(data)
        if array
        else [json.loads(line[6:]) for line in data.split(b"\r\n") if line.strip()[:5] == b"data:"]
    )
    assert told[-1]["error"]["code"] == 502
    assert told[-1]["error"]["status"] == "UNAVAILABLE"
    assert len(told) == 1 + started


def test_parts_that_come_interleaved_are_told_in_order() -> None:
    """W53: two calls whose fragments alternate, and a text that comes meanwhile."""
    writer = GenerateChunks(asked())
    data = writer.write(
        [
            Begun(),
            Opened(index=0, kind="tool", id="a", name="f"),
            Opened(index=1, kind="tool", id="b", name="g"),
            Piece(index=0, text='{"x"'),
            Piece(index=1, text='{"y"'),
            Opened(index=2, kind="text"),
            Piece(index=2, text="now "),
            Piece(index=1, text=":2}"),
            Closed(index=1),
            Piece(index=0, text=":1}"),
            Closed(index=0),
            Piece(index=2, text="then"),
            Closed(index=2),
            Ended(finish="tool"),
            Over(),
        ]
    )
    parts = [part for event in events(data) for part in event["candidates"][0]["content"]["parts"]]
    assert [part["functionCall"]["args"] for part in parts[:2]] == [{"x": 1}, {"y": 2}]
    assert "".join(part["text"] for part in parts[2:]) == "now then"


def test_several_candidates() -> None:
    reply = Reply(
        choices=[Choice(parts=[Text(text="a")]), Choice(parts=[ToolCall(id="", name="f")], finish="tool"), Choice()],
        usage=USAGE,
    )
    last = events(stream(reply))[-1]
    assert [(each["index"], each["finishReason"]) for each in last["candidates"]] == [
        (0, "STOP"),
        (1, "STOP"),
        (2, "STOP"),
    ]
    assert [each["index"] for each in whole(reply)["candidates"]] == [0, 1, 2]


def history(*parts: Any) -> list[Said]:
    """What a client that sends its history back makes of the parts of an answer."""
    place = Place(dialect="gemini_generate", endpoint="generate", model="m")
    body = json.dumps({"contents": [{"role": "model", "parts": list(parts)}]}).encode()
    return [part for turn in read_call(place, body).turns for part in turn.parts]  # type: ignore[misc]


SIGNED = [
    Thinking(text="hm", signature="EqQB+/==", origin="anthropic"),
    Thinking(signature="hidden", origin="anthropic", redacted=True),
    Thinking(text="sum", signature="gAAA", origin="openai", redacted=True, summary=True, id="rs_1"),
]


@pytest.mark.parametrize("whole_answer", [True, False])
@pytest.mark.parametrize("url_safe", [True, False])
def test_signed_thinking_of_others_comes_back_exactly(whole_answer: bool, url_safe: bool) -> None:
    """Also through Google's Python SDK, which spells base64 its own way."""
    reply = one(*SIGNED, ToolCall(id="c", name="f"), finish="tool")
    if whole_answer:
        parts = whole(reply)["candidates"][0]["content"]["parts"]
    else:
        parts = [part for event in events(stream(reply)) for part in event["candidates"][0]["content"]["parts"]]
    if url_safe:
        parts = [g.Part.model_validate(part).model_dump(mode="json", exclude_none=True) for part in parts]
    back = [part for part in history(*parts) if not isinstance(part, Thinking) or part.signature]
    texts = "".join(part.get("text", "") for part in parts if part.get("thought"))
    assert texts == "hmsum"
    assert [(part.signature, part.origin, part.redacted, part.id) for part in back if isinstance(part, Thinking)] == [
        (part.signature, part.origin, part.redacted, part.id) for part in SIGNED
    ]
    assert back[-1] == ToolCall(id="c", name="f")


@pytest.mark.parametrize("whole_answer", [True, False])
def test_thinking_comes_back_from_clients_that_drop_thoughts(whole_answer: bool) -> None:
    """gemini-cli leaves thought parts out of its history and keeps the signature of the call."""
    reply = one(*SIGNED, ToolCall(id="c", name="f"), ToolCall(id="d", name="f"), finish="tool")
    if whole_answer:
        parts = whole(reply)["candidates"][0]["content"]["parts"]
    else:
        parts = [part for event in events(stream(reply)) for part in event["candidates"][0]["content"]["parts"]]
    kept = [part for part in parts if not part.get("thought")]
    assert unpack(kept[0]["thoughtSignature"]) is not None  # so a relay to Google knows it for nothing of theirs
    assert history(*kept) == [*SIGNED, ToolCall(id="c", name="f"), ToolCall(id="d", name="f")]


def test_googles_own_signatures_stay_bare() -> None:
    reply = one(
        Thinking(text="hm", signature="QUJD", origin="google", summary=True),
        Text(text="a", signature="REVG", origin="google"),
        ToolCall(id="c", name="f", signature="R0hJ", origin="google"),
    )
    parts = whole(reply)["candidates"][0]["content"]["parts"]
    assert [part["thoughtSignature"] for part in parts] == ["QUJD", "REVG", "R0hJ"]


def test_text_signed_by_others_is_packed() -> None:
    [part] = whole(one(Text(text="a", signature="s", origin="openai")))["candidates"][0]["content"]["parts"]
    assert part["thoughtSignature"] == pack("openai", "s")


def test_logprobs_are_googles() -> None:
    entries = b'[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[{"token":"b","logprob":-1.5}]}]'
    told = whole(Reply(choices=[Choice(parts=[Text(text="a")], logprobs=entries)]))["candidates"][0]
    assert told["avgLogprobs"] == -0.5
    assert told["logprobsResult"]["chosenCandidates"] == [{"token": "a", "logProbability": -0.5}]
    writer = GenerateChunks(asked())
    data = writer.write([Begun(), Opened(index=0, kind="text"), Piece(index=0, text="a", logprobs=entries)])
    [event] = events(data)
    assert event["candidates"][0]["logprobsResult"]["topCandidates"][0]["candidates"][0]["token"] == "b"


COUNTS = st.integers(0, 10**9)


@given(st.builds(Usage, **{name: COUNTS for name in Usage.__struct_fields__ if name != "images"}))
def test_figures_reconcile(usage: Usage) -> None:
    """W46: the parts add up to the total, and the classes come back; what was written to a cache counts as input."""
    told: dict[str, Any] = figures_of(usage)
    g.GenerateContentResponseUsageMetadata.model_validate(told)
    assert told["promptTokenCount"] == usage.input_total
    assert told["candidatesTokenCount"] + told.get("thoughtsTokenCount", 0) == usage.output_total
    assert told["totalTokenCount"] == usage.total
    back = usage_of(Figures() if not told else __import__("msgspec").convert(told, Figures))
    assert back.total == usage.total
    assert (back.cache_read_tokens, back.audio_input_tokens, back.reasoning_tokens, back.audio_output_tokens) == (
        usage.cache_read_tokens,
        usage.audio_input_tokens,
        usage.reasoning_tokens,
        usage.audio_output_tokens,
    )


TEXTS = st.text(min_size=1, max_size=9)
ORIGINS: st.SearchStrategy[Origin] = st.sampled_from(["google"])
PARTS: st.SearchStrategy[Said] = st.one_of(
    st.builds(Text, text=TEXTS),
    st.builds(Text, text=TEXTS, signature=st.just("QUJD"), origin=ORIGINS),
    st.builds(Thinking, text=TEXTS, signature=st.just("QUJD"), origin=ORIGINS, summary=st.just(True)),
    st.builds(Thinking, text=TEXTS, origin=ORIGINS, summary=st.just(True)),
    st.builds(
        ToolCall,
        id=st.sampled_from(["a", "b"]),
        name=st.sampled_from(["f", "g"]),
        arguments=st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=3).map(
            lambda told: json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        ),
        signature=st.just("QUJD"),
        origin=ORIGINS,
    ),
    st.just(Media(kind="image", media_type="image/png", data="iVBORw0KGgo=")),
)
ENDS: st.SearchStrategy[Literal["stop", "length", "filter"]] = st.sampled_from(["stop", "length", "filter"])


def apart(parts: list[Said]) -> list[Said]:
    """Without two neighbours of one kind: a stream cannot tell them apart."""
    kept: list[Said] = []
    for part in parts:
        if not kept or type(kept[-1]) is not type(part) or isinstance(part, ToolCall | Media):
            kept.append(part)
    return kept


@given(st.lists(st.lists(PARTS, max_size=5).map(apart), min_size=1, max_size=3), ENDS)
def test_what_is_written_is_read_again(choices: list[list[Said]], finish: Literal["stop", "length", "filter"]) -> None:
    """Whole and streamed, and the two alike."""
    made = [
        Choice(
            parts=parts,
            finish="tool" if finish == "stop" and any(isinstance(part, ToolCall) for part in parts) else finish,
            detail="SAFETY" if finish == "filter" else "",
        )
        for parts in choices
    ]
    reply = Reply(id="r", model="pub/m", choices=made, usage=USAGE)
    assert read_reply(write_reply(reply, asked())) == reply
    reader = GenerateDeltas()
    data = stream(reply)
    assert collected([*reader.feed(data), *reader.end()]) == reply
    assert json.loads(stream(reply, array=True)) == events(data)
