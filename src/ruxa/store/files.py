"""Small files that must survive a crash: secrets and state, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from ruxa.kernel.errors import Unavailable


def private_directory(path: Path) -> None:
    """Makes a 0700 directory, parents as the umask says; an existing one is left as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not path.is_dir():
            raise
    else:
        sync_directory(path.parent)


def create(path: Path, content: bytes, *, mode: int = 0o600) -> bool:
    """Writes a new file durably; False when it exists already (another process was first)."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    _write(temporary, content, mode)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:
        # A file system without hard links: as near to it as there is.
        if path.exists():
            return False
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)
    return True


def replace(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Writes the file durably and atomically: readers see the old content or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    _write(temporary, content, mode)
    temporary.replace(path)
    sync_directory(path.parent)


def destroy(path: Path) -> None:
    """Overwrites the content in place, then unlinks, durably. Honest limit: a disk may keep older copies (F.2)."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.pwrite(descriptor, os.urandom(max(1, os.fstat(descriptor).st_size)), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def read_secret(path: Path, size: int) -> bytes:
    """A secret of exactly ``size`` bytes that nobody else may read. FileNotFoundError when it is not there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_mode & 0o077:
            raise Unavailable(f"{path} is readable by others; set its mode to 0600.", code="keys_exposed")
        content = os.read(descriptor, size + 1)
    finally:
        os.close(descriptor)
    if len(content) != size:
        raise Unavailable(f"{path} does not hold a secret of {size} bytes.", code="keys_damaged")
    return content


def sync_directory(path: Path) -> None:
    """Makes names created or removed in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(descriptor)
