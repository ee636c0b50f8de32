"""What the archive's tests share: an instance with people and calls in it, and where its backups go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from fixtures_database import Database
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import NotFound
from ruxa.store import binaries
from ruxa.store.archive import living, logical
from ruxa.store.archive.container import BackupKey
from ruxa.store.archive.create import About, Pen
from ruxa.store.archive.manifest import Manifest
from ruxa.store.archive.target import Folder
from ruxa.store.vault import DAY_CLASSES, Vault

BIN = binaries.find()


class Instance:
    """A database with its vault, a data directory and two targets."""

    def __init__(self, database: Database, vault: Vault, place: Path, key: BackupKey) -> None:
        self.database = database
        self.vault = vault
        self.key = key
        self.data = place / "data"
        self.backups = Folder(place / "backups")
        self.keys_target = Folder(place / "keys-target")
        self.about = About(id=uuid4(), machine="m0", mode="live", simulated=False, created="2026-11-24T00:00:00+00:00")
        self.data.mkdir()

    @classmethod
    async def open(cls, database: Database, place: Path) -> Instance:
        vault = await database.vault()
        return cls(database, vault, place, BackupKey(await vault.backup_key()))

    async def day_key(self, key_class: str, day: date) -> bytes | None:
        try:
            return await self.vault.day_key(key_class, day)
        except NotFound:
            return None

    async def pen(self, target: Folder, **more: Any) -> Pen:
        signer = await self.vault.signing_key("backup")
        return Pen(target, self.key, signer, self.about, Clock(), **more)

    async def logical(self, **more: Any) -> Manifest:
        pen = await self.pen(self.backups, **more)
        return await logical.make(pen, self.database.url("ruxa_owner"), BIN, self.data, self.day_key, DAY_CLASSES)

    async def living(self, **more: Any) -> Manifest:
        await self.vault.create_day_keys(logical.CLASS)
        pen = await self.pen(self.keys_target, **more)
        return await living.make(pen, self.database.url("ruxa_owner"), self.vault.epochs, self.key)

    async def member(self, email: str) -> UUID:
        """A person with a sealed address."""
        member = ids.fresh()
        await self.vault.create_subject(member)
        sealed = await self.vault.seal("access.member.email_sealed", member, member, email)
        pool = await self.database.pool("ruxa_owner", max_size=1)
        async with pool.work() as work:
            await work.run(
                "INSERT INTO access.member (id, email_index, email_sealed, locale) VALUES (%s, %s, %s, 'en')",
                member,
                self.vault.index("member.email", email),
                sealed,
            )
        return member


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    """What a statement gives."""
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode()).fetchall()


def thread(act: Callable[..., Any], *args: Any) -> Any:
    """Runs blocking work beside the loop."""
    return asyncio.to_thread(act, *args)
