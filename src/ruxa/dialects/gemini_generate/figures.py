"""Google's usage metadata as the one vector, and its finish reasons as the house's words."""

from __future__ import annotations

import msgspec

from ruxa.dialects.dialect import Finish
from ruxa.dialects.usage import Usage, split, whole

FINISHES: dict[str, Finish] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "filter",
    "RECITATION": "filter",
    "BLOCKLIST": "filter",
    "PROHIBITED_CONTENT": "filter",
    "SPII": "filter",
    "IMAGE_SAFETY": "filter",
    "IMAGE_PROHIBITED_CONTENT": "filter",
    "IMAGE_RECITATION": "filter",
    "MODEL_ARMOR": "filter",
    "MALFORMED_FUNCTION_CALL": "error",
    "MALFORMED_RESPONSE": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "CONTINUATION": "pause",
}


class Modality(msgspec.Struct, gc=False, rename="camel"):
    """Tokens of one modality: a part of some count."""

    modality: str = ""
    token_count: int | None = None


class Figures(msgspec.Struct, gc=False, rename="camel"):
    """``usageMetadata`` of answers, stream events, and embeddings."""

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: list[Modality] | None = None
    cache_tokens_details: list[Modality] | None = None
    candidates_tokens_details: list[Modality] | None = None


def usage_of(figures: Figures) -> Usage:
    """The vector. The prompt count includes the cached part; thoughts and tool prompts stand beside it (W46)."""
    prompt = whole(figures.prompt_token_count)
    cached = min(whole(figures.cached_content_token_count), prompt)
    heard = max(_audio(figures.prompt_tokens_details) - _audio(figures.cache_tokens_details), 0)
    plain, heard = split(prompt - cached, heard)
    text, spoken = split(whole(figures.candidates_token_count), _audio(figures.candidates_tokens_details))
    return Usage(
        input_tokens=plain + whole(figures.tool_use_prompt_token_count),
        cache_read_tokens=cached,
        audio_input_tokens=heard,
        output_tokens=text,
        reasoning_tokens=whole(figures.thoughts_token_count),
        audio_output_tokens=spoken,
    )


def figures_of(usage: Usage) -> dict[str, object]:
    """``usageMetadata`` for an answer, as ``usage_of`` reads it: what was written to a cache counts as prompt."""
    prompt = usage.input_total
    answer = usage.output_tokens + usage.audio_output_tokens
    told: dict[str, object] = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": answer,
        "totalTokenCount": usage.total,
    }
    if usage.reasoning_tokens:
        told["thoughtsTokenCount"] = usage.reasoning_tokens
    if usage.cache_read_tokens:
        told["cachedContentTokenCount"] = usage.cache_read_tokens
    if usage.audio_input_tokens:
        told["promptTokensDetails"] = _details(prompt, usage.audio_input_tokens)
    if usage.audio_output_tokens:
        told["candidatesTokensDetails"] = _details(answer, usage.audio_output_tokens)
    return told


def _details(total: int, audio: int) -> list[dict[str, object]]:
    return [{"modality": "TEXT", "tokenCount": total - audio}, {"modality": "AUDIO", "tokenCount": audio}]


def _audio(details: list[Modality] | None) -> int:
    return sum(whole(part.token_count) for part in details or () if part.modality == "AUDIO")


def finish_of(reason: str | None) -> Finish | None:
    """The house's word for a finish reason."""
    return None if reason is None or reason == "FINISH_REASON_UNSPECIFIED" else FINISHES.get(reason, "other")
