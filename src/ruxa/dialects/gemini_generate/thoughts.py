"""Thinking of other vendors in Google's dialect: as thought parts, and once more on the tool call that follows it.

Google's clients send thought parts back or leave them out (gemini-cli does), but all of them keep the
``thoughtSignature`` of a function call. Other vendors refuse a tool loop whose thinking is gone. So the first call of a
turn carries in its signature the signed thinking that led to it; it is put back where the parts themselves did not
come. What only Google may read is never packed like this, and Google never sees what is.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from ruxa.dialects import signature
from ruxa.dialects.call import Origin, Thinking

SENTINEL = "skip_thought_signature_validator"
"""What Google's documentation gives for function calls that no model of theirs has signed (W35)."""

PACKED_CHARS_MAX = 256 * 1024
_MARK = b"ruxa1.thinking."  # begins as ``signature``'s mark, so that all know it for no vendor's; 20 characters
_START = base64.b64encode(_MARK).decode()
_SENTINEL_STANDARD = SENTINEL.replace("_", "/")
_SENTINEL_ENCODED = base64.b64encode(SENTINEL.encode()).decode()
_STANDARD = str.maketrans("-_", "+/")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Thinking]).decode


def standard(text: str) -> str:
    """Base64 in the common alphabet and filled up: Google's own SDKs write it URL-safe."""
    if "-" in text or "_" in text:
        text = text.translate(_STANDARD)
    return text if len(text) % 4 == 0 else text + "=" * (-len(text) % 4)


def read(text: str | None) -> tuple[Origin, str]:
    """Whose signature stands in a caller's ``thoughtSignature``, and the signature; nobody's for the sentinel."""
    told = standard(text or "")
    if told in (_SENTINEL_STANDARD, _SENTINEL_ENCODED) or told.startswith(_START):
        return "", ""
    return signature.read(told, "google")


def unpack(text: str | None) -> list[Thinking]:
    """The thinking that a ``thoughtSignature`` carries, none if it is an ordinary one."""
    told = standard(text or "")
    if not told.startswith(_START):
        return []
    try:
        return _decode(base64.b64decode(told, validate=True)[len(_MARK) :])
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
        return []


def write(thinking: Thinking) -> str:
    """The ``thoughtSignature`` of a thought part in an answer."""
    if thinking.redacted or thinking.id:
        return pack([msgspec.structs.replace(thinking, text="")])
    return signature.write(thinking.origin, thinking.signature, "google")


def pack(thinking: list[Thinking]) -> str:
    """Thinking as a signature; '' when it is none that its vendor wants back, or too much."""
    wanted = [part for part in thinking if part.signature and part.origin != "google"]
    if not wanted or sum(len(part.text) + len(part.signature) for part in wanted) > PACKED_CHARS_MAX:
        return ""
    return base64.b64encode(_MARK + _encode(wanted)).decode()
