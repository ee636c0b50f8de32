"""Usage rows as PostgreSQL's binary COPY reads them: packed once by the gateway, journaled and flushed as they are.

A packed row is what ``usage.flush`` would send for the same ``UsageRow`` (a test compares them), without an object in
between: on the hot path one row is made per call. The columns and their order are those of ``records.USAGE_COPY``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import get_args
from uuid import UUID

from ruxa.ledger import records
from ruxa.ledger.usage import Flushed, Segment, Source
from ruxa.store.work import Work

COLUMNS = len(records.USAGE_TYPES)
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
_EPOCH_MS = 946_684_800_000  # PostgreSQL counts from 2000-01-01
_NO_TEXTS = b"\0\0\0\x0c" + bytes(4) + bytes(4) + (25).to_bytes(4, "big")  # an empty text[]

_START = struct.Struct(">hI16sIq").pack  # columns, id, at
_STATUS = struct.Struct(">Ih").pack
_TOKENS = struct.Struct(">IiIiIiIiIiIiIiIiIi").pack
_END = struct.Struct(">IqIqIqIiIiIh").pack  # amount, waived, hold, latency, first token, attempts
_END_UNANSWERED = struct.Struct(">IqIqIqIi4sIh").pack
_LENGTH = struct.Struct(">I").pack


Figures = tuple[int, int, int, int, int, int, int, int, int]
"""The fields of ``dialects.usage.Usage``, in their order."""


def text(value: str | None) -> bytes:
    """One text column."""
    if value is None:
        return NULL
    raw = value.encode()
    return _LENGTH(len(raw)) + raw


def uuid(value: UUID | None) -> bytes:
    """One uuid column."""
    return NULL if value is None else b"\0\0\0\x10" + value.bytes


def _flag(value: bool) -> bytes:
    return b"\0\0\0\x01\x01" if value else b"\0\0\0\x01\x00"


def _texts(values: Sequence[str]) -> bytes:
    if not values:
        return _NO_TEXTS
    body = struct.pack(">iiIii", 1, 0, 25, len(values), 1) + b"".join(map(text, values))
    return _LENGTH(len(body)) + body


def payer(organisation_ref: UUID, key_id: UUID, livemode: bool, scope: str) -> bytes:
    """The columns of who calls: organisation_ref, key_id, livemode, scope. Equal for all calls of a key and scope."""
    return uuid(organisation_ref) + uuid(key_id) + _flag(livemode) + text(scope)


def target(
    model: str, provider: str | None, upstream_model: str | None, dialect: str, endpoint: str, stream: bool
) -> bytes:
    """The columns of what is called: model to stream. Equal for all calls of one kind to a target."""
    return text(model) + text(provider) + text(upstream_model) + text(dialect) + text(endpoint) + _flag(stream)


FINISHES = {finish: text(finish) for finish in (None, "stop", "length", "tool", "filter", "pause", "error", "other")}
SOURCES: dict[Source, bytes] = {source: text(source) for source in get_args(Source)}


def pack(
    row_id: int,
    payer: bytes,
    lease: bytes,
    target: bytes,
    status: int,
    error_code: str | None,
    finish: str | None,
    tokens: Figures,
    source: Source,
    price: bytes,
    amount_micros: int,
    waived_micros: int,
    hold_micros: int,
    latency_ms: int,
    first_token_ms: int | None,
    attempts: int,
    lossy: Sequence[str] = (),
) -> bytes:
    """One row. ``row_id``: the UUIDv7 as an integer, whose time is the row's ``at``; payer, target: as made above;
    lease, price: ``uuid(...)``; tokens: input, cache read, cache write 5 m and 1 h, output, reasoning, audio in and
    out, images. Raises struct.error for a count beyond 2**31 - 1."""
    a, b, c, d, e, f, g, h, i = tokens
    money = (8, amount_micros, 8, waived_micros, 8, hold_micros, 4, latency_ms)
    if first_token_ms is None:
        end = _END_UNANSWERED(*money, NULL, 2, attempts)
    else:
        end = _END(*money, 4, first_token_ms, 2, attempts)
    return b"".join(
        (
            _START(COLUMNS, 16, row_id.to_bytes(16, "big"), 8, ((row_id >> 80) - _EPOCH_MS) * 1000),
            payer,
            lease,
            target,
            _STATUS(2, status),
            NULL if error_code is None else text(error_code),
            FINISHES[finish],
            _TOKENS(4, a, 4, b, 4, c, 4, d, 4, e, 4, f, 4, g, 4, h, 4, i),
            SOURCES[source],
            price,
            end,
            _texts(lossy) if lossy else _NO_TEXTS,
        )
    )


async def flush(work: Work, rows: Sequence[bytes], segment: Segment) -> Flushed:
    """As ``usage.flush``, for packed rows."""
    if not rows:
        return Flushed(0, 0)
    await work.run(records.USAGE_STAGE)
    await work.copy_bytes(records.USAGE_COPY, b"".join((HEADER, *rows, TRAILER)))
    answer = await work.row(records.USAGE_FLUSH, segment.worker, segment.run, segment.number)
    assert answer is not None
    booked, late, refused_ids, reasons = answer
    return Flushed(booked, late, tuple(zip(refused_ids or (), reasons or (), strict=True)))
