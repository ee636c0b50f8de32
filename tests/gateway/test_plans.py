"""Calls at the prices of an organisation's plan: what they cost, what is refused, what changes and when."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from fixtures_gateway import House
from ruxa.kernel.clock import Clock
from ruxa.ledger import plans, prices


async def plan(house: House, name: str, share: int | None, **more: Any) -> None:
    async with house.operator.work() as work:
        await plans.create(work, name, **more)
        if share is not None:
            await plans.put(work, name, share)
    await house.heard()


async def assign(house: House, name: str, **more: Any) -> None:
    async with house.operator.work() as work:
        await plans.assign(work, house.organisation_ref, name, **more)
    await house.heard()


async def ask(house: House, model: str = "sandbox/chat", **more: Any) -> Any:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50, **more}
    return await house.client.post("/v1/chat/completions", json=body, headers=house.headers())


async def test_calls_cost_what_the_plan_says(house: House) -> None:
    await house.begin()
    await house.serve()
    before = int((await ask(house)).headers["ruxa-cost-micros"])
    await plan(house, "pro", 20_000)
    assert int((await ask(house)).headers["ruxa-cost-micros"]) == before
    await assign(house, "pro")
    for stream in (False, True):
        answer = await ask(house, stream=stream)
        assert answer.status_code == 200, answer.text
        row = await house.row(answer.headers["x-request-id"])
        assert row["amount_micros"] == 2 * before
        assert row["hold_micros"] >= row["amount_micros"]
    async with house.operator.work() as work:
        price = (await prices.current(work, "pro"))["sandbox/chat"]
    assert row["price_id"] == str(price.id)
    listed = (await house.client.get("/api/v1/models", headers=house.headers())).json()["models"]
    mine = next(one for one in listed if one["model"] == "sandbox/chat")
    assert mine["input_micros_per_mtok"] == price.input_micros
    await assign(house, "list")
    assert int((await ask(house)).headers["ruxa-cost-micros"]) == before
    await house.stop()
    assert not house.proofs()


async def test_what_a_plan_does_not_price_is_refused_and_never_free(house: House) -> None:
    await house.begin()
    await house.serve()
    await plan(house, "small", None)
    async with house.operator.work() as work:
        await plans.put(work, "small", 15_000, pattern="sandbox/chat")
    await house.heard()
    await assign(house, "small")
    assert (await ask(house)).status_code == 200
    for model in ("sandbox/fail-one-byte-chunks", "fail-one-byte-chunks", "sandbox/none"):
        answer = await ask(house, model)
        assert answer.status_code == 404, answer.text
    answer = await ask(house, "sandbox/fail-one-byte-chunks")
    assert answer.json()["error"]["code"] == "model_not_priced"
    assert "plan" in answer.json()["error"]["message"]
    names = [one["id"] for one in (await house.client.get("/v1/models", headers=house.headers())).json()["data"]]
    assert names == ["sandbox/chat"]
    row = (await house.rows(5))[-1]
    assert (row["amount_micros"], row["price_id"], row["error_code"]) == (0, None, "model_not_priced")
    async with house.operator.work() as work:
        await plans.put(work, "small", None, pattern="sandbox/chat")
    await house.heard()
    assert (await ask(house)).status_code == 404


async def test_beyond_a_plan_the_list_counts_only_where_it_says_so(house: House) -> None:
    await house.begin()
    await house.serve()
    before = int((await ask(house)).headers["ruxa-cost-micros"])
    await plan(house, "some", None, beyond_list=True)
    async with house.operator.work() as work:
        await plans.put(work, "some", 30_000, pattern="sandbox/fail-one*")
    await house.heard()
    await assign(house, "some")
    answer = await ask(house)
    assert int(answer.headers["ruxa-cost-micros"]) == before
    async with house.operator.work() as work:
        listed, own = await prices.current(work), await prices.current(work, "some")
    row = await house.row(answer.headers["x-request-id"])
    assert row["price_id"] == str(listed["sandbox/chat"].id)
    assert "sandbox/chat" not in own
    answer = await ask(house, "sandbox/fail-one-byte-chunks")
    assert (await house.row(answer.headers["x-request-id"]))["price_id"] == str(own["sandbox/fail-one-byte-chunks"].id)


async def test_a_call_keeps_the_price_it_was_admitted_at(house: House) -> None:
    await house.begin()
    await house.serve()
    await plan(house, "pro", 20_000)
    await assign(house, "pro")
    async with house.operator.work() as work:
        first = (await prices.current(work, "pro"))["sandbox/chat"]
    house.sandbox.pace_ms = 20
    async with house.client.stream(
        "POST",
        "/v1/chat/completions",
        json={"model": "sandbox/chat", "stream": True, "messages": [{"role": "user", "content": "hello"}]},
        headers=house.headers(),
    ) as running:
        lines = running.aiter_lines()
        await anext(lines)
        async with house.operator.work() as work:
            await prices.put(work, "sandbox/chat", prices.rates(9_000_000, 9_000_000), source="test")
        await house.heard()
        assert "data: [DONE]" in [line async for line in lines]
    later = await ask(house)
    row = await house.row(running.headers["x-request-id"])
    assert row["price_id"] == str(first.id)
    async with house.operator.work() as work:
        second = (await prices.current(work, "pro"))["sandbox/chat"]
    assert second.input_micros == 18_000_000
    assert (await house.row(later.headers["x-request-id"]))["price_id"] == str(second.id) != row["price_id"]
    await house.stop()
    assert not house.proofs()


async def test_a_plan_starts_on_its_day_by_itself(house: House) -> None:
    await house.begin()
    await house.serve()
    before = int((await ask(house)).headers["ruxa-cost-micros"])
    await plan(house, "pro", 20_000)
    await assign(house, "pro", starts=Clock().now() + timedelta(seconds=1))
    for _ in range(60):
        cost = int((await ask(house)).headers["ruxa-cost-micros"])
        if cost == 2 * before:
            return
        assert cost == before
        await asyncio.sleep(0.1)
    raise AssertionError("the plan never began")


async def test_a_retired_model_is_refused_in_every_book(house: House) -> None:
    await house.begin()
    await house.serve()
    await plan(house, "pro", 20_000)
    await assign(house, "pro")
    assert (await ask(house)).status_code == 200
    async with house.operator.work() as work:
        await prices.retire(work, "sandbox/chat")
    await house.heard()
    answer = await ask(house)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_priced")


async def test_an_untouched_snapshot_keeps_what_is_known_of_calls(house: House) -> None:
    """Prices are read again every 30 s; where nothing changed, nothing is worked out anew."""
    await house.begin()
    await house.serve()
    await house.heard()
    version = house.pipeline._plans.version
    await house.pipeline._read_prices()
    assert house.pipeline._plans.version is version
    await plan(house, "pro", 20_000)
    assert house.pipeline._plans.version is not version


async def test_a_closed_route_is_closed_in_every_book(house: House) -> None:
    await house.begin()
    await house.serve()
    await plan(house, "pro", 20_000)
    await assign(house, "pro")
    async with house.operator.work() as work:
        price = (await prices.current(work, "pro"))["sandbox/chat"]
    async with house.pool.work() as work:
        await work.run("SELECT ledger.route_close(%s, 10)", price.id)
    await house.heard()
    answer = await ask(house)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "route_closed")
    await assign(house, "list")
    assert (await ask(house)).status_code == 503
    assert house.sql("SELECT price_id FROM ledger.route_closed") == [(price.listed,)]
