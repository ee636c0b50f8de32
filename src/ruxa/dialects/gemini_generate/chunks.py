"""Writes deltas as Google's stream: SSE events, or the elements of a JSON array (W55). There is no ``[DONE]``.

Parts come strictly in order and function calls whole: what belongs to a later part waits until the earlier ones are
complete. The last event tells how each candidate ended, and the figures.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ruxa.dialects.call import Thinking, ToolCall
from ruxa.dialects.gemini_generate import logprobs, thoughts
from ruxa.dialects.gemini_generate.figures import figures_of
from ruxa.dialects.gemini_generate.reply import Calls, Json, finish_of, part_of
from ruxa.dialects.gemini_generate.write import error_object
from ruxa.dialects.reply import Asked, Begun, Closed, Counted, Delta, Ended, Opened, Over, Piece, made_id
from ruxa.dialects.signature import write as sign
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import RuxaError

_encode = msgspec.json.Encoder().encode
_NOTHING: Json = {"text": ""}


class _Part:
    """A part that is open, or waits for its turn."""

    __slots__ = ("closed", "origin", "signature", "text", "told", "waiting")

    def __init__(self, told: Opened) -> None:
        self.told = told
        self.text: list[str] = []
        self.waiting: list[Piece] = []
        self.origin = ""
        self.signature = ""
        self.closed = False


class _Choice:
    """One candidate under way."""

    __slots__ = ("at", "calls", "ended", "held", "number", "parts", "refused")

    def __init__(self, asked: Asked, number: int) -> None:
        self.number = number
        self.at = 0
        self.parts: dict[int, _Part] = {}
        self.calls = Calls(asked, number)
        self.held: Json | None = None
        self.refused = False
        self.ended: Ended | None = None


class GenerateChunks:
    """See ``translator.DeltaWriter``."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._array = asked.array
        self._started = False
        self._choices: dict[int, _Choice] = {}
        self._usage: Usage | None = None
        self._out: list[bytes] = []
        self._tail = self._named("")

    def _named(self, given: str) -> bytes:
        model, answer = _encode(self._asked.model), _encode(given or made_id(self._asked, ""))
        return b',"modelVersion":%b,"responseId":%b}' % (model, answer)

    def write(self, deltas: Sequence[Delta]) -> bytes:
        """See the contract."""
        for delta in deltas:
            match delta:
                case Piece():
                    self._piece(delta)
                case Opened():
                    choice = self._choice(delta.choice)
                    choice.parts[delta.index] = _Part(delta)
                    choice.refused = choice.refused or delta.kind == "refusal"
                case Closed():
                    choice = self._choice(delta.choice)
                    choice.parts[delta.index].closed = True
                    self._go_on(choice)
                case Ended():
                    self._choice(delta.choice).ended = delta
                case Counted():
                    self._usage = delta.usage
                case Begun():
                    self._tail = self._named(delta.id)
                case Over():
                    self._end()
        told = b"".join(self._out)
        self._out.clear()
        return told

    def _choice(self, number: int) -> _Choice:
        choice = self._choices.get(number)
        if choice is None:
            choice = self._choices[number] = _Choice(self._asked, number)
        return choice

    def _piece(self, piece: Piece) -> None:
        choice = self._choice(piece.choice)
        part = choice.parts[piece.index]
        if piece.index == choice.at:
            self._say(choice, part, piece)
        else:
            part.waiting.append(piece)

    def _say(self, choice: _Choice, part: _Part, piece: Piece) -> None:
        """A piece of the part whose turn it is."""
        if piece.origin:
            part.origin, part.signature = piece.origin, piece.signature or part.signature
        if part.told.kind == "tool":
            part.text.append(piece.text)
            return
        if part.told.kind == "thinking":
            part.text.append(piece.text)
        if piece.text:
            thought = b',"thought":true' if part.told.kind == "thinking" else b""
            self._part(choice, b'{"text":%b%b}' % (_encode(piece.text), thought), piece.logprobs)

    def _go_on(self, choice: _Choice) -> None:
        """Completes the part whose turn it is, and what has waited behind it."""
        while (part := choice.parts.get(choice.at)) is not None:
            for piece in part.waiting:
                self._say(choice, part, piece)
            part.waiting.clear()
            if not part.closed:
                return
            self._complete(choice, part)
            del choice.parts[choice.at]
            choice.at += 1

    def _complete(self, choice: _Choice, part: _Part) -> None:
        told = part.told
        origin = part.origin
        assert origin in ("anthropic", "google", "openai", "")
        if told.kind == "tool":
            call = ToolCall(
                id=told.id,
                name=told.name,
                arguments="".join(part.text) or ("" if told.custom else "{}"),
                custom=told.custom,
                namespace=told.namespace,
                signature=part.signature,
                origin=origin,
            )
            self._hold(choice, choice.calls.write(call))
        elif told.kind == "thinking":
            thinking = Thinking(
                text="".join(part.text),
                signature=part.signature,
                origin=origin,
                redacted=told.redacted,
                summary=told.summary,
                id=told.id,
            )
            choice.calls.after(thinking)
            mark = thoughts.write(thinking)
            if mark:
                self._part(choice, b'{"text":"","thought":true,"thoughtSignature":%b}' % _encode(mark))
        elif told.kind == "text" and part.signature:
            mark = sign(origin, part.signature, "google")
            self._part(choice, b'{"text":"","thoughtSignature":%b}' % _encode(mark))
        elif told.whole is not None:
            self._hold(choice, part_of(told.whole, choice.calls))

    def _hold(self, choice: _Choice, part: Json | None) -> None:
        """Keeps a whole part back: if it is the last one, the end is told with it, as Google does."""
        if part is None:
            return
        self._release(choice)
        choice.held = part

    def _release(self, choice: _Choice) -> None:
        held, choice.held = choice.held, None
        if held is not None:
            self._event(b'{"candidates":[%b]%b' % (self._content(choice, _encode(held)) + b"}", self._tail))

    def _part(self, choice: _Choice, part: bytes, told_logprobs: bytes = b"") -> None:
        self._release(choice)
        found = logprobs.result(told_logprobs) if told_logprobs else None
        beside = b"" if found is None else b',"logprobsResult":' + _encode(found)
        self._event(b'{"candidates":[%b%b}]%b' % (self._content(choice, part), beside, self._tail))

    def _content(self, choice: _Choice, part: bytes) -> bytes:
        return b'{"content":{"parts":[%b],"role":"model"},"index":%d' % (part, choice.number)

    def _event(self, text: bytes) -> None:
        if self._array:
            self._out.append((b",\r\n" if self._started else b"[") + text)
        else:
            self._out.append(b"data: %b\r\n\r\n" % text)
        self._started = True

    def _end(self) -> None:
        """The last event, of all candidates, with the figures."""
        ends: list[bytes] = []
        for number in sorted(self._choices):
            choice = self._choices[number]
            ended = choice.ended or Ended(finish="other")
            told = finish_of(ended.finish, ended.detail, refused=choice.refused, broken=choice.calls.broken)
            ends.append(
                self._content(choice, _encode(choice.held or _NOTHING)) + b"," + _encode(told)[1:],
            )
        figures = b"" if self._usage is None else b',"usageMetadata":' + _encode(figures_of(self._usage))
        self._event(b'{"candidates":[%b]%b%b' % (b",".join(ends), figures, self._tail))
        if self._array:
            self._out.append(b"\n]\n")

    def fail(self, error: RuxaError, request_id: str) -> bytes:
        """See the contract."""
        told = error_object(error, request_id)
        if self._array:
            return (b",\r\n" if self._started else b"[") + told + b"\n]\n"
        return b"data: " + told + b"\r\n\r\n"

    def heartbeat(self) -> bytes:
        """See the contract. An empty line: google-genai takes an SSE comment for a broken answer."""
        return b"\n"
