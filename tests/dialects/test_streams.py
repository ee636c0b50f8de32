"""Readers of streams: any cut, the same bytes and facts; what they write is what the vendors' SDKs understand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import httpx
import openai
import pytest
from google import genai
from google.genai import types as g
from hypothesis import given, settings
from hypothesis import strategies as st

from json_texts import examples
from ruxa.dialects import DIALECTS
from ruxa.dialects.dialect import Envelope, Load, Name, Place, Reader
from ruxa.kernel.errors import UpstreamBusy, UpstreamTimeout

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def envelope(name: Name, *, array: bool = False, include_usage: bool = False) -> Envelope:
    place = Place(dialect=name, endpoint="chat", array=array)
    return Envelope(place=place, body=b"", members={}, model="", load=Load(), array=array, include_usage=include_usage)


def reader_of(name: Name, **more: bool) -> Reader:
    return DIALECTS[name].stream(envelope(name, **more))


def openai_stream(texts: list[str], spaced: bool) -> bytes:
    separators = (", ", ": ") if spaced else (",", ":")
    events: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]}]
    events += [
        {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], "usage": None} for text in texts
    ]
    events += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
    events += [{"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}}]
    lines = [json.dumps(event, separators=separators, ensure_ascii=False) for event in events]
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()


def anthropic_stream(texts: list[str], spaced: bool) -> bytes:
    separators = (", ", ": ") if spaced else (",", ":")
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    events += [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}} for text in texts
    ]
    events += [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    shown = [(event["type"], json.dumps(event, separators=separators, ensure_ascii=False)) for event in events]
    return "".join(f"event: {name}\ndata: {data}\n\n" for name, data in shown).encode()


def gemini_stream(texts: list[str], spaced: bool) -> bytes:
    separators = (", ", ": ") if spaced else (",", ":")
    figures = {"promptTokenCount": 5, "totalTokenCount": 5}
    events: list[dict[str, Any]] = [
        {"candidates": [{"content": {"parts": [{"text": text}]}, "index": 0}], "usageMetadata": figures}
        for text in texts
    ]
    figures = {"promptTokenCount": 5, "candidatesTokenCount": 9, "totalTokenCount": 14}
    events += [{"candidates": [{"finishReason": "STOP", "index": 0}], "usageMetadata": figures}]
    lines = [json.dumps(event, separators=separators, ensure_ascii=False) for event in events]
    return "".join(f"data: {line}\r\n\r\n" for line in lines).encode()


def responses_stream(texts: list[str], spaced: bool) -> bytes:
    separators = (", ", ": ") if spaced else (",", ":")
    head = {"id": "resp_1", "object": "response", "created_at": 7, "model": "m", "error": None, "output": []}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": []}
    figures = {"input_tokens": 5, "output_tokens": 9, "total_tokens": 14}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**head, "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
    ]
    events += [{"type": "response.output_text.delta", **at, "delta": text, "logprobs": []} for text in texts]
    events += [
        {"type": "response.completed", "response": {**head, "status": "completed", "output": [item], "usage": figures}}
    ]
    for number, event in enumerate(events):
        event["sequence_number"] = number
    shown = [(event["type"], json.dumps(event, separators=separators, ensure_ascii=False)) for event in events]
    return "".join(f"event: {name}\ndata: {data}\n\n" for name, data in shown).encode()


STREAMS: dict[Name, Callable[[list[str], bool], bytes]] = {
    "openai_chat": openai_stream,
    "openai_responses": responses_stream,
    "anthropic_messages": anthropic_stream,
    "gemini_generate": gemini_stream,
}


@pytest.mark.parametrize("name", list(STREAMS))
@given(texts=st.lists(TEXT, max_size=8), spaced=st.booleans(), data=st.data())
@settings(max_examples=examples(40), deadline=None)
def test_any_cut_passes_the_same_and_tells_the_same(
    name: Name, texts: list[str], spaced: bool, data: st.DataObject
) -> None:
    whole = STREAMS[name](texts, spaced)
    reader = reader_of(name, include_usage=True)
    passed = b""
    at = 0
    while at < len(whole):
        size = data.draw(st.integers(1, 200))
        out = reader.feed(whole[at : at + size])
        assert not out or out.endswith((b"\n\n", b"\n\r\n"))
        passed += out
        at += size
    passed += reader.end()
    assert passed == whole
    assert (reader.done, reader.error, reader.finish, reader.peek) == (True, None, "stop", "meaningful")
    assert reader.usage is not None
    assert (reader.usage.input_total, reader.usage.output_total) == (5, 9)


@given(texts=st.lists(TEXT, max_size=6), spaced=st.booleans(), size=st.integers(1, 300))
@settings(max_examples=examples(40), deadline=None)
def test_only_the_extra_chunk_is_stripped(texts: list[str], spaced: bool, size: int) -> None:
    whole = openai_stream(texts, spaced)
    reader = reader_of("openai_chat")
    passed = b"".join(reader.feed(whole[at : at + size]) for at in range(0, len(whole), size)) + reader.end()
    events = whole.split(b"\n\n")
    assert passed == b"\n\n".join(event for event in events if b"prompt_tokens" not in event)
    assert reader.usage is not None
    assert reader.usage.total == 14


@given(texts=st.lists(TEXT, max_size=6), spaced=st.booleans(), size=st.integers(1, 300))
@settings(max_examples=examples(40), deadline=None)
def test_a_gemini_array_has_the_same_elements(texts: list[str], spaced: bool, size: int) -> None:
    whole = gemini_stream(texts, spaced)
    reader = reader_of("gemini_generate", array=True)
    passed = b"".join(reader.feed(whole[at : at + size]) for at in range(0, len(whole), size)) + reader.end()
    assert json.loads(passed) == [json.loads(event[6:]) for event in whole.split(b"\r\n\r\n") if event]


@pytest.mark.parametrize("name", list(STREAMS))
@given(texts=st.lists(TEXT, min_size=1, max_size=6), data=st.data())
@settings(max_examples=examples(40), deadline=None)
def test_any_early_end_is_an_error_that_can_be_told(name: Name, texts: list[str], data: st.DataObject) -> None:
    whole = STREAMS[name](texts, False)
    last = {
        "openai_chat": b'"finish_reason":"stop"',
        "openai_responses": b"event: response.completed",
        "anthropic_messages": b"event: message_stop",
        "gemini_generate": b"finishReason",
    }
    cut = data.draw(st.integers(0, whole.index(last[name])))
    for array in (False, True) if name == "gemini_generate" else (False,):
        reader = reader_of(name, array=array)
        passed = reader.feed(whole[:cut]) + reader.end()
        assert not reader.done
        assert reader.error is not None
        assert reader.error.code == "stream_cut"
        passed += reader.fail(reader.error, "req_1")
        if array:
            assert "error" in json.loads(passed)[-1]
        else:
            events = [event for event in passed.replace(b"\r\n", b"\n").split(b"\n\n") if event]
            shown = [
                json.loads(line[6:]) for event in events for line in event.split(b"\n") if line.startswith(b"data: ")
            ]
            assert error_in(shown[-1])
            assert not any(error_in(one) for one in shown[:-1])


@pytest.mark.parametrize("name", list(STREAMS))
@given(data=st.binary(max_size=300), size=st.integers(1, 50))
@settings(max_examples=examples(40), deadline=None)
def test_any_bytes_never_break_a_reader(name: Name, data: bytes, size: int) -> None:
    for text in (data, b"data: " + data + b"\n\n", b"event: error\ndata: " + data + b"\n\n"):
        reader = reader_of(name)
        for at in range(0, len(text), size):
            reader.feed(text[at : at + size])
        reader.end()
        assert reader.error is not None or reader.done
        assert reader.counted().output_total >= 0


def error_in(event: dict[str, Any]) -> bool:
    """Whether it is the dialect's terminal error."""
    return "error" in event or event.get("type") == "response.failed"


