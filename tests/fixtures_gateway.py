"""A gateway worker as the product wires it - real database, vault, door, upstream pool - in the test's own process."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from fixtures_database import Database
from ruxa.access import keys, organisations
from ruxa.access.keys import KeyWish
from ruxa.egress.http import Deadlines
from ruxa.egress.http import Pool as Upstreams
from ruxa.egress.objects import Objects
from ruxa.egress.providers import load
from ruxa.egress.recipient import Register
from ruxa.egress.sandbox.server import Server
from ruxa.egress.timers import Wheel
from ruxa.gateway.copies import Keeper
from ruxa.gateway.door import Door, DoorBounds
from ruxa.gateway.pipeline import Pipeline, Worker
from ruxa.kernel import ids
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.settings import ModelSettings, ProviderSettings, Settings
from ruxa.kernel.signals import Field, Level
from ruxa.ledger import prices
from ruxa.privacy.content import items
from ruxa.privacy.content.repeats import Repeats
from ruxa.privacy.files.batches import Batches
from ruxa.privacy.responses.kept import Responses
from ruxa.store.notify import Notices


class Told:
    """A sink that keeps what was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Field]]] = []

    def emit(self, event: str, level: Level = "info", **fields: Field) -> None:
        self.events.append((event, fields))

    def names(self) -> list[str]:
        return [event for event, _ in self.events]


