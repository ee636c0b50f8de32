"""Reply and Delta: what a model answers, in no vendor's words - whole, or as it comes.

A stream of deltas keeps these rules, whatever the provider's own order was: ``Begun`` first; a part is ``Opened``
before its ``Piece``s and ``Closed`` after them, parts of one choice may interleave (W53), ``index`` counts the parts
of a choice in the order they were opened; every part is closed before the choice is ``Ended``; ``Counted`` may come
at any time and the last one counts; ``Over`` is the last. A stream that dies has no ``Over``.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ruxa.dialects.call import Call, Carried, Media, Origin, Refusal, Text, Thinking, ToolCall
from ruxa.dialects.dialect import Finish
from ruxa.dialects.losses import Loss
from ruxa.dialects.usage import Usage

Said = Text | Thinking | ToolCall | Refusal | Media | Carried


class Choice(msgspec.Struct, kw_only=True):
    """One answer. detail: the vendor's own word for the end where ``finish`` is coarser (``SAFETY``,
    ``model_context_window_exceeded``); stop: the stop sequence that ended it; logprobs: a JSON array of OpenAI's
    entries (token, logprob, bytes, top_logprobs) for the tokens of the text, b'' for none."""

    parts: list[Said] = []
    finish: Finish = "stop"
    detail: str = ""
    stop: str = ""
    logprobs: bytes = b""


class Reply(msgspec.Struct, kw_only=True):
    """A whole answer. id: the provider's, '' when it gave none; losses: what this form could not hold."""

    id: str = ""
    model: str = ""
    choices: list[Choice] = []
    usage: Usage | None = None
    losses: tuple[Loss, ...] = ()


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """The answer begins."""

    id: str = ""
    model: str = ""


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A part begins. id, name, custom, namespace: of a tool call. Media and carried blocks come whole in ``whole``
    (then no ``Piece`` follows)."""

    index: int
    kind: Literal["text", "thinking", "tool", "refusal", "whole"]
    choice: int = 0
    id: str = ""
    name: str = ""
    custom: bool = False
    namespace: str = ""
    summary: bool = False
    redacted: bool = False
    whole: Media | Carried | None = None


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """More of a part: text of a text, thinking or refusal, a fragment of a tool call's arguments; or its signature
    (whole, not a fragment). origin: without a signature, whose thinking it is though nobody signed it; logprobs: of
    this text, see ``Choice``."""

    index: int
    text: str = ""
    signature: str = ""
    origin: Origin = ""
    choice: int = 0
    logprobs: bytes = b""


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """A part is complete."""

    index: int
    choice: int = 0


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A choice is complete. See ``Choice``."""

    finish: Finish
    choice: int = 0
    detail: str = ""
    stop: str = ""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's figures so far, in all (never an increment)."""

    usage: Usage


class Over(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's stream came to its proper end."""


Delta = Begun | Opened | Piece | Closed | Ended | Counted | Over


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a writer of answers must know. call: what was asked (tools and format to echo, ``usage``, ``stream``);
    model: the public name the caller used; request_id: ``req_`` and 32 hex digits - ids that an answer needs and the
    provider did not give are made from it (``made_id``); created_s: unix seconds; array: Gemini's JSON array stream;
    answer_id: the answer's own id where it can be asked for again (OpenAI's responses), '' when nothing is kept."""

    call: Call
    model: str
    request_id: str
    created_s: int
    array: bool = False
    answer_id: str = ""


def made_id(asked: Asked, prefix: str, number: int = 0) -> str:
    """An id of the right look for what the provider gave none: the same for the same call and number."""
    return f"{prefix}{asked.request_id.removeprefix('req_')}" + (f"{number:02x}" if number else "")


def collected(deltas: list[Delta]) -> Reply:
    """The whole answer that a stream of deltas tells; for tests and for streams that end up whole."""
    reply = Reply()
    choices: dict[int, Choice] = {}
    parts: dict[tuple[int, int], Said] = {}
    for delta in deltas:
        match delta:
            case Begun():
                reply.id, reply.model = delta.id, delta.model
            case Opened():
                part = _begin(delta)
                choices.setdefault(delta.choice, Choice()).parts.append(part)
                parts[delta.choice, delta.index] = part
            case Piece():
                _add(parts[delta.choice, delta.index], delta)
                if delta.logprobs:
                    choice = choices[delta.choice]
                    choice.logprobs = joined(choice.logprobs, delta.logprobs)
            case Closed():
                part = parts[delta.choice, delta.index]
                if isinstance(part, ToolCall) and not part.arguments and not part.custom:
                    part.arguments = "{}"
            case Ended():
                choice = choices.setdefault(delta.choice, Choice())
                choice.finish, choice.detail, choice.stop = delta.finish, delta.detail, delta.stop
            case Counted():
                reply.usage = delta.usage
            case Over():
                pass
    reply.choices = [choices[number] for number in sorted(choices)]
    return reply


def joined(one: bytes, other: bytes) -> bytes:
    """Two JSON arrays as one, either may be b''."""
    if len(one) <= 2 or len(other) <= 2:
        return one if len(one) > 2 else other or one
    return one[:-1] + b"," + other[1:]


def _begin(opened: Opened) -> Said:
    if opened.kind == "tool":
        return ToolCall(id=opened.id, name=opened.name, arguments="", custom=opened.custom, namespace=opened.namespace)
    if opened.kind == "thinking":
        return Thinking(summary=opened.summary, redacted=opened.redacted, id=opened.id)
    if opened.kind == "refusal":
        return Refusal(text="")
    if opened.whole is not None:
        return opened.whole
    return Text(text="")


def _add(part: Said, piece: Piece) -> None:
    if isinstance(part, ToolCall):
        part.arguments += piece.text
    elif isinstance(part, Text | Thinking | Refusal):
        part.text += piece.text
    if piece.signature and isinstance(part, ToolCall | Text | Thinking):
        part.signature, part.origin = piece.signature, piece.origin
    elif piece.origin and isinstance(part, Thinking) and not part.origin:
        part.origin = piece.origin
