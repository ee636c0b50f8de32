"""The ledger's upkeep: leases whose time is over, lots that ended, partitions ahead, seals, the nightly proofs.

Plain functions for the worker to schedule. Each may run at any time, twice at once, and be killed: every step is a
transaction of its own that finds its work done when it is.

=================  ==============
``janitor``        every 5 s
``lots``           every minute
``partitions``     at start and hourly
``seals``          every minute
``payments``       hourly
``proofs``         hourly
=================  ==============
"""

from __future__ import annotations

from ruxa.kernel.signals import Sink
from ruxa.ledger import proofs as proving
from ruxa.ledger import records
from ruxa.ledger.leases import Works
from ruxa.ledger.payments import records as payment_records

BATCH = 500
PARTITION_DAYS = 7
SEAL_TRANSFERS = 1000


async def janitor(works: Works, *, limit: int = BATCH) -> int:
    """Moves leases and holds whose time is over one step on; how many. Raises Unavailable."""
    async with works.work("janitor") as work:
        due = [row[0] for row in await work.rows(records.LEASES_DUE, limit)]
    for lease_id in due:
        async with works.work("janitor") as work:
            await work.value(records.LEASE_EXPIRE, lease_id)
    return len(due)


async def lots(works: Works, *, limit: int = BATCH) -> int:
    """Empties lots that have ended; the micros moved. Raises Unavailable."""
    async with works.work("lots") as work:
        due = [row[0] for row in await work.rows(records.LOTS_EXPIRED, limit)]
    moved = 0
    for lot_id in due:
        async with works.work("lots") as work:
            moved += await work.value(records.LOT_EXPIRE, lot_id)
    return moved


async def partitions(works: Works, *, days: int = PARTITION_DAYS) -> int:
    """Sees to it that the days ahead have their partitions; how many days there are."""
    async with works.work("partitions") as work:
        count: int = await work.value(records.PARTITIONS_AHEAD, days)
        return count


async def seals(works: Works) -> int:
    """Seals the transfers of the past; how many."""
    sealed = 0
    while True:
        async with works.work("seals") as work:
            count: int = await work.value(records.SEAL, SEAL_TRANSFERS)
        sealed += count
        if count < SEAL_TRANSFERS:
            return sealed


async def payments(works: Works) -> int:
    """Deletes payments' hints and marks whose time is over; how many."""
    async with works.work("payments") as work:
        count: int = await work.value(payment_records.SWEEP)
        return count


async def proofs(works: Works, signals: Sink) -> int:
    """Runs the proofs and tells each finding; how many there are."""
    async with works.work("proofs") as work:
        wrong = [proof for proof in await proving.check(work) if not proof.ok]
    for proof in wrong:
        signals.emit("ledger.finding", "error", proof=proof.name, value=proof.value)
    return len(wrong)
