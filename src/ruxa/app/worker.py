"""The job worker's wiring: scheduled jobs of every room, run once wherever they run."""

from __future__ import annotations

from ruxa.app.orders import Orders, Start


async def run(start: Start, orders: Orders) -> None:
    """Work until told to stop."""
    orders.ready()
    await orders.drained()
