"""What goes on between two dialects when an answer cannot be read to its end, or only paused."""

from __future__ import annotations

import pytest

from ruxa.dialects import DIALECTS, TRANSLATORS
from ruxa.dialects.call import Call
from ruxa.dialects.dialect import Envelope, Load, Name, Place
from ruxa.dialects.losses import told
from ruxa.dialects.reply import Asked
from ruxa.dialects.translated import Bridge, Conversation, Mark
from ruxa.kernel.errors import UpstreamBroken

TEXT = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n'
ODD = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":{"x":1}},"finish_reason":null}]}\n\n'


class Unmarked:
    """No signature is kept."""

    def keep(self, call_id: str, mark: Mark) -> None:
        raise AssertionError(call_id)

    def find(self, call_id: str) -> Mark | None:
        return None


def bridge(caller: Name) -> Bridge:
    place = Place(dialect="openai_chat", endpoint="chat", stream=True)
    envelope = Envelope(place=place, body=b"", members={}, model="m", stream=True, include_usage=True, load=Load())
    asked = Asked(call=Call(model="m", turns=[], stream=True), model="m", request_id="req_" + "0" * 32, created_s=1)
    return Bridge(
        DIALECTS["openai_chat"].stream(envelope),
        TRANSLATORS["openai_chat"].reader(),
        TRANSLATORS[caller].writer(asked),
        asked,
        "call_",
        Unmarked(),
    )


@pytest.mark.parametrize("caller", TRANSLATORS)
def test_a_first_frame_that_cannot_be_read_is_an_error_that_may_still_be_mended(caller: Name) -> None:
    """W60."""
    reader = bridge(caller)
    assert reader.feed(ODD) == b""
    assert reader.peek == "error"
    assert isinstance(reader.error, UpstreamBroken)


@pytest.mark.parametrize("caller", TRANSLATORS)
def test_an_answer_that_only_paused_is_named_where_it_looks_complete(caller: Name) -> None:
    """W41."""
    call = Call(model="m", turns=[])
    asked = Asked(call=call, model="m", request_id="req_" + "0" * 32, created_s=1)
    talk = Conversation(
        TRANSLATORS[caller],
        TRANSLATORS["anthropic_messages"],
        DIALECTS["anthropic_messages"],
        call,
        asked,
        "m",
        Unmarked(),
    )
    body = (
        b'{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"x"}],'
        b'"stop_reason":"pause_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}'
    )
    assert talk.answer(body, Load()).error is None
    assert told(talk.losses) == (() if caller == "anthropic_messages" else ("pause_turn",))


@pytest.mark.parametrize("caller", TRANSLATORS)
def test_a_later_frame_that_cannot_be_read_ends_the_stream(caller: Name) -> None:
    reader = bridge(caller)
    assert b"x" in reader.feed(TEXT)
    assert reader.feed(ODD) == b""
    assert reader.peek == "meaningful"
    assert isinstance(reader.error, UpstreamBroken)
    assert reader.feed(TEXT) == b""
    assert reader.end() == b""
    assert isinstance(reader.error, UpstreamBroken)
    assert not reader.done
    assert reader.fail(reader.error, "req_1")
