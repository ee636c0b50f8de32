"""A provider's stream of response events as deltas."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from ruxa.dialects.body import ABSENT, given
from ruxa.dialects.call import Carried, Media, Refusal, Text, Thinking, ToolCall
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai_responses.figures import CALLS, Figures, finish_of, usage_of
from ruxa.dialects.openai_responses.reply import read_item
from ruxa.dialects.openai_responses.write import Incomplete
from ruxa.dialects.reply import Begun, Closed, Counted, Delta, Ended, Opened, Over, Piece, Said
from ruxa.dialects.sse import Cutter, data_of, events
from ruxa.kernel.errors import InvalidCall

Place = tuple[int, int]
"""Which part: item of the output, and content of it (-1: the item itself)."""

_EMPTY = (msgspec.Raw(b"[]"), msgspec.Raw(b"null"))
_WHOLE = -1


class _Item(msgspec.Struct, gc=False):
    type: str = ""
    call_id: str = ""
    name: str = ""
    namespace: str | None = None


class _Part(msgspec.Struct, gc=False):
    type: str = ""


class _Response(msgspec.Struct, gc=False):
    id: str = ""
    model: str = ""
    status: str = ""
    output: list[msgspec.Raw] | None = None
    usage: Figures | None = None
    incomplete_details: Incomplete | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: msgspec.Raw = ABSENT
    logprobs: msgspec.Raw = ABSENT
    item: msgspec.Raw = ABSENT
    part: _Part | None = None
    response: _Response | None = None


_decode = msgspec.json.Decoder(_Event).decode
_decode_item = msgspec.json.Decoder(_Item).decode
_decode_text = msgspec.json.Decoder(str).decode


class EventReader:
    """See ``translator.DeltaReader``."""

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self._cutter = Cutter()
        self._out: list[Delta] = []
        self._begun = False
        self._stopped = False
        self._next = 0
        self._parts: dict[Place, int] = {}
        self._said: set[Place] = set()
        self._told: dict[int, list[int]] = {}
        self._calls = False
        self._refused = False
        self._on: dict[str, Callable[[_Event], None]] = {
            "response.created": self._begin,
            "response.in_progress": self._begin,
            "response.queued": self._begin,
            "response.output_item.added": self._item_added,
            "response.output_item.done": self._item_done,
            "response.content_part.added": self._part_added,
            "response.content_part.done": self._part_done,
            "response.output_text.delta": self._spoken,
            "response.refusal.delta": self._spoken,
            "response.output_text.annotation.added": self._annotated,
            "response.reasoning_summary_part.added": self._summary_added,
            "response.reasoning_summary_text.delta": self._thought,
            "response.reasoning_text.delta": self._thought,
            "response.function_call_arguments.delta": self._called,
            "response.custom_tool_call_input.delta": self._called,
            "response.completed": self._finish,
            "response.incomplete": self._finish,
        }

    def feed(self, data: bytes) -> Sequence[Delta]:
        """See ``translator.DeltaReader``."""
        return self._read(self._cutter.cut(data))

    def end(self) -> Sequence[Delta]:
        """See ``translator.DeltaReader``."""
        rest = self._cutter.rest().rstrip()
        return self._read(rest + b"\n\n") if rest else ()

    def _read(self, data: bytes) -> Sequence[Delta]:
        self._out = []
        for event in events(data):
            text = data_of(event)
            if not text or self._stopped:
                continue
            try:
                told = _decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue  # the reader beside this one tells what is wrong with it
            if told.type in ("error", "response.failed"):
                self._stopped = True
            elif (act := self._on.get(told.type)) is not None:
                act(told)
        return self._out

    def _begin(self, event: _Event) -> None:
        if not self._begun:
            self._begun = True
            said = event.response or _Response()
            self._out.append(Begun(id=said.id, model=said.model))

    def _open(self, place: Place, opened: Opened) -> int:
        if not self._begun:
            self._begin(_Event())
        self._parts[place] = opened.index
        self._told.setdefault(place[0], []).append(opened.index)
        self._next += 1
        self._out.append(opened)
        return opened.index

    def _close(self, place: Place) -> None:
        index = self._parts.pop(place, None)
        if index is not None:
            self._out.append(Closed(index=index))

    def _text(self, raw: msgspec.Raw) -> str:
        try:
            return _decode_text(raw) if given(raw) else ""
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""

    def _item_added(self, event: _Event) -> None:
        item = _item_of(event.item)
        if item.type in CALLS:
            self._calls = True
        if item.type in ("function_call", "custom_tool_call"):
            self._open_call(event.output_index, item)

    def _open_call(self, output_index: int, item: _Item) -> None:
        custom = item.type == "custom_tool_call"
        opened = Opened(
            index=self._next,
            kind="tool",
            id=item.call_id,
            name=item.name,
            custom=custom,
            namespace=item.namespace or "",
        )
        self._open((output_index, _WHOLE), opened)

    def _called(self, event: _Event) -> None:
        place = (event.output_index, _WHOLE)
        index, text = self._parts.get(place), self._text(event.delta)
        if index is not None and text:
            self._said.add(place)
            self._out.append(Piece(index=index, text=text))

    def _part_added(self, event: _Event) -> None:
        kind = event.part.type if event.part is not None else ""
        if kind == "output_text":
            self._open((event.output_index, event.content_index), Opened(index=self._next, kind="text"))
        elif kind == "refusal":
            self._refused = True
            self._open((event.output_index, event.content_index), Opened(index=self._next, kind="refusal"))

    def _part_done(self, event: _Event) -> None:
        self._close((event.output_index, event.content_index))

    def _spoken(self, event: _Event) -> None:
        place = (event.output_index, event.content_index)
        index = self._parts.get(place)
        if index is None:
            refusal = event.type == "response.refusal.delta"
            self._refused = self._refused or refusal
            index = self._open(place, Opened(index=self._next, kind="refusal" if refusal else "text"))
        logprobs = b"" if event.logprobs is ABSENT or event.logprobs in _EMPTY else bytes(event.logprobs)
        text = self._text(event.delta)
        if text or logprobs:
            self._out.append(Piece(index=index, text=text, logprobs=logprobs))

    def _annotated(self, event: _Event) -> None:
        loss = Loss("annotations")
        if loss not in self.losses:
            self.losses.append(loss)

    def _thinking(self, output_index: int, *, summary: bool, redacted: bool = False) -> int:
        """The open piece of thinking of an item."""
        place = (output_index, _WHOLE)
        index = self._parts.get(place)
        if index is None:
            index = self._open(place, Opened(index=self._next, kind="thinking", summary=summary, redacted=redacted))
        return index

    def _summary_added(self, event: _Event) -> None:
        index = self._thinking(event.output_index, summary=True)
        if event.summary_index > 0:
            self._out.append(Piece(index=index, text="\n\n"))

    def _thought(self, event: _Event) -> None:
        index = self._thinking(event.output_index, summary=event.type.startswith("response.reasoning_summary"))
        self._said.add((event.output_index, _WHOLE))
        text = self._text(event.delta)
        if text:
            self._out.append(Piece(index=index, text=text))

    def _item_done(self, event: _Event) -> None:
        """The whole item: what no delta told is told now."""
        at, item = event.output_index, _item_of(event.item)
        if item.type in CALLS:
            self._calls = True
        whole = (at, _WHOLE)
        match item.type:
            case "message":
                if at not in self._told:
                    self._tell(at, event.item)
                for place in [place for place in self._parts if place[0] == at]:
                    self._close(place)
            case "function_call" | "custom_tool_call":
                if whole not in self._parts:
                    self._open_call(at, item)
                if whole not in self._said:
                    for part in self._whole(event.item):
                        if isinstance(part, ToolCall) and (part.custom or part.arguments != "{}"):
                            self._out.append(Piece(index=self._parts[whole], text=part.arguments))
                self._close(whole)
            case "reasoning":
                self._think(at, event.item)
                self._close(whole)
            case _:
                self._tell(at, event.item)

    def _think(self, at: int, raw: msgspec.Raw) -> None:
        for part in self._whole(raw):
            if not isinstance(part, Thinking):
                continue
            index = self._thinking(at, summary=part.summary, redacted=part.redacted)
            if (at, _WHOLE) not in self._said and part.text:
                self._out.append(Piece(index=index, text=part.text))
            if part.signature or part.origin:
                self._out.append(Piece(index=index, signature=part.signature, origin=part.origin))

    def _whole(self, raw: msgspec.Raw) -> list[Said]:
        try:
            return read_item(raw, self.losses)[0]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidCall):
            return []

    def _tell(self, at: int, raw: msgspec.Raw) -> None:
        """An item of which no delta came."""
        for part in self._whole(raw):
            place = (at, self._next)
            match part:
                case Text():
                    index = self._open(place, Opened(index=self._next, kind="text"))
                    self._out.append(Piece(index=index, text=part.text))
                case Refusal():
                    self._refused = True
                    index = self._open(place, Opened(index=self._next, kind="refusal"))
                    self._out.append(Piece(index=index, text=part.text))
                case Media() | Carried():
                    self._open(place, Opened(index=self._next, kind="whole", whole=part))
                case _:
                    continue
            self._close(place)

    def _finish(self, event: _Event) -> None:
        said = event.response or _Response()
        if not self._begun:
            self._begin(event)
        for at, raw in enumerate(said.output or ()):
            if at not in self._told and not self._next:  # nothing came but the end
                self._item_done(_Event(output_index=at, item=raw))
        for place in list(self._parts):
            self._close(place)
        if said.usage is not None:
            self._out.append(Counted(usage=usage_of(said.usage)))
        reason = said.incomplete_details.reason if said.incomplete_details is not None else None
        status = said.status or event.type.removeprefix("response.")
        finish, detail = finish_of(status, reason, self._calls), reason or ""
        if finish == "stop" and self._refused:
            finish, detail = "filter", "refusal"
        self._out += [Ended(finish=finish, detail=detail), Over()]
        self._stopped = True


def _item_of(raw: msgspec.Raw) -> _Item:
    try:
        return _decode_item(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Item()
