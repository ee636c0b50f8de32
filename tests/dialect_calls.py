"""One call in each dialect, as its SDK sends it, and how to read what comes back."""

from __future__ import annotations

import json
from typing import Any

DIALECTS = ("openai_chat", "anthropic_messages", "gemini_generate")


def call(dialect: str, model: str, text: str, *, stream: bool = False, **more: Any) -> tuple[str, dict[str, Any]]:
    """Path and body."""
    if dialect == "openai_chat":
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}], **more}
        return "/v1/chat/completions", {**body, "stream": True} if stream else body
    if dialect == "anthropic_messages":
        body = {"model": model, "max_tokens": 200, "messages": [{"role": "user", "content": text}], **more}
        return "/v1/messages", {**body, "stream": True} if stream else body
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/v1beta/models/{model}:{verb}", {"contents": [{"role": "user", "parts": [{"text": text}]}], **more}


def error_of(dialect: str, body: bytes) -> dict[str, Any]:
    """The inner error of a dialect's error body."""
    decoded = json.loads(body)
    assert set(decoded) >= {"error"}, decoded
    if dialect == "anthropic_messages":
        assert decoded["type"] == "error"
    return decoded["error"]


def text_of(dialect: str, body: bytes) -> str:
    """The text of a whole answer."""
    decoded = json.loads(body)
    if dialect == "openai_chat":
        return decoded["choices"][0]["message"]["content"]
    if dialect == "anthropic_messages":
        return "".join(block.get("text", "") for block in decoded["content"])
    return "".join(part.get("text", "") for part in decoded["candidates"][0]["content"]["parts"])


def frames(body: bytes) -> list[Any]:
    """The decoded data of a whole SSE stream."""
    found = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(data) for data in found if data != "[DONE]"]


def ends_well(dialect: str, body: bytes) -> bool:
    """Whether the stream ended with its terminal event."""
    if dialect == "openai_chat":
        return body.endswith(b"data: [DONE]\n\n")
    if dialect == "anthropic_messages":
        return b"event: message_stop" in body
    return bool(frames(body)) and "finishReason" in json.dumps(frames(body)[-1])


def ends_in_error(dialect: str, body: bytes) -> bool:
    """Whether the last event of the stream is the dialect's error."""
    last = frames(body)[-1]
    if dialect == "anthropic_messages":
        return last["type"] == "error" and b"event: error" in body
    return "error" in last
