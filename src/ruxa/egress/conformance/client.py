"""The caller: one HTTP request a connection, sent as written, and whatever comes back."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

import httptools
import msgspec

from ruxa.kernel.errors import InvalidCall


class Asked(msgspec.Struct, kw_only=True):
    """A request, to the byte."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Came(msgspec.Struct, kw_only=True):
    """An answer. status 0: none came, ``body`` says why; complete: it ended as HTTP wants it."""

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool


class Target:
    """A gateway's address: ``http(s)://host[:port][/path]``. Raises InvalidCall."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise InvalidCall("The target must be http(s)://host[:port][/path].", code="bad_target")
        self.tls = ssl.create_default_context() if parts.scheme == "https" else None
        self.host = parts.hostname
        self.port = parts.port or (443 if self.tls else 80)
        self.base = parts.path.rstrip("/")
        self.authority = parts.netloc.rpartition("@")[2]

    async def ask(self, asked: Asked, timeout_s: float) -> Came:
        """One exchange; never raises for what the gateway does."""
        try:
            return await asyncio.wait_for(self._ask(asked), timeout_s)
        except TimeoutError:
            return Came(status=0, headers={}, body=b"no answer in time", complete=False)
        except OSError as fault:
            said = (fault.strerror or type(fault).__name__).encode()
            return Came(status=0, headers={}, body=said, complete=False)

    async def answers(self, path: str) -> bool:
        """Whether anything comes back for a GET, and no error of the server's."""
        came = await self.ask(Asked(method="GET", path=path, headers={}, body=b""), 5)
        return 0 < came.status < 500

    async def _ask(self, asked: Asked) -> Came:
        reader, writer = await asyncio.open_connection(self.host, self.port, ssl=self.tls)
        try:
            headers = {"host": self.authority, "connection": "close", **asked.headers}
            if asked.body or asked.method == "POST":
                headers["content-length"] = str(len(asked.body))
            lines = [f"{asked.method} {self.base}{asked.path} HTTP/1.1"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + asked.body)
            answer = _Answer(head_only=asked.method == "HEAD")
            while not answer.done and (data := await reader.read(65536)):
                answer.feed(data)
            return answer.came()
        finally:
            writer.close()


class _Answer:
    """httptools' callbacks. An answer without length or chunks ends with its connection."""

    def __init__(self, *, head_only: bool) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.head_only = head_only
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.done = False
        self.fault = b""

    def feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as fault:
            self.done, self.fault = True, f"no HTTP: {fault}".encode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.done = self.done or self.head_only

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.done = True

    def came(self) -> Came:
        status = self.parser.get_status_code()
        framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        return Came(
            status=0 if self.fault and not status else status,
            headers=self.headers,
            body=bytes(self.body) or self.fault,
            complete=self.done or not framed,
        )
