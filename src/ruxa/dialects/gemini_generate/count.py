"""Counts of tokens in Google's words (``translator.Counter``): the whole request for an answer inside the question."""

from __future__ import annotations

import msgspec

from ruxa.kernel.errors import UpstreamBroken

_encode = msgspec.json.Encoder().encode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Counted(msgspec.Struct, gc=False, rename="camel"):
    total_tokens: int = 0


_decode = msgspec.json.Decoder(_Counted).decode


def write_count(body: bytes, model: str) -> bytes:
    """See ``translator.Counter``."""
    return _encode({"generateContentRequest": {"model": f"models/{model}", **_decode_members(body)}})


def read_count(body: bytes) -> int:
    """See ``translator.Counter``."""
    try:
        return _decode(body).total_tokens
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UpstreamBroken("The provider's answer is no count of tokens.") from None


def write_counted(tokens: int) -> bytes:
    """See ``translator.Counter``."""
    return _encode(_Counted(total_tokens=tokens))
