"""The way over HTTP: the kit is the caller and, on a port of its own, the provider of a running gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import msgspec

from ruxa.egress.conformance import material
from ruxa.egress.conformance.case import Code, Run, Step, public
from ruxa.egress.conformance.client import Asked, Came, Target
from ruxa.egress.conformance.runner import Heard, script
from ruxa.egress.sandbox.script import Upstream

PORT = 8430
TIMEOUT_S = 30.0
FILES = {"/wire/pixel.png": ("image/png", material.PNG)}


class Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a gateway that has no config file of its own is told where a call goes. model: what the caller writes,
    ``{{upstream_model}}`` in it; headers: of the caller's request; ``{{port}}`` is the scripted provider's."""

    model: str = ""
    headers: dict[str, str] = {}


@asynccontextmanager
async def listening(port: int) -> AsyncGenerator[Upstream]:
    """The scripted upstream on loopback; port 0: any free one."""
    upstream = Upstream()
    await upstream.listen("127.0.0.1", port)
    try:
        yield upstream
    finally:
        await upstream.close()


class Wire:
    """A running gateway and the scripted upstream behind it."""

    def __init__(self, target: Target, key: str, upstream: Upstream, routes: Mapping[str, Route] | None = None) -> None:
        self._target = target
        self._key = key
        self._upstream = upstream
        self._routes = routes or {}

    async def exchange(self, run: Run, step: Step, asked: Asked) -> tuple[list[Heard], Came]:
        """See ``runner.Way``."""
        self._upstream.play(script(step, FILES))
        came = await self._target.ask(self._addressed(run, step, asked), TIMEOUT_S)
        heard = [Heard(path=each.path, headers=each.headers, body=each.body) for each in self._upstream.heard]
        return heard, came

    def _addressed(self, run: Run, step: Step, asked: Asked) -> Asked:
        """The request with the key, the upstream's address and, for a gateway without a config file, its route."""
        headers = {**key_header(run.source, self._key), **asked.headers}
        headers = {name: value.replace("{{key}}", self._key) for name, value in headers.items() if value}
        upstream = f"http://127.0.0.1:{self._upstream.port}"
        body = asked.body.replace(b"{{upstream}}", upstream.encode())
        path = asked.path.replace("{{key}}", self._key)
        if step.target is not None:
            given = public(step.target, step.model)
            route = self._routes.get(given.partition("/")[0], Route())
            headers |= {
                name: value.replace("{{port}}", str(self._upstream.port)) for name, value in route.headers.items()
            }
            if route.model:
                named = route.model.replace("{{upstream_model}}", step.model)
                body, path = body.replace(given.encode(), named.encode()), path.replace(given, named)
        return msgspec.structs.replace(asked, headers=headers, body=body, path=path)


def key_header(source: Code, key: str) -> dict[str, str]:
    """How a client of that dialect sends its key."""
    if source == "AM":
        return {"x-api-key": key}
    return {"x-goog-api-key": key} if source == "GG" else {"authorization": f"Bearer {key}"}
