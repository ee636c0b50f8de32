"""The tax vault: documents of whoever was erased, which the law alone may read, each reading written down first (P56).

The documents of an erased organisation stay until their years are over. No login of the service sees them any more;
this reads with the login ``ruxa_tax``, after the audit log has who read which document, and why.
"""

from __future__ import annotations

import msgspec

from ruxa.access.audit import log
from ruxa.access.authorize import Principal
from ruxa.kernel.sealed import Sealed
from ruxa.ledger.documents import document
from ruxa.ledger.documents.document import Document, Line, TaxRow
from ruxa.ledger.documents.profile import Party
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

PURPOSE = "legal"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A document with all that it says."""

    document: Document
    lines: tuple[Line, ...]
    taxes: tuple[TaxRow, ...]
    party: Sealed[Party] | None


async def read(pool: Pool, tax: Pool, vault: Vault, principal: Principal, name: str, why: str) -> Kept:
    """The document of a number, whosever it is. ``why``: kept in the entry of the log, sealed.

    pool: of a login that writes the log; tax: of ``ruxa_tax``. Raises NotFound; the entry is written all the same.
    """
    async with pool.work("tax vault") as work:
        said = {"document": name.strip().upper(), "why": why}
        await log.add(work, vault, principal, "staff:read", staff=True, purpose="tax", details=said)
    async with tax.work("tax vault") as work:
        found = await document.by_name(work, name)
        return Kept(
            document=found,
            lines=tuple(await document.lines(work, found.id)),
            taxes=tuple(await document.taxes(work, found.id)),
            party=await document.party(work, vault, found, purpose=PURPOSE),
        )
