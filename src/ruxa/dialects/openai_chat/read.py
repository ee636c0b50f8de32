"""Reads the envelope of chat completions and embeddings: what Ruxa prices and limits, and no more."""

from __future__ import annotations

from typing import NoReturn

import msgspec

from ruxa.dialects.body import ABSENT, cut, given, kind_word, kind_words, take
from ruxa.dialects.dialect import Claim, Envelope, Load, Place
from ruxa.dialects.openai_chat.table import CHAT, CLIENT_TOOLS, EMBEDDINGS
from ruxa.dialects.table import Table, scan
from ruxa.kernel.errors import InvalidCall

CHOICES_MAX = 128
TOKENS_MAX = 2**31 - 1


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
_decode_text = msgspec.json.Decoder(str).decode
_decode_int = msgspec.json.Decoder(int).decode
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
        _refuse_type(seen.wrong, members, CHAT)
    get = members.get
    messages = get("messages")
    if messages is None:
        _refuse_missing("messages")
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
        load.choices = _read_int("n", choices, CHOICES_MAX)
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
        _refuse_type(seen.wrong, members, EMBEDDINGS)
    texts = members.get("input")
    if texts is None:
        _refuse_missing("input")
    load = Load(text_bytes=seen.content_bytes, inputs=1)
    if kind_word(texts) == "array":
        items = take("input", _decode_items, texts, style)
        if not items:
            _refuse_value("input", "'input' must not be an empty array.")
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


def read_model(members: dict[str, msgspec.Raw]) -> str:
    """The model asked for. Raises InvalidCall when it is missing or empty."""
    raw = members.get("model")
    if raw is None:
        _refuse_missing("model")
    model = take("model", _decode_text, raw, style)
    if not model or len(model) > 256:
        _refuse_value("model", "'model' must be a non-empty string of at most 256 characters.")
    return model


def read_stream_options(raw: msgspec.Raw) -> _StreamOptions:
    """The two known options of a stream."""
    return take("stream_options", _decode_stream_options, raw, style)


def read_tokens(name: str, raw: msgspec.Raw) -> int | None:
    """A bound on tokens, None for null."""
    return None if raw == _NULL else _read_int(name, raw, TOKENS_MAX)


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
                    _take_media(load, raw)
                else:
                    claims.append(_claim("url:image", f"messages[{index}].content[{at}].image_url"))
            if part.input_audio is not None:
                load.audios += 1
                _take_media(load, part.input_audio.data)
            if part.file is not None:
                load.documents += 1
                if given(part.file.file_data):
                    _take_media(load, part.file.file_data)
                if given(part.file.file_id):
                    load.file_ids += 1
                    claims.append(_claim("file_id", f"messages[{index}].content[{at}].file"))
    return tuple(claims)


def _take_media(load: Load, raw: msgspec.Raw) -> None:
    load.media_bytes += len(raw)
    load.text_bytes -= len(raw)


def _claim(name: str, param: str) -> Claim:
    return Claim(kind="recipient", name=name, param=param)


def _tool_claims(tools: msgspec.Raw) -> tuple[Claim, ...]:
    return tuple(
        _claim(f"tool:{tool.type}", f"tools[{index}]")
        for index, tool in enumerate(take("tools", _decode_tools, tools, style))
        if tool.type not in CLIENT_TOOLS
    )


def _read_int(name: str, raw: msgspec.Raw, most: int) -> int:
    text = bytes(raw)
    if text.isdigit() and len(text) < 10 and (value := int(text)) and value <= most:
        return value
    value = take(name, _decode_int, raw, style)
    if not 1 <= value <= most:
        _refuse_value(name, f"Invalid value for '{name}': expected an integer from 1 to {most}.")
    return value


def style(path: str, expected: str, got: str) -> str:
    """OpenAI's sentence for a wrong type."""
    return f"Invalid type for '{path}': expected {_article(expected)}, but got {_article(got)} instead."


def _article(word: str) -> str:
    if word in ("null", "nothing", "another", "valid text", "broken text", "a value", "a valid value"):
        return word
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _refuse_type(name: str, members: dict[str, msgspec.Raw], table: Table) -> NoReturn:
    message = style(name, kind_words(table[name].kinds), kind_word(members[name]))
    raise InvalidCall(message, code="invalid_type", param=name)


def _refuse_missing(name: str) -> NoReturn:
    raise InvalidCall(f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name)


def _refuse_value(name: str, message: str) -> NoReturn:
    raise InvalidCall(message, code="invalid_value", param=name)
