"""The vendors' own SDKs, unpatched, against a running server with one key: what people already have must work."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from fixtures_server import RunningServer, eventually

MODEL = "sandbox/chat"
# The smallest PNG: one transparent pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
SEEN = f"image/png, {len(PNG)} bytes, sha256 {hashlib.sha256(PNG).hexdigest()[:16]}"
PDF = b"%PDF-1.4\n%%EOF\n"
PDF_SEEN = f"application/pdf, {len(PDF)} bytes, sha256 {hashlib.sha256(PDF).hexdigest()[:16]}"
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
ASK = "Use get_weather for the city of Ulm for 3 days."


def booked(server: RunningServer, request_id: str) -> dict[str, Any]:
    """The call's row: the flush takes a fraction of a second."""

    def row() -> dict[str, Any] | None:
        done = server.cli_raw("usage", "show", request_id, "--json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    return eventually(row, 5)


# OpenAI


@pytest.fixture
def oai(server: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=server.key, base_url=server.base_url + "/v1", max_retries=0) as client:
        yield client


def test_openai_chat(server: RunningServer, oai: openai.OpenAI) -> None:
    raw = oai.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "system", "content": "Be short."}, {"role": "user", "content": "Say hi."}]
    )
    answer = raw.parse()
    assert "You wrote 2 words: Say hi." in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    row = booked(server, raw.headers["x-request-id"])
    assert row["status"] == 200
    assert row["model"] == MODEL
    assert row["dialect"] == "openai_chat"
    assert row["usage_source"] == "provider"
    assert row["usage"]["input_tokens"] + row["usage"]["cache_read_tokens"] == answer.usage.prompt_tokens
    assert row["usage"]["output_tokens"] == answer.usage.completion_tokens
    assert row["cost_micros"] == int(raw.headers["ruxa-cost-micros"]) > 0


def test_openai_stream_counts_what_it_did_not_ask_for(server: RunningServer, oai: openai.OpenAI) -> None:
    raw = oai.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": "Tell me a tale."}], stream=True
    )
    chunks = list(raw.parse())
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "Tell me a tale." in text
    assert all(chunk.choices for chunk in chunks), "nobody asked for the usage chunk"
    row = booked(server, raw.headers["x-request-id"])
    assert row["stream"] is True
    assert row["usage_source"] == "provider"
    assert row["usage"]["output_tokens"] > 0
    assert row["cost_micros"] > 0


def test_openai_stream_with_usage(oai: openai.OpenAI) -> None:
    with (
        oai,
        oai.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Tell me."}],
            stream=True,
            stream_options={"include_usage": True},
        ) as stream,
    ):
        chunks = list(stream)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
def test_openai_tool_loop(oai: openai.OpenAI, stream: bool) -> None:
    tools: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}]
    messages: list[Any] = [{"role": "user", "content": ASK}]
    if stream:
        with oai.chat.completions.stream(model=MODEL, messages=messages, tools=tools) as events:
            for _ in events:
                pass
            first = events.get_final_completion().choices[0]
    else:
        first = oai.chat.completions.create(model=MODEL, messages=messages, tools=tools).choices[0]
    assert first.finish_reason == "tool_calls"
    calls = first.message.tool_calls
    assert calls
    arguments = json.loads(calls[0].function.arguments)  # type: ignore[union-attr]
    assert arguments["days"] == 3
    messages += [
        first.message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}),
        {"role": "tool", "tool_call_id": calls[0].id, "content": "Sunny, 21 degrees"},
    ]
    last = oai.chat.completions.create(model=MODEL, messages=messages, tools=tools).choices[0]
    assert last.finish_reason == "stop"
    assert "Sunny, 21 degrees" in (last.message.content or "")


def test_openai_image(oai: openai.OpenAI) -> None:
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    content: Any = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    answer = oai.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
    assert SEEN in (answer.choices[0].message.content or "")


def test_openai_embeddings(server: RunningServer, oai: openai.OpenAI) -> None:
    raw = oai.embeddings.with_raw_response.create(model="sandbox/embedding", input=["one", "two words"])
    answer = raw.parse()
    floats = oai.embeddings.create(model="sandbox/embedding", input="one", encoding_format="float")
    short = oai.embeddings.create(model="sandbox/embedding", input="one", dimensions=64)
    assert len(answer.data) == 2
    assert answer.data[0].embedding == pytest.approx(floats.data[0].embedding)
    assert len(short.data[0].embedding) == 64
    row = booked(server, raw.headers["x-request-id"])
    assert row["endpoint"] == "embeddings"
    assert row["usage"]["input_tokens"] == answer.usage.prompt_tokens


def test_openai_models(oai: openai.OpenAI) -> None:
    names = {model.id for model in oai.models.list()}
    one = oai.models.retrieve(MODEL)
    assert {MODEL, "sandbox/embedding"} <= names
    assert one.id == MODEL


