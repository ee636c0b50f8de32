"""The only listener: HTTP/1.1 (and 1.0) on sockets of our own; see `performance.md` for why it is not a framework.

Signatures first; the machinery follows.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ruxa.egress.timers import Wheel
from ruxa.kernel import bounds
from ruxa.kernel.errors import RuxaError
from ruxa.kernel.signals import Sink


class DoorBounds(msgspec.Struct, frozen=True, kw_only=True):
    """What one door tolerates; settings may lower ``body_bytes_max``, tests lower the time-outs."""

    body_bytes_max: int = bounds.BODY_BYTES_MAX
    header_bytes_max: int = bounds.HEADER_BYTES_MAX
    headers_max: int = bounds.HEADERS_MAX
    url_bytes_max: int = bounds.URL_BYTES_MAX
    header_timeout_s: float = bounds.HEADER_TIMEOUT_S
    body_timeout_s: float = bounds.BODY_TIMEOUT_S
    idle_timeout_s: float = bounds.IDLE_TIMEOUT_S


class Request:
    """One request, whole: the body has been read up to its bound before ``Serve`` is called.

    method: upper case; path: raw, percent-encoded as it came, without the query; query: raw, without ``?``;
    headers: lower-case names, repeated list headers joined by ``, ``, a repeated framing or credential header was
    refused; peer: the address of the socket's other end (not of X-Forwarded-For); secure: it came over TLS.
    """

    __slots__ = ("body", "headers", "http10", "method", "path", "peer", "query", "secure")

    method: bytes
    path: bytes
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes
    peer: str
    http10: bool
    secure: bool


class Reply:
    """Where the answer to one request goes. Every call after the caller has left is harmless and does nothing.

    ``headers`` is a ready block of ``name: value\\r\\n`` lines without framing (content-length, transfer-encoding,
    connection, date): the door adds those. HEAD, 204 and 304 carry no body whatever is written.
    """

    __slots__ = ("ended", "gone", "on_gone", "on_pause", "on_resume", "paused", "started")

    started: bool  # a status line went out
    ended: bool  # the answer is complete (or aborted)
    gone: bool  # the caller left before the end
    paused: bool  # the caller reads slower than we write; more writes only grow memory
    on_gone: Callable[[], None] | None  # called once, at the latest one tick after the caller left
    on_pause: Callable[[], None] | None
    on_resume: Callable[[], None] | None

    def send(self, status: int, headers: bytes, body: bytes = b"") -> None:
        """The whole answer at once."""
        raise NotImplementedError

    def start(self, status: int, headers: bytes, *, length: int | None = None) -> None:
        """Begin a streamed answer: chunked, or with ``content-length`` when its length in bytes is known."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Some bytes of the streamed body; empty data is ignored."""
        raise NotImplementedError

    def end(self) -> None:
        """The streamed body is complete."""
        raise NotImplementedError

    def abort(self) -> None:
        """Cut the connection, so that a caller can not take half an answer for a whole one."""
        raise NotImplementedError

    def fail(self, error: RuxaError) -> None:
        """The rendered error when nothing was sent yet, else ``abort``."""
        raise NotImplementedError


Serve = Callable[[Request, Reply], None]
"""Called on the loop once per request; must not block; may keep the reply and answer later (from its own task)."""

Render = Callable[[RuxaError, Request | None], tuple[int, bytes, bytes]]
"""Error -> (status, header block, body) in the dialect of the request's path; None: no request could be read."""

Screen = Callable[[Request], int]
"""Called with the head of a request whose body has not arrived yet: returns the body's bound in bytes, or raises a
RuxaError to refuse it before a byte of the body is read (unknown key, unknown path)."""


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
        raise NotImplementedError

    async def start(self, host: str, port: int, *, reuse_port: bool = True) -> int:
        """Listen; returns the port (chosen by the system when 0). Raises OSError when it is taken."""
        raise NotImplementedError

    async def drain(self, within_s: float = bounds.DRAIN_S) -> bool:
        """Stop accepting, close idle connections, let calls in flight end; True when all ended in time.

        What is left is cut (its ``on_gone`` is called).
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Stop at once."""
        raise NotImplementedError

    @property
    def connections(self) -> int:
        """Open connections."""
        raise NotImplementedError

    @property
    def pending(self) -> int:
        """Requests that have no complete answer yet."""
        raise NotImplementedError
