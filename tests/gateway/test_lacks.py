"""A model that can't take what a call brings says so, in the caller's dialect, before anything is sent or held."""

from __future__ import annotations

from typing import Any

import pytest

from dialect_calls import error_of
from fixtures_gateway import House
from ruxa.egress import providers
from ruxa.egress.sandbox.server import Server
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.settings import ModelSettings, ProviderSettings
from ruxa.ledger import prices

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {}}
MODEL = "oc/plain"


def asked(dialect: str, what: str) -> tuple[str, dict[str, Any]]:
    """A call with an image or a tool."""
    image = what == "images"
    if dialect == "anthropic_messages":
        source = {"type": "base64", "media_type": "image/png", "data": PNG}
        content: list[Any] = [{"type": "text", "text": "x"}, *([{"type": "image", "source": source}] if image else [])]
        tools = {} if image else {"tools": [{"name": "f", "input_schema": SCHEMA}]}
        messages = [{"role": "user", "content": content}]
        return "/v1/messages", {"model": MODEL, "max_tokens": 50, "messages": messages, **tools}
    if dialect == "gemini_generate":
        parts: list[Any] = [{"text": "x"}, *([{"inlineData": {"mimeType": "image/png", "data": PNG}}] if image else [])]
        tools = {} if image else {"tools": [{"functionDeclarations": [{"name": "f"}]}]}
        return f"/v1beta/models/{MODEL}:generateContent", {"contents": [{"role": "user", "parts": parts}], **tools}
    url = f"data:image/png;base64,{PNG}"
    if dialect == "openai_responses":
        content = [{"type": "input_text", "text": "x"}, *([{"type": "input_image", "image_url": url}] if image else [])]
        tools = {} if image else {"tools": [{"type": "function", "name": "f", "parameters": SCHEMA}]}
        return "/v1/responses", {"model": MODEL, "input": [{"role": "user", "content": content}], **tools}
    content = [{"type": "text", "text": "x"}, *([{"type": "image_url", "image_url": {"url": url}}] if image else [])]
    tools = {} if image else {"tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]}
    return "/v1/chat/completions", {"model": MODEL, "messages": [{"role": "user", "content": content}], **tools}


async def vendor(house: House, **models: ModelSettings) -> Server:
    await house.begin(scope="live")
    async with house.operator.work() as work:
        for name in models:
            rates = prices.rates(2_000_000, 6_000_000, input_tokens_max=100_000, output_tokens_max=2_000)
            await prices.put(work, f"oc/{name}", rates, source="test")
    sandbox = Server(pace_ms=0)
    await sandbox.listen("127.0.0.1", 0)
    house.closing(sandbox.close)
    url = f"http://127.0.0.1:{sandbox.port}/v1"
    await house.serve(
        providers={"oc": ProviderSettings(base_url=url, dialect="openai_chat", key="env:KEY")},
        models={f"oc/{name}": settings for name, settings in models.items()},
    )
    return sandbox


async def test_it_is_refused_before_anything_is_sent_in_every_dialect(house: House) -> None:
    plain = ModelSettings(upstream_model="sandbox/chat", lacks=("images", "tools"))
    sandbox = await vendor(house, plain=plain, seeing=ModelSettings(upstream_model="sandbox/chat"))
    content = {"openai_chat": "messages", "openai_responses": "input"}
    for dialect in ("openai_chat", "openai_responses", "anthropic_messages", "gemini_generate"):
        for what in ("images", "tools"):
            path, body = asked(dialect, what)
            answer = await house.client.post(path, json=body, headers=house.headers())
            assert answer.status_code == 400, answer.text
            told = error_of("openai_chat" if dialect == "openai_responses" else dialect, answer.content)
            assert f"oc/plain can't take {what}" in told["message"]
            if dialect in content:
                assert told["param"] == ("tools" if what == "tools" else content[dialect])
                assert told["code"] == "unsupported_input"
    assert sandbox.requests == 0
    assert all(row["amount_micros"] == 0 and row["hold_micros"] == 0 for row in await house.rows(8))
    path, body = asked("openai_chat", "images")
    # Who can take it stands in, and what asks for nothing of the kind is not refused.
    stands_in = await house.client.post(path, json={**body, "models": ["oc/seeing"]}, headers=house.headers())
    assert stands_in.status_code == 200
    assert (await house.rows(9))[8]["model"] == "oc/seeing"
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "tools": []}
    for _ in range(2):
        assert (await house.client.post(path, json={"tools": [], **body}, headers=house.headers())).status_code == 200


async def test_a_word_that_is_none_is_refused_at_the_start(house: House) -> None:
    with pytest.raises(InvalidCall, match="lacks: sight is none of images"):
        await vendor(house, plain=ModelSettings(lacks=("sight",)))


def test_the_catalogue_names_providers_and_things_that_are_known() -> None:
    table = providers.lacks()
    assert set(table) <= set(providers.catalogue())
    assert "images" in table["openai"]["o3-mini"]
