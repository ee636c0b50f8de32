"""The attacker's tool: finds words in copies, plain in any usual coding or sealed under any key that can be carved.

It knows the formats as anybody does who reads the source, and nothing of the product runs in it:

    envelope   01 01 | kid (8) | nonce (12) | ciphertext | tag            AES-256-GCM
    chunked    02 01 | kid (8) | salt (16) | chunks                       key = HKDF(field key, "ruxa1|chunks", salt)
    field key  HKDF-SHA256(key, salt = day key or none, "ruxa1|class|table|column")
    key        an envelope of 32 bytes under an epoch key; its kid is the end of the epoch's id
    journal    RXJ1 | run | number | day | salt | crc, then frames        key = HKDF(day key, salt, "ruxa.journal|...")

Where an envelope begins and ends in a heap page or a log record does not matter: the counter mode under GCM is undone
without its tag and without knowing the place the value was bound to. Every key is tried on everything.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hmac import digest
from uuid import UUID

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB

KID = 8
DATA = 8192  # of an envelope's ciphertext, as much as is kept
BLOCK = 16
# How sealed values begin that are no text: MessagePack.
BEGINS = {"ruxa1|content|content.repeat|answer_sealed": b"\x84\xaccontent_type"}
# Columns whose large values lie in object storage, chunk by chunk.
CHUNKED = (
    "content.item|request_sealed",
    "content.item|answer_sealed",
    "content.file|body_sealed",
    "content.response|state_sealed",
)
JOURNAL = struct.Struct(">4sQII16sI")
FRAME = struct.Struct(">III")
# The nonces of an object's first chunk: when others follow it, and when it is the last one.
_CHUNKS = (bytes(12), bytes(11) + b"\1")
# Field key -> beginning of an object -> with which of those it reads as text: copies say the same objects many times.
_TRIED: dict[bytes, dict[bytes, tuple[int, ...]]] = {}
# What text, JSON and compressed data begin with.
_TEXTY = bytes(1 if 32 <= byte < 127 or byte in (9, 10, 13) or byte >= 0xC2 else 0 for byte in range(256))


@dataclass(frozen=True)
class Sealing:
    """How one place is sealed, from its declaration: the field key's info, and whether a day key salts it."""

    info: str
    salted: bool


@dataclass(frozen=True)
class Find:
    """One word that was found: which, how (a coding, or the sealed place it was opened from), where."""

    word: str
    how: str
    where: str


@dataclass
class _Envelope:
    where: str
    kid: bytes
    nonce: bytes
    data: bytes


