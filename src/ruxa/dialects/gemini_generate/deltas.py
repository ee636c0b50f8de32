"""Reads Google's answers as deltas: a stream as it comes, and a whole answer as a stream of one event.

Google has no beginnings and ends of parts: text goes on in the next event, a function call is whole (or comes as
``partialArgs``), the figures stand in every event, and a candidate ends with its ``finishReason``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from ruxa.dialects.body import ABSENT, given
from ruxa.dialects.call import Carried, Media
from ruxa.dialects.gemini_generate import logprobs, thoughts
from ruxa.dialects.gemini_generate.contents import kind_of
from ruxa.dialects.gemini_generate.figures import Figures, finish_of, usage_of
from ruxa.dialects.gemini_generate.partial import Arguments, PartialArg
from ruxa.dialects.losses import Loss
from ruxa.dialects.reply import Begun, Closed, Counted, Delta, Ended, Opened, Over, Piece, Reply, collected
from ruxa.dialects.sse import Cutter, data_of, events
from ruxa.kernel.errors import UpstreamBroken


class _Blob(msgspec.Struct, gc=False, rename="camel"):
    mime_type: str | None = None
    data: str | None = None
    display_name: str | None = None


class _File(msgspec.Struct, gc=False, rename="camel"):
    file_uri: str | None = None
    mime_type: str | None = None
    display_name: str | None = None


class _Called(msgspec.Struct, gc=False, rename="camel"):
    id: str | None = None
    name: str | None = None
    args: msgspec.Raw = ABSENT
    partial_args: list[PartialArg] | None = None
    will_continue: bool | None = None


class _Part(msgspec.Struct, gc=False, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _Called | None = None
    inline_data: _Blob | None = None
    file_data: _File | None = None
    executable_code: msgspec.Raw = ABSENT
    code_execution_result: msgspec.Raw = ABSENT
    tool_call: msgspec.Raw = ABSENT
    tool_response: msgspec.Raw = ABSENT


class _Content(msgspec.Struct, gc=False):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct, gc=False, rename="camel"):
    index: int | None = None
    content: _Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    logprobs_result: logprobs.Result | None = None
    grounding_metadata: msgspec.Raw = ABSENT
    citation_metadata: msgspec.Raw = ABSENT
    url_context_metadata: msgspec.Raw = ABSENT


class _Feedback(msgspec.Struct, gc=False, rename="camel"):
    block_reason: str | None = None
    block_reason_message: str | None = None


class _Event(msgspec.Struct, gc=False, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: Figures | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: msgspec.Raw = ABSENT


_decode = msgspec.json.Decoder(_Event).decode

# Fields of an answer that no neutral reply holds.
_BESIDE = ("grounding_metadata", "citation_metadata", "url_context_metadata")
_CARRIED = (
    ("executable_code", "executableCode"),
    ("code_execution_result", "codeExecutionResult"),
    ("tool_call", "toolCall"),
    ("tool_response", "toolResponse"),
)


class _Choice:
    """One candidate under way."""

    __slots__ = ("blocked", "called", "finish", "kind", "logprobs", "message", "next", "number", "partial", "signed")

    def __init__(self, number: int) -> None:
        self.number = number
        self.next = 0
        self.kind: Literal["", "text", "thinking", "tool"] = ""
        self.signed = False
        self.called = False
        self.blocked = False
        self.partial: Arguments | None = None
        self.logprobs = b""
        self.finish = ""
        self.message = ""

    def text(self, part: _Part, continues: bool, out: list[Delta]) -> None:
        """A text part: more of the open one, or a new one."""
        text = part.text or ""
        kind: Literal["text", "thinking"] = "thinking" if part.thought else "text"
        origin, signature = thoughts.read(part.thought_signature)
        if not text and not signature:
            return
        if self.kind != kind or self.signed or not (continues or not text):
            self.close(out)
            out.append(Opened(index=self.next, kind=kind, choice=self.number, summary=kind == "thinking"))
            self.kind = kind
            if kind == "thinking" and not signature:
                origin = "google"
        told, self.logprobs = (self.logprobs, b"") if kind == "text" else (b"", self.logprobs)
        out.append(
            Piece(
                index=self.next,
                text=text,
                signature=signature,
                origin=origin,
                choice=self.number,
                logprobs=told,
            )
        )
        self.signed = bool(signature)

    def call(self, part: _Part, called: _Called, out: list[Delta]) -> None:
        """A function call: whole, or one more piece of one."""
        parts = called.partial_args
        if self.partial is None or called.name:
            self.close(out)
            self.called = True
            self.kind = "tool"
            out.append(
                Opened(
                    index=self.next, kind="tool", choice=self.number, id=called.id or "", name=called.name or "unnamed"
                )
            )
            if parts is not None or called.will_continue:
                self.partial = Arguments()
        origin, signature = thoughts.read(part.thought_signature)
        text = ""
        if self.partial is None:
            text = _arguments(called.args)
        else:
            for each in parts or ():
                self.partial.add(each)
        if text or signature:
            out.append(Piece(index=self.next, text=text, signature=signature, origin=origin, choice=self.number))
        if not called.will_continue:
            self.close(out)

    def whole(self, whole: Media | Carried, out: list[Delta]) -> None:
        """A part that comes whole."""
        self.close(out)
        out.append(Opened(index=self.next, kind="whole", choice=self.number, whole=whole))
        out.append(Closed(index=self.next, choice=self.number))
        self.next += 1

    def close(self, out: list[Delta]) -> None:
        """Closes the open part."""
        if not self.kind:
            return
        if self.partial is not None:
            out.append(Piece(index=self.next, text=self.partial.text(), choice=self.number))
            self.partial = None
        out.append(Closed(index=self.next, choice=self.number))
        self.next += 1
        self.kind = ""
        self.signed = False

    def end(self, out: list[Delta]) -> None:
        """Closes the candidate; one that ended in silence tells why (W42)."""
        self.close(out)
        finish = "filter" if self.blocked else finish_of(self.finish) or "other"
        if finish == "filter" and not self.next and self.message:
            out.append(Opened(index=0, kind="refusal", choice=self.number))
            out.append(Piece(index=0, text=self.message, choice=self.number))
            out.append(Closed(index=0, choice=self.number))
        plain = finish in ("stop", "length")
        if finish == "stop" and self.called:
            finish = "tool"
        out.append(Ended(finish=finish, choice=self.number, detail="" if plain else self.finish))


class GenerateDeltas:
    """See ``translator.DeltaReader``."""

    __slots__ = ("_choices", "_cutter", "_dead", "_figures", "_told", "losses")

    def __init__(self) -> None:
        self._cutter = Cutter()
        self._choices: dict[int, _Choice] = {}
        self._figures: Figures | None = None
        self._told = False
        self._dead = False
        self.losses: list[Loss] = []

    def feed(self, data: bytes) -> Sequence[Delta]:
        """See the contract."""
        out: list[Delta] = []
        for event in events(self._cutter.cut(data)):
            self._take(data_of(event), out)
        return out

    def end(self) -> Sequence[Delta]:
        """See the contract. The format has no last event: a finish reason is what makes a stream whole."""
        out: list[Delta] = []
        rest = self._cutter.rest().rstrip()
        if rest:
            self._take(data_of(rest + b"\n"), out)
        if not self._dead and any(choice.finish for choice in self._choices.values()):
            self.close(out)
        return out

    def _take(self, text: bytes, out: list[Delta]) -> None:
        if self._dead or not text:
            return
        try:
            event = _decode(text)
        except msgspec.ValidationError:
            self._lose("event")  # JSON of a shape nobody knows: the rest of the stream may be fine
            return
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._dead = True
            return
        if given(event.error):
            self._dead = True
            return
        self.event(event, out)

    def event(self, event: _Event, out: list[Delta]) -> None:
        """One event."""
        if not self._told:
            self._told = True
            out.append(Begun(id=event.response_id or "", model=event.model_version or ""))
        if event.usage_metadata is not None:
            if self._figures is None:
                out.append(Counted(usage=usage_of(event.usage_metadata)))
            self._figures = event.usage_metadata
        feedback = event.prompt_feedback
        if feedback is not None and feedback.block_reason:
            blocked = self._choice(0)
            blocked.blocked = True
            blocked.finish, blocked.message = feedback.block_reason, feedback.block_reason_message or ""
        for candidate in event.candidates or ():
            self._candidate(candidate, out)

    def _choice(self, number: int) -> _Choice:
        choice = self._choices.get(number)
        if choice is None:
            choice = self._choices[number] = _Choice(number)
        return choice

    def _candidate(self, candidate: _Candidate, out: list[Delta]) -> None:
        choice = self._choice(candidate.index or 0)
        for name in _BESIDE:
            if given(getattr(candidate, name)):
                self._lose(name)
        if candidate.logprobs_result is not None:
            choice.logprobs = logprobs.entries(candidate.logprobs_result)
        said = False
        for part in (candidate.content.parts if candidate.content is not None else None) or ():
            self._part(choice, part, said, out)
            said = True
        if candidate.finish_reason and finish_of(candidate.finish_reason) is not None:
            choice.finish = candidate.finish_reason
            choice.message = candidate.finish_message or ""

    def _part(self, choice: _Choice, part: _Part, said: bool, out: list[Delta]) -> None:
        """said: an earlier part of the same event; a text after it is a part of its own."""
        if part.function_call is not None:
            choice.call(part, part.function_call, out)
        elif part.inline_data is not None or part.file_data is not None:
            if part.thought:
                self._lose("thinking")
            else:
                choice.whole(_media(part), out)
        elif part.text is not None or part.thought_signature:
            choice.text(part, not said, out)
        else:
            for field, name in _CARRIED:
                raw = getattr(part, field)
                if given(raw):
                    told = b'{"%b":%b}' % (name.encode(), bytes(raw))
                    choice.whole(Carried(dialect="gemini_generate", kind=field, raw=told), out)
                    return
            self._lose("parts")

    def _lose(self, name: str) -> None:
        if all(loss.name != name for loss in self.losses):
            self.losses.append(Loss(name))

    def close(self, out: list[Delta]) -> None:
        """Ends every candidate, and the answer."""
        for number in sorted(self._choices):
            self._choices[number].end(out)
        if self._figures is not None:
            out.append(Counted(usage=usage_of(self._figures)))
        out.append(Over())


def _arguments(args: msgspec.Raw) -> str:
    if not given(args):
        return "{}"
    return msgspec.json.format(bytes(args), indent=-1).decode(errors="replace")


def _media(part: _Part) -> Media:
    blob, file = part.inline_data, part.file_data
    if blob is not None:
        said = blob.mime_type or ""
        return Media(kind=kind_of(said), media_type=said, data=blob.data or "", title=blob.display_name or "")
    assert file is not None
    said = file.mime_type or ""
    return Media(kind=kind_of(said), media_type=said, url=file.file_uri or "", title=file.display_name or "")


def read_reply(body: bytes) -> Reply:
    """See ``translator.Translator``."""
    reader = GenerateDeltas()
    out: list[Delta] = []
    try:
        event = _decode(body)
        if not given(event.error):
            reader.event(event, out)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer is not a JSON object of the expected shape.") from None
    reader.close(out)
    reply = collected(out)
    if not reply.choices:
        raise UpstreamBroken("The provider's answer holds no candidate.")
    reply.losses = tuple(reader.losses)
    return reply
