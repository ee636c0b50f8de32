"""The official SDKs, unpatched, against the sandbox: if they understand it, it speaks the vendors' dialects."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
import threading
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest
from google import genai
from google.genai import types as g

from ruxa.egress.sandbox.server import Server, serve

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SEEN = f"image/png, {len(PNG)} bytes, sha256 {hashlib.sha256(PNG).hexdigest()[:16]}"
PDF = b"%PDF-1.4 nothing much"
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class Running:
    """A sandbox on a loop of its own thread; the SDKs are used blocking."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server: Server = self.call(serve("127.0.0.1", 0, pace_ms=0))
        self.url = f"http://127.0.0.1:{self.server.port}"

    def call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def stop(self) -> None:
        self.call(self.server.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    running = Running()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def oai(sandbox: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{sandbox.url}/v1", api_key="any", max_retries=0, timeout=10) as client:
        yield client


@pytest.fixture(scope="module")
def ant(sandbox: Running) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=sandbox.url, api_key="any", max_retries=0, timeout=10) as client:
        yield client


@pytest.fixture(scope="module")
def gem(sandbox: Running) -> Iterator[genai.Client]:
    client = genai.Client(api_key="any", http_options=g.HttpOptions(base_url=sandbox.url, timeout=10_000))
    yield client
    client.close()


def last(sandbox: Running) -> dict[str, Any]:
    return httpx.get(f"{sandbox.url}/__sandbox/last").json()


# OpenAI


def test_openai_answers_and_its_usage_adds_up(oai: openai.OpenAI, sandbox: Running) -> None:
    answer = oai.chat.completions.create(
        model="sandbox/chat",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello [[cached=2]]"}],
    )
    assert "Say hello" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens == 2
    seen = last(sandbox)
    assert seen["path"] == "/v1/chat/completions"
    assert json.loads(base64.b64decode(seen["body"]))["model"] == "sandbox/chat"
    assert ["authorization", "Bearer any"] in seen["headers"]


def test_openai_streams_with_and_without_usage(oai: openai.OpenAI) -> None:
    ask: Any = {"model": "sandbox/chat", "messages": [{"role": "user", "content": "Count [[tokens=20]]"}]}
    chunks = list(oai.chat.completions.create(**ask, stream=True))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert len(text.split()) == 20
    assert all(c.choices for c in chunks)
    assert [c.choices[0].finish_reason for c in chunks][-1] == "stop"
    told = list(oai.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    assert not told[-1].choices
    assert told[-1].usage is not None
    assert told[-1].usage.completion_tokens == 20


def test_openai_tools_in_two_turns(oai: openai.OpenAI) -> None:
    tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
    other: Any = {"type": "function", "function": {"name": "get_time", "parameters": WEATHER}}
    messages: list[Any] = [{"role": "user", "content": "Please get weather and get time in Paris"}]
    first = oai.chat.completions.create(model="sandbox/chat", messages=messages, tools=[tool, other])
    calls = first.choices[0].message.tool_calls or []
    assert first.choices[0].finish_reason == "tool_calls"
    assert [call.function.name for call in calls if call.type == "function"] == ["get_weather", "get_time"]
    arguments = [json.loads(call.function.arguments) for call in calls if call.type == "function"]
    assert arguments == [{"city": "Paris"}, {"city": "Paris"}]
    messages.append(first.choices[0].message.to_dict())
    messages += [{"role": "tool", "tool_call_id": call.id, "content": f"{at} degrees"} for at, call in enumerate(calls)]
    second = oai.chat.completions.create(model="sandbox/chat", messages=messages, tools=[tool, other])
    assert "get_weather returned: 0 degrees" in (second.choices[0].message.content or "")
    assert "get_time returned: 1 degrees" in (second.choices[0].message.content or "")


@pytest.mark.parametrize("mark", ["", " [[interleave]]"])
def test_openai_streams_tool_calls_whose_fragments_join(oai: openai.OpenAI, mark: str) -> None:
    tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
    stream = oai.chat.completions.create(
        model="sandbox/chat",
        messages=[{"role": "user", "content": f"get weather in Paris [[calls=2]]{mark}"}],
        tools=[tool],
        stream=True,
    )
    joined: dict[int, str] = {}
    for chunk in stream:
        for call in chunk.choices[0].delta.tool_calls or []:
            joined[call.index] = joined.get(call.index, "") + ((call.function and call.function.arguments) or "")
    assert [json.loads(text) for text in joined.values()] == [{"city": "Paris"}] * 2


def test_openai_sees_images_files_and_audio(oai: openai.OpenAI) -> None:
    data = base64.b64encode(PNG).decode()
    parts: list[Any] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{base64.b64encode(PDF).decode()}"},
        },
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
    ]
    answer = oai.chat.completions.create(model="sandbox/chat", messages=[{"role": "user", "content": parts}])
    text = answer.choices[0].message.content or ""
    assert SEEN in text
    assert f"application/pdf, {len(PDF)} bytes" in text
    assert "audio/wav" in text


