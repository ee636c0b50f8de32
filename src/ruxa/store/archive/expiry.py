"""The end of backups: what is over its time is removed from the targets, and what a killed process left there too.

A logical backup also ends without this: its day's key is destroyed, and no copy of it opens then. Exports of the
keystore end with their epoch: its key lies in the target once, and goes.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from ruxa.kernel import bounds
from ruxa.kernel.errors import RuxaError
from ruxa.store.archive import living, manifest, wal
from ruxa.store.archive.target import Target

# A backup that takes longer than this is not made any more; what it left is nobody's.
_LEFT_OVER: Final = timedelta(days=1)


class Expired(msgspec.Struct):
    """What went: names of backups, pieces of the log, epochs, objects that belonged to nothing."""

    backups: list[str] = msgspec.field(default_factory=list[str])
    pieces: int = 0
    epochs: list[UUID] = msgspec.field(default_factory=list[UUID])
    left_over: int = 0


def data(target: Target, now: datetime, *, keep: Collection[str] = ()) -> Expired:
    """Removes logical backups of 28 days and base backups and log of 6; ``keep``: names that stay (being made)."""
    gone = Expired()
    for name in manifest.listed(target, ("logical", "base")):
        days = bounds.BACKUP_DAYS if "-logical-" in name else bounds.BASE_BACKUP_DAYS
        if now - _made_at(target, name) >= timedelta(days=days):
            manifest.delete(target, name)
            gone.backups.append(name)
    for piece, at in list(wal.pieces(target)):
        if now - at >= timedelta(days=bounds.BASE_BACKUP_DAYS):
            target.delete(piece)
            gone.pieces += 1
    gone.left_over = _sweep(target, now, keep)
    return gone


def keys(target: Target, living_epochs: Collection[UUID], now: datetime, *, kept: int) -> Expired:
    """Removes the keys of epochs that have ended, and every export but the newest ``kept`` of living epochs."""
    gone = Expired()
    for epoch in living.epoch_ids(target):
        if epoch not in living_epochs:
            living.remove_epoch(target, epoch)
            gone.epochs.append(epoch)
    fresh = 0
    for name in reversed(manifest.listed(target, ("living",))):
        made = manifest.unproved(target, name)
        opens = made.epoch in living_epochs and now - made.finished_at < timedelta(days=bounds.EPOCH_DAYS)
        fresh += opens
        if not opens or fresh > kept:
            manifest.delete(target, name)
            gone.backups.append(name)
    gone.left_over = _sweep(target, now, ())
    return gone


def _made_at(target: Target, name: str) -> datetime:
    try:
        return manifest.unproved(target, name).finished_at
    except RuxaError:
        # A manifest that cannot be read opens nothing; its name says when it was begun.
        return _named_at(name)


def _named_at(name: str) -> datetime:
    try:
        return datetime.strptime(name[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def _sweep(target: Target, now: datetime, keep: Collection[str]) -> int:
    """Objects below a backup's name that has no manifest: its making was cut off."""
    whole = set(manifest.listed(target))
    count = 0
    for key in target.under():
        name, slash, _ = key.partition("/")
        known = name in whole or name in keep or name in (wal.PREFIX, living.EPOCHS)
        looks_ours = any(f"-{kind}-" in name for kind in ("logical", "base", "living"))
        if slash and not known and looks_ours and now - _named_at(name) > _LEFT_OVER:
            target.delete(key)
            count += 1
    return count
