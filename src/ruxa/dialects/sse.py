"""Event-stream framing: whole events out of bytes cut anywhere, and the data of one event."""

from __future__ import annotations

from collections.abc import Iterator

ENDS = (b"\n\n", b"\r\n\r\n")
HEARTBEAT = b": keep-alive\n\n"


class Cutter:
    """Gives back only whole events; what is not yet whole waits inside."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = bytearray()

    def cut(self, data: bytes) -> bytes:
        """``data`` in, all events that are whole now out (the same object when it is a run of whole events)."""
        held = self.held
        if not held and data.endswith(ENDS):
            return data
        seen = max(len(held) - 3, 0)
        held += data
        end = _last_end(held, seen)
        if not end:
            return b""
        whole = bytes(memoryview(held)[:end])
        del held[:end]
        return whole

    @property
    def waiting(self) -> bool:
        """Whether a part of an event is held."""
        return bool(self.held)

    def rest(self) -> bytes:
        """What never became a whole event; the cutter is empty afterwards."""
        rest = bytes(self.held)
        self.held.clear()
        return rest


def _last_end(data: bytearray, since: int) -> int:
    plain = data.rfind(b"\n\n", since)
    mixed = data.rfind(b"\n\r\n", since)
    return max(plain + 2 if plain >= 0 else 0, mixed + 3 if mixed >= 0 else 0)


def events(data: bytes) -> Iterator[bytes]:
    """The whole events in ``data``, each with the blank line that ends it."""
    at = 0
    size = len(data)
    mixed = b"\r" in data
    while at < size:
        end = data.find(b"\n\n", at)
        end = size if end < 0 else end + 2
        if mixed:
            other = data.find(b"\n\r\n", at, end)
            if other >= 0:
                end = other + 3
        yield data[at:end]
        at = end


def data_of(event: bytes) -> bytes:
    """The data of one event, b'' for a comment or a bare event name."""
    if event.startswith(b"data: "):
        first = event.find(b"\n")
        if event[first + 1 :].strip() == b"":
            return event[6:first].rstrip(b"\r")
    lines: list[bytes] = []
    for line in event.splitlines():
        if line.startswith(b"data:"):
            lines.append(line[6:] if line[5:6] == b" " else line[5:])
    return b"\n".join(lines)


def name_of(event: bytes) -> bytes:
    """The event's name, b'' when it has none."""
    if event.startswith(b"event: "):
        return event[7 : event.find(b"\n")].rstrip(b"\r")
    for line in event.splitlines():
        if line.startswith(b"event:"):
            return line[6:].strip()
    return b""
