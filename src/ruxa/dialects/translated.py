"""Translated: one call between two dialects - the caller's words in, the provider's out, and the answer's way back.

What the pipeline asks of a call that is relayed it asks here of one that is not: a body to send, what a whole answer
holds, and a ``Reader`` for a stream. The figures, the finish and the errors are told by the provider's own dialect,
whose reader is fed beside the translation, so that a call is charged alike whichever way it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

from ruxa.dialects.call import Call, Embedding, Media, Origin, Part, Thinking, ToolCall, ToolResult, Turn
from ruxa.dialects.dialect import Answer, Dialect, Endpoint, Envelope, Finish, Load, Name, Place, Reader
from ruxa.dialects.losses import Loss, told
from ruxa.dialects.reply import Asked, Delta, Opened, Piece, Reply, made_id
from ruxa.dialects.translator import Aim, Counter, DeltaReader, DeltaWriter, Embedder, Translator, Written
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import InvalidCall, RuxaError, UpstreamBroken

Kind = Literal["answer", "vectors", "count"]

KINDS: dict[Endpoint, Kind] = {
    "chat": "answer",
    "completions": "answer",
    "responses": "answer",
    "messages": "answer",
    "generate": "answer",
    "embeddings": "vectors",
    "embed": "vectors",
    "batch_embed": "vectors",
    "count_tokens": "count",
}
"""What an endpoint gives; those of one kind can stand for each other."""

ANSWERS: dict[Name, Endpoint] = {
    "openai_chat": "chat",
    "openai_responses": "responses",
    "anthropic_messages": "messages",
    "gemini_generate": "generate",
}
# How a tool call's id looks, where the provider gave none.
ID_PREFIX: dict[Name, str] = {"anthropic_messages": "toolu_"}
ID_PREFIX_USUAL = "call_"
PAUSING: Name = "anthropic_messages"
"""The one dialect that has a word for an answer which is to be continued."""
# What a part that was kept as it came can turn out to be when it is taken apart.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Mark = tuple[Origin, str]
"""Whose signature, and the signature."""


class Marks(Protocol):
    """The signatures of tool calls, kept for clients that lose them on the way (W34, W35)."""

    def keep(self, call_id: str, mark: Mark) -> None:
        """A model signed that call."""
        ...

    def find(self, call_id: str) -> Mark | None:
        """The signature of a call that was ``kept`` not long ago."""
        ...


class Crossing(Protocol):
    """A call under translation. place, dialect: where it goes at the provider.

    body: what the caller gets, once ``answer`` has read a whole answer; losses: what did not come back with it.
    """

    place: Place
    dialect: Dialect
    body: bytes
    losses: tuple[Loss, ...]

    def write(self, aim: Aim, output_cap: int | None) -> Written:
        """The provider's body. output_cap: replaces a higher cap of the caller's (D21). Raises InvalidCall."""
        ...

    def answer(self, body: bytes, load: Load) -> Answer:
        """Usage and finish of a whole answer of status 2xx; sets ``body`` and ``losses``."""
        ...

    def stream(self) -> Bridge:
        """A fresh reader for one attempt."""
        ...


class Sieve(Protocol):
    """Looks at one answer's deltas before they are written (``gateway.guard.answers.Watch``)."""

    def feed(self, deltas: Sequence[Delta]) -> Sequence[Delta]:
        """What may go out. Raises RuxaError when nothing more may."""
        ...


class Watching(Protocol):
    """Looks at what a provider answers before the caller gets it."""

    def whole(self, reply: Reply) -> Reply:
        """The answer as it may go out. Raises RuxaError when it may not."""
        ...

    def stream(self) -> Sieve:
        """For one stream."""
        ...


