"""The door on real sockets: what is understood, what is refused, what happens on bad days."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import struct
from pathlib import Path

import pytest

from ruxa.gateway.door import DoorBounds, Reply, Request
from ruxa.kernel import bounds
from ruxa.kernel.errors import NotFound, Unauthenticated
from wire_cases import CHUNKED, CONFORMANCE, GET, POST, statuses
from wire_parts import Caller, authority, deliver, echo, opened, until


def reset(caller: Caller) -> None:
    where = caller.writer.get_extra_info("socket")
    where.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.writer.transport.abort()


@pytest.mark.parametrize("name", CONFORMANCE)
async def test_requests_are_understood_or_refused_as_the_table_says(name: str) -> None:
    sent, expected, closes = CONFORMANCE[name]
    async with opened(echo) as running, running.calling() as caller:
        caller.writer.write(sent)
        answer = await caller.all()
        assert statuses(answer) == expected
        assert caller.reader.at_eof() == closes
        if expected[-1] >= 400:
            assert b"connection: close\r\n" in answer
            assert b"x-request-id:" in answer
        assert not running.told.events


@pytest.mark.parametrize("name", CONFORMANCE)
async def test_the_table_holds_when_bytes_come_one_by_one(name: str) -> None:
    sent, expected, _ = CONFORMANCE[name]
    if len(sent) > 4000:
        sent_pieces = [sent[at : at + 997] for at in range(0, len(sent), 997)]
    else:
        sent_pieces = [sent[at : at + 1] for at in range(len(sent))]
    async with opened(echo) as running:
        answer = deliver(running.door, sent_pieces).sent
        assert statuses(answer) == expected


async def test_a_request_is_handed_over_as_it_came() -> None:
    seen: list[Request] = []

    def serve(request: Request, reply: Reply) -> None:
        seen.append(request)
        reply.send(204, b"")

    async with opened(serve) as running:
        answer = await running.said(
            b"PUT /a%2Fb/../c?x=%20&y HTTP/1.1\r\nHost: h\r\nX-Odd:  v \t\r\nAccept: a\r\naccept: b\r\n"
            b"Cookie: c=1\r\nCookie: d=2\r\nContent-Length: 4\r\n\r\n\0\xff\r\n"
        )
    (request,) = seen
    assert answer == b"HTTP/1.1 204 No Content\r\n\r\n"
    assert (request.method, request.path, request.query) == (b"PUT", b"/a%2Fb/../c", b"x=%20&y")
    assert request.headers == {
        b"host": b"h",
        b"x-odd": b"v",
        b"accept": b"a, b",
        b"cookie": b"c=1; d=2",
        b"content-length": b"4",
    }
    assert request.body == b"\0\xff\r\n"
    assert request.peer == "127.0.0.1"
    assert not request.http10
    assert not request.secure


@pytest.mark.parametrize("cut", [0, 1, 40, 67, 68, 69, 71])
async def test_a_kept_connection_may_repeat_its_head_in_any_pieces(cut: int) -> None:
    seen: list[tuple[bytes, bytes, bytes]] = []

    def serve(request: Request, reply: Reply) -> None:
        seen.append((request.path, request.headers.get(b"content-length", b""), request.body))
        reply.send(204, b"")

    head = b"POST /%b HTTP/1.1\r\nHost: x\r\nA: %b\r\nContent-Length: %d\r\nB: 2345\r\n\r\n%b"
    calls = [
        head % (b"a", b"1", 3, b"abc"),
        head % (b"a", b"1", 3, b"def"),
        head % (b"a", b"1", 12, b"twelve bytes"),
        head % (b"a", b"1", 0, b""),
        head % (b"b", b"1", 2, b"gh"),
        head % (b"b", b"2", 2, b"ij"),
        b"GET /c HTTP/1.1\r\nHost: x\r\n\r\n",
        head % (b"b", b"2", 2, b"kl"),
        head % (b"b", b"2", 1, b"m") + head % (b"b", b"2", 1, b"n"),
        b"POST /d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n0\r\n\r\n",
        head % (b"b", b"2", 1, b"p"),
    ]
    async with opened(serve) as running:
        pieces = [piece for call in calls for piece in (call[:cut], call[cut:]) if piece]
        answer = deliver(running.door, pieces).sent
    assert answer == b"HTTP/1.1 204 No Content\r\n\r\n" * 12
    assert seen == [
        (b"/a", b"3", b"abc"),
        (b"/a", b"3", b"def"),
        (b"/a", b"12", b"twelve bytes"),
        (b"/a", b"0", b""),
        (b"/b", b"2", b"gh"),
        (b"/b", b"2", b"ij"),
        (b"/c", b"", b""),
        (b"/b", b"2", b"kl"),
        (b"/b", b"1", b"m"),
        (b"/b", b"1", b"n"),
        (b"/d", b"", b"o"),
        (b"/b", b"1", b"p"),
    ]


async def test_absolute_form_overrides_host() -> None:
    hosts: list[bytes] = []

    def serve(request: Request, reply: Reply) -> None:
        hosts.append(request.headers[b"host"] + b" " + request.path + b" " + request.query)
        reply.send(200, b"")

    async with opened(serve) as running:
        await running.said(b"GET http://real:8/a?b HTTP/1.1\r\nHost: other\r\n\r\n")
        await running.said(b"GET http://real HTTP/1.1\r\nHost: other\r\n\r\n")
    assert hosts == [b"real:8 /a b", b"real / "]


async def test_head_has_no_body_and_keeps_its_length() -> None:
    def serve(request: Request, reply: Reply) -> None:
        if request.path == b"/stream":
            reply.start(200, b"")
            reply.write(b"abc")
            reply.end()
        else:
            reply.send(200, b"", b"abc")

    async with opened(serve) as running:
        answer = await running.said(
            b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\nHEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n"
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        )
    assert answer == (
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"
    )


async def test_streamed_answers_are_framed_for_the_callers_version() -> None:
    def serve(request: Request, reply: Reply) -> None:
        reply.start(200, b"a: b\r\n", length=6 if request.path == b"/known" else None)
        reply.write(b"abc")
        reply.write(b"")
        reply.write(b"def")
        reply.end()

    async with opened(serve) as running:
        assert await running.said(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == (
            b"HTTP/1.1 200 OK\r\na: b\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
        )
        assert await running.said(b"GET /known HTTP/1.1\r\nHost: x\r\n\r\n") == (
            b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 6\r\n\r\nabcdef"
        )
        assert await running.said(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") == (
            b"HTTP/1.1 200 OK\r\na: b\r\nconnection: close\r\n\r\nabcdef"
        )
        assert await running.said(b"GET /known HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") == (
            b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 6\r\nconnection: keep-alive\r\n\r\nabcdef"
        )


async def test_large_bodies_arrive_whole_both_ways() -> None:
    size = 3_000_000

    def serve(request: Request, reply: Reply) -> None:
        reply.send(200, b"", request.body[::-1])

    body = bytes(range(250)) * (size // 250)
    async with opened(serve) as running, running.calling() as caller:
        for framed in (
            b"content-length: %d\r\n\r\n%b" % (size, body),
            b"transfer-encoding: chunked\r\n\r\n"
            + b"".join(b"%x\r\n%b\r\n" % (40_000, body[at : at + 40_000]) for at in range(0, size, 40_000))
            + b"0\r\n\r\n",
        ):
            caller.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + framed)
            assert await caller.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size
            assert await caller.reader.readexactly(size) == body[::-1]
        assert running.door.bodies_bytes == 0


async def test_pipelined_requests_wait_for_the_answer_before_them() -> None:
    replies: list[tuple[Request, Reply]] = []

    async with opened(lambda request, reply: replies.append((request, reply))) as running, running.calling() as caller:
        caller.writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in range(3)))
        for number in range(3):
            await until(lambda number=number: len(replies) == number + 1)
            await asyncio.sleep(0.05)
            assert len(replies) == number + 1
            request, reply = replies[number]
            reply.send(200, b"", request.path)
        answer = await caller.all()
        assert [part.split(b"\r\n\r\n")[1] for part in answer.split(b"HTTP/1.1 200 OK\r\n")[1:]] == [
            b"/0",
            b"/1",
            b"/2",
        ]


async def test_a_thousand_pipelined_requests_are_answered_in_order() -> None:
    async with opened(lambda request, reply: reply.send(200, b"", request.path)) as running:
        answer = await running.said(b"".join(b"GET /%04d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in range(1000)))
    assert [part[-5:] for part in answer.split(b"HTTP/1.1 200 OK\r\n")[1:]] == [b"/%04d" % i for i in range(1000)]


async def test_a_flood_behind_a_pending_answer_is_not_read() -> None:
    pending: list[Reply] = []
    async with opened(lambda request, reply: pending.append(reply)) as running, running.calling() as caller:
        caller.writer.write(GET)
        await until(lambda: pending)
        flood = b"x" * 65536
        sent = 0
        try:
            async with asyncio.timeout(1):
                while sent < 64_000_000:
                    caller.writer.write(flood)
                    await caller.writer.drain()
                    sent += len(flood)
        except TimeoutError:
            pass
        assert sent < 32_000_000, "the flood was swallowed"
        (connection,) = running.door._connections  # type: ignore[attr-defined]
        assert len(connection._held) < 1_000_000  # type: ignore[attr-defined]
        # It may leave all the same, and that is noticed although nothing is read.
        gone = asyncio.Event()
        pending[0].on_gone = gone.set
        reset(caller)
        await asyncio.wait_for(gone.wait(), 1)


@pytest.mark.parametrize("path", [b"/wait", b"/stream"])
@pytest.mark.parametrize("way", ["close", "reset", "half-close"])
async def test_a_caller_who_leaves_is_noticed_at_once(way: str, path: bytes) -> None:
    gone = asyncio.Event()
    replies: list[Reply] = []

    def serve(request: Request, reply: Reply) -> None:
        reply.on_gone = gone.set
        if request.path == b"/stream":
            reply.start(200, b"")
            reply.write(b"abc")
        replies.append(reply)

    async with opened(serve) as running, running.calling() as caller:
        caller.writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
        await until(lambda: replies)
        if way == "close":
            caller.writer.close()
        elif way == "reset":
            reset(caller)
        else:
            caller.writer.write_eof()
        await asyncio.wait_for(gone.wait(), 1)
        (reply,) = replies
        assert reply.gone
        assert not reply.ended
        # Whoever answers all the same does no harm.
        reply.write(b"into the void")
        reply.end()
        reply.send(200, b"", b"")
        reply.fail(NotFound("x"))
        await until(lambda: running.door.connections == 0)


async def test_a_slow_reader_does_not_grow_memory() -> None:
    paused, resumed, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()
    written = 0
    replies: list[Reply] = []

    def serve(request: Request, reply: Reply) -> None:
        reply.on_pause, reply.on_resume, reply.on_gone = paused.set, resumed.set, gone.set
        reply.start(200, b"")
        replies.append(reply)

    async with opened(serve) as running, running.calling() as caller:
        caller.writer.transport.pause_reading()
        caller.writer.write(GET)
        await until(lambda: replies)
        (reply,) = replies
        while not reply.paused and written < 200_000_000:
            reply.write(b"x" * 10_000)
            written += 10_000
            await asyncio.sleep(0)
        assert paused.is_set()
        (connection,) = running.door._connections  # type: ignore[attr-defined]
        assert connection.transport.get_write_buffer_size() < 1_000_000
        caller.writer.transport.resume_reading()
        read = 0
        while read < written:
            read += len(await caller.reader.read(1 << 20))
        await asyncio.wait_for(resumed.wait(), 1)
        assert not reply.paused
        reply.end()
        assert not gone.is_set()


async def test_a_caller_who_takes_nothing_is_cut_off() -> None:
    gone = asyncio.Event()
    replies: list[Reply] = []

    def serve(request: Request, reply: Reply) -> None:
        reply.on_gone = gone.set
        reply.start(200, b"")
        replies.append(reply)

    async with opened(serve, limits=DoorBounds(send_timeout_s=0.3)) as running, running.calling() as caller:
        caller.writer.transport.pause_reading()
        caller.writer.write(GET)
        await until(lambda: replies)
        while not replies[0].paused:
            replies[0].write(b"x" * 100_000)
            await asyncio.sleep(0)
        await asyncio.wait_for(gone.wait(), 2)
        await until(lambda: running.door.connections == 0)


async def test_a_pipeliner_who_reads_nothing_is_not_served_on() -> None:
    served = 0

    def serve(request: Request, reply: Reply) -> None:
        nonlocal served
        served += 1
        reply.send(200, b"", b"x" * 100_000)

    async with opened(serve, limits=DoorBounds(send_timeout_s=0.3)) as running, running.calling() as caller:
        caller.writer.transport.pause_reading()
        caller.writer.write(GET * 2000)
        await until(lambda: running.door.connections == 0)
        assert served < 500, "answers were piled up for a caller that takes none"


async def test_slow_heads_and_bodies_end_in_408() -> None:
    limits = DoorBounds(header_timeout_s=0.3, body_timeout_s=0.3, body_bytes_per_s_min=1000)
    async with opened(echo, limits=limits) as running:
        assert statuses(await running.said(b"GET / HTTP/1.1\r\nHost:")) == [408]
        assert statuses(await running.said(POST[:-1])) == [408]
        assert statuses(await running.said(CHUNKED + b"3\r\nab")) == [408]
        for begun in (b"GET / HTTP/1.1\r\na: ", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n"):
            # A trickle resets no clock: each byte comes in time, the whole does not.
            async with running.calling() as caller:
                caller.writer.write(begun)
                for _ in range(40):
                    caller.writer.write(b"x")
                    await asyncio.sleep(0.02)
                    if caller.reader.at_eof() or caller.reader._buffer:  # type: ignore[attr-defined]
                        break
                assert statuses(await caller.all()) == [408]


async def test_a_steady_body_outlives_the_stall_bound() -> None:
    limits = DoorBounds(body_timeout_s=0.3, body_bytes_per_s_min=100)
    async with opened(echo, limits=limits) as running, running.calling() as caller:
        caller.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(10):
            await asyncio.sleep(0.1)
            caller.writer.write(b"x" * 100)
        assert (await caller.all()).endswith(b"|" + b"x" * 1000)


async def test_silent_connections_are_closed() -> None:
    limits = DoorBounds(header_timeout_s=0.2, idle_timeout_s=0.4)
    async with opened(echo, limits=limits) as running, running.calling() as fresh, running.calling() as used:
        used.writer.write(GET)
        assert await used.reader.readuntil(b"|")
        assert await fresh.closed(1)
        assert running.door.connections == 1
        assert await used.closed(1)
        await until(lambda: running.door.connections == 0)


async def test_an_early_refusal_reaches_a_caller_who_is_still_sending() -> None:
    size = 8_000_000
    async with opened(echo, limits=DoorBounds(body_bytes_max=size - 1)) as running, running.calling() as caller:
        caller.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(80):
            caller.writer.write(b"x" * 100_000)
            await asyncio.sleep(0)
        assert statuses(await caller.all()) == [413]


async def test_a_large_body_is_screened_before_it_is_read() -> None:
    asked: list[bytes] = []

    def screen(request: Request) -> int:
        asked.append(request.path)
        assert request.body == b""
        if request.path == b"/denied":
            raise Unauthenticated("no")
        return 100_000

    async with opened(echo, screen=screen) as running:
        head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        assert statuses(await running.said(head % (b"/denied", 90_000))) == [401]
        assert statuses(await running.said(head % (b"/large", 100_001))) == [413]
        assert statuses(await running.said(head % (b"/fine", 90_000) + b"x" * 90_000)) == [200]
        assert statuses(await running.said(head % (b"/small", 3) + b"abc")) == [200]
        assert statuses(await running.said(CHUNKED + b"%x\r\n" % 100_001)) == [413]
        expecting = head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
        assert statuses(await running.said(expecting % (b"/denied", 3))) == [401]
    assert asked == [b"/denied", b"/large", b"/fine", b"/a", b"/denied"]


async def test_large_bodies_share_a_bound() -> None:
    limits = DoorBounds(bodies_bytes_max=150_000)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    async with opened(lambda request, reply: reply.send(200, b""), limits=limits) as running:
        async with running.calling() as first:
            first.writer.write(head)
            await until(lambda: running.door.bodies_bytes == 100_000)
            assert statuses(await running.said(head)) == [503]
            first.writer.write(b"x" * 100_000)
            assert statuses(await first.all()) == [200]
        await until(lambda: running.door.bodies_bytes == 0)
        assert statuses(await running.said(head + b"x" * 100_000)) == [200]
        async with running.calling() as leaver:
            leaver.writer.write(head)
            await until(lambda: running.door.bodies_bytes == 100_000)
        await until(lambda: running.door.bodies_bytes == 0)


async def test_over_the_bound_of_connections_the_idle_make_room() -> None:
    pending: list[Reply] = []

    def serve(request: Request, reply: Reply) -> None:
        pending.append(reply)

    async with opened(serve, limits=DoorBounds(connections_max=3)) as running:
        busy: list[Caller] = [await running.caller() for _ in range(2)]
        for caller in busy:
            caller.writer.write(GET)
        await until(lambda: len(pending) == 2)
        idle = await running.caller()
        await until(lambda: running.door.connections == 3)
        late = await running.caller()
        assert await idle.closed(1)
        late.writer.write(GET)
        await until(lambda: len(pending) == 3)
        refused = await running.caller()
        assert await refused.closed(1)
        for caller in (*busy, idle, late, refused):
            await caller.close()


async def test_drain_lets_calls_in_flight_end() -> None:
    pending: list[Reply] = []
    async with opened(lambda request, reply: pending.append(reply)) as running:
        idle, busy, half = [await running.caller() for _ in range(3)]
        busy.writer.write(GET)
        half.writer.write(POST[:-1])
        await until(lambda: len(pending) == 1 and running.door.pending == 2)
        drained = asyncio.create_task(running.door.drain(3))
        assert await idle.closed(1)
        with pytest.raises(ConnectionError):
            await running.caller()
        pending[0].send(200, b"", b"first")
        answer = await busy.all()
        assert b"connection: close\r\n" in answer
        assert answer.endswith(b"first")
        assert not drained.done()
        half.writer.write(POST[-1:])
        await until(lambda: len(pending) == 2)
        pending[1].send(200, b"", b"second")
        assert (await half.all()).endswith(b"second")
        assert await drained
        for caller in (idle, busy, half):
            await caller.close()


async def test_drain_cuts_what_does_not_end() -> None:
    gone = asyncio.Event()

    def serve(request: Request, reply: Reply) -> None:
        reply.on_gone = gone.set

    async with opened(serve) as running, running.calling() as caller:
        caller.writer.write(GET)
        await until(lambda: running.door.pending == 1)
        assert not await running.door.drain(0.2)
        assert gone.is_set()
        assert await caller.closed(1)


async def test_whatever_serve_raises_is_answered() -> None:
    def serve(request: Request, reply: Reply) -> None:
        if request.path == b"/known":
            raise NotFound("no such thing")
        if request.path == b"/late":
            reply.start(200, b"")
            raise NotFound("too late")
        raise ZeroDivisionError("secret text")

    async with opened(serve) as running:
        assert (await running.said(b"GET /known HTTP/1.1\r\nHost: x\r\n\r\n")).endswith(b"\r\n\r\nnot_found")
        assert not running.told.events
        answer = await running.said(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert statuses(answer) == [500]
        assert answer.endswith(b"internal_error")
        ((event, fields),) = running.told.events
        assert event == "broken"
        assert fields["error"] == "ZeroDivisionError"
        assert "secret" not in str(fields)
        async with running.calling() as caller:
            caller.writer.write(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await caller.all()
            assert statuses(answer) == [200]
            assert not answer.endswith(b"0\r\n\r\n")
            assert caller.reader.at_eof()


async def test_a_broken_renderer_still_answers() -> None:
    def renderer(error: object, request: object) -> tuple[int, bytes, bytes]:
        raise KeyError("secret")

    async with opened(echo, renderer=renderer) as running:
        answer = await running.said(b"nonsense\r\n\r\n")
        assert statuses(answer) == [500]
        assert b"x-request-id: req_" in answer
        assert running.told.events[0][0] == "broken"


async def test_half_an_answer_never_looks_whole() -> None:
    replies: list[Reply] = []

    def serve(request: Request, reply: Reply) -> None:
        reply.start(200, b"", length=10 if request.path == b"/known" else None)
        reply.write(b"abc")
        replies.append(reply)

    async with opened(serve) as running:
        for head in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /known HTTP/1.1\r\nHost: x\r\n\r\n"):
            async with running.calling() as caller:
                caller.writer.write(head)
                assert (await caller.reader.readuntil(b"abc")).startswith(b"HTTP/1.1 200")
                replies.pop().end() if b"known" in head else replies.pop().abort()
                rest = await caller.all()
                assert rest.strip() == b""
                assert caller.reader.at_eof()
        async with running.calling() as caller:
            # Without framing only a reset says that something is missing.
            caller.writer.write(b"GET / HTTP/1.0\r\n\r\n")
            await caller.reader.readuntil(b"abc")
            replies.pop().abort()
            with pytest.raises(ConnectionResetError):
                await caller.reader.read()


async def test_two_workers_share_a_port() -> None:
    async with opened(echo) as first, opened(echo, port=first.port) as second:
        assert second.port == first.port
        for _ in range(8):
            assert statuses(await second.said(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) == [200]
        with pytest.raises(OSError, match="in use"):
            async with opened(echo, port=first.port, reuse_port=False):
                pass


async def test_tls_is_the_same_door(tmp_path: Path) -> None:
    ca, certificate, key = authority(tmp_path, "localhost")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)
    secure: list[bool] = []

    def serve(request: Request, reply: Reply) -> None:
        secure.append(request.secure)
        echo(request, reply)

    async with opened(serve, tls=served) as running:
        trust = ssl.create_default_context(cafile=str(ca))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", running.port, ssl=trust, server_hostname="localhost"
        )
        caller = Caller(reader, writer)
        writer.write(GET + b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000)
        answer = await caller.all()
        assert statuses(answer) == [200, 200]
        assert answer.endswith(b"x" * 200_000)
        writer.write(b"nonsense\r\n\r\n")
        assert statuses(await caller.all()) == [400]
        await caller.close()
        await until(lambda: running.door.connections == 0)
    assert secure == [True, True]


async def test_connections_are_bounded_by_the_files_of_the_process() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        async with opened(echo) as running:
            raised = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            assert raised >= soft
            assert 2 * running.door.connections_max + 256 <= max(raised, 258)
            assert running.door.connections_max <= bounds.CONNECTIONS_MAX
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
