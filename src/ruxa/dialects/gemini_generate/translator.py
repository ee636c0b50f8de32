"""The dialect ``gemini_generate`` as one side of a translation: binds its readers and writers to the contract."""

from __future__ import annotations

from ruxa.dialects.body import legible
from ruxa.dialects.call import Call, Embedding, Origin, Vectors
from ruxa.dialects.dialect import Name, Place
from ruxa.dialects.gemini_generate import embedding
from ruxa.dialects.gemini_generate.call import read_call
from ruxa.dialects.gemini_generate.chunks import GenerateChunks
from ruxa.dialects.gemini_generate.deltas import GenerateDeltas, read_reply
from ruxa.dialects.gemini_generate.reply import write_reply
from ruxa.dialects.gemini_generate.request import write_call
from ruxa.dialects.reply import Asked, Reply
from ruxa.dialects.translator import Aim, DeltaReader, DeltaWriter, Written


class GenerateTranslator:
    """See ``translator.Translator``."""

    name: Name = "gemini_generate"
    origin: Origin = "google"

    def read_call(self, place: Place, body: bytes) -> Call:
        """See the contract."""
        return read_call(place, legible(body))

    def write_call(self, call: Call, aim: Aim) -> Written:
        """See the contract."""
        return write_call(call, aim)

    def read_reply(self, body: bytes) -> Reply:
        """See the contract."""
        return read_reply(body)

    def write_reply(self, reply: Reply, asked: Asked) -> bytes:
        """See the contract."""
        return write_reply(reply, asked)

    def reader(self) -> DeltaReader:
        """See the contract."""
        return GenerateDeltas()

    def writer(self, asked: Asked) -> DeltaWriter:
        """See the contract."""
        return GenerateChunks(asked)


class GenerateEmbedder:
    """See ``translator.Embedder``."""

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
