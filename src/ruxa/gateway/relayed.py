"""Relayed: every path that is not the gateway's own goes to the console process over a unix socket, and back untouched.

What a caller says about itself in ``X-Forwarded-*`` counts only from a trusted proxy; else it is replaced by what the
socket knows. Hop-by-hop headers end here, in both directions.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Container
from typing import Protocol

from ruxa.egress.http import REPEATED, Answer, Deadlines, Origin, Pool, Upstream
from ruxa.gateway.door import Reply
from ruxa.gateway.framing import Request, refused
from ruxa.kernel.errors import RuxaError, Unavailable, UpstreamError

# Each belongs to one connection, or is written anew by this side's own framing.
HOP = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
FORWARDED = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto", b"x-real-ip"}
)
# A caller that names its own request could give two of them one id, and make a log tell the wrong story.
_OURS = frozenset({b"x-request-id"})
DROPPED_FROM_ANSWER = frozenset({b"date", b"server"}) | HOP

DEADLINES = Deadlines(connect_s=2, first_byte_s=120, between_s=120, whole_s=600)
# Looking whether pages come: what a balancer asks every few seconds must not wait long.
_PROBE = Deadlines(connect_s=1, first_byte_s=3, between_s=3, whole_s=4)
_PAGE = b"GET /sign-in HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n"
_HOST = re.compile(rb"[A-Za-z0-9._\-]+(:[0-9]{1,5})?\Z|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?\Z")


def caller_address(request: Request, trusted: Container[str]) -> str:
    """Who calls: the socket's other end, or, when that is a trusted proxy, the last address before the trusted ones."""
    address = request.peer
    hops = request.headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")
    while address in trusted and hops:
        try:
            address = str(ipaddress.ip_address(hops.pop().strip()))
        except ValueError:
            break
    return address


def caller_scheme(request: Request, trusted: Container[str]) -> str:
    """``https`` or ``http``, as the caller used it."""
    if request.peer in trusted:
        said = request.headers.get(b"x-forwarded-proto", b"").lower()
        if said in (b"http", b"https"):
            return said.decode()
    return "https" if request.secure else "http"


class Console(Protocol):
    """What takes every path that is not the gateway's; ``ConsoleRelay`` is one."""

    def __call__(self, request: Request, reply: Reply) -> None:
        """Answer the request."""
        ...

    async def answers(self) -> bool:
        """Whether its pages come."""
        ...


class ConsoleRelay:
    """The console process behind the door: ``relay(request, reply)`` is a ``Serve``."""

    def __init__(self, pool: Pool, socket_path: str, trusted_proxies: Container[str] = ()) -> None:
        self._upstream: Upstream = pool.upstream(Origin(host="console", port=0, tls=False, path=socket_path))
        self._trusted = trusted_proxies

    def __call__(self, request: Request, reply: Reply) -> None:
        """Relay one request; an answer that can not be had is a 503 of the caller's renderer."""
        try:
            head = self._head(request)
        except RuxaError as error:
            reply.fail(error)
            return
        answer = self._upstream.ask(head, (request.body,) if request.body else (), DEADLINES)
        passing = _Passing(answer, reply)
        answer.on_head = passing.on_head
        answer.on_data = reply.write
        answer.on_end = reply.end
        answer.on_error = passing.on_error
        reply.on_gone = answer.cancel
        reply.on_pause = answer.pause
        reply.on_resume = answer.resume

    async def answers(self) -> bool:
        """Whether a page comes when it is asked for; what it says is another matter."""
        answer = self._upstream.ask(_PAGE, (), _PROBE)
        try:
            return await answer.head() < 500
        except UpstreamError:
            return False
        finally:
            answer.cancel()

    def _head(self, request: Request) -> bytes:
        headers = request.headers
        host = headers.get(b"host", b"localhost")
        if not _HOST.match(host):
            raise refused(400, "malformed_request", "The host header is malformed.")
        if request.path.find(b"#") >= 0 or request.query.find(b"#") >= 0:
            raise refused(400, "malformed_url", "The URL is not understood.")
        target = request.path + (b"?" + request.query if request.query else b"")
        dropped = HOP | FORWARDED | _OURS | _named(headers)
        lines = [b"%b %b HTTP/1.1" % (request.method, target), b"host: " + host]
        lines += [name + b": " + value for name, value in headers.items() if name not in dropped]
        lines.append(b"x-forwarded-for: " + caller_address(request, self._trusted).encode("latin-1"))
        lines.append(b"x-forwarded-proto: " + caller_scheme(request, self._trusted).encode())
        return b"\r\n".join([*lines, b""])


def _named(headers: dict[bytes, bytes]) -> frozenset[bytes]:
    """The headers that ``connection`` declares to be for one hop."""
    said = headers.get(b"connection")
    return frozenset(word.strip() for word in said.lower().split(b",")) if said is not None else frozenset()


class _Passing:
    __slots__ = ("_answer", "_reply")

    def __init__(self, answer: Answer, reply: Reply) -> None:
        self._answer = answer
        self._reply = reply

    def on_head(self) -> None:
        headers = self._answer.headers
        dropped = DROPPED_FROM_ANSWER | _named(headers)
        lines = [
            b"%b: %b\r\n" % (name, part)
            for name, value in headers.items()
            if name not in dropped
            for part in value.split(REPEATED)
        ]
        length = headers.get(b"content-length")
        self._reply.start(self._answer.status, b"".join(lines), length=None if length is None else int(length))

    def on_error(self, error: UpstreamError) -> None:
        self._reply.fail(
            Unavailable("The console is starting or stopping; try again.", code="console_away", detail=error.code)
        )
