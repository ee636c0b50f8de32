"""Writes turns as ``contents`` and ``systemInstruction``: two roles in turn, results before all else, in call order."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from ruxa.dialects.call import (
    Call,
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
)
from ruxa.dialects.gemini_generate import thoughts
from ruxa.dialects.losses import Loss
from ruxa.dialects.media import labelled
from ruxa.dialects.translator import Aim
from ruxa.kernel.errors import InvalidCall

Json = dict[str, Any]

MARKED = "<system-instruction>\n{}\n</system-instruction>"
"""How a system turn that does not stand first is told: in place, so that what the provider cached stays valid (W01)."""

_LEVELS = {"low": "MEDIA_RESOLUTION_LOW", "high": "MEDIA_RESOLUTION_HIGH"}
_ENDINGS = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "mp4": "video/mp4",
}

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Content:
    """One content under way: what tools gave back stands first, then its media, then the rest."""

    __slots__ = ("answers", "beside", "rest", "role")

    def __init__(self, role: str) -> None:
        self.role = role
        self.answers: list[tuple[int, Json]] = []
        self.beside: list[Json] = []
        self.rest: list[Json] = []

    def done(self) -> Json:
        """The content. The first call that no model of Google's signed says so (W35)."""
        if self.role == "model":
            first = next((part for part in self.rest if "functionCall" in part), None)
            if first is not None:
                first.setdefault("thoughtSignature", thoughts.SENTINEL)
        answers = [part for _, part in sorted(self.answers, key=lambda each: each[0])]
        full = [part for part in self.rest if part != {"text": ""}]
        return {"role": self.role, "parts": [*answers, *self.beside, *full] or self.rest}


