"""Reads the envelopes of Google's methods: what Ruxa prices and limits, and no more."""

from __future__ import annotations

from typing import NoReturn

import msgspec

from ruxa.dialects.body import ABSENT, cut, given, kind_word, kind_words, take
from ruxa.dialects.dialect import Claim, Envelope, Load, Place
from ruxa.dialects.gemini_generate.table import (
    BATCH,
    CLIENT_TOOLS,
    CONFIG,
    COUNT,
    EMBED,
    FILES_PREFIXES,
    GENERATE,
    PRICED_TOOLS,
    camel,
    snake,
)
from ruxa.dialects.table import Scan, Table, scan
from ruxa.kernel.errors import InvalidCall

TOKENS_MAX = 2**31 - 1
CANDIDATES_MAX = 64
REQUESTS_MAX = 2048
_NULL = msgspec.Raw(b"null")


class _Blob(msgspec.Struct, gc=False):
    mimeType: str | None = None
    mime_type: str | None = None
    data: msgspec.Raw = ABSENT


class _File(msgspec.Struct, gc=False):
    fileUri: msgspec.Raw = ABSENT
    file_uri: msgspec.Raw = ABSENT
    mimeType: str | None = None
    mime_type: str | None = None


class _Response(msgspec.Struct, gc=False):
    parts: list[_Part] | None = None


class _Part(msgspec.Struct, gc=False):
    inlineData: _Blob | None = None
    inline_data: _Blob | None = None
    fileData: _File | None = None
    file_data: _File | None = None
    functionResponse: _Response | None = None
    function_response: _Response | None = None


class _Content(msgspec.Struct, gc=False):
    parts: list[_Part] | _Part | None = None  # Google takes a single part without its list


class _Thinking(msgspec.Struct, gc=False):
    thinkingBudget: int | str | None = None
    thinking_budget: int | str | None = None