class Bridge:
    """A provider's stream as the caller's (``dialect.Reader``). losses: what the stream held and no delta could."""

    __slots__ = (
        "_asked",
        "_deltas",
        "_made",
        "_marks",
        "_open",
        "_prefix",
        "_reader",
        "_sieve",
        "_writer",
        "_wrote",
        "done",
        "error",
        "events",
        "finish",
        "peek",
    )

    def __init__(
        self,
        reader: Reader,
        deltas: DeltaReader,
        writer: DeltaWriter,
        asked: Asked,
        prefix: str,
        marks: Marks,
        sieve: Sieve | None = None,
    ) -> None:
        self._sieve = sieve
        self._reader = reader
        self._deltas = deltas
        self._writer = writer
        self._asked = asked
        self._prefix = prefix
        self._marks = marks
        self._made = 0
        self._wrote = False  # something that means something
        self._open: dict[tuple[int, int], str] = {}
        self.peek: Literal["waiting", "meaningful", "error"] = "waiting"
        self.finish: Finish | None = None
        self.error: RuxaError | None = None
        self.done = False
        self.events = 0

    @property
    def usage(self) -> Usage | None:
        """See ``dialect.Reader``."""
        return self._reader.usage

    @property
    def losses(self) -> Sequence[Loss]:
        """See the class."""
        return self._deltas.losses

    def feed(self, data: bytes) -> bytes:
        """See ``dialect.Reader``."""
        self._reader.feed(data)  # for the figures, also of what goes no further
        if self.error is not None:
            self.finish = self._reader.finish
            return b""
        try:
            out = self._writer.write(self._named(self._deltas.feed(data)))
        except RuxaError as error:  # a frame that can't be read can't be passed on either
            return self._unreadable(error)
        except UNREADABLE:
            return self._unreadable(UpstreamBroken("A part of the provider's answer can't be read."))
        self._note()
        self._wrote = self._wrote or self.peek == "meaningful"
        return out

    def end(self) -> bytes:
        """See ``dialect.Reader``."""
        self._reader.end()
        self._note()
        if self.error is not None:
            return b""
        try:
            return self._writer.write(self._named(self._deltas.end()))
        except RuxaError as error:
            return self._unreadable(error)
        except UNREADABLE:
            return self._unreadable(UpstreamBroken("The end of the provider's answer can't be read."))

    def _unreadable(self, error: RuxaError) -> bytes:
        self._note()
        self.error = self.error or error
        if not self._wrote:
            self.peek = "error"
        return b""

    def _note(self) -> None:
        reader = self._reader
        self.peek = reader.peek
        self.finish = reader.finish
        self.error = self.error or reader.error
        self.done = reader.done and self.error is None  # what ends in an error is not complete
        self.events = reader.events

    def _named(self, deltas: Sequence[Delta]) -> Sequence[Delta]:
        """Every tool call has an id, and its signature is kept by it."""
        renamed: list[Delta] | None = None
        for at, delta in enumerate(deltas):
            if type(delta) is Piece:
                if delta.signature and (call_id := self._open.get((delta.choice, delta.index))) is not None:
                    self._marks.keep(call_id, (delta.origin, delta.signature))
            elif type(delta) is Opened and delta.kind == "tool":
                call_id = delta.id
                if not call_id:
                    call_id = made_id(self._asked, self._prefix, self._made)
                    self._made += 1
                    if renamed is None:
                        renamed = list(deltas)
                    renamed[at] = msgspec.structs.replace(delta, id=call_id)
                self._open[delta.choice, delta.index] = call_id
        if renamed is not None:
            deltas = renamed
        return deltas if self._sieve is None else self._sieve.feed(deltas)

    def fail(self, error: RuxaError, request_id: str) -> bytes:
        """See ``dialect.Reader``."""
        return self._writer.fail(error, request_id)

    def heartbeat(self) -> bytes:
        """See ``dialect.Reader``."""
        return self._writer.heartbeat()

    def counted(self) -> Usage:
        """See ``dialect.Reader``."""
        return self._reader.counted()


