"""The second lock on outgoing connections: an audit hook that refuses whatever is not in the register (D7).

The first lock is the import contract: only ``egress`` may open connections. This one sees the whole process, third
parties' code included, as long as Python's own sockets are used; libpq and uvloop are not seen, which is why console,
worker and command line run the standard loop. It cannot be taken off again.
"""

from __future__ import annotations

import socket
import sys
from typing import cast

from ruxa.egress.recipient import Register
from ruxa.kernel.signals import Sink


def install(register: Register, sink: Sink) -> None:
    """From now on ``socket.connect`` reaches unix sockets and declared destinations only (PermissionError)."""
    seen: set[tuple[str, int]] = set()

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event != "socket.connect" and event != "socket.sendto":
            return
        sock, address = cast(tuple[socket.socket, object], args[:2])
        if sock.family == socket.AF_UNIX or not isinstance(address, tuple):
            return
        host, port = cast(tuple[str, int], address[:2])
        if (host, port) in seen or register.find(host, port) or _declared(register, host, port):
            seen.add((host, port))
            return
        register.refuse(host)
        raise PermissionError("this destination is not in the register of recipients")

    sys.addaudithook(hook)


def _declared(register: Register, address: str, port: int) -> bool:
    """Whether ``address`` is what a declared name stands for now."""
    for host, declared in register.destinations():
        if declared != port:
            continue
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            continue
        if any(entry[4][0] == address for entry in found):
            return True
    return False
