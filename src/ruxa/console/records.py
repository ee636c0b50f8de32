"""What pages read across a period: sums and ledger lines of one organisation, always by key and time.

Read-only, over the views that the ledger shows to this login (``ledger.charge``, ``ledger.statement_line``). Every
statement names the organisation's reference, so no page can look over a fence; lists go by id, which is time-ordered
and the partitions' key, so a page costs the same at any depth. The index that carries all of it is
``usage_organisation (organisation_ref, id)``.
"""

from __future__ import annotations

from datetime import datetime
from typing import LiteralString
from uuid import UUID

import msgspec

from ruxa.kernel import ids
from ruxa.ledger.activity import FIRST_ID, LAST_ID, windows
from ruxa.store.work import Work


class Sums(msgspec.Struct, frozen=True):
    """What a set of calls adds up to; latencies (milliseconds) of those that succeeded."""

    calls: int = 0
    errors: int = 0
    spend: int = 0
    tokens: int = 0
    p50: int | None = None
    p95: int | None = None


class Used(msgspec.Struct, frozen=True):
    """What one key used."""

    calls: int
    errors: int
    spend: int


class Line(msgspec.Struct, frozen=True):
    """A ledger line: a call's charge (below zero, code ``charge``), or a transfer of a lot with its own code."""

    id: UUID
    at: datetime
    code: str
    model: str
    scope: str
    amount_micros: int
    state: str


async def bucket_sums(
    work: Work, organisation_ref: UUID, since_s: int, step_s: int
) -> list[tuple[int, str, str | None, Sums]]:
    """Bucket number, model, error code (None: succeeded) and sums since ``since_s`` (unix seconds)."""
    rows = await work.rows(
        """
        SELECT floor(date_part('epoch', at) / %s)::bigint, model,
               CASE WHEN status >= 400 THEN coalesce(error_code, status::text) END, count(*),
               sum(amount_micros)::bigint,
               sum(input_tokens::bigint + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens
                   + output_tokens + reasoning_tokens + audio_input_tokens + audio_output_tokens)::bigint
        FROM ledger.charge WHERE organisation_ref = %s AND id >= %s GROUP BY 1, 2, 3
        """,
        step_s,
        organisation_ref,
        ids.floor(since_s * 1000),
    )
    return [
        (number, model, code, Sums(calls, 0 if code is None else calls, spend, tokens))
        for number, model, code, calls, spend, tokens in rows
    ]


async def bucket_latencies(
    work: Work, organisation_ref: UUID, since_s: int, step_s: int, bins_per_e: int
) -> list[tuple[int, int, int]]:
    """Bucket number, latency bin and its calls that succeeded; a bin is ``1 / bins_per_e`` of a log wide."""
    rows = await work.rows(
        """
        SELECT floor(date_part('epoch', at) / %s)::bigint, floor(ln(latency_ms + 1) * %s)::integer, count(*)
        FROM ledger.charge WHERE organisation_ref = %s AND id >= %s AND status < 400 GROUP BY 1, 2
        """,
        step_s,
        bins_per_e,
        organisation_ref,
        ids.floor(since_s * 1000),
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def models(work: Work, organisation_ref: UUID, since: datetime) -> list[str]:
    """The models of the organisation's latest calls since then, to choose from."""
    rows = await work.rows(
        """
        SELECT DISTINCT model FROM (
            SELECT model FROM ledger.charge WHERE organisation_ref = %s AND id >= %s ORDER BY id DESC LIMIT 1000
        ) AS latest WHERE model <> '' ORDER BY 1
        """,
        organisation_ref,
        ids.floor(int(since.timestamp() * 1000)),
    )
    return [row[0] for row in rows]


async def key_used(work: Work, organisation_ref: UUID, key_id: UUID, since: datetime) -> Used:
    """What a key used since then."""
    row = await work.row(
        """
        SELECT count(*), count(*) FILTER (WHERE status >= 400), coalesce(sum(amount_micros), 0)::bigint
        FROM ledger.charge WHERE organisation_ref = %s AND id >= %s AND key_id = %s
        """,
        organisation_ref,
        ids.floor(int(since.timestamp() * 1000)),
        key_id,
    )
    assert row is not None
    return Used(*row)


async def lines(
    work: Work, organisation_ref: UUID, *, before: UUID | None, after: UUID | None, limit: int
) -> list[Line]:
    """Ledger lines newest first: charges of calls, and what was added to or taken from lots outside of calls."""
    low, high = after or FIRST_ID, before or LAST_ID
    order: LiteralString = "ORDER BY id DESC LIMIT %s" if after is None else "ORDER BY id LIMIT %s"
    charges: list[Line] = []
    for from_, to in windows(low, high, up=after is not None):
        args = (organisation_ref, from_, to, limit)
        rows = await work.rows(
            _CHARGES + ("ORDER BY id DESC LIMIT %s" if after is None else "ORDER BY id LIMIT %s"), *args
        )
        charges = [Line(*row) for row in rows]
        if len(charges) == limit:
            break
    args = (organisation_ref, low, high, limit)
    moved = await work.rows(_LOTS + order, *args)
    both = sorted([*charges, *(Line(*row) for row in moved)], key=lambda line: line.id, reverse=after is None)[:limit]
    return both if after is None else both[::-1]


_CHARGES: LiteralString = """
    SELECT id, at, 'charge', model, scope, -amount_micros, line_state
    FROM ledger.charge WHERE organisation_ref = %s AND id > %s AND id < %s AND amount_micros > 0
"""
# What moved a lot, other than by a charge: those are listed call by call.
_LOTS: LiteralString = """
    SELECT id, at, code, '', scope, CASE WHEN credit LIKE 'lot:%%' THEN amount_micros ELSE -amount_micros END, 'posted'
    FROM ledger.statement_line
    WHERE organisation_ref = %s AND id > %s AND id < %s AND state IN ('posted', 'post')
      AND (debit LIKE 'lot:%%') <> (credit LIKE 'lot:%%')
      AND debit NOT LIKE 'revenue:usage:%%' AND credit NOT LIKE 'revenue:usage:%%'
"""


async def first_steps(work: Work, organisation_id: UUID, organisation_ref: UUID, since: datetime) -> tuple[bool, bool]:
    """Whether the organisation has a key of its own, and whether it made a call since then."""
    row = await work.row(
        """
        SELECT EXISTS (SELECT FROM access.key WHERE organisation_id = %s AND session_id IS NULL),
               EXISTS (SELECT FROM ledger.charge WHERE organisation_ref = %s AND id >= %s)
        """,
        organisation_id,
        organisation_ref,
        ids.floor(int(since.timestamp() * 1000)),
    )
    assert row is not None
    return row[0], row[1]


async def key_count(work: Work, organisation_id: UUID) -> int:
    """Living keys of an organisation, playground ones left out."""
    count: int = await work.value(
        "SELECT count(*) FROM access.key WHERE organisation_id = %s AND session_id IS NULL AND revoked_at IS NULL",
        organisation_id,
    )
    return count


async def headcount(work: Work) -> tuple[int, int]:
    """Members and organisations of the installation."""
    row = await work.row("SELECT (SELECT count(*) FROM access.member), (SELECT count(*) FROM access.organisation)")
    assert row is not None
    return row[0], row[1]


async def database_time(work: Work) -> datetime:
    """``ruxa.now()``."""
    now: datetime = await work.value("SELECT ruxa.now()")
    return now
