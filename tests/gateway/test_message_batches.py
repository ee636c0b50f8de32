"""Anthropic's message batches by its own SDK: orders, results, cancelling, deleting, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx2
import pytest

from fixtures_gateway import House
from ruxa.kernel import ids
from ruxa.privacy.content import items


@pytest.fixture
async def sdk(house: House) -> AsyncIterator[anthropic.AsyncAnthropic]:
    await house.begin(concurrency=3)
    await house.vault.create_subject(house.organisation_id, ["content"])
    await house.vault.create_day_keys("content", items.DAYS_AHEAD)
    await house.serve()
    client = anthropic.AsyncAnthropic(
        api_key=house.secret,
        base_url=f"http://127.0.0.1:{house.port}/anthropic",
        max_retries=0,
        http_client=httpx2.AsyncClient(trust_env=False, timeout=20),
    )
    async with client:
        yield client


def request(custom_id: str, text: str, **more: Any) -> Any:
    params = {"model": "sandbox/chat", "max_tokens": 64, "messages": [{"role": "user", "content": text}], **more}
    return {"custom_id": custom_id, "params": params}


async def ended(sdk: anthropic.AsyncAnthropic, batch_id: str) -> Any:
    for _ in range(200):
        batch = await sdk.messages.batches.retrieve(batch_id)
        if batch.processing_status == "ended":
            return batch
        await asyncio.sleep(0.1)
    raise AssertionError(batch)


async def test_an_order_is_answered_told_line_by_line_and_deleted(house: House, sdk: anthropic.AsyncAnthropic) -> None:
    batches = sdk.messages.batches
    asked = [
        request("good", "one\ntwo [[echo]]"),
        request("bad", "[[fail-400]]"),
        request("none", "x", model="sandbox/no"),
    ]
    made = await batches.create(requests=asked)
    assert made.id.startswith("msgbatch_")
    assert (made.type, made.processing_status, made.results_url) == ("message_batch", "in_progress", None)
    assert made.request_counts.processing == 3
    batch = await ended(sdk, made.id)
    counts = batch.request_counts
    assert (counts.succeeded, counts.errored, counts.processing, counts.canceled, counts.expired) == (1, 2, 0, 0, 0)
    results: dict[str, Any] = {one.custom_id: one.result async for one in await batches.results(made.id)}
    assert set(results) == {"good", "bad", "none"}
    message = results["good"].message
    assert "two" in message.content[0].text
    assert message.usage.output_tokens > 0
    assert results["bad"].error.error.type == "invalid_request_error"
    assert results["none"].error.error.type == "not_found_error"
    rows = await house.rows(3)
    assert [row["endpoint"] for row in rows] == ["messages"] * 3
    assert house.proofs() == {}
    # It is the same queue as OpenAI's, and the same batch.
    (state,) = house.sql("SELECT state FROM content.batch WHERE id = %s", ids.read("batch", made.id[3:]))[0]
    assert state == "completed"
    later = await batches.create(requests=[request("only", "hi")])
    await ended(sdk, later.id)
    assert [one.id async for one in batches.list()] == [later.id, made.id]
    first = await batches.list(limit=1)
    assert (first.has_more, [one.id for one in first.data]) == (True, [later.id])
    assert [one.id for one in (await batches.list(limit=1, after_id=later.id)).data] == [made.id]
    assert [one.id for one in (await batches.list(limit=1, before_id=made.id)).data] == [later.id]
    gone = await batches.delete(made.id)
    assert (gone.id, gone.type) == (made.id, "message_batch_deleted")
    with pytest.raises(anthropic.NotFoundError):
        await batches.retrieve(made.id)
    assert house.sql("SELECT count(*) FROM content.file") == [(2,)], "its files are gone, those of the other stay"


async def test_one_that_is_cancelled_says_what_was_never_made(house: House, sdk: anthropic.AsyncAnthropic) -> None:
    batches = sdk.messages.batches
    slow = "[[tokens=200]] [[pace-ms=20]] " + "word " * 20
    made = await batches.create(requests=[request(f"n{number}", slow) for number in range(30)])
    with pytest.raises(anthropic.NotFoundError):
        await sdk.get(f"/v1/messages/batches/{made.id}/results", cast_to=object)
    with pytest.raises(anthropic.ConflictError):
        await batches.delete(made.id)
    await batches.cancel(made.id)
    batch = await ended(sdk, made.id)
    counts = batch.request_counts
    assert counts.canceled > 0
    assert counts.canceled + counts.succeeded + counts.errored == 30
    assert batch.cancel_initiated_at is not None
    kinds = [one.result.type async for one in await batches.results(made.id)]
    assert (len(kinds), kinds.count("canceled")) == (30, counts.canceled)


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "requests: Field required"),
    ({"requests": []}, "requests: List should have at least 1 item"),
    ({"requests": 3}, "requests: Input should be a valid array"),
    ({"requests": [request("a b", "x")]}, "requests.0.custom_id: "),
    ({"requests": [request("a", "x"), request("a", "y")]}, "requests.1.custom_id: custom_id should be unique"),
    ({"requests": [{"custom_id": "a", "params": 1}]}, "requests.0.params: "),
    ({"requests": [request("a", "x", stream=True)]}, "requests.0.params.stream: "),
]


async def test_wrong_orders_are_refused_in_anthropics_words_with_the_path(
    house: House, sdk: anthropic.AsyncAnthropic
) -> None:
    for body, message in BAD:
        with pytest.raises(anthropic.BadRequestError) as caught:
            await sdk.post("/v1/messages/batches", body=body, cast_to=object)
        told: Any = caught.value.body
        assert told["error"]["type"] == "invalid_request_error"
        assert told["error"]["message"].startswith(message), told
    for method, path, status in (
        ("GET", "/v1/messages/batches/msgbatch_x", 404),
        ("GET", "/v1/messages/batches/msgbatch_" + "0" * 32, 404),
        ("PUT", "/v1/messages/batches", 405),
        ("GET", "/v1/messages/batches/msgbatch_x/nothing", 404),
        ("GET", "/v1/messages/batches?limit=0", 400),
        ("GET", "/v1/messages/batches?after_id=a&before_id=b", 400),
    ):
        answer = await house.client.request(method, path, headers=house.headers())
        assert answer.status_code == status, path
        assert answer.json()["type"] == "error", "in Anthropic's shape"


async def test_a_batch_of_another_endpoint_or_key_is_not_there(house: House, sdk: anthropic.AsyncAnthropic) -> None:
    made = await sdk.messages.batches.create(requests=[request("a", "x")])
    other = ids.at(0)
    house.sql("UPDATE content.batch SET endpoint = '/v1/embeddings' WHERE id = %s", ids.read("batch", made.id[3:]))
    for one in (made.id, f"msgbatch_{other.hex}"):
        with pytest.raises(anthropic.NotFoundError):
            await sdk.messages.batches.retrieve(one)
    assert [one.id async for one in sdk.messages.batches.list()] == []