_decode_contents = msgspec.json.Decoder(list[_Content]).decode
_decode_content = msgspec.json.Decoder(_Content).decode
_decode_tools = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_decode_thinking = msgspec.json.Decoder(_Thinking).decode
_decode_words = msgspec.json.Decoder(list[str]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_number = msgspec.json.Decoder(int | str).decode
_decode_text = msgspec.json.Decoder(str).decode


def read_generate(place: Place, body: bytes) -> Envelope:
    """The envelope of generateContent and streamGenerateContent."""
    envelope = _open(place, body, GENERATE)
    contents = field(envelope.members, "contents")
    if contents is None:
        _refuse_missing("GenerateContentRequest.contents", "contents")
    envelope.claims += _weigh(contents, field(envelope.members, "systemInstruction"), envelope.load)
    _read_tools(envelope)
    config = field(envelope.members, "generationConfig")
    envelope.load.reasoning = True
    if config is not None and config != _NULL:
        _read_config(envelope, config)
    return envelope


def read_count(place: Place, body: bytes) -> Envelope:
    """The envelope of countTokens: contents, or a whole generateContentRequest."""
    envelope = _open(place, body, COUNT)
    contents, inner = field(envelope.members, "contents"), field(envelope.members, "generateContentRequest")
    if contents is None and inner is None:
        _refuse_missing("CountTokensRequest.contents", "contents")
    path = ""
    if contents is None and inner is not None and kind_word(inner) == "object":
        contents, path = field(cut(bytes(inner)), "contents"), "generate_content_request."
    if contents is not None and kind_word(contents) == "array":
        envelope.claims += _weigh(contents, None, envelope.load, path)
    return envelope


def read_embed(place: Place, body: bytes) -> Envelope:
    """The envelope of embedContent."""
    envelope = _open(place, body, EMBED)
    content = field(envelope.members, "content")
    if content is None:
        _refuse_missing("EmbedContentRequest.content", "content")
    envelope.claims += _weigh(None, content, envelope.load)
    envelope.load.inputs = 1
    return envelope


def read_batch(place: Place, body: bytes) -> Envelope:
    """The envelope of batchEmbedContents; each request may name the model again, but not another one."""
    envelope = _open(place, body, BATCH)
    requests = field(envelope.members, "requests")
    if requests is None:
        _refuse_missing("BatchEmbedContentsRequest.requests", "requests")
    items = take("requests", _decode_items, requests, style)
    if not 1 <= len(items) <= REQUESTS_MAX:
        _refuse_value("requests", f"at most {REQUESTS_MAX} requests can be in one batch, and at least one")
    envelope.load.inputs = len(items)
    for index, item in enumerate(items):
        if kind_word(item) != "object":
            _refuse_value(f"requests[{index}]", "a request must be an object")
        inner = cut(bytes(item))
        content = field(inner, "content")
        if content is None:
            _refuse_missing(f"BatchEmbedContentsRequest.requests[{index}].content", f"requests[{index}].content")
        envelope.claims += _weigh(None, content, envelope.load)
        model = inner.get("model")
        if model is not None and take(f"requests[{index}].model", _decode_text, model, style) not in (
            f"models/{place.model}",
            place.model,
        ):
            _refuse_value(f"requests[{index}].model", "the model must be the model of the path")
    return envelope


def batch_items(envelope: Envelope) -> list[msgspec.Raw]:
    """The requests of a batch that has been read."""
    return take("requests", _decode_items, envelope.members["requests"], style)


def open_inner(raw: msgspec.Raw, table: Table, path: str) -> tuple[bytes, dict[str, msgspec.Raw], Scan]:
    """A nested object that has an envelope of its own: bytes, members and classes. Raises InvalidCall."""
    body = bytes(raw)
    members = cut(body)
    _refuse_twice(members, path)
    return body, members, scan(body, members, table)


def field(members: dict[str, msgspec.Raw], name: str) -> msgspec.Raw | None:
    """A member under its JSON name or its proto name."""
    raw = members.get(name)
    return raw if raw is not None else members.get(snake(name))


def _open(place: Place, body: bytes, table: Table) -> Envelope:
    members = cut(body)
    _refuse_twice(members, "")
    seen = scan(body, members, table)
    if seen.wrong is not None:
        _refuse_type(seen.wrong, members[seen.wrong], table)
    return Envelope(
        place=place,
        body=body,
        members=members,
        spans=seen.spans,
        model=place.model,
        stream=place.stream,
        array=place.array,
        load=Load(text_bytes=seen.content_bytes),
        claims=seen.claims,
        unknown=seen.unknown,
        identities=seen.identities,
    )


def _refuse_twice(members: dict[str, msgspec.Raw], path: str) -> None:
    """Refuses an object that holds a field under both of its names."""
    for name in members:
        if "_" in name and camel(name) in members:
            raise InvalidCall(f"Duplicate field: '{path}{name}'.", code="duplicate_field", param=path + name)


def _read_config(envelope: Envelope, config: msgspec.Raw) -> None:
    _, members, seen = open_inner(config, CONFIG, "generation_config.")
    if seen.wrong is not None:
        path = f"generation_config.{snake(seen.wrong)}"
        raise InvalidCall(
            style(path, kind_words(CONFIG[seen.wrong].kinds), kind_word(members[seen.wrong])),
            code="invalid_type",
            param=path,
        )
    load = envelope.load
    load.output_cap = read_number(members, "maxOutputTokens", TOKENS_MAX)
    load.choices = read_number(members, "candidateCount", CANDIDATES_MAX) or 1
    modalities = field(members, "responseModalities")
    if modalities is not None and modalities != _NULL:
        told = take("generation_config.response_modalities", _decode_words, modalities, style)
        load.audio_output = any(word.upper() == "AUDIO" for word in told)
        load.image_output = any(word.upper() == "IMAGE" for word in told)
    thinking = field(members, "thinkingConfig")
    if thinking is not None and thinking != _NULL:
        asked = take("generation_config.thinking_config", _decode_thinking, thinking, style)
        budget = asked.thinkingBudget if asked.thinkingBudget is not None else asked.thinking_budget
        load.reasoning = budget not in (0, "0")
    envelope.claims += tuple(
        Claim(kind=claim.kind, name=claim.name, param=f"generation_config.{snake(claim.param)}")
        for claim in seen.claims
    )


def read_number(members: dict[str, msgspec.Raw], name: str, most: int) -> int | None:
    """A positive integer, given as a number or as text; None when absent or null. Raises InvalidCall."""
    raw = field(members, name)
    if raw is None or raw == _NULL:
        return None
    path = f"generation_config.{snake(name)}"
    value = take(path, _decode_number, raw, style)
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdigit() and len(value) < 11 else -1
    if not 1 <= value <= most:
        _refuse_value(path, f"expected an integer from 1 to {most}")
    return value


def _read_tools(envelope: Envelope) -> None:
    tools = field(envelope.members, "tools")
    if tools is None or tools == _NULL:
        return
    claims: list[Claim] = []
    for index, tool in enumerate(take("tools", _decode_tools, tools, style)):
        for name, value in tool.items():
            kind = camel(name)
            if kind not in CLIENT_TOOLS and value != _NULL:
                claims.append(
                    Claim(
                        kind="price" if kind in PRICED_TOOLS else "recipient",
                        name=f"tool:{snake(kind)}",
                        param=f"tools[{index}].{kind}",
                    )
                )
    envelope.claims += tuple(claims)


def _weigh(contents: msgspec.Raw | None, single: msgspec.Raw | None, load: Load, path: str = "") -> tuple[Claim, ...]:
    """Counts media parts into ``load`` and takes their bytes out of its text; names what the provider would fetch."""
    claims: list[Claim] = []
    if contents is not None:
        for index, content in enumerate(take("contents", _decode_contents, contents, style)):
            if content.parts:
                _weigh_parts(_list(content.parts), f"{path}contents[{index}].parts", load, claims)
    if single is not None and kind_word(single) == "object":
        content = take("content", _decode_content, single, style)
        if content.parts:
            _weigh_parts(_list(content.parts), "content.parts", load, claims)
    return tuple(claims)


def _list(parts: list[_Part] | _Part) -> list[_Part]:
    return parts if isinstance(parts, list) else [parts]


def _weigh_parts(parts: list[_Part], path: str, load: Load, claims: list[Claim]) -> None:
    for at, part in enumerate(parts):
        for blob in (part.inlineData, part.inline_data):
            if blob is not None:
                if given(blob.data):
                    load.media_bytes += len(blob.data)
                    load.text_bytes -= len(blob.data)
                _count_kind(blob.mimeType or blob.mime_type or "", load)
        for file in (part.fileData, part.file_data):
            if file is not None:
                _count_kind(file.mimeType or file.mime_type or "", load)
                uri = file.fileUri if given(file.fileUri) else file.file_uri
                kept = bytes(uri).startswith(FILES_PREFIXES)
                load.file_ids += kept
                name = "file_id" if kept else "url:file"
                claims.append(Claim(kind="recipient", name=name, param=f"{path}[{at}].file_data"))
        for response in (part.functionResponse, part.function_response):
            if response is not None and response.parts:
                _weigh_parts(response.parts, f"{path}[{at}].function_response.parts", load, claims)


def _count_kind(mime: str, load: Load) -> None:
    kind = mime.partition("/")[0].lower()
    if kind == "image":
        load.images += 1
    elif kind == "audio":
        load.audios += 1
    elif kind == "video":
        load.videos += 1
    else:
        load.documents += 1


def style(path: str, expected: str, got: str) -> str:
    """Google's sentence for a wrong type."""
    return f"Invalid value at '{path}' (expected {expected}, got {got})"


def _refuse_type(name: str, raw: msgspec.Raw, table: Table) -> NoReturn:
    path = snake(name)
    raise InvalidCall(style(path, kind_words(table[name].kinds), kind_word(raw)), code="invalid_type", param=path)


def _refuse_missing(what: str, name: str) -> NoReturn:
    raise InvalidCall(f"* {what}: {name} is not specified\n", code="missing_field", param=name)


def _refuse_value(path: str, why: str) -> NoReturn:
    raise InvalidCall(f"Invalid value at '{path}': {why}", code="invalid_value", param=path)
