"""``ruxa run``: starts, watches, restarts and stops the processes of one server; carries no traffic itself (D1).

Children are forked before anything else is up, from what this process imported for all of them (``forks``); each waits
on its pipe for ``Start``. A child that ends is started again with back-off, as an interpreter of its own. The first
SIGTERM or SIGINT drains: gateways finish what runs, then console, worker, sandbox and processor leave, then PostgreSQL;
a second one, from two seconds later on, ends all at once. When this process is killed, the end of the pipe tells the
children. A demo's sandbox processor starts when somebody first calls its address.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from ruxa import __version__
from ruxa.app import forks, ports
from ruxa.app import instance as instance_
from ruxa.app.child import STOPS, load
from ruxa.app.forks import Forked
from ruxa.app.instance import Instance, Server
from ruxa.app.orders import Down, Kind, Start, Up
from ruxa.egress.processors.sandbox import access
from ruxa.egress.processors.sandbox.access import Access
from ruxa.kernel import bounds
from ruxa.kernel import settings as settings_
from ruxa.kernel.errors import RuxaError, Unavailable
from ruxa.kernel.settings import Settings
from ruxa.kernel.signals import Sink

RESTART_FIRST_S = 0.2
RESTART_LAST_S = 10.0
LIVED_WELL_S = 30.0
STARTS_MAX = 3
START_TIMEOUT_S = 60.0
# PostgreSQL's end is told by a signal; in between its log is looked at.
LOOK_S = 5.0
# Of DRAIN_S: what gateways may use, then what the others may; the rest is PostgreSQL's.
GATEWAY_DRAIN_S = 22.0
OTHERS_DRAIN_S = 3.0


class Database(Protocol):
    """PostgreSQL as the supervisor sees it: embedded (ours to run) or external (only an address)."""

    where: str

    def pid(self) -> int | None:
        """The postmaster's process, when it is ours."""
        ...

    def alive(self) -> bool:
        """False once our postmaster has ended."""
        ...

    async def start(self) -> None:
        """Bring it up, or check that it answers."""
        ...

    async def stop(self, *, at_once: bool) -> None:
        """Fast stop; immediate with ``at_once``."""
        ...


class Child:
    """One process and our end of its pipe."""

    def __init__(self, kind: Kind, number: int) -> None:
        self.kind: Kind = kind
        self.number = number
        self.name = f"gateway {number}" if kind == "gateway" else kind
        self.process: subprocess.Popen[bytes] | Forked | None = None
        self.control: socket.socket | None = None
        self.ready = asyncio.Event()
        self.port: int | None = None
        self.failed = ""
        self.failures = 0
        self.born = 0.0
        self.rest = b""
        # The socket it is to listen on, when that is opened here.
        self.listener: socket.socket | None = None

    def fork(self) -> None:
        """Start the process from what this one has imported; it waits for ``say(Down(start=...))``."""
        self._begin(lambda theirs: forks.fork(self.kind, self.number, theirs))

    def spawn(self) -> None:
        """Start the process anew; it imports and waits for ``say(Down(start=...))``."""
        self._begin(self._interpreter)

    def _begin(self, start: Callable[[socket.socket], subprocess.Popen[bytes] | Forked]) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.ready.clear()
        self.failed, self.rest = "", b""
        self.born = time.monotonic()
        try:
            self.process = start(theirs)
        except OSError as error:
            ours.close()
            raise Unavailable(f"A process cannot be started: {error.strerror}.") from None
        finally:
            theirs.close()
        self.control = ours

    def _interpreter(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        fd = theirs.fileno()
        passed = (fd,) if self.listener is None else (fd, self.listener.fileno())
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "ruxa", "child", self.kind, str(self.number), str(fd)],
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            # A session of its own: a terminal's Ctrl-C reaches the supervisor only.
            start_new_session=True,
        )

    def say(self, down: Down) -> None:
        """Send one order; a child that is gone does not hear it, and its end is noticed elsewhere."""
        if self.control is not None:
            with contextlib.suppress(OSError):
                self.control.sendall(msgspec.json.encode(down) + b"\n")

    def hang_up(self) -> None:
        """Close the pipe: the child stops at once."""
        if self.control is not None:
            self.control.close()
            self.control = None

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None


