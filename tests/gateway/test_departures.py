"""Callers who leave: the provider is stopped, waited for when only its figures are missing, or read to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from dialect_calls import DIALECTS, call
from fixtures_gateway import House
from ruxa.egress.providers import load
from ruxa.egress.timers import NEVER
from ruxa.gateway.departures import Departures
from ruxa.kernel import bounds
from ruxa.kernel.clock import monotonic
from ruxa.kernel.settings import ModelSettings, ProviderSettings

pytestmark = pytest.mark.usefixtures("no_days")

each_dialect = pytest.mark.parametrize("dialect", DIALECTS)
ONE, OTHER = UUID(int=1), UUID(int=2)
CHUNK = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":%b}]}\n\n'
ENDED = CHUNK % b'{"content":"a b c d"}' + CHUNK.replace(b"%b", b'{},"finish_reason":"stop"')
FIGURES = (
    b'data: {"id":"c","object":"chat.completion.chunk","choices":[],'
    b'"usage":{"prompt_tokens":7,"completion_tokens":900,"total_tokens":907}}\n\n'
)


class Provider:
    """Streams ``told``, then ``later`` after ``wait_s``, then nothing; remembers when it was hung up on."""

    def __init__(self, told: bytes, later: bytes = b"", wait_s: float = 0.0) -> None:
        self.told, self.later, self.wait_s = told, later, wait_s
        self.closed_at = 0.0
        self.port = 0
        self.asked = 0
        self.answering: set[asyncio.Task[None] | None] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        self.answering.add(asyncio.current_task())
        try:
            await self.speak(reader, writer)
        finally:
            writer.close()

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + self.told)
        if self.later:
            await asyncio.sleep(self.wait_s)
            writer.write(self.later)
        while await reader.read(1 << 16):
            pass
        self.closed_at = monotonic()


class Busy(Provider):
    """Says 503 after a while, whatever it is asked."""

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(self.wait_s)
        writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        await writer.drain()


async def listening(provider: Provider) -> AsyncIterator[Provider]:
    server = await asyncio.start_server(provider.answer, "127.0.0.1", 0)
    provider.port = server.sockets[0].getsockname()[1]
    try:
        yield provider
    finally:
        server.close()
        for task in provider.answering:
            assert task is not None
            task.cancel()
        await asyncio.gather(*filter(None, provider.answering), return_exceptions=True)


async def leave(house: House, text: str, until: bytes, **more: Any) -> tuple[str, float]:
    """Hang up as soon as ``until`` has come; the request's id and when that was."""
    path, body = call("openai_chat", "sandbox/chat", text, stream=True, **more)
    async with house.client.stream("POST", path, json=body, headers=house.headers()) as answer:
        async for piece in answer.aiter_bytes():
            if until in piece:
                break
    return answer.headers["x-request-id"], monotonic()


async def closed(provider: Provider, within_s: float) -> float:
    begun = monotonic()
    while not provider.closed_at:
        assert monotonic() - begun < within_s, "the connection to the provider is still open"
        await asyncio.sleep(0.02)
    return provider.closed_at


async def test_figures_on_their_way_are_waited_for(house: House) -> None:
    async for provider in listening(Provider(ENDED, FIGURES, 1.2)):
        await house.begin()
        await house.serve(sandbox_url=f"http://127.0.0.1:{provider.port}")
        request_id, left_at = await leave(house, "word " * 40, b'"stop"')
        assert 1.0 < await closed(provider, 2.5) - left_at < 2.0, "closed as soon as the figures were there"
        row = await house.row(request_id)
        assert (row["status"], row["usage_source"], row["error_code"]) == (499, "provider", "caller_left")
        assert (row["input_tokens"], row["output_tokens"]) == (7, 900)
        await house.stop()
        assert not house.proofs()


async def test_figures_that_do_not_come_are_waited_for_two_seconds(house: House) -> None:
    async for provider in listening(Provider(ENDED)):
        await house.begin()
        await house.serve(sandbox_url=f"http://127.0.0.1:{provider.port}")
        request_id, left_at = await leave(house, "word " * 40, b'"stop"')
        waited = await closed(provider, 3) - left_at
        assert bounds.LEFT_READ_S - 0.2 < waited < bounds.LEFT_READ_S + 0.5
        row = await house.row(request_id)
        assert (row["status"], row["usage_source"]) == (499, "counted")
        assert row["output_tokens"] < 20


