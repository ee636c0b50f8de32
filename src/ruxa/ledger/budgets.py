"""Budgets: what a key or an organisation may spend in a day, a month (UTC) or in all (decision D20).

A budget's period is an account that cannot be overdrawn; every lease draws on it together with the balance, so two
processes cannot overspend it.
"""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import msgspec

from ruxa.ledger import records
from ruxa.store.work import Work

BudgetScope = Literal["key", "organisation"]
Period = Literal["day", "month", "total"]


class Budget(msgspec.Struct, frozen=True):
    """A limit and how far its running period is used; micros. held: lent to workers and not spent yet."""

    limit_micros: int | None
    period: Period
    period_start: str
    used_micros: int
    held_micros: int


async def put(
    work: Work,
    scope: BudgetScope,
    scope_id: UUID,
    organisation_ref: UUID,
    *,
    limit_micros: int | None,
    period: Period,
) -> None:
    """Sets, raises, lowers or (None) lifts a limit; it holds from the next lease on, within the 30 s of a lease.

    A key whose grant names a ``budget_scope`` cannot spend before its budget is put.
    """
    await work.run(records.BUDGET_PUT, scope, scope_id, organisation_ref, limit_micros, period)


async def state(work: Work, scope: BudgetScope, scope_id: UUID) -> Budget | None:
    """The limit and the running period; None when there is no budget."""
    row = await work.row(records.BUDGET, scope, scope_id)
    return None if row is None else Budget(*row)
