"""The house's cryptography: AES-256-GCM envelopes, HKDF-SHA256, keyed hashes, a ring of keys held for a minute (F.2).

    envelope = 0x01 | alg (1 = AES-256-GCM) | kid (8) | nonce (12) | ciphertext | tag (16)

``kid`` names the stored key the envelope was made with. The additional data binds an envelope to its place: moved to
another row, column, subject or day it does not open.
"""

from __future__ import annotations

import hmac
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import Broken

KEY_BYTES: Final = 32
KID_BYTES: Final = 8
OVERHEAD_BYTES: Final = 2 + KID_BYTES + 12 + 16
_HEAD: Final = b"\x01\x01"
_BODY: Final = 2 + KID_BYTES

T = TypeVar("T")


def fresh_key() -> bytes:
    """32 random bytes."""
    return os.urandom(KEY_BYTES)


def seal(key: bytes, kid: bytes, value: bytes, bound_to: bytes) -> bytes:
    """The envelope of ``value``. A key must seal fewer than 2^32 values (random nonces)."""
    assert len(kid) == KID_BYTES
    nonce = os.urandom(12)
    return _HEAD + kid + nonce + AESGCM(key).encrypt(nonce, value, bound_to)


def kid(envelope: bytes) -> bytes:
    """Which key made the envelope. Raises Broken ``sealed_damaged`` when it is no envelope of ours."""
    if len(envelope) < OVERHEAD_BYTES or envelope[:2] != _HEAD:
        raise Broken("A sealed value is damaged.", code="sealed_damaged")
    return envelope[2:_BODY]


def unseal(key: bytes, envelope: bytes, bound_to: bytes) -> bytes:
    """The value of an envelope. Raises Broken ``sealed_damaged``: other key, other place, or changed bytes."""
    kid(envelope)
    nonce = envelope[_BODY : _BODY + 12]
    try:
        return AESGCM(key).decrypt(nonce, envelope[_BODY + 12 :], bound_to)
    except InvalidTag:
        pass
    raise Broken("A sealed value is damaged.", code="sealed_damaged")


def derive(key: bytes, info: str, salt: bytes | None = None) -> bytes:
    """HKDF-SHA256: a key of its own for each ``info``."""
    return HKDF(SHA256(), KEY_BYTES, salt=salt, info=info.encode()).derive(key)


def keyed_hash(key: bytes, value: bytes) -> bytes:
    """HMAC-SHA256, 32 bytes."""
    return hmac.digest(key, value, "sha256")


class Ring(Generic[T]):
    """Keys in memory: each at most ``ttl_s`` seconds, the least used first to go when more than ``size``."""

    def __init__(self, *, ttl_s: float, size: int, monotonic: Callable[[], float] = monotonic) -> None:
        self._ttl_s = ttl_s
        self._size = size
        self._monotonic = monotonic
        self._held: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, name: str) -> T | None:
        """The key, unless it is not there or too old."""
        found = self._held.get(name)
        if found is None:
            return None
        if self._monotonic() >= found[0]:
            del self._held[name]
            return None
        self._held.move_to_end(name)
        return found[1]

    def put(self, name: str, key: T) -> None:
        """Holds a key from now on."""
        self._held[name] = (self._monotonic() + self._ttl_s, key)
        self._held.move_to_end(name)
        while len(self._held) > self._size:
            self._held.popitem(last=False)

    def drop(self, prefix: str) -> None:
        """Forgets every key whose name begins so."""
        for name in [name for name in self._held if name.startswith(prefix)]:
            del self._held[name]

    def clear(self) -> None:
        """Forgets all."""
        self._held.clear()
