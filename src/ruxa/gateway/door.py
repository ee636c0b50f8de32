"""The only listener: HTTP/1.1 (and 1.0) on sockets of our own, one request at a time on each connection.

Why our own and not a framework: CPU (`performance.md`); what it costs is the hardening below. Bytes of a next
request wait unread while an answer is pending, so a caller can fill neither memory nor a queue. Errors raised by
``serve`` are caught here and rendered by the callback given; nothing here knows a dialect.

No task runs per request and no timer either: callbacks of the socket, and one sweep for all deadlines.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Literal, Protocol, cast

import msgspec

from ruxa.egress.timers import NEVER, Wheel
from ruxa.gateway import framing
from ruxa.gateway.framing import Request
from ruxa.kernel import bounds, ids
from ruxa.kernel.codec import clone
from ruxa.kernel.errors import Broken, RuxaError, Unavailable
from ruxa.kernel.signals import Sink

# Vendors use statuses that no register knows (529), so every one has a line.
_STATUS_LINES = {status: b"HTTP/1.1 %d Unassigned\r\n" % status for status in range(200, 600)} | {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_BODILESS = frozenset({204, 304})
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_JOIN_BYTES_MAX = 16 * 1024  # a body up to here is copied behind its head: one buffer is cheaper than two
_PIECES_MAX = 512
_TCP_ESTABLISHED = 1

State = Literal["ready", "head", "body", "chunks", "busy", "linger", "closing"]


class Copied(Protocol):
    """Is told what goes to the caller (``copies.Copy``, ``repeated.Recording``)."""

    def start(self, headers: bytes) -> None:
        """The answer begins, with this block of headers."""
        ...

    def add(self, data: bytes) -> None:
        """Some of its bytes."""
        ...

    def refused(self, body: bytes) -> None:
        """The provider's own words as it refused."""
        ...


class DoorBounds(msgspec.Struct, frozen=True, kw_only=True):
    """What one door tolerates; settings may lower ``body_bytes_max``, tests lower the time-outs."""

    body_bytes_max: int = bounds.BODY_BYTES_MAX
    bodies_bytes_max: int = bounds.BODIES_BYTES_MAX
    header_bytes_max: int = bounds.HEADER_BYTES_MAX
    headers_max: int = bounds.HEADERS_MAX
    url_bytes_max: int = bounds.URL_BYTES_MAX
    connections_max: int = bounds.CONNECTIONS_MAX
    header_timeout_s: float = bounds.HEADER_TIMEOUT_S
    body_timeout_s: float = bounds.BODY_TIMEOUT_S
    body_bytes_per_s_min: int = bounds.BODY_BYTES_PER_S_MIN
    idle_timeout_s: float = bounds.IDLE_TIMEOUT_S
    send_timeout_s: float = bounds.SEND_TIMEOUT_S
    linger_s: float = bounds.LINGER_S


