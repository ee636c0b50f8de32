"""The ledger's numbers: what a call pays for its booking, and what the database needs for it.

    .venv/bin/python bench/ledger.py                              some minutes, most of them to make a million transfers
    .venv/bin/python bench/ledger.py --transfers 100000           two minutes
    .venv/bin/python bench/ledger.py --write                      puts the table into bench/README.md

A PostgreSQL of its own, as ``ruxa run`` sets it up (commits are durable), on the code that the gateway runs: purses,
journal on a disk, packed rows, the functions in the database. Costs are CPU time (ours, and of the database's process
by the kernel's count), which a busy machine changes little; the numbers that are times or rates by the clock say so.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from ruxa.gateway import books as gateway_books
from ruxa.gateway.journal import Journal, Segment
from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.ledger import accounts, holds, jobs, packed, prices, proofs, topups, usage
from ruxa.ledger.leases import Intent, Leases, Purse
from ruxa.store import database, migrate
from ruxa.store.embedded import Cluster
from ruxa.store.logins import Login, Logins
from ruxa.store.pool import Pool

README = Path(__file__).with_name("README.md")
CORES = 2
TURN_CALLS = 16  # of a saturated worker: so many calls end in one turn of its loop and share a write
SETTLES_S = 12.0
HOLD, COST = 900, 70
DAY_KEY = bytes(range(32))
TOKENS = (12, 0, 0, 0, 46, 0, 0, 0, 0)


@dataclass
class Found:
    """The table: a number, its mark, what was read, and whether that is within."""

    lines: list[tuple[str, str, str, bool]] = field(default_factory=list[tuple[str, str, str, bool]])

    def add(self, what: str, mark: str, read: str, good: bool) -> None:
        """One line, told at once."""
        self.lines.append((what, mark, read, good))
        print(f"{what}: {read} (mark {mark}){'' if good else ' NOT MET'}", flush=True)


class Quiet:
    """A sink that counts what it hears."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def emit(self, event: str, level: str = "info", **fields: Any) -> None:
        """See ``Sink``."""
        self.events.append(event)


class House:
    """A migrated database with prices, and the pools of who works on it."""

    def __init__(self, place: Path, cluster: Cluster) -> None:
        self.place = place
        self.admin = cluster.address.admin_url()
        self.address = cluster.address
        self.clock = Clock()
        self.sink = Quiet()
        self.pools: dict[str, Pool] = {}
        self.price = uuid4()
        self.run = 0

    async def open(self) -> None:
        """Pools and a price."""
        for login in ("ruxa_operator", "ruxa_gateway", "ruxa_worker", "ruxa_console"):
            self.pools[login] = await self.pool(login)
        await jobs.partitions(self.pools["ruxa_worker"])
        async with self.pools["ruxa_operator"].work() as work:
            self.price = await prices.put(work, "openai/bench", prices.rates(1_000_000, 1_000_000), source="bench")
        async with self.gateway.work() as work:
            self.run = await usage.run_begin(work, "bench")

    async def pool(self, login: Login, *, size: int = 4) -> Pool:
        """One login's."""
        return await Pool.open(self.address.url(login), login=login, max_size=size, clock=self.clock)

    @property
    def gateway(self) -> Pool:
        """The gateway login's."""
        return self.pools["ruxa_gateway"]

    async def organisation(self) -> UUID:
        """A fresh one with credit."""
        ref = uuid4()
        async with self.pools["ruxa_operator"].work() as work:
            await topups.credit(work, ref, 10**12)
        return ref

    def leases(self, workers: int = 1) -> Leases:
        """A worker's leases, without a journal for what it is about to ask."""

        def intent(_: Intent) -> None:
            return

        return Leases(
            self.gateway,
            worker="bench",
            run=self.run,
            workers=workers,
            clock=self.clock,
            signals=self.sink,
            intent=intent,
        )

    def journal(self, name: str, segment_bytes: int = 64 << 20) -> Journal:
        """A worker's journal in files."""
        return Journal(
            self.place / "journal" / name,
            name,
            self.run,
            day_key=day_key,
            today=today,
            sink=self.sink,
            segment_bytes=segment_bytes,
        )

    def rows(self, count: int, leases: list[tuple[UUID, UUID]]) -> list[bytes]:
        """Packed usage rows that cost ``COST`` each, over these organisations and their leases."""
        at_ms = self.clock.unix_ms()
        target = packed.target("openai/bench", "openai", "bench", "openai_chat", "chat", False)
        who = [(packed.payer(ref, UUID(int=7), True, "live"), packed.uuid(lease)) for ref, lease in leases]
        price = packed.uuid(self.price)
        made: list[bytes] = []
        for number in range(count):
            payer, lease = who[number % len(who)]
            figures = (COST, 0, 0, 0, 0, 0, 0, 0, 0)
            head = (ids.at(at_ms).int, payer, lease, target, 200, None, "stop", figures, "provider", price)
            made.append(packed.pack(*head, COST, 0, HOLD, 412, 90, 1))
        return made

    async def lease(self, ref: UUID, amount: int = 10**9) -> UUID:
        """A lease of exactly so much."""
        lease = ids.fresh()
        async with self.gateway.work() as work:
            await work.row(
                "SELECT amount, refusal FROM ledger.lease_open(%s, %s, 'live', '{}', 'bench', %s, %s, %s, %s, 1,"
                " interval '10 minutes')",
                lease,
                ref,
                self.run,
                amount,
                amount,
                amount,
            )
        return lease


