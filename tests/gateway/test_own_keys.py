"""Customers' own provider keys: whose key goes out, what it costs, who is told what, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from dialect_calls import DIALECTS, call
from fixtures_gateway import House
from ruxa.access import provider_keys
from ruxa.egress.sandbox.server import Server
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import InvalidCall, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.settings import ModelSettings, ProviderSettings
from ruxa.ledger import plans, prices

OWN = "sk-own-key-of-the-customer-7Qx9"
HOUSES = "upstream-secret-canary"
PATHS = {"openai_chat": "/v1", "anthropic_messages": "/v1", "gemini_generate": "/v1beta"}


async def provider(
    house: House, dialect: str = "openai_chat", *, stands_for: str = "sandbox/chat", credit_micros: int = 5_000_000
) -> Server:
    """A house with the provider ``one``, which the sandbox plays."""
    await house.begin(scope="live", credit_micros=credit_micros)
    server = Server(pace_ms=0)
    await server.listen("127.0.0.1", 0)
    house.closing(server.close)
    async with house.operator.work() as work:
        rates = prices.rates(2_000_000, 6_000_000, input_tokens_max=100_000, output_tokens_max=2_000)
        await prices.put(work, "one/m", rates, source="test")
    base = f"http://127.0.0.1:{server.port}{PATHS[dialect]}"
    await house.serve(
        providers={"one": ProviderSettings(base_url=base, dialect=dialect, key="env:KEY")},
        models={"one/m": ModelSettings(upstream_model=stands_for)},
    )
    return server


async def ask(house: House, *, dialect: str = "openai_chat", secret: str = "", **more: Any) -> Any:
    path, body = call(dialect, "one/m", "hello", **more)
    headers = house.headers(**({"authorization": f"Bearer {secret}"} if secret else {}))
    return await house.client.post(path, json=body, headers=headers)


async def put(house: House, provider: str = "one", secret: str = OWN, **more: Any) -> None:
    async with house.operator.work() as work:
        await plans.own_book(work, await plans.of(work, house.organisation_ref))
    async with house.console.work() as work:
        await provider_keys.put(work, house.vault, house.organisation_id, provider, Sealed(secret), **more)
    await house.heard()


async def remove(house: House, provider: str = "one") -> None:
    async with house.console.work() as work:
        await provider_keys.remove(work, house.organisation_id, provider)
    await house.heard()


def keys_sent(server: Any) -> str:
    """The header lines of the last request that could hold a key."""
    return json.dumps(
        [line for line in server.raw_headers if line[0] in ("authorization", "x-api-key", "x-goog-api-key")]
    )


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_organisations_key_goes_out_and_the_call_is_free(house: House, dialect: str) -> None:
    server = await provider(house, dialect)
    await ask(house, dialect=dialect)
    assert HOUSES in keys_sent(server)
    await put(house)
    answer = await ask(house, dialect=dialect)
    assert answer.status_code == 200, answer.text
    assert OWN in keys_sent(server)
    assert HOUSES not in keys_sent(server)
    assert answer.headers["ruxa-cost-micros"] == "0"
    row = await house.row(answer.headers["x-request-id"])
    async with house.operator.work() as work:
        price = await prices.by_id(work, (await prices.current(work, "own:list"))["one/m"].id)
    assert price is not None
    assert (row["price_id"], row["amount_micros"], row["output_tokens"] > 0) == (str(price[0].id), 0, True)
    await remove(house)
    await ask(house, dialect=dialect)
    assert HOUSES in keys_sent(server)
    await house.stop()
    assert not house.proofs()


async def test_a_key_that_comes_before_its_prices_waits_for_them(house: House) -> None:
    server = await provider(house)
    async with house.operator.work() as work:
        await plans.own_book(work, await plans.of(work, house.organisation_ref))
    async with house.console.work() as work:
        await provider_keys.put(work, house.vault, house.organisation_id, "one", Sealed(OWN))
    await house.heard()
    # As it is when the notice of the key was quicker than the one of the prices.
    plan = house.pipeline._plans
    plan.update({name: book for name, book in plan._books.items() if not name.startswith("own:")})
    answer = await ask(house)
    assert answer.status_code == 200, answer.text
    assert OWN in keys_sent(server)
    await house.stop()


async def test_a_fee_is_charged_and_a_balance_is_needed_only_for_it(house: House) -> None:
    await provider(house, credit_micros=0)
    assert (await ask(house)).status_code == 402
    await put(house)
    assert (await ask(house)).status_code == 200, "free calls need no balance"
    async with house.operator.work() as work:
        await plans.put(work, "own:list", 1_000)
    await house.heard()
    assert (await ask(house)).status_code == 402
    await house.credit(1_000_000, "live")
    for stream in (False, True):
        answer = await ask(house, stream=stream)
        assert answer.status_code == 200
        row = await house.row(answer.headers["x-request-id"])
        full = row["input_tokens"] * 200_000 + (row["output_tokens"] + row["reasoning_tokens"]) * 600_000
        assert row["amount_micros"] == -(-full // 1_000_000) > 0
    async with house.operator.work() as work:
        lines = [line for line in await _report(work, house) if line.book == "own:list"]
    assert lines[0].amount_micros > 0
    assert lines[0].cost_micros == 0
    await house.stop()
    assert not house.proofs()


async def _report(work: Any, house: House) -> list[plans.Line]:
    today = Clock().now().date()
    return await plans.report(work, today - timedelta(days=40), today + timedelta(days=1), house.organisation_ref)


async def test_unknown_fields_pass_on_the_customers_own_key_only(house: House) -> None:
    server = await provider(house)
    body = {"model": "one/m", "messages": [{"role": "user", "content": "hello"}], "brand_new_knob": 7, "user": "anna"}
    answer = await house.client.post("/v1/chat/completions", json=body, headers=house.headers())
    assert answer.headers["ruxa-lossy"] == "brand_new_knob"
    await put(house)
    answer = await house.client.post("/v1/chat/completions", json=body, headers=house.headers())
    assert "ruxa-lossy" not in answer.headers
    assert server.last is not None
    sent = json.loads(server.last.body)
    assert sent["brand_new_knob"] == 7
    assert sent["user"] != "anna", "identities never leave as they are"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("fault", "status", "code"), [("401", 401, "own_key_refused"), ("quota", 402, "own_key_quota")]
)
async def test_a_refusal_of_the_own_key_is_told_and_the_houses_is_not_asked(
    house: House, fault: str, status: int, code: str, stream: bool
) -> None:
    server = await provider(house, stands_for=f"sandbox/fail-{fault}")
    await put(house)
    answer = await ask(house, stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert "7Qx9" in answer.text
    assert OWN not in answer.text + str(answer.headers) + json.dumps(house.told.events)
    assert server.requests == 1
    row = await house.row(answer.headers["x-request-id"])
    assert (row["error_code"], row["amount_micros"]) == (code, 0)


@pytest.mark.parametrize("fee", [0, 500])
async def test_the_houses_key_stands_in_where_the_organisation_asked_for_it(house: House, fee: int) -> None:
    """The provider refuses the own key and takes the house's: the call is paid for as the plan says."""
    server = await provider(house, stands_for="sandbox/chat")
    await put(house, house_stands_in=True)
    async with house.operator.work() as work:
        await plans.put(work, "own:list", fee)
    await house.heard()
    mine = int((await ask(house)).headers["ruxa-cost-micros"])
    assert (mine > 0) is (fee > 0)
    await _denied(house)
    for stream in (False, True):
        server.requests = 0
        answer = await ask(house, stream=stream)
        assert answer.status_code == 200, answer.text
        assert server.requests == 1
        assert HOUSES in keys_sent(server)
        row = await house.row(answer.headers["x-request-id"])
        async with house.operator.work() as work:
            assert row["price_id"] == str((await prices.current(work))["one/m"].id)
        assert row["amount_micros"] > mine
        assert row["lease_id"]
    await house.stop()
    assert not house.proofs()


