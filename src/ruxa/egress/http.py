"""The only outbound HTTP client: a pool of our own on httptools and the loop's sockets.

Why our own: only it knows for certain whether a request had left before a failure (so that a repeat is safe,
decision D15), can refuse a destination before it is dialled, and can cancel at once. It never follows a redirect.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from ruxa.egress.recipient import Register
from ruxa.egress.timers import Wheel
from ruxa.kernel import bounds
from ruxa.kernel.errors import UpstreamError
from ruxa.kernel.signals import Sink

Sent = Literal["none", "some", "all"]


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: to connect (with TLS), to the first byte of the answer, between its bytes, for the whole call."""

    connect_s: float = bounds.CONNECT_TIMEOUT_S
    first_byte_s: float = bounds.FIRST_TOKEN_TIMEOUT_S
    between_s: float = bounds.BETWEEN_TOKENS_TIMEOUT_S
    whole_s: float = bounds.CALL_TIMEOUT_S


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where to: ``host`` and ``port``, over TLS or plain; or a unix socket ``path`` (our own console process).

    guarded: the URL came from a customer, so only global unicast addresses are dialled (decision D8).
    """

    host: str
    port: int
    tls: bool = True
    path: str | None = None
    guarded: bool = False


class Answer:
    """What an upstream says to one request, as it comes.

    Await ``head()``, then either ``body()`` (whole) or ``stream(on_data)`` + ``end()``; or set the callbacks
    ``on_head``, ``on_data``, ``on_end``, ``on_error`` right after ``ask`` and await nothing. Bytes that arrive
    before anybody asked are kept and delivered in order. A failure raises (or is handed to ``on_error``) one of
    UpstreamTimeout, UpstreamBroken, NoUpstream; then ``sent`` and ``answered`` say what is known.
    """

    status: int
    headers: dict[bytes, bytes]  # lower-case names; empty until the head is there
    reused: bool  # the connection had served a call before
    answered: bool  # a byte of the answer was read
    done: bool  # complete, failed or cancelled
    error: UpstreamError | None
    on_head: Callable[[], None] | None
    on_data: Callable[[bytes], None] | None
    on_end: Callable[[], None] | None
    on_error: Callable[[UpstreamError], None] | None

    @property
    def sent(self) -> Sent:
        """How much of the request's body was handed to the system: ``none`` is certain, ``some``/``all`` are not
        a promise that it arrived."""
        raise NotImplementedError

    async def head(self) -> int:
        """Wait for status and headers; returns the status."""
        raise NotImplementedError

    async def body(self) -> bytes:
        """Wait for the whole (rest of the) body; UpstreamBroken when longer than ``answer_bytes_max``."""
        raise NotImplementedError

    def stream(self, on_data: Callable[[bytes], None]) -> None:
        """From now on each piece of the body is handed to ``on_data`` on the loop; what came already goes first."""
        raise NotImplementedError

    async def end(self) -> None:
        """Wait until the streamed body is complete; every ``on_data`` has been called before it returns."""
        raise NotImplementedError

    def pause(self) -> None:
        """Stop reading (the caller is slow); the time does not count as ``between_s``."""
        raise NotImplementedError

    def resume(self) -> None:
        """Read on."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Close the connection at once; waiting coroutines get asyncio.CancelledError, no callback is called."""
        raise NotImplementedError


class Upstream:
    """One destination and its kept connections."""

    origin: Origin

    def head(self, method: str, target: str, headers: Mapping[str, str]) -> bytes:
        """Request line, ``host`` and headers, each with CRLF, without framing and blank line; build once, keep.

        Raises ValueError on a character that would split the request.
        """
        raise NotImplementedError

    def ask(
        self,
        head: bytes,
        pieces: Sequence[bytes | memoryview] = (),
        deadlines: Deadlines | None = None,
    ) -> Answer:
        """Send now (or as soon as a connection stands). Never raises for the network; the Answer does."""
        raise NotImplementedError


class Pool:
    """Every upstream of the process; the only maker of outgoing HTTP connections."""

    def __init__(
        self,
        register: Register,
        *,
        wheel: Wheel,
        sink: Sink,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """trust: another certificate store than the system's (a private CA)."""
        raise NotImplementedError

    def upstream(self, origin: Origin) -> Upstream:
        """The upstream of that origin, made on first use. Raises NoUpstream (``egress_refused``) when the
        destination is not in the register."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close every connection."""
        raise NotImplementedError
