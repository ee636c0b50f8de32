"""The loop of these tests is the one that a gateway worker runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories(
    config: object, item: object
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """See ``pytest_asyncio``."""
    return {"uvloop": uvloop.new_event_loop}
