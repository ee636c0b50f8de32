"""A small spender: one real process with leases and a journal of its own that charges one organisation.

    python spender.py URL ORGANISATION WORKER DIRECTORY SEED HOLD PRICE [--recover]

It replays its journal, then spends until the money ends (exit 0) or it is killed. Files: ``<worker>.<run>.j`` the
journal (frames of length, CRC and JSON); ``<worker>.witness`` what was delivered, written by one ``write`` before the
journal's CLOSE: an independent account of what must have been charged.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from ruxa.kernel import ids
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import InsufficientCredit, Unavailable
from ruxa.ledger import leases, usage
from ruxa.ledger.leases import Intent, Leases
from ruxa.ledger.usage import Segment, UsageRow
from ruxa.store.pool import Pool
from ruxa.store.work import Work

FRAME = struct.Struct("<II")
TASKS = int(os.environ.get("RUXA_SPENDER_TASKS", "6"))


def frame(**record: object) -> bytes:
    body = json.dumps(record).encode()
    return FRAME.pack(len(body), zlib.crc32(body)) + body


def frames(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a journal up to its torn tail."""
    data = path.read_bytes()
    at = 0
    while at + FRAME.size <= len(data):
        length, crc = FRAME.unpack_from(data, at)
        body = data[at + FRAME.size : at + FRAME.size + length]
        if len(body) < length or zlib.crc32(body) != crc:
            return
        yield json.loads(body)
        at += FRAME.size + length


class Silent:
    def emit(self, *_: object, **__: object) -> None:
        """Nothing is told."""


class Spender:
    """One worker."""

    def __init__(self, url: str, organisation: UUID, worker: str, directory: Path, price: UUID) -> None:
        self.url = url
        self.organisation = organisation
        self.worker = worker
        self.directory = directory
        self.price = price
        self.buffer: list[UsageRow] = []

    def row(self, call: UUID, lease: UUID | None, amount: int, at_ms: int) -> UsageRow:
        return UsageRow(
            id=call, at_ms=at_ms, organisation_ref=self.organisation, key_id=self.organisation, livemode=True,
            scope="live", lease_id=lease, model="openai/test", provider="openai", dialect="openai_chat",
            endpoint="chat", status=200, input_tokens=amount, usage_source="provider", price_id=self.price,
            amount_micros=amount,
        )  # fmt: skip

    async def patiently(self, action: Any) -> Any:
        """One transaction, again and again while the database is away."""
        while True:
            try:
                async with self.pool.work() as work:
                    return await action(work)
            except Unavailable:
                await asyncio.sleep(0.03)

    async def recover(self) -> None:
        """Replays every journal of earlier runs; any number of times."""
        for path in sorted(self.directory.glob(f"{self.worker}.*.j")):
            segment = Segment(self.worker, int(path.name.split(".")[1]), 1)
            if await self.patiently(lambda work, s=segment: usage.segment_begin(work, s)) == "open":
                found = list(frames(path))
                rows = [self.row(UUID(r["id"]), UUID(r["l"]), r["a"], r["t"]) for r in found if r["k"] == "C"]
                for at in range(0, len(rows), 500):
                    batch = rows[at : at + 500]
                    done = await self.patiently(lambda work, s=segment, b=batch: usage.flush(work, b, s))
                    assert not done.refused, done
                intents = [Intent(UUID(r["l"]), self.organisation, "live") for r in found if r["k"] == "L"]

                async def finish(
                    work: Work, s: Segment = segment, i: Any = intents, p: Path = path, n: int = len(rows)
                ) -> None:
                    await leases.close_all(work, i, worker=self.worker, run=s.run)
                    digest = hashlib.sha256(p.read_bytes()).digest()
                    await usage.segment_acknowledge(work, s, sha256=digest, rows=n)
                    await usage.run_end(work, self.worker, s.run)

                await self.patiently(finish)
            path.rename(path.with_suffix(".done"))

    async def spend(self, seed: int, hold_max: int) -> None:
        run: int = await self.patiently(lambda work: usage.run_begin(work, self.worker))
        self.segment = Segment(self.worker, run, 1)
        self.journal = os.open(
            self.directory / f"{self.worker}.{run:06}.j", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600
        )
        self.witness = os.open(self.directory / f"{self.worker}.witness", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        await self.patiently(lambda work: usage.segment_begin(work, self.segment))
        self.leases = Leases(
            self.pool, worker=self.worker, run=run, workers=4, clock=Clock(), signals=Silent(),
            intent=lambda intent: self.write(frame(k="L", l=intent.lease_id.hex)),
        )  # fmt: skip
        background = [asyncio.create_task(self.leases.run()), asyncio.create_task(self.flush())]
        await asyncio.gather(*(self.calls(random.Random(seed * 100 + n), hold_max) for n in range(TASKS)))
        while not await self.leases.drain(1):
            pass
        for task in background:
            task.cancel()

    def write(self, data: bytes) -> None:
        assert os.write(self.journal, data) == len(data)

    async def calls(self, chance: random.Random, hold_max: int) -> None:
        poor = 0
        while poor < 3:
            hold = chance.randint(1, hold_max)
            try:
                taken = self.leases.draw(self.organisation, "live", None, hold) or await self.leases.reserve(
                    self.organisation, "live", None, hold
                )
            except InsufficientCredit:
                poor += 1
                continue
            except Unavailable:
                await asyncio.sleep(0.03)
                continue
            poor = 0
            at_ms = self.leases.now_ms()
            call = ids.at(at_ms)
            self.write(frame(k="O", id=call.hex, h=hold))
            if chance.random() < 0.2:
                await asyncio.sleep(0.001)
            amount = chance.randint(0, hold)
            lease = taken.lease_id
            assert lease is not None
            os.write(self.witness, f"{call.hex} {amount} {hold}\n".encode())
            self.write(frame(k="C", id=call.hex, l=lease.hex, a=amount, t=at_ms))
            taken.settle(amount)
            self.buffer.append(self.row(call, lease, amount, at_ms))
            if chance.random() < 0.1:
                await asyncio.sleep(0)

    async def flush(self) -> None:
        while True:
            await asyncio.sleep(0.02)
            rows, self.buffer = self.buffer, []
            if rows:
                done = await self.patiently(lambda work, r=rows: usage.flush(work, r, self.segment))
                assert not done.refused, done
                self.leases.flushed(rows)


async def main(arguments: list[str]) -> None:
    url, organisation, worker, directory, seed, hold, price, *rest = arguments
    spender = Spender(url, UUID(organisation), worker, Path(directory), UUID(price))
    while True:
        try:
            spender.pool = await Pool.open(url, login="ruxa_gateway", max_size=4, clock=Clock())
            break
        except Unavailable:
            await asyncio.sleep(0.05)
    await spender.recover()
    if not rest:
        await spender.spend(int(seed), int(hold))
    await spender.pool.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
