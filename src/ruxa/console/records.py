"""What pages read across a period: calls, sums and ledger lines of one organisation, always by key and time.

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
from ruxa.store.work import Work

FIRST_ID = UUID(int=0)
LAST_ID = UUID(int=2**128 - 1)

_CALL: LiteralString = """
    SELECT id, at, key_id, livemode, scope, lease_id, model, provider, upstream_model, dialect, endpoint, stream,
           status, error_code, finish, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
           output_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, images, usage_source, price_id,
           amount_micros, waived_micros, hold_micros, latency_ms, first_token_ms, attempts, lossy, line_state
    FROM ledger.charge
"""
_FILTER: LiteralString = """
    WHERE organisation_ref = %s AND id > %s AND id < %s
      AND (%s::text IS NULL OR model = %s) AND (%s::uuid IS NULL OR key_id = %s)
      AND (%s::text IS NULL OR (status >= 400) = (%s = 'failed'))
"""


class Call(msgspec.Struct, frozen=True):
    """A usage row with the state of its ledger line: ``free``, ``settling`` or ``posted``."""

    id: UUID
    at: datetime
    key_id: UUID
    livemode: bool
    scope: str
    lease_id: UUID | None
    model: str
    provider: str | None
    upstream_model: str | None
    dialect: str
    endpoint: str
    stream: bool
    status: int
    error_code: str | None
    finish: str | None
    input_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_input_tokens: int
    audio_output_tokens: int
    images: int
    usage_source: str
    price_id: UUID | None
    amount_micros: int
    waived_micros: int
    hold_micros: int
    latency_ms: int
    first_token_ms: int | None
    attempts: int
    lossy: list[str]
    line_state: str

    @property
    def shown_id(self) -> str:
        """The answer's ``x-request-id``."""
        return ids.text("req", self.id)

    @property
    def input_total(self) -> int:
        """All tokens that went in."""
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
            + self.audio_input_tokens
        )

    @property
    def output_total(self) -> int:
        """All tokens that came out."""
        return self.output_tokens + self.reasoning_tokens + self.audio_output_tokens

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.input_total + self.output_total


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls; None is any. ``outcome``: ok or failed."""

    model: str | None = None
    key_id: UUID | None = None
    outcome: str | None = None
    since: datetime | None = None


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


class Moved(msgspec.Struct, frozen=True):
    """A transfer of a lease."""

    id: UUID
    at: datetime
    state: str
    code: str
    debit: str
    credit: str
    amount_micros: int


async def calls(
    work: Work, organisation_ref: UUID, asked: Filter, *, before: UUID | None, after: UUID | None, limit: int
) -> list[Call]:
    """Calls newest first: below ``before``, or the ones just above ``after``.

    Looks at the nearest days first: planning over every day's partition costs more than reading a page.
    """
    floor = FIRST_ID if asked.since is None else ids.floor(int(asked.since.timestamp() * 1000))
    found: list[Call] = []
    for low, high in windows(max(after or FIRST_ID, floor), before or LAST_ID, up=after is not None):
        args = (
            organisation_ref,
            low,
            high,
            asked.model,
            asked.model,
            asked.key_id,
            asked.key_id,
            asked.outcome,
            asked.outcome,
            limit,
        )
        if after is None:
            rows = await work.rows(_CALL + _FILTER + "ORDER BY id DESC LIMIT %s", *args)
        else:
            rows = await work.rows(_CALL + _FILTER + "ORDER BY id LIMIT %s", *args)
            rows.reverse()
        found = [Call(*row) for row in rows]
        if len(found) == limit:
            break
    return found


def windows(low: UUID, high: UUID, *, up: bool) -> list[tuple[UUID, UUID]]:
    """Growing ranges of ids between ``low`` and ``high``, from one end: 2 days, 14 days, all."""
    found: list[tuple[UUID, UUID]] = []
    for days in (2, 14):
        span = days * 86_400_000
        if up:
            edge = ids.floor(min(ids.unix_ms(low) + span, 2**48 - 1))
            if low > FIRST_ID and edge < high:
                found.append((low, edge))
        else:
            newest = ids.unix_ms(ids.fresh()) if high == LAST_ID else ids.unix_ms(high)
            edge = ids.floor(max(newest - span, 0))
            if edge > low:
                found.append((edge, high))
    return [*found, (low, high)]


async def call(work: Work, organisation_ref: UUID, request_id: UUID) -> Call | None:
    """One call of the organisation, by its request id."""
    row = await work.row(_CALL + "WHERE id = %s AND organisation_ref = %s", request_id, organisation_ref)
    return None if row is None else Call(*row)


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
_LOTS: LiteralString = """
    SELECT id, at, code, '', scope, CASE WHEN credit LIKE 'lot:%%' THEN amount_micros ELSE -amount_micros END, 'posted'
    FROM ledger.statement_line
    WHERE organisation_ref = %s AND id > %s AND id < %s AND state = 'posted'
      AND code IN ('sandbox_credit', 'credit', 'promo', 'refund', 'compensation', 'correction', 'expired', 'debt')
"""


async def lease_transfers(work: Work, organisation_ref: UUID, lease_id: UUID) -> list[Moved]:
    """The transfers of a lease, in the order of the books."""
    rows = await work.rows(
        """
        SELECT id, at, state, code, debit, credit, amount_micros FROM ledger.statement_line
        WHERE ref = %s AND organisation_ref = %s ORDER BY seq
        """,
        lease_id,
        organisation_ref,
    )
    return [Moved(*row) for row in rows]


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
