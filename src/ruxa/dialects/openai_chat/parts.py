"""Reads the content of OpenAI's messages: text, images, audio, files, refusals; any other part is carried as it is."""

from __future__ import annotations

import re

import msgspec

from ruxa.dialects import media
from ruxa.dialects.call import Cache, Carried, Media, Part, Refusal, Text
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai import refuse_missing
from ruxa.dialects.openai_fields import Fields

ERROR_MARK = "[tool error] "
"""What a tool message begins with when the tool failed: this dialect has no flag for it (W18)."""

AUDIO = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://", re.ASCII)
_TTL_SHORT = "5m"


def read_content(message: Fields, losses: list[Loss]) -> list[Part]:
    """The parts of ``content``: a string is one text, ``null`` is none."""
    kind = message.kind("content")
    if kind != "array":
        text = message.text("content")
        return [] if text is None else [Text(text=text)]
    path = message.path("content")
    return [read_part(raw, f"{path}[{at}]", losses) for at, raw in enumerate(message.items("content"))]


def read_part(raw: msgspec.Raw, at: str, losses: list[Loss]) -> Part:
    """One part of a content. Raises InvalidCall naming its path."""
    fields = Fields.of(raw, at)
    kind = fields.text("type")
    if kind is None:
        refuse_missing(fields.path("type"))
    cache = read_cache(fields)
    match kind:
        case "text":
            part = Text(text=fields.must("text"), cache=cache)
        case "image_url":
            part = _by_url(fields, "image_url", Media(kind="image", cache=cache), losses)
        case "input_audio":
            part = _audio(fields, cache, losses)
        case "file":
            part = _file(fields, cache, losses)
        case "video_url":
            part = _by_url(fields, "video_url", Media(kind="video", cache=cache), losses)
        case "refusal":
            part = Refusal(text=fields.must("refusal"))
        case _:
            return Carried(dialect="openai_chat", kind=kind, raw=bytes(raw))
    losses += fields.lost("content")
    return part


def read_cache(fields: Fields) -> Cache | None:
    """Anthropic's ``cache_control`` where OpenAI's callers put it, or OpenAI's own ``prompt_cache_breakpoint``."""
    mark = fields.inner("cache_control") or fields.inner("prompt_cache_breakpoint")
    if mark is None:
        return None
    ttl = mark.text("ttl")
    return Cache() if ttl is None or ttl == _TTL_SHORT else Cache(ttl="1h")


def read_media(url: str, part: Media) -> Media | None:
    """``part`` given by a data URL or an address; None when ``url`` is neither."""
    inside = media.opened(url)
    if inside is not None:
        part.media_type, part.data = media.labelled(*inside), inside[1]
        return part
    if url[:5].lower() == "data:" or not _ADDRESS.match(url):
        return None
    part.url = url
    return part


def _by_url(fields: Fields, name: str, part: Media, losses: list[Loss]) -> Media:
    if fields.kind(name) == "string":
        url, where = fields.must(name), fields
    else:
        where = fields.inner(name)
        if where is None:
            refuse_missing(fields.path(name))
        url, name = where.must("url"), "url"
        part.detail = where.text("detail") or ""
        losses += where.lost("content")
    found = read_media(url, part)
    if found is None:
        where.refuse(name, f"Invalid '{where.path(name)}': expected an address or a data URL of base64.")
    return found


def _audio(fields: Fields, cache: Cache | None, losses: list[Loss]) -> Media:
    inner = fields.inner("input_audio")
    if inner is None:
        refuse_missing(fields.path("input_audio"))
    data = inner.must("data")
    said = inner.must("format")
    losses += inner.lost("content")
    inside = media.opened(data)
    if inside is not None:
        data = inside[1]
    label = AUDIO.get(said, f"audio/{said}")
    return Media(kind="audio", media_type=media.labelled(label, data), data=data, cache=cache)


def _file(fields: Fields, cache: Cache | None, losses: list[Loss]) -> Media:
    inner = fields.inner("file")
    if inner is None:
        refuse_missing(fields.path("file"))
    part = Media(kind="document", title=inner.text("filename") or "", cache=cache)
    data = inner.text("file_data")
    file_id = inner.text("file_id")
    losses += inner.lost("content")
    if data is not None:
        if read_media(data, part) is None:
            if data[:5].lower() == "data:":
                inner.refuse("file_data", f"Invalid '{inner.path('file_data')}': expected a data URL of base64.")
            part.media_type, part.data = media.sniff(data), data
        kind = part.media_type.partition("/")[0]
        if kind in ("image", "audio", "video"):
            part.kind = kind
    elif file_id is not None:
        part.file_id = file_id
    else:
        refuse_missing(inner.path("file_data"))
    return part
