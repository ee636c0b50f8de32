"""Inbox: verified hints, each taken in once, waiting until somebody has looked (webhook, event list, return page)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from ruxa.egress.processor import Hint
from ruxa.ledger.payments import records
from ruxa.store.work import Work


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A hint that is to be looked at now. tries: how often that failed."""

    processor: str
    event_id: str
    kind: str
    ext_id: str
    order_id: UUID | None
    received_at: datetime
    tries: int


async def put(work: Work, processor: str, hint: Hint) -> bool:
    """Takes a hint in; False when this very event is known. A return page's own: ``event_id="return:<order>:<n>"``."""
    new: bool = await work.value(
        records.INBOX_PUT, processor, hint.event_id, hint.kind, hint.ext_id, hint.order_id, hint.at
    )
    return new


async def due(work: Work, *, processor: str | None = None, limit: int = 50) -> list[Due]:
    """Takes hints for this caller for two minutes; who dies with them leaves them to the next."""
    return [
        Due(**dict(zip(records.INBOX_FIELDS, row, strict=True)))
        for row in await work.rows(records.INBOX_DUE, processor, limit)
    ]


async def done(work: Work, processor: str, event_id: str, *, what: str = "done") -> None:
    """It was looked at. what: ``done``, or ``ignored`` (nothing that moves money)."""
    await work.run(records.INBOX_DONE, processor, event_id, what)


async def failed(work: Work, processor: str, event_id: str, code: str) -> None:
    """Looking failed (``code``): again in 10 s, 20 s, ... at most an hour."""
    await work.run(records.INBOX_FAILED, processor, event_id, code)


async def newest(work: Work, processor: str) -> datetime | None:
    """When the newest known event happened."""
    at: datetime | None = await work.value(records.INBOX_NEWEST, processor)
    return at


async def looked(work: Work, processor: str, *, livemode: bool) -> datetime | None:
    """Up to when the processor's list of events was read without a gap; None when never."""
    until: datetime | None = await work.value(records.LOOKED, processor, livemode)
    return until


async def put_looked(work: Work, processor: str, until: datetime, *, livemode: bool) -> None:
    """It was read up to there. Never goes back. Login ``worker`` or ``operator``."""
    await work.run(records.LOOKED_PUT, processor, livemode, until)
