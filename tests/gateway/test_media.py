"""Images, speech, transcriptions and moderations: OpenAI's own SDK against the gateway, and what each call costs."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from fixtures_gateway import House
from ruxa.egress.sandbox import picture, voice
from ruxa.egress.sandbox.server import Server
from ruxa.kernel.settings import ProviderSettings
from ruxa.ledger import prices

PNG = picture.png("a picture", 64, 48)
SAID = "The quick brown fox jumps over the lazy dog."


async def _drain(stream: Any) -> list[Any]:
    return [event async for event in stream]


@pytest.fixture
async def sdk(house: House) -> AsyncIterator[openai.AsyncOpenAI]:
    await house.begin()
    await house.serve()
    base = f"http://127.0.0.1:{house.port}/v1"
    async with openai.AsyncOpenAI(
        api_key=house.secret, base_url=base, max_retries=0, http_client=httpx.AsyncClient(trust_env=False)
    ) as client:
        yield client


async def test_images_are_made_and_charged_by_their_tokens(house: House, sdk: openai.AsyncOpenAI) -> None:
    raw = await sdk.images.with_raw_response.generate(
        model="sandbox/image", prompt="a red fox", n=2, size="256x256", quality="low", user="somebody"
    )
    made = raw.parse()
    assert made.data is not None
    assert made.usage is not None
    for one in made.data:
        assert picture.size_of(base64.b64decode(one.b64_json or "")) == (256, 256)
    row = await house.row(raw.headers["x-request-id"])
    assert (row["endpoint"], row["dialect"], row["images"]) == ("images", "openai_media", 2)
    assert (row["input_tokens"], row["output_tokens"]) == (made.usage.input_tokens, made.usage.output_tokens)
    assert row["amount_micros"] == -(
        -(made.usage.input_tokens * 500_000 + made.usage.output_tokens * 4_000_000) // 10**6
    )
    assert int(raw.headers["ruxa-cost-micros"]) == row["amount_micros"] > 0
    assert row["usage_source"] == "provider"
    assert raw.headers["ruxa-privacy"] == "user"
    assert house.proofs() == {}


async def test_an_image_is_streamed(house: House, sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.images.generate(
        model="sandbox/image", prompt="a red fox", size="128x128", stream=True, partial_images=2
    )
    events = [event async for event in stream]
    assert [event.type for event in events] == [*["image_generation.partial_image"] * 2, "image_generation.completed"]
    (row,) = await house.rows(1)
    last: Any = events[-1]
    assert (row["stream"], row["finish"], row["images"]) == (True, "stop", 1)
    assert row["output_tokens"] == last.usage.output_tokens
    assert row["amount_micros"] > 0


async def test_images_are_edited_by_form(house: House, sdk: openai.AsyncOpenAI) -> None:
    raw = await sdk.images.with_raw_response.edit(
        model="sandbox/image",
        image=[("first secret name.png", io.BytesIO(PNG)), ("second.PNG", io.BytesIO(PNG))],
        mask=("mask.png", io.BytesIO(PNG)),
        prompt="make it blue",
        size="64x64",
        user="somebody",
    )
    made = raw.parse()
    assert made.data is not None
    assert made.usage is not None
    assert made.usage.input_tokens_details.image_tokens == 3 * 85
    row = await house.row(raw.headers["x-request-id"])
    assert row["endpoint"] == "image_edits"
    assert row["amount_micros"] > 0
    sent = house.sandbox.last
    assert sent.headers["content-type"].startswith("multipart/form-data; boundary=form-")
    assert sent.body.count(PNG) == 3
    assert b"secret name" not in sent.body
    assert b"somebody" not in sent.body
    assert b'filename="image.png"' in sent.body
    stream = await sdk.images.edit(
        model="sandbox/image", image=("a.png", io.BytesIO(PNG)), prompt="blue", size="64x64", stream=True
    )
    assert [event.type async for event in stream] == ["image_edit.completed"]


async def test_speech_comes_as_bytes_and_is_charged_by_the_character(house: House, sdk: openai.AsyncOpenAI) -> None:
    async with sdk.audio.speech.with_streaming_response.create(
        model="sandbox/speech", voice="alloy", input=SAID, response_format="wav"
    ) as answer:
        data = await answer.read()
        assert answer.headers["content-type"] == "audio/wav"
        request_id = answer.headers["x-request-id"]
    assert data == voice.wav(SAID)
    row = await house.row(request_id)
    assert (row["input_tokens"], row["amount_micros"], row["usage_source"]) == (len(SAID), len(SAID), "policy")
    async with sdk.audio.speech.with_streaming_response.create(
        model="sandbox/speech", voice="alloy", input=SAID, stream_format="sse"
    ) as answer:
        text = (await answer.read()).decode()
        request_id = answer.headers["x-request-id"]
    assert "speech.audio.done" in text
    row = await house.row(request_id)
    assert (row["amount_micros"], row["usage_source"]) == (len(SAID), "provider")


@pytest.mark.parametrize("form", ["json", "text", "srt", "vtt", "verbose_json"])
async def test_transcriptions_come_in_every_form(house: House, sdk: openai.AsyncOpenAI, form: Any) -> None:
    seconds = len(SAID) * voice.CHARACTER_S
    raw = await sdk.audio.transcriptions.with_raw_response.create(
        model="sandbox/transcribe", file=("my own meeting.wav", voice.wav(SAID)), response_format=form
    )
    said: Any = raw.parse()
    assert SAID in (said if isinstance(said, str) else said.text)
    row = await house.row(raw.headers["x-request-id"])
    assert row["endpoint"] == "transcriptions"
    # Where the provider tells no figures the length of the file does; the text in its comment counts as audio there.
    assert row["audio_input_tokens"] == -(-seconds // 1)
    assert row["amount_micros"] == row["audio_input_tokens"] * 100
    assert row["usage_source"] == ("counted" if form in ("text", "srt", "vtt") else "provider")
    assert b"meeting" not in house.sandbox.last.body
    assert b'filename="file.wav"' in house.sandbox.last.body


async def test_a_transcription_is_streamed_and_a_translation_is_whole(house: House, sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.audio.transcriptions.create(
        model="sandbox/transcribe", file=("a.wav", voice.wav(SAID)), stream=True
    )
    events = [event async for event in stream]
    assert events[-1].type == "transcript.text.done"
    assert "".join(event.delta for event in events if event.type == "transcript.text.delta") == SAID
    with pytest.warns(DeprecationWarning, match="deprecated"):  # the SDK gives translations up; who uses them still can
        translated = await sdk.audio.translations.create(model="sandbox/transcribe", file=("a.wav", voice.wav(SAID)))
    assert translated.text == SAID
    rows = await house.rows(2)
    assert [row["endpoint"] for row in rows] == ["transcriptions", "translations"]
    assert all(row["amount_micros"] == 100 for row in rows)


async def test_moderations_need_no_model_and_no_money(house: House) -> None:
    await house.begin(credit_micros=0)
    await house.serve()
    base = f"http://127.0.0.1:{house.port}/v1"
    async with openai.AsyncOpenAI(
        api_key=house.secret, base_url=base, max_retries=0, http_client=httpx.AsyncClient(trust_env=False)
    ) as sdk:
        judged = await sdk.moderations.create(input=["have a nice day", "I will kill you"])
    assert [result.flagged for result in judged.results] == [False, True]
    assert judged.results[1].categories.violence
    (row,) = await house.rows(1)
    assert (row["endpoint"], row["amount_micros"], row["status"]) == ("moderations", 0, 200)


async def test_a_test_key_moderates_in_the_sandbox_where_openai_is_configured(house: House) -> None:
    sandbox = Server(pace_ms=0)
    await sandbox.listen("127.0.0.1", 0)
    house.closing(sandbox.close)
    await house.begin(credit_micros=0, livemode=False)
    openai_itself = ProviderSettings(base_url="http://127.0.0.1:9/v1", key="env:X")
    await house.serve(providers={"openai": openai_itself}, sandbox_url=f"http://127.0.0.1:{sandbox.port}")
    answer = await house.client.post("/v1/moderations", json={"input": "hello"}, headers=house.headers())
    assert answer.status_code == 200, answer.text
    assert (await house.rows(1))[0]["model"] == "sandbox/moderation"


async def test_what_is_wrong_is_said_before_anything_is_sent(house: House, sdk: openai.AsyncOpenAI) -> None:
    tries: list[tuple[str, dict[str, Any], str]] = [
        ("/images/generations", {"json": {"model": "sandbox/image"}}, "missing_required_parameter"),
        ("/images/generations", {"json": {"model": "sandbox/image", "prompt": "x", "n": 11}}, "invalid_value"),
        ("/images/generations", {"json": {"model": "sandbox/nothing", "prompt": "x"}}, "model_not_priced"),
        ("/images/edits", {"json": {"model": "sandbox/image", "prompt": "x"}}, "unsupported_content_type"),
        ("/images/edits", {"files": {"image": PNG}, "data": {"prompt": "x"}}, "missing_required_parameter"),
        ("/audio/speech", {"json": {"model": "sandbox/speech", "input": "x"}}, "missing_required_parameter"),
        ("/audio/transcriptions", {"data": {"model": "sandbox/transcribe"}}, "unsupported_content_type"),
        ("/moderations", {"json": {}}, "missing_required_parameter"),
        ("/moderations", {"json": {"input": 3}}, "invalid_type"),
    ]
    for path, said, code in tries:
        answer = await house.client.post(f"/v1{path}", headers=house.headers(), **said)
        assert 400 <= answer.status_code < 500, (path, answer.text)
        assert answer.json()["error"]["code"] == code, (path, answer.text)
    assert (await house.client.get("/v1/images/generations", headers=house.headers())).status_code == 405
    assert house.sandbox.requests == 0
    assert house.proofs() == {}


async def test_an_answer_that_dies_costs_nothing_and_looks_like_no_whole_one(
    house: House, sdk: openai.AsyncOpenAI
) -> None:
    with pytest.raises(openai.InternalServerError):
        await sdk.images.generate(model="sandbox/image", prompt="x [[fail-first-frame-error]]", size="64x64")
    stream = await sdk.images.generate(
        model="sandbox/image", prompt="x [[fail-mid-stream-death]]", size="64x64", stream=True, partial_images=3
    )
    with pytest.raises(openai.APIError):
        await _drain(stream)
    with pytest.raises(httpx.HTTPError):
        await house.client.post(
            "/v1/audio/speech",
            headers=house.headers(),
            json={"model": "sandbox/speech", "voice": "alloy", "input": "long " * 40 + "[[fail-mid-stream-death]]"},
        )
    rows = await house.rows(3)
    assert all(row["amount_micros"] == 0 for row in rows)
    assert house.proofs() == {}


async def test_a_key_needs_the_scope(house: House, sdk: openai.AsyncOpenAI) -> None:
    _, secret = await house.key(scopes=("chat",))
    other = sdk.with_options(api_key=secret)
    with pytest.raises(openai.PermissionDeniedError):
        await other.images.generate(model="sandbox/image", prompt="x")
    with pytest.raises(openai.PermissionDeniedError):
        await other.audio.speech.create(model="sandbox/speech", voice="alloy", input="x")
    assert house.sandbox.requests == 0


async def test_a_lost_answer_in_the_middle_of_a_call_is_tried_again_where_that_is_safe(
    house: House, sdk: openai.AsyncOpenAI
) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        await sdk.moderations.create(input="[[fail-503]]", model="sandbox/moderation")
    assert caught.value.status_code == 503
    assert house.sandbox.requests == 1  # it asked for more patience than the caller has


async def test_who_has_no_such_endpoint_is_not_asked(house: House) -> None:
    sandbox = Server(pace_ms=0)
    await sandbox.listen("127.0.0.1", 0)
    base = f"http://127.0.0.1:{sandbox.port}/v1"
    claude = ProviderSettings(base_url=base, key="env:X", dialect="anthropic_messages")
    own = ProviderSettings(base_url=base, key="env:X", dialect="openai_media")
    try:
        await house.begin(scope="live")
        async with house.operator.work() as work:
            for name in ("claude/small", "own/image"):
                await prices.put(work, name, prices.rates(1_000, 1_000, output_tokens_max=10_000), source="test")
        await house.serve(providers={"claude": claude, "own": own})
        body = {"model": "claude/small", "prompt": "a", "size": "64x64"}
        answer = await house.client.post("/v1/images/generations", headers=house.headers(), json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "wrong_endpoint")
        answer = await house.client.post(
            "/v1/images/generations", headers=house.headers(), json={**body, "model": "own/image"}
        )
        assert answer.status_code == 200, answer.text
        chat = {"model": "own/image", "messages": [{"role": "user", "content": "a"}]}
        answer = await house.client.post("/v1/chat/completions", headers=house.headers(), json=chat)
        assert answer.status_code == 422, answer.text
        listed = (await house.client.get("/api/v1/models", headers=house.headers())).json()["models"]
        assert {one["model"]: one["units"] for one in listed} == {"claude/small": "tokens", "own/image": "tokens"}
        assert sandbox.requests == 1
    finally:
        await house.stop()
        await sandbox.close()
