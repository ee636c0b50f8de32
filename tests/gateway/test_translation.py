"""Every SDK on every other vendor's dialect: tool loops with thinking, images, counts, vectors, what is lost."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from typing import Any

import anthropic
import httpx
import openai
import pytest
from google import genai
from google.genai import types

from dialect_calls import call, ends_in_error, ends_well, error_of
from fixtures_gateway import House
from three_vendors import SPEAK, sent, vendors

pytestmark = pytest.mark.usefixtures("no_days")

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
SEEN = f"image/png, {len(PNG)} bytes, sha256 {hashlib.sha256(PNG).hexdigest()[:16]}"
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
ASK = "Use get_weather for the city of Ulm for 3 days."
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@streamed_or_not
@pytest.mark.parametrize("vendor", ["am", "gg"])
async def test_openais_sdk_goes_through_a_tool_loop(house: House, vendor: str, stream: bool) -> None:
    sandbox = await vendors(house)
    url = f"http://127.0.0.1:{house.port}/v1"
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}}
    messages: list[Any] = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": ASK}, image]},
    ]
    asked: Any = {
        "model": f"{vendor}/chat",
        "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}],
        "reasoning_effort": "high",
    }
    async with openai.AsyncOpenAI(api_key=house.secret, base_url=url, max_retries=0) as client:

        async def turn() -> Any:
            completions: Any = client.chat.completions
            if not stream:
                return (await completions.create(messages=messages, **asked)).choices[0]
            async with completions.stream(messages=messages, **asked) as events:
                async for _ in events:
                    pass
                return (await events.get_final_completion()).choices[0]

        first = await turn()
        assert first.finish_reason == "tool_calls"
        assert "words" in first.message.reasoning_content
        tool = first.message.tool_calls[0]
        assert json.loads(tool.function.arguments)["days"] == 3
        messages.append(first.message.model_dump(exclude_none=True, exclude={"parsed"}))
        messages.append({"role": "tool", "tool_call_id": tool.id, "content": "Sunny, 21 degrees."})
        second = await turn()
    assert second.finish_reason == "stop"
    assert "get_weather returned: " in second.message.content
    assert "Sunny, 21 degrees." in second.message.content
    assert SEEN in second.message.content
    body = json.dumps(sent(sandbox))
    # The provider's own signature came back to it, or it would have refused (the sandbox checks it).
    assert '"signature"' in body or '"thoughtSignature"' in body
    rows = await house.rows(2)
    for row in rows:
        assert row["dialect"] == "openai_chat"
        assert row["provider"] == vendor
        assert row["usage_source"] == "provider"
        assert row["amount_micros"] > 0
        assert row["reasoning_tokens"] > 0
        assert row["stream"] is stream
    await house.stop()
    assert not house.proofs()


@streamed_or_not
@pytest.mark.parametrize("vendor", ["oc", "gg"])
async def test_anthropics_sdk_goes_through_a_tool_loop(house: House, vendor: str, stream: bool) -> None:
    sandbox = await vendors(house)
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
    messages: list[Any] = [
        {"role": "user", "content": [{"type": "text", "text": ASK}, {"type": "image", "source": source}]}
    ]
    asked: Any = {
        "model": f"{vendor}/chat",
        "max_tokens": 1500,
        "system": "Be short.",
        "tools": [{"name": "get_weather", "input_schema": WEATHER}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    url = f"http://127.0.0.1:{house.port}"
    async with anthropic.AsyncAnthropic(api_key=house.secret, base_url=url, max_retries=0) as client:

        async def turn() -> Any:
            made: Any = client.messages
            if not stream:
                return await made.create(messages=messages, **asked)
            async with made.stream(messages=messages, **asked) as events:
                async for _ in events:
                    pass
                return await events.get_final_message()

        first = await turn()
        assert first.stop_reason == "tool_use"
        tool = next(block for block in first.content if block.type == "tool_use")
        assert tool.input["days"] == 3
        if vendor == "gg":
            assert any(block.type == "thinking" for block in first.content)
        messages.append({"role": "assistant", "content": [block.model_dump() for block in first.content]})
        shown = [{"type": "text", "text": "Sunny."}, {"type": "image", "source": source}]
        messages.append(
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": tool.id, "content": shown}]}
        )
        second = await turn()
    assert second.stop_reason == "end_turn"
    text = "".join(block.text for block in second.content if block.type == "text")
    assert text.count(SEEN) == 2
    if vendor == "gg":
        assert "get_weather returned: " in text
        assert "Sunny." in text
    else:  # there the image follows in a user's message of its own (W20), which the sandbox takes for the question
        assert [each["content"] for each in sent(sandbox)["messages"] if each["role"] == "tool"] == ["Sunny."]
    rows = await house.rows(2)
    assert [row["dialect"] for row in rows] == ["anthropic_messages"] * 2
    assert all(row["amount_micros"] > 0 and row["reasoning_tokens"] > 0 for row in rows)
    assert second.usage.output_tokens == rows[1]["output_tokens"] + rows[1]["reasoning_tokens"]
    assert second.usage.input_tokens == rows[1]["input_tokens"]
    await house.stop()
    assert not house.proofs()


@streamed_or_not
@pytest.mark.parametrize("vendor", ["oc", "am"])
async def test_googles_sdk_goes_through_a_tool_loop(house: House, vendor: str, stream: bool) -> None:
    await vendors(house)
    client = genai.Client(
        api_key=house.secret,
        http_options=types.HttpOptions(
            base_url=f"http://127.0.0.1:{house.port}", async_client_args={"transport": httpx.AsyncHTTPTransport()}
        ),
    )
    house.closing(client.aio.aclose)
    contents: list[Any] = [
        types.Content(
            role="user",
            parts=[types.Part(text=ASK), types.Part.from_bytes(data=PNG, mime_type="image/png")],
        )
    ]
    config = types.GenerateContentConfig(
        system_instruction="Be short.",
        tools=[
            types.Tool(
                function_declarations=[types.FunctionDeclaration(name="get_weather", parameters_json_schema=WEATHER)]
            )
        ],
        thinking_config=types.ThinkingConfig(thinking_budget=1024, include_thoughts=True),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )

    async def turn() -> tuple[list[Any], Any]:
        asked: Any = {"model": f"{vendor}/chat", "contents": contents, "config": config}
        models: Any = client.aio.models
        if not stream:
            answer = await models.generate_content(**asked)
            return list(answer.candidates[0].content.parts), answer
        parts: list[Any] = []
        last: Any = None
        async for chunk in await models.generate_content_stream(**asked):
            last = chunk
            content = chunk.candidates[0].content if chunk.candidates else None
            parts += content.parts if content is not None and content.parts else []
        return parts, last

    parts, _ = await turn()
    tool = next(part.function_call for part in parts if part.function_call)
    assert tool.args["days"] == 3
    assert any(part.thought for part in parts) is (vendor == "am")  # OpenAI's chat tells how much, and not what
    contents.append(types.Content(role="model", parts=parts))
    answer = types.FunctionResponse(id=tool.id, name=tool.name, response={"output": "Sunny, 21 degrees."})
    contents.append(types.Content(role="user", parts=[types.Part(function_response=answer)]))
    parts, last = await turn()
    text = "".join(part.text for part in parts if part.text and not part.thought)
    assert "get_weather returned: " in text
    assert "Sunny, 21 degrees." in text
    assert SEEN in text
    assert last.candidates[0].finish_reason == types.FinishReason.STOP
    rows = await house.rows(2)
    assert [row["dialect"] for row in rows] == ["gemini_generate"] * 2
    assert last.usage_metadata.candidates_token_count == rows[1]["output_tokens"]
    assert last.usage_metadata.thoughts_token_count == rows[1]["reasoning_tokens"] > 0
    await house.stop()
    assert not house.proofs()


PAIRS = [(caller, vendor) for caller in SPEAK.values() for vendor in SPEAK if SPEAK[vendor] != caller]


@pytest.mark.parametrize(("caller", "vendor"), PAIRS)
async def test_faults_keep_their_status_and_their_last_event(house: House, caller: str, vendor: str) -> None:
    await vendors(house)
    for fault, statuses in (
        ("400", (400,)),
        ("401", (502,)),
        ("429", (429, 503, 529)),
        ("500", (502,)),
        ("529", (503, 529)),
    ):
        for stream in (False, True):
            path, body = call(caller, f"{vendor}/chat", f"[[fail-{fault}]] x", stream=stream)
            answer = await house.client.post(path, json=body, headers=house.headers())
            assert answer.status_code in statuses, (fault, answer.text)
            assert error_of(caller, answer.content)["message"]
            assert answer.headers["x-should-retry"] in ("true", "false")
            if fault in ("429", "529"):
                assert answer.headers["retry-after"] == "7", answer.headers
            house.pipeline._plans._breakers[f"{vendor}/chat"].failures = 0
    for fault in ("mid-stream-death", "mid-stream-error"):
        path, body = call(caller, f"{vendor}/chat", f"[[fail-{fault}]] [[tokens=20]] x", stream=True)
        answer = await house.client.post(path, json=body, headers=house.headers())
        assert answer.status_code == 200
        assert ends_in_error(caller, answer.content), answer.text
        assert not ends_well(caller, answer.content)
        row = await house.row(answer.headers["x-request-id"])
        assert row["amount_micros"] == 0
    for fault in ("late-usage", "one-byte-chunks"):
        path, body = call(caller, f"{vendor}/chat", f"[[fail-{fault}]] [[echo]] né 漢 🎈", stream=True)
        answer = await house.client.post(path, json=body, headers=house.headers())
        assert ends_well(caller, answer.content), answer.text
        assert "\ufffd" not in answer.text
        row = await house.row(answer.headers["x-request-id"])
        assert row["usage_source"] == "provider"
        assert row["amount_micros"] > 0
    await house.stop()
    assert not house.proofs()


async def test_counts_and_vectors_cross(house: House) -> None:
    await vendors(house)
    post, headers = house.client.post, house.headers()
    _, message = call("anthropic_messages", "gg/chat", "one two three")
    del message["max_tokens"]
    found = await post("/v1/messages/count_tokens", json=message, headers=headers)
    assert found.json()["input_tokens"] > 2, found.text
    assert "ruxa-lossy" not in found.headers
    _, contents = call("gemini_generate", "am/chat", "one two three")
    found = await post("/v1beta/models/am/chat:countTokens", json=contents, headers=headers)
    assert found.json()["totalTokens"] > 2, found.text
    found = await post("/v1beta/models/oc/chat:countTokens", json=contents, headers=headers)
    assert found.json()["totalTokens"] > 2, found.text
    assert found.headers["ruxa-lossy"] == "exact_count"
    found = await post(
        "/v1beta/models/oc/chat:countTokens", json=contents, headers=house.headers(**{"ruxa-strict": "true"})
    )
    assert found.status_code == 400
    assert "exact_count" in found.text

    url = f"http://127.0.0.1:{house.port}/v1"
    async with openai.AsyncOpenAI(api_key=house.secret, base_url=url, max_retries=0) as client:
        made = await client.embeddings.create(model="gg/embedding", input=["one", "two"])
        assert [len(each.embedding) > 2 for each in made.data] == [True, True]
        with pytest.raises(openai.UnprocessableEntityError):
            await client.embeddings.create(model="am/chat", input="one")
    batch = {"requests": [{"model": "models/oc/embedding", "content": {"parts": [{"text": "a"}]}}] * 2}
    found = await post("/v1beta/models/oc/embedding:batchEmbedContents", json=batch, headers=headers)
    assert len(found.json()["embeddings"]) == 2, found.text
    one = {"content": {"parts": [{"text": "a"}]}}
    found = await post("/v1beta/models/oc/embedding:embedContent", json=one, headers=headers)
    assert found.json()["embedding"]["values"], found.text
    await house.stop()
    assert not house.proofs()


async def test_what_is_lost_is_told_or_refused(house: House) -> None:
    sandbox = await vendors(house)
    path, body = call("anthropic_messages", "oc/chat", "hi", top_k=3, service_tier="priority", models=["oc/chat"])
    answer = await house.client.post(path, json=body, headers=house.headers())
    assert answer.status_code == 200, answer.text
    lossy = answer.headers["ruxa-lossy"].split(", ")
    assert "top_k" in lossy
    assert "service_tier" in lossy
    assert "models" not in lossy
    row = await house.row(answer.headers["x-request-id"])
    assert row["lossy"] == lossy
    before = sandbox.requests
    answer = await house.client.post(path, json=body, headers=house.headers(**{"ruxa-strict": "true"}))
    assert answer.status_code == 400
    assert "top_k" in error_of("anthropic_messages", answer.content)["message"]
    assert sandbox.requests == before
    await house.stop()
    assert not house.proofs()


async def test_identities_leave_as_pseudonyms(house: House) -> None:
    sandbox = await vendors(house)
    path, body = call("anthropic_messages", "oc/chat", "hi", metadata={"user_id": "somebody-of-ours"})
    answer = await house.client.post(path, json=body, headers=house.headers())
    assert answer.headers["ruxa-privacy"] == "metadata"
    assert "somebody-of-ours" not in json.dumps(sent(sandbox))
    assert json.dumps(sent(sandbox)).count("rxp") == 1
    path, body = call("openai_chat", "am/chat", "hi", user="somebody-of-ours", prompt_cache_key="a-conversation")
    answer = await house.client.post(path, json=body, headers=house.headers())
    assert "somebody-of-ours" not in json.dumps(sent(sandbox))
    assert "a-conversation" not in json.dumps(sent(sandbox))
    assert sent(sandbox)["metadata"]["user_id"].startswith("rxp")


async def test_a_little_balance_caps_a_translated_answer(house: House) -> None:
    sandbox = await vendors(house, credit_micros=700)
    path, body = call("openai_chat", "am/chat", "hi [[tokens=400]]")
    answer = await house.client.post(path, json=body, headers=house.headers())
    assert answer.status_code == 200, answer.text
    assert sent(sandbox)["max_tokens"] == int(answer.headers["ruxa-output-cap"]) < 200
    assert answer.json()["choices"][0]["finish_reason"] == "length"
    await house.stop()
    assert not house.proofs()


async def test_a_signature_that_the_client_lost_is_put_back(house: House) -> None:
    sandbox = await vendors(house)
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}]
    path, body = call("openai_chat", "gg/chat", ASK, tools=tools, reasoning_effort="high")
    answer = (await house.client.post(path, json=body, headers=house.headers())).json()["choices"][0]["message"]
    tool = answer["tool_calls"][0]
    bare = {"id": tool["id"], "type": "function", "function": tool["function"]}
    body["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": [bare]},
        {"role": "tool", "tool_call_id": tool["id"], "content": "Sunny."},
    ]
    second = await house.client.post(path, json=body, headers=house.headers())
    assert second.status_code == 200, second.text
    parts = [part for turn in sent(sandbox)["contents"] for part in turn["parts"]]
    called = next(part for part in parts if "functionCall" in part)
    assert called["thoughtSignature"] == tool["extra_content"]["google"]["thought_signature"]


async def test_lists_name_every_model_in_every_dialect(house: House) -> None:
    await vendors(house)
    found = await house.client.get("/v1/models", headers=house.headers())
    assert {"oc/chat", "am/chat", "gg/chat"} <= {each["id"] for each in found.json()["data"]}
    found = await house.client.get("/v1beta/models", headers=house.headers())
    assert {"models/oc/chat", "models/am/chat"} <= {each["name"] for each in found.json()["models"]}


async def test_a_wrong_field_is_named_in_the_callers_words(house: House) -> None:
    sandbox = await vendors(house)
    path, body = call("openai_chat", "am/chat", "x")
    body["messages"].append({"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function"}]})
    answer = await house.client.post(path, json=body, headers=house.headers())
    assert answer.status_code == 400
    assert error_of("openai_chat", answer.content)["param"].startswith("messages[1]")
    assert sandbox.requests == 0
    rows = await house.rows(1)
    assert rows[0]["amount_micros"] == 0


async def test_a_url_that_may_not_go_to_the_provider_is_fetched_by_us(house: House) -> None:
    served = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        served += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: %d\r\n\r\n%b" % (len(PNG), PNG))
        writer.close()

    images = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = images.sockets[0].getsockname()[1]
    sandbox = await vendors(house)
    seen = [
        {"type": "text", "text": "Look."},
        {"type": "image_url", "image_url": {"url": f"http://127.0.0.1:{port}/a.png"}},
    ]
    path, body = call("openai_chat", "am/chat", "")
    body["messages"][0]["content"] = seen
    answer = await house.client.post(path, json=body, headers=house.headers())
    assert answer.status_code == 400, "an address of ours"
    assert error_of("openai_chat", answer.content)["code"] == "url_refused"
    assert (served, sandbox.requests) == (0, 0)
    house.pipeline._pool.allow_loopback = True
    for vendor in ("am", "gg"):
        body["model"] = f"{vendor}/chat"
        answer = await house.client.post(path, json=body, headers=house.headers())
        assert answer.status_code == 200, answer.text
        assert SEEN in answer.json()["choices"][0]["message"]["content"]
    assert served == 2
    body["messages"][0]["content"][1]["image_url"]["url"] = f"http://127.0.0.1:{port + 1}/a.png"
    answer = await house.client.post(path, json=body, headers=house.headers())
    assert error_of("openai_chat", answer.content)["code"] == "url_not_fetched"
    images.close()
    await house.stop()
    assert not house.proofs()
