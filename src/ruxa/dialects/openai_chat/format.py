"""The dialect ``openai_chat``: binds its reading, patching, watching and writing to the contract."""

from __future__ import annotations

from collections.abc import Callable

from ruxa.dialects.dialect import (
    Answer,
    Endpoint,
    Envelope,
    Name,
    Patched,
    Place,
    Reader,
    Shaping,
    Terms,
)
from ruxa.dialects.openai import OpenAIFormat
from ruxa.dialects.openai_chat import completions, patch, read, write
from ruxa.dialects.openai_chat.stream import ChatReader
from ruxa.dialects.table import check

PATHS: dict[Endpoint, bytes] = {
    "chat": b"/chat/completions",
    "completions": b"/completions",
    "embeddings": b"/embeddings",
}


class OpenAIChat(OpenAIFormat):
    """See ``dialect.Dialect``."""

    name: Name = "openai_chat"
    shaping: Shaping | None = Shaping("messages", read.read_chat, patch.patch_chat, read.weigh_messages)

    def read(self, place: Place, body: bytes) -> Envelope:
        """See the contract."""
        if place.endpoint == "chat":
            return read.read_chat(place, body)
        if place.endpoint == "completions":
            return completions.read_completion(place, body)
        return read.read_embeddings(place, body)

    def refuse(self, envelope: Envelope, terms: Terms) -> None:
        """See the contract."""
        check(envelope, terms)

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
        if envelope.shape is not None:
            if output_cap is None:
                return envelope.shape.patch(envelope, upstream_model, terms)
            envelope = read.read_chat(envelope.place, envelope.body)
        if envelope.place.endpoint == "embeddings":
            return patch.patch_embeddings(envelope, upstream_model=upstream_model, pseudonym=pseudonym, terms=terms)
        if envelope.place.endpoint == "completions":
            return patch.patch_completion(
                envelope, upstream_model=upstream_model, pseudonym=pseudonym, terms=terms, output_cap=output_cap
            )
        return patch.patch_chat(
            envelope, upstream_model=upstream_model, pseudonym=pseudonym, terms=terms, output_cap=output_cap
        )

    def upstream_path(self, place: Place, upstream_model: str) -> bytes:
        """See the contract."""
        return PATHS[place.endpoint]

    def stream(self, envelope: Envelope) -> Reader:
        """See the contract."""
        return ChatReader(strip=not envelope.include_usage, choices=envelope.load.choices)

    def answer(self, envelope: Envelope, body: bytes) -> Answer:
        """See the contract."""
        return write.read_answer(body)
