"""Bookkeeping's wiring: documents that are to be issued, last month's statements, the processors' books day by day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ruxa.egress.processor import Processor
from ruxa.kernel.signals import Sink
from ruxa.ledger.collection import Collection
from ruxa.ledger.documents import jobs as documents
from ruxa.ledger.documents.seller import Terms
from ruxa.ledger.reconciliation import jobs as reconciliation
from ruxa.ledger.reconciliation.differences import Scope
from ruxa.store.jobs import Jobs
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

EVERY_MINUTE: Final = "* * * * *"
HOURLY: Final = "23 * * * *"
# Each day is compared once, whenever it is noticed: a processor's books of a day are there some hours after it.
FOUR_TIMES_A_DAY: Final = "41 3,9,15,21 * * *"


def schedule(
    jobs: Jobs,
    pool: Pool,
    vault: Vault,
    terms: Terms,
    collection: Collection,
    tills: Mapping[str, Processor],
    sink: Sink,
) -> None:
    """What the worker does about documents and books."""
    jobs.add("documents", lambda: documents.issue(pool, vault, terms, sink), timeout_s=300, cron=EVERY_MINUTE)
    jobs.add("statements", lambda: documents.month(pool, vault, terms), timeout_s=1800, cron=HOURLY)
    scopes: dict[str, Scope] = {name: "live" if one.livemode else "sandbox" for name, one in tills.items()}
    jobs.add(
        "reconciliation",
        lambda: reconciliation.run(pool, collection, scopes, sink),
        timeout_s=1800,
        cron=FOUR_TIMES_A_DAY,
    )
