"""Answers as responses, whole and streamed: what the vendor's SDK accepts, every cut, every order, both ways alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from json_texts import examples
from ruxa.dialects import DIALECTS, TRANSLATORS
from ruxa.dialects.call import Call, Carried, Media, Origin, Refusal, Text, Thinking, Tool, ToolCall
from ruxa.dialects.dialect import Envelope, Load, Place
from ruxa.dialects.losses import Loss
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
from ruxa.kernel.errors import UpstreamBroken, UpstreamBusy

HERE = TRANSLATORS["openai_responses"]
PLACE = Place(dialect="openai_responses", endpoint="responses")
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
USAGE = Usage(input_tokens=5, cache_read_tokens=3, cache_write_5m_tokens=1, output_tokens=7, reasoning_tokens=2)
TOOLS = [Tool(name="g", namespace="ns"), Tool(name="patch", kind="custom"), Tool(name="f")]
ASKED = Asked(
    call=Call(
        model="a/b", turns=[], tools=TOOLS, stream=True, echo=b'{"instructions":"Be kind.","metadata":{"a":"b"}}'
    ),
    model="a/b",
    request_id="req_" + "0" * 30 + "7f",
    created_s=1_767_225_600,
)


def write(reply: Reply, asked: Asked = ASKED) -> dict[str, Any]:
    told = json.loads(HERE.write_reply(reply, asked))
    Response.model_validate(told)
    return told


def reply_of(*parts: Said, finish: Any = "stop") -> Reply:
    return Reply(id="x", model="up", choices=[Choice(parts=list(parts), finish=finish)], usage=USAGE)


def deltas_of(*parts: Said, finish: Any = "stop") -> list[Delta]:
    """One stream that tells these parts."""
    found: list[Delta] = [Begun(id="x", model="up")]
    for index, part in enumerate(parts):
        match part:
            case ToolCall():
                found.append(
                    Opened(
                        index=index,
                        kind="tool",
                        id=part.id,
                        name=part.name,
                        custom=part.custom,
                        namespace=part.namespace,
                    )
                )
                found += [Piece(index=index, text=piece) for piece in pieces(part.arguments)]
            case Thinking():
                found.append(Opened(index=index, kind="thinking", summary=part.summary, redacted=part.redacted))
                found += [Piece(index=index, text=piece) for piece in pieces(part.text)]
            case Text():
                found.append(Opened(index=index, kind="text"))
                found += [Piece(index=index, text=piece) for piece in pieces(part.text)]
            case Refusal():
                found.append(Opened(index=index, kind="refusal"))
                found += [Piece(index=index, text=piece) for piece in pieces(part.text)]
            case _:
                found.append(Opened(index=index, kind="whole", whole=part))
        if isinstance(part, ToolCall | Thinking) and part.signature:
            found.append(Piece(index=index, signature=part.signature, origin=part.origin))
        found.append(Closed(index=index))
    return [*found, Ended(finish=finish), Counted(usage=USAGE), Over()]


def pieces(text: str) -> list[str]:
    return [text[at : at + 3] for at in range(0, len(text), 3)]


def stream(deltas: Sequence[Delta], asked: Asked = ASKED) -> list[dict[str, Any]]:
    """The events of a stream, each looked at by the SDK's own types."""
    return shown(HERE.writer(asked).write(deltas))