def test_openai_structured_output_stop_and_length(oai: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}, "name": {"type": "string"}}}
    form: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    ask: Any = {"model": "sandbox/chat", "messages": [{"role": "user", "content": "Tell: Ann is 31"}]}
    answer = oai.chat.completions.create(**ask, response_format=form)
    assert json.loads(answer.choices[0].message.content or "")["age"] == 31
    cut = oai.chat.completions.create(**ask, max_tokens=2)
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage is not None
    assert cut.usage.completion_tokens == 2
    stopped = oai.chat.completions.create(**ask, stop=["is"])
    assert "31" not in (stopped.choices[0].message.content or "")
    two = oai.chat.completions.create(**ask, n=2, reasoning_effort="high")
    assert len(two.choices) == 2
    assert two.usage is not None
    assert two.usage.completion_tokens_details is not None
    assert (two.usage.completion_tokens_details.reasoning_tokens or 0) > 0


def test_openai_embeddings_by_default_come_as_base64(oai: openai.OpenAI, sandbox: Running) -> None:
    made = oai.embeddings.create(model="sandbox/embedding", input=["one", "two"], dimensions=32)
    sent = json.loads(base64.b64decode(last(sandbox)["body"]))
    assert sent["encoding_format"] == "base64"
    assert [len(item.embedding) for item in made.data] == [32, 32]
    plain = oai.embeddings.create(model="sandbox/embedding", input="one", dimensions=32, encoding_format="float")
    assert made.data[0].embedding == pytest.approx(plain.data[0].embedding)
    assert made.data[0].embedding != made.data[1].embedding
    assert sum(value * value for value in plain.data[0].embedding) == pytest.approx(1, abs=1e-5)
    assert struct.calcsize("<f") == 4
    assert made.usage.prompt_tokens == 2


@pytest.mark.parametrize(
    ("what", "error", "status"),
    [
        ("400", openai.BadRequestError, 400),
        ("401", openai.AuthenticationError, 401),
        ("403", openai.PermissionDeniedError, 403),
        ("404", openai.NotFoundError, 404),
        ("429", openai.RateLimitError, 429),
        ("quota", openai.RateLimitError, 429),
        ("500", openai.InternalServerError, 500),
        ("503", openai.InternalServerError, 503),
        ("529", openai.InternalServerError, 529),
    ],
)
def test_openai_faults(oai: openai.OpenAI, what: str, error: type[openai.APIStatusError], status: int) -> None:
    by_name: Any = {"model": f"sandbox/fail-{what}", "messages": [{"role": "user", "content": "x"}]}
    by_mark: Any = {"model": "sandbox/chat", "messages": [{"role": "user", "content": f"x [[fail-{what}]]"}]}
    for ask in (by_name, by_mark):
        with pytest.raises(error) as caught:
            oai.chat.completions.create(**ask)
        assert caught.value.status_code == status
        assert caught.value.type


def test_openai_refuses_what_the_vendor_refuses(oai: openai.OpenAI) -> None:
    ask: Any = {"model": "sandbox/chat", "messages": [{"role": "user", "content": "x"}]}
    bad: list[tuple[dict[str, Any], str]] = [
        ({"temperature": "hot"}, "temperature"),
        ({"n": 0}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "tool_call_id": "no", "content": "x"}]}, "messages[0].role"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ]
    for change, param in bad:
        with pytest.raises(openai.BadRequestError) as caught:
            oai.chat.completions.create(**{**ask, **change})
        assert caught.value.param == param
    with pytest.raises(openai.BadRequestError, match="Unrecognized request argument"):
        oai.chat.completions.create(**ask, extra_body={"frobnicate": 1})


def test_openai_models(oai: openai.OpenAI) -> None:
    names = [model.id for model in oai.models.list()]
    assert "sandbox/chat" in names
    assert oai.models.retrieve("sandbox/chat").owned_by == "sandbox"
    with pytest.raises(openai.NotFoundError):
        oai.models.retrieve("sandbox/nothing")


# Anthropic


