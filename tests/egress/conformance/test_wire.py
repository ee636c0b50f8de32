"""The kit's caller and its scripted provider, against each other: what is sent arrives, what is played comes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator

import pytest

from ruxa.egress.conformance import case, material, runner
from ruxa.egress.conformance.case import Run
from ruxa.egress.conformance.client import Asked, Target
from ruxa.egress.conformance.wire import Route, Wire, listening
from ruxa.kernel.errors import InvalidCall


def run_of(name: str) -> Run:
    (run,) = (run for each in case.load(name) for run in each.runs)
    return run


@contextlib.asynccontextmanager
async def answering(data: bytes) -> AsyncGenerator[Target]:
    """A server that says ``data`` to whoever calls, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Target(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")


async def test_a_relay_by_hand_holds_the_relayed_runs() -> None:
    """The scripted provider itself as the target: a gateway that changes nothing."""
    async with listening(0) as upstream:
        target = Target(f"http://127.0.0.1:{upstream.port}")
        routes = {name: Route(model="{{upstream_model}}") for name in ("wire-openai", "wire-anthropic", "wire-gemini")}
        way = Wire(target, "a-key", upstream, routes)
        for name in ("W38.AM-AM", "W52.AM-AM.plain.stream", "W55.GG-GG.sse.stream", "W61.OC-OC", "W61.GG-GG"):
            for run in (run for each in case.load(name) for run in each.runs):
                assert await runner.judge(run, way, own=True) == "", run.id
        heard = upstream.heard[-1]
        assert heard.headers["x-goog-api-key"] == "a-key"
        assert heard.path == "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
        wrong = await runner.judge(run_of("W57.AM-AM.stream"), way, own=True)
        assert "the connection broke" in wrong or "should be error" in wrong
        other = run_of("W13.OC-AM.whole")
        assert "expects anthropic_messages" in await runner.judge(other, way, own=True)


async def test_the_provider_serves_the_picture_that_cases_name() -> None:
    async with listening(0) as upstream:
        target = Target(f"http://127.0.0.1:{upstream.port}")
        way = Wire(target, "k", upstream, {"wire-gemini": Route(model="{{upstream_model}}")})
        run = run_of("W24.OC-GG.whole")
        await way.exchange(run, run.steps[0], Asked(method="GET", path="/wire/pixel.png", headers={}, body=b""))
        came = await target.ask(Asked(method="GET", path="/wire/pixel.png", headers={}, body=b""), 5)
        assert (came.status, came.headers["content-type"], came.body) == (200, "image/png", material.PNG)
        missing = await target.ask(Asked(method="GET", path="/wire/other.png", headers={}, body=b""), 5)
        assert missing.status == 404


@pytest.mark.parametrize(
    ("said", "status", "complete"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", 200, True),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", 200, True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", 200, False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", 200, False),
        (b"no http\r\n\r\n", 0, True),
        (b"", 0, True),
    ],
)
async def test_an_answer_as_it_came(said: bytes, status: int, complete: bool) -> None:
    async with answering(said) as target:
        came = await target.ask(Asked(method="POST", path="/", headers={}, body=b"{}"), 5)
    assert (came.status, came.complete) == (status, complete)


async def test_nobody_there_is_an_answer_too() -> None:
    async with answering(b"") as target:
        pass
    came = await target.ask(Asked(method="GET", path="/", headers={}, body=b""), 5)
    assert came.status == 0
    assert not await target.answers("/")


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://x/?q", "127.0.0.1:8000"])
def test_a_target_that_is_no_address(url: str) -> None:
    with pytest.raises(InvalidCall):
        Target(url)


def test_a_head_has_no_body_to_wait_for() -> None:
    async def act() -> int:
        async with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n") as target:
            return (await target.ask(Asked(method="HEAD", path="/", headers={}, body=b""), 5)).status

    assert asyncio.run(act()) == 200


def test_the_plain_answers_say_the_same() -> None:
    assert all(material.SAID in json.dumps(json.loads(answer)) for answer in material.ANSWERS.values())
