"""Items of a response's input as turns: messages, thinking, calls of tools and what they gave back."""

from __future__ import annotations

from typing import Literal

import msgspec

from ruxa.dialects import media, signature
from ruxa.dialects.call import Cache, Carried, Media, Part, Refusal, Text, Thinking, ToolCall, ToolResult, Turn
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai import refuse_missing
from ruxa.dialects.openai_fields import Fields
from ruxa.dialects.openai_responses.read import refuse_reference
from ruxa.dialects.openai_responses.words import DIALECT, ERROR_MARK, REDACTED, RESULT_KINDS, plain

Role = Literal["system", "user", "assistant"]

AUDIO = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_TTL_SHORT = "5m"


def read_items(items: list[msgspec.Raw], path: str, losses: list[Loss]) -> list[Turn]:
    """The turns of a list of items: what the model said in one go is one turn (W72). Raises InvalidCall."""
    turns: list[Turn] = []
    for at, raw in enumerate(items):
        _read_item(raw, f"{path}[{at}]", turns, losses)
    for turn in turns:
        if turn.role == "assistant":
            turn.parts = signed(turn.parts)
    return turns


def _read_item(raw: msgspec.Raw, at: str, turns: list[Turn], losses: list[Loss]) -> None:
    fields = Fields.of(raw, at)
    kind = fields.text("type")
    if kind == "item_reference" or (kind is None and not fields.kind("role")):
        refuse_reference(at)
    match kind:
        case "message" | None:
            _message(fields, turns, losses)
            return
        case "reasoning":
            parts: list[Part] = [read_reasoning(fields)]
        case "function_call" | "custom_tool_call":
            parts = [read_tool_call(fields, custom=kind == "custom_tool_call")]
        case "function_call_output" | "custom_tool_call_output":
            result = _tool_result(fields, losses, custom=kind == "custom_tool_call_output")
            _add(turns, "user", at, [result], group=ToolResult)
            losses += fields.lost("input")
            return
        case _:
            result = kind.endswith("_output") or kind in RESULT_KINDS
            carried = Carried(dialect=DIALECT, kind=plain(kind), raw=bytes(raw))
            _add(turns, "user" if result else "assistant", at, [carried], group=ToolResult if result else None)
            return
    _add(turns, "assistant", at, parts)
    losses += fields.lost("input")


def _add(turns: list[Turn], role: Role, at: str, parts: list[Part], group: type[ToolResult] | None = None) -> None:
    """Parts after the last turn, or in it: an assistant's run is one turn, results in a row are one turn."""
    last = turns[-1] if turns else None
    if last is not None and last.role == role:
        before = last.parts[-1] if last.parts else None
        if role == "assistant" or (group is not None and isinstance(before, ToolResult | Carried)):
            last.parts += parts
            return
    turns.append(Turn(role=role, parts=parts, at=at))


def _message(fields: Fields, turns: list[Turn], losses: list[Loss]) -> None:
    role = fields.must("role")
    parts = _content(fields, "content", losses)
    phase, item_id = fields.text("phase") or "", fields.text("id") or ""
    fields.skip("status")
    losses += fields.lost("input")
    match role:
        case "system" | "developer":
            turns.append(Turn(role="system", parts=parts, developer=role == "developer", id=item_id, at=fields.at))
        case "user":
            turns.append(Turn(role="user", parts=parts, id=item_id, at=fields.at))
        case "assistant":
            last = turns[-1] if turns and turns[-1].role == "assistant" else None
            said = last is not None and any(isinstance(part, Text | Refusal) for part in last.parts)
            if last is None or (said and last.phase != phase):
                last = Turn(role="assistant", at=fields.at)
                turns.append(last)
            last.parts += parts
            last.phase = phase
            last.id = last.id or item_id
        case _:
            fields.refuse(
                "role",
                f"Invalid value: '{plain(role)}'. Supported values are: 'assistant', 'system', 'developer', 'user'.",
            )


def _content(fields: Fields, name: str, losses: list[Loss]) -> list[Part]:
    """A text or a list of parts."""
    kind = fields.kind(name)
    if not kind:
        refuse_missing(fields.path(name))
    if kind == "string":
        return [Text(text=fields.must(name))]
    path = fields.path(name)
    return [read_part(raw, f"{path}[{at}]", losses) for at, raw in enumerate(fields.items(name))]


def read_part(raw: msgspec.Raw, at: str, losses: list[Loss]) -> Part:
    """One part of a content. Raises InvalidCall naming its path."""
    fields = Fields.of(raw, at)
    kind = fields.must("type")
    cache = _cache(fields)
    part: Part
    match kind:
        case "input_text" | "output_text" | "text" | "summary_text":
            part = Text(text=fields.must("text"), cache=cache)
            annotations = fields.raw("annotations")
            if annotations is not None and len(annotations) > 2:
                losses.append(Loss("annotations", fields.path("annotations")))
            fields.skip("logprobs")
        case "refusal":
            part = Refusal(text=fields.must("refusal"))
        case "input_image":
            part = _image(fields, cache)
        case "input_file":
            part = _file(fields, cache)
        case "input_audio":
            part = _audio(fields, cache)
        case _:
            return Carried(dialect=DIALECT, kind=f"content.{plain(kind)}", raw=bytes(raw))
    losses += fields.lost("content")
    return part


