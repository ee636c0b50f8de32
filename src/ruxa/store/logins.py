"""The database logins, one a purpose (D36), and their passwords, derived from the ``logins`` secret of KEYS."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, get_args

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ruxa.kernel.errors import Unavailable
from ruxa.store import files

Login = Literal[
    "ruxa_owner", "ruxa_gateway", "ruxa_console", "ruxa_worker", "ruxa_keystore", "ruxa_operator", "ruxa_support",
    "ruxa_tax", "ruxa_audit", "ruxa_erase", "ruxa_export",
]  # fmt: skip

# The superuser of the embedded cluster; an external PostgreSQL has its own and never this one.
ADMIN: Final = "ruxa_admin"
LOGINS: Final[tuple[Login, ...]] = get_args(Login)

# Iterations slow down guessing, which 256 random bits do not need; every connection would pay for them.
_SCRAM_ITERATIONS = 1


class Logins:
    """The secret from which each login's password follows. Its repr does not show it."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        assert len(secret) == 32
        self._secret = secret

    @classmethod
    def load(cls, keys: Path) -> Logins:
        """The secret of this instance's keys directory, made (0600, fsynced) when it is not there yet."""
        path = keys / "logins"
        try:
            with suppress(FileNotFoundError):
                return cls(files.read_secret(path, 32))
            files.private_directory(keys)
            files.create(path, os.urandom(32))
            return cls(files.read_secret(path, 32))
        except OSError as error:
            raise Unavailable(f"{path} cannot be read or written: {error.strerror}.", code="keys_unreadable") from None

    def password(self, login: str) -> str:
        """The password of one login."""
        kdf = HKDF(SHA256(), 32, salt=None, info=b"ruxa1|login|" + login.encode())
        return base64.urlsafe_b64encode(kdf.derive(self._secret)).rstrip(b"=").decode()

    def verifier(self, login: str) -> str:
        """What PostgreSQL stores for the login (RFC 5803): the password itself is never sent nor logged."""
        password = self.password(login).encode()
        salt = hashlib.sha256(b"ruxa1|scram-salt|" + login.encode() + password).digest()[:16]
        salted = hashlib.pbkdf2_hmac("sha256", password, salt, _SCRAM_ITERATIONS)
        stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
        server = hmac.digest(salted, b"Server Key", "sha256")
        salt_text, stored_text, server_text = (base64.b64encode(part).decode() for part in (salt, stored, server))
        return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{salt_text}${stored_text}:{server_text}"
