"""The pipe between supervisor and child: start, drain, end of file; a stuck child still obeys."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from ruxa.app.instance import Instance
from ruxa.app.orders import FAST_STOP_S, Down, Orders, Start, Up
from ruxa.kernel import ids
from ruxa.kernel import settings as settings_


def _start(tmp_path: Path) -> Start:
    settings = settings_.load(env={}, cwd=tmp_path)
    instance = Instance(id=ids.fresh(), machine="0011", mode="demo", simulated=False, created="now")
    return Start(
        kind="gateway",
        number=1,
        settings=msgspec.Raw(settings_.encode(settings)),
        instance=instance,
        host="127.0.0.1",
        port=1,
        base_url="http://127.0.0.1:1",
        console_socket="s",
    )


def test_a_start_arrives_whole_however_it_is_cut(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    wanted = _start(tmp_path)
    line = msgspec.json.encode(Down(start=wanted)) + b"\n"
    orders = Orders(theirs.detach())
    for at in range(0, len(line), 500):
        ours.sendall(line[at : at + 500])
    got = orders.start()
    assert got is not None
    assert got.read_settings() == wanted.read_settings()
    assert (got.kind, got.number, got.instance) == ("gateway", 1, wanted.instance)
    ours.close()
    orders.close()


def test_a_supervisor_that_left_before_the_start() -> None:
    ours, theirs = socket.socketpair()
    orders = Orders(theirs.detach())
    ours.close()
    assert orders.start() is None
    orders.close()


async def test_drain_is_heard_and_answers_go_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    orders = Orders(theirs.detach())
    gone = asyncio.Event()
    orders.listen(gone.set)
    orders.ready(port=7)
    orders.failed("a reason")
    ours.sendall(msgspec.json.encode(Down(drain_s=3.5)) + b"\n")
    async with asyncio.timeout(5):
        assert await orders.drained() == 3.5
    assert not gone.is_set()
    assert not orders.cut_off
    told = [msgspec.json.decode(line, type=Up) for line in ours.recv(1000).splitlines()]
    assert told == [Up(ready=True, port=7), Up(failed="a reason")]
    # The end of the pipe: all must end at once. The timer that would end this very process is kept from it.
    monkeypatch.setattr("ruxa.app.orders.FAST_STOP_S", 3600.0)
    ours.close()
    async with asyncio.timeout(5):
        await gone.wait()
    assert orders.cut_off
    orders.close()


def test_a_child_whose_loop_is_stuck_ends_with_the_pipe() -> None:
    program = """
import asyncio, sys, time
from ruxa.app.orders import Orders
async def main():
    orders = Orders(int(sys.argv[1]))
    orders.listen(lambda: None)
    orders.ready()
    time.sleep(60)
asyncio.run(main())
"""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-c", program, str(theirs.fileno())]
        child = subprocess.Popen(command, pass_fds=(theirs.fileno(),))
    try:
        assert b"ready" in ours.recv(100)
        ours.close()
        begun = time.monotonic()
        assert child.wait(20) == 1
        assert time.monotonic() - begun < FAST_STOP_S + 4
    finally:
        child.kill()
        child.wait()
