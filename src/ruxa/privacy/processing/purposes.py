"""Purposes in the database (D36): what each login is there for, and whether it may read more than that.

A column may be read by a login when one of the purposes that the column declares is one of the login's. The gateway
reads nothing personal at all: it calls functions. What erases reads ids only, whatever they are for; what copies for a
person reads what is declared for their copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ruxa.kernel.datamap import Declaration
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
    "ruxa_audit": frozenset(),
    "ruxa_erase": frozenset({"legal", "proof"}),
    "ruxa_export": frozenset(),
}
# Whole rooms that a login has no business in, whatever a column declares.
CLOSED: Final[Mapping[str, tuple[str, ...]]] = {
    "ruxa_keystore": ("access.", "ledger.", "audit.", "content.", "privacy.", "jobs."),
    "ruxa_support": ("keystore.", "ledger.", "audit.", "content.", "privacy.", "jobs."),
    "ruxa_tax": ("keystore.", "access.", "audit.", "content.", "privacy.", "jobs."),
    "ruxa_audit": (
        "keystore.",
        "access.",
        "ledger.",
        "payment.",
        "content.",
        "privacy.",
        "jobs.",
        "audit.entry.",
        "audit.customer_entry.",
    ),
    "ruxa_erase": ("keystore.", "ledger.", "payment.", "audit.", "jobs.", "privacy.hold.", "privacy.held_item."),
    "ruxa_export": ("keystore.", "jobs."),
    "ruxa_gateway": ("keystore.", "audit."),
    "ruxa_console": ("keystore.",),
    "ruxa_worker": ("keystore.",),
    "ruxa_operator": ("keystore.",),
}
# What a copy's login reads beside the columns of the copy and the ids by which it finds whose a row is: who acted in an
# entry of the log, which organisation a link is to, whether a call was refused, the hashes of a document to print.
BESIDE_COPIES: Final = frozenset({
    "access.one_time_link.organisation_id",
    "audit.entry.actor_index", "audit.customer_entry.actor_index", "content.item.refusal_sealed",
    "ledger.document.sha256", "ledger.document.pdf_sha256",
})  # fmt: skip


def may_read(login: str, place: str, declaration: Declaration) -> bool:
    """Whether a login is there for what a personal column (``schema.table.column``) declares, its rooms aside."""
    if PURPOSES[login] & set(declaration.purposes):
        return True
    ids_only = all(category.startswith("user.unique_id") for category in declaration.categories)
    match login:
        case "ruxa_erase":
            return ids_only
        case "ruxa_export":
            return declaration.export or ids_only or place in BESIDE_COPIES
        case _:
            return False


async def wider(work: Work) -> tuple[list[str], int]:
    """Grants wider than the map: ``login column: why``, in order, none when each login reads what it is there for; and
    how many pairs of login and column were looked at.
    """
    declared = {column.name: column.declaration for column in await inventory.read(work)}
    readable = await records.readable(work)
    found: list[str] = []
    for login, place in readable:
        declaration = declared.get(place)
        if login not in PURPOSES:
            found.append(f"{login} {place}: a login without a purpose")
        elif place.startswith(CLOSED.get(login, ())):
            found.append(f"{login} {place}: not its room")
        elif declaration is not None and not may_read(login, place, declaration):
            found.append(f"{login} {place}: it is for {', '.join(sorted(declaration.purposes))}")
    return sorted(found), len(readable)
