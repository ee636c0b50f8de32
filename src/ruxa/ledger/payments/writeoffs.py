"""Write-offs and what they end: debts, line by line, each given up to an account that says why; never cut off."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from ruxa.kernel import ids
from ruxa.kernel.errors import InvalidCall
from ruxa.ledger.payments import orders, records
from ruxa.store.work import Work

_ACCOUNT: Final = re.compile(r"[a-z_]{2,40}")


class Debt(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a debt. code: why (``shortfall``, ``refund_debt``, ``dispute_debt``) or how it was paid (``debt``,
    ``writeoff``); ref: the lease, refund, dispute or lot; amount_micros: positive when it made the debt larger."""

    id: UUID
    at: datetime
    scope: str
    code: str
    ref: UUID | None
    amount_micros: int
    pending: bool


async def post(
    work: Work, organisation_ref: UUID, amount_micros: int, account: str, reason_sealed: bytes | None, *, by: str,
    scope: str = "live", wish_id: UUID | None = None,
) -> UUID | None:  # fmt: skip
    """Gives up so much of a debt, to ``expense:writeoff:<account>`` (``bad_debt``, ``goodwill``, ``fraud``...).

    Its id; None when over the bound a second person must approve. Raises Conflict ``no_debt`` (more than is owed).
    """
    if _ACCOUNT.fullmatch(account) is None or not 0 < amount_micros <= orders.ORDER_MICROS_MAX:
        raise InvalidCall("A write-off has an amount, at most 1,000,000 USD, and a named account.", code="bad_writeoff")
    wish_id = wish_id or ids.fresh()
    made: bool = await work.value(
        records.WISH_PUT, wish_id, "writeoff", organisation_ref, scope, amount_micros, account, reason_sealed, by
    )
    return wish_id if made else None


async def debts(work: Work, organisation_ref: UUID, *, limit: int = 200) -> list[Debt]:
    """What an organisation owes, line by line, newest first; their sum is its ``debt_micros``."""
    return [
        msgspec.convert(dict(zip(records.DEBT_FIELDS, row, strict=True)), Debt)
        for row in await work.rows(records.DEBTS, organisation_ref, limit)
    ]
