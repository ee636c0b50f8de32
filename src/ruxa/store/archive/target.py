"""Where backups lie: objects by key, put whole or not at all. A folder here; object stores fulfil it from outside."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec

from ruxa.kernel.errors import Broken, InvalidCall, NotFound, Unavailable
from ruxa.store import files

READ_BYTES: Final = 1 << 20
_KEY = re.compile(r"[a-z0-9][a-z0-9_.-]*(/[a-z0-9][a-z0-9_.-]*)*")
# A name that no key can have, so that what a killed process was writing is never taken for an object.
_PART: Final = ".part-"


class Stored(msgspec.Struct, frozen=True):
    """What was put: its size and SHA-256."""

    bytes: int
    sha256: str


class Target(Protocol):
    """A place for objects. Every method blocks; callers use a thread. Raises Unavailable, NotFound."""

    where: str

    def put(self, key: str, chunks: Iterable[bytes]) -> Stored:
        """Stores an object durably; readers see the old one, none, or the whole new one."""
        ...

    def get(self, key: str) -> Iterator[bytes]:
        """The object's bytes. Raises NotFound ``object_missing``."""
        ...

    def under(self, prefix: str = "") -> list[str]:
        """The keys that begin so, sorted."""
        ...

    def delete(self, key: str) -> None:
        """Removes the object; one that is not there is fine."""
        ...

    def free_bytes(self) -> int | None:
        """Room left; None where it cannot be told."""
        ...


class Folder:
    """A directory of this machine (0700, files 0600)."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.where = str(self.path)

    def put(self, key: str, chunks: Iterable[bytes]) -> Stored:
        """See Target."""
        path = self._path(key)
        digest, size = hashlib.sha256(), 0
        part = path.with_name(f"{_PART}{os.getpid()}-{os.urandom(4).hex()}")
        try:
            self._directory(path.parent)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as out:
                for chunk in chunks:
                    out.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
                out.flush()
                os.fsync(out.fileno())
            part.replace(path)
            files.sync_directory(path.parent)
        except OSError as error:
            raise Unavailable(
                f"The backup target {self.where} cannot be written: {error.strerror}.", code="target_unwritable"
            ) from None
        finally:
            part.unlink(missing_ok=True)
        return Stored(size, digest.hexdigest())

    def get(self, key: str) -> Iterator[bytes]:
        """See Target."""
        try:
            with self._path(key).open("rb") as source:
                while chunk := source.read(READ_BYTES):
                    yield chunk
        except FileNotFoundError:
            raise NotFound(f"{key} is not in {self.where}.", code="object_missing") from None
        except OSError as error:
            raise Unavailable(f"{self.where}/{key} cannot be read: {error.strerror}.", code="target_away") from None

    def under(self, prefix: str = "") -> list[str]:
        """See Target."""
        found: list[str] = []
        # Only the folder that the prefix names is walked: the log of a week is thousands of objects.
        start = self.path / prefix.rpartition("/")[0]
        for place, _, names in os.walk(start):
            inside = Path(place).relative_to(self.path).as_posix()
            for name in names:
                key = name if inside == "." else f"{inside}/{name}"
                if key.startswith(prefix) and _KEY.fullmatch(key):
                    found.append(key)
        return sorted(found)

    def delete(self, key: str) -> None:
        """See Target. Overwritten first; a disk may keep older copies all the same (F.2)."""
        path = self._path(key)
        try:
            files.destroy(path)
        except OSError as error:
            raise Unavailable(f"{path} cannot be removed: {error.strerror}.", code="target_unwritable") from None
        for parent in path.parents:
            if parent == self.path:
                break
            with suppress(OSError):
                parent.rmdir()

    def free_bytes(self) -> int | None:
        """See Target."""
        place = self.path
        while not place.exists() and place != place.parent:
            place = place.parent
        return shutil.disk_usage(place).free

    def sweep(self, older_than_s: float, now_s: float) -> int:
        """Removes what killed processes left half written; how many files."""
        gone = 0
        for path in self.path.rglob(f"{_PART}*"):
            with suppress(OSError):
                if now_s - path.stat().st_mtime > older_than_s:
                    path.unlink()
                    gone += 1
        return gone

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise Broken("A backup object has an impossible name.", code="object_name", detail=key[:200])
        return self.path / key

    def _directory(self, path: Path) -> None:
        missing = [one for one in (path, *path.parents) if not one.exists()]
        for one in reversed(missing):
            one.mkdir(mode=0o700, exist_ok=True)


def one_inside_another(a: Target, b: Target) -> bool:
    """Whether two targets share a folder: keys never lie beside the data they open (D29)."""
    if not isinstance(a, Folder) or not isinstance(b, Folder):
        return a.where == b.where or a.where.startswith(b.where + "/") or b.where.startswith(a.where + "/")
    one, other = a.path.resolve(), b.path.resolve()
    return one == other or one in other.parents or other in one.parents


def refuse_together(keys: Target, *others: Target) -> None:
    """Raises InvalidCall ``keys_beside_data`` when the keys' target shares a folder with one of the others."""
    for other in others:
        if one_inside_another(keys, other):
            raise InvalidCall(
                f"Keys and data must not lie together: {keys.where} and {other.where} share a folder. "
                "Choose a place for the keys that nobody copies along with the data.",
                code="keys_beside_data",
            )