async def test_an_answer_that_is_still_made_is_stopped_within_a_second(house: House) -> None:
    async for provider in listening(Provider(CHUNK % b'{"content":"a"}', ENDED + FIGURES, 5)):
        await house.begin()
        await house.serve(sandbox_url=f"http://127.0.0.1:{provider.port}")
        # This provider writes on without looking: when its side of the connection is gone is seen here.
        request_id, left_at = await leave(house, "word " * 40, b'"a"')
        while house.pipeline._metrics.snapshot().values.get("left_uncounted") is None:
            assert monotonic() - left_at < bounds.CANCEL_WITHIN_S
            await asyncio.sleep(0.02)
        assert not any(upstream.connections for upstream in house.pipeline._pool._upstreams.values())
        assert (await house.row(request_id))["usage_source"] == "counted"


async def test_unseen_thinking_is_counted_by_the_catalogues_estimate(house: House) -> None:
    await house.begin()
    await house.serve(models={"sandbox/chat": ModelSettings(reasoning_tokens=300)})
    path, body = call("openai_chat", "sandbox/chat", "[[delay-ms=5000]] x")
    with pytest.raises(httpx.ReadTimeout):
        await house.client.post(path, json=body, headers=house.headers(), timeout=0.3)
    [row] = await house.rows(1)
    assert (row["usage_source"], row["output_tokens"], row["reasoning_tokens"]) == ("counted", 0, 300)
    assert 0 < row["amount_micros"] <= row["hold_micros"]
    body["reasoning_effort"] = "none"
    with pytest.raises(httpx.ReadTimeout):
        await house.client.post(path, json=body, headers=house.headers(), timeout=0.3)
    row = (await house.rows(2))[1]
    assert row["reasoning_tokens"] == 0


async def test_an_estimate_over_the_hold_is_the_platforms_loss(house: House) -> None:
    """More than hold and lease can pay is booked as abandoned, never charged."""
    await house.begin(credit_micros=10_000)
    await house.serve(models={"sandbox/chat": ModelSettings(reasoning_tokens=1_000_000)})
    path, body = call("openai_chat", "sandbox/chat", "[[delay-ms=5000]] x", max_tokens=16)
    with pytest.raises(httpx.ReadTimeout):
        await house.client.post(path, json=body, headers=house.headers(), timeout=0.3)
    [row] = await house.rows(1)
    assert row["amount_micros"] <= 10_000
    assert row["waived_micros"] > 1_900_000
    await house.stop()
    [(booked,)] = house.sql(
        "SELECT sum(amount_micros)::bigint FROM ledger.transfer WHERE code = 'abandoned' AND organisation_ref = %s",
        house.organisation_ref,
    )
    assert booked == row["waived_micros"]
    assert not house.proofs()


@each_dialect
async def test_who_leaves_too_often_has_calls_read_to_their_end(
    house: House, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "ABANDONED_CALLS_MAX", 2)
    await house.begin()
    await house.serve()
    path, body = call(dialect, "sandbox/chat", "[[tokens=60]] [[pace-ms=20]] x", stream=True)
    for number in range(3):
        async with house.client.stream("POST", path, json=body, headers=house.headers()) as answer:
            async for _ in answer.aiter_bytes():
                break
        row = await house.row(answer.headers["x-request-id"]) if number < 2 else {}
    assert row == {}
    begun = monotonic()
    while not (found := await house.rows()) or len(found) < 3:
        assert monotonic() - begun < 8
        await asyncio.sleep(0.1)
    assert [row["usage_source"] for row in found] == ["counted", "counted", "provider"]
    assert (found[2]["status"], found[2]["error_code"]) == (499, "caller_left")
    assert found[2]["output_tokens"] >= 60 > found[1]["output_tokens"]
    assert house.sandbox.cancelled == 2, "the first two were stopped, the third was let end"
    await house.stop()
    assert not house.proofs()