@asynccontextmanager
async def serving(parts: list[bytes], content_type: str) -> AsyncIterator[str]:
    """A server that answers any request with these bytes, as they would leave the gateway."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = (
            int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length" in head.lower() else 0
        )
        await reader.readexactly(size)
        lines = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(lines.encode())
        for part in parts:
            if part:
                writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()


def events_of(name: Name) -> list[bytes]:
    whole = STREAMS[name](["Hel", "lo"], False)
    end = b"\r\n\r\n" if name == "gemini_generate" else b"\n\n"
    return [event + end for event in whole.split(end) if event]


async def say(name: Name, url: str) -> str:
    """What the vendor's SDK reads from a stream."""
    said = ""
    if name == "openai_chat":
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as oai:
            stream = await oai.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "x"}], stream=True
            )
            async for chunk in stream:
                said += "".join(choice.delta.content or "" for choice in chunk.choices)
    elif name == "openai_responses":
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as oai:
            async for told in await oai.responses.create(model="m", input="x", stream=True):
                if told.type == "response.output_text.delta":
                    said += told.delta
                elif told.type == "response.failed":  # the SDK leaves it to its user
                    assert told.response.error is not None
                    raise ValueError(told.response.error.message)
    elif name == "anthropic_messages":
        async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as ant:
            turns: list[Any] = [{"role": "user", "content": "x"}]
            async for event in await ant.messages.create(model="m", max_tokens=5, messages=turns, stream=True):
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    said += event.delta.text
    else:
        options = g.HttpOptions(base_url=url, async_client_args={"transport": httpx.AsyncHTTPTransport()})
        client = genai.Client(api_key="k", http_options=options)
        async for chunk in await client.aio.models.generate_content_stream(model="m", contents="x"):
            said += "".join(part.text or "" for part in chunk.parts or [])
        await client.aio.aclose()
    return said


