"""Media as text: data URLs taken apart and put together, and what base64 says of itself in its first bytes.

Nothing is decoded but those first bytes: a picture passes as the base64 that its sender wrote. A wrong label is mended
(W23), because providers refuse a PNG that calls itself a JPEG.
"""

from __future__ import annotations

import base64
import binascii

_HEAD = 32  # characters of base64: 24 bytes, enough for every mark below

_MARKS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
)
_BOXES = {b"avif": "image/avif", b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heif"}
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_SAME = {"audio/mp3": "audio/mpeg", "audio/x-wav": "audio/wav", "audio/wave": "audio/wav", "image/jpg": "image/jpeg"}


def sniff(data: str) -> str:
    """The media type that base64 ``data`` shows in its first bytes, '' when it shows none."""
    head = "".join(data[:_HEAD].split())
    try:
        first = base64.b64decode(head[: len(head) // 4 * 4])
    except (binascii.Error, ValueError):
        return ""
    for mark, media_type in _MARKS:
        if first.startswith(mark):
            return media_type
    if first[:4] == b"RIFF":
        return _RIFF.get(first[8:12], "")
    if first[4:8] == b"ftyp":
        return _BOXES.get(first[8:12], "")
    return "audio/mpeg" if first[:1] == b"\xff" and first[1:2] in (b"\xfb", b"\xf3", b"\xf2") else ""


def labelled(said: str, data: str) -> str:
    """The media type to send: what the bytes show when it is of the kind that was said, else what was said."""
    said = said.partition(";")[0].strip().lower()
    said = _SAME.get(said, said)
    shown = sniff(data)
    if not shown:
        return said
    kind = said.partition("/")[0]
    return shown if said in ("", "application/octet-stream") or kind == shown.partition("/")[0] else said


def opened(url: str) -> tuple[str, str] | None:
    """Media type and base64 of a ``data:`` URL; None when it is none, or not base64."""
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    said, _, last = head.rpartition(";")
    if not comma or last.strip().lower() != "base64":
        return None
    return said.partition(";")[0].strip().lower(), data


def closed(media_type: str, data: str) -> str:
    """A ``data:`` URL of base64."""
    return f"data:{media_type};base64,{data}"