def shown(data: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for event in data.decode().split("\n\n"):
        if event:
            name, line = event.split("\n")
            told = json.loads(line.removeprefix("data: "))
            assert name == f"event: {told['type']}"
            EVENT.validate_python(told)
            found.append(told)
    assert [one["sequence_number"] for one in found] == list(range(len(found)))
    return found


def test_the_events_of_a_text_in_their_order() -> None:
    told = stream(deltas_of(Text(text="Grüße, Welt")))
    assert [one["type"].removeprefix("response.") for one in told] == [
        "created", "in_progress", "output_item.added", "content_part.added",
        *["output_text.delta"] * 4,
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    ids = {one["response"]["id"] for one in told if "response" in one}
    assert ids == {"resp_" + "0" * 30 + "7f"}
    last = told[-1]["response"]
    assert last["status"] == "completed"
    assert last["output"] == [told[-2]["item"]]
    assert (last["instructions"], last["metadata"], last["model"]) == ("Be kind.", {"a": "b"}, "a/b")
    assert last["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 1},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 18,
    }


def test_thinking_and_tools_in_the_callers_own_words() -> None:
    parts = [
        Thinking(text="deep", signature="SIG", origin="anthropic"),
        Text(text="I look"),
        ToolCall(id="c1", name="ns__g", arguments='{"a":1.0}', signature="MARK", origin="google"),
        ToolCall(id="c2", name="patch", arguments='{"input":"*** ü"}'),
        ToolCall(id="c3", name="other", arguments=""),
    ]
    for output in (
        write(reply_of(*parts, finish="tool"))["output"],
        stream(deltas_of(*parts))[-1]["response"]["output"],
    ):
        bare = [{key: value for key, value in item.items() if key not in ("id", "status", "role")} for item in output]
        assert bare == [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "deep"}],
             "encrypted_content": pack("anthropic", "SIG")},
            {"type": "message", "content": [
                {"type": "output_text", "annotations": [], "logprobs": [], "text": "I look"}]},
            {"type": "reasoning", "summary": [], "encrypted_content": pack("google", "MARK")},
            {"type": "function_call", "call_id": "c1", "name": "g", "namespace": "ns", "arguments": '{"a":1.0}'},
            {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "*** ü"},
            {"type": "function_call", "call_id": "c3", "name": "other", "arguments": output[-1]["arguments"]},
        ]  # fmt: skip
        assert len({item["id"] for item in output}) == len(output)


def test_interleaved_calls_keep_to_their_items() -> None:
    deltas: list[Delta] = [
        Begun(),
        Opened(index=0, kind="text"),
        Piece(index=0, text="a"),
        Opened(index=1, kind="tool", id="c1", name="f"),
        Opened(index=2, kind="tool", id="c2", name="f"),
        Piece(index=2, text="{}"),
        Piece(index=0, text="b"),
        Piece(index=1, text='{"x":'),
        Closed(index=2),
        Closed(index=0),
        Opened(index=3, kind="text"),
        Piece(index=1, text="1}"),
        Piece(index=3, text="c"),
        Closed(index=3),
        Closed(index=1),
        Ended(finish="tool"),
        Over(),
    ]
    output = stream(deltas)[-1]["response"]["output"]
    assert [item.get("arguments") or item["content"][0]["text"] for item in output] == ["ab", '{"x":1}', "{}", "c"]


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("length", "incomplete", "max_output_tokens"),
        ("filter", "incomplete", "content_filter"),
        ("pause", "completed", ""),
    ],
)
def test_how_a_response_ends(finish: Any, status: str, reason: str) -> None:
    whole = write(reply_of(Text(text="a"), finish=finish))
    told = stream(deltas_of(Text(text="a"), finish=finish))
    assert told[-1]["type"] == f"response.{status}"
    for response in (whole, told[-1]["response"]):
        assert response["status"] == status
        assert response["incomplete_details"] == ({"reason": reason} if reason else None)
        assert response["output"][0]["status"] == status


def test_a_refusal_is_never_an_empty_success() -> None:
    for output in (
        write(reply_of(Refusal(text="no"), finish="filter")),
        stream(deltas_of(Refusal(text="no"), finish="filter"))[-1]["response"],
    ):
        assert output["output"][0]["content"] == [{"type": "refusal", "refusal": "no"}]
        assert output["status"] == "incomplete"


def test_a_model_that_failed_says_so() -> None:
    whole = write(reply_of(finish="error"))
    assert (whole["status"], whole["error"]["code"]) == ("failed", "server_error")
    assert stream(deltas_of(finish="error"))[-1]["type"] == "response.failed"


