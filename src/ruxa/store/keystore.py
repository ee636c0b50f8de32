"""The keystore: stored keys wrapped under the epoch key, made, found, re-wrapped and destroyed (D28).

Order that makes every step safe to die in: an epoch's key is durable before its row; a key is re-wrapped in place, so
it is readable under one epoch or the other; an epoch's key is destroyed only when no row names it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Final, Literal, LiteralString, final
from uuid import UUID

import msgspec

from ruxa.kernel import crypto, ids
from ruxa.kernel.bounds import EPOCH_DAYS
from ruxa.kernel.custody import EpochKeys
from ruxa.kernel.errors import NotFound, Unavailable
from ruxa.kernel.signing import PublicKey, SigningKey
from ruxa.store.elsewhere import Known
from ruxa.store.pool import Pool
from ruxa.store.work import Work

KIND = Literal["root", "subject", "day", "billing", "hold", "pseudonym", "signing"]

# The key of a day or a quarter that is over is not made any more, or destroying it would not last.
LATE_DAYS: Final = 1
_HELD_S: Final = 60.0
_BATCH: Final = 500
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('ruxa.keystore', 0))"
# Changes take turns, so that the order of their numbers is the order of their commits.
_CHANGE: Final = "SELECT pg_advisory_xact_lock(hashtextextended('ruxa.keystore.change', 0))"
# The versions of a slot: each condition is one that the unique index serves.
_VERSION: Final[LiteralString] = (
    "SELECT id, kind, class, subject, day, version, created_at, superseded_at FROM keystore.key "
)
_VERSIONS: Final[dict[tuple[bool, bool], LiteralString]] = {
    (False, False): "SELECT id, epoch, wrapped, version, superseded_at FROM keystore.key WHERE kind = %s AND class = %s"
    " AND subject IS NULL AND day IS NULL ORDER BY version DESC",
    (True, False): "SELECT id, epoch, wrapped, version, superseded_at FROM keystore.key WHERE kind = %s AND class = %s"
    " AND subject = %s AND day IS NULL ORDER BY version DESC",
    (False, True): "SELECT id, epoch, wrapped, version, superseded_at FROM keystore.key WHERE kind = %s AND class = %s"
    " AND subject IS NULL AND day = %s ORDER BY version DESC",
    (True, True): "SELECT id, epoch, wrapped, version, superseded_at FROM keystore.key WHERE kind = %s AND class = %s"
    " AND subject = %s AND day = %s ORDER BY version DESC",
}


@final
class Key:
    """A stored key, unwrapped. Its repr shows no secret, and no encoder takes it."""

    __slots__ = ("id", "secret")

    def __init__(self, id: bytes, secret: bytes) -> None:
        self.id = id
        self.secret = secret

    def __repr__(self) -> str:
        return f"<key {self.id.hex()}>"


class Slot(msgspec.Struct, frozen=True):
    """What a key is the key of. Where it was rotated, several versions have the same slot."""

    kind: KIND
    key_class: str
    subject: UUID | None = None
    day: date | None = None

    @property
    def name(self) -> str:
        """Its name in memory and in notices: the parts of what dies together first."""
        parts: list[str] = [self.kind]
        if self.subject is not None:
            parts.append(self.subject.hex)
        parts.append(self.key_class)
        if self.day is not None:
            parts.append(str(self.day))
        return ":".join(parts)


class Version(msgspec.Struct, frozen=True):
    """One version of a key as the keystore lists it, without its secret."""

    id: bytes
    slot: Slot
    number: int
    created_at: datetime
    superseded_at: datetime | None


class SealedRow(msgspec.Struct, frozen=True):
    """A sealed value and where it lies: its table (or partition) and row, and the row's ids and days."""

    part: int
    spot: str
    ids: list[UUID | None]
    days: list[date | None]
    sealed: bytes


class Destroyed(msgspec.Struct, frozen=True):
    """One key's end: gone in service at ``at``, gone in every copy by ``in_every_copy_by`` (its epoch's end).

    number: the change that every process which holds keys must have heard (see ``Vault.acknowledged``).
    """

    key_id: bytes
    key_class: str
    at: datetime
    in_every_copy_by: datetime
    number: int = 0
    kind: str = "subject"
    day: date | None = None


