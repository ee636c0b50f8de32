"""Closed: the routes that are closed for prepaid calls, as the database says and as this worker has found (D21)."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from ruxa.gateway.plan import Target
from ruxa.ledger import routes
from ruxa.ledger.leases import Works
from ruxa.store.work import Work


class Routes:
    """Which prices are closed: as the database says, and as this worker has found and not yet written down."""

    __slots__ = ("_found", "_wake", "_works", "closed")

    def __init__(self, works: Works, wake: Callable[[], None]) -> None:
        """wake: asks for ``flush`` soon."""
        self._works = works
        self._wake = wake
        self._found: dict[UUID, int] = {}
        self.closed: frozenset[UUID] = frozenset()

    def close(self, target: Target, over_percent: int) -> None:
        """From now on this worker does not serve it; the others as soon as it is written down."""
        target.closed = True
        self._found[target.price.listed] = over_percent
        self._wake()

    async def flush(self) -> None:
        """Write down what was found; what can't be stays for the next time. Raises Unavailable."""
        for price_id, over_percent in list(self._found.items()):
            async with self._works.work() as work:
                await routes.close(work, price_id, over_percent)
            self.closed |= {price_id}
            del self._found[price_id]

    async def read(self, work: Work) -> frozenset[UUID]:
        """Every closed price."""
        self.closed = frozenset(route.price_id for route in await routes.closed(work))
        return self.closed | self._found.keys()
