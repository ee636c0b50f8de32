"""Bad days for the books: workers and database killed under load, the clock set back. Every answer is charged once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any

from fixtures_server import RunningServer, eventually

Make = Callable[..., RunningServer]


class Traffic:
    """Calls from several threads: what was delivered whole (request id -> cost), and how many were not."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.delivered: dict[str, int] = {}
        self.statuses: dict[int, int] = {}
        self.broken = 0
        self._lock = threading.Lock()

    def call(self, number: int) -> int:
        """One call; its status, 0 when the connection broke."""
        try:
            status, headers, _ = self.server.chat(f"Call {number} [[tokens=3]]")
        except (OSError, HTTPException, ValueError):
            with self._lock:
                self.broken += 1
            return 0
        with self._lock:
            self.statuses[status] = self.statuses.get(status, 0) + 1
            if status == 200:
                self.delivered[headers["x-request-id"]] = int(headers["ruxa-cost-micros"])
        return status

    def until_delivered(self, number: int) -> None:
        """As a caller who tries again: each try is a call of its own."""
        until = time.monotonic() + 60
        while self.call(number) != 200:
            assert time.monotonic() < until
            time.sleep(0.1)

    @property
    def done(self) -> int:
        with self._lock:
            return sum(self.statuses.values()) + self.broken


def charged(server: RunningServer) -> dict[str, int]:
    """Request id -> cost of every charged call; an id never comes twice."""
    rows = server.cli_json("usage", "list", "--org", server.organisation, "--limit", "5000")
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row["cost_micros"] for row in rows if row["cost_micros"]}


def assert_books(server: RunningServer, traffic: Traffic) -> None:
    """Each delivered answer is charged once; nothing else but calls whose answer broke on its way; proofs hold."""
    found = eventually(lambda: (rows := charged(server)).keys() >= traffic.delivered.keys() and rows, 20)
    assert {name: found[name] for name in traffic.delivered} == traffic.delivered
    assert len(found) - len(traffic.delivered) <= traffic.broken
    assert server.cli_json("ledger", "check")["ok"] is True
    balance = server.cli_json("org", "show", server.organisation)["balance_micros"]
    assert balance == 5_000_000 - sum(found.values())


def test_a_worker_killed_under_load(fresh_server: Make, sizes: Any) -> None:
    server = fresh_server("--workers", "2").start()
    traffic = Traffic(server)
    count = sizes["calls_during_kill"]
    with ThreadPoolExecutor(8) as threads:
        running = [threads.submit(traffic.until_delivered, number) for number in range(count)]
        for kill in (1, 2):
            eventually(lambda kill=kill: len(traffic.delivered) >= count * kill // 3, 60, every_s=0.005)
            os.kill(server.pids()[f"gateway {kill % 2}"], signal.SIGKILL)
        for call in running:
            call.result()
    assert len(traffic.delivered) == count
    assert set(traffic.statuses) <= {200, 503}
    assert_books(server, traffic)
    assert server.stop() == 0
    assert_books(server, traffic)


def test_the_whole_tree_killed_under_load(fresh_server: Make) -> None:
    server = fresh_server().start()
    traffic = Traffic(server)
    with ThreadPoolExecutor(8) as threads:
        running = [threads.submit(traffic.call, number) for number in range(60)]
        eventually(lambda: traffic.done >= 30, 60, every_s=0.005)
        pids = server.pids()
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        for call in running:
            call.result()
    assert server.process is not None
    server.process.wait()
    server.start()
    assert_books(server, traffic)
    assert server.stop() == 0


def test_the_database_killed_and_back_during_traffic(fresh_server: Make) -> None:
    server = fresh_server().start()
    traffic = Traffic(server)
    stop = threading.Event()

    def keep_calling(thread: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            traffic.call(thread * 10_000 + number)
            time.sleep(0.02)

    with ThreadPoolExecutor(4) as threads:
        callers = [threads.submit(keep_calling, thread) for thread in range(4)]
        try:
            for _ in range(2):
                eventually(lambda: traffic.delivered, 20)
                killed = server.pids()["database"]
                os.kill(killed, signal.SIGKILL)
                eventually(lambda killed=killed: server.pids().get("database", killed) != killed, 20)
                before = len(traffic.delivered)
                eventually(lambda before=before: len(traffic.delivered) > before + 5, 20)
        finally:
            stop.set()
        for caller in callers:
            caller.result()
    # With credit in hand calls go on; without, they are told to come again. Nothing else happens to a caller.
    assert set(traffic.statuses) <= {200, 503}, traffic.statuses
    assert traffic.broken == 0
    assert_books(server, traffic)
    assert server.stop() == 0


def test_a_clock_set_back(fresh_server: Make) -> None:
    server = fresh_server("--simulated", simulated=True, RUXA_CLOCK_OFFSET="+1d").start()
    calls = [_one_call(server)]
    for offset in ("+4d", "+2d"):
        assert server.stop() == 0
        server.env["RUXA_CLOCK_OFFSET"] = offset
        server.start()
        calls.append(_one_call(server))
    found = eventually(lambda: len(rows := charged(server)) == 3 and rows)
    assert set(found) == set(calls)
    days = {row["time"][:10] for row in server.cli_json("usage", "list", "--org", server.organisation)}
    assert len(days) == 3
    assert server.cli_json("ledger", "check")["ok"] is True
    assert server.stop() == 0
    # A command without the variable leaves the clock where it is.
    del server.env["RUXA_CLOCK_OFFSET"]
    assert server.cli_json("ledger", "check")["ok"] is True
    assert len(charged(server)) == 3


def _one_call(server: RunningServer) -> str:
    status, headers, answer = server.chat()
    assert status == 200, answer
    return headers["x-request-id"]
