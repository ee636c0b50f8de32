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

from ruxa.dialects.body import ARRAY, BOOL, KINDS, NULL, NUMBER, OBJECT, STRING, Span, spans, walk
from ruxa.dialects.dialect import Claim, Envelope, Patched, Terms
from ruxa.kernel.errors import Unsupported

Class = Literal["content", "parameter", "price", "recipient", "identity", "own"]

ANY = STRING | NUMBER | BOOL | ARRAY | OBJECT | NULL
PIECE_BYTES_MIN = 16 * 1024
"""Bodies up to this size are joined: one small copy is cheaper than several writes."""

HELD = frozenset({"models", "metadata"})
"""Of the fields that a table does not have: ours, or refused by a provider that is not to keep the call. Never sent."""


class Field(msgspec.Struct, frozen=True):
    """One line of a table: class, allowed kinds of value (bits of ``body``), free values of a price field (raw)."""

    kind: Class
    kinds: int = ANY
    free: frozenset[bytes] = frozenset()


Table = Mapping[str, Field]


class Scan(msgspec.Struct, gc=False):
    """What one pass over the members found.

    wrong: the first member of a kind that its field does not allow; spans: where the members lie, None when the body
    is compact (then lengths tell it).
    """

    content_bytes: int
    unknown: tuple[str, ...]
    identities: tuple[str, ...]
    claims: tuple[Claim, ...]
    wrong: str | None
    spans: list[Span] | None


def scan(body: bytes, members: Mapping[str, msgspec.Raw], table: Table) -> Scan:
    """Classifies every member of a body that ``cut`` has cut. Raises InvalidCall ``duplicate_field``."""
    content = 0
    unknown: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    wrong: str | None = None
    find = table.get
    start = 1
    for name, raw in members.items():
        at = start + len(name) + 3
        size = len(raw)
        start = at + size + 1
        field = find(name)
        if field is None:
            unknown += (name,)
            continue
        first = body[at]
        if not KINDS[first] & field.kinds and wrong is None:
            wrong = name
        kind = field.kind
        if kind == "parameter":
            continue
        if kind == "content":
            content += size
        elif first == 0x6E:  # null
            continue
        elif kind == "identity":
            identities += (name,)
        elif kind != "own" and (value := bytes(raw)) not in field.free:
            claims += (Claim(kind=kind, name=_claim_name(name, value), param=name),)
    if start == len(body) and members:
        return Scan(content, unknown, identities, claims, wrong, None)
    return _scan_spans(body, walk(body, members), table)


def _scan_spans(body: bytes, spans: list[Span], table: Table) -> Scan:
    """The same over known places: the body is not compact, so the first pass looked beside the values."""
    found = Scan(0, (), (), (), None, spans)
    for name, _, at, end in spans:
        field = table.get(name)
        if field is None:
            found.unknown += (name,)
            continue
        if not KINDS[body[at]] & field.kinds and found.wrong is None:
            found.wrong = name
        value = body[at:end]
        if field.kind == "content":
            found.content_bytes += end - at
        elif field.kind in ("parameter", "own") or value == b"null":
            continue
        elif field.kind == "identity":
            found.identities += (name,)
        elif value not in field.free:
            found.claims += (Claim(kind=field.kind, name=_claim_name(name, value), param=name),)
    return found


def _claim_name(name: str, value: bytes) -> str:
    """``service_tier:flex`` for a short word, else the field alone."""
    if value[:1] == b'"' and value[1:-1].replace(b"_", b"").isalnum() and len(value) < 40:
        return f"{name}:{value[1:-1].decode()}"
    return name


def check(envelope: Envelope, terms: Terms) -> None:
    """Raises Unsupported for the first claim outside ``terms``."""
    allowed = terms.allowed
    if "*" in allowed:
        return
    for claim in envelope.claims:
        if claim.name in allowed or f"{claim.name.partition(':')[0]}:*" in allowed:
            continue
        reason = "changes the price" if claim.kind == "price" else "would share data with a further recipient"
        raise Unsupported(
            f"'{claim.param}' ({claim.name}) {reason} and is not enabled for this model.",
            code=f"{claim.kind}_not_allowed",
            param=claim.param,
        )


def unsent(envelope: Envelope, terms: Terms) -> tuple[str, ...]:
    """Of the top-level names that the table does not have, those that must not go out; on the customer's own key only
    what can't."""
    if terms.own_key:
        return tuple(name for name in envelope.unknown if name in HELD)
    return tuple(name for name in envelope.unknown if name not in terms.pass_fields)


def dropped(envelope: Envelope, terms: Terms) -> tuple[str, ...]:
    """Top-level names that must not go out, in order."""
    if not envelope.unknown and not terms.drop_fields:
        return ()
    gone = unsent(envelope, terms)
    if terms.drop_fields:
        gone += tuple(name for name in envelope.members if name in terms.drop_fields and name not in gone)
    return gone


def splice(
    body: bytes,
    members: Mapping[str, msgspec.Raw],
    where: list[Span] | None,
    edits: Mapping[str, bytes | None],
    added: list[bytes],
    *,
    lossy: tuple[str, ...] = (),
    replaced: tuple[str, ...] = (),
) -> Patched:
    """``body`` with the values of ``edits`` (None removes the member) and the members ``added`` at the end.

    All other bytes between the first key and the last value stay as they came, white space included.
    """
    source: bytes | memoryview = body if len(body) < PIECE_BYTES_MIN else memoryview(body)
    if where is None and None not in edits.values():
        pieces = _replace(source, members, edits, added)
    else:
        pieces = _rebuild(source, spans(body, members) if where is None else where, edits, added)
    if source is body:
        whole = b"".join(pieces)
        return Patched(pieces=[whole], length=len(whole), dropped=lossy, replaced=replaced)
    return Patched(pieces=pieces, length=sum(map(len, pieces)), dropped=lossy, replaced=replaced)


def _replace(
    source: bytes | memoryview,
    members: Mapping[str, msgspec.Raw],
    edits: Mapping[str, bytes | None],
    added: list[bytes],
) -> list[bytes | memoryview]:
    """The pieces of a compact body of which no member is removed."""
    pieces: list[bytes | memoryview] = []
    kept = 0
    start = 1
    for name, raw in members.items():
        at = start + len(name) + 3
        start = at + len(raw) + 1
        value = edits.get(name)
        if value is not None:
            pieces.append(source[kept:at])
            pieces.append(value)
            kept = start - 1
    if not added:
        pieces.append(source[kept:])
        return pieces
    pieces.append(source[kept : start - 1])
    for text in added:
        pieces.append(b",")
        pieces.append(text)
    pieces.append(b"}")
    return pieces


def _rebuild(
    source: bytes | memoryview, where: list[Span], edits: Mapping[str, bytes | None], added: list[bytes]
) -> list[bytes | memoryview]:
    """The pieces of any body."""
    pieces: list[bytes | memoryview] = [b"{"]
    add = pieces.append
    start = -1
    last = 0
    for name, key, at, end in where:
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
    return pieces
