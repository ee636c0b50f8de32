"""Batches by OpenAI's own SDK: any endpoint and model, each line a call of the key, billed once, its files sealed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from fixtures_gateway import House
from ruxa.kernel import ids
from ruxa.privacy.content import items

CANARY = "quincecanarybatch"


async def _prepare(house: House, **wish: Any) -> openai.AsyncOpenAI:
    await house.begin(**wish)
    await house.vault.create_subject(house.organisation_id, ["content"])
    await house.vault.create_day_keys("content", items.DAYS_AHEAD)
    await house.serve()
    return _client(house)


def _client(house: House) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key=house.secret,
        base_url=f"http://127.0.0.1:{house.port}/v1",
        max_retries=0,
        http_client=httpx.AsyncClient(trust_env=False, timeout=20),
    )


@pytest.fixture
async def sdk(house: House) -> AsyncIterator[openai.AsyncOpenAI]:
    async with await _prepare(house) as client:
        yield client


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "sandbox/chat", "messages": [{"role": "user", "content": text}], **more}


def lines(endpoint: str, *bodies: dict[str, Any]) -> bytes:
    told = [
        {"custom_id": f"line-{number}", "method": "POST", "url": endpoint, "body": body}
        for number, body in enumerate(bodies, 1)
    ]
    return "\n".join(json.dumps(one) for one in told).encode()


async def order(sdk: openai.AsyncOpenAI, endpoint: Any, data: bytes, **more: Any) -> Any:
    file = await sdk.files.create(file=("in.jsonl", data), purpose="batch")
    return await sdk.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more)


async def ended(sdk: openai.AsyncOpenAI, batch_id: str, seconds: float = 20) -> Any:
    for _ in range(int(seconds / 0.1)):
        batch = await sdk.batches.retrieve(batch_id)
        if batch.status in ("completed", "failed", "expired", "cancelled"):
            return batch
        await asyncio.sleep(0.1)
    raise AssertionError(batch)


async def answers(sdk: openai.AsyncOpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in (await sdk.files.content(file_id)).text.splitlines()]


async def test_lines_are_answered_counted_and_billed_as_calls_of_the_key(house: House, sdk: openai.AsyncOpenAI) -> None:
    data = lines(
        "/v1/chat/completions",
        *(chat(f"{CANARY} number {n} [[echo]]") for n in range(12)),
        chat("[[fail-400]]"),
        {"model": "sandbox/none", "messages": [{"role": "user", "content": "x"}]},
    )
    made = await order(sdk, "/v1/chat/completions", data, metadata={"job": CANARY})
    assert (made.status, made.metadata) == ("validating", {"job": CANARY})
    batch = await ended(sdk, made.id)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (14, 12, 2)
    out = await answers(sdk, batch.output_file_id)
    assert [one["custom_id"] for one in out] == [f"line-{n}" for n in range(1, 13)]
    for n, one in enumerate(out):
        assert one["error"] is None
        assert one["response"]["status_code"] == 200
        assert f"number {n}" in one["response"]["body"]["choices"][0]["message"]["content"]
    wrong = await answers(sdk, batch.error_file_id)
    assert [(one["custom_id"], one["response"]["status_code"]) for one in wrong] == [("line-13", 400), ("line-14", 404)]
    assert wrong[1]["response"]["body"]["error"]["code"] == "model_not_priced"
    rows = {row["id"]: row for row in await house.rows(14)}
    for one in out:
        row = rows[str(ids.read("req", one["response"]["request_id"]))]
        assert (row["amount_micros"] > 0, row["key_id"]) == (True, str(house.key_id))
    assert len(rows) == 14
    assert house.proofs() == {}
    assert not [path for path in (house.place / "objects").rglob("*") if path.is_file()], "little lies in the row"
    # What was said lies nowhere in the clear, and the lines are gone with the files written.
    assert house.sql("SELECT count(*) FROM content.batch_line") == [(0,)]
    for table in ("file", "batch"):
        for (row,) in house.sql(f"SELECT to_jsonb(t)::text FROM content.{table} t"):
            assert CANARY not in row
            assert CANARY.encode().hex() not in row
    assert [one.id async for one in sdk.batches.list()] == [batch.id]
    assert (await sdk.files.retrieve(batch.output_file_id)).purpose == "batch_output"


@pytest.mark.parametrize(
    ("endpoint", "body", "seen"),
    [
        ("/v1/embeddings", {"model": "sandbox/embedding", "input": "a"}, "data"),
        ("/v1/responses", {"model": "sandbox/chat", "input": "Say hello."}, "output"),
        (
            "/v1/messages",
            {"model": "sandbox/chat", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]},
            "content",
        ),
        ("/v1/moderations", {"input": "a"}, "results"),
        ("/v1/images/generations", {"model": "sandbox/image", "prompt": "a", "size": "64x64"}, "data"),
    ],
)
async def test_every_endpoint_can_be_batched(
    house: House, sdk: openai.AsyncOpenAI, endpoint: str, body: dict[str, Any], seen: str
) -> None:
    made = await order(sdk, endpoint, lines(endpoint, body, body))
    batch = await ended(sdk, made.id)
    assert (batch.status, batch.error_file_id) == ("completed", None)
    out = await answers(sdk, batch.output_file_id)
    assert all(one["response"]["body"][seen] for one in out)
    rows = await house.rows(2)
    assert all(row["status"] == 200 for row in rows)


@pytest.mark.parametrize(
    ("data", "code", "line"),
    [
        (b"", "empty_file", None),
        (b"\n\n", "empty_file", None),
        (b"nonsense", "invalid_json_line", 1),
        (b'{"url": "/v1/embeddings"}', "invalid_request", 1),
        (b'{"custom_id": "a", "method": "GET", "url": "/v1/embeddings", "body": {}}', "invalid_method", 1),
        (b'{"custom_id": "a", "method": "POST", "url": "/v1/messages", "body": {}}', "mismatched_endpoint", 1),
        (b'{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": []}', "invalid_body", 1),
        (b'{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"stream": true}}', "streamed", 1),
        (
            b'{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {}}\n' * 2,
            "duplicate_custom_id",
            2,
        ),
    ],
)
async def test_a_file_that_is_not_in_order_fails_before_a_call_is_made(
    house: House, sdk: openai.AsyncOpenAI, data: bytes, code: str, line: int | None
) -> None:
    batch = await ended(sdk, (await order(sdk, "/v1/embeddings", data)).id)
    assert batch.status == "failed"
    (error,) = batch.errors.data
    assert (error.code, error.line) == (code, line)
    assert error.message
    assert house.sandbox.requests == 0


async def test_an_order_must_be_right(house: House, sdk: openai.AsyncOpenAI) -> None:
    file = await sdk.files.create(file=("in.jsonl", b"{}"), purpose="batch")
    other = await sdk.files.create(file=("in.txt", b"{}"), purpose="user_data")
    right: dict[str, Any] = {
        "input_file_id": file.id,
        "endpoint": "/v1/embeddings",
        "completion_window": "24h",
    }
    for change, status in (
        ({"endpoint": "/v1/files"}, 400),
        ({"completion_window": "1h"}, 400),
        ({"input_file_id": other.id}, 404),
        ({"input_file_id": "file_" + "0" * 32}, 404),
        ({"metadata": {"a": "b" * 513}}, 400),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 60}}, 400),
    ):
        answer = await house.client.post("/v1/batches", headers=house.headers(), json={**right, **change})
        assert answer.status_code == status, answer.text
    for path in ("/v1/batches/batch_" + "0" * 32, "/v1/batches/file_1"):
        assert (await house.client.get(path, headers=house.headers())).status_code == 404
    assert (await house.client.get("/v1/batches/x/cancel", headers=house.headers())).status_code == 405


async def test_a_cancelled_batch_keeps_what_was_answered(house: House, sdk: openai.AsyncOpenAI) -> None:
    data = lines("/v1/chat/completions", *(chat(f"[[delay-ms=700]] {n}") for n in range(40)))
    made = await order(sdk, "/v1/chat/completions", data)
    while (await sdk.batches.retrieve(made.id)).request_counts.completed < 8:  # pyright: ignore[reportOptionalMemberAccess]
        await asyncio.sleep(0.1)
    assert (await sdk.batches.cancel(made.id)).status == "cancelling"
    batch = await ended(sdk, made.id)
    assert batch.status == "cancelled"
    out = await answers(sdk, batch.output_file_id)
    assert 8 <= len(out) < 40
    assert len(out) == batch.request_counts.completed
    rows = await house.rows(len(out))
    assert len(rows) == len(out)
    assert (await sdk.batches.cancel(made.id)).status == "cancelled"


async def test_a_batch_whose_time_is_over_says_so_of_the_lines_that_are_left(
    house: House, sdk: openai.AsyncOpenAI
) -> None:
    data = lines("/v1/chat/completions", *(chat(f"[[delay-ms=900]] {n}") for n in range(80)))
    made = await order(sdk, "/v1/chat/completions", data)
    batch_id = ids.read("batch", made.id)
    while (await sdk.batches.retrieve(made.id)).status != "in_progress":
        await asyncio.sleep(0.05)
    await house.stop()
    house.sql("UPDATE content.batch SET expires_at = ruxa.now() + interval '1 second' WHERE id = %s", batch_id)
    await house.serve()
    async with _client(house) as again:
        batch = await ended(again, made.id)
        assert batch.status == "expired"
        wrong = await answers(again, batch.error_file_id)
        assert {one["error"]["code"] for one in wrong if one["error"]} == {"batch_expired"}
        assert batch.request_counts.completed + batch.request_counts.failed == 80


async def test_a_key_without_credit_or_with_limits(house: House) -> None:
    async with await _prepare(house, credit_micros=0) as sdk:
        batch = await ended(
            sdk, (await order(sdk, "/v1/chat/completions", lines("/v1/chat/completions", chat("a")))).id
        )
        (wrong,) = await answers(sdk, batch.error_file_id)
        assert wrong["response"]["status_code"] == 402
        await house.credit(1_000_000)
        _, secret = await house.key(concurrency=2)
        limited = sdk.with_options(api_key=secret)
        data = lines("/v1/chat/completions", *(chat(f"{n} [[delay-ms=50]]") for n in range(9)))
        batch = await ended(sdk, (await order(limited, "/v1/chat/completions", data)).id)
        assert (batch.request_counts.completed, batch.request_counts.failed) == (9, 0)


async def test_a_revoked_key_makes_no_further_call(house: House, sdk: openai.AsyncOpenAI) -> None:
    key_id, secret = await house.key()
    other = sdk.with_options(api_key=secret)
    data = lines("/v1/chat/completions", *(chat(f"{n} [[delay-ms=500]]") for n in range(60)))
    made = await order(other, "/v1/chat/completions", data)
    while (await sdk.batches.retrieve(made.id)).request_counts.completed < 8:  # pyright: ignore[reportOptionalMemberAccess]
        await asyncio.sleep(0.1)
    await house.revoke(key_id)
    batch = await ended(sdk, made.id)
    wrong = await answers(sdk, batch.error_file_id)
    assert {one["error"]["code"] for one in wrong} == {"key_revoked"}
    assert len(wrong) > 10


async def test_a_stopped_worker_lets_go_and_the_next_goes_on(house: House, sdk: openai.AsyncOpenAI) -> None:
    data = lines("/v1/chat/completions", *(chat(f"number {n} [[delay-ms=400]] [[echo]]") for n in range(40)))
    made = await order(sdk, "/v1/chat/completions", data)
    while (await sdk.batches.retrieve(made.id)).request_counts.completed < 8:  # pyright: ignore[reportOptionalMemberAccess]
        await asyncio.sleep(0.1)
    await house.stop()
    await house.serve()
    async with _client(house) as again:
        batch = await ended(again, made.id)
        out = await answers(again, batch.output_file_id)
        assert [one["custom_id"] for one in out] == [f"line-{n}" for n in range(1, 41)]
        rows = {row["id"]: row for row in await house.rows(40)}
        paid = [rows[str(ids.read("req", one["response"]["request_id"]))]["amount_micros"] for one in out]
        assert all(paid)
        assert sum(paid) == sum(row["amount_micros"] for row in rows.values())
    assert house.proofs() == {}


async def test_batches_whose_time_passed_while_nobody_served_end_properly(house: House) -> None:
    """One that was under way keeps what was answered; one that nobody began yet has every line in its error file."""
    async with await _prepare(house) as sdk:
        data = lines("/v1/chat/completions", *(chat(f"{n} [[delay-ms=300]]") for n in range(60)))
        begun = await order(sdk, "/v1/chat/completions", data)
        while (await sdk.batches.retrieve(begun.id)).request_counts.completed < 8:  # pyright: ignore[reportOptionalMemberAccess]
            await asyncio.sleep(0.05)
        await house.stop()
    house.sql(
        "INSERT INTO content.batch (id, until, organisation_id, key_id, livemode, endpoint, input_file_id, state,"
        " expires_at) SELECT %s, until, organisation_id, key_id, livemode, endpoint, input_file_id, 'validating',"
        " expires_at FROM content.batch",
        other := ids.at(ids.unix_ms(ids.read("batch", begun.id)) + 1),
    )
    house.sql("UPDATE content.batch SET expires_at = ruxa.now() - interval '1 hour'")
    before = house.sql("SELECT count(*) FROM ledger.usage_event WHERE amount_micros > 0")[0][0]
    await house.serve()
    async with _client(house) as sdk:
        batch = await ended(sdk, begun.id)
        assert batch.status == "expired"
        made = await answers(sdk, batch.output_file_id)
        wrong = await answers(sdk, batch.error_file_id)
        assert len(made) == batch.request_counts.completed >= 8
        assert {one["error"]["code"] for one in wrong if one["error"]} == {"batch_expired"}
        assert len(made) + len(wrong) == 60
        late = await ended(sdk, ids.text("batch", other))
        assert (late.status, late.request_counts.failed) == ("expired", 60)
        assert {one["error"]["code"] for one in await answers(sdk, late.error_file_id)} == {"batch_expired"}
    assert house.sql("SELECT count(*) FROM ledger.usage_event WHERE amount_micros > 0")[0][0] == before, (
        "nothing was made"
    )


async def test_what_is_answered_at_length_is_an_object(house: House, sdk: openai.AsyncOpenAI) -> None:
    data = lines("/v1/chat/completions", *(chat(f"{CANARY} [[tokens=4000]] {n}") for n in range(12)))
    batch = await ended(sdk, (await order(sdk, "/v1/chat/completions", data)).id)
    file = await sdk.files.retrieve(batch.output_file_id)
    out = await answers(sdk, file.id)
    assert [one["custom_id"] for one in out] == [f"line-{n}" for n in range(1, 13)]
    (lying,) = [path for path in (house.place / "objects").rglob("*") if path.is_file()]
    assert lying.stat().st_size > file.bytes > 64 * 1024
    assert b"line-1" not in lying.read_bytes()
