"""Every path a client may use, which dialect answers it, and where the key is (W69, W70, W80)."""

from __future__ import annotations

from typing import Any

import pytest

from ruxa.dialects.paths import find_key, locate

ANTHROPIC = {b"anthropic-version": b"2023-06-01"}
GOOGLE = {b"x-goog-api-key": b"k"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "dialect", "endpoint", "model"),
    [
        ("POST", "/v1/chat/completions", {}, "openai_chat", "chat", ""),
        ("POST", "/v1/chat/completions/", {}, "openai_chat", "chat", ""),
        ("POST", "/openai/v1/chat/completions", {}, "openai_chat", "chat", ""),
        ("POST", "/v1/embeddings", {}, "openai_chat", "embeddings", ""),
        ("POST", "/openai/v1/embeddings", {}, "openai_chat", "embeddings", ""),
        ("POST", "/v1/responses", {}, "openai_responses", "responses", ""),
        ("POST", "/v1/responses/", {}, "openai_responses", "responses", ""),
        ("POST", "/openai/v1/responses", {}, "openai_responses", "responses", ""),
        ("GET", "/v1/models", {}, "openai_chat", "models", ""),
        ("GET", "/openai/v1/models", ANTHROPIC, "openai_chat", "models", ""),
        ("GET", "/v1/models/sandbox/chat", {}, "openai_chat", "model", "sandbox/chat"),
        ("GET", "/v1/models/sandbox%2Fchat", {}, "openai_chat", "model", "sandbox/chat"),
        ("GET", "/v1/models/llama3:8b", {}, "openai_chat", "model", "llama3:8b"),
        ("GET", "/v1/models/llama3:8b", ANTHROPIC, "anthropic_messages", "model", "llama3:8b"),
        ("GET", "/v1/models/llama3:8b", GOOGLE, "gemini_generate", "model", "llama3:8b"),
        ("POST", "/v1/messages", {}, "anthropic_messages", "messages", ""),
        ("POST", "/anthropic/v1/messages", {}, "anthropic_messages", "messages", ""),
        ("POST", "/v1/messages/count_tokens", {}, "anthropic_messages", "count_tokens", ""),
        ("GET", "/v1/models", ANTHROPIC, "anthropic_messages", "models", ""),
        ("GET", "/anthropic/v1/models/a/b", {}, "anthropic_messages", "model", "a/b"),
        ("GET", "/v1beta/models", {}, "gemini_generate", "models", ""),
        ("GET", "/v1/models", GOOGLE, "gemini_generate", "models", ""),
        ("GET", "/gemini/v1beta/models/a/b", {}, "gemini_generate", "model", "a/b"),
        ("POST", "/v1beta/models/openai/gpt-x:generateContent", {}, "gemini_generate", "generate", "openai/gpt-x"),
        ("POST", "/v1beta/models/openai%2Fgpt-x:generateContent", {}, "gemini_generate", "generate", "openai/gpt-x"),
        ("POST", "/v1beta/models/llama3:8b:generateContent", {}, "gemini_generate", "generate", "llama3:8b"),
        ("POST", "/v1beta/models/llama3%3A8b%3AgenerateContent", {}, "gemini_generate", "generate", "llama3:8b"),
        ("POST", "/v1/models/x:generateContent", {}, "gemini_generate", "generate", "x"),
        ("POST", "/gemini/v1/models/x:countTokens", {}, "gemini_generate", "count_tokens", "x"),
        ("POST", "/gemini/v1beta/models/x:embedContent", {}, "gemini_generate", "embed", "x"),
        ("POST", "/v1beta/models/x:batchEmbedContents", {}, "gemini_generate", "batch_embed", "x"),
        ("GET", "/", {}, "openai_chat", "root", ""),
        ("HEAD", "/", {}, "openai_chat", "root", ""),
    ],
)
def test_places(method: str, path: str, headers: dict[bytes, bytes], dialect: str, endpoint: str, model: str) -> None:
    place = locate(method.encode(), path.encode(), b"beta=true", headers)
    assert place is not None
    assert (place.dialect, place.endpoint, place.model) == (dialect, endpoint, model)
    assert place.refusal is None


@pytest.mark.parametrize(
    ("query", "array"), [(b"alt=sse", False), (b"", True), (b"alt=json", True), (b"key=k&alt=sse", False)]
)
def test_gemini_streams_as_sse_or_as_an_array(query: bytes, array: bool) -> None:
    place = locate(b"POST", b"/v1beta/models/x:streamGenerateContent", query, {})
    assert place is not None
    assert (place.endpoint, place.stream, place.array) == ("generate", True, array)


