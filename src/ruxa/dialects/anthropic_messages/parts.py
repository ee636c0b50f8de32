"""Neutral parts as content blocks of Anthropic's: what a request to the provider holds, and what can't go there."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

import msgspec

from ruxa.dialects.anthropic_messages.blocks import DIALECT
from ruxa.dialects.call import (
    Cache,
    Carried,
    Media,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
    flat,
    wrapped,
)
from ruxa.dialects.losses import Loss
from ruxa.dialects.media import labelled, opened
from ruxa.kernel.errors import InvalidCall

Block = dict[str, object] | msgspec.Raw
"""A block ready to be encoded; a raw one is another's, as it came."""

IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def marked(block: dict[str, object], cache: Cache | None) -> dict[str, object]:
    """The block with its cache mark (W38)."""
    if cache is not None:
        block["cache_control"] = {"type": "ephemeral"} if cache.ttl == "5m" else {"type": "ephemeral", "ttl": cache.ttl}
    return block


def text_block(text: str, cache: Cache | None = None) -> dict[str, object]:
    """A text."""
    return marked({"type": "text", "text": text}, cache)


def system_blocks(parts: list[Part], at: str, losses: list[Loss]) -> list[dict[str, object]]:
    """The texts of a system turn; nothing else can stand there."""
    blocks: list[dict[str, object]] = []
    for part in parts:
        if isinstance(part, Text):
            if part.text:
                blocks.append(text_block(part.text, part.cache))
        else:
            losses.append(Loss("system.media", at))
    return blocks


def blocks_of(turn: Turn, losses: list[Loss]) -> list[Block]:
    """The blocks of a turn. Empty texts are left out, for Anthropic refuses them. Raises InvalidCall."""
    blocks: list[Block] = []
    if turn.name:
        losses.append(Loss("name", turn.at))
    for part in turn.parts:
        if isinstance(part, Text | ToolCall) and part.signature:
            losses.append(Loss("thinking", turn.at))  # another vendor's proof
        block = _block(part, turn, losses)
        if block is not None:
            blocks.append(block)
    while turn.role == "assistant" and blocks and _thinks(blocks[-1]):  # a message must not end so
        blocks.pop()
        losses.append(Loss("thinking", turn.at))
    return blocks


def _thinks(block: Block) -> bool:
    return isinstance(block, dict) and block["type"] in ("thinking", "redacted_thinking")


def _block(part: Part, turn: Turn, losses: list[Loss]) -> Block | None:
    match part:
        case Text():
            return text_block(part.text, part.cache) if part.text else None
        case Media():
            if turn.role == "assistant":
                losses.append(Loss(part.kind, turn.at))
                return None
            return media_block(part, turn.at, losses)
        case Thinking():
            return _thinking(part, turn, losses)
        case ToolCall():
            return _tool_use(part, turn)
        case ToolResult():
            return _tool_result(part, turn, losses)
        case Refusal():
            return text_block(part.text) if part.text else None
        case Carried():
            return _carried(part, turn, losses)


def _thinking(part: Thinking, turn: Turn, losses: list[Loss]) -> Block | None:
    """Thinking goes back only with Anthropic's own signature (W33)."""
    if part.origin != "anthropic" or not part.signature:
        losses.append(Loss("thinking", turn.at))
        return None
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.signature}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _carried(part: Carried, turn: Turn, losses: list[Loss]) -> Block | None:
    if part.dialect == DIALECT:
        return msgspec.Raw(part.raw)
    losses.append(Loss(part.kind, turn.at))
    return None


def tool_name(namespace: str, name: str, at: str) -> str:
    """A tool's name as Anthropic takes it. Raises InvalidCall."""
    whole = flat(namespace, name)
    if _NAME.fullmatch(whole) is None:
        raise InvalidCall(
            "This model takes tool names of letters, digits, '_' and '-' only, at most 128 of them.",
            code="unsupported_tool_name",
            param=at or None,
        )
    return whole


def tool_id(given: str) -> str:
    """A call's id as Anthropic takes it: another vendor's that it would refuse becomes one made from it."""
    return given if _ID.fullmatch(given) else "toolu_" + hashlib.sha256(given.encode()).hexdigest()[:24]


