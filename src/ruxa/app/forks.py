"""Children made from what the supervisor has imported: a start imports once for all of them, and they share it.

Only before the supervisor has threads, an event loop, or an open secret: a fork takes along whatever is there. A child
that has to come back later is an interpreter of its own, as all are where forks are not possible.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from ruxa.app import child
from ruxa.app.orders import Kind


class Forked:
    """A forked process, with what the supervisor uses of ``subprocess.Popen``."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code once it has ended; negative: the signal that ended it."""
        return self._look(os.WNOHANG)

    def wait(self) -> int:
        """The exit code, when it has ended."""
        code = self._look(0)
        assert code is not None
        return code

    def kill(self) -> None:
        """End it at once; nothing happens when it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def _look(self, how: int) -> int | None:
        if self.returncode is None:
            try:
                found, status = os.waitpid(self.pid, how)
            except ChildProcessError:
                # Somebody else reaped it: how it ended is lost.
                self.returncode = 255
            else:
                if found == self.pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def possible() -> bool:
    """Whether a fork takes along nothing that it would break: this process has one thread, and the system says so."""
    try:
        return len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:
        return False


def fork(kind: Kind, number: int, control: socket.socket) -> Forked:
    """Begin the ``number``-th ``kind`` with its end of the pipe. Raises OSError when there can be no process more."""
    sys.stdout.flush()
    sys.stderr.flush()
    # What is there lives as long as both processes: never walked, so the pages stay shared.
    gc.freeze()
    pid = os.fork()
    if not pid:
        _become(kind, number, control.fileno())
    return Forked(pid)


def _become(kind: Kind, number: int, fd: int) -> NoReturn:
    """Never returns into the supervisor's frames: what they hold is the supervisor's to close."""
    code = 1
    try:
        # A session of its own: a terminal's Ctrl-C reaches the supervisor only.
        os.setsid()
        _keep_only(fd)
        code = child.main(kind, number, fd)
    except BaseException as error:  # noqa: BLE001 - the edge of the process
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                continue
        os._exit(code)


def _keep_only(fd: int) -> None:
    """Standard streams, with nothing to read, and the pipe; not the lock, the held port or another child's pipe."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    last = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    os.closerange(3, fd)
    os.closerange(fd + 1, last)
