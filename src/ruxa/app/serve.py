"""``ruxa run`` from settings to exit code: check, take the data directory, bring all up, tell, serve, stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import msgspec
from setproctitle import setproctitle

from ruxa import __version__
from ruxa.app import child, core_dumps, database, instance, ports, rules, supervisor
from ruxa.app.footprint import Footprint
from ruxa.app.instance import Instance, Lock
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import RuxaError
from ruxa.kernel.settings import Settings
from ruxa.kernel.signals import JsonLines
from ruxa.store.address import Address

Say = Callable[[str], None]

_DOES = {
    "all": "listens on",
    "gateway": "answers calls on",
    "console": "shows the console on",
    "worker": "works on jobs, its health on",
}


def run(settings: Settings, say: Say) -> int:
    """Be the supervisor. Raises RuxaError, with one clear line, for whatever keeps the server from starting."""
    os.umask(0o077)
    core_dumps.forbid()
    child.silence_loggers()
    setproctitle("ruxa: supervisor")
    rules.check(settings, instance.read(settings.data))
    rules.check_parts(settings)
    footprint = Footprint(settings.data, settings.keys)
    try:
        instance.prepare(settings.data, settings.keys)
        lock = Lock.take(settings.data, "ruxa: supervisor")
    except RuxaError:
        footprint.take_back()
        raise
    try:
        return _run_here(settings, footprint, say)
    except (RuxaError, OSError):
        footprint.take_back()
        raise
    finally:
        lock.release()
        _let_go_of_streams()


def _run_here(settings: Settings, footprint: Footprint, say: Say) -> int:
    """The data directory is ours."""
    instance.await_no_children(settings.data)
    # Read again: another process may have made it before we held the lock.
    found = instance.read(settings.data)
    footprint.owned = found is None
    rules.check(settings, found)
    held, port = ports.reserve(settings.host, settings.port)
    with held:
        # Children bind the address that was reserved, not what a name may stand for then.
        host: str = held.getsockname()[0]
        if found is None:
            found = create(settings)
            footprint.instance = found.id
        else:
            footprint.keep()
        database.require_keys(settings, found)
        children = supervisor.wanted(settings, found)
        supervisor.fork(children)
        return asyncio.run(_serve(settings, found, children, host, port, footprint, say))


def create(settings: Settings) -> Instance:
    """An empty data directory becomes the demo when nobody but this machine can reach it, else live."""
    demo = settings.demo and rules.not_private(settings) is None
    id_ = (_only_instance(settings.keys) if settings.database_url else None) or ids.fresh()
    # Keys first: an instance without its keys directory is taken for one that lost it.
    (settings.keys / id_.hex).mkdir(mode=0o700, exist_ok=True)
    return instance.create(
        settings.data,
        id_,
        mode="demo" if demo else "live",
        simulated=settings.simulated,
        clock=Clock(settings.clock_offset_s),
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


def _let_go_of_streams() -> None:
    """Words that nobody reads any more must not turn a good end into a bad one."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


async def _serve(
    settings: Settings,
    found: Instance,
    children: list[supervisor.Child],
    host: str,
    port: int,
    footprint: Footprint,
    say: Say,
) -> int:
    clock = Clock(settings.clock_offset_s)
    # People at a terminal see what is wrong; a log gets everything.
    sink = JsonLines("supervisor", clock, minimum="warning" if sys.stderr.isatty() else "info")
    child.watch_loop(sink)
    place = database.of(settings, found, sink)
    local_url = _url(settings.host, port)
    base_url = (settings.public_url or local_url).rstrip("/")
    first: list[str] = []

    async def set_up() -> Instance:
        # A start that is refused needs nothing of it.
        from ruxa.app import first_start

        await database.bring_up(place.address, found, settings, sink, serving=True)
        footprint.keep()
        agreed = await asyncio.to_thread(_agree, settings, found, place.address)
        if agreed.mode == "demo":
            first.extend(await first_start.demo(settings, agreed, place.address, clock, sink, base_url))
        else:
            first.extend(await first_start.live(settings, agreed, place.address, clock, sink))
        return agreed

    def announce(agreed: Instance) -> None:
        simulated = ", simulated" if agreed.simulated else ""
        # Whoever started us may have left; the server stays.
        with contextlib.suppress(OSError):
            say(f"Ruxa {__version__} {_DOES[settings.role]} {base_url} ({agreed.mode}{simulated})")
            for line in first:
                say(line)

    def told_to_stop() -> None:
        if sys.stdout.isatty():
            say("Stopping: calls under way are finished first (once more in two seconds ends at once).")

    running = supervisor.Supervisor(
        settings,
        found,
        place,
        children,
        host=host,
        port=port,
        base_url=base_url,
        sink=sink,
        set_up=set_up,
        told_to_stop=told_to_stop,
    )
    try:
        return await running.run(announce)
    except RuxaError:
        from ruxa.store import database as store_database

        if isinstance(place, database.External) and await asyncio.to_thread(store_database.knows, place.address):
            # Its logins have passwords that only our keys tell.
            footprint.keep()
        raise


def _agree(settings: Settings, found: Instance, address: Address) -> Instance:
    """The database's word on demo or live counts: the demo may have been made, or removed, from another machine."""
    from ruxa.store import instance as owner

    mode = owner.mode(address.url("ruxa_owner"))
    if mode == found.mode:
        return found
    agreed = msgspec.structs.replace(found, mode=mode)
    rules.check(settings, agreed)
    return instance.change_mode(settings.data, found, mode)


def _url(host: str, port: int) -> str:
    """How this machine reaches the door."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1" if host != "::" else "::1"
    try:
        socket.inet_pton(socket.AF_INET6, host.strip("[]"))
    except OSError:
        return f"http://{host}:{port}"
    return f"http://[{host.strip('[]')}]:{port}"
