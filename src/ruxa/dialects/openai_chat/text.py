"""Writes answers as completions have them: text alone, whole or in chunks, after the prompt where that was asked."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ruxa.dialects.call import Refusal, Text
from ruxa.dialects.dialect import Finish
from ruxa.dialects.openai import error_body
from ruxa.dialects.openai_chat.figures import figures_of
from ruxa.dialects.reply import Asked, Begun, Choice, Counted, Delta, Ended, Opened, Over, Piece, Reply, made_id
from ruxa.dialects.sse import HEARTBEAT
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import RuxaError

WORDS: dict[Finish, str] = {"length": "length", "filter": "content_filter", "error": "content_filter"}
"""Completions know three ends; every other is ``stop``. One that broke off is not told as a proper end."""

_DONE = b"data: [DONE]\n\n"
_SPOKEN = frozenset({"text", "refusal"})


class _Rank(msgspec.Struct, gc=False):
    token: str = ""
    logprob: float = 0.0


class _Token(msgspec.Struct, gc=False):
    token: str = ""
    logprob: float = 0.0
    top_logprobs: list[_Rank] | None = None


_decode_tokens = msgspec.json.Decoder(list[_Token]).decode
_encode = msgspec.json.Encoder().encode


def write_reply(reply: Reply, asked: Asked) -> bytes:
    """See ``translator.Translator``."""
    before = prompt_of(asked)
    body: dict[str, object] = {
        "id": reply.id or made_id(asked, "cmpl-"),
        "object": "text_completion",
        "created": asked.created_s,
        "model": asked.model,
        "choices": [
            _told(choice, index, before) for index, choice in enumerate(reply.choices or [Choice(finish="filter")])
        ],
    }
    if reply.usage is not None:
        body["usage"] = figures_of(reply.usage)
    return _encode(body)


def prompt_of(asked: Asked) -> str:
    """What an answer begins with: the prompt as it went out, or nothing."""
    if not asked.call.echo:
        return ""
    return "".join(part.text for turn in asked.call.turns for part in turn.parts if isinstance(part, Text))


def _told(choice: Choice, index: int, before: str) -> dict[str, object]:
    text = before + "".join(part.text for part in choice.parts if isinstance(part, Text | Refusal))
    told: dict[str, object] = {
        "index": index,
        "text": text,
        "logprobs": listed(choice.logprobs, len(before)) if choice.logprobs else None,
        "finish_reason": WORDS.get(choice.finish, "stop"),
    }
    if choice.detail:
        told["native_finish_reason"] = choice.detail
    return told


def listed(logprobs: bytes, offset: int) -> dict[str, object]:
    """Chat's entries as the lists of completions. offset: characters before the first."""
    tokens = _decode_tokens(logprobs)
    offsets: list[int] = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.token)
    return {
        "tokens": [token.token for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [{rank.token: rank.logprob for rank in token.top_logprobs or ()} for token in tokens],
        "text_offset": offsets,
    }


class TextWriter:
    """See ``translator.DeltaWriter``: a chunk for each piece of text."""

    __slots__ = ("_asked", "_before", "_head", "_offsets", "_parts", "_tail", "_usage")

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._before = prompt_of(asked)
        self._head = b""
        self._tail = b',"usage":null}\n\n' if asked.call.usage else b"}\n\n"
        self._usage: Usage | None = None
        self._parts: dict[tuple[int, int], str] = {}
        self._offsets: dict[int, int] = {}  # characters that each choice has said

    def write(self, deltas: Sequence[Delta]) -> bytes:
        """See ``translator.DeltaWriter``."""
        out: list[bytes] = []
        for delta in deltas:
            if isinstance(delta, Piece):
                if (delta.text or delta.logprobs) and self._parts.get((delta.choice, delta.index)) in _SPOKEN:
                    self._said(delta, out)
            elif isinstance(delta, Opened):
                self._parts[delta.choice, delta.index] = delta.kind
            elif isinstance(delta, Counted):
                self._usage = delta.usage
            elif isinstance(delta, Begun):
                self._head = b'data: {"id":%b,"object":"text_completion","created":%d,"model":%b,"choices":[' % (
                    _encode(delta.id or made_id(self._asked, "cmpl-")),
                    self._asked.created_s,
                    _encode(self._asked.model),
                )
            elif isinstance(delta, Ended):
                self._begin(delta.choice, out)
                rest = b'"finish_reason":%b' % _encode(WORDS.get(delta.finish, "stop"))
                if delta.detail:
                    rest += b',"native_finish_reason":%b' % _encode(delta.detail)
                self._send(delta.choice, "", b"null", rest, out)
            elif isinstance(delta, Over):
                self._over(out)
        return b"".join(out)

    def fail(self, error: RuxaError, request_id: str) -> bytes:
        """See ``translator.DeltaWriter``."""
        return b"data: " + error_body(error, request_id) + b"\n\n"

    def heartbeat(self) -> bytes:
        """See ``dialect.Reader``."""
        return HEARTBEAT

    def _begin(self, choice: int, out: list[bytes]) -> None:
        """The prompt before the first that a choice says."""
        if choice not in self._offsets:
            self._offsets[choice] = len(self._before)
            if self._before:
                self._send(choice, self._before, b"null", b'"finish_reason":null', out)

    def _said(self, piece: Piece, out: list[bytes]) -> None:
        self._begin(piece.choice, out)
        logprobs = b"null"
        at = self._offsets[piece.choice]
        self._offsets[piece.choice] = at + len(piece.text)
        if piece.logprobs:
            logprobs = _encode(listed(piece.logprobs, at))
        self._send(piece.choice, piece.text, logprobs, b'"finish_reason":null', out)

    def _send(self, choice: int, text: str, logprobs: bytes, rest: bytes, out: list[bytes]) -> None:
        told = b'{"index":%d,"text":%b,"logprobs":%b,%b}]' % (choice, _encode(text), logprobs, rest)
        out.append(self._head + told + self._tail)

    def _over(self, out: list[bytes]) -> None:
        """The figures once, with no choice, and the end."""
        if self._asked.call.usage and self._usage is not None:
            out.append(b'%b],"usage":%b}\n\n' % (self._head, _encode(figures_of(self._usage))))
        out.append(_DONE)
