"""Three providers of one dialect each, played by one sandbox: what calls are translated for."""

from __future__ import annotations

import json
from typing import Any

from fixtures_gateway import House
from ruxa.dialects.translator import Way
from ruxa.egress.sandbox.server import Server
from ruxa.gateway.plan import WAYS
from ruxa.kernel.settings import ModelSettings, ProviderSettings
from ruxa.ledger import prices

SPEAK = {"oc": "openai_chat", "am": "anthropic_messages", "gg": "gemini_generate"}
BASES = {"oc": "/v1", "am": "/v1", "gg": "/v1beta"}


async def vendors(house: House, *, without: tuple[Way, ...] = (), pace_ms: int = 0, **wish: Any) -> Server:
    """Three providers of one dialect each, all played by one sandbox."""
    await house.begin(scope="live", **wish)
    ways = tuple(way for way in WAYS if way not in without)
    async with house.operator.work() as work:
        for name in SPEAK:
            rates = prices.rates(2_000_000, 6_000_000, input_tokens_max=100_000, output_tokens_max=2_000)
            await prices.put(work, f"{name}/chat", rates, source="test")
            await prices.put(work, f"{name}/embedding", prices.rates(1_000_000, 0), source="test")
    sandbox = Server(pace_ms=pace_ms)
    await sandbox.listen("127.0.0.1", 0)
    house.closing(sandbox.close)
    await house.serve(
        providers={
            name: ProviderSettings(
                base_url=f"http://127.0.0.1:{sandbox.port}{BASES[name]}", dialect=dialect, key="env:KEY"
            )
            for name, dialect in SPEAK.items()
        },
        models={
            f"{name}/{model}": ModelSettings(upstream_model=f"sandbox/{model}", ways=ways)
            for name in SPEAK
            for model in ("chat", "embedding")
        },
    )
    return sandbox


def sent(sandbox: Server) -> dict[str, Any]:
    """The last body that the provider got."""
    assert sandbox.last is not None
    return json.loads(sandbox.last.body)
