"""Deterministic embeddings: the same text gives the same unit vector, other texts give others."""

from __future__ import annotations

import base64
import hashlib
import math
import struct

DIMENSIONS_DEFAULT = 256
DIMENSIONS_MAX = 3072


def vector(text: str, dimensions: int) -> list[float]:
    """A unit vector of float32 values drawn from a hash of the text."""
    values: list[float] = []
    block = 0
    while len(values) < dimensions:
        digest = hashlib.sha256(f"{block}\0{text}".encode()).digest()
        values.extend((byte - 127.5) / 127.5 for byte in digest)
        block += 1
    values = values[:dimensions]
    length = math.sqrt(sum(value * value for value in values))
    return list(struct.unpack(f"<{dimensions}f", struct.pack(f"<{dimensions}f", *(value / length for value in values))))


def packed(values: list[float]) -> str:
    """Base64 of little-endian float32."""
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
