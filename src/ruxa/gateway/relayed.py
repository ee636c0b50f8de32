"""Relayed: every path that is not the gateway's own goes to the console process over a unix socket, and back untouched.

What a caller says about itself in ``X-Forwarded-*`` counts only from a trusted proxy; else it is replaced by what the
socket knows.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from ruxa.egress.http import Answer, Deadlines, Origin, Pool, Upstream
from ruxa.gateway.door import Reply, Request
from ruxa.kernel.errors import Unavailable, UpstreamError

HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
        b"expect",
        b"host",
    }
)
FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip"})
DEADLINES = Deadlines(connect_s=2, first_byte_s=120, between_s=120, whole_s=600)


class ConsoleRelay:
    """The console process behind the door."""

    def __init__(self, pool: Pool, socket_path: str, trusted_proxies: Container[str] = ()) -> None:
        self._upstream: Upstream = pool.upstream(Origin(host="console", port=0, tls=False, path=socket_path))
        self._trusted = trusted_proxies

    def __call__(self, request: Request, reply: Reply) -> None:
        """Relay one request."""
        answer = self._upstream.ask(self._head(request), (request.body,) if request.body else (), DEADLINES)
        passing = _Passing(answer, reply)
        answer.on_head = passing.on_head
        answer.on_data = passing.on_data
        answer.on_end = passing.on_end
        answer.on_error = passing.on_error
        reply.on_gone = answer.cancel
        reply.on_pause = answer.pause
        reply.on_resume = answer.resume

    def _head(self, request: Request) -> bytes:
        target = request.path + (b"?" + request.query if request.query else b"")
        headers = request.headers
        lines = [b"%b %b HTTP/1.1" % (request.method, target), b"host: " + headers.get(b"host", b"localhost")]
        trusted = request.peer in self._trusted
        for name, value in headers.items():
            if name not in HOP and (trusted or name not in FORWARDED):
                lines.append(name + b": " + value)
        if not trusted or b"x-forwarded-for" not in headers:
            lines.append(b"x-forwarded-for: " + request.peer.encode())
        if not trusted or b"x-forwarded-proto" not in headers:
            lines.append(b"x-forwarded-proto: " + (b"https" if request.secure else b"http"))
        return b"\r\n".join([*lines, b""])


class _Passing:
    __slots__ = ("_answer", "_reply")

    def __init__(self, answer: Answer, reply: Reply) -> None:
        self._answer = answer
        self._reply = reply

    def on_head(self) -> None:
        answer = self._answer
        lines = b""
        length: int | None = None
        for name, value in answer.headers.items():
            if name == b"content-length":
                length = int(value)
            elif name not in HOP and name != b"date":
                # A repeated header (set-cookie) arrives joined by the parser's own separator.
                for part in value.split(b"\0"):
                    lines += name + b": " + part + b"\r\n"
        self._reply.start(answer.status, lines, length=length)

    def on_data(self, data: bytes) -> None:
        self._reply.write(data)

    def on_end(self) -> None:
        self._reply.end()

    def on_error(self, error: UpstreamError) -> None:
        self._reply.fail(
            Unavailable("The console is starting or stopping; try again.", code="console_away", detail=error.code)
        )


Relay = Callable[[Request, Reply], None]
