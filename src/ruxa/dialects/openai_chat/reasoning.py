"""Thinking in OpenAI's dialect: the text as ``reasoning_content``, its proofs as OpenRouter's ``reasoning_details``.

A detail tells by ``format`` whose signature it holds, so the signature stands there as its vendor made it. A text and
the encrypted form of the same piece of thinking share an ``index``.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ruxa.dialects.call import Origin, Thinking

FORMATS: dict[Origin, str] = {
    "anthropic": "anthropic-claude-v1",
    "google": "google-gemini-v1",
    "openai": "openai-responses-v1",
    "": "unknown",
}
_ORIGINS: dict[str, Origin] = {name: origin for origin, name in FORMATS.items()}


class Detail(msgspec.Struct, gc=False):
    """One entry of ``reasoning_details``."""

    type: str = ""
    text: str | None = None
    summary: str | None = None
    data: str | None = None
    signature: str | None = None
    format: str | None = None
    id: str | None = None
    index: int | None = None


def origin_of(detail: Detail) -> Origin:
    """Whose signature a detail holds."""
    return _ORIGINS.get(detail.format or "", "")


def hides(detail: Detail) -> bool:
    """Whether it is OpenAI's summary of what it shows in no other way."""
    return detail.type == "reasoning.summary" and origin_of(detail) == "openai"


def read(details: Sequence[Detail]) -> list[Thinking]:
    """The pieces of thinking that details tell; fragments of one piece, as a stream leaves them, are put together."""
    found: list[Thinking] = []
    index: int | None = None
    for detail in details:
        origin = origin_of(detail)
        last = found[-1] if found and not found[-1].signature and detail.index == index else None
        if last is not None and detail.index is None and not (detail.id and detail.id == last.id):
            last = None
        index = detail.index
        if detail.type == "reasoning.encrypted":
            data = detail.data or ""
            if last is None:
                found.append(Thinking(signature=data, origin=origin, redacted=True, id=detail.id or ""))
            else:
                last.signature, last.origin = data, origin
            continue
        summary = detail.type == "reasoning.summary"
        text = (detail.summary if summary else detail.text) or ""
        if last is None or last.summary != summary:
            last = Thinking(summary=summary, redacted=hides(detail), id=detail.id or "")
            found.append(last)
        last.text += text
        last.signature, last.origin = detail.signature or "", origin
    return found


def write(parts: Sequence[Thinking], start: int = 0) -> list[dict[str, object]]:
    """The details of pieces of thinking, numbered from ``start``."""
    return [detail for index, part in enumerate(parts, start) for detail in _details(part, index)]


def plain(parts: Sequence[Thinking]) -> bool:
    """Whether ``reasoning_content`` alone tells everything: one piece of text that nobody signed."""
    return all(not (part.signature or part.origin or part.redacted or part.summary or part.id) for part in parts) and (
        len(parts) <= 1
    )


def _details(part: Thinking, index: int) -> list[dict[str, object]]:
    known: dict[str, object] = {"format": FORMATS[part.origin], "index": index}
    if part.id:
        known["id"] = part.id
    apart = part.redacted or part.summary
    found: list[dict[str, object]] = []
    if part.summary and (part.text or not part.signature):
        found.append({"type": "reasoning.summary", "summary": part.text, **known})
    elif not apart or part.text:
        signed = {} if apart else {"signature": part.signature or None}
        found.append({"type": "reasoning.text", "text": part.text, **signed, **known})
    if apart and part.signature:
        found.append({"type": "reasoning.encrypted", "data": part.signature, **known})
    return found
