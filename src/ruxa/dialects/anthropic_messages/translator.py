"""The translator of ``anthropic_messages``: binds what reads and writes calls, replies and streams to the contract."""

from __future__ import annotations

from ruxa.dialects.anthropic_messages.call import read_call
from ruxa.dialects.anthropic_messages.deltas import MessageDeltas
from ruxa.dialects.anthropic_messages.events import MessageEvents
from ruxa.dialects.anthropic_messages.reply import read_reply, write_reply
from ruxa.dialects.anthropic_messages.request import write_call
from ruxa.dialects.body import legible
from ruxa.dialects.call import Call, Origin
from ruxa.dialects.dialect import Name, Place
from ruxa.dialects.reply import Asked, Reply
from ruxa.dialects.translator import Aim, DeltaReader, DeltaWriter, Written


class MessagesTranslator:
    """See ``translator.Translator``."""

    name: Name = "anthropic_messages"
    origin: Origin = "anthropic"

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
        return MessageDeltas()

    def writer(self, asked: Asked) -> DeltaWriter:
        """See the contract."""
        return MessageEvents(asked)
