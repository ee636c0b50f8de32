"""A data directory: made once, held by one, read by many."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ruxa.app import instance
from ruxa.app.instance import Lock
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import Conflict, InvalidCall, Unavailable


def test_an_instance_is_written_privately_and_read_again(tmp_path: Path) -> None:
    assert instance.read(tmp_path) is None
    made = instance.create(tmp_path, ids.fresh(), mode="demo", simulated=True, clock=Clock())
    assert instance.read(tmp_path) == made
    assert (tmp_path / "instance.json").stat().st_mode & 0o777 == 0o600
    live = instance.change_mode(tmp_path, made, "live")
    assert (live.id, live.mode, live.simulated) == (made.id, "live", True)
    assert instance.read(tmp_path) == live
    assert list(tmp_path.iterdir()) == [tmp_path / "instance.json"]


def test_a_damaged_instance_is_not_taken_for_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "instance.json").write_text("{")
    with pytest.raises(InvalidCall, match="damaged"):
        instance.read(tmp_path)


def test_directories_are_private_and_an_unwritable_one_is_named(tmp_path: Path) -> None:
    instance.prepare(tmp_path / "a" / "data", tmp_path / "keys")
    assert (tmp_path / "a" / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="file"):
        instance.prepare(tmp_path / "file" / "data", tmp_path / "keys")


def test_a_held_directory_names_its_holder_and_is_free_after_a_kill(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from ruxa.app.instance import Lock;"
        "lock = Lock.take(Path(sys.argv[1]), 'ruxa: tester'); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(Conflict, match=rf"in use by ruxa: tester \(pid {holder.pid}\)"):
                Lock.take(tmp_path, "ruxa: second")
        finally:
            holder.kill()
    lock = Lock.take(tmp_path, "ruxa: second", wait_s=5)
    lock.release()
    with instance.held(tmp_path, "ruxa: third"):
        assert f"ruxa: third (pid {os.getpid()})" in (tmp_path / "lock").read_text()


def test_a_child_that_still_runs_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instance.prepare(tmp_path, tmp_path.with_name("keys"))
    instance.await_no_children(tmp_path)
    mark = instance.join_children(tmp_path)
    monkeypatch.setattr(instance, "_LEAVING_S", 0.2)
    with pytest.raises(Conflict, match="earlier server"):
        instance.await_no_children(tmp_path)
    os.close(mark)
    instance.await_no_children(tmp_path)


def test_a_long_path_gets_a_short_private_socket(tmp_path: Path) -> None:
    assert instance.console_socket(tmp_path) == tmp_path / "run" / "console.sock"
    deep = tmp_path / ("d" * 100)
    short = instance.console_socket(deep)
    assert len(os.fsencode(short)) < 108
    assert short.parent.stat().st_mode & 0o777 == 0o700
    assert instance.console_socket(deep) == short
    assert instance.console_socket(deep.with_name("other" * 20)) != short
    short.parent.rmdir()
    instance.console_socket(deep.with_name("other" * 20)).parent.rmdir()
