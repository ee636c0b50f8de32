"""Loot: what an attacker carries off from a running instance - files, dumps - and which secrets are still held."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID

import psycopg

from attack.carving import Attack, Find, Sealing
from fixtures_server import RunningServer
from ruxa.kernel.clock import Clock
from ruxa.kernel.datamap import KEY_CLASSES
from ruxa.kernel.errors import RuxaError
from ruxa.store import binaries
from ruxa.store.archive import manifest
from ruxa.store.archive.container import MAGIC, BackupKey, unseal
from ruxa.store.embedded import Cluster
from ruxa.store.logins import Logins
from ruxa.store.vault import Vault

OBJECTS = ("content.object",)


class Instance:
    """A running server as its owner, with every right, sees it."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        described = json.loads((server.data / "instance.json").read_text())
        self.id = UUID(described["id"])
        self.keys = server.keys / self.id.hex
        self.address = Cluster(server.data, Logins.load(self.keys)).address
        self.admin_url = self.address.admin_url()

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """Rows, as the database's administrator."""
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            cursor = admin.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def attack(self, mark: str, **ids: UUID) -> Attack:
        """An attack that knows how the columns are declared and which key ids there ever were. ids: what to look for
        beside the mark, by name."""
        return Attack(mark, self.sealings(), self.kids(), self.epochs(), ids)

    def sealings(self) -> list[Sealing]:
        """Every sealed place, by its field key."""
        rows = self.sql(
            "SELECT place, tab, col, keep, seal FROM privacy.declared WHERE seal IN ('subject', 'day', 'dual')"
        )
        found: list[Sealing] = []
        for place, tab, col, keep, seal in rows:
            key_class = keep if seal == "day" else KEY_CLASSES[str(keep)]
            found.append(Sealing(f"ruxa1|{key_class}|{place}.{tab}|{col}", seal == "dual"))
        return [*found, *(Sealing(f"ruxa1|{name.partition('.')[0]}|object|{name}", True) for name in OBJECTS)]

    def kids(self) -> set[bytes]:
        """The ids of all keys, living or destroyed."""
        rows = self.sql("SELECT id FROM keystore.key UNION SELECT key_id FROM keystore.destruction")
        return {bytes(row[0]) for row in rows}  # type: ignore[call-overload]

    def epochs(self) -> set[bytes]:
        """The ends of the ids of all epochs."""
        return {row[0].bytes[-8:] for row in self.sql("SELECT id FROM keystore.epoch")}  # type: ignore[attr-defined]

    def held(self) -> dict[str, bytes]:
        """Every secret of the KEYS directory."""
        return {str(path): path.read_bytes() for path in sorted(self.keys.rglob("*")) if path.is_file()}

    def copy(self, to: Path) -> Path:
        """Everything the instance has on disk, as it is: heap, write-ahead log, statistics, journals, logs, objects."""
        self.sql("CHECKPOINT")
        shutil.copytree(
            self.server.place,
            to,
            symlinks=True,
            ignore=_not_files,
            copy_function=_copied,
            ignore_dangling_symlinks=True,
        )
        return to

    def dump(self, *arguments: str) -> bytes:
        """``pg_dump`` as text."""
        program = binaries.find() / "pg_dump"
        command = [str(program), "--dbname", self.admin_url, *arguments]
        return subprocess.run(command, capture_output=True, check=True, timeout=60, env={**os.environ}).stdout

    async def backup_key(self) -> bytes:
        """The secret of the recovery kit."""
        vault = await Vault.unlock(self.address, self.keys, clock=Clock())
        try:
            return await vault.backup_key()
        finally:
            await vault.close()

    def outside(self) -> Iterator[tuple[str, bytes]]:
        """What is on disk beside the database's own files: logs, journals, objects, state."""
        for name, blob in files(self.server.place):
            if "/postgres/" not in name and "data-keys" not in name:
                yield name, blob


def opened(instance: Instance, target: Path, secrets: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """What of a folder of backups can be opened with the recovery kit's key and any other secret as the second one:
    the objects of logical and base backups, the archived write-ahead log, exports of the keystore."""
    kit = BackupKey(asyncio.run(instance.backup_key()))
    for name, blob in files(target):
        # A segment of the log has a line of its own before it.
        at = blob.find(MAGIC, 0, 1 << 12)
        if at < 0:
            continue
        bound_to = _place(instance, str(Path(name).relative_to(target)))
        for also in (None, *secrets):
            try:
                yield f"{name} (opened)", b"".join(unseal(kit, bound_to, [blob[at:]], also=also))
                break
            except RuxaError:
                continue


def exported(instance: Instance, target: Path) -> dict[str, bytes]:
    """The keys of epochs that lie in a folder of exports, as the recovery kit opens them: secrets that are held."""
    return {name: secret for name, secret in opened(instance, target, []) if "/epochs/" in name}


def _place(instance: Instance, name: str) -> bytes:
    backup, _, inside = name.partition("/")
    if backup == "epochs":
        inside = inside.removesuffix(".key")
    elif backup == "wal":
        system, _, segment = inside.partition("/")
        backup, inside = f"wal-{system.partition('-')[0]}", segment.upper()
    return manifest.place(instance.id, backup, inside)


def look_at(attack: Attack, *loots: Iterable[tuple[str, bytes]]) -> Attack:
    """The attack, having seen all of it."""
    for loot in loots:
        for name, blob in loot:
            attack.look(name, blob)
    return attack


def told(finds: Iterable[Find]) -> str:
    """For a failing test: what was found where."""
    return "\n".join(f"{find.word}: {find.how} in {find.where}" for find in list(finds)[:40])


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder."""
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_file() and not path.is_symlink():
                yield str(path), path.read_bytes()
        except OSError:
            continue  # it went while we looked


def _copied(source: str, to: str) -> None:
    """As it is; a file that the running server takes away between the look and the copy is on no disk any more."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, to)


def _not_files(directory: str, names: list[str]) -> list[str]:
    """Sockets and what else is no file; the keys directory is never carried off with the data."""
    skipped = [name for name in names if name == "data-keys"]
    for name in names:
        path = Path(directory, name)
        if not path.is_symlink() and not path.is_file() and not path.is_dir():
            skipped.append(name)
    return skipped
