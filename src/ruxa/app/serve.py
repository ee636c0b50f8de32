"""``ruxa run`` from settings to exit code: check, take the data directory, bring all up, tell, serve, stop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from setproctitle import setproctitle

from ruxa import __version__
from ruxa.app import child, database, first_start, instance, ports
from ruxa.app.instance import Instance, Lock
from ruxa.app.supervisor import Supervisor
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Conflict, InvalidCall
from ruxa.kernel.settings import Settings
from ruxa.kernel.signals import JsonLines

Say = Callable[[str], None]


def run(settings: Settings, say: Say) -> int:
    """Be the supervisor. Raises RuxaError, with one clear line, for whatever keeps the server from starting."""
    os.umask(0o077)
    child.forbid_core_dumps()
    setproctitle("ruxa: supervisor")
    check(settings, instance.read(settings.data))
    instance.prepare(settings.data, settings.keys)
    lock = Lock.take(settings.data, "ruxa: supervisor")
    try:
        instance.await_no_children(settings.data)
        # Read again: another process may have made it before we held the lock.
        found = instance.read(settings.data)
        check(settings, found)
        if settings.role == "worker":
            held, port = None, settings.port
        else:
            held, port = ports.reserve(settings.host, settings.port)
        try:
            return asyncio.run(_serve(settings, found or _create(settings), port, say))
        finally:
            if held is not None:
                held.close()
    finally:
        lock.release()


def check(settings: Settings, found: Instance | None) -> None:
    """What must not be started, before anything is touched (decisions D9, D35)."""
    if settings.role != "all" and settings.database_url is None:
        raise InvalidCall(
            f"The role {settings.role} needs a database of its own: set RUXA_DATABASE_URL, "
            "since the embedded PostgreSQL belongs to the role all.",
            code="role_without_database",
        )
    if found is not None and found.mode == "demo" and (why := _not_private(settings)):
        raise Conflict(
            f"This data directory holds the demo, and {why}. Run `ruxa demo remove` first, "
            "or choose another data directory with --data.",
            code="demo_exists",
        )
    simulated = settings.simulated if found is None else found.simulated
    if settings.simulated and not simulated:
        raise Conflict(
            f"{settings.data} was made without --simulated: its clock cannot be moved.", code="not_simulated"
        )
    if settings.clock_offset_s and not simulated:
        raise Conflict(
            "RUXA_CLOCK_OFFSET is refused: only a data directory made with `ruxa run --simulated` has a movable clock.",
            code="not_simulated",
        )
    if settings.egress.allow_loopback and not ports.is_loopback(settings.host):
        raise InvalidCall(
            f"egress.allow_loopback is for development: refused while the host is {settings.host}.", code="bad_setting"
        )


def _not_private(settings: Settings) -> str | None:
    """Why the demo, whose key and password lie in a file, must not run with these settings."""
    if not ports.is_loopback(settings.host):
        return f"the host {settings.host} is not loopback"
    if settings.public_url is not None:
        return f"the public URL {settings.public_url} is set"
    for name in settings.payments:
        if name != "sandbox":
            return f"the payment processor {name} is set"
    return None


def _create(settings: Settings) -> Instance:
    """An empty data directory becomes the demo when nobody but this machine can reach it, else live."""
    demo = settings.demo and _not_private(settings) is None
    clock = Clock(settings.clock_offset_s)
    return instance.create(
        settings.data,
        mode="demo" if demo else "live",
        simulated=settings.simulated,
        clock=clock,
        id_=_only_instance(settings.keys) if settings.database_url else None,
    )


def _only_instance(keys: Path) -> UUID | None:
    """The instance whose keys are here already: a second machine on the same database joins it."""
    found: list[UUID] = []
    for entry in keys.iterdir():
        try:
            found.append(UUID(entry.name))
        except ValueError:
            continue
    return found[0] if len(found) == 1 else None


async def _serve(settings: Settings, found: Instance, port: int, say: Say) -> int:
    clock = Clock(settings.clock_offset_s)
    sink = JsonLines("supervisor", clock)
    place = database.of(settings, found, sink)
    local_url = _url(settings.host, port)
    base_url = (settings.public_url or local_url).rstrip("/")
    first: list[str] = []

    async def set_up() -> None:
        await database.migrate(place.address, found, clock, sink)
        if found.mode == "demo":
            first.extend(await first_start.demo(settings, found, place.address, clock, base_url))
        else:
            await first_start.live(found, place.address, clock)

    def announce() -> None:
        if settings.role == "worker":
            say(f"Ruxa {__version__} works on jobs.")
        else:
            say(f"Ruxa {__version__} listens on {base_url} ({found.mode}{', simulated' if found.simulated else ''})")
        for line in first:
            say(line)

    supervisor = Supervisor(
        settings, found, place, host=settings.host, port=port, base_url=base_url, sink=sink, set_up=set_up
    )
    return await supervisor.run(announce)


def _url(host: str, port: int) -> str:
    """How this machine reaches the door."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1" if host != "::" else "::1"
    try:
        socket.inet_pton(socket.AF_INET6, host.strip("[]"))
    except OSError:
        return f"http://{host}:{port}"
    return f"http://[{host.strip('[]')}]:{port}"
