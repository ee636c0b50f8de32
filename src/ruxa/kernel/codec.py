"""JSON in and out, on msgspec; canonical form (RFC 8785 for the values we use) for hashing."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import msgspec

_encoder = msgspec.json.Encoder()
_canonical = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder()

Struct = TypeVar("Struct", bound=msgspec.Struct)


class _Clone(Protocol):
    def __call__(self, one: Struct, /) -> Struct: ...


clone: _Clone = getattr(msgspec.Struct, "__copy__")  # noqa: B009 - the stub leaves it out
"""A shallow copy of a struct, as ``copy.copy`` makes it, without the search for how."""

encode = _encoder.encode
decode: Any = _decoder.decode


def canonical(value: object) -> bytes:
    """Keys sorted, no white space, UTF-8: equal values give equal bytes. Values hold no floats."""
    return _canonical.encode(value)
