"""Batches: orders for calls over a file, who runs them, and what each line was answered until the files are written.

    validating -> in_progress -> finalizing -> completed | expired        -> cancelling -> cancelled        -> failed

A batch is run by one gateway worker at a time, which says every few seconds that it is still there; when it is not,
another goes on. A line's call has its id on file before it is made. When a worker died before the answer was on file,
the line is made again; if the ledger has the first call's charge, which the dead worker's journal decides, the next one
is not charged.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from ruxa.egress.objects import Objects
from ruxa.kernel import bounds, ids
from ruxa.kernel.errors import Conflict, NotFound
from ruxa.privacy.content.items import Works
from ruxa.privacy.files import records
from ruxa.privacy.files.kept import PURPOSE, File, Files, Owner, life
from ruxa.store.vault import Vault

_METADATA: Final = "content.batch.metadata_sealed"
_OUTCOME: Final = "content.batch_line.outcome_sealed"
# How long a runner that says nothing is believed to be there.
RUNNER_S: Final = 20
_OUTCOMES_AT_ONCE: Final = 100


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch, its metadata opened."""

    id: UUID
    until: date
    organisation_id: UUID
    key_id: UUID
    livemode: bool
    endpoint: str
    input_file_id: UUID
    output_file_id: UUID | None
    error_file_id: UUID | None
    output_life_s: int | None
    metadata: dict[str, str] | None
    state: str
    fault_code: str | None
    fault_line: int | None
    total: int
    completed: int
    failed: int
    begun_at: datetime | None
    finalizing_at: datetime | None
    cancelling_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        return Owner(organisation_id=self.organisation_id, key_id=self.key_id, livemode=self.livemode)


