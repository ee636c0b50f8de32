"""PostgreSQL as this installation has it: embedded and ours to run, or external and only an address."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ruxa.app.instance import Instance
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import Conflict, Unavailable
from ruxa.kernel.settings import Settings
from ruxa.kernel.signals import Sink
from ruxa.store import binaries
from ruxa.store.address import Address
from ruxa.store.embedded import Cluster
from ruxa.store.logins import Logins

EXTERNAL_WAIT_S = 20.0


def keys_of(settings: Settings, instance: Instance) -> Path:
    """This instance's part of the keys directory."""
    return settings.keys / instance.id.hex


def address_at(where: str, keys: Path) -> Address:
    """The address a child was told: a socket directory (embedded) or a URL (external)."""
    logins = Logins.load(keys)
    if where.startswith("/"):
        return Address.at_socket(where, 5432, logins)
    return Address.of_url(where, logins)


class Embedded:
    """Our own cluster under the data directory."""

    def __init__(self, settings: Settings, instance: Instance, sink: Sink) -> None:
        self.cluster = Cluster(settings.data, Logins.load(keys_of(settings, instance)))
        self.where = str(self.cluster.socket_directory)
        self.address = self.cluster.address
        self._sink = sink
        self._pid: int | None = None

    def pid(self) -> int | None:
        """The postmaster's process."""
        return self._pid

    def alive(self) -> bool:
        """False once the postmaster has ended."""
        return self.cluster.poll() is None

    async def start(self) -> None:
        """Initialise when empty, start, wait until it takes connections. Raises Unavailable or Conflict."""
        await asyncio.to_thread(self._start)

    async def stop(self, *, at_once: bool) -> None:
        """Fast stop: connections are closed, the log is flushed."""
        self._pid = None
        await asyncio.to_thread(self.cluster.stop, 2.0 if at_once else 5.0)

    def _start(self) -> None:
        self.cluster.initialise()
        self._pid = self.cluster.start().pid
        self.cluster.ready()
        version = binaries.release(self.cluster.bin_dir)
        self._sink.emit("database.started", version=version, recovered=self.cluster.stopped_orphans > 0)


class External:
    """A PostgreSQL that somebody else runs."""

    def __init__(self, settings: Settings, instance: Instance) -> None:
        assert settings.database_url is not None
        self.where = settings.database_url
        self.address = address_at(self.where, keys_of(settings, instance))

    def pid(self) -> int | None:
        """Not ours."""
        return None

    def alive(self) -> bool:
        """Its health is not ours to mend; the pools tell when it is away."""
        return True

    async def start(self) -> None:
        """Wait for it a little: after a power cut both machines come up at one time."""
        from ruxa.store import database

        until = monotonic() + EXTERNAL_WAIT_S
        while True:
            try:
                await asyncio.to_thread(database.prepare, self.address)
            except Unavailable:
                if monotonic() > until:
                    raise
                await asyncio.sleep(0.5)
            else:
                return

    async def stop(self, *, at_once: bool) -> None:
        """Nothing to stop."""


async def bring_up(
    address: Address, found: Instance, settings: Settings, sink: Sink, *, serving: bool = False
) -> list[str]:
    """Logins, database, schema, and whose it is; the steps applied. A command leaves a moved clock where it is.

    Raises Conflict when the data is another's or newer than the code.
    """
    return await asyncio.to_thread(_bring_up, address, found, settings, sink, serving)


def _bring_up(address: Address, found: Instance, settings: Settings, sink: Sink, serving: bool) -> list[str]:
    from ruxa.store import database, migrate
    from ruxa.store import instance as owner

    if settings.database_url is None:
        database.setup(address)
    else:
        database.prepare(address)
    applied = migrate.migrate(address.url("ruxa_owner"))
    for step in applied:
        sink.emit("migration.applied", step=step)
    url = address.url("ruxa_owner")
    owner.settle(url, id=found.id, mode=found.mode, simulated=found.simulated)
    if found.simulated and (serving or settings.origins.get("clock_offset_s") != "default"):
        owner.move_clock(url, settings.clock_offset_s)
    return applied


def of(settings: Settings, instance: Instance, sink: Sink) -> Embedded | External:
    """The database these settings name. Raises Conflict when the instance's keys are gone: new ones open nothing."""
    require_keys(settings, instance)
    return Embedded(settings, instance, sink) if settings.database_url is None else External(settings, instance)


def require_keys(settings: Settings, instance: Instance) -> None:
    """Raises Conflict when the instance's keys are gone."""
    keys = keys_of(settings, instance)
    if not keys.is_dir():
        raise Conflict(
            f"The keys directory {keys} is missing: without it nothing in {settings.data} can be opened. "
            "Restore it, or name it with --keys.",
            code="keys_missing",
        )
