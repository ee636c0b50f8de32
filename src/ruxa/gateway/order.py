"""Order: which of a route's targets comes first for one call, so that calls of one conversation go to the same one.

A provider's prompt cache helps only whoever comes back to it: by the hash of what a prompt begins with, each call
draws its own fixed order of the targets, whose first ones are spread by their weights (rendezvous hashing). No table is
kept, every worker says the same, and a target that comes or goes moves only the calls that were or will be its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol, TypeVar
from uuid import UUID

import msgspec

from ruxa.dialects.dialect import Envelope

# What a prompt begins with, in any dialect: members that stand before the turns, and those that hold the turns.
BEFORE = ("system", "systemInstruction", "system_instruction", "instructions", "tools")
TURNS = ("messages", "contents", "input", "prompt")
_FIRST_TURN = (b'"system"', b'"developer"')
_decode_turns = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Named(Protocol):
    """A target."""

    @property
    def model(self) -> str:
        """Its public name."""
        ...


Of = TypeVar("Of", bound=Named)


def prefix(envelope: Envelope, key_id: UUID) -> bytes:
    """A hash, keyed by the caller's key, of what the prompt begins with: all before the turns, and the first of them,
    with the one after it when the first is the system's own."""
    mac = blake2b(key=key_id.bytes, digest_size=16)
    members = envelope.members
    for name in BEFORE:
        if (raw := members.get(name)) is not None:
            mac.update(raw)
    for name in TURNS:
        if (raw := members.get(name)) is None:
            continue
        try:
            turns = _decode_turns(raw)
        except (msgspec.DecodeError, RecursionError):
            mac.update(raw)
            continue
        if turns:
            mac.update(turns[0])
            if len(turns) > 1 and any(word in bytes(turns[0])[:200] for word in _FIRST_TURN):
                mac.update(turns[1])
    return mac.digest()


def shared(targets: Sequence[Of], weights: Sequence[int], prefix: bytes) -> list[Of]:
    """The targets in the order that ``prefix`` draws; each comes first as often as its weight says."""

    def drawn(target: Of, weight: int) -> float:
        part = int.from_bytes(blake2b(target.model.encode(), key=prefix, digest_size=8).digest())
        return -math.log((part + 1) / (1 << 64)) / weight

    scored = sorted(zip(targets, weights, strict=True), key=lambda each: drawn(*each))
    return [target for target, _ in scored]
