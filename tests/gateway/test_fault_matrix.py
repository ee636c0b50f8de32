"""Every fault of the sandbox, from a provider of every dialect, to a caller of every dialect, whole and streamed: the
status or the terminal event, the charge, the tries, and what the breaker makes of it are those of the documented table
(``docs/reference/faults.md`` is written from the same data)."""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from dialect_calls import call, error_of, frames
from fixtures_gateway import House
from ruxa.egress.http import Deadlines
from ruxa.egress.sandbox import faults, server
from ruxa.egress.sandbox.server import Server
from ruxa.gateway import attempt, breaker
from ruxa.gateway.plan import WAYS
from ruxa.kernel.settings import ModelSettings, ProviderSettings
from ruxa.ledger import prices

sys.path.append(str(Path(__file__).parents[2] / "tools"))
import outcomes as table

CALLERS = ("openai_chat", "openai_responses", "anthropic_messages", "gemini_generate")
PATIENT = Deadlines(connect_s=5, first_byte_s=15, between_s=15, whole_s=30)
QUICK = Deadlines(connect_s=5, first_byte_s=0.3, between_s=5, whole_s=30)
Row = dict[str, Any]


def asked(caller: str, model: str, text: str, stream: bool) -> tuple[str, Row]:
    if caller == "openai_responses":
        return "/v1/responses", {"model": model, "input": text, "stream": stream}
    path, body = call(caller, model, text, stream=stream)
    if stream and caller == "openai_chat":
        body["stream_options"] = {"include_usage": True}
    return path, body


def terminal(caller: str, body: bytes) -> str:
    """How a stream ended: ``well``, ``error``, or ``torn``."""
    told = frames(body)
    if not told:
        return "torn"
    last = told[-1]
    if caller == "openai_responses":
        kind = last.get("type")
        well = kind in ("response.completed", "response.incomplete")
        return "well" if well else "error" if kind in ("response.failed", "error") else "torn"
    if caller == "anthropic_messages":
        return {"message_stop": "well", "error": "error"}.get(last["type"], "torn")
    if "error" in last:
        return "error"
    if caller == "openai_chat":
        return "well" if body.endswith(b"data: [DONE]\n\n") else "torn"
    return "well" if "finishReason" in json.dumps(last) else "torn"


async def vendors(house: House) -> Server:
    """A provider of each dialect, all played by one sandbox."""
    await house.begin(scope="live", credit_micros=50_000_000)
    async with house.operator.work() as work:
        for name in CALLERS:
            rates = prices.rates(2_000_000, 6_000_000, input_tokens_max=100_000, output_tokens_max=2_000)
            await prices.put(work, f"{name}/chat", rates, source="test")
    sandbox = Server(pace_ms=0)
    await sandbox.listen("127.0.0.1", 0)
    house.closing(sandbox.close)
    url = f"http://127.0.0.1:{sandbox.port}"
    await house.serve(
        providers={
            name: ProviderSettings(
                base_url=url + ("/v1beta" if name == "gemini_generate" else "/v1"), dialect=name, key="env:KEY"
            )
            for name in CALLERS
        },
        models={f"{name}/chat": ModelSettings(upstream_model="sandbox/chat", ways=WAYS) for name in CALLERS},
        deadlines=PATIENT,
    )
    return sandbox


@pytest.mark.timeout(300)
async def test_every_fault_has_its_outcome(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "FAILURES_MIN", 1 << 30)
    monkeypatch.setattr(breaker, "WINDOW_S", 1e9)
    monkeypatch.setattr(attempt, "BACKOFF_S", (0.0, 0.0))
    monkeypatch.setattr(server, "SLOW_FIRST_TOKEN_MS", 200)
    assert list(table.OUTCOMES) == list(faults.FAULTS)
    await vendors(house)
    made: dict[str, tuple[str, str, str, bool]] = {}
    wrong: list[str] = []

    async def one(fault: str, caller: str, vendor: str, stream: bool) -> None:
        path, body = asked(caller, f"{vendor}/chat", f"[[fail-{fault}]] [[tokens=10]] x", stream)
        answer = await house.client.post(path, json=body, headers=house.headers())
        made[answer.headers["x-request-id"]] = fault, caller, vendor, stream
        outcome = table.OUTCOMES[fault]
        told = outcome.stream if stream else outcome.whole
        problems: list[str] = []
        if answer.status_code not in table.statuses(told, caller):
            problems.append(f"{answer.status_code} is not {told}: {answer.text[:200]}")
        elif answer.status_code != 200:
            assert error_of("openai_chat" if caller == "openai_responses" else caller, answer.content)["message"]
            if outcome.retry is not None and answer.headers["x-should-retry"] != str(outcome.retry).lower():
                problems.append(f"x-should-retry: {answer.headers['x-should-retry']}")
        elif stream:
            end = terminal(caller, answer.content)
            if end != ("error" if told == table.ERROR else "well"):
                problems.append(f"ends {end}: {answer.text[-300:]}")
        wrong.extend(f"{fault} {caller} <- {vendor} {'stream' if stream else 'whole'}: {each}" for each in problems)

    for fault, outcome in table.OUTCOMES.items():
        targets = {name: house.pipeline._plans._targets[f"{name}/chat"] for name in CALLERS}
        before = {name: target.breaker.failures for name, target in targets.items()}
        house.pipeline._gear.deadlines = QUICK if fault == "hang" else PATIENT
        await asyncio.gather(*(one(fault, *way) for way in product(CALLERS, CALLERS, (False, True))))
        house.pipeline._gear.deadlines = PATIENT
        for name, target in targets.items():
            counted = target.breaker.failures - before[name]
            if (counted >= 2 * len(CALLERS)) is not outcome.counts or (counted > 0) is not outcome.counts:
                wrong.append(f"{fault}: the breaker of {name} counted {counted}")
    await house.stop()
    rows = await house.rows()
    assert len(rows) == len(made)
    for row in rows:
        fault, caller, vendor, stream = made["req_" + row["id"].replace("-", "")]
        outcome = table.OUTCOMES[fault]
        if (row["amount_micros"] > 0) is not outcome.charged or row["attempts"] > outcome.tries:
            wrong.append(f"{fault} {caller} <- {vendor} {'stream' if stream else 'whole'}: {json.dumps(row)[:700]}")
        assert (row["error_code"] is None) is outcome.charged
    assert not wrong, "\n".join(wrong)
    assert not house.proofs()
