"""What a server does while nobody asks for anything: its processes sleep until something is told.

Counted, not timed: how often each process went to sleep (the kernel counts it) and how many transactions the database
saw, in the quietest of some windows, so that another test's last call or a job of the minute is no finding.
"""

from __future__ import annotations

import time
from pathlib import Path

import psycopg

from fixtures_server import RunningServer

WINDOW_S = 3.0
WINDOWS = 12
# A second: what was read (supervisor 0.2, gateway 9, console 3, worker 5, 7 transactions), and room. A process that
# looks for something ten times a second has no window within them.
SLEEPS_MAX = {"supervisor": 1.5, "gateway 0": 18.0, "console": 7.0, "worker": 10.0}
TRANSACTIONS_MAX = 10.0


def _sleeps(pid: int) -> int:
    """How often the threads of a process have gone to sleep."""
    count = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        lines = (thread / "status").read_text().splitlines()
        count += next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return count


def test_an_idle_server_sleeps(server: RunningServer) -> None:
    pids = {name: pid for name, pid in server.pids().items() if name in SLEEPS_MAX}
    assert set(pids) == set(SLEEPS_MAX)
    least = dict.fromkeys((*SLEEPS_MAX, "transactions"), float("inf"))
    bounds = {**SLEEPS_MAX, "transactions": TRANSACTIONS_MAX}
    with psycopg.connect(server.cli_json("db", "url")["url"], autocommit=True) as connection:

        def read() -> dict[str, int]:
            row = connection.execute(
                "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
            ).fetchone()
            assert row is not None
            return {"transactions": row[0]} | {name: _sleeps(pid) for name, pid in pids.items()}

        for _ in range(WINDOWS):
            before, began = read(), time.monotonic()
            time.sleep(WINDOW_S)
            after, took_s = read(), time.monotonic() - began
            for name, count in after.items():
                least[name] = min(least[name], (count - before[name]) / took_s)
            if all(least[name] <= most for name, most in bounds.items()):
                return
    raise AssertionError(f"at least {least} a second")