def test_a_stream_that_dies_ends_in_response_failed() -> None:
    writer = HERE.writer(ASKED)
    out = writer.write(deltas_of(Text(text="abc"))[:3]) + writer.fail(UpstreamBusy("Too busy."), "req_1")
    told = shown(out)
    assert told[-1]["type"] == "response.failed"
    assert told[-1]["response"]["id"] == told[0]["response"]["id"]
    assert told[-1]["response"]["error"]["message"] == "Too busy."
    assert writer.heartbeat() == b": keep-alive\n\n"


def test_an_image_that_the_model_made_is_an_item() -> None:
    image = Media(kind="image", media_type="image/webp", data="AAAA")
    for output in (write(reply_of(image))["output"], stream(deltas_of(image))[-1]["response"]["output"]):
        assert (output[0]["type"], output[0]["result"], output[0]["output_format"]) == (
            "image_generation_call", "AAAA", "webp",
        )  # fmt: skip


def test_the_answers_own_id_is_taken_where_it_is_kept() -> None:
    asked = msgspec.structs.replace(ASKED, answer_id="resp_kept")
    assert write(reply_of(Text(text="a")), asked)["id"] == "resp_kept"
    assert stream(deltas_of(Text(text="a")), asked)[0]["response"]["id"] == "resp_kept"


def test_the_sdk_puts_the_stream_together() -> None:
    told = stream(deltas_of(Text(text="Grüße"), ToolCall(id="c", name="f", arguments='{"a":1}')))
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=[], text_format=openai.omit)
    last: Any = None
    for one in told:
        for event in state.handle_event(EVENT.validate_python(one)):
            last = event
    assert last.type == "response.completed"
    assert last.response.output_text == "Grüße"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
IDS = st.text("abc123", min_size=1, max_size=6)
ORIGINS: st.SearchStrategy[Origin] = st.sampled_from(["anthropic", "google", "openai"])
SEARCH = b'{"type":"web_search_call","id":"w","status":"completed","action":{"type":"search","query":"x"}}'
SAID: st.SearchStrategy[Said] = st.one_of(
    st.builds(lambda text: Text(text=text), TEXT),
    st.builds(lambda text: Refusal(text=text), TEXT),
    st.builds(
        lambda text, sign, origin: Thinking(
            text=text,
            signature=sign,
            origin=origin,
            summary=bool(text),
            redacted=origin == "openai" and not text,
        ),
        TEXT,
        IDS,
        ORIGINS,
    ),
    st.builds(lambda i, args: ToolCall(id=i, name="h", arguments=args or "{}"), IDS, TEXT),
    st.builds(lambda i, args: ToolCall(id=i, name="q", arguments=args, custom=True), IDS, TEXT),
    st.just(Carried(dialect="openai_responses", kind="web_search_call", raw=SEARCH)),
)
FINISHES = st.sampled_from(["stop", "length", "filter", "tool"])


def ending(parts: list[Said], finish: str) -> str:
    """How an answer with these parts can end."""
    if finish in ("stop", "tool"):
        if any(isinstance(part, ToolCall) for part in parts):
            return "tool"
        return "filter" if any(isinstance(part, Refusal) for part in parts) else "stop"
    return finish


def unnamed(reply: Reply) -> tuple[Any, Any]:
    """What an answer says, without ids of items and words for the end."""
    return [(choice.parts, choice.finish) for choice in reply.choices], reply.usage


