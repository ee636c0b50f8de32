"""Strays: a process is ours only when its program, its argument and its place say so."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ruxa.store import strays


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    directory = tmp_path / "postgres"
    directory.mkdir()
    return directory


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    made: list[subprocess.Popen[bytes]] = []
    yield made
    for process in made:
        process.kill()
        process.wait()


def _named(*arguments: str, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """A Python that calls itself as told, once /proc says so."""
    started = subprocess.Popen(
        [arguments[0], "-c", "import time; time.sleep(99)", *arguments[1:]], executable=sys.executable, cwd=cwd
    )
    words = Path(f"/proc/{started.pid}/cmdline")
    for _ in range(500):
        if words.read_bytes().startswith(os.fsencode(arguments[0])):
            return started
        time.sleep(0.01)
    raise AssertionError("the process never showed its arguments")


def _says(cluster: Path, first_line: str) -> None:
    (cluster / "postmaster.pid").write_text(f"{first_line}\n{cluster}\n")


def test_ours_is_found_by_its_directory_argument(cluster: Path, processes: list[subprocess.Popen[bytes]]) -> None:
    processes.append(_named("/x/bin/postgres", "-D", str(cluster)))
    _says(cluster, str(processes[0].pid))
    assert strays.postmaster(cluster) == processes[0].pid
    link = cluster.with_name("link")
    link.symlink_to(cluster)
    assert strays.postmaster(link) == processes[0].pid
    processes[0].kill()
    processes[0].wait()
    assert strays.postmaster(cluster) is None


def test_others_are_not(cluster: Path, processes: list[subprocess.Popen[bytes]]) -> None:
    for arguments in (
        ("/x/bin/postgres", "-D", str(cluster) + "2"),
        ("/x/bin/postgres", str(cluster)),
        ("/x/bin/editor", "-D", str(cluster)),
        ("postgres", "-D"),
    ):
        processes.append(_named(*arguments, cwd=cluster))
        _says(cluster, str(processes[-1].pid))
        assert strays.postmaster(cluster) is None, arguments
    # At work in the directory, but no postgres program.
    assert strays.of(cluster) == []
    assert strays.stop(cluster) == 0
    assert all(process.poll() is None for process in processes)


@pytest.mark.parametrize("line", ["", "none", "-", "999999999", "ours"])
def test_a_lock_file_that_names_nobody_of_ours(cluster: Path, line: str) -> None:
    _says(cluster, str(os.getpid()) if line == "ours" else line)
    assert strays.postmaster(cluster) is None
    assert strays.stop(cluster) == 0


def test_no_lock_file_no_stray(cluster: Path) -> None:
    assert strays.postmaster(cluster) is None
    assert strays.of(cluster) == []