def _tool_use(part: ToolCall, turn: Turn) -> Block:
    return marked(
        {
            "type": "tool_use",
            "id": tool_id(part.id),
            "name": tool_name(part.namespace, part.name, turn.at),
            "input": _arguments(wrapped(part.arguments) if part.custom else part.arguments, turn.at),
        },
        part.cache,
    )


def _arguments(text: str, at: str) -> msgspec.Raw:
    """Arguments as they were written. Raises InvalidCall when they are no JSON object (W16)."""
    if not text.strip():
        return msgspec.Raw(b"{}")
    try:
        _decode_object(text)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidCall(
            "The arguments of a tool call must be a JSON object.", code="invalid_tool_arguments", param=at or None
        ) from None
    return msgspec.Raw(text.encode())


def _tool_result(part: ToolResult, turn: Turn, losses: list[Loss]) -> Block:
    block: dict[str, object] = {"type": "tool_result", "tool_use_id": tool_id(part.call_id)}
    content: list[Block] = [text_block(part.data)] if part.data else []
    for inner in part.parts:
        inside = _block(inner, turn, losses)
        if inside is not None:
            content.append(inside)
    if content:
        block["content"] = content
    if part.error:
        block["is_error"] = True
    return marked(block, part.cache)


def media_block(media: Media, at: str, losses: list[Loss]) -> Block:
    """An image or a document. Raises InvalidCall for what no model of Anthropic's takes (W76)."""
    if media.url and (inline := opened(media.url)) is not None:
        media = msgspec.structs.replace(media, url="", media_type=inline[0], data=inline[1])
    media_type = labelled(media.media_type, media.data) if media.data else media.media_type
    kind = media.kind
    if kind in ("image", "document") and media_type:  # the label decides: a picture may come as a file
        kind = "image" if media_type.startswith("image/") else "document"
    if kind == "image":
        if media.detail not in ("", "auto"):
            losses.append(Loss("detail", at))
        return marked({"type": "image", "source": _image_source(media, media_type, at)}, media.cache)
    if kind == "document":
        return _document(media, media_type, at)
    raise _unsupported(f"This model takes no {kind}.", at)


def _unsupported(sentence: str, at: str) -> InvalidCall:
    return InvalidCall(sentence, code="unsupported_media", param=at or None)


def _elsewhere(media: Media, at: str) -> dict[str, object]:
    """A source that is not here: a URL, or a file kept at Anthropic."""
    if media.url:
        return {"type": "url", "url": media.url}
    if not media.file_id.startswith("file_"):
        raise _unsupported("This model's provider does not keep that file: send it inline or by a URL.", at)
    return {"type": "file", "file_id": media.file_id}


def _image_source(media: Media, media_type: str, at: str) -> dict[str, object]:
    if not media.data:
        return _elsewhere(media, at)
    if media_type not in IMAGES:
        raise _unsupported("This model takes images as JPEG, PNG, GIF or WebP only.", at)
    return {"type": "base64", "media_type": media_type, "data": media.data}


def _document(media: Media, media_type: str, at: str) -> Block:
    block: dict[str, object] = {"type": "document", "source": _document_source(media, media_type, at)}
    if media.title:
        block["title"] = media.title
    if media.context:
        block["context"] = media.context
    if media.cited:
        block["citations"] = {"enabled": True}
    return marked(block, media.cache)


def _document_source(media: Media, media_type: str, at: str) -> dict[str, object]:
    text: str | None = media.text
    if media.data:
        if media_type == "application/pdf":
            return {"type": "base64", "media_type": media_type, "data": media.data}
        text = _plain(media.data) if media_type.startswith("text/") or media_type in _TEXTS else None
        if text is None:
            raise _unsupported("This model takes documents as PDF or plain text only.", at)
    elif media.url or media.file_id:
        return _elsewhere(media, at)
    return {"type": "text", "media_type": "text/plain", "data": text or ""}


_TEXTS = frozenset({"application/json", "application/xml", "application/yaml", "application/x-ndjson"})


def _plain(data: str) -> str | None:
    try:
        return base64.b64decode(data).decode()
    except (binascii.Error, ValueError):
        return None
