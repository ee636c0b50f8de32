"""URLs of images and documents: to a vendor that fetches them itself they pass as written, to others not at all."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from dialect_calls import error_of
from fixtures_gateway import House
from ruxa.kernel.settings import ProviderSettings
from ruxa.ledger import prices

IMAGE = "https://example.com/a%20b/Boardwalk.jpg?w=1&x=%7B%7D#top"
PAPER = "https://example.com/p\\u00e4per.pdf"  # as JSON writes it

ANSWERS: dict[str, Any] = {
    "openai_chat": {
        "id": "c",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
    },
    "anthropic_messages": {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "ok"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 9, "output_tokens": 1},
    },
    "gemini_generate": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "ok"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1, "totalTokenCount": 10},
    },
}


def told(url: str, content: str) -> str:
    return content.replace("{url}", url)


# provider, dialect, path, model -> the content as the vendor's own examples write it
CASES = {
    "openai image": (
        "openai",
        "openai_chat",
        "/v1/chat/completions",
        "gpt-4o-mini",
        told(
            IMAGE,
            '[{"role":"user","content":[{"type":"text","text":"?"},{"type":"image_url","image_url":{"url":"{url}"}}]}]',
        ),
    ),
    "anthropic image": (
        "anthropic",
        "anthropic_messages",
        "/v1/messages",
        "claude-haiku-4-5",
        told(
            IMAGE,
            '[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"{url}"}},{"type":"text","text":"?"}]}]',
        ),
    ),
    "anthropic document": (
        "anthropic",
        "anthropic_messages",
        "/v1/messages",
        "claude-haiku-4-5",
        told(
            PAPER,
            '[{"role":"user","content":[{"type":"document","source":{"type":"url","url":"{url}"}},{"type":"text","text":"?"}]}]',
        ),
    ),
    "gemini image": (
        "google",
        "gemini_generate",
        "/v1beta/models/gemini-2.5-flash:generateContent",
        "",
        told(
            IMAGE, '[{"role":"user","parts":[{"fileData":{"mimeType":"image/jpeg","fileUri":"{url}"}},{"text":"?"}]}]'
        ),
    ),
    "gemini document": (
        "google",
        "gemini_generate",
        "/v1beta/models/gemini-2.5-flash:generateContent",
        "",
        told(
            PAPER,
            '[{"role":"user","parts":[{"fileData":{"mimeType":"application/pdf","fileUri":"{url}"}},{"text":"?"}]}]',
        ),
    ),
}


def body_of(dialect: str, model: str, content: str) -> bytes:
    if dialect == "gemini_generate":
        return b'{"contents":%b}' % content.encode()
    cap = b'"max_tokens":50,' if dialect == "anthropic_messages" else b""
    return b'{"model":"%b",%b"messages":%b}' % (model.encode(), cap, content.encode())


@pytest.mark.parametrize("case", CASES)
async def test_a_url_passes_byte_for_byte(house: House, case: str) -> None:
    provider, dialect, path, model, content = CASES[case]
    received = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        [length] = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        received.extend(await reader.readexactly(int(length.partition(b":")[2])))
        said = json.dumps(ANSWERS[dialect]).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
        writer.write(b"content-length: %d\r\nconnection: close\r\n\r\n" % len(said) + said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    at = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await house.begin(scope="live")
    await house.serve(providers={provider: ProviderSettings(base_url=at, key="env:X")})
    answered = await house.client.post(path, content=body_of(dialect, model, content), headers=house.headers())
    assert answered.status_code == 200, answered.text
    assert content.encode() in received
    row = await house.row(answered.headers["x-request-id"])
    assert row["amount_micros"] > 0
    if "document" in case:  # nobody knows how long it is, so the whole input of the model is held
        async with house.operator.work() as work:
            price = (await prices.current(work))[row["model"]]
        assert price.input_tokens_max is not None
        assert row["hold_micros"] >= price.input_tokens_max * price.input_micros // 1_000_000
    server.close()


@pytest.mark.parametrize("name", ["mistral", "lab"])
async def test_a_provider_that_is_not_listed_for_it_gets_no_url(house: House, name: str) -> None:
    await house.begin(scope="live")
    async with house.operator.work() as work:
        await prices.put(work, f"{name}/m", prices.rates(1000, 1000), source="test")
    nowhere = ProviderSettings(base_url="http://127.0.0.1:9/v1", key="env:X", dialect="openai_chat")
    await house.serve(providers={name: nowhere})
    content = CASES["openai image"][-1]
    answer = await house.client.post(
        "/v1/chat/completions", content=body_of("openai_chat", f"{name}/m", content), headers=house.headers()
    )
    assert answer.status_code == 422
    error = error_of("openai_chat", answer.content)
    assert error["code"] == "recipient_not_allowed"
    assert error["param"] == "messages[0].content[1].image_url"
    assert "url:image" in error["message"]
    assert "further recipient" in error["message"]
