"""The usage object of responses as the one vector, and how a response ended as the house's words."""

from __future__ import annotations

import msgspec

from ruxa.dialects.dialect import Finish
from ruxa.dialects.usage import Usage, split, whole

INCOMPLETE: dict[str, Finish] = {"max_output_tokens": "length", "content_filter": "filter"}
CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call"})
"""Items by which the model asks the caller for something."""


class Written(msgspec.Struct, gc=False):
    """``cache_write_tokens_details``: parts of ``cache_write_tokens`` by lifetime."""

    ttl_12h_tokens: int | None = None
    ttl_30m_tokens: int | None = None


class InputDetails(msgspec.Struct, gc=False):
    """``input_tokens_details``: parts of ``input_tokens``."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_tokens_details: Written | None = None


class OutputDetails(msgspec.Struct, gc=False):
    """``output_tokens_details``: parts of ``output_tokens``."""

    reasoning_tokens: int | None = None


class Figures(msgspec.Struct, gc=False):
    """The usage object of a response."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


def usage_of(figures: Figures) -> Usage:
    """The vector. ``input_tokens`` and ``output_tokens`` are the wholes, their details the parts.

    Where a provider leaves reasoning out of ``output_tokens`` (its total then says so), it is added.
    """
    inside, outside = figures.input_tokens_details or InputDetails(), figures.output_tokens_details or OutputDetails()
    prompt, answer = whole(figures.input_tokens), whole(figures.output_tokens)
    thought = whole(outside.reasoning_tokens)
    if thought and whole(figures.total_tokens) == prompt + answer + thought:
        answer += thought
    long = whole(inside.cache_write_tokens_details.ttl_12h_tokens) if inside.cache_write_tokens_details else 0
    written = max(whole(inside.cache_write_tokens) - long, 0)
    plain, cached, short, long = split(prompt, whole(inside.cached_tokens), written, long)
    text, thought = split(answer, thought)
    return Usage(
        input_tokens=plain,
        cache_read_tokens=cached,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
        output_tokens=text,
        reasoning_tokens=thought,
    )


def figures_of(usage: Usage) -> dict[str, object]:
    """The usage object of an answer."""
    return {
        "input_tokens": usage.input_total,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.output_total,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total,
    }


def finish_of(status: str, reason: str | None, calls: bool) -> Finish:
    """How a response ended; ``calls``: its output asks the caller for something."""
    if status == "incomplete":
        return INCOMPLETE.get(reason or "", "other")
    if status in ("failed", "cancelled"):
        return "error"
    return "tool" if calls else "stop"
