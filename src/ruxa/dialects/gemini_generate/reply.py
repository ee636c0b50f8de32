"""Writes answers as Google's: the parts of a candidate, how it ended, and a whole answer of them."""

from __future__ import annotations

import msgspec

from ruxa.dialects.call import Carried, Media, Refusal, Text, Thinking, ToolCall, flat
from ruxa.dialects.dialect import Finish
from ruxa.dialects.gemini_generate import logprobs, thoughts
from ruxa.dialects.gemini_generate.figures import FINISHES, figures_of
from ruxa.dialects.reply import Asked, Choice, Reply, Said, made_id
from ruxa.dialects.signature import write as sign

Json = dict[str, object]

# Google's own words for an end, which pass as they are; all others are put into one of them.
WORDS = frozenset(FINISHES) | {"LANGUAGE", "OTHER", "IMAGE_OTHER", "NO_IMAGE", "ESCALATION", "PUP_LIMITED_DISABLED"}
_FINISH_WORDS: dict[Finish, str] = {"stop": "STOP", "tool": "STOP", "length": "MAX_TOKENS", "filter": "SAFETY"}

MALFORMED = "Malformed function call: its arguments are not a JSON object."

_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Calls:
    """The tool calls of a candidate as they are written, each with its id and what it has to carry.

    broken: a call was left out because its arguments are no object.
    """

    __slots__ = ("_asked", "_choice", "_made", "_thinking", "broken")

    def __init__(self, asked: Asked, choice: int) -> None:
        self._asked = asked
        self._choice = choice
        self._made = 0
        self._thinking: list[Thinking] = []
        self.broken = False

    def after(self, thinking: Thinking) -> None:
        """The next call comes after this thinking."""
        self._thinking.append(thinking)

    def write(self, call: ToolCall) -> Json | None:
        """A ``functionCall`` part; None when it is broken."""
        told: Json = {"id": call.id or self._id(), "name": flat(call.namespace, call.name)}
        args = {"input": call.arguments} if call.custom else _arguments(call.arguments)
        if args is None:
            self.broken = True
            return None
        told["args"] = args
        packed = thoughts.pack(self._thinking)
        self._thinking = []
        mark = sign(call.origin, call.signature, "google") if call.signature else packed
        return {"functionCall": told, "thoughtSignature": mark} if mark else {"functionCall": told}

    def _id(self) -> str:
        made = made_id(self._asked, "call_", self._choice * 64 + self._made)
        self._made += 1
        return made


def _arguments(text: str) -> msgspec.Raw | None:
    data = (text.strip() or "{}").encode()
    try:
        _decode_object(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return msgspec.Raw(data)


def part_of(part: Said, calls: Calls) -> Json | None:
    """A part of an answer; None for one that Google's dialect has no place for."""
    match part:
        case Text():
            mark = sign(part.origin, part.signature, "google")
            return {"text": part.text, "thoughtSignature": mark} if mark else {"text": part.text}
        case Thinking():
            calls.after(part)
            told: Json = {"text": part.text, "thought": True}
            mark = thoughts.write(part)
            if mark:
                told["thoughtSignature"] = mark
            return told
        case Refusal():
            return {"text": part.text}
        case Media():
            return media_of(part)
        case ToolCall():
            return calls.write(part)
        case Carried():
            return {**_decode_object(part.raw)} if part.dialect == "gemini_generate" else None


def media_of(media: Media) -> Json:
    """Media in an answer."""
    if media.data:
        return {"inlineData": {"mimeType": media.media_type or "application/octet-stream", "data": media.data}}
    if media.text:
        return {"text": media.text}
    file: Json = {"fileUri": media.url or media.file_id}
    if media.media_type:
        file["mimeType"] = media.media_type
    return {"fileData": file}


def finish_of(finish: Finish, detail: str, *, refused: bool, broken: bool) -> Json:
    """``finishReason``, and ``finishMessage`` where the reason alone would hide something (W42)."""
    if broken and finish != "length":
        return {"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": MALFORMED}
    if detail in WORDS and finish not in ("stop", "tool", "length"):
        return {"finishReason": detail}
    word = "SAFETY" if refused else _FINISH_WORDS.get(finish, "OTHER")
    told: Json = {"finishReason": word}
    message = MALFORMED if broken else detail or (finish if word == "OTHER" else "")
    if message:
        told["finishMessage"] = message
    return told


def write_reply(reply: Reply, asked: Asked) -> bytes:
    """See ``translator.Translator``."""
    told: Json = {"candidates": [_candidate(number, choice, asked) for number, choice in enumerate(reply.choices)]}
    if reply.usage is not None:
        told["usageMetadata"] = figures_of(reply.usage)
    told["modelVersion"] = asked.model
    told["responseId"] = reply.id or made_id(asked, "")
    return _encode(told)


def _candidate(number: int, choice: Choice, asked: Asked) -> Json:
    calls = Calls(asked, number)
    parts = [part for part in (part_of(part, calls) for part in choice.parts) if part is not None]
    told: Json = {"content": {"parts": parts, "role": "model"}}
    refused = any(isinstance(part, Refusal) for part in choice.parts)
    told |= finish_of(choice.finish, choice.detail, refused=refused, broken=calls.broken)
    told["index"] = number
    found = logprobs.result(choice.logprobs) if choice.logprobs else None
    if found is not None:
        told["avgLogprobs"] = logprobs.average(found)
        told["logprobsResult"] = found
    return told