def test_anthropic_answers_and_its_usage_adds_up(ant: anthropic.Anthropic) -> None:
    answer = ant.messages.create(
        model="sandbox/chat", max_tokens=100, system="Be brief.", messages=[{"role": "user", "content": "Say hello"}]
    )
    assert answer.content[0].type == "text"
    assert "Say hello" in answer.content[0].text
    assert answer.stop_reason == "end_turn"
    counted = ant.messages.count_tokens(
        model="sandbox/chat", system="Be brief.", messages=[{"role": "user", "content": "Say hello"}]
    )
    assert answer.usage.input_tokens == counted.input_tokens


def test_anthropic_caches_a_marked_prefix(ant: anthropic.Anthropic) -> None:
    system: list[Any] = [{"type": "text", "text": "Long " * 50, "cache_control": {"type": "ephemeral"}}]
    ask: Any = {"model": "sandbox/chat", "max_tokens": 50, "system": system}
    first = ant.messages.create(**ask, messages=[{"role": "user", "content": "one"}]).usage
    again = ant.messages.create(**ask, messages=[{"role": "user", "content": "two"}]).usage
    assert (first.cache_creation_input_tokens or 0) > 40
    assert first.cache_read_input_tokens == 0
    assert again.cache_read_input_tokens == first.cache_creation_input_tokens
    assert first.cache_creation is not None
    assert first.cache_creation.ephemeral_5m_input_tokens == first.cache_creation_input_tokens


def test_anthropic_streams_text_thinking_and_tools(ant: anthropic.Anthropic) -> None:
    tool: Any = {"name": "get_weather", "input_schema": WEATHER}
    with ant.messages.stream(
        model="sandbox/chat",
        max_tokens=2000,
        thinking={"type": "enabled", "budget_tokens": 1024},
        messages=[{"role": "user", "content": "get weather in Paris [[calls=2]]"}],
        tools=[tool],
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert [block.type for block in final.content] == ["thinking", "tool_use", "tool_use"]
    assert [block.input for block in final.content if block.type == "tool_use"] == [{"city": "Paris"}] * 2
    assert final.stop_reason == "tool_use"
    assert final.usage.output_tokens_details is not None
    assert 0 < final.usage.output_tokens_details.thinking_tokens < final.usage.output_tokens
    back: Any = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "20 degrees", "is_error": False}
        for block in final.content
        if block.type == "tool_use"
    ]
    turns: list[Any] = [
        {"role": "user", "content": "get weather in Paris [[calls=2]]"},
        {"role": "assistant", "content": [block.to_dict() for block in final.content]},
        {"role": "user", "content": back},
    ]
    second = ant.messages.create(model="sandbox/chat", max_tokens=100, messages=turns, tools=[tool])
    assert second.content[0].type == "text"
    assert "get_weather returned: 20 degrees" in second.content[0].text
    turns[1]["content"][0]["signature"] = "forged"
    with pytest.raises(anthropic.BadRequestError, match="signature"):
        ant.messages.create(model="sandbox/chat", max_tokens=100, messages=turns, tools=[tool])
    with pytest.raises(anthropic.BadRequestError, match="tool_use"):
        ant.messages.create(
            model="sandbox/chat",
            max_tokens=100,
            messages=[
                *turns[:1],
                {**turns[1], "content": turns[1]["content"][1:]},
                {"role": "user", "content": "never mind"},
            ],
            tools=[tool],
        )


def test_anthropic_sees_images_and_documents_also_in_tool_results(ant: anthropic.Anthropic) -> None:
    data = base64.b64encode(PNG).decode()
    image: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    document: Any = {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(PDF).decode()},
    }
    turns: list[Any] = [
        {"role": "user", "content": [image, document, {"type": "text", "text": "Look"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "shoot", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [image]}]},
    ]
    answer = ant.messages.create(model="sandbox/chat", max_tokens=200, messages=turns)
    assert answer.content[0].type == "text"
    assert answer.content[0].text.count(SEEN) == 2
    assert f"application/pdf, {len(PDF)} bytes" in answer.content[0].text


@pytest.mark.parametrize(
    ("what", "error", "status"),
    [
        ("400", anthropic.BadRequestError, 400),
        ("401", anthropic.AuthenticationError, 401),
        ("403", anthropic.PermissionDeniedError, 403),
        ("404", anthropic.NotFoundError, 404),
        ("429", anthropic.RateLimitError, 429),
        ("500", anthropic.InternalServerError, 500),
        ("529", anthropic.InternalServerError, 529),
    ],
)
def test_anthropic_faults(
    ant: anthropic.Anthropic, what: str, error: type[anthropic.APIStatusError], status: int
) -> None:
    with pytest.raises(error) as caught:
        ant.messages.create(model=f"sandbox/fail-{what}", max_tokens=10, messages=[{"role": "user", "content": "x"}])
    assert caught.value.status_code == status
    if what in ("429", "529"):
        assert caught.value.response.headers["retry-after"] == "7"


