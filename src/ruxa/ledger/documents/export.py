"""Ledger lines and calls as CSV, streamed page by page: any number of lines in the memory of one page."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from ruxa.kernel import ids
from ruxa.kernel.money import usd
from ruxa.ledger import activity
from ruxa.ledger.documents import records
from ruxa.ledger.leases import Works

PAGE: Final = 2000
LINE_COLUMNS: Final = ("id", "time", "state", "code", "debit", "credit", "amount_usd", "scope", "reference", "lot")
CALL_COLUMNS: Final = (
    "id", "time", "key", "scope", "model", "provider", "status", "input_tokens", "cache_read_tokens",
    "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens", "images", "usage_source",
    "price", "amount_usd", "waived_usd", "state",
)  # fmt: skip
_FIRST: Final = UUID(int=0)
# What a spreadsheet would take for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


async def ledger_lines(
    works: Works, organisation_ref: UUID, since: datetime, until: datetime, *, page: int = PAGE
) -> AsyncGenerator[bytes, None]:
    """An organisation's transfers of money from ``since`` to before ``until``, oldest first, as CSV with a head.

    Each page is read in a transaction of its own: a reader that is slow holds no connection.
    """
    yield table([LINE_COLUMNS])
    after = _FIRST
    while True:
        async with works.work("export") as work:
            rows = await work.rows(records.LINES_UP, organisation_ref, after, since, until, page)
        if rows:
            after = rows[-1][0]
            yield table(
                (
                    ids.text("xfer", row[0]), row[1].isoformat(), row[2], row[3], row[4], row[5], usd(row[6]), row[7],
                    "" if row[8] is None else row[8].hex, "" if row[9] is None else ids.text("lot", row[9]),
                )
                for row in rows
            )  # fmt: skip
        if len(rows) < page:
            return


async def calls(
    works: Works, organisation_ref: UUID, since: datetime, until: datetime, *, page: int = PAGE
) -> AsyncGenerator[bytes, None]:
    """An organisation's calls of that time, oldest first, as CSV with a head; as far back as the usage limit."""
    yield table([CALL_COLUMNS])
    after, before = (ids.floor(int(moment.timestamp() * 1000)) for moment in (since, until))
    while True:
        async with works.work("export") as work:
            newest_first = await activity.calls(work, organisation_ref, after=after, before=before, limit=page)
        found = newest_first[::-1]
        if found:
            after = found[-1].id
            yield table(
                (
                    ids.text("req", one.id), one.at.isoformat(), ids.text("key", one.key_id),
                    one.scope, one.model, one.provider or "", one.status, one.input_tokens, one.cache_read_tokens,
                    one.cache_write_5m_tokens, one.cache_write_1h_tokens, one.output_tokens, one.reasoning_tokens,
                    one.images, one.usage_source, "" if one.price_id is None else ids.text("price", one.price_id),
                    usd(one.amount_micros), usd(one.waived_micros), one.line_state,
                )
                for one in found
            )  # fmt: skip
        if len(found) < page:
            return


def table(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows as CSV (RFC 4180); nothing in it is a formula."""
    text = io.StringIO()
    csv.writer(text).writerows([cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def cell(value: object) -> str:
    """A value as a spreadsheet may read it. Amounts of ours begin with a minus and stay numbers."""
    if value is None:
        return ""
    shown = str(value)
    if shown.startswith("-") and shown[1:].replace(".", "", 1).isdecimal():
        return shown
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
