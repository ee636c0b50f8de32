"""The dialect ``anthropic_messages``: binds its reading, patching, watching and writing to the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ruxa.dialects.anthropic_messages import patch, read, write
from ruxa.dialects.anthropic_messages.stream import MessageReader
from ruxa.dialects.anthropic_messages.table import BETAS, VERSION_DEFAULT
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
from ruxa.dialects.headers import join, words
from ruxa.dialects.table import check
from ruxa.kernel.errors import NotFound, RuxaError


class AnthropicMessages:
    """See ``dialect.Dialect``."""

    name: Name = "anthropic_messages"
    content_type: bytes = b"application/json"
    stream_type: bytes = b"text/event-stream; charset=utf-8"
    shaping: Shaping | None = Shaping("messages", read.read_messages, patch.patch_messages, read.weigh_messages)

    def read(self, place: Place, body: bytes) -> Envelope:
        """See the contract."""
        return read.read_messages(place, body)

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
            envelope = read.read_messages(envelope.place, envelope.body)
        return patch.patch_messages(
            envelope, upstream_model=upstream_model, pseudonym=pseudonym, terms=terms, output_cap=output_cap
        )

    def upstream_path(self, place: Place, upstream_model: str) -> bytes:
        """See the contract."""
        return b"/messages/count_tokens" if place.endpoint == "count_tokens" else b"/messages"

    def forward_headers(self, headers: Mapping[bytes, bytes], terms: Terms) -> Forwarded:
        """See the contract: ``anthropic-version``, and of ``anthropic-beta`` what the table or the terms name."""
        version = headers.get(b"anthropic-version", VERSION_DEFAULT)
        if len(version) != 10 or not version.replace(b"-", b"").isdigit():
            version = VERSION_DEFAULT
        lines = b"anthropic-version: " + version + b"\r\n"
        asked = words(headers, b"anthropic-beta")
        if not asked:
            return Forwarded(lines=lines)
        kept = [word for word in asked if read.undated(word) in BETAS or word in terms.pass_betas]
        gone = tuple(f"anthropic-beta:{word}" for word in asked if word not in kept)
        if kept:
            lines += b"anthropic-beta: " + join(kept) + b"\r\n"
        return Forwarded(lines=lines, dropped=gone)

    def stream(self, envelope: Envelope) -> Reader:
        """See the contract."""
        return MessageReader()

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
