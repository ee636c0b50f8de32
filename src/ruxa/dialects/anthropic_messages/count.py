"""Counts of tokens in Anthropic's words (``translator.Counter``): asked with a message's own members, without a cap."""

from __future__ import annotations

import msgspec

from ruxa.kernel.errors import UpstreamBroken

# What takes part in a count, as of anthropic-python 2.12; all else is refused there.
COUNTED = frozenset(
    {"messages", "model", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"}
)

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class _Counted(msgspec.Struct, gc=False):
    input_tokens: int


_decode = msgspec.json.Decoder(_Counted).decode


def write_count(body: bytes, model: str) -> bytes:
    """See ``translator.Counter``."""
    return _encode({name: raw for name, raw in _decode_members(body).items() if name in COUNTED})


def read_count(body: bytes) -> int:
    """See ``translator.Counter``."""
    try:
        return _decode(body).input_tokens
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UpstreamBroken("The provider's answer is no count of tokens.") from None


def write_counted(tokens: int) -> bytes:
    """See ``translator.Counter``."""
    return _encode(_Counted(input_tokens=tokens))
