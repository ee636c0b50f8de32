"""A real ``ruxa run`` for tests: own data and keys directories, a free port, processes by name, its command line.

``server`` is one running demo for the whole session; tests that break things take ``fresh_server``. Both start from a
copy of a data directory that was made once.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from command_forks import Forks
from fixtures_database import session_directory

START_TIMEOUT_S = 60
# Becomes the rest of its arguments; told to stop (SIGTERM) when the test's process ends, however it ends.
_FOLLOW = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.getppid() == int(sys.argv[1]) or sys.exit(1); "
_FOLLOW += "os.execvp(sys.argv[2], sys.argv[2:])"
STOP_TIMEOUT_S = 35
_FORKS = Forks()
_OF_INTERPRETERS = ("PYTHON", "LANG", "LC_", "TZ")


def _first_run(args: tuple[str, ...]) -> bool:
    """Whether no process of the session has run such a command yet; from now on one has."""
    marker = session_directory() / "commands" / "-".join(args).replace("/", "-")
    marker.parent.mkdir(exist_ok=True)
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def environment(**more: str) -> dict[str, str]:
    """The test's environment without settings of the machine it runs on."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RUXA_")}
    return {**clean, "PYTHONWARNINGS": "default", **more}


class RunningServer:
    """One ``ruxa run``. ``start`` waits until it answers; output goes to files beside the data directory.

    before: a program that starts it (``unshare``), and must become it.
    """

    def __init__(self, place: Path, *args: str, before: tuple[str, ...] = (), **env: str) -> None:
        self.before = before
        self.place = place
        self.data = place / "data"
        self.keys = place / "data-keys"
        self.args = args
        self.env = env
        self.process: subprocess.Popen[bytes] | None = None
        self.demo: dict[str, Any] = {}
        self.port = 0

    # Life

    def start(self, *, wait: bool = True, out: int | None = None) -> RunningServer:
        """Start, and wait for ``/readyz``. out: a descriptor for both streams instead of the files."""
        self.place.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-S", "-c", _FOLLOW, str(os.getpid())]
        command += [*self.before, sys.executable, "-m", "ruxa", "run", "--port", str(self.port)]
        command += ["--data", str(self.data), *self.args]
        with (self.place / "stdout").open("ab") as told, (self.place / "stderr").open("ab") as signals:
            self.process = subprocess.Popen(
                command,
                stdout=told if out is None else out,
                stderr=signals if out is None else out,
                cwd=self.place,
                env=environment(**self.env),
                start_new_session=True,
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Until the server described itself and answers; fails with its output when it ends instead."""
        assert self.process is not None
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise AssertionError(f"ruxa run ended with {self.process.returncode}:\n{self.output()}")
            described = self.described()
            if described and described["pid"] == self.process.pid and self._answers(described["base_url"]):
                if (self.data / "demo.json").exists():
                    self.demo = json.loads((self.data / "demo.json").read_text())
                return
            time.sleep(0.05)
        raise AssertionError(f"ruxa run is not ready after {timeout_s} s:\n{self.output()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal, wait, return the exit code; a server that does not leave is killed and fails the test."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """The exit code."""
        assert self.process is not None
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill_tree()
            raise AssertionError(f"ruxa run did not stop within {timeout_s} s:\n{self.output()}") from None

    def kill_tree(self) -> None:
        """Whatever of this server still lives ends now (it would outlive the test otherwise)."""
        for pid in self.pids().values():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    # Looking at it

    def described(self) -> dict[str, Any] | None:
        """``run/server.json``."""
        try:
            return json.loads((self.data / "run" / "server.json").read_text())
        except (OSError, ValueError):
            return None

    @property
    def base_url(self) -> str:
        described = self.described()
        assert described, self.output()
        return described["base_url"]

    @property
    def key(self) -> str:
        """The demo's API key."""
        return self.demo["api_key"]

    @property
    def organisation(self) -> str:
        """The demo's organisation id."""
        return self.demo["organisation"]

    @property
    def console_url(self) -> str:
        return self.demo["console_url"]

    def pids(self) -> dict[str, int]:
        """Processes by name: ``supervisor``, ``gateway 0``, ``console``, ``worker``, ``sandbox``, ``database``."""
        found: dict[str, int] = {}
        if self.process is not None:
            found["supervisor"] = self.process.pid
        described = self.described()
        if described:
            found |= described["children"]
            if described["database"]:
                found["database"] = described["database"]
        return found

    def output(self) -> str:
        """Both streams so far, for a failing test's message."""
        return self.stdout() + self.stderr()

    def stdout(self) -> str:
        return (self.place / "stdout").read_text(errors="replace") if (self.place / "stdout").exists() else ""

    def stderr(self) -> str:
        return (self.place / "stderr").read_text(errors="replace") if (self.place / "stderr").exists() else ""

    # Talking to it

    def cli(self, *args: str, code: int = 0, **env: str) -> str:
        """``ruxa ARGS --data ...``; its standard output. Fails when the exit code is another one."""
        done = self.cli_raw(*args, **env)
        assert done.returncode == code, f"ruxa {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def cli_raw(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """``ruxa ARGS --data ...``, whatever becomes of it."""
        own = {**self.env, **env}
        env = environment(**own)
        given = (*args, "--data", str(self.data))
        # What a command imports shows its first run; it is most of the time that the others would take, too.
        if _first_run(args[:2]) or any(name.startswith(_OF_INTERPRETERS) for name in own):
            command = [sys.executable, "-m", "ruxa", *given]
            return subprocess.run(
                command, capture_output=True, text=True, cwd=self.place, env=env, check=False, timeout=60
            )
        return subprocess.CompletedProcess(["ruxa", *given], *_FORKS.run(given, self.place, env, timeout_s=60))

    def cli_json(self, *args: str, code: int = 0) -> Any:
        """``ruxa ARGS --json``, decoded."""
        return json.loads(self.cli(*args, "--json", code=code))

    def http(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: dict[str, str] | None = None,
        key: str | None = "",
        timeout_s: float = 30,
    ) -> tuple[int, dict[str, str], bytes]:
        """One plain HTTP call: status, headers (lower case), body. ``key``: "" the demo's, None without one."""
        sent = dict(headers or {})
        if key is not None:
            sent.setdefault("authorization", f"Bearer {key or self.key}")
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("content-type", "application/json")
        request = urllib.request.Request(self.base_url + path, data=data, headers=sent, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout_s) as answer:
                return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()

    def chat(self, text: str = "Say hello.", *, key: str = "", **more: Any) -> tuple[int, dict[str, str], Any]:
        """One OpenAI chat completion by the sandbox, decoded."""
        body = {"model": "sandbox/chat", "messages": [{"role": "user", "content": text}], **more}
        status, headers, answer = self.http("POST", "/v1/chat/completions", body, key=key)
        return status, headers, json.loads(answer)

    def _answers(self, base_url: str) -> bool:
        host, _, port = base_url.removeprefix("http://").rpartition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=2) as raw:
                raw.sendall(b"GET /readyz HTTP/1.1\r\nhost: ruxa\r\nconnection: close\r\n\r\n")
                return raw.recv(200).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


