"""Reading entries: newest first, opened for a declared purpose while the key of their day lives."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import msgspec

from ruxa.access.audit import log, records
from ruxa.access.audit.log import Fields
from ruxa.kernel import bounds, codec, ids
from ruxa.kernel.errors import Broken, NotFound
from ruxa.store.vault import Vault
from ruxa.store.work import Work

Purpose = Literal["security", "proof"]

KEPT_DAYS: Final = 730
# Entries are looked for in days further and further back, so that a page reads few partitions.
_WINDOWS: Final = (7, 30, 120, KEPT_DAYS + 1)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. ``fields`` is None when the key of its day was destroyed; ``seq`` while it has no place yet.

    ``lasting``: kept 2 years; otherwise as long as usage.
    """

    id: UUID
    at: datetime
    organisation_id: UUID | None
    lasting: bool
    seq: int | None
    fields: Fields | None
    details: Mapping[str, str]

    @property
    def act(self) -> str:
        """What was done; empty when it cannot be read any more."""
        return "" if self.fields is None else self.fields.action

    @property
    def kind(self) -> str:
        """Member, key, staff, operator or system; empty when it cannot be read any more."""
        return "" if self.fields is None else self.fields.kind


class Opened(msgspec.Struct, frozen=True):
    """What an auditor is shown of an entry: its fields and details as text, and the keys to check them with."""

    id: UUID
    fields: str
    salt: bytes
    details: str
    detail_key: bytes


async def page(
    work: Work,
    vault: Vault,
    purpose: Purpose,
    *,
    organisation_id: UUID | None = None,
    actor_id: UUID | None = None,
    below: UUID | None = None,
    limit: int = 50,
) -> list[Entry]:
    """Entries below an id, newest first: of an organisation, of who acted, or all (staff)."""
    indexes = None if actor_id is None else log.pseudonyms(vault, actor_id)
    now = await records.now(work)
    limit = min(limit, bounds.PAGE_ROWS_MAX)
    # Tomorrow's, too: the database's clock and this one's idea of it may differ.
    ceiling = ids.floor(int((now + timedelta(days=1)).timestamp() * 1000)) if below is None else below
    found: list[records.EntryRow] = []
    for days in _WINDOWS:
        floor = ids.floor(int((now - timedelta(days=days)).timestamp() * 1000))
        if floor < ceiling:
            found += await records.entries(
                work,
                floor=floor,
                below=ceiling,
                organisation_id=organisation_id,
                actor_indexes=indexes,
                limit=limit - len(found),
            )
            ceiling = floor
        if len(found) >= limit:
            break
    return [await _entry(vault, row, purpose) for row in found]


async def of_day(
    work: Work, vault: Vault, purpose: Purpose, day: date, organisation_id: UUID, below: UUID | None, limit: int
) -> list[Entry]:
    """An organisation's own entries of a UTC day (not those that last), newest first, from below an id."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    first, after = (ids.floor(int(moment.timestamp() * 1000)) for moment in (start, start + timedelta(days=1)))
    found: list[Entry] = []
    ceiling = after if below is None else below
    while len(found) < limit:
        rows = await records.entries(
            work, floor=first, below=ceiling, organisation_id=organisation_id, actor_indexes=None, limit=limit
        )
        found += [await _entry(vault, row, purpose) for row in rows if row.table == log.CUSTOMER]
        if len(rows) < limit:
            break
        ceiling = rows[-1].id
    return found[:limit]


async def opened(vault: Vault, row: records.EntryRow, purpose: Purpose) -> Opened | None:
    """The whole of an entry; None when the key of its day was destroyed. Raises Broken ``sealed_damaged``."""
    day = _day(row.id)
    try:
        day_key = await vault.day_key(log.DAY_CLASS[row.table], day)
    except NotFound:
        return None
    values: list[str] = []
    for name, sealed in (("fields_sealed", row.fields_sealed), ("details_sealed", row.details_sealed)):
        try:
            value = await vault.open(f"{row.table}.{name}", row.id, row.id, sealed, purpose=purpose, day=day)
        except NotFound:
            # The day's key lives: this was never sealed with it.
            raise Broken("A sealed value is damaged.", code="sealed_damaged") from None
        values.append(value.open(purpose))
    return Opened(row.id, values[0], log.salt(day_key, row.id), values[1], log.detail_key(day_key, row.id))


async def _entry(vault: Vault, row: records.EntryRow, purpose: Purpose) -> Entry:
    shown = await opened(vault, row, purpose)
    return Entry(
        id=row.id,
        at=datetime.fromtimestamp(ids.unix_ms(row.id) / 1000, UTC),
        organisation_id=row.organisation_id,
        lasting=row.table == log.LASTING,
        seq=row.seq,
        fields=None if shown is None else msgspec.json.decode(shown.fields, type=Fields),
        details={} if shown is None else codec.decode(shown.details),
    )


def _day(entry_id: UUID) -> date:
    return datetime.fromtimestamp(ids.unix_ms(entry_id) / 1000, UTC).date()
