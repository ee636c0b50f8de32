"""The audit log's public files: checkpoint and hash tiles (C2SP tlog-tiles), keys, and the program that checks them.

Leaves and entries are not served: a hash of a salted hash says that something was done, and nothing else (D41).
"""

from __future__ import annotations

import re
from typing import Final

from litestar import Request, Response, route
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ruxa.access.audit import published, sequencer
from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.kernel import codec
from ruxa.kernel.errors import NotFound

PREFIX: Final = "/.well-known/ruxa-log"
KEYS: Final = "/.well-known/ruxa/keys.json"
PROGRAM: Final = "/.well-known/ruxa-verify.py"

_TILE: Final = re.compile(r"/?(?P<level>0|[1-9]\d?)/(?P<number>(?:x\d{3}/){0,5}\d{3})(?:\.p/(?P<width>[1-9]\d{0,2}))?")
_FOREVER: Final = "public, max-age=31536000, immutable"
_SECONDS: Final = "public, max-age=5"
_HOUR: Final = "public, max-age=3600"

Asked = Request[object, object, State]


def place_of(path: str) -> tuple[int, int, int]:
    """(level, number, width) of a tile's path below ``tile``. Raises NotFound when it is none."""
    found = _TILE.fullmatch(path)
    if found is None:
        raise NotFound("There is no such tile.")
    parts = found["number"].split("/")
    # The shortest way to write a number is the only one: a leading x000 would be a second.
    if len(parts) > 1 and parts[0] == "x000":
        raise NotFound("There is no such tile.")
    width = int(found["width"] or 256)
    if found["width"] is not None and width >= 256:
        raise NotFound("There is no such tile.")
    return int(found["level"]), int("".join(part.removeprefix("x") for part in parts)), width


def handlers(deps: Deps, edge: Edge) -> list[HTTPRouteHandler]:
    """The routes."""

    def answer(data: bytes, kind: str, cache: str) -> Response[bytes]:
        return Response(data, media_type=kind, headers={"cache-control": cache})

    @route(f"{PREFIX}/checkpoint", http_method=["GET", "HEAD"], status_code=200, include_in_schema=False)
    async def log_checkpoint(request: Asked) -> Response[bytes]:
        edge.refuse_host(request.headers)
        async with deps.pool.work("public") as work:
            last = await sequencer.checkpoint(work)
        if last is None:
            raise NotFound("The log has no checkpoint yet.")
        return answer(last.text.encode(), "text/plain", _SECONDS)

    @route(f"{PREFIX}/tile/{{tile:path}}", http_method=["GET", "HEAD"], status_code=200, include_in_schema=False)
    async def log_tile(request: Asked, tile: FromPath[str]) -> Response[bytes]:
        edge.refuse_host(request.headers)
        level, number, width = place_of(tile)
        async with deps.pool.work("public") as work:
            data = await sequencer.tile(work, level, number, width)
        if data is None:
            raise NotFound("There is no such tile.")
        return answer(data, "application/octet-stream", _FOREVER)

    @route(KEYS, http_method=["GET", "HEAD"], status_code=200, include_in_schema=False)
    async def log_keys(request: Asked) -> Response[bytes]:
        edge.refuse_host(request.headers)
        async with deps.pool.work("public") as work:
            origin = await sequencer.origin(work)
        return answer(
            codec.encode(await published.keys_document(deps.vault, origin)), "application/json", "public, max-age=300"
        )

    @route(PROGRAM, http_method=["GET", "HEAD"], status_code=200, include_in_schema=False)
    async def log_program(request: Asked) -> Response[bytes]:
        edge.refuse_host(request.headers)
        return answer(published.verifier(), "text/x-python", _HOUR)

    return [log_checkpoint, log_tile, log_keys, log_program]
