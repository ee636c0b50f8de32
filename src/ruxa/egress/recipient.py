"""Recipient: who receives data from this house, what, why, where, under which safeguard; and the register of them.

The register is the list of every destination that may be dialled: a host and port that is not in it is refused
before a connection is made (signal ``egress.refused``) and counted as undeclared. Data categories and purposes are the
words of the data map.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ruxa.egress.tally import UNDECLARED, Tally
from ruxa.kernel import datamap
from ruxa.kernel.errors import NoUpstream
from ruxa.kernel.signals import Sink

Role = Literal["provider", "processor", "mail", "storage", "witness", "customer", "own"]


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient of data.

    who: legal entity; what: data categories; why: purposes; where: country (ISO 3166), ``own`` for this installation or
    ``unknown``; safeguard: what a transfer rests on; source: where it publishes its terms, "" when not known. The role
    ``own`` is another process of this very installation. Raises ValueError for a word that the data map does not know.
    """

    name: str
    role: Role
    who: str
    what: tuple[str, ...]
    why: tuple[str, ...]
    where: str
    safeguard: str
    source: str = ""

    def __post_init__(self) -> None:
        """Every word is one of the data map's."""
        for word in (*self.what, *self.why):
            if word not in datamap.CATEGORIES and word not in datamap.PURPOSES:
                raise ValueError(f"recipient {self.name}: '{word}' is no word of the data map")


class Register:
    """Destinations (host, port) -> Recipient. Hosts are compared in lower case without a trailing dot."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._known: dict[tuple[str, int], Recipient] = {}
        self.tally = Tally()

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
            self.refuse(host)
            raise NoUpstream("This destination is not declared.", code="egress_refused")
        return found

    def refuse(self, host: str) -> None:
        """Tell and count that somebody wanted to reach a host that nobody declared."""
        self._sink.emit("egress.refused", "error", host=host, reason="not in the register")
        self.tally.add(UNDECLARED, _plain(host), UNDECLARED)

    def destinations(self) -> dict[tuple[str, int], Recipient]:
        """A copy of the whole register."""
        return dict(self._known)


def _plain(host: str) -> str:
    return host.rstrip(".").lower()
