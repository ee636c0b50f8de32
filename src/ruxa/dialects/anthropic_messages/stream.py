"""Watches a stream of message events: passes it on untouched and reads usage, finish and errors beside it."""

from __future__ import annotations

from typing import Literal

import msgspec

from ruxa.dialects.anthropic_messages.figures import Figures, finish_of, merged, usage_of
from ruxa.dialects.anthropic_messages.write import error_body, error_of
from ruxa.dialects.dialect import Finish
from ruxa.dialects.sse import ENDS, Cutter, data_of, events
from ruxa.dialects.usage import Usage, estimate
from ruxa.kernel.errors import RuxaError, UpstreamBroken

_PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_DELTA = b"event: content_block_delta"


class _Message(msgspec.Struct, gc=False):
    usage: Figures | None = None


class _Delta(msgspec.Struct, gc=False):
    stop_reason: str | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    message: _Message | None = None
    delta: _Delta | None = None
    usage: Figures | None = None


_decode = msgspec.json.Decoder(_Event).decode


class MessageReader:
    """See ``dialect.Reader``."""

    __slots__ = (
        "_cutter",
        "_delta_bytes",
        "_figures",
        "_frame",
        "_held",
        "_plain",
        "done",
        "error",
        "events",
        "finish",
        "peek",
    )

    def __init__(self) -> None:
        self._cutter = Cutter()
        self._held = self._cutter.held
        self._plain = False
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
        if self._figures is None:
            return None
        usage = usage_of(self._figures)
        return usage if usage.input_total or usage.output_total else None  # nothing but zeros: it does not count

    def feed(self, data: bytes) -> bytes:
        """See ``dialect.Reader``."""
        if self._held or not data.endswith(ENDS):
            data = self._cutter.cut(data)
            if not data:
                return b""
        if self._plain and data.startswith(_DELTA):
            count = data.count(b"\n\n")
            if count == 1 or (b"event: message_" not in data and b"event: error" not in data):
                self.events += count
                self._delta_bytes += len(data)
                return data
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
                if event.startswith(_DELTA):
                    self.events += 1
                    self._delta_bytes += len(event)
                    self._frame = min(self._frame, len(event))
                    self._plain = True
            kept.append(event)
        return data if self.error is None else b"".join(kept)

    def _note(self, text: bytes) -> None:
        try:
            event = _decode(text)
        except msgspec.ValidationError:
            self.peek = "meaningful"  # JSON of a shape we do not know: the caller may
            return
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._break(UpstreamBroken("The provider's stream is not an event stream of JSON."))
            return
        kind = event.type
        if kind.startswith("content_block_"):
            self.peek = "meaningful"
        elif kind == "message_start":
            if event.message is not None and event.message.usage is not None:
                self._figures = merged(self._figures, event.message.usage)
        elif kind == "message_delta":
            self.peek = "meaningful"
            if event.delta is not None:
                self.finish = finish_of(event.delta.stop_reason) or self.finish
            if event.usage is not None:
                self._figures = merged(self._figures, event.usage)
        elif kind == "message_stop":
            self.peek = "meaningful"
            self.done = True
        elif kind == "error":
            self._break(error_of(None, {}, text))

    def _break(self, error: RuxaError) -> None:
        self.error = error
        self._plain = False
        if self.peek == "waiting":
            self.peek = "error"

    def end(self) -> bytes:
        """See ``dialect.Reader``."""
        rest = self._cutter.rest().rstrip()
        out = b""
        if data_of(rest + b"\n").endswith(b'"message_stop"}') and not self.done:
            out = self._read(rest + b"\n\n")
        if self.error is None and not self.done:
            self._break(UpstreamBroken("The provider's stream ended before its end.", code="stream_cut"))
        return out

    def fail(self, error: RuxaError, request_id: str) -> bytes:
        """See ``dialect.Reader`` (W57)."""
        return b"event: error\ndata: " + error_body(error, request_id) + b"\n\n"

    def heartbeat(self) -> bytes:
        """See ``dialect.Reader``."""
        return _PING

    def counted(self) -> Usage:
        """See ``dialect.Reader``."""
        return Usage(output_tokens=estimate(self.events, self._delta_bytes, self._frame))
