"""Recipient: who receives data from this house, what, why, where, under which safeguard; and the register of them.

The register is the list of every destination that may be dialled: a host and port that is not in it is refused
before a connection is made (signal ``egress.refused``), and the evidence report prints it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ruxa.kernel.errors import NoUpstream
from ruxa.kernel.signals import Sink

Role = Literal["provider", "processor", "mail", "storage", "customer", "own"]


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient of data.

    who: legal entity; what: data categories; why: purpose; where: country (ISO 3166) or ``unknown``; safeguard: what
    a transfer rests on. ``own`` is another process of this very installation.
    """

    name: str
    role: Role
    who: str
    what: tuple[str, ...]
    why: str
    where: str
    safeguard: str


class Register:
    """Destinations (host, port) -> Recipient. Hosts are compared in lower case without a trailing dot."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._known: dict[tuple[str, int], Recipient] = {}

    def allow(self, recipient: Recipient, host: str, port: int) -> None:
        """Declare a destination; the last declaration of a host and port stands."""
        self._known[_plain(host), port] = recipient

    def withdraw(self, host: str, port: int) -> None:
        """Forget a destination; unknown ones are fine."""
        self._known.pop((_plain(host), port), None)

    def find(self, host: str, port: int) -> Recipient | None:
        """Who is behind that destination, None when it was never declared."""
        return self._known.get((_plain(host), port))

    def check(self, host: str, port: int) -> Recipient:
        """As ``find``; an undeclared one is told (``egress.refused``) and raises NoUpstream ``egress_refused``."""
        found = self.find(host, port)
        if found is None:
            self._sink.emit("egress.refused", "error", host=host, reason="not in the register")
            raise NoUpstream("This destination is not declared.", code="egress_refused")
        return found

    def destinations(self) -> dict[tuple[str, int], Recipient]:
        """A copy of the whole register."""
        return dict(self._known)


def _plain(host: str) -> str:
    return host.rstrip(".").lower()
