"""The translator of ``openai_chat``: binds its readers and writers to the contract."""

from __future__ import annotations

from ruxa.dialects.body import legible
from ruxa.dialects.call import Call, Embedding, Origin, Vectors
from ruxa.dialects.dialect import Name, Place
from ruxa.dialects.openai_chat import call, completions, embedding, reply, request, text
from ruxa.dialects.openai_chat.chunks import ChunkWriter
from ruxa.dialects.openai_chat.deltas import ChunkReader
from ruxa.dialects.reply import Asked, Reply
from ruxa.dialects.translator import Aim, DeltaReader, DeltaWriter, Written


class ChatTranslator:
    """See ``translator.Translator`` and ``translator.Embedder``."""

    name: Name = "openai_chat"
    origin: Origin = "openai"

    def read_call(self, place: Place, body: bytes) -> Call:
        """See the contract."""
        if place.endpoint == "completions":
            return completions.read_call(legible(body))
        return call.read_call(place, legible(body))

    def write_call(self, call: Call, aim: Aim) -> Written:
        """See the contract."""
        return request.write_call(call, aim)

    def read_reply(self, body: bytes) -> Reply:
        """See the contract."""
        return reply.read_reply(body)

    def write_reply(self, reply_: Reply, asked: Asked) -> bytes:
        """See the contract."""
        return text.write_reply(reply_, asked) if asked.call.completes else reply.write_reply(reply_, asked)

    def reader(self) -> DeltaReader:
        """See the contract."""
        return ChunkReader()

    def writer(self, asked: Asked) -> DeltaWriter:
        """See the contract."""
        return text.TextWriter(asked) if asked.call.completes else ChunkWriter(asked)

    def read_embedding(self, place: Place, body: bytes) -> Embedding:
        """See the contract."""
        return embedding.read_embedding(place, legible(body))

    def write_embedding(self, wanted: Embedding, aim: Aim) -> Written:
        """See the contract."""
        return embedding.write_embedding(wanted, aim)

    def read_vectors(self, body: bytes) -> Vectors:
        """See the contract."""
        return embedding.read_vectors(body)

    def write_vectors(self, vectors: Vectors, wanted: Embedding, model: str) -> bytes:
        """See the contract."""
        return embedding.write_vectors(vectors, wanted, model)
