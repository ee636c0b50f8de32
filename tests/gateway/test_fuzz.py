"""A gateway under damage from both sides: damaged calls of every dialect, to providers of every dialect whose answers
are damaged too. Nothing is ever our own fault, nothing hangs, nothing grows, and who got no answer pays nothing."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import Counter
from pathlib import Path
from random import Random

import httpx
import pytest

from conftest import Sizes
from dialect_calls import error_of
from fixtures_gateway import House
from mutations import answers, cut, damaged, damaged_stream, requests
from ruxa.egress.conformance import case
from ruxa.egress.conformance.configs import ways
from ruxa.egress.http import Deadlines
from ruxa.egress.sandbox.reply import Asked, Said, Step
from ruxa.egress.sandbox.script import dialect_of, wants_stream
from ruxa.egress.sandbox.server import Server
from ruxa.gateway import attempt, breaker
from ruxa.kernel import bounds
from ruxa.kernel.settings import ModelSettings, ProviderSettings
from ruxa.ledger import prices

# What would be looked for in the network.
REMOTE = re.compile(rb'"(url|image_url|file_url|fileUri|file_uri)"\s*:\s*(\{\s*"url"\s*:\s*)?"(https?:|\{\{)')
NAMES = ("openai_chat", "openai_responses", "anthropic_messages", "gemini_generate")
QUICK = Deadlines(connect_s=2, first_byte_s=2, between_s=2, whole_s=5)
HANGS_S = 10
AT_ONCE = 16
GROWTH_BYTES_MAX = 48 * 1024 * 1024
UPSTREAM_FAULTS = {502, 503, 504}


class Damaged(Server):
    """A provider of every dialect that answers something of the wire cases, mostly damaged."""

    def __init__(self, seed: str) -> None:
        super().__init__(pace_ms=0)
        self._random = Random(seed)
        self.harm = False

    def answer(self, asked: Asked) -> Said:
        """Whatever comes."""
        random, dialect = self._random, dialect_of(asked.path)
        whole, frames = random.choice([each for each in answers(dialect or "openai_chat") if len(each[1]) > 1])
        if not self.harm:
            return said(asked, whole, list(frames))
        if random.random() < 0.1:
            return Said(status=random.choice((400, 401, 404, 409, 429, 500, 503, 529)), body=damaged(random, whole))
        if random.random() < 0.1:
            return Said(body=damaged(random, whole))  # whatever was asked for
        pieces = cut(random, damaged_stream(random, frames))[:400]
        told = said(asked, damaged(random, whole), pieces)
        if told.steps is not None and random.random() < 0.2:
            told.steps.append(Step(b"", drop=True))
        return told


def said(asked: Asked, whole: bytes, pieces: list[bytes]) -> Said:
    if wants_stream(asked):
        return Said(content_type="text/event-stream", steps=[Step(piece) for piece in pieces])
    return Said(body=whole)


async def vendors(house: House, upstream: Damaged) -> None:
    """The providers of the wire cases, played by one server."""
    await house.begin(scope="live", credit_micros=50_000_000)
    models = case.models()
    async with house.operator.work() as work:
        for code, model in models:
            rates = prices.rates(1_000, 1_000, input_tokens_max=100_000, output_tokens_max=2_000)
            await prices.put(work, case.public(code, model), rates, source="test")
    await upstream.listen("127.0.0.1", 0)
    house.closing(upstream.close)
    url = f"http://127.0.0.1:{upstream.port}"
    codes = {case.public(code, model).partition("/")[0]: code for code, model in models}
    await house.serve(
        providers={
            name: ProviderSettings(
                base_url=url + ("/v1beta" if code == "GG" else "/v1"), dialect=case.DIALECTS[code], key="env:KEY"
            )
            for name, code in codes.items()
        },
        models={case.public(code, model): ModelSettings(ways=tuple(ways(code, model))) for code, model in models},
        deadlines=QUICK,
    )


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.timeout(600)
async def test_damage_from_both_sides(house: House, name: str, sizes: Sizes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "FAILURES_MIN", 1 << 30)
    monkeypatch.setattr(attempt, "BACKOFF_S", (0.0, 0.0))
    monkeypatch.setattr(attempt, "PATIENCE_S", 0)
    monkeypatch.setattr(bounds, "FIGURE_OVER_HOLD_PERCENT", 1 << 60)  # figures without measure would close the routes
    upstream = Damaged(name)
    await vendors(house, upstream)
    random = Random(f"calls {name}")
    known = [each for each in requests(name) if not REMOTE.search(each[1])]
    assert len(known) > 10
    seen: Counter[int] = Counter()
    count = sizes["fuzz"]

    async def one(path: str, body: bytes, whose: str) -> None:
        try:
            async with asyncio.timeout(HANGS_S):
                answer = await house.client.post(path, content=body, headers=house.headers())
        except httpx.RemoteProtocolError:
            raise AssertionError(f"{whose}: the connection broke: {body[:3000]!r}") from None
        except TimeoutError:
            raise AssertionError(f"{whose}: hangs: {body[:3000]!r}") from None
        seen[answer.status_code] += 1
        if answer.status_code == 200:
            return
        if answer.status_code == 500:
            broken = [fields for event, fields in house.told.events if event == "broken"]
            pytest.fail(f"{whose}: {broken} {path} {body!r}")
        told = error_of("openai_chat" if name == "openai_responses" else name, answer.content)
        assert told["message"], answer.content
        assert answer.headers["x-request-id"].startswith("req_")
        allowed = range(400, 500) if whose == "caller" else (*range(400, 500), *UPSTREAM_FAULTS)
        assert answer.status_code in allowed, (whose, answer.text, body[:3000])

    async def many(calls: int, whose: str) -> None:
        for at in range(0, calls, AT_ONCE):
            asked = [random.choice(known) for _ in range(min(AT_ONCE, calls - at))]
            if whose == "caller":
                asked = [(path, damaged(random, body)) for path, body in asked]
            await asyncio.gather(*(one(path, body, whose) for path, body in asked))

    await many(count // 4, "caller")
    upstream.harm = True
    await many(count // 4, "provider")
    before = resident_bytes()
    upstream.harm = False
    await many(count // 4, "caller")
    upstream.harm = True
    await many(count // 4, "provider")
    assert resident_bytes() - before < GROWTH_BYTES_MAX
    assert seen[200] > count // 20
    assert sum(seen[status] for status in UPSTREAM_FAULTS) > count // 20
    assert "broken" not in house.told.names(), [event for event in house.told.events if event[0] == "broken"][:5]
    rows = await house.rows()
    await house.stop()
    rows = await house.rows()
    assert len(rows) >= count * 3 // 4
    for row in rows:
        if row["status"] >= 400 or row["error_code"]:
            assert row["amount_micros"] == 0, json.dumps(row)
    assert not house.proofs()
