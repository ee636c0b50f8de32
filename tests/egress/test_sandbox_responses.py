"""The official SDK against the sandbox's responses: every item, every event, and what the vendor refuses."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from ruxa.egress.sandbox.server import Server, serve

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
IMAGE: Any = {
    "type": "input_image",
    "detail": "auto",
    "image_url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}",
}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: Any = {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": False}
SPACE: Any = {
    "type": "namespace",
    "name": "clock",
    "description": "Time",
    "tools": [
        {"type": "function", "name": "get_time", "parameters": WEATHER},
        {"type": "custom", "name": "write_note"},
    ],
}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


@pytest.fixture(scope="module")
def oai() -> Iterator[openai.OpenAI]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server: Server = asyncio.run_coroutine_threadsafe(serve("127.0.0.1", 0, pace_ms=0), loop).result(10)
    url = f"http://127.0.0.1:{server.port}/v1"
    with openai.OpenAI(base_url=url, api_key="any", max_retries=0, timeout=10) as client:
        yield client
    asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


def ask(oai: openai.OpenAI, **more: Any) -> Response:
    answer = oai.responses.create(model="sandbox/chat", store=False, **more)
    Response.model_validate(answer.to_dict())
    return answer


def stream(oai: openai.OpenAI, **more: Any) -> list[Any]:
    events = list(oai.responses.create(model="sandbox/chat", store=False, stream=True, **more))
    for number, event in enumerate(events):
        EVENT.validate_python(event.to_dict())
        assert event.sequence_number == number
    return events


def test_an_answer_and_its_usage_adds_up(oai: openai.OpenAI) -> None:
    answer = ask(oai, instructions="Be brief.", input="Say hello [[cached=2]][[written=1]]")
    assert "Say hello" in answer.output_text
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    details = answer.usage.input_tokens_details
    assert (details.cached_tokens, details.cache_write_tokens) == (2, 1)
    assert answer.instructions == "Be brief."


def test_a_stream_tells_everything_in_order(oai: openai.OpenAI) -> None:
    events = stream(oai, input="Count [[tokens=20]]", reasoning={"effort": "low", "summary": "auto"})
    kinds = list(dict.fromkeys(event.type.removeprefix("response.") for event in events))
    assert kinds == [
        "created", "in_progress", "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done", "content_part.added",
        "output_text.delta", "output_text.done", "content_part.done", "completed",
    ]  # fmt: skip
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert len(said.split()) == 20
    assert events[-1].response.output_text == said
    assert events[-1].response.usage.output_tokens_details.reasoning_tokens > 0


@pytest.mark.parametrize("mark", ["", " [[interleave]]"])
def test_tools_of_every_kind_in_two_turns(oai: openai.OpenAI, mark: str) -> None:
    text = f"Please get weather, get time and write note in Paris{mark}"
    more: Any = {"tools": [TOOL, SPACE, {"type": "web_search"}], "reasoning": {"effort": "low"}}
    include: Any = ["reasoning.encrypted_content"]
    turn: list[Any] = [{"role": "user", "content": text}]
    answer = stream(oai, input=turn, include=include, **more)[-1].response
    items = [item.to_dict() for item in answer.output]
    assert [item["type"] for item in items] == ["reasoning", "function_call", "function_call", "custom_tool_call"]
    assert items[0]["encrypted_content"].startswith("gAAAA")
    assert items[0]["summary"] == []
    assert [item.get("namespace") for item in items[1:]] == [None, "clock", "clock"]
    assert json.loads(items[1]["arguments"]) == {"city": "Paris"}
    turn += items
    turn += [{"type": "function_call_output", "call_id": item["call_id"], "output": "12"} for item in items[1:3]]
    turn += [{"type": "custom_tool_call_output", "call_id": items[3]["call_id"], "output": [IMAGE]}]
    second = ask(oai, input=turn, **more)
    assert "get_weather returned: 12" in second.output_text
    assert "image/png" in second.output_text
    forged = [{**items[0], "encrypted_content": "gAAAAforged"}, *turn[:1]]
    with pytest.raises(openai.BadRequestError, match="could not be verified"):
        ask(oai, input=forged)


def test_images_files_and_audio(oai: openai.OpenAI) -> None:
    pdf = base64.b64encode(b"%PDF-1.4 x").decode()
    parts: list[Any] = [
        {"type": "input_text", "text": "What is this?"},
        IMAGE,
        {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{pdf}"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    said = ask(oai, input=[{"role": "user", "content": parts}]).output_text
    assert f"image/png, {len(PNG)} bytes" in said
    assert "application/pdf, 10 bytes" in said
    assert "audio/wav" in said


def test_forms_length_and_refusal(oai: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    form: Any = {"format": {"type": "json_schema", "name": "person", "schema": schema}}
    assert json.loads(ask(oai, input="Ann is 31", text=form).output_text) == {"age": 31}
    cut = ask(oai, input="Count [[tokens=40]]", max_output_tokens=16)
    assert cut.status == "incomplete"
    assert cut.incomplete_details is not None
    assert cut.incomplete_details.reason == "max_output_tokens"
    assert stream(oai, input="Count [[tokens=40]]", max_output_tokens=16)[-1].type == "response.incomplete"
    refused = ask(oai, input="x [[refuse]]").output[0]
    assert refused.type == "message"
    assert refused.content[0].type == "refusal"
    assert any(event.type == "response.refusal.delta" for event in stream(oai, input="x [[refuse]]"))


def test_choices(oai: openai.OpenAI) -> None:
    def called(choice: Any) -> list[str]:
        output = ask(oai, input="hello", tools=[TOOL, SPACE], tool_choice=choice).output
        return [item.name for item in output if item.type in ("function_call", "custom_tool_call")]

    assert called("auto") == []
    assert called("required") == ["get_weather"]
    assert called({"type": "function", "name": "get_time"}) == ["get_time"]
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "write_note"}]}
    assert called(allowed) == ["write_note"]


@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"input": "x", "previous_response_id": "resp_1"}, "previous_response_id", "previous_response_not_found"),
        ({"input": "x", "max_output_tokens": 3}, "max_output_tokens", "integer_below_min_value"),
        ({"input": "x", "extra_body": {"frobnicate": 1}}, "frobnicate", "unknown_parameter"),
        ({"input": [{"role": "king", "content": "x"}]}, "input[0].role", "invalid_value"),
        ({"input": [{"role": "user", "content": [{"type": "output_text", "text": "x"}]}]},
         "input[0].content[0].type", "invalid_value"),
        ({"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]},
         "input[0].content[0].type", "invalid_value"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input", None),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}, "input", None),
        ({"input": "x", "tools": [{"type": "novel"}]}, "tools[0].type", "invalid_value"),
        ({"input": "x", "reasoning": {"effort": "huge"}}, "reasoning.effort", "invalid_value"),
    ],
)  # fmt: skip
def test_what_the_vendor_refuses(oai: openai.OpenAI, more: Any, param: str, code: str | None) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(oai, **more)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_nothing_is_kept(oai: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        ask(oai, input=[{"type": "item_reference", "id": "msg_1"}])
    with pytest.raises(openai.NotFoundError):
        oai.responses.retrieve("resp_1")
