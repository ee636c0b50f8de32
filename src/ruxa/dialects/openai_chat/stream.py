"""Watches a stream of chat completion chunks: passes it on untouched and reads usage, finish and errors beside it."""

from __future__ import annotations

from typing import Literal

import msgspec

from ruxa.dialects.body import ABSENT
from ruxa.dialects.dialect import Finish
from ruxa.dialects.openai import error_body, error_of
from ruxa.dialects.openai_chat.figures import Figures, finish_of, usage_of
from ruxa.dialects.sse import ENDS, HEARTBEAT, Cutter, data_of, events
from ruxa.dialects.usage import Usage, estimate
from ruxa.kernel.errors import RuxaError, UpstreamBroken

_NOTHING = (msgspec.Raw(), msgspec.Raw(b"null"), msgspec.Raw(b'""'), msgspec.Raw(b"[]"))

# How a chunk ends that neither finishes a choice nor carries figures.
_ORDINARY = (b'_reason":null}]}\n\n', b'_reason":null}],"usage":null}\n\n')


class _Delta(msgspec.Struct, gc=False):
    content: msgspec.Raw = ABSENT
    tool_calls: msgspec.Raw = ABSENT
    refusal: msgspec.Raw = ABSENT
    reasoning_content: msgspec.Raw = ABSENT
    reasoning: msgspec.Raw = ABSENT
    function_call: msgspec.Raw = ABSENT
    audio: msgspec.Raw = ABSENT

    def says(self) -> bool:
        return not (
            self.content in _NOTHING
            and self.tool_calls in _NOTHING
            and self.refusal in _NOTHING
            and self.reasoning_content in _NOTHING
            and self.reasoning in _NOTHING
            and self.function_call in _NOTHING
            and self.audio in _NOTHING
        )


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    text: msgspec.Raw = ABSENT  # of a completion
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Figures | None = None
    error: msgspec.Raw = ABSENT


_decode = msgspec.json.Decoder(_Chunk).decode


class ChatReader:
    """See ``dialect.Reader``.

    strip: take the usage chunk out, because only we asked for it (W50); choices: how many answers were asked for.
    """

    __slots__ = (
        "_compact",
        "_cutter",
        "_delta_bytes",
        "_figures",
        "_frame",
        "_held",
        "_open",
        "_strip",
        "done",
        "error",
        "events",
        "finish",
        "peek",
    )

    def __init__(self, *, strip: bool, choices: int = 1) -> None:
        self._cutter = Cutter()
        self._held = self._cutter.held
        self._strip = strip
        self._open = choices
        self._compact = False
        self._figures: Figures | None = None
        self._frame = 1 << 30
        self._delta_bytes = 0
        self.peek: Literal["waiting", "meaningful", "error"] = "waiting"
        self.finish: Finish | None = None
        self.error: RuxaError | None = None
        self.done = False
        self.events = 0

    @property
    def usage(self) -> Usage | None:
        """See ``dialect.Reader``."""
        return None if self._figures is None else usage_of(self._figures)

    def feed(self, data: bytes) -> bytes:
        """See ``dialect.Reader``."""
        if self._held or not data.endswith(ENDS):
            data = self._cutter.cut(data)
            if not data:
                return b""
        if self._compact:
            count = data.count(b"\n\n")
            if (count == 1 and data.endswith(_ORDINARY)) or (
                b'"usage":{' not in data
                and b'_reason":"' not in data
                and b'"error":' not in data
                and b"[DONE]" not in data
            ):
                self.events += count
                self._delta_bytes += len(data)
                return data
        return self._read(data)

    def _read(self, data: bytes) -> bytes:
        """Decodes each event; returns ``data`` itself unless an event has to be left out."""
        if self.error is not None:
            return b""
        kept: list[bytes] = []
        whole = True
        for event in events(data):
            text = data_of(event)
            if text and not self._note(text):
                whole = False
                if self.error is not None:
                    break
                continue
            kept.append(event)
        return data if whole else b"".join(kept)

    def _note(self, text: bytes) -> bool:
        """Reads one event's data; False: do not pass it on."""
        if text.startswith(b"[DONE]"):
            self.done = True
            return True
        try:
            chunk = _decode(text)
        except msgspec.ValidationError:
            self.peek = "meaningful"  # JSON of a shape we do not know: the caller may
            return True
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._break(UpstreamBroken("The provider's stream is not an event stream of JSON."))
            return False
        if chunk.error not in _NOTHING:
            self._break(error_of(None, {}, b'{"error":' + bytes(chunk.error) + b"}"))
            return False
        if chunk.choices:
            for choice in chunk.choices:
                if choice.finish_reason is not None:
                    self.finish = finish_of(choice.finish_reason)
                    self._open -= 1
                    self.peek = "meaningful"
                elif (choice.delta is not None and choice.delta.says()) or choice.text not in _NOTHING:
                    self.events += 1
                    self._delta_bytes += len(text) + 8
                    self._frame = min(self._frame, len(text) + 8)
                    if self.peek == "waiting":
                        self.peek = "meaningful"
                        self._compact = text.find(b'"choices":[{"') > 0
        if chunk.usage is not None:
            self._figures = chunk.usage
            self.peek = "meaningful"
            return not (self._strip and not chunk.choices)
        return True

    def _break(self, error: RuxaError) -> None:
        self.error = error
        self._compact = False
        if self.peek == "waiting":
            self.peek = "error"

    def end(self) -> bytes:
        """See ``dialect.Reader``."""
        rest = self._cutter.rest().rstrip()
        text = data_of(rest + b"\n")
        out = self._read(rest + b"\n\n") if text == b"[DONE]" or _whole(text) else b""
        if self.error is None and not self.done:
            if self._open <= 0:
                self.done = True  # some compatible providers leave [DONE] out; every choice has ended
            else:
                self._break(UpstreamBroken("The provider's stream ended before its end.", code="stream_cut"))
        return out

    def fail(self, error: RuxaError, request_id: str) -> bytes:
        """See ``dialect.Reader`` (W59)."""
        return b"data: " + error_body(error, request_id) + b"\n\n"

    def heartbeat(self) -> bytes:
        """See ``dialect.Reader``."""
        return HEARTBEAT

    def counted(self) -> Usage:
        """See ``dialect.Reader``."""
        return Usage(output_tokens=estimate(self.events, self._delta_bytes, self._frame))


def _whole(text: bytes) -> bool:
    """Whether a last event without its blank line is a whole JSON value."""
    try:
        _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
