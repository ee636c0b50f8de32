"""Typed, prefixed, time-ordered ids: UUIDv7 (RFC 9562, 5.7) in the store, ``prefix_`` + 32 hex digits outside.

The database holds the bare ``uuid``; people, JSON and headers see the text. A kind's prefix is checked when read.
"""

from __future__ import annotations

import os
import re
import time
from typing import Final, Literal, NewType
from uuid import UUID

from ruxa.kernel.errors import NotFound

Kind = Literal[
    "org",
    "mem",
    "key",
    "req",
    "xfer",
    "acct",
    "hold",
    "lease",
    "lot",
    "price",
    "mail",
    "job",
    "ses",
    "ers",
    "exp",
    "file",
    "batch",
    "order",
    "rfnd",
    "dsp",
    "doc",
    "cfm",
    "fact",
    "frz",
    "wish",
    "diff",
    "margin",
    "plan",
    "pkey",
]

# UUID() itself takes more: a line break or an underscore among the digits, and the digits of every script.
_DIGITS: Final = re.compile(r"[0-9a-fA-F]{32}")

OrganisationId = NewType("OrganisationId", UUID)
MemberId = NewType("MemberId", UUID)
KeyId = NewType("KeyId", UUID)
RequestId = NewType("RequestId", UUID)
TransferId = NewType("TransferId", UUID)
LeaseId = NewType("LeaseId", UUID)
LotId = NewType("LotId", UUID)
PriceId = NewType("PriceId", UUID)


def at(unix_ms: int) -> UUID:
    """A fresh UUIDv7 whose time part is ``unix_ms`` (milliseconds since 1970, UTC)."""
    random = int.from_bytes(os.urandom(10), "big")
    return UUID(
        int=(unix_ms & 0xFFFF_FFFF_FFFF) << 80
        | 0x7 << 76
        | (random >> 68 & 0xFFF) << 64
        | 0b10 << 62
        | (random & 0x3FFF_FFFF_FFFF_FFFF)
    )


def fresh() -> UUID:
    """A fresh UUIDv7 of this machine's wall clock, in the order of making down to a quarter of a microsecond (RFC 9562,
    6.2, method 3); ids that decide a partition use ``at`` with the store's day."""
    unix_ms, rest_ns = divmod(time.time_ns(), 1_000_000)
    random = int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF
    return UUID(int=unix_ms << 80 | 0x7 << 76 | (rest_ns * 4096 // 1_000_000) << 64 | 0b10 << 62 | random)


def floor(unix_ms: int) -> UUID:
    """The lowest UUIDv7-ordered value of that millisecond: the bound of a range partition."""
    return UUID(int=(unix_ms & 0xFFFF_FFFF_FFFF) << 80)


def unix_ms(value: UUID) -> int:
    """The time part of a UUIDv7, milliseconds since 1970, UTC."""
    return value.int >> 80


def text(kind: Kind, value: UUID) -> str:
    """``org`` + uuid -> ``org_0198...`` (32 hex digits)."""
    return f"{kind}_{value.hex}"


def read(kind: Kind, shown: str) -> UUID:
    """The uuid of a shown id. Raises NotFound when it is not an id of that kind."""
    prefix, _, digits = shown.partition("_")
    if prefix != kind or _DIGITS.fullmatch(digits) is None:
        raise NotFound(f"No such {kind} id.")
    return UUID(digits)
