"""Foreign: proofs of thinking that are not the provider's own, left out of a call that is relayed otherwise as it came.

A client that spoke with one vendor's model and goes on with another's sends the first one's thinking along (W33). It is
told apart by its packed signature (``signature.py``), or by having none at all. Only calls in which such a mark stands
are looked into; all others are not touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from ruxa.dialects.signature import START, unpack

LOSS = "thinking"

Block = dict[str, msgspec.Raw]
Judge = Callable[[Block], Block | None]
"""What becomes of a block: itself, another, or nothing."""

_MARK = START.encode()
_NONE = re.compile(rb'"signature"\s*:\s*""')
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_members = msgspec.json.Decoder(Block).decode
_decode_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode
# What is no block, or no text, is passed on for the provider to refuse.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)


def suspected(content: bytes | memoryview | msgspec.Raw) -> bool:
    """Whether a mark stands in it."""
    data = content if isinstance(content, bytes) else bytes(content)
    return _MARK in data or (b'"signature"' in data and _NONE.search(data) is not None)


def word(block: Block, name: str) -> str:
    """A member that is a text, '' when it is missing or something else."""
    raw = block.get(name)
    try:
        return "" if raw is None else _decode_text(raw)
    except _UNREADABLE:
        return ""


def packed(block: Block, name: str) -> bool:
    """Whether that member is a signature of another vendor's (or nobody's)."""
    return unpack(word(block, name)) is not None


def without(content: msgspec.Raw, inner: str, judge: Judge) -> bytes | None:
    """A list of messages whose blocks in ``inner`` were judged ('': a list of blocks); None: nothing changed.

    A message of which nothing is left is left out.
    """
    if not suspected(content):
        return None
    kept: list[msgspec.Raw] = []
    changed = False
    for raw in _decode_items(content):
        new = _judged(raw, judge) if not inner else _message(raw, inner, judge)
        changed = changed or new is not raw
        if new is not None:
            kept.append(new)
    return _encode(kept) if changed else None


def _message(raw: msgspec.Raw, inner: str, judge: Judge) -> msgspec.Raw | None:
    if not suspected(raw):
        return raw
    try:
        members = _decode_members(raw)
    except _UNREADABLE:
        return raw
    blocks = members.get(inner)
    if blocks is None or not bytes(blocks).lstrip().startswith(b"["):
        return raw
    old = _decode_items(blocks)
    new = [_judged(block, judge) for block in old]
    left = [block for block in new if block is not None]
    if len(left) == len(old) and all(one is other for one, other in zip(left, old, strict=True)):
        return raw
    return msgspec.Raw(_encode({**members, inner: left})) if left else None


def _judged(raw: msgspec.Raw, judge: Judge) -> msgspec.Raw | None:
    if not suspected(raw):
        return raw
    try:
        block = _decode_members(raw)
    except _UNREADABLE:
        return raw
    new = judge(block)
    if new is block:
        return raw
    return None if new is None else msgspec.Raw(_encode(new))