def wanted(settings: Settings, instance: Instance) -> list[Child]:
    """The processes of a server, not started yet; the slowest to start first."""
    role = settings.role
    kinds: list[tuple[Kind, int]] = []
    if role in {"all", "console"}:
        kinds.append(("console", 0))
    if role in {"all", "worker"}:
        kinds.append(("worker", 0))
    if role in {"all", "gateway"}:
        for number in range(settings.workers):
            kinds.append(("gateway", number))
    if role == "console":
        kinds.append(("gateway", 0))
    sandbox = instance.mode == "demo" or "sandbox" in settings.providers
    if sandbox and role in {"all", "gateway"}:
        kinds.append(("sandbox", 0))
    return [Child(kind, number) for kind, number in kinds]


def fork(children: list[Child]) -> None:
    """Import what all of them need and fork them, before this process has threads or an open secret.

    Where that cannot be they are started later. A signal to stop waits from here until ``Supervisor.run`` obeys it.
    Raises Unavailable when there can be no process more.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    for one in children:
        load(one.kind)
    if forks.possible():
        for one in children:
            one.fork()


class Supervisor:
    """The processes of one server.

    children: as ``wanted`` says, begun or not. set_up: called once the database is up; gives the instance as the
    database has it. told_to_stop: called at the first signal.
    """

    def __init__(
        self,
        settings: Settings,
        instance: Instance,
        database: Database,
        children: list[Child],
        *,
        host: str,
        port: int,
        base_url: str,
        sink: Sink,
        set_up: Callable[[], Awaitable[Instance]],
        told_to_stop: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._instance = instance
        self._database = database
        self._host, self._port, self._base_url = host, port, base_url
        self._sink = sink
        self._set_up = set_up
        self._told_to_stop = told_to_stop
        self._children = children
        self._started = False
        self._serving = False
        self._stopping = asyncio.Event()
        self._at_once = asyncio.Event()
        self._first_signal_at: float | None = None
        self._changed = asyncio.Event()
        self._somebody_ended = asyncio.Event()
        self._timers: set[asyncio.TimerHandle] = set()
        self._sandbox_url: str | None = None
        self._processor: Access | None = None
        self._doorbell: socket.socket | None = None

    async def run(self, announce: Callable[[Instance], None]) -> int:
        """Start all, call ``announce`` with the instance when it answers, serve, stop. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in STOPS:
            loop.add_signal_handler(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        loop.add_signal_handler(signal.SIGCHLD, self._on_child)
        starting = asyncio.ensure_future(self._start())
        stopping = asyncio.ensure_future(self._stopping.wait())
        watching: asyncio.Task[None] | None = None
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.wait({starting}, timeout=5)
            else:
                starting.result()
                announce(self._instance)
                watching = asyncio.ensure_future(self._watch())
                await stopping
            return 0
        finally:
            for task in (starting, stopping, watching):
                if task is not None and not task.done():
                    task.cancel()
            await self._stop()
            for number in (*STOPS, signal.SIGCHLD):
                loop.remove_signal_handler(number)

    # Starting

    async def _start(self) -> None:
        for child in self._children:
            if child.alive():
                self._listen(child)
            else:
                child.hang_up()
                self._spawn(child)
        for child in self._children:
            if child.kind == "sandbox":
                self._send_start(child)
        await self._database.start()
        self._instance = await self._set_up()
        if not any(child.kind == "sandbox" for child in wanted(self._settings, self._instance)):
            # It was started before the database told that this installation is live.
            strangers = [child for child in self._children if child.kind == "sandbox"]
            self._children = [child for child in self._children if child.kind != "sandbox"]
            await self._end(strangers, 0.0)
        self._started = True
        if self._instance.mode == "demo" and self._settings.role == "all":
            self._open_processor()
        for child in self._children:
            if child.kind == "sandbox":
                await self._until_ready(child)
                self._sandbox_url = f"http://127.0.0.1:{child.port}"
        for child in self._children:
            if child.kind != "sandbox":
                self._send_start(child)
        await asyncio.gather(*(self._until_ready(child) for child in self._children))
        self._serving = True
        self._write_server()

    async def _until_ready(self, child: Child) -> None:
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not child.ready.is_set():
                    if child.failures >= STARTS_MAX:
                        raise Unavailable(child.failed or f"The process {child.name} ends at once, {STARTS_MAX} times.")
                    await self._change()
        except TimeoutError:
            raise Unavailable(f"The process {child.name} is not ready after {START_TIMEOUT_S:.0f} s.") from None

    async def _change(self) -> None:
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await self._changed.wait()
        self._reap()

    def _open_processor(self) -> None:
        """The sandbox processor: its address is there from now on, its process from when somebody first calls."""
        self._doorbell = ports.listening_again(self._settings.data / "run" / "processor.port")
        self._processor = access.fresh().at(f"http://127.0.0.1:{self._doorbell.getsockname()[1]}")
        self._await_caller()

    def _await_caller(self) -> None:
        if self._doorbell is not None and not self._stopping.is_set():
            asyncio.get_running_loop().add_reader(self._doorbell, self._wake)

    def _wake(self) -> None:
        assert self._doorbell is not None
        asyncio.get_running_loop().remove_reader(self._doorbell)
        child = next((child for child in self._children if child.kind == "processor"), None)
        if child is None:
            child = Child("processor", 0)
            child.listener = self._doorbell
            self._children.append(child)
        self._restart(child)

    def _spawn(self, child: Child) -> None:
        child.spawn()
        self._listen(child)

    def _listen(self, child: Child) -> None:
        assert child.control is not None
        asyncio.get_running_loop().add_reader(child.control, self._hear, child, child.control)

    def _send_start(self, child: Child) -> None:
        child.say(
            Down(
                start=Start(
                    kind=child.kind,
                    number=child.number,
                    settings=msgspec.Raw(settings_.encode(self._settings)),
                    instance=self._instance,
                    host=self._host,
                    # The gateways know the sandbox by its port, so it comes back on the same one.
                    port=(child.port or 0) if child.kind == "sandbox" else self._port,
                    base_url=self._base_url,
                    console_socket=str(instance_.console_socket(self._settings.data)),
                    sandbox_url=self._sandbox_url,
                    processor=self._processor if child.kind in {"console", "worker", "processor"} else None,
                    listener=None if child.listener is None else child.listener.fileno(),
                    database=self._database.where,
                    clock_offset_s=self._settings.clock_offset_s,
                )
            )
        )

    def _hear(self, child: Child, control: socket.socket) -> None:
        try:
            piece = control.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            asyncio.get_running_loop().remove_reader(control)
            return
        child.rest += piece
        while b"\n" in child.rest:
            line, _, child.rest = child.rest.partition(b"\n")
            up = msgspec.json.decode(line, type=Up)
            if up.failed is not None:
                child.failed = up.failed
            if up.ready:
                child.port = up.port
                child.ready.set()
                if self._serving and not self._stopping.is_set():
                    self._write_server()
        self._changed.set()

    # Serving

    async def _watch(self) -> None:
        """PostgreSQL is restarted like a child; its connections come back by themselves."""
        failures = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._somebody_ended.wait()
            self._somebody_ended.clear()
            if self._database.alive():
                continue
            self._sink.emit("database.away", "error", code="ended")
            away_since = time.monotonic()
            while True:
                delay = min(RESTART_LAST_S, RESTART_FIRST_S * 2**failures)
                await asyncio.sleep(delay)
                try:
                    await self._database.start()
                except RuxaError as error:
                    failures += 1
                    self._sink.emit("database.away", "error", code=error.code)
                    continue
                failures = 0
                self._sink.emit("database.back", away_ms=int((time.monotonic() - away_since) * 1000))
                self._write_server()
                break

    def _on_child(self) -> None:
        self._somebody_ended.set()
        self._reap()

    def _reap(self) -> None:
        for child in self._children:
            process = child.process
            if process is None or process.poll() is None:
                continue
            child.process = None
            if child.control is not None:
                asyncio.get_running_loop().remove_reader(child.control)
                self._hear_last(child)
                child.hang_up()
            child.ready.clear()
            self._changed.set()
            if self._stopping.is_set():
                continue
            if time.monotonic() - child.born > LIVED_WELL_S:
                child.failures = 0
            delay = min(RESTART_LAST_S, RESTART_FIRST_S * 2**child.failures)
            child.failures += 1
            self._sink.emit(
                "process.restarted", "warning", role=child.name, code=process.returncode, delay_ms=int(delay * 1000)
            )
            if child.kind == "processor":
                self._later(delay, self._await_caller)
            elif self._started or child.failures < STARTS_MAX:
                self._later(delay, lambda child=child: self._restart(child))

    def _hear_last(self, child: Child) -> None:
        """What a child said before it ended."""
        assert child.control is not None
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            while piece := child.control.recv(65_536):
                child.rest += piece
        for line in child.rest.splitlines():
            with contextlib.suppress(msgspec.MsgspecError):
                child.failed = msgspec.json.decode(line, type=Up).failed or child.failed

    def _restart(self, child: Child) -> None:
        if self._stopping.is_set() or child.alive():
            return
        try:
            self._spawn(child)
        except RuxaError as error:
            child.failed = error.public
            self._later(RESTART_LAST_S, lambda: self._restart(child))
            return
        if self._started or child.kind == "sandbox":
            self._send_start(child)

    def _later(self, delay: float, what: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers.discard(handle)
            what()

        handle = asyncio.get_running_loop().call_later(delay, fire)
        self._timers.add(handle)

    def _write_server(self) -> None:
        with contextlib.suppress(RuxaError):
            instance_.write_server(
                self._settings.data,
                Server(
                    pid=os.getpid(),
                    version=__version__,
                    role=self._settings.role,
                    base_url=self._base_url or None,
                    console_socket=str(instance_.console_socket(self._settings.data)),
                    sandbox_url=self._sandbox_url,
                    processor_url=None if self._processor is None else self._processor.url,
                    database=self._database.pid(),
                    children={c.name: c.process.pid for c in self._children if c.process is not None},
                ),
            )

    # Stopping

    def _on_signal(self) -> None:
        now = time.monotonic()
        if self._first_signal_at is None:
            self._first_signal_at = now
            self._stopping.set()
            self._told_to_stop()
        elif now - self._first_signal_at >= bounds.SECOND_SIGNAL_AFTER_S:
            self._at_once.set()

    async def _stop(self) -> None:
        self._stopping.set()
        for timer in self._timers:
            timer.cancel()
        if self._doorbell is not None:
            asyncio.get_running_loop().remove_reader(self._doorbell)
            self._doorbell.close()
        instance_.forget_server(self._settings.data)
        gateways = [child for child in self._children if child.kind == "gateway"]
        others = [child for child in self._children if child.kind != "gateway"]
        await self._end(gateways, GATEWAY_DRAIN_S)
        await self._end(others, OTHERS_DRAIN_S)
        await self._database.stop(at_once=self._at_once.is_set())

    async def _end(self, children: list[Child], within_s: float) -> None:
        """Drain those that serve, then cut, then kill."""
        serving = [child for child in children if child.ready.is_set()]
        for child in serving:
            child.say(Down(drain_s=within_s))
        await self._gone(serving, within_s + 0.5, until=self._at_once)
        for child in children:
            if child.control is not None:
                asyncio.get_running_loop().remove_reader(child.control)
            child.hang_up()
        await self._gone(children, 2.5)
        for child in children:
            if child.process is not None:
                child.process.kill()
                child.process.wait()

    async def _gone(self, children: list[Child], within_s: float, *, until: asyncio.Event | None = None) -> None:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline and not (until is not None and until.is_set()):
            self._reap()
            if not any(child.alive() for child in children):
                return
            self._changed.clear()
            waits = [asyncio.ensure_future(self._changed.wait())]
            if until is not None:
                waits.append(asyncio.ensure_future(until.wait()))
            await asyncio.wait(waits, timeout=0.25, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
