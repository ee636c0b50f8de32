"""What a caller's URL shows: fetched under bounds, or refused with the reason; never from an address of ours."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ruxa.egress import fetch
from ruxa.egress.fetch import Fetched, Fetcher, Kind
from ruxa.egress.http import Pool
from ruxa.egress.recipient import Register
from ruxa.egress.tally import Line
from ruxa.egress.timers import Wheel
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.signals import Field, Level

PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)


class Quiet:
    """A sink."""

    def emit(self, event: str, level: Level = "info", **fields: Field) -> None:
        """Nothing."""


@asynccontextmanager
async def shown(
    answer: bytes | Callable[[bytes], bytes], *, loopback: bool = True
) -> AsyncGenerator[tuple[Fetcher, str]]:
    """A fetcher, and the address of a server that says ``answer``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        said = answer if isinstance(answer, bytes) else answer(asked)
        if said:
            writer.write(said)
            await writer.drain()
        else:
            await over.wait()
        writer.close()
        await writer.wait_closed()

    over = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    wheel = Wheel(tick_s=0.05)
    wheel.start()
    pool = Pool(Register(Quiet()), wheel=wheel, allow_loopback=loopback)
    try:
        yield Fetcher(pool), f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        await pool.close()
        wheel.stop()
        over.set()
        server.close()
        await asyncio.sleep(0.05)


def http(body: bytes, kind: str = "image/png", status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode() + body


async def test_an_image_is_fetched_and_its_own_beginning_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []

    def answer(asked: bytes) -> bytes:
        heard.append(asked)
        return http(PNG, "image/jpeg")

    async with shown(answer) as (fetcher, base):
        found = await fetcher.get(f"{base}/a%20b/c.png?x=1&y=é#part", "image")
    assert found == Fetched("image/png", PNG)
    register = fetcher.register
    assert list(register.destinations()) == [("*", 443)], "the caller's host is declared for the time of the call"
    assert register.tally.take() == [Line("url", "*", "user.content", 1)]
    assert heard[0].startswith(b"GET /a%20b/c.png?x=1&y=%C3%A9 HTTP/1.1\r\n")
    lines = heard[0].decode().lower().split("\r\n")
    assert not [line for line in lines if line.startswith(("cookie", "authorization", "x-forwarded", "referer"))]


REFUSED: dict[str, tuple[bytes, str]] = {
    "a page": (http(b"<html>", "image/png"), "no PNG"),
    "moved": (http(b"", status="302 Found", more="location: http://127.0.0.1:1/\r\n"), "another URL"),
    "gone": (http(b"", status="404 Not Found"), "404"),
    "too large by its length": (http(PNG + bytes(2000)), "larger than 1000"),
    "too large in chunks": (
        b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\n\r\n"
        b"800\r\n" + PNG + bytes(2048 - len(PNG)) + b"\r\n0\r\n\r\n",
        "larger than 1000",
    ),
    "compressed": (http(PNG, more="content-encoding: gzip\r\n"), "compressed"),
    "no HTTP": (b"hello\r\n\r\n", "can't be fetched"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_is_no_image_is_refused_with_the_reason(what: str) -> None:
    answer, reason = REFUSED[what]
    async with shown(answer) as (fetcher, base):
        with pytest.raises(InvalidCall, match=reason) as caught:
            await fetcher.get(f"{base}/x", "image", 1000)
    assert caught.value.code == "url_not_fetched"
    assert base not in caught.value.public


async def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.bounds, "FETCH_TIMEOUT_S", 0.3)
    async with shown(lambda _: b"") as (fetcher, base):
        with pytest.raises(InvalidCall, match="too long"):
            await fetcher.get(f"{base}/x", "image")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}/x", "http://localhost:{port}/x", "http://[::1]:{port}/", "http://0x7f.1:{port}/x",
     "http://2130706433:{port}/", "http://10.0.0.1/x", "http://169.254.169.254/latest/meta-data"],
)  # fmt: skip
async def test_no_request_goes_to_an_address_of_ours(url: str) -> None:
    asked: list[bytes] = []

    def answer(request: bytes) -> bytes:
        asked.append(request)
        return http(PNG)

    async with shown(answer, loopback=False) as (fetcher, base):
        with pytest.raises(InvalidCall) as caught:
            await fetcher.get(url.format(port=base.rpartition(":")[2]), "image")
    assert caught.value.code == "url_refused"
    assert not asked


@pytest.mark.parametrize(
    "url", ["ftp://a/b", "file:///etc/passwd", "http://", "x", "http://u:p@h/x", "http://a:99999/"]
)
async def test_what_is_no_plain_url_is_refused(url: str) -> None:
    async with shown(http(PNG)) as (fetcher, _):
        with pytest.raises(InvalidCall) as caught:
            await fetcher.get(url, "image")
    assert caught.value.code == "url_refused"


@pytest.mark.parametrize(
    ("kind", "said", "body", "found"),
    [
        ("document", "application/pdf", b"%PDF-1.4\n", "application/pdf"),
        ("document", "text/markdown; charset=utf-8", b"# Hello", "text/markdown"),
        ("audio", "audio/wav", b"RIFF....WAVE", "audio/wav"),
    ],
)
async def test_other_media_are_what_they_say(kind: Kind, said: str, body: bytes, found: str) -> None:
    async with shown(http(body, said)) as (fetcher, base):
        assert await fetcher.get(base, kind) == Fetched(found, body)
        with pytest.raises(InvalidCall):
            await fetcher.get(base, "image")


async def test_a_name_that_turns_to_an_address_of_ours_is_never_called_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebinding: what was looked at is what is dialled, and the next time it is looked at anew."""
    answers = ["8.8.8.8", "127.0.0.1", "169.254.169.254"]
    dialled: list[str] = []
    loop = asyncio.get_running_loop()

    class Rebinding:
        """The loop, in a network whose names turn."""

        def __getattr__(self, name: str) -> Any:
            return getattr(loop, name)

        async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]

        async def create_connection(self, _: Any, address: str, port: int, **__: Any) -> Any:
            dialled.append(address)
            raise ConnectionRefusedError

    async with shown(b"", loopback=False) as (fetcher, _):
        monkeypatch.setattr(asyncio, "get_running_loop", Rebinding)
        try:
            for code in ("url_not_fetched", "url_refused", "url_refused"):
                with pytest.raises(InvalidCall) as caught:
                    await fetcher.get("http://turns.example/a.png", "image")
                assert caught.value.code == code
        finally:
            monkeypatch.undo()
    assert answers == []
    assert dialled == ["8.8.8.8"]


async def test_where_a_server_sends_us_is_not_asked() -> None:
    asked: list[bytes] = []

    def answer(request: bytes) -> bytes:
        asked.append(request)
        return http(b"", status="307 Temporary Redirect", more=f"location: {there}/secret\r\n")

    async with (
        shown(lambda request: asked.append(request) or http(PNG)) as (_, there),
        shown(answer) as (fetcher, base),
    ):
        with pytest.raises(InvalidCall, match="another URL"):
            await fetcher.get(f"{base}/x", "image")
    assert [request.split(b" ")[1] for request in asked] == [b"/x"]
