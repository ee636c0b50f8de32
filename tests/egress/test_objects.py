"""Object storage: one contract for a folder and for a store that speaks S3, and nothing is reached but that store."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import s3_server
from fixtures_access import Signals
from ruxa.egress.objects import Found, Objects
from ruxa.egress.recipient import Register
from ruxa.kernel.errors import InvalidCall, NotFound, RuxaError, Unavailable
from ruxa.kernel.settings import StorageSettings

DAY = "content/2026-11-24"


def settings(url: str, **more: str) -> StorageSettings:
    return StorageSettings(
        url=f"s3://{s3_server.BUCKET}/house",
        endpoint=url,
        access_key="env:S3_ACCESS",
        secret_key="env:S3_SECRET",
        **more,
    )


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[s3_server.S3Server]:
    monkeypatch.setenv("S3_ACCESS", s3_server.ACCESS_KEY)
    monkeypatch.setenv("S3_SECRET", s3_server.SECRET_KEY)
    with s3_server.serving() as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path, s3: s3_server.S3Server) -> Objects:
    wanted = StorageSettings() if request.param == "folder" else settings(s3.url)
    return Objects.of_settings(wanted, tmp_path, Register(Signals()))


async def _all(objects: Objects, name: str) -> bytes:
    return b"".join([piece async for piece in objects.get(name)])


async def test_gives_back_what_was_put_by_name(objects: Objects) -> None:
    await objects.put(f"{DAY}/a", b"one")
    await objects.put(f"{DAY}/b", b"")
    await objects.put("content/2026-11-25/c", b"other day")
    assert await _all(objects, f"{DAY}/a") == b"one"
    assert await _all(objects, f"{DAY}/b") == b""
    assert sorted(await objects.list(DAY), key=lambda found: found.name) == [Found(f"{DAY}/a", 3), Found(f"{DAY}/b", 0)]
    assert await objects.list("content/2026-11-2") == []
    assert sorted(await objects.folders("content")) == ["2026-11-24", "2026-11-25"]
    assert await objects.folders("backup") == []
    assert await objects.list("backup") == []


async def test_takes_what_is_larger_than_a_part_as_it_comes(objects: Objects) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(20):
            yield bytes([number]) * 1_000_000

    await objects.put(f"{DAY}/large", pieces())
    await objects.put(f"{DAY}/plain", iter([b"ab", b"cd"]))
    assert await _all(objects, f"{DAY}/large") == b"".join(bytes([number]) * 1_000_000 for number in range(20))
    assert await _all(objects, f"{DAY}/plain") == b"abcd"


async def test_an_upload_that_breaks_leaves_no_object(objects: Objects) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 9_000_000
        raise ValueError("the source broke")

    with pytest.raises((ValueError, RuxaError)):
        await objects.put(f"{DAY}/half", pieces())
    assert await objects.list(DAY) == []
    with pytest.raises(NotFound):
        await _all(objects, f"{DAY}/half")


async def test_a_day_goes_whole_and_alone(objects: Objects) -> None:
    for name in (f"{DAY}/a", f"{DAY}/b", "content/2026-11-25/c", "content/2026-11-240/d"):
        await objects.put(name, b"x")
    assert await objects.delete(DAY) == 2
    assert await objects.delete(DAY) == 0
    assert sorted(await objects.folders("content")) == ["2026-11-240", "2026-11-25"]


async def test_removing_what_is_gone_already_is_no_error(objects: Objects) -> None:
    for name in ("a", "b", "c"):
        await objects.put(f"{DAY}/{name}", b"x")
    await objects.remove([f"{DAY}/b"])
    await objects.remove([f"{DAY}/{name}" for name in ("b", "a", "never")])
    assert [found.name for found in await objects.list(DAY)] == [f"{DAY}/c"]
    with pytest.raises(NotFound) as caught:
        await _all(objects, f"{DAY}/a")
    assert (caught.value.code, caught.value.__context__) == ("object_missing", None)


async def test_what_a_killed_writer_left_goes_with_its_day(tmp_path: Path) -> None:
    writer = textwrap.dedent("""
        import asyncio, os, sys
        from pathlib import Path
        from ruxa.egress.objects import Objects
        async def pieces():
            for number in range(3):
                yield b"x" * 9_000_000
            os.kill(os.getpid(), 9)
        asyncio.run(Objects.of_folder(Path(sys.argv[1])).put("content/2026-11-24/half", pieces()))
    """)
    subprocess.run([sys.executable, "-c", writer, str(tmp_path)], check=False)
    objects = Objects.of_folder(tmp_path)
    assert await objects.folders("content") == ["2026-11-24"]
    assert any(path.is_file() for path in tmp_path.rglob("*")), "nothing was left: this test shows nothing"
    assert await objects.delete(DAY) == 0
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


async def test_the_folder_is_ours_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        objects = Objects.of_settings(StorageSettings(), tmp_path, Register(Signals()))
    finally:
        os.umask(before)
    await objects.put(f"{DAY}/a", b"x")
    assert (tmp_path / "objects").stat().st_mode & 0o777 == 0o700
    other = Objects.of_settings(StorageSettings(url=f"folder:{tmp_path}/elsewhere"), tmp_path, Register(Signals()))
    await other.put(f"{DAY}/a", b"x")
    assert (tmp_path / "elsewhere" / DAY / "a").read_bytes() == b"x"


async def test_a_store_elsewhere_is_a_declared_recipient_and_counted(s3: s3_server.S3Server, tmp_path: Path) -> None:
    register = Register(Signals())
    objects = Objects.of_settings(settings(s3.url, where="DE"), tmp_path, register)
    (found,) = register.find("127.0.0.1", s3.port)
    assert (found.role, found.where, found.what) == ("storage", "DE", ("user.content",))
    await objects.put(f"{DAY}/a", b"x")
    await objects.put(f"{DAY}/b", b"x")
    assert [tuple(line) for line in register.tally.take()] == [("storage", "127.0.0.1", "user.content", 2)]
    assert sorted(s3.objects) == [f"house/{DAY}/a", f"house/{DAY}/b"]
    assert not s3.refused


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_nothing_but_the_declared_store_is_reached(
    s3: s3_server.S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Neither a redirect nor a proxy nor another endpoint or key of the environment is followed."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.2)
        elsewhere = f"http://127.0.0.1:{other.getsockname()[1]}"
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, elsewhere)
        monkeypatch.setenv("AWS_ENDPOINT_URL", elsewhere)
        monkeypatch.setenv("AWS_ENDPOINT", elsewhere)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "somebody-s")
        objects = Objects.of_settings(settings(f"http://{host}:{s3.port}"), tmp_path, Register(Signals()))
        await objects.put(f"{DAY}/a", b"x")
        assert not s3.refused
        assert len(s3.objects) == 1
        s3.redirect = elsewhere + "/there"
        with pytest.raises(Unavailable):
            await objects.put(f"{DAY}/b", b"x")
        with pytest.raises(TimeoutError):
            other.accept()


async def test_a_store_that_is_away_says_so_without_its_words(s3: s3_server.S3Server, tmp_path: Path) -> None:
    objects = Objects.of_settings(settings(s3.url), tmp_path, Register(Signals()))
    s3.broken = True
    for action in (objects.put(f"{DAY}/a", b"x"), objects.list(DAY), objects.delete(DAY)):
        with pytest.raises(Unavailable) as caught:
            await action
        assert caught.value.code == "storage_away"
        assert caught.value.__context__ is None
        assert "127.0.0.1" not in str(caught.value) + caught.value.detail


async def test_wrong_secrets_are_refused_by_the_store(
    s3: s3_server.S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_SECRET", "another")
    objects = Objects.of_settings(settings(s3.url), tmp_path, Register(Signals()))
    with pytest.raises(Unavailable):
        await objects.put(f"{DAY}/a", b"x")
    assert s3.refused == ["another signature"]


@pytest.mark.parametrize(
    "given",
    [
        StorageSettings(url="s3://kept-here"),
        StorageSettings(url="ftp://kept-here"),
        StorageSettings(url="s3://K", access_key="env:S3_ACCESS", secret_key="env:S3_SECRET"),
        StorageSettings(
            url="s3://kept-here", access_key="env:S3_ACCESS", secret_key="env:S3_SECRET", endpoint="kept.example"
        ),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    given: StorageSettings, s3: s3_server.S3Server, tmp_path: Path
) -> None:
    with pytest.raises(InvalidCall) as caught:
        Objects.of_settings(given, tmp_path, Register(Signals()))
    assert caught.value.code == "storage_settings"