class Conversation:
    """See ``Crossing``: a call for an answer, whole or streamed."""

    __slots__ = (
        "_asked",
        "_call",
        "_envelope",
        "_marks",
        "_reads",
        "_watching",
        "_writes",
        "body",
        "dialect",
        "losses",
        "place",
    )

    def __init__(
        self,
        reads: Translator,
        writes: Translator,
        dialect: Dialect,
        call: Call,
        asked: Asked,
        model: str,
        marks: Marks,
        watching: Watching | None = None,
    ) -> None:
        """reads: the caller's side; writes: the provider's, as ``dialect``; model: as the provider names it."""
        self._watching = watching
        self._reads = reads
        self._writes = writes
        self._call = _mended(call, marks)
        self._asked = asked
        self._marks = marks
        self.dialect = dialect
        self.place = Place(dialect=dialect.name, endpoint=ANSWERS[dialect.name], model=model, stream=call.stream)
        self._envelope = _envelope(self.place, call.choices)
        self.body = b""
        self.losses: tuple[Loss, ...] = ()

    def write(self, aim: Aim, output_cap: int | None) -> Written:
        """See ``Crossing``."""
        call = self._call
        if output_cap is not None:
            call = msgspec.structs.replace(call, cap=output_cap if call.cap is None else min(call.cap, output_cap))
        return self._writes.write_call(call, aim)

    def answer(self, body: bytes, load: Load) -> Answer:
        """See ``Crossing``."""
        found = self.dialect.answer(self._envelope, body)
        if found.error is not None:
            return found
        try:
            reply = self._writes.read_reply(body)
            self._name(reply)
            if self._watching is not None:
                reply = self._watching.whole(reply)
            self.body = self._reads.write_reply(reply, self._asked)
        except RuxaError as error:
            return Answer(usage=found.usage, finish=found.finish, error=error)
        except UNREADABLE:
            return Answer(error=UpstreamBroken("The provider's answer can't be read."))
        self.losses = reply.losses
        if self._reads.name != PAUSING and any(choice.finish == "pause" for choice in reply.choices):
            self.losses += (Loss("pause_turn"),)  # it looks complete to its caller (W41)
        return found

    def _name(self, reply: Reply) -> None:
        """As ``Bridge._named``."""
        made = 0
        for choice in reply.choices:
            for part in choice.parts:
                if isinstance(part, ToolCall):
                    if not part.id:
                        part.id = made_id(self._asked, _prefix(self._reads.name), made)
                        made += 1
                    if part.signature:
                        self._marks.keep(part.id, (part.origin, part.signature))

    def stream(self) -> Bridge:
        """See ``Crossing``."""
        reads, writes = self._reads, self._writes
        return Bridge(
            self.dialect.stream(self._envelope),
            writes.reader(),
            reads.writer(self._asked),
            self._asked,
            _prefix(reads.name),
            self._marks,
            None if self._watching is None else self._watching.stream(),
        )


class Vectoring:
    """See ``Crossing``: texts to vectors."""

    __slots__ = ("_reads", "_wanted", "_writes", "body", "dialect", "losses", "place")

    def __init__(self, reads: Embedder, writes: Embedder, dialect: Dialect, wanted: Embedding, model: str) -> None:
        """See ``Conversation``."""
        self._reads = reads
        self._writes = writes
        self._wanted = wanted
        self.dialect = dialect
        endpoint: Endpoint = "embeddings"
        if dialect.name == "gemini_generate":
            endpoint = "embed" if wanted.single else "batch_embed"
        self.place = Place(dialect=dialect.name, endpoint=endpoint, model=model)
        self.body = b""
        self.losses: tuple[Loss, ...] = ()

    def write(self, aim: Aim, output_cap: int | None) -> Written:
        """See ``Crossing``."""
        return self._writes.write_embedding(self._wanted, aim)

    def answer(self, body: bytes, load: Load) -> Answer:
        """See ``Crossing``."""
        found = self.dialect.answer(_envelope(self.place, 1), body)
        if found.error is not None:
            return found
        try:
            vectors = self._writes.read_vectors(body)
            if vectors.tokens is None and found.usage is not None:
                vectors.tokens = found.usage.input_total
            self.body = self._reads.write_vectors(vectors, self._wanted, self._wanted.model)
        except RuxaError as error:
            return Answer(error=error)
        return found

    def stream(self) -> Bridge:
        """Vectors come whole."""
        raise AssertionError("vectors are not streamed")


