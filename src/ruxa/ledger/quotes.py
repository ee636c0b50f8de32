"""Quote before, charge after: the most a call can cost, from its bounds and its price (decision D21).

Every source of cost has a worst case here; a source without one raises before anything is sent.
"""

from __future__ import annotations

import msgspec

from ruxa.dialects.dialect import Load
from ruxa.kernel.errors import Unsupported
from ruxa.ledger.prices import Rates

# A text token is never shorter than half a byte pair in the tokenizers we know; the frame of a message costs some more.
TEXT_BYTES_PER_TOKEN = 2
FRAME_TOKENS = 64
# Audio: at most 32 tokens a second, at least 1 KiB of base64 a second.
AUDIO_BYTES_PER_TOKEN = 32
# Video: at most 300 tokens a second at the providers that count it, at least 8 KiB of base64 a second.
VIDEO_BYTES_PER_TOKEN = 24
# A document: no provider takes more pages than this, and no page is smaller than this many bytes of base64.
PAGES_MAX = 1000
PAGE_BYTES_MIN = 400
# Speech: nobody speaks slower than four characters a second, or more than 32 tokens a second.
SPOKEN_TOKENS_PER_CHARACTER = 8
HEARD_TOKENS_PER_S = 32
# A second of audio holds at most so many tokens of text.
WRITTEN_TOKENS_PER_S = 16
# An image: the largest of the usual sizes, what the best qualities cost beside the usual ones, and an image on the way.
PIXELS_USUAL = 1536 * 1024
QUALITY_TIMES = {"xhigh": 2, "max": 4}
PARTIAL_TOKENS = 100
# A model whose bound of output is unknown gives at most this when the caller states no cap.
OUTPUT_TOKENS_UNKNOWN_MAX = 1_000_000


