"""The audit hook refuses what the register does not name, whoever asks, and lets the rest through."""

from __future__ import annotations

import subprocess
import sys

# An audit hook stays for the life of its process, so each case has a process of its own.
PROGRAM = """
import asyncio, socket, sys
from ruxa.app import hook
from ruxa.egress.recipient import Recipient, Register
from ruxa.kernel.clock import Clock
from ruxa.kernel.signals import JsonLines

sink = JsonLines("test", Clock())
register = Register(sink)
hook.install(register, sink)
server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
who = Recipient(name="t", role="own", who="t", what=(), why=(), where="t", safeguard="t")
declared = sys.argv[1]
if declared != "nothing":
    register.allow(who, declared, port if declared != "10.9.9.9" else 9)
pair = socket.socketpair()

async def by_asyncio():
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()

def by_socket():
    socket.create_connection(("127.0.0.1", port), timeout=2).close()

for way in (by_socket, lambda: asyncio.run(by_asyncio())):
    try:
        way()
        print("reached")
    except PermissionError:
        print("refused")
"""


def _try(declared: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, declared], capture_output=True, text=True, check=True, timeout=30
    )


def test_an_undeclared_destination_is_refused_and_told() -> None:
    done = _try("nothing")
    assert done.stdout.split() == ["refused", "refused"]
    assert done.stderr.count("egress.refused") == 2


def test_another_port_is_another_destination() -> None:
    assert _try("10.9.9.9").stdout.split() == ["refused", "refused"]


def test_a_declared_address_or_name_is_reached() -> None:
    for declared in ("127.0.0.1", "localhost"):
        done = _try(declared)
        assert done.stdout.split() == ["reached", "reached"], done.stderr
        assert done.stderr == ""
