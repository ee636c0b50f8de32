"""Content blocks of Anthropic's as neutral parts: what a message holds, whoever wrote it, caller or provider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from ruxa.dialects import signature
from ruxa.dialects.anthropic_messages.fields import Fields, items_of, object_text, plain, text_of
from ruxa.dialects.body import kind_word
from ruxa.dialects.call import Cache, Carried, Media, Part, Text, Thinking, ToolCall, ToolResult
from ruxa.dialects.dialect import Name
from ruxa.dialects.losses import Loss

Role = Literal["system", "user", "assistant", "result"]
"""Whose blocks: a message's, or those inside a tool's result."""

DIALECT: Name = "anthropic_messages"

# Which blocks stand where; what is named nowhere is carried wherever it stands.
_PLACES: dict[str, frozenset[Role]] = {
    "text": frozenset({"system", "user", "assistant", "result"}),
    "image": frozenset({"user", "assistant", "result"}),
    "document": frozenset({"user", "assistant", "result"}),
    "search_result": frozenset({"user", "assistant", "result"}),
    "thinking": frozenset({"assistant"}),
    "redacted_thinking": frozenset({"assistant"}),
    "tool_use": frozenset({"assistant"}),
    "tool_result": frozenset({"user"}),
}
_TEXT = frozenset({"type", "text", "cache_control"})
_IMAGE = frozenset({"type", "source", "cache_control"})
_DOCUMENT = frozenset({"type", "source", "cache_control", "title", "context", "citations"})
_SEARCH = frozenset({"type", "source", "title", "content", "cache_control", "citations"})
_THINKING = frozenset({"type", "thinking", "signature"})
_REDACTED = frozenset({"type", "data"})
_TOOL_USE = frozenset({"type", "id", "name", "input", "cache_control", "caller"})
_TOOL_RESULT = frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"})


def read_content(raw: msgspec.Raw, at: str, role: Role, losses: list[Loss]) -> list[Part]:
    """The content of a message or a tool's result: a text, or a list of blocks. Raises InvalidCall."""
    if kind_word(raw) == "string":
        return [Text(text=text_of(raw, at))]
    return read_blocks(raw, at, role, losses)


def read_blocks(raw: msgspec.Raw, at: str, role: Role, losses: list[Loss]) -> list[Part]:
    """A list of blocks, in order. Raises InvalidCall."""
    parts: list[Part] = []
    for number, item in enumerate(items_of(raw, at)):
        fields = Fields(item, f"{at}.{number}")
        kind = fields.text("type")
        places = _PLACES.get(kind)
        if places is None and role != "system":
            parts.append(Carried(dialect=DIALECT, kind=plain(kind), raw=bytes(item)))
            continue
        if places is None or role not in places:
            raise fields.refuse("type", f"Input tag '{plain(kind)}' is not allowed here")
        _READERS[kind](fields, parts, losses)
    return _signed(parts) if role == "assistant" else parts


def _signed(parts: list[Part]) -> list[Part]:
    """Gives a foreign signature back to the part it stood on: see ``blocks_of`` in ``writing``."""
    kept: list[Part] = []
    for part in parts:
        last = kept[-1] if kept else None
        if (
            isinstance(part, ToolCall | Text)
            and isinstance(last, Thinking)
            and not last.text
            and not last.redacted
            and last.origin not in ("", "anthropic")
        ):
            kept[-1] = msgspec.structs.replace(part, signature=last.signature, origin=last.origin)
        else:
            kept.append(part)
    return kept


def cache_of(fields: Fields) -> Cache | None:
    """A cache mark. Raises InvalidCall."""
    mark = fields.inner("cache_control")
    if mark is None:
        return None
    if mark.text("type") != "ephemeral":
        raise mark.refuse("type", "Input should be 'ephemeral'")
    ttl = mark.text_or("ttl")
    if ttl not in ("", "5m", "1h"):
        raise mark.refuse("ttl", "Input should be '5m' or '1h'")
    return Cache(ttl="1h" if ttl == "1h" else "5m")


def _text(fields: Fields, parts: list[Part], losses: list[Loss]) -> None:
    parts.append(Text(text=fields.text("text"), cache=cache_of(fields)))
    fields.rest(_TEXT, losses)