async def day_key(_: date) -> bytes:
    """The bench's own: nothing here is anybody's."""
    return DAY_KEY


def today() -> date:
    """The day, UTC."""
    return datetime.now(UTC).date()


def spent_s(process: int) -> float:
    """CPU seconds of a process with one thread."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


async def backend_of(pool: Pool) -> int:
    """The database's process behind a pool's idle connection."""
    async with pool.work() as work:
        process: int = await work.value("SELECT pg_backend_pid()")
        return process


@asynccontextmanager
async def house(place: Path) -> AsyncGenerator[House, None]:
    """A cluster from its first start to its end."""
    cluster = Cluster(place / "data", Logins.load(place / "keys"))
    cluster.initialise()
    cluster.start()
    try:
        cluster.ready()
        database.setup(cluster.address)
        migrate.migrate(cluster.address.url("ruxa_owner"))
        found = House(place, cluster)
        await found.open()
        yield found
        for pool in found.pools.values():
            await pool.close()
    finally:
        cluster.stop()


async def call_cost(here: House, calls: int) -> float:
    """CPU us of a call's ledger work in the gateway: a draw, OPEN, the row, CLOSE, the rest back to the lease."""
    leases = here.leases()
    ref = await here.organisation()
    reservation = await leases.reserve(ref, "live", None, HOLD)
    reservation.release()
    purse = leases.purse(ref, "live", None)
    lease = await here.lease(ref, 10**10)
    assert purse.current is not None
    purse.current.amount = purse.current.available = 10**10
    purse.current.deadline = float("inf")
    journal = here.journal("calls")
    await journal.start()
    waiting: list[tuple[Segment | None, bytes]] = []
    payer, target = (
        packed.payer(ref, UUID(int=7), True, "live"),
        packed.target("m", "p", "u", "openai_chat", "chat", False),
    )
    price, column = packed.uuid(here.price), packed.uuid(lease)
    best = float("inf")
    for _ in range(5):
        waiting.clear()
        turns = calls // TURN_CALLS // 5
        began = time.process_time()
        for _ in range(turns):
            _turn(purse, journal, payer, column, target, price, waiting, here.clock.unix_ms())
            await asyncio.sleep(0)
        best = min(best, (time.process_time() - began) * 1e6 / (turns * TURN_CALLS))
        assert len(waiting) == turns * TURN_CALLS
    await journal.stop()
    journal.unlock()
    await leases.drain(5)
    return best


def _turn(
    purse: Purse,
    journal: Journal,
    payer: bytes,
    lease: bytes,
    target: bytes,
    price: bytes,
    waiting: list[tuple[Segment | None, bytes]],
    at_ms: int,
) -> None:
    """The calls that end in one turn of the loop."""
    put = waiting.append
    for number in range(TURN_CALLS):
        call = (at_ms << 80) + number
        held = purse.draw(HOLD)
        assert held is not None
        journal.open(call, held.lease.raw, HOLD)
        row = packed.pack(
            call, payer, lease, target, 200, None, "stop", TOKENS, "provider", price, COST, 0, HOLD, 412, 90, 1
        )
        held.settle(COST)
        journal.close_in_turn(row, lambda segment, row=row: put((segment, row)))


