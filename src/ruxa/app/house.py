"""The house for one command: the running server's database, or one that is started for the command and stopped (D6)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from ruxa.app import core_dumps, custody, database, hook, instance, rules
from ruxa.app.instance import Instance, Lock, Server
from ruxa.egress.objects import Objects
from ruxa.egress.recipient import Register
from ruxa.kernel.clock import Clock, monotonic
from ruxa.kernel.errors import Conflict, NotFound
from ruxa.kernel.settings import Settings
from ruxa.kernel.signals import JsonLines, Sink
from ruxa.privacy.restore import quarantine
from ruxa.store import instance as owner
from ruxa.store.address import Address
from ruxa.store.logins import Login
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault
from ruxa.store.work import Work

LOCK_WAIT_S = 30.0
# What may be looked at, and ended, while a restored directory is in quarantine; all else waits for its end.
IN_QUARANTINE = ("ruxa quarantine", "ruxa audit", "ruxa ledger", "ruxa doctor", "ruxa db")
PRINCIPAL = "operator"


class House:
    """What a command works with. server: the running one, None when the database was started for the command."""

    def __init__(
        self,
        settings: Settings,
        found: Instance,
        address: Address,
        clock: Clock,
        sink: Sink,
        pool: Pool,
        vault: Vault,
        server: Server | None,
        register: Register | None = None,
    ) -> None:
        self.settings = settings
        self.instance = found
        self.address = address
        self.clock = clock
        self.sink = sink
        self.pool = pool
        self.vault = vault
        self.server = server
        # What the command's process may dial: the hook on connections asks this one.
        self.register = register or Register(sink)

    def work(self) -> AbstractAsyncContextManager[Work]:
        """One transaction as the operator."""
        return self.pool.work(PRINCIPAL)

    def lend(self, login: Login) -> Pool:
        """The connections of a login that is there for one purpose; made when they are needed."""
        return Pool.on_demand(self.address.url(login), login=login, clock=self.clock)

    @property
    def objects(self) -> Objects:
        """Where stored content over 64 KiB lies."""
        return Objects.of_settings(self.settings.storage, self.settings.data, Register(self.sink))

    @property
    def base_url(self) -> str:
        """Where people reach the console, as far as is known."""
        if self.settings.public_url is not None:
            return self.settings.public_url
        if self.server is not None and self.server.base_url is not None:
            return self.server.base_url
        return f"http://{self.settings.host}:{self.settings.port}"


def existing(settings: Settings) -> Instance:
    """The instance in the data directory. Raises NotFound when there is none."""
    found = instance.read(settings.data)
    if found is None:
        raise NotFound(f"{settings.data} is no data directory of Ruxa; `ruxa run` makes one, --data names another.")
    return found


def quiet(settings: Settings) -> Sink:
    """Signals of a command: only what went wrong."""
    return JsonLines("command", Clock(settings.clock_offset_s), minimum="warning")


@contextlib.asynccontextmanager
async def reached(
    settings: Settings, what: str, applied: list[str] | None = None
) -> AsyncGenerator[tuple[Instance, Address, Server | None, Sink]]:
    """The database's address, up and migrated; started when no server runs. ``what`` names us to who waits.

    applied: gets the names of the schema's steps that were run.
    """
    found = existing(settings)
    rules.check_clock(settings, found)
    if not what.startswith(IN_QUARANTINE):
        quarantine.refuse(settings.data)
    sink = quiet(settings)
    server = running(settings.data)
    if server is None:
        try:
            lock = Lock.take(settings.data, what, wait_s=0)
        except Conflict:
            server, lock = await _other(settings, what)
        if lock is not None:
            try:
                instance.await_no_children(settings.data)
                place = database.of(settings, found, sink)
                try:
                    await place.start()
                    done = await database.bring_up(place.address, found, settings, sink)
                    if applied is not None:
                        applied += done
                    yield found, place.address, None, sink
                finally:
                    await place.stop(at_once=False)
            finally:
                lock.release()
            return
    yield found, database.of(settings, found, sink).address, server, sink


@contextlib.asynccontextmanager
async def opened(settings: Settings, what: str) -> AsyncGenerator[House]:
    """``reached``, with the operator's pool and the vault; a command holds keys as the server's processes do."""
    core_dumps.forbid()
    os.umask(0o077)
    register = Register(quiet(settings))
    hook.install(register, quiet(settings))
    async with reached(settings, what) as (found, address, server, sink):
        moved_s = await asyncio.to_thread(owner.offset_s, address.url("ruxa_owner")) if found.simulated else 0
        clock = Clock(moved_s)
        pool = await Pool.open(address.url("ruxa_operator"), login="ruxa_operator", min_size=1, max_size=4, clock=clock)
        try:
            vault = await Vault.unlock(address, custody.epoch_keys(settings, found, register), clock=clock, name=what)
            try:
                yield House(settings, found, address, clock, sink, pool, vault, server, register)
            finally:
                await vault.close()
        finally:
            await pool.close()


def running(data: Path) -> Server | None:
    """The server that holds ``data`` now, once it answers."""
    server = instance.read_server(data)
    if server is None:
        return None
    try:
        os.kill(server.pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return server
    return server if instance.title(server.pid).startswith("ruxa: supervisor") else None


async def _other(settings: Settings, what: str) -> tuple[Server | None, Lock | None]:
    """Somebody else holds the directory: a server that is starting or stopping, or another command. Wait for it."""
    until = monotonic() + LOCK_WAIT_S
    while True:
        if (server := running(settings.data)) is not None:
            return server, None
        try:
            return None, Lock.take(settings.data, what)
        except Conflict:
            if monotonic() > until:
                raise
        await asyncio.sleep(0.1)
