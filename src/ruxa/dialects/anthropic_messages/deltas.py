"""A provider's stream of message events as deltas: every block whole and in order, whatever its bytes were cut into."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ruxa.dialects.anthropic_messages.blocks import DIALECT
from ruxa.dialects.anthropic_messages.fields import plain
from ruxa.dialects.anthropic_messages.figures import Figures, merged, usage_of
from ruxa.dialects.anthropic_messages.stops import Stop, StopDetails, read_stop
from ruxa.dialects.anthropic_messages.structured import ANSWER_TOOL, VALUE_TOOL, unwrapped
from ruxa.dialects.body import ABSENT, given
from ruxa.dialects.call import Carried
from ruxa.dialects.losses import Loss
from ruxa.dialects.reply import Begun, Closed, Counted, Delta, Ended, Opened, Over, Piece
from ruxa.dialects.signature import read as read_signature
from ruxa.dialects.sse import Cutter, data_of, events


class _Message(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    usage: Figures | None = None


class _Block(msgspec.Struct, gc=False):
    type: str
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    input: msgspec.Raw = ABSENT
    citations: msgspec.Raw = ABSENT


class _Delta(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    container: msgspec.Raw = ABSENT


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    index: int | None = None
    message: _Message | None = None
    content_block: msgspec.Raw = ABSENT
    delta: _Delta | None = None
    usage: Figures | None = None


class _Open:
    """A block that is not over. kind: what its pieces are; held: what waits for its end.

    ``text``, ``thinking``, ``tool`` pass piece by piece; ``answer`` does as the text it is; ``value`` and ``whole``
    wait: of one only a part is text, the other is carried as one.
    """

    __slots__ = ("held", "index", "kind", "start", "used")

    def __init__(self, kind: str, index: int, start: msgspec.Raw) -> None:
        self.kind = kind
        self.index = index
        self.start = start
        self.held: list[str] = []
        self.used = False


_decode = msgspec.json.Decoder(_Event).decode
_decode_block = msgspec.json.Decoder(_Block).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_USUAL = b"event: content_block_delta\ndata: "
_EMPTY = frozenset({b"", b"{}", b"null"})
_OVER = Over()


class MessageDeltas:
    """See ``translator.DeltaReader``."""

    __slots__ = ("_answered", "_called", "_count", "_cutter", "_done", "_ended", "_figures", "_open", "losses")

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self._cutter = Cutter()
        self._open: dict[int | None, _Open] = {}
        self._count = 0
        self._figures: Figures | None = None
        self._answered = False
        self._called = False
        self._ended = False
        self._done = False

    def feed(self, data: bytes) -> Sequence[Delta]:
        """See ``translator.DeltaReader``."""
        out: list[Delta] = []
        if (  # one whole event of the usual form, as most pieces come
            data.startswith(_USUAL)
            and data.endswith(b"\n\n")
            and data.find(b"\n", len(_USUAL)) == len(data) - 2
            and not self._done
            and not self._cutter.held
        ):
            self._note(data[len(_USUAL) : -2], out)
            return out
        for event in events(self._cutter.cut(data)):
            if self._done:
                break
            text = data_of(event)
            if text:
                self._note(text, out)
        return out

    def end(self) -> Sequence[Delta]:
        """See ``translator.DeltaReader``."""
        rest = self._cutter.rest().rstrip()
        return self.feed(rest + b"\n\n") if data_of(rest + b"\n").endswith(b'"message_stop"}') else []

    def _note(self, text: bytes, out: list[Delta]) -> None:
        try:
            event = _decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.losses.append(Loss("event"))
            return
        kind = event.type
        if kind == "content_block_delta":
            self._piece(event, out)
        elif kind == "content_block_start":
            self._start(event, out)
        elif kind == "content_block_stop":
            block = self._open.pop(event.index, None)
            if block is not None:
                self._close(block, out)
        elif kind == "message_start":
            self._begin(event.message or _Message(), out)
        elif kind == "message_delta":
            self._finish(event, out)
        elif kind == "message_stop":
            if not self._ended:
                self._end(read_stop(None, None, None), out)
            out.append(_OVER)
            self._done = True
        elif kind == "error":
            self._done = True

    def _begin(self, message: _Message, out: list[Delta]) -> None:
        out.append(Begun(id=message.id or "", model=message.model or ""))
        self._counted(message.usage, out)

    def _counted(self, figures: Figures | None, out: list[Delta]) -> None:
        if figures is not None:
            self._figures = merged(self._figures, figures)
            out.append(Counted(usage=usage_of(self._figures)))

    def _start(self, event: _Event, out: list[Delta]) -> None:
        raw = event.content_block
        try:
            block = _decode_block(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.losses.append(Loss("block"))
            return
        kind = block.type
        before = self._open.pop(event.index, None)
        if before is not None:  # a provider that forgot to say that it is over
            self._close(before, out)
        if given(block.citations) and block.citations != b"[]":
            self.losses.append(Loss("citations"))
        if kind == "tool_use" and block.name in (ANSWER_TOOL, VALUE_TOOL):
            kind = "answer" if block.name == ANSWER_TOOL else "value"
        elif kind == "redacted_thinking":
            kind = "thinking"
        elif kind == "tool_use":
            kind = "tool"
        elif kind not in ("text", "thinking"):
            self._open[event.index] = _Open("whole", -1, raw)
            return
        at = _Open(kind, self._count, block.input if kind in ("tool", "answer", "value") else raw)
        self._count += 1
        self._open[event.index] = at
        self._opened(block, at, out)

    def _opened(self, block: _Block, at: _Open, out: list[Delta]) -> None:
        index = at.index
        if at.kind == "tool":
            self._called = True
            out.append(Opened(index=index, kind="tool", id=block.id or "", name=block.name or ""))
        elif at.kind == "thinking":
            hidden = block.type == "redacted_thinking"
            out.append(Opened(index=index, kind="thinking", redacted=hidden))
            if block.thinking:
                out.append(Piece(index=index, text=block.thinking))
            self._signed(index, block.data if hidden else block.signature, out)
        else:
            self._answered = self._answered or at.kind != "text"
            out.append(Opened(index=index, kind="text"))
            if block.text:
                out.append(Piece(index=index, text=block.text))

    def _signed(self, index: int, proof: str | None, out: list[Delta]) -> None:
        if proof:
            origin, proof = read_signature(proof, "anthropic")
            out.append(Piece(index=index, signature=proof, origin=origin))

    def _piece(self, event: _Event, out: list[Delta]) -> None:
        block = self._open.get(event.index)
        delta = event.delta
        if block is None or delta is None:
            return
        kind = delta.type
        if kind == "signature_delta":
            if block.kind == "thinking":
                self._signed(block.index, delta.signature, out)
            return
        if kind == "citations_delta":
            self.losses.append(Loss("citations"))
            return
        text = delta.text or delta.partial_json or delta.thinking
        if not text:
            if kind not in ("text_delta", "input_json_delta", "thinking_delta"):
                self.losses.append(Loss(plain(kind or "delta")))
            return
        block.used = True
        if block.kind in ("value", "whole"):
            block.held.append(text)
        else:
            out.append(Piece(index=block.index, text=text))

    def _close(self, block: _Open, out: list[Delta]) -> None:
        if block.kind == "whole":
            self._carry(block, out)
            return
        text = "".join(block.held)
        if not block.used and block.kind in ("tool", "answer", "value") and bytes(block.start) not in _EMPTY:
            text = msgspec.json.format(bytes(block.start), indent=-1).decode()  # an upstream that sends it at once
        if block.kind == "value":
            text = unwrapped(VALUE_TOOL, text)
        if text:
            out.append(Piece(index=block.index, text=text))
        out.append(Closed(index=block.index))

    def _carry(self, block: _Open, out: list[Delta]) -> None:
        """A block that only this dialect knows, with the input that came in pieces put in."""
        members = _decode_members(block.start)
        kind = plain(_decode_block(block.start).type)
        if block.held:
            text = "".join(block.held)
            try:
                _decode_members(text)
            except (msgspec.DecodeError, RecursionError):
                self.losses.append(Loss(kind))
                return
            members["input"] = msgspec.Raw(text.encode())
        whole = Carried(dialect=DIALECT, kind=kind, raw=_encode(members))
        out.append(Opened(index=self._count, kind="whole", whole=whole))
        out.append(Closed(index=self._count))
        self._count += 1

    def _finish(self, event: _Event, out: list[Delta]) -> None:
        delta = event.delta
        if delta is not None and given(delta.container):
            self.losses.append(Loss("container"))
        self._counted(event.usage, out)
        if delta is not None and delta.stop_reason is not None and not self._ended:
            end = read_stop(delta.stop_reason, delta.stop_sequence, delta.stop_details)
            self._end(end, out)

    def _end(self, end: Stop, out: list[Delta]) -> None:
        """Closes what is open and ends the answer."""
        for block in self._open.values():
            self._close(block, out)
        self._open.clear()
        if end.refusal:
            out.append(Opened(index=self._count, kind="refusal"))
            out.append(Piece(index=self._count, text=end.refusal))
            out.append(Closed(index=self._count))
            self._count += 1
        finish = "stop" if end.finish == "tool" and self._answered and not self._called else end.finish
        out.append(Ended(finish=finish, detail=end.detail, stop=end.stop))
        self._ended = True
