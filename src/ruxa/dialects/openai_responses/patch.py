"""Edits a request for a provider that speaks the same: model, identities, what is kept, tools it may not run."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

import msgspec

from ruxa.dialects import foreign
from ruxa.dialects.body import given, kind_word, take
from ruxa.dialects.dialect import Claim, Envelope, Patched, Terms
from ruxa.dialects.openai import read_tokens, style
from ruxa.dialects.table import check, dropped, splice

_encode = msgspec.json.Encoder().encode
_decode_text = msgspec.json.Decoder(str).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_STORE_NOT = b'"store":false'
_TOOL = re.compile(r"tools\[(\d+)\]\Z")


class _Choice(msgspec.Struct, gc=False):
    type: str = ""
    tools: list[_Choice] | None = None


_decode_choice = msgspec.json.Decoder(_Choice).decode


def refuse(envelope: Envelope, terms: Terms) -> None:
    """Raises Unsupported for what the terms do not allow, but for hosted tools that the model need not use."""
    left_out = _left_out(envelope, terms)
    if not left_out:
        check(envelope, terms)
        return
    needed = _needed(envelope)
    claims = tuple(claim for claim in envelope.claims if claim not in left_out or _tool_type(claim) in needed)
    check(msgspec.structs.replace(envelope, claims=claims), terms)


def patch_create(
    envelope: Envelope,
    *,
    upstream_model: str,
    pseudonym: Callable[[str], str],
    terms: Terms,
    output_cap: int | None = None,
) -> Patched:
    """The body for the provider. Nothing is ever stored there (D13); hosted tools it may not run are left out."""
    refuse(envelope, terms)
    members = envelope.members
    edits: dict[str, bytes | None] = {"model": _encode(upstream_model)}
    added: list[bytes] = []
    if "store" in members:
        edits["store"] = b"false"
    elif "store" not in terms.drop_fields:
        added.append(_STORE_NOT)
    for name in ("previous_response_id", "conversation"):
        if name in members:
            edits[name] = None
    if output_cap is not None:
        caps = members.get("max_output_tokens")
        asked = None if caps is None else read_tokens("max_output_tokens", caps)
        least = b"%d" % (output_cap if asked is None else min(asked, output_cap))
        if caps is None:
            added.append(b'"max_output_tokens":' + least)
        else:
            edits["max_output_tokens"] = least
    for name in envelope.identities:
        raw = members[name]
        stands = _encode(pseudonym(take(name, _decode_text, raw, style))) if kind_word(raw) == "string" else None
        edits[name] = stands
    lossy = _leave_out(envelope, _left_out(envelope, terms), edits)
    items = members.get("input")
    if items is not None and kind_word(items) == "array" and (own := foreign.without(items, "", _own)) is not None:
        edits["input"] = own
        lossy += (foreign.LOSS,)
    gone = dropped(envelope, terms)
    for name in gone:
        edits[name] = None
    replaced = tuple(name for name in envelope.identities if name not in gone)
    return splice(envelope.body, members, envelope.spans, edits, added, lossy=gone + lossy, replaced=replaced)


def _own(item: foreign.Block) -> foreign.Block | None:
    """Reasoning that another vendor signed is left out."""
    return None if foreign.word(item, "type") == "reasoning" and foreign.packed(item, "encrypted_content") else item


def _left_out(envelope: Envelope, terms: Terms) -> tuple[Claim, ...]:
    """The hosted tools of the list that the terms do not allow."""
    if "*" in terms.allowed or "tool:*" in terms.allowed:
        return ()
    return tuple(claim for claim in envelope.claims if claim.name not in terms.allowed and _TOOL.match(claim.param))


def _tool_type(claim: Claim) -> str:
    return claim.name.removeprefix("tool:")


def _needed(envelope: Envelope) -> frozenset[str]:
    """Types of tools that the call says it must have; all of them when it must use one and no other is offered."""
    raw = envelope.members.get("tool_choice")
    if raw is None or not given(raw):
        return frozenset()
    if kind_word(raw) == "string":
        word = take("tool_choice", _decode_text, raw, style)
        offered = len(take("tools", _decode_items, envelope.members["tools"], style))
        hosted = [_tool_type(claim) for claim in envelope.claims if _TOOL.match(claim.param)]
        return frozenset(hosted) if word == "required" and len(hosted) == offered else frozenset()
    choice = take("tool_choice", _decode_choice, raw, style)
    return frozenset({choice.type, *(tool.type for tool in choice.tools or ())})


def _leave_out(envelope: Envelope, claims: tuple[Claim, ...], edits: dict[str, bytes | None]) -> tuple[str, ...]:
    """Takes tools out of the list; their names for ``ruxa-lossy``."""
    if not claims:
        return ()
    places = {int(cast("re.Match[str]", _TOOL.match(claim.param))[1]) for claim in claims}
    tools = take("tools", _decode_items, envelope.members["tools"], style)
    kept = [bytes(tool) for index, tool in enumerate(tools) if index not in places]
    edits["tools"] = b"[" + b",".join(kept) + b"]" if kept else None
    if not kept and "tool_choice" in envelope.members:
        edits["tool_choice"] = None
    return tuple(dict.fromkeys(f"tools.{_tool_type(claim)}" for claim in claims))