class Reply(msgspec.Struct, eq=False):
    """Where the answer to one request goes. Every call after the caller has left is harmless and does nothing.

    ``headers`` is a ready block of ``name: value\\r\\n`` lines without framing (content-length, transfer-encoding,
    connection, date): the door adds those. HEAD, 204 and 304 carry no body whatever is written.

    started: a status line went out; ended: the answer is complete or was aborted; gone: the caller left before the
    end; cut: it did not leave, our own stop ended it (``gone`` is set too); paused: the caller reads slower than we
    write, so more writes only grow memory. ``on_gone`` is called once, when the caller left or was cut; ``on_pause``
    and ``on_resume`` follow ``paused``. copy: is told what goes to the caller, for keys that store content.
    """

    _connection: _Connection | None
    request: Request | None
    started: bool = False
    ended: bool = False
    gone: bool = False
    cut: bool = False
    paused: bool = False
    on_gone: Callable[[], None] | None = None
    on_pause: Callable[[], None] | None = None
    on_resume: Callable[[], None] | None = None
    copy: Copied | None = None
    _form: Literal["", "chunked", "length", "close", "none"] = ""
    _left: int = 0

    def send(self, status: int, headers: bytes, body: bytes = b"") -> None:
        """The whole answer at once."""
        connection = self._connection
        if connection is None:
            return
        assert not self.started, "an answer is sent once"
        self.started = self.ended = True
        self._connection = None
        if self.copy is not None:
            self.copy.start(headers)
            self.copy.add(body)
        line = _STATUS_LINES[status]
        request = self.request
        if (request is not None and request.method == b"HEAD") or status in _BODILESS:
            connection.transport.write(_bodiless(status, headers, connection.connection_header, len(body)))
        elif len(body) <= _JOIN_BYTES_MAX:
            connection.transport.write(
                b"%b%b%bcontent-length: %d\r\n\r\n%b" % (line, headers, connection.connection_header, len(body), body)
            )
        else:
            head = b"%b%b%bcontent-length: %d\r\n\r\n" % (line, headers, connection.connection_header, len(body))
            connection.transport.writelines((head, body))
        connection.answered()

    def start(self, status: int, headers: bytes, *, length: int | None = None) -> None:
        """Begin a streamed answer: chunked, or with ``content-length`` when its length in bytes is known."""
        connection = self._connection
        if connection is None:
            return
        assert not self.started, "an answer is started once"
        self.started = True
        if self.copy is not None:
            self.copy.start(headers)
        request = self.request
        framing_header = b""
        if status in _BODILESS:
            self._form = "none"
        elif length is not None:
            self._form = "length"
            self._left = length
            framing_header = b"content-length: %d\r\n" % length
        elif request is not None and request.http10:
            self._form = "close"
            connection.close_after()
        else:
            self._form = "chunked"
            framing_header = b"transfer-encoding: chunked\r\n"
        if request is not None and request.method == b"HEAD":
            self._form = "none"
        connection.transport.write(
            b"%b%b%b%b\r\n" % (_STATUS_LINES[status], headers, framing_header, connection.connection_header)
        )

    def write(self, data: bytes) -> None:
        """Some bytes of the streamed body; empty data is ignored."""
        connection = self._connection
        if connection is None or not data:
            return
        if self.copy is not None:
            self.copy.add(data)
        form = self._form
        if form == "chunked":
            size = len(data)
            if size <= _JOIN_BYTES_MAX:
                connection.transport.write(b"%x\r\n%b\r\n" % (size, data))
            else:
                connection.transport.writelines((b"%x\r\n" % size, data, b"\r\n"))
        elif form == "length":
            self._left -= len(data)
            assert self._left >= 0, "more was written than the content-length says"
            connection.transport.write(data)
        elif form == "close":
            connection.transport.write(data)
        else:
            assert form == "none", "write before start"

    def end(self) -> None:
        """The streamed body is complete. One that is shorter than its announced length is aborted instead."""
        connection = self._connection
        if connection is None:
            return
        assert self.started, "end before start"
        if self._form == "length" and self._left:
            self.abort()
            return
        self.ended = True
        self._connection = None
        if self._form == "chunked":
            connection.transport.write(_LAST_CHUNK)
        connection.answered()

    def abort(self) -> None:
        """Cut the connection, so that a caller can not take half an answer for a whole one."""
        connection = self._connection
        if connection is None:
            return
        self.ended = True
        self._connection = None
        connection.aborted(reset=self._form == "close")

    def fail(self, error: RuxaError) -> None:
        """The rendered error when nothing was sent yet, else ``abort``."""
        connection = self._connection
        if connection is None:
            return
        if self.started:
            self.abort()
        else:
            self.send(*connection.door.rendered(error, self.request))

    def left(self) -> None:
        """The door's call: the caller is gone."""
        self._connection = None
        self.gone = True
        gone, self.on_gone = self.on_gone, None
        self.on_pause = self.on_resume = None
        if gone is not None:
            gone()


def _bodiless(status: int, headers: bytes, connection_header: bytes, size: int) -> bytes:
    length = b"" if status in _BODILESS else b"content-length: %d\r\n" % size
    return b"%b%b%b%b\r\n" % (_STATUS_LINES[status], headers, connection_header, length)


Serve = Callable[[Request, Reply], None]
"""Called on the loop once per request; must not block; may keep the reply and answer later (from its own task)."""

