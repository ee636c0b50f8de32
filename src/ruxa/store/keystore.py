"""The keystore: stored keys wrapped under the epoch key, made, found, re-wrapped and destroyed (D28).

Order that makes every step safe to die in: an epoch's key is durable before its row; a key is re-wrapped in place, so
it is readable under one epoch or the other; an epoch's key is destroyed only when no row names it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Final, Literal, LiteralString, final
from uuid import UUID

import msgspec

from ruxa.kernel import crypto, ids
from ruxa.kernel.bounds import EPOCH_DAYS
from ruxa.kernel.errors import NotFound, Unavailable
from ruxa.store.epochs import EpochKeys
from ruxa.store.pool import Pool
from ruxa.store.work import Work

KIND = Literal["root", "subject", "day"]

# The day key of a day that is over is not made any more, or destroying it would not last.
_LATE_DAYS: Final = 1
_HELD_S: Final = 60.0
_BATCH: Final = 500
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('ruxa.keystore', 0))"


@final
class Key:
    """A stored key, unwrapped. Its repr shows no secret, and no encoder takes it."""

    __slots__ = ("id", "secret")

    def __init__(self, id: bytes, secret: bytes) -> None:
        self.id = id
        self.secret = secret

    def __repr__(self) -> str:
        return f"<key {self.id.hex()}>"


class Destroyed(msgspec.Struct, frozen=True):
    """One key's end: gone in service at ``at``, gone in every copy by ``in_every_copy_by`` (its epoch's end)."""

    key_id: bytes
    key_class: str
    at: datetime
    in_every_copy_by: datetime


class Rotation(msgspec.Struct, frozen=True):
    """What a rotation did: the new epoch, how many keys moved under it, the epochs destroyed."""

    epoch: UUID
    keys: int
    destroyed: tuple[UUID, ...]


class Keystore:
    """The keystore login's view. ``checkpoint`` is called between the steps of a rotation, for tests that kill."""

    def __init__(self, pool: Pool, epochs: EpochKeys, *, checkpoint: Callable[[str], None] = lambda _: None) -> None:
        self._pool = pool
        self._epochs = epochs
        self._epoch_keys: crypto.Ring[bytes] = crypto.Ring(ttl_s=_HELD_S, size=16)
        self._checkpoint = checkpoint

    async def root(self) -> Key:
        """The root key; it and the first epoch are made when the keystore is empty."""
        async with self._pool.work() as work:
            found = await self._find(work, "root", "root", None, None)
            if found is not None:
                return found
            await work.run(_LOCK)
            if await work.value("SELECT count(*) FROM keystore.epoch") == 0:
                epoch = ids.fresh()
                await asyncio.to_thread(self._epochs.create, epoch)
                await work.run("INSERT INTO keystore.epoch (id, state) VALUES (%s, 'current')", epoch)
        return await self._make("root", "root", None, None)

    async def create_subject(self, subject: UUID, key_class: str) -> Key:
        """The subject's key of this class, made when there is none."""
        return await self._make("subject", key_class, subject, None)

    async def subject(self, subject: UUID, key_class: str) -> Key:
        """The subject's key. Raises NotFound ``key_destroyed`` when it was destroyed or never made."""
        return await self._found("subject", key_class, subject, None)

    async def subjects(self, subjects: Sequence[UUID], key_class: str) -> dict[UUID, Key]:
        """The keys of many subjects at once; those without one are left out."""
        found: dict[UUID, Key] = {}
        async with self._pool.work() as work:
            rows = await work.rows(
                "SELECT id, subject, epoch, wrapped FROM keystore.key"
                " WHERE kind = 'subject' AND class = %s AND subject = ANY (%s)",
                key_class,
                list(subjects),
            )
        for key_id, subject, epoch, wrapped in rows:
            epoch_key = await self._epoch_key(epoch)
            # None: rotated away this moment; whoever needs it asks for it alone.
            if epoch_key is not None:
                place = _bound_to(key_id, "subject", key_class, subject, None, epoch)
                found[subject] = Key(key_id, crypto.unseal(epoch_key, wrapped, place))
        return found

    async def day(self, key_class: str, day: date) -> Key:
        """The day's key; made for today and later days, never again for one that is over or was destroyed.

        Raises NotFound ``key_destroyed``.
        """
        async with self._pool.work() as work:
            found = await self._find(work, "day", key_class, None, day)
            if found is not None:
                return found
            may = await work.value(
                "SELECT %s >= ruxa.today() - %s AND NOT EXISTS (SELECT FROM keystore.destruction"
                " WHERE kind = 'day' AND class = %s AND day = %s)",
                day,
                _LATE_DAYS,
                key_class,
                day,
            )
        if not may:
            raise NotFound("The key of that day was destroyed.", code="key_destroyed")
        return await self._make("day", key_class, None, day)

    async def create_days(self, key_class: str, days: int) -> None:
        """Makes the keys of today and the next ``days`` days."""
        async with self._pool.work() as work:
            today: date = await work.value("SELECT ruxa.today()")
        for ahead in range(days + 1):
            await self.day(key_class, today + timedelta(days=ahead))

    async def destroy_subject(self, subject: UUID, classes: Sequence[str]) -> list[Destroyed]:
        """Destroys the subject's keys of these classes; those that are gone already are not listed again."""
        return await self._destroy(
            "DELETE FROM keystore.key WHERE kind = 'subject' AND subject = %s AND class = ANY (%s)"
            " RETURNING id, kind, class, day, epoch",
            f"subject:{subject.hex}",
            subject,
            list(classes),
        )

    async def destroy_days_before(self, key_class: str, day: date) -> list[Destroyed]:
        """Destroys every day key of the class older than ``day``."""
        return await self._destroy(
            "DELETE FROM keystore.key WHERE kind = 'day' AND class = %s AND day < %s"
            " RETURNING id, kind, class, day, epoch",
            f"day:{key_class}",
            key_class,
            day,
        )

    async def epoch_age(self) -> timedelta:
        """How old the current epoch is, by the one clock."""
        async with self._pool.work() as work:
            return await work.value("SELECT ruxa.now() - created_at FROM keystore.epoch WHERE state = 'current'")

    async def rotate(self) -> Rotation:
        """Begins a new epoch, re-wraps every living key under it and destroys the old epochs' keys.

        Can be killed at any point and repeated; two at once take turns.
        """
        async with self._pool.work() as guard:
            await guard.run("SET LOCAL idle_in_transaction_session_timeout = 0")
            await guard.run("SET LOCAL lock_timeout = 0")
            await guard.run("SET LOCAL statement_timeout = 0")
            await guard.run(_LOCK)
            # What an earlier rotation left half done is finished first, so at most two epochs hold keys.
            moved, destroyed = await self._retire()
            fresh = ids.fresh()
            self._checkpoint("before_epoch_key")
            await asyncio.to_thread(self._epochs.create, fresh)
            self._checkpoint("after_epoch_key")
            async with self._pool.work() as work:
                await work.run("SET LOCAL synchronous_commit = on")
                await work.run("UPDATE keystore.epoch SET state = 'retiring' WHERE state = 'current'")
                await work.run("INSERT INTO keystore.epoch (id, state) VALUES (%s, 'current')", fresh)
            self._checkpoint("after_epoch_row")
            more, ended = await self._retire()
            await self._sweep(guard)
        return Rotation(epoch=fresh, keys=moved + more, destroyed=(*destroyed, *ended))

    async def _retire(self) -> tuple[int, list[UUID]]:
        """Moves every key out of the retiring epochs and destroys those; (keys moved, epochs destroyed)."""
        async with self._pool.work() as work:
            rows = await work.rows("SELECT id FROM keystore.epoch WHERE state = 'retiring' ORDER BY created_at")
        moved = 0
        ended: list[UUID] = []
        for (epoch,) in rows:
            while count := await self._rewrap(epoch):
                moved += count
                self._checkpoint("after_batch")
            self._checkpoint("before_destruction")
            await asyncio.to_thread(self._epochs.destroy, epoch)
            self._epoch_keys.drop(epoch.hex)
            self._checkpoint("after_destruction")
            async with self._pool.work() as work:
                await work.run(
                    "UPDATE keystore.epoch SET state = 'destroyed', destroyed_at = ruxa.now() WHERE id = %s", epoch
                )
            self._checkpoint("after_epoch_ended")
            ended.append(epoch)
        return moved, ended

    async def _rewrap(self, old: UUID) -> int:
        """Moves up to a batch of keys from an old epoch to the current one."""
        async with self._pool.work() as work:
            # The old epoch's key is destroyed after this: the move must be on disk when it commits.
            await work.run("SET LOCAL synchronous_commit = on")
            epoch = await work.value("SELECT id FROM keystore.epoch WHERE state = 'current' FOR SHARE")
            rows = await work.rows(
                "SELECT id, kind, class, subject, day, wrapped FROM keystore.key WHERE epoch = %s"
                " ORDER BY id LIMIT %s FOR UPDATE",
                old,
                _BATCH,
            )
            if not rows:
                return 0
            old_key, key = await self._epoch_key(old), await self._epoch_key(epoch)
            if old_key is None or key is None:
                raise _keys_missing(old if old_key is None else epoch)
            moved: list[tuple[UUID, bytes, bytes]] = []
            for key_id, kind, key_class, subject, day, wrapped in rows:
                place = (key_id, kind, key_class, subject, day)
                secret = crypto.unseal(old_key, wrapped, _bound_to(*place, old))
                moved.append((epoch, crypto.seal(key, epoch.bytes[-8:], secret, _bound_to(*place, epoch)), key_id))
            await work.many("UPDATE keystore.key SET epoch = %s, wrapped = %s WHERE id = %s", moved)
            return len(moved)

    async def _sweep(self, guard: Work) -> None:
        """Destroys epoch keys that a crash left without a row."""
        known = {row[0] for row in await guard.rows("SELECT id FROM keystore.epoch WHERE state <> 'destroyed'")}
        for stray in await asyncio.to_thread(self._epochs.strays, known):
            await asyncio.to_thread(self._epochs.destroy, stray)

    async def _make(self, kind: KIND, key_class: str, subject: UUID | None, day: date | None) -> Key:
        """Inserts a fresh key under the current epoch, unless somebody was first; the key that is there then."""
        async with self._pool.work() as work:
            # The row lock keeps a rotation from retiring this epoch until the key is in it.
            epoch = await work.value("SELECT id FROM keystore.epoch WHERE state = 'current' FOR SHARE")
            if epoch is None:
                # It was retired while we waited for it; its successor is committed.
                epoch = await work.value("SELECT id FROM keystore.epoch WHERE state = 'current' FOR SHARE")
            epoch_key = None if epoch is None else await self._epoch_key(epoch)
            if epoch is None or epoch_key is None:
                raise _keys_missing(epoch)
            key_id = os.urandom(crypto.KID_BYTES)
            place = (key_id, kind, key_class, subject, day)
            wrapped = crypto.seal(epoch_key, epoch.bytes[-8:], crypto.fresh_key(), _bound_to(*place, epoch))
            await work.run(
                "INSERT INTO keystore.key (id, kind, class, subject, day, epoch, wrapped)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                *place,
                epoch,
                wrapped,
            )
        return await self._found(kind, key_class, subject, day)

    async def _found(self, kind: KIND, key_class: str, subject: UUID | None, day: date | None) -> Key:
        async with self._pool.work() as work:
            found = await self._find(work, kind, key_class, subject, day)
        if found is None:
            raise NotFound("The key of this data was destroyed.", code="key_destroyed")
        return found

    async def _find(self, work: Work, kind: KIND, key_class: str, subject: UUID | None, day: date | None) -> Key | None:
        # A rotation may destroy the epoch between reading the row and reading its key: then the row has moved.
        tries = 3
        while True:
            row = await work.row(
                "SELECT id, epoch, wrapped FROM keystore.key WHERE kind = %s AND class = %s"
                " AND subject IS NOT DISTINCT FROM %s AND day IS NOT DISTINCT FROM %s",
                kind,
                key_class,
                subject,
                day,
            )
            if row is None:
                return None
            key_id, epoch, wrapped = row
            epoch_key = await self._epoch_key(epoch)
            if epoch_key is not None:
                secret = crypto.unseal(epoch_key, wrapped, _bound_to(key_id, kind, key_class, subject, day, epoch))
                return Key(key_id, secret)
            tries -= 1
            if not tries:
                raise _keys_missing(epoch)

    async def _epoch_key(self, epoch: UUID) -> bytes | None:
        key = self._epoch_keys.get(epoch.hex)
        if key is None:
            key = await asyncio.to_thread(self._epochs.read, epoch)
            if key is not None:
                self._epoch_keys.put(epoch.hex, key)
        return key

    async def _destroy(self, statement: LiteralString, notice: str, *args: object) -> list[Destroyed]:
        async with self._pool.work() as work:
            await work.run("SET LOCAL synchronous_commit = on")
            gone = await work.rows(statement, *args)
            found: list[Destroyed] = []
            for key_id, kind, key_class, day, epoch in gone:
                row = await work.row(
                    "INSERT INTO keystore.destruction (key_id, kind, class, day, epoch) VALUES (%s, %s, %s, %s, %s)"
                    " RETURNING destroyed_at, (SELECT created_at FROM keystore.epoch WHERE id = destruction.epoch)",
                    key_id,
                    kind,
                    key_class,
                    day,
                    epoch,
                )
                assert row is not None
                found.append(Destroyed(key_id, key_class, row[0], row[1] + timedelta(days=EPOCH_DAYS)))
            if found:
                await work.run("SELECT pg_notify('key_destroyed', %s)", notice)
        return found


def _bound_to(key_id: bytes, kind: str, key_class: str, subject: UUID | None, day: date | None, epoch: UUID) -> bytes:
    """A wrapped key opens only as the key it is, under the epoch it is in."""
    owner = "" if subject is None else subject.hex
    return f"ruxa1|key|{key_id.hex()}|{kind}|{key_class}|{owner}|{day or ''}|{epoch.hex}".encode()


def _keys_missing(epoch: UUID | None) -> Unavailable:
    return Unavailable(
        "The keys directory lacks the key of the current epoch: is --keys the directory this database was made with?",
        code="keys_missing",
        detail=f"epoch={epoch.hex if epoch else 'none'}",
    )
