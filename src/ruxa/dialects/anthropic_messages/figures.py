"""Anthropic's usage object as the one vector, and its stop reasons as the house's words."""

from __future__ import annotations

import msgspec

from ruxa.dialects.dialect import Finish
from ruxa.dialects.usage import Usage, split, whole

FINISHES: dict[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool",
    "refusal": "filter",
    "pause_turn": "pause",
    "compaction": "pause",
}


class CacheCreation(msgspec.Struct, gc=False):
    """Cache writes by lifetime."""

    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class OutputDetails(msgspec.Struct, gc=False):
    """Parts of ``output_tokens``."""

    thinking_tokens: int | None = None


class Iteration(msgspec.Struct, gc=False):
    """One sampling step; a ``compaction`` is not part of the top-level figures."""

    type: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class Figures(msgspec.Struct, gc=False):
    """The usage object of a message, of ``message_start`` and of ``message_delta``."""

    input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    output_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None
    iterations: list[Iteration] | None = None


def merged(first: Figures | None, later: Figures) -> Figures:
    """Figures of a stream so far: they are running totals, so the larger of both counts, never the sum (W47, W48)."""
    if first is None:
        return later
    return Figures(
        input_tokens=_most(first.input_tokens, later.input_tokens),
        cache_read_input_tokens=_most(first.cache_read_input_tokens, later.cache_read_input_tokens),
        cache_creation_input_tokens=_most(first.cache_creation_input_tokens, later.cache_creation_input_tokens),
        cache_creation=later.cache_creation or first.cache_creation,
        output_tokens=_most(first.output_tokens, later.output_tokens),
        output_tokens_details=later.output_tokens_details or first.output_tokens_details,
        iterations=later.iterations or first.iterations,
    )


def _most(first: int | None, later: int | None) -> int | None:
    if first is None or later is None:
        return later if first is None else first
    return max(first, later)


def usage_of(figures: Figures) -> Usage:
    """The vector. ``input_tokens`` already excludes the cache; a write without its split counts as 5 minutes (W49)."""
    split_writes = figures.cache_creation or CacheCreation()
    hour = whole(split_writes.ephemeral_1h_input_tokens)
    five = whole(split_writes.ephemeral_5m_input_tokens)
    five = max(whole(figures.cache_creation_input_tokens), hour + five) - hour
    details = figures.output_tokens_details or OutputDetails()
    text, thought = split(whole(figures.output_tokens), whole(details.thinking_tokens))
    usage = Usage(
        input_tokens=whole(figures.input_tokens),
        cache_read_tokens=whole(figures.cache_read_input_tokens),
        cache_write_5m_tokens=five,
        cache_write_1h_tokens=hour,
        output_tokens=text,
        reasoning_tokens=thought,
    )
    for step in figures.iterations or ():
        if step.type == "compaction":
            usage.input_tokens += whole(step.input_tokens)
            usage.output_tokens += whole(step.output_tokens)
            usage.cache_read_tokens += whole(step.cache_read_input_tokens)
            usage.cache_write_5m_tokens += whole(step.cache_creation_input_tokens)
    return usage


def finish_of(reason: str | None) -> Finish | None:
    """The house's word for a stop reason."""
    return None if reason is None else FINISHES.get(reason, "other")