def input_bound(price: Rates, load: Load) -> int:
    """The most input tokens the call can count as."""
    tokens = FRAME_TOKENS + -(-load.text_bytes // TEXT_BYTES_PER_TOKEN)
    tokens += load.images * price.image_tokens_max
    if load.documents:
        pages = min(load.documents * PAGES_MAX, load.documents + load.media_bytes // PAGE_BYTES_MIN)
        tokens += pages * price.page_tokens_max
    if load.audios:
        tokens += load.audios + load.media_bytes // AUDIO_BYTES_PER_TOKEN
    if load.videos:
        tokens += load.videos + load.media_bytes // VIDEO_BYTES_PER_TOKEN
    if load.file_ids:
        if price.input_tokens_max is None:
            raise Unsupported("A file reference needs a model whose input limit is known.", code="cost_unbounded")
        tokens = price.input_tokens_max
    if price.input_tokens_max is not None and tokens > price.input_tokens_max:
        # More than the model takes is refused by the provider, unbilled.
        tokens = price.input_tokens_max
    return tokens


def output_bound(price: Rates, load: Load, output_tokens_default: int) -> int:
    """The most output tokens of one choice: the caller's cap, else the organisation's default for the hold."""
    cap = output_tokens_default if load.output_cap is None else load.output_cap
    if price.output_tokens_max is not None and cap > price.output_tokens_max:
        return price.output_tokens_max
    return min(cap, OUTPUT_TOKENS_UNKNOWN_MAX)


def worst(price: Rates, load: Load, *, output_tokens_default: int, output: bool = True, cache: bool = True) -> int:
    """The hold of a call in micros.

    output: False for endpoints that make none (embeddings); cache: the call may write to the provider's cache.
    Raises Unsupported ``cost_unbounded`` when a source of cost has no worst case.
    """
    tokens = input_bound(price, load)
    total = tokens * _input_rate(price, tokens, load, cache)
    if output:
        if load.image_output and price.image_micros:
            total += load.choices * price.image_micros
        total += load.choices * output_bound(price, load, output_tokens_default) * _output_rate(price, tokens, load)
    return -(-total // 1_000_000)


class Line(msgspec.Struct, frozen=True, gc=False):
    """The hold of calls that differ in the length of their text alone: ``tokens * rate + fixed`` millionths of a
    micro, up to ``tokens_max`` tokens of input."""

    rate: int
    fixed: int
    tokens_max: int


def line(price: Rates, load: Load, output_tokens_default: int) -> Line:
    """``worst`` of every call like ``load`` that has no media, whatever its text."""
    text = msgspec.structs.replace(load, text_bytes=0)
    fixed = text.choices * output_bound(price, text, output_tokens_default) * _output_rate(price, 0, text)
    if text.image_output:
        fixed += text.choices * price.image_micros
    bounds = [bound for bound in (price.input_tokens_max, price.long_from_tokens) if bound is not None]
    return Line(rate=_input_rate(price, 0, text, cache=True), fixed=fixed, tokens_max=min(bounds, default=1 << 62))


def micros(millionths: int) -> int:
    """Rounded up."""
    return -(-millionths // 1_000_000)


def made(price: Rates, load: Load) -> int:
    """The hold, in micros, of a call that makes images or speech or hears audio, or moderates (its output is free).

    Raises Unsupported ``cost_unbounded`` when the price book does not bound what an image can count.
    """
    tokens = FRAME_TOKENS - (-load.text_bytes // TEXT_BYTES_PER_TOKEN) + load.images * price.image_tokens_max
    rate = max(price.input_micros, price.cache_read_micros)
    output = max(price.output_micros, price.reasoning_micros)
    if load.characters:
        spoken = load.characters * SPOKEN_TOKENS_PER_CHARACTER * max(price.audio_output_micros, output)
        total = (load.characters if price.units == "characters" else tokens) * rate
        total += spoken if price.units != "characters" else 0
    elif load.audios:
        heard = load.audio_s if price.units == "seconds" else load.audio_s * HEARD_TOKENS_PER_S
        text = 0 if price.units == "seconds" else load.audio_s * WRITTEN_TOKENS_PER_S
        text = text if price.output_tokens_max is None else min(text, price.output_tokens_max)
        total = heard * max(price.audio_input_micros, rate) + text * output + tokens * rate
    elif load.image_output:
        total = tokens * rate + load.choices * (price.image_micros + _image_tokens(price, load, output) * output)
    else:
        total = tokens * rate
    return -(-total // 1_000_000)


def _image_tokens(price: Rates, load: Load, output_rate: int) -> int:
    """The most output tokens of one image: the price book's figure, more for larger and for better ones."""
    if not output_rate:
        return 0
    if price.output_tokens_max is None:
        raise Unsupported("An image model needs a price with output_tokens_max.", code="cost_unbounded")
    larger = max(-(-load.pixels // PIXELS_USUAL), 1)
    tokens = price.output_tokens_max * larger * QUALITY_TIMES.get(load.quality, 1)
    return tokens + load.partials * PARTIAL_TOKENS


def affordable_output(price: Rates, load: Load, micros: int, *, cache: bool = True) -> int:
    """How many output tokens a choice may have so that the call costs at most ``micros``; below 1: none."""
    tokens = input_bound(price, load)
    left = micros * 1_000_000 - tokens * _input_rate(price, tokens, load, cache)
    if load.image_output and price.image_micros:
        left -= load.choices * price.image_micros
    rate = _output_rate(price, tokens, load) * load.choices
    if left < 0:
        return 0
    return OUTPUT_TOKENS_UNKNOWN_MAX if rate == 0 else left // rate


def _input_rate(price: Rates, tokens: int, load: Load, cache: bool) -> int:
    long = price.long_from_tokens is not None and tokens > price.long_from_tokens
    rate = max(price.input_micros, price.long_input_micros if long else 0)
    if cache:
        rate = max(rate, price.cache_write_5m_micros, price.cache_write_1h_micros)
        if long:
            rate = max(rate, price.long_cache_write_5m_micros, price.long_cache_write_1h_micros)
    if load.audios or load.videos or load.file_ids:
        rate = max(rate, price.audio_input_micros)
    return rate


def _output_rate(price: Rates, tokens: int, load: Load) -> int:
    rate = max(price.output_micros, price.reasoning_micros)
    if price.long_from_tokens is not None and tokens > price.long_from_tokens:
        rate = max(rate, price.long_output_micros, price.long_reasoning_micros)
    if load.audio_output:
        rate = max(rate, price.audio_output_micros)
    return rate
