"""The dialect ``openai_media``: binds its reading, patching, watching and writing to the contract.

A dialect of its own and no further endpoints of ``openai_chat``: few providers that speak chat make images or hear
audio, so each says in its row whether it does; and nothing of it can be carried to another dialect.
"""

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
from ruxa.dialects.openai_media import patch, read, write
from ruxa.dialects.openai_media.stream import BytesReader, EventReader
from ruxa.dialects.paths import MEDIA
from ruxa.dialects.table import check
from ruxa.kernel.errors import NotFound, RuxaError

_PATHS = {endpoint: b"/" + path.encode() for path, endpoint in MEDIA.items()}


class OpenAIMedia:
    """See ``dialect.Dialect``."""

    name: Name = "openai_media"
    content_type: bytes = b"application/json"
    stream_type: bytes = b"text/event-stream; charset=utf-8"
    shaping: Shaping | None = None

    def read(self, place: Place, body: bytes) -> Envelope:
        """See the contract."""
        return read.read(place, body)

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
        """See the contract: what is made here has no cap that could be lowered."""
        return patch.patch(envelope, upstream_model=upstream_model, pseudonym=pseudonym, terms=terms)

    def upstream_path(self, place: Place, upstream_model: str) -> bytes:
        """See the contract."""
        return _PATHS[place.endpoint]

    def forward_headers(self, headers: Mapping[bytes, bytes], terms: Terms) -> Forwarded:
        """See the contract."""
        return openai.forward_headers(headers, terms)

    def stream(self, envelope: Envelope) -> Reader:
        """See the contract."""
        load = envelope.load
        if envelope.binary:
            return BytesReader(characters=load.characters, form=read.audio_form(envelope))
        images = load.choices if load.image_output else 0
        return EventReader(images=images, spoken=envelope.place.endpoint == "speech")

    def answer(self, envelope: Envelope, body: bytes) -> Answer:
        """See the contract."""
        return write.read_answer(envelope, body)

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
