"""The console's wiring: pool, vault and site under uvicorn on a unix socket that only our doors reach."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Generator
from pathlib import Path

import uvicorn

from ruxa import __version__
from ruxa.access.passwords import Hasher
from ruxa.app import custody, database, hook, outbound, payments
from ruxa.app.orders import Orders, Start
from ruxa.console import site
from ruxa.console.page import Deps
from ruxa.egress.objects import Objects
from ruxa.egress.processor import Processor
from ruxa.egress.recipient import Register
from ruxa.gateway import described
from ruxa.kernel.clock import Clock
from ruxa.kernel.signals import JsonLines
from ruxa.ledger.documents import seller
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

POOL_MAX = 8


class _Quiet(uvicorn.Server):
    """uvicorn without its own signal handlers: the supervisor's pipe decides (D1)."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self._leaving = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone."""
        yield

    async def main_loop(self) -> None:
        """As uvicorn's, which would look ten times a second: the answers' date once a second, the end when it comes."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._leaving.wait()

    def leave(self) -> None:
        """Finish what runs and end."""
        self.should_exit = True
        self._leaving.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; then tell that it listens."""
        await super().startup(sockets)
        self.up.set()


async def run(start: Start, orders: Orders) -> None:
    """Serve until told to stop; requests under way are finished."""
    settings = start.read_settings()
    clock = Clock(start.clock_offset_s)
    sink = JsonLines("console", clock)
    register = Register(sink)
    epochs = custody.epoch_keys(settings, start.instance, register)
    objects = Objects.of_settings(settings.storage, settings.data, register)
    hook.install(register, sink)
    keys = database.keys_of(settings, start.instance)
    address = await asyncio.to_thread(database.address_at, start.database, keys)
    async with contextlib.AsyncExitStack() as stack:
        pool = await Pool.open(address.url("ruxa_console"), login="ruxa_console", max_size=POOL_MAX, clock=clock)
        stack.push_async_callback(pool.close)
        vault = await Vault.unlock(address, epochs, clock=clock, name="console")
        stack.push_async_callback(vault.close)
        hasher = Hasher(vault)
        stack.callback(hasher.close)
        tills = payments.processors(settings, register, clock, stack, sandbox=start.processor)
        if tills:
            outbound.watch(register, pool, stack)
        copies = Pool.on_demand(address.url("ruxa_export"), login="ruxa_export", clock=clock)
        deps = _deps(start, pool, copies, vault, hasher, objects, tills, clock, sink)
        await _serve(orders, Path(start.console_socket), deps)


def _deps(
    start: Start,
    pool: Pool,
    copies: Pool,
    vault: Vault,
    hasher: Hasher,
    objects: Objects,
    tills: dict[str, Processor],
    clock: Clock,
    sink: JsonLines,
) -> Deps:
    settings = start.read_settings()
    return Deps(
        pool=pool,
        copies=copies,
        vault=vault,
        objects=objects,
        processors=tills,
        terms=seller.terms(settings),
        hasher=hasher,
        clock=clock,
        signals=sink,
        base_url=start.base_url,
        mode=start.instance.mode,
        version=__version__,
        trial_micros=settings.trial_micros,
        mail_url=settings.mail.url,
        operator=settings.operator or "",
        contact=settings.contact or "",
        gateway_openapi=described.OPENAPI,
        providers=frozenset((*settings.providers, *(("sandbox",) if start.sandbox_url else ()))),
    )


async def _serve(orders: Orders, place: Path, deps: Deps) -> None:
    # uvicorn's own loggers would write request lines: addresses and paths are personal data.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).disabled = True
    listener = _listener(place)
    config = uvicorn.Config(
        site.create(deps),
        loop="asyncio",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=3,
    )
    server = _Quiet(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        up = asyncio.ensure_future(server.up.wait())
        await asyncio.wait({serving, up}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            up.cancel()
            serving.result()
        orders.ready()
        draining = asyncio.ensure_future(orders.drained())
        await asyncio.wait({serving, draining}, return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()
        server.leave()
        await serving
    finally:
        listener.close()
        place.unlink(missing_ok=True)


def _listener(place: Path) -> socket.socket:
    """A fresh socket file, ours alone."""
    place.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(place))
    finally:
        os.umask(before)
    return listener
