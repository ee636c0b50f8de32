"""Reads ``contents`` and ``systemInstruction`` as turns: every part where it stood.

Google joins a function's result to its call by name where there is no id; ``call.identified`` gives ids afterwards.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ruxa.dialects.body import kind_word, take
from ruxa.dialects.call import Carried, Media, Part, Text, Thinking, ToolCall, ToolResult, Turn
from ruxa.dialects.gemini_generate import thoughts
from ruxa.dialects.gemini_generate.members import Members, plain, refuse
from ruxa.dialects.gemini_generate.read import style
from ruxa.dialects.losses import Loss
from ruxa.dialects.media import labelled

Role = Literal["user", "assistant"]
ROLES: dict[str, Role] = {"user": "user", "function": "user", "tool": "user", "model": "assistant"}

CARRIED = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")
"""What Google's own tools leave in a conversation."""

DATA = ("text", "inlineData", "fileData", "functionCall", "functionResponse", *CARRIED)
_FILES = ("https://generativelanguage.googleapis.com/", "files/")
_VIDEOS = ("https://www.youtube.com/", "https://youtube.com/", "https://youtu.be/")
_DETAILS = {"LOW": "low", "MEDIUM": "auto", "HIGH": "high", "ULTRA_HIGH": "high"}

_decode_any = msgspec.json.Decoder().decode
_decode_text = msgspec.json.Decoder(str).decode


def detail_of(resolution: str) -> str:
    """``low``, ``auto``, ``high`` for a ``MEDIA_RESOLUTION_…``; '' for none."""
    return _DETAILS.get(resolution.removeprefix("MEDIA_RESOLUTION_"), "")


class Reading:
    """The contents of one call. losses: what of them no neutral part holds."""

    __slots__ = ("_signed", "losses", "turns")

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.losses: list[Loss] = []
        self._signed: set[str] = set()

    def system(self, raw: msgspec.Raw, path: str) -> None:
        """``systemInstruction``: a string, a part, a content, or a list of them."""
        parts: list[Part] = []
        kind = kind_word(raw)
        if kind == "string":
            parts.append(Text(text=take(path, _decode_text, raw, style)))
        else:
            content = Members(raw, path)
            if content.has("text") and not content.has("parts"):
                parts.append(Text(text=content.text("text") or ""))
            else:
                content.text("role")
                for index, part in enumerate(content.items("parts")):
                    parts.extend(self._part(part, f"{path}.parts[{index}]"))
                self.losses.extend(content.lost("system_instruction."))
        if parts:
            self.turns.append(Turn(role="system", parts=parts, at=path))

    def content(self, raw: msgspec.Raw, path: str) -> None:
        """One content. What stands in the wrong role's content becomes a turn of its own, in place."""
        content = Members(raw, path)
        told = content.text("role")
        if told and told not in ROLES:
            refuse(f"{path}.role", "Please use a valid role: user, model.")
        parts: list[Part] = []
        for index, part in enumerate(content.items("parts")):
            parts.extend(self._part(part, f"{path}.parts[{index}]"))
        self.losses.extend(content.lost("contents."))
        usual = ROLES[told] if told else _role(parts)
        if len(parts) > 1:
            parts = [part for part in parts if not _empty(part)] or parts[:1]
        turn: Turn | None = None
        for part in parts:
            role = _own(part) or usual
            if turn is None or turn.role != role:
                turn = Turn(role=role, at=path)
                self.turns.append(turn)
            turn.parts.append(part)

    def _part(self, raw: msgspec.Raw, path: str) -> list[Part]:
        part = Members(raw, path)
        thought = part.flag("thought") or False
        mark = part.text("thoughtSignature")
        told = [name for name in DATA if part.has(name)]
        if len(told) > 1:
            refuse(path, f"oneof field 'data' is already set. Cannot set '{told[1]}'")
        if not told:
            return self._strange(raw, part, thought, mark)
        found: list[Part]
        match told[0]:
            case "text":
                text = part.text("text") or ""
                found = self._thought(text, mark) if thought else [_text(text, mark)]
            case "functionCall":
                found = [*self._missing(mark), self._call(part, mark)]
            case "functionResponse":
                found = [self._result(part)]
            case "inlineData" | "fileData" if thought:
                part.take(told[0])
                self.losses.append(Loss("thinking", path))
                found = []
            case "inlineData" | "fileData":
                media = self._media(part)
                media.origin, media.signature = thoughts.read(mark)
                found = [media]
            case name:
                return [Carried(dialect="gemini_generate", kind=plain(name), raw=bytes(raw))]
        self.losses.extend(part.lost("parts."))
        return found

    def _strange(self, raw: msgspec.Raw, part: Members, thought: bool, mark: str | None) -> list[Part]:
        """A part without data that is known here."""
        unknown = part.rest()
        if unknown:
            return [Carried(dialect="gemini_generate", kind=f"parts.{plain(unknown[0])}", raw=bytes(raw))]
        if thought:
            return self._thought("", mark)
        if not mark:
            refuse(part.path, "required oneof field 'data' must have one initialized field")
        return [_text("", mark)]

    def _thought(self, text: str, mark: str | None) -> list[Part]:
        packed = thoughts.unpack(mark)
        if packed:
            thinking = msgspec.structs.replace(packed[0], text=text)
        else:
            origin, signed = thoughts.read(mark)
            thinking = Thinking(text=text, signature=signed, origin=origin, summary=origin in ("", "google"))
        self._signed.add(thinking.signature)
        return [thinking]

    def _missing(self, mark: str | None) -> list[Part]:
        """Thinking that a call's signature carries, unless the thought parts themselves came back."""
        missing = [part for part in thoughts.unpack(mark) if part.signature not in self._signed]
        self._signed.update(part.signature for part in missing)
        return [*missing]

    def _call(self, members: Members, mark: str | None) -> ToolCall:
        call = members.inner("functionCall")
        assert call is not None
        name = call.text("name")
        if not name:
            refuse(call.at("name"), "a function call needs a name")
        told = call.text("id") or ""
        origin, signed = thoughts.read(mark)
        arguments = (call.json_object("args") or b"{}").decode()
        self.losses.extend(call.lost("function_call."))
        return ToolCall(id=told, name=name, arguments=arguments, signature=signed, origin=origin)

    def _result(self, members: Members) -> ToolResult:
        response = members.inner("functionResponse")
        assert response is not None
        name = response.text("name")
        if not name:
            refuse(response.at("name"), "a function response needs a name")
        result = ToolResult(call_id=response.text("id") or "", name=name)
        _understand(response.json_object("response"), result)
        for part in response.objects("parts"):
            result.parts.append(self._media(part))
            self.losses.extend(part.lost("function_response.parts."))
        self.losses.extend(response.lost("function_response."))
        return result

    def _media(self, members: Members) -> Media:
        """The media of a part, with what is said beside it."""
        resolution = members.inner("mediaResolution")
        detail = "" if resolution is None else detail_of(resolution.word("level"))
        blob = members.inner("inlineData")
        if blob is not None:
            data = thoughts.standard(blob.text("data") or "")
            if not data:
                refuse(blob.at("data"), "the data of a part must not be empty")
            media_type = labelled(blob.text("mimeType") or "", data)
            media = Media(kind=kind_of(media_type), media_type=media_type, data=data, detail=detail)
            media.title = blob.text("displayName") or ""
            self.losses.extend(blob.lost("inline_data."))
            return media
        file = members.inner("fileData")
        if file is None:
            refuse(members.path, "a part needs inline_data or file_data")
        uri = file.text("fileUri") or ""
        if not uri:
            refuse(file.at("fileUri"), "the URI of a file must not be empty")
        media_type = (file.text("mimeType") or "").lower()
        kind = "video" if uri.startswith(_VIDEOS) else kind_of(media_type)
        media = Media(kind=kind, media_type=media_type, detail=detail, title=file.text("displayName") or "")
        if uri.startswith(_FILES):
            media.file_id = uri
        else:
            media.url = uri
        self.losses.extend(file.lost("file_data."))
        return media


