"""The dialect ``openai_responses``: binds its reading, patching, watching and writing to the contract."""

from __future__ import annotations

from collections.abc import Callable

from ruxa.dialects.dialect import (
    Answer,
    Envelope,
    Name,
    Patched,
    Place,
    Reader,
    Shaping,
    Terms,
)
from ruxa.dialects.openai import OpenAIFormat
from ruxa.dialects.openai_responses import patch, read, write
from ruxa.dialects.openai_responses.stream import ResponseReader


class OpenAIResponses(OpenAIFormat):
    """See ``dialect.Dialect``."""

    name: Name = "openai_responses"
    shaping: Shaping | None = None

    def read(self, place: Place, body: bytes) -> Envelope:
        """See the contract."""
        return read.read_create(place, body)

    def refuse(self, envelope: Envelope, terms: Terms) -> None:
        """See the contract."""
        patch.refuse(envelope, terms)

    def patch(
        self,
        envelope: Envelope,
        *,
        upstream_model: str,
        pseudonym: Callable[[str], str],
        terms: Terms,
        output_cap: int | None = None,
    ) -> Patched:
        """See the contract."""
        return patch.patch_create(
            envelope, upstream_model=upstream_model, pseudonym=pseudonym, terms=terms, output_cap=output_cap
        )

    def upstream_path(self, place: Place, upstream_model: str) -> bytes:
        """See the contract."""
        return b"/responses"

    def stream(self, envelope: Envelope) -> Reader:
        """See the contract."""
        return ResponseReader()

    def answer(self, envelope: Envelope, body: bytes) -> Answer:
        """See the contract."""
        return write.read_answer(body)
