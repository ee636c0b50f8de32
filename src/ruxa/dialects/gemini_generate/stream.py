"""Watches a stream of generateContent events: as SSE it passes untouched, as a JSON array it is re-framed (W55).

The provider is always asked for SSE; for a caller who wants the array, each event's bytes become one element.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ruxa.dialects.body import given
from ruxa.dialects.dialect import Finish
from ruxa.dialects.gemini_generate.figures import Figures, usage_of
from ruxa.dialects.gemini_generate.write import decode_told, error_object, error_of
from ruxa.dialects.sse import ENDS, Cutter, data_of, events
from ruxa.dialects.usage import Usage, estimate
from ruxa.kernel.errors import RuxaError, UpstreamBroken

_CANDIDATES = b'data: {"candidates"'


class GenerateReader:
    """See ``dialect.Reader``. ``array``: the caller gets a JSON array instead of SSE."""

    __slots__ = (
        "_array",
        "_cutter",
        "_delta_bytes",
        "_figures",
        "_frame",
        "_held",
        "_last",
        "_plain",
        "_started",
        "done",
        "error",
        "events",
        "finish",
        "peek",
    )

    def __init__(self, *, array: bool) -> None:
        self._cutter = Cutter()
        self._held = self._cutter.held
        self._array = array
        self._started = False
        self._plain = False
        self._figures: Figures | None = None
        self._last = b""
        self._frame = 1 << 30
        self._delta_bytes = 0
        self.peek: Literal["waiting", "meaningful", "error"] = "waiting"
        self.finish: Finish | None = None
        self.error: RuxaError | None = None
        self.done = False
        self.events = 0

    @property
    def usage(self) -> Usage | None:
        """See ``dialect.Reader``. Every event repeats the figures, so only the last one is decoded."""
        if self._last:
            last, self._last = self._last, b""
            for event in events(last):
                text = data_of(event)
                try:
                    told = decode_told(text).usage_metadata if text else None
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    told = None
                if told is not None:
                    self._figures = told
        return None if self._figures is None else usage_of(self._figures)

    def feed(self, data: bytes) -> bytes:
        """See ``dialect.Reader``."""
        if self._held or not data.endswith(ENDS):
            data = self._cutter.cut(data)
            if not data:
                return b""
        if self._plain and b'"finishReason"' not in data:
            count = data.count(b"\n\r\n") or data.count(b"\n\n")
            ordinary = count == 1 and data.startswith(_CANDIDATES)
            if ordinary or (b'"error"' not in data and b'"promptFeedback"' not in data):
                if b'"usageMetadata"' in data:
                    self._last = data
                self.events += count
                self._delta_bytes += len(data)
                if not self._array:
                    return data
                return b",\r\n" + data[6:].rstrip() if ordinary and self._started else self._elements(data)
        return self._read(data)

    def _read(self, data: bytes) -> bytes:
        if self.error is not None:
            return b""
        kept: list[bytes] = []
        for event in events(data):
            text = data_of(event)
            if text:
                self._note(text)
                if self.error is not None:
                    break
                if b'"finishReason"' not in text:
                    self.events += 1
                    self._delta_bytes += len(event)
                    self._frame = min(self._frame, len(event))
            kept.append(event)
        out = data if self.error is None else b"".join(kept)
        return self._elements(out) if self._array else out

    def _elements(self, data: bytes) -> bytes:
        """The events as elements of the array, each after its bracket or comma."""
        out: list[bytes] = []
        for event in events(data):
            text = data_of(event)
            if text:
                out.append(b",\r\n" if self._started else b"[")
                out.append(text)
                self._started = True
        return b"".join(out)

    def _note(self, text: bytes) -> None:
        try:
            told = decode_told(text)
        except msgspec.ValidationError:
            self.peek = "meaningful"  # JSON of a shape we do not know: the caller may
            return
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._break(UpstreamBroken("The provider's stream is not an event stream of JSON."))
            return
        if given(told.error):
            self._break(error_of(None, {}, text))
            return
        if told.usage_metadata is not None:
            self._last = b""
            self._figures = told.usage_metadata
        if told.candidates or told.prompt_feedback is not None:
            self.peek = "meaningful"
            self._plain = True
        self.finish = told.finish or self.finish

    def _break(self, error: RuxaError) -> None:
        self.error = error
        self._plain = False
        if self.peek == "waiting":
            self.peek = "error"

    def end(self) -> bytes:
        """See ``dialect.Reader``. The format has no last event: a finish reason is what makes it whole."""
        rest = self._cutter.rest().rstrip()
        out = b""
        if _whole(data_of(rest + b"\n")):
            out = self._read(rest + b"\n\n")
        if self.error is None and self.finish is None:
            self._break(UpstreamBroken("The provider's stream ended before its end.", code="stream_cut"))
        if self.error is None:
            self.done = True
            if self._array:
                out += b"\n]\n" if self._started else b"[]\n"
        return out

    def fail(self, error: RuxaError, request_id: str) -> bytes:
        """See ``dialect.Reader``."""
        told = error_object(error, request_id)
        if self._array:
            return (b",\r\n" if self._started else b"[") + told + b"\n]\n"
        return b"data: " + told + b"\r\n\r\n"

    def heartbeat(self) -> bytes:
        """See ``dialect.Reader``. An empty line: google-genai takes an SSE comment for a broken answer."""
        return b"\n"

    def counted(self) -> Usage:
        """See ``dialect.Reader``."""
        return Usage(output_tokens=estimate(self.events, self._delta_bytes, self._frame))


def _whole(text: bytes) -> bool:
    """Whether a last event without its blank line is a whole JSON value."""
    if not text:
        return False
    try:
        decode_told(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
