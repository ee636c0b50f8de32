"""The processes of one server under signals and kills (decision D1): who leaves, who comes back, who answers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures_server import RunningServer, alive, eventually, laid_out

Make = Callable[..., RunningServer]

# A stream of about two and a half seconds.
SLOWLY = "[[tokens=50]] [[pace-ms=50]] Tell me."

# name -> what ps shows
CHILDREN = {
    "supervisor": "ruxa: supervisor",
    "gateway 0": "ruxa: gateway 0",
    "gateway 1": "ruxa: gateway 1",
    "console": "ruxa: console",
    "worker": "ruxa: worker",
    "sandbox": "ruxa: sandbox",
}


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


def core_limit(pid: int) -> list[str]:
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith("Max core file size"):
            return line.split()[4:6]
    raise AssertionError("no limit")


def listeners(pids: set[int]) -> set[str]:
    """Addresses (hex, as /proc shows them) on which these processes listen."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for fd in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes.add(os.readlink(fd))
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
            found.add(fields[1].partition(":")[0])
    return found


def test_names_limits_and_listeners(fresh_server: Make) -> None:
    server = fresh_server("--workers", "2").start()
    pids = server.pids()
    assert {name: title(pids[name]) for name in CHILDREN} == CHILDREN
    assert set(pids) == {*CHILDREN, "database"}
    for pid in pids.values():
        assert core_limit(pid) == ["0", "0"]
    assert listeners(set(pids.values())) == {"0100007F"}
    assert server.chat()[0] == 200
    assert server.stop() == 0
    assert not any(map(alive, pids.values()))
    assert server.described() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_all(fresh_server: Make, number: int) -> None:
    server = fresh_server().start()
    pids = server.pids()
    begun = time.monotonic()
    assert server.stop(number) == 0
    assert time.monotonic() - begun < 10
    assert not any(map(alive, pids.values()))


def test_a_stream_that_runs_is_finished_first(fresh_server: Make) -> None:
    server = fresh_server().start()
    base = server.base_url
    stream = Stream(server, SLOWLY)
    stream.read_some()
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    assert eventually(lambda: refused(base), 5), "the door takes nobody new"
    assert server.process.poll() is None
    assert b"data: [DONE]" in stream.read_all(), server.output()
    assert server.wait() == 0


def test_a_tree_signalled_at_once_drains_and_ends_well(fresh_server: Make) -> None:
    server = fresh_server().start()
    stream = Stream(server, SLOWLY)
    stream.read_some()
    for pid in server.pids().values():
        os.kill(pid, signal.SIGTERM)
    assert b"data: [DONE]" in stream.read_all(), server.output()
    assert server.wait() == 0


def test_a_second_signal_counts_from_two_seconds_on_and_ends_at_once(fresh_server: Make) -> None:
    server = fresh_server().start()
    pids = server.pids()
    stream = Stream(server, "Hello.", model="sandbox/fail-hang")
    time.sleep(0.5)
    assert server.process is not None
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(1.2)
    assert server.process.poll() is None, "a signal within two seconds of the first must not cut the drain"
    time.sleep(0.7)
    server.process.send_signal(signal.SIGTERM)
    assert server.wait(10) == 0
    assert time.monotonic() - begun < 9
    assert not any(map(alive, pids.values()))
    stream.close()


def test_killed_children_come_back_and_service_goes_on(fresh_server: Make) -> None:
    """One after the other; what comes back is an interpreter of its own, and obeys as the forked one did."""
    server = fresh_server().start()
    for name in ("gateway 0", "console", "worker", "sandbox", "database"):
        assert server.chat()[0] == 200
        before = server.pids()
        os.kill(before[name], signal.SIGKILL)
        eventually(lambda: server.pids().get(name, before[name]) != before[name], 15)  # noqa: B023 - used at once
        after = server.pids()
        assert {n: p for n, p in after.items() if n != name} == {n: p for n, p in before.items() if n != name}
        eventually(lambda: works(server), 15)
        if name != "database":
            told = [json.loads(line) for line in server.stderr().splitlines() if '"process.restarted"' in line]
            assert [line["code"] for line in told if line["role"] == name] == [-signal.SIGKILL]
            assert title(after[name]) == CHILDREN[name]
            assert os.getsid(after[name]) == after[name]
            assert laid_out(before["supervisor"]) != laid_out(after[name])
    assert server.stop() == 0
    assert server.cli_json("ledger", "check")["ok"] is True


def test_children_of_a_killed_supervisor_leave_and_the_next_start_is_clean(fresh_server: Make) -> None:
    server = fresh_server().start()
    assert server.chat()[0] == 200
    pids = server.pids()
    os.kill(pids["supervisor"], signal.SIGKILL)
    eventually(lambda: not any(map(alive, pids.values())), 10)
    assert server.process is not None
    server.process.wait()
    server.start()
    assert server.chat()[0] == 200
    assert server.cli_json("ledger", "check")["ok"] is True
    assert server.stop() == 0


def test_a_start_right_after_a_kill_waits_for_the_old_children(fresh_server: Make) -> None:
    server = fresh_server().start()
    pids = server.pids()
    os.kill(pids["supervisor"], signal.SIGKILL)
    assert server.process is not None
    server.process.wait()
    server.start()
    assert not any(map(alive, pids.values()))
    assert server.chat()[0] == 200
    assert server.stop() == 0


def test_a_stop_during_the_start_is_obeyed(fresh_server: Make) -> None:
    server = fresh_server().start(wait=False)
    eventually(lambda: (server.data / "lock").exists() and (server.data / "lock").read_text(), 5)
    time.sleep(0.3)
    assert server.stop() == 0
    server.start()
    assert server.stop() == 0


def test_a_server_whose_reader_left_goes_on(fresh_server: Make) -> None:
    """Output to a pipe that is closed (``ruxa run | head -1``) must not end it."""
    server = fresh_server()
    reader, writer = os.pipe()
    os.close(reader)
    server.start(wait=False, out=writer)
    os.close(writer)
    server.wait_ready()
    os.kill(server.pids()["worker"], signal.SIGKILL)
    eventually(lambda: server.pids().get("worker"), 15)
    assert server.chat()[0] == 200
    assert server.stop() == 0


def refused(base_url: str) -> bool:
    host, _, port = base_url.removeprefix("http://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return True
    return False


def works(server: RunningServer) -> bool:
    try:
        status, _, _ = server.http("GET", "/readyz", key=None)
        return status == 200 and server.chat()[0] == 200 and server.http("GET", "/sign-in", key=None)[0] == 200
    except OSError:
        return False


class Stream:
    """One streamed chat completion over a bare socket, so that every byte is seen as it comes."""

    def __init__(self, server: RunningServer, text: str, *, model: str = "sandbox/chat") -> None:
        host, _, port = server.base_url.removeprefix("http://").rpartition(":")
        body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": text}]}).encode()
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.socket.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: ruxa\r\nauthorization: Bearer %s\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (server.key.encode(), len(body), body)
        )

    def read_some(self) -> bytes:
        """Until the first event came."""
        found = b""
        while b"data:" not in found:
            piece = self.socket.recv(65_536)
            assert piece, found
            found += piece
        return found

    def read_all(self) -> bytes:
        """Until the end of the answer or of the connection."""
        found = b""
        while b"[DONE]" not in found and (piece := self.socket.recv(65_536)):
            found += piece
        self.close()
        return found

    def close(self) -> None:
        self.socket.close()
