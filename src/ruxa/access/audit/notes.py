"""Checkpoints as C2SP signed notes: the text that a tree head is, and the two lines that the log signs it with.

The first signature is the note's (type 1), as witnesses and readers expect it; the second is the log's own timestamped
cosignature (type 4), so that the time is signed too without a line of our own in the text.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import Final, Protocol

NOTE: Final = 1
COSIGNATURE: Final = 4


class Signer(Protocol):
    """An Ed25519 key that signs."""

    @property
    def id(self) -> bytes:
        """Which key it is: 8 bytes."""
        ...

    @property
    def public(self) -> bytes:
        """32 bytes."""
        ...

    def sign(self, message: bytes, /) -> bytes:
        """64 bytes."""
        ...


def text(origin: str, size: int, root: bytes) -> str:
    """What is signed: origin, size and root, each a line."""
    return f"{origin}\n{size}\n{b64encode(root).decode()}\n"


def sign(origin: str, size: int, root: bytes, at_s: int, signer: Signer) -> str:
    """The whole note: text, empty line, the note's signature, the timestamped one."""
    body = text(origin, size, root)
    return (
        f"{body}\n{_line(origin, NOTE, signer.public, signer.sign(body.encode()))}{cosign(origin, body, at_s, signer)}"
    )


def cosign(name: str, body: str, at_s: int, signer: Signer) -> str:
    """The line of who saw a tree head at a time (C2SP tlog-cosignature)."""
    signature = signer.sign(f"cosignature/v1\ntime {at_s}\n{body}".encode())
    return _line(name, COSIGNATURE, signer.public, at_s.to_bytes(8, "big") + signature)


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """The 4 bytes by which a note names a key."""
    return sha256(f"{name}\n".encode() + bytes([kind]) + public).digest()[:4]


def vkey(name: str, public: bytes, kind: int = NOTE) -> str:
    """A public key as verifiers are given it."""
    return f"{name}+{key_id(name, kind, public).hex()}+{b64encode(bytes([kind]) + public).decode()}"


def _line(name: str, kind: int, public: bytes, signature: bytes) -> str:
    return f"\N{EM DASH} {name} {b64encode(key_id(name, kind, public) + signature).decode()}\n"
