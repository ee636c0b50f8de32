"""Retention's wiring: what a run of it works with, for the job worker and for ``ruxa retention``."""

from __future__ import annotations

import os
from contextlib import suppress
from uuid import UUID

from ruxa.egress.objects import Objects
from ruxa.gateway import metrics
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Unavailable
from ruxa.kernel.settings import Settings
from ruxa.kernel.signals import Sink
from ruxa.privacy import erase
from ruxa.privacy.retention import engine
from ruxa.privacy.retention.engine import Outcome, Tools
from ruxa.store.address import Address
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

# Calls come first: what ends a day, and the database's process that does it, take what is left of the machine.
NICENESS = 10


async def pool_of(address: Address, clock: Clock) -> Pool:
    """Connections of the worker's login for a run, which step back for everybody else."""
    url = address.url("ruxa_worker")
    return await Pool.open(url, login="ruxa_worker", min_size=0, max_size=4, clock=clock, niceness=NICENESS)


def step_back() -> None:
    """This process steps back too; for good."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)


def eraser_of(address: Address, clock: Clock) -> Pool:
    """The login that ends people and organisations, connected only while it does."""
    return Pool.on_demand(address.url("ruxa_erase"), login="ruxa_erase", clock=clock, max_size=4)


def tools(
    settings: Settings, pool: Pool, eraser: Pool, vault: Vault, objects: Objects, sink: Sink, clock: Clock
) -> Tools:
    """Everything a run needs. ``pool``: of the worker's login, ``eraser``: of ``ruxa_erase``."""

    async def erased(organisation_id: UUID) -> None:
        await erase.organisation(pool, eraser, vault, organisation_id, by="system", forfeit=True, objects=objects)

    return Tools(
        pool=pool,
        vault=vault,
        objects=objects,
        sink=sink,
        clock=clock,
        data=settings.data,
        erase=erased,
        fiscal_month=settings.billing.fiscal_year_month,
    )


async def run(given: Tools) -> None:
    """The hourly job; what it came to is a metric. Raises Unavailable ``retention_failed`` when something that was due
    is still there."""
    outcome = await engine.run(given)
    if outcome.state != "busy":
        await _count(given, outcome)
    if outcome.state == "failed":
        raise Unavailable("Not everything that was due is gone; it is tried again.", code="retention_failed")


async def _count(given: Tools, outcome: Outcome) -> None:
    """Leaves the run's figures where the gateway finds them; they are this process's own clock."""
    async with given.pool.work("retention") as work:
        last = (await engine.report(work)).last_good
    counted = metrics.Metrics()
    counted.put("retention_paused", int(outcome.state == "paused"))
    if last is not None:
        counted.put("retention_done_s", int(last.timestamp()))
    place = given.data / "run" / "metrics"
    with suppress(OSError):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        metrics.write(place, "retention", counted.snapshot())
