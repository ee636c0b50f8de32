"""Edits a body of OpenAI's for a provider that speaks the same: model, identities, ``store``, usage in streams."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ruxa.dialects.body import take
from ruxa.dialects.dialect import Envelope, Patched, Terms
from ruxa.dialects.openai import read_tokens, style
from ruxa.dialects.openai_chat.read import read_stream_options
from ruxa.dialects.table import check, dropped, splice

_encode = msgspec.json.Encoder().encode
_decode_text = msgspec.json.Decoder(str).decode
_NULL = msgspec.Raw(b"null")
_STORE_NOT = b'"store":false'
_TELL_USAGE = b'"stream_options":{"include_usage":true}'


def patch_chat(
    envelope: Envelope,
    *,
    upstream_model: str,
    pseudonym: Callable[[str], str],
    terms: Terms,
    output_cap: int | None = None,
) -> Patched:
    """The body for the provider. Usage is asked for in every stream (W50); nothing is ever stored there (D13)."""
    check(envelope, terms)
    edits: dict[str, bytes | None] = {"model": _encode(upstream_model)}
    added: list[bytes] = []
    members = envelope.members
    refused = terms.drop_fields
    if "store" in members:
        edits["store"] = b"false"
    elif "store" not in refused:
        added.append(_STORE_NOT)
    if envelope.stream and "stream_options" not in refused:
        _tell_usage(envelope, edits, added)
    if output_cap is not None:
        _lower_cap(envelope, output_cap, edits, added, refused)
    return _finish(envelope, edits, added, pseudonym, terms)


def patch_completion(
    envelope: Envelope,
    *,
    upstream_model: str,
    pseudonym: Callable[[str], str],
    terms: Terms,
    output_cap: int | None = None,
) -> Patched:
    """The body of a completion for the provider. Usage is asked for in every stream."""
    check(envelope, terms)
    edits: dict[str, bytes | None] = {"model": _encode(upstream_model)}
    added: list[bytes] = []
    refused = terms.drop_fields
    if envelope.stream and "stream_options" not in refused:
        _tell_usage(envelope, edits, added)
    if output_cap is not None:
        given = envelope.load.output_cap
        cap = b"%d" % (output_cap if given is None else min(given, output_cap))
        if "max_tokens" in envelope.members:
            edits["max_tokens"] = cap
        else:
            added.append(b'"max_tokens":' + cap)
    return _finish(envelope, edits, added, pseudonym, terms)


def patch_embeddings(
    envelope: Envelope, *, upstream_model: str, pseudonym: Callable[[str], str], terms: Terms
) -> Patched:
    """The body of an embeddings call for the provider."""
    check(envelope, terms)
    return _finish(envelope, {"model": _encode(upstream_model)}, [], pseudonym, terms)


def _finish(
    envelope: Envelope,
    edits: dict[str, bytes | None],
    added: list[bytes],
    pseudonym: Callable[[str], str],
    terms: Terms,
) -> Patched:
    for name in envelope.identities:
        raw = envelope.members[name]
        stands = pseudonym(take(name, _decode_text, raw, style)) if name != "client_metadata" else None
        edits[name] = None if stands is None else _encode(stands)
    gone = dropped(envelope, terms)
    for name in gone:
        edits[name] = None
    replaced = tuple(name for name in envelope.identities if name not in gone) if gone else envelope.identities
    return splice(envelope.body, envelope.members, envelope.spans, edits, added, lossy=gone, replaced=replaced)


def _tell_usage(envelope: Envelope, edits: dict[str, bytes | None], added: list[bytes]) -> None:
    options = envelope.members.get("stream_options")
    if options is None:
        added.append(_TELL_USAGE)
    else:
        edits["stream_options"] = _stream_options(options)


def _stream_options(options: msgspec.Raw) -> bytes:
    if options == _NULL:
        return b'{"include_usage":true}'
    known = read_stream_options(options)
    if known.include_obfuscation is None:
        return b'{"include_usage":true}'
    return b'{"include_usage":true,"include_obfuscation":%b}' % (b"true" if known.include_obfuscation else b"false")


def _lower_cap(
    envelope: Envelope, most: int, edits: dict[str, bytes | None], added: list[bytes], refused: frozenset[str]
) -> None:
    """Bounds every cap that is given by ``most``; adds one where none is."""
    names = [name for name in ("max_completion_tokens", "max_tokens") if name in envelope.members]
    for name in names:
        given = read_tokens(name, envelope.members[name])
        edits[name] = b"%d" % (most if given is None else min(given, most))
    if not names:
        added.append(
            b'"%b":%d' % (b"max_tokens" if "max_completion_tokens" in refused else b"max_completion_tokens", most)
        )
