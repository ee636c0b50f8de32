"""One owner of a directory at a time: an flock with the owner's process id in it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ruxa.kernel.errors import Conflict, Unavailable


class Lock:
    """A lock file. The kernel lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def take(self) -> None:
        """Takes the lock at once. Raises Conflict ``data_in_use`` naming the process that holds it.

        Raises Unavailable ``data_unwritable`` when it is another user's, or the disk is full or read-only.
        """
        if self._descriptor is not None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Close-on-exec: a child that outlives us must not keep the lock.
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(
                f"{self.path.parent} cannot be written: {error.strerror}.", code="data_unwritable"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise Conflict(f"{self.path.parent} is in use by process {holder}.", code="data_in_use") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Lets go; the file stays, since removing it would let two owners in."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None
