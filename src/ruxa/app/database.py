"""PostgreSQL as this installation has it: embedded and ours to run, or external and only an address."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ruxa.app.instance import Instance
from ruxa.kernel.errors import RuxaError
from ruxa.kernel.settings import Settings
from ruxa.kernel.signals import Sink
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
        self._sink.emit("database.started", version="embedded", recovered=self.cluster.stopped_orphans > 0)


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
        until = asyncio.get_running_loop().time() + EXTERNAL_WAIT_S
        while True:
            try:
                await _answers(self.address)
            except RuxaError as error:
                if error.code != "database_away" or asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(0.5)
            else:
                return

    async def stop(self, *, at_once: bool) -> None:
        """Nothing to stop."""


async def _answers(address: Address) -> None:
    from ruxa.store import migrate

    await migrate.probe(address)


def of(settings: Settings, instance: Instance, sink: Sink) -> Embedded | External:
    """The database these settings name."""
    return Embedded(settings, instance, sink) if settings.database_url is None else External(settings, instance)