def _image(fields: Fields, parts: list[Part], losses: list[Loss]) -> None:
    media = Media(kind="image", cache=cache_of(fields))
    source = _source(fields)
    kind = source.text("type")
    if kind == "base64":
        media.media_type, media.data = source.text("media_type"), source.text("data")
    elif kind == "url":
        media.url = source.text("url")
    elif kind == "file":
        media.file_id = source.text("file_id")
    else:
        raise source.refuse("type", "Input should be 'base64', 'url' or 'file'")
    fields.rest(_IMAGE, losses)
    parts.append(media)


def _source(fields: Fields) -> Fields:
    return Fields(fields.need("source"), fields.path("source"))


def _document(fields: Fields, parts: list[Part], losses: list[Loss]) -> None:
    media = Media(
        kind="document",
        title=fields.text_or("title"),
        context=fields.text_or("context"),
        cited=_cited(fields),
        cache=cache_of(fields),
    )
    source = _source(fields)
    kind = source.text("type")
    if kind == "base64":
        media.media_type, media.data = source.text("media_type"), source.text("data")
    elif kind == "text":
        media.media_type, media.text = "text/plain", source.text("data")
    elif kind == "url":
        media.media_type, media.url = "application/pdf", source.text("url")
    elif kind == "file":
        media.file_id = source.text("file_id")
    elif kind == "content":
        inner = read_content(source.need("content"), source.path("content"), "result", losses)
        if not all(isinstance(part, Text) for part in inner):
            losses.append(Loss("document", fields.path("source")))
            parts.extend(Text(text=said) for said in (media.title, media.context) if said)
            parts.extend(inner)
            return
        media.media_type, media.text = "text/plain", _joined(inner, source, losses)
    else:
        raise source.refuse("type", "Input should be 'base64', 'text', 'content', 'url' or 'file'")
    fields.rest(_DOCUMENT, losses)
    parts.append(media)


def _joined(inner: list[Part], source: Fields, losses: list[Loss]) -> str:
    """The chunks of a document as one text: where one ends can't be cited any more."""
    if len(inner) > 1:
        losses.append(Loss("document.chunks", source.path("content")))
    return "\n\n".join(part.text for part in inner if isinstance(part, Text))


def _cited(fields: Fields) -> bool:
    citations = fields.inner("citations")
    return citations is not None and citations.flag("enabled") is True


def _search_result(fields: Fields, parts: list[Part], losses: list[Loss]) -> None:
    """A found text is a document elsewhere: its title and where it was found stay with it."""
    inner = read_blocks(fields.need("content"), fields.path("content"), "system", losses)
    losses.append(Loss("search_result", fields.path("type")))
    parts.append(
        Media(
            kind="document",
            media_type="text/plain",
            text="\n\n".join(part.text for part in inner if isinstance(part, Text)),
            title=fields.text("title"),
            context=fields.text("source"),
            cited=_cited(fields),
            cache=cache_of(fields),
        )
    )
    fields.rest(_SEARCH, losses)


def _thinking(fields: Fields, parts: list[Part], losses: list[Loss]) -> None:
    origin, proof = signature.read(fields.text_or("signature"), "anthropic")
    parts.append(Thinking(text=fields.text("thinking"), signature=proof, origin=origin))
    fields.rest(_THINKING, losses)


def _redacted(fields: Fields, parts: list[Part], losses: list[Loss]) -> None:
    origin, proof = signature.read(fields.text("data"), "anthropic")
    parts.append(Thinking(signature=proof, origin=origin, redacted=True))
    fields.rest(_REDACTED, losses)


def _tool_use(fields: Fields, parts: list[Part], losses: list[Loss]) -> None:
    parts.append(
        ToolCall(
            id=fields.text("id"),
            name=fields.text("name"),
            arguments=object_text(fields.need("input"), fields.path("input")),
            cache=cache_of(fields),
        )
    )
    caller = fields.inner("caller")
    if caller is not None and caller.text_or("type") != "direct":
        losses.append(Loss("tool_use.caller", fields.path("caller")))
    fields.rest(_TOOL_USE, losses)


def _tool_result(fields: Fields, parts: list[Part], losses: list[Loss]) -> None:
    content = fields.raw("content")
    inner = [] if content is None else read_content(content, fields.path("content"), "result", losses)
    parts.append(
        ToolResult(
            call_id=fields.text("tool_use_id"),
            parts=[part for part in inner if not isinstance(part, Text) or part.text],
            error=fields.flag("is_error") is True,
            cache=cache_of(fields),
        )
    )
    fields.rest(_TOOL_RESULT, losses)


_READERS: dict[str, Callable[[Fields, list[Part], list[Loss]], None]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
}