class Turns:
    """The turns of one call. system: the parts of ``systemInstruction``; losses: what they could not hold."""

    __slots__ = ("_aim", "_contents", "_detail", "_names", "_order", "losses", "system")

    def __init__(self, call: Call, aim: Aim) -> None:
        """Raises InvalidCall for what must not be lost."""
        self._aim = aim
        self._contents: list[_Content] = []
        self._names: dict[str, str] = {}
        self._order: dict[str, int] = {}
        self._detail = shared_detail(call)
        self.losses: list[Loss] = []
        self.system: list[Json] = []
        started = False
        for turn in call.turns:
            if turn.role == "system" and not started:
                self._write(turn, self.system)
            else:
                started = True
                self._turn(turn)
        if not started and self.system:  # Google wants something to answer to
            content = _Content("user")
            content.rest, self.system = self.system, []
            self._add(content)

    @property
    def contents(self) -> list[Json]:
        """``contents``."""
        return [content.done() for content in self._contents]

    def _add(self, content: _Content) -> None:
        """Joins a content to the one before if that has the same role; one without parts is none."""
        if not (content.answers or content.beside or content.rest):
            return
        last = self._contents[-1] if self._contents else None
        if last is None or last.role != content.role:
            self._contents.append(content)
        else:
            last.answers += content.answers
            last.beside += content.beside
            last.rest += content.rest

    def _turn(self, turn: Turn) -> None:
        content = _Content("model" if turn.role == "assistant" else "user")
        self._write(turn, content.rest, content)
        if turn.role == "system":
            for part in content.rest:
                if "text" in part:
                    part["text"] = MARKED.format(part["text"])
        self._add(content)
        if turn.name:
            self.losses.append(Loss("name", turn.at))

    def _write(self, turn: Turn, into: list[Json], content: _Content | None = None) -> None:
        for part in turn.parts:
            if isinstance(part, ToolResult) and content is not None:
                content.answers.append((self._order.get(part.call_id, 0), self._result(part, content, turn)))
                self._note_cache(part, turn)
            else:
                told = self._part(part, turn)
                if told is not None:
                    into.append(told)

    def _part(self, part: Part, turn: Turn) -> Json | None:
        self._note_cache(part, turn)
        match part:
            case Text():
                return _signed({"text": part.text}, part.origin, part.signature)
            case Refusal():
                return {"text": part.text}
            case Media():
                return _signed(self.media(part, turn), part.origin, part.signature)
            case ToolCall():
                return self._call(part, turn)
            case Thinking() if part.origin == "google":
                return _signed({"text": part.text, "thought": True}, part.origin, part.signature)
            case Thinking():
                self.losses.append(Loss("thinking", turn.at))
            case Carried() if part.dialect == "gemini_generate":
                return _decode_object(part.raw)
            case Carried():
                self.losses.append(Loss(part.kind, turn.at))
            case ToolResult():
                self.losses.append(Loss("tool_result", turn.at))
        return None

    def _note_cache(self, part: Part, turn: Turn) -> None:
        """Google caches beginnings by itself: marks are left out, the order stays (W39)."""
        if isinstance(part, Text | Media | ToolCall | ToolResult) and part.cache is not None:
            self.losses.append(Loss("cache_control", turn.at))

    def _call(self, part: ToolCall, turn: Turn) -> Json:
        name = flat(part.namespace, part.name)
        self._names[part.id] = name
        self._order[part.id] = len(self._order)
        call: Json = {"name": name, "args": {"input": part.arguments} if part.custom else _arguments(part, turn)}
        if part.id:
            call["id"] = part.id
        return _signed({"functionCall": call}, part.origin, part.signature)

    def _result(self, part: ToolResult, content: _Content, turn: Turn) -> Json:
        name = self._names.get(part.call_id) or part.name
        if not name:
            raise InvalidCall(
                "A tool result answers a call that is not in the conversation.",
                code="unknown_tool_call",
                param=turn.at or None,
            )
        told: Json = {"name": name, "response": _response(part)}
        if part.call_id:
            told["id"] = part.call_id
        media: list[Json] = []
        for each in part.parts:
            if isinstance(each, Media):
                media.append(self.media(each, turn))
            elif not isinstance(each, Text):
                self.losses.append(Loss(each.kind if isinstance(each, Carried) else "tool_result", turn.at))
        if media and "media_in_results" in self._aim.ways:
            told["parts"] = media
        else:
            content.beside.extend(media)
        return {"functionResponse": told}

    def media(self, media: Media, turn: Turn) -> Json:
        """An image, document, audio or video. Raises InvalidCall: audio for a model that hears none (W76)."""
        if media.kind == "audio" and "audio_input" not in self._aim.ways:
            raise InvalidCall("This model takes no audio.", code="audio_not_supported", param=turn.at or None)
        if media.context or media.cited:
            self.losses.append(Loss("document.context" if media.context else "citations", turn.at))
        if media.data or media.text:
            data = media.data or base64.b64encode(media.text.encode()).decode()
            said = labelled(media.media_type or ("text/plain" if media.text else ""), data)
            blob: Json = {"mimeType": said or "application/octet-stream", "data": data}
            if media.title:
                blob["displayName"] = media.title
            told: Json = {"inlineData": blob}
        else:
            told = {"fileData": self._file(media, turn)}
        level = _LEVELS.get(media.detail)
        if level and media.detail != self._detail:
            if "thinking_level" in self._aim.ways:
                told["mediaResolution"] = {"level": level}
            else:
                self.losses.append(Loss("detail", turn.at))
        return told

    def _file(self, media: Media, turn: Turn) -> Json:
        if media.file_id and not media.file_id.startswith(("files/", "https://generativelanguage.googleapis.com/")):
            raise InvalidCall(
                "A file kept at another provider cannot be sent to this model.",
                code="file_id_not_translatable",
                param=turn.at or None,
            )
        uri = media.file_id or media.url
        said = media.media_type or _ENDINGS.get(uri.partition("?")[0].rpartition(".")[2].lower(), "")
        file: Json = {"fileUri": uri}
        if said:
            file["mimeType"] = said
        if media.title:
            file["displayName"] = media.title
        return file


def shared_detail(call: Call) -> str:
    """How closely all media of a call are looked at, if that is one word for all of them; else ''."""
    told = {
        each.detail
        for turn in call.turns
        for part in turn.parts
        for each in (part.parts if isinstance(part, ToolResult) else [part])
        if isinstance(each, Media) and each.kind != "audio"
    }
    return told.pop() if len(told) == 1 else ""


def _signed(part: Json, origin: str, signature: str) -> Json:
    if signature and origin == "google":
        part["thoughtSignature"] = signature
    return part


def _arguments(part: ToolCall, turn: Turn) -> msgspec.Raw:
    """The arguments as they are spelt, proved to be an object (W16)."""
    text = (part.arguments.strip() or "{}").encode()
    try:
        _decode_object(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidCall(
            "The arguments of a tool call are not a JSON object.", code="invalid_arguments", param=turn.at or None
        ) from None
    return msgspec.Raw(text)


def _response(part: ToolResult) -> object:
    """An object as it is, else under ``output``, or under ``error`` what failed (W19)."""
    texts = [each.text for each in part.parts if isinstance(each, Text)]
    if part.data:
        data = msgspec.Raw(part.data.encode())
        known = _decode_object(data) if part.data.lstrip().startswith("{") else None
        if known is not None and (not part.error or "error" in known):
            return data
        return {"error" if part.error else "output": data}
    text: object = texts[0] if len(texts) == 1 else texts if texts else ""
    return {"error" if part.error else "output": text}
