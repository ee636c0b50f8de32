"""Which target a call goes to: routes, stand-ins, data policies, names that retire; and what follows when one fails."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from dialect_calls import DIALECTS, call, ends_well, error_of
from fixtures_gateway import House
from ruxa.access.conditions import read
from ruxa.egress.provider import Facts
from ruxa.egress.sandbox.server import Server
from ruxa.gateway import lawful, order
from ruxa.gateway.breaker import FAILURES_MIN
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.settings import ModelSettings, ProviderSettings
from ruxa.ledger import prices, routing
from ruxa.ledger.routing import By, Goal

pytestmark = pytest.mark.usefixtures("no_days")

PATHS = {"openai_chat": "/v1", "anthropic_messages": "/v1", "gemini_generate": "/v1beta"}
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


class Upstreams:
    """Providers by name, each a sandbox of its own."""

    def __init__(self) -> None:
        self.of: dict[str, Server] = {}

    def asked(self) -> dict[str, int]:
        """How often each was asked."""
        return {name: server.requests for name, server in self.of.items()}


async def providers(
    house: House,
    dialects: dict[str, str],
    *,
    facts: dict[str, dict[str, Any]] | None = None,
    fails: dict[str, str] | None = None,
    rates: dict[str, tuple[int, int]] | None = None,
    away: tuple[str, ...] = (),
    **wish: Any,
) -> Upstreams:
    """A house with providers of one dialect each. fails: provider -> the sandbox model that stands behind it."""
    await house.begin(scope="live", **wish)
    made = Upstreams()
    settings: dict[str, ProviderSettings] = {}
    models: dict[str, ModelSettings] = {}
    async with house.operator.work() as work:
        for name, dialect in dialects.items():
            server = made.of[name] = Server(pace_ms=0)
            await server.listen("127.0.0.1", 0)
            house.closing(server.close)
            port = 9 if name in away else server.port
            settings[name] = ProviderSettings(
                base_url=f"http://127.0.0.1:{port}{PATHS[dialect]}", dialect=dialect, key="env:KEY",
                **(facts or {}).get(name, {}),
            )  # fmt: skip
            models[f"{name}/m"] = ModelSettings(upstream_model=(fails or {}).get(name, "sandbox/chat"))
            inward, outward = (rates or {}).get(name, (2_000_000, 6_000_000))
            rate = prices.rates(inward, outward, input_tokens_max=100_000, output_tokens_max=2_000)
            await prices.put(work, f"{name}/m", rate, source="test")
    await house.serve(providers=settings, models=models)
    return made


async def route(house: House, name: str, *goals: str | tuple[str, int], by: By = "order", **more: Any) -> None:
    """Set it, and wait until the worker has been told."""
    await house.notices.settled()
    version = house.pipeline._plans.version
    async with house.operator.work() as work:
        await routing.put(
            work, name, [Goal(goal) if isinstance(goal, str) else Goal(*goal) for goal in goals], by=by, **more
        )
    for _ in range(200):
        if house.pipeline._plans.version is not version:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the worker was not told of the route")


async def ask(house: House, model: str, text: str = "hello", *, dialect: str = "openai_chat", **more: Any) -> Any:
    headers = house.headers(**more.pop("headers", {}))
    path, body = call(dialect, model, text, **more)
    return await house.client.post(path, json=body, headers=headers)


TWO = {"one": "openai_chat", "two": "anthropic_messages"}


@each_dialect
@streamed_or_not
@pytest.mark.parametrize("fault", ["429", "503", "529", "401", "first-frame-error"])
async def test_the_next_target_answers_when_the_first_did_not(
    house: House, dialect: str, stream: bool, fault: str
) -> None:
    made = await providers(house, TWO, fails={"one": f"sandbox/fail-{fault}"})
    await route(house, "best", "one/m", "two/m")
    answer = await ask(house, "best", dialect=dialect, stream=stream)
    if fault == "first-frame-error" and not stream:  # a whole answer has no first frame: nobody knows what was done
        assert answer.status_code >= 500
        assert made.asked()["two"] == 0
        return
    assert answer.status_code == 200, answer.text
    assert ends_well(dialect, answer.content) if stream else answer.json()
    assert made.asked() == {"one": 1, "two": 1}
    row = await house.row(answer.headers["x-request-id"])
    assert (row["model"], row["provider"], row["attempts"]) == ("two/m", "two", 2)
    assert (answer.headers["ruxa-provider"], answer.headers["ruxa-model"]) == ("two", "two/m")
    assert row["amount_micros"] > 0
    await house.stop()
    assert not house.proofs()


async def test_a_provider_that_is_not_there_is_stood_in_for(house: House) -> None:
    made = await providers(house, TWO, away=("one",))
    answer = await ask(house, "one/m", models=["two/m"])
    assert answer.status_code == 200, answer.text
    assert made.asked() == {"one": 0, "two": 1}
    assert "models" not in answer.headers.get("ruxa-lossy", "")
    answer = await ask(house, "one/m", headers={"ruxa-models": "two/m"})
    assert answer.status_code == 200, answer.text
    answer = await ask(house, "two/m", models=["one/m"])
    assert answer.status_code == 200
    last = made.of["two"].last
    assert last is not None
    body: dict[str, Any] = json.loads(last.body)
    assert "models" not in body
    answer = await ask(house, "one/m", models="two/m")
    assert answer.status_code == 400
    assert error_of("openai_chat", answer.content)["param"] == "models"
    answer = await ask(house, "one/m", models=["no/such"])
    assert answer.status_code == 404
    await house.stop()
    assert not house.proofs()


@pytest.mark.parametrize("fault", ["400", "500", "mid-stream-death"])
async def test_what_may_have_been_done_is_not_done_twice(house: House, fault: str) -> None:
    made = await providers(house, TWO, fails={"one": f"sandbox/fail-{fault}"})
    await route(house, "best", "one/m", "two/m")
    answer = await ask(house, "best", stream=fault == "mid-stream-death")
    assert answer.status_code in (200, 400, 502)
    assert made.asked()["two"] == 0
    assert (await house.rows(1))[0]["amount_micros"] == 0


async def test_a_failing_target_is_given_a_pause_and_asked_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await providers(house, TWO, fails={"one": "sandbox/fail-500"})
    await route(house, "best", "one/m", "two/m")
    for _ in range(FAILURES_MIN):
        await ask(house, "best")
    asked = made.asked()["one"]
    for _ in range(3):
        answer = await ask(house, "best")
        assert answer.status_code == 200, answer.text
    assert made.asked()["one"] == asked, "its breaker is open"
    target = house.pipeline._plans._targets["one/m"]
    target.breaker.open_until = 0.001  # the pause is over: half open
    target.upstream_model = "sandbox/chat"
    target.aim = target.aim.__class__(model="sandbox/chat")
    answer = await ask(house, "best")
    assert answer.status_code == 200
    assert made.asked()["one"] == asked + 1, "one call tries it, in its usual place"
    assert not target.breaker.open_until


async def test_weights_share_and_a_conversation_stays(house: House) -> None:
    await providers(house, {"one": "openai_chat", "two": "openai_chat"})
    await route(house, "both", ("one/m", 3), ("two/m", 1), by="weight")
    firsts: dict[int, str] = {}
    for number in range(40):
        answer = await ask(house, "both", f"conversation {number}")
        firsts[number] = (await house.row(answer.headers["x-request-id"]))["model"]
    shares = Counter(firsts.values())
    assert 20 <= shares["one/m"] <= 38, shares
    for number in (0, 7, 13):
        messages = [
            {"role": "user", "content": f"conversation {number}"},
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": f"more {number * 17}"},
        ]
        answer = await ask(house, "both", messages=messages)
        assert (await house.row(answer.headers["x-request-id"]))["model"] == firsts[number]


async def test_price_and_latency_decide_where_the_route_says_so(house: House) -> None:
    await providers(
        house,
        {"dear": "openai_chat", "cheap": "gemini_generate"},
        rates={"dear": (9_000_000, 9_000_000), "cheap": (1, 1)},
    )
    await route(house, "thrifty", "dear/m", "cheap/m", by="price")
    answer = await ask(house, "thrifty")
    assert (await house.row(answer.headers["x-request-id"]))["model"] == "cheap/m"
    await route(house, "swift", "dear/m", "cheap/m", by="latency")
    targets = house.pipeline._plans._targets
    targets["dear/m"].pace.first_s, targets["cheap/m"].pace.first_s = 0.5, 0.6
    for stream in (False, True):
        answer = await ask(house, "swift", stream=stream)
        assert (await house.row(answer.headers["x-request-id"]))["model"] == "dear/m"
        assert targets["dear/m"].pace.first_s < 0.5, "what it took this time counts"
        targets["dear/m"].pace.first_s = 0.5


async def test_a_dearer_stand_in_is_never_over_the_balance(house: House) -> None:
    made = await providers(
        house,
        TWO,
        fails={"one": "sandbox/fail-503"},
        rates={"one": (1_000_000, 1_000_000), "two": (900_000_000, 900_000_000)},
        credit_micros=20_000,
    )
    await route(house, "best", "one/m", "two/m")
    answer = await ask(house, "best", max_tokens=100)
    assert answer.status_code == 503
    assert made.asked()["two"] == 0
    await house.credit(5_000_000, "live")
    answer = await ask(house, "best", max_tokens=100)
    assert answer.status_code == 200, answer.text
    row = await house.row(answer.headers["x-request-id"])
    assert row["model"] == "two/m"
    assert row["hold_micros"] >= row["amount_micros"] > 5_000
    await house.stop()
    assert not house.proofs()


LAWFUL = {
    "strict": {"zero_retention": True, "trains": False, "where": "DE", "mechanism": "own"},
    "lax": {"where": "US"},
}


async def test_who_may_not_get_a_call_does_not_get_it(house: House) -> None:
    made = await providers(
        house,
        {"lax": "openai_chat", "strict": "anthropic_messages"},
        facts=LAWFUL,
        fails={"strict": "sandbox/fail-503"},
    )
    await route(house, "any", "lax/m", "strict/m")
    answer = await ask(house, "any")
    assert made.asked() == {"lax": 1, "strict": 0}
    for policy in ("zero-retention", "no-training", "region=EU", "no-training, region=eu|ch, mechanism=scc"):
        answer = await ask(house, "any", headers={"ruxa-policy": policy})
        assert answer.status_code == 503, "the only lawful one is busy, and nobody else stands in"
    assert made.asked() == {"lax": 1, "strict": 4}
    answer = await ask(house, "lax/m", headers={"ruxa-policy": "region=EU, zero-retention"})
    assert answer.status_code == 403
    error = error_of("openai_chat", answer.content)
    assert error["code"] == "no_lawful_route"
    assert "region=EU" in error["message"]
    answer = await ask(house, "any", headers={"ruxa-policy": "be nice"})
    assert answer.status_code == 400
    assert error_of("openai_chat", answer.content)["code"] == "bad_policy"
    _, secret = await house.key(conditions=("no-training",))
    answer = await house.client.post(
        "/v1/chat/completions",
        json=call("openai_chat", "lax/m", "x")[1],
        headers={"authorization": f"Bearer {secret}"},
    )
    assert answer.status_code == 403
    assert "no-training" in answer.text


async def test_a_name_that_retires_says_so_and_then_names_its_successor(house: House) -> None:
    await providers(house, TWO)
    soon = house.database.clock.now() + timedelta(days=3)
    await route(house, "old", "one/m", retires_at=soon, successor="two/m")
    answer = await ask(house, "old")
    assert answer.status_code == 200
    assert answer.headers["ruxa-notice"] == f"old retires on {soon:%Y-%m-%d}; use two/m"
    assert answer.headers["deprecation"] == "true"
    listed = (await house.client.get("/v1/models", headers=house.headers())).json()["data"]
    assert "old" in {each["id"] for each in listed}
    await route(house, "old", "one/m", retires_at=soon - timedelta(days=9), successor="two/m")
    answer = await ask(house, "old")
    assert answer.status_code == 404
    error = error_of("openai_chat", answer.content)
    assert error["code"] == "model_retired"
    assert "two/m" in error["message"]
    async with house.operator.work() as work:
        assert [each.retires_at for each in await routing.history(work, "old")] == [soon - timedelta(days=9), soon]
        assert await routing.remove(work, "old")
        assert "old" not in await routing.current(work)


async def test_a_key_may_name_a_route_and_gets_its_targets(house: House) -> None:
    await providers(house, TWO, models=("best",))
    await route(house, "best", "one/m", "two/m")
    assert (await ask(house, "best")).status_code == 200
    assert (await ask(house, "one/m")).status_code == 403


async def test_thinking_of_one_vendor_is_lost_at_another_or_refused(house: House) -> None:
    made = await providers(house, {"claude": "anthropic_messages", "gem": "gemini_generate"})
    tools = [{"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
    asked: dict[str, Any] = {"tools": tools, "thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 1500}
    path, body = call("anthropic_messages", "claude/m", "Use get_weather for Ulm.", **asked)
    first = (await house.client.post(path, json=body, headers=house.headers())).json()
    assert [block["type"] for block in first["content"]] == ["thinking", "tool_use"]
    tool = first["content"][1]
    body["messages"] += [
        {"role": "assistant", "content": first["content"]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": tool["id"], "content": "Sunny."}]},
    ]
    house.pipeline._plans._targets["claude/m"].breaker.open_until = 1e12
    body["models"] = ["gem/m"]
    answer = await house.client.post(path, json=body, headers=house.headers())
    assert answer.status_code == 200, answer.text
    assert "thinking" in answer.headers["ruxa-lossy"].split(", ")
    before = made.asked()["gem"]
    answer = await house.client.post(path, json=body, headers=house.headers(**{"ruxa-strict": "true"}))
    assert answer.status_code in (400, 503)
    assert made.asked()["gem"] == before


def test_unknown_is_the_worst() -> None:
    unknown = Facts()
    for condition in ("zero-retention", "no-training", "region=US", "mechanism=scc"):
        assert not lawful.fulfils(unknown, condition)
    own = Facts(where="own", retention_days=0, trains=False, mechanism="own")
    for condition in ("zero-retention", "no-training", "region=EU", "mechanism=scc"):
        assert lawful.fulfils(own, condition)
    assert lawful.fulfils(Facts(where="no"), "region=EEA")
    assert not lawful.fulfils(Facts(where="NO"), "region=EU")
    assert not lawful.fulfils(Facts(trains=True), "no-training")
    assert lawful.fulfils(Facts(zero_retention=True), "zero-retention")
    assert not lawful.fulfils(Facts(zero_retention=False, retention_days=30), "zero-retention")


def test_conditions_have_one_spelling() -> None:
    assert read(["region=ch|eu", "No_Training", "no-training", ""]) == ("no-training", "region=CH|EU")
    for wrong in ("region", "region=", "no-training=x", "region=a b", "mechanism=" + "x" * 99):
        with pytest.raises(InvalidCall):
            read([wrong])


class Named:
    """A target."""

    def __init__(self, model: str) -> None:
        self.model = model


def test_a_target_that_goes_moves_only_its_own_calls() -> None:
    targets = [Named(f"p/{number}") for number in range(5)]
    prefixes = [number.to_bytes(4, "big") for number in range(500)]
    before = {prefix: order.shared(targets, [1] * 5, prefix)[0].model for prefix in prefixes}
    after = {prefix: order.shared(targets[1:], [1] * 4, prefix)[0].model for prefix in prefixes}
    moved = [prefix for prefix in prefixes if before[prefix] != after[prefix]]
    assert all(before[prefix] == "p/0" for prefix in moved)
    assert 60 <= len(moved) <= 140