def test_openai_media_files_and_batches_as_the_page_says(server: RunningServer) -> None:
    """The code of the how-to, block after block, as it stands there."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "media-files-and-batches.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    code = code.replace("http://127.0.0.1:8000", server.base_url)
    environment = {**os.environ, "RUXA_KEY": server.key, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "Hello there." in done.stdout
    assert "Plums are blue." in done.stdout
    assert done.stdout.splitlines()[-3:] == [f"question-{number}" for number in range(3)]


def test_openai_errors_are_its_own(server: RunningServer, oai: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        oai.chat.completions.create(model="sandbox/nothing", messages=[{"role": "user", "content": "x"}])
    assert caught.value.code in {"model_not_found", "model_not_priced"}
    assert caught.value.request_id
    with (
        openai.OpenAI(api_key="rx_live_wrong", base_url=server.base_url + "/v1", max_retries=0) as wrong,
        pytest.raises(openai.AuthenticationError),
    ):
        wrong.models.list()


# Anthropic


@pytest.fixture
def claude(server: RunningServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key=server.key, base_url=server.base_url, max_retries=0) as client:
        yield client


def test_anthropic_message(server: RunningServer, claude: anthropic.Anthropic) -> None:
    raw = claude.messages.with_raw_response.create(
        model=MODEL, max_tokens=200, system="Be short.", messages=[{"role": "user", "content": "Say hi."}]
    )
    answer = raw.parse()
    assert answer.content[0].type == "text"
    assert "Say hi." in answer.content[0].text
    assert answer.stop_reason == "end_turn"
    row = booked(server, raw.headers["x-request-id"])
    assert row["dialect"] == "anthropic_messages"
    assert row["usage"]["input_tokens"] == answer.usage.input_tokens
    assert row["usage"]["output_tokens"] == answer.usage.output_tokens
    assert row["cost_micros"] == int(raw.headers["ruxa-cost-micros"]) > 0


def test_anthropic_stream(server: RunningServer, claude: anthropic.Anthropic) -> None:
    with (
        claude.messages.stream(
            model=MODEL, max_tokens=500, messages=[{"role": "user", "content": "Tell me a tale."}]
        ) as stream,
    ):
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
        request_id = stream.response.headers["x-request-id"]
    assert "Tell me a tale." in text
    row = booked(server, request_id)
    assert row["usage"]["output_tokens"] == message.usage.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_tool_loop(claude: anthropic.Anthropic, stream: bool) -> None:
    tools: Any = [{"name": "get_weather", "input_schema": WEATHER}]
    messages: list[Any] = [{"role": "user", "content": ASK}]
    if stream:
        with claude.messages.stream(model=MODEL, max_tokens=300, messages=messages, tools=tools) as events:
            first = events.get_final_message()
    else:
        first = claude.messages.create(model=MODEL, max_tokens=300, messages=messages, tools=tools)
    assert first.stop_reason == "tool_use"
    call = next(block for block in first.content if block.type == "tool_use")
    assert call.input["days"] == 3  # type: ignore[index]
    messages += [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "Sunny, 21 degrees"}],
        },
    ]
    last = claude.messages.create(model=MODEL, max_tokens=300, messages=messages, tools=tools)
    assert last.stop_reason == "end_turn"
    assert "Sunny, 21 degrees" in last.content[0].text  # type: ignore[union-attr]


def test_anthropic_image_document_and_thinking(claude: anthropic.Anthropic) -> None:
    def source(media_type: str, data: bytes) -> Any:
        return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}

    content: Any = [
        {"type": "image", "source": source("image/png", PNG)},
        {"type": "document", "source": source("application/pdf", PDF)},
        {"type": "text", "text": "What is it?"},
    ]
    answer = claude.messages.create(
        model=MODEL,
        max_tokens=2000,
        thinking={"type": "enabled", "budget_tokens": 1024},
        messages=[{"role": "user", "content": content}],
    )
    thinking = next(block for block in answer.content if block.type == "thinking")
    text = next(block for block in answer.content if block.type == "text")
    assert thinking.signature
    assert SEEN in text.text
    assert PDF_SEEN in text.text


def test_anthropic_count_tokens_and_models(claude: anthropic.Anthropic) -> None:
    counted = claude.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "one two three"}])
    names = {model.id for model in claude.models.list(limit=100)}
    one = claude.models.retrieve(MODEL)
    assert counted.input_tokens > 0
    assert MODEL in names
    assert one.id == MODEL


def test_anthropic_errors_are_its_own(server: RunningServer, claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="sandbox/nothing", max_tokens=9, messages=[{"role": "user", "content": "x"}])
    with (
        anthropic.Anthropic(api_key="rx_live_wrong", base_url=server.base_url, max_retries=0) as wrong,
        pytest.raises(anthropic.AuthenticationError),
    ):
        wrong.messages.create(model=MODEL, max_tokens=9, messages=[{"role": "user", "content": "x"}])


# Google


@pytest.fixture
def google(server: RunningServer) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=server.base_url, retry_options=types.HttpRetryOptions(attempts=1))
    client = genai.Client(api_key=server.key, http_options=options)
    yield client
    client.close()


def test_google_generate(server: RunningServer, google: genai.Client) -> None:
    answer = google.models.generate_content(
        model=MODEL,
        contents="Say hi.",
        config=types.GenerateContentConfig(system_instruction="Be short.", max_output_tokens=200),
    )
    assert "Say hi." in (answer.text or "")
    assert answer.usage_metadata is not None
    headers = answer.sdk_http_response.headers if answer.sdk_http_response else {}
    request_id = {name.lower(): value for name, value in (headers or {}).items()}["x-request-id"]
    row = booked(server, request_id)
    assert row["dialect"] == "gemini_generate"
    assert row["usage"]["input_tokens"] == answer.usage_metadata.prompt_token_count
    assert row["usage"]["output_tokens"] == answer.usage_metadata.candidates_token_count
    assert row["cost_micros"] > 0


def test_google_stream(google: genai.Client) -> None:
    chunks = list(google.models.generate_content_stream(model=MODEL, contents="Tell me a tale."))
    assert "Tell me a tale." in "".join(chunk.text or "" for chunk in chunks)
    assert len(chunks) > 1


@pytest.mark.parametrize("stream", [False, True])
def test_google_tool_loop(google: genai.Client, stream: bool) -> None:
    tool = types.Tool(
        function_declarations=[types.FunctionDeclaration(name="get_weather", parameters_json_schema=WEATHER)]
    )
    config = types.GenerateContentConfig(
        tools=[tool], automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True)
    )
    contents: list[Any] = [types.Content(role="user", parts=[types.Part(text=ASK)])]
    if stream:
        parts = [
            part
            for chunk in google.models.generate_content_stream(model=MODEL, contents=contents, config=config)
            for candidate in chunk.candidates or []
            for part in (candidate.content.parts if candidate.content else None) or []
        ]
    else:
        first = google.models.generate_content(model=MODEL, contents=contents, config=config)
        assert first.candidates
        assert first.candidates[0].content
        parts = first.candidates[0].content.parts or []
    call = next(part.function_call for part in parts if part.function_call)
    assert call.args
    assert call.args["days"] == 3
    given = types.FunctionResponse(id=call.id, name=call.name, response={"output": "Sunny, 21 degrees"})
    contents += [
        types.Content(role="model", parts=[part for part in parts if part.function_call]),
        types.Content(role="user", parts=[types.Part(function_response=given)]),
    ]
    last = google.models.generate_content(model=MODEL, contents=contents, config=config)
    assert "Sunny, 21 degrees" in (last.text or "")


def test_google_image(google: genai.Client) -> None:
    parts: Any = [types.Part.from_bytes(data=PNG, mime_type="image/png"), "What is it?"]
    assert SEEN in (google.models.generate_content(model=MODEL, contents=parts).text or "")


def test_google_count_embed_and_models(google: genai.Client) -> None:
    counted = google.models.count_tokens(model=MODEL, contents="one two three")
    assert counted.total_tokens
    one = google.models.embed_content(model="sandbox/embedding", contents="one")
    assert one.embeddings
    assert one.embeddings[0].values
    two = google.models.embed_content(model="sandbox/embedding", contents=["one", "two"])  # type: ignore[arg-type]
    assert two.embeddings
    names = {model.name for model in google.models.list()}
    assert any(name and name.endswith(MODEL) for name in names)


def test_google_errors_are_its_own(google: genai.Client) -> None:
    with pytest.raises(genai.errors.ClientError) as caught:
        google.models.generate_content(model="sandbox/nothing", contents="x")
    assert caught.value.code == 404


# One key, every header form


@pytest.mark.parametrize(
    ("path", "form"),
    [
        (path, form)
        for path in ("/v1/chat/completions", "/v1/messages", "/v1beta/models/sandbox/chat:generateContent")
        for form in ("authorization", "x-api-key", "x-goog-api-key", "query")
    ],
)
def test_one_key_works_everywhere_in_every_form(server: RunningServer, path: str, form: str) -> None:
    headers = {
        "authorization": {"authorization": f"Bearer {server.key}"},
        "x-api-key": {"x-api-key": server.key},
        "x-goog-api-key": {"x-goog-api-key": server.key},
        "query": {},
    }[form]
    body: Any = {"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": "Say hi."}]}
    if "generateContent" in path:
        body = {"contents": [{"role": "user", "parts": [{"text": "Say hi."}]}]}
    target = path + (f"?key={server.key}" if form == "query" else "")
    status, found, answer = server.http("POST", target, body, headers=headers, key=None)
    assert status == 200, answer
    assert b"Say hi." in answer
    assert found["x-request-id"].startswith("req_")
