"""What a provider's error becomes: the right class, retry times, and never a key, an account or an address."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ruxa.dialects import DIALECTS
from ruxa.dialects.dialect import Name
from ruxa.dialects.upstream import MESSAGE_CHARS_MAX, clean, retry_after_s
from ruxa.kernel.errors import UpstreamBroken, UpstreamBusy, UpstreamRefused, UpstreamTimeout

SECRETS = [
    "sk-proj-abcdef0123456789",
    "sk-ant-api03-AAAA-BBBB",
    "AIzaSyA1234567890abcdef",
    "org-abc123DEF",
    "Bearer eyJhbGciOi.J9.x",
    "someone@example.com",
    "?key=AIzaXYZ123",
    "projects/123456789012",
    "gsk_0123456789abcdef",
    "sk-sandb***cdef",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_hidden(secret: str) -> None:
    shown = clean(f"Something about {secret} is wrong with 'user_location' at messages[3].content")
    assert secret not in shown
    assert "[hidden]" in shown
    assert "'user_location' at messages[3].content" in shown


def test_a_message_is_bounded_and_printable() -> None:
    shown = clean("a\x00b\nc " + "long " * 1000)
    assert len(shown) == MESSAGE_CHARS_MAX
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({b"retry-after": b"7"}, 7),
        ({b"retry-after": b"1.2"}, 2),
        ({b"retry-after": b"2.0"}, 2),
        ({b"retry-after-ms": b"1500"}, 2),
        ({b"retry-after-ms": b"100", b"retry-after": b"9"}, 1),
        ({b"retry-after": b"999999"}, 3600),
        ({b"retry-after": b"Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({b"retry-after": b"-1"}, None),
        ({b"retry-after": b"\xb2"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[bytes, bytes], seconds: int | None) -> None:
    assert retry_after_s(headers) == seconds


def openai(kind: str, code: str | None, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": "p", "code": code}}


def anthropic(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def gemini(code: int, status: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status}}


LEAK = "key sk-proj-abcdef0123456789 of org-abc123DEF"


@pytest.mark.parametrize(
    ("name", "status", "body", "kind", "ours", "code"),
    [
        (
            "openai_chat",
            400,
            openai("invalid_request_error", "invalid_value", LEAK),
            UpstreamRefused,
            400,
            "invalid_value",
        ),
        (
            "openai_chat",
            401,
            openai("invalid_request_error", "invalid_api_key", LEAK),
            UpstreamBroken,
            502,
            "upstream_denied",
        ),
        ("openai_chat", 403, openai("invalid_request_error", None, LEAK), UpstreamBroken, 502, "upstream_denied"),
        (
            "openai_chat",
            404,
            openai("invalid_request_error", "model_not_found", LEAK),
            UpstreamRefused,
            404,
            "model_not_found",
        ),
        ("openai_chat", 429, openai("requests", "rate_limit_exceeded", LEAK), UpstreamBusy, 429, "upstream_limited"),
        (
            "openai_chat",
            429,
            openai("insufficient_quota", "insufficient_quota", LEAK),
            UpstreamRefused,
            403,
            "insufficient_quota",
        ),
        ("openai_chat", 500, openai("server_error", None, LEAK), UpstreamBroken, 502, "upstream_broken"),
        ("openai_chat", 503, openai("server_error", None, LEAK), UpstreamBusy, 503, "upstream_busy"),
        ("openai_chat", 504, {"detail": LEAK}, UpstreamTimeout, 504, "upstream_timeout"),
        ("openai_chat", 422, {"detail": [{"loc": ["x"]}]}, UpstreamRefused, 422, "upstream_refused"),
        ("openai_chat", 400, {"error": "plain text " + LEAK}, UpstreamRefused, 400, "upstream_refused"),
        ("openai_chat", 400, {"object": "error", "message": LEAK}, UpstreamRefused, 400, "upstream_refused"),
        (
            "anthropic_messages",
            400,
            anthropic("invalid_request_error", LEAK),
            UpstreamRefused,
            400,
            "invalid_request_error",
        ),
        ("anthropic_messages", 401, anthropic("authentication_error", LEAK), UpstreamBroken, 502, "upstream_denied"),
        ("anthropic_messages", 402, anthropic("billing_error", LEAK), UpstreamRefused, 403, "insufficient_quota"),
        ("anthropic_messages", 413, anthropic("request_too_large", LEAK), UpstreamRefused, 413, "request_too_large"),
        ("anthropic_messages", 429, anthropic("rate_limit_error", LEAK), UpstreamBusy, 429, "upstream_limited"),
        ("anthropic_messages", 529, anthropic("overloaded_error", LEAK), UpstreamBusy, 503, "upstream_busy"),
        ("gemini_generate", 400, gemini(400, "INVALID_ARGUMENT", LEAK), UpstreamRefused, 400, "INVALID_ARGUMENT"),
        (
            "gemini_generate",
            400,
            gemini(400, "INVALID_ARGUMENT", "API key not valid."),
            UpstreamBroken,
            502,
            "upstream_denied",
        ),
        ("gemini_generate", 429, gemini(429, "RESOURCE_EXHAUSTED", LEAK), UpstreamBusy, 429, "upstream_limited"),
        ("gemini_generate", 500, [gemini(500, "INTERNAL", LEAK)], UpstreamBroken, 502, "upstream_broken"),
        ("gemini_generate", 503, gemini(503, "UNAVAILABLE", LEAK), UpstreamBusy, 503, "upstream_busy"),
    ],
)
def test_a_providers_error_as_ours(name: Name, status: int, body: Any, kind: type, ours: int, code: str) -> None:
    error = DIALECTS[name].upstream_error(status, {b"retry-after": b"7"}, json.dumps(body).encode())
    assert type(error) is kind
    assert (error.status, error.code) == (ours, code)
    shown = DIALECTS[name].error(error, "req_1")
    for text in (error.public, error.detail, shown.body.decode(), shown.headers.decode()):
        assert "sk-proj" not in text
        assert "org-abc" not in text
    if kind is UpstreamBusy:
        assert error.retry_after_s == 7
        assert b"retry-after: 7\r\n" in shown.headers
        assert b"x-should-retry: true\r\n" in shown.headers
        assert shown.status == (429 if ours == 429 else 529 if name == "anthropic_messages" else 503)
    if code == "insufficient_quota":
        assert b"x-should-retry: false\r\n" in shown.headers
        assert b"billing_error" in shown.body or b"insufficient_quota" in shown.body


@pytest.mark.parametrize("name", list(DIALECTS))
@pytest.mark.parametrize(
    "body", [b"", b"<html>502 Bad Gateway sk-proj-abcdef0123456789</html>", b"null", b"[]", b"\xff\xfe", b"{"]
)
def test_an_error_that_is_no_json(name: Name, body: bytes) -> None:
    error = DIALECTS[name].upstream_error(502, {}, body)
    assert isinstance(error, UpstreamBroken)
    assert "sk-proj" not in error.public + error.detail
    refused = DIALECTS[name].upstream_error(418, {}, body)
    assert isinstance(refused, UpstreamRefused)
    assert refused.public
