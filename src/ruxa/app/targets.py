"""Backup targets by their URL: a folder of this machine, or a bucket behind the one door out."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from ruxa.egress.objects import Objects
from ruxa.egress.recipient import Recipient, Register
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.settings import BackupSettings, StorageSettings
from ruxa.store.archive.target import Folder, Stored, Target

# Object stores list by whole segments of a name; everything of ours lies below this one.
_TOP = "archive"


def target_of(url: str, settings: BackupSettings, register: Register, *, keys: bool) -> Target:
    """The target that ``url`` names. Raises InvalidCall ``bad_setting``, ``storage_settings``."""
    parts = urlsplit(url)
    name = "backup.keys_target" if keys else "backup.target"
    if parts.scheme == "folder":
        path = Path(parts.path)
        if not path.is_absolute():
            raise InvalidCall(f"{name} is folder:/an/absolute/path or s3://bucket/prefix.", code="bad_setting")
        return Folder(path)
    if parts.scheme != "s3":
        raise InvalidCall(f"{name} is folder:/an/absolute/path or s3://bucket/prefix.", code="bad_setting")
    storage = StorageSettings(
        url=url,
        endpoint=settings.keys_endpoint if keys else settings.endpoint,
        region=settings.keys_region if keys else settings.region,
        access_key=settings.keys_access_key if keys else settings.access_key,
        secret_key=settings.keys_secret_key if keys else settings.secret_key,
        where=settings.keys_where if keys else settings.where,
    )
    recipient = Recipient(
        name="backup keys" if keys else "backup",
        role="storage",
        who="the operator's object store for the keys' export" if keys else "the operator's object store for backups",
        what=("system.authentication",) if keys else ("system.operations", "user.account", "user.content"),
        why=("security",),
        where=storage.where,
        safeguard="sealed with keys the store never has; the operator's own contract",
    )
    return Bucket(Objects.of_settings(storage, Path(), register, recipient), url)


def of_text(text: str, settings: BackupSettings, register: Register, *, keys: bool) -> Target:
    """As on the command line: a URL as in the settings, or simply a folder."""
    return target_of(text, settings, register, keys=keys) if ":" in text else Folder(Path(text))


class Bucket:
    """An object store as a target. Each call has a loop of its own: targets are used in threads."""

    def __init__(self, objects: Objects, url: str) -> None:
        self._objects = objects
        self.where = url.rstrip("/")

    def put(self, key: str, chunks: Iterable[bytes]) -> Stored:
        """See Target."""
        digest, size = hashlib.sha256(), 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        asyncio.run(self._objects.put(f"{_TOP}/{key}", counted()))
        return Stored(size, digest.hexdigest())

    def get(self, key: str) -> Iterator[bytes]:
        """See Target."""
        with asyncio.Runner() as runner:
            source = self._objects.get(f"{_TOP}/{key}")
            try:
                while (chunk := runner.run(_next(source))) is not None:
                    yield chunk
            finally:
                runner.run(source.aclose())

    def under(self, prefix: str = "") -> list[str]:
        """See Target."""
        folder = prefix.rpartition("/")[0]
        found = asyncio.run(self._objects.list(f"{_TOP}/{folder}".rstrip("/")))
        names = [one.name.removeprefix(f"{_TOP}/") for one in found]
        return sorted(name for name in names if name.startswith(prefix))

    def delete(self, key: str) -> None:
        """See Target."""
        asyncio.run(self._objects.remove([f"{_TOP}/{key}"]))

    def free_bytes(self) -> int | None:
        """See Target."""
        return None


async def _next(source: AsyncGenerator[bytes]) -> bytes | None:
    return await anext(source, None)
