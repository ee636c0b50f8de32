"""The usage objects of images and audio as the one vector.

The vector has a class for text and one for audio. What a provider counts as image tokens is input and output like text:
such a model's price says what they cost, whatever they came from. Where a provider counts seconds of audio, or
characters of a text to be spoken, the price's unit is that (``Rates.units``), and the count stands in the same class.
"""

from __future__ import annotations

import math

import msgspec

from ruxa.dialects.usage import Usage, split, whole


class InputDetails(msgspec.Struct, gc=False):
    """Parts of ``input_tokens``; OpenAI writes the name with ``token`` for audio and with ``tokens`` for images."""

    text_tokens: int | None = None
    image_tokens: int | None = None
    audio_tokens: int | None = None
    cached_tokens: int | None = None


class Figures(msgspec.Struct, gc=False):
    """The usage object of an image, a transcription or a speech."""

    type: str = "tokens"
    seconds: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    input_token_details: InputDetails | None = None


_NO_DETAILS = InputDetails()


def usage_of(figures: Figures, *, images: int = 0, spoken: bool = False) -> Usage:
    """The vector. spoken: the output is audio."""
    if figures.type == "duration":
        return Usage(audio_input_tokens=seconds(figures.seconds))
    details = figures.input_tokens_details or figures.input_token_details or _NO_DETAILS
    plain, cached, heard = split(whole(figures.input_tokens), whole(details.cached_tokens), whole(details.audio_tokens))
    made = whole(figures.output_tokens)
    return Usage(
        input_tokens=plain,
        cache_read_tokens=cached,
        audio_input_tokens=heard,
        output_tokens=0 if spoken else made,
        audio_output_tokens=made if spoken else 0,
        images=images,
    )


def seconds(told: float | None) -> int:
    """Seconds rounded up; nonsense is 0."""
    return 0 if told is None or not 0 < told < 1e9 else math.ceil(told)
