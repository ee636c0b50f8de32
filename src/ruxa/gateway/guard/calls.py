"""A call under guard: all that its caller wrote - instructions, texts, documents in text, tool arguments and results,
descriptions and schemas of tools. What nobody here can read (pictures, sounds, PDFs, files, URLs) is let through unless
the guard names ``media``. What is masked loses its vendor's signature, which would no longer be true.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from ruxa.access.guards import Guard
from ruxa.dialects.call import (
    Call,
    Carried,
    Embedding,
    Format,
    Media,
    Part,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from ruxa.gateway.guard.arguments import masked_json
from ruxa.gateway.guard.filter import Found, mask_of, masked, refused

KEPT = frozenset(
    {
        "type",
        "id",
        "role",
        "data",
        "signature",
        "thoughtSignature",
        "encrypted_content",
        "encrypted_index",
        "file_data",
        "file_id",
        "tool_use_id",
        "call_id",
        "media_type",
        "mimeType",
    }
)
"""Members of a carried block that are no text of anybody's, and would be worth nothing changed."""

_replace = msgspec.structs.replace


def guarded(call: Call, guard: Guard, found: Found) -> Call:
    """The call as it may go out; the same one when nothing was found. Raises Forbidden ``guard_refused``."""
    before = found.total()
    made = _replace(
        call,
        turns=[_turn(turn, guard, found) for turn in call.turns],
        tools=[_tool(tool, guard, found) for tool in call.tools],
        format=None if call.format is None else _format(call.format, guard, found),
        stop=tuple(masked(stop, guard, found) for stop in call.stop),
    )
    return call if found.total() == before else made


def guarded_inputs(wanted: Embedding, guard: Guard, found: Found) -> Embedding:
    """Texts to embed, likewise. Token lists can't be read: with one of them the call is refused."""
    inputs: list[str | list[int]] = []
    for given in wanted.inputs:
        if isinstance(given, str):
            inputs.append(masked(given, guard, found))
        else:
            raise refused({"media"})
    return _replace(wanted, inputs=inputs, title=masked(wanted.title, guard, found))


def _turn(turn: Turn, guard: Guard, found: Found) -> Turn:
    return _replace(
        turn,
        parts=[guarded_part(part, guard, found) for part in turn.parts],
        name=masked(turn.name, guard, found),
    )


def guarded_part(part: Part, guard: Guard, found: Found) -> Part:
    """One part, the same when nothing was found in it."""
    match part:
        case Refusal():
            text = masked(part.text, guard, found)
            return part if text == part.text else _replace(part, text=text)
        case Text() | Thinking():
            text = masked(part.text, guard, found)
            return part if text == part.text else _replace(part, text=text, signature="", origin="")
        case ToolCall():
            return _tool_call(part, guard, found)
        case ToolResult():
            inner = [guarded_part(each, guard, found) for each in part.parts]
            data = masked_json(part.data, guard, found) if part.data else ""
            return _replace(part, parts=inner, data=data)
        case Media():
            return _media(part, guard, found)
        case Carried():
            raw = masked_json(part.raw.decode("utf-8", "surrogatepass"), guard, found, KEPT)
            return _replace(part, raw=raw.encode("utf-8", "surrogatepass"))


def _tool_call(part: ToolCall, guard: Guard, found: Found) -> ToolCall:
    look = masked if part.custom else masked_json
    arguments = look(part.arguments, guard, found)
    return part if arguments == part.arguments else _replace(part, arguments=arguments, signature="", origin="")


def _media(media: Media, guard: Guard, found: Found) -> Part:
    text = media.text
    plain = _plain(media) if media.data else None
    if plain is not None:
        text = plain
    elif not media.text and "media" in guard.kinds:
        found["media"] += 1
        if guard.mode == "refuse":
            raise refused({"media"})
        return Text(text=mask_of("media"), cache=media.cache)
    title, context = masked(media.title, guard, found), masked(media.context, guard, found)
    url = masked(media.url, guard, found)
    if url != media.url:  # a changed URL leads nowhere
        return Text(text=url, cache=media.cache)
    new = masked(text, guard, found)
    if new == text:
        return _replace(media, title=title, context=context)
    media_type = "text/plain" if media.data else media.media_type
    return _replace(media, text=new, data="", media_type=media_type, title=title, context=context)


def _plain(media: Media) -> str | None:
    """The text in base64 that says it is text; None when it is none."""
    if not (media.media_type.startswith("text/") or media.media_type.endswith(("json", "xml", "yaml"))):
        return None
    try:
        return base64.b64decode(media.data).decode()
    except (binascii.Error, ValueError):
        return None


def _tool(tool: Tool, guard: Guard, found: Found) -> Tool:
    return _replace(
        tool,
        description=masked(tool.description, guard, found),
        about=masked(tool.about, guard, found),
        schema=_json(tool.schema, guard, found),
        raw=_json(tool.raw, guard, found),
    )


def _format(wanted: Format, guard: Guard, found: Found) -> Format:
    return _replace(
        wanted,
        description=masked(wanted.description, guard, found),
        schema=_json(wanted.schema, guard, found),
    )


def _json(raw: bytes, guard: Guard, found: Found) -> bytes:
    if not raw:
        return raw
    text = raw.decode("utf-8", "surrogatepass")
    new = masked_json(text, guard, found)
    return raw if new == text else new.encode("utf-8", "surrogatepass")
