"""Targets: the same behaviour of a folder and of a bucket behind the door out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import s3_server
from fixtures_access import Signals
from ruxa.app.targets import Bucket, of_text, target_of
from ruxa.egress.recipient import Register
from ruxa.kernel.errors import NotFound
from ruxa.kernel.settings import BackupSettings
from ruxa.store.archive.target import Folder, Target


@pytest.fixture
def register() -> Register:
    return Register(Signals())


@pytest.fixture(params=["folder", "s3"])
def target(
    request: pytest.FixtureRequest, tmp_path: Path, register: Register, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Target]:
    if request.param == "folder":
        yield Folder(tmp_path / "backups")
        return
    monkeypatch.setenv("S3_ACCESS", s3_server.ACCESS_KEY)
    monkeypatch.setenv("S3_SECRET", s3_server.SECRET_KEY)
    with s3_server.serving() as server:
        asked = BackupSettings(endpoint=server.url, access_key="env:S3_ACCESS", secret_key="env:S3_SECRET")
        made = target_of(f"s3://{s3_server.BUCKET}/house", asked, register, keys=False)
        assert isinstance(made, Bucket)
        (found,) = register.find("127.0.0.1", server.port)
        assert (found.name, found.role) == ("backup", "storage")
        yield made


def test_what_is_put_is_there_whole_listed_and_gone(target: Target) -> None:
    big = [bytes([number]) * 1_000_000 for number in range(12)]
    stored = target.put("one-logical-a/data", iter(big))
    assert stored.bytes == 12_000_000
    assert b"".join(target.get("one-logical-a/data")) == b"".join(big)
    target.put("one-logical-a/manifest.json", [b"first"])
    target.put("one-logical-a/manifest.json", [b"second"])
    target.put("wal/1-1/000000010000000000000001", [b"w"])
    assert b"".join(target.get("one-logical-a/manifest.json")) == b"second"
    assert target.under() == [
        "one-logical-a/data", "one-logical-a/manifest.json", "wal/1-1/000000010000000000000001"
    ]  # fmt: skip
    assert target.under("one-logical-a/ma") == ["one-logical-a/manifest.json"]
    assert target.under("wal/1-1/") == ["wal/1-1/000000010000000000000001"]
    assert target.under("nothing/") == []
    target.delete("one-logical-a/data")
    target.delete("one-logical-a/data")
    with pytest.raises(NotFound):
        list(target.get("one-logical-a/data"))


def test_a_writer_that_fails_leaves_nothing(target: Target) -> None:
    def cut() -> Iterator[bytes]:
        yield b"x" * 100
        raise OSError(5, "cut off")

    with pytest.raises(Exception):  # noqa: B017, PT011 - each kind of target in its own words
        target.put("one-logical-a/data", cut())
    assert target.under() == []


def test_the_command_line_takes_a_folder_as_it_is(register: Register, tmp_path: Path) -> None:
    assert of_text(str(tmp_path), BackupSettings(), register, keys=False).where == str(tmp_path)
    assert of_text(f"folder:{tmp_path}", BackupSettings(), register, keys=True).where == str(tmp_path)
