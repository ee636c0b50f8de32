"""OpenAI's SDK on ``/v1/completions``: relayed to models that have it, and asked of every other vendor's chat."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types import Completion

from fixtures_gateway import House
from ruxa.egress.sandbox.server import Server
from ruxa.gateway.plan import WAYS
from ruxa.kernel.settings import ModelSettings, ProviderSettings
from ruxa.ledger import prices

SPEAK = {
    "own": "openai_chat",  # its model has completions
    "oc": "openai_chat",
    "or": "openai_responses",
    "am": "anthropic_messages",
    "gg": "gemini_generate",
}
ASK: Any = {"prompt": "Once upon a time", "max_tokens": 40, "temperature": 0.5, "stop": ["never"], "user": "person-7"}
SAID = "Sandbox: You wrote 4 words: Once upon a time"


async def vendors(house: House, **wish: Any) -> Server:
    """Five providers, all played by one sandbox."""
    await house.begin(scope="live", **wish)
    async with house.operator.work() as work:
        for name in SPEAK:
            rates = prices.rates(2_000_000, 6_000_000, input_tokens_max=100_000, output_tokens_max=2_000)
            await prices.put(work, f"{name}/chat", rates, source="test")
    sandbox = Server(0)
    await sandbox.listen("127.0.0.1", 0)
    house.closing(sandbox.close)
    url = f"http://127.0.0.1:{sandbox.port}"
    ways = tuple(way for way in WAYS if way != "completions")
    await house.serve(
        providers={
            name: ProviderSettings(base_url=f"{url}/{'v1beta' if name == 'gg' else 'v1'}", dialect=spoken, key="env:K")
            for name, spoken in SPEAK.items()
        },
        models={
            f"{name}/chat": ModelSettings(upstream_model="sandbox/chat", ways=tuple(WAYS) if name == "own" else ways)
            for name in SPEAK
        },
    )
    return sandbox


def client_of(house: House) -> openai.AsyncOpenAI:
    client = openai.AsyncOpenAI(api_key=house.secret, base_url=f"http://127.0.0.1:{house.port}/v1", max_retries=0)
    house.closing(client.close)
    return client


async def streamed(client: openai.AsyncOpenAI, **asked: Any) -> tuple[list[Completion], str]:
    made: Any = client.completions
    chunks: list[Completion] = [chunk async for chunk in await made.create(stream=True, **asked)]
    return chunks, "".join(choice.text for chunk in chunks for choice in chunk.choices)


async def test_the_sdk_on_every_vendor_whole_and_streamed(house: House) -> None:
    sandbox = await vendors(house)
    client = client_of(house)
    made: Any = client.completions
    rows = 0
    for name in SPEAK:
        whole: Completion = await made.create(model=f"{name}/chat", echo=True, **ASK)
        assert sandbox.last is not None
        body = json.loads(sandbox.last.body)
        assert sandbox.last.path.endswith("/completions") is (name in ("own", "oc"))
        assert ("prompt" in body) is (name == "own"), "only who has it is asked by it"
        assert "person-7" not in sandbox.last.body.decode(), "identities leave as pseudonyms"
        Completion.model_validate(whole.to_dict())
        choice = whole.choices[0]
        assert choice.text.startswith("Once upon a timeSandbox:"), "echo"
        assert choice.text.endswith(SAID)
        assert choice.finish_reason == "stop"
        assert whole.object == "text_completion"
        assert whole.usage is not None
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
        row = (await house.rows(rows + 1))[rows]
        assert (row["endpoint"], row["model"]) == ("completions", f"{name}/chat")
        assert row["output_tokens"] + row["reasoning_tokens"] == whole.usage.completion_tokens
        assert row["amount_micros"] == 2 * whole.usage.prompt_tokens + 6 * whole.usage.completion_tokens

        chunks, text = await streamed(client, model=f"{name}/chat", stream_options={"include_usage": True}, **ASK)
        assert text == SAID
        assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
        assert chunks[-1].choices == []
        assert chunks[-1].usage == whole.usage
        chunks, text = await streamed(client, model=f"{name}/chat", echo=True, **ASK)
        assert text == f"Once upon a time{SAID}"
        assert all(chunk.usage is None for chunk in chunks), "the usage that only we asked for is not passed on"
        rows += 3
        row = (await house.rows(rows))[rows - 1]
        assert (row["usage_source"], row["stream"]) == ("provider", True)


async def test_what_a_model_of_chat_cannot_be_asked_is_refused_before_anything_is_sent(house: House) -> None:
    sandbox = await vendors(house)
    for name, value in (
        ("suffix", " and they lived happily."),
        ("prompt", ["one", "two"]),
        ("prompt", [1, 2, 3]),
        ("max_tokens", 0),
    ):
        body = {"model": "am/chat", **ASK, name: value}
        answer = await house.client.post("/v1/completions", json=body, headers=house.headers())
        told = answer.json()["error"]
        assert (answer.status_code, told["code"]) == (400, "unsupported_parameter"), told
        assert told["param"].startswith(name)
    assert sandbox.requests == 0
    assert all(row["amount_micros"] == row["hold_micros"] == 0 for row in await house.rows(4))
    # Its own model takes all of it: the answers of each prompt are held and charged.
    body = {"model": "own/chat", "prompt": ["one", "two"], "n": 2, "suffix": ".", "max_tokens": 5}
    answer = await house.client.post("/v1/completions", json=body, headers=house.headers())
    assert [choice["index"] for choice in answer.json()["choices"]] == [0, 1, 2, 3]
    row = (await house.rows(5))[4]
    assert row["output_tokens"] == 20
    assert row["hold_micros"] >= 20 * 6


async def test_losses_are_named_and_strict_refuses(house: House) -> None:
    await vendors(house)
    body = {"model": "am/chat", **ASK, "best_of": 3, "zz": 1}
    answer = await house.client.post("/v1/completions", json=body, headers=house.headers())
    assert answer.status_code == 200
    assert answer.headers["ruxa-lossy"] == "best_of, zz"
    strict = await house.client.post("/v1/completions", json=body, headers=house.headers(**{"ruxa-strict": "true"}))
    assert strict.json()["error"]["param"] == "best_of"
    relayed = await house.client.post(
        "/v1/completions", json={**body, "model": "own/chat"}, headers=house.headers(**{"ruxa-strict": "true"})
    )
    assert relayed.json()["error"]["param"] == "zz"


@pytest.mark.parametrize("name", ["own", "am"])
async def test_a_stream_that_dies_says_so(house: House, name: str) -> None:
    await vendors(house)
    body = {"model": f"{name}/chat", "prompt": "[[fail-mid-stream-death]] [[tokens=9]]", "stream": True}
    answer = await house.client.post("/v1/completions", json=body, headers=house.headers())
    assert answer.status_code == 200
    frames = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert "error" in json.loads(frames[-1])
    assert "[DONE]" not in answer.text
    row = (await house.rows(1))[0]
    assert row["output_tokens"] > 0, "what came is counted"
