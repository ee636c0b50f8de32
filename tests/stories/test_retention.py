"""A simulated installation through its limits: calls, 83 days later, and back: what is gone stays gone (D30, D35)."""

from __future__ import annotations

import json
from collections.abc import Callable

from fixtures_server import RunningServer, eventually


def test_what_is_over_its_limit_is_gone_and_does_not_come_back_with_the_clock(
    fresh_server: Callable[..., RunningServer],
) -> None:
    server = fresh_server("--simulated", simulated=True)
    server.start()
    assert server.chat()[0] == 200
    lines = eventually(lambda: server.cli_json("usage", "list", "--org", server.organisation))
    assert len(lines) == 1
    assert server.stop() == 0

    moved = {"RUXA_CLOCK_OFFSET": "+83d"}
    ran = server.cli_raw("retention", "run", "--json", **moved)
    assert ran.returncode == 0, ran.stderr
    assert '"usage"' in ran.stdout

    # The clock goes back: the day's keys are gone, so it takes no calls; its pages tell, and nothing comes back.
    server.start(wait=False)
    eventually(lambda: server.described() is not None and server.http("GET", "/healthz", key=None)[0] == 200, 30)
    status, _, answer = server.chat()
    assert (status, answer["error"]["code"]) == (503, "day_over")
    assert server.http("GET", "/readyz", key=None)[0] == 503
    told = json.loads(server.http("GET", "/privacy/retention.json", key=None)[2])
    usage = next(one for one in told["classes"] if one["class"] == "usage")
    assert (usage["in_service"], usage["last_copy"], usage["oldest"]) == ("83 days", "90 days", None)
    assert server.cli_json("usage", "list", "--org", server.organisation) == []
    assert server.stop() == 0