@each_dialect
async def test_a_whole_call_that_is_read_on_is_charged_by_its_figures(
    house: House, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "ABANDONED_CALLS_MAX", 1)
    await house.begin()
    await house.serve()
    house.pipeline._gear.departures.note(house.organisation_ref)
    path, body = call(dialect, "sandbox/chat", "[[tokens=40]] [[delay-ms=800]] x")
    with pytest.raises(httpx.ReadTimeout):
        await house.client.post(path, json=body, headers=house.headers(), timeout=0.3)
    [row] = await house.rows(1)
    assert (row["status"], row["usage_source"]) == (499, "provider")
    assert row["output_tokens"] >= 40
    assert house.sandbox.cancelled == 0
    streamed, body = call(dialect, "sandbox/chat", "[[tokens=40]] [[delay-ms=800]] x", stream=True)
    with pytest.raises(httpx.ReadTimeout):
        await house.client.post(streamed, json=body, headers=house.headers(), timeout=0.3)
    row = (await house.rows(2))[1]
    assert (row["status"], row["usage_source"], row["stream"]) == (499, "provider", True)
    await house.stop()
    assert not house.proofs()


async def test_nobody_is_charged_for_what_fails_after_they_left(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "ABANDONED_CALLS_MAX", 1)
    async for provider in listening(Busy(b"", wait_s=0.7)):
        await house.begin()
        await house.serve(sandbox_url=f"http://127.0.0.1:{provider.port}")
        house.pipeline._gear.departures.note(house.organisation_ref)
        for stream in (False, True):
            path, body = call("openai_chat", "sandbox/chat", "x", stream=stream)
            with pytest.raises(httpx.ReadTimeout):
                await house.client.post(path, json=body, headers=house.headers(), timeout=0.3)
        rows = await house.rows(2)
        assert [(row["status"], row["amount_micros"]) for row in rows] == [(499, 0), (499, 0)]
        assert provider.asked == 2, "nothing is tried again for nobody"
        await house.stop()


async def test_a_stream_that_dies_after_its_caller_left_costs_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "ABANDONED_CALLS_MAX", 1)
    await house.begin()
    await house.serve()
    house.pipeline._gear.departures.note(house.organisation_ref)
    request_id, _ = await leave(house, "[[tokens=60]] [[pace-ms=20]] [[fail-mid-stream-death]] x", b"choices")
    await house.rows(1)
    row = await house.row(request_id)
    assert (row["status"], row["amount_micros"]) == (499, 0)
    await house.stop()


async def test_a_stop_ends_what_is_read_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "ABANDONED_CALLS_MAX", 1)
    await house.begin()
    await house.serve()
    house.pipeline._gear.departures.note(house.organisation_ref)
    await leave(house, "[[tokens=2000]] [[pace-ms=20]] x", b"choices")
    begun = monotonic()
    await house.stop()
    assert monotonic() - begun < 4
    [row] = await house.rows(1)
    assert (row["status"], row["usage_source"]) == (499, "counted")
    assert not house.proofs()


def test_departures_are_counted_per_organisation_and_forgotten() -> None:
    now = 0.0
    departures = Departures(lambda: now)
    for _ in range(bounds.ABANDONED_CALLS_MAX):
        assert departures.wait_s(ONE, ending=False) == 0
        assert departures.wait_s(ONE, ending=True) == bounds.LEFT_READ_S
        departures.note(ONE)
        now += 1
    assert departures.wait_s(ONE, ending=False) == NEVER
    assert departures.wait_s(OTHER, ending=False) == 0
    now = bounds.ABANDONED_WINDOW_S
    assert departures.wait_s(ONE, ending=False) == 0


def test_the_catalogue_knows_who_thinks_unseen() -> None:
    openai = load({"openai": ProviderSettings(key="env:K")}, lambda _: "k").ready["openai"]
    assert openai.reasoning_tokens("gpt-5.1") > 0
    assert openai.reasoning_tokens("gpt-5-chat-latest") == openai.reasoning_tokens("gpt-4o") == 0
