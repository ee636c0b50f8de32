"""Reads the envelopes of images, audio and moderations: what Ruxa prices and limits, and no more."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from ruxa.dialects import multipart
from ruxa.dialects.body import ABSENT, NULL_RAW, cut, given, take
from ruxa.dialects.dialect import Claim, Envelope, Load, Place
from ruxa.dialects.multipart import Part
from ruxa.dialects.openai import (
    read_int,
    read_model,
    recipient,
    refuse_missing,
    refuse_type,
    refuse_value,
    style,
    take_media,
)
from ruxa.dialects.openai_media import sound
from ruxa.dialects.openai_media.table import BODIES, FORMS, REPEATED
from ruxa.dialects.table import scan
from ruxa.kernel.errors import InvalidCall

MODERATION_MODEL = "omni-moderation-latest"
IMAGES_MAX = 10
PARTIALS_MAX = 3
CHARACTERS_MAX = 100_000
_SIZE = re.compile(r"([0-9]{2,5})x([0-9]{2,5})\Z")
_QUALITY = re.compile(r"[a-z]{1,12}\Z")
_TRUE = msgspec.Raw(b"true")


class _Url(msgspec.Struct, gc=False):
    url: msgspec.Raw = msgspec.Raw(b'""')


class _Input(msgspec.Struct, gc=False):
    type: str = "text"
    image_url: _Url | None = None


_decode_text = msgspec.json.Decoder(str).decode
_decode_inputs = msgspec.json.Decoder(list[str | _Input]).decode


def read(place: Place, body: bytes) -> Envelope:
    """The envelope of a call. Raises InvalidCall."""
    if place.endpoint in FORMS:
        return _read_form(place, body)
    return _read_json(place, body)


def _read_json(place: Place, body: bytes) -> Envelope:
    endpoint = place.endpoint
    table = BODIES[endpoint]
    members = cut(body)
    seen = scan(body, members, table)
    if seen.wrong is not None:
        refuse_type(seen.wrong, members, table)
    load = Load(text_bytes=seen.content_bytes)
    claims = seen.claims
    get = members.get

    def text(name: str) -> str:
        raw = get(name, ABSENT)
        return take(name, _decode_text, raw, style) if given(raw) else ""

    stream = binary = False
    model = MODERATION_MODEL
    if endpoint != "moderations" or given(get("model", ABSENT)):
        model = read_model(members)
    if endpoint == "images":
        if "prompt" not in members:
            refuse_missing("prompt")
        stream = get("stream") == _TRUE
        counted = {name: bytes(get(name, NULL_RAW)).decode() for name in ("n", "partial_images")}
        _weigh_making(load, text("size"), text("quality"), counted["n"], counted["partial_images"])
    elif endpoint == "speech":
        for name in ("input", "voice"):
            if name not in members:
                refuse_missing(name)
        load.characters = len(text("input")) + len(text("instructions"))
        if load.characters > CHARACTERS_MAX:
            refuse_value("input", f"'input' has more than {CHARACTERS_MAX} characters.")
        stream = True
        binary = text("stream_format") != "sse"
    else:
        if "input" not in members:
            refuse_missing("input")
        claims += _weigh_inputs(members["input"], load)
    return Envelope(
        place=place,
        body=body,
        members=members,
        spans=seen.spans,
        model=model,
        stream=stream,
        binary=binary,
        load=load,
        claims=claims,
        unknown=seen.unknown,
        identities=seen.identities,
    )


def _weigh_inputs(inputs: msgspec.Raw, load: Load) -> tuple[Claim, ...]:
    """Images of a moderation."""
    if bytes(memoryview(inputs)[:1]) != b"[":
        return ()
    claims: list[Claim] = []
    for index, item in enumerate(take("input", _decode_inputs, inputs, style)):
        if isinstance(item, str) or item.image_url is None:
            continue
        load.images += 1
        raw = item.image_url.url
        if bytes(memoryview(raw)[:6]) == b'"data:':
            take_media(load, raw)
        else:
            claims.append(recipient("url:image", f"input[{index}].image_url"))
    return tuple(claims)


def _read_form(place: Place, body: bytes) -> Envelope:
    endpoint = place.endpoint
    table = FORMS[endpoint]
    if not place.boundary:
        error = InvalidCall("Send this as multipart/form-data.", code="unsupported_content_type")
        error.status = 415
        raise error
    parts = multipart.read(body, place.boundary)
    load = Load()
    claims: list[Claim] = []
    unknown: list[str] = []
    identities: list[str] = []
    first: dict[str, Part] = {}
    for part in parts:
        name = part.base
        field = table.get(name)
        if field is None:
            unknown.append(part.name)
            continue
        if name in first and name not in REPEATED and "[" not in part.name:
            raise InvalidCall(f"Duplicate field: '{name}'.", code="duplicate_field", param=name)
        first.setdefault(name, part)
        if field.kind == "identity" and name not in identities:
            identities.append(name)
        elif field.kind == "price" and _word(body, part) not in field.free:
            claims.append(Claim(kind="price", name=name, param=name))
        elif field.kind == "content" and part.filename is None:
            load.text_bytes += part.size
        if name == "image" or (name in ("mask", "markup") and part.filename is not None):
            load.images += 1

    def text(name: str) -> str:
        part = first.get(name)
        return "" if part is None else multipart.text_of(body, part)

    for name in ("model", "image" if endpoint == "image_edits" else "file"):
        if name not in first:
            refuse_missing(name)
    model = text("model")
    if not model or len(model) > 256:
        refuse_value("model", "'model' must be a non-empty string of at most 256 characters.")
    if endpoint == "image_edits":
        if "prompt" not in first:
            refuse_missing("prompt")
        _weigh_making(load, text("size"), text("quality"), text("n"), text("partial_images"))
    else:
        file = first["file"]
        load.audios = 1
        load.media_bytes = file.size
        load.audio_s = sound.seconds_max(memoryview(body)[file.start : file.end])
    return Envelope(
        place=place,
        body=body,
        members={},
        parts=tuple(parts),
        model=model,
        stream=endpoint != "translations" and text("stream").lower() in ("true", "1"),
        load=load,
        claims=tuple(claims),
        unknown=tuple(dict.fromkeys(unknown)),
        identities=tuple(identities),
    )


def _word(body: bytes, part: Part) -> bytes:
    return b'"%b"' % body[part.start : min(part.end, part.start + 64)]


def _weigh_making(load: Load, size: str, quality: str, n: str, partials: str) -> None:
    """How many images of which size and quality are to be made."""
    load.image_output = True
    if n and n != "null":
        load.choices = read_int("n", msgspec.Raw(n.encode()), IMAGES_MAX)
    if partials and partials not in ("null", "0"):
        load.partials = read_int("partial_images", msgspec.Raw(partials.encode()), PARTIALS_MAX)
    found = _SIZE.match(size)
    if found is not None:
        load.pixels = int(found[1]) * int(found[2])
    load.quality = quality if _QUALITY.match(quality) else ""


def form_text(body: bytes, parts: Sequence[Part], name: str) -> str:
    """The value of a form's field, '' when it is not there."""
    found = next((part for part in parts if part.base == name), None)
    return "" if found is None else multipart.text_of(body, found)


def audio_form(envelope: Envelope) -> str:
    """The format of audio that a speech was asked for in, '' for the usual one."""
    raw = envelope.members.get("response_format", ABSENT)
    return take("response_format", _decode_text, raw, style) if given(raw) else ""
