"""The house's cryptography: AES-256-GCM envelopes, HKDF-SHA256, keyed hashes, a ring of keys held for a minute (F.2).

    envelope = 0x01 | alg (1 = AES-256-GCM) | kid (8) | nonce (12) | ciphertext | tag (16)
    chunked  = 0x02 | alg (1 = AES-256-GCM) | kid (8) | salt (16) | (ciphertext of up to 64 KiB | tag (16)) ...

``kid`` names the stored key the envelope was made with. The additional data binds an envelope to its place: moved to
another row, column, subject or day it does not open.
"""

from __future__ import annotations

import hmac
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
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
CHUNK_BYTES: Final = 64 * 1024
_HEAD: Final = b"\x01\x01"
_BODY: Final = 2 + KID_BYTES
_TAG_BYTES: Final = 16
_CHUNKS_HEAD: Final = b"\x02\x01"
_SALT_BYTES: Final = 16
CHUNKS_HEAD_BYTES: Final = _BODY + _SALT_BYTES
_CHUNKS_MAX: Final = 1 << 32

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


class ChunkSealer:
    """Seals what is too large for one envelope, piece by piece: the STREAM construction (Hoang, Reyhanitabar, Rogaway,
    Vizar 2015) with a key of its own per object.

    A chunk's number and whether it is the last stand in its nonce and in its additional data, so that chunks moved,
    left out, repeated or cut off at the end are noticed.
    """

    def __init__(self, key: bytes, kid: bytes, bound_to: bytes) -> None:
        assert len(kid) == KID_BYTES
        salt = os.urandom(_SALT_BYTES)
        self._out = _CHUNKS_HEAD + kid + salt
        self._cipher = AESGCM(derive(key, "ruxa1|chunks", salt))
        self._bound_to = bound_to
        self._number = 0
        self._pending = bytearray()

    def feed(self, data: bytes | memoryview) -> bytes:
        """Takes a piece of any size; what is sealed by now."""
        out, self._out = [self._out], b""
        self._pending += data
        # The last chunk is known only at the end, so one full chunk is kept back.
        while len(self._pending) > CHUNK_BYTES:
            out.append(self._seal(bytes(self._pending[:CHUNK_BYTES]), last=False))
            del self._pending[:CHUNK_BYTES]
        return b"".join(out)

    def finish(self) -> bytes:
        """The end of the object."""
        out, self._out = self._out, b""
        return out + self._seal(bytes(self._pending), last=True)

    def _seal(self, chunk: bytes, *, last: bool) -> bytes:
        nonce, bound_to = _chunk_place(self._number, last, self._bound_to)
        self._number += 1
        return self._cipher.encrypt(nonce, chunk, bound_to)


class ChunkOpener:
    """Opens what ChunkSealer sealed. What ``feed`` gives is authentic; that it is complete only ``finish`` says."""

    def __init__(self, key: bytes, bound_to: bytes) -> None:
        self._key = key
        self._bound_to = bound_to
        self._cipher: AESGCM | None = None
        self._number = 0
        self._pending = bytearray()

    def feed(self, data: bytes | memoryview) -> bytes:
        """Takes a piece of any size; what is opened by now. Raises Broken ``sealed_damaged``."""
        self._pending += data
        if self._cipher is None:
            if len(self._pending) < CHUNKS_HEAD_BYTES:
                return b""
            head = bytes(self._pending[:CHUNKS_HEAD_BYTES])
            chunks_kid(head)
            self._cipher = AESGCM(derive(self._key, "ruxa1|chunks", head[_BODY:]))
            del self._pending[:CHUNKS_HEAD_BYTES]
        out: list[bytes] = []
        whole = CHUNK_BYTES + _TAG_BYTES
        while len(self._pending) > whole:
            out.append(self._open(bytes(self._pending[:whole]), last=False))
            del self._pending[:whole]
        return b"".join(out)

    def finish(self) -> bytes:
        """The end of the object. Raises Broken ``sealed_damaged`` also when something is missing."""
        return self._open(bytes(self._pending), last=True)

    def _open(self, chunk: bytes, *, last: bool) -> bytes:
        if self._cipher is not None and len(chunk) >= _TAG_BYTES:
            nonce, bound_to = _chunk_place(self._number, last, self._bound_to)
            self._number += 1
            try:
                return self._cipher.decrypt(nonce, chunk, bound_to)
            except InvalidTag:
                pass
        raise Broken("A sealed value is damaged.", code="sealed_damaged")


def seal_chunks(key: bytes, kid: bytes, place: bytes, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunked envelope of a long value (up to 256 TiB), as it comes."""
    sealer = ChunkSealer(key, kid, place)
    for chunk in chunks:
        if sealed := sealer.feed(chunk):
            yield sealed
    yield sealer.finish()


def open_chunks(key: bytes, place: bytes, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The value of a chunked envelope, as it comes. Raises Broken ``sealed_damaged``, at the latest at its end."""
    opener = ChunkOpener(key, place)
    for chunk in chunks:
        if opened := opener.feed(chunk):
            yield opened
    yield opener.finish()


def chunks_kid(head: bytes) -> bytes:
    """Which key made a chunked envelope, from its first 26 bytes. Raises Broken ``sealed_damaged``."""
    if len(head) < CHUNKS_HEAD_BYTES or head[:2] != _CHUNKS_HEAD:
        raise Broken("A sealed value is damaged.", code="sealed_damaged")
    return head[2:_BODY]


def _chunk_place(number: int, last: bool, bound_to: bytes) -> tuple[bytes, bytes]:
    """The nonce and the additional data of a chunk."""
    assert number < _CHUNKS_MAX
    mark = number.to_bytes(4, "big") + bytes([last])
    return bytes(7) + mark, bound_to + b"|" + mark


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

    def drop_name(self, name: str) -> None:
        """Forgets one key, if it is there."""
        self._held.pop(name, None)

    def drop_if(self, matches: Callable[[T], bool]) -> None:
        """Forgets every key that matches."""
        for name in [name for name, (_, key) in self._held.items() if matches(key)]:
            del self._held[name]

    def clear(self) -> None:
        """Forgets all."""
        self._held.clear()
