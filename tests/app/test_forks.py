"""Children forked from the supervisor: what they take along of it, and what not; and how one ends is known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from fixtures_server import RunningServer, environment, laid_out

KINDS = ("gateway 0", "console", "worker", "sandbox")


def opened(pid: int) -> set[str]:
    """What a process has open beyond its standard streams."""
    return {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if int(entry.name) > 2}


def test_children_share_what_was_imported_and_nothing_that_is_open(server: RunningServer) -> None:
    pids = server.pids()
    supervisor = pids["supervisor"]
    held = opened(supervisor)
    assert str(server.data / "lock") in held
    seen: set[str] = set()
    for kind in KINDS:
        pid = pids[kind]
        assert laid_out(pid) == laid_out(supervisor), kind
        # Each its own end of its own pipe: the end of the supervisor's must reach it.
        has = {thing for thing in opened(pid) if thing.startswith("socket:") or str(server.data) in thing}
        assert not has & held, kind
        sockets = {thing for thing in has if thing.startswith("socket:")}
        assert sockets, kind
        assert not sockets & seen, kind
        seen |= sockets
        assert os.readlink(f"/proc/{pid}/fd/0") == os.devnull
        assert os.getsid(pid) == pid
        ignored = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigIgn" in line)
        mask = int(ignored.split()[1], 16)
        assert all(mask >> (number - 1) & 1 for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)), kind
        assert Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode() == f"ruxa: {kind}"


ENDS = """
import os, signal, socket, threading, time
from ruxa.app import forks

def wait(forked):
    code = forked.wait()
    assert forked.poll() == code == forked.wait()
    return code

assert forks.possible()
ours, theirs = socket.socketpair()
left = forks.fork("sandbox", 0, theirs)
assert left.poll() is None
killed = forks.fork("sandbox", 0, theirs)
theirs.close()
killed.kill()
assert wait(killed) == -signal.SIGKILL
killed.kill()
# The end of the pipe, before it was told to start: it goes by itself.
ours.close()
assert wait(left) == 0
ours, theirs = socket.socketpair()
stranger = forks.fork("sandbox", 0, theirs)
stranger.kill()
os.waitpid(stranger.pid, 0)
assert wait(stranger) == 255
held = threading.Event()
thread = threading.Thread(target=held.wait)
thread.start()
assert not forks.possible()
held.set()
thread.join()
print("good")
"""


def test_how_one_ended_is_known() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ENDS], capture_output=True, text=True, env=environment(), timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "good\n", "")
