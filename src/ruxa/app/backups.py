"""Backups of this installation: the targets its settings name, and making, exporting, archiving, ending them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from ruxa.access.audit import log, sequencer
from ruxa.app import audit
from ruxa.app import instance as instance_
from ruxa.app.instance import Instance
from ruxa.app.targets import target_of
from ruxa.egress.recipient import Register
from ruxa.kernel import bounds, ids
from ruxa.kernel.clock import Clock, monotonic
from ruxa.kernel.errors import InvalidCall, NotFound, RuxaError
from ruxa.kernel.settings import Settings
from ruxa.kernel.signals import Sink
from ruxa.privacy.backups import records
from ruxa.privacy.restore.records import EXTRACTS
from ruxa.store import binaries
from ruxa.store.address import Address
from ruxa.store.archive import expiry, kit, living, logical, manifest, physical, wal
from ruxa.store.archive.container import BackupKey
from ruxa.store.archive.create import About, Pen, Progress
from ruxa.store.archive.manifest import Manifest
from ruxa.store.archive.target import Folder, Target, refuse_together
from ruxa.store.pool import Pool
from ruxa.store.vault import DAY_CLASSES, Vault
from ruxa.store.work import Work

Kind = Literal["logical", "base"]


class Archive:
    """What backups of one installation are made with, in a command or in the worker."""

    def __init__(
        self,
        settings: Settings,
        found: Instance,
        address: Address,
        pool: Pool,
        vault: Vault,
        clock: Clock,
        sink: Sink,
        *,
        actor: log.Actor,
        cause: records.Cause,
    ) -> None:
        self.settings = settings
        self.instance = found
        self.address = address
        self.pool = pool
        self.vault = vault
        self.clock = clock
        self.sink = sink
        self._actor: log.Actor = actor
        self._cause: records.Cause = cause

    @property
    def scheduled(self) -> bool:
        """Whether the worker does it, not a person."""
        return self._cause == "schedule"

    @property
    def actor(self) -> log.Actor:
        """As whom the log knows it."""
        return self._actor

    @property
    def about(self) -> About:
        """The instance as manifests tell it."""
        found = self.instance
        return About(
            id=found.id,
            machine=found.machine,
            mode=found.mode,
            simulated=found.simulated,
            created=found.created,
        )

    @property
    def cluster(self) -> Path:
        """The embedded cluster's files."""
        return self.settings.data / "postgres"

    async def key(self) -> BackupKey:
        """The backup key."""
        return BackupKey(await self.vault.backup_key())

    async def create(
        self,
        target: Target,
        kind: Kind,
        progress: Progress = lambda _, __: None,
        checkpoint: Callable[[str], None] = lambda _: None,
    ) -> Manifest:
        """A backup of the data into ``target``. Raises Unavailable, Conflict ``base_needs_own_cluster``."""
        if kind == "base":
            physical.own_cluster_only(self.settings.database_url)
        refuse_beside_keys(target)
        pen = await self._pen(target, progress, checkpoint)

        async def make() -> Manifest:
            bin_dir = binaries.find()
            if kind == "base":
                # The log from here on leads away from this backup; what it needs itself it brings along.
                await self.archive_log(target)
                return await physical.make(pen, self.address.admin_url("postgres"), bin_dir)
            owner = self.address.url("ruxa_owner")
            return await logical.make(pen, owner, bin_dir, self.settings.data, self._day_key, DAY_CLASSES)

        return await self._recorded(kind, make)

    async def export_keys(self, target: Target, data_targets: Sequence[Target] = ()) -> Manifest:
        """An export of the keystore into ``target``; what it replaces there goes, and so do the keys of ended epochs.

        Raises InvalidCall ``keys_beside_data``, Unavailable.
        """
        refuse_together(target, Folder(self.settings.data), Folder(self.settings.keys), *data_targets)
        refuse_beside_data(target)
        key = await self.key()
        # The keys of backups to come: an export opens those that are made after it, too.
        await self.vault.create_day_keys(logical.CLASS)
        # What waits gets its place in the log first: an export carries as much of the log as there is.
        await sequencer.run(self.pool, audit.writer_of(self.address, self.clock), self.vault, sign_now=True)
        pen = await self._pen(target, lambda _, __: None, lambda _: None)
        owner = self.address.url("ruxa_owner")
        made = await self._recorded(
            "living", lambda: living.make(pen, owner, self.vault.epochs, key, EXTRACTS), told=self._cause != "schedule"
        )
        await self.expire_keys(target)
        return made

    async def write_kit(
        self, path: Path, *, passphrase: str | None = None, recovery_public: bytes | None = None
    ) -> BackupKey:
        """The recovery kit into a file of this machine, replacing one that is there."""
        key = await self.key()
        signers = [public.public for public in await self.vault.public_keys("backup")]
        if not signers:
            signers = [(await self.vault.signing_key("backup")).public]
        raw = await asyncio.to_thread(
            lambda: kit.make(
                self.instance.id,
                key,
                signers,
                self.clock.now(),
                passphrase=passphrase,
                recovery_public=recovery_public,
            )
        )
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        instance_.write_private(path, raw)
        backup_id = ids.fresh()
        async with self.pool.work() as work:
            await records.begin(work, backup_id, "kit", self._cause)
            now = await records.now(work)
            await records.done(work, backup_id, f"kit-{key.id.hex()}", len(raw), 1, now)
            await self._tell(work, "crypto:exported", {"what": "recovery kit", "key": key.id.hex()})
        return key

    async def archive_log(self, target: Target) -> wal.Pushed:
        """The write-ahead log since the last time into ``target``. Raises Unavailable."""
        signer = await self.vault.signing_key("backup")
        return await wal.push(
            target,
            self.address.admin_url("postgres"),
            self.cluster,
            self.instance.id,
            await self.key(),
            signer,
            self.clock,
        )

    async def expire(self, target: Target) -> expiry.Expired:
        """Ends what is over its time: day keys of logical backups first, then their objects, base backups, log."""
        day = self.clock.today() - timedelta(days=bounds.BACKUP_DAYS)
        async with self.pool.work() as work:
            await records.tidy(work)
        destroyed = await self.vault.destroy_days_before(logical.CLASS, day)
        gone = await asyncio.to_thread(expiry.data, target, self.clock.now())
        async with self.pool.work() as work:
            for name in gone.backups:
                await records.expired(work, name)
            if destroyed or gone.backups:
                details = {"backups": str(len(gone.backups)), "keys": str(len(destroyed))}
                await self._tell(work, "crypto:destroyed", {"what": "backups", **details})
        if gone.backups:
            self.sink.emit("backup.expired", kind="data", count=len(gone.backups))
        return gone

    async def expire_keys(self, target: Target) -> expiry.Expired:
        """Ends exports and epoch keys that are over their time."""
        epochs = [epoch.id for epoch in await self.vault.epochs()]
        gone = await asyncio.to_thread(
            lambda: expiry.keys(target, epochs, self.clock.now(), kept=bounds.KEYS_EXPORT_KEPT)
        )
        async with self.pool.work() as work:
            for name in gone.backups:
                await records.expired(work, name)
        return gone

    async def _pen(self, target: Target, progress: Progress, checkpoint: Callable[[str], None]) -> Pen:
        signer = await self.vault.signing_key("backup")
        return Pen(target, await self.key(), signer, self.about, self.clock, progress=progress, checkpoint=checkpoint)

    async def _day_key(self, key_class: str, day: date) -> bytes | None:
        try:
            return await self.vault.day_key(key_class, day)
        except NotFound:
            return None

    async def _recorded(
        self, kind: records.Kind, make: Callable[[], Awaitable[Manifest]], *, told: bool = True
    ) -> Manifest:
        backup_id, began = ids.fresh(), monotonic()
        async with self.pool.work() as work:
            await records.begin(work, backup_id, kind, self._cause)
        try:
            made = await make()
        except RuxaError as error:
            async with self.pool.work() as work:
                await records.failed(work, backup_id, error.code)
            self.sink.emit("backup.failed", "error", kind=kind, code=error.code)
            raise
        async with self.pool.work() as work:
            await records.done(work, backup_id, made.name, made.bytes, len(made.items), made.taken_at)
            if told:
                act = "crypto:exported" if kind == "living" else "backup:created"
                await self._tell(work, act, {"kind": kind, "name": made.name})
        self.sink.emit("backup.made", kind=kind, bytes=made.bytes, took_ms=int((monotonic() - began) * 1000))
        return made

    async def _tell(self, work: Work, act: log.Act, details: dict[str, str]) -> None:
        await log.write(work, self.vault, act, actor=self._actor, purpose="security", details=details)


