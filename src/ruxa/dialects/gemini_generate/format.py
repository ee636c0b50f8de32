"""The dialect ``gemini_generate``: binds its reading, patching, watching and writing to the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

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
from ruxa.dialects.gemini_generate import patch, read, write
from ruxa.dialects.gemini_generate.stream import GenerateReader
from ruxa.dialects.table import check
from ruxa.kernel.errors import NotFound, RuxaError

METHODS = {"count_tokens": b"countTokens", "embed": b"embedContent", "batch_embed": b"batchEmbedContents"}


class GeminiGenerate:
    """See ``dialect.Dialect``."""

    name: Name = "gemini_generate"
    content_type: bytes = b"application/json; charset=UTF-8"
    stream_type: bytes = b"text/event-stream"
    shaping: Shaping | None = None

    def read(self, place: Place, body: bytes) -> Envelope:
        """See the contract."""
        endpoint = place.endpoint
        if endpoint == "generate":
            return read.read_generate(place, body)
        if endpoint == "count_tokens":
            return read.read_count(place, body)
        return read.read_embed(place, body) if endpoint == "embed" else read.read_batch(place, body)

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
        return patch.patch(
            envelope, upstream_model=upstream_model, pseudonym=pseudonym, terms=terms, output_cap=output_cap
        )

    def upstream_path(self, place: Place, upstream_model: str) -> bytes:
        """See the contract."""
        model = quote(upstream_model, safe="/-._~").encode()
        if place.endpoint == "generate":
            return b"/models/%b:%b" % (model, b"streamGenerateContent?alt=sse" if place.stream else b"generateContent")
        return b"/models/%b:%b" % (model, METHODS[place.endpoint])

    def forward_headers(self, headers: Mapping[bytes, bytes], terms: Terms) -> Forwarded:
        """See the contract: none."""
        return Forwarded()

    def stream(self, envelope: Envelope) -> Reader:
        """See the contract."""
        return GenerateReader(array=envelope.array)

    def answer(self, envelope: Envelope, body: bytes) -> Answer:
        """See the contract."""
        return write.read_answer(body)

    def upstream_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> RuxaError:
        """See the contract."""
        return write.error_of(status, headers, body)

    def error(self, error: RuxaError, request_id: str) -> Rendered:
        """See the contract."""
        return write.write_error(error, request_id)

    def unknown_model(self, name: str) -> NotFound:
        """See the contract."""
        return write.unknown_model(name)

    def models(self, place: Place, cards: Sequence[ModelCard]) -> Rendered:
        """See the contract."""
        return write.write_models(place, cards)

    def model(self, place: Place, cards: Sequence[ModelCard]) -> Rendered:
        """See the contract."""
        return write.write_model(place, cards)

    def limit_headers(self, allowance: Allowance) -> bytes:
        """See the contract."""
        return write.limit_headers(allowance)