async def hold_cost(here: House, count: int) -> tuple[float, float]:
    """CPU us of a hold and its settling in the database, two durable commits, ours and the database's; a second."""
    ref = await here.organisation()
    pool = await here.pool("ruxa_gateway", size=1)
    process = await backend_of(pool)
    began = 0.0
    cpu = 0.0
    for number in range(count + 20):
        if number == 20:
            began, cpu = time.perf_counter(), time.process_time() + spent_s(process)
        hold = ids.fresh()
        async with pool.work() as work:
            await holds.place(work, hold, ref, "live", HOLD, ttl_s=60)
        async with pool.work() as work:
            await holds.settle(work, hold, COST)
    cpu = time.process_time() + spent_s(process) - cpu
    took = time.perf_counter() - began
    await pool.close()
    return cpu * 1e6 / count, count / took


async def flush_cost(here: House, rows: int, batch: int) -> tuple[float, float, float]:
    """CPU us a row of the database and of ours, and rows a second by the clock over two connections at a time."""
    leases = [(ref, await here.lease(ref, 10**11)) for ref in [await here.organisation() for _ in range(10)]]
    pools = [await here.pool("ruxa_gateway", size=1) for _ in range(CORES)]
    processes = [await backend_of(pool) for pool in pools]
    segments = [usage.Segment("bench", here.run, 1000 + number) for number in range(CORES)]
    for pool, segment in zip(pools, segments, strict=True):
        async with pool.work() as work:
            await usage.segment_begin(work, segment)
    batches = [[here.rows(batch, leases) for _ in range(rows // batch // CORES + 2)] for _ in pools]

    async def send(pool: Pool, segment: usage.Segment, mine: list[list[bytes]]) -> int:
        booked = 0
        for one in mine:
            async with pool.work() as work:
                booked += (await packed.flush(work, one, segment)).booked
        return booked

    for pool, segment, mine in zip(pools, segments, batches, strict=True):
        await send(pool, segment, mine[:2])
    backend, ours, began = sum(map(spent_s, processes)), time.process_time(), time.perf_counter()
    booked = sum(
        await asyncio.gather(*(send(*one) for one in zip(pools, segments, (mine[2:] for mine in batches), strict=True)))
    )
    took = time.perf_counter() - began
    backend, ours = sum(map(spent_s, processes)) - backend, time.process_time() - ours
    for pool in pools:
        await pool.close()
    return backend * 1e6 / booked, ours * 1e6 / booked, booked / took


async def lease_time(here: House, count: int) -> float:
    """Milliseconds by the clock of opening and closing a lease, the median."""
    ref = await here.organisation()
    took: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        lease = await here.lease(ref, 10**6)
        async with here.gateway.work() as work:
            await work.value("SELECT ledger.lease_close(%s)", lease)
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


async def leases_asked(here: House, seconds: float) -> float:
    """Leases opened in ten seconds for one organisation that spends steadily."""
    leases = here.leases()
    ref = await here.organisation()
    tending = asyncio.ensure_future(leases.run())
    # The first ones are the beginning: small, then by what is spent.
    for lasts_s in (SETTLES_S, seconds):
        here.sink.events.clear()
        end = time.monotonic() + lasts_s
        while time.monotonic() < end:
            held = await leases.reserve(ref, "live", None, HOLD)
            held.settle(COST)
            leases.settled([held])
            await asyncio.sleep(0.01)
    opened = here.sink.events.count("lease.opened")
    tending.cancel()
    await leases.drain(5)
    return opened * 10 / seconds


async def recovery(here: House, records: int) -> tuple[float, float]:
    """Seconds by the clock: a journal of so many calls replayed, and until the balance is exact."""
    ref = await here.organisation()
    lease = await here.lease(ref, 10**10)
    journal = here.journal("lost")
    await journal.start()
    for row in here.rows(records, [(ref, lease)]):
        journal.open(ids.fresh().int, lease.bytes, HOLD)
        journal.close(row)
        if journal.open_calls % 1024 == 0:
            await asyncio.sleep(0)
    await journal.stop()
    journal.unlock()
    began = time.perf_counter()
    directory = journal.directory
    await gateway_books.recover(directory, "lost", here.gateway, day_key=day_key, today=today(), sink=here.sink)
    replayed = time.perf_counter() - began
    async with here.pools["ruxa_console"].work() as work:
        balance = (await accounts.balance(work, ref))["live"].balance_micros
    if balance != 10**12 - records * COST:
        raise SystemExit(f"bench: the balance is {balance} after the recovery of {records} calls")
    return replayed, time.perf_counter() - began


async def audit(here: House, transfers: int) -> tuple[float, int, int]:
    """Seconds by the clock of all proofs with so many transfers, how many there are, and findings."""
    ref = await here.organisation()
    with psycopg.connect(here.admin, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO ledger.transfer (id, state, debit_id, credit_id, amount_micros, code, organisation_ref)"
            " SELECT ledger.derived_id(ruxa.now(), n::text || 'bench'), 'posted',"
            " ledger.account_id('asset:operator_credit'), a.id, 5, 'bench', a.organisation_ref"
            " FROM generate_series(1, %s) AS n, (SELECT id, organisation_ref FROM ledger.account"
            " WHERE organisation_ref = %s AND code LIKE 'lot:%%' LIMIT 1) AS a",
            [transfers, ref],
        )
        row = connection.execute("SELECT count(*) FROM ledger.transfer").fetchone()
        assert row is not None
        connection.execute("VACUUM ANALYZE ledger.transfer")
    began = time.perf_counter()
    async with here.pools["ruxa_operator"].work() as work:
        await work.run("SET LOCAL statement_timeout = 0")
        found = await proofs.check(work)
    return time.perf_counter() - began, row[0], sum(not proof.ok for proof in found)


async def measure(place: Path, given: argparse.Namespace) -> Found:
    """Every number, one after the other."""
    found = Found()
    async with house(place) as here:
        ours = await call_cost(here, given.calls)
        per_hold, rate = await hold_cost(here, given.holds)
        backend, client, by_clock = await flush_cost(here, given.rows, given.batch)
        told = f"{ours:.1f} us; {ours + client:.1f} us with its share of the flush"
        found.add("ledger work of a call in the gateway", "<= 8 us of CPU", told, ours <= 8)
        ratio, with_booking = per_hold / ours, per_hold / (ours + backend + client)
        found.add(
            "a hold and its settling in the database, beside it",
            ">= 20 x",
            f"{ratio:.0f} x ({per_hold:.0f} us, {rate:.0f} a second); {with_booking:.0f} x with the row's booking",
            ratio >= 20,
        )
        found.add(
            f"usage rows into PostgreSQL, {CORES} connections, batches of {given.batch}",
            ">= 20,000 a second",
            f"{by_clock:,.0f} a second by the clock; a row costs the database {backend:.1f} us and the sender"
            f" {client:.1f} us of CPU",
            by_clock >= 20_000,
        )
        opened = await lease_time(here, 200)
        found.add("a lease opened and closed, median", "<= 5 ms", f"{opened:.1f} ms by the clock", opened <= 5)
        asked = await leases_asked(here, given.seconds)
        found.add("leases opened at steady spending, in 10 s", "<= 1", f"{asked:.2f}", asked <= 1)
        replayed, exact = await recovery(here, given.records)
        found.add(
            f"a journal of {given.records:,} calls replayed",
            "<= 10 s",
            f"{replayed:.1f} s by the clock",
            replayed <= 10,
        )
        found.add("... and the balance exact", "<= 30 s", f"{exact:.1f} s by the clock", exact <= 30)
        took, count, wrong = await audit(here, given.transfers)
        scaled = took * 1e6 / count
        found.add(
            f"all proofs over {count:,} transfers",
            "<= 20 s a million",
            f"{took:.1f} s by the clock, {scaled:.1f} s a million; {wrong} findings",
            scaled <= 20,
        )
    return found


def main() -> int:
    """Measures, prints or writes; 0 when every mark is met."""
    parser = argparse.ArgumentParser(description="Measures the ledger.")
    parser.add_argument("--calls", type=int, default=40_000)
    parser.add_argument("--holds", type=int, default=400)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--records", type=int, default=100_000, help="calls of the journal that is replayed")
    parser.add_argument("--transfers", type=int, default=1_000_000, help="of the audit")
    parser.add_argument("--seconds", type=float, default=30.0, help="of steady spending")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="ruxa-ledger-"))
    try:
        found = asyncio.run(measure(place, given))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    lines = ["| number | mark | read | |", "|---|---|---|---|"]
    lines += [
        f"| {what} | {mark} | {read} | {'met' if good else '**not met**'} |" for what, mark, read, good in found.lines
    ]
    lines += ["", f"Load average {os.getloadavg()[0]:.1f}."]
    table = "\n".join(lines)
    print(table)
    if given.write:
        text = README.read_text(encoding="utf-8")
        start, end = "<!-- ledger -->\n", "<!-- /ledger -->"
        README.write_text(re.sub(f"{start}.*?{end}", lambda _: f"{start}{table}\n{end}", text, flags=re.DOTALL))
    return 0 if all(good for *_, good in found.lines) else 1


if __name__ == "__main__":
    sys.exit(main())
