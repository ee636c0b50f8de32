"""Calls that are made once, and answers that are used again: at no cost, for the same key alone, for a day."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dialect_calls import DIALECTS, call, ends_well, error_of
from fixtures_gateway import House
from ruxa.kernel import bounds

each_dialect = pytest.mark.parametrize("dialect", DIALECTS)
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


async def ask(house: House, text: str, *, dialect: str = "openai_chat", secret: str = "", **more: Any) -> Any:
    headers = {"authorization": f"Bearer {secret or house.secret}", **more.pop("headers", {})}
    path, body = call(dialect, "sandbox/chat", text, **more)
    return await house.client.post(path, json=body, headers=headers)


async def kept(house: House, count: int, state: str = "kept") -> list[tuple[Any, ...]]:
    """The rows in that state, once there are so many."""
    for _ in range(100):
        found = house.sql("SELECT id, kind, state, answer_sealed, until FROM content.repeat WHERE state = %s", state)
        if len(found) >= count:
            return found
        await asyncio.sleep(0.03)
    raise AssertionError(house.sql("SELECT kind, state FROM content.repeat"))


@each_dialect
@streamed_or_not
async def test_the_same_call_is_made_once(house: House, dialect: str, stream: bool) -> None:
    await house.begin()
    await house.serve()
    once = {"idempotency-key": "an order 7"}
    first = await ask(house, "one two [[tokens=5]]", dialect=dialect, stream=stream, headers=once)
    assert first.status_code == 200, first.text
    (row,) = await kept(house, 1)
    assert b"word1" not in row[3], "the answer is sealed"
    again = await ask(house, "one two [[tokens=5]]", dialect=dialect, stream=stream, headers=once)
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["ruxa-answered-from"] == "idempotency"
    assert again.headers["ruxa-original"] == first.headers["x-request-id"] != again.headers["x-request-id"]
    assert ends_well(dialect, again.content) if stream else again.headers["ruxa-cost-micros"] == "0"
    assert house.sandbox.requests == 1
    charged = await house.row(first.headers["x-request-id"])
    free = await house.row(again.headers["x-request-id"])
    assert charged["amount_micros"] > 0
    assert (free["amount_micros"], free["usage_source"], free["status"]) == (0, "cached", 200)
    other = await ask(house, "something else", dialect=dialect, stream=stream, headers=once)
    assert other.status_code == 422
    assert "idempotency_mismatch" in other.text.lower()
    assert error_of(dialect, other.content)
    _, secret = await house.key()
    fresh = await ask(house, "one two [[tokens=5]]", dialect=dialect, stream=stream, headers=once, secret=secret)
    assert "ruxa-answered-from" not in fresh.headers, "another key's"
    assert house.sandbox.requests == 2
    await house.stop()
    assert not house.proofs()


async def test_a_call_under_way_is_told_so(house: House) -> None:
    await house.begin()
    await house.serve()
    once = {"idempotency-key": "k"}
    task = asyncio.create_task(ask(house, "[[fail-slow-first-token]] x", headers=once))
    while house.sandbox.requests == 0:
        await asyncio.sleep(0.01)
    again = await ask(house, "[[fail-slow-first-token]] x", headers=once)
    assert again.status_code == 409
    assert error_of("openai_chat", again.content)["code"] == "idempotency_in_progress"
    assert int(again.headers["retry-after"]) >= 1
    assert (await task).status_code == 200
    assert house.sandbox.requests == 1
    await house.stop()
    assert not house.proofs()


async def test_what_came_to_nothing_may_be_made_again(house: House) -> None:
    await house.begin()
    await house.serve()
    once = {"idempotency-key": "k"}
    for fault in ("400", "500"):
        for _ in range(2):
            answer = await ask(house, f"[[fail-{fault}]] x", headers={"idempotency-key": fault})
            assert answer.status_code in (400, 502)
            for _ in range(100):
                if not house.sql("SELECT 1 FROM content.repeat"):
                    break
                await asyncio.sleep(0.02)
    assert house.sandbox.requests == 4
    answer = await ask(house, "x", headers={**once, "ruxa-policy": "what"})
    assert answer.status_code == 400
    assert not house.sql("SELECT 1 FROM content.repeat")


@pytest.mark.parametrize("why", ["large", "no retention"])
async def test_an_answer_that_is_not_kept_is_still_made_once(
    house: House, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.begin(conditions=("zero-retention",) if why == "no retention" else ())
    await house.serve()
    if why == "large":
        monkeypatch.setattr(bounds, "REPEAT_BYTES_MAX", 100)
    once = {"idempotency-key": "k"}
    first = await ask(house, "x", headers=once)
    assert first.status_code == 200, first.text
    await kept(house, 1, "told")
    again = await ask(house, "x", headers=once)
    assert again.status_code == 409
    error = error_of("openai_chat", again.content)
    assert error["code"] == "idempotency_completed"
    assert first.headers["x-request-id"] in error["message"]
    assert again.headers["x-should-retry"] == "false"
    assert house.sandbox.requests == 1


async def test_an_answer_may_be_used_again_where_the_call_says_so(house: House) -> None:
    await house.begin()
    await house.serve()
    cache = {"ruxa-cache": "true"}
    first = await ask(house, "hello", headers=cache)
    await kept(house, 1)
    again = await ask(house, "hello", headers=cache)
    assert again.content == first.content
    assert again.headers["ruxa-answered-from"] == "cache"
    assert (await ask(house, "hello")).headers.get("ruxa-answered-from") is None
    assert (await ask(house, "hello", stream=True, headers=cache)).headers.get("ruxa-answered-from") is None
    assert (await ask(house, "hello!", headers=cache)).headers.get("ruxa-answered-from") is None
    house.sql("UPDATE content.repeat SET expires_at = ruxa.now()")
    assert (await ask(house, "hello", headers=cache)).headers.get("ruxa-answered-from") is None
    for wrong in ("yes", "-1", "999999"):
        answer = await ask(house, "hello", headers={"ruxa-cache": wrong})
        assert answer.status_code == 400
        assert error_of("openai_chat", answer.content)["code"] == "bad_cache"
    both = {**cache, "idempotency-key": "k"}
    await ask(house, "both", headers=both)
    await kept(house, 4)
    assert (await ask(house, "both", headers=both)).headers["ruxa-answered-from"] == "idempotency"
    assert (await ask(house, "both", headers=cache)).headers["ruxa-answered-from"] == "cache"
    await house.stop()
    assert not house.proofs()


async def test_no_gate_is_passed_by_what_is_kept(house: House) -> None:
    await house.begin()
    await house.serve()
    cache = {"ruxa-cache": "true", "idempotency-key": "k"}
    assert (await ask(house, "hello", headers=cache)).status_code == 200
    await kept(house, 2)
    lawless = await ask(house, "hello", headers={**cache, "ruxa-policy": "region=XX"})
    assert lawless.status_code == 200, "the sandbox is this installation's own"
    await house.revoke(house.key_id)
    await asyncio.sleep(0.3)
    assert (await ask(house, "hello", headers=cache)).status_code == 401
    _, poor = await house.key(budget_micros=1, budget_period="total")
    assert (await ask(house, "hello", headers=cache, secret=poor)).status_code == 402


async def test_what_is_kept_goes_with_the_organisations_content(house: House) -> None:
    from ruxa.privacy.content import items

    await house.begin()
    await house.serve()
    once = {"idempotency-key": "k", "ruxa-cache": "60"}
    await ask(house, "hello", headers=once)
    rows = await kept(house, 2)
    assert {(row[4] - house.database.clock.now().date()).days for row in rows} <= {1, 2}
    async with house.operator.work() as work:
        await items.delete_of_organisation(work, house.vault, house.objects, house.organisation_id)
    assert not house.sql("SELECT 1 FROM content.repeat")
    assert (await ask(house, "hello", headers=once)).headers.get("ruxa-answered-from") is None
