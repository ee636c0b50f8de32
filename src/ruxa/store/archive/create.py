"""What every kind of backup is made with: where to, sealed to whom, signed by whom, and how far it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import msgspec
import psycopg

import ruxa
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import RuxaError, Unavailable
from ruxa.kernel.signing import SigningKey
from ruxa.store import fault, migrate
from ruxa.store.archive import container, manifest
from ruxa.store.archive.container import BackupKey
from ruxa.store.archive.manifest import Item, ItemKind, Kind, Manifest, Tree
from ruxa.store.archive.target import Target

# Told now and then while a backup is made: what it is at, and the plain bytes so far.
Progress = Callable[[str, int], None]
SPARE_BYTES = 64 << 20


class About(msgspec.Struct, frozen=True, kw_only=True):
    """The instance a backup is of, as ``instance.json`` has it."""

    id: UUID
    machine: str
    mode: Literal["demo", "live"]
    simulated: bool
    created: str


class Pen:
    """One backup in the making: ``put`` its objects, then ``finish``. Killed before that, it never was."""

    def __init__(
        self,
        target: Target,
        key: BackupKey,
        signer: SigningKey,
        about: About,
        clock: Clock,
        *,
        progress: Progress = lambda _, __: None,
        checkpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.target = target
        self.about = about
        self.clock = clock
        self._key = key
        self._signer = signer
        self._progress = progress
        self._checkpoint = checkpoint
        self._items: list[Item] = []
        self._plain = 0
        self._name = ""
        self._kind: Kind = "logical"
        self._also: tuple[str, date, bytes] | None = None

    def of(
        self, url: str, written: Callable[[psycopg.Connection[Any]], Manifest], *, autocommit: bool = True
    ) -> Manifest:
        """What ``written`` makes of the database at ``url``; given up, and the fault told, when it cannot."""
        failure: RuxaError
        try:
            with psycopg.connect(
                url, autocommit=autocommit, connect_timeout=5, application_name="ruxa backup"
            ) as connection:
                return written(connection)
        except psycopg.Error as error:
            failure = fault.of(error)
            self.give_up()
        except (RuxaError, OSError):
            self.give_up()
            raise
        raise failure

    def also(self, key_class: str, day: date, key: bytes) -> None:
        """The second key of every object that names none of its own: of ``key_class`` and ``day``."""
        self._also = (key_class, day, key)

    def begin(self, kind: Kind, at: datetime, needed_bytes: int) -> str:
        """Names the backup. Raises Unavailable ``target_full`` when the target has not the room."""
        free = self.target.free_bytes()
        if free is not None and free < needed_bytes + SPARE_BYTES:
            raise Unavailable(
                f"The backup target {self.target.where} has {free >> 20} MiB free; "
                f"this backup may need {(needed_bytes + SPARE_BYTES) >> 20} MiB.",
                code="target_full",
            )
        self._kind = kind
        self._name = manifest.name_of(kind, at, os.urandom(4).hex())
        return self._name

    def put(
        self,
        name: str,
        kind: ItemKind,
        chunks: Iterable[bytes],
        *,
        also: bytes | None = None,
        table: str | None = None,
        columns: tuple[str, ...] = (),
        rows: Callable[[], int] | None = None,
        day: date | None = None,
        key_class: str | None = None,
        path: str | None = None,
    ) -> Item:
        """Seals and stores one object. also: the second key it needs, of ``key_class`` and ``day``; rows: asked at the
        end."""
        before = self._plain

        def count(size: int) -> None:
            self._plain += size
            self._progress(name, self._plain)

        if also is None and self._also is not None:
            key_class, day, also = self._also
        place = manifest.place(self.about.id, self._name, name)
        stored = self.target.put(
            f"{self._name}/{name}", container.seal(self._key.public, place, chunks, also=also, count=count)
        )
        item = Item(
            name=name,
            kind=kind,
            bytes=stored.bytes,
            sha256=stored.sha256,
            plain_bytes=self._plain - before,
            table=table,
            columns=columns,
            rows=None if rows is None else rows(),
            day=day,
            key_class=key_class,
            path=path,
        )
        self._items.append(item)
        self._checkpoint(f"stored {name}")
        return item

    def finish(
        self,
        taken_at: datetime,
        real_at: datetime,
        postgres: int,
        *,
        tree: Tree | None = None,
        left_out: tuple[str, ...] = (),
        system: str | None = None,
        timeline: int | None = None,
        wal_from: str | None = None,
        wal_to: str | None = None,
        epoch: UUID | None = None,
    ) -> Manifest:
        """Writes the manifest: from now on the backup exists."""
        self._checkpoint("before_manifest")
        made = Manifest(
            format=manifest.FORMAT,
            name=self._name,
            kind=self._kind,
            instance=self.about.id,
            mode=self.about.mode,
            simulated=self.about.simulated,
            machine=self.about.machine,
            created=self.about.created,
            release=ruxa.__version__,
            steps=len(migrate.plan().steps),
            postgres=postgres,
            taken_at=taken_at,
            real_at=real_at,
            finished_at=self.clock.now(),
            recipient=self._key.id.hex(),
            items=tuple(self._items),
            tree=tree,
            left_out=left_out,
            system=system,
            timeline=timeline,
            wal_from=wal_from,
            wal_to=wal_to,
            epoch=epoch,
        )
        manifest.write(self.target, made, self._key, self._signer)
        self._checkpoint("after_manifest")
        return made

    def give_up(self) -> None:
        """Takes back what was stored of a backup that will not be finished."""
        if self._name:
            for key in self.target.under(f"{self._name}/"):
                self.target.delete(key)


def file_chunks(path: Path) -> Iterator[bytes]:
    """A file's bytes."""
    with path.open("rb") as source:
        while chunk := source.read(1 << 20):
            yield chunk