@dataclass
class Attack:
    """One attack: look at everything, then solve. Every planted word is ``mark`` + ``x`` + the word's name + ``-``.

    kids: the ids of all keys there ever were (they are no secret); epochs: those of the epochs; ids: names of things
    that are told by an id instead of a planted word.
    """

    mark: str
    sealings: list[Sealing]
    kids: set[bytes]
    epochs: set[bytes]
    ids: dict[str, UUID] = field(default_factory=dict)
    finds: list[Find] = field(default_factory=list)
    looked_at: int = 0
    _wrapped: dict[bytes, _Envelope] = field(default_factory=dict)
    _envelopes: dict[bytes, _Envelope] = field(default_factory=dict)
    _chunked: dict[bytes, _Envelope] = field(default_factory=dict)
    _journals: list[tuple[str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.learn(self.kids, self.epochs)
        plain = self.mark.encode()
        self._word = re.compile(re.escape(plain) + rb"x([a-z0-9]+)-")
        self._forms = forms(self.mark)
        # PostgreSQL's own compression puts a control byte before each eight literals.
        self._broken = re.compile(rb"[\x00-\xff]?".join(re.escape(bytes([byte])) for byte in plain))

    def learn(self, kids: set[bytes], epochs: set[bytes]) -> None:
        """Key ids that came later."""
        self.kids, self.epochs = self.kids | kids, self.epochs | epochs
        every = sorted(self.kids | self.epochs)
        alternatives = b"(?:" + b"|".join(map(re.escape, every)) + b")"
        self._headers = [re.compile(head + alternatives) for head in (b"\x01\x01", b"\x02\x01")]
        self._hex = re.compile(b"0[12]01(?:" + b"|".join(kid.hex().encode() for kid in every) + b")")

    # Looking

    def look(self, where: str, blob: bytes) -> None:
        """Everything that can be seen in a copy: words, and what might be opened later."""
        self.looked_at += len(blob)
        self._see(where, blob)
        for inner, text in inflated(blob):
            self._see(f"{where} ({inner})", text)
            self._gather(f"{where} ({inner})", text)
        self._gather(where, blob)
        for at in re.finditer(b"RXJ1", blob):
            self._journals.append((where, blob[at.start() : at.start() + (1 << 20)]))

    def _see(self, where: str, blob: bytes) -> None:
        for coding, form in self._forms.items():
            if form in blob:
                words = {match[1].decode() for match in self._word.finditer(blob)} if coding == "utf-8" else set[str]()
                self.finds += [Find(word, coding, where) for word in sorted(words)] or [Find("?", coding, where)]
        if not any(find.where == where for find in self.finds) and self._broken.search(blob):
            self.finds.append(Find("?", "pglz", where))
        self.finds += [Find(name, how, where) for name, how in self._named(blob)]

    def _named(self, text: bytes) -> Iterator[tuple[str, str]]:
        """Which ids are in a text, as which of their forms."""
        for name, value in self.ids.items():
            for how, form in (("id", value.bytes), ("id in hex", value.hex.encode()), ("uuid", str(value).encode())):
                if form in text:
                    yield name, how

    def _gather(self, where: str, blob: bytes) -> None:
        for pattern in self._headers:
            for match in pattern.finditer(blob):
                self._take(where, blob[match.start() : match.start() + 10 + 12 + DATA])
        if b"0101" in blob or b"0201" in blob:
            for match in self._hex.finditer(blob):
                digits = re.match(rb"[0-9a-f]*", blob[match.start() : match.start() + 2 * (10 + 12 + DATA)])
                assert digits is not None
                self._take(f"{where} (hex)", bytes.fromhex(digits[0][: len(digits[0]) // 2 * 2].decode()))

    def _take(self, where: str, piece: bytes) -> None:
        kid, rest = piece[2:10], piece[10:]
        if piece[0] == 2:
            self._chunked.setdefault(rest[:16], _Envelope(where, kid, rest[:16], rest[16:]))
        elif kid in self.epochs:
            self._wrapped.setdefault(rest[:12], _Envelope(where, kid, rest[:12], rest[12:44]))
        else:
            self._envelopes.setdefault(rest[:12], _Envelope(where, kid, rest[:12], rest[12:]))

    # Solving

    def solve(self, held: Mapping[str, bytes]) -> list[Find]:
        """Tries all keys on all ciphertexts; every word found, plain ones too. ``held``: secrets, by what they are."""
        secrets = self.carved(held)
        finds = dict.fromkeys(self.finds)
        envelopes = list(self._envelopes.values())
        counters = b"".join(_counter(envelope.nonce) for envelope in envelopes)
        heads = int.from_bytes(b"".join(envelope.data[:BLOCK].ljust(BLOCK, b"\0") for envelope in envelopes), "big")
        chunks = [(chunked.nonce + chunked.data[:BLOCK], chunked) for chunked in self._chunked.values()]
        for info, key in self._field_keys(secrets):
            if "|object|" not in info:
                begins = BEGINS.get(info)
                for at in _texty(key, counters, heads) if begins is None else _begun(key, counters, heads, begins):
                    envelope = envelopes[at]
                    finds |= self._read(info, envelope.where, _ctr(key, envelope.nonce, envelope.data))
                if not info.endswith(CHUNKED):
                    continue
            tried = _TRIED.setdefault(key, {})
            for first, chunked in chunks:
                lasts = tried.get(first)
                if lasts is None:
                    lasts = tried[first] = _chunk_read(key, chunked)
                for last in lasts:
                    inner = _hkdf(key, b"ruxa1|chunks", chunked.nonce)
                    finds |= self._read(info, chunked.where, _ctr(inner, _CHUNKS[last], chunked.data))
        for where, blob in self._journals:
            finds |= self._open_journal(where, blob, secrets)
        return list(finds)

    def carved(self, held: Mapping[str, bytes]) -> dict[bytes, str]:
        """Every key there is: those held, and those wrapped under them in anything that was seen."""
        secrets = {secret: what for what, secret in held.items() if len(secret) == 32}
        for secret, what in list(secrets.items()):
            for envelope in self._wrapped.values():
                # An epoch's key is a file named by the epoch's id, and the wrapped key's kid is that id's end.
                if len(envelope.data) == 32 and envelope.kid.hex() in what:
                    secrets.setdefault(_ctr(secret, envelope.nonce, envelope.data), f"key wrapped under {what}")
        return secrets

    def _field_keys(self, secrets: Mapping[bytes, str]) -> Iterator[tuple[str, bytes]]:
        """Every key as it is, and every field key that can be derived from two of them."""
        for secret, what in secrets.items():
            yield what, secret
        for salt in (None, *secrets):
            wanted = [sealing.info for sealing in self.sealings if sealing.salted == (salt is not None)]
            for secret in secrets:
                root = _extract(secret, salt)
                for info in wanted:
                    yield info, _expand(root, info.encode())

    def _read(self, how: str, where: str, text: bytes) -> dict[Find, None]:
        found = {match[1].decode() for match in self._word.finditer(text)} | {name for name, _ in self._named(text)}
        return {Find(word, f"sealed {how}", where): None for word in sorted(found)}

    def _open_journal(self, where: str, blob: bytes, secrets: Iterable[bytes]) -> dict[Find, None]:
        found: dict[Find, None] = {}
        if len(blob) < JOURNAL.size + FRAME.size:
            return found
        _, run, number, _, salt, _ = JOURNAL.unpack_from(blob)
        worker = where.rstrip("/").split("/")[-2]
        info = b"ruxa.journal|%b|%d|%d" % (worker.encode(), run, number)
        for secret in secrets:
            key, at = _hkdf(secret, info, salt), JOURNAL.size
            while at + FRAME.size < len(blob):
                length, _, frame = FRAME.unpack_from(blob, at)
                if not 0 < length < 1 << 16:
                    break
                sealed = blob[at + FRAME.size : at + FRAME.size + length]
                found |= self._read("journal", where, _ctr(key, frame.to_bytes(12, "big"), sealed))
                at += FRAME.size + length
        return found


def forms(word: str) -> dict[str, bytes]:
    """A word as it may lie about: name of the coding -> bytes."""
    plain = word.encode()
    found = {
        "utf-8": plain,
        "utf-16-le": word.encode("utf-16-le"),
        "utf-16-be": word.encode("utf-16-be"),
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
        "url": "".join(f"%{byte:02x}" for byte in plain).encode(),
        "URL": "".join(f"%{byte:02X}" for byte in plain).encode(),
        "json": "".join(f"\\u{ord(mark):04x}" for mark in word).encode(),
        "reversed": plain[::-1],
        "rot13": word.translate(str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")).encode(),
    }
    # Base64 at each of the three alignments, without the edges that depend on its neighbours.
    for shift in range(3):
        encoded = base64.b64encode(b"x" * shift + plain)
        found[f"base64+{shift}"] = encoded[4 if shift else 0 : len(encoded) // 4 * 4 - 4]
    assert json.dumps(word) == f'"{word}"', "marks are letters and digits"
    return found


def inflated(blob: bytes) -> Iterator[tuple[str, bytes]]:
    """What can be decompressed in a blob: gzip, zlib and the deflated members of ZIP files."""
    view = memoryview(blob)
    for kind, bits, pattern, skip in (
        ("gzip", 31, rb"\x1f\x8b\x08", 0),
        ("zlib", 15, rb"\x78[\x01\x5e\x9c\xda]", 0),
        ("zip", -15, rb"PK\x03\x04", 30),
    ):
        for match in re.finditer(pattern, blob):
            at = match.start() + skip
            if kind == "zip":
                at += sum(struct.unpack_from("<HH", blob, match.start() + 26)) if at + 30 < len(blob) else 0
            try:
                # Most of what looks like a beginning is none, and tells so in its first bytes.
                zlib.decompressobj(bits).decompress(view[at : at + 256], 1 << 16)
                text = zlib.decompressobj(bits).decompress(view[at : at + (1 << 20)], 1 << 22)
            except zlib.error:
                continue
            if len(text) >= 8:
                yield kind, text


def words(finds: Iterable[Find]) -> set[str]:
    """Which words were found."""
    return {find.word for find in finds}


def _texty(key: bytes, counters: bytes, heads: int) -> Iterator[int]:
    """Which ciphertexts begin like text under a key: all first blocks are undone in one go."""
    if not counters:
        return
    stream = Cipher(AES(key), ECB()).encryptor().update(counters)
    texty = (int.from_bytes(stream, "big") ^ heads).to_bytes(len(counters), "big").translate(_TEXTY)
    at = texty.find(b"\1" * BLOCK)
    while at >= 0:
        if at % BLOCK == 0:
            yield at // BLOCK
        at = texty.find(b"\1" * BLOCK, at + 1)


def _begun(key: bytes, counters: bytes, heads: int, begins: bytes) -> Iterator[int]:
    """As ``_texty``, for what is no text but begins with certain bytes."""
    if not counters:
        return
    stream = Cipher(AES(key), ECB()).encryptor().update(counters)
    opened = (int.from_bytes(stream, "big") ^ heads).to_bytes(len(counters), "big")
    at = opened.find(begins)
    while at >= 0:
        if at % BLOCK == 0:
            yield at // BLOCK
        at = opened.find(begins, at + 1)


def _chunk_read(key: bytes, chunked: _Envelope) -> tuple[int, ...]:
    """With which nonces an object's first chunk begins like text under a key."""
    head = chunked.data[:BLOCK]
    # GCM itself is that counter mode; it takes a third of the time that ``_ctr`` takes.
    mode = AESGCM(_hkdf(key, b"ruxa1|chunks", chunked.nonce))
    opened = [mode.encrypt(nonce, head, None)[: len(head)] for nonce in _CHUNKS]
    return tuple(last for last, text in enumerate(opened) if b"\0" not in text.translate(_TEXTY))


def _counter(nonce: bytes) -> bytes:
    return nonce + b"\0\0\0\2"


def _ctr(key: bytes, nonce: bytes, data: bytes) -> bytes:
    """Undoes GCM's counter mode; whether the tag is right does not matter to an attacker."""
    return Cipher(AES(key), CTR(_counter(nonce))).decryptor().update(data)


def _hkdf(key: bytes, info: bytes, salt: bytes | None) -> bytes:
    """HKDF-SHA256 (RFC 5869) of 32 bytes."""
    return _expand(_extract(key, salt), info)


def _extract(key: bytes, salt: bytes | None) -> bytes:
    return digest(salt or bytes(32), key, "sha256")


def _expand(root: bytes, info: bytes) -> bytes:
    return digest(root, info + b"\1", "sha256")
