"""Reads whole answers of images, audio and moderations: figures and errors, without decoding what was made."""

from __future__ import annotations

import msgspec

from ruxa.dialects.body import ABSENT, given
from ruxa.dialects.dialect import Answer, Envelope
from ruxa.dialects.openai import error_of
from ruxa.dialects.openai_media import sound
from ruxa.dialects.openai_media.figures import Figures, seconds, usage_of
from ruxa.dialects.openai_media.read import form_text
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import UpstreamBroken

# How a transcription is answered in something else than JSON.
TEXTS = frozenset({"text", "srt", "vtt"})
# About how many bytes of a transcript a token has.
BYTES_PER_TOKEN = 4


class _Answer(msgspec.Struct, gc=False):
    usage: Figures | None = None
    data: list[msgspec.Raw] | None = None
    results: list[msgspec.Raw] | None = None
    text: str | None = None
    duration: float | None = None
    error: msgspec.Raw = ABSENT


_decode = msgspec.json.Decoder(_Answer).decode
_NO_ANSWER = "The provider's answer is not a JSON object of the expected shape."


def read_answer(envelope: Envelope, body: bytes) -> Answer:
    """Usage of a whole answer."""
    endpoint = envelope.place.endpoint
    hears = endpoint in ("transcriptions", "translations")
    if hears and form_text(envelope.body, envelope.parts, "response_format") in TEXTS:
        return _read_text(envelope, body)
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Answer(error=UpstreamBroken(_NO_ANSWER))
    if given(answer.error):
        return Answer(error=error_of(None, {}, body))
    if endpoint == "moderations":
        if answer.results is None:
            return Answer(error=UpstreamBroken(_NO_ANSWER))
        return Answer(usage=Usage() if answer.usage is None else usage_of(answer.usage), finish="stop")
    if hears:
        if answer.text is None:
            return Answer(error=UpstreamBroken(_NO_ANSWER))
        if answer.usage is not None:
            return Answer(usage=usage_of(answer.usage), finish="stop")
        heard = seconds(answer.duration) or _about(envelope)
        return Answer(usage=_estimate(heard, len(answer.text.encode())), finish="stop", counted=True)
    if answer.data is None:
        return Answer(error=UpstreamBroken(_NO_ANSWER))
    made = len(answer.data)
    if answer.usage is not None:
        return Answer(usage=usage_of(answer.usage, images=made), finish="stop")
    return Answer(usage=Usage(images=made), finish="stop")


def _read_text(envelope: Envelope, body: bytes) -> Answer:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return Answer(error=UpstreamBroken("The provider's answer is no text."))
    if text[:1] == "{" and '"error"' in text[:64]:
        return Answer(error=error_of(None, {}, body))
    heard = max(sound.seconds_told(text), _about(envelope))
    return Answer(usage=_estimate(heard, len(body)), finish="stop", counted=True)


def _about(envelope: Envelope) -> int:
    file = next(part for part in envelope.parts if part.base == "file")
    return sound.seconds_about(memoryview(envelope.body)[file.start : file.end])


def _estimate(heard: int, text_bytes: int) -> Usage:
    """Seconds of audio, and tokens of the transcript: each price knows which of them it counts."""
    return Usage(audio_input_tokens=heard, output_tokens=-(-text_bytes // BYTES_PER_TOKEN))
