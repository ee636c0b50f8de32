"""The pipe between the supervisor and a child: what is said on it, both ways, one JSON object a line.

Down: ``Start`` once, then ``drain``. Up: ``ready`` with facts, or ``failed`` with one line. End of file downward means
that the supervisor is gone or wants a stop at once; that is why a child needs no signal (decision D1).
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from typing import Literal

import msgspec

from ruxa.app.instance import Instance
from ruxa.egress.processors.sandbox.access import Access
from ruxa.kernel import settings as settings_

Kind = Literal["gateway", "console", "worker", "sandbox", "processor"]
# A child that has not left by then is stuck and ends itself (seconds after the end of the pipe).
FAST_STOP_S = 4.0


class Start(msgspec.Struct, kw_only=True):
    """All a child needs to know beyond its own code. ``settings`` as written by ``settings.encode``.

    processor: in a demo, where the sandbox processor is and what its callers and it share; told to it, the console and
    the worker. listener: the socket it listens on, already open.
    """

    kind: Kind
    number: int
    settings: msgspec.Raw
    instance: Instance
    host: str
    port: int
    base_url: str
    console_socket: str
    sandbox_url: str | None = None
    processor: Access | None = None
    listener: int | None = None
    database: str = ""
    clock_offset_s: int = 0

    def read_settings(self) -> settings_.Settings:
        """The supervisor's settings."""
        return settings_.decode(bytes(self.settings))


class Down(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line to a child: ``start``, or ``drain`` (seconds left to finish what runs)."""

    start: Start | None = None
    drain_s: float | None = None


class Up(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line from a child."""

    ready: bool = False
    port: int | None = None
    failed: str | None = None


class Orders:
    """A child's end: reads on a thread of its own, so that a stuck loop still obeys the end of the pipe.

    cut_off: the pipe has ended: the supervisor is gone or wants a stop at once.
    """

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.settimeout(None)
        self._rest = b""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain: asyncio.Event | None = None
        self._within_s = 0.0
        self._fast: Callable[[], None] | None = None
        self.cut_off = False

    def start(self) -> Start | None:
        """Wait for ``Start``; None when the supervisor left instead."""
        line = self._line()
        return msgspec.json.decode(line, type=Down).start if line else None

    def listen(self, fast: Callable[[], None]) -> None:
        """Begin to obey: called once, inside the running loop. ``fast`` is called when all must end at once."""
        self._loop = asyncio.get_running_loop()
        self._drain = asyncio.Event()
        self._fast = fast
        threading.Thread(target=self._obey, name="orders", daemon=True).start()

    async def drained(self) -> float:
        """Wait for the order to finish; the seconds allowed for what still runs."""
        assert self._drain is not None, "listen first"
        await self._drain.wait()
        return self._within_s

    def close(self) -> None:
        """The process ends now."""
        self._socket.close()

    def ready(self, *, port: int | None = None) -> None:
        """Tell that this child serves."""
        self._say(Up(ready=True, port=port))

    def failed(self, reason: str) -> None:
        """Tell, in one line, why this child cannot serve."""
        self._say(Up(failed=reason))

    def _say(self, up: Up) -> None:
        try:
            self._socket.sendall(msgspec.json.encode(up) + b"\n")
        except OSError:
            return

    def _line(self) -> bytes:
        while b"\n" not in self._rest:
            try:
                piece = self._socket.recv(65_536)
            except OSError:
                piece = b""
            if not piece:
                return b""
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _obey(self) -> None:
        assert self._loop is not None
        assert self._drain is not None
        assert self._fast is not None
        while line := self._line():
            within_s = msgspec.json.decode(line, type=Down).drain_s
            if within_s is not None:
                self._within_s = within_s
                self._call(self._drain.set)
        timer = threading.Timer(FAST_STOP_S, os._exit, (1,))
        timer.daemon = True
        timer.start()
        self.cut_off = True
        self._call(self._drain.set)
        self._call(self._fast)

    def _call(self, what: Callable[[], None]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:
            return
