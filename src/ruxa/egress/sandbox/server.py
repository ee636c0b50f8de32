"""Listens on loopback and plays the vendors: HTTP/1.1 with keep-alive, chunked both ways, one task per request.

Besides the vendors' paths: ``GET /__sandbox/last`` gives the last request (method, path, query, headers, body as
base64, number), ``GET /__sandbox/stats`` the counts (requests, answered, cancelled, open), ``DELETE /__sandbox/last``
forgets. A client that leaves is noticed at once: its task is cancelled and counted.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections import deque
from typing import Final, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import httptools

from ruxa.egress.sandbox import anthropic, completions, gemini, media, openai, responses
from ruxa.egress.sandbox.faults import FAULTS, SLOW_FIRST_TOKEN_MS
from ruxa.egress.sandbox.fields import Json, encode
from ruxa.egress.sandbox.reply import Asked, Refusal, Said, Step
from ruxa.kernel.clock import Clock

MODELS: Final = ["sandbox/chat", "sandbox/embedding", *media.MODELS, *(f"sandbox/fail-{fault}" for fault in FAULTS)]
BODY_BYTES_MAX: Final = 64 * 1024 * 1024
HANG_S: Final = 3600
REASONS: Final = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
GARBAGE: Final = b"<html><body>\x00\xff this is not what you asked for"


class Server:
    """A listening sandbox. ``port``; ``close()`` ends it and every open connection."""

    def __init__(self, pace_ms: int) -> None:
        self.pace_ms = pace_ms
        self.port = 0
        self.last: Asked | None = None
        self.raw_headers: list[tuple[str, str]] = []
        self.requests = 0
        self.answered = 0
        self.cancelled = 0
        self.open = 0
        self.cache = anthropic.Cache()
        self.clock = Clock()
        self.connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> None:
        """Binds; port 0 picks a free one."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Connection(self), host, port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stops listening and cuts every connection."""
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.drop()
        if self._listener is not None:
            await self._listener.wait_closed()

    def answer(self, asked: Asked) -> Said:
        """The answer to a request of a vendor's path. Raises Refusal."""
        path = unquote(asked.path)
        parts = path.strip("/").split("/", 1)
        if len(parts) == 2 and parts[0] in ("openai", "anthropic", "gemini"):
            parts = parts[1].split("/", 1)
        roof, rest = parts[0], parts[1] if len(parts) == 2 else ""
        google = roof == "v1beta" or "x-goog-api-key" in asked.headers or "key" in asked.query
        if google:
            return self._google(asked, rest)
        theirs = rest.startswith("messages") or "anthropic-version" in asked.headers
        if not _key(asked):
            if theirs:
                raise Refusal(
                    401, anthropic.error("authentication_error", "x-api-key header is required", asked.number)
                )
            raise Refusal(401, openai.error("You didn't provide an API key.", code="invalid_api_key"))
        if asked.method == "POST":
            if rest == "chat/completions":
                return openai.chat(asked)
            if rest == "completions":
                return completions.complete(asked)
            if rest == "responses":
                return responses.create(asked)
            if rest == "embeddings":
                return openai.embeddings(asked)
            if (made := media.answer(asked, rest)) is not None:
                return made
            if rest == "messages":
                return anthropic.messages(asked, self.cache)
            if rest == "messages/count_tokens":
                return anthropic.count_tokens(asked)
        elif rest == "models":
            return anthropic.models(asked, MODELS) if theirs else openai.models(asked, MODELS)
        elif rest.startswith("models/"):
            name = rest.removeprefix("models/")
            return anthropic.model(asked, name, MODELS) if theirs else openai.model(asked, name, MODELS)
        if theirs:
            raise Refusal(404, anthropic.error("not_found_error", "Not found", asked.number))
        raise Refusal(404, openai.error(f"Invalid URL ({asked.method} {asked.path})"))

    def _google(self, asked: Asked, rest: str) -> Said:
        if not _key(asked):
            message = "Method doesn't allow unregistered callers. Please use API Key."
            raise Refusal(403, gemini.error(403, "PERMISSION_DENIED", message))
        if asked.method == "GET" and rest == "models":
            return gemini.models(asked, MODELS)
        if asked.method == "GET" and rest.startswith("models/"):
            return gemini.model(asked, rest.removeprefix("models/"), MODELS)
        model, _, verb = rest.removeprefix("models/").rpartition(":")
        if asked.method == "POST" and model:
            if verb in ("generateContent", "streamGenerateContent"):
                return gemini.generate(asked, model, stream=verb == "streamGenerateContent")
            if verb == "countTokens":
                return gemini.count_tokens(asked, model)
            if verb == "embedContent":
                return gemini.embed(asked, model)
            if verb == "batchEmbedContents":
                return gemini.batch_embed(asked, model)
        raise Refusal(404, gemini.error(404, "NOT_FOUND", "Requested entity was not found."))

    def inspect(self, asked: Asked) -> tuple[int, Json]:
        """The sandbox's own paths."""
        if asked.path == "/__sandbox/stats":
            counts = {"requests": self.requests, "answered": self.answered, "cancelled": self.cancelled}
            return 200, {**counts, "open": self.open}
        if asked.path == "/__sandbox/last" and asked.method == "DELETE":
            self.last = None
            return 200, {}
        if asked.path == "/__sandbox/last" and self.last is not None:
            last = self.last
            return 200, {
                "number": last.number,
                "method": last.method,
                "path": last.path,
                "query": last.query,
                "headers": self.raw_headers,
                "body": base64.b64encode(last.body).decode(),
            }
        return 404, {"error": "nothing here"}