def test_anthropic_refuses_what_the_vendor_refuses(ant: anthropic.Anthropic) -> None:
    ask: Any = {"model": "sandbox/chat", "max_tokens": 10, "messages": [{"role": "user", "content": "x"}]}
    bad: list[tuple[dict[str, Any], str]] = [
        ({"max_tokens": "many"}, "max_tokens: Input should be a valid integer"),
        ({"messages": []}, "at least one message"),
        ({"extra_body": {"frobnicate": 1}}, "frobnicate: Extra inputs are not permitted"),
        ({"tools": [{"name": "x"}]}, "input_schema: Field required"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "greater than `thinking.budget_tokens`"),
    ]
    for change, words in bad:
        with pytest.raises(anthropic.BadRequestError) as caught:
            ant.messages.create(**{**ask, **change})
        assert words in caught.value.message


def test_anthropic_models(ant: anthropic.Anthropic) -> None:
    listed = ant.models.list()
    assert "sandbox/chat" in [model.id for model in listed.data]
    assert ant.models.retrieve("sandbox/chat").max_tokens == 64_000


# Google


def test_gemini_answers_and_its_usage_adds_up(gem: genai.Client, sandbox: Running) -> None:
    answer = gem.models.generate_content(
        model="sandbox/chat",
        contents="Say hello [[cached=2]]",
        config=g.GenerateContentConfig(
            system_instruction="Be brief.", thinking_config=g.ThinkingConfig(thinking_budget=100, include_thoughts=True)
        ),
    )
    assert "Say hello" in (answer.text or "")
    usage = answer.usage_metadata
    assert usage is not None
    assert usage.cached_content_token_count == 2
    assert usage.total_token_count == (
        (usage.prompt_token_count or 0) + (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    )
    assert (usage.thoughts_token_count or 0) > 0
    assert any(part.thought for part in answer.parts or [])
    assert last(sandbox)["path"] == "/v1/models/sandbox/chat:generateContent"
    counted = gem.models.count_tokens(model="sandbox/chat", contents="Say hello")
    assert (counted.total_tokens or 0) > 2


def test_gemini_speaks_v1beta_too(sandbox: Running) -> None:
    options = g.HttpOptions(base_url=sandbox.url, timeout=10_000, api_version="v1beta")
    with genai.Client(api_key="any", http_options=options) as client:
        answer = client.models.generate_content(model="sandbox/chat", contents="Say hello")
        assert "Say hello" in (answer.text or "")
        assert last(sandbox)["path"] == "/v1beta/models/sandbox/chat:generateContent"
        assert len(list(client.models.list())) > 1


def test_gemini_streams(gem: genai.Client, sandbox: Running) -> None:
    chunks = list(gem.models.generate_content_stream(model="sandbox/chat", contents="Count [[tokens=20]]"))
    assert last(sandbox)["query"] == {"alt": "sse"}
    assert len("".join(chunk.text or "" for chunk in chunks).split()) == 20
    final = chunks[-1]
    assert final.candidates is not None
    assert final.candidates[0].finish_reason == g.FinishReason.STOP
    assert final.usage_metadata is not None
    assert final.usage_metadata.candidates_token_count == 20


def test_gemini_streams_a_json_array_without_alt_sse(sandbox: Running) -> None:
    url = f"{sandbox.url}/v1beta/models/sandbox/chat:streamGenerateContent?key=any"
    answer = httpx.post(url, json={"contents": [{"parts": [{"text": "Count [[tokens=5]]"}]}]})
    elements = answer.json()
    assert answer.headers["content-type"].startswith("application/json")
    text = "".join(element["candidates"][0]["content"]["parts"][0]["text"] for element in elements)
    assert len(text.split()) == 5


def test_gemini_tools_in_two_turns(gem: genai.Client) -> None:
    tool = g.Tool(function_declarations=[g.FunctionDeclaration(name="get_weather", parameters_json_schema=WEATHER)])
    config = g.GenerateContentConfig(
        tools=[tool], automatic_function_calling=g.AutomaticFunctionCallingConfig(disable=True)
    )
    ask = g.Content(role="user", parts=[g.Part(text="get weather in Paris [[calls=2]]")])
    first = gem.models.generate_content(model="sandbox/chat", contents=[ask], config=config)
    calls = first.function_calls or []
    assert [call.args for call in calls] == [{"city": "Paris"}] * 2
    assert first.candidates is not None
    assert first.candidates[0].content is not None
    model = first.candidates[0].content
    assert model.parts is not None
    assert model.parts[0].thought_signature
    image = g.FunctionResponsePart(inline_data=g.FunctionResponseBlob(mime_type="image/png", data=PNG))
    results = g.Content(
        role="user",
        parts=[
            g.Part(
                function_response=g.FunctionResponse(
                    id=call.id, name=call.name, response={"output": "20 degrees"}, parts=[image]
                )
            )
            for call in calls
        ],
    )
    second = gem.models.generate_content(model="sandbox/chat", contents=[ask, model, results], config=config)
    assert "get_weather returned" in (second.text or "")
    assert "20 degrees" in (second.text or "")
    assert (second.text or "").count(SEEN) == 2
    model.parts[0].thought_signature = b"forged"
    with pytest.raises(genai.errors.ClientError, match="signature"):
        gem.models.generate_content(model="sandbox/chat", contents=[ask, model, results], config=config)


def test_gemini_sees_images_and_documents(gem: genai.Client) -> None:
    parts: list[Any] = [
        "Look",
        g.Part.from_bytes(data=PNG, mime_type="image/png"),
        g.Part.from_bytes(data=PDF, mime_type="application/pdf"),
    ]
    text = gem.models.generate_content(model="sandbox/chat", contents=parts).text or ""
    assert SEEN in text
    assert f"application/pdf, {len(PDF)} bytes" in text


def test_gemini_embeds_one_and_many(gem: genai.Client, sandbox: Running) -> None:
    made = gem.models.embed_content(
        model="sandbox/embedding", contents=["one", "two"], config=g.EmbedContentConfig(output_dimensionality=16)
    )
    assert last(sandbox)["path"].endswith(":batchEmbedContents")
    assert made.embeddings is not None
    assert [len(item.values or []) for item in made.embeddings] == [16, 16]
    url = f"{sandbox.url}/v1beta/models/sandbox/embedding:embedContent"
    body = {"content": {"parts": [{"text": "one"}]}, "outputDimensionality": 16}
    one = httpx.post(url, json=body, headers={"x-goog-api-key": "any"}).json()
    assert one["embedding"]["values"] == pytest.approx(made.embeddings[0].values)


@pytest.mark.parametrize(("what", "status"), [("400", 400), ("403", 403), ("404", 404), ("429", 429)])
def test_gemini_faults_of_the_caller(gem: genai.Client, what: str, status: int) -> None:
    with pytest.raises(genai.errors.ClientError) as caught:
        gem.models.generate_content(model=f"sandbox/fail-{what}", contents="x")
    assert caught.value.code == status


@pytest.mark.parametrize(("what", "status"), [("500", 500), ("503", 503), ("529", 529)])
def test_gemini_faults_of_the_server(gem: genai.Client, what: str, status: int) -> None:
    with pytest.raises(genai.errors.ServerError) as caught:
        gem.models.generate_content(model=f"sandbox/fail-{what}", contents="x")
    assert caught.value.code == status
    assert caught.value.status == ("INTERNAL" if what == "500" else "UNAVAILABLE")


def test_gemini_refuses_what_the_vendor_refuses(sandbox: Running) -> None:
    url = f"{sandbox.url}/v1beta/models/sandbox/chat:generateContent"
    said = {"contents": [{"parts": [{"text": "x"}]}]}
    bad: list[tuple[dict[str, Any], str]] = [
        ({}, "contents is not specified"),
        ({**said, "frobnicate": 1}, 'Unknown name "frobnicate"'),
        ({**said, "generationConfig": {"maxOutputTokens": "many"}}, "Invalid value at 'generation_config"),
        ({"contents": [{"role": "king", "parts": [{"text": "x"}]}]}, "valid role"),
    ]
    for body, words in bad:
        answer = httpx.post(url, json=body, headers={"x-goog-api-key": "any"})
        assert answer.status_code == 400
        assert words in answer.json()["error"]["message"]
        assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert httpx.post(url, json=said).status_code == 403


def test_gemini_models(gem: genai.Client) -> None:
    names = [model.name for model in gem.models.list()]
    assert "models/sandbox/chat" in names
    assert gem.models.get(model="sandbox/chat").supported_actions == ["generateContent", "countTokens"]
