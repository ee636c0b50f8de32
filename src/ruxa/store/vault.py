"""The vault: seals and opens the columns the data map declares as sealed, and makes keyed hashes (F.2, D28).

    field key = HKDF-SHA256(subject key, salt = day key or none, info = "ruxa1|class|table|column")

Which keys seal a column is what its declaration says (``seal``, ``keep``). Destroying either key makes the bytes
unreadable wherever they were copied. Keys are held in memory for at most 60 s and dropped when another process says
that they were destroyed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from hmac import digest
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

import msgspec

from ruxa.kernel import crypto, datamap
from ruxa.kernel.bounds import CONTENT_DAYS, USAGE_DAYS
from ruxa.kernel.clock import Clock
from ruxa.kernel.custody import Assurance, EpochKeys
from ruxa.kernel.datamap import Declaration
from ruxa.kernel.errors import Broken, Conflict, Forbidden, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.signing import USES, PublicKey, SigningKey
from ruxa.store import elsewhere, holders, inventory
from ruxa.store.address import Address
from ruxa.store.elsewhere import Elsewhere
from ruxa.store.epochs import EpochDirectory
from ruxa.store.holders import Holder
from ruxa.store.keystore import Destroyed, Epoch, Key, Keystore, Rotation, SealedRow, Slot, Survey, Version
from ruxa.store.notify import Notices
from ruxa.store.pool import Pool
from ruxa.store.work import Work

HELD_S: Final = 60.0
# Rotating a day early keeps an epoch under its 7 days even when a run is missed.
ROTATE_AT: Final = timedelta(days=6)
SUBJECT_CLASSES: Final = frozenset(datamap.KEY_CLASSES.values()) - {"billing"}
DAY_CLASSES: Final = frozenset({"usage", "content", "security", "audit", "backup"})
PSEUDONYM_DAYS: Final = 30
INDEXES_FOR: Final = timedelta(days=365)
# A signing key signs for a year; the next is published a month before it begins.
SIGNS_FOR: Final = timedelta(days=365)
SIGNS_AFTER: Final = timedelta(days=30)
OVERLAP: Final = timedelta(days=1)
# An older version of a subject's key outlives every export file (7 days) that may be sealed under it.
GRACE: Final = timedelta(days=8)
# What these seal is never sealed anew: objects and partitions die whole, by their last day, in service.
DIES_BY_ITSELF: Final[Mapping[str, timedelta]] = {
    "content": timedelta(days=CONTENT_DAYS + 2),
    "usage": timedelta(days=USAGE_DAYS + 2),
}
# Blind indexes whose values lie sealed beside them: under a root key of their own, which is replaced every year.
RECOMPUTED: Final = frozenset({"member.email"})
# No transaction lasts so long: what was computed under a key that was superseded then is written by now.
WRITES_WITHIN: Final = timedelta(hours=1)
ROOT_CLASSES: Final = ("index", "pepper")

_LABEL = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
_QUARTER = re.compile(r"[0-9]{4}q[1-4]")
# The policy epoch of an envelope's place; it changes with the meaning of the other parts.
_POLICY: Final = "1"


class Resealed(msgspec.Struct, frozen=True, kw_only=True):
    """What a pass did: values sealed anew, values it could not (the table refuses, or they moved), older versions that
    wait, and those destroyed.
    """

    moved: int
    left: int
    waiting: int
    destroyed: tuple[Destroyed, ...]


class Reindexed(msgspec.Struct, frozen=True, kw_only=True):
    """What a pass did: indexes made anew, those it could not, older versions that wait, and those destroyed."""

    moved: int
    left: int
    waiting: int
    destroyed: tuple[Destroyed, ...]


class Vault:
    """Sealed columns, blind indexes and peppers of one instance. Belongs to one event loop; see ``unlock``."""

    def __init__(
        self,
        pool: Pool,
        keystore: Keystore,
        notices: Notices,
        epochs: EpochKeys,
        name: str,
        held_s: float,
        checkpoint: Callable[[str], None],
    ) -> None:
        self._checkpoint = checkpoint
        self._epochs = epochs
        self._pool = pool
        self._keystore = keystore
        self._notices = notices
        self._roots: dict[str, list[Key]] = {}
        self._labels: dict[str, list[bytes]] = {}
        self._columns: dict[str, Declaration] = {}
        # Counts what was forgotten: a key fetched while something was is not kept.
        self._generation = 0
        self._keys: crypto.Ring[Key] = crypto.Ring(ttl_s=held_s, size=20_000)
        self._fields: crypto.Ring[bytes] = crypto.Ring(ttl_s=held_s, size=50_000)
        self._signing: crypto.Ring[SigningKey] = crypto.Ring(ttl_s=held_s, size=100)
        self._holder = Holder(pool, name, held_s, self._drop)
        notices.listen("key_destroyed", self._hear, self._missed)

    @classmethod
    async def unlock(
        cls,
        address: Address,
        keys: Path | EpochKeys,
        *,
        clock: Clock,
        name: str = "process",
        held_s: float = HELD_S,
        checkpoint: Callable[[str], None] = lambda _: None,
    ) -> Vault:
        """Opens the keystore of ``address`` with the keeper of its epoch keys; makes its first keys when empty.

        keys: the instance's keys directory, or another provider; name: who we are among those that hold keys;
        held_s: how long a key is held at most. Raises Unavailable: ``database_away``, ``keys_missing`` (another
        directory), ``keys_exposed`` (wrong mode).
        """
        url = address.url("ruxa_keystore")
        epochs = EpochDirectory(keys) if isinstance(keys, Path) else keys
        pool = await Pool.open(url, login="ruxa_keystore", min_size=1, max_size=4, clock=clock)
        notices = Notices(url)
        keystore = Keystore(pool, epochs, checkpoint=checkpoint)
        vault = cls(pool, keystore, notices, epochs, name, held_s, checkpoint)
        try:
            await vault._holder.open()
            await notices.open()
            await vault._read_roots()
            await vault._read_columns()
        except BaseException:
            await vault.close()
            raise
        return vault

    async def close(self) -> None:
        """Forgets every stored key but the roots, which the sync functions go on using, and disconnects."""
        self._forget_all()
        await self._notices.close()
        await self._holder.close()
        await self._pool.close()
        await self._epochs.close()

    @property
    def assurance(self) -> Assurance:
        """What the destruction of an epoch's key is worth here."""
        return self._epochs.assurance

    @property
    def rotates_at(self) -> timedelta:
        """The age at which an epoch ends: early enough for its key to be gone within 7 days."""
        return ROTATE_AT - timedelta(hours=self.assurance.waits_h)

    # Sealed columns

    async def create_subject(self, subject: UUID, classes: Sequence[str] = ("account",)) -> None:
        """Makes the subject's keys of these classes; those that exist are kept."""
        for key_class in classes:
            await self._key(_subject(subject, key_class), make=True)

    async def preload(self, subjects: Sequence[UUID], key_class: str = "account") -> None:
        """Fetches the keys of a page's subjects in one round trip, so that opening its rows needs none."""
        _known(key_class, SUBJECT_CLASSES)
        missing = [one for one in subjects if self._keys.get(f"subject:{one.hex}:{key_class}") is None]
        if missing:
            await self._holder.fresh()
            generation = self._generation
            found = await self._keystore.subjects(missing, key_class)
            if generation == self._generation:
                for subject, key in found.items():
                    self._keys.put(f"subject:{subject.hex}:{key_class}", key)

    async def seal(
        self, column: str, subject: UUID, row: UUID, value: str, *, day: date | None = None, year: int | None = None
    ) -> bytes:
        """The envelope of a value for ``schema.table.column`` of that row; ``day`` where the column is day-sealed,
        ``year`` (fiscal) where it is kept with the transactions: that key is made when it is not there.

        Raises NotFound ``key_destroyed`` when the subject (or the day) has no key.
        """
        return await self.seal_bytes(column, subject, row, value.encode(), day=day, year=year)

    async def seal_bytes(
        self, column: str, subject: UUID, row: UUID, value: bytes, *, day: date | None = None, year: int | None = None
    ) -> bytes:
        """As ``seal``, for bytes."""
        declared = await self._declaration(column)
        key, field_key = await self._field_key(column, declared, subject, day, year)
        return crypto.seal(field_key, key.id, value, _place(column, row, subject, day))

    async def chunk_sealer(
        self, column: str, subject: UUID, row: UUID, *, day: date | None = None
    ) -> crypto.ChunkSealer:
        """What seals a long value that lies outside the table, bound to the place that names it, as ``seal`` does."""
        declared = await self._declaration(column)
        key, field_key = await self._field_key(column, declared, subject, day, None)
        return crypto.ChunkSealer(field_key, key.id, _place(column, row, subject, day))

    async def open(
        self,
        column: str,
        subject: UUID,
        row: UUID,
        sealed: bytes,
        *,
        purpose: str,
        day: date | None = None,
        year: int | None = None,
    ) -> Sealed[str]:
        """The value of an envelope, for a purpose the column declares.

        Raises Forbidden ``purpose_not_declared``, NotFound ``key_destroyed``, Broken ``sealed_damaged``.
        """
        value, purposes = await self._open(column, subject, row, sealed, purpose, day, year)
        return Sealed(value.decode(), column, purposes)

    async def open_bytes(
        self,
        column: str,
        subject: UUID,
        row: UUID,
        sealed: bytes,
        *,
        purpose: str,
        day: date | None = None,
        year: int | None = None,
    ) -> Sealed[bytes]:
        """As ``open``, for bytes."""
        value, purposes = await self._open(column, subject, row, sealed, purpose, day, year)
        return Sealed(value, column, purposes)

    async def chunk_opener(
        self, column: str, subject: UUID, row: UUID, head: bytes, *, purpose: str, day: date | None = None
    ) -> crypto.ChunkOpener:
        """What opens a long value, from its first ``crypto.CHUNKS_HEAD_BYTES`` bytes, which are fed to it again.

        Raises as ``open``.
        """
        kid = crypto.chunks_kid(head)
        field_key, place, _ = await self._opening(column, subject, row, kid, purpose, day, None)
        return crypto.ChunkOpener(field_key, place)

    async def _open(
        self, column: str, subject: UUID, row: UUID, sealed: bytes, purpose: str, day: date | None, year: int | None
    ) -> tuple[bytes, tuple[str, ...]]:
        kid = crypto.kid(sealed)
        field_key, place, purposes = await self._opening(column, subject, row, kid, purpose, day, year)
        return crypto.unseal(field_key, sealed, place), purposes

    async def _opening(
        self, column: str, subject: UUID, row: UUID, kid: bytes, purpose: str, day: date | None, year: int | None
    ) -> tuple[bytes, bytes, tuple[str, ...]]:
        """The field key, the place and the declared purposes of what key ``kid`` sealed."""
        declared = await self._declaration(column)
        if purpose not in declared.purposes:
            raise Forbidden(
                "This data is not kept for that purpose.",
                code="purpose_not_declared",
                detail=f"{column} purpose={purpose}",
            )
        _, field_key = await self._field_key(column, declared, subject, day, year, kid)
        return field_key, _place(column, row, subject, day), declared.purposes

    # Keyed hashes: sync, from the root keys in memory

    def index(self, label: str, value: str) -> bytes:
        """The blind index of a normalised value: equal values give equal bytes, one label an index."""
        return digest((self._labels.get("i " + label) or self._label_keys("i ", label))[0], value.encode(), "sha256")

    def keyed_hash(self, label: str, value: bytes) -> bytes:
        """The peppered hash of a secret (``api-key``, ``session``, ``link``), for lookup at rest."""
        return digest((self._labels.get(label) or self._label_keys("", label))[0], value, "sha256")

    def indexes(self, label: str, value: str) -> list[bytes]:
        """``index`` under every living version of its key, newest first: what a lookup must try."""
        keys = self._labels.get("i " + label) or self._label_keys("i ", label)
        return [digest(key, value.encode(), "sha256") for key in keys]

    def keyed_hashes(self, label: str, value: bytes) -> list[bytes]:
        """``keyed_hash`` under every living version of the pepper, newest first: what a lookup must try."""
        return [digest(key, value, "sha256") for key in self._labels.get(label) or self._label_keys("", label)]

    # Keys of days, years, holds and quarters

    async def day_key(self, key_class: str, day: date) -> bytes:
        """The 32 bytes of a day's key (``usage``, ``content``, ``security``, ``audit``, ``backup``), made when the day
        is not over.

        Raises NotFound ``key_destroyed``.
        """
        return (await self._day(key_class, day)).secret

    async def create_day_keys(self, key_class: str, days: int = 7) -> None:
        """Makes the keys of today and ``days`` days ahead, so that a full keystore outage stops nothing.

        A day whose key was destroyed keeps having none.
        """
        today = await self._keystore.today()
        for ahead in range(days + 1):
            with suppress(NotFound):
                await self._day(key_class, today + timedelta(days=ahead))

    async def billing_key(self, subject: UUID, year: int) -> bytes:
        """The 32 bytes of a subject's key for the billing records of a fiscal year, made when there is none."""
        return (await self._key(_billing(subject, year), make=True)).secret

    async def hold_key(self, hold: UUID) -> bytes:
        """The 32 bytes of the key of a hold, made when there is none."""
        return (await self._key(Slot("hold", "hold", hold), make=True)).secret

    async def pseudonym_key(self, provider: str, quarter: str) -> bytes:
        """The 32 bytes behind the pseudonyms of a provider in a quarter (``2026q4``); random, made while it is not
        over, destroyed 30 days after it (D33).

        Raises NotFound ``key_destroyed``.
        """
        first = _first_day(quarter)
        slot = Slot("pseudonym", provider, None, first)
        ends = _next_quarter(first) - timedelta(days=1)
        return (await self._fetch(slot.name, lambda: self._keystore.dated(slot, ends))).secret

    # Backups

    async def backup_key(self) -> bytes:
        """The 32 bytes of the key that opens backups, which the recovery kit holds too; made when there is none."""
        return (await self._key(Slot("root", "backup"), make=True)).secret

    async def epochs(self) -> list[Epoch]:
        """The epochs that wrap keys now with their keys, the current one first: for the export of the keystore."""
        return await self._keystore.epochs()

    # Signing keys

    async def signing_key(self, use: str) -> SigningKey:
        """The key that signs for a use (``audit``, ``receipt``, ``report``, ``backup``); made when there is none."""
        held = self._signing.get(f"signing:{_known(use, USES)}")
        if held is None:
            await self._holder.fresh()
            generation = self._generation
            public, key = await self._keystore.signing(use)
            held = SigningKey(public.id, use, key.secret)
            if generation == self._generation:
                self._signing.put(f"signing:{use}", held)
        return held

    async def public_keys(self, use: str | None = None) -> list[PublicKey]:
        """Every public key there ever was, of one use or of all, oldest first."""
        return await self._keystore.public_keys(use)

    # Destruction

    async def destroy_subject(self, subject: UUID, classes: Sequence[str]) -> list[Destroyed]:
        """Destroys the subject's keys of these classes, here and in every process that hears; both dates of each."""
        for key_class in classes:
            _known(key_class, SUBJECT_CLASSES)
        return self._told(await self._keystore.destroy_subject(subject, classes), f"subject:{subject.hex}")

    async def keys_of(self, subject: UUID) -> list[Version]:
        """Every key of a subject, whatever it seals, without its secret."""
        return await self._keystore.of_subject(subject)

    async def ended(self, key_ids: Sequence[bytes]) -> list[Destroyed]:
        """What was destroyed of these keys, with both dates of each."""
        return await self._keystore.ended(key_ids)

    async def days_held(self, kind: Literal["day", "billing", "pseudonym"], key_class: str | None) -> list[date]:
        """The days (or first days of quarters and years) whose keys are there, each once, oldest first."""
        return await self._keystore.days_held(kind, key_class)

    async def destroy_days_before(self, key_class: str, day: date) -> list[Destroyed]:
        """Destroys every day key of the class older than ``day``."""
        destroyed = await self._keystore.destroy_dated("day", _known(key_class, DAY_CLASSES), day)
        return self._told(destroyed, f"day:{key_class}")

    async def destroy_years_before(self, year: int, subject: UUID | None = None) -> list[Destroyed]:
        """Destroys the billing keys of the fiscal years before ``year``, of one subject or of all."""
        return self._told(await self._keystore.destroy_billing(_first_of(year), subject), "billing")

    async def destroy_hold(self, hold: UUID) -> list[Destroyed]:
        """Destroys the key of a hold that has ended."""
        return self._told(await self._keystore.destroy_hold(hold), f"hold:{hold.hex}")

    async def destroy_pseudonyms(self) -> list[Destroyed]:
        """Destroys the pseudonym keys of quarters that ended 30 days ago or more."""
        over = await self._keystore.today() - timedelta(days=PSEUDONYM_DAYS)
        destroyed = await self._keystore.destroy_dated("pseudonym", None, _quarter_of(over))
        return self._told(destroyed, "pseudonym")

    async def acknowledged(self, destroyed: Sequence[Destroyed], timeout_s: float = 2 * HELD_S) -> bool:
        """Whether every process that holds keys has dropped these, or its lease has ended; waits at most ``timeout_s``.

        Only then may anybody certify that they are gone.
        """
        self._holder.hear()
        number = max((one.number for one in destroyed), default=0)
        return await holders.acknowledged(self._pool, number, timeout_s)

    # Rotation

    async def rotate_subjects(self, key_class: str, subjects: Sequence[UUID] | None = None) -> int:
        """New versions of the keys of a class, of these subjects or of all; how many. What the old ones sealed opens
        on, until ``reseal`` has moved it.
        """
        found = await self._keystore.subjects_with(_known(key_class, SUBJECT_CLASSES)) if subjects is None else subjects
        for subject in found:
            slot = _subject(subject, key_class)
            await self._keystore.supersede(slot)
            self._forget(slot.name)
        return len(found)

    async def rotate_root(self, key_class: str, timeout_s: float = 2 * HELD_S) -> bool:
        """A new version of a root key (``index``, ``pepper``): every process learns to read by it, then it writes.

        False when not all have heard within ``timeout_s``: nothing is written by it yet, and a repeat goes on. What the
        older versions made is found on (``indexes``, ``keyed_hashes``) until they are destroyed (``end_root``).
        """
        assert key_class in ROOT_CLASSES
        number = await self._keystore.prepare_root(key_class)
        await self._read_roots()
        if not await holders.acknowledged(self._pool, number, timeout_s):
            return False
        await self._keystore.switch_root(key_class)
        await self._read_roots()
        return True

    async def rotate_index_if_due(self) -> bool:
        """``rotate_root`` of the blind indexes when their key is a year old and no older one is being replaced."""
        if await self.old_roots("index") or await self._keystore.root_age("index") < INDEXES_FOR:
            return False
        return await self.rotate_root("index")

    async def old_roots(self, key_class: str) -> list[Version]:
        """The superseded versions of a root key that are still there."""
        return [one for one in await self._keystore.superseded("root") if one.slot.key_class == key_class]

    async def reindex(
        self, column: str, made_of: str, label: str, normal: Callable[[str], str], grace: timedelta = WRITES_WITHIN
    ) -> Reindexed:
        """Makes the blind indexes of a table's subjects anew, where an older version of the key made them, and destroys
        an older version once a whole pass, begun ``grace`` after it was superseded, has met nothing of it.

        column, made_of: of one table whose ``id`` is the row and the subject; normal: the form that is indexed.
        """
        assert label in RECOMPUTED
        old, begun = await self.old_roots("index"), await self._keystore.now()
        moved = left = 0
        after = UUID(int=0)
        while old and (rows := await self._keystore.blind_rows(column, made_of, after)):
            after = rows[-1][0]
            await self.preload([row for row, _, _ in rows])
            for row, blind, sealed in rows:
                try:
                    value, _ = await self._open(
                        made_of, row, row, sealed, self._columns[made_of].purposes[0], None, None
                    )
                    index = self.index(label, normal(value.decode()))
                    if index != blind:
                        done = await self._keystore.reindex(column, row, blind, index)
                        moved, left = moved + done, left + (not done)
                except NotFound:
                    # Its key was destroyed, and the row goes with it.
                    continue
                except (Broken, Conflict):
                    left += 1
            self._checkpoint("after_reindex")
        destroyed: list[Destroyed] = []
        for version in old:
            assert version.superseded_at is not None
            if not moved and not left and begun - version.superseded_at >= grace:
                self._checkpoint("before_root_destroyed")
                destroyed += await self.end_root(version.id)
        return Reindexed(moved=moved, left=left, waiting=len(old) - len(destroyed), destroyed=tuple(destroyed))

    async def end_root(self, key_id: bytes) -> list[Destroyed]:
        """Destroys a superseded version of a root key: what it made is not found any more."""
        destroyed = await self._keystore.destroy_version(key_id)
        await self._read_roots()
        return destroyed

    async def rotate_signing(self, use: str, ahead: timedelta = SIGNS_AFTER) -> PublicKey:
        """The next signing key of a use: published at once, it signs after ``ahead``, and the one before counts a day
        longer, until every process has changed over.
        """
        await self.signing_key(use)
        return await self._keystore.follow_signing(use, ahead, OVERLAP)

    async def rotate_signing_if_due(self) -> list[PublicKey]:
        """``rotate_signing`` of each use whose newest key is eleven months old; ended private keys are destroyed."""
        newest = {key.use: key for key in await self.public_keys()}
        now = await self._keystore.now()
        due = [key.use for key in newest.values() if now - key.valid_from >= SIGNS_FOR - SIGNS_AFTER]
        made = [await self.rotate_signing(use) for use in due]
        self._told(await self._keystore.destroy_ended_signing(), "signing")
        return made

    async def keys_elsewhere(self, owner: Work) -> Elsewhere:
        """Tries every bytea column outside the keystore as a possible key; ``owner`` can read them all."""
        return await elsewhere.look(owner, await self._keystore.known())

    async def survey(self) -> Survey:
        """What there is in the keystore, without any secret."""
        return await self._keystore.survey()

    async def reseal(self, grace: timedelta = GRACE) -> Resealed:
        """Seals anew what older versions of subjects' keys have sealed, and destroys a version once nothing is left.

        A version goes ``grace`` after it was superseded at the earliest, and only when a whole pass has met nothing of
        it; of classes whose data dies by itself within weeks, when the last of it is dead. May be killed at any point.
        """
        old = {version.id: version for version in await self._keystore.superseded("subject")}
        met: set[bytes] = set()
        moved = left = 0
        for name, declared in sorted(self._columns.items()) if old else ():
            kids = [kid for kid, version in old.items() if version.slot.key_class == declared.key_class]
            if not kids or declared.key_class in DIES_BY_ITSELF:
                continue
            after = (0, "(0,0)")
            while rows := await self._keystore.sealed_rows(name, kids, after):
                after = (rows[-1].part, rows[-1].spot)
                met.update(crypto.kid(row.sealed) for row in rows)
                fresh = [
                    (row, envelope) for row in rows if (envelope := await self._resealed(name, declared, old, row))
                ]
                count = 0
                with suppress(Conflict):
                    count = await self._keystore.reseal(name, fresh)
                self._checkpoint("after_reseal")
                moved, left = moved + count, left + len(rows) - count
        destroyed: list[Destroyed] = []
        now = await self._keystore.now()
        for kid, version in old.items():
            assert version.superseded_at is not None
            wait = DIES_BY_ITSELF.get(version.slot.key_class, grace)
            if kid not in met and now - version.superseded_at >= wait:
                self._checkpoint("before_version_destroyed")
                destroyed += self._told(await self._keystore.destroy_version(kid), version.slot.name)
        return Resealed(moved=moved, left=left, waiting=len(old) - len(destroyed), destroyed=tuple(destroyed))

    async def _resealed(
        self, column: str, declared: Declaration, old: Mapping[bytes, Version], row: SealedRow
    ) -> bytes | None:
        """The value of a row under the newest version of its key; None when it opens with none of the row's ids."""
        version = old[crypto.kid(row.sealed)]
        subject = version.slot.subject
        assert subject is not None
        days = [None] if declared.seal == "subject" else sorted({day for day in row.days if day is not None})
        for day in days:
            try:
                _, before = await self._field_key(column, declared, subject, day, None, version.id)
                key, now = await self._field_key(column, declared, subject, day, None)
            except NotFound:
                continue
            for one in row.ids:
                place = _place(column, one, subject, day) if one is not None else b""
                with suppress(Broken):
                    return crypto.seal(now, key.id, crypto.unseal(before, row.sealed, place), place)
        return None

    async def rotate_epoch(self) -> Rotation:
        """Begins a new epoch and destroys the old one's key: what was deleted before is then gone in every copy."""
        return await self._keystore.rotate()

    async def rotate_epoch_if_due(self) -> Rotation | None:
        """``rotate_epoch`` when the epoch is 6 days old, or as much less as its key's keeper waits."""
        return await self.rotate_epoch() if await self._keystore.epoch_age() >= self.rotates_at else None

    async def epoch_age(self) -> timedelta:
        """How old the current epoch is; over 7 days a promise is broken."""
        return await self._keystore.epoch_age()

    # Inside

    async def _declaration(self, column: str) -> Declaration:
        declared = self._columns.get(column)
        if declared is None:
            await self._read_columns()
            declared = self._columns.get(column)
        if declared is None:
            raise Broken("A column is not declared as sealed.", code="not_sealed", detail=column)
        return declared

    async def _read_columns(self) -> None:
        async with self._pool.work() as work:
            found = await inventory.sealable(work)
        self._columns = {
            column.name: column.declaration
            for column in found
            if column.declaration is not None and column.declaration.seal in ("subject", "day", "dual")
        }

    async def _read_roots(self) -> None:
        self._roots = {key_class: await self._keystore.roots(key_class) for key_class in ROOT_CLASSES}
        self._labels.clear()

    async def _field_key(
        self,
        column: str,
        declared: Declaration,
        subject: UUID,
        day: date | None,
        year: int | None,
        kid: bytes | None = None,
    ) -> tuple[Key, bytes]:
        """The key that names the envelope, and the key that seals it; ``kid`` of an envelope that is to be opened."""
        assert (day is not None) == (declared.seal in ("day", "dual")), f"{column} is sealed by {declared.seal}"
        assert (year is not None) == (declared.key_class == "billing"), f"{column} is kept as {declared.keep}"
        day_key = None if day is None else await self._day(declared.keep, day)
        if declared.seal == "day":
            assert day_key is not None
            key, salt = day_key, None
            if kid is not None and kid != key.id:
                raise NotFound("The key of this data was destroyed.", code="key_destroyed")
        else:
            assert declared.key_class is not None
            slot = _subject(subject, declared.key_class) if year is None else _billing(subject, year)
            key = await self._key(slot, make=year is not None) if kid is None else await self._version(slot, kid)
            salt = None if day_key is None else day_key.secret
        name = f"{column}:{key.id.hex()}:{day or ''}"
        field_key = self._fields.get(name)
        if field_key is None:
            table, _, leaf = column.rpartition(".")
            field_key = crypto.derive(key.secret, f"ruxa1|{declared.key_class or declared.keep}|{table}|{leaf}", salt)
            self._fields.put(name, field_key)
        return key, field_key

    async def _key(self, slot: Slot, *, make: bool = False) -> Key:
        return await self._fetch(slot.name, lambda: self._keystore.made(slot) if make else self._keystore.found(slot))

    async def _version(self, slot: Slot, kid: bytes) -> Key:
        """The version of the slot's key that an envelope names: nearly always the newest."""
        held = self._keys.get(slot.name)
        if held is not None and held.id == kid:
            return held
        return await self._fetch(f"{slot.name}:{kid.hex()}", lambda: self._keystore.version(slot, kid))

    async def _day(self, key_class: str, day: date) -> Key:
        slot = Slot("day", _known(key_class, DAY_CLASSES), None, day)
        return await self._fetch(slot.name, lambda: self._keystore.dated(slot, day))

    async def _fetch(self, name: str, fetch: Callable[[], Awaitable[Key]]) -> Key:
        """The key held under that name, else fetched and held."""
        key = self._keys.get(name)
        while key is None:
            await self._holder.fresh()
            generation = self._generation
            key = await fetch()
            if generation != self._generation:
                # Something was destroyed meanwhile, maybe this: what is held must have been read after it.
                key = None
            else:
                self._keys.put(name, key)
        return key

    def _label_keys(self, prefix: str, label: str) -> list[bytes]:
        assert _LABEL.fullmatch(label), "labels are names in the code, never data"
        use = "blind-index" if prefix else "pepper"
        key_class = "index" if prefix and label in RECOMPUTED else "pepper"
        keys = [crypto.derive(root.secret, f"ruxa1|{use}|{label}") for root in self._roots[key_class]]
        self._labels[prefix + label] = keys
        return keys

    # Forgetting

    def _hear(self, notice: str) -> None:
        """Another process says what was destroyed or replaced: drop it at once, and acknowledge soon."""
        if notice:
            self._forget(notice)
        self._holder.hear()

    def _missed(self) -> None:
        self._forget_all()
        self._holder.hear()

    async def _drop(self, key_ids: Sequence[bytes]) -> None:
        """Before this process acknowledges: none of these is held any more."""
        if not key_ids:
            self._forget_all()
        else:
            gone = set(key_ids)
            self._generation += 1
            self._keys.drop_if(lambda key: key.id in gone)
            self._signing.drop_if(lambda key: key.id in gone)
            self._fields.clear()
        known = {root.id for roots in self._roots.values() for root in roots}
        if known and (not key_ids or known & set(key_ids)):
            await self._read_roots()

    def _told(self, destroyed: list[Destroyed], name: str) -> list[Destroyed]:
        self._forget(name)
        return destroyed

    def _forget(self, notice: str) -> None:
        self._generation += 1
        self._keys.drop(f"{notice}:")
        self._keys.drop_name(notice)
        self._signing.drop(notice)
        self._fields.clear()

    def _forget_all(self) -> None:
        self._generation += 1
        self._keys.clear()
        self._fields.clear()
        self._signing.clear()


def _known(key_class: str, classes: frozenset[str]) -> str:
    assert key_class in classes, f"unknown key class {key_class}"
    return key_class


def _subject(subject: UUID, key_class: str) -> Slot:
    return Slot("subject", _known(key_class, SUBJECT_CLASSES), subject)


def _billing(subject: UUID, year: int) -> Slot:
    return Slot("billing", "billing", subject, _first_of(year))


def _first_of(year: int) -> date:
    return date(year, 1, 1)


def _first_day(quarter: str) -> date:
    """``2026q4`` -> 1 October 2026."""
    assert _QUARTER.fullmatch(quarter), quarter
    return date(int(quarter[:4]), 3 * int(quarter[5]) - 2, 1)


def _next_quarter(first: date) -> date:
    return date(first.year + first.month // 10, (first.month + 2) % 12 + 1, 1)


def _quarter_of(day: date) -> date:
    """The first day of the quarter a day is in."""
    return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)


def _place(column: str, row: UUID, subject: UUID, day: date | None) -> bytes:
    table, _, leaf = column.rpartition(".")
    return f"{table}|{leaf}|{row.hex}|{subject.hex}|{day or ''}|{_POLICY}".encode()
