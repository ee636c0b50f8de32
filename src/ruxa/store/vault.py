"""The vault: seals and opens the columns the data map declares as sealed, and makes keyed hashes (F.2, D28).

    field key = HKDF-SHA256(subject key, salt = day key or none, info = "ruxa1|class|table|column")

Which keys seal a column is what its declaration says (``seal``, ``keep``). Destroying either key makes the bytes
unreadable wherever they were copied. Keys are held in memory for at most 60 s and dropped when another process says
that they were destroyed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from hmac import digest
from pathlib import Path
from typing import Final
from uuid import UUID

from ruxa.kernel import crypto, datamap
from ruxa.kernel.clock import Clock
from ruxa.kernel.datamap import Declaration
from ruxa.kernel.errors import Broken, Forbidden, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.store import inventory
from ruxa.store.address import Address
from ruxa.store.epochs import EpochDirectory
from ruxa.store.keystore import Destroyed, Key, Keystore, Rotation
from ruxa.store.notify import Notices
from ruxa.store.pool import Pool

HELD_S: Final = 60.0
# Rotating a day early keeps an epoch under its 7 days even when a run is missed.
ROTATE_AT: Final = timedelta(days=6)
SUBJECT_CLASSES: Final = frozenset(datamap.KEY_CLASSES.values())
DAY_CLASSES: Final = frozenset({"usage", "content", "security", "audit"})

_LABEL = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
# The policy epoch of an envelope's place; it changes with the meaning of the other parts.
_POLICY: Final = "1"


class Vault:
    """Sealed columns, blind indexes and peppers of one instance. Belongs to one event loop; see ``unlock``."""

    def __init__(self, pool: Pool, keystore: Keystore, notices: Notices, root: Key) -> None:
        self._pool = pool
        self._keystore = keystore
        self._notices = notices
        self._root = root
        self._labels: dict[str, bytes] = {}
        self._columns: dict[str, Declaration] = {}
        self._keys: crypto.Ring[Key] = crypto.Ring(ttl_s=HELD_S, size=20_000)
        self._fields: crypto.Ring[bytes] = crypto.Ring(ttl_s=HELD_S, size=50_000)
        notices.listen("key_destroyed", self._forget, self._forget_all)

    @classmethod
    async def unlock(
        cls, address: Address, keys: Path, *, clock: Clock, checkpoint: Callable[[str], None] = lambda _: None
    ) -> Vault:
        """Opens the keystore of ``address`` with the instance's keys directory; makes its first keys when empty.

        Raises Unavailable: ``database_away``, ``keys_missing`` (another directory), ``keys_exposed`` (wrong mode).
        """
        url = address.url("ruxa_keystore")
        pool = await Pool.open(url, login="ruxa_keystore", min_size=1, max_size=4, clock=clock)
        notices = Notices(url)
        try:
            keystore = Keystore(pool, EpochDirectory(keys), checkpoint=checkpoint)
            vault = cls(pool, keystore, notices, await keystore.root())
            await notices.open()
            await vault._read_columns()
        except BaseException:
            await notices.close()
            await pool.close()
            raise
        return vault

    async def close(self) -> None:
        """Forgets every stored key but the root, which the sync functions go on using, and disconnects."""
        self._forget_all()
        await self._notices.close()
        await self._pool.close()

    # Sealed columns

    async def create_subject(self, subject: UUID, classes: Sequence[str] = ("account",)) -> None:
        """Makes the subject's keys of these classes; those that exist are kept."""
        for key_class in classes:
            _known(key_class, SUBJECT_CLASSES)
            self._keys.put(
                f"subject:{subject.hex}:{key_class}", await self._keystore.create_subject(subject, key_class)
            )

    async def preload(self, subjects: Sequence[UUID], key_class: str = "account") -> None:
        """Fetches the keys of a page's subjects in one round trip, so that opening its rows needs none."""
        _known(key_class, SUBJECT_CLASSES)
        missing = [one for one in subjects if self._keys.get(f"subject:{one.hex}:{key_class}") is None]
        if missing:
            for subject, key in (await self._keystore.subjects(missing, key_class)).items():
                self._keys.put(f"subject:{subject.hex}:{key_class}", key)

    async def seal(self, column: str, subject: UUID, row: UUID, value: str, *, day: date | None = None) -> bytes:
        """The envelope of a value for ``schema.table.column`` of that row; ``day`` where the column is day-sealed.

        Raises NotFound ``key_destroyed`` when the subject (or the day) has no key.
        """
        return await self.seal_bytes(column, subject, row, value.encode(), day=day)

    async def seal_bytes(
        self, column: str, subject: UUID, row: UUID, value: bytes, *, day: date | None = None
    ) -> bytes:
        """As ``seal``, for bytes."""
        declared = await self._declaration(column)
        key, field_key = await self._field_key(column, declared, subject, day)
        return crypto.seal(field_key, key.id, value, _place(column, row, subject, day))

    async def chunk_sealer(
        self, column: str, subject: UUID, row: UUID, *, day: date | None = None
    ) -> crypto.ChunkSealer:
        """What seals a long value that lies outside the table, bound to the place that names it, as ``seal`` does."""
        declared = await self._declaration(column)
        key, field_key = await self._field_key(column, declared, subject, day)
        return crypto.ChunkSealer(field_key, key.id, _place(column, row, subject, day))

    async def open(
        self, column: str, subject: UUID, row: UUID, sealed: bytes, *, purpose: str, day: date | None = None
    ) -> Sealed[str]:
        """The value of an envelope, for a purpose the column declares.

        Raises Forbidden ``purpose_not_declared``, NotFound ``key_destroyed``, Broken ``sealed_damaged``.
        """
        value, purposes = await self._open(column, subject, row, sealed, purpose, day)
        return Sealed(value.decode(), column, purposes)

    async def open_bytes(
        self, column: str, subject: UUID, row: UUID, sealed: bytes, *, purpose: str, day: date | None = None
    ) -> Sealed[bytes]:
        """As ``open``, for bytes."""
        value, purposes = await self._open(column, subject, row, sealed, purpose, day)
        return Sealed(value, column, purposes)

    async def chunk_opener(
        self, column: str, subject: UUID, row: UUID, head: bytes, *, purpose: str, day: date | None = None
    ) -> crypto.ChunkOpener:
        """What opens a long value, from its first ``crypto.CHUNKS_HEAD_BYTES`` bytes, which are fed to it again.

        Raises as ``open``.
        """
        field_key, place, _ = await self._opening(column, subject, row, crypto.chunks_kid(head), purpose, day)
        return crypto.ChunkOpener(field_key, place)

    async def _open(
        self, column: str, subject: UUID, row: UUID, sealed: bytes, purpose: str, day: date | None
    ) -> tuple[bytes, tuple[str, ...]]:
        field_key, place, purposes = await self._opening(column, subject, row, crypto.kid(sealed), purpose, day)
        return crypto.unseal(field_key, sealed, place), purposes

    async def _opening(
        self, column: str, subject: UUID, row: UUID, kid: bytes, purpose: str, day: date | None
    ) -> tuple[bytes, bytes, tuple[str, ...]]:
        """The field key, the place and the declared purposes of what key ``kid`` sealed."""
        declared = await self._declaration(column)
        if purpose not in declared.purposes:
            raise Forbidden(
                "This data is not kept for that purpose.",
                code="purpose_not_declared",
                detail=f"{column} purpose={purpose}",
            )
        key, field_key = await self._field_key(column, declared, subject, day)
        if kid != key.id:
            raise NotFound("The key of this data was destroyed.", code="key_destroyed")
        return field_key, _place(column, row, subject, day), declared.purposes

    # Keyed hashes: sync, from the root key in memory

    def index(self, label: str, value: str) -> bytes:
        """The blind index of a normalised value: equal values give equal bytes, one label an index."""
        return digest(self._labels.get("i " + label) or self._label_key("i ", label), value.encode(), "sha256")

    def keyed_hash(self, label: str, value: bytes) -> bytes:
        """The peppered hash of a secret (``api-key``, ``session``, ``link``), for lookup at rest."""
        return digest(self._labels.get(label) or self._label_key("", label), value, "sha256")

    # Day keys

    async def day_key(self, key_class: str, day: date) -> bytes:
        """The 32 bytes of a day's key (``usage``, ``content``, ``security``, ``audit``), made when it is not over.

        Raises NotFound ``key_destroyed``.
        """
        return (await self._day(key_class, day)).secret

    async def create_day_keys(self, key_class: str, days: int = 7) -> None:
        """Makes the keys of today and ``days`` days ahead, so that a full keystore outage stops nothing."""
        await self._keystore.create_days(_known(key_class, DAY_CLASSES), days)

    # Destruction

    async def destroy_subject(self, subject: UUID, classes: Sequence[str]) -> list[Destroyed]:
        """Destroys the subject's keys of these classes, here and in every process that hears; both dates of each."""
        for key_class in classes:
            _known(key_class, SUBJECT_CLASSES)
        destroyed = await self._keystore.destroy_subject(subject, classes)
        self._forget(f"subject:{subject.hex}")
        return destroyed

    async def destroy_days_before(self, key_class: str, day: date) -> list[Destroyed]:
        """Destroys every day key of the class older than ``day``."""
        destroyed = await self._keystore.destroy_days_before(_known(key_class, DAY_CLASSES), day)
        self._forget(f"day:{key_class}")
        return destroyed

    async def rotate_epoch(self) -> Rotation:
        """Begins a new epoch and destroys the old one's key: what was deleted before is then gone in every copy."""
        return await self._keystore.rotate()

    async def rotate_epoch_if_due(self) -> Rotation | None:
        """``rotate_epoch`` when the epoch is 6 days old."""
        return await self.rotate_epoch() if await self._keystore.epoch_age() >= ROTATE_AT else None

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
            found = await inventory.read(work)
        self._columns = {
            column.name: column.declaration
            for column in found
            if column.declaration is not None and column.declaration.seal in ("subject", "day", "dual")
        }

    async def _field_key(
        self, column: str, declared: Declaration, subject: UUID, day: date | None
    ) -> tuple[Key, bytes]:
        """The key that names the envelope, and the key that seals it."""
        assert (day is not None) == (declared.seal in ("day", "dual")), f"{column} is sealed by {declared.seal}"
        day_key = None if day is None else await self._day(declared.keep, day)
        if declared.seal == "day":
            assert day_key is not None
            key, salt = day_key, None
        else:
            assert declared.key_class is not None
            key = await self._subject(subject, declared.key_class)
            salt = None if day_key is None else day_key.secret
        name = f"{column}:{key.id.hex()}:{day or ''}"
        field_key = self._fields.get(name)
        if field_key is None:
            table, _, leaf = column.rpartition(".")
            field_key = crypto.derive(key.secret, f"ruxa1|{declared.key_class or declared.keep}|{table}|{leaf}", salt)
            self._fields.put(name, field_key)
        return key, field_key

    async def _subject(self, subject: UUID, key_class: str) -> Key:
        name = f"subject:{subject.hex}:{key_class}"
        key = self._keys.get(name)
        if key is None:
            key = await self._keystore.subject(subject, key_class)
            self._keys.put(name, key)
        return key

    async def _day(self, key_class: str, day: date) -> Key:
        name = f"day:{key_class}:{day}"
        key = self._keys.get(name)
        if key is None:
            key = await self._keystore.day(_known(key_class, DAY_CLASSES), day)
            self._keys.put(name, key)
        return key

    def _label_key(self, prefix: str, label: str) -> bytes:
        assert _LABEL.fullmatch(label), "labels are names in the code, never data"
        use = "blind-index" if prefix else "pepper"
        key = crypto.derive(self._root.secret, f"ruxa1|{use}|{label}")
        self._labels[prefix + label] = key
        return key

    def _forget(self, notice: str) -> None:
        self._keys.drop(f"{notice}:")
        self._fields.clear()

    def _forget_all(self) -> None:
        self._keys.clear()
        self._fields.clear()


def _known(key_class: str, classes: frozenset[str]) -> str:
    assert key_class in classes, f"unknown key class {key_class}"
    return key_class


def _place(column: str, row: UUID, subject: UUID, day: date | None) -> bytes:
    table, _, leaf = column.rpartition(".")
    return f"{table}|{leaf}|{row.hex}|{subject.hex}|{day or ''}|{_POLICY}".encode()
