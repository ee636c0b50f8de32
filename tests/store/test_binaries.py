"""Where PostgreSQL is looked for, and which one is good enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from ruxa.kernel.errors import Unavailable
from ruxa.store import binaries


def _fake(directory: Path, version: str) -> Path:
    directory.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (directory / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        (directory / name).chmod(0o755)
    return directory


def test_the_wheels_are_found_without_a_word() -> None:
    found = binaries.find({})
    assert (found / "postgres").exists()
    assert binaries.major(found) in range(binaries.MAJOR_MIN, binaries.MAJOR_MAX + 1)


def test_a_named_directory_wins(tmp_path: Path) -> None:
    mine = _fake(tmp_path / "bin", "16.3")
    assert binaries.find({"RUXA_PG_BIN": str(mine)}) == mine
    assert binaries.major(mine) == 16


def test_a_named_directory_without_a_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="RUXA_PG_BIN"):
        binaries.find({"RUXA_PG_BIN": str(tmp_path)})


@pytest.mark.parametrize("version", ["14.9", "19.0", "banana"])
def test_other_versions_are_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(Unavailable) as caught:
        binaries.major(_fake(tmp_path / "bin", version))
    assert caught.value.code == "postgres_version"


def test_what_does_not_run_is_said(tmp_path: Path) -> None:
    broken = _fake(tmp_path / "bin", "18")
    (broken / "postgres").write_text("#!/nonexistent/sh\n")
    with pytest.raises(Unavailable) as caught:
        binaries.major(broken)
    assert caught.value.code == "postgres_missing"
