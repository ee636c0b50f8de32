"""Signatures: Ed25519 (RFC 8032) keys by use, and their public halves, which are published for ever (F.2)."""

from __future__ import annotations

from datetime import datetime
from typing import Final, final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

USES: Final = frozenset({"audit", "receipt", "report", "backup"})
SIGNATURE_BYTES: Final = 64


class PublicKey(msgspec.Struct, frozen=True):
    """The public half of a signing key: it signs from ``valid_from``; void is what it signs after ``valid_until``."""

    id: bytes
    use: str
    public: bytes
    valid_from: datetime
    valid_until: datetime | None

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether this key signed that message. When it did is for the caller to know."""
        return verify(self.public, signature, message)


@final
class SigningKey:
    """Signs for one use. ``id``: 8 bytes, ``public``: 32 bytes. Its repr shows no secret, and no encoder takes it."""

    __slots__ = ("_private", "id", "public", "use")

    def __init__(self, id: bytes, use: str, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.id = id
        self.use = use
        self.public = self._private.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"<signing key {self.use} {self.id.hex()}>"


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the holder of a public key signed the message. What is no key or no signature signs nothing."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
