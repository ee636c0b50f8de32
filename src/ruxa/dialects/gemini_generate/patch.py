"""Edits a body of Google's for a provider that speaks the same: the model where a body names it, ``store``, the cap."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ruxa.dialects import foreign
from ruxa.dialects.dialect import Envelope, Patched, Terms
from ruxa.dialects.gemini_generate.read import TOKENS_MAX, batch_items, field, open_inner, read_number
from ruxa.dialects.gemini_generate.table import CONFIG, EMBED, GENERATE, snake
from ruxa.dialects.gemini_generate.thoughts import SENTINEL
from ruxa.dialects.table import check, dropped, splice

_encode = msgspec.json.Encoder().encode
_TRUE = msgspec.Raw(b"true")
_NULL = msgspec.Raw(b"null")
_UNSIGNED = msgspec.Raw(_encode(SENTINEL))


def patch(
    envelope: Envelope,
    *,
    upstream_model: str,
    pseudonym: Callable[[str], str],
    terms: Terms,
    output_cap: int | None = None,
) -> Patched:
    """The body for the provider. The model is in the path; a body that repeats it says the provider's name for it."""
    check(envelope, terms)
    edits: dict[str, bytes | None] = {}
    added: list[bytes] = []
    members = envelope.members
    named = _encode(f"models/{upstream_model}")
    inside: tuple[str, ...] = ()
    if "model" in members:
        edits["model"] = named
    if "store" in members:
        edits["store"] = b"false"
    endpoint = envelope.place.endpoint
    if endpoint == "batch_embed":
        requests: list[bytes] = []
        for index, item in enumerate(batch_items(envelope)):
            text, unknown = _request(item, named)
            requests.append(text)
            inside += tuple(f"requests[{index}].{name}" for name in unknown)
        edits["requests"] = b"[%b]" % b",".join(requests)
    elif endpoint == "count_tokens":
        inner = field(members, "generateContentRequest")
        if inner is not None:
            text, unknown = _inner(inner, named)
            edits[_given(members, "generateContentRequest")] = text
            inside += tuple(f"generateContentRequest.{name}" for name in unknown)
    elif endpoint == "generate" and output_cap is not None:
        _lower_cap(members, output_cap, edits, added)
    contents = members.get("contents")
    if contents is not None and (own := foreign.without(contents, "parts", _own)) is not None:
        edits["contents"] = own
        inside += (foreign.LOSS,)
    gone = dropped(envelope, terms)
    for name in gone:
        edits[name] = None
    return splice(envelope.body, envelope.members, envelope.spans, edits, added, lossy=gone + inside)


def _own(part: foreign.Block) -> foreign.Block | None:
    """Thinking that another vendor signed is left out; a call keeps none of its proof, and says so as Google asks."""
    name = next((name for name in ("thoughtSignature", "thought_signature") if foreign.packed(part, name)), None)
    if name is None:
        return part
    if part.get("thought") == _TRUE:
        return None
    kept = {key: value for key, value in part.items() if key != name}
    return {**kept, name: _UNSIGNED} if "functionCall" in part or "function_call" in part else kept


def _given(members: dict[str, msgspec.Raw], name: str) -> str:
    return name if name in members else snake(name)


def _request(item: msgspec.Raw, named: bytes) -> tuple[bytes, tuple[str, ...]]:
    """One request of a batch with the provider's name for the model; and the unknown names that are left out."""
    body, members, seen = open_inner(item, EMBED, "requests.")
    edits: dict[str, bytes | None] = dict.fromkeys(seen.unknown)
    added: list[bytes] = []
    if "model" in members:
        edits["model"] = named
    else:
        added.append(b'"model":' + named)
    return b"".join(splice(body, members, seen.spans, edits, added).pieces), seen.unknown


def _inner(raw: msgspec.Raw, named: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The request inside countTokens, its model renamed; and the unknown names that are left out."""
    body, members, seen = open_inner(raw, GENERATE, "generateContentRequest.")
    edits: dict[str, bytes | None] = dict.fromkeys(seen.unknown)
    if "model" in members:
        edits["model"] = named
    return b"".join(splice(body, members, seen.spans, edits, []).pieces), seen.unknown


def _lower_cap(members: dict[str, msgspec.Raw], most: int, edits: dict[str, bytes | None], added: list[bytes]) -> None:
    config = field(members, "generationConfig")
    cap = b'"maxOutputTokens":%d' % most
    if config is None:
        added.append(b'"generationConfig":{%b}' % cap)
        return
    name = _given(members, "generationConfig")
    if config == _NULL:
        edits[name] = b"{%b}" % cap
        return
    body, inner, seen = open_inner(config, CONFIG, "generation_config.")
    given = read_number(inner, "maxOutputTokens", TOKENS_MAX)
    key = next((key for key in ("maxOutputTokens", "max_output_tokens") if key in inner), None)
    if key is None:
        edits[name] = b"".join(splice(body, inner, seen.spans, {}, [cap]).pieces)
    else:
        lowered = most if given is None else min(given, most)
        edits[name] = b"".join(splice(body, inner, seen.spans, {key: b"%d" % lowered}, []).pieces)
