"""The envelopes of images, audio and moderations: what is priced, what passes, what is refused."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from ruxa.dialects import DIALECTS, paths
from ruxa.dialects.dialect import Envelope, Place, Terms
from ruxa.dialects.openai_media import sound, table
from ruxa.egress.sandbox import voice
from ruxa.kernel.errors import CallerError, InvalidCall, Unsupported
from ruxa.ledger import prices, quotes

MEDIA = DIALECTS["openai_media"]
NOBODY = Terms()


def place(endpoint: Any, boundary: str = "") -> Place:
    return Place(dialect="openai_media", endpoint=endpoint, boundary=boundary)


def read(endpoint: Any, body: dict[str, Any]) -> Envelope:
    return MEDIA.read(place(endpoint), json.dumps(body).encode())


def form(endpoint: Any, data: dict[str, Any], files: list[tuple[str, tuple[str, bytes]]]) -> Envelope:
    request = httpx.Request("POST", "http://localhost", data=data, files=files)
    body = request.read()
    located = paths.locate(
        b"POST",
        b"/v1/" + {v: k for k, v in paths.MEDIA.items()}[endpoint].encode(),
        b"",
        {b"content-type": request.headers["content-type"].encode()},
    )
    assert located is not None
    return MEDIA.read(located, body)


def patched(envelope: Envelope, terms: Terms = NOBODY) -> tuple[bytes, Any]:
    made = MEDIA.patch(envelope, upstream_model="theirs", pseudonym=lambda text: f"p-{len(text)}", terms=terms)
    body = b"".join(made.pieces)
    assert len(body) == made.length
    return body, made


def test_images_say_how_many_how_large_and_how_well() -> None:
    envelope = read("images", {"prompt": "a", "model": "m", "n": 3, "size": "1536x1024", "quality": "high"})
    load = envelope.load
    assert (envelope.model, load.choices, load.pixels, load.quality) == ("m", 3, 1536 * 1024, "high")
    assert load.image_output
    assert read("images", {"prompt": "a", "model": "m", "size": "auto"}).load.pixels == 0


@pytest.mark.parametrize(
    ("endpoint", "body", "param"),
    [
        ("images", {"model": "m"}, "prompt"),
        ("images", {"prompt": "a"}, "model"),
        ("images", {"prompt": "a", "model": "m", "n": 0}, "n"),
        ("images", {"prompt": "a", "model": "m", "n": "two"}, "n"),
        ("images", {"prompt": "a", "model": "m", "partial_images": 4}, "partial_images"),
        ("images", {"prompt": ["a"], "model": "m"}, "prompt"),
        ("speech", {"model": "m", "voice": "v"}, "input"),
        ("speech", {"model": "m", "input": "a"}, "voice"),
        ("speech", {"model": "m", "voice": "v", "input": "a" * 100_001}, "input"),
        ("moderations", {"model": "m"}, "input"),
        ("moderations", {"input": [{"image_url": 3}]}, "input[0].image_url"),
    ],
)
def test_what_is_wrong_names_its_field(endpoint: str, body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        read(endpoint, body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("name", "value"), [("output_format", "gif"), ("output_format", "svg"), ("svg", {"model": "x"})]
)
def test_what_costs_more_needs_permission(name: str, value: object) -> None:
    envelope = read("images", {"prompt": "a", "model": "m", name: value})
    with pytest.raises(Unsupported):
        MEDIA.refuse(envelope, NOBODY)
    assert read("images", {"prompt": "a", "model": "m", "output_format": "webp"}).claims == ()
    edit = form("image_edits", {"prompt": "a", "model": "m", "output_format": "gif"}, [("image", ("a.png", b"x"))])
    with pytest.raises(Unsupported):
        MEDIA.refuse(edit, NOBODY)


def test_a_url_that_the_provider_would_fetch_is_a_claim() -> None:
    item = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    with pytest.raises(Unsupported):
        MEDIA.refuse(read("moderations", {"input": [item]}), NOBODY)
    item["image_url"] = {"url": "data:image/png;base64,AAAA"}
    envelope = read("moderations", {"input": [{"type": "text", "text": "a"}, item]})
    assert (envelope.load.images, envelope.claims) == (1, ())


def test_json_bodies_pass_but_for_model_identities_and_the_unknown() -> None:
    body, made = patched(read("images", {"prompt": "a fox", "model": "m", "user": "jane", "zz": 1, "size": "64x64"}))
    assert json.loads(body) == {"prompt": "a fox", "model": "theirs", "user": "p-4", "size": "64x64"}
    assert (made.dropped, made.replaced, made.content_type) == (("zz",), ("user",), b"")
    body, _ = patched(read("moderations", {"input": "a"}))
    assert json.loads(body) == {"input": "a", "model": "theirs"}


def test_forms_pass_but_for_model_identities_and_the_unknown() -> None:
    envelope = form(
        "image_edits",
        {"prompt": "a fox", "model": "m", "user": "jane", "zz": "1", "n": "2", "size": "64x64"},
        [("image[]", ("jane.png", b"\0\r\n--first")), ("image[]", ("b.png", b"second")), ("mask", ("c.png", b"m"))],
    )
    assert (envelope.load.images, envelope.load.choices, envelope.load.pixels) == (3, 2, 64 * 64)
    body, made = patched(envelope)
    assert b"jane" not in body
    assert b"zz" not in body
    assert b"\0\r\n--first" in body
    assert (made.dropped, made.replaced) == (("zz",), ("user",))
    seen = MEDIA.read(place("image_edits", made.content_type.partition(b"boundary=")[2].decode()), body)
    assert (seen.model, seen.load) == ("theirs", envelope.load) or seen.load.choices == 2
    _, kept = patched(envelope, Terms(pass_fields=frozenset({"zz"})))
    assert kept.dropped == ()


def test_a_form_says_each_thing_once() -> None:
    request = httpx.Request(
        "POST", "http://localhost", files=[("model", (None, b"a")), ("model", (None, b"b")), ("file", ("a.wav", b"x"))]
    )
    body = request.read()
    boundary = request.headers["content-type"].partition("boundary=")[2]
    with pytest.raises(InvalidCall) as caught:
        MEDIA.read(place("transcriptions", boundary), body)
    assert (caught.value.code, caught.value.param) == ("duplicate_field", "model")
    with pytest.raises(CallerError) as caught_too:
        MEDIA.read(place("transcriptions"), b"{}")
    assert caught_too.value.status == 415


def test_audio_is_bounded_by_its_bytes() -> None:
    spoken = voice.wav("x" * 500)
    envelope = form("transcriptions", {"model": "m"}, [("file", ("a.wav", spoken))])
    assert 10 <= envelope.load.audio_s <= 11  # ten seconds, and the text in the comment
    other = form("transcriptions", {"model": "m"}, [("file", ("a.mp3", b"\xff\xfb" + bytes(7498)))])
    assert other.load.audio_s == 10
    assert sound.seconds_about(memoryview(bytes(16_000))) == 1
    assert sound.seconds_told("1\n00:00:01,000 --> 00:01:02,500\nHello\n") == 63
    assert sound.seconds_told("WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n") == 2
    # A header that lies about its rate does not shorten the bound below what its bytes can hold.
    lying = bytearray(spoken)
    lying[24:28] = (1).to_bytes(4, "little")
    assert sound.seconds_max(memoryview(bytes(lying))) == -(-len(lying) // sound.BYTES_PER_S_MIN)


def test_holds_have_a_worst_case() -> None:
    image = prices.rates(8_000_000, 30_000_000, output_tokens_max=6240)
    load = read("images", {"prompt": "a", "model": "m", "n": 2, "size": "1024x1024", "quality": "high"}).load
    one = quotes.made(image, read("images", {"prompt": "a", "model": "m"}).load)
    assert quotes.made(image, load) >= 2 * 6240 * 30
    large = read("images", {"prompt": "a", "model": "m", "size": "3840x2160", "quality": "max"}).load
    assert quotes.made(image, large) > 20 * one
    with pytest.raises(Unsupported):
        quotes.made(prices.rates(1, 1), load)
    by_character = prices.Rates(**{**_zero(), "input_micros": 15_000_000}, units="characters")
    assert quotes.made(by_character, read("speech", {"model": "m", "voice": "v", "input": "é" * 100}).load) == 1500
    by_second = prices.Rates(**{**_zero(), "audio_input_micros": 100_000_000}, units="seconds")
    heard = form("transcriptions", {"model": "m"}, [("file", ("a.wav", voice.wav("x" * 500)))]).load
    assert quotes.made(by_second, heard) == heard.audio_s * 100
    assert quotes.made(prices.Rates(**_zero()), read("moderations", {"input": "a"}).load) == 0


def _zero() -> dict[str, Any]:
    kinds = (
        "input",
        "output",
        "cache_read",
        "cache_write_5m",
        "cache_write_1h",
        "reasoning",
        "audio_input",
        "audio_output",
    )
    return {f"{kind}_micros": 0 for kind in kinds}


def test_every_field_of_the_sdks_has_a_class() -> None:
    from openai.types import (
        image_edit_params,
        image_generate_params,
        moderation_create_params,
    )
    from openai.types.audio import speech_create_params, transcription_create_params, translation_create_params

    sdk = {
        "IMAGES": image_generate_params.ImageGenerateParamsStreaming,
        "EDITS": image_edit_params.ImageEditParamsStreaming,
        "SPEECH": speech_create_params.SpeechCreateParams,
        "TRANSCRIPTIONS": transcription_create_params.TranscriptionCreateParamsStreaming,
        "TRANSLATIONS": translation_create_params.TranslationCreateParams,
        "MODERATIONS": moderation_create_params.ModerationCreateParams,
    }
    for name, params in sdk.items():
        assert set(params.__annotations__) <= set(getattr(table, name)), name
