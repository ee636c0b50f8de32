"""Why an answer ended, in Anthropic's words and the neutral ones (W41), and its figures as Anthropic writes them."""

from __future__ import annotations

import msgspec

from ruxa.dialects.anthropic_messages.figures import FINISHES
from ruxa.dialects.dialect import Finish
from ruxa.dialects.usage import Usage

CATEGORIES = frozenset({"cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"})
_PLAIN = frozenset({"end_turn", "stop_sequence", "max_tokens", "tool_use"})
_WINDOW = "model_context_window_exceeded"


class StopDetails(msgspec.Struct, gc=False):
    """``stop_details`` of a refusal."""

    category: str | None = None
    explanation: str | None = None


class Stop(msgspec.Struct, frozen=True):
    """The end in neutral words: see ``reply.Choice``. refusal: what the model said of it."""

    finish: Finish
    detail: str = ""
    stop: str = ""
    refusal: str = ""


def read_stop(reason: str | None, sequence: str | None, details: StopDetails | None) -> Stop:
    """An end from ``stop_reason`` and what stands beside it."""
    if reason is None:
        return Stop("other")
    finish = FINISHES.get(reason, "other")
    if reason == "refusal":
        told = details or StopDetails()
        return Stop(finish, told.category or reason, "", told.explanation or "")
    if reason == "stop_sequence":
        return Stop(finish, "", sequence or "")
    return Stop(finish, "" if reason in _PLAIN else reason)


def write_stop(end: Stop, tools: bool) -> dict[str, object]:
    """``stop_reason``, ``stop_sequence`` and ``stop_details``. tools: the answer calls one, whatever its end is called.

    An answer that went wrong at the provider has no word here: it is a refusal that says so, never an empty success.
    """
    refused = end.finish in ("filter", "error") or (bool(end.refusal) and not tools)
    details: dict[str, object] | None = None
    if refused:
        category = end.detail if end.detail in CATEGORIES else None
        explanation = end.refusal or _explained(end, category)
        details = {"type": "refusal", "category": category, "explanation": explanation}
    sequence = end.stop if end.stop and end.finish == "stop" and not tools and not refused else None
    return {
        "stop_reason": "refusal" if refused else _reason(end, tools),
        "stop_sequence": sequence,
        "stop_details": details,
    }


def _explained(end: Stop, category: str | None) -> str | None:
    if end.finish == "error":
        word = f": {end.detail}" if end.detail else ""
        return f"The provider ended the answer with an error{word}."
    if end.detail and end.detail != "refusal" and category is None:
        return f"The provider withheld the answer: {end.detail}."
    return None


def _reason(end: Stop, tools: bool) -> str:
    if end.finish == "length":
        return _WINDOW if end.detail == _WINDOW else "max_tokens"
    if end.finish == "pause":
        return "pause_turn"
    if tools:
        return "tool_use"
    return "stop_sequence" if end.stop else "end_turn"


def write_usage(usage: Usage | None) -> dict[str, object]:
    """The usage object of a message, of ``message_start`` and of ``message_delta`` (W44 to W49).

    Audio that was heard counts as input here, for Anthropic has no figure of its own for it.
    """
    told = usage or Usage()
    figures: dict[str, object] = {
        "input_tokens": told.input_tokens + told.audio_input_tokens,
        "cache_creation_input_tokens": told.cache_write_5m_tokens + told.cache_write_1h_tokens,
        "cache_read_input_tokens": told.cache_read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": told.cache_write_5m_tokens,
            "ephemeral_1h_input_tokens": told.cache_write_1h_tokens,
        },
        "output_tokens": told.output_total,
    }
    if told.reasoning_tokens:
        figures["output_tokens_details"] = {"thinking_tokens": told.reasoning_tokens}
    return figures
