"""A gateway worker's wiring: door, pipeline, upstreams, pool, keys; or, in the role console, a door that relays."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack

from ruxa.app import custody, database, health, outbound
from ruxa.app.orders import Orders, Start
from ruxa.dialects import paths
from ruxa.egress import providers
from ruxa.egress.http import Pool as Upstreams
from ruxa.egress.objects import Objects
from ruxa.egress.provider import CONTENT, STAND_IN
from ruxa.egress.recipient import Register
from ruxa.egress.timers import Wheel
from ruxa.gateway.door import Door, DoorBounds, Reply, Request
from ruxa.gateway.pipeline import Pipeline, Worker
from ruxa.gateway.relayed import ConsoleRelay
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import NotFound, Unavailable
from ruxa.kernel.settings import Settings, read_secret
from ruxa.kernel.signals import JsonLines
from ruxa.privacy.content import items
from ruxa.privacy.content.repeats import Repeats
from ruxa.privacy.files.batches import Batches
from ruxa.privacy.responses.kept import Responses
from ruxa.store.notify import Notices
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault

POOL_MAX = 6
# Of the time to drain: what stays for writing down and giving the leases back after the last call (seconds).
SETTLE_S = 4.0


async def run(start: Start, orders: Orders) -> None:
    """Serve until told to stop; calls under way are finished, then everything is written down."""
    settings = start.read_settings()
    clock = Clock(start.clock_offset_s)
    sink = JsonLines(f"gateway {start.number}", clock)
    wheel = Wheel()
    register = Register(sink)
    async with AsyncExitStack() as stack:
        upstreams = Upstreams(register, wheel=wheel, allow_loopback=settings.egress.allow_loopback)
        stack.push_async_callback(upstreams.close)
        wheel.start()
        stack.callback(wheel.stop)
        console = None
        if settings.role in {"all", "console"}:
            console = ConsoleRelay(upstreams, start.console_socket, frozenset(settings.trusted_proxies))
        limits = DoorBounds(body_bytes_max=settings.body_bytes_max)
        if settings.role == "console":
            assert console is not None
            await _relay(start, settings, orders, console, clock, sink, wheel, limits)
            return
        pipeline = await _pipeline(start, settings, clock, sink, wheel, upstreams, console, stack)
        door = Door(pipeline.serve, pipeline.render, wheel=wheel, sink=sink, limits=limits, screen=pipeline.screen)
        stack.push_async_callback(door.close)
        pipeline.count_connections(lambda: door.connections)
        try:
            try:
                await pipeline.start()
            except NotFound as fault:
                if fault.code != "key_destroyed":
                    raise
                await _over(start, orders, pipeline, console, sink, wheel, limits)
                return
            await door.start(start.host, start.port)
            # What start-up made lives as long as the process: never walked again; calls make few cycles.
            gc.collect()
            gc.freeze()
            gc.set_threshold(20_000, 50, 100)
            orders.ready()
            within_s = await orders.drained()
            await asyncio.gather(door.drain(max(within_s - SETTLE_S, 0.0)), pipeline.rest())
        finally:
            await pipeline.drain()


async def _over(
    start: Start,
    orders: Orders,
    pipeline: Pipeline,
    console: ConsoleRelay | None,
    sink: JsonLines,
    wheel: Wheel,
    limits: DoorBounds,
) -> None:
    """The clock went back to a day whose keys were destroyed: pages come, calls are refused as that dialect says it.

    What would be written down for such a day could not be kept, so nothing may be done that has to be.
    """
    sink.emit("broken", "error", where="gateway", error="day_over")

    def serve(request: Request, reply: Reply) -> None:
        place = paths.locate(request.method, request.path, request.query, request.headers)
        if request.path == b"/healthz":
            reply.send(200, health.JSON, b'{"alive":true}\n')
        elif request.path == b"/readyz":
            reply.send(503, health.JSON, b'{"ready":false,"checks":{"keys_of_today":false}}\n')
        elif console is not None and (place is None or place.endpoint == "root"):
            console(request, reply)
        else:
            raise Unavailable(
                "This server's clock shows a day whose keys were destroyed; it takes no calls until it is right.",
                code="day_over",
            )

    door = Door(serve, pipeline.render, wheel=wheel, sink=sink, limits=limits)
    try:
        await door.start(start.host, start.port)
        orders.ready()
        await door.drain(await orders.drained())
    finally:
        await door.close()


async def _relay(
    start: Start,
    settings: Settings,
    orders: Orders,
    console: ConsoleRelay,
    clock: Clock,
    sink: JsonLines,
    wheel: Wheel,
    limits: DoorBounds,
) -> None:
    """The role console: a door that only relays, and tells how it is."""
    keys = database.keys_of(settings, start.instance)
    address = await asyncio.to_thread(database.address_at, start.database, keys)
    url = address.url("ruxa_gateway")
    pool = await Pool.open(url, login="ruxa_gateway", min_size=1, max_size=1, clock=clock)

    def serve(request: Request, reply: Reply) -> None:
        if not health.answer(request, reply, pool, console):
            console(request, reply)

    door = Door(serve, health.render, wheel=wheel, sink=sink, limits=limits)
    try:
        await door.start(start.host, start.port)
        orders.ready()
        await door.drain(await orders.drained())
    finally:
        await door.close()
        await pool.close()


async def _pipeline(
    start: Start,
    settings: Settings,
    clock: Clock,
    sink: JsonLines,
    wheel: Wheel,
    upstreams: Upstreams,
    console: ConsoleRelay | None,
    stack: AsyncExitStack,
) -> Pipeline:
    keys = database.keys_of(settings, start.instance)
    address = await asyncio.to_thread(database.address_at, start.database, keys)
    url = address.url("ruxa_gateway")
    pool = await Pool.open(url, login="ruxa_gateway", min_size=1, max_size=POOL_MAX, clock=clock)
    stack.push_async_callback(pool.close)
    epochs = custody.epoch_keys(settings, start.instance, upstreams.register)
    vault = await Vault.unlock(address, epochs, clock=clock, name=f"gateway {start.number}")
    stack.push_async_callback(vault.close)
    notices = Notices(url)
    await notices.open()
    stack.push_async_callback(notices.close)
    loaded = providers.load(settings.providers, read_secret, sandbox_url=start.sandbox_url)
    for name, why in loaded.unready.items():
        sink.emit("provider.unready", "warning", provider=name, reason=why)
    objects = Objects.of_settings(settings.storage, settings.data, upstreams.register)
    outbound.watch(upstreams.register, pool, stack, collect=lambda: upstreams.count(CONTENT, STAND_IN))
    token = None if settings.metrics_token is None else read_secret(settings.metrics_token)
    return Pipeline(
        worker=Worker(
            name=f"{start.instance.machine}-{start.number}",
            workers=settings.workers,
            journals=settings.data / "journal",
            metrics=settings.data / "run" / "metrics",
            live=start.instance.mode == "live",
            metrics_token=token,
        ),
        settings=settings,
        clock=clock,
        sink=sink,
        works=pool,
        keys=vault,
        hub=notices,
        providers=loaded.ready,
        pool=upstreams,
        wheel=wheel,
        console=console,
        keeper=items.Keeper(pool, vault, objects),
        repeats=Repeats(pool, vault),
        batches=Batches(pool, vault, objects),
        kept_responses=Responses(pool, vault, objects),
    )
