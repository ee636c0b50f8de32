"""Usage rows: what one call consumed and what it cost. The row is the call's charge and its ledger line (D18).

Rows reach the database through the journal (D19): ``segment_begin``, any number of ``flush`` calls with rows of that
segment, then ``segment_acknowledge``. A row that is sent twice is booked once; an acknowledged segment is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from ruxa.ledger import records
from ruxa.store.work import Work

Source = Literal["provider", "counted", "policy", "cached", "none"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UsageRow(msgspec.Struct, kw_only=True, gc=False):
    """One call. Token counts are those of ``dialects.usage.Usage``; amounts are micros, durations milliseconds.

    id: the answer's x-request-id, a UUIDv7 of the database's time (``Leases.now_ms``); lease_id: where the money came
    from, None when nothing is charged; scope: ``sandbox`` or ``live`` (``Price.scope``); livemode: of the key;
    model: the public name, ``""`` when the caller asked for one that does not exist (never the caller's own text);
    usage_source: provider | counted | policy | cached (answered from what was kept) | none;
    amount_micros + waived_micros = charge(price, usage);
    waived_micros: the part of the charge that the platform bears (D16); hold_micros: what was reserved;
    lossy: names from the dialects' tables of what could not be carried.
    """

    id: UUID
    at_ms: int
    organisation_ref: UUID
    key_id: UUID
    livemode: bool
    scope: str
    lease_id: UUID | None = None
    model: str = ""
    provider: str | None = None
    upstream_model: str | None = None
    dialect: str
    endpoint: str
    stream: bool = False
    status: int
    error_code: str | None = None
    finish: str | None = None
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    images: int = 0
    usage_source: Source = "none"
    price_id: UUID | None = None
    amount_micros: int = 0
    waived_micros: int = 0
    hold_micros: int = 0
    latency_ms: int = 0
    first_token_ms: int | None = None
    attempts: int = 0
    lossy: tuple[str, ...] = ()


class Segment(msgspec.Struct, frozen=True):
    """One file of a worker's journal: ``worker`` (its name), ``run`` (one start of it), ``number`` within the run."""

    worker: str
    run: int
    number: int


class Flushed(msgspec.Struct, frozen=True):
    """What a flush did. booked: rows new to the ledger; late: those of them whose lease was closed already.

    refused: rows that are never booked, each with the wall that refused it: ``usage_lease`` (no such lease of that
    organisation and scope), ``usage_scope``, ``usage_price``, ``usage_paid``, ``usage_test_key``, ``day`` (older than
    the usage limit, or in the future), or the check that its value fails.
    """

    booked: int
    late: int
    refused: tuple[tuple[UUID, str], ...] = ()


async def run_begin(work: Work, worker: str) -> int:
    """A fresh run number for a worker that starts; larger than all before."""
    number: int = await work.value(records.RUN_BEGIN, worker)
    return number


async def run_end(work: Work, worker: str, run: int) -> None:
    """The run is over and its journal is drained: the leases it still had are closed."""
    await work.run(records.RUN_END, worker, run)


async def runs_open(work: Work, worker: str) -> list[int]:
    """The runs of a worker that have not ended, oldest first."""
    return [row[0] for row in await work.rows(records.RUNS_OPEN, worker)]


async def segment_begin(work: Work, segment: Segment) -> str:
    """Registers a segment; the state of its permanent row: ``open``, ``acknowledged`` or ``refused``."""
    state: str = await work.value(records.SEGMENT_BEGIN, segment.worker, segment.run, segment.number)
    return state


async def flush(work: Work, rows: Sequence[UsageRow], segment: Segment) -> Flushed:
    """Books rows, each once however often it is sent.

    Raises Conflict ``RX021`` when the segment is acknowledged or refused already, ``RX020`` when it never began;
    Unavailable when the database is away or busy: send the same rows again. Rows of closed leases go the late path.
    """
    if not rows:
        return Flushed(0, 0)
    await work.run(records.USAGE_STAGE)
    await work.copy(records.USAGE_COPY, records.USAGE_TYPES, map(_tuple, rows))
    answer = await work.row(records.USAGE_FLUSH, segment.worker, segment.run, segment.number)
    assert answer is not None
    booked, late, refused_ids, reasons = answer
    return Flushed(booked, late, tuple(zip(refused_ids or (), reasons or (), strict=True)))


async def segment_acknowledge(work: Work, segment: Segment, *, sha256: bytes, rows: int) -> None:
    """Everything of the segment is booked; after the commit its file may go. Again with the same hash: nothing.

    Raises Conflict ``RX022`` when it was acknowledged with another hash.
    """
    await work.run(records.SEGMENT_ACKNOWLEDGE, segment.worker, segment.run, segment.number, sha256, rows)


async def segment_refuse(work: Work, segment: Segment, *, sha256: bytes, reason: str) -> None:
    """The segment is never booked (``age``, ``damaged``); its row says so."""
    await work.run(records.SEGMENT_REFUSE, segment.worker, segment.run, segment.number, sha256, reason)


def _tuple(row: UsageRow) -> tuple[object, ...]:
    return (
        row.id,
        _EPOCH + timedelta(milliseconds=row.at_ms),
        row.organisation_ref,
        row.key_id,
        row.livemode,
        row.scope,
        row.lease_id,
        row.model,
        row.provider,
        row.upstream_model,
        row.dialect,
        row.endpoint,
        row.stream,
        row.status,
        row.error_code,
        row.finish,
        row.input_tokens,
        row.cache_read_tokens,
        row.cache_write_5m_tokens,
        row.cache_write_1h_tokens,
        row.output_tokens,
        row.reasoning_tokens,
        row.audio_input_tokens,
        row.audio_output_tokens,
        row.images,
        row.usage_source,
        row.price_id,
        row.amount_micros,
        row.waived_micros,
        row.hold_micros,
        row.latency_ms,
        row.first_token_ms,
        row.attempts,
        list(row.lossy),
    )
