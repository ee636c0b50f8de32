"""A small real HTTP server that speaks the documented API of OpenBao's transit engine, and nothing more."""

from __future__ import annotations

import json
import os
import time
from base64 import b64decode, b64encode
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from key_servers import Said, Speaker

TOKEN = "s.canary-token-5d1c"


class Transit(Speaker):
    """The transit engine as documented: keys, config, encrypt, decrypt, delete, list."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, dict[str, Any]] = {}
        self.sealed = False
        self.exportable = False
        self.deaf = False

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Said:
        self.seen.append(f"{method} {target}")
        status, said = self._said(method, target, headers.get("x-vault-token"), json.loads(body or b"{}"))
        return status, {"request_id": "x", "lease_id": "", **said}

    def _said(self, method: str, path: str, token: str | None, body: dict[str, Any]) -> Said:
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
