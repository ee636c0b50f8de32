"""HTTP/1.1 on loopback: requests read whole, one answer each, in order; an answer may be the connection's end.

A request whose caller has left is carried out all the same, as a processor would.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import httptools
import msgspec

BODY_BYTES_MAX: Final = 1024 * 1024


class Call(msgspec.Struct, kw_only=True):
    """A request: path decoded, query as pairs, header names lower-case; peer: the caller's address."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes
    peer: str

    def asked(self, name: str) -> str:
        """The first value of a query parameter, or ""."""
        return next((value for key, value in self.query if key == name), "")


class Answer(msgspec.Struct, kw_only=True):
    """What goes back. cut: nothing does, the connection ends."""

    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}
    body: bytes = b""
    cut: bool = False


Serve = Callable[[Call], Awaitable[Answer]]


class Listener:
    """A listening socket and its connections. ``port``; ``close`` ends all."""

    def __init__(self, serve: Serve) -> None:
        self.serve = serve
        self.port = 0
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, where: tuple[str, int] | socket.socket) -> None:
        """Binds (port 0 picks a free one), or takes over a socket that listens already."""
        loop = asyncio.get_running_loop()
        if isinstance(where, tuple):
            self._server = await loop.create_server(lambda: Connection(self), *where)
        else:
            self._server = await loop.create_server(lambda: Connection(self), sock=where)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stops listening and cuts every connection."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self.connections):
            connection.drop()
        await self._server.wait_closed()


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Call, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._peer = ""
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._peer = str(transport.get_extra_info("peername", ("",))[0])
        self._listener.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._listener.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.drop()
        except httptools.HttpParserError:
            self._write(Answer(status=400), stays=False)

    def drop(self) -> None:
        """Cuts the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body = b"", {}, bytearray()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._transport is not None and self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > BODY_BYTES_MAX:
            self.drop()

    def on_message_complete(self) -> None:
        url = urlsplit(self._url.decode("latin-1"))
        call = Call(
            method=self._parser.get_method().decode(),
            path=unquote(url.path),
            query=parse_qsl(url.query, keep_blank_values=True),
            headers=self._headers,
            body=bytes(self._body),
            peer=self._peer,
        )
        self._waiting.append((call, self._parser.should_keep_alive()))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._answer())

    async def _answer(self) -> None:
        while self._waiting:
            call, stays = self._waiting.popleft()
            try:
                answer = await self._listener.serve(call)
            except BaseException:
                # Nobody waits for an answer that never comes.
                self.drop()
                raise
            if answer.cut:
                self.drop()
            else:
                self._write(answer, stays=stays, bodiless=call.method == "HEAD")

    def _write(self, answer: Answer, *, stays: bool, bodiless: bool = False) -> None:
        if self._transport is None:
            return
        lines = [f"HTTP/1.1 {answer.status} {_reason(answer.status)}", f"content-length: {len(answer.body)}"]
        if answer.body:
            lines.append(f"content-type: {answer.content_type}")
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        if not stays:
            lines.append("connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self._transport.write(head if bodiless else head + answer.body)
        if not stays:
            self._transport.close()


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"
