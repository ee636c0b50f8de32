"""Listening ports: reserve one for the gateway workers, and say who holds it when it is taken."""

from __future__ import annotations

import contextlib
import errno
import socket
from ipaddress import ip_address
from pathlib import Path

from ruxa.app import instance
from ruxa.kernel.errors import Conflict, InvalidCall


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    if host.lower() in {"localhost", "localhost."}:
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def reserve(host: str, port: int) -> tuple[socket.socket, int]:
    """A bound socket that holds ``port`` (0: any free one) for our workers, and the port.

    The socket never listens, so it gets no connection; workers bind beside it with SO_REUSEPORT, and a stranger that
    does not ask for SO_REUSEPORT cannot. Raises Conflict when the port is taken, InvalidCall for a host that is not
    ours.
    """
    address = _resolve(host, port)
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    for attempt in range(20):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(probe, address, host, port)
            chosen: int = probe.getsockname()[1]
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            _bind(held, (address[0], chosen), host, port)
        except Conflict:
            held.close()
            if port or attempt == 19:
                raise
            continue
        return held, chosen
    raise Conflict(f"No free port on {host}.", code="port_taken")


def free(host: str = "127.0.0.1") -> int:
    """A port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def listening_again(kept: Path) -> socket.socket:
    """A loopback socket that listens on the port that ``kept`` remembers, or on a free one when that is gone.

    Pages that were handed out before a restart lead to it still.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", int(kept.read_text())))
    except (OSError, ValueError, OverflowError):
        listening.bind(("127.0.0.1", 0))
        with contextlib.suppress(OSError):
            kept.write_text(str(listening.getsockname()[1]))
    listening.listen(64)
    return listening


def holder(port: int) -> str | None:
    """``title (pid N)`` of the process that listens on ``port``, where ``/proc`` tells."""
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    with contextlib.suppress(OSError):
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                with contextlib.suppress(OSError):
                    if any(str(fd.readlink()) in inodes for fd in (process / "fd").iterdir()):
                        return f"{instance.title(int(process.name))} (pid {process.name})"
    return None


def _resolve(host: str, port: int) -> tuple[str, int]:
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise InvalidCall(f"The host {host} is not known: {error.strerror}.", code="bad_host") from None
    return str(found[0][4][0]), port


def _bind(sock: socket.socket, address: tuple[str, int], host: str, port: int) -> None:
    try:
        sock.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            by = holder(address[1])
            raise Conflict(
                f"Port {address[1]} on {host} is taken{f' by {by}' if by else ''}; choose another with --port.",
                code="port_taken",
            ) from None
        if error.errno == errno.EACCES:
            raise InvalidCall(f"Port {port} on {host} needs more rights; choose one above 1023.") from None
        raise InvalidCall(f"The host {host} is not an address of this machine: {error.strerror}.") from None