Render = Callable[[RuxaError, Request | None], tuple[int, bytes, bytes]]
"""Error -> (status, header block, body) in the dialect of the request's path; None: no request could be read."""

Screen = Callable[[Request], int]
"""Called with the head of a request whose large body has not arrived yet: returns the body's bound in bytes, or
raises a RuxaError to refuse it before the body is read (unknown key, unknown path)."""


class _Connection(asyncio.Protocol):
    """One caller's socket. States: ready (idle), head, body, chunks (reading one request), busy (an answer is pending
    or the caller does not take what was sent), linger (answered early: swallow the rest), closing."""

    __slots__ = (
        "_body_since",
        "_choked",
        "_chunks",
        "_got",
        "_held",
        "_last",
        "_need",
        "_parsed",
        "_pieces",
        "_reader",
        "_reading",
        "_repeat",
        "_reply",
        "_request",
        "_reserved",
        "_state",
        "_stopped",
        "_unread",
        "_unsent",
        "connection_header",
        "door",
        "due",
        "transport",
    )

    transport: asyncio.Transport
    _reader: framing.RequestReader

    def __init__(self, door: Door) -> None:
        self.door = door
        self.due = NEVER
        self.connection_header = b""
        self._state: State = "ready"
        self._held = b""  # bytes of a head or of a next request, not read yet
        self._stopped = False  # reading is paused
        self._choked = False  # the caller does not take what was sent
        self._reading = False  # within ``_read``
        self._last = False  # this request is the connection's last
        self._unread = False  # the request was refused before all of it was read
        self._repeat: framing.Repeat | None = None  # the last head, when it is one that clients repeat
        self._request: Request | None = None  # whose body is being read
        self._reply: Reply | None = None
        self._need = 0
        self._parsed = True  # the parser has seen the head of the body that is being read
        self._got = 0
        self._pieces: list[bytes] = []
        self._chunks: framing.Chunks | None = None
        self._body_since = 0.0
        self._reserved = 0  # bytes of the door's common bound for bodies
        self._unsent = 0

    @property
    def idle(self) -> bool:
        """Between two requests."""
        return self._state == "ready"

    # --- the socket's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._reader = framing.RequestReader(
            url_bytes_max=self.door.limits.url_bytes_max,
            headers_max=self.door.limits.headers_max,
            peer=str(cast("tuple[object, ...]", peer)[0]) if isinstance(peer, tuple) else "unix",
            secure=transport.get_extra_info("sslcontext") is not None,
        )
        self.due = self.door.wheel.now + self.door.limits.header_timeout_s
        self.door.opened(self)

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state == "ready":
            repeat = self._repeat
            if repeat is None or self._last:
                self._read(data)
                return
            request = repeat.whole(data, self.door.small_bytes_max)
            if request is not None:
                self._serve(request)
            elif not self._again(repeat, data):
                self._read(data)
        elif state == "body":
            self._read_body(data)
        elif state == "head":
            self._read(self._held + data)
        elif state == "chunks":
            self._read_chunks(data)
        elif state == "busy":
            self._held += data
            if len(self._held) > bounds.HELD_BYTES_MAX and not self._stopped:
                self._stopped = True
                self.transport.pause_reading()
                self._watch()
        elif state == "linger":
            self._got += len(data)
            if self._got > self.door.limits.body_bytes_max:
                self.cut()

    def eof_received(self) -> None:
        # Whoever closes his side has left: a client that hangs up and one that only says "no more" look alike, and
        # to go on working for the first costs money. nginx does the same.
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self.door.closed(self)
        self._pieces.clear()
        self._chunks = self._request = self._repeat = None
        self._held = b""
        self._release()
        self._reader.close()

    def pause_writing(self) -> None:
        self._choked = True
        self._unsent = self.transport.get_write_buffer_size()
        self._watch()
        reply = self._reply
        if reply is not None:
            reply.paused = True
            if reply.on_pause is not None:
                reply.on_pause()

    def resume_writing(self) -> None:
        self._choked = False
        self._watch()
        reply = self._reply
        if reply is not None:
            reply.paused = False
            if reply.on_resume is not None:
                reply.on_resume()
        elif self._state == "busy":
            self._next()

    # --- the sweep

    def expire(self) -> None:
        """A deadline passed: what that means depends on the state."""
        state = self._state
        if state == "ready":
            self._close()
        elif state == "head":
            self._refuse(framing.refused(408, "request_timeout", "The headers did not arrive in time."))
        elif state in ("body", "chunks"):
            self._refuse(framing.refused(408, "request_timeout", "The body did not arrive in time."), self._request)
        elif state == "busy" and self._choked:
            unsent = self.transport.get_write_buffer_size()
            if unsent >= self._unsent:
                self.cut()
            else:
                self._unsent = unsent
                self._watch()
        elif state == "busy" and self._stopped:
            # Reading is stopped, so the loop can not tell that the caller left: ask the system in every sweep.
            if not self._established():
                self.cut()
        else:
            self.cut()

    def _watch(self) -> None:
        """Set the deadline of a pending answer: none, unless the caller is slow or reading is stopped."""
        if self._state == "busy":
            if self._choked:
                self.due = self.door.wheel.now + self.door.limits.send_timeout_s
            else:
                self.due = 0.0 if self._stopped else NEVER

    def _established(self) -> bool:
        where = self.transport.get_extra_info("socket")
        try:
            return where.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_ESTABLISHED
        except (OSError, AttributeError):
            return True

    # --- reading

    def _again(self, repeat: framing.Repeat, data: bytes) -> bool:
        """``data`` is the last head again, with some of a small body or none of it yet. Else nothing is done."""
        found = repeat.length(data)
        if found is None:
            return False
        start, length = found
        missing = start + length - len(data)
        if missing <= 0 or length > self.door.small_bytes_max:
            return False
        self._await_body(repeat.request(length), length)
        self._parsed = False
        if missing < length:
            self._take_body(data[start:])
        return True

    def _read(self, data: bytes) -> None:
        """Requests of ``data`` in order, until one is incomplete, pending, or the connection's last."""
        self._reading = True
        limits = self.door.limits
        turn = 0
        while data:
            end = data.find(b"\r\n\r\n")
            if end <= 0:
                data = data.lstrip(b"\r\n") if data[0] in b"\r\n" else data
                end = data.find(b"\r\n\r\n")
                if end < 0:
                    self._wait_head(data)
                    break
            end += 4
            if end > limits.header_bytes_max:
                self._refuse(framing.refused(431, "headers_too_large", "The headers are too large."))
                break
            data = self._begin(data, end)
            if self._state != "ready":
                break
            turn += 1
            if turn >= bounds.PIPELINED_MAX and data:
                self._state = "busy"  # other connections' turn first
                asyncio.get_running_loop().call_soon(self._next)
                break
        self._held = data if self._state == "busy" or self._state == "head" else b""
        self._reading = False

    def _next(self) -> None:
        """Go on with what was held."""
        if self._state == "busy" and self._reply is None and not self._choked:
            self._ready()

    def _ready(self) -> None:
        self._state = "ready"
        self.due = self.door.wheel.now + self.door.limits.idle_timeout_s
        if self._reading:
            return
        held = self._held
        if held:
            self._held = b""
            self._read(held)
        if self._stopped:
            self._read_on()

    def _read_on(self) -> None:
        if self._stopped and self._state != "busy":
            self._stopped = False
            self.transport.resume_reading()

    def _wait_head(self, data: bytes) -> None:
        limits = self.door.limits
        if len(data) > limits.header_bytes_max:
            self._refuse(framing.refused(431, "headers_too_large", "The headers are too large."))
        elif b"\n" not in data and len(data) > limits.url_bytes_max + 64:
            self._refuse(framing.refused(414, "url_too_long", "The URL is too long."))
        elif data and self._state == "ready":
            self._state = "head"
            self.due = self.door.wheel.now + limits.header_timeout_s

    def _begin(self, data: bytes, end: int) -> bytes:
        """The request whose head is ``data[:end]``; returns what follows it."""
        try:
            request = self._reader.read(data[:end])
        except RuxaError as error:
            self._refuse(error)
            return b""
        headers = request.headers
        if request.http10 or b"connection" in headers or self._last:
            self._persist(headers, request.http10)
        length_text = headers.get(b"content-length")
        if length_text is None:
            if b"transfer-encoding" in headers:
                return self._begin_chunks(request, data[end:])
            self._serve(request)
            return data[end:]
        length = int(length_text)
        if length > self.door.limits.body_bytes_max:
            self._refuse(framing.too_large(self.door.limits.body_bytes_max), request)
            return b""
        after = end + length
        if not self._last and end + 10 <= self.door.limits.header_bytes_max:
            self._repeat = framing.repeat_of(data[:end], request)
            request = clone(request)
        if after > len(data) or length > bounds.SMALL_BODY_BYTES:
            return self._begin_body(request, length, data[end:])
        body = request.body = data[end:after]
        if length:
            self._reader.parser.feed_data(body)
        self._serve(request)
        return data[after:]

    def _persist(self, headers: dict[bytes, bytes], http10: bool) -> None:
        words = [word.strip() for word in headers.get(b"connection", b"").lower().split(b",")]
        if b"close" in words or (http10 and b"keep-alive" not in words) or self._last:
            self.close_after()
        else:
            self.connection_header = b"connection: keep-alive\r\n" if http10 else b""

    def _begin_body(self, request: Request, length: int, data: bytes) -> bytes:
        if length > bounds.SMALL_BODY_BYTES or b"expect" in request.headers:
            if self._screened(request, length, not data) is None:
                return b""
            if length > bounds.SMALL_BODY_BYTES and not self._reserve(length):
                self._refuse(_overloaded(), request)
                return b""
        self._await_body(request, length)
        return self._take_body(data) if data else b""

    def _await_body(self, request: Request, length: int) -> None:
        self._state = "body"
        self._request = request
        self._need = length
        self._parsed = True
        self._start_body()

    def _begin_chunks(self, request: Request, data: bytes) -> bytes:
        bytes_max = self._screened(request, 0, not data)
        if bytes_max is None:
            return b""
        self._state = "chunks"
        self._request = request
        self._chunks = framing.Chunks(bytes_max)
        self._start_body()
        return self._feed_chunks(data)

    def _start_body(self) -> None:
        self._got = 0
        self._body_since = self.door.wheel.now
        self._body_due()

    def _body_due(self) -> None:
        """A stall and a trickle both end: so long between two reads, and so long plus what the pace has earned."""
        limits = self.door.limits
        stall = self.door.wheel.now + limits.body_timeout_s
        trickle = self._body_since + limits.body_timeout_s + self._got / limits.body_bytes_per_s_min
        self.due = stall if stall < trickle else trickle

    def _screened(self, request: Request, length: int, ask: bool) -> int | None:
        """The body's bound in bytes; None when the request was refused before its body."""
        bytes_max = self.door.limits.body_bytes_max
        try:
            if self.door.screen is not None:
                bytes_max = min(bytes_max, self.door.screen(request))
            if length > bytes_max:
                raise framing.too_large(bytes_max)
            expect = request.headers.get(b"expect")
            if expect is not None and not request.http10:
                if expect.lower() != b"100-continue":
                    raise framing.refused(417, "expectation_failed", "Only the expectation 100-continue is understood.")
                if ask:
                    self.transport.write(_CONTINUE)
        except RuxaError as error:
            self._refuse(error, request)
            return None
        return bytes_max

    def _read_body(self, data: bytes) -> None:
        self._follow(self._take_body(data))

    def _read_chunks(self, data: bytes) -> None:
        self._got += len(data)
        self._body_due()
        self._follow(self._feed_chunks(data))

    def _follow(self, rest: bytes) -> None:
        """What came behind a body."""
        if rest and self._state == "ready":
            self._read(rest)
        elif rest and self._state == "busy":
            self._held = rest + self._held

    def _take_body(self, data: bytes) -> bytes:
        """More of the body; returns what follows it."""
        size = len(data)
        need = self._need
        pieces = self._pieces
        if size < need:
            if self._parsed:
                self._reader.skip(data)
            pieces.append(data)
            self._need = need - size
            self._got += size
            self._body_due()
            if len(pieces) > _PIECES_MAX:
                pieces[:] = [b"".join(pieces)]
            return b""
        rest = b""
        if size > need:
            data, rest = data[:need], data[need:]
        if self._parsed:
            self._reader.skip(data)
        pieces.append(data)
        request, self._request = self._request, None
        assert request is not None, "a body belongs to a request"
        request.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._serve(request)
        return rest

    def _feed_chunks(self, data: bytes) -> bytes:
        chunks, request = self._chunks, self._request
        assert chunks is not None, "chunks are fed while they are read"
        assert request is not None, "a body belongs to a request"
        try:
            rest = chunks.feed(data)
            size = len(chunks.body)
            if size > max(self._reserved, bounds.SMALL_BODY_BYTES) and not self._reserve(size):
                raise _overloaded()
        except RuxaError as error:
            self._refuse(error, request)
            return b""
        if rest is None:
            return b""
        self._chunks = self._request = None
        request.body = bytes(chunks.body)
        self._reader.renew()
        self._serve(request)
        return rest

    def _reserve(self, total: int) -> bool:
        """Of the door's common bound, so that many large bodies at once do not take all memory."""
        more = total - self._reserved
        if self.door.bodies_bytes + more > self.door.limits.bodies_bytes_max:
            return False
        self.door.bodies_bytes += more
        self._reserved = total
        return True

    def _release(self) -> None:
        self.door.bodies_bytes -= self._reserved
        self._reserved = 0

    # --- answering

    def _serve(self, request: Request) -> None:
        self._state = "busy"
        self.due = NEVER
        door = self.door
        reply = self._reply = Reply(self, request)
        try:
            door.serve(request, reply)
        except RuxaError as error:
            reply.fail(error)
        except Exception as error:  # noqa: BLE001 - one of the three edges that catch all
            door.broken(error)
            reply.fail(Broken("Something broke on our side."))

    def _refuse(self, error: RuxaError, request: Request | None = None) -> None:
        """Answer before the request was read to its end; what still comes is swallowed."""
        self._pieces.clear()
        self._chunks = self._request = None
        self._state = "busy"
        self._unread = True
        self.close_after()
        reply = self._reply = Reply(self, request)
        reply.fail(error)

    def close_after(self) -> None:
        """The pending answer is the connection's last."""
        self._last = True
        self.connection_header = b"connection: close\r\n"

    def answered(self) -> None:
        """The reply's call: everything was handed to the transport."""
        self._reply = None
        if self._reserved:
            self._release()
        if self._last:
            if self._unread or self._held or self._stopped:
                self._linger()
            else:
                self._close()
        elif self._choked:
            self._watch()
        else:
            self._ready()

    def _linger(self) -> None:
        # To close a socket with unread bytes resets it, and the caller may never see the answer.
        self._state = "linger"
        self._held = b""
        self._got = 0
        self.due = self.door.wheel.now + self.door.limits.linger_s
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._read_on()
        else:
            self._close()

    def _close(self) -> None:
        self._state = "closing"
        self.due = self.door.wheel.now + self.door.limits.send_timeout_s
        self.transport.close()

    def cut(self, *, ours: bool = False) -> None:
        """Close at once, dropping what was not sent; a pending reply learns that its caller is gone.

        ours: the caller is there and it is us who stop.
        """
        if ours and self._reply is not None:
            self._reply.cut = True
        self._leave()
        self.transport.abort()

    def aborted(self, *, reset: bool) -> None:
        """The reply's call: it gives up. ``reset``: its end could be taken for a complete answer's."""
        self._reply = None
        if reset:
            where = self.transport.get_extra_info("socket")
            if where is not None:
                where.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.cut()

    def drain(self) -> None:
        """No further request after the one that is being read or answered."""
        if self._state == "ready":
            self._close()
        elif self._state == "linger":
            self.cut()
        else:
            self.close_after()

    def _leave(self) -> None:
        self._state = "closing"
        self.due = self.door.wheel.now + self.door.limits.send_timeout_s
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.left()


