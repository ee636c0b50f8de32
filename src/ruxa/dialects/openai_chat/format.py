"""The dialect ``openai_chat``: binds its reading, patching, watching and writing to the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ruxa.dialects import openai
from ruxa.dialects.dialect import (
    Allowance,
    Answer,
    Envelope,
    Forwarded,
    ModelCard,
    Name,
    Patched,
    Place,
    Reader,
    Rendered,
    Shaping,
    Terms,
)
from ruxa.dialects.openai_chat import patch, read, write
from ruxa.dialects.openai_chat.stream import ChatReader
from ruxa.dialects.table import check
from ruxa.kernel.errors import NotFound, RuxaError


class OpenAIChat:
    """See ``dialect.Dialect``."""

    name: Name = "openai_chat"
    content_type: bytes = b"application/json"
    stream_type: bytes = b"text/event-stream; charset=utf-8"
    shaping: Shaping | None = Shaping("messages", read.read_chat, patch.patch_chat, read.weigh_messages)

    def read(self, place: Place, body: bytes) -> Envelope:
        """See the contract."""
        return read.read_chat(place, body) if place.endpoint == "chat" else read.read_embeddings(place, body)

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
        return patch.patch_chat(
            envelope, upstream_model=upstream_model, pseudonym=pseudonym, terms=terms, output_cap=output_cap
        )

    def upstream_path(self, place: Place, upstream_model: str) -> bytes:
        """See the contract."""
        return b"/embeddings" if place.endpoint == "embeddings" else b"/chat/completions"

    def forward_headers(self, headers: Mapping[bytes, bytes], terms: Terms) -> Forwarded:
        """See the contract."""
        return openai.forward_headers(headers, terms)

    def stream(self, envelope: Envelope) -> Reader:
        """See the contract."""
        return ChatReader(strip=not envelope.include_usage, choices=envelope.load.choices)

    def answer(self, envelope: Envelope, body: bytes) -> Answer:
        """See the contract."""
        return write.read_answer(body)

    def upstream_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> RuxaError:
        """See the contract."""
        return openai.error_of(status, headers, body)

    def error(self, error: RuxaError, request_id: str) -> Rendered:
        """See the contract."""
        return openai.write_error(error, request_id)

    def unknown_model(self, name: str) -> NotFound:
        """See the contract."""
        return openai.unknown_model(name)

    def models(self, place: Place, cards: Sequence[ModelCard]) -> Rendered:
        """See the contract."""
        return openai.write_models(cards)

    def model(self, place: Place, cards: Sequence[ModelCard]) -> Rendered:
        """See the contract."""
        return openai.write_model(place, cards)

    def limit_headers(self, allowance: Allowance) -> bytes:
        """See the contract."""
        return openai.limit_headers(allowance)