class Targets(msgspec.Struct, frozen=True):
    """Where the settings send scheduled backups; None where they name nothing."""

    data: Target | None
    keys: Target | None


def configured(settings: Settings, register: Register) -> Targets:
    """The targets of ``[backup]``. Raises InvalidCall when they cannot be, or lie together."""
    asked = settings.backup
    data = None if asked.target is None else target_of(asked.target, asked, register, keys=False)
    keys = None if asked.keys_target is None else target_of(asked.keys_target, asked, register, keys=True)
    if (data is None) != (keys is None):
        raise InvalidCall(
            "[backup] needs both target (of the data) and keys_target (of the keys), in different places.",
            code="bad_setting",
        )
    if data is not None and keys is not None:
        refuse_together(keys, data, Folder(settings.data), Folder(settings.keys))
        if isinstance(data, Folder):
            refuse_together(data, Folder(settings.keys))
    return Targets(data, keys)


def refuse_beside_keys(target: Target) -> None:
    """Raises InvalidCall ``keys_beside_data`` when keys lie in or around the folder that data should go to."""
    for folder in _around(target):
        if folder.under(f"{living.EPOCHS}/") or (folder.path / kit.FILE).exists() or _has(folder, "living"):
            raise InvalidCall(
                f"{folder.where} holds keys or the recovery kit: the data must not lie beside what opens it. "
                "Choose another folder.",
                code="keys_beside_data",
            )


def refuse_beside_data(target: Target) -> None:
    """Raises InvalidCall ``keys_beside_data`` when backups of data lie in or around the folder for keys."""
    for folder in _around(target):
        if _has(folder, "logical") or _has(folder, "base") or (folder.path / wal.PREFIX).is_dir():
            raise InvalidCall(
                f"{folder.where} holds backups of the data: keys must not lie beside what they open. "
                "Choose another folder.",
                code="keys_beside_data",
            )


def _around(target: Target) -> list[Folder]:
    """The folder itself, its parent, and the folders right below it."""
    if not isinstance(target, Folder):
        return []
    path = target.path.resolve()
    below = [one for one in path.iterdir() if one.is_dir()] if path.is_dir() else []
    return [Folder(path), Folder(path.parent), *(Folder(one) for one in below)]


def _has(folder: Folder, kind: Kind | Literal["living"]) -> bool:
    return any(True for _ in folder.path.glob(f"*-{kind}-*/{manifest.FILE}"))
