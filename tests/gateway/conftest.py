"""The gateway's tests share one fixture: a worker as the product wires it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop

from fixtures_gateway import house

__all__ = ["house"]


def pytest_asyncio_loop_factories(
    config: object, item: object
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that a gateway worker runs on."""
    return {"uvloop": uvloop.new_event_loop}
