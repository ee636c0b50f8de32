"""The public cases on a running Ruxa: the kit is its caller and its provider, every run of every case holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from fixtures_server import RunningServer
from ruxa.egress.conformance import case, configs, runner
from ruxa.egress.conformance.client import Target
from ruxa.egress.conformance.wire import Wire, listening


@pytest.mark.timeout(120)
async def test_every_case_holds(fresh_server: Callable[..., RunningServer]) -> None:
    cases = case.load()
    async with listening(0) as upstream:
        server = fresh_server()
        (server.place / "ruxa.toml").write_text(configs.ruxa(upstream.port))
        await asyncio.to_thread(server.start)
        credit = ("org", "credit", server.organisation, "--micros", "1000000000", "--reason", "conformance")
        await asyncio.to_thread(server.cli, *credit)
        way = Wire(Target(server.base_url), server.key, upstream)
        score = await runner.run_all(cases, way, own=True, told=lambda _: None)
    assert [f"{each.id}: {each.got}" for each in score.cases if not each.ok] == []
    assert (score.passed, score.runs_passed) == (80, sum(len(each.runs) for each in cases))

    # The same by the command, for scripts and for people.
    target = ("conformance", "--target", server.base_url, "--key", server.key, "--upstream-port", str(upstream.port))
    told = await asyncio.to_thread(server.cli_json, *target, "--case", "W13")
    assert (told["passed"], told["failed"]) == (1, 0)
    assert [(each["id"], each["ok"], each["got"]) for each in told["cases"]] == [("W13", True, "")]
    shown = await asyncio.to_thread(server.cli, *target, "--case", "W69")
    assert "W69  ok    3/3" in shown
    assert shown.endswith("1 of 1 cases hold (3 of 3 runs).\n")
    wrong = (*target[:3], "--key", "rx_live_of_nobody", *target[5:], "--case", "W04")
    told = await asyncio.to_thread(server.cli_json, *wrong, code=1)
    assert (told["passed"], told["failed"]) == (0, 1)
    assert "status 401, not 200" in told["cases"][0]["got"]
    assert await asyncio.to_thread(server.stop) == 0
