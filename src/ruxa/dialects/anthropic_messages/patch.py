"""Edits a body of Anthropic's for a provider that speaks the same: model, identities, cap; content stays as it came."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ruxa.dialects import foreign
from ruxa.dialects.anthropic_messages.read import read_cap, style
from ruxa.dialects.body import take
from ruxa.dialects.dialect import Envelope, Patched, Terms
from ruxa.dialects.table import check, dropped, splice

_encode = msgspec.json.Encoder().encode


class _Metadata(msgspec.Struct, gc=False):
    user_id: str | None = None


_decode_metadata = msgspec.json.Decoder(_Metadata).decode


def _own(block: foreign.Block) -> foreign.Block | None:
    """A block of thinking without Anthropic's own signature is left out (W33)."""
    kind = foreign.word(block, "type")
    if kind == "thinking":
        return None if not foreign.word(block, "signature") or foreign.packed(block, "signature") else block
    return None if kind == "redacted_thinking" and foreign.packed(block, "data") else block


def patch_messages(
    envelope: Envelope,
    *,
    upstream_model: str,
    pseudonym: Callable[[str], str],
    terms: Terms,
    output_cap: int | None = None,
) -> Patched:
    """The body for the provider. Of ``metadata`` only ``user_id`` goes out, as a pseudonym."""
    check(envelope, terms)
    edits: dict[str, bytes | None] = {"model": _encode(upstream_model)}
    for name in envelope.identities:
        edits[name] = None
        if name == "metadata":
            user = take(name, _decode_metadata, envelope.members[name], style).user_id
            if user is not None:
                edits[name] = _encode({"user_id": pseudonym(user)})
    cap = envelope.members.get("max_tokens")
    if output_cap is not None and cap is not None:
        edits["max_tokens"] = b"%d" % min(read_cap(cap), output_cap)
    gone = dropped(envelope, terms)
    for name in gone:
        edits[name] = None
    messages = envelope.members.get("messages")
    if messages is not None and (own := foreign.without(messages, "content", _own)) is not None:
        edits["messages"] = own
        gone += (foreign.LOSS,)
    replaced = tuple(name for name in envelope.identities if name not in gone) if gone else envelope.identities
    return splice(envelope.body, envelope.members, envelope.spans, edits, [], lossy=gone, replaced=replaced)
