"""The sandbox process: the sandbox provider on a loopback port of its own (decision D1)."""

from __future__ import annotations

from ruxa.app.orders import Orders, Start
from ruxa.egress.sandbox import server


async def run(start: Start, orders: Orders) -> None:
    """Serve until told to stop; answers under way are finished."""
    sandbox = await server.serve("127.0.0.1", start.port)
    try:
        orders.ready(port=sandbox.port)
        await orders.drained()
    finally:
        await sandbox.close()
