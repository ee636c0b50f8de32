"""Activity: an organisation's calls as people and scripts read them, newest first; each its own ledger line (D18)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from ruxa.ledger import records
from ruxa.ledger.statements import LineState
from ruxa.store.work import Work

_LAST = UUID(int=2**128 - 1)


class Call(msgspec.Struct, frozen=True):
    """One call: the columns of its usage row. ``line_state``: free, settling or posted (``statements.ChargeLine``)."""

    id: UUID
    at: datetime
    organisation_ref: UUID
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
    latency_ms: int
    first_token_ms: int | None
    attempts: int
    lossy: list[str]
    line_state: LineState


async def page(
    work: Work,
    organisation_ref: UUID,
    *,
    since: datetime | None = None,
    before: UUID | None = None,
    limit: int = 100,
) -> list[Call]:
    """Calls from ``since`` on, below ``before`` (the last id of the page before)."""
    rows = await work.rows(records.CALLS, organisation_ref, before or _LAST, since, limit)
    return [Call(*row) for row in rows]


async def find(work: Work, request_id: UUID) -> Call | None:
    """One call by its x-request-id; None when there is none."""
    row = await work.row(records.CALL, request_id)
    return None if row is None else Call(*row)
