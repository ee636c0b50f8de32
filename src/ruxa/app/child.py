"""A child process: deaf to terminal signals, named for ``ps``, obedient to the supervisor's pipe."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast, get_args

from setproctitle import setproctitle

from ruxa.app import core_dumps
from ruxa.app.instance import join_children
from ruxa.app.orders import Kind, Orders, Start
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import RuxaError
from ruxa.kernel.signals import JsonLines, Sink

# What stops a server, and no child by itself.
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

Run = Callable[[Start, Orders], Awaitable[None]]


def keep_large_bodies() -> None:
    """A prompt of some hundred KiB is one allocation, which the C library gives back to the system after each call.

    It fetched it anew, page by page (measured: 250 against 183 us of CPU a call of 256 KiB).
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_TRIM_THRESHOLD, 32 * 1024 * 1024)
        library.mallopt(_M_MMAP_THRESHOLD, 4 * 1024 * 1024)


def silence_loggers() -> None:
    """Third parties' log lines quote addresses, statements and arguments; what we tell are signals."""
    logging.getLogger().addHandler(logging.NullHandler())


def main(kind: str, number: int, fd: int) -> int:
    """Be the ``number``-th ``kind``: import while the database starts, then serve until told to stop."""
    assert kind in get_args(Kind), kind
    core_dumps.forbid()
    silence_loggers()
    for ignored in STOPS:
        signal.signal(ignored, signal.SIG_IGN)
    # A supervisor that forks has them wait until it can obey them.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    setproctitle(f"ruxa: gateway {number}" if kind == "gateway" else f"ruxa: {kind}")
    if kind == "gateway":
        keep_large_bodies()
    orders = Orders(fd)
    try:
        return _be(cast(Kind, kind), orders)
    finally:
        orders.close()


def _be(kind: Kind, orders: Orders) -> int:
    run = load(kind)
    start = orders.start()
    if start is None:
        return 0
    mark = join_children(start.read_settings().data)
    assert mark >= 0
    with asyncio.Runner(loop_factory=_loop_factory(kind)) as runner:
        code = runner.run(_serve(run, start, orders))
    if orders.cut_off and kind in {"worker", "console"} and start.database.startswith("/"):
        _stop_orphan(start.read_settings().data)
    return code


def _stop_orphan(data: Path) -> None:
    """When the supervisor was killed nobody else stops its PostgreSQL; when it was not, this comes too late to harm."""
    from ruxa.store import strays

    with contextlib.suppress(RuxaError, OSError):
        strays.stop(data / "postgres")


def told(sink: Sink, error: BaseException) -> None:
    """Tell where an unforeseen error came from, and of which type: its text may quote data, so it stays untold."""
    where, frame = "unknown", error.__traceback__
    while frame is not None:
        where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
        frame = frame.tb_next
    sink.emit("broken", "error", where=where, error=type(error).__name__)


def watch_loop(sink: Sink) -> None:
    """Errors that nobody awaits are told too."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            told(sink, error)
        else:
            sink.emit("broken", "error", where="loop", error=str(context.get("message", ""))[:80])

    asyncio.get_running_loop().set_exception_handler(handle)


async def _serve(run: Run, start: Start, orders: Orders) -> int:
    name = f"gateway {start.number}" if start.kind == "gateway" else start.kind
    sink = JsonLines(name, Clock(start.clock_offset_s))
    watch_loop(sink)
    task = asyncio.ensure_future(run(start, orders))
    gone = asyncio.Event()
    orders.listen(gone.set)
    watch = asyncio.ensure_future(gone.wait())
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            # The order to drain was set just before: give an orderly end a moment, then cut.
            await asyncio.wait({task}, timeout=2.0)
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task}, timeout=1.0)
            return 1
        task.result()
    except RuxaError as error:
        orders.failed(error.public)
        sink.emit("broken", "error", where=start.kind, error=f"{error.code} {error.detail}".strip())
        return 1
    except OSError as error:
        orders.failed(f"The operating system refused: {error.strerror or type(error).__name__}.")
        return 1
    except Exception as error:  # noqa: BLE001 - the edge of the process
        orders.failed(f"The process {start.kind} broke; its signal `broken` says where.")
        told(sink, error)
        return 1
    else:
        return 0
    finally:
        watch.cancel()


def _loop_factory(kind: Kind) -> Callable[[], asyncio.AbstractEventLoop]:
    """The gateway and the sandbox on uvloop; console and worker on the standard loop, where the hook sees (D7)."""
    if kind in {"gateway", "sandbox"}:
        try:
            import uvloop
        except ImportError:
            return asyncio.new_event_loop
        return uvloop.new_event_loop
    return asyncio.new_event_loop


def load(kind: Kind) -> Run:
    """The wiring of one kind, imported with all it needs."""
    _loop_factory(kind)
    if kind == "gateway":
        from ruxa.app.gateway import run
    elif kind == "console":
        from ruxa.app.console import run
    elif kind == "worker":
        from ruxa.app.worker import run
    elif kind == "processor":
        from ruxa.app.processor import run
    else:
        from ruxa.app.sandbox import run
    return run
