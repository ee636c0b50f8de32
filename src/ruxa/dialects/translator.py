"""Translator: what a dialect adds to the contract so that calls can cross to it and from it.

Pure as ``dialect.py`` is. A translated call takes these steps, ``IN`` the caller's dialect, ``OUT`` the provider's::

    call = IN.read_call(place, body)                     # InvalidCall names the field's path
    written = OUT.write_call(call, target)               # the provider's body, and what could not be carried
    reply = OUT.read_reply(answer); body = IN.write_reply(reply, asked)
    reader, writer = OUT.reader(), IN.writer(asked)      # a stream: writer.write(reader.feed(bytes)) ... reader.end()

The signature of a tool call that a client lost on the way (W35) is put back by the pipeline before ``write_call``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from ruxa.dialects.call import Call, Embedding, Origin, Vectors
from ruxa.dialects.dialect import Name, Place
from ruxa.dialects.losses import Loss
from ruxa.dialects.reply import Asked, Delta, Reply
from ruxa.kernel.errors import RuxaError

Way = Literal[
    "max_completion_tokens",  # OpenAI: the cap's name; without it ``max_tokens`` (W07)
    "reasoning_effort",  # OpenAI: the model takes ``reasoning_effort``
    "completions",  # OpenAI: goes on from a text by `/v1/completions`; without it the text is what a user says
    "developer",  # OpenAI: ``developer`` instead of ``system``
    "prompt_cache_key",  # OpenAI: takes it (W40)
    "stream_options",  # OpenAI: takes ``stream_options.include_usage``
    "custom_tools",  # OpenAI: takes tools of free text; without it they become functions of one text (``call.wrapped``)
    "strict_tools",  # takes ``strict`` on tools
    "structured_output",  # takes a JSON Schema for its text; without it a forced tool is unwrapped (W63)
    "adaptive_thinking",  # Anthropic: ``adaptive`` with ``output_config.effort``; without it a budget (W28)
    "thinking",  # the model can think at all; without it what asks for thinking is a loss
    "always_thinks",  # Gemini: thinking cannot be switched off, only made short
    "system_anywhere",  # Anthropic: ``role: system`` inside ``messages`` (W01)
    "sampling",  # takes temperature, top_p, top_k; newest Anthropic models take none
    "thinking_level",  # Gemini: ``thinkingLevel`` instead of ``thinkingBudget`` (W30)
    "json_schema",  # Gemini: ``parametersJsonSchema``, ``responseJsonSchema`` as sent; without it reduced (W62)
    "media_in_results",  # Gemini: ``functionResponse.parts`` (W21)
    "image_urls",  # may fetch image URLs itself; without it the caller has fetched them (W24, W25)
    "audio_input",  # takes audio
    "reasoning_content",  # OpenAI-like: takes thinking that nobody signed back as ``reasoning_content``
    "reasoning_details",  # OpenRouter: takes thinking back with its signature and the vendor's name
]


class Aim(msgspec.Struct, frozen=True, kw_only=True):
    """The model a call is written for. model: as its provider names it; cap: its most output tokens, None unknown;
    ways: how it differs within its dialect (catalogue data); refused: top-level names that this provider knows nothing
    of and that are never sent to it, not even by us (``Terms.drop_fields``)."""

    model: str
    cap: int | None = None
    ways: frozenset[Way] = frozenset()
    refused: frozenset[str] = frozenset()


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a provider. losses: what was not carried, the reading dialect's included."""

    body: bytes
    losses: tuple[Loss, ...] = ()


class DeltaReader(Protocol):
    """One provider's stream as deltas. Fed with bytes cut anywhere; keeps the order rules of ``reply``.

    losses: what it met and no delta can hold. A frame that is an error ends the deltas; the error itself, the figures
    and the finish for the meter are told by the dialect's own ``Reader``, which is fed beside it.
    """

    losses: list[Loss]

    def feed(self, data: bytes) -> Sequence[Delta]:
        """What the bytes tell."""
        ...

    def end(self) -> Sequence[Delta]:
        """The bytes are over: what was still open is closed, if the stream came to its proper end."""
        ...


class DeltaWriter(Protocol):
    """Deltas as a stream of the caller's dialect. Whole events only, so that an error event can follow anything."""

    def write(self, deltas: Sequence[Delta]) -> bytes:
        """Events for these deltas, b'' when what they say has to wait (W53)."""
        ...

    def fail(self, error: RuxaError, request_id: str) -> bytes:
        """The dialect's terminal error event (W57 to W59); nothing may follow it."""
        ...

    def heartbeat(self) -> bytes:
        """See ``dialect.Reader``."""
        ...


class Translator(Protocol):
    """One dialect's two directions."""

    name: Name
    origin: Origin

    def read_call(self, place: Place, body: bytes) -> Call:
        """A caller's request, whole. Raises InvalidCall with the path of the wrong field in the vendor's notation."""
        ...

    def write_call(self, call: Call, aim: Aim) -> Written:
        """A request to a provider, everything it needs set. Raises InvalidCall for what must not be lost: a broken
        ``arguments`` (W16), audio for a model that hears none (W76)."""
        ...

    def read_reply(self, body: bytes) -> Reply:
        """A provider's whole answer of status 2xx (its errors are ``Dialect.answer``'s). Raises UpstreamBroken."""
        ...

    def write_reply(self, reply: Reply, asked: Asked, /) -> bytes:
        """A whole answer for the caller."""
        ...

    def reader(self) -> DeltaReader:
        """For one provider's stream."""
        ...

    def writer(self, asked: Asked) -> DeltaWriter:
        """For one caller's stream."""
        ...


class Embedder(Protocol):
    """A dialect that can also translate embeddings."""

    def read_embedding(self, place: Place, body: bytes) -> Embedding:
        """A caller's request for vectors. Raises InvalidCall."""
        ...

    def write_embedding(self, wanted: Embedding, aim: Aim) -> Written:
        """The provider's request."""
        ...

    def read_vectors(self, body: bytes) -> Vectors:
        """The provider's answer. Raises UpstreamBroken."""
        ...

    def write_vectors(self, vectors: Vectors, wanted: Embedding, model: str) -> bytes:
        """The caller's answer."""
        ...


class Counter(Protocol):
    """A dialect that can count the tokens of a call, or is asked to."""

    def write_count(self, body: bytes, model: str) -> bytes:
        """The request for a count, from the request for an answer that the dialect wrote."""
        ...

    def read_count(self, body: bytes) -> int:
        """The provider's count. Raises UpstreamBroken."""
        ...

    def write_counted(self, tokens: int) -> bytes:
        """The answer to a caller who asked for a count."""
        ...
