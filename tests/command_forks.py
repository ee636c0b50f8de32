"""Commands of ``ruxa`` forked from a process that has imported what they need, as imports take most of their time.

    python tests/command_forks.py FD

Each is a process of its own with its arguments, directory, environment and streams, and does what ``python -m ruxa``
does after its imports. That those are right shows a command's first run in a session, which is an interpreter of its
own (``fixtures_server.RunningServer.cli_raw``).
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

_MESSAGE_BYTES_MAX = 1 << 20


class Forks:
    """The session's process that has imported: begun by the first command that asks for it, gone with the session."""

    def __init__(self) -> None:
        self._ours: socket.socket | None = None

    def run(self, args: tuple[str, ...], cwd: Path, env: dict[str, str], timeout_s: float) -> tuple[int, str, str]:
        """``ruxa ARGS``: exit code, standard output, standard error. Raises TimeoutExpired."""
        ours = self._begin(env)
        said = json.dumps({"args": args, "cwd": str(cwd), "env": env}).encode()
        with open(os.memfd_create("out"), "w+b") as out, open(os.memfd_create("err"), "w+b") as err:
            ours.settimeout(timeout_s)
            socket.send_fds(ours, [said], [out.fileno(), err.fileno()])
            pid = int(ours.recv(100))
            try:
                code = int(ours.recv(100))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                ours.settimeout(None)
                ours.recv(100)
                raise subprocess.TimeoutExpired(["ruxa", *args], timeout_s) from None
            texts: list[str] = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode())
        return code, texts[0], texts[1]

    def _begin(self, env: dict[str, str]) -> socket.socket:
        if self._ours is None:
            self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                command = [sys.executable, __file__, str(theirs.fileno())]
                # Nobody waits for it: it leaves at the end of its pipe.
                process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=env, stdin=subprocess.DEVNULL)
            atexit.register(self._end, process)
        return self._ours

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        assert self._ours is not None
        self._ours.close()
        process.wait(10)


def main(theirs: socket.socket) -> None:
    """Import, then fork a command for each message; its number and its exit code are the answers."""
    import ruxa.cli
    from ruxa.app import house

    assert house
    for module in pkgutil.iter_modules(ruxa.cli.__path__):
        importlib.import_module(f"ruxa.cli.{module.name}")
    gc.freeze()
    while True:
        said, fds, _, _ = socket.recv_fds(theirs, _MESSAGE_BYTES_MAX, 2)
        if not said:
            return
        pid = os.fork()
        if not pid:
            theirs.close()
            _become(json.loads(said), fds)
        for fd in fds:
            os.close(fd)
        theirs.send(str(pid).encode())
        theirs.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _become(said: dict[str, Any], fds: list[int]) -> NoReturn:
    """``python -m ruxa ARGS``, once it has imported."""
    import ruxa.__main__

    code: object = 1
    try:
        for number, fd in enumerate(fds, 1):
            os.dup2(fd, number)
            os.close(fd)
        os.chdir(said["cwd"])
        os.environ.clear()
        os.environ.update(said["env"])
        sys.argv = [ruxa.__main__.__file__, *said["args"]]
        code = ruxa.__main__.main()
    except SystemExit as left:
        code = left.code
    except BaseException as error:  # noqa: BLE001 - as the interpreter would
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code if isinstance(code, int) else code is not None)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
