"""A house whose clock can be moved: a simulated database with money, content, and a run of retention at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from books import Books
from fixtures_database import Database
from ruxa.access import organisations
from ruxa.egress.objects import Objects
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.sealed import Sealed
from ruxa.ledger import topups
from ruxa.ledger.usage import UsageRow
from ruxa.privacy.content import items
from ruxa.privacy.retention import engine, watch
from ruxa.privacy.retention.engine import Outcome, Tools
from ruxa.store import instance
from ruxa.store.vault import Vault
from ruxa.store.work import Work

DAY_S = 86_400


class RetentionHouse:
    """One test's instance. ``day``: how many days its clock was moved forward."""

    def __init__(self, database: Database, books: Books, vault: Vault, path: Path) -> None:
        self.database = database
        self.books = books
        self.vault = vault
        self.data = path / "data"
        (self.data / "journal").mkdir(parents=True)
        self.objects = Objects.of_folder(self.data / "objects")
        self.began = datetime.now(UTC)
        self.day = 0
        # The days of content are there when the database was seeded; of a later day they are made for what is stored.
        self.content_since: int | None = 0 if database.seeded else None
        self.signals = books.signals

    def tools(self, **changed: Any) -> Tools:
        given: dict[str, Any] = {
            "pool": self.books.worker,
            "vault": self.vault,
            "objects": self.objects,
            "sink": self.signals,
            "clock": Clock(),
            "data": self.data,
        }
        return Tools(**{**given, **changed})

    async def run(self, **changed: Any) -> Outcome:
        """A run of the job; all that is planned must be gone after it."""
        return await engine.run(self.tools(**changed))

    async def to(self, day: int) -> None:
        """Moves the clock, announced, and makes what the worker's hourly jobs make, but the days of content."""
        self.day = day
        instance.move_clock(self.database.url("ruxa_owner"), day * DAY_S)
        async with self.books.worker.work() as work:
            await work.value("SELECT ledger.partitions_ahead(7)")
        for key_class in ("usage", "content", "security", "audit"):
            await self.vault.create_day_keys(key_class, items.DAYS_AHEAD if key_class == "content" else 1)

    @property
    def today(self) -> date:
        return (self.began + timedelta(days=self.day)).date()

    async def spend(self, ref: UUID, amounts: Iterable[int]) -> list[UsageRow]:
        """Charges of now, on a lease of their own."""
        amounts = list(amounts)
        lease = await self.books.lend(ref, sum(amounts))
        at_ms = int((datetime.now(UTC) + timedelta(days=self.day)).timestamp() * 1000)
        rows = [self.books.row(ref, lease, amount, id=ids.at(at_ms), at_ms=at_ms) for amount in amounts]
        assert (await self.books.flush(rows)).refused == ()
        await self.books.close(lease)
        return rows

    async def organisation(self, *, live: int = 0) -> tuple[UUID, UUID]:
        """An organisation: its id, its reference in the ledger."""
        async with self.books.console.work() as work:
            made = await organisations.create(work, self.vault, Sealed("Org"))
        await self.vault.create_subject(made.id, ("content",))
        if live:
            async with self.books.operator.work() as work:
                await topups.credit(work, made.organisation_ref, live)
        return made.id, made.organisation_ref

    async def store(self, organisation_id: UUID, days: int, *, size: int = 10, call: UUID | None = None) -> UUID:
        """Content of a call of now, kept for so many days; above 64 KiB as an object."""
        if self.content_since != self.day:
            async with self.books.worker.work() as work:
                await items.prepare(work)
            self.content_since = self.day
        at_ms = int((datetime.now(UTC) + timedelta(days=self.day)).timestamp() * 1000)
        call = call or ids.at(at_ms)
        item = items.Item(
            call_id=call,
            organisation_id=organisation_id,
            key_id=UUID(int=7),
            until=items.until_of(call, days),
            request=items.Side("stored", "text/plain", size, b"r" * size),
            answer=items.Side("stored", "text/plain", size, b"a" * size),
        )
        row = await items.seal(self.vault, self.objects, item)
        async with self.books.gateway.work() as work:
            await items.write(work, [row])
        return call

    async def admin(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """A statement of the superuser, for what no login of the product may do."""
        async with await psycopg.AsyncConnection.connect(self.database.admin_url, autocommit=True) as connection:
            cursor = await connection.execute(statement.encode(), values or None)
            return await cursor.fetchall() if cursor.description else []

    async def days(self, table: str = "ledger.usage_event") -> list[date]:
        rows = await self.admin(
            "SELECT right(c.relname, 8)::date FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            f" WHERE i.inhparent = '{table}'::regclass ORDER BY 1"
        )
        return [row[0] for row in rows]


def reading(shift_ms: int = 0, *, boot: str = "one", uptime_ms: int | None = None) -> Callable[..., Any]:
    """The real clocks, with the machine's uptime or boot as a test wants them. The process's clock is the database's:
    both are the machine's, and somebody set it."""

    async def read(work: Work, clock: Clock) -> watch.Reading:
        real = await watch.read(work, clock)
        return watch.Reading(
            database_ms=real.database_ms,
            wall_ms=real.database_ms,
            uptime_ms=(real.uptime_ms if uptime_ms is None else uptime_ms) - shift_ms,
            boot=boot,
        )

    return read


async def open_house(database: Database, path: Path) -> RetentionHouse:
    """A simulated instance on this database."""
    instance.settle(database.url("ruxa_owner"), id=ids.fresh(), mode="demo", simulated=True)
    made = RetentionHouse(database, await Books.open(database), await database.vault(), path)
    await made.to(0)
    return made
