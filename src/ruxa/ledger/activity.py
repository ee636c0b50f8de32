"""Activity: an organisation's calls as people and scripts read them, newest first; each its own ledger line (D18).

Lists go by id, which is time-ordered and the partitions' key, so a page costs the same at any depth; the index that
carries them is ``usage_organisation (organisation_ref, id)``.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from ruxa.kernel import ids
from ruxa.ledger import records
from ruxa.ledger.statements import LineState
from ruxa.store.work import Work

FIRST_ID = UUID(int=0)
LAST_ID = UUID(int=2**128 - 1)


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
    hold_micros: int
    latency_ms: int
    first_token_ms: int | None
    attempts: int
    lossy: list[str]
    line_state: LineState

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


ANY = Filter()


async def calls(
    work: Work,
    organisation_ref: UUID,
    asked: Filter = ANY,
    *,
    before: UUID | None = None,
    after: UUID | None = None,
    limit: int = 100,
) -> list[Call]:
    """Calls newest first: below ``before``, or the ones just above ``after``.

    Looks at the nearest days first: planning over every day's partition costs more than reading a page.
    """
    floor = FIRST_ID if asked.since is None else ids.floor(int(asked.since.timestamp() * 1000))
    found: list[Call] = []
    for low, high in windows(max(after or FIRST_ID, floor), before or LAST_ID, up=after is not None):
        rows = await work.rows(
            records.CALLS_DOWN if after is None else records.CALLS_UP,
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
        found = [Call(*row) for row in (rows if after is None else reversed(rows))]
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
    """One call of the organisation, by its x-request-id."""
    row = await work.row(records.CALL_OF, request_id, organisation_ref)
    return None if row is None else Call(*row)


async def find(work: Work, request_id: UUID) -> Call | None:
    """One call of whichever organisation, by its x-request-id; None when there is none."""
    row = await work.row(records.CALL, request_id)
    return None if row is None else Call(*row)
