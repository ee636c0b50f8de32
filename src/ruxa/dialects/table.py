"""The closed table of an envelope: every top-level field has a class, and only what stands in it passes (D11).

A table is dated data: a line to change when a vendor adds a field. What each class means:

- content: passes byte for byte, its bytes are weighed for the hold;
- parameter: passes as it is (the few that Ruxa reads or sets are handled by name in the dialect);
- price: passes when its value is free of extra charge, else it is a Claim that the target's terms must allow;
- recipient: names a further recipient or state kept at the provider: a Claim whenever it is present;
- identity: tells the caller's own user; replaced by a pseudonym, or removed when it is not text;
- own: Ruxa alone decides what is sent (``store``, ``stream_options``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from ruxa.dialects.body import ARRAY, BOOL, KINDS, NULL, NUMBER, OBJECT, STRING, Span
from ruxa.dialects.dialect import Claim, Envelope, Patched, Terms
from ruxa.kernel.errors import Unsupported

Class = Literal["content", "parameter", "price", "recipient", "identity", "own"]

ANY = STRING | NUMBER | BOOL | ARRAY | OBJECT | NULL
PIECE_BYTES_MIN = 16 * 1024
"""Bodies up to this size are joined: one small copy is cheaper than several writes."""


class Field(msgspec.Struct, frozen=True):
    """One line of a table: class, allowed kinds of value (bits of ``body``), free values of a price field (raw)."""

    kind: Class
    kinds: int = ANY
    free: frozenset[bytes] = frozenset()


Table = Mapping[str, Field]


class Scan(msgspec.Struct, gc=False):
    """What one pass over the members found. wrong: the first member of a kind that its field does not allow."""

    content_bytes: int
    unknown: tuple[str, ...]
    identities: tuple[str, ...]
    claims: tuple[Claim, ...]
    wrong: str | None


def scan(body: bytes, spans: list[Span], table: Table) -> Scan:
    """Classifies every member of a body."""
    content = 0
    unknown: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    wrong: str | None = None
    find = table.get
    for name, _, at, end in spans:
        field = find(name)
        if field is None:
            unknown += (name,)
            continue
        if not KINDS[body[at]] & field.kinds and wrong is None:
            wrong = name
        kind = field.kind
        if kind == "parameter":
            continue
        if kind == "content":
            content += end - at
        elif kind == "identity":
            if body[at] != 0x6E:
                identities += (name,)
        elif body[at] != 0x6E:
            value = body[at:end]
            if kind != "own" and value not in field.free:
                claims += (Claim(kind=kind, name=_claim_name(name, value), param=name),)
    return Scan(content, unknown, identities, claims, wrong)


def _claim_name(name: str, value: bytes) -> str:
    """``service_tier:flex`` for a short word, else the field alone."""
    if value[:1] == b'"' and value[1:-1].replace(b"_", b"").isalnum() and len(value) < 40:
        return f"{name}:{value[1:-1].decode()}"
    return name


def check(envelope: Envelope, terms: Terms) -> None:
    """Raises Unsupported for the first claim outside ``terms``."""
    allowed = terms.allowed
    for claim in envelope.claims:
        if claim.name in allowed or f"{claim.name.partition(':')[0]}:*" in allowed:
            continue
        reason = "changes the price" if claim.kind == "price" else "would share data with a further recipient"
        raise Unsupported(
            f"'{claim.param}' ({claim.name}) {reason} and is not enabled for this model.",
            code=f"{claim.kind}_not_allowed",
            param=claim.param,
        )


def dropped(envelope: Envelope, terms: Terms) -> tuple[str, ...]:
    """Top-level names that must not go out, in order."""
    gone = () if terms.own_key else tuple(name for name in envelope.unknown if name not in terms.pass_fields)
    if terms.drop_fields:
        gone += tuple(name for name in envelope.members if name in terms.drop_fields and name not in gone)
    return gone


def splice(
    body: bytes,
    spans: list[Span],
    edits: Mapping[str, bytes | None],
    added: list[bytes],
    *,
    lossy: tuple[str, ...] = (),
    replaced: tuple[str, ...] = (),
) -> Patched:
    """``body`` with the values of ``edits`` (None removes the member) and the members ``added`` at the end.

    All other bytes between the first key and the last value stay as they came, white space included.
    """
    pieces: list[bytes | memoryview] = [b"{"]
    add = pieces.append
    source: bytes | memoryview = body if len(body) < PIECE_BYTES_MIN else memoryview(body)
    start = -1
    last = 0
    for name, key, at, end in spans:
        if name not in edits:
            if start < 0:
                if len(pieces) > 1:
                    add(b",")
                start = key
            last = end
            continue
        value = edits[name]
        if value is None:
            if last > start >= 0:
                add(source[start:last])
            start = -1
            continue
        if start < 0:
            if len(pieces) > 1:
                add(b",")
            start = key
        add(source[start:at])
        add(value)
        start = last = end
    if last > start >= 0:
        add(source[start:last])
    for text in added:
        if len(pieces) > 1:
            add(b",")
        add(text)
    add(b"}")
    if source is body:
        whole = b"".join(pieces)
        return Patched(pieces=[whole], length=len(whole), dropped=lossy, replaced=replaced)
    return Patched(pieces=pieces, length=sum(map(len, pieces)), dropped=lossy, replaced=replaced)
