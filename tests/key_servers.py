"""What the small key servers of the tests share, and what holds for the epoch keys that lie at any of them."""

from __future__ import annotations

import json
import socketserver
import threading
from base64 import b64encode
from collections.abc import Awaitable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any, TypeVar
from uuid import UUID

import pytest

from ruxa.kernel import ids
from ruxa.kernel.custody import EpochKeys
from ruxa.kernel.errors import Unavailable

Said = tuple[int, dict[str, Any]]
T = TypeVar("T", bound="Speaker")


class Speaker(socketserver.ThreadingTCPServer):
    """What all have: faults that a test sets, and what was asked."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Speaking)
        self.seen: list[str] = []
        self.busy = 0  # so many more are told to come again
        self.deny = ""  # what is not allowed
        self.silent = False
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Said:
        raise NotImplementedError


class Speaking(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Speaker  # type: ignore[assignment]

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.server.silent:
            self.server.stopping.wait(10)
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, said = self.server.answer(self.command, self.path, headers, body)
        text = b"" if status == 204 else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        if status != 204:
            self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = do_LIST = _do

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextmanager
def serving(server: T) -> Generator[T]:
    """The server answers until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


async def made(keys: EpochKeys, epoch: UUID) -> bytes:
    """The wrapped key of a new epoch, which opens to one that does not lie in it."""
    wrapped = await keys.create(epoch)
    assert wrapped is not None
    key = await keys.read(epoch, wrapped)
    assert key is not None
    assert len(key) == 32
    assert b64encode(key) not in wrapped
    return wrapped


async def refused(asked: Awaitable[object]) -> None:
    """The server refuses what is asked."""
    with pytest.raises(Unavailable) as caught:
        await asked
    assert caught.value.code == "keys_refused"


async def throttled(server: Speaker, keys: EpochKeys, match: str) -> None:
    """Told to come again, one comes again, and not for ever."""
    epoch = ids.fresh()
    server.busy = 2
    wrapped = await keys.create(epoch)
    server.busy = 100
    with pytest.raises(Unavailable, match=match):
        await keys.read(epoch, wrapped)
    assert server.busy == 97


async def away(server: Speaker, keys: EpochKeys, other: EpochKeys, asked: Awaitable[object]) -> None:
    """Once the server is stopped it is away for whoever has no connection yet: what is asked is asked of ``other``."""
    server.shutdown()
    server.server_close()
    await keys.close()
    with pytest.raises(Unavailable) as caught:
        await asked
    assert caught.value.code == "keys_away"
    await other.close()
