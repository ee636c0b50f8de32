"""Watches a stream of response events: passes it on untouched and reads usage, finish and errors beside it."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from ruxa.dialects.body import ABSENT
from ruxa.dialects.dialect import Finish
from ruxa.dialects.openai_responses.write import Told, answer_of, failed, failure_of
from ruxa.dialects.sse import ENDS, HEARTBEAT, Cutter, data_of, events
from ruxa.dialects.usage import Usage, estimate
from ruxa.kernel.errors import RuxaError, UpstreamBroken

# A delta's event, as the vendor names it; nothing of the kind ends or fails a stream.
_DELTA = re.compile(rb"event: response\.[a-z_.]+\.delta\r?\n")
_NUMBER = re.compile(rb'"sequence_number":[ ]*(\d{1,9})')
_SILENT = frozenset({"response.created", "response.in_progress", "response.queued", "keepalive", ""})
_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    response: Told | None = None
    error: msgspec.Raw = ABSENT


_decode = msgspec.json.Decoder(_Event).decode


class ResponseReader:
    """See ``dialect.Reader``."""

    __slots__ = (
        "_begun",
        "_cutter",
        "_delta_bytes",
        "_frame",
        "_held",
        "_last",
        "_usage",
        "done",
        "error",
        "events",
        "finish",
        "peek",
    )

    def __init__(self) -> None:
        self._cutter = Cutter()
        self._held = self._cutter.held
        self._begun = Told()
        self._last = b""
        self._usage: Usage | None = None
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
        return self._usage

    def feed(self, data: bytes) -> bytes:
        """See ``dialect.Reader``."""
        if self._held or not data.endswith(ENDS):
            data = self._cutter.cut(data)
            if not data:
                return b""
        return self._read(data)

    def _read(self, data: bytes) -> bytes:
        if self.error is not None:
            return b""
        kept: list[bytes] = []
        for event in events(data):
            if _DELTA.match(event):
                self.events += 1
                size = len(event)
                self._delta_bytes += size
                self._frame = min(self._frame, size)
                self.peek = "meaningful"
            elif text := data_of(event):
                self._note(text)
                if self.error is not None:
                    break
            else:
                kept.append(event)
                continue
            self._last = event
            kept.append(event)
        return data if self.error is None else b"".join(kept)

    def _note(self, text: bytes) -> None:
        if text.startswith(b"[DONE]"):  # some compatible providers end as chat completions do
            return
        try:
            event = _decode(text)
        except msgspec.ValidationError:
            self.peek = "meaningful"  # JSON of a shape we do not know: the caller may
            return
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._break(UpstreamBroken("The provider's stream is not an event stream of JSON."))
            return
        kind, response = event.type, event.response
        if kind == "error" or (not kind and event.error is not ABSENT):
            self._break(failure_of(event.error if event.error is not ABSENT else msgspec.Raw(text)))
            return
        if kind.endswith(".delta"):
            self.events += 1
        if response is not None and kind in _SILENT:
            self._begun = Told(id=response.id, model=response.model, created_at=response.created_at)
        if kind not in _SILENT:
            self.peek = self.peek if kind == "response.failed" else "meaningful"
        if kind in _TERMINAL and response is not None:
            said = answer_of(response)
            self._usage = said.usage or self._usage
            self.finish = said.finish
            if said.error is not None or kind == "response.failed":
                self._break(said.error or failure_of(ABSENT))
            else:
                self.done = True

    def _break(self, error: RuxaError) -> None:
        self.error = error
        if self.peek == "waiting":
            self.peek = "error"

    def end(self) -> bytes:
        """See ``dialect.Reader``."""
        rest = self._cutter.rest().rstrip()
        out = self._read(rest + b"\n\n") if not self.done and _ends(data_of(rest + b"\n")) else b""
        if self.error is None and not self.done:
            self._break(UpstreamBroken("The provider's stream ended before its end.", code="stream_cut"))
        return out

    def fail(self, error: RuxaError, request_id: str) -> bytes:
        """See ``dialect.Reader`` (W58)."""
        numbers = _NUMBER.findall(self._last)
        return failed(error, request_id, self._begun, int(numbers[-1]) + 1 if numbers else 0)

    def heartbeat(self) -> bytes:
        """See ``dialect.Reader``."""
        return HEARTBEAT

    def counted(self) -> Usage:
        """See ``dialect.Reader``."""
        return Usage(output_tokens=estimate(self.events, self._delta_bytes, self._frame))


def _ends(text: bytes) -> bool:
    """Whether a last event without its blank line is a whole terminal event."""
    try:
        return _decode(text).type in _TERMINAL
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
