"""The upstream pool on real sockets: whole answers, streams, every way to fail, and what is known afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from ruxa.egress.http import Answer, Deadlines, Origin, Pool, Upstream
from ruxa.egress.recipient import Register
from ruxa.egress.timers import Wheel
from ruxa.kernel import bounds
from ruxa.kernel.errors import NoUpstream, UpstreamBroken, UpstreamTimeout
from wire_parts import SOMEBODY, TICK_S, Told, authority, provider, read_call, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Steps = list[bytes | float | None]  # bytes to write, seconds to wait, None: reset


def playing(*answers: Steps) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]:
    """An upstream that reads a request and plays an answer, for each of ``answers`` over all its connections."""
    left = list(answers)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_call(reader):
            if not left:
                return
            for step in left.pop(0):
                if step is None:
                    writer.transport.abort()
                    return
                if isinstance(step, bytes):
                    if not step:
                        return
                    writer.write(step)
                    await writer.drain()
                else:
                    await asyncio.sleep(step)

    return script


def post(upstream: Upstream, body: bytes = b'{"a":1}', deadlines: Deadlines | None = None) -> Answer:
    head = upstream.head("POST", "/v1/x?y=z", {"authorization": "Bearer secret"})
    return upstream.ask(head, (body,), deadlines or Deadlines())


# Wire bytes -> status, body. An empty piece closes the connection.
WHOLE: dict[str, tuple[Steps, int, bytes]] = {
    "length": ([OK], 200, b"ok"),
    "length, in three": ([b"HTTP/1.1 200 OK\r\nContent-", 0.02, b"Length: 2\r\n\r\no", 0.02, b"k"], 200, b"ok"),
    "chunked": ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"], 200, b"ok"),
    "chunked, torn": (
        [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1",
            0.02,
            b"\r\no\r",
            0.02,
            b"\n1\r\nk\r\n0\r\nT: v\r\n\r\n",
        ],
        200,
        b"ok",
    ),
    "until close": ([b"HTTP/1.1 200 OK\r\n\r\no", 0.02, b"k", b""], 200, b"ok"),
    "version 1.0": ([b"HTTP/1.0 200 OK\r\n\r\nok", b""], 200, b"ok"),
    "no reason": ([b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"], 200, b"ok"),
    "after 100": ([b"HTTP/1.1 100 Continue\r\n\r\n" + OK], 200, b"ok"),
    "after 103 twice": (
        [b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", 0.02, b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK],
        200,
        b"ok",
    ),
    "no content": ([b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b""),
    "error with a body": ([b"HTTP/1.1 529 Overloaded\r\nContent-Length: 2\r\n\r\nno"], 529, b"no"),
    "redirect is not followed": (
        [b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"],
        302,
        b"",
    ),
    "complete, then rubbish": ([OK + b"rubbish"], 200, b"ok"),
}


@pytest.mark.parametrize("name", WHOLE)
async def test_answers_are_read_whole(name: str) -> None:
    steps, status, body = WHOLE[name]
    async with provider(playing(steps, [OK])) as there:
        answer = post(there.upstream)
        assert await answer.head() == status
        assert await answer.body() == body
        assert answer.done
        assert answer.error is None
        # Whatever it was, the next call works.
        again = post(there.upstream)
        assert await again.body() == b"ok"


async def test_the_request_goes_out_as_made() -> None:
    seen: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while call := await read_call(reader):
            seen.append(call)
            writer.write(OK)

    async with provider(script) as there:
        upstream = there.upstream
        await post(upstream, b"abc").body()
        head = upstream.head("POST", "/", {})
        large = b"x" * 100_000
        await upstream.ask(head, (memoryview(large)[:50_000], b"", large[50_000:])).body()
        await upstream.ask(upstream.head("GET", "/m", {"a": "b"})).body()
        await upstream.ask(upstream.head("POST", "/empty", {})).body()
        host = b"host: 127.0.0.1:%d\r\n" % there.port
        assert seen == [
            b"POST /v1/x?y=z HTTP/1.1\r\n" + host + b"authorization: Bearer secret\r\ncontent-length: 3\r\n\r\nabc",
            b"POST / HTTP/1.1\r\n" + host + b"content-length: 100000\r\n\r\n" + large,
            b"GET /m HTTP/1.1\r\n" + host + b"a: b\r\n\r\n",
            b"POST /empty HTTP/1.1\r\n" + host + b"content-length: 0\r\n\r\n",
        ]
        assert len(there.connections) == 1


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("PO ST", "/", {}),
        ("POST", "/\r\nX: y", {}),
        ("POST", "/a b", {}),
        ("POST", "x", {}),
        ("POST", "/", {"a": "b\r\nc: d"}),
        ("POST", "/", {"a": "b\n"}),
        ("POST", "/", {"a\r\nb": "c"}),
        ("POST", "/", {"": "c"}),
        ("POST", "/", {"a": "\0"}),
    ],
)
async def test_a_head_can_not_be_split(method: str, target: str, headers: dict[str, str]) -> None:
    async with provider(playing()) as there:
        with pytest.raises(ValueError, match=r"malformed|request line"):
            there.upstream.head(method, target, headers)


# Wire bytes -> error, its code, answered
BROKEN: dict[str, tuple[Steps, type[Exception], str, bool]] = {
    "closes at once": ([b""], UpstreamBroken, "outcome_unknown", False),
    "resets at once": ([None], UpstreamBroken, "outcome_unknown", False),
    "garbage": ([b"hello\r\n\r\n"], UpstreamBroken, "answer_malformed", True),
    "half a head": ([b"HTTP/1.1 200 OK\r\nContent-", b""], UpstreamBroken, "answer_cut", True),
    "half a body": ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", b""], UpstreamBroken, "answer_cut", True),
    "half a chunk": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok", b""],
        UpstreamBroken,
        "answer_cut",
        True,
    ),
    "no last chunk": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", b""],
        UpstreamBroken,
        "answer_cut",
        True,
    ),
    "bad chunk": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok"],
        UpstreamBroken,
        "answer_malformed",
        True,
    ),
    "two lengths": (
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk"],
        UpstreamBroken,
        "answer_malformed",
        True,
    ),
    "length and chunked": (
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        UpstreamBroken,
        "answer_malformed",
        True,
    ),
    "bare line feeds": ([b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"], UpstreamBroken, "answer_malformed", True),
    "folded header": ([b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"], UpstreamBroken, "answer_malformed", True),
    "gzip coding": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok"],
        UpstreamBroken,
        "answer_malformed",
        True,
    ),
    "upgrade": (
        [b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nzz"],
        UpstreamBroken,
        "answer_malformed",
        True,
    ),
    "header bomb": (
        [b"HTTP/1.1 200 OK\r\n" + b"a: " + b"b" * (2 * bounds.HEADER_BYTES_MAX)],
        UpstreamBroken,
        "answer_malformed",
        True,
    ),
    "header bomb, finished": (
        [b"HTTP/1.1 200 OK\r\na: " + b"b" * (bounds.HEADER_BYTES_MAX) + b"\r\nContent-Length: 2\r\n\r\nok"],
        UpstreamBroken,
        "answer_malformed",
        True,
    ),
    "interim answers without end": (
        [b"HTTP/1.1 100 Continue\r\n\r\n" * 4000, 0.05, b"HTTP/1.1 100 Continue\r\n\r\n" * 4000],
        UpstreamBroken,
        "answer_malformed",
        True,
    ),
    "hangs": ([30.0], UpstreamTimeout, "first_byte_timeout", False),
    "hangs after the head": (
        [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 30.0],
        UpstreamTimeout,
        "between_timeout",
        True,
    ),
    "drips for ever": (
        [b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"] + [b"x", 0.1] * 100,
        UpstreamTimeout,
        "call_timeout",
        True,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_failures_say_what_is_known(name: str) -> None:
    steps, error, code, answered = BROKEN[name]
    deadlines = Deadlines(first_byte_s=0.4, between_s=0.4, whole_s=1.2)
    async with provider(playing(steps, [OK])) as there:
        answer = post(there.upstream, deadlines=deadlines)
        with pytest.raises(error) as caught:
            await answer.body()
        assert caught.value.code == code  # type: ignore[attr-defined]
        assert answer.done
        assert answer.answered == answered
        assert answer.sent == "all"
        assert not answer.reused
        assert await post(there.upstream).body() == b"ok"
        assert len(there.connections) == 2, "a connection that failed was used again"


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        register = Register(Told())
        register.allow(SOMEBODY, "127.0.0.1", port)
        pool = Pool(register, wheel=Wheel(tick_s=TICK_S))
        answer = post(pool.upstream(Origin(host="127.0.0.1", port=port, tls=False)))
        with pytest.raises(NoUpstream) as caught:
            await answer.head()
        assert caught.value.code == "connect_failed"
        assert answer.sent == "none"
        await pool.close()


async def test_a_connection_that_is_never_accepted_times_out() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        register = Register(Told())
        register.allow(SOMEBODY, "127.0.0.1", port)
        pool = Pool(register, wheel=Wheel(tick_s=TICK_S))
        answer = post(pool.upstream(Origin(host="127.0.0.1", port=port, tls=False)), deadlines=Deadlines(connect_s=0.3))
        with pytest.raises(UpstreamTimeout) as caught:
            await answer.head()
        assert caught.value.code == "connect_timeout"
        assert answer.sent == "none"
        await pool.close()
        for one in waiting:
            one.close()


async def test_unknown_names_and_undeclared_destinations() -> None:
    told = Told()
    register = Register(told)
    register.allow(SOMEBODY, "no-such-host.invalid", 443)
    pool = Pool(register, wheel=Wheel(tick_s=TICK_S))
    answer = post(pool.upstream(Origin(host="no-such-host.invalid", port=443)))
    with pytest.raises(NoUpstream) as caught:
        await answer.head()
    assert caught.value.code == "name_unknown"
    with pytest.raises(NoUpstream) as refused:
        pool.upstream(Origin(host="127.0.0.1", port=1, tls=False))
    assert refused.value.code == "egress_refused"
    assert told.events == [("egress.refused", {"host": "127.0.0.1", "reason": "not in the register"})]
    await pool.close()


async def test_a_destination_withdrawn_is_not_dialled_again() -> None:
    async with provider(playing([OK, b""], [OK])) as there:
        assert await post(there.upstream).body() == b"ok"
        await until(lambda: there.upstream.connections == 0)
        there.pool.register.withdraw(SOMEBODY, "127.0.0.1", there.port)
        with pytest.raises(NoUpstream) as caught:
            await post(there.upstream).body()
        assert caught.value.code == "egress_refused"
        assert len(there.connections) == 1


async def test_streams_are_pushed_in_order_and_lose_nothing() -> None:
    events = [b"data: %d\n\n" % i for i in range(300)]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    steps: Steps = [head + b"%x\r\n%b\r\n" % (len(events[0]), events[0]), 0.02]
    steps += [b"%x\r\n%b\r\n" % (len(event), event) for event in events[1:]]
    steps.append(b"0\r\n\r\n")
    async with provider(playing(steps, steps)) as there:
        answer = post(there.upstream)
        await answer.head()
        assert answer.headers[b"content-type"] == b"text/event-stream"
        got: list[bytes] = []
        answer.stream(got.append)
        await answer.end()
        assert b"".join(got) == b"".join(events)
        called: list[str] = []
        pushed: list[bytes] = []
        answer = post(there.upstream)
        answer.on_head = lambda: called.append("head")
        answer.on_data = pushed.append
        answer.on_end = lambda: called.append("end")
        answer.on_error = lambda error: called.append(error.code)
        await until(lambda: answer.done)
        assert called == ["head", "end"]
        assert b"".join(pushed) == b"".join(events)
        assert answer.reused


async def test_a_stream_that_dies_tells_after_what_it_brought() -> None:
    steps: Steps = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", 0.05, b""]
    async with provider(playing(steps)) as there:
        answer = post(there.upstream)
        await answer.head()
        got: list[bytes] = []
        answer.stream(got.append)
        with pytest.raises(UpstreamBroken) as caught:
            await answer.end()
        assert caught.value.code == "answer_cut"
        assert got == [b"ab"]


async def test_pausing_stops_the_upstream() -> None:
    sent = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_call(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(500):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    async with provider(script) as there:
        answer = post(there.upstream, deadlines=Deadlines(between_s=0.2))
        await answer.head()
        got = 0

        def take(data: bytes) -> None:
            nonlocal got
            got += len(data)

        answer.stream(take)
        answer.pause()
        await asyncio.sleep(0.6)
        stopped = got
        assert sent < 30_000_000
        await asyncio.sleep(0.2)
        assert got == stopped
        assert not answer.done, "the time of a pause counted against the upstream"
        answer.resume()
        await answer.end()
        assert got == 50_000_000


async def test_what_nobody_asked_for_is_not_piled_up() -> None:
    sent = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_call(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(500):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    async with provider(script) as there:
        answer = post(there.upstream)
        await answer.head()
        await asyncio.sleep(0.3)
        assert sent < 30_000_000
        assert len(await answer.body()) == 50_000_000


async def test_an_answer_over_the_bound_is_refused() -> None:
    steps: Steps = [b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000]
    async with provider(playing(steps)) as there:
        answer = post(there.upstream)
        answer.bytes_max = 200_000
        with pytest.raises(UpstreamBroken) as caught:
            await answer.body()
        assert caught.value.code == "answer_too_large"


async def test_cancel_closes_the_connection_at_once() -> None:
    ended = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_call(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        ended.set()

    async with provider(script) as there:
        answer = post(there.upstream)
        await answer.head()
        got: list[bytes] = []
        answer.stream(got.append)
        waiting = asyncio.create_task(answer.end())
        await asyncio.sleep(0)
        answer.cancel()
        await asyncio.wait_for(ended.wait(), bounds.CANCEL_WITHIN_S)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert answer.cancelled
        assert there.upstream.connections == 0
        answer.cancel()


async def test_cancel_while_dialling() -> None:
    async with provider(playing([OK], [OK])) as there:
        answer = post(there.upstream)
        answer.on_error = lambda error: pytest.fail(str(error))
        answer.cancel()
        await asyncio.sleep(0.1)
        assert answer.sent == "none"
        assert await post(there.upstream).body() == b"ok"


async def test_connections_are_kept_and_shared() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_call(reader):
            await asyncio.sleep(0.05)
            writer.write(OK)

    async with provider(script) as there:
        for _ in range(3):
            answers = [post(there.upstream) for _ in range(110)]
            assert [await answer.body() for answer in answers] == [b"ok"] * 110
        assert len(there.connections) == 110
        assert there.upstream.idle >= 100


@pytest.mark.parametrize("said", [b"Connection: close\r\n", b"Keep-Alive: timeout=1\r\n"])
async def test_a_connection_is_kept_as_long_as_the_upstream_says(said: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + said + b"Content-Length: 2\r\n\r\nok"
    async with provider(playing([answer], [answer])) as there:
        assert await post(there.upstream).body() == b"ok"
        await until(lambda: there.upstream.connections == 0)
        assert await post(there.upstream).body() == b"ok"
        assert len(there.connections) == 2


async def test_a_stale_connection_is_noticed_before_it_is_used() -> None:
    async with provider(playing([OK], [OK])) as there:
        assert await post(there.upstream).body() == b"ok"
        there.connections[0].close()
        await until(lambda: there.upstream.connections == 0)
        second = post(there.upstream)
        assert await second.body() == b"ok"
        assert not second.reused


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_reused_connection_that_dies_is_retried_only_when_nobody_can_notice(method: str) -> None:
    async with provider(playing([OK], [b""], [OK])) as there:
        upstream = there.upstream
        assert await post(upstream).body() == b"ok"
        answer = upstream.ask(upstream.head(method, "/", {}), (b"abc",) if method == "POST" else ())
        if method == "GET":
            assert await answer.body() == b"ok"
            assert len(there.connections) == 2
        else:
            # D15: the body was written, so whether the provider did the work is unknown.
            with pytest.raises(UpstreamBroken) as caught:
                await answer.body()
            assert caught.value.code == "outcome_unknown"
            assert answer.reused
            assert not answer.answered
            assert answer.sent == "all"
            assert len(there.connections) == 1


async def test_a_body_that_never_left_is_known_not_to_have_left() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.1)
        writer.write_eof()
        await asyncio.sleep(0.2)

    async with provider(script) as there:
        answer = post(there.upstream, b"x" * 40_000_000)
        with pytest.raises(UpstreamBroken):
            await answer.head()
        assert answer.sent == "some"


async def test_an_answer_before_the_whole_request_ends_the_connection() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        await asyncio.sleep(0.3)

    async with provider(script) as there:
        answer = post(there.upstream, b"x" * 40_000_000)
        assert await answer.head() == 413
        assert await answer.body() == b"no"
        assert there.upstream.idle == 0


async def test_bytes_that_nobody_asked_for_end_an_idle_connection() -> None:
    async with provider(playing([OK, 0.05, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 1.0], [OK])) as there:
        assert await post(there.upstream).body() == b"ok"
        await until(lambda: there.upstream.connections == 0)
        assert await post(there.upstream).body() == b"ok"


async def test_head_has_no_body() -> None:
    async with provider(playing([b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"], [OK])) as there:
        answer = there.upstream.ask(there.upstream.head("HEAD", "/", {}))
        assert await answer.head() == 200
        assert await answer.body() == b""
        assert await post(there.upstream).body() == b"ok"


async def test_closing_the_pool_fails_what_is_under_way() -> None:
    async with provider(playing([30.0])) as there:
        answer = post(there.upstream)
        await until(lambda: there.upstream.connections == 1 and answer.sent == "all")
        await there.pool.close()
        with pytest.raises(UpstreamBroken) as caught:
            await answer.head()
        assert caught.value.code == "connection_closed"


async def test_a_unix_socket_keeps_repeated_headers(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_call(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    path = str(tmp_path / "s")
    server = await asyncio.start_unix_server(serve, path)
    pool = Pool(Register(Told()), wheel=Wheel(tick_s=TICK_S))
    upstream = pool.upstream(Origin(host="console", port=0, tls=False, path=path))
    answer = upstream.ask(upstream.head("GET", "/", {}))
    await answer.body()
    assert answer.headers[b"set-cookie"] == b"a=1\0b=2"
    await pool.close()
    server.close()


@pytest.mark.parametrize("case", ["trusted", "unknown authority", "other name"])
async def test_tls_trusts_the_authority_and_the_name(tmp_path: Path, case: str) -> None:
    ca, certificate, key = authority(tmp_path, "localhost" if case != "other name" else "elsewhere")
    names: list[str | None] = []
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)
    served.set_alpn_protocols(["h2", "http/1.1"])
    served.sni_callback = lambda _, name, __: names.append(name)
    spoken: list[str | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        spoken.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        while await read_call(reader):
            writer.write(OK)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=served)
    port = server.sockets[0].getsockname()[1]
    register = Register(Told())
    register.allow(SOMEBODY, "localhost", port)
    trust = ssl.create_default_context(cafile=None if case == "unknown authority" else str(ca))
    trust.set_alpn_protocols(["http/1.1"])
    pool = Pool(register, wheel=Wheel(tick_s=TICK_S), trust=trust)
    upstream = pool.upstream(Origin(host="localhost", port=port))
    answer = post(upstream)
    if case == "trusted":
        assert await answer.body() == b"ok"
        assert await post(upstream, b"x" * 3_000_000).body() == b"ok"
        assert names == ["localhost"]
        assert spoken == ["http/1.1"]
    else:
        with pytest.raises(NoUpstream) as caught:
            await answer.head()
        assert caught.value.code == "tls_failed"
        assert answer.sent == "none"
    await pool.close()
    server.close()
    await asyncio.sleep(0.05)


async def test_a_closed_pool_dials_no_more() -> None:
    async with provider(playing([OK])) as there:
        await there.pool.close()
        with pytest.raises(NoUpstream) as caught:
            await post(there.upstream).head()
        assert caught.value.code == "pool_closed"
        assert not there.connections
