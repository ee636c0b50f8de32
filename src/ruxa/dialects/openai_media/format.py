"""The dialect ``openai_media``: binds its reading, patching, watching and writing to the contract.

A dialect of its own and no further endpoints of ``openai_chat``: few providers that speak chat make images or hear
audio, so each says in its row whether it does; and nothing of it can be carried to another dialect.
"""

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
from ruxa.dialects.openai_media import patch, read, write
from ruxa.dialects.openai_media.stream import BytesReader, EventReader
from ruxa.dialects.paths import MEDIA
from ruxa.dialects.table import check

_PATHS = {endpoint: b"/" + path.encode() for path, endpoint in MEDIA.items()}


class OpenAIMedia(OpenAIFormat):
    """See ``dialect.Dialect``."""

    name: Name = "openai_media"
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
