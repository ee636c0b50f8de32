"""A provider that counts far more than was held: it alarms, and the model is served no more until somebody opens it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from dialect_calls import DIALECTS, call, error_of
from fixtures_gateway import House
from ruxa.kernel import bounds
from ruxa.ledger import prices, routes

each_dialect = pytest.mark.parametrize("dialect", DIALECTS)


class Counting:
    """Answers each call well and says that it took ``input_tokens`` and ``output_tokens``."""

    def __init__(self) -> None:
        self.input_tokens, self.output_tokens = 10, 10
        self.asked = 0
        self.url = ""
        self._writers: set[asyncio.StreamWriter] = set()

    def body(self, path: bytes) -> Any:
        given, made = self.input_tokens, self.output_tokens
        if b"chat/completions" in path:
            choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
            usage = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
            return {"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}
        if b"embeddings" in path:
            usage = {"prompt_tokens": given, "total_tokens": given}
            return {"object": "list", "data": [{"index": 0, "embedding": [0.5]}], "usage": usage}
        if b"messages" in path:
            usage = {"input_tokens": given, "output_tokens": made}
            text = [{"type": "text", "text": "x"}]
            return {"type": "message", "role": "assistant", "content": text, "stop_reason": "end_turn", "usage": usage}
        candidate = {"content": {"role": "model", "parts": [{"text": "x"}]}, "finishReason": "STOP"}
        usage = {"promptTokenCount": given, "candidatesTokenCount": made, "totalTokenCount": given + made}
        return {"candidates": [candidate], "usageMetadata": usage}

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        text = json.dumps(self.body(head.split(b" ", 2)[1])).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(text) + text)
        while await reader.read(1 << 16):
            pass
        writer.close()


@pytest.fixture
async def provider() -> AsyncIterator[Counting]:
    made = Counting()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()
    for writer in made._writers:
        writer.close()
    await asyncio.sleep(0.05)


async def ask(house: House, dialect: str = "openai_chat", **more: Any) -> Any:
    path, body = call(dialect, "sandbox/chat", "hello", **more)
    return await house.client.post(path, json=body, headers=house.headers())


async def until(holds: Callable[[], bool], within_s: float = 4) -> None:
    for _ in range(int(within_s * 50)):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to be")


def closed_here(house: House) -> bool:
    return house.pipeline._plans.closed_routes() == 1


@each_dialect
async def test_a_figure_far_over_the_hold_closes_the_route(house: House, provider: Counting, dialect: str) -> None:
    await house.begin()
    await house.serve(sandbox_url=provider.url)
    assert (await ask(house, dialect)).status_code == 200
    provider.output_tokens = 900_000
    answer = await ask(house, dialect)
    assert answer.status_code == 200, "the answer that is there is delivered"
    [told] = [fields for event, fields in house.told.events if event == "hold.exceeded"]
    assert told["request_id"] == answer.headers["x-request-id"]
    assert told["model"] == "sandbox/chat"
    assert "route.closed" in house.told.names()
    asked = provider.asked
    refused = await ask(house, dialect)
    assert refused.status_code == 503
    assert "closed" in error_of(dialect, refused.content)["message"]
    assert provider.asked == asked
    row = (await house.rows(3))[2]
    assert (row["status"], row["error_code"], row["amount_micros"]) == (503, "route_closed", 0)
    metrics = (await house.client.get("/metrics")).text
    assert "ruxa_routes_closed 1" in metrics
    assert 'ruxa_figures_over_hold_total{provider="sandbox"} 1' in metrics
    other = await house.client.post(
        "/v1/embeddings", json={"model": "sandbox/embedding", "input": "a"}, headers=house.headers()
    )
    assert other.status_code == 200, "another model is not closed"


async def test_only_more_than_five_percent_over_alarms(house: House, provider: Counting) -> None:
    await house.begin()
    await house.serve(sandbox_url=provider.url)
    provider.output_tokens = 1
    await ask(house, max_tokens=10_000)
    hold = (await house.rows(1))[0]["hold_micros"]
    async with house.operator.work() as work:
        price = (await prices.current(work))["sandbox/chat"]
    provider.input_tokens = 0
    provider.output_tokens = hold * 104 * 10_000 // price.output_micros
    await ask(house, max_tokens=10_000)
    assert "hold.exceeded" not in house.told.names()
    provider.output_tokens = hold * 107 * 10_000 // price.output_micros
    await ask(house, max_tokens=10_000)
    assert "hold.exceeded" in house.told.names()
    assert closed_here(house)
    assert bounds.FIGURE_OVER_HOLD_PERCENT == 5


async def test_an_answer_without_a_cap_may_be_as_long_as_the_model_answers(house: House, provider: Counting) -> None:
    """Its hold is the organisation's default of 4,096 tokens; the rest comes from the lease (D21)."""
    await house.begin()
    await house.serve(sandbox_url=provider.url)
    provider.output_tokens = 50_000
    assert (await ask(house)).status_code == 200
    assert not closed_here(house)
    assert "hold.exceeded" not in house.told.names()