class Kept(msgspec.Struct, frozen=True):
    """How many keys of a kind and class there are, and how many older versions of them; the days they are for."""

    kind: str
    key_class: str
    count: int
    superseded: int
    oldest: datetime
    first_day: date | None
    last_day: date | None


class Living(msgspec.Struct, frozen=True):
    """An epoch whose key was not destroyed yet."""

    id: UUID
    state: str
    provider: str
    created_at: datetime


class Holding(msgspec.Struct, frozen=True):
    """A process that holds keys, or held them until its lease ended."""

    name: str
    since: datetime
    alive: bool
    up_to_date: bool


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """The keystore at one moment."""

    now: datetime
    keys: tuple[Kept, ...]
    epochs: tuple[Living, ...]
    holders: tuple[Holding, ...]


class Rotation(msgspec.Struct, frozen=True):
    """What a rotation did: the new epoch, how many keys moved under it, the epochs destroyed."""

    epoch: UUID
    keys: int
    destroyed: tuple[UUID, ...]


class Epoch(msgspec.Struct, frozen=True):
    """An epoch that wraps keys now, and its key. Its repr shows no secret."""

    id: UUID
    state: Literal["current", "retiring"]
    provider: str
    wrapped: bytes | None
    key: bytes

    def __repr__(self) -> str:
        return f"<epoch {self.id.hex} {self.state}>"


