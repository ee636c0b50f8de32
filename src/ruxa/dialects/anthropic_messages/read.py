"""Reads the envelope of messages and count_tokens: what Ruxa prices and limits, and no more."""

from __future__ import annotations

import re
from typing import NoReturn

import msgspec

from ruxa.dialects.anthropic_messages.table import CLIENT_TOOLS, MESSAGES, PRICED_TOOLS
from ruxa.dialects.body import ABSENT, cut, given, kind_word, kind_words, take
from ruxa.dialects.dialect import Claim, Envelope, Load, Place
from ruxa.dialects.table import scan
from ruxa.kernel.errors import InvalidCall

TOKENS_MAX = 2**31 - 1
_DATE = re.compile(r"[_-]20\d{6}$|-20\d\d-\d\d-\d\d$")


class _Source(msgspec.Struct, gc=False):
    type: str = ""
    data: msgspec.Raw = ABSENT
    file_id: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT


class _Block(msgspec.Struct, gc=False):
    type: str = ""
    source: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT
    file_id: msgspec.Raw = ABSENT


class _Message(msgspec.Struct, gc=False):
    content: str | list[_Block] = ""


class _Tool(msgspec.Struct, gc=False):
    type: str | None = None
    max_uses: int | None = None


class _Thinking(msgspec.Struct, gc=False):
    type: str = ""


_decode_messages = msgspec.json.Decoder(list[_Message]).decode
_decode_blocks = msgspec.json.Decoder(list[_Block]).decode
_decode_source = msgspec.json.Decoder(_Source).decode
_decode_tools = msgspec.json.Decoder(list[_Tool]).decode
_decode_thinking = msgspec.json.Decoder(_Thinking).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_int = msgspec.json.Decoder(int).decode
_NULL = msgspec.Raw(b"null")
_TRUE = msgspec.Raw(b"true")
MEDIA_DEPTH_MAX = 8


def read_messages(place: Place, body: bytes) -> Envelope:
    """The envelope of a messages call or of a token count (which has no ``max_tokens``)."""
    members = cut(body)
    seen = scan(body, members, MESSAGES)
    if seen.wrong is not None:
        raise InvalidCall(
            style(seen.wrong, kind_words(MESSAGES[seen.wrong].kinds), kind_word(members[seen.wrong])),
            code="invalid_type",
            param=seen.wrong,
        )
    get = members.get
    messages = get("messages")
    model = get("model")
    if model is None or messages is None:
        _refuse_missing("model" if model is None else "messages")
    load = Load(text_bytes=seen.content_bytes)
    claims = seen.claims
    if bytes(messages).find(b"[", 1) > 0:  # without a second array no message has blocks, so none has media
        claims += weigh_messages(messages, load)
    tools = get("tools")
    if tools is not None and tools != _NULL:
        claims += _tool_claims(tools)
    cap = get("max_tokens")
    if cap is not None:
        load.output_cap = read_cap(cap)
    elif place.endpoint == "messages":
        _refuse_missing("max_tokens")
    if (thinking := get("thinking")) is not None and thinking != _NULL:
        load.reasoning = take("thinking", _decode_thinking, thinking, style).type != "disabled"
    name = take("model", _decode_text, model, style)
    if not name or len(name) > 256:
        raise InvalidCall(
            "model: String should have at least 1 and at most 256 characters", code="invalid_value", param="model"
        )
    return Envelope(
        place=place,
        body=body,
        members=members,
        spans=seen.spans,
        model=name,
        stream=(flag := get("stream")) is not None and flag == _TRUE,
        load=load,
        claims=claims,
        unknown=seen.unknown,
        identities=seen.identities,
    )


def read_cap(raw: msgspec.Raw) -> int:
    """``max_tokens``. Raises InvalidCall outside 0 to 2^31 - 1."""
    text = bytes(raw)
    if text.isdigit() and len(text) < 10:
        return int(text)
    cap = take("max_tokens", _decode_int, raw, style)
    if not 0 <= cap <= TOKENS_MAX:
        raise InvalidCall(
            f"max_tokens: Input should be from 0 to {TOKENS_MAX}", code="invalid_value", param="max_tokens"
        )
    return cap


def undated(name: str) -> str:
    """``web_search_20250305`` -> ``web_search``; ``pdfs-2024-09-25`` -> ``pdfs``."""
    return _DATE.sub("", name)


def weigh_messages(messages: msgspec.Raw, load: Load) -> tuple[Claim, ...]:
    """Counts media into ``load`` and takes their bytes out of its text; names what a provider would fetch."""
    claims: list[Claim] = []
    for index, message in enumerate(take("messages", _decode_messages, messages, style)):
        if isinstance(message.content, list):
            _weigh_blocks(message.content, f"messages.{index}.content", load, claims, 0)
    return tuple(claims)


def _weigh_blocks(blocks: list[_Block], path: str, load: Load, claims: list[Claim], depth: int) -> None:
    for at, block in enumerate(blocks):
        kind = block.type
        if kind == "text":
            continue
        if kind == "image" or kind == "document":
            if kind == "image":
                load.images += 1
            else:
                load.documents += 1
            if given(block.source):
                _weigh_source(block.source, kind, f"{path}.{at}.source", load, claims, depth)
        elif kind == "container_upload":
            load.file_ids += 1
            claims.append(_claim("file_id", f"{path}.{at}"))
        inner = block.content
        if given(inner) and kind_word(inner) == "array":
            _weigh_inner(inner, f"{path}.{at}.content", load, claims, depth)


def _weigh_inner(inner: msgspec.Raw, path: str, load: Load, claims: list[Claim], depth: int) -> None:
    if depth >= MEDIA_DEPTH_MAX:
        raise InvalidCall(f"{path}: Content is nested too deeply", code="too_deep", param=path)
    _weigh_blocks(take(path, _decode_blocks, inner, style), path, load, claims, depth + 1)


def _weigh_source(raw: msgspec.Raw, kind: str, path: str, load: Load, claims: list[Claim], depth: int) -> None:
    source = take(path, _decode_source, raw, style)
    if source.type == "base64":
        if given(source.data):
            load.media_bytes += len(source.data)
            load.text_bytes -= len(source.data)
    elif source.type == "file" or given(source.file_id):
        load.file_ids += 1
        claims.append(_claim("file_id", path))
    elif source.type == "content":
        if given(source.content) and kind_word(source.content) == "array":
            _weigh_inner(source.content, f"{path}.content", load, claims, depth)
    elif source.type != "text":
        claims.append(_claim(f"url:{kind}", path))


def _claim(name: str, param: str) -> Claim:
    return Claim(kind="recipient", name=name, param=param)


def _tool_claims(tools: msgspec.Raw) -> tuple[Claim, ...]:
    claims: list[Claim] = []
    for index, tool in enumerate(take("tools", _decode_tools, tools, style)):
        if tool.type is None:
            continue
        name = undated(tool.type)
        if name not in CLIENT_TOOLS:
            kind = "price" if name in PRICED_TOOLS else "recipient"
            claims.append(Claim(kind=kind, name=f"tool:{name}", param=f"tools.{index}", uses=tool.max_uses))
    return tuple(claims)


def style(path: str, expected: str, got: str) -> str:
    """Anthropic's sentence for a wrong type."""
    return f"{path.replace('[', '.').replace(']', '')}: Input should be a valid {expected}"


def _refuse_missing(name: str) -> NoReturn:
    raise InvalidCall(f"{name}: Field required", code="missing_field", param=name)
