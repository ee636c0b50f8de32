"""Proofs: what must be true of the books, counted from the rows themselves; every value is 0 (``ruxa ledger check``).

All of them are taken from one snapshot, so a running platform gives no false alarm.
"""

from __future__ import annotations

import msgspec

from ruxa.ledger import records
from ruxa.store.work import Work


class Proof(msgspec.Struct, frozen=True):
    """One proof. value: how much is wrong (0 is right); examined: of how many; sample: up to five ids of what is."""

    name: str
    value: int
    examined: int
    sample: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return self.value == 0


async def check(work: Work) -> list[Proof]:
    """All proofs, in the order of their numbers."""
    found = [
        Proof(name, value, examined, tuple(sample)) for name, value, examined, sample in await work.rows(records.PROOFS)
    ]
    return sorted(found, key=lambda proof: int(proof.name[1:].partition(" ")[0]))
