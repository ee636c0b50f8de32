"""``/healthz`` and ``/readyz`` of the processes that take no calls: the worker alone, the console's door."""

from __future__ import annotations

import asyncio

from ruxa.gateway.door import Reply, Request
from ruxa.gateway.pipeline import only_reads, plain_error
from ruxa.gateway.relayed import Console
from ruxa.kernel import codec, ids
from ruxa.kernel.errors import RuxaError
from ruxa.store import instance as owner
from ruxa.store.pool import Pool

JSON = b"content-type: application/json\r\ncache-control: no-store\r\n"


def answer(request: Request, reply: Reply, pool: Pool, console: Console | None = None) -> bool:
    """Answer when it is one of the two paths; False when it is another. console: ready only while its pages come."""
    if request.path in (b"/healthz", b"/readyz") and request.method not in (b"GET", b"HEAD"):
        reply.send(*only_reads(ids.text("req", ids.fresh())))
        return True
    if request.path == b"/healthz":
        reply.send(200, JSON, b'{"alive":true}\n')
        return True
    if request.path == b"/readyz":
        task = asyncio.ensure_future(_ready(reply, pool, console))

        def leave() -> None:
            task.cancel()

        reply.on_gone = leave
        return True
    return False


def render(error: RuxaError, request: Request | None) -> tuple[int, bytes, bytes]:
    """Errors of such a door, in the shape of ``/api/v1``."""
    return plain_error(error, ids.text("req", ids.fresh()))


async def _ready(reply: Reply, pool: Pool, console: Console | None) -> None:
    checks = {"database": True}
    try:
        async with pool.work() as work:
            await owner.now(work)
    except RuxaError:
        checks["database"] = False
    if console is not None:
        checks["console"] = await console.answers()
    ready = all(checks.values())
    reply.send(200 if ready else 503, JSON, codec.encode({"ready": ready, "checks": checks}) + b"\n")
