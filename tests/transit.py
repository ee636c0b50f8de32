"""A small real HTTP server that speaks the documented API of OpenBao's transit engine, and nothing more."""

from __future__ import annotations

import json
import os
import socketserver
import time
from base64 import b64decode, b64encode
from http.server import BaseHTTPRequestHandler
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "s.canary-token-5d1c"


class Transit(socketserver.ThreadingTCPServer):
    """The transit engine as documented: keys, config, encrypt, decrypt, delete, list."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Speaking)
        self.keys: dict[str, dict[str, Any]] = {}
        self.seen: list[tuple[str, str]] = []
        self.sealed = False
        self.exportable = False
        self.deaf = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, method: str, path: str, token: str | None, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.seen.append((method, path))
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if token != TOKEN:
            return 403, {"errors": ["permission denied"]}
        parts = path.removeprefix("/v1/transit/").split("/")
        name = parts[1] if len(parts) > 1 else ""
        key = self.keys.get(name)
        if (method, parts[0]) == ("LIST", "keys"):
            return (200, {"data": {"keys": sorted(self.keys)}}) if self.keys else (404, {"errors": []})
        if parts[0] == "keys" and len(parts) == 2:
            if method == "POST":
                assert body == {"type": "aes256-gcm96"}
                made = {"secret": os.urandom(32), "deletion_allowed": False, "at": int(time.time())}
                self.keys.setdefault(name, made)
                return 200, {"data": self.shown(name)}
            if key is None:
                return (
                    (404, {"errors": []}) if method == "GET" else (400, {"errors": ["could not delete key; not found"]})
                )
            if method == "GET":
                return 200, {"data": self.shown(name)}
            if method == "DELETE":
                if not key["deletion_allowed"]:
                    return 400, {"errors": ["deletion is not allowed for this key"]}
                if not self.deaf:
                    del self.keys[name]
                return 204, {}
        if parts[0] == "keys" and parts[2:] == ["config"] and method == "POST":
            if key is None:
                return 400, {"errors": [f"no existing key named {name} could be found"]}
            key.update(body)
            return 200, {"data": self.shown(name)}
        if method == "POST" and parts[0] in ("encrypt", "decrypt"):
            if key is None:
                return 400, {"errors": ["encryption key not found"]}
            bound_to = b64decode(body["associated_data"])
            if parts[0] == "encrypt":
                nonce = os.urandom(12)
                sealed = nonce + AESGCM(key["secret"]).encrypt(nonce, b64decode(body["plaintext"]), bound_to)
                return 200, {"data": {"ciphertext": "vault:v1:" + b64encode(sealed).decode(), "key_version": 1}}
            sealed = b64decode(body["ciphertext"].removeprefix("vault:v1:"))
            try:
                value = AESGCM(key["secret"]).decrypt(sealed[:12], sealed[12:], bound_to)
            except InvalidTag:
                return 400, {"errors": ["cipher: message authentication failed"]}
            return 200, {"data": {"plaintext": b64encode(value).decode()}}
        return 405, {"errors": ["unsupported operation"]}

    def shown(self, name: str) -> dict[str, Any]:
        key = self.keys[name]
        return {
            "type": "aes256-gcm96", "deletion_allowed": key["deletion_allowed"], "exportable": self.exportable,
            "allow_plaintext_backup": False, "keys": {"1": key["at"]}, "name": name,
        }  # fmt: skip


class Speaking(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Transit  # type: ignore[assignment]

    def _do(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        status, said = self.server.answer(self.command, self.path, self.headers.get("x-vault-token"), body)
        text = b"" if status == 204 else json.dumps({"request_id": "x", "lease_id": "", **said}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        if status != 204:
            self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = do_LIST = _do

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""
