"""Epoch keys as files: durable, private, gone when destroyed, strays told from those being made."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ruxa.kernel import ids
from ruxa.kernel.errors import Unavailable
from ruxa.store.epochs import EpochDirectory


def test_made_read_destroyed(tmp_path: Path) -> None:
    keys = EpochDirectory(tmp_path / "new" / "keys")
    first, second = ids.fresh(), ids.fresh()
    made = keys.create(first)
    assert len(made) == 32
    assert keys.read(first) == made
    assert keys.create(second) != made
    assert (tmp_path / "new" / "keys" / "epochs").stat().st_mode & 0o777 == 0o700
    file = tmp_path / "new" / "keys" / "epochs" / f"{first.hex}.key"
    assert file.stat().st_mode & 0o777 == 0o600
    # Somebody who holds the file open sees noise, not the key.
    with file.open("rb") as held:
        keys.destroy(first)
        assert held.read() != made
    keys.destroy(first)
    assert keys.read(first) is None
    assert keys.read(second) is not None


def test_a_damaged_key_is_no_key(tmp_path: Path) -> None:
    keys = EpochDirectory(tmp_path)
    epoch = ids.fresh()
    keys.create(epoch)
    (tmp_path / "epochs" / f"{epoch.hex}.key").write_bytes(b"short")
    with pytest.raises(Unavailable) as caught:
        keys.read(epoch)
    assert caught.value.code == "keys_damaged"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    keys = EpochDirectory(tmp_path)
    epoch = ids.fresh()
    keys.create(epoch)
    file = tmp_path / "epochs" / f"{epoch.hex}.key"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unavailable, match="symbolic links"):
        keys.read(epoch)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "epochs").write_text("not a directory")
    with pytest.raises(Unavailable) as caught:
        EpochDirectory(tmp_path).create(ids.fresh())
    assert caught.value.code == "keys_unwritable"
    assert str(tmp_path) in caught.value.public


def test_only_old_unknown_keys_are_strays(tmp_path: Path) -> None:
    keys = EpochDirectory(tmp_path)
    known, old, young = ids.fresh(), ids.fresh(), ids.fresh()
    for epoch in (known, old, young):
        keys.create(epoch)
    long_ago = time.time() - 7200
    for epoch in (known, old):
        os.utime(tmp_path / "epochs" / f"{epoch.hex}.key", (long_ago, long_ago))
    (tmp_path / "epochs" / "note.txt").write_text("not a key")
    assert keys.strays({known}) == [old]
