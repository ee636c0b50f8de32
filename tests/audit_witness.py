"""A small real witness (C2SP tlog-witness): over HTTP, with a memory, cosigning what continues what it saw."""

from __future__ import annotations

import base64
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from ruxa.access.audit import notes, verify
from ruxa.kernel.signing import SigningKey

NAME = "witness.example/w1"


class WitnessServer:
    """Serves ``add-checkpoint`` below ``/w`` for one log. ``seen``: size and root; ``asked``: requests and answers."""

    def __init__(self, log: verify.Key) -> None:
        self.log = log
        self.signer = SigningKey(b"w" * 8, "audit", sha256(b"witness").digest())
        self.key = verify.Key(NAME, verify.COSIGNATURE, self.signer.public)
        self.seen = (0, verify.EMPTY)
        self.asked: list[tuple[bytes, int]] = []
        self.bodies: list[dict[str, str]] = []
        self.now_s = 1_900_000_000
        self.lie = ""
        witness = self

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                witness.bodies.append(dict(self.headers.items()))
                status, text = witness.answer(body) if self.path == "/w/add-checkpoint" else (404, "")
                witness.asked.append((body, status))
                data = text.encode()
                self.send_response(status)
                if status == 409:
                    self.send_header("content-type", "text/x.tlog.size")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/w/"

    def answer(self, body: bytes) -> tuple[int, str]:
        """As the specification says, in its order."""
        head, _, text = body.decode().partition("\n\n")
        first, *proof = head.split("\n")
        try:
            note = verify.read_note(text)
        except verify.Unreadable:
            return 400, ""
        if note.origin != self.log.name:
            return 404, ""
        if not note.signed_by(self.log):
            return 403, ""
        old = int(first.removeprefix("old "))
        if old > note.size:
            return 400, ""
        if old != self.seen[0]:
            return 409, f"{self.seen[0]}\n"
        path = [base64.b64decode(row, validate=True) for row in proof]
        if not verify.consistent(old, self.seen[1], note.size, note.root, path):
            return 422, ""
        self.seen = (note.size, note.root)
        line = notes.cosign(NAME, note.text, self.now_s, self.signer)
        return 200, {"": line, "garbage": "x", "other text": line[:-9] + "AAAAA==\n"}[self.lie]

    def __enter__(self) -> WitnessServer:
        self._thread.start()
        return self

    def __exit__(self, *why: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
