"""Purposes in the database (D36): what each login is there for, and whether it may read more than that.

A column may be read by a login when one of the purposes that the column declares is one of the login's. The gateway
reads nothing personal at all: it calls functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ruxa.privacy.processing import records
from ruxa.store import inventory
from ruxa.store.work import Work

PURPOSES: Final[Mapping[str, frozenset[str]]] = {
    "ruxa_gateway": frozenset(),
    "ruxa_console": frozenset({"provide", "communicate", "security", "billing", "limit", "legal", "proof"}),
    "ruxa_worker": frozenset({"provide", "communicate", "security", "billing", "legal", "proof"}),
    "ruxa_operator": frozenset({"provide", "communicate", "security", "billing", "support", "legal", "proof"}),
    "ruxa_keystore": frozenset({"provide", "security"}),
    "ruxa_support": frozenset({"support"}),
    "ruxa_tax": frozenset({"billing", "legal"}),
}
# Whole rooms that a login has no business in, whatever a column declares.
CLOSED: Final[Mapping[str, tuple[str, ...]]] = {
    "ruxa_keystore": ("access.", "ledger.", "audit.", "content.", "privacy.", "jobs."),
    "ruxa_support": ("keystore.", "ledger.", "audit.", "content.", "privacy.", "jobs."),
    "ruxa_tax": ("keystore.", "access.", "audit.", "content.", "privacy.", "jobs."),
    "ruxa_gateway": ("keystore.", "audit."),
    "ruxa_console": ("keystore.",),
    "ruxa_worker": ("keystore.",),
    "ruxa_operator": ("keystore.",),
}


async def wider(work: Work) -> list[str]:
    """Grants wider than the map: ``login column: why``, in order; empty when each login reads what it is there for."""
    declared = {column.name: column.declaration for column in await inventory.read(work)}
    found: list[str] = []
    for login, place in await records.readable(work):
        purposes = PURPOSES.get(login)
        declaration = declared.get(place)
        if purposes is None:
            found.append(f"{login} {place}: a login without a purpose")
        elif place.startswith(CLOSED.get(login, ())):
            found.append(f"{login} {place}: not its room")
        elif declaration is not None and not purposes & set(declaration.purposes):
            found.append(f"{login} {place}: it is for {', '.join(sorted(declaration.purposes))}")
    return sorted(found)


async def examined(work: Work) -> int:
    """How many pairs of login and column ``wider`` looks at."""
    return len(await records.readable(work))
