"""Recipient: who receives data from this house, what, why, where, under which safeguard; and the register of them.

The register is the list of every destination that may be dialled: a host and port that is not in it is refused
before a connection is made (signal ``egress.refused``) and counted as undeclared. Behind one destination may be several
recipients: two contracts with one vendor are two, each with its own facts and counts. Data categories and purposes are
the words of the data map.
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
    ``own`` is another process of this very installation. What it does with what it gets, None where nobody wrote it
    down: trains, retention_days, zero_retention (it keeps nothing), mechanism (what a transfer rests on), certified_on
    (the day on which that was last certified or signed, ISO 8601). Raises ValueError for a word that the data map does
    not know.
    """

    name: str
    role: Role
    who: str
    what: tuple[str, ...]
    why: tuple[str, ...]
    where: str
    safeguard: str
    source: str = ""
    trains: bool | None = None
    retention_days: int | None = None
    zero_retention: bool | None = None
    mechanism: str | None = None
    certified_on: str | None = None

    def __post_init__(self) -> None:
        """Every word is one of the data map's."""
        for word in (*self.what, *self.why):
            if word not in datamap.CATEGORIES and word not in datamap.PURPOSES:
                raise ValueError(f"recipient {self.name}: '{word}' is no word of the data map")


class Register:
    """Destinations (host, port) -> the recipients there, by name.

    Hosts are compared in lower case without a trailing dot.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._known: dict[tuple[str, int], dict[str, Recipient]] = {}
        self.tally = Tally()

    def allow(self, recipient: Recipient, host: str, port: int) -> None:
        """Declare a recipient at a destination; its last declaration of that name there stands."""
        self._known.setdefault((_plain(host), port), {})[recipient.name] = recipient

    def withdraw(self, recipient: Recipient, host: str, port: int) -> None:
        """Forget a recipient at a destination, and the destination with its last one; unknown ones are fine."""
        place = _plain(host), port
        there = self._known.get(place, {})
        there.pop(recipient.name, None)
        if not there:
            self._known.pop(place, None)

    def find(self, host: str, port: int) -> tuple[Recipient, ...]:
        """Who is behind that destination; nobody when it was never declared."""
        return tuple(self._known.get((_plain(host), port), {}).values())

    def check(self, host: str, port: int) -> None:
        """An undeclared destination is told (``egress.refused``) and raises NoUpstream ``egress_refused``."""
        if not self.find(host, port):
            self.refuse(host)
            raise NoUpstream("This destination is not declared.", code="egress_refused")

    def refuse(self, host: str) -> None:
        """Tell and count that somebody wanted to reach a host that nobody declared."""
        self._sink.emit("egress.refused", "error", host=host, reason="not in the register")
        self.tally.add(UNDECLARED, _plain(host), UNDECLARED)

    def destinations(self) -> dict[tuple[str, int], tuple[Recipient, ...]]:
        """A copy of the whole register."""
        return {place: tuple(there.values()) for place, there in self._known.items()}


def _plain(host: str) -> str:
    return host.rstrip(".").lower()
