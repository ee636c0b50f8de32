"""Answers of images, audio and moderations: figures, streams cut anywhere, and what is no answer."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa.dialects import DIALECTS
from ruxa.dialects.dialect import Envelope, Place
from ruxa.dialects.usage import Usage
from ruxa.egress.sandbox import voice
from ruxa.kernel.errors import UpstreamBroken

MEDIA = DIALECTS["openai_media"]
IMAGE_USAGE = {
    "input_tokens": 50,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
    "output_tokens": 1056,
    "total_tokens": 1106,
}


def envelope(endpoint: Any, **body: Any) -> Envelope:
    return MEDIA.read(Place(dialect="openai_media", endpoint=endpoint), json.dumps(body).encode())


def heard(**data: str) -> Envelope:
    request = httpx.Request(
        "POST", "http://localhost", data={"model": "m", **data}, files=[("file", ("a.wav", voice.wav("x" * 100)))]
    )
    body = request.read()
    boundary = request.headers["content-type"].partition("boundary=")[2]
    return MEDIA.read(Place(dialect="openai_media", endpoint="transcriptions", boundary=boundary), body)


IMAGES = envelope("images", prompt="a", model="m", n=2, stream=True)


def test_whole_answers_tell_their_figures() -> None:
    answer = MEDIA.answer(IMAGES, json.dumps({"created": 1, "data": [{}, {}], "usage": IMAGE_USAGE}).encode())
    assert answer.usage == Usage(input_tokens=50, output_tokens=1056, images=2)
    answer = MEDIA.answer(IMAGES, json.dumps({"created": 1, "data": [{"url": "x"}]}).encode())
    assert answer.usage == Usage(images=1)
    answer = MEDIA.answer(heard(), b'{"text": "a", "usage": {"type": "duration", "seconds": 2.2}}')
    assert (answer.usage, answer.counted) == (Usage(audio_input_tokens=3), False)
    tokens = {
        "type": "tokens",
        "input_tokens": 14,
        "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
        "output_tokens": 5,
    }
    answer = MEDIA.answer(heard(), json.dumps({"text": "a", "usage": tokens}).encode())
    assert answer.usage == Usage(input_tokens=4, audio_input_tokens=10, output_tokens=5)
    answer = MEDIA.answer(heard(), b'{"text": "abcd"}')
    assert (answer.usage, answer.counted) == (Usage(audio_input_tokens=3, output_tokens=1), True)


def test_texts_are_no_json_and_their_length_is_the_files() -> None:
    answer = MEDIA.answer(heard(response_format="text"), b"hello\n")
    assert (answer.usage, answer.counted) == (Usage(audio_input_tokens=3, output_tokens=2), True)
    answer = MEDIA.answer(heard(response_format="srt"), b"1\n00:00:00,000 --> 00:00:09,100\nhello\n")
    assert answer.usage == Usage(audio_input_tokens=10, output_tokens=10)
    assert MEDIA.answer(heard(response_format="text"), b"\xff\xfe").error is not None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"data": 3}', b"{}", b'{"error": {"message": "x"}}'])
def test_what_is_no_answer_is_an_error(body: bytes) -> None:
    for asked in (IMAGES, heard(), envelope("moderations", input="a")):
        assert MEDIA.answer(asked, body).error is not None


def _image_stream() -> bytes:
    events = [
        {"type": "image_generation.partial_image", "b64_json": "AAAA", "partial_image_index": 0},
        {"type": "image_generation.completed", "b64_json": "AAAA" * 20, "usage": IMAGE_USAGE},
        {"type": "image_generation.completed", "b64_json": "BBBB" * 20, "usage": {**IMAGE_USAGE, "input_tokens": 0}},
    ]
    return b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events)


@given(st.lists(st.integers(1, 400), max_size=8))
def test_a_stream_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    whole = _image_stream()
    reader = MEDIA.stream(IMAGES)
    out = b""
    at = 0
    for size in [*cuts, len(whole)]:
        out += reader.feed(whole[at : at + size])
        at += size
        if at >= len(whole):
            break
    else:
        out += reader.feed(whole[at:])
    out += reader.end()
    assert out == whole
    assert (reader.done, reader.finish, reader.error) == (True, "stop", None)
    assert reader.usage == Usage(input_tokens=50, output_tokens=2112, images=2)


def test_a_stream_that_ends_too_soon_says_so() -> None:
    reader = MEDIA.stream(IMAGES)
    reader.feed(_image_stream()[:-400])
    reader.end()
    assert isinstance(reader.error, UpstreamBroken)
    reader = MEDIA.stream(IMAGES)
    assert reader.feed(b'data: {"error": {"message": "no", "type": "server_error"}}\n\n') == b""
    assert (reader.peek, reader.error is not None) == ("error", True)
    assert b"request_id" in reader.fail(UpstreamBroken("x"), "req_1")


def test_spoken_bytes_count_characters_and_nothing_follows_half_a_file() -> None:
    reader = MEDIA.stream(envelope("speech", model="m", voice="v", input="four", response_format="wav"))
    assert reader.usage is None
    assert reader.feed(b"RIFF" + bytes(47_996)) == b"RIFF" + bytes(47_996)
    assert reader.usage == Usage(input_tokens=4, audio_output_tokens=21)
    assert reader.fail(UpstreamBroken("x"), "req_1") == reader.heartbeat() == b""
    assert (reader.end(), reader.done) == (b"", True)
    for first in (b"<html>", b'{"error": {"message": "x"}}'):
        reader = MEDIA.stream(envelope("speech", model="m", voice="v", input="four"))
        assert reader.feed(first) == b""
        assert reader.peek == "error"
    reader = MEDIA.stream(envelope("speech", model="m", voice="v", input="four"))
    reader.end()
    assert reader.error is not None


def test_spoken_events_tell_figures() -> None:
    reader = MEDIA.stream(envelope("speech", model="m", voice="v", input="four", stream_format="sse"))
    reader.feed(b'data: {"type": "speech.audio.delta", "audio": "AAAA"}\n\n')
    assert not reader.done
    reader.feed(b'data: {"type": "speech.audio.done", "usage": {"input_tokens": 3, "output_tokens": 40}}\n\n')
    assert (reader.usage, reader.done) == (Usage(input_tokens=3, audio_output_tokens=40), True)
