"""Writes deltas as a stream of chat completion chunks: one chunk for each piece, ``[DONE]`` at the end.

Tool calls are numbered among themselves from 0; id and name stand in the first fragment only (W54). The proof of a
piece of thinking follows its text in one entry of ``reasoning_details``, whole, so that a client may merge or collect.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ruxa.dialects.call import Media, Origin, Thinking, ToolCall, unwrapped
from ruxa.dialects.openai import error_body
from ruxa.dialects.openai_chat import reasoning
from ruxa.dialects.openai_chat.figures import figures_of
from ruxa.dialects.openai_chat.messages import signed, written_call
from ruxa.dialects.openai_chat.reply import failed, is_free, pictured, sounded, word_of
from ruxa.dialects.reply import Asked, Begun, Closed, Counted, Delta, Ended, Opened, Piece, made_id
from ruxa.dialects.sse import HEARTBEAT
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import RuxaError

_encode = msgspec.json.Encoder().encode
_DONE = b"data: [DONE]\n\n"
_ROLE = b'{"role":"assistant","content":"","refusal":null}'


class _Part:
    """An open part. number: of a tool call; said: whether anything of its arguments went out; held: arguments that
    are unwrapped once they are whole."""

    __slots__ = ("custom", "held", "kind", "number", "said", "thought")

    def __init__(self, opened: Opened, number: int) -> None:
        self.kind = opened.kind
        self.custom = opened.custom
        self.number = number
        self.said = False
        self.held: list[str] | None = None
        self.thought = Thinking(summary=opened.summary, redacted=opened.redacted, id=opened.id)


class _Told:
    """One choice as it goes out."""

    __slots__ = ("calls", "empty", "parts", "pictures", "text", "thoughts")

    def __init__(self) -> None:
        self.parts: dict[int, _Part] = {}
        self.calls = 0
        self.thoughts = 0
        self.pictures = 0
        self.text = ""
        self.empty = True


class ChunkWriter:
    """See ``translator.DeltaWriter``."""

    __slots__ = ("_asked", "_choices", "_head", "_made", "_tail", "_usage")

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._choices: dict[int, _Told] = {}
        self._head = b""
        self._tail = b',"usage":null}\n\n' if asked.call.usage else b"}\n\n"
        self._usage: Usage | None = None
        self._made = 0

    def write(self, deltas: Sequence[Delta]) -> bytes:
        """See ``translator.DeltaWriter``."""
        out: list[bytes] = []
        for delta in deltas:
            if isinstance(delta, Piece):
                self._piece(delta, out)
            elif isinstance(delta, Opened):
                self._opened(delta, out)
            elif isinstance(delta, Closed):
                self._closed(delta, out)
            elif isinstance(delta, Counted):
                self._usage = delta.usage
            elif isinstance(delta, Begun):
                self._begin(delta.id, out)
            elif isinstance(delta, Ended):
                self._ended(delta, out)
            else:
                self._over(out)
        return b"".join(out)

    def fail(self, error: RuxaError, request_id: str) -> bytes:
        """See ``translator.DeltaWriter`` (W59)."""
        return b"data: " + error_body(error, request_id) + b"\n\n"

    def heartbeat(self) -> bytes:
        """See ``dialect.Reader``."""
        return HEARTBEAT

    def _begin(self, given: str, out: list[bytes]) -> None:
        asked = self._asked
        self._head = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":[' % (
            _encode(given or made_id(asked, "chatcmpl-")),
            asked.created_s,
            _encode(asked.model),
        )
        self._choice(0, out)

    def _choice(self, number: int, out: list[bytes]) -> _Told:
        told = self._choices.get(number)
        if told is None:
            told = self._choices[number] = _Told()
            self._send(number, _ROLE, out)
        return told

    def _send(self, choice: int, delta: bytes, out: list[bytes], rest: bytes = b'"finish_reason":null') -> None:
        out.append(b'%b{"index":%d,"delta":%b,"logprobs":null,%b}]%b' % (self._head, choice, delta, rest, self._tail))

    def _opened(self, opened: Opened, out: list[bytes]) -> None:
        told = self._choice(opened.choice, out)
        part = told.parts[opened.index] = _Part(opened, told.calls)
        if opened.whole is not None:
            if isinstance(opened.whole, Media):
                self._media(opened.whole, opened.choice, told, out)
        elif opened.kind == "tool":
            told.empty = False
            told.calls += 1
            call_id = opened.id or made_id(self._asked, "call_", self._made)
            self._made += 0 if opened.id else 1
            if not opened.custom and is_free(opened.name, self._asked):
                part.custom, part.held = True, []
            call = ToolCall(id=call_id, name=opened.name, arguments="", custom=part.custom, namespace=opened.namespace)
            if self._asked.call.functions:
                self._send(opened.choice, _encode({"function_call": {"name": opened.name, "arguments": ""}}), out)
            else:
                fragment = {"index": part.number, **written_call(call, call_id)}
                self._send(opened.choice, _encode({"tool_calls": [fragment]}), out)

    def _media(self, part: Media, choice: int, told: _Told, out: list[bytes]) -> None:
        told.empty = False
        if part.kind == "image":
            self._send(choice, _encode({"images": [pictured(part, told.pictures)]}), out)
            told.pictures += 1
        elif part.kind == "audio":
            self._send(choice, _encode({"audio": sounded(part, "", self._asked)}), out)

    def _piece(self, piece: Piece, out: list[bytes]) -> None:
        choice = piece.choice
        told = self._choices[choice]
        part = told.parts[piece.index]
        kind = part.kind
        if piece.text:
            told.empty = False
            if kind == "text":
                if piece.logprobs:
                    self._send_logprobs(piece, out)
                else:
                    self._send(choice, b'{"content":%b}' % _encode(piece.text), out)
            elif kind == "tool" and part.held is not None:
                part.held.append(piece.text)
            elif kind == "tool":
                self._arguments(part, choice, piece.text, out)
            elif kind == "thinking":
                part.thought.text += piece.text
                part.thought.origin = part.thought.origin or piece.origin
                self._send(choice, b'{"reasoning_content":%b}' % _encode(piece.text), out)
            elif kind == "refusal":
                self._send(choice, b'{"refusal":%b}' % _encode(piece.text), out)
        elif piece.logprobs:
            self._send_logprobs(piece, out)
        if piece.signature:
            self._sign(part, choice, piece.signature, piece.origin, out)

    def _send_logprobs(self, piece: Piece, out: list[bytes]) -> None:
        rest = b'"logprobs":{"content":%b,"refusal":null},"finish_reason":null' % piece.logprobs
        delta = b'{"content":%b}' % _encode(piece.text)
        out.append(b'%b{"index":%d,"delta":%b,%b}]%b' % (self._head, piece.choice, delta, rest, self._tail))

    def _arguments(self, part: _Part, choice: int, text: str, out: list[bytes]) -> None:
        part.said = True
        said = _encode(text)
        if self._asked.call.functions:
            delta = b'{"function_call":{"arguments":%b}}' % said
        elif part.custom:
            delta = b'{"tool_calls":[{"index":%d,"custom":{"input":%b}}]}' % (part.number, said)
        else:
            delta = b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (part.number, said)
        self._send(choice, delta, out)

    def _sign(self, part: _Part, choice: int, mark: str, origin: Origin, out: list[bytes]) -> None:
        if part.kind == "thinking":
            part.thought.signature, part.thought.origin = mark, origin
        elif part.kind == "text":
            self._send(choice, _encode({"content": "", **signed(origin, mark)}), out)
        elif part.kind == "tool" and not self._asked.call.functions:
            # OpenAI's own SDK takes no fragment of a call without this member.
            inner = {"custom": {"input": ""}} if part.custom else {"function": {"arguments": ""}}
            self._send(choice, _encode({"tool_calls": [{"index": part.number, **inner, **signed(origin, mark)}]}), out)

    def _closed(self, closed: Closed, out: list[bytes]) -> None:
        told = self._choices[closed.choice]
        part = told.parts.pop(closed.index)
        if part.held:
            self._arguments(part, closed.choice, unwrapped("".join(part.held)), out)
        elif part.kind == "tool" and not part.said and not part.custom:
            self._arguments(part, closed.choice, "{}", out)
        elif part.kind == "thinking":
            number = told.thoughts
            told.thoughts += 1
            if number or not reasoning.plain([part.thought]):
                details = reasoning.write([part.thought], number)
                self._send(closed.choice, _encode({"reasoning_details": details}), out)

    def _ended(self, ended: Ended, out: list[bytes]) -> None:
        told = self._choice(ended.choice, out)
        if told.empty and ended.finish == "error":
            self._send(ended.choice, _encode({"refusal": failed(ended.detail)}), out)
        rest = b'"finish_reason":%b' % _encode(word_of(ended.finish, self._asked))
        if ended.detail:
            rest += b',"native_finish_reason":%b' % _encode(ended.detail)
        self._send(ended.choice, b"{}", out, rest)

    def _over(self, out: list[bytes]) -> None:
        """The figures once, with no choice (W51), and the end."""
        if self._asked.call.usage and self._usage is not None:
            out.append(b'%b],"usage":%b}\n\n' % (self._head, _encode(figures_of(self._usage))))
        out.append(_DONE)
