"""Epoch keys as files of the KEYS directory, outside the database and outside every backup (D28).

Honest limit: a file on an SSD cannot be proved wiped; that is assurance level L1.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from uuid import UUID

from ruxa.kernel import crypto
from ruxa.kernel.clock import Clock
from ruxa.kernel.custody import Assurance
from ruxa.kernel.errors import Unavailable
from ruxa.store import files

_NAME = re.compile(r"([0-9a-f]{32})\.key")
_STRAY_AGE_S = 3600


class EpochDirectory:
    """``KEYS/<instance>/epochs/<id>.key``: 0600 files in a 0700 directory."""

    def __init__(self, keys: Path) -> None:
        self.path = keys / "epochs"
        self.assurance = Assurance(
            provider="directory",
            level="L1",
            where=str(self.path),
            limit="A key is a file that is overwritten and removed; a disk or a snapshot may keep older blocks.",
        )

    async def create(self, epoch: UUID) -> None:
        """See EpochKeys."""
        await asyncio.to_thread(self._create, epoch)

    async def read(self, epoch: UUID, wrapped: bytes | None = None) -> bytes | None:
        """See EpochKeys."""
        return await asyncio.to_thread(self._read, epoch)

    async def destroy(self, epoch: UUID, wrapped: bytes | None = None) -> None:
        """See EpochKeys."""
        await asyncio.to_thread(files.destroy, self._file(epoch))

    async def strays(self, known: set[UUID]) -> list[UUID]:
        """See EpochKeys. A young file may belong to an epoch that is being recorded right now."""
        return await asyncio.to_thread(self._strays, known)

    async def close(self) -> None:
        """See EpochKeys. There is nothing to let go."""

    def _create(self, epoch: UUID) -> None:
        key = crypto.fresh_key()
        try:
            files.private_directory(self.path.parent)
            files.private_directory(self.path)
            made = files.create(self._file(epoch), key)
        except OSError as error:
            raise Unavailable(f"{self.path} cannot be written: {error.strerror}.", code="keys_unwritable") from None
        assert made, "epoch ids are fresh"
        # What is wrapped next cannot be opened without this file: read it back from where it will be read.
        assert self._read(epoch) == key

    def _read(self, epoch: UUID) -> bytes | None:
        try:
            return files.read_secret(self._file(epoch), crypto.KEY_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"{self.path} cannot be read: {error.strerror}.", code="keys_unreadable") from None

    def _strays(self, known: set[UUID]) -> list[UUID]:
        # Files carry the machine's time, also where the instance's clock is simulated.
        now_s = Clock().unix_ms() / 1000
        found: list[UUID] = []
        # Where a key server keeps the keys from the start there is no directory.
        for entry in os.scandir(self.path) if self.path.is_dir() else ():
            match = _NAME.fullmatch(entry.name)
            if match and UUID(match[1]) not in known and now_s - entry.stat().st_mtime > _STRAY_AGE_S:
                found.append(UUID(match[1]))
        return found

    def _file(self, epoch: UUID) -> Path:
        return self.path / f"{epoch.hex}.key"