class Keystore:
    """The keystore login's view. ``checkpoint`` is called between the steps of a rotation, for tests that kill."""

    def __init__(self, pool: Pool, epochs: EpochKeys, *, checkpoint: Callable[[str], None] = lambda _: None) -> None:
        self._pool = pool
        self._epochs = epochs
        self._epoch_keys: crypto.Ring[bytes] = crypto.Ring(ttl_s=_HELD_S, size=16)
        self._checkpoint = checkpoint

    async def roots(self, key_class: str) -> list[Key]:
        """Every living version of a root key, first the one that writes; made with the first epoch when there is none.

        The oldest that is not superseded writes: a newer one is only read until every process knows it.
        """
        slot = Slot("root", key_class)
        async with self._pool.work() as work:
            found = await self._versions(work, slot)
            rows = await work.rows(*_of(slot))
            writing = min((row[3], row[0]) for row in rows if row[4] is None)[1] if rows else b""
            found.sort(key=lambda key: key.id != writing)
            if found:
                return found
            await work.run(_LOCK)
            if await work.value("SELECT count(*) FROM keystore.epoch") == 0:
                epoch = ids.fresh()
                wrapped = await self._epochs.create(epoch)
                await work.run(
                    "INSERT INTO keystore.epoch (id, state, provider, wrapped) VALUES (%s, 'current', %s, %s)",
                    epoch,
                    self._epochs.assurance.provider,
                    wrapped,
                )
        return [await self.made(slot)]

    async def made(self, slot: Slot) -> Key:
        """The newest key of the slot; made when there is none."""
        async with self._pool.work() as work:
            found = await self._find(work, slot)
        return found or await self._make(slot)

    async def found(self, slot: Slot) -> Key:
        """The newest key of the slot. Raises NotFound ``key_destroyed`` when it was destroyed or never made."""
        async with self._pool.work() as work:
            found = await self._find(work, slot)
        if found is None:
            raise _destroyed()
        return found

    async def version(self, slot: Slot, key_id: bytes) -> Key:
        """That very version of the slot's key. Raises NotFound ``key_destroyed``."""
        async with self._pool.work() as work:
            found = await self._find(work, slot, key_id)
        if found is None:
            raise _destroyed()
        return found

    async def versions(self, slot: Slot) -> list[Key]:
        """Every living version, newest first; none is fine."""
        async with self._pool.work() as work:
            return await self._versions(work, slot)

    async def subjects(self, subjects: Sequence[UUID], key_class: str) -> dict[UUID, Key]:
        """The keys of many subjects at once; those without one are left out."""
        found: dict[UUID, Key] = {}
        async with self._pool.work() as work:
            rows = await work.rows(
                "SELECT DISTINCT ON (subject) id, subject, epoch, wrapped FROM keystore.key"
                " WHERE kind = 'subject' AND class = %s AND subject = ANY (%s) ORDER BY subject, version DESC",
                key_class,
                list(subjects),
            )
            for key_id, subject, epoch, wrapped in rows:
                epoch_key = await self._epoch_key(work, epoch)
                # None: rotated away this moment; whoever needs it asks for it alone.
                if epoch_key is not None:
                    place = _bound_to(key_id, "subject", key_class, subject, None, epoch)
                    found[subject] = Key(key_id, crypto.unseal(epoch_key, wrapped, place))
        return found

    async def dated(self, slot: Slot, ends: date) -> Key:
        """The key of a day or a quarter (``ends``: its last day); made while it is not over, never again afterwards.

        Raises NotFound ``key_destroyed``.
        """
        async with self._pool.work() as work:
            found = await self._find(work, slot)
            if found is not None:
                return found
            may = await work.value(
                "SELECT %s >= ruxa.today() - %s AND NOT EXISTS (SELECT FROM keystore.destruction"
                " WHERE kind = %s AND class = %s AND day = %s)",
                ends,
                LATE_DAYS,
                slot.kind,
                slot.key_class,
                slot.day,
            )
        if not may:
            raise NotFound("The key of that day was destroyed.", code="key_destroyed")
        return await self._make(slot)

    async def today(self) -> date:
        """The day by the one clock."""
        async with self._pool.work() as work:
            return await work.value("SELECT ruxa.today()")

    async def now(self) -> datetime:
        """The one clock."""
        async with self._pool.work() as work:
            return await work.value("SELECT ruxa.now()")

    async def destroy_subject(self, subject: UUID, classes: Sequence[str]) -> list[Destroyed]:
        """Destroys the subject's keys of these classes; those that are gone already are not listed again."""
        return await self._destroy(
            "DELETE FROM keystore.key WHERE kind = 'subject' AND subject = %s AND class = ANY (%s)"
            " RETURNING id, kind, class, day, epoch",
            f"subject:{subject.hex}",
            subject,
            list(classes),
        )

    async def days_held(self, kind: Literal["day", "billing", "pseudonym"], key_class: str | None) -> list[date]:
        """The days that keys of the kind (and class) which are there belong to, each once, oldest first."""
        async with self._pool.work() as work:
            rows = await work.rows(
                "SELECT DISTINCT day FROM keystore.key WHERE kind = %s AND (class = %s OR %s) ORDER BY day",
                kind,
                key_class,
                key_class is None,
            )
        return [row[0] for row in rows]

    async def destroy_dated(
        self, kind: Literal["day", "pseudonym"], key_class: str | None, day: date
    ) -> list[Destroyed]:
        """Destroys every key of the kind (and class) whose day or quarter began before ``day``."""
        return await self._destroy(
            "DELETE FROM keystore.key WHERE kind = %s AND (class = %s OR %s) AND day < %s"
            " RETURNING id, kind, class, day, epoch",
            f"{kind}:{key_class}" if key_class else kind,
            kind,
            key_class,
            key_class is None,
            day,
        )

    async def destroy_billing(self, before: date, subject: UUID | None = None) -> list[Destroyed]:
        """Destroys the billing keys of fiscal years that began before ``before``, of one subject or of all."""
        return await self._destroy(
            "DELETE FROM keystore.key WHERE kind = 'billing' AND day < %s AND (subject = %s OR %s)"
            " RETURNING id, kind, class, day, epoch",
            "billing",
            before,
            subject,
            subject is None,
        )

    async def destroy_hold(self, hold: UUID) -> list[Destroyed]:
        """Destroys the key of a hold."""
        return await self._destroy(
            "DELETE FROM keystore.key WHERE kind = 'hold' AND subject = %s RETURNING id, kind, class, day, epoch",
            f"hold:{hold.hex}",
            hold,
        )

    async def destroy_version(self, key_id: bytes) -> list[Destroyed]:
        """Destroys one superseded version; the newest of a slot is never destroyed this way."""
        return await self._destroy(
            "DELETE FROM keystore.key WHERE id = %s AND superseded_at IS NOT NULL"
            " RETURNING id, kind, class, day, epoch",
            "",
            key_id,
        )

    async def supersede(self, slot: Slot) -> Key:
        """Makes a new version of the slot's key; the older ones go on opening what they sealed.

        Raises NotFound ``key_destroyed`` when there is none to follow.
        """
        async with self._pool.work() as work:
            await work.run("SET LOCAL synchronous_commit = on")
            await work.run(_CHANGE)
            row = await work.row(*_of(slot))
            if row is None:
                raise _destroyed()
            key_id, version = row[0], row[3]
            fresh = await self._insert(work, slot, version + 1)
            await work.run("UPDATE keystore.key SET superseded_at = ruxa.now() WHERE id = %s", key_id)
            await work.run("INSERT INTO keystore.change (key_id, what) VALUES (%s, 'superseded')", key_id)
            await work.run("SELECT pg_notify('key_destroyed', %s)", slot.name)
        return fresh

    async def of_subject(self, subject: UUID) -> list[Version]:
        """Every key of a subject, of whatever kind and class, older versions too; oldest first."""
        return await self._listed(_VERSION + "WHERE subject = %s ORDER BY created_at, id", subject)

    async def ended(self, key_ids: Sequence[bytes]) -> list[Destroyed]:
        """What was destroyed of these keys, with both dates of each."""
        async with self._pool.work() as work:
            rows = await work.rows(
                "SELECT d.key_id, d.class, d.destroyed_at, e.created_at, d.number, d.kind, d.day"
                " FROM keystore.destruction d JOIN keystore.epoch e ON e.id = d.epoch"
                " WHERE d.key_id = ANY (%s) ORDER BY d.number",
                list(key_ids),
            )
        lasts = timedelta(days=EPOCH_DAYS)
        return [Destroyed(row[0], row[1], row[2], row[3] + lasts, row[4], row[5], row[6]) for row in rows]

    async def prepare_root(self, key_class: str) -> int:
        """The next version of a root key, to be read and not yet written by; one that waits already is the next.

        The number of the change that every process must have heard before ``switch_root``.
        """
        slot = Slot("root", key_class)
        async with self._pool.work() as work:
            await work.run("SET LOCAL synchronous_commit = on")
            await work.run(_CHANGE)
            living = [row for row in await work.rows(*_of(slot)) if row[4] is None]
            if len(living) == 1:
                await self._insert(work, slot, living[0][3] + 1)
            return await self._tell_roots(work, slot, living[-1][0])

    async def switch_root(self, key_class: str) -> int:
        """From now on the newest version writes; the older ones are read on. The number of the change."""
        slot = Slot("root", key_class)
        async with self._pool.work() as work:
            await work.run("SET LOCAL synchronous_commit = on")
            await work.run(_CHANGE)
            living = [row for row in await work.rows(*_of(slot)) if row[4] is None]
            for row in living[1:]:
                await work.run("UPDATE keystore.key SET superseded_at = ruxa.now() WHERE id = %s", row[0])
            return await self._tell_roots(work, slot, living[-1][0])

    async def root_age(self, key_class: str) -> timedelta:
        """How old the oldest version of a root key is that is not superseded."""
        async with self._pool.work() as work:
            return await work.value(
                "SELECT ruxa.now() - min(created_at) FROM keystore.key WHERE kind = 'root' AND class = %s"
                " AND superseded_at IS NULL",
                key_class,
            )

    async def _tell_roots(self, work: Work, slot: Slot, key_id: bytes) -> int:
        number: int = await work.value(
            "INSERT INTO keystore.change (key_id, what) VALUES (%s, 'superseded') RETURNING number", key_id
        )
        await work.run("SELECT pg_notify('key_destroyed', %s)", slot.name)
        return number

    async def known(self) -> Known:
        """Every living key, for the check that looks for them elsewhere. Blocks nothing; the caller forgets it."""
        secrets: set[bytes] = set()
        wrapped: dict[bytes, list[tuple[bytes, bytes]]] = {}
        after = b""
        while True:
            async with self._pool.work() as work:
                rows = await work.rows(
                    "SELECT id, kind, class, subject, day, epoch, wrapped FROM keystore.key WHERE id > %s"
                    " ORDER BY id LIMIT %s",
                    after,
                    _BATCH,
                )
                for key_id, kind, key_class, subject, day, epoch, envelope in rows:
                    epoch_key = await self._epoch_key(work, epoch)
                    if epoch_key is None:
                        continue  # it has just moved under another epoch
                    place = _bound_to(key_id, kind, key_class, subject, day, epoch)
                    secrets |= {epoch_key, crypto.unseal(epoch_key, envelope, place)}
                    if len(some := wrapped.setdefault(epoch.bytes[-8:], [])) < 3:
                        some.append((envelope, place))
            if not rows:
                return Known(secrets=frozenset(secrets), wrapped=wrapped)
            after = rows[-1][0]

    async def survey(self) -> Survey:
        """What there is, without any secret."""
        async with self._pool.work() as work:
            keys = await work.rows(
                "SELECT kind, class, count(DISTINCT (subject, day)), count(superseded_at), min(created_at), min(day),"
                " max(day) FROM keystore.key GROUP BY kind, class ORDER BY kind, class"
            )
            epochs = await work.rows(
                "SELECT id, state, provider, created_at FROM keystore.epoch WHERE state <> 'destroyed'"
                " ORDER BY created_at"
            )
            holders = await work.rows(
                "SELECT name, since, alive_until > pg_catalog.clock_timestamp(),"
                " acknowledged >= (SELECT coalesce(max(number), 0) FROM keystore.change)"
                " FROM keystore.holder ORDER BY since"
            )
            now = await work.value("SELECT ruxa.now()")
        return Survey(
            now=now,
            keys=tuple(Kept(*row) for row in keys),
            epochs=tuple(Living(*row) for row in epochs),
            holders=tuple(Holding(*row) for row in holders),
        )

    async def superseded(self, kind: KIND) -> list[Version]:
        """The older versions that are still there, longest superseded first."""
        return await self._listed(
            _VERSION + "WHERE kind = %s AND superseded_at IS NOT NULL ORDER BY superseded_at, id", kind
        )

    async def subjects_with(self, key_class: str) -> list[UUID]:
        """Every subject that has a key of the class."""
        async with self._pool.work() as work:
            rows = await work.rows(
                "SELECT subject FROM keystore.key WHERE kind = 'subject' AND class = %s AND superseded_at IS NULL"
                " ORDER BY subject",
                key_class,
            )
        return [row[0] for row in rows]

    async def sealed_rows(self, column: str, kids: Sequence[bytes], after: tuple[int, str]) -> list[SealedRow]:
        """The next values of a column that these keys sealed, in the order of where they lie."""
        async with self._pool.work() as work:
            await work.run("SET LOCAL statement_timeout = 0")
            rows = await work.rows(
                "SELECT part, spot::text, ids, days, sealed FROM keystore.sealed_rows(%s, %s, %s, %s::tid, %s)",
                column,
                list(kids),
                *after,
                _BATCH,
            )
        return [SealedRow(*row) for row in rows]

    async def blind_rows(self, column: str, made_of: str, after: UUID) -> list[tuple[UUID, bytes, bytes]]:
        """(row, blind index, sealed value) of the next rows by id."""
        async with self._pool.work() as work:
            rows = await work.rows(
                "SELECT row_id, blind, sealed FROM keystore.blind_rows(%s, %s, %s, %s)", column, made_of, after, _BATCH
            )
        return [(row[0], row[1], row[2]) for row in rows]

    async def reindex(self, column: str, row: UUID, old: bytes, new: bytes) -> bool:
        """Puts a newer blind index in the place of an old one that is still there. Raises Conflict when it is taken."""
        async with self._pool.work() as work:
            await work.run("SET LOCAL synchronous_commit = on")
            return await work.value("SELECT keystore.reindex(%s, %s, %s, %s)", column, row, old, new)

    async def reseal(self, column: str, moved: Sequence[tuple[SealedRow, bytes]]) -> int:
        """Puts new envelopes in the place of old ones that are still there; how many were.

        Raises Conflict when the table refuses.
        """
        count = 0
        async with self._pool.work() as work:
            # The old version's key is destroyed after this.
            await work.run("SET LOCAL synchronous_commit = on")
            for row, envelope in moved:
                count += await work.value(
                    "SELECT keystore.reseal(%s, %s, %s::tid, %s, %s)::int",
                    column,
                    row.part,
                    row.spot,
                    row.sealed,
                    envelope,
                )
        return count

    # Signing keys

    async def signing(self, use: str) -> tuple[PublicKey, Key]:
        """The key that signs now for a use; made when there is none."""
        async with self._pool.work() as work:
            found = await self._signing(work, use)
            if found is None:
                await work.run(_CHANGE)
                if await self._signing(work, use) is None:
                    await self._add_signing(work, use, timedelta(), timedelta())
                found = await self._signing(work, use)
        if found is None:
            raise _destroyed()
        return found

    async def follow_signing(self, use: str, ahead: timedelta, overlap: timedelta) -> PublicKey:
        """The next signing key of a use: published now, it signs after ``ahead``; the one before counts ``overlap``
        longer. One that is waiting already is the next.
        """
        async with self._pool.work() as work:
            await work.run("SET LOCAL synchronous_commit = on")
            await work.run(_CHANGE)
            waiting = await work.row(
                "SELECT id, use, public, valid_from, valid_until FROM keystore.public_key p"
                " WHERE use = %s AND valid_from > ruxa.now() ORDER BY valid_from LIMIT 1",
                use,
            )
            return PublicKey(*waiting) if waiting else await self._add_signing(work, use, ahead, overlap)

    async def _signing(self, work: Work, use: str) -> tuple[PublicKey, Key] | None:
        row = await work.row(
            "SELECT p.id, p.use, p.public, p.valid_from, p.valid_until FROM keystore.public_key p"
            " JOIN keystore.key k ON k.id = p.id WHERE p.use = %s AND p.valid_from <= ruxa.now()"
            " AND (p.valid_until IS NULL OR p.valid_until > ruxa.now()) ORDER BY p.valid_from DESC LIMIT 1",
            use,
        )
        key = None if row is None else await self._find(work, Slot("signing", use), row[0])
        return None if row is None or key is None else (PublicKey(*row), key)

    async def _add_signing(self, work: Work, use: str, ahead: timedelta, overlap: timedelta) -> PublicKey:
        last: int = await work.value(
            "SELECT coalesce(max(version), 0) FROM keystore.key WHERE kind = 'signing' AND class = %s", use
        )
        key = await self._insert(work, Slot("signing", use), last + 1)
        row = await work.row(
            "INSERT INTO keystore.public_key (id, use, public, valid_from) VALUES (%s, %s, %s, ruxa.now() + %s)"
            " RETURNING id, use, public, valid_from, valid_until",
            key.id,
            use,
            SigningKey(key.id, use, key.secret).public,
            ahead,
        )
        assert row is not None
        await work.run(
            "UPDATE keystore.public_key SET valid_until = %s WHERE use = %s AND id <> %s AND valid_until IS NULL",
            row[3] + overlap,
            use,
            key.id,
        )
        await work.run("SELECT pg_notify('key_destroyed', %s)", Slot("signing", use).name)
        return PublicKey(*row)

    async def public_keys(self, use: str | None) -> list[PublicKey]:
        """Every public key there ever was, oldest first."""
        async with self._pool.work() as work:
            rows = await work.rows(
                "SELECT id, use, public, valid_from, valid_until FROM keystore.public_key"
                " WHERE %s::text IS NULL OR use = %s ORDER BY valid_from, id",
                use,
                use,
            )
        return [PublicKey(*row) for row in rows]

    async def destroy_ended_signing(self) -> list[Destroyed]:
        """Destroys the signing keys whose time is over; their public halves stay."""
        return await self._destroy(
            "DELETE FROM keystore.key WHERE kind = 'signing' AND id IN (SELECT id FROM keystore.public_key"
            " WHERE valid_until <= ruxa.now())"
            " RETURNING id, kind, class, day, epoch",
            "signing",
        )

    # Epochs

    async def epochs(self) -> list[Epoch]:
        """The epochs that wrap keys now, the current one first. Raises Unavailable ``keys_missing``."""
        async with self._pool.work() as work:
            rows = await work.rows(
                "SELECT id, state, provider, wrapped FROM keystore.epoch WHERE state <> 'destroyed' ORDER BY state"
            )
            found: list[Epoch] = []
            for epoch, state, provider, wrapped in rows:
                key = await self._epoch_key(work, epoch)
                if key is None:
                    raise _keys_missing(epoch)
                found.append(Epoch(epoch, state, provider, wrapped, key))
        return found

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
            wrapped = await self._epochs.create(fresh)
            self._checkpoint("after_epoch_key")
            async with self._pool.work() as work:
                await work.run("SET LOCAL synchronous_commit = on")
                await work.run("UPDATE keystore.epoch SET state = 'retiring' WHERE state = 'current'")
                await work.run(
                    "INSERT INTO keystore.epoch (id, state, provider, wrapped) VALUES (%s, 'current', %s, %s)",
                    fresh,
                    self._epochs.assurance.provider,
                    wrapped,
                )
            self._checkpoint("after_epoch_row")
            more, ended = await self._retire()
            await self._sweep(guard)
        return Rotation(epoch=fresh, keys=moved + more, destroyed=(*destroyed, *ended))

    async def _retire(self) -> tuple[int, list[UUID]]:
        """Moves every key out of the retiring epochs and destroys those; (keys moved, epochs destroyed)."""
        async with self._pool.work() as work:
            rows = await work.rows(
                "SELECT id, wrapped FROM keystore.epoch WHERE state = 'retiring' ORDER BY created_at"
            )
        moved = 0
        ended: list[UUID] = []
        for epoch, wrapped in rows:
            while count := await self._rewrap(epoch):
                moved += count
                self._checkpoint("after_batch")
            self._checkpoint("before_destruction")
            await self._epochs.destroy(epoch, wrapped)
            self._epoch_keys.drop(epoch.hex)
            self._checkpoint("after_destruction")
            async with self._pool.work() as work:
                await work.run(
                    "UPDATE keystore.epoch SET state = 'destroyed', destroyed_at = ruxa.now(), wrapped = NULL"
                    " WHERE id = %s",
                    epoch,
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
            old_key, key = await self._epoch_key(work, old), await self._epoch_key(work, epoch)
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
        for stray in await self._epochs.strays(known):
            await self._epochs.destroy(stray)

    # Inside

    async def _listed(self, statement: LiteralString, *args: object) -> list[Version]:
        async with self._pool.work() as work:
            rows = await work.rows(statement, *args)
        return [Version(row[0], Slot(*row[1:5]), *row[5:]) for row in rows]

    async def _make(self, slot: Slot) -> Key:
        """Inserts a fresh key under the current epoch, unless somebody was first; the key that is there then."""
        async with self._pool.work() as work:
            await self._insert(work, slot, 1)
        return await self.found(slot)

    async def _insert(self, work: Work, slot: Slot, version: int) -> Key:
        # The row lock keeps a rotation from retiring this epoch until the key is in it.
        epoch = await work.value("SELECT id FROM keystore.epoch WHERE state = 'current' FOR SHARE")
        if epoch is None:
            # It was retired while we waited for it; its successor is committed.
            epoch = await work.value("SELECT id FROM keystore.epoch WHERE state = 'current' FOR SHARE")
        epoch_key = None if epoch is None else await self._epoch_key(work, epoch)
        if epoch is None or epoch_key is None:
            raise _keys_missing(epoch)
        key = Key(os.urandom(crypto.KID_BYTES), crypto.fresh_key())
        place = (key.id, slot.kind, slot.key_class, slot.subject, slot.day)
        wrapped = crypto.seal(epoch_key, epoch.bytes[-8:], key.secret, _bound_to(*place, epoch))
        await work.run(
            "INSERT INTO keystore.key (id, kind, class, subject, day, version, epoch, wrapped)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            *place,
            version,
            epoch,
            wrapped,
        )
        return key

    async def _find(self, work: Work, slot: Slot, key_id: bytes | None = None) -> Key | None:
        """The slot's newest key, or that very version of it."""
        epoch: UUID | None = None
        # A rotation may destroy the epoch between reading the row and reading its key: then the row has moved.
        for _ in range(3):
            rows = await work.rows(*_of(slot))
            row = next((row for row in rows if key_id is None or row[0] == key_id), None)
            if row is None:
                return None
            epoch = row[1]
            found = await self._unwrap(work, slot, *row[:3])
            if found is not None:
                return found
        raise _keys_missing(epoch)

    async def _versions(self, work: Work, slot: Slot) -> list[Key]:
        epoch: UUID | None = None
        for _ in range(3):
            rows = await work.rows(*_of(slot))
            found = [await self._unwrap(work, slot, *row[:3]) for row in rows]
            if None not in found:
                return [key for key in found if key is not None]
            epoch = rows[0][1]
        raise _keys_missing(epoch)

    async def _unwrap(self, work: Work, slot: Slot, key_id: bytes, epoch: UUID, wrapped: bytes) -> Key | None:
        """The key of a row; None when its epoch's key is gone."""
        epoch_key = await self._epoch_key(work, epoch)
        if epoch_key is None:
            return None
        place = _bound_to(key_id, slot.kind, slot.key_class, slot.subject, slot.day, epoch)
        return Key(key_id, crypto.unseal(epoch_key, wrapped, place))

    async def _epoch_key(self, work: Work, epoch: UUID) -> bytes | None:
        key = self._epoch_keys.get(epoch.hex)
        if key is None:
            wrapped = await work.value("SELECT wrapped FROM keystore.epoch WHERE id = %s", epoch)
            key = await self._epochs.read(epoch, wrapped)
            if key is not None:
                self._epoch_keys.put(epoch.hex, key)
        return key

    async def _destroy(self, statement: LiteralString, notice: str, *args: object) -> list[Destroyed]:
        async with self._pool.work() as work:
            await work.run("SET LOCAL synchronous_commit = on")
            await work.run(_CHANGE)
            gone = await work.rows(statement, *args)
            found: list[Destroyed] = []
            for key_id, kind, key_class, day, epoch in gone:
                row = await work.row(
                    "WITH told AS (INSERT INTO keystore.change (key_id, what) VALUES (%s, 'destroyed')"
                    " RETURNING number)"
                    " INSERT INTO keystore.destruction (key_id, number, kind, class, day, epoch)"
                    " SELECT %s, number, %s, %s, %s, %s FROM told RETURNING destroyed_at,"
                    " (SELECT created_at FROM keystore.epoch WHERE id = destruction.epoch), number",
                    key_id,
                    key_id,
                    kind,
                    key_class,
                    day,
                    epoch,
                )
                assert row is not None
                ends = row[1] + timedelta(days=EPOCH_DAYS)
                found.append(Destroyed(key_id, key_class, row[0], ends, row[2], kind, day))
            if found:
                await work.run("SELECT pg_notify('key_destroyed', %s)", notice)
        return found


def opened(epoch_key: bytes, epoch: UUID, key_id: bytes, slot: Slot, wrapped: bytes) -> bytes:
    """The secret of a key as it is stored, for who lays back a keystore. Raises Broken ``sealed_damaged``."""
    return crypto.unseal(
        epoch_key, wrapped, _bound_to(key_id, slot.kind, slot.key_class, slot.subject, slot.day, epoch)
    )


def _of(slot: Slot) -> tuple[LiteralString, *tuple[object, ...]]:
    """The statement that lists a slot's versions, newest first, and its arguments."""
    named = [part for part in (slot.subject, slot.day) if part is not None]
    return _VERSIONS[slot.subject is not None, slot.day is not None], slot.kind, slot.key_class, *named


def _bound_to(key_id: bytes, kind: str, key_class: str, subject: UUID | None, day: date | None, epoch: UUID) -> bytes:
    """A wrapped key opens only as the key it is, under the epoch it is in."""
    owner = "" if subject is None else subject.hex
    return f"ruxa1|key|{key_id.hex()}|{kind}|{key_class}|{owner}|{day or ''}|{epoch.hex}".encode()


def _destroyed() -> NotFound:
    return NotFound("The key of this data was destroyed.", code="key_destroyed")


def _keys_missing(epoch: UUID | None) -> Unavailable:
    return Unavailable(
        "The keys directory lacks the key of the current epoch: is --keys the directory this database was made with?",
        code="keys_missing",
        detail=f"epoch={epoch.hex if epoch else 'none'}",
    )