class Batches:
    """Batches with a pool, a vault and an object store of their own; ``files``: what they read and write."""

    def __init__(self, works: Works, vault: Vault, objects: Objects) -> None:
        self._works = works
        self._vault = vault
        self.files = Files(works, vault, objects)

    async def add(
        self, owner: Owner, endpoint: str, file: File, metadata: dict[str, str] | None, output_life_s: int | None
    ) -> Batch:
        """Takes an order. Raises Conflict ``too_many_batches``."""
        async with self._works.work("files") as work:
            if await records.count_open(work, owner.organisation_id) >= bounds.BATCHES_WAITING_MAX:
                raise Conflict("Too many batches wait already.", code="too_many_batches")
            now = await records.now(work)
        batch_id = ids.at(int(now.timestamp() * 1000))
        _, until = life(now, None)
        expires_at = now.astimezone(UTC) + timedelta(hours=bounds.BATCH_HOURS)
        sealed = None
        if metadata is not None:
            body = msgspec.json.encode(metadata)
            sealed = await self._vault.seal_bytes(_METADATA, owner.organisation_id, batch_id, body, day=until)
        row = (
            batch_id, until, owner.organisation_id, owner.key_id, owner.livemode, endpoint, file.id, output_life_s,
            sealed, expires_at,
        )  # fmt: skip
        async with self._works.work("files") as work:
            await records.add_batch(work, row)
            found = await records.batch(work, owner.organisation_id, owner.livemode, batch_id)
        assert found is not None
        return await self._batch(found)

    async def find(self, owner: Owner, batch_id: UUID) -> Batch | None:
        """One of the owner's batches."""
        async with self._works.work("files") as work:
            row = await records.batch(work, owner.organisation_id, owner.livemode, batch_id)
        return None if row is None else await self._batch(row)

    async def list(self, owner: Owner, *, after: UUID | None, limit: int) -> Sequence[Batch]:
        """The owner's batches, newest first, from after one of them."""
        async with self._works.work("files") as work:
            rows = await records.batches(work, owner.organisation_id, owner.livemode, after, limit)
        return [await self._batch(row) for row in rows]

    async def cancel(self, owner: Owner, batch_id: UUID) -> Batch | None:
        """The caller wants no more of it; one that has ended stays as it is."""
        async with self._works.work("files") as work:
            row = await records.cancel_batch(work, owner.organisation_id, owner.livemode, batch_id)
        return None if row is None else await self._batch(row)

    async def delete(self, batch: Batch) -> None:
        """An ended batch and its files go at once. Raises Conflict ``RX470`` while a hold forbids it."""
        for file_id in (batch.output_file_id, batch.error_file_id, batch.input_file_id):
            if file_id is not None:
                await self.files.delete(batch.owner, file_id)
        async with self._works.work("files") as work:
            await records.delete_batch(work, batch.organisation_id, batch.livemode, batch.id)

    # What the runner does

    async def claim(self, runner: str) -> Batch | None:
        """A batch that nobody runs, now the runner's."""
        async with self._works.work("batches") as work:
            row = await records.claim(work, runner, RUNNER_S)
        return None if row is None else await self._batch(row)

    async def renew(self, batch: Batch, runner: str) -> str | None:
        """The runner is still there: the batch's state now; None when it is no longer the runner's."""
        async with self._works.work("batches") as work:
            return await records.renew(work, batch.id, runner, RUNNER_S)

    async def let_go(self, batch: Batch, runner: str) -> None:
        """The runner stops: another may go on at once."""
        async with self._works.work("batches") as work:
            await records.renew(work, batch.id, runner, 0)

    async def begin(self, batch: Batch, runner: str, total: int) -> set[int]:
        """Its lines are in order; those that have their answer already."""
        async with self._works.work("batches") as work:
            await records.begin(work, batch.id, runner, total)
            return await records.done(work, batch.id, batch.until)

    async def line_begin(self, batch: Batch, number: int, call: UUID, runner: str) -> bool | None:
        """A line's call is about to be made: whether it was paid for already; None when it is not to be made."""
        async with self._works.work("batches") as work:
            return await records.line_begin(work, batch.id, number, call, runner)

    async def line_end(self, batch: Batch, call: UUID, outcome: bytes, *, failed: bool) -> None:
        """What the line was answered; the first answer stays."""
        place = (_OUTCOME, batch.organisation_id, call)
        sealed = await self._vault.seal_bytes(*place, outcome, day=batch.until)
        async with self._works.work("batches") as work:
            await records.line_end(work, batch.id, batch.until, call, failed, sealed)

    async def end(self, batch: Batch, runner: str, state: str, *, fault: tuple[str, int | None] | None = None) -> None:
        """Writes its files, and it is over. state: failed, completed, expired or cancelled."""
        async with self._works.work("batches") as work:
            await records.close(work, batch.id, runner)
            now = await records.now(work)
        rows: list[tuple[object, ...]] = []
        made: list[UUID | None] = []
        for failed in (False, True):
            outcomes = self._outcomes(batch, failed=failed)
            first = await anext(outcomes, None)
            if first is None:
                made.append(None)
                continue
            name = f"{ids.text('batch', batch.id)}_{'error' if failed else 'output'}.jsonl"
            row, file = await self.files.prepare(
                now,
                batch.owner,
                "batch_output",
                name,
                "application/jsonl",
                _chain(first, outcomes),
                batch.output_life_s,
            )
            rows.append(row)
            made.append(file.id)
        async with self._works.work("batches") as work:
            code, line = fault or (None, None)
            if await records.end(work, batch.id, runner, state, made[0], made[1], code, line):
                for row in rows:
                    await records.add_file(work, row)

    async def _outcomes(self, batch: Batch, *, failed: bool) -> AsyncGenerator[bytes]:
        """The answers of the lines that failed or did not, in order, opened."""
        after = 0
        while True:
            async with self._works.work("batches") as work:
                rows = await records.outcomes(work, batch.id, batch.until, failed, after, _OUTCOMES_AT_ONCE)
            if not rows:
                return
            for _, call, sealed in rows:
                place = (_OUTCOME, batch.organisation_id, call)
                opened = await self._vault.open_bytes(*place, sealed, purpose=PURPOSE, day=batch.until)
                yield opened.open(PURPOSE)
            after = rows[-1][0]

    async def _batch(self, row: Sequence[Any]) -> Batch:
        metadata: dict[str, str] | None = None
        if row[10] is not None:
            try:
                opened = await self._vault.open_bytes(_METADATA, row[2], row[0], row[10], purpose=PURPOSE, day=row[1])
            except NotFound:
                metadata = None
            else:
                metadata = msgspec.json.decode(opened.open(PURPOSE), type=dict[str, str])
        return Batch(
            id=row[0],
            until=row[1],
            organisation_id=row[2],
            key_id=row[3],
            livemode=row[4],
            endpoint=row[5],
            input_file_id=row[6],
            output_file_id=row[7],
            error_file_id=row[8],
            output_life_s=row[9],
            metadata=metadata,
            state=row[11],
            fault_code=row[12],
            fault_line=row[13],
            total=row[14],
            completed=row[15],
            failed=row[16],
            begun_at=row[17],
            finalizing_at=row[18],
            cancelling_at=row[19],
            ended_at=row[20],
            expires_at=row[21],
        )


async def _chain(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    yield first
    async for one in rest:
        yield one
