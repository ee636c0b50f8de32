"""Writes turns as OpenAI's messages: results of tools as messages of their own, their media in a user's message after.

What a message of this dialect cannot hold is a loss by name; what must not be lost is refused with the place where it
stood in the caller's body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NoReturn

import msgspec

from ruxa.dialects import media, signature
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
    identified,
    wrapped,
)
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai_chat import reasoning
from ruxa.dialects.openai_chat.parts import AUDIO, ERROR_MARK
from ruxa.dialects.translator import Aim
from ruxa.kernel.errors import InvalidCall

ID_CHARS_MAX = 40
"""OpenAI refuses longer ids of tool calls."""

OWN_FILE = "file-"
"""How ids of files begin that OpenAI keeps; no other vendor's begin so."""

_FORMATS = {label: word for word, label in AUDIO.items()}
_WORDS = {"image": "image", "document": "file", "audio": "audio", "video": "video"}
_LABELS = {"image": "image/png", "document": "application/pdf", "video": "video/mp4"}

Message = dict[str, object]
Piece = str | msgspec.Raw | Message
"""Of a content: a text, a part as it was sent, a part."""


def write_messages(call: Call, aim: Aim, losses: list[Loss]) -> list[Message]:
    """All messages. Raises InvalidCall for media that this model or dialect cannot take (W76)."""
    return _Writing(aim, losses).write(identified(call).turns)


def rendered(pieces: Sequence[Piece]) -> object:
    """A content: one text as a string, anything else as parts."""
    if not pieces:
        return ""
    first = pieces[0]
    if len(pieces) == 1 and isinstance(first, str):
        return first
    return [{"type": "text", "text": piece} if isinstance(piece, str) else piece for piece in pieces]


def short(call_id: str) -> str:
    """A tool call's id as OpenAI takes it, the same for the call and its result."""
    if len(call_id) <= ID_CHARS_MAX:
        return call_id
    return f"call_{hashlib.sha256(call_id.encode()).hexdigest()[:32]}"