def _key(asked: Asked) -> str:
    bearer = asked.headers.get("authorization", "")
    bearer = bearer[7:] if bearer[:7].lower() == "bearer " else ""
    headers = asked.headers
    return (bearer or headers.get("x-api-key") or headers.get("x-goog-api-key") or asked.query.get("key", "")).strip()


class Connection(asyncio.Protocol):
    """One client: requests are answered one after the other, in order."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.transport: asyncio.Transport | None = None
        self.parser = httptools.HttpRequestParser(self)
        self.waiting: deque[tuple[Asked, list[tuple[str, str]], bool]] = deque()
        self.task: asyncio.Task[None] | None = None
        self.room = asyncio.Event()
        self.room.set()
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._body = bytearray()

    # transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self.server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.connections.discard(self)
        self.transport = None
        self.room.set()
        if self.task is not None and not self.task.done():
            self.server.cancelled += 1
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.drop()
        except httptools.HttpParserError:
            if self.transport is not None:
                self.transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                self.transport.close()

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()

    def drop(self) -> None:
        """Cuts the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    # parser

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._body = bytearray()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        if self.transport is not None and ("expect", "100-continue") in self._headers:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > BODY_BYTES_MAX:
            self.drop()

    def on_message_complete(self) -> None:
        url = urlsplit(self._url.decode("latin-1"))
        asked = Asked(
            method=self.parser.get_method().decode(),
            path=url.path,
            query=dict(parse_qsl(url.query, keep_blank_values=True)),
            headers=dict(self._headers),
            body=bytes(self._body),
            number=self.server.requests,
            at_s=self.server.clock.unix_ms() // 1000,
        )
        self.waiting.append((asked, self._headers, self.parser.should_keep_alive()))
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self._serve())

    # answers

    async def _serve(self) -> None:
        while self.waiting and self.transport is not None:
            asked, headers, stays = self.waiting.popleft()
            if asked.path.startswith("/__sandbox/"):
                status, told = self.server.inspect(asked)
                self._whole(status, encode(told), {})
            else:
                self.server.requests += 1
                if asked.path != "/":
                    self.server.last, self.server.raw_headers = asked, headers
                self.server.open += 1
                try:
                    await self._answer(asked)
                finally:
                    self.server.open -= 1
            if not stays:
                self._hang_up()

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()

    async def _answer(self, asked: Asked) -> None:
        if asked.path == "/" and asked.method in ("GET", "HEAD"):
            self._whole(200, b"" if asked.method == "HEAD" else b"sandbox\n", {"content-type": "text/plain"})
            return
        try:
            said = self.server.answer(asked)
        except Refusal as refusal:
            self._whole(refusal.status, encode(refusal.body), refusal.headers)
            return
        fault = said.fault
        if fault == "hang":
            await asyncio.sleep(HANG_S)
        first_ms = said.delay_ms or (SLOW_FIRST_TOKEN_MS if fault == "slow-first-token" else 0)
        if said.steps is None:
            await asyncio.sleep(first_ms / 1000)
            await self._tell(said)
        else:
            await self._flow(said, said.steps, first_ms)
        self.server.answered += 1

    async def _tell(self, said: Said) -> None:
        """A whole answer, or what the fault makes of it."""
        fault, body = said.fault, said.body
        headers = {"content-type": said.content_type, **said.headers}
        if fault == "garbage":
            self._whole(200, GARBAGE, headers)
        elif fault == "half":
            self._whole(200, body[: len(body) // 2], headers)
        elif fault == "mid-stream-death":
            self._write(_head(200, headers, len(body)) + body[: len(body) // 2])
            await asyncio.sleep(0.02)
            self.drop()
        elif fault in ("first-frame-error", "mid-stream-error"):
            frame = said.error_frame or encode(openai.error("The engine is overloaded.", "server_error"))
            at = frame.find(b"{")
            self._whole(200, frame[at : frame.rfind(b"}") + 1], headers)
        elif fault == "one-byte-chunks":
            self._write(_head(said.status, headers, None))
            await self._bytewise(body)
            self._write(b"0\r\n\r\n")
        else:
            self._whole(said.status, body, headers)

    async def _flow(self, said: Said, steps: list[Step], first_ms: int) -> None:
        """A stream, paced; or what the fault makes of it."""
        fault = said.fault
        pace_ms = self.server.pace_ms if said.pace_ms is None else said.pace_ms
        self._write(_head(200, {"content-type": said.content_type, "cache-control": "no-cache", **said.headers}, None))
        if fault == "garbage":
            self._chunk(b"data: " + GARBAGE + b"\n\n")
            self._write(b"0\r\n\r\n")
            return
        if fault == "first-frame-error":
            self._chunk(said.error_frame)
            self._write(b"0\r\n\r\n")
            return
        total = sum(step.token for step in steps)
        sent = 0
        for step in steps:
            if step.token and sent == 0 and first_ms:
                await asyncio.sleep(first_ms / 1000)
            elif step.token and pace_ms and sent:
                await asyncio.sleep(pace_ms / 1000)
            if step.after_ms:
                await asyncio.sleep(step.after_ms / 1000)
            if step.drop:
                self.drop()
                return
            if step.token and sent >= (total + 1) // 2 and fault in ("mid-stream-death", "mid-stream-error", "half"):
                await self._break(said, step)
                return
            if fault == "one-byte-chunks":
                await self._bytewise(step.data)
            else:
                self._chunk(step.data)
                await self.room.wait()
            sent += step.token
        self._write(b"0\r\n\r\n")

    async def _break(self, said: Said, step: Step) -> None:
        """Half-way: the connection dies, an error event comes, or half an event and then the end."""
        if said.fault == "mid-stream-error":
            self._chunk(said.error_frame)
            self._write(b"0\r\n\r\n")
            return
        if said.fault == "half":
            self._chunk(step.data[: len(step.data) // 2])
            self._write(b"0\r\n\r\n")
            return
        await asyncio.sleep(0.02)
        self.drop()
        await asyncio.sleep(0)

    async def _bytewise(self, data: bytes) -> None:
        for at in range(len(data)):
            self._chunk(data[at : at + 1])
            await asyncio.sleep(0)
            await self.room.wait()

    def _whole(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._write(_head(status, {"content-type": "application/json", **headers}, len(body)) + body)

    def _chunk(self, data: bytes) -> None:
        if data:
            self._write(b"%x\r\n%b\r\n" % (len(data), data))

    def _write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)


def _head(status: int, headers: dict[str, str], length: int | None) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def serve(host: str, port: int, *, pace_ms: int = 8) -> Server:
    """A listening sandbox; ``pace_ms``: the pause between tokens of a stream that names none."""
    server = Server(pace_ms)
    await server.listen(host, port)
    return server


async def run(host: str, port: int, *, pace_ms: int = 8) -> None:
    """Serves until cancelled."""
    server = await serve(host, port, pace_ms=pace_ms)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
    finally:
        await server.close()
