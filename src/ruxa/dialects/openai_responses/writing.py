"""A call's turns as items of a response's input."""

from __future__ import annotations

import msgspec

from ruxa.dialects import media
from ruxa.dialects.call import Call, Carried, Media, Refusal, Text, Thinking, ToolCall, ToolResult, Turn, identified
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai_responses.words import DIALECT, ERROR_MARK
from ruxa.dialects.translator import Aim
from ruxa.kernel.errors import InvalidCall

Item = dict[str, object] | msgspec.Raw

AUDIO = {"audio/wav": "wav", "audio/mpeg": "mp3"}
FILE_NAME = "document"


class Items:
    """The items of one call; ``losses`` grows while they are written."""

    def __init__(self, aim: Aim, losses: list[Loss]) -> None:
        self._aim = aim
        self._losses = losses
        self.items: list[Item] = []

    def write(self, call: Call) -> str:
        """All turns; what is returned are the ``instructions``: a first turn of the system that is one plain text."""
        turns = identified(call).turns
        instructions = ""
        if turns and (said := _plain(turns[0])):
            instructions, turns = said, turns[1:]
        for turn in turns:
            if turn.name:
                self._lose("name", turn)
            if turn.role == "assistant":
                self._assistant(turn)
            else:
                self._message(turn)
        return instructions

    def _lose(self, name: str, turn: Turn) -> None:
        self._losses.append(Loss(name, turn.at))

    def _message(self, turn: Turn) -> None:
        """A user's or the system's turn; results of tools are items of their own."""
        role = turn.role
        if role == "system" and (turn.developer or "developer" in self._aim.ways):
            role = "developer"
        content: list[Item] = []
        for part in turn.parts:
            match part:
                case ToolResult():
                    content = self._flush(role, content)
                    self.items.append(self._result(part, turn))
                case Carried() if part.dialect == DIALECT and not part.kind.startswith("content."):
                    content = self._flush(role, content)
                    self.items.append(msgspec.Raw(part.raw))
                case _:
                    content += self._content(part, turn)
        if content or not turn.parts:
            self._flush(role, content)

    def _flush(self, role: str, content: list[Item]) -> list[Item]:
        if content:
            self.items.append({"type": "message", "role": role, "content": content})
        return []

    def _assistant(self, turn: Turn) -> None:
        content: list[Item] = []
        more: dict[str, object] = {"phase": turn.phase} if turn.phase else {}
        for part in turn.parts:
            if isinstance(part, Text | ToolCall) and part.signature:
                self._lose("thinking", turn)  # another vendor's proof
            match part:
                case Text():
                    self._cached(part.cache, turn)
                    content.append({"type": "output_text", "text": part.text, "annotations": []})
                    continue
                case Refusal():
                    content.append({"type": "refusal", "refusal": part.text})
                    continue
                case Carried() if part.dialect == DIALECT and part.kind.startswith("content."):
                    content.append(msgspec.Raw(part.raw))
                    continue
                case _:
                    pass
            item = self._item(part, turn)
            if item is None:
                continue
            if content:
                self.items.append({"type": "message", "role": "assistant", "content": content, **more})
                content = []
            self.items.append(item)
        if content:
            self.items.append({"type": "message", "role": "assistant", "content": content, **more})

    def _item(self, part: object, turn: Turn) -> Item | None:
        """What the model did besides speaking."""
        match part:
            case ToolCall():
                self._cached(part.cache, turn)
                return tool_call(part)
            case Thinking():
                if part.origin != "openai" or not part.signature:
                    self._lose("thinking", turn)
                    return None
                return reasoning(part)
            case Carried():
                if part.dialect == DIALECT:
                    return msgspec.Raw(part.raw)
                self._lose(part.kind, turn)
            case Media():
                self._lose("media", turn)
            case _:
                pass
        return None

    def _result(self, part: ToolResult, turn: Turn) -> Item:
        self._cached(part.cache, turn)
        kind = "custom_tool_call_output" if part.custom else "function_call_output"
        mark = ERROR_MARK if part.error else ""
        inner = part.parts
        output: object
        if part.data:
            output = mark + part.data
        elif not inner or (len(inner) == 1 and isinstance(inner[0], Text)):
            output = mark + (inner[0].text if inner and isinstance(inner[0], Text) else "")
        else:
            content = [item for each in inner for item in self._content(each, turn)]
            output = [{"type": "input_text", "text": mark}, *content] if mark else content
        return {"type": kind, "call_id": part.call_id, "output": output}

    def _content(self, part: object, turn: Turn) -> list[Item]:
        """A part of a user's message or of a result."""
        match part:
            case Text():
                self._cached(part.cache, turn)
                return [{"type": "input_text", "text": part.text}]
            case Media():
                self._cached(part.cache, turn)
                return self._media(part, turn)
            case Refusal():
                return [{"type": "input_text", "text": part.text}]
            case Carried() if part.dialect == DIALECT:
                return [msgspec.Raw(part.raw)]
            case Carried():
                self._lose(part.kind, turn)
            case Thinking():
                self._lose("thinking", turn)
            case _:
                self._lose("tool_call", turn)
        return []

    def _media(self, part: Media, turn: Turn) -> list[Item]:
        if part.kind == "image":
            item: dict[str, object] = {"type": "input_image", "detail": part.detail or "auto"}
            if part.data:
                item["image_url"] = media.closed(media.labelled(part.media_type, part.data) or "image/png", part.data)
            elif part.url:
                item["image_url"] = part.url
            else:
                item["file_id"] = part.file_id
            return [item]
        if part.kind == "document":
            return self._document(part, turn)
        if part.kind == "audio" and part.data and "audio_input" in self._aim.ways:
            form = AUDIO.get(media.labelled(part.media_type, part.data))
            if form is not None:
                return [{"type": "input_audio", "input_audio": {"data": part.data, "format": form}}]
        raise InvalidCall(
            f"This model takes no {part.kind} of this form.", code=f"unsupported_{part.kind}", param=turn.at or None
        )

    def _document(self, part: Media, turn: Turn) -> list[Item]:
        if part.cited:
            self._lose("citations", turn)
        about: list[Item] = [{"type": "input_text", "text": part.context}] if part.context else []
        if part.text:
            titled = f"{part.title}\n\n{part.text}" if part.title else part.text
            return [*about, {"type": "input_text", "text": titled}]
        item: dict[str, object] = {"type": "input_file"}
        if part.data:
            said = media.labelled(part.media_type, part.data) or "application/pdf"
            item["filename"] = part.title or f"{FILE_NAME}.{said.rpartition('/')[2]}"
            item["file_data"] = media.closed(said, part.data)
        elif part.url:
            item["file_url"] = part.url
        else:
            item["file_id"] = part.file_id
        if part.detail:
            item["detail"] = part.detail
        return [*about, item]

    def _cached(self, cache: object, turn: Turn) -> None:
        if cache is not None:
            self._lose("cache_control", turn)


def _plain(turn: Turn) -> str:
    """The text of a system's turn that can be ``instructions``, '' when it can't."""
    part = turn.parts[0] if len(turn.parts) == 1 else None
    if turn.role == "system" and not (turn.developer or turn.name) and isinstance(part, Text) and part.cache is None:
        return part.text
    return ""


def reasoning(part: Thinking) -> dict[str, object]:
    """An item of this vendor's own thinking, as it gave it."""
    words = [{"type": "summary_text", "text": part.text}] if part.text and part.summary else []
    item: dict[str, object] = {"type": "reasoning", "summary": words, "encrypted_content": part.signature}
    if part.text and not part.summary:
        item["content"] = [{"type": "reasoning_text", "text": part.text}]
    return {"id": part.id, **item} if part.id else item


def tool_call(part: ToolCall) -> dict[str, object]:
    """An item that asks for a tool."""
    name: dict[str, object] = {"call_id": part.id, "name": part.name}
    if part.namespace:
        name["namespace"] = part.namespace
    if part.custom:
        return {"type": "custom_tool_call", **name, "input": part.arguments}
    return {"type": "function_call", **name, "arguments": part.arguments or "{}"}
