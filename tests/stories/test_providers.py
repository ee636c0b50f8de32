"""An operator adds the real providers by configuration; here each is a sandbox of its own, seen from the far side."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fixtures_server import RunningServer, environment, eventually

Make = Callable[..., RunningServer]

CONFIG = """
[providers.openai]
base_url = "{url}/v1"
key = "env:OPENAI_KEY_HERE"
[providers.anthropic]
base_url = "{url}/v1"
key = "file:anthropic.key"
[providers.google]
base_url = "{url}/v1beta"
key = "env:GOOGLE_KEY_HERE"
[providers.house]
base_url = "{url}/v1"
dialect = "openai_chat"
key = "env:OPENAI_KEY_HERE"
where = "DE"
zero_retention = true
[models."house/tiny"]
input_micros_per_mtok = 1000000
output_micros_per_mtok = 2000000
output_tokens_max = 100
upstream_model = "tiny-2026"
aliases = ["tiny"]
"""


@pytest.fixture
def upstream() -> Iterator[str]:
    """``ruxa sandbox`` as a vendor: its URL."""
    command = [sys.executable, "-m", "ruxa", "sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield line.rsplit(" ", 1)[1].strip()
        process.terminate()
        assert process.wait(10) == 0


@pytest.fixture
def server(fresh_server: Make, upstream: str) -> RunningServer:
    """A demo whose operator configured providers and gave a dollar of real credit."""
    made = fresh_server(OPENAI_KEY_HERE="sk-openai-canary", GOOGLE_KEY_HERE="google-canary")
    (made.place / "ruxa.toml").write_text(CONFIG.format(url=upstream))
    (made.place / "anthropic.key").write_text("sk-ant-canary\n")
    return made.start()


def last(upstream: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Headers (lower case) and body of the last request that the vendor got."""
    with urllib.request.urlopen(f"{upstream}/__sandbox/last", timeout=5) as answer:
        told = json.load(answer)
    return {name.lower(): value for name, value in told["headers"]}, json.loads(base64.b64decode(told["body"]))