@pytest.mark.parametrize("name", list(STREAMS))
async def test_the_sdks_pass_over_heartbeats(name: Name) -> None:
    beat = reader_of(name).heartbeat()
    parts = [beat]
    for event in events_of(name):
        parts += [event, beat, beat]
    async with serving(parts, "text/event-stream") as url:
        assert await say(name, url) == "Hello"


@pytest.mark.parametrize("name", list(STREAMS))
async def test_the_sdks_raise_on_the_terminal_error(name: Name) -> None:
    reader = reader_of(name)
    parts = [reader.feed(event) for event in events_of(name)[:3]]
    parts.append(reader.fail(UpstreamBusy("The provider is overloaded."), "req_1"))
    errors: Any = {
        "openai_chat": openai.APIError,
        "openai_responses": ValueError,
        "anthropic_messages": anthropic.APIError,
        "gemini_generate": genai.errors.APIError,
    }
    async with serving(parts, "text/event-stream") as url:
        with pytest.raises(errors[name]) as caught:
            await say(name, url)
    assert "The provider is overloaded." in str(caught.value)


def test_heartbeats_keep_a_json_array_whole() -> None:
    reader = reader_of("gemini_generate", array=True)
    out = reader.heartbeat()
    for event in events_of("gemini_generate"):
        out += reader.feed(event) + reader.heartbeat()
    assert len(json.loads(out + reader.end())) == 3
    empty = reader_of("gemini_generate", array=True)
    told = json.loads(empty.heartbeat() + empty.fail(UpstreamTimeout("Too late."), "req_1"))
    assert told[0]["error"]["status"] == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize(("choices", "done"), [(1, True), (2, True), (3, False)])
def test_a_stream_without_done_is_whole_when_every_choice_has_ended(choices: int, done: bool) -> None:
    asked = envelope("openai_chat")
    asked.load.choices = choices
    reader = DIALECTS["openai_chat"].stream(asked)
    for index in range(2):
        chunk = {"choices": [{"index": index, "delta": {"content": "x"}, "finish_reason": "stop"}]}
        reader.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    reader.end()
    assert reader.done is done
    assert (reader.error is None) is done
