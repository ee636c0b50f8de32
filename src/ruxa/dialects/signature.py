"""Signatures of thinking on foreign ground: how one vendor's proof travels through another vendor's dialect and back.

Thinking of one vendor may pass through a client that speaks another's dialect. Its signature is packed together with
whose it is, so that it comes back to its own vendor byte for byte and is never shown to another one as if it were
theirs. A packed signature is standard base64 (Gemini's SDK decodes the field) and begins with a mark.
"""

from __future__ import annotations

import base64
import binascii

from ruxa.dialects.call import Origin

_MARK = b"ruxa1."  # eight characters of base64, without a remainder of the next
START = base64.b64encode(_MARK).decode()
"""How a packed signature begins."""
# ``thinking`` marks whole pieces of it (``gemini_generate/thoughts.py``): no vendor's signature either.
_ORIGINS: dict[bytes, Origin] = {
    b"anthropic": "anthropic",
    b"google": "google",
    b"openai": "openai",
    b"": "",
    b"thinking": "",
}


def pack(origin: Origin, signature: str) -> str:
    """A signature as another dialect may carry it."""
    return base64.b64encode(_MARK + origin.encode() + b"." + signature.encode()).decode()


def unpack(text: str) -> tuple[Origin, str] | None:
    """Whose signature it is, and the signature; None when it was not packed here."""
    if not text.startswith(START):
        return None
    try:
        plain = text.replace("-", "+").replace("_", "/")  # Google's SDK writes the other alphabet
        origin, _, signature = base64.b64decode(plain, validate=True)[len(_MARK) :].partition(b".")
        known = _ORIGINS.get(origin)
        return None if known is None else (known, signature.decode())
    except (binascii.Error, UnicodeDecodeError):
        return None


def read(text: str, own: Origin) -> tuple[Origin, str]:
    """A signature found in a dialect: packed, so another's; else its own vendor's, or nobody's when empty."""
    if not text:
        return "", ""
    return unpack(text) or (own, text)


def write(origin: Origin, signature: str, own: Origin) -> str:
    """The signature for an answer in the dialect of ``own``: bare when it is that vendor's, packed when not.

    A vendor's own that looks packed (that vendor is a gateway like this one) is packed as well, so that it comes back
    whole.
    """
    if not signature and not origin:
        return ""
    return signature if origin == own and unpack(signature) is None else pack(origin, signature)
