"""The translator of ``openai_responses``: binds its two directions to the contract."""

from __future__ import annotations

from ruxa.dialects.body import legible
from ruxa.dialects.call import Call, Origin
from ruxa.dialects.dialect import Name, Place
from ruxa.dialects.openai_responses import call as calls
from ruxa.dialects.openai_responses import reply as replies
from ruxa.dialects.openai_responses import request
from ruxa.dialects.openai_responses.deltas import EventReader
from ruxa.dialects.openai_responses.events import EventWriter
from ruxa.dialects.reply import Asked, Reply
from ruxa.dialects.translator import Aim, DeltaReader, DeltaWriter, Written


class ResponsesTranslator:
    """See ``translator.Translator``."""

    name: Name = "openai_responses"
    origin: Origin = "openai"

    def read_call(self, place: Place, body: bytes) -> Call:
        """See the contract."""
        return calls.read_call(place, legible(body))

    def write_call(self, call: Call, aim: Aim) -> Written:
        """See the contract."""
        return request.write_call(call, aim)

    def read_reply(self, body: bytes) -> Reply:
        """See the contract."""
        return replies.read_reply(body)

    def write_reply(self, reply: Reply, asked: Asked) -> bytes:
        """See the contract."""
        return replies.write_reply(reply, asked)

    def reader(self) -> DeltaReader:
        """See the contract."""
        return EventReader()

    def writer(self, asked: Asked) -> DeltaWriter:
        """See the contract."""
        return EventWriter(asked)
