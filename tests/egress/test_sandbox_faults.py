"""Each fault of the sandbox, in each dialect, and what a dialect's reader makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from ruxa.dialects import DIALECTS
from ruxa.dialects.dialect import Envelope, Load, Name, Place, Reader
from ruxa.egress.sandbox.server import Server, serve
from ruxa.kernel.errors import UpstreamBroken, UpstreamBusy

KEY = {"authorization": "Bearer any", "anthropic-version": "2023-06-01"}
NAMES: list[Name] = ["openai_chat", "openai_responses", "anthropic_messages", "gemini_generate"]


@pytest.fixture
async def sandbox() -> AsyncIterator[Server]:
    server = await serve("127.0.0.1", 0, pace_ms=0)
    yield server
    await server.close()


def ask(server: Server, name: Name, text: str, *, stream: bool = True) -> tuple[str, dict[str, Any], dict[str, str]]:
    url = f"http://127.0.0.1:{server.port}"
    if name == "openai_chat":
        body: dict[str, Any] = {"model": "sandbox/chat", "messages": [{"role": "user", "content": text}]}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return f"{url}/v1/chat/completions", body, {"authorization": "Bearer any"}
    if name == "openai_responses":
        body = {"model": "sandbox/chat", "input": text, "stream": stream}
        return f"{url}/v1/responses", body, {"authorization": "Bearer any"}
    if name == "anthropic_messages":
        body = {"model": "sandbox/chat", "max_tokens": 100, "messages": [{"role": "user", "content": text}]}
        return f"{url}/v1/messages", body | {"stream": stream}, KEY
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    body = {"contents": [{"parts": [{"text": text}]}]}
    return f"{url}/v1beta/models/sandbox/chat:{verb}", body, {"x-goog-api-key": "any"}


def reader_of(name: Name) -> Reader:
    place = Place(dialect=name, endpoint="chat")
    return DIALECTS[name].stream(Envelope(place=place, body=b"", members={}, model="", load=Load(), include_usage=True))


async def watch(server: Server, name: Name, text: str) -> tuple[Reader, bytes, int]:
    """The reader after the stream, what it passed on, and how many pieces arrived."""
    url, body, headers = ask(server, name, text)
    reader = reader_of(name)
    passed, pieces = b"", 0
    async with httpx.AsyncClient(timeout=5) as client, client.stream("POST", url, json=body, headers=headers) as answer:
        assert answer.status_code == 200
        try:
            async for data in answer.aiter_raw():
                passed += reader.feed(data)
                pieces += 1
        except httpx.RemoteProtocolError:
            pass
    passed += reader.end()
    return reader, passed, pieces


@pytest.mark.parametrize("name", NAMES)
async def test_a_good_stream_is_whole_and_counted(sandbox: Server, name: Name) -> None:
    reader, passed, _ = await watch(sandbox, name, "Count [[tokens=30]]")
    assert reader.done
    assert reader.error is None
    assert reader.peek == "meaningful"
    assert reader.finish == "stop"
    assert reader.usage is not None
    assert reader.usage.output_total == 30
    assert 15 <= reader.counted().output_total <= 60
    assert b"word29" in passed


@pytest.mark.parametrize("name", NAMES)
async def test_the_first_frame_tells_an_error_before_anything_meaningful(sandbox: Server, name: Name) -> None:
    reader, passed, _ = await watch(sandbox, name, "x [[fail-first-frame-error]]")
    assert reader.peek == "error"
    assert isinstance(reader.error, UpstreamBusy | UpstreamBroken)
    assert passed == b""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", ["mid-stream-death", "half"])
async def test_a_stream_cut_short_is_known_as_such(sandbox: Server, name: Name, fault: str) -> None:
    reader, passed, _ = await watch(sandbox, name, f"Count [[tokens=30]] [[fail-{fault}]]")
    assert reader.peek == "meaningful"
    assert not reader.done
    assert isinstance(reader.error, UpstreamBroken)
    assert reader.error.code == "stream_cut"
    assert b"word1" in passed
    assert passed.endswith((b"\n\n", b"\r\n\r\n")), "only whole events have passed, so an error event can follow"
    assert reader.counted().output_tokens > 5


@pytest.mark.parametrize("name", NAMES)
async def test_an_error_in_the_middle_is_taken_out_and_told(sandbox: Server, name: Name) -> None:
    reader, passed, _ = await watch(sandbox, name, "Count [[tokens=30]] [[fail-mid-stream-error]]")
    assert reader.peek == "meaningful"
    assert reader.error is not None
    assert b"verloaded" not in passed
    failed = reader.fail(reader.error, "req_1")
    assert b"error" in failed
    assert b"req_1" in failed


@pytest.mark.parametrize("name", NAMES)
async def test_garbage_is_an_error(sandbox: Server, name: Name) -> None:
    reader, passed, _ = await watch(sandbox, name, "x [[fail-garbage]]")
    assert reader.peek == "error"
    assert isinstance(reader.error, UpstreamBroken)
    assert passed == b""


@pytest.mark.parametrize("name", NAMES)
async def test_usage_that_comes_late_still_counts(sandbox: Server, name: Name) -> None:
    reader, _, _ = await watch(sandbox, name, "Count [[tokens=7]] [[fail-late-usage]]")
    assert reader.done
    assert reader.usage is not None
    assert reader.usage.output_total == 7
    assert reader.usage.input_total > 0


@pytest.mark.parametrize("name", NAMES)
async def test_single_bytes_make_the_same_stream(sandbox: Server, name: Name) -> None:
    reader, passed, pieces = await watch(sandbox, name, "Count é漢🙂 [[echo]] [[fail-one-byte-chunks]]")
    assert pieces > 200
    assert reader.done
    assert "漢🙂".encode() in passed
    assert reader.usage is not None


@pytest.mark.parametrize("name", NAMES)
async def test_a_slow_first_token_and_a_pace(sandbox: Server, name: Name) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await watch(sandbox, name, "Count [[tokens=5]] [[delay-ms=200]] [[pace-ms=50]]")
    assert 0.35 < loop.time() - started < 3


@pytest.mark.parametrize("name", NAMES)
async def test_a_client_that_leaves_is_noticed(sandbox: Server, name: Name) -> None:
    url, body, headers = ask(sandbox, name, "Count [[tokens=5000]] [[pace-ms=20]]")
    async with httpx.AsyncClient() as client, client.stream("POST", url, json=body, headers=headers) as answer:
        async for _ in answer.aiter_raw():
            break
    for _ in range(100):
        if sandbox.cancelled:
            break
        await asyncio.sleep(0.01)
    assert sandbox.cancelled == 1
    assert sandbox.open == 0


@pytest.mark.parametrize("name", NAMES)
async def test_a_hang_lasts_until_the_client_leaves(sandbox: Server, name: Name) -> None:
    url, body, headers = ask(sandbox, name, "x [[fail-hang]]", stream=False)
    async with httpx.AsyncClient(timeout=0.2) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(url, json=body, headers=headers)


@pytest.mark.parametrize("name", NAMES)
async def test_whole_answers_that_are_none(sandbox: Server, name: Name) -> None:
    dialect = DIALECTS[name]
    envelope = Envelope(place=Place(dialect=name, endpoint="chat"), body=b"", members={}, model="", load=Load())
    async with httpx.AsyncClient(timeout=5) as client:
        for fault in ("garbage", "half", "first-frame-error"):
            url, body, headers = ask(sandbox, name, f"x [[fail-{fault}]]", stream=False)
            answer = await client.post(url, json=body, headers=headers)
            assert answer.status_code == 200
            assert dialect.answer(envelope, answer.content).error is not None
        url, body, headers = ask(sandbox, name, "x [[fail-mid-stream-death]]", stream=False)
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(url, json=body, headers=headers)
        url, body, headers = ask(sandbox, name, "Count [[tokens=9]] [[fail-one-byte-chunks]]", stream=False)
        answer = await client.post(url, json=body, headers=headers)
        told = dialect.answer(envelope, answer.content)
        assert told.error is None
        assert told.finish == "stop"
        assert told.usage is not None
        assert told.usage.output_total == 9


async def test_http_of_the_sandbox_itself(sandbox: Server) -> None:
    url = f"http://127.0.0.1:{sandbox.port}"
    async with httpx.AsyncClient(timeout=5) as client:
        assert (await client.head(f"{url}/")).status_code == 200
        assert (await client.get(f"{url}/__sandbox/last")).status_code == 404
        assert (await client.post(f"{url}/v1/chat/completions", json={})).status_code == 401
        assert (await client.post(f"{url}/v1/nothing", json={}, headers=KEY)).status_code == 404
        stats = (await client.get(f"{url}/__sandbox/stats")).json()
        assert stats == {"requests": 3, "answered": 0, "cancelled": 0, "open": 0}
        assert (await client.get(f"{url}/__sandbox/last")).json()["path"] == "/v1/nothing"
        await client.delete(f"{url}/__sandbox/last")
        assert (await client.get(f"{url}/__sandbox/last")).status_code == 404

    async def chunks() -> AsyncIterator[bytes]:
        for piece in (b'{"model":"sandbox/embedding",', b'"input":"one"', b"}"):
            yield piece

    async with httpx.AsyncClient(timeout=5) as client:
        answer = await client.post(f"{url}/v1/embeddings", content=chunks(), headers={"authorization": "Bearer any"})
        assert answer.json()["usage"]["prompt_tokens"] == 1
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
    head = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer any\r\n\r\n"
    writer.write(head * 3)
    seen = b""
    while seen.count(b'"object":"list"') < 3:
        seen += await asyncio.wait_for(reader.read(65536), 5)
    writer.write(b"not http at all\r\n\r\n")
    assert b"400" in await asyncio.wait_for(reader.read(65536), 5)
    writer.close()
