"""Object storage: sealed bytes by name, in a folder of the data directory or at a store that speaks S3.

Names begin with what they are and the day on which they end (``content/2026-11-24/…``), so that a day goes by its
prefix. What is put here is sealed already: the store learns sizes, times and random names. Its host and port are a
declared recipient; obstore's connections are its own (Python's audit hook does not see them), therefore the endpoint is
fixed here, nothing is read from the environment, and no redirect or proxy is followed.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from ruxa.egress.recipient import Recipient, Register
from ruxa.egress.tally import Tally
from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall, NotFound, RuxaError, Unavailable
from ruxa.kernel.settings import StorageSettings, read_secret

# The least that S3 takes for a part of a larger object.
PART_BYTES: Final = 8 * 1024 * 1024
CONNECT_S: Final = 5
# S3 takes a thousand names in one request to delete.
BATCH: Final = 1000
RECIPIENT: Final = "storage"
CATEGORY: Final = "user.content"
_NO_PROXY: Final = "http://127.0.0.1:9"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]*(/[a-z0-9][a-z0-9_.-]*)*")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

T = TypeVar("T")


class Found(msgspec.Struct, frozen=True):
    """An object: its name and its size in bytes."""

    name: str
    size: int


class Objects:
    """One store. ``host`` is empty for a folder. Every method raises Unavailable ``storage_away``."""

    def __init__(
        self,
        store: LocalStore | S3Store,
        *,
        folder: Path | None = None,
        host: str = "",
        port: int = 0,
        tally: Tally | None = None,
        recipient: str = RECIPIENT,
        category: str = CATEGORY,
    ) -> None:
        self._store = store
        self._folder = folder
        self._tally = tally
        self._recipient = recipient
        self._category = category
        self.host = host
        self.port = port

    @classmethod
    def of_folder(cls, path: Path) -> Objects:
        """Objects as files below ``path``, which is made for this user alone."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(LocalStore(path), folder=path)

    @classmethod
    def of_settings(
        cls, settings: StorageSettings, data: Path, register: Register, recipient: Recipient | None = None
    ) -> Objects:
        """The store that ``[storage]`` names, declared as a recipient when it is another machine's.

        recipient: as whom, when it is not for stored content.

        Raises InvalidCall ``storage_settings``, ``secret_missing``.
        """
        parts = urlsplit(settings.url)
        if parts.scheme == "folder":
            return cls.of_folder(Path(parts.path) if parts.path else data / "objects")
        bucket, prefix = parts.netloc, parts.path.strip("/")
        if parts.scheme != "s3" or not _BUCKET.fullmatch(bucket) or (prefix and not _NAME.fullmatch(prefix)):
            raise _wrong("url is folder:, folder:/a/path or s3://bucket/prefix")
        if settings.access_key is None or settings.secret_key is None:
            raise _wrong("s3:// needs access_key and secret_key, each as env:NAME or file:PATH")
        endpoint = urlsplit(settings.endpoint or f"https://s3.{settings.region}.amazonaws.com")
        if endpoint.scheme not in ("https", "http") or not endpoint.hostname or endpoint.path.strip("/"):
            raise _wrong("endpoint is https://host or https://host:port")
        host = endpoint.hostname
        port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
        declared = recipient or Recipient(
            name=RECIPIENT,
            role="storage",
            who="the operator's object store",
            what=(CATEGORY,),
            why=("provide",),
            where=settings.where,
            safeguard="sealed with keys the store never has; the operator's own contract",
        )
        register.allow(declared, host, port)
        store = S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=f"{endpoint.scheme}://{endpoint.netloc}",
            region=settings.region,
            access_key_id=read_secret(settings.access_key),
            secret_access_key=read_secret(settings.secret_key),
            virtual_hosted_style_request=False,
            client_options={
                "allow_http": endpoint.scheme == "http",
                "connect_timeout": timedelta(seconds=CONNECT_S),
                "timeout": timedelta(seconds=bounds.OBJECT_TIMEOUT_S),
                "user_agent": "ruxa",
                # A proxy that is named and then excluded for the one host: else the environment's would be used.
                "proxy_url": _NO_PROXY,
                "proxy_excludes": host,
            },
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=bounds.OBJECT_TIMEOUT_S)},
        )
        return cls(
            store,
            host=host,
            port=port,
            tally=register.tally,
            recipient=declared.name,
            category=declared.what[0],
        )

    async def put(self, name: str, data: bytes | Iterable[bytes] | AsyncIterable[bytes]) -> None:
        """Writes an object, whole or not at all; an iterable is sent part by part, never held as a whole."""
        path = _checked(name)
        if self._tally is not None:
            self._tally.add(self._recipient, self.host, self._category)
        if isinstance(data, bytes):
            await _spoken(obstore.put_async(self._store, path, data, use_multipart=False))
        else:
            await _spoken(obstore.put_async(self._store, path, data, use_multipart=True, chunk_size=PART_BYTES))

    async def get(self, name: str) -> AsyncGenerator[bytes]:
        """The bytes of an object in order. Raises NotFound ``object_missing``."""
        found = await _spoken(obstore.get_async(self._store, _checked(name)))
        pieces = found.stream(min_chunk_size=bounds.SEALED_CHUNK_BYTES)
        while (piece := await _spoken(anext(pieces, None))) is not None:
            yield bytes(piece)

    async def list(self, prefix: str) -> list[Found]:
        """Every object below ``prefix`` (whole path segments), in no order."""
        batches = obstore.list(self._store, _checked(prefix), chunk_size=BATCH)  # pyright: ignore[reportUnknownMemberType]
        found: list[Found] = []
        while (batch := await _spoken(anext(batches, None))) is not None:
            found += [Found(item["path"], item["size"]) for item in batch]
        return found

    async def folders(self, prefix: str) -> list[str]:
        """The names of the segments right below ``prefix``."""
        listed = obstore.list_with_delimiter_async(self._store, _checked(prefix))  # pyright: ignore[reportUnknownMemberType]
        found = await _spoken(listed)
        return [folder.rstrip("/").rpartition("/")[2] for folder in found["common_prefixes"]]

    async def top(self) -> list[str]:
        """What names begin with: the first segment of every object that is there."""
        found = await _spoken(obstore.list_with_delimiter_async(self._store))  # pyright: ignore[reportUnknownMemberType]
        return [folder.rstrip("/").rpartition("/")[2] for folder in found["common_prefixes"]]

    async def remove(self, names: Sequence[str]) -> None:
        """Deletes objects; those that are gone already are no error."""
        for start in range(0, len(names), BATCH):
            batch = [_checked(name) for name in names[start : start + BATCH]]
            if not await self._gone(batch) and len(batch) > 1:
                # Somebody else was faster with one of them, and the rest may not have been looked at.
                for name in batch:
                    await self._gone([name])

    async def _gone(self, names: list[str]) -> bool:
        try:
            await _spoken(obstore.delete_async(self._store, names))
        except NotFound:
            return False
        return True

    async def delete(self, prefix: str) -> int:
        """Deletes every object below ``prefix``, and what a crash left half written there; how many objects."""
        path = _checked(prefix)
        names = [found.name for found in await self.list(path)]
        await self.remove(names)
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder / path, True)
        return len(names)


async def _spoken(action: Awaitable[T]) -> T:
    """The store's errors in our words: its own quote names, addresses and headers."""
    fault: RuxaError
    try:
        return await action
    except FileNotFoundError:
        fault = NotFound("That object is not there.", code="object_missing")
    except (BaseError, OSError) as error:
        fault = Unavailable(
            "The object store can't be reached now.", code="storage_away", detail=f"error={type(error).__name__}"
        )
    raise fault


def _checked(name: str) -> str:
    assert _NAME.fullmatch(name), "an object's name is ours, never data"
    return name


def _wrong(text: str) -> InvalidCall:
    return InvalidCall(f"[storage] {text}.", code="storage_settings")
