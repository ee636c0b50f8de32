"""``ruxa retention`` and ``ruxa hold`` against a running server: what scripts and people are told."""

from __future__ import annotations

import json
import re
import time

from fixtures_server import RunningServer


def test_a_run_by_command_and_what_it_leaves(server: RunningServer) -> None:
    ran = server.cli_json("retention", "run")
    assert {"state", "code", "planned", "destroyed", "held", "left", "took_ms"} == set(ran)
    assert ran["state"] in ("done", "busy")
    said = server.cli("retention", "run")
    assert re.fullmatch(r"(Due: .*\. Destroyed: \d+\. Kept for holds: \d+\.|Another run is under way\.)\n", said)
    shown = server.cli_json("retention", "show")
    limits = {one["class"]: (one["in_service"], one["published"]) for one in shown["classes"]}
    assert limits["usage"] == ("83 days", "90 days")
    assert limits["content"] == ("23 days", "30 days")
    assert shown["clock"] == "believed"
    assert shown["missed_hours"] is None
    assert shown["runs"][0]["state"] == "done"
    assert any("ledger.usage_event" in one["places"] for one in shown["stores"])
    assert "Clock: believed." in server.cli("retention", "show")
    assert server.cli_json("retention", "acknowledge") == {"clock": "believed"}
    told = json.loads(server.http("GET", "/privacy/retention.json", key=None)[2])
    assert told["last_run"] is not None
    found = {one["name"]: one for one in json.loads(server.cli_raw("doctor", "--json").stdout)["checks"]}
    for name in ("retention", "retention clock", "retention classes"):
        assert found[name]["ok"], found[name]


def test_a_hold_from_its_placing_to_its_end(server: RunningServer) -> None:
    marks = [f"h{time.monotonic_ns()}{n}@example.com" for n in range(2)]
    for mark in marks:
        server.cli("operator", "add", mark)
    org = server.cli_json("org", "create", "--name", "Held", "--owner-email", f"o{time.monotonic_ns()}@held.example")
    placing = ("hold", "place", "--org", org["id"], "--basis", "legal_claim", "--reason", "Case 17", "--until", "90d")
    hold = server.cli_json(*placing, "--owner", marks[0])["id"]
    assert re.fullmatch(r"hold_[0-9a-f]{32}", hold)
    done = server.cli_raw("hold", "approve", hold, "--approver", marks[0])
    assert (done.returncode, done.stderr) == (
        2, "ruxa: A hold is approved by somebody else than who placed it.\n"
    )  # fmt: skip
    server.cli("hold", "approve", hold, "--approver", marks[1])
    (listed,) = [one for one in server.cli_json("hold", "list") if one["id"] == hold]
    assert (listed["subject"], listed["state"], listed["reason"], listed["items"]) == (
        org["id"], "approved", "Case 17", 0
    )  # fmt: skip
    assert "Case 17" in server.cli("hold", "list")
    assert server.cli_json("hold", "show", hold) == []
    assert json.loads(server.http("GET", "/privacy/retention.json", key=None)[2])["holds"] >= 1
    server.cli("hold", "end", hold)
    assert hold not in {one["id"] for one in server.cli_json("hold", "list")}
    (ended,) = [one for one in server.cli_json("hold", "list", "--all") if one["id"] == hold]
    assert (ended["state"], ended["reason"]) == ("ended", None)


def test_what_a_hold_needs(server: RunningServer) -> None:
    for more, says in (
        ((), "Name what is held: --org ORG or --member MEMBER."),
        (("--org", "org_" + "0" * 32), "That is no member of staff"),
    ):
        done = server.cli_raw(
            "hold", "place", *more, "--basis", "dispute", "--reason", "x", "--until", "30d", "--owner", "no@example.com"
        )
        assert done.returncode == 2
        assert done.stderr.startswith(f"ruxa: {says}")
