"""The processor process: the sandbox processor of a demo, on a loopback socket that the supervisor opened for it."""

from __future__ import annotations

import socket

from ruxa.app.orders import Orders, Start
from ruxa.egress.processors.sandbox import server
from ruxa.kernel.clock import Clock

# Below the data directory: its customers, payments and disputes, so that a restart forgets none of them.
MEMORY = "run/processor.jsonl"


async def run(start: Start, orders: Orders) -> None:
    """Serve until told to stop; what happens is told to this server's own door."""
    assert start.processor is not None
    assert start.listener is not None
    processor = await server.serve(
        socket.socket(fileno=start.listener),
        access=start.processor,
        clock=Clock(start.clock_offset_s),
        file=start.read_settings().data / MEMORY,
        webhooks=f"{start.base_url}/webhooks",
    )
    try:
        orders.ready(port=processor.port)
        await orders.drained()
    finally:
        await processor.close()