@given(parts=st.lists(SAID, max_size=6), finish=FINISHES, size=st.integers(1, 400))
@settings(max_examples=examples(150), deadline=None)
def test_whole_and_streamed_say_the_same_however_cut(parts: list[Said], finish: str, size: int) -> None:
    finish = ending(parts, finish)
    whole = HERE.write_reply(reply_of(*parts, finish=finish), ASKED)
    Response.model_validate_json(whole)
    body = HERE.writer(ASKED).write(deltas_of(*parts, finish=finish))
    assert shown(body)[-1]["response"]["output"] == _same_status(json.loads(whole)["output"], shown(body))
    reader = HERE.reader()
    found: list[Delta] = []
    for at in range(0, len(body), size):
        found += reader.feed(body[at : at + size])
    found += reader.end()
    _in_order(found)
    again = HERE.read_reply(whole)
    for part in [part for choice in again.choices for part in choice.parts if isinstance(part, Thinking)]:
        part.id = ""  # a stream has none
    assert unnamed(collected(found)) == unnamed(again)
    assert again.choices[0].finish == finish
    assert again.usage == USAGE
    assert [part for part in again.choices[0].parts if not isinstance(part, Carried)] == [
        part for part in parts if not isinstance(part, Carried)
    ]
    watcher = DIALECTS["openai_responses"].stream(Envelope(place=PLACE, body=b"", members={}, model="", load=Load()))
    watcher.feed(body)
    watcher.end()
    assert (watcher.done, watcher.error, watcher.usage) == (True, None, USAGE)


def _same_status(output: list[Any], told: list[dict[str, Any]]) -> list[Any]:
    """A call that is over before the cap cuts the answer counts as complete in a stream."""
    said = told[-1]["response"]["output"]
    return [
        {**item, "status": other["status"]}
        if item["type"].endswith("tool_call") or item["type"] == "function_call"
        else item
        for item, other in zip(output, said, strict=True)
    ]


def _in_order(deltas: Sequence[Delta]) -> None:
    """The rules of ``reply``."""
    assert isinstance(deltas[0], Begun)
    assert isinstance(deltas[-1], Over)
    opened: list[int] = []
    live: set[int] = set()
    for delta in deltas:
        match delta:
            case Opened():
                opened.append(delta.index)
                live.add(delta.index)
            case Piece():
                assert delta.index in live
            case Closed():
                live.remove(delta.index)
            case Ended():
                assert not live
            case _:
                pass
    assert opened == list(range(len(opened)))


def test_items_told_only_when_done_are_told_then() -> None:
    thought = {"type": "reasoning", "id": "rs", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    said = [{"type": "output_text", "text": "a", "annotations": []}, {"type": "refusal", "refusal": "b"}]
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'}
    items = [thought, {"type": "message", "content": said}, call]
    events: list[dict[str, Any]] = [
        {"type": "response.output_item.done", "output_index": at, "item": item} for at, item in enumerate(items)
    ]
    events.append({"type": "response.completed", "response": {"status": "completed", "output": []}})
    reader = HERE.reader()
    found = list(reader.feed("".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()))
    assert collected(found).choices == [
        Choice(
            parts=[
                Thinking(text="hm"),
                Text(text="a"),
                Refusal(text="b"),
                ToolCall(id="c", name="f", arguments='{"a":1}'),
            ],
            finish="tool",
        )
    ]


def test_an_end_that_tells_everything_is_enough() -> None:
    output = [{"type": "message", "content": [{"type": "output_text", "text": "a", "annotations": []}]}]
    event = {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": output}}
    found = list(HERE.reader().feed(f"data: {json.dumps(event)}\n\n".encode()))
    assert collected(found).choices == [Choice(parts=[Text(text="a")])]


def test_an_error_ends_the_deltas() -> None:
    reader = HERE.reader()
    failed = {"type": "response.failed", "response": {"status": "failed", "error": {"code": "server_error"}}}
    assert list(reader.feed(f"data: {json.dumps(failed)}\n\ndata: {json.dumps(failed)}\n\n".encode())) == []
    assert list(reader.end()) == []


def test_annotations_are_a_loss() -> None:
    part = {"type": "output_text", "text": "a", "annotations": [{"type": "url_citation", "url": "https://x"}]}
    body = {"status": "completed", "output": [{"type": "message", "content": [part]}]}
    assert HERE.read_reply(json.dumps(body).encode()).losses == (Loss("annotations", "content[0].annotations"),)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"output":[7]}', b'{"output":[{"type":"function_call"}]}', b"\xff"])
def test_what_is_no_response_is_told(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        HERE.read_reply(body)
