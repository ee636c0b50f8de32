"""OpenAI's SDK and Codex-like bodies on ``/v1/responses``, relayed and on every other vendor's dialect; and every other
SDK on a provider that speaks responses."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import anthropic
import httpx
import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from fixtures_gateway import House
from ruxa.egress.sandbox.server import Server
from ruxa.gateway.plan import WAYS
from ruxa.kernel.settings import ModelSettings, ProviderSettings
from ruxa.ledger import prices

pytestmark = pytest.mark.usefixtures("no_days")

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
SEEN = f"image/png, {len(PNG)} bytes, sha256 {hashlib.sha256(PNG).hexdigest()[:16]}"
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
ASK = "Use get_weather for the city of Ulm for 3 days and mcp__notes__write_note."
TOOLS: Any = [
    {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": False},
    {
        "type": "namespace",
        "name": "mcp__notes",
        "description": "Notes",
        "tools": [{"type": "custom", "name": "write_note", "description": "Free text."}],
    },
    {"type": "web_search", "external_web_access": False},
]
SPEAK = {
    "or": "openai_responses",
    "oc": "openai_chat",
    "am": "anthropic_messages",
    "gg": "gemini_generate",
}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


async def vendors(house: House, **wish: Any) -> Server:
    """Four providers of one dialect each, all played by one sandbox."""
    await house.begin(scope="live", **wish)
    async with house.operator.work() as work:
        for name in SPEAK:
            rates = prices.rates(2_000_000, 6_000_000, input_tokens_max=100_000, output_tokens_max=2_000)
            await prices.put(work, f"{name}/chat", rates, source="test")
    sandbox = Server(0)
    await sandbox.listen("127.0.0.1", 0)
    house.closing(sandbox.close)
    await house.serve(
        providers={
            name: ProviderSettings(
                base_url=f"http://127.0.0.1:{sandbox.port}/{'v1beta' if name == 'gg' else 'v1'}",
                dialect=dialect,
                key="env:KEY",
            )
            for name, dialect in SPEAK.items()
        },
        models={f"{name}/chat": ModelSettings(upstream_model="sandbox/chat", ways=tuple(WAYS)) for name in SPEAK},
    )
    return sandbox


def sent(sandbox: Server) -> dict[str, Any]:
    """The last body that the provider got."""
    assert sandbox.last is not None
    return json.loads(sandbox.last.body)


def client_of(house: House) -> openai.AsyncOpenAI:
    url = f"http://127.0.0.1:{house.port}/v1"
    client = openai.AsyncOpenAI(api_key=house.secret, base_url=url, max_retries=0)
    house.closing(client.close)
    return client


async def answer(client: openai.AsyncOpenAI, *, stream: bool, **asked: Any) -> Response:
    """One response, every event of its stream looked at."""
    made: Any = client.responses
    if not stream:
        whole: Response = await made.create(**asked)
        Response.model_validate(whole.to_dict())
        return whole
    numbers: list[int] = []
    last: Any = None
    async for event in await made.create(stream=True, **asked):
        EVENT.validate_python(event.to_dict())
        numbers.append(event.sequence_number)
        last = event
    assert numbers == list(range(len(numbers)))
    assert last.type in ("response.completed", "response.incomplete", "response.failed")
    return last.response


@streamed_or_not
@pytest.mark.parametrize("vendor", SPEAK)
async def test_a_tool_loop_with_thinking_images_and_free_text(house: House, vendor: str, stream: bool) -> None:
    sandbox = await vendors(house)
    client = client_of(house)
    turn: list[Any] = [
        {"role": "developer", "content": "Be short."},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": ASK}, {"type": "input_image", "image_url": URL, "detail": "auto"}]},
    ]  # fmt: skip
    asked: Any = {
        "model": f"{vendor}/chat", "tools": TOOLS, "reasoning": {"effort": "high", "summary": "auto"}, "store": False,
        "include": ["reasoning.encrypted_content"], "instructions": "You are Codex.", "parallel_tool_calls": True,
        "prompt_cache_key": "k-1", "tool_choice": "auto",
    }  # fmt: skip
    first = await answer(client, stream=stream, input=turn, **asked)
    items = [item.to_dict() for item in first.output]
    assert first.status == "completed"
    assert first.instructions == "You are Codex."
    called = [item for item in items if item["type"] in ("function_call", "custom_tool_call")]
    assert [(item["type"], item["name"], item.get("namespace")) for item in called] == [
        ("function_call", "get_weather", None),
        ("custom_tool_call", "write_note", "mcp__notes"),
    ]
    assert json.loads(called[0]["arguments"])["days"] == 3
    thought = [item for item in items if item["type"] == "reasoning"]
    if vendor != "oc":  # OpenAI's chat tells how much, and not what
        assert thought[0]["encrypted_content"]
        assert thought[0]["summary"]
    # As Codex sends them back: without ids of items.
    turn += [{key: value for key, value in item.items() if key not in ("id", "status")} for item in items]
    turn += [
        {"type": "function_call_output", "call_id": called[0]["call_id"], "output": [
            {"type": "input_text", "text": "Sunny, 21 degrees."}, {"type": "input_image", "image_url": URL}]},
        {"type": "custom_tool_call_output", "call_id": called[1]["call_id"], "output": "Noted."},
    ]  # fmt: skip
    second = await answer(client, stream=stream, input=turn, **asked)
    if vendor != "oc":  # there the image follows in a user's message of its own (W20)
        assert "get_weather returned: " in second.output_text
        assert "Sunny, 21 degrees." in second.output_text
        assert "Noted." in second.output_text
        # The provider's own signature came back to it, or it would have refused (the sandbox checks it).
        body = json.dumps(sent(sandbox))
        assert any(word in body for word in ('"signature"', '"thoughtSignature"', '"encrypted_content"'))
    assert second.output_text.count(SEEN) == 2
    rows = await house.rows(2)
    assert [row["dialect"] for row in rows] == ["openai_responses"] * 2
    assert [row["endpoint"] for row in rows] == ["responses"] * 2
    assert all(row["amount_micros"] > 0 and row["reasoning_tokens"] > 0 for row in rows)
    assert all(row["usage_source"] == "provider" and row["stream"] is stream for row in rows)
    assert second.usage is not None
    assert second.usage.output_tokens == rows[1]["output_tokens"] + rows[1]["reasoning_tokens"]
    await house.stop()
    assert not house.proofs()


@pytest.mark.parametrize("vendor", SPEAK)
async def test_a_string_forms_length_and_refusal(house: House, vendor: str) -> None:
    await vendors(house)
    client = client_of(house)
    for stream in (False, True):
        said = await answer(client, stream=stream, model=f"{vendor}/chat", input="Say hi.")
        assert "You wrote 2 words: Say hi." in said.output_text
        cut = await answer(client, stream=stream, model=f"{vendor}/chat", input="[[tokens=80]] x", max_output_tokens=20)
        assert (cut.status, cut.incomplete_details and cut.incomplete_details.reason) == (
            "incomplete", "max_output_tokens",
        )  # fmt: skip
        schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
        form: Any = {"format": {"type": "json_schema", "name": "person", "schema": schema}}
        told = await answer(client, stream=stream, model=f"{vendor}/chat", input="Ann is 31", text=form)
        assert json.loads(told.output_text) == {"age": 31}
        refused = await answer(client, stream=stream, model=f"{vendor}/chat", input="[[refuse]] x")
        if vendor != "gg":
            first: Any = refused.output[0]
            assert first.content[0].type == "refusal"


@pytest.mark.parametrize("vendor", SPEAK)
async def test_faults_keep_their_status_and_end_in_response_failed(house: House, vendor: str) -> None:
    await vendors(house)
    url = "/v1/responses"
    for fault, statuses in (("400", (400,)), ("401", (502,)), ("429", (429, 503)), ("500", (502,)), ("529", (503,))):
        for stream in (False, True):
            body = {"model": f"{vendor}/chat", "input": f"[[fail-{fault}]] x", "stream": stream}
            got = await house.client.post(url, json=body, headers=house.headers())
            assert got.status_code in statuses, (fault, got.text)
            assert got.json()["error"]["message"]
    for fault in ("mid-stream-death", "mid-stream-error", "half"):
        body = {"model": f"{vendor}/chat", "input": f"[[fail-{fault}]] [[tokens=20]] x", "stream": True}
        got = await house.client.post(url, json=body, headers=house.headers())
        assert got.status_code == 200
        events = events_of(got)
        assert events[-1]["type"] == "response.failed"
        assert events[-1]["response"]["error"]["message"]
        assert events[-1]["response"]["id"] == events[0]["response"]["id"]
        assert [event["sequence_number"] for event in events] == list(range(len(events)))


def events_of(got: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in got.text.splitlines() if line.startswith("data: ")]


@pytest.mark.parametrize("vendor", SPEAK)
async def test_a_wrong_field_is_named_and_a_loss_is_told(house: House, vendor: str) -> None:
    await vendors(house)
    body: Any = {"model": f"{vendor}/chat", "input": [{"type": "item_reference", "id": "msg_1"}]}
    got = await house.client.post("/v1/responses", json=body, headers=house.headers())
    assert (got.status_code, got.json()["error"]["param"]) == (400, "input[0]")
    body = {"model": f"{vendor}/chat", "input": "x", "background": True}
    got = await house.client.post("/v1/responses", json=body, headers=house.headers())
    assert (got.status_code, got.json()["error"]["param"]) == (400, "background")
    body = {"model": f"{vendor}/chat", "input": "x", "tools": [{"type": "web_search"}], "frobnicate": 1}
    got = await house.client.post("/v1/responses", json=body, headers=house.headers())
    assert got.status_code == 200
    assert set(got.headers["ruxa-lossy"].split(", ")) == {"frobnicate", "tools.web_search"}
    got = await house.client.post("/v1/responses", json=body, headers=house.headers() | {"ruxa-strict": "true"})
    assert (got.status_code, got.json()["error"]["code"]) == (400, "lossy")


@streamed_or_not
async def test_openais_chat_sdk_on_a_provider_of_responses(house: House, stream: bool) -> None:
    await vendors(house)
    client = client_of(house)
    image = {"type": "image_url", "image_url": {"url": URL}}
    messages: list[Any] = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "Use get_weather for Ulm."}, image]},
    ]
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
    asked: Any = {"model": "or/chat", "tools": [tool], "reasoning_effort": "high"}

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
    tool_call = first.message.tool_calls[0]
    messages.append(first.message.model_dump(exclude_none=True, exclude={"parsed"}))
    messages.append({"role": "tool", "tool_call_id": tool_call.id, "content": "Sunny, 21 degrees."})
    second = await turn()
    assert "get_weather returned: Sunny, 21 degrees." in second.message.content
    assert SEEN in second.message.content


@streamed_or_not
async def test_anthropics_sdk_on_a_provider_of_responses(house: House, stream: bool) -> None:
    sandbox = await vendors(house)
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
    messages: list[Any] = [{"role": "user", "content": "Use get_weather for Ulm."}]
    asked: Any = {
        "model": "or/chat",
        "max_tokens": 1500,
        "system": [{"type": "text", "text": "Be short."}],
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
        messages.append({"role": "assistant", "content": [block.model_dump() for block in first.content]})
        shown = [{"type": "text", "text": "Sunny."}, {"type": "image", "source": source}]
        messages.append(
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": tool.id, "content": shown}]}
        )
        second = await turn()
    text = "".join(block.text for block in second.content if block.type == "text")
    assert "get_weather returned: Sunny." in text
    assert SEEN in text
    # Its thinking went through Anthropic's client and came back to where it is understood (the sandbox checks it).
    assert any(item.get("encrypted_content") for item in sent(sandbox)["input"])
    assert sent(sandbox)["store"] is False