class House:
    """One gateway worker, and the ways a test looks at and into it."""

    def __init__(self, database: Database, place: Path) -> None:
        self.database = database
        self.place = place
        self.told = Told()
        self.port = 0
        self.organisation_ref = UUID(int=0)
        self.organisation_id = UUID(int=0)
        self.secret = ""
        self.key_id = UUID(int=0)
        self.pipeline: Any = None
        self.door: Any = None
        self._stack = AsyncExitStack()
        self._admin: psycopg.Connection[tuple[Any, ...]] | None = None
        self.sandbox: Any = None
        self.client: Any = None
        self.objects = Objects.of_folder(place / "objects")

    async def begin(self, *, credit_micros: int = 5_000_000, scope: str = "sandbox", **wish: Any) -> None:
        """Organisation, key, credit, prices."""
        console = self.console = await self.database.pool("ruxa_console")
        vault = self.vault = await self.database.vault()
        operator = self.operator = await self.database.pool("ruxa_operator")
        async with console.work() as work:
            organisation = await organisations.create(work, vault, Sealed("Test"))
        self.organisation_id, self.organisation_ref = organisation.id, organisation.organisation_ref
        self.key_id, self.secret = await self.key(**wish)
        await self.credit(credit_micros, scope)
        if not self.database.seeded:
            async with operator.work() as work:
                await prices.seed(work)
                await items.prepare(work)

    def closing(self, close: Callable[[], Awaitable[None]]) -> None:
        """Call it when the house stops."""
        self._stack.push_async_callback(close)

    async def key(self, **wish: Any) -> tuple[UUID, str]:
        """A further key."""
        async with self.console.work() as work:
            made = await keys.create(work, self.vault, self.organisation_id, KeyWish(name=Sealed("test"), **wish))
        return made.id, made.secret.open("provide")

    async def revoke(self, key_id: UUID) -> None:
        async with self.console.work() as work:
            await keys.revoke(work, self.organisation_id, key_id)

    async def credit(self, micros: int, scope: str = "sandbox") -> None:
        if micros:
            self.sql(
                "SELECT ledger.lot_grant(%s, %s, %s, 'paid', %s, 100, NULL, %s, NULL, 'test')",
                ids.fresh(),
                self.organisation_ref,
                scope,
                micros,
                f"test:{ids.fresh()}",
            )

    async def serve(
        self,
        *,
        providers: dict[str, ProviderSettings] | None = None,
        models: dict[str, ModelSettings] | None = None,
        sandbox_url: str | None = None,
        name: str = "gateway-0",
        live: bool = False,
        deadlines: Deadlines | None = None,
        segment_bytes: int = 1 << 20,
        body_bytes_max: int = 4 * 1024 * 1024,
        metrics_token: str | None = None,
        workers: int = 1,
        keeper: Keeper | None = None,
    ) -> None:
        """Start the worker and its door, and a sandbox provider when no other address is given for it.

        keeper: seals and writes content; by default the product's, with objects below ``place``.
        """
        stack = self._stack
        if sandbox_url is None and not providers:
            sandbox = self.sandbox = Server(pace_ms=0)
            await sandbox.listen("127.0.0.1", 0)
            stack.push_async_callback(sandbox.close)
            sandbox_url = f"http://127.0.0.1:{sandbox.port}"
        wheel = Wheel(tick_s=0.05)
        upstreams = Upstreams(Register(self.told), wheel=wheel)
        stack.push_async_callback(upstreams.close)
        pool = self.pool = await self.database.pool("ruxa_gateway")
        notices = self.notices = Notices(self.database.url("ruxa_gateway"))
        await notices.open()
        stack.push_async_callback(notices.close)
        configured = providers or {}
        loaded = load(configured, lambda reference: "upstream-secret-canary", sandbox_url=sandbox_url)
        assert not loaded.unready, loaded.unready
        pipeline = self.pipeline = Pipeline(
            worker=Worker(
                name=name,
                workers=workers,
                journals=self.place / "journal",
                metrics=self.place / "m",
                live=live,
                metrics_token=metrics_token,
            ),
            settings=Settings(providers=configured, models=models or {}, body_bytes_max=body_bytes_max),
            clock=self.database.clock,
            sink=self.told,
            works=pool,
            keys=self.vault,
            hub=notices,
            providers=loaded.ready,
            pool=upstreams,
            wheel=wheel,
            deadlines=deadlines,
            segment_bytes=segment_bytes,
            keeper=keeper or items.Keeper(pool, self.vault, self.objects),
            repeats=Repeats(pool, self.vault),
            batches=Batches(pool, self.vault, self.objects),
            kept_responses=Responses(pool, self.vault, self.objects),
        )
        await pipeline.start()
        door = self.door = Door(
            pipeline.serve,
            pipeline.render,
            wheel=wheel,
            sink=self.told,
            limits=DoorBounds(body_bytes_max=body_bytes_max),
            screen=pipeline.screen,
        )
        self.port = await door.start("127.0.0.1", 0)
        # Plain HTTP; to load the certificates all the same takes longer than many a test.
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", timeout=20, trust_env=False, verify=False
        )

    async def stop(self) -> None:
        """Drain as the product does."""
        client, door, pipeline = self.client, self.door, self.pipeline
        self.client = self.door = self.pipeline = None
        if client is not None:
            await client.aclose()
        if door is not None:
            await door.drain(5)
        if pipeline is not None:
            await pipeline.drain()
        await self._stack.aclose()
        if self._admin is not None:
            self._admin.close()

    def headers(self, **more: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.secret}", **more}

    def sql(self, statement: str, *args: Any) -> list[tuple[Any, ...]]:
        """As the administrator."""
        with contextlib.suppress(psycopg.OperationalError):
            if self._admin is not None:
                self._admin.execute("")  # a test may have ended every connection
        if self._admin is None or self._admin.closed:
            self._admin = psycopg.connect(self.database.admin_url, autocommit=True)
        cursor = self._admin.execute(statement, args)  # pyright: ignore[reportArgumentType]
        return cursor.fetchall() if cursor.description else []

    async def rows(self, count: int | None = None) -> list[dict[str, Any]]:
        """The usage rows of the organisation, oldest first; waits until there are ``count``."""
        for _ in range(100):
            found = self.sql(
                "SELECT to_jsonb(u) FROM ledger.usage_event u WHERE organisation_ref = %s ORDER BY id",
                self.organisation_ref,
            )
            if count is None or len(found) >= count:
                return [row[0] for row in found]
            await asyncio.sleep(0.05)
        raise AssertionError(f"{len(found)} rows, not {count}: {json.dumps([row[0] for row in found])}")

    async def row(self, request_id: str) -> dict[str, Any]:
        """The row of one answer, at most a second after it."""
        for _ in range(30):
            found = self.sql("SELECT to_jsonb(u) FROM ledger.usage_event u WHERE id = %s", ids.read("req", request_id))
            if found:
                return found[0][0]
            await asyncio.sleep(0.05)
        raise AssertionError(f"no row {request_id}: {self.told.events[-5:]}")

    async def heard(self) -> None:
        """Let the worker take over now what it takes over by itself within seconds."""
        await self.pipeline._read_prices()
        await self.pipeline._read_changes()

    def proofs(self) -> dict[str, int]:
        """The ledger's proofs that don't hold."""
        return {name: value for name, value, *_ in self.sql("SELECT name, value FROM ledger.proofs()") if value}


@pytest.fixture
async def house(shipped: None, database: Database, tmp_path: Path) -> AsyncIterator[House]:
    made = House(database, tmp_path)
    yield made
    await made.stop()
