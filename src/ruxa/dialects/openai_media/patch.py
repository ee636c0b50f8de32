"""Edits a body for a provider that speaks the same: model, identities; of a form each part's head is ours."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ruxa.dialects import multipart
from ruxa.dialects.body import take
from ruxa.dialects.dialect import Envelope, Patched, Terms
from ruxa.dialects.openai import style
from ruxa.dialects.openai_media.table import FORMS
from ruxa.dialects.table import check, dropped, splice, unsent

_encode = msgspec.json.Encoder().encode
_decode_text = msgspec.json.Decoder(str).decode


def patch(envelope: Envelope, *, upstream_model: str, pseudonym: Callable[[str], str], terms: Terms) -> Patched:
    """The provider's body."""
    check(envelope, terms)
    if envelope.place.endpoint in FORMS:
        return _patch_form(envelope, upstream_model, pseudonym, terms)
    model = _encode(upstream_model)
    edits: dict[str, bytes | None] = {}
    added: list[bytes] = []
    if "model" in envelope.members:
        edits["model"] = model
    else:
        added.append(b'"model":' + model)
    for name in envelope.identities:
        edits[name] = _encode(pseudonym(take(name, _decode_text, envelope.members[name], style)))
    gone = dropped(envelope, terms)
    for name in gone:
        edits[name] = None
    replaced = tuple(name for name in envelope.identities if name not in gone)
    return splice(envelope.body, envelope.members, envelope.spans, edits, added, lossy=gone, replaced=replaced)


def _patch_form(envelope: Envelope, upstream_model: str, pseudonym: Callable[[str], str], terms: Terms) -> Patched:
    body = envelope.body
    source = memoryview(body)
    unknown = unsent(envelope, terms)
    gone = [*unknown]
    written: list[tuple[bytes, bytes | memoryview]] = []
    for part in envelope.parts:
        name = part.base
        if part.name in unknown:
            continue
        if name in terms.drop_fields:
            gone.append(name)
            continue
        value: bytes | memoryview = source[part.start : part.end]
        if name == "model":
            value = upstream_model.encode()
        elif name in envelope.identities:
            value = pseudonym(multipart.text_of(body, part)).encode()
        written.append((multipart.head_of(part), value))
    boundary = multipart.boundary_for(body)
    pieces = multipart.write(boundary, written)
    return Patched(
        pieces=pieces,
        length=sum(map(len, pieces)),
        dropped=tuple(dict.fromkeys(gone)),
        replaced=tuple(name for name in envelope.identities if name not in gone),
        content_type=multipart.FORM_TYPE + b"; boundary=" + boundary,
    )
