"""Upkeep of documents, for the worker to schedule: what is still to be issued, last month's statements.

Each may run at any time, twice at once, and be killed: every step is a transaction that finds its work done when it is.
"""

from __future__ import annotations

from uuid import UUID

from ruxa.kernel.errors import RuxaError
from ruxa.kernel.signals import Sink
from ruxa.ledger.documents import issue as issuing
from ruxa.ledger.documents import monthly, records
from ruxa.ledger.documents.seller import Terms
from ruxa.ledger.leases import Works
from ruxa.store.vault import Vault

# What changed longer ago was issued, or the proof I43 tells of it.
LOOK_BACK_S = 3 * 86_400
BATCH = 200


async def issue(
    works: Works, vault: Vault, terms: Terms, sink: Sink, *, since_s: int = LOOK_BACK_S, limit: int = BATCH
) -> int:
    """Issues the documents of payments and refunds that have none; of how many orders. One that fails keeps no other
    from its documents and is told. Raises Unavailable.
    """
    async with works.work("documents") as work:
        due: list[UUID] = [row[0] for row in await work.rows(records.DUE, since_s, limit)]
    done = 0
    for order_id in due:
        try:
            async with works.work("documents") as work:
                await issuing.issue_for(work, vault, terms, order_id)
            done += 1
        except RuxaError as fault:
            if fault.code.startswith("database_"):
                raise
            sink.emit("document.failed", "error", code=fault.code)
    return done


async def month(works: Works, vault: Vault, terms: Terms) -> int:
    """Issues last month's statements; how many."""
    return await monthly.issue_due(works, vault, terms)