async def test_a_text_of_many_tokens_alarms_and_closes_nothing(house: House, provider: Counting) -> None:
    """A token a byte is more than was held, and no fault of the provider: no caller closes a route by its text."""
    await house.begin()
    async with house.operator.work() as work:
        await prices.put(work, "sandbox/chat", prices.rates(500_000, 2_000_000), source="test")
    await house.serve(sandbox_url=provider.url)
    path, body = call("openai_chat", "sandbox/chat", "\U00020000" * 2000, max_tokens=1)
    provider.input_tokens, provider.output_tokens = 8000, 1
    answer = await house.client.post(path, json=body, headers=house.headers())
    assert answer.status_code == 200
    assert "hold.exceeded" in house.told.names()
    assert not closed_here(house)


@pytest.mark.parametrize("way", ["operator", "price"])
async def test_every_worker_closes_a_restart_forgets_nothing_and_it_opens_again(
    house: House, provider: Counting, tmp_path: Path, way: str
) -> None:
    await house.begin()
    await house.serve(sandbox_url=provider.url)
    other = House(house.database, tmp_path / "other")
    other.secret, other.vault = house.secret, house.vault
    await other.serve(sandbox_url=provider.url, name="gateway-1")
    assert (await ask(other)).status_code == 200
    provider.output_tokens = 900_000
    await ask(house)
    await until(lambda: closed_here(other))
    assert (await ask(other)).status_code == 503
    await other.stop()
    other = House(house.database, tmp_path / "other")
    other.secret, other.vault = house.secret, house.vault
    await other.serve(sandbox_url=provider.url, name="gateway-1")
    assert (await ask(other)).status_code == 503
    provider.output_tokens = 10
    async with house.operator.work() as work:
        assert [route.model for route in await routes.closed(work)] == ["sandbox/chat"]
        if way == "operator":
            assert await routes.reopen(work, "sandbox/chat") is not None
            assert await routes.reopen(work, "sandbox/chat") is None
        else:
            await prices.put(work, "sandbox/chat", prices.rates(600_000, 2_400_000), source="test")
    await until(lambda: not closed_here(other) and not closed_here(house))
    assert (await ask(house)).status_code == (await ask(other)).status_code == 200
    async with house.operator.work() as work:
        assert not await routes.closed(work)
    await other.stop()


async def test_what_was_found_without_a_database_is_written_down_later(
    house: House, provider: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.begin()
    await house.serve(sandbox_url=provider.url)
    await ask(house)
    real, away = routes.close, True

    async def close(*args: Any) -> None:
        if away:
            from ruxa.kernel.errors import Unavailable

            raise Unavailable("away", code="database_away")
        await real(*args)

    monkeypatch.setattr(routes, "close", close)
    provider.output_tokens = 900_000
    await ask(house)
    await house.pipeline._read_prices()
    assert (await ask(house)).status_code == 503, "closed here, whatever the database says"
    away = False

    def known() -> bool:
        return bool(house.sql("SELECT 1 FROM ledger.route_closed"))

    await until(known)