def _text(text: str, mark: str | None) -> Text:
    origin, signed = thoughts.read(mark)
    return Text(text=text, signature=signed, origin=origin)


def _understand(response: bytes, result: ToolResult) -> None:
    """``{"output": text}`` and ``{"error": text}`` are text (W19); every other response is data as it stands."""
    if not response:
        return
    try:
        told = _decode_any(response)
    except msgspec.DecodeError:  # a number that is too large for here need not be so for its reader
        result.data = response.decode()
        return
    failed = told.get("error")
    result.error = bool(failed) or (len(told) == 1 and failed == "")
    only = next(iter(told.values())) if len(told) == 1 and ("output" in told or result.error) else None
    if isinstance(only, str):
        result.parts = [Text(text=only)] if only else []
    elif result.error and isinstance(only, dict):
        result.data = msgspec.json.format(response, indent=-1)[len(b'{"error":') : -1].decode()
    else:
        result.data = response.decode()


def kind_of(media_type: str) -> Literal["image", "document", "audio", "video"]:
    """What a media type is."""
    match media_type.partition("/")[0]:
        case "image":
            return "image"
        case "audio":
            return "audio"
        case "video":
            return "video"
        case _:
            return "document"


def _own(part: Part) -> Role | None:
    """The role that a part can only stand in."""
    if isinstance(part, ToolCall | Thinking):
        return "assistant"
    return "user" if isinstance(part, ToolResult) else None


def _role(parts: list[Part]) -> Role:
    """Whose a content without a role is (W77)."""
    return "assistant" if any(_own(part) == "assistant" for part in parts) else "user"


def _empty(part: Part) -> bool:
    """An unsigned empty text: streams end in one, and other vendors refuse it."""
    return isinstance(part, Text) and not part.text and not part.signature