def eventually(check: Callable[[], Any], within_s: float = 10.0, *, every_s: float = 0.05) -> Any:
    """The first truthy result of ``check``; fails with its last result after ``within_s`` seconds."""
    until = time.monotonic() + within_s
    while not (found := check()):
        assert time.monotonic() < until, f"not within {within_s} s: {found!r}"
        time.sleep(every_s)
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def laid_out(pid: int) -> str:
    """Where the interpreter lies in a process's memory: at random after ``exec``, as in its parent after a fork."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return next(line.split("-")[0] for line in maps if line.endswith(os.path.realpath(sys.executable)))


@pytest.fixture(scope="session")
def server(first_demo: Path) -> Iterator[RunningServer]:
    """A running demo, shared by every test that only uses it."""
    place = Path(tempfile.mkdtemp(prefix="server-", dir=session_directory()))
    running = RunningServer(copied(first_demo, place / "server")).start()
    try:
        yield running
        assert running.stop() == 0, running.output()
    finally:
        running.kill_tree()
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def first_demo() -> Path:
    """A stopped demo's data and keys directories, to copy from."""
    return _made_once("demo")


@pytest.fixture(scope="session")
def first_simulated() -> Path:
    """As ``first_demo``, with a clock that can be moved."""
    return _made_once("simulated", "--simulated")


def _made_once(name: str, *args: str) -> Path:
    """Made by the session's first process that asks; it lies with the session's database and goes with it."""
    place = session_directory()
    made = place / name
    with (place / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            running = RunningServer(place / f"{name}-part", *args).start()
            try:
                assert running.stop() == 0, running.output()
            finally:
                running.kill_tree()
            running.place.rename(made)
    return made


def copied(made: Path, place: Path) -> Path:
    """Data and keys of a stopped server, copied."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", str(made / "data"), str(made / "data-keys"), str(place)], check=True)
    return place


@pytest.fixture
def fresh_server(memory_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., RunningServer]]:
    """Makes servers of this test's own, each on a copy of a demo; ``empty=True``: on nothing. Not started yet.

    simulated: a demo whose clock can be moved.
    """
    made: list[RunningServer] = []

    def make(*args: str, empty: bool = False, simulated: bool = False, **env: str) -> RunningServer:
        running = RunningServer(memory_path / f"server{len(made)}", *args, **env)
        if not empty:
            copied(request.getfixturevalue("first_simulated" if simulated else "first_demo"), running.place)
        made.append(running)
        return running

    yield make
    for running in made:
        running.kill_tree()