async def _denied(house: House) -> None:
    """From now on the provider is asked with the own key at a place that refuses it."""
    refusing = Server(pace_ms=0)
    await refusing.listen("127.0.0.1", 0)
    house.closing(refusing.close)
    entry = next(iter(house.pipeline._snapshot._entries.values()))
    target = entry.own.offer.targets["one/m"]
    target.upstream_model = "sandbox/fail-401"
    pool = house.pipeline._pool
    pool.register.allow(target.provider.recipient, "127.0.0.1", refusing.port)
    target.upstream = pool.upstream(msgspec.structs.replace(target.provider.origin, port=refusing.port))


async def test_breakers_are_of_one_key_each(house: House) -> None:
    await provider(house)
    await put(house)
    await ask(house)
    entry = next(iter(house.pipeline._snapshot._entries.values()))
    mine = entry.own.offer.targets["one/m"]
    theirs = house.pipeline._plans._targets["one/m"]
    assert mine.breaker is not theirs.breaker
    mine.breaker.open_until = 1e12
    assert (await ask(house)).status_code == 503
    await remove(house)
    assert (await ask(house)).status_code == 200


async def test_a_removed_key_is_gone_from_memory(house: House) -> None:
    await provider(house)
    await put(house)
    _, second = await house.key()
    for secret in (house.secret, second):
        await ask(house, secret=secret)
    entries = list(house.pipeline._snapshot._entries.values())
    assert entries[0].own is entries[1].own
    held = weakref.ref(entries[0].own)
    entries.clear()
    await remove(house)
    for _ in range(100):
        gc.collect()
        if held() is None:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("somebody still holds it")


async def test_a_key_dies_with_its_organisation(house: House) -> None:
    await house.begin()
    async with house.console.work() as work:
        await provider_keys.put(work, house.vault, house.organisation_id, "one", Sealed(OWN))
        assert [(one.provider, one.ending) for one in await provider_keys.listed(work, house.organisation_id)] == [
            ("one", "7Qx9")
        ]
    sealed = house.sql("SELECT secret_sealed FROM access.provider_key")[0][0]
    assert OWN.encode() not in bytes(sealed)
    async with house.console.work() as work:
        assert await provider_keys.put(work, house.vault, house.organisation_id, "one", Sealed("short-key"))
        assert [one.ending for one in await provider_keys.listed(work, house.organisation_id)] == [""]
        for wrong in ("", "has blank in it", "line\nend-1234", "rx_live_" + "a" * 39, "é" * 20, "x" * 1025):
            with pytest.raises(InvalidCall) as refused:
                await provider_keys.put(work, house.vault, house.organisation_id, "one", Sealed(wrong))
            assert refused.value.code == "bad_provider_key"
            assert not wrong or wrong not in str(refused.value)
        await provider_keys.remove(work, house.organisation_id, "one")
        with pytest.raises(NotFound):
            await provider_keys.remove(work, house.organisation_id, "one")
