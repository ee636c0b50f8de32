"""Finds what an earlier run of PostgreSQL left behind, by /proc: nothing is signalled that is not proven ours."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from ruxa.kernel.errors import Unavailable

_PROC = Path("/proc")


def postmaster(cluster: Path) -> int | None:
    """The process named by ``postmaster.pid``, if it is a postgres started with ``-D`` this very directory."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    return pid if _serves(abs(pid), cluster) else None


def can_tell() -> bool:
    """Whether this system shows its processes in /proc; without it nothing can be proven ours."""
    return (_PROC / "self" / "cmdline").exists()


def of(cluster: Path) -> list[int]:
    """Every postgres process at work in this directory: a postmaster, or children that outlive one."""
    found: list[int] = []
    if not can_tell():
        return found
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and _works_in(int(entry.name), cluster):
            found.append(int(entry.name))
    return found


def stop(cluster: Path, timeout_s: float = 20.0) -> int:
    """Fast-stops what is left of an earlier run, then forces it; the number of processes stopped.

    Raises Unavailable ``postgres_orphan`` when something stays.
    """
    owner = postmaster(cluster)
    left = of(cluster)
    if owner is not None and owner not in left:
        left.append(owner)
    count = len(left)
    if owner is not None:
        _signal(owner, signal.SIGINT)
        left = _wait(cluster, owner, timeout_s / 2)
    for kind in (signal.SIGQUIT, signal.SIGKILL):
        if not left:
            break
        for pid in left:
            _signal(pid, kind)
        left = _wait(cluster, owner, timeout_s / 4)
    if left:
        raise Unavailable(
            f"An earlier PostgreSQL (process {left[0]}) still runs in {cluster} and does not stop.",
            code="postgres_orphan",
        )
    return count


def _wait(cluster: Path, owner: int | None, timeout_s: float) -> list[int]:
    deadline = time.monotonic() + timeout_s
    while True:
        left = of(cluster)
        if owner is not None and owner not in left and _serves(owner, cluster):
            left.append(owner)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)


def _signal(pid: int, kind: signal.Signals) -> None:
    try:
        os.kill(pid, kind)
    except ProcessLookupError:
        return
    except PermissionError:
        raise Unavailable(
            f"An earlier PostgreSQL (process {pid}) belongs to another user and cannot be stopped.",
            code="postgres_orphan",
        ) from None


def _serves(pid: int, cluster: Path) -> bool:
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    if Path(os.fsdecode(words[0])).name != "postgres" or b"-D" not in words[:-1] or _ended(pid):
        return False
    named = Path(os.fsdecode(words[words.index(b"-D") + 1]))
    return named == cluster or os.path.realpath(named) == os.path.realpath(cluster)


def _works_in(pid: int, cluster: Path) -> bool:
    directory = _PROC / str(pid)
    try:
        if Path((directory / "exe").readlink()).name.removesuffix(" (deleted)") != "postgres":
            return False
        return str((directory / "cwd").readlink()) == os.path.realpath(cluster) and not _ended(pid)
    except OSError:
        return False


def _ended(pid: int) -> bool:
    """Whether the process is a zombie: ended, not yet reaped."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
    except OSError:
        return True
