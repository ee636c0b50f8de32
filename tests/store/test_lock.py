"""The lock: one owner, named to whoever comes second, let go by any death, not inherited by children."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ruxa.kernel.errors import Conflict, Unavailable
from ruxa.store.lock import Lock

HOLD = """
import subprocess, sys, time
from pathlib import Path
from ruxa.store.lock import Lock
lock = Lock(Path(sys.argv[1]))
lock.take()
{}
print("held", flush=True)
time.sleep(99)
"""


def _holder(path: Path, code: str = "") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(code), str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_who_has_it_until_he_dies(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock"
    holder = _holder(path)
    mine = Lock(path)
    with pytest.raises(Conflict, match=f"process {holder.pid}"):
        mine.take()
    assert not mine.held
    holder.kill()
    holder.wait()
    mine.take()
    assert mine.held
    assert path.read_text() == f"{os.getpid()}\n"
    mine.take()
    with pytest.raises(Conflict):
        Lock(path).take()
    mine.release()
    mine.release()
    Lock(path).take()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="file") as caught:
        Lock(tmp_path / "file" / "lock").take()
    assert caught.value.code == "data_unwritable"


def test_a_child_that_outlives_its_parent_does_not_keep_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "child = subprocess.Popen(['sleep', '99'], stdout=subprocess.DEVNULL)\n"
        "Path(sys.argv[1] + '.child').write_text(str(child.pid))"
    )
    holder = _holder(path, code)
    child = int(Path(f"{path}.child").read_text())
    try:
        holder.kill()
        holder.wait()
        Lock(path).take()
    finally:
        os.kill(child, 9)