def _cache(fields: Fields) -> Cache | None:
    mark = fields.inner("prompt_cache_breakpoint") or fields.inner("cache_control")
    if mark is None:
        return None
    ttl = mark.text("ttl")
    return Cache() if ttl is None or ttl == _TTL_SHORT else Cache(ttl="1h")


def _image(fields: Fields, cache: Cache | None) -> Media:
    part = Media(kind="image", detail=fields.text("detail") or "", cache=cache)
    _fill(fields, part, "image_url", "image_url", "file_id")
    return part


def _file(fields: Fields, cache: Cache | None) -> Media:
    part = Media(kind="document", title=fields.text("filename") or "", detail=fields.text("detail") or "", cache=cache)
    _fill(fields, part, "file_data", "file_url", "file_id")
    kind = part.media_type.partition("/")[0]
    if kind in ("image", "audio", "video"):
        part.kind = kind
    return part


def _fill(fields: Fields, part: Media, data: str, url: str, file_id: str) -> None:
    """Where the bytes are: in a data URL, bare base64 of a file, at an address, or kept by an id."""
    given = fields.text(data)
    if given is not None:
        inside = media.opened(given)
        if inside is not None:
            part.media_type, part.data = media.labelled(*inside), inside[1]
        elif given[:5].lower() == "data:" or (data == "file_data" and "://" in given[:16]):
            fields.refuse(data, f"Invalid '{fields.path(data)}': expected a data URL of base64.")
        elif data == "file_data":
            part.media_type, part.data = media.sniff(given), given
        else:
            part.url = given
        fields.skip(file_id)
        return
    if url != data and (address := fields.text(url)) is not None:
        part.url = address
        fields.skip(file_id)
        return
    kept = fields.text(file_id)
    if kept is None:
        refuse_missing(fields.path(data))
    part.file_id = kept


def _audio(fields: Fields, cache: Cache | None) -> Media:
    inner = fields.inner("input_audio")
    if inner is None:
        refuse_missing(fields.path("input_audio"))
    data, said = inner.must("data"), inner.must("format")
    return Media(
        kind="audio", media_type=media.labelled(AUDIO.get(said, f"audio/{said}"), data), data=data, cache=cache
    )


def read_reasoning(fields: Fields) -> Thinking:
    """An item of thinking: its text if shown, and its proof, whose ever it is (W37)."""
    content = [_words(raw, f"{fields.path('content')}[{at}]") for at, raw in enumerate(fields.items("content"))]
    summary = [_words(raw, f"{fields.path('summary')}[{at}]") for at, raw in enumerate(fields.items("summary"))]
    origin, proof = signature.read(fields.text("encrypted_content") or "", "openai")
    text = "\n\n".join(content or summary)
    redacted = origin == "openai" and not text
    if proof.startswith(REDACTED) and origin != "openai":
        proof, redacted = proof[len(REDACTED) :], True
    item_id = fields.text("id") or ""
    fields.skip("status")
    return Thinking(
        text=text,
        signature=proof,
        origin=origin,
        redacted=redacted,
        summary=bool(summary and not content),
        id=item_id if origin == "openai" else "",
    )


def _words(raw: msgspec.Raw, at: str) -> str:
    return Fields.of(raw, at).must("text")


def read_tool_call(fields: Fields, *, custom: bool) -> ToolCall:
    """A call of a tool; ``call_id`` is what its result names, ``id`` is only the item's (W72)."""
    fields.skip("id", "status", "caller", "async", "created_by")
    return ToolCall(
        id=fields.must("call_id"),
        name=fields.must("name"),
        arguments=fields.must("input") if custom else fields.must("arguments") or "{}",
        custom=custom,
        namespace=fields.text("namespace") or "",
    )


def _tool_result(fields: Fields, losses: list[Loss], *, custom: bool) -> ToolResult:
    fields.skip("id", "status", "caller", "namespace", "created_by")
    parts = _content(fields, "output", losses)
    first = parts[0] if parts else None
    failed = isinstance(first, Text) and first.text.startswith(ERROR_MARK)
    if isinstance(first, Text) and failed:
        parts[0] = msgspec.structs.replace(first, text=first.text.removeprefix(ERROR_MARK))
    return ToolResult(
        call_id=fields.text("call_id") or "",
        name=fields.text("name") or "",
        parts=[part for part in parts if not isinstance(part, Text) or part.text],
        error=failed,
        custom=custom,
    )


def signed(parts: list[Part]) -> list[Part]:
    """Gives a foreign proof back to the call it stood before: thinking that is only another vendor's signature."""
    kept: list[Part] = []
    for part in parts:
        last = kept[-1] if kept else None
        if (
            isinstance(part, ToolCall)
            and isinstance(last, Thinking)
            and not (last.text or last.redacted)
            and last.origin not in ("", "openai")
        ):
            kept[-1] = msgspec.structs.replace(part, signature=last.signature, origin=last.origin)
        else:
            kept.append(part)
    return kept
