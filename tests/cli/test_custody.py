"""``ruxa keys`` against a running server: what there is, who holds it, and every kind replaced while calls go on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from fixtures_server import RunningServer

KINDS = ("epoch", "subject", "index", "pepper", "signing")


def test_what_there_is_and_who_holds_it(server: RunningServer) -> None:
    shown = server.cli_json("keys", "show")
    assert shown["assurance"]["provider"] == "directory"
    assert shown["assurance"]["level"] == "L1"
    assert [one["state"] for one in shown["epochs"]] == ["current"]
    kinds = {(one["kind"], one["class"]) for one in shown["keys"]}
    assert {("root", "index"), ("root", "pepper"), ("subject", "account"), ("day", "usage")} <= kinds
    days = next(one for one in shown["keys"] if (one["kind"], one["class"]) == ("day", "usage"))
    assert days["count"] >= 8, "made 7 days ahead"
    names = {one["name"] for one in shown["holders"] if one["alive"]}
    assert {"gateway 0", "console", "worker", "ruxa keys show"} <= names
    told = server.cli("keys", "show")
    assert "assurance L1" in told
    secrets = [path.read_bytes().hex() for path in Path(server.keys).rglob("epochs/*.key")]
    assert secrets
    assert not any(secret in told for secret in secrets)


def test_each_kind_is_replaced_while_the_server_serves(server: RunningServer) -> None:
    done = {
        kind: server.cli_json("keys", "rotate", kind, *(("--now",) if kind == "signing" else ()))
        for kind in KINDS
        if server.chat()[0] == 200
    }
    assert [one["kind"] for one in done.values()] == list(KINDS)
    assert server.chat()[0] == 200
    assert server.cli_json("org", "list")[0]["name"]
    shown = server.cli_json("keys", "show")
    assert [one["id"] for one in shown["epochs"]] == [done["epoch"]["epoch"]]
    assert len(done["epoch"]["destroyed"]) == 1
    assert done["subject"]["keys"] >= 2
    assert done["subject"]["left"] == 0
    assert set(done["signing"]["keys"]) == {"audit", "backup", "receipt", "report"}
    for use, key_id in done["signing"]["keys"].items():
        assert [one["id"] for one in shown["signing"] if one["use"] == use][-1] == key_id
    for kind in ("index", "pepper"):
        (row,) = [one for one in shown["keys"] if (one["kind"], one["class"]) == ("root", kind)]
        assert row["older_versions"] == 1
    found = {one["name"]: one for one in server.cli_json("doctor")["checks"]}
    assert "assurance L1" in found["epoch"]["found"]
    assert found["keys elsewhere"]["ok"], found["keys elsewhere"]


def test_an_older_pepper_is_ended_when_somebody_means_it(fresh_server: Callable[..., RunningServer]) -> None:
    server = fresh_server().start()
    org = ("--org", server.organisation)
    before = server.cli_json("key", "create", *org, "--name", "before")
    server.cli_json("keys", "rotate", "pepper")
    after = server.cli_json("key", "create", *org, "--name", "after")
    assert server.chat(key=before["key"])[0] == server.chat(key=after["key"])[0] == 200
    asked = server.cli_raw("keys", "end", "pepper")
    assert asked.returncode == 2
    stopped = int(re.search(r"(\d+) API key", asked.stderr)[1])  # type: ignore[index]
    assert stopped >= 1
    assert server.chat(key=before["key"])[0] == 200, "nothing happened yet"

    done = server.cli_json("keys", "end", "pepper", "--yes")
    assert (done["heard"], done["api_keys_stopped"]) == (True, stopped)
    assert done["destroyed"]
    assert server.chat(key=after["key"])[0] == 200
    until = time.monotonic() + 5
    while server.chat(key=before["key"])[0] != 401:
        assert time.monotonic() < until, "what only the older pepper finds still works"
        time.sleep(0.1)
    assert server.cli_raw("keys", "end", "pepper", "--yes").returncode == 2, "there is none any more"
    told = server.cli_json("audit", "verify")
    assert told["problems"] == []


def test_a_kind_that_is_none_is_refused(server: RunningServer) -> None:
    done = server.cli_raw("keys", "rotate", "nothing")
    assert done.returncode == 2
    assert re.search("epoch.*subject.*index.*pepper.*signing", done.stderr)
