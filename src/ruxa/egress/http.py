"""The only outbound HTTP client: a pool of our own on httptools and the loop's sockets.

Why our own: only it knows for certain whether a request had left before a failure (so that a repeat is safe,
decision D15), can refuse a destination before it is dialled, and can cancel at once. Answers are pushed by callbacks
from the socket; nothing runs per call but what the caller awaits. It never follows a redirect.
"""

from __future__ import annotations

import asyncio
import re
import select
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, cast

import httptools
import msgspec

from ruxa.egress import guard
from ruxa.egress.recipient import Register
from ruxa.egress.timers import NEVER, Wheel
from ruxa.kernel import bounds
from ruxa.kernel.errors import NoUpstream, RuxaError, UpstreamBroken, UpstreamError, UpstreamTimeout

Sent = Literal["none", "some", "all"]

_JOIN_BYTES_MAX = 16 * 1024  # a body up to here is copied behind its head: one buffer is cheaper than two
_KEPT_BYTES_MAX = 256 * 1024  # read ahead while nobody said what to do with the body
_FRESH_S = 0.5  # a kept connection younger than this is trusted without asking the system
_RAW_MAX = 4 * bounds.HEADERS_MAX
REPEATED = b"\0"  # between the values of a repeated header of a unix socket's upstream; no value can hold it
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_TARGET = re.compile(r"/[\x21-\x7e]*\Z")
_VALUE = re.compile(r"[\t\x20-\x7e]*\Z")
_KEEP_ALIVE = re.compile(rb"timeout=(\d{1,9})")
_SAFE_TO_REPEAT = (b"GET ", b"HEAD", b"OPTI")


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: to connect (with TLS), to the first byte of the answer, between its bytes, for the whole call."""

    connect_s: float = bounds.CONNECT_TIMEOUT_S
    first_byte_s: float = bounds.FIRST_TOKEN_TIMEOUT_S
    between_s: float = bounds.BETWEEN_TOKENS_TIMEOUT_S
    whole_s: float = bounds.CALL_TIMEOUT_S


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where to: ``host`` and ``port``, over TLS or plain; or a unix socket ``path`` (our own console process).

    guarded: the URL came from a customer, so only global unicast addresses are dialled (decision D8).
    recipient: whose sends are counted, by its name in the register; two at one place share no connection. "" for those
    that are not counted here.
    """

    host: str
    port: int
    tls: bool = True
    path: str | None = None
    guarded: bool = False
    recipient: str = ""

    @property
    def authority(self) -> str:
        """The value of ``host``: without the port when it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


DEADLINES = Deadlines()


class Answer:
    """What an upstream says to one request, as it comes.

    Await ``head()``, then either ``body()`` (whole) or ``stream(on_data)`` + ``end()``; or set the callbacks
    ``on_head``, ``on_data``, ``on_end``, ``on_error`` right after ``ask`` and await nothing. ``on_first`` comes with
    the head: with the body too when one read brought all of the answer (then nothing else is called), else with None,
    and may set the others. Bytes that arrive before anybody asked are kept and delivered in order. A failure raises
    (or is handed to ``on_error``) one of
    UpstreamTimeout, UpstreamBroken, NoUpstream; then ``sent`` and ``answered`` say what is known. To cancel a waiting
    task does not cancel the call: whoever gives up calls ``cancel()``.

    status: 0 until the head is there; reused: the connection had served a call before; answered: a byte of the
    answer was read; done: complete, failed or cancelled; sent: how much of the request's body was handed to the
    system: ``none`` is certain, ``some`` and ``all`` are no promise that it arrived, and a request without a body is
    ``all`` as soon as its head is out.
    """

    __slots__ = (
        "_deadlines",
        "_dial",
        "_head",
        "_headers",
        "_kept",
        "_kept_bytes",
        "_link",
        "_mode",
        "_pieces",
        "_raw",
        "_upstream",
        "_waiter",
        "answered",
        "bytes_max",
        "cancelled",
        "done",
        "error",
        "on_data",
        "on_end",
        "on_error",
        "on_first",
        "on_head",
        "reused",
        "sent",
        "status",
        "whole_due",
    )

    def __init__(
        self,
        upstream: Upstream,
        head: bytes,
        pieces: Sequence[bytes | memoryview],
        deadlines: Deadlines,
        whole_due: float,
    ) -> None:
        self._upstream = upstream
        self._head = head
        self._pieces = pieces
        self._deadlines = deadlines
        self.whole_due = whole_due
        self.bytes_max: int = bounds.ANSWER_BYTES_MAX
        self.status: int = 0
        self.sent: Sent = "none"
        self.reused: bool = False
        self.answered: bool = False
        self.done: bool = False
        self.cancelled: bool = False
        self.error: UpstreamError | None = None
        self.on_head: Callable[[], None] | None = None
        self.on_data: Callable[[bytes], None] | None = None
        self.on_end: Callable[[], None] | None = None
        self.on_error: Callable[[UpstreamError], None] | None = None
        self.on_first: Callable[[bytes | None], None] | None = None
        self._raw: dict[bytes, bytes] | None = None
        self._headers: dict[bytes, bytes] | None = None
        self._link: _Link | None = None
        self._dial: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._mode: Literal["", "whole", "stream"] = ""
        self._kept: bytes | list[bytes] = b""
        self._kept_bytes: int = 0

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Names in lower case; empty until the head is there. Made when first asked for."""
        if self._headers is None:
            raw = self._raw
            if raw is None:
                return {}
            self._headers = {name.lower(): value.rstrip() for name, value in raw.items()}
        return self._headers

    def content_type(self) -> bytes | None:
        """The value of that header; None while the head is not there, or without one."""
        raw = self._raw
        if raw is None:
            return None
        value = raw.get(b"Content-Type") or raw.get(b"content-type") or self.headers.get(b"content-type")
        return None if value is None else value.rstrip()

    # --- waiting

    async def head(self) -> int:
        """Wait for status and headers; returns the status."""
        while not self.status:
            await self._wait()
        return self.status

    async def body(self) -> bytes:
        """Wait for the whole (rest of the) body; UpstreamBroken when it is longer than ``bytes_max``."""
        self._mode = "whole"
        self._go_on()
        while not self.done or self.error is not None or self.cancelled:
            await self._wait()
        return self._taken()

    def _taken(self) -> bytes:
        kept, self._kept, self._kept_bytes = self._kept, b"", 0
        return kept if isinstance(kept, bytes) else b"".join(kept)

    def stream(self, on_data: Callable[[bytes], None]) -> None:
        """From now on each piece of the body is handed to ``on_data`` on the loop; what came already goes first."""
        self._mode = "stream"
        kept = self._taken()
        if kept:
            on_data(kept)
        if not self.done:
            self.on_data = on_data
        self._go_on()

    async def end(self) -> None:
        """Wait until the streamed body is complete; every ``on_data`` has been called before it returns."""
        while not self.done or self.error is not None or self.cancelled:
            await self._wait()

    async def _wait(self) -> None:
        if self.error is not None:
            raise self.error
        if self.cancelled:
            raise asyncio.CancelledError
        assert self._waiter is None, "one coroutine waits for an answer at a time"
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- steering

    def pause(self) -> None:
        """Stop reading (the caller is slow); the time does not count as ``between_s``."""
        if self._link is not None:
            self._link.pause()

    def resume(self) -> None:
        """Read on."""
        if self._link is not None:
            self._link.resume()

    def _go_on(self) -> None:
        if self._link is not None:
            self._link.resume()

    def cancel(self) -> None:
        """Close the connection at once; a waiting coroutine gets asyncio.CancelledError, no callback is called."""
        if self.done:
            return
        self.done = self.cancelled = True
        self._forget()
        if self._dial is not None:
            self._dial.cancel()
        link, self._link = self._link, None
        if link is not None:
            link.cut()
        self._wake()

    def _forget(self) -> None:
        self.on_head = self.on_data = self.on_end = self.on_error = self.on_first = None
        self._pieces = ()

    # --- what the connection tells it

    def send_on(self, link: _Link, *, reused: bool) -> None:
        """Write the request on a connection."""
        self._link = link
        self.reused = reused
        head = self._head
        pieces = self._pieces
        size = sum(map(len, pieces))
        if not size and head[:4] in _SAFE_TO_REPEAT:
            link.transport.write(head + b"\r\n")
        elif size <= _JOIN_BYTES_MAX:
            link.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, size, b"".join(pieces)))
        else:
            link.transport.writelines((head, b"content-length: %d\r\n\r\n" % size, *pieces))
        self.sent = "all"
        link.begin(self, self._deadlines, head[:5] == b"HEAD ")

    @property
    def connect_s(self) -> float:
        """How long a connection may take, in seconds."""
        return min(self._deadlines.connect_s, self._deadlines.whole_s)

    def dialling(self, task: asyncio.Task[None]) -> None:
        """The connection for it is being made."""
        self._dial = task

    def lost(self, unsent: int) -> bool:
        """The connection died under it; ``unsent`` bytes never left. True when it may be sent again without anybody
        noticing: nothing was answered, and no byte of a body was written or the method changes nothing."""
        body_bytes = sum(len(piece) for piece in self._pieces)
        if unsent:
            self.sent = "none" if unsent >= body_bytes and body_bytes else "some"
        self._link = None
        if self.answered or not self.reused:
            return False
        return self.sent == "none" or (not body_bytes and self._head[:4] in _SAFE_TO_REPEAT)

    def whole(self, status: int, raw: dict[bytes, bytes], body: bytes) -> None:
        """One read of the socket brought all of it."""
        on_first = self.on_first
        if on_first is None:
            self.heard(status, raw, body, True)
            return
        self.status = status
        self._raw = raw
        self.done = True
        self._link = self.on_first = self.on_error = None
        self._pieces = ()
        on_first(body)

    def heard(self, status: int, raw: dict[bytes, bytes] | None, body: bytes, complete: bool) -> None:
        """What one read of the socket brought: perhaps the head (``raw``), some of the body, the end."""
        if complete:
            self._link = None
        if raw is not None:
            self.status = status
            self._raw = raw
            on_first, self.on_first = self.on_first, None
            if on_first is not None:
                on_first(None)
            if self.on_head is not None:
                self.on_head()
        if body and not self.done:
            if self.on_data is not None:
                self.on_data(body)
            else:
                self._keep(body)
        if self.done:
            return
        if complete:
            self.done = True
            end = self.on_end
            self._forget()
            if end is not None:
                end()
        elif raw is None:
            return
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _keep(self, data: bytes) -> None:
        kept = self._kept
        if not kept:
            self._kept = data
        elif isinstance(kept, list):
            kept.append(data)
        else:
            self._kept = [kept, data]
        self._kept_bytes += len(data)
        if self._mode == "whole":
            if self._kept_bytes > self.bytes_max:
                self.fail(UpstreamBroken("The provider's answer is too large.", code="answer_too_large"))
        elif self._kept_bytes > _KEPT_BYTES_MAX:
            self.pause()

    def fail(self, error: UpstreamError) -> None:
        """It will not come."""
        if self.done:
            return
        self.done = True
        self.error = error
        link, self._link = self._link, None
        if link is not None:
            link.cut()
        on_error = self.on_error
        self._forget()
        if on_error is not None:
            on_error(error)
        self._wake()


