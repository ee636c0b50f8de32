"""Epoch keys as files: durable, private, gone when destroyed, strays told from those being made."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ruxa.kernel import ids
from ruxa.kernel.errors import Unavailable
from ruxa.store.epochs import EpochDirectory


async def test_made_read_destroyed(tmp_path: Path) -> None:
    keys = EpochDirectory(tmp_path / "new" / "keys")
    first, second = ids.fresh(), ids.fresh()
    assert await keys.create(first) is None
    made = await keys.read(first)
    assert made is not None
    assert len(made) == 32
    await keys.create(second)
    assert await keys.read(second) != made
    assert (tmp_path / "new" / "keys" / "epochs").stat().st_mode & 0o777 == 0o700
    file = tmp_path / "new" / "keys" / "epochs" / f"{first.hex}.key"
    assert file.stat().st_mode & 0o777 == 0o600
    # Somebody who holds the file open sees noise, not the key.
    with file.open("rb") as held:
        await keys.destroy(first)
        assert held.read() != made
    await keys.destroy(first)
    assert await keys.read(first) is None
    assert await keys.read(second) is not None


async def test_a_damaged_key_is_no_key(tmp_path: Path) -> None:
    keys = EpochDirectory(tmp_path)
    epoch = ids.fresh()
    await keys.create(epoch)
    (tmp_path / "epochs" / f"{epoch.hex}.key").write_bytes(b"short")
    with pytest.raises(Unavailable) as caught:
        await keys.read(epoch)
    assert caught.value.code == "keys_damaged"


async def test_a_link_is_not_followed(tmp_path: Path) -> None:
    keys = EpochDirectory(tmp_path)
    epoch = ids.fresh()
    await keys.create(epoch)
    file = tmp_path / "epochs" / f"{epoch.hex}.key"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unavailable, match="symbolic links"):
        await keys.read(epoch)


async def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "epochs").write_text("not a directory")
    with pytest.raises(Unavailable) as caught:
        await EpochDirectory(tmp_path).create(ids.fresh())
    assert caught.value.code == "keys_unwritable"
    assert str(tmp_path) in caught.value.public


async def test_only_old_unknown_keys_are_strays(tmp_path: Path) -> None:
    keys = EpochDirectory(tmp_path)
    known, old, young = ids.fresh(), ids.fresh(), ids.fresh()
    for epoch in (known, old, young):
        await keys.create(epoch)
    long_ago = time.time() - 7200
    for epoch in (known, old):
        os.utime(tmp_path / "epochs" / f"{epoch.hex}.key", (long_ago, long_ago))
    (tmp_path / "epochs" / "note.txt").write_text("not a key")
    assert await keys.strays({known}) == [old]
