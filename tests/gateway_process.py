"""One gateway worker as a process, for tests that kill it and for measuring it: ``gateway_process.py '{json}'``.

The JSON names the database (``sockets``, ``database``, ``logins``), ``keys``, ``place``, ``port``, the worker's
``name`` and either ``sandbox`` (URL) or ``openai`` (URL). Writes ``READY port`` to standard output.
"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from pathlib import Path
from typing import Any

import uvloop

from ruxa.egress.http import Pool as Upstreams
from ruxa.egress.objects import Objects
from ruxa.egress.providers import load
from ruxa.egress.recipient import Register
from ruxa.egress.timers import Wheel
from ruxa.gateway.door import Door
from ruxa.gateway.pipeline import Pipeline, Worker
from ruxa.kernel.clock import Clock
from ruxa.kernel.settings import ProviderSettings, Settings
from ruxa.kernel.signals import JsonLines
from ruxa.privacy.files.batches import Batches
from ruxa.store.address import Address
from ruxa.store.embedded import SOCKET_PORT
from ruxa.store.logins import Logins
from ruxa.store.notify import Notices
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault


async def main(said: dict[str, Any]) -> None:
    clock = Clock()
    sink = JsonLines("gateway", clock)
    address = Address.at_socket(said["sockets"], SOCKET_PORT, Logins.load(Path(said["logins"])), said["database"])
    pool = await Pool.open(address.url("ruxa_gateway"), login="ruxa_gateway", max_size=8, clock=clock)
    vault = await Vault.unlock(address, Path(said["keys"]), clock=clock)
    notices = Notices(address.url("ruxa_gateway"))
    await notices.open()
    configured = {"openai": ProviderSettings(base_url=said["openai"], key="env:X")} if "openai" in said else {}
    wheel = Wheel()
    place = Path(said["place"])
    pipeline = Pipeline(
        worker=Worker(name=said.get("name", "gateway-0"), workers=1, journals=place / "journal", metrics=place / "m"),
        settings=Settings(providers=configured),
        clock=clock,
        sink=sink,
        works=pool,
        keys=vault,
        hub=notices,
        providers=load(configured, lambda _: "upstream-secret", sandbox_url=said.get("sandbox")).ready,
        pool=Upstreams(Register(sink), wheel=wheel),
        wheel=wheel,
        batches=Batches(pool, vault, Objects.of_folder(place / "objects")),
        segment_bytes=said.get("segment_bytes", 16 * 1024 * 1024),
    )
    await pipeline.start()
    door = Door(pipeline.serve, pipeline.render, wheel=wheel, sink=sink, screen=pipeline.screen)
    port = await door.start("127.0.0.1", said.get("port", 0))
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print("READY", port, flush=True)  # from here on it may be told to stop, and drains
    await stop.wait()
    await door.drain(5)
    await pipeline.drain()
    await notices.close()
    await vault.close()
    await pool.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(json.loads(sys.argv[1])))