class _Link(asyncio.Protocol):
    """One connection to an upstream: idle, or under one answer. The parser calls C functions for headers and body."""

    __slots__ = (
        "_answer",
        "_between_s",
        "_bodiless",
        "_complete",
        "_head_bytes",
        "_headers",
        "_keep",
        "_kept_alive_s",
        "_parser",
        "_paused",
        "_pieces",
        "_raw",
        "_status",
        "_upstream",
        "_whole_due",
        "due",
        "on_body",
        "on_header",
        "since",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._answer: Answer | None = None
        self._raw: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        # A provider's repeated header is of no use; the console's cookies are passed on, each.
        self.on_header: Callable[[bytes, bytes], None] = (
            self._raw.__setitem__ if upstream.origin.path is None else self._header
        )
        self.on_body = self._pieces.append
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] | None = None
        self._status = 0
        self._head_bytes = 0
        self._bodiless = False
        self._complete = False
        self._keep = True
        self._paused = False
        self._between_s = 0.0
        self._kept_alive_s: float = bounds.IDLE_UPSTREAM_S
        self._whole_due = NEVER
        self.since = 0.0
        self.due = NEVER

    # --- the socket's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._upstream.opened(self)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            self.cut()  # nobody asked
            return
        answer.answered = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._complete:
                answer.fail(UpstreamBroken("The provider's answer is not HTTP.", code="answer_malformed"))
                return
            self._keep = False  # something follows the answer: it is complete, the connection is not to be trusted
        pieces = self._pieces
        body = b""
        if pieces:
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
        raw = self._headers
        if raw is not None:
            self._headers = None
            if self._head_bytes + len(data) > bounds.HEADER_BYTES_MAX and _size(raw) > bounds.HEADER_BYTES_MAX:
                answer.fail(_headers_too_large())
                return
            self._head_bytes = 0
        elif not body:
            # An unfinished head, interim answers, trailers: none of them may go on for ever.
            self._head_bytes += len(data)
            if self._head_bytes > bounds.HEADER_BYTES_MAX or len(self._raw) > _RAW_MAX:
                answer.fail(_headers_too_large())
                return
        if self._complete:
            self._answer = None
            self._free()
            if raw is None:
                answer.heard(self._status, None, body, True)
            else:
                answer.whole(self._status, raw, body)
            return
        due = self._upstream.wheel.now + self._between_s
        self.due = due if due < self._whole_due and not self._paused else self._whole_due
        on_data = answer.on_data
        if raw is None and body and on_data is not None:
            on_data(body)  # what most reads of a stream are: nobody else waits for it
        else:
            answer.heard(self._status, raw, body, False)

    def eof_received(self) -> None:
        answer = self._answer
        if answer is None:
            return
        if _until_close(answer):
            self._keep = False
            self._answer = None
            self._free()
            answer.heard(self._status, None, b"", True)
        else:
            self._lose(self.transport.get_write_buffer_size())

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.closed(self)
        if self._answer is not None:
            self._lose(0)
        # Undo the cycles with the parser, so that no collector is needed.
        del self._parser, self.on_header, self.on_body

    # --- the parser's callbacks

    def _header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        held = self._raw.get(name)
        self._raw[name] = value if held is None else held + REPEATED + value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        raw = self._raw
        if status < 200:
            raw.clear()
            if status == 101:
                raise ValueError("101")
            return
        coding = raw.get(b"Transfer-Encoding") or raw.get(b"transfer-encoding")
        if coding is not None and coding.lower() != b"chunked":
            raise ValueError("transfer coding")
        said = raw.get(b"Keep-Alive") or raw.get(b"keep-alive")
        if said is not None:
            self._kept_alive_s = _kept_alive_s(said)
        self._status = status
        self._headers = raw.copy()
        raw.clear()
        self._keep = self._parser.should_keep_alive()
        if self._bodiless:
            self._complete = True
            self._keep = False  # the parser waits for a body that a HEAD's answer does not have

    def on_message_complete(self) -> None:
        if self._status:
            self._complete = True

    # --- one call

    def begin(self, answer: Answer, deadlines: Deadlines, bodiless: bool) -> None:
        """The request was written; wait for its answer, which has no body if ``bodiless``."""
        self._answer = answer
        self._bodiless = bodiless
        self._status = self._head_bytes = 0
        self._complete = self._paused = False
        self._between_s = deadlines.between_s
        whole_due = self._whole_due = answer.whole_due
        due = self._upstream.wheel.now + deadlines.first_byte_s
        self.due = due if due < whole_due else whole_due

    def _free(self) -> None:
        """The answer is complete: the connection takes the next call, or ends."""
        self._raw.clear()  # trailers
        transport = self.transport
        if self._paused:
            self._paused = False
            transport.resume_reading()
        if self._keep and not transport.is_closing() and not transport.get_write_buffer_size():
            self._upstream.release(self, self._kept_alive_s)
        else:
            transport.close()

    def _lose(self, unsent: int) -> None:
        answer, self._answer = self._answer, None
        assert answer is not None, "only a call can be lost"
        self.transport.abort()
        if answer.lost(unsent):
            self._upstream.dial(answer)
        elif answer.answered:
            answer.fail(UpstreamBroken("The provider's answer broke off.", code="answer_cut"))
        elif answer.sent == "none":
            answer.fail(UpstreamBroken("The connection to the provider was lost.", code="connection_lost"))
        else:
            answer.fail(
                UpstreamBroken("The provider hung up; whether it did the work is unknown.", code="outcome_unknown")
            )

    def pause(self) -> None:
        """Stop reading; only the whole call's deadline runs on."""
        if not self._paused and self._answer is not None and not self.transport.is_closing():
            self._paused = True
            self.due = self._whole_due
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self.due = min(self._upstream.wheel.now + self._between_s, self._whole_due)
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def lose(self) -> None:
        """Close at once; a call under way fails."""
        answer = self._answer
        if answer is not None:
            answer.fail(UpstreamBroken("The connection to the provider was closed.", code="connection_closed"))
        else:
            self.cut()

    def cut(self) -> None:
        """Close at once."""
        self._answer = None
        self._upstream.closed(self)
        self.transport.abort()

    def alive(self) -> bool:
        """Whether an idle connection may take a call: not closed by the other side as far as the system knows."""
        if self.transport.is_closing():
            return False
        where = self.transport.get_extra_info("socket")
        if where is None:
            return True
        asked = select.poll()
        asked.register(where.fileno(), select.POLLIN)
        return not asked.poll(0)

    def expire(self) -> None:
        """The sweep: an idle connection is too old, or the upstream too slow."""
        answer = self._answer
        if answer is None:
            self.cut()
        elif self._upstream.wheel.now >= self._whole_due:
            answer.fail(UpstreamTimeout("The call took too long.", code="call_timeout"))
        elif not answer.answered:
            answer.fail(UpstreamTimeout("The provider did not answer in time.", code="first_byte_timeout"))
        else:
            answer.fail(UpstreamTimeout("The provider stopped answering.", code="between_timeout"))


