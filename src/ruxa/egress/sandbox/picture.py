"""Pictures of the sandbox: PNG files whose colours come from the prompt, the same for the same prompt."""

from __future__ import annotations

import hashlib
import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIDE_MAX = 4096


def png(text: str, width: int, height: int) -> bytes:
    """Bands between two colours drawn from a hash of the text."""
    digest = hashlib.sha256(text.encode()).digest()
    first, second = digest[:3], digest[3:6]
    rows: list[bytes] = []
    for y in range(height):
        share = (y * 16 // height) / 15
        colour = bytes(int(a + (b - a) * share) for a, b in zip(first, second, strict=True))
        rows.append(b"\0" + colour * width)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(b"".join(rows), 6)) + _chunk(b"IEND", b"")


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG, None when it is none."""
    if not data.startswith(SIGNATURE) or len(data) < 24:
        return None
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
