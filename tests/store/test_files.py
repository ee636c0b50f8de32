"""Small durable files: whole or not at all, private, first one wins, destroyed in place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ruxa.kernel.errors import Unavailable
from ruxa.store import files


def test_create_is_for_the_first_only(tmp_path: Path) -> None:
    path = tmp_path / "one"
    assert files.create(path, b"first")
    assert not files.create(path, b"second")
    assert path.read_bytes() == b"first"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["one"]


def test_replace_leaves_old_or_new_and_nothing_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one"
    files.replace(path, b"old")
    files.replace(path, b"new")
    assert path.read_bytes() == b"new"

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.replace(path, b"newer")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["one"]


def test_destroy_overwrites_before_it_unlinks(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_bytes(b"s" * 32)
    os.link(path, tmp_path / "other_name")
    files.destroy(path)
    assert not path.exists()
    assert (tmp_path / "other_name").read_bytes() != b"s" * 32
    files.destroy(path)


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_secret_has_its_size(tmp_path: Path, content: bytes) -> None:
    files.create(tmp_path / "s", content)
    with pytest.raises(Unavailable):
        files.read_secret(tmp_path / "s", 32)


def test_an_existing_directory_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    files.private_directory(tmp_path / "open")
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o755
    files.private_directory(tmp_path / "new" / "deep")
    assert (tmp_path / "new" / "deep").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        files.private_directory(tmp_path / "file")