def _overloaded() -> Unavailable:
    return Unavailable("Too many large requests at once; try again.", code="overloaded", retry_after_s=1)


def _files() -> int:
    """How many files this process may open, after it has raised its own limit as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * bounds.CONNECTIONS_MAX
    more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < more:
        resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
        soft = more
    return wanted if soft == resource.RLIM_INFINITY else soft


class Door:
    """The listener of one worker process."""

    def __init__(
        self,
        serve: Serve,
        render: Render,
        *,
        wheel: Wheel,
        sink: Sink,
        limits: DoorBounds | None = None,
        screen: Screen | None = None,
    ) -> None:
        self.serve = serve
        self.screen = screen
        self.wheel = wheel
        self.limits = limits or DoorBounds()
        self.connections_max = self.limits.connections_max
        self.small_bytes_max = min(bounds.SMALL_BODY_BYTES, self.limits.body_bytes_max)
        self.bodies_bytes = 0  # held by large bodies, of ``limits.bodies_bytes_max``
        self._render = render
        self._sink = sink
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._draining = False
        self._empty = asyncio.Event()

    async def start(
        self,
        host: str,
        port: int,
        *,
        reuse_port: bool = True,
        sockets: Sequence[socket.socket] = (),
        tls: ssl.SSLContext | None = None,
    ) -> int:
        """Listen on ``host``:``port``, or on ready ``sockets``; returns the port (chosen by the system when 0).

        Raises OSError when it is taken.
        """
        loop = asyncio.get_running_loop()
        self.wheel.start()
        # A call may need a file for its caller and one for its provider.
        self.connections_max = min(self.limits.connections_max, max(1, (_files() - 256) // 2))
        if sockets:
            self._server = await loop.create_server(lambda: _Connection(self), sock=sockets[0], backlog=1024, ssl=tls)
        else:
            self._server = await loop.create_server(
                lambda: _Connection(self), host, port, reuse_port=reuse_port, backlog=1024, ssl=tls
            )
        return int(self._server.sockets[0].getsockname()[1])

    async def drain(self, within_s: float = bounds.DRAIN_S) -> bool:
        """Stop accepting, close idle connections, let calls in flight end; True when all ended in time.

        What is left is cut (its ``on_gone`` is called).
        """
        self._draining = True
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.drain()
        try:
            async with asyncio.timeout(within_s):
                while self._connections:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            await self.close()
            return False
        return True

    async def close(self) -> None:
        """Stop at once."""
        self._draining = True
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.cut(ours=True)
        while self._connections:
            self._empty.clear()
            await self._empty.wait()

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._connections)

    @property
    def pending(self) -> int:
        """Requests that have no complete answer yet (being read or being answered)."""
        return sum(not connection.idle for connection in self._connections)

    # --- what its connections tell it

    def opened(self, connection: _Connection) -> None:
        """A caller connected; over the bound the longest idle ones make room, or it is turned away."""
        if len(self._connections) >= self.connections_max:
            idle = sorted((other for other in self._connections if other.idle), key=lambda other: other.due)
            for other in idle[: max(1, self.connections_max // 16)]:
                other.cut()
            if not idle:
                connection.transport.abort()
        self._connections.add(connection)
        self.wheel.watch(connection)
        if self._draining:
            connection.drain()

    def closed(self, connection: _Connection) -> None:
        """A connection is over."""
        self._connections.discard(connection)
        self.wheel.drop(connection)
        if not self._connections:
            self._empty.set()

    def rendered(self, error: RuxaError, request: Request | None) -> tuple[int, bytes, bytes]:
        """Status, header block and body of an error; a plain one when the renderer itself breaks."""
        try:
            return self._render(error, request)
        except Exception as broken:  # noqa: BLE001 - the renderer is the last one who may break
            self.broken(broken)
            shown = ids.text("req", ids.fresh()).encode()
            body = b'{"error":{"code":"internal_error","message":"Something broke on our side.","request_id":"%b"}}'
            return 500, b"content-type: application/json\r\nx-request-id: %b\r\n" % shown, body % shown

    def broken(self, error: Exception) -> None:
        """Tell a programmer's error: its type and place, never its text, which may hold a caller's data."""
        where = "unknown"
        frame = error.__traceback__
        while frame is not None:
            where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
            frame = frame.tb_next
        self._sink.emit("broken", "error", where=where, error=type(error).__name__)