def _size(headers: dict[bytes, bytes]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers.items())


def _headers_too_large() -> UpstreamBroken:
    return UpstreamBroken("The provider's answer has too large headers.", code="answer_malformed")


def _kept_alive_s(said: bytes) -> float:
    """How long the other side says that it keeps an idle connection, less a second for the way."""
    found = _KEEP_ALIVE.search(said)
    return min(float(int(found[1]) - 1), bounds.IDLE_UPSTREAM_S) if found is not None else bounds.IDLE_UPSTREAM_S


def _until_close(answer: Answer) -> bool:
    headers = answer.headers
    return bool(answer.status) and b"content-length" not in headers and b"transfer-encoding" not in headers


class Upstream:
    """One destination and its kept connections, the last used one first."""

    def __init__(self, pool: Pool, origin: Origin) -> None:
        self.origin = origin
        self.wheel = pool.wheel
        self.asked = 0  # requests since they were counted last; ``stand_ins``: those with a stand-in for an identity
        self.stand_ins = 0
        self._pool = pool
        self._links: set[_Link] = set()
        self._idle: list[_Link] = []
        self._dials: set[asyncio.Task[None]] = set()
        self._addresses: list[str] = []
        self._addresses_until = 0.0

    @property
    def connections(self) -> int:
        """Open connections, idle or not."""
        return len(self._links)

    @property
    def idle(self) -> int:
        """Connections that wait for a call."""
        return len(self._idle)

    def head(self, method: str, target: str, headers: Mapping[str, str]) -> bytes:
        """Request line, ``host`` and headers, each with CRLF, without framing and blank line; build once, keep.

        Raises ValueError on a character that would split the request.
        """
        if not _TOKEN.match(method) or not _TARGET.match(target):
            raise ValueError("method or target is not a request line's")
        lines = [f"{method} {target} HTTP/1.1", f"host: {self.origin.authority}"]
        for name, value in headers.items():
            if not _TOKEN.match(name) or not _VALUE.match(value):
                raise ValueError(f"header {name!r} is malformed")
            lines.append(f"{name}: {value}")
        return "\r\n".join([*lines, ""]).encode("ascii")

    def ask(
        self,
        head: bytes,
        pieces: Sequence[bytes | memoryview] = (),
        deadlines: Deadlines = DEADLINES,
    ) -> Answer:
        """Send now, or as soon as a connection stands. Never raises for the network; the Answer does.

        ``head`` is made by ``head()``; the pieces are the body, written as they are and not copied when large.
        """
        self.asked += 1
        now = self.wheel.now
        answer = Answer(self, head, pieces, deadlines, now + deadlines.whole_s)
        idle = self._idle
        while idle:
            link = idle.pop()
            if (now - link.since < _FRESH_S and not link.transport.is_closing()) or link.alive():
                answer.send_on(link, reused=True)
                return answer
            link.cut()
        self.dial(answer)
        return answer

    def dial(self, answer: Answer) -> None:
        """Make a new connection for it."""
        task = asyncio.get_running_loop().create_task(self._connect(answer))
        answer.dialling(task)
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _connect(self, answer: Answer) -> None:
        try:
            if self._pool.closed:
                raise NoUpstream("This process is stopping.", code="pool_closed")
            if len(self._links) + len(self._dials) > bounds.UPSTREAM_CONNECTIONS_MAX:
                raise NoUpstream("Too many calls to this provider at once.", code="connections_exhausted")
            async with asyncio.timeout(answer.connect_s):
                link = await self._link(answer.connect_s)
        except TimeoutError:
            answer.fail(UpstreamTimeout("The provider could not be reached in time.", code="connect_timeout"))
        except ssl.SSLError as error:
            answer.fail(
                NoUpstream("No secure connection to the provider.", code="tls_failed", detail=str(error.reason))
            )
        except OSError as error:
            answer.fail(
                NoUpstream("The provider can not be reached.", code="connect_failed", detail=f"errno={error.errno}")
            )
        except UpstreamError as error:
            answer.fail(error)
        except RuxaError as error:
            answer.fail(NoUpstream(error.public, code=error.code, detail=error.detail))
        else:
            if answer.done:
                self.release(link)
            else:
                answer.send_on(link, reused=False)

    async def _link(self, connect_s: float) -> _Link:
        loop = asyncio.get_running_loop()
        origin = self.origin
        if origin.path is not None:
            _, link = await loop.create_unix_connection(lambda: _Link(self), origin.path)
            return link
        self._pool.register.check(origin.host, origin.port)
        addresses = await self._resolved()
        trust = self._pool.trust() if origin.tls else None
        failed: OSError | None = None
        for address in addresses:
            # One address that swallows packets must not eat the time of the next.
            share_s = max(connect_s / len(addresses), min(connect_s, 1.0))
            try:
                async with asyncio.timeout(share_s):
                    _, link = await loop.create_connection(
                        lambda: _Link(self),
                        address,
                        origin.port,
                        ssl=trust,
                        server_hostname=origin.host if trust is not None else None,
                    )
                return link
            except ssl.SSLError:
                raise
            except OSError as error:
                failed = error
        self._addresses_until = 0.0
        assert failed is not None, "a name that resolves has an address"
        raise failed

    async def _resolved(self) -> list[str]:
        """Addresses of the host; a guarded one is resolved for every dial, so that what was checked is dialled."""
        origin = self.origin
        if origin.guarded or self.wheel.now >= self._addresses_until:
            self._addresses = await guard.resolve(
                origin.host, origin.port, guarded=origin.guarded, allow_loopback=self._pool.allow_loopback
            )
            self._addresses_until = self.wheel.now + bounds.RESOLVED_S
        return self._addresses

    # --- what its connections tell it

    def opened(self, link: _Link) -> None:
        """A connection stands."""
        self._links.add(link)
        self.wheel.watch(link)

    def release(self, link: _Link, keep_s: float = bounds.IDLE_UPSTREAM_S) -> None:
        """A connection is free: keep it for the next call."""
        if len(self._idle) >= bounds.IDLE_UPSTREAM_CONNECTIONS or self._pool.closed:
            link.cut()
            return
        link.since = self.wheel.now
        link.due = link.since + keep_s
        self._idle.append(link)

    def closed(self, link: _Link) -> None:
        """A connection is over; told twice is fine."""
        if link in self._links:
            self._links.discard(link)
            self.wheel.drop(link)
            if link in self._idle:
                self._idle.remove(link)

    def close(self) -> None:
        """Close every connection; calls under way fail."""
        for task in list(self._dials):
            task.cancel()
        for link in list(self._links):
            link.lose()


