"""The sandbox processor of a demo: there when first called, back after a death with all it knew."""

from __future__ import annotations

import json
import os
import signal
import time

import httpx

from fixtures_server import RunningServer


def test_it_starts_when_called_and_comes_back_with_what_it_knew(server: RunningServer) -> None:
    described = server.described()
    assert described
    url = described["processor_url"]
    assert url.startswith("http://127.0.0.1:")
    with httpx.Client(base_url=url, timeout=30) as http:
        # Made when first asked for, and kept from then on.
        root = http.get("/_sandbox/paypal/root.pem").text
        assert root.startswith("-----BEGIN CERTIFICATE-----")
        webhooks = http.post("/_sandbox/webhooks", json={"vendor": "stripe", "kind": "none"})
        assert webhooks.json() == {"error": "there is no such event"}
    pid = until_pid(server)
    memory = server.data / "run" / "processor.jsonl"
    assert memory.stat().st_mode & 0o777 == 0o600
    kinds = [json.loads(line)["kind"] for line in memory.read_text().splitlines()]
    assert set(kinds) == {"address", "endpoint", "paypal.webhook", "trust"}
    assert f"{server.base_url}/webhooks/stripe" in memory.read_text()
    os.kill(pid, signal.SIGKILL)
    with httpx.Client(base_url=url, timeout=30) as http:
        assert http.get("/_sandbox/paypal/root.pem").text == root
    assert until_pid(server, but=pid) != pid
    # Its secrets are in no file that describes the server.
    assert "sk_test_" not in (server.data / "run" / "server.json").read_text()


def until_pid(server: RunningServer, but: int | None = None) -> int:
    """The process, once the server tells of it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        pid = server.pids().get("processor")
        if pid not in (None, but):
            assert pid is not None
            return pid
        time.sleep(0.02)
    raise AssertionError(server.output())
