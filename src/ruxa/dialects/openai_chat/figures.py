"""OpenAI's usage object as the one vector, and its finish reasons as the house's words."""

from __future__ import annotations

import msgspec

from ruxa.dialects.dialect import Finish
from ruxa.dialects.usage import Usage, split, whole

# The last ones are words of servers that speak this dialect.
FINISHES: dict[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool",
    "function_call": "tool",
    "content_filter": "filter",
    "model_length": "length",
    "eos": "stop",
    "error": "error",
    "insufficient_system_resource": "error",
}


class InputDetails(msgspec.Struct, gc=False):
    """``prompt_tokens_details``: parts of ``prompt_tokens``."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None


class OutputDetails(msgspec.Struct, gc=False):
    """``completion_tokens_details``: parts of ``completion_tokens``."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class Figures(msgspec.Struct, gc=False):
    """The usage object of chat completions and embeddings, with the cache field of some compatible providers."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None


_NO_INPUT = InputDetails()
_NO_OUTPUT = OutputDetails()


def usage_of(figures: Figures) -> Usage:
    """The vector. ``prompt_tokens`` and ``completion_tokens`` are the wholes, their details the parts.

    Where a provider leaves reasoning out of ``completion_tokens`` (its total then says so), it is added.
    """
    inside = figures.prompt_tokens_details or _NO_INPUT
    outside = figures.completion_tokens_details or _NO_OUTPUT
    if not (
        inside.cached_tokens
        or inside.cache_write_tokens
        or inside.audio_tokens
        or outside.reasoning_tokens
        or outside.audio_tokens
        or figures.prompt_cache_hit_tokens
    ):
        return Usage(input_tokens=whole(figures.prompt_tokens), output_tokens=whole(figures.completion_tokens))
    prompt = whole(figures.prompt_tokens)
    completion = whole(figures.completion_tokens)
    reasoning = whole(outside.reasoning_tokens)
    if reasoning and whole(figures.total_tokens) == prompt + completion + reasoning:
        completion += reasoning
    plain, cached, written, heard = split(
        prompt,
        whole(inside.cached_tokens) or whole(figures.prompt_cache_hit_tokens),
        whole(inside.cache_write_tokens),
        whole(inside.audio_tokens),
    )
    text, thought, spoken = split(completion, reasoning, whole(outside.audio_tokens))
    return Usage(
        input_tokens=plain,
        cache_read_tokens=cached,
        cache_write_5m_tokens=written,
        audio_input_tokens=heard,
        output_tokens=text,
        reasoning_tokens=thought,
        audio_output_tokens=spoken,
    )


def finish_of(reason: str | None) -> Finish | None:
    """The house's word for a finish reason."""
    return None if reason is None else FINISHES.get(reason, "other")


WORDS: dict[Finish, str] = {
    "stop": "stop",
    "length": "length",
    "tool": "tool_calls",
    "filter": "content_filter",
    "pause": "stop",
    "error": "stop",
    "other": "stop",
}
"""The dialect's word for a finish; what is coarser stands beside it as ``native_finish_reason``."""


def figures_of(usage: Usage) -> dict[str, object]:
    """The usage object of an answer; its wholes are the sums of the vector, so that it adds up (W44, W46)."""
    return {
        "prompt_tokens": usage.input_total,
        "completion_tokens": usage.output_total,
        "total_tokens": usage.total,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
            "audio_tokens": usage.audio_input_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.audio_output_tokens,
        },
    }
