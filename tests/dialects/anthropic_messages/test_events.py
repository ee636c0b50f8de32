"""Deltas as Anthropic's stream: block after block whatever the order was, as Anthropic's SDK puts them together."""

from __future__ import annotations

import json
from typing import Any

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from json_texts import VALUES, examples
from ruxa.dialects import DIALECTS, TRANSLATORS
from ruxa.dialects.call import Call, Carried, Media, Origin, Refusal, Text, Thinking, ToolCall
from ruxa.dialects.dialect import Envelope, Finish, Load, Place
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
from ruxa.dialects.signature import pack
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import UpstreamBusy

HERE = TRANSLATORS["anthropic_messages"]
ASKED = Asked(call=Call(model="m", turns=[]), model="public/m", request_id="req_" + "ab" * 16, created_s=1)
EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
USAGE = Usage(input_tokens=3, cache_read_tokens=4, cache_write_1h_tokens=5, output_tokens=6, reasoning_tokens=7)


def events_of(data: bytes) -> list[dict[str, Any]]:
    """The events, each as Anthropic's SDK accepts it, under its own name."""
    assert data.endswith(b"\n\n")
    found: list[dict[str, Any]] = []
    for frame in data.decode().split("\n\n")[:-1]:
        name, line = frame.split("\n")
        event = json.loads(line.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        if event["type"] != "ping":
            EVENT.validate_python(event)
        found.append(event)
    return found


def shape(data: bytes) -> list[tuple[Any, ...]]:
    """Each event in short."""
    short: list[tuple[Any, ...]] = []
    for event in events_of(data):
        kind = event["type"]
        if kind == "content_block_start":
            short.append(("start", event["index"], event["content_block"]["type"]))
        elif kind == "content_block_delta":
            texts = [value for name, value in event["delta"].items() if name != "type"]
            short.append((event["delta"]["type"], event["index"], *texts))
        elif kind == "content_block_stop":
            short.append(("stop", event["index"]))
        else:
            short.append((kind,))
    return short


def nested(events: list[dict[str, Any]]) -> None:
    """W52: message_start, blocks strictly one after the other with indexes 0.., message_delta, message_stop."""
    kinds = [event["type"] for event in events if event["type"] != "ping"]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    inside: int | None = None
    last = -1
    for event in events:
        kind = event["type"]
        if kind == "content_block_start":
            assert (inside, event["index"]) == (None, last + 1)
            inside = last = event["index"]
        elif kind == "content_block_delta":
            assert event["index"] == inside
        elif kind == "content_block_stop":
            assert event["index"] == inside
            inside = None
        elif kind in ("message_delta", "message_stop"):
            assert inside is None


def write(*deltas: Delta, size: int = 1) -> bytes:
    writer = HERE.writer(ASKED)
    return b"".join(writer.write(deltas[at : at + size]) for at in range(0, len(deltas), size))


def put_together(data: bytes) -> dict[str, Any]:
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events_of(data):
        if event["type"] not in ("ping", "message_stop"):
            parsed = EVENT.validate_python(event)
            snapshot = accumulate_event(event=parsed, current_snapshot=snapshot, json_bufs=buffers)
    return snapshot.to_dict()


def text(index: int, *pieces: str) -> list[Delta]:
    return [
        Opened(index=index, kind="text"),
        *(Piece(index=index, text=piece) for piece in pieces),
        Closed(index=index),
    ]


def test_w52_text_tool_text() -> None:
    data = write(
        Begun(id="chatcmpl-1"),
        *text(0, "Let me ", "look."),
        Opened(index=1, kind="tool", id="call_1", name="f"),
        Piece(index=1, text='{"a"'),
        Piece(index=1, text=":1.0}"),
        Closed(index=1),
        *text(2, "日本"),
        Ended(finish="tool"),
        Counted(usage=USAGE),
        Over(),
    )
    assert shape(data) == [
        ("message_start",),
        ("ping",),
        ("start", 0, "text"),
        ("text_delta", 0, "Let me "),
        ("text_delta", 0, "look."),
        ("stop", 0),
        ("start", 1, "tool_use"),
        ("input_json_delta", 1, '{"a"'),
        ("input_json_delta", 1, ":1.0}"),
        ("stop", 1),
        ("start", 2, "text"),
        ("text_delta", 2, "日本"),
        ("stop", 2),
        ("message_delta",),
        ("message_stop",),
    ]
    assert b"[DONE]" not in data
    message = put_together(data)
    assert message["id"] == "msg_" + "ab" * 16
    assert (message["model"], message["stop_reason"], message["content"][1]["input"]) == (
        "public/m",
        "tool_use",
        {"a": 1.0},
    )
    usage = message["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]) == (3, 4, 5)
    assert (usage["output_tokens"], usage["output_tokens_details"]) == (13, {"thinking_tokens": 7})


def test_w53_parallel_tools_that_interleave_come_one_after_the_other() -> None:
    data = write(
        Begun(),
        Opened(index=0, kind="tool", id="a", name="f"),
        Opened(index=1, kind="tool", id="b", name="g"),
        Piece(index=0, text='{"a'),
        Piece(index=1, text='{"a":'),
        Piece(index=0, text='":1}'),
        Piece(index=1, text="2}"),
        Closed(index=1),
        Opened(index=2, kind="tool", id="c", name="h"),
        Closed(index=0),
        Closed(index=2),
        Ended(finish="tool"),
        Over(),
    )
    nested(events_of(data))
    message = put_together(data)
    assert [(block["id"], block["input"]) for block in message["content"]] == [
        ("a", {"a": 1}),
        ("b", {"a": 2}),
        ("c", {}),
    ]
    fragments: dict[int, str] = {}
    for event in events_of(data):
        if event["type"] == "content_block_delta":
            fragments[event["index"]] = fragments.get(event["index"], "") + event["delta"]["partial_json"]
    assert [json.loads(fragments[index]) for index in range(3)] == [{"a": 1}, {"a": 2}, {}]


def test_what_waits_goes_on_as_it_comes_when_its_turn_is_there() -> None:
    writer = HERE.writer(ASKED)
    start: list[Delta] = [Begun(), Opened(index=0, kind="text"), Piece(index=0, text="x"), Opened(index=1, kind="text")]
    writer.write(start)
    assert writer.write([Piece(index=1, text="later")]) == b""
    assert shape(writer.write([Closed(index=0)])) == [("stop", 0), ("start", 1, "text"), ("text_delta", 1, "later")]
    assert shape(writer.write([Piece(index=1, text="!")])) == [("text_delta", 1, "!")]


def test_thinking_is_signed_before_its_end() -> None:
    def thinking(index: int, said: str, signature: str, origin: Origin, redacted: bool = False) -> list[Delta]:
        pieces: list[Delta] = [Piece(index=index, text=said)] if said else []
        if signature:
            pieces.append(Piece(index=index, signature=signature, origin=origin))
        return [Opened(index=index, kind="thinking", redacted=redacted), *pieces, Closed(index=index)]

    data = write(
        Begun(),
        *thinking(0, "hm", "EqRk==", "anthropic"),
        *thinking(1, "ah", "g", "google"),
        *thinking(2, "", "enc", "openai"),
        *thinking(3, "", "Emw=", "anthropic", redacted=True),
        *thinking(4, "", "omitted", "anthropic"),
        *thinking(5, "", "", ""),
        *thinking(6, "unsigned", "", ""),
        Ended(finish="stop"),
        Over(),
    )
    nested(events_of(data))
    assert shape(data)[2:6] == [
        ("start", 0, "thinking"),
        ("thinking_delta", 0, "hm"),
        ("signature_delta", 0, "EqRk=="),
        ("stop", 0),
    ]
    assert put_together(data)["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "EqRk=="},
        {"type": "thinking", "thinking": "ah", "signature": pack("google", "g")},
        {"type": "redacted_thinking", "data": pack("openai", "enc")},
        {"type": "redacted_thinking", "data": "Emw="},
        {"type": "thinking", "thinking": "", "signature": "omitted"},
        {"type": "thinking", "thinking": "unsigned", "signature": ""},
    ]


def test_a_signed_tool_call_of_google_has_its_signature_before_it() -> None:
    deltas: list[Delta] = [
        Begun(),
        Opened(index=0, kind="tool", id="a", name="f"),
        Piece(index=0, text="{}", signature="AsF=", origin="google"),
        Closed(index=0),
        Ended(finish="tool"),
        Over(),
    ]
    for size in (1, 6):
        content = put_together(write(*deltas, size=size))["content"]
        assert content == [
            {"type": "thinking", "thinking": "", "signature": pack("google", "AsF=")},
            {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        ]


def test_pictures_carried_blocks_and_refusals() -> None:
    raw = b'{"type":"server_tool_use","id":"s","name":"web_search","input":{"q":"x"}}'
    data = write(
        Begun(),
        Opened(index=0, kind="whole", whole=Media(kind="image", media_type="image/png", data="iVBO")),
        Closed(index=0),
        Opened(index=1, kind="whole", whole=Carried(dialect="anthropic_messages", kind="server_tool_use", raw=raw)),
        Closed(index=1),
        Opened(index=2, kind="whole", whole=Carried(dialect="openai_responses", kind="x", raw=b"{}")),
        Closed(index=2),
        Opened(index=3, kind="refusal"),
        Piece(index=3, text="I ca"),
        Piece(index=3, text="n't."),
        Closed(index=3),
        Ended(finish="stop"),
        Over(),
    )
    nested(events_of(data))
    message = put_together(data)
    assert message["content"][0]["text"] == "![image](data:image/png;base64,iVBO)"
    assert message["content"][1] == json.loads(raw)
    assert (message["stop_reason"], message["stop_details"]["explanation"]) == ("refusal", "I can't.")


def test_only_the_first_choice_is_told_and_a_silent_stream_is_a_message() -> None:
    data = write(
        Begun(),
        *text(0, "mine"),
        Opened(index=0, kind="text", choice=1),
        Piece(index=0, text="other", choice=1),
        Over(),
    )
    assert [block["text"] for block in put_together(data)["content"]] == ["mine"]
    data = write(Over())
    nested(events_of(data))
    assert put_together(data)["content"] == []


def test_figures_that_come_first_stand_in_the_first_event() -> None:
    first = events_of(write(Begun(), Counted(usage=USAGE), size=2))[0]
    assert first["message"]["usage"]["input_tokens"] == 3


def test_w57_a_death_in_the_middle_is_an_error_event() -> None:
    writer = HERE.writer(ASKED)
    writer.write([Begun(), Opened(index=0, kind="text"), Piece(index=0, text="x")])
    name, line = writer.fail(UpstreamBusy("The provider is overloaded."), "req_1").decode().rstrip().split("\n")
    event = json.loads(line.removeprefix("data: "))
    assert (name, event["type"], event["error"]["type"]) == ("event: error", "error", "overloaded_error")
    assert shape(writer.heartbeat()) == [("ping",)]


def pieces_of(part: Said, index: int, data: st.DataObject) -> list[Delta]:
    if isinstance(part, Text):
        opened = Opened(index=index, kind="text")
        said = part.text
    elif isinstance(part, Refusal):
        opened, said = Opened(index=index, kind="refusal"), part.text
    elif isinstance(part, Thinking):
        opened, said = Opened(index=index, kind="thinking", redacted=part.redacted), part.text
    else:
        assert isinstance(part, ToolCall)
        opened, said = Opened(index=index, kind="tool", id=part.id, name=part.name), part.arguments
    at = data.draw(st.integers(0, len(said)))
    deltas: list[Delta] = [opened, *(Piece(index=index, text=cut) for cut in (said[:at], said[at:]) if cut)]
    if isinstance(part, Thinking) and part.signature:
        deltas.append(Piece(index=index, signature=part.signature, origin=part.origin))
    return [*deltas, Closed(index=index)]


@st.composite
def parts(draw: st.DrawFn) -> list[Said]:
    made: list[Said] = []
    for number in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(["text", "thinking", "redacted", "tool"]))
        if kind == "text":
            made.append(Text(text=draw(TEXT)))
        elif kind == "thinking":
            origin: Origin = draw(st.sampled_from(["anthropic", "google", "openai"]))
            made.append(Thinking(text=draw(TEXT), signature="s", origin=origin))
        elif kind == "redacted":
            made.append(Thinking(signature="e", origin=draw(st.sampled_from(["anthropic", "openai"])), redacted=True))
        else:
            arguments = json.dumps(draw(st.dictionaries(TEXT, VALUES, max_size=2)), separators=(",", ":"))
            made.append(ToolCall(id=f"t{number}", name="f", arguments=arguments))
    return made


@st.composite
def interleaved(draw: st.DrawFn, lists: list[list[Delta]]) -> list[Delta]:
    """The lists as one: each keeps its order, and begins in the order they are numbered."""
    out: list[Delta] = []
    waiting = [list(each) for each in lists]
    begun: list[list[Delta]] = []
    while waiting or begun:
        if waiting and (not begun or draw(st.booleans())):
            begun.append(waiting.pop(0))
            out.append(begun[-1].pop(0))
        else:
            chosen = draw(st.sampled_from(begun))
            out.append(chosen.pop(0))
            begun = [each for each in begun if each]
    return out


@given(made=parts(), data=st.data())
@settings(max_examples=examples(80), deadline=None)
def test_any_interleaving_is_one_message_that_reads_back_the_same(made: list[Said], data: st.DataObject) -> None:
    lists = [pieces_of(part, index, data) for index, part in enumerate(made)]
    tools = any(isinstance(part, ToolCall) for part in made)
    finish: Finish = "tool" if tools else data.draw(st.sampled_from(["stop", "length", "pause", "filter"]))
    details = {"pause": "pause_turn", "filter": "refusal"}
    deltas: list[Delta] = [
        Begun(id="msg_1", model="m"),
        *data.draw(interleaved(lists)),
        Ended(finish=finish, detail=details.get(finish, "")),
        Counted(usage=USAGE),
        Over(),
    ]
    out = write(*deltas, size=data.draw(st.integers(1, 7)))
    nested(events_of(out))
    reply = collected(deltas)
    whole = json.loads(HERE.write_reply(reply, ASKED))
    message = put_together(out)
    assert message["content"] == whole["content"]
    assert (message["stop_reason"], message["stop_details"]) == (whole["stop_reason"], whole["stop_details"])
    assert {**message["usage"], "cache_creation": whole["usage"]["cache_creation"]} == whole["usage"]

    reader = HERE.reader()
    size = data.draw(st.integers(1, 200))
    back: list[Delta] = []
    for at in range(0, len(out), size):
        back += reader.feed(out[at : at + size])
    assert collected([*back, *reader.end()]) == Reply(
        id="msg_1",
        model="public/m",
        choices=[Choice(parts=reply.choices[0].parts if made else [], finish=finish, detail=details.get(finish, ""))],
        usage=USAGE,
    )
    assert HERE.read_reply(json.dumps(whole, separators=(",", ":")).encode()).choices == collected(back).choices

    watch = DIALECTS["anthropic_messages"].stream(
        Envelope(
            place=Place(dialect="anthropic_messages", endpoint="messages"), body=b"", members={}, model="", load=Load()
        )
    )
    watch.feed(out)
    assert (watch.done, watch.error, watch.finish, watch.usage) == (True, None, finish, USAGE)
