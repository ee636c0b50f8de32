"""Reads the envelope of chat completions and embeddings: what Ruxa prices and limits, and no more."""

from __future__ import annotations

import msgspec

from ruxa.dialects.body import ABSENT, cut, given, kind_word, take
from ruxa.dialects.dialect import Claim, Envelope, Load, Place
from ruxa.dialects.openai import (
    read_int,
    read_model,
    read_tokens,
    recipient,
    refuse_missing,
    refuse_type,
    refuse_value,
    style,
    take_media,
)
from ruxa.dialects.openai_chat.table import CHAT, CLIENT_TOOLS, EMBEDDINGS
from ruxa.dialects.table import scan

CHOICES_MAX = 128


class _Url(msgspec.Struct, gc=False):
    url: msgspec.Raw = msgspec.Raw(b'""')


class _File(msgspec.Struct, gc=False):
    file_id: msgspec.Raw = ABSENT
    file_data: msgspec.Raw = ABSENT


class _Audio(msgspec.Struct, gc=False):
    data: msgspec.Raw = msgspec.Raw(b'""')


class _Part(msgspec.Struct, gc=False):
    image_url: _Url | str | None = None
    input_audio: _Audio | None = None
    file: _File | None = None


class _Message(msgspec.Struct, gc=False):
    content: str | list[_Part] | None = None


class _Tool(msgspec.Struct, gc=False):
    type: str = "function"


class _StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


_decode_messages = msgspec.json.Decoder(list[_Message]).decode
_decode_tools = msgspec.json.Decoder(list[_Tool]).decode
_decode_stream_options = msgspec.json.Decoder(_StreamOptions).decode
_decode_words = msgspec.json.Decoder(list[str]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_NULL = msgspec.Raw(b"null")
_TRUE = msgspec.Raw(b"true")
_NONE = msgspec.Raw(b'"none"')


def read_chat(place: Place, body: bytes) -> Envelope:
    """The envelope of a chat completion."""
    members = cut(body)
    seen = scan(body, members, CHAT)
    if seen.wrong is not None:
        refuse_type(seen.wrong, members, CHAT)
    get = members.get
    messages = get("messages")
    if messages is None:
        refuse_missing("messages")
    load = Load(text_bytes=seen.content_bytes)
    claims = seen.claims
    if bytes(messages).find(b"[", 1) > 0:  # without a second array no message has parts, so none has media
        claims += weigh_messages(messages, load)
    tools = get("tools")
    if tools is not None and tools != _NULL:
        claims += _tool_claims(tools)
    flag = get("stream")
    stream = flag is not None and flag == _TRUE
    asked = False
    if stream and (options := get("stream_options")) is not None and options != _NULL:
        asked = read_stream_options(options).include_usage is True
    if (cap := get("max_tokens")) is not None:
        load.output_cap = read_tokens("max_tokens", cap)
    if (cap := get("max_completion_tokens")) is not None:
        more = read_tokens("max_completion_tokens", cap)
        if more is not None and (load.output_cap is None or more > load.output_cap):
            load.output_cap = more
    if (choices := get("n")) is not None and choices != _NULL:
        load.choices = read_int("n", choices, CHOICES_MAX)
    effort = get("reasoning_effort")
    load.reasoning = effort is None or effort != _NONE
    if (modalities := get("modalities")) is not None and modalities != _NULL:
        load.audio_output = "audio" in take("modalities", _decode_words, modalities, style)
    return Envelope(
        place=place,
        body=body,
        members=members,
        spans=seen.spans,
        model=read_model(members),
        stream=stream,
        include_usage=asked,
        load=load,
        claims=claims,
        unknown=seen.unknown,
        identities=seen.identities,
    )


def read_embeddings(place: Place, body: bytes) -> Envelope:
    """The envelope of an embeddings call."""
    members = cut(body)
    seen = scan(body, members, EMBEDDINGS)
    if seen.wrong is not None:
        refuse_type(seen.wrong, members, EMBEDDINGS)
    texts = members.get("input")
    if texts is None:
        refuse_missing("input")
    load = Load(text_bytes=seen.content_bytes, inputs=1)
    if kind_word(texts) == "array":
        items = take("input", _decode_items, texts, style)
        if not items:
            refuse_value("input", "'input' must not be an empty array.")
        if kind_word(items[0]) != "number":  # a list of texts or of token lists; a list of numbers is one text
            load.inputs = len(items)
    return Envelope(
        place=place,
        body=body,
        members=members,
        spans=seen.spans,
        model=read_model(members),
        load=load,
        claims=seen.claims,
        unknown=seen.unknown,
        identities=seen.identities,
    )


def read_stream_options(raw: msgspec.Raw) -> _StreamOptions:
    """The two known options of a stream."""
    return take("stream_options", _decode_stream_options, raw, style)


def weigh_messages(messages: msgspec.Raw, load: Load) -> tuple[Claim, ...]:
    """Counts media parts into ``load`` and takes their bytes out of its text; names what a provider would fetch."""
    claims: list[Claim] = []
    for index, message in enumerate(take("messages", _decode_messages, messages, style)):
        if not isinstance(message.content, list):
            continue
        for at, part in enumerate(message.content):
            if part.image_url is not None:
                load.images += 1
                url = part.image_url
                raw = url.url if isinstance(url, _Url) else msgspec.Raw(msgspec.json.encode(url))
                if bytes(memoryview(raw)[:6]) == b'"data:':
                    take_media(load, raw)
                else:
                    claims.append(recipient("url:image", f"messages[{index}].content[{at}].image_url"))
            if part.input_audio is not None:
                load.audios += 1
                take_media(load, part.input_audio.data)
            if part.file is not None:
                load.documents += 1
                if given(part.file.file_data):
                    take_media(load, part.file.file_data)
                if given(part.file.file_id):
                    load.file_ids += 1
                    claims.append(recipient("file_id", f"messages[{index}].content[{at}].file"))
    return tuple(claims)


def _tool_claims(tools: msgspec.Raw) -> tuple[Claim, ...]:
    return tuple(
        recipient(f"tool:{tool.type}", f"tools[{index}]")
        for index, tool in enumerate(take("tools", _decode_tools, tools, style))
        if tool.type not in CLIENT_TOOLS
    )
