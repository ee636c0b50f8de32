"""Usage: what one answer consumed, as one vector that adds up for every dialect.

Each provider counts the same tokens in its own way: some totals include the cached part, some do not; some output
totals include the hidden reasoning, some do not. ``Usage`` holds every unit exactly once, so that a price per class
times the vector is the whole charge, and ``input_total`` / ``output_total`` / ``total`` give the provider's own sums
back. Counts are never negative: a part that a provider reports larger than its whole is cut to the whole.
"""

from __future__ import annotations

import msgspec


class Usage(msgspec.Struct, kw_only=True):
    """Tokens by class (and images made), each counted once.

    input_tokens: input that was neither cached nor audio; cache_read_tokens: input read from the provider's cache;
    cache_write_5m_tokens, cache_write_1h_tokens: input written to it, by its lifetime; audio_input_tokens: uncached
    audio; output_tokens: output that is neither reasoning nor audio; reasoning_tokens: thinking, shown or hidden;
    audio_output_tokens; images: images made (a count, not tokens).
    """

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    images: int = 0

    @property
    def input_total(self) -> int:
        """All input tokens, however cheap."""
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
            + self.audio_input_tokens
        )

    @property
    def output_total(self) -> int:
        """All output tokens, reasoning included."""
        return self.output_tokens + self.reasoning_tokens + self.audio_output_tokens

    @property
    def total(self) -> int:
        """Input and output tokens together."""
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
            + self.audio_input_tokens
            + self.output_tokens
            + self.reasoning_tokens
            + self.audio_output_tokens
        )


def whole(value: int | None) -> int:
    """A provider's count as we trust it: missing or negative is 0."""
    return value if value is not None and value > 0 else 0


def split(total: int, *parts: int) -> tuple[int, ...]:
    """``total`` cut into ``parts`` in order, the rest first: ``split(10, 3, 4) == (3, 3, 4)``; never over ``total``."""
    left = total
    cut: list[int] = []
    for part in parts:
        piece = min(part, left)
        cut.append(piece)
        left -= piece
    return (left, *cut)


def estimate(events: int, passed_bytes: int, frame_bytes: int) -> int:
    """Output tokens in a stream nobody counted: ``events`` events of ``passed_bytes``, the smallest ``frame_bytes``.

    The smallest event holds about one token; whatever the others hold beyond it is text at four bytes a token.
    """
    return events + max(passed_bytes - events * frame_bytes, 0) // 4 if events else 0