class _Writing:
    def __init__(self, aim: Aim, losses: list[Loss]) -> None:
        self._ways = aim.ways
        self._losses = losses
        self._at = ""

    def write(self, turns: Sequence[Turn]) -> list[Message]:
        found: list[Message] = []
        at = 0
        while at < len(turns):
            turn = turns[at]
            self._at = turn.at
            if turn.role == "user":
                end = next((i for i in range(at, len(turns)) if turns[i].role != "user"), len(turns))
                found += self._users(turns[at:end])
                at = end
                continue
            found.append(self._system(turn) if turn.role == "system" else self._assistant(turn))
            at += 1
        return found

    def _lose(self, name: str) -> None:
        self._losses.append(Loss(name, self._at))

    def _system(self, turn: Turn) -> Message:
        role = "developer" if "developer" in self._ways else "system"
        return self._named({"role": role, "content": self._content(turn.parts)}, turn)

    def _named(self, message: Message, turn: Turn) -> Message:
        if turn.name:
            message["name"] = turn.name
        return message

    def _users(self, turns: Sequence[Turn]) -> list[Message]:
        """Turns of the user in a row: first every tool's result (W13), then their media (W20), then what was said."""
        found: list[Message] = []
        results = [(turn, part) for turn in turns for part in turn.parts if isinstance(part, ToolResult)]
        shown: list[object] = []
        for turn, result in results:
            self._at = turn.at
            inside = [part for part in result.parts if isinstance(part, Media) and not part.text]
            found.append(self._result(result, inside))
            if inside and len(results) > 1:
                shown.append({"type": "text", "text": f"Media in the result of tool call {short(result.call_id)}:"})
            shown += [self._media(part) for part in inside]
        if shown:
            found.append({"role": "user", "content": shown})
        for turn in turns:
            self._at = turn.at
            rest = [part for part in turn.parts if not isinstance(part, ToolResult)]
            if rest or not turn.parts:
                found.append(self._named({"role": "user", "content": self._content(rest)}, turn))
        return found

    def _result(self, result: ToolResult, inside: Sequence[Media]) -> Message:
        if result.cache is not None:
            self._lose("cache_control")
        pieces = self._pieces(part for part in result.parts if not (isinstance(part, Media) and not part.text))
        if result.data:
            pieces.insert(0, result.data)
        if not pieces and inside:
            pieces = [", ".join(f"[{_WORDS[part.kind]} in the next message]" for part in inside)]
        if result.error:
            first = pieces[0] if pieces else ""
            pieces = [ERROR_MARK + first, *pieces[1:]] if isinstance(first, str) else [ERROR_MARK, *pieces]
        return {"role": "tool", "tool_call_id": short(result.call_id), "content": rendered(pieces)}

    def _assistant(self, turn: Turn) -> Message:
        message: Message = {"role": "assistant"}
        kept = [part for part in turn.parts if isinstance(part, Text | Refusal | Carried)]
        content = self._said(kept, message)
        calls = [self._call(part) for part in turn.parts if isinstance(part, ToolCall)]
        message["content"] = content if content or not (calls or "refusal" in message) else None
        self._think([part for part in turn.parts if isinstance(part, Thinking)], message)
        for part in turn.parts:
            if isinstance(part, Media):
                if part.kind == "audio" and part.file_id:
                    message["audio"] = {"id": part.file_id}
                else:
                    self._lose(f"assistant.{_WORDS[part.kind]}")
        if calls:
            message["tool_calls"] = calls
        return self._named(message, turn)

    def _said(self, parts: Sequence[Text | Refusal | Carried], message: Message) -> object:
        """The content of an answer that was given: one string, so that no server puts anything between its pieces."""
        refusals = [part.text for part in parts if isinstance(part, Refusal)]
        if refusals:
            message["refusal"] = "".join(refusals)
        pieces = self._pieces(part for part in parts if not isinstance(part, Refusal))
        texts = [piece for piece in pieces if isinstance(piece, str)]
        return "".join(texts) if len(texts) == len(pieces) else rendered(pieces)

    def _think(self, parts: Sequence[Thinking], message: Message) -> None:
        """Thinking goes back only to servers that ask for it; signed thinking only with its signer's name (W33)."""
        if "reasoning_details" in self._ways and parts:
            message["reasoning_details"] = reasoning.write(parts)
            return
        if "reasoning_content" in self._ways:
            unsigned = [part.text for part in parts if not (part.origin or part.signature)]
            if unsigned:
                message["reasoning_content"] = "".join(unsigned)
            parts = [part for part in parts if part.origin or part.signature]
        if parts:
            self._lose("thinking")

    def _call(self, part: ToolCall) -> Message:
        if part.cache is not None:
            self._lose("cache_control")
        if part.signature:
            self._lose("thinking")
        if part.custom and "custom_tools" not in self._ways:
            part = msgspec.structs.replace(part, custom=False, arguments=wrapped(part.arguments))
        return written_call(part, short(part.id))

    def _content(self, parts: Iterable[Part]) -> object:
        return rendered(self._pieces(parts))

    def _pieces(self, parts: Iterable[Part]) -> list[Piece]:
        """Parts of a message, exact and in order (W02)."""
        found: list[Piece] = []
        for part in parts:
            if isinstance(part, Text | Media):
                if part.cache is not None:
                    self._lose("cache_control")
                if part.signature:
                    self._lose("thinking")
            match part:
                case Text() | Refusal():
                    found.append(part.text)
                case Media():
                    found += self._document(part) if part.text else [self._media(part)]
                case Carried(dialect="openai_chat"):
                    found.append(msgspec.Raw(part.raw))
                case Carried():
                    self._lose(part.kind)
                case Thinking():
                    self._lose("thinking")
                case ToolCall() | ToolResult():
                    self._lose("tool_calls")
        return found

    def _document(self, part: Media) -> list[Piece]:
        """A document that is text already: what is said of it first, its text exact."""
        if part.cited:
            self._lose("citations")
        head = "\n".join(each for each in (part.title, part.context) if each)
        return [head + "\n", part.text] if head else [part.text]

    def _media(self, part: Media) -> Message:
        if part.cited:
            self._lose("citations")
        if part.context:
            self._lose("document.context")
        match part.kind:
            case "image":
                return self._image(part)
            case "document":
                return self._file(part)
            case "audio":
                return self._audio(part)
            case "video":
                if part.file_id:
                    self._refuse("a video by its file id")
                return {"type": "video_url", "video_url": {"url": self._address(part)}}

    def _address(self, part: Media) -> str:
        if part.url:
            return part.url
        return media.closed(part.media_type or media.sniff(part.data) or _LABELS[part.kind], part.data)

    def _image(self, part: Media) -> Message:
        if part.file_id:
            self._refuse("an image by its file id")
        inner: Message = {"url": self._address(part)}
        if part.detail:
            inner["detail"] = part.detail
        return {"type": "image_url", "image_url": inner}

    def _file(self, part: Media) -> Message:
        if part.url:
            self._refuse("a document by its address")
        if part.file_id and not part.file_id.startswith(OWN_FILE):
            self._refuse("a file kept at another provider")
        if part.file_id:
            return {"type": "file", "file": {"file_id": part.file_id}}
        name = part.title or ("document.pdf" if part.media_type == "application/pdf" else "document")
        return {"type": "file", "file": {"filename": name, "file_data": self._address(part)}}

    def _audio(self, part: Media) -> Message:
        if "audio_input" not in self._ways:
            self._refuse("audio")
        label = media.labelled(part.media_type, part.data) if part.data else ""
        word = _FORMATS.get(label)
        if word is None:
            self._refuse("audio other than WAV and MP3 in base64")
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": word}}

    def _refuse(self, what: str) -> NoReturn:
        raise InvalidCall(f"This model does not take {what}.", code="unsupported_media", param=self._at or None)


def written_call(part: ToolCall, call_id: str) -> Message:
    """A tool call as history and answers have it."""
    name = flat(part.namespace, part.name)
    if part.custom:
        return {"id": call_id, "type": "custom", "custom": {"name": name, "input": part.arguments}}
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": part.arguments}}


def signed(origin: signature.Origin, text: str) -> Message:
    """The member that holds Google's proof, or another's packed."""
    return {"extra_content": {"google": {"thought_signature": signature.write(origin, text, "google")}}}