class Counting:
    """See ``Crossing``: how many tokens a call would have."""

    __slots__ = ("_call", "_reads", "_writes", "_written", "body", "dialect", "losses", "place")

    def __init__(
        self, reads: Counter, writes: Translator, counts: Counter, dialect: Dialect, call: Call, model: str
    ) -> None:
        """counts: how the provider's dialect asks for the count of what ``writes`` writes."""
        self._reads = reads
        self._writes = writes
        self._written = counts
        self._call = call
        self.dialect = dialect
        self.place = Place(dialect=dialect.name, endpoint="count_tokens", model=model)
        self.body = b""
        self.losses: tuple[Loss, ...] = ()

    def write(self, aim: Aim, output_cap: int | None) -> Written:
        """See ``Crossing``."""
        written = self._writes.write_call(self._call, aim)
        return Written(body=self._written.write_count(written.body, aim.model), losses=written.losses)

    def answer(self, body: bytes, load: Load) -> Answer:
        """See ``Crossing``."""
        found = self.dialect.answer(_envelope(self.place, 1), body)
        if found.error is not None:
            return found
        try:
            tokens = self._written.read_count(body)
        except RuxaError as error:
            return Answer(error=error)
        self.body = self._reads.write_counted(tokens)
        return found

    def stream(self) -> Bridge:
        """A count comes whole."""
        raise AssertionError("counts are not streamed")


def fetched(call: Call, passes: Callable[[Media], bool]) -> list[Media]:
    """The media of a call that are given by a URL which may not go out as it is, in order."""
    found: list[Media] = []
    for turn in call.turns:
        for part in turn.parts:
            inner = part.parts if isinstance(part, ToolResult) else [part]
            found += [media for media in inner if isinstance(media, Media) and media.url and not passes(media)]
    return found


def replaced(call: Call, by: dict[int, Media]) -> Call:
    """The call with other media in place of some, these by ``id()``; what was read stays as it was."""
    turns: list[Turn] = []
    for turn in call.turns:
        parts = list(turn.parts)
        for at, part in enumerate(parts):
            if isinstance(part, Media):
                parts[at] = by.get(id(part), part)
            elif isinstance(part, ToolResult):
                inner = [by.get(id(each), each) if isinstance(each, Media) else each for each in part.parts]
                parts[at] = msgspec.structs.replace(part, parts=inner)
        turns.append(msgspec.structs.replace(turn, parts=parts))
    return msgspec.structs.replace(call, turns=turns)


def refuse_losses(losses: tuple[Loss, ...], model: str) -> None:
    """For a caller who wants all or nothing: raises InvalidCall ``lossy`` that names what can't be carried."""
    if losses:
        names = ", ".join(told(losses)[:12])
        raise InvalidCall(
            f"This can't be carried to {model}: {names}.", code="lossy", param=losses[0].param or losses[0].name
        )


def _mended(call: Call, marks: Marks) -> Call:
    """The call as its models wrote it: with the signatures that its client lost, and the thinking in one piece that its
    client got in many and sent back so."""
    if not any(turn.role == "assistant" for turn in call.turns):
        return call
    turns: list[Turn] = []
    for turn in call.turns:
        if turn.role != "assistant":
            turns.append(turn)
            continue
        parts: list[Part] = []
        for part in turn.parts:
            last = parts[-1] if parts else None
            if isinstance(part, ToolCall) and not part.signature and (mark := marks.find(part.id)) is not None:
                parts.append(msgspec.structs.replace(part, origin=mark[0], signature=mark[1]))
            elif isinstance(part, Thinking) and isinstance(last, Thinking) and _goes_on(last, part):
                parts[-1] = msgspec.structs.replace(part, text=last.text + part.text)
            else:
                parts.append(part)
        turns.append(msgspec.structs.replace(turn, parts=parts))
    return msgspec.structs.replace(call, turns=turns)


def _goes_on(last: Thinking, part: Thinking) -> bool:
    """Whether thinking goes on in the next part: no signature has ended it yet."""
    return last.id == part.id and not last.signature and not last.origin and not last.redacted and not part.redacted


def _prefix(name: Name) -> str:
    return ID_PREFIX.get(name, ID_PREFIX_USUAL)


def _envelope(place: Place, choices: int) -> Envelope:
    """What the provider's dialect needs to read an answer to a body that it wrote itself."""
    return Envelope(
        place=place,
        body=b"",
        members={},
        model=place.model,
        stream=place.stream,
        include_usage=True,
        load=Load(choices=choices),
    )
