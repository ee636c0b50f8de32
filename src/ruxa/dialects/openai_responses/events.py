"""Deltas as a stream of response events (W56): every item announced, told and repeated whole, numbers without a gap."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ruxa.dialects.call import Carried, Media, Origin, Thinking, ToolCall, unwrapped
from ruxa.dialects.dialect import Finish
from ruxa.dialects.openai_responses import output as out
from ruxa.dialects.openai_responses import reply as whole
from ruxa.dialects.openai_responses.words import DIALECT
from ruxa.dialects.openai_responses.write import error_words
from ruxa.dialects.reply import Asked, Begun, Closed, Counted, Delta, Ended, Opened, Over, Piece, joined
from ruxa.dialects.sse import HEARTBEAT
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import RuxaError

_encode = msgspec.json.Encoder().encode


class _Open:
    """A part that is being told. item: its place in the output; content: its place in a message."""

    def __init__(self, opened: Opened, item: int, content: int = 0) -> None:
        self.kind = opened.kind
        self.item = item
        self.content = content
        self.text = ""
        self.logprobs = b""
        self.signature = ""
        self.origin: Origin = ""
        self.redacted = opened.redacted
        self.call: ToolCall | None = None
        self.held = False  # its text is told whole when it is closed


class _Message:
    """A message that is being told: more text may join it until another item begins."""

    def __init__(self, item: int) -> None:
        self.item = item
        self.content: list[object] = []
        self.open = 0
        self.done = False


class EventWriter:
    """See ``translator.DeltaWriter``."""

    def __init__(self, asked: Asked) -> None:
        self._frame = out.Frame(asked)
        self._out: list[bytes] = []
        self._number = 0
        self._items: list[object] = []
        self._parts: dict[int, _Open] = {}
        self._message: _Message | None = None
        self._messages: dict[int, _Message] = {}
        self._finish: Finish = "other"
        self._usage: Usage | None = None
        self._over = False

    def write(self, deltas: Sequence[Delta]) -> bytes:
        """See ``translator.DeltaWriter``."""
        for at, delta in enumerate(deltas):
            match delta:
                case Begun():
                    self._begin()
                case Counted():
                    self._usage = delta.usage
                case Over():
                    self._end()
                case Opened() | Piece() | Closed() | Ended() if delta.choice:
                    continue  # this dialect has one answer
                case Opened():
                    self._open(delta, deltas[at + 1 :])
                case Piece():
                    self._piece(delta)
                case Closed():
                    self._close(delta.index)
                case Ended():
                    self._finish = delta.finish
        return self._taken()

    def fail(self, error: RuxaError, request_id: str) -> bytes:
        """See ``translator.DeltaWriter`` (W58)."""
        words = {**error_words(error), "request_id": request_id}
        response = self._frame.response("failed", self._items, error=words, usage=self._usage)
        self._event("response.failed", response=response)
        return self._taken()

    def heartbeat(self) -> bytes:
        """See ``translator.DeltaWriter``."""
        return HEARTBEAT

    def _taken(self) -> bytes:
        taken = b"".join(self._out)
        self._out.clear()
        return taken

    def _event(self, kind: str, **more: object) -> None:
        event = {"type": kind, "sequence_number": self._number, **more}
        self._number += 1
        self._out.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(event)))

    def _begin(self) -> None:
        response = self._frame.response("in_progress", [])
        self._event("response.created", response=response)
        self._event("response.in_progress", response=response)

    def _add(self, item: object) -> int:
        """A new item at the end of the output."""
        number = len(self._items)
        self._items.append(item)
        self._event("response.output_item.added", output_index=number, item=item)
        return number

    def _done(self, number: int, item: object) -> None:
        self._items[number] = item
        self._event("response.output_item.done", output_index=number, item=item)

    def _open(self, opened: Opened, following: Sequence[Delta]) -> None:
        if opened.kind in ("text", "refusal"):
            self._open_text(opened)
            return
        self._leave_message()
        if opened.kind == "whole":
            self._open_whole(opened)
        elif opened.kind == "tool":
            self._open_tool(opened, following)
        else:
            number = len(self._items)
            empty: out.Fields = {"id": self._frame.item_id("rs_", number), "type": "reasoning", "summary": []}
            self._parts[opened.index] = _Open(opened, self._add(empty))

    def _open_text(self, opened: Opened) -> None:
        message = self._message
        if message is None:
            number = len(self._items)
            message = self._message = _Message(number)
            self._messages[number] = message
            self._add(whole.message(self._frame, number, [], "in_progress"))
        part = self._parts[opened.index] = _Open(opened, message.item, len(message.content))
        message.content.append(None)
        message.open += 1
        empty = whole.refusal("") if opened.kind == "refusal" else whole.text("")
        self._event("response.content_part.added", **self._at(part), content_index=part.content, part=empty)

    def _open_whole(self, opened: Opened) -> None:
        number = len(self._items)
        match opened.whole:
            case Media(kind="image") as media if media.data:
                item: object = whole.image(self._frame, number, media)
            case Carried() as carried if carried.dialect == DIALECT:
                item = msgspec.Raw(carried.raw)
            case _:
                return
        self._done(self._add(item), item)

    def _open_tool(self, opened: Opened, following: Sequence[Delta]) -> None:
        proofs = (delta for delta in following if isinstance(delta, Piece) and delta.index == opened.index)
        signed = next((delta for delta in proofs if delta.signature and not delta.choice), None)
        call = ToolCall(id=opened.id, name=opened.name, arguments="", custom=opened.custom, namespace=opened.namespace)
        if signed is not None:
            call.signature, call.origin = signed.signature, signed.origin
            item = whole.mark(self._frame, len(self._items), call)
            self._done(self._add(item), item)
        number = len(self._items)
        part = _Open(opened, self._add(self._frame.tool_item(number, call, "in_progress")))
        part.call = call
        part.held = not opened.custom and self._custom(part)
        self._parts[opened.index] = part

    def _custom(self, part: _Open) -> bool:
        call = part.call
        return call is not None and out.is_custom(call, None if call.namespace else self._frame.tools.get(call.name))

    def _at(self, part: _Open) -> dict[str, object]:
        return {"item_id": self._item_id(part), "output_index": part.item}

    def _item_id(self, part: _Open) -> str:
        if part.kind in ("text", "refusal"):
            prefix = "msg_"
        elif part.kind == "tool":
            prefix = "ctc_" if self._custom(part) else "fc_"
        else:
            prefix = "rs_"
        return self._frame.item_id(prefix, part.item)

    def _piece(self, piece: Piece) -> None:
        part = self._parts.get(piece.index)
        if part is None:
            return
        if piece.signature or piece.origin:
            part.signature, part.origin = piece.signature, piece.origin
        if piece.logprobs:
            part.logprobs = joined(part.logprobs, piece.logprobs)
        if piece.text:
            first = not part.text
            part.text += piece.text
            if not part.held:
                self._tell(part, piece.text, piece.logprobs, first=first)

    def _tell(self, part: _Open, text: str, logprobs: bytes, *, first: bool) -> None:
        at = self._at(part)
        match part.kind:
            case "text":
                told: object = msgspec.Raw(logprobs) if logprobs else []
                self._event("response.output_text.delta", **at, content_index=part.content, delta=text, logprobs=told)
            case "refusal":
                self._event("response.refusal.delta", **at, content_index=part.content, delta=text)
            case "thinking":
                if first:
                    empty = {"type": "summary_text", "text": ""}
                    self._event("response.reasoning_summary_part.added", **at, summary_index=0, part=empty)
                self._event("response.reasoning_summary_text.delta", **at, summary_index=0, delta=text)
            case "tool":
                name = "custom_tool_call_input" if self._custom(part) else "function_call_arguments"
                self._event(f"response.{name}.delta", **at, delta=text)
            case _:
                pass

    def _close(self, index: int) -> None:
        part = self._parts.pop(index, None)
        if part is None:
            return
        match part.kind:
            case "text" | "refusal":
                self._close_text(part)
            case "thinking":
                self._close_thinking(part)
            case "tool":
                self._close_tool(part)
            case _:
                pass

    def _close_text(self, part: _Open) -> None:
        at = {**self._at(part), "content_index": part.content}
        if part.kind == "refusal":
            shown = whole.refusal(part.text)
            self._event("response.refusal.done", **at, refusal=part.text)
        else:
            shown = whole.text(part.text, part.logprobs)
            self._event("response.output_text.done", **at, text=part.text, logprobs=shown["logprobs"])
        self._event("response.content_part.done", **at, part=shown)
        message = self._messages[part.item]
        message.content[part.content] = shown
        message.open -= 1
        if message is not self._message and not message.open:
            self._end_message(message)

    def _leave_message(self) -> None:
        """Another item begins: what is said from now on is another message."""
        message, self._message = self._message, None
        if message is not None and not message.open:
            self._end_message(message)

    def _end_message(self, message: _Message, status: out.Status = "completed") -> None:
        if not message.done:
            message.done = True
            self._done(message.item, whole.message(self._frame, message.item, message.content, status))

    def _close_thinking(self, part: _Open) -> None:
        at = self._at(part)
        if part.text:
            shown = {"type": "summary_text", "text": part.text}
            self._event("response.reasoning_summary_text.done", **at, summary_index=0, text=part.text)
            self._event("response.reasoning_summary_part.done", **at, summary_index=0, part=shown)
        thought = Thinking(text=part.text, signature=part.signature, origin=part.origin, redacted=part.redacted)
        self._done(part.item, whole.thinking(self._frame, part.item, thought))

    def _close_tool(self, part: _Open) -> None:
        call = part.call
        assert call is not None
        custom = self._custom(part)
        if part.held:
            part.text = unwrapped(part.text) if part.text else ""
            if part.text:
                self._tell(part, part.text, b"", first=True)
            call.custom = True
        elif not part.text and not custom:
            part.text = "{}"
            self._tell(part, part.text, b"", first=True)
        call.arguments = part.text
        if custom:
            self._event("response.custom_tool_call_input.done", **self._at(part), input=part.text)
        else:
            self._event("response.function_call_arguments.done", **self._at(part), arguments=part.text)
        self._done(part.item, self._frame.tool_item(part.item, call, "completed"))

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        for index in list(self._parts):
            self._close(index)
        status, reason = out.ending(self._finish)
        message = self._message
        if message is not None:
            last = message.item == len(self._items) - 1
            self._end_message(message, "incomplete" if status == "incomplete" and last else "completed")
        error = out.FAILED if status == "failed" else None
        response = self._frame.response(status, self._items, reason=reason, error=error, usage=self._usage)
        self._event(f"response.{status}", response=response)
