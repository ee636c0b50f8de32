"""The way to the console process: what passes, what ends at the door, what happens when the console is away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ruxa.egress.http import Pool
from ruxa.egress.recipient import Register
from ruxa.egress.timers import Wheel
from ruxa.gateway.relayed import ConsoleRelay
from wire_parts import Running, Told, opened, read_call, until


@asynccontextmanager
async def relaying(
    place: Path, answer: bytes, seen: list[bytes], *, trusted: tuple[str, ...] = ()
) -> AsyncIterator[Running]:
    """A door that relays everything to a console which says ``answer`` (nothing listens when it is empty)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while call := await read_call(reader):
                seen.append(call)
                writer.write(answer)
                await writer.drain()
            seen.append(b"left")
        writer.close()

    path = str(place / "console.sock")
    server = await asyncio.start_unix_server(serve, path) if answer else None
    wheel = Wheel(tick_s=0.05)
    pool = Pool(Register(Told()), wheel=wheel)
    try:
        async with opened(ConsoleRelay(pool, path, trusted)) as running:
            yield running
    finally:
        await pool.close()
        wheel.stop()
        if server is not None:
            server.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_a_request_passes_without_what_belongs_to_one_hop(tmp_path: Path) -> None:
    seen: list[bytes] = []
    async with relaying(tmp_path, OK, seen) as running:
        answer = await running.said(
            b"POST /sign-in?a=b HTTP/1.1\r\nHost: ruxa.test:8000\r\nCookie: s=1\r\nCookie: t=2\r\n"
            b"Connection: keep-alive, x-mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade-Insecure: 1\r\n"
            b"Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n"
            b"X-Forwarded-Host: evil\r\nX-Real-IP: 1.2.3.4\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        )
    assert answer == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    assert seen[0] == (
        b"POST /sign-in?a=b HTTP/1.1\r\nhost: ruxa.test:8000\r\ncookie: s=1; t=2\r\nupgrade-insecure: 1\r\n"
        b"x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\ncontent-length: 3\r\n\r\nabc"
    )


async def test_a_callers_own_request_id_ends_at_the_door(tmp_path: Path) -> None:
    seen: list[bytes] = []
    async with relaying(tmp_path, OK, seen) as running:
        await running.said(
            b"GET /home HTTP/1.1\r\nHost: x\r\nX-Request-Id: req_01a20c5e9dd778eeb39ce2842fd72d12\r\n"
            b"X-REQUEST-ID: again\r\nX-Other: 1\r\n\r\n"
        )
    assert b"x-request-id" not in seen[0]
    assert b"x-other: 1" in seen[0]


@pytest.mark.parametrize(
    ("said", "believed"),
    [
        (b"X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nX-Forwarded-Proto: https\r\n", b"203.0.113.9|https"),
        (b"X-Forwarded-For: 203.0.113.9, 10.0.0.2\r\n", b"203.0.113.9|http"),
        (b"X-Forwarded-For: rubbish\r\nX-Forwarded-Proto: gopher\r\n", b"127.0.0.1|http"),
        (b"", b"127.0.0.1|http"),
    ],
)
async def test_a_trusted_proxy_is_believed_about_the_hop_before_it(
    tmp_path: Path, said: bytes, believed: bytes
) -> None:
    seen: list[bytes] = []
    async with relaying(tmp_path, OK, seen, trusted=("127.0.0.1", "10.0.0.2")) as running:
        await running.said(b"GET / HTTP/1.1\r\nHost: x\r\n" + said + b"\r\n")
    address, _, scheme = believed.partition(b"|")
    assert b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\n" % (address, scheme) in seen[0]
    assert seen[0].count(b"x-forwarded-for") == 1


async def test_an_answer_passes_with_each_cookie(tmp_path: Path) -> None:
    said = (
        b"HTTP/1.1 303 See Other\r\nserver: uvicorn\r\ndate: x\r\nlocation: /home\r\nset-cookie: a=1\r\n"
        b"set-cookie: b=2\r\nconnection: x-hop\r\nx-hop: 1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    )
    async with relaying(tmp_path, said, []) as running:
        answer = await running.said(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer == (
        b"HTTP/1.1 303 See Other\r\nlocation: /home\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n"
        b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    )


async def test_head_has_no_body(tmp_path: Path) -> None:
    async with relaying(tmp_path, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", []) as running:
        assert (
            await running.said(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n") == b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
        )


async def test_not_modified_has_no_body(tmp_path: Path) -> None:
    async with relaying(tmp_path, b"HTTP/1.1 304 Not Modified\r\netag: a\r\n\r\n", []) as running:
        answer = await running.said(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
    assert answer == b"HTTP/1.1 304 Not Modified\r\netag: a\r\n\r\n" * 2


async def test_a_console_that_is_away_is_a_503_with_a_request_id(tmp_path: Path) -> None:
    async with relaying(tmp_path, b"", []) as running:
        answer = await running.said(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"x-request-id: " in answer
    assert answer.endswith(b"console_away")


async def test_a_console_that_dies_within_an_answer_does_not_make_it_look_whole(tmp_path: Path) -> None:
    seen: list[bytes] = []
    async with relaying(tmp_path, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", seen) as running:
        async with running.calling() as caller:
            caller.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await caller.reader.readuntil(b"half")).endswith(b"\r\n\r\nhalf")
            caller.writer.close()
        # And a caller that leaves takes the console's work with it.
        await until(lambda: seen[-1] == b"left")


@pytest.mark.parametrize("host", [b"a/b", b"a b", b"a@b", b"", b"a:b", b"[::1"])
async def test_a_malformed_host_is_refused(tmp_path: Path, host: bytes) -> None:
    seen: list[bytes] = []
    async with relaying(tmp_path, OK, seen) as running:
        answer = await running.said(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert seen == []


@pytest.mark.parametrize(
    ("says", "answers"),
    [
        (OK, True),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", True),
        (b"HTTP/1.1 503 Away\r\nContent-Length: 2\r\n\r\nno", False),
        (b"", False),
    ],
)
async def test_whether_pages_come_is_asked_of_a_page(tmp_path: Path, says: bytes, answers: bool) -> None:
    seen: list[bytes] = []
    async with relaying(tmp_path, says, seen) as running:
        assert await running.door.serve.answers() is answers
    assert not seen or seen[0].startswith(b"GET /sign-in HTTP/1.1\r\nhost: localhost\r\n")
