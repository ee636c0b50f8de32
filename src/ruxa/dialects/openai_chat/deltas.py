"""Reads a stream of chat completion chunks as deltas, whatever the server's own order and gaps.

Text, thinking and refusals are told by what a chunk holds; tool calls by their index, their id or, where a server
sends neither, by a new name. A tool call is closed as soon as it is complete and another begins, so that a writer which
may not interleave (W53) does not have to wait for the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ruxa.dialects.call import Media, Origin
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai_chat.answers import Call, Choice, Completion, Message, audio_of, image_of, mark_of, texts_of
from ruxa.dialects.openai_chat.figures import finish_of, usage_of
from ruxa.dialects.openai_chat.reasoning import Detail, hides, origin_of
from ruxa.dialects.reply import Begun, Closed, Counted, Delta, Ended, Opened, Over, Piece
from ruxa.dialects.sse import Cutter, data_of, events
from ruxa.kernel.errors import UpstreamBroken

_decode = msgspec.json.Decoder(Completion).decode
_NO_ERROR = (msgspec.Raw(), msgspec.Raw(b"null"), msgspec.Raw(b'""'), msgspec.Raw(b"[]"))


_NO_DETAIL = Detail()


class ChunkReader:
    """See ``translator.DeltaReader``. Raises UpstreamBroken when a frame is no chunk of this dialect."""

    __slots__ = ("_begun", "_choices", "_cutter", "_over", "losses")

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self._cutter = Cutter()
        self._choices: dict[int, _Answer] = {}
        self._begun = False
        self._over = False

    def feed(self, data: bytes) -> Sequence[Delta]:
        """See ``translator.DeltaReader``."""
        whole = self._cutter.cut(data)
        out: list[Delta] = []
        if whole:
            for event in events(whole):
                text = data_of(event)
                if text and not self._over:
                    self._read(text, out)
        return out

    def end(self) -> Sequence[Delta]:
        """See ``translator.DeltaReader``. Some servers leave ``[DONE]`` or the last blank line out."""
        out: list[Delta] = []
        text = data_of(self._cutter.rest().rstrip() + b"\n")
        if text and not self._over and (text == b"[DONE]" or _whole(text)):
            self._read(text, out)
        if not self._over and self._choices and all(answer.ended for answer in self._choices.values()):
            self._finish(out)
        return out

    def _read(self, text: bytes, out: list[Delta]) -> None:
        if text.startswith(b"[DONE]"):
            self._finish(out)
            return
        try:
            chunk = _decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._over = True
            raise UpstreamBroken("The provider's stream holds a chunk of an unknown shape.") from None
        if chunk.error not in _NO_ERROR:
            self._over = True
            return
        if not self._begun:
            self._begun = True
            out.append(Begun(id=chunk.id or "", model=chunk.model or ""))
        if chunk.choices:
            for choice in chunk.choices:
                answer = self._choices.get(choice.index)
                if answer is None:
                    answer = self._choices[choice.index] = _Answer(choice.index, self.losses)
                answer.read(choice, out)
        if chunk.usage is not None:
            out.append(Counted(usage=usage_of(chunk.usage)))

    def _finish(self, out: list[Delta]) -> None:
        self._over = True
        if not self._begun:
            return
        for answer in self._choices.values():
            answer.finish(None, out)
        out.append(Over())


class _Tool:
    __slots__ = ("arguments", "at", "id", "mark", "open")

    def __init__(self) -> None:
        self.at = -1  # the part's index, once it is open
        self.id = ""
        self.arguments = ""
        self.open = True
        self.mark: tuple[Origin, str] = ("", "")


class _Answer:
    """One choice as it comes."""

    __slots__ = (
        "_audio",
        "_called",
        "_choice",
        "_last",
        "_last_detail",
        "_losses",
        "_next",
        "_plain",
        "_refusal",
        "_text",
        "_thinking",
        "_tools",
        "ended",
    )

    def __init__(self, choice: int, losses: list[Loss]) -> None:
        self._choice = choice
        self._losses = losses
        self._next = 0
        self._text = self._thinking = self._refusal = -1  # indices of parts that are open
        self._plain = False
        self._last_detail = _NO_DETAIL
        self._tools: dict[int, _Tool] = {}
        self._last: _Tool | None = None
        self._called = False
        self._audio: list[str] = []
        self.ended = False

    def read(self, choice: Choice, out: list[Delta]) -> None:
        if self.ended:
            return
        said = choice.delta or choice.message
        if said is not None:
            logprobs = choice.tokens() if choice.logprobs is not None else b""
            content = said.content
            if self._text >= 0 and content and type(content) is str and said.bare():
                out.append(Piece(index=self._text, text=content, choice=self._choice, logprobs=logprobs))
            else:
                self._say(said, logprobs, out)
        if choice.finish_reason is not None:
            self.finish(choice.finish_reason, out)

    def _say(self, said: Message, logprobs: bytes, out: list[Delta]) -> None:
        thinking, text = texts_of(said)
        if thinking or said.reasoning_details:
            self._think(thinking, said.reasoning_details or (), out)
        if text or (logprobs and self._text >= 0):
            self._write(text, logprobs, out)
        if said.refusal:
            if self._refusal < 0:
                self._close_texts(out)
                self._refusal = self._open("refusal", out)
            out.append(Piece(index=self._refusal, text=said.refusal, choice=self._choice))
        if said.extra_content is not None:
            origin, mark = mark_of(said.extra_content)
            if mark:
                self._write("", b"", out)
                out.append(Piece(index=self._text, signature=mark, origin=origin, choice=self._choice))
        if said.audio is not None:
            if said.audio.transcript:
                self._write(said.audio.transcript, b"", out)
            if said.audio.data:
                self._audio.append(said.audio.data)
        for block in said.images or ():
            image = image_of(block)
            if image is not None:
                self._whole(image, out)
        if said.tool_calls or said.function_call:
            for call in said.calls():
                self._call(call, out)
        if said.annotations and not any(loss.name == "annotations" for loss in self._losses):
            self._losses.append(Loss("annotations"))

    def _open(self, kind: str, out: list[Delta], **known: object) -> int:
        index = self._next
        self._next += 1
        out.append(Opened(index=index, kind=kind, choice=self._choice, **known))  # pyright: ignore[reportArgumentType]
        return index

    def _close(self, index: int, out: list[Delta]) -> None:
        out.append(Closed(index=index, choice=self._choice))

    def _write(self, text: str, logprobs: bytes, out: list[Delta]) -> None:
        if self._text < 0:
            self._close_texts(out)
            self._text = self._open("text", out)
        if text or logprobs:
            out.append(Piece(index=self._text, text=text, choice=self._choice, logprobs=logprobs))

    def _close_texts(self, out: list[Delta]) -> None:
        """What is read in one go ends where something else begins."""
        for index in (self._thinking, self._text, self._refusal):
            if index >= 0:
                self._close(index, out)
        self._thinking = self._text = self._refusal = -1

    def _think(self, thinking: str, details: Sequence[Detail], out: list[Delta]) -> None:
        """Text as it comes; where a server tells it as text, details only repeat it and bring its proof."""
        if thinking:
            self._plain = True
            first = details[0] if details else _NO_DETAIL
            self._ponder(thinking, first, out)
        for detail in details:
            if detail.type == "reasoning.encrypted":
                self._prove(detail, out)
                continue
            summary = detail.type == "reasoning.summary"
            text = (detail.summary if summary else detail.text) or ""
            if text and not self._plain:
                self._ponder(text, detail, out)
            self._last_detail = detail
            if detail.signature:
                self._ponder("", detail, out)
                self._sign(detail.signature, detail, out)

    def _ponder(self, text: str, detail: Detail, out: list[Delta]) -> None:
        if self._thinking < 0:
            self._close_texts(out)
            summary = detail.type == "reasoning.summary"
            known = detail.id or ""
            self._thinking = self._open("thinking", out, summary=summary, redacted=hides(detail), id=known)
        if text:
            origin = origin_of(detail)
            out.append(Piece(index=self._thinking, text=text, origin=origin, choice=self._choice))

    def _prove(self, detail: Detail, out: list[Delta]) -> None:
        """Encrypted thinking: that of the text before it, or a piece of its own."""
        last = self._last_detail
        same = (detail.index is not None and detail.index == last.index) or (detail.id and detail.id == last.id)
        if self._thinking < 0 or not same:
            self._close_texts(out)
            self._thinking = self._open("thinking", out, redacted=True, id=detail.id or "")
        self._sign(detail.data or "", detail, out)

    def _sign(self, mark: str, detail: Detail, out: list[Delta]) -> None:
        out.append(Piece(index=self._thinking, signature=mark, origin=origin_of(detail), choice=self._choice))
        self._close_texts(out)
        self._last_detail = _NO_DETAIL

    def _whole(self, part: Media, out: list[Delta]) -> None:
        self._close_texts(out)
        self._close(self._open("whole", out, whole=part), out)

    def _call(self, call: Call, out: list[Delta]) -> None:
        tool = self._tool(call)
        fresh = tool.at < 0
        if fresh:
            tool.id = tool.id or call.id or ""
        tool.arguments += call.said
        origin, mark = mark_of(call.extra_content)
        if not tool.open:
            return  # white space after a complete object
        if fresh and call.name:
            self._close_texts(out)
            for other in self._tools.values():
                if other is not tool and other.open and other.at >= 0 and _complete(other.arguments):
                    other.open = False
                    self._close(other.at, out)
            custom = call.custom is not None
            tool.at = self._open("tool", out, id=tool.id, name=call.name, custom=custom)
            self._called = True
            if tool.arguments:
                out.append(Piece(index=tool.at, text=tool.arguments, choice=self._choice))
        elif not fresh and call.said:
            out.append(Piece(index=tool.at, text=call.said, choice=self._choice))
        if mark:
            tool.mark = (origin, mark)
        if tool.at >= 0 and tool.mark[1]:
            out.append(Piece(index=tool.at, signature=tool.mark[1], origin=tool.mark[0], choice=self._choice))
            tool.mark = ("", "")

    def _tool(self, call: Call) -> _Tool:
        """The call that a fragment belongs to: by index; by id where servers repeat an index; else the last one."""
        tools, last = self._tools, self._last
        index = call.index
        if index is None:
            known = next((tool for tool in tools.values() if call.id and tool.id == call.id), None)
            if known is None and last is not None and not call.id and not (call.name and _complete(last.arguments)):
                known = last
            found = known
            index = max(tools, default=-1) + 1
        else:
            found = tools.get(index)
            if found is not None and call.id and call.name and found.id and call.id != found.id:
                tools[min(tools, default=0) - 2] = found  # another call under the same number; keep both
                found = None
        if found is None:
            found = tools[index] = _Tool()
        self._last = found
        return found

    def finish(self, reason: str | None, out: list[Delta]) -> None:
        """The end of the choice; None: the stream is over and it had not ended."""
        if self.ended:
            return
        self.ended = True
        if self._audio:
            self._whole(audio_of(self._audio), out)
        self._close_texts(out)
        for tool in self._tools.values():
            if tool.at < 0:
                self._losses.append(Loss("tool_calls.unnamed"))
            elif tool.open:
                self._close(tool.at, out)
        finish = finish_of(reason) or "stop"
        if finish == "stop" and self._called:
            finish = "tool"  # so it is when the caller named the tool
        detail = reason if finish in ("other", "error") and reason else ""
        out.append(Ended(finish=finish, choice=self._choice, detail=detail))


def _complete(arguments: str) -> bool:
    """Whether the arguments are a whole JSON value, so that nothing can follow."""
    try:
        msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return False
    return True


def _whole(text: bytes) -> bool:
    """Whether a last event without its blank line is a whole chunk."""
    try:
        _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