class Pool:
    """Every upstream of the process; the only maker of outgoing HTTP connections."""

    def __init__(
        self,
        register: Register,
        *,
        wheel: Wheel,
        trust: ssl.SSLContext | None = None,
        allow_loopback: bool = False,
    ) -> None:
        """trust: another certificate store than the system's (a private CA); allow_loopback: guarded origins may be
        loopback, in development only."""
        self.register = register
        self.wheel = wheel
        self.allow_loopback = allow_loopback
        self.closed = False
        self._trust = trust
        self._upstreams: dict[Origin, Upstream] = {}

    def upstream(self, origin: Origin) -> Upstream:
        """The upstream of that origin, made on first use. Raises NoUpstream (``egress_refused``) when the
        destination is not in the register."""
        found = self._upstreams.get(origin)
        if found is None:
            if origin.path is None:
                self.register.check(origin.host, origin.port)
            self.wheel.start()
            found = self._upstreams[origin] = Upstream(self, origin)
        return found

    def count(self, content: str, stand_in: str) -> None:
        """Put what named recipients were asked since the last time into the register's tally, under these two."""
        for origin, upstream in self._upstreams.items():
            if origin.recipient:
                self.register.tally.add(origin.recipient, origin.host, content, upstream.asked)
                self.register.tally.add(origin.recipient, origin.host, stand_in, upstream.stand_ins)
            upstream.asked = upstream.stand_ins = 0

    def trust(self) -> ssl.SSLContext:
        """The certificates that are believed, TLS 1.2 at least, HTTP/1.1 by ALPN."""
        if self._trust is None:
            self._trust = ssl.create_default_context()
            self._trust.set_alpn_protocols(["http/1.1"])
        return self._trust

    async def close(self) -> None:
        """Close every connection; calls under way fail with UpstreamBroken."""
        self.closed = True
        for upstream in self._upstreams.values():
            upstream.close()
        await asyncio.sleep(0)
