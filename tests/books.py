"""Books of the ledger's tests: accounts to grant to, leases to spend from, rows to flush, proofs to take."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg

from fixtures_database import Database
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.ledger import accounts, prices, proofs, topups, usage
from ruxa.ledger.leases import Intent, Leases
from ruxa.ledger.usage import Flushed, Segment, UsageRow
from ruxa.store.pool import Pool

# One micro per input token, so that amounts in tests are token counts.
RATES = prices.rates(1_000_000, 2_000_000)


class Silent:
    """Signals kept in a list."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def emit(self, event: str, level: str = "info", **fields: Any) -> None:
        self.told.append((event, fields))


class Books:
    """The ledger of one test."""

    def __init__(self, database: Database, pools: dict[str, Pool], live: UUID, sandbox: UUID) -> None:
        self.database = database
        self.operator = pools["ruxa_operator"]
        self.gateway = pools["ruxa_gateway"]
        self.worker = pools["ruxa_worker"]
        self.console = pools["ruxa_console"]
        self.price = {"live": live, "sandbox": sandbox}
        self.signals = Silent()
        self.intents: list[Intent] = []
        self.segment = Segment("w0", 1, 1)

    @classmethod
    async def open(cls, database: Database) -> Books:
        pools = {
            login: await database.pool(login)
            for login in ("ruxa_operator", "ruxa_gateway", "ruxa_worker", "ruxa_console")
        }
        async with pools["ruxa_operator"].work() as work:
            live = await prices.put(work, "openai/test", RATES, source="test")
            sandbox = await prices.put(work, "sandbox/test", RATES, source="test")
        books = cls(database, pools, live, sandbox)
        async with books.gateway.work() as work:
            run = await usage.run_begin(work, "w0")
            books.segment = Segment("w0", run, 1)
            assert await usage.segment_begin(work, books.segment) == "open"
        return books

    async def organisation(self, live: int = 0, sandbox: int = 0) -> UUID:
        """A fresh organisation with that much credit."""
        ref = uuid4()
        async with self.operator.work() as work:
            if live:
                await topups.credit(work, ref, live)
            if sandbox:
                await topups.sandbox(work, ref, sandbox)
        return ref

    async def balance(self, ref: UUID, scope: str = "live") -> accounts.Balance:
        async with self.console.work() as work:
            return (await accounts.balance(work, ref))[scope]

    def leases(self, *, worker: str = "w0", workers: int = 1, ttl_s: int = 30) -> Leases:
        """A worker's leases; its journal is ``intents``."""
        return Leases(
            self.gateway,
            worker=worker,
            run=self.segment.run,
            workers=workers,
            clock=Clock(),
            signals=self.signals,  # pyright: ignore[reportArgumentType]
            intent=self.intents.append,
            ttl_s=ttl_s,
        )

    def row(self, ref: UUID, lease: UUID | None, amount: int, scope: str = "live", **fields: Any) -> UsageRow:
        """A usage row that costs ``amount`` micros."""
        at_ms = Clock().unix_ms()
        given: dict[str, Any] = {
            "id": ids.at(at_ms),
            "at_ms": at_ms,
            "organisation_ref": ref,
            "key_id": UUID(int=7),
            "livemode": True,
            "scope": scope,
            "lease_id": lease,
            "model": "openai/test" if scope == "live" else "sandbox/test",
            "provider": "openai" if scope == "live" else "sandbox",
            "dialect": "openai_chat",
            "endpoint": "chat",
            "status": 200,
            "input_tokens": amount,
            "usage_source": "provider",
            "price_id": self.price[scope] if amount else None,
            "amount_micros": amount,
        }
        return UsageRow(**{**given, **fields})

    async def flush(self, rows: Sequence[UsageRow], segment: Segment | None = None) -> Flushed:
        async with self.gateway.work() as work:
            return await usage.flush(work, rows, segment or self.segment)

    async def lend(self, ref: UUID, amount: int, scope: str = "live", *, ttl_s: int = 30, worker: str = "w0") -> UUID:
        """A lease of exactly ``amount``, straight from SQL."""
        lease = ids.fresh()
        async with self.gateway.work() as work:
            row = await work.row(
                "SELECT amount, refusal FROM ledger.lease_open(%s, %s, %s, '{}', %s, %s, %s, %s, %s, 1,"
                " make_interval(secs => %s))",
                *(lease, ref, scope, worker, self.segment.run, amount, amount, amount, ttl_s),
            )
        assert row == (amount, None), row
        return lease

    async def close(self, lease: UUID) -> int:
        async with self.gateway.work() as work:
            spent: int = await work.value("SELECT ledger.lease_close(%s)", lease)
            return spent

    async def proofs(self) -> dict[str, proofs.Proof]:
        async with self.operator.work() as work:
            return {proof.name.partition(" ")[0]: proof for proof in await proofs.check(work)}

    async def prove(self) -> None:
        """Every proof is zero."""
        wrong = [proof for proof in (await self.proofs()).values() if not proof.ok]
        assert not wrong, wrong

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
        """The superuser, for what no login of the product may do."""
        async with await psycopg.AsyncConnection.connect(self.database.admin_url, autocommit=True) as connection:
            yield connection

    async def later(self, seconds: int) -> None:
        """Moves the ledger's clock forward by changing its function, as a simulated instance has it."""
        async with self.admin() as admin:
            await admin.execute(
                "CREATE OR REPLACE FUNCTION ruxa.now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE"
                f" RETURN pg_catalog.clock_timestamp() + interval '{seconds} seconds'"  # pyright: ignore[reportArgumentType]
            )
