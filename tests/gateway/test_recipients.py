"""Two contracts with one vendor, so two providers at one host and port: each is told, counted and described alone."""

from __future__ import annotations

from fixtures_gateway import House
from ruxa.egress.provider import CONTENT, STAND_IN
from ruxa.egress.sandbox.server import Server
from ruxa.egress.tally import Line
from ruxa.kernel.settings import ModelSettings, ProviderSettings
from ruxa.ledger import prices

ASK = {"messages": [{"role": "user", "content": "hello"}]}


async def test_providers_at_one_place_are_recipients_of_their_own(house: House) -> None:
    await house.begin(scope="live")
    server = Server(pace_ms=0)
    await server.listen("127.0.0.1", 0)
    house.closing(server.close)
    base = f"http://127.0.0.1:{server.port}/v1"
    async with house.operator.work() as work:
        for name in ("strict", "lax"):
            await prices.put(work, f"{name}/m", prices.rates(1, 1, output_tokens_max=100), source="test")
    await house.serve(
        providers={
            "strict": ProviderSettings(
                base_url=base, dialect="openai_chat", key="env:KEY", where="IE", zero_retention=True, trains=False
            ),
            "lax": ProviderSettings(base_url=base, dialect="openai_chat", key="env:KEY", where="US", retention_days=30),
        },
        models={f"{name}/m": ModelSettings(upstream_model="sandbox/chat") for name in ("strict", "lax")},
    )
    for body in ({"model": "strict/m", **ASK}, {"model": "strict/m", "user": "ann", **ASK}, {"model": "lax/m", **ASK}):
        answer = await house.client.post("/v1/chat/completions", json=body, headers=house.headers())
        assert answer.status_code == 200, answer.text

    pool = house.pipeline._pool
    declared = pool.register.destinations()["127.0.0.1", server.port]
    assert {one.name: one.where for one in declared} == {"strict": "IE", "lax": "US"}
    pool.count(CONTENT, STAND_IN)
    assert sorted(pool.register.tally.take()) == [
        Line("lax", "127.0.0.1", CONTENT, 1),
        Line("strict", "127.0.0.1", CONTENT, 2),
        Line("strict", "127.0.0.1", STAND_IN, 1),
    ]
    listed = (await house.client.get("/api/v1/models", headers=house.headers())).json()["models"]
    kept = {one["provider"]: one["recipient"]["retention_days"] for one in listed}
    assert kept == {"strict": 0, "lax": 30}