def test_real_providers_cost_real_money_and_learn_nobody(server: RunningServer, upstream: str) -> None:
    checked = server.cli_json("provider", "check")
    assert {row["name"]: row["ok"] for row in checked} == {
        **dict.fromkeys(("openai", "anthropic", "google", "house", "sandbox"), True)
    }
    body = {
        "model": "openai/gpt-4o-mini",
        "user": "alice@example.org",
        "messages": [{"role": "user", "content": "Hi."}],
    }
    status, _, answer = server.http("POST", "/v1/chat/completions", body)
    assert status == 402, answer
    server.cli("org", "credit", server.organisation, "--micros", "1000000", "--reason", "trial")

    status, headers, answer = server.http("POST", "/v1/chat/completions", body)
    assert status == 200, answer
    sent, seen = last(upstream)
    assert sent["authorization"] == "Bearer sk-openai-canary"
    assert server.key not in json.dumps(sent)
    assert seen["model"] == "gpt-4o-mini"
    assert seen["messages"] == body["messages"]
    assert seen["user"] != body["user"]
    assert seen["store"] is False
    rows = [_row(server, headers["x-request-id"])]

    claude = {"model": "claude-sonnet-4-5", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi."}]}
    status, headers, answer = server.http("POST", "/v1/messages", claude)
    assert status == 200, answer
    sent, seen = last(upstream)
    assert sent["x-api-key"] == "sk-ant-canary"
    rows.append(_row(server, headers["x-request-id"]))

    gemini = {"contents": [{"role": "user", "parts": [{"text": "Hi."}]}]}
    status, headers, answer = server.http("POST", "/v1beta/models/gemini-2.5-flash:generateContent", gemini)
    assert status == 200, answer
    sent, seen = last(upstream)
    assert sent["x-goog-api-key"] == "google-canary"
    rows.append(_row(server, headers["x-request-id"]))

    status, headers, answer = server.http("POST", "/v1/chat/completions", {**body, "model": "tiny"})
    assert status == 200, answer
    assert last(upstream)[1]["model"] == "tiny-2026"
    rows.append(_row(server, headers["x-request-id"]))

    assert [row["provider"] for row in rows] == ["openai", "anthropic", "google", "house"]
    assert all(row["cost_micros"] > 0 for row in rows)
    # All four stand at one host and port, as contracts with one vendor do; each is told and counted alone.
    names = ("openai", "anthropic", "google", "house")
    _, _, answer = server.http("GET", "/privacy/subprocessors.json", key=None)
    told = {one["name"]: one["place"] for one in json.loads(answer)["recipients"]}
    assert {name: told.get(name) for name in names} == {**dict.fromkeys(names, "US"), "house": "DE"}
    _, _, answer = server.http("GET", "/api/v1/models")
    kept = {one["provider"]: one["recipient"]["retention_days"] for one in json.loads(answer)["models"]}
    assert (kept["house"], kept["openai"]) == (0, None)

    def counted() -> list[tuple[str, int]]:
        rows = server.cli_json("provider", "counts")
        return sorted((row["recipient"], row["sends"]) for row in rows if row["category"] == "user.content")

    eventually(lambda: counted() == [(name, 1) for name in sorted(names)], 15, every_s=0.5)
    shown = server.cli_json("org", "show", server.organisation)
    assert shown["live_micros"] == 1_000_000 - sum(row["cost_micros"] for row in rows)
    assert shown["sandbox_micros"] == 5_000_000
    assert server.cli_json("ledger", "check")["ok"] is True
    assert server.cli_json("doctor")["ok"] is True
    assert server.stop() == 0
    assert "canary" not in server.output()


def test_prices_of_the_settings_file_are_charged(server: RunningServer) -> None:
    server.cli("org", "credit", server.organisation, "--micros", "1000000", "--reason", "trial")
    assert _tiny(server)["source"] == "config"
    first = _cost_of_tiny(server, 1, 2)

    assert server.stop() == 0
    server.start()
    assert _cost_of_tiny(server, 1, 2)["price_id"] == first["price_id"]

    file = server.place / "ruxa.toml"
    file.write_text(file.read_text().replace("output_micros_per_mtok = 2000000", "output_micros_per_mtok = 7000000"))
    told = server.cli_json("doctor", code=1)
    assert [check["name"] for check in told["checks"] if not check["ok"]] == ["price of house/tiny"]
    assert server.stop() == 0
    server.start()
    second = _cost_of_tiny(server, 1, 7)
    assert second["price_id"] != first["price_id"]
    assert _tiny(server)["rates"]["reasoning_micros"] == 7_000_000
    checks = {check["name"]: check for check in server.cli_json("doctor")["checks"]}
    assert checks["price of house/tiny"]["found"] == "1.000000 in, 7.000000 out, USD per million tokens (config)"
    assert server.cli_json("ledger", "check")["ok"] is True
    assert server.stop() == 0


def _tiny(server: RunningServer) -> dict[str, Any]:
    (entry,) = server.cli_json("price", "list", "house/tiny")
    return entry


def _cost_of_tiny(server: RunningServer, usd_in: int, usd_out: int) -> dict[str, Any]:
    """The row of one call, charged by these prices per million tokens: a dollar of it is a micro a token."""
    body = {"model": "house/tiny", "messages": [{"role": "user", "content": "Hi."}]}
    status, headers, answer = server.http("POST", "/v1/chat/completions", body)
    assert status == 200, answer
    row = _row(server, headers["x-request-id"])
    used = row["usage"]
    assert used["output_tokens"] > 0
    assert row["cost_micros"] == used["input_tokens"] * usd_in + used["output_tokens"] * usd_out
    return row


def test_who_leaves_stops_the_provider(server: RunningServer, upstream: str) -> None:
    server.cli("org", "credit", server.organisation, "--micros", "1000000", "--reason", "trial")
    body = {
        "model": "openai/gpt-4o-mini",
        "stream": True,
        "messages": [{"role": "user", "content": "[[tokens=400]] [[pace-ms=50]] Go on."}],
    }
    request = urllib.request.Request(
        server.base_url + "/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"authorization": f"Bearer {server.key}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        request_id = answer.headers["x-request-id"]
        assert answer.readline().startswith(b"data:")
    left = time.monotonic()
    eventually(lambda: _stats(upstream)["cancelled"] == 1, 3)
    assert time.monotonic() - left < 1.5
    row = _row(server, request_id)
    assert row["usage_source"] == "counted"
    assert 0 < row["usage"]["output_tokens"] < 200
    assert row["cost_micros"] > 0
    assert server.cli_json("ledger", "check")["ok"] is True
    assert server.stop() == 0


def _stats(upstream: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{upstream}/__sandbox/stats", timeout=5) as answer:
        return json.load(answer)


def _row(server: RunningServer, request_id: str) -> dict[str, Any]:
    def row() -> dict[str, Any] | None:
        done = server.cli_raw("usage", "show", request_id, "--json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    return eventually(row, 8)
