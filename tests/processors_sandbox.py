"""A sandbox processor on a thread of its own, a catcher of its webhooks, and a browser's hands without a browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from ruxa.egress.processors.sandbox import access, server
from ruxa.kernel.clock import Clock


class Catcher:
    """Receives webhooks on ``url``.

    caught: (path, headers with lower-case names, body); statuses: what the next ones are answered with, then 200.
    """

    def __init__(self) -> None:
        self.caught: list[tuple[str, dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        catcher = self

        class Taking(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                catcher.caught.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(catcher.statuses.pop(0) if catcher.statuses else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def events(self, path: str = "/stripe") -> list[dict[str, Any]]:
        """The bodies that came to ``path``, decoded."""
        return [json.loads(body) for where, _, body in self.caught if where == path]

    def close(self) -> None:
        """Stops."""
        self._server.shutdown()
        self._server.server_close()


class Sandbox:
    """A running sandbox processor."""

    def __init__(self, running: server.Server, loop: asyncio.AbstractEventLoop) -> None:
        self.server = running
        self.access = running.access
        self.http = httpx.Client(base_url=self.access.url, follow_redirects=False, timeout=10)
        self._loop = loop

    def control(self, name: str, **order: Any) -> Any:
        """An order to the control API, which must be carried out."""
        done = self.http.post(f"/_sandbox/{name}", json=order)
        assert done.status_code == 200, done.text
        return done.json()

    def calm(self) -> None:
        """Wait until no webhook is on its way."""
        self.control("idle")

    def heal(self) -> None:
        """Take every fault back."""
        assert self.http.delete("/_sandbox/faults").status_code == 200

    def pay(self, url: str, number: str = "4242 4242 4242 4242", **fields: str) -> httpx.Response:
        """Fill in the Checkout page at ``url``, as a browser would; what comes back (303 when it is paid)."""
        return self.http.post(url, data={"number": number, "expiry": "12 / 34", "cvc": "123", **fields})

    def close(self) -> None:
        """Stop it."""
        asyncio.run_coroutine_threadsafe(self.server.close(), self._loop).result(10)
        self.http.close()
        self._loop.call_soon_threadsafe(self._loop.stop)


@contextlib.contextmanager
def running(
    *, webhooks: str | None = None, file: Path | None = None, keys: access.Access | None = None
) -> Iterator[Sandbox]:
    """A sandbox processor that tells ``<webhooks>/stripe`` and ``<webhooks>/paypal``."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    starting = server.serve(access=keys or access.fresh(), clock=Clock(), file=file, webhooks=webhooks)
    sandbox = Sandbox(asyncio.run_coroutine_threadsafe(starting, loop).result(10), loop)
    try:
        yield sandbox
    finally:
        sandbox.close()
        thread.join(10)
        loop.close()
