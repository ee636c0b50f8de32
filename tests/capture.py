"""A wire tap in front of a vendor: everything that leaves the house for it, byte for byte, request by request."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import NamedTuple

CHUNK = 65536
_ESTABLISHED = "01"
BUSY = b"HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Sent(NamedTuple):
    """One request as the vendor got it. ``head``: request line and header lines as bytes; ``headers``: lower-case."""

    head: bytes
    headers: dict[str, str]
    body: bytes

    @property
    def target(self) -> str:
        """Path and query of the request line."""
        return self.head.split(b" ", 2)[1].decode()


class Tap:
    """Listens on loopback and relays to ``port``, remembering what goes that way. ``close()`` ends it."""

    def __init__(self, port: int) -> None:
        self._onward = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.refusals = 0  # so many requests are answered "busy, try again at once" and not relayed
        self._streams: list[bytearray] = []
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Stop listening, cut every connection, wait for the threads."""
        with self._lock:
            ends = [self._listener, *self._open]
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def requests(self) -> list[Sent]:
        """Every whole request so far."""
        with self._lock:
            streams = [bytes(stream) for stream in self._streams]
        return [sent for stream in streams for sent in _split(stream)]

    def raw(self) -> bytes:
        """All bytes so far."""
        with self._lock:
            return b"\n".join(bytes(stream) for stream in self._streams)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._onward), timeout=10)
            except OSError:
                return
            far.settimeout(None)
            kept = bytearray()
            with self._lock:
                self._streams.append(kept)
                self._open += [near, far]
            for pair in ((near, far, kept), (far, near, None)):
                thread = threading.Thread(target=self._carry, args=pair, daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, source: socket.socket, target: socket.socket, kept: bytearray | None) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(CHUNK):
                if kept is not None:
                    with self._lock:
                        kept += chunk
                if kept is not None and self.refusals:
                    self.refusals -= 1
                    source.sendall(BUSY)
                else:
                    target.sendall(chunk)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def _split(stream: bytes) -> list[Sent]:
    found: list[Sent] = []
    while b"\r\n\r\n" in stream:
        head, _, rest = stream.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")[1:]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        assert "transfer-encoding" not in headers, "the house says how long a request is"
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            break
        found.append(Sent(head, headers, rest[:length]))
        stream = rest[length:]
    return found


def remote_ports(pid: int, *, but_from: int) -> set[int]:
    """The ports that a process's established TCP connections go to, but for those that others made to ``but_from``."""
    inodes: set[str] = set()
    for number in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(number.readlink()))
    found: set[int] = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            here, there = (int(fields[place].rpartition(":")[2], 16) for place in (1, 2))
            if fields[3] == _ESTABLISHED and here != but_from and f"socket:[{fields[9]}]" in inodes:
                found.add(there)
    return found