@pytest.mark.parametrize(
    ("method", "path", "headers", "dialect", "status", "hint"),
    [
        ("POST", "/v1/v1/chat/completions", {}, "openai_chat", 404, "/v1/chat/completions"),
        ("POST", "/v1/v1/messages", {}, "anthropic_messages", 404, "/v1/messages"),
        ("POST", "/v1beta/v1beta/models/x:generateContent", {}, "gemini_generate", 404, "/v1beta/models"),
        ("POST", "/chat/completions", {}, "openai_chat", 404, "/v1/chat/completions"),
        ("POST", "/messages", {}, "anthropic_messages", 404, "/v1/messages"),
        ("GET", "/v1/responses", {}, "openai_responses", 405, "POST"),
        ("POST", "/v1/responses/input_tokens", {}, "openai_responses", 404, ""),
        ("POST", "/v1/responses/resp_1", {}, "openai_responses", 405, "GET or DELETE"),
        ("GET", "/v1/responses/resp_1/cancel", {}, "openai_responses", 405, "POST"),
        ("GET", "/v1/responses/resp_1/nothing", {}, "openai_responses", 404, ""),
        ("POST", "/responses", {}, "openai_responses", 404, "/v1/responses"),
        ("POST", "/v1/v1/responses", {}, "openai_responses", 404, "/v1/responses"),
        ("GET", "/v1/realtime", {}, "openai_chat", 404, ""),
        ("POST", "/v1/messages/batches/msgbatch_1/nothing", {}, "anthropic_messages", 404, ""),
        ("POST", "/v1/files", ANTHROPIC, "anthropic_messages", 404, ""),
        ("POST", "/v1/files", GOOGLE, "gemini_generate", 405, "/upload/v1beta/files"),
        ("GET", "/upload/v1beta/files", {}, "gemini_generate", 405, "POST"),
        ("POST", "/v1beta/files/a:b", {}, "gemini_generate", 404, ""),
        ("POST", "/v1beta/models/x:predict", {}, "gemini_generate", 404, ""),
        ("POST", "/v1beta/models/:generateContent", {}, "gemini_generate", 404, ""),
        ("POST", "/v1beta", {}, "gemini_generate", 404, ""),
        ("GET", "/v1", {}, "openai_chat", 404, ""),
        ("GET", "/v1/chat/completions", {}, "openai_chat", 405, "POST"),
        ("PUT", "/v1/messages", {}, "anthropic_messages", 405, "POST"),
        ("DELETE", "/v1/models/x", {}, "openai_chat", 405, "GET"),
        ("GET", "/v1beta/models", {}, "gemini_generate", 200, ""),
        ("PATCH", "/v1beta/models/x:generateContent", {}, "gemini_generate", 405, "POST"),
    ],
)
def test_what_is_not_served(
    method: str, path: str, headers: dict[bytes, bytes], dialect: str, status: int, hint: str
) -> None:
    place = locate(method.encode(), path.encode(), b"", headers)
    assert place is not None
    assert place.dialect == dialect
    if status == 200:
        assert place.refusal is None
        return
    assert place.endpoint == "none"
    assert place.refusal is not None
    assert place.refusal.status == status
    assert hint in place.refusal.public


@pytest.mark.parametrize(
    "path", ["/healthz", "/api/v1/usage", "/console", "/v2/chat/completions", "/v1x", "//v1/models"]
)
def test_paths_of_others(path: str) -> None:
    assert locate(b"GET", path.encode(), b"", {}) is None


def test_odd_paths_are_shown_harmlessly() -> None:
    place = locate(b"POST", b"/v1/\xff\x00" + b"x" * 5000, b"\xff=\xff&" + b"a&" * 200, {})
    assert place is not None
    assert place.refusal is not None
    assert place.refusal.public.isprintable()
    assert len(place.refusal.public) < 300


def test_paging_comes_along() -> None:
    place = locate(b"GET", b"/v1/models", b"limit=5&after_id=a%2Fb&key=secret", ANTHROPIC)
    assert place is not None
    assert place.query.get("key") is None
    google = locate(b"GET", b"/v1beta/models", b"pageSize=5&pageToken=5&key=secret", {})
    assert google is not None
    assert google.query == {"pageSize": "5", "pageToken": "5"}


@pytest.mark.parametrize(
    ("headers", "query", "key"),
    [
        ({b"authorization": b"Bearer rx_test_1"}, b"", b"rx_test_1"),
        ({b"authorization": b"bearer   rx_test_1 "}, b"", b"rx_test_1"),
        ({b"x-api-key": b"rx_test_1"}, b"", b"rx_test_1"),
        ({b"x-goog-api-key": b"rx_test_1"}, b"", b"rx_test_1"),
        ({}, b"alt=sse&key=rx_test_1", b"rx_test_1"),
        ({b"authorization": b"Bearer filler", b"x-api-key": b"rx_test_1"}, b"", b"rx_test_1"),
        ({b"authorization": b"Bearer imported", b"x-api-key": b"other"}, b"", b"imported"),
        ({b"authorization": b"Basic abc"}, b"", None),
        ({b"authorization": b"Bearer "}, b"key=", None),
        ({}, b"", None),
    ],
)
def test_the_key_is_found_wherever_sdks_put_it(headers: dict[bytes, bytes], query: bytes, key: bytes | None) -> None:
    assert find_key(headers, query) == key


def test_any_bytes_are_a_path() -> None:
    for path in (
        b"",
        b"/",
        b"*",
        b"/v1/models/%zz",
        b"/v1beta/models/%ff%fe:generateContent",
        b"/v1//chat/completions",
    ):
        for method in (b"GET", b"POST", b"OPTIONS", b""):
            placed: Any = locate(method, path, b"%", {})
            assert placed is None or placed.dialect
