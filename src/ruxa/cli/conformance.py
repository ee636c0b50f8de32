"""``ruxa conformance``: the public wire cases on a running gateway of any make, or on one that is started for it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from argparse import Namespace
from pathlib import Path
from typing import Any

import msgspec

from ruxa.app import house
from ruxa.cli import output
from ruxa.egress.conformance import case, configs, runner
from ruxa.egress.conformance.client import Target
from ruxa.egress.conformance.runner import Result, Score
from ruxa.egress.conformance.wire import PORT, Route, Wire, listening
from ruxa.kernel.errors import InvalidCall, Unavailable

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 35
CREDIT_MICROS = 1_000_000_000
SAID_CHARS_MAX = 400


def conformance(args: Namespace) -> int:
    """``ruxa conformance``. 0 when every case holds, 1 when one does not, 2 when it could not run."""
    if args.print_config is not None:
        output.line(configs.CONFIGS[args.print_config](args.upstream_port or PORT).rstrip("\n"))
        return 0
    if (args.target is None) != (args.key is None):
        raise InvalidCall("--target and --key go together; without both a gateway is started for the run.")
    cases = case.load(args.case)
    score = asyncio.run(_run(args, cases))
    if args.json:
        output.as_json(score)
    else:
        _sum_up(score)
    return 0 if score.failed == 0 else 1


async def _run(args: Namespace, cases: list[case.Case]) -> Score:
    told = _silent if args.json else _tell
    if args.target is not None:
        target = Target(args.target)
        if not await target.answers("/"):
            raise Unavailable(f"Nothing answers at {args.target}.", code="target_away")
        routes = None if args.routes is None else _routes(Path(args.routes))
        async with listening(args.upstream_port or PORT) as upstream:
            return await runner.run_all(cases, Wire(target, args.key, upstream, routes), own=False, told=told)
    async with listening(args.upstream_port or 0) as upstream:
        with tempfile.TemporaryDirectory(prefix="ruxa-conformance-") as folder:
            gateway = Private(Path(folder), upstream.port)
            try:
                await asyncio.to_thread(gateway.start)
                key = await asyncio.to_thread(gateway.key)
                return await runner.run_all(cases, Wire(Target(gateway.url), key, upstream), own=True, told=told)
            finally:
                await asyncio.to_thread(gateway.stop)


def _routes(file: Path) -> dict[str, Route]:
    try:
        return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), dict[str, Route])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as fault:
        raise InvalidCall(f"{file} is no table of routes: {fault}", code="bad_routes") from None


def _silent(result: Result) -> None:
    """JSON comes as one document at the end."""


def _tell(result: Result) -> None:
    """One case, as soon as it is done."""
    good = sum(part.ok for part in result.parts)
    mark = "ok  " if result.ok else "FAIL"
    output.line(f"{result.id}  {mark}  {good}/{len(result.parts)}  {result.title}{' (a wish)' if result.wish else ''}")
    for text in result.got.splitlines():
        output.line(f"       {text}")


def _sum_up(score: Score) -> None:
    output.line()
    for group, (good, every) in score.groups.items():
        output.line(f"{group.ljust(12)} {good:>3} of {every}")
    runs = score.runs_passed + score.runs_failed
    output.line(f"{score.passed} of {score.passed + score.failed} cases hold ({score.runs_passed} of {runs} runs).")


class Private:
    """A gateway in a directory of its own, with an organisation that has credit. ``start``, then ``key``; ``stop``."""

    def __init__(self, place: Path, upstream_port: int) -> None:
        self.url = ""
        self._data, self._log = place / "data", place / "log"
        config = place / "ruxa.toml"
        config.write_text(configs.ruxa(upstream_port), encoding="utf-8")
        self._where = ("--data", str(self._data), "--config", str(config))
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("RUXA_")}
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers. Raises Unavailable with what it said instead."""
        command = [sys.executable, "-m", "ruxa", "run", "--no-demo", "--port", "0", *self._where]
        with self._log.open("wb") as told:
            self._server = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command, stdout=told, stderr=told, env=self._environment, start_new_session=True
            )
        until = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until and self._server.poll() is None:
            described = house.running(self._data)
            self.url = (described.base_url if described else None) or ""
            if self.url and asyncio.run(Target(self.url).answers("/readyz")):
                return
            time.sleep(0.1)
        said = self._log.read_text(encoding="utf-8", errors="replace")[-SAID_CHARS_MAX:]
        raise Unavailable(f"The private gateway did not start: {said}", code="no_gateway")

    def key(self) -> str:
        """A key of a new organisation with credit."""
        made = self._ruxa("org", "create", "--name", "Conformance", "--owner-email", "kit@example.com")["id"]
        self._ruxa("org", "credit", made, "--micros", str(CREDIT_MICROS), "--reason", "conformance")
        return self._ruxa("key", "create", "--org", made, "--name", "conformance")["key"]

    def stop(self) -> None:
        """Returns when it is gone."""
        if self._server is None:
            return
        self._server.terminate()
        try:
            self._server.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def _ruxa(self, *words: str) -> Any:
        command = [sys.executable, "-m", "ruxa", *words, *self._where, "--json"]
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command, capture_output=True, text=True, check=False, env=self._environment
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()[:SAID_CHARS_MAX]
            raise Unavailable(f"The private gateway refused: {said}", code="no_gateway")
        return json.loads(done.stdout)
