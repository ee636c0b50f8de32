"""Watches what an image, a transcription or a speech is streamed as: events with figures, or the bytes of a file."""

from __future__ import annotations

from typing import Literal

import msgspec

from ruxa.dialects.body import ABSENT, given
from ruxa.dialects.dialect import Finish
from ruxa.dialects.openai import error_body, error_of
from ruxa.dialects.openai_media.figures import Figures, usage_of
from ruxa.dialects.sse import HEARTBEAT, Cutter, data_of, events
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import RuxaError, UpstreamBroken

# The last event of each kind of answer; of images there is one for each that is made.
ENDS = frozenset({"image_generation.completed", "image_edit.completed", "transcript.text.done", "speech.audio.done"})
AUDIO_TOKENS_PER_S = 21
BYTES_PER_S = {"wav": 48_000, "pcm": 48_000, "flac": 24_000, "opus": 6_000}
BYTES_PER_S_USUAL = 16_000
_GARBAGE = (b"<", b"{")
_ERROR_BYTES_MAX = 64 * 1024


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    usage: Figures | None = None
    error: msgspec.Raw = ABSENT


_decode = msgspec.json.Decoder(_Event).decode


class EventReader:
    """See ``dialect.Reader``. images: how many images were asked for, 0 for audio; spoken: the output is audio."""

    def __init__(self, *, images: int = 0, spoken: bool = False) -> None:
        self._cutter = Cutter()
        self._images = images
        self._spoken = spoken
        self._open = images or 1
        self._bytes = 0
        self.usage: Usage | None = None
        self.peek: Literal["waiting", "meaningful", "error"] = "waiting"
        self.finish: Finish | None = None
        self.error: RuxaError | None = None
        self.done = False
        self.events = 0

    def feed(self, data: bytes) -> bytes:
        """See ``dialect.Reader``."""
        data = self._cutter.cut(data)
        return self._read(data) if data else b""

    def _read(self, data: bytes) -> bytes:
        kept: list[bytes] = []
        for event in events(data):
            if self.error is not None:
                break
            text = data_of(event)
            if text and text != b"[DONE]":
                self._note(text)
                if self.error is not None:
                    break
            kept.append(event)
        return b"".join(kept)

    def _note(self, text: bytes) -> None:
        try:
            event = _decode(text)
        except msgspec.ValidationError:
            self.peek = "meaningful"  # JSON of a shape we do not know: the caller may
            return
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._break(UpstreamBroken("The provider's stream is not an event stream of JSON."))
            return
        if given(event.error):
            self._break(error_of(None, {}, b'{"error":' + bytes(event.error) + b"}"))
            return
        self.peek = "meaningful"
        self.events += 1
        self._bytes += len(text)
        if event.type in ENDS:
            self._open -= 1
            if event.usage is not None:
                self._add(usage_of(event.usage, images=1 if self._images else 0, spoken=self._spoken))
            elif self._images:
                self._add(Usage(images=1))
            if self._open <= 0:
                self.finish = "stop"
                self.done = True

    def _add(self, more: Usage) -> None:
        have = self.usage
        if have is None:
            self.usage = more
            return
        self.usage = Usage(**{name: getattr(have, name) + getattr(more, name) for name in Usage.__struct_fields__})

    def _break(self, error: RuxaError) -> None:
        self.error = error
        if self.peek == "waiting":
            self.peek = "error"

    def end(self) -> bytes:
        """See ``dialect.Reader``."""
        rest = self._cutter.rest()
        out = self._read(rest.rstrip() + b"\n\n") if rest.strip() and data_of(rest + b"\n").endswith(b"}") else b""
        if self.error is None and not self.done:
            self._break(UpstreamBroken("The provider's stream ended before its end.", code="stream_cut"))
        return out

    def fail(self, error: RuxaError, request_id: str) -> bytes:
        """See ``dialect.Reader``."""
        return b"data: " + error_body(error, request_id) + b"\n\n"

    def heartbeat(self) -> bytes:
        """See ``dialect.Reader``."""
        return HEARTBEAT

    def counted(self) -> Usage:
        """See ``dialect.Reader``."""
        if self._spoken:
            return Usage(audio_output_tokens=self._bytes * 3 // 4 * AUDIO_TOKENS_PER_S // BYTES_PER_S_USUAL)
        return Usage(output_tokens=0 if self._images else self._bytes // 8)


class BytesReader:
    """See ``dialect.Reader``: a spoken text as a file. Its characters are what is counted of the input, and where the
    audio has a price of its own, its length is estimated from its bytes."""

    def __init__(self, *, characters: int, form: str) -> None:
        self._characters = characters
        self._rate = BYTES_PER_S.get(form, BYTES_PER_S_USUAL)
        self._bytes = 0
        self._head = b""
        self.peek: Literal["waiting", "meaningful", "error"] = "waiting"
        self.finish: Finish | None = None
        self.error: RuxaError | None = None
        self.done = False
        self.events = 0

    @property
    def usage(self) -> Usage | None:
        """See ``dialect.Reader``."""
        return self.counted() if self._bytes else None

    def feed(self, data: bytes) -> bytes:
        """See ``dialect.Reader``."""
        if self.error is not None or not data:
            return b""
        if self.peek == "waiting":
            self._head += data
            if self._head[:1] in _GARBAGE:  # no audio begins so; an error or a page does
                told = self._told() if data.endswith(b"}") else None
                if told is not None or self._head[:1] != b"{" or len(self._head) > _ERROR_BYTES_MAX:
                    self._refuse(told)
                return b""
            self._head = b""
            self.peek = "meaningful"
        self._bytes += len(data)
        self.events += 1
        return data

    def _told(self) -> RuxaError | None:
        """The provider's error that came instead of audio, None when that is no JSON (yet)."""
        try:
            return error_of(None, {}, self._head) if isinstance(msgspec.json.decode(self._head), dict) else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def _refuse(self, told: RuxaError | None) -> None:
        self.error = told or UpstreamBroken("The provider's answer is no audio.")
        self.peek = "error"

    def end(self) -> bytes:
        """See ``dialect.Reader``."""
        if self._head and self.error is None:
            self._refuse(self._told())
        if self.error is None:
            if not self._bytes:
                self.error = UpstreamBroken("The provider's answer is empty.", code="stream_cut")
                self.peek = "error"
            else:
                self.done = True
                self.finish = "stop"
        return b""

    def fail(self, error: RuxaError, request_id: str) -> bytes:
        """See ``dialect.Reader``: nothing can follow half a file; the connection is cut instead."""
        return b""

    def heartbeat(self) -> bytes:
        """See ``dialect.Reader``."""
        return b""

    def counted(self) -> Usage:
        """See ``dialect.Reader``."""
        return Usage(input_tokens=self._characters, audio_output_tokens=self._bytes * AUDIO_TOKENS_PER_S // self._rate)
