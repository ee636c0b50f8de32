"""The chart of accounts: the system's own by name, and what every account and every organisation has.

==========================  =========================================================================
``asset:operator_credit``   what the operator gave as credit by hand (live)
``asset:sandbox_credit``    sandbox money, which buys only ``sandbox/*``
``expense:promo``           trials, promotions, compensation
``expense:abandoned``       the platform's losses: generated and not charged
``revenue:usage:live``      charges; ``revenue:usage:sandbox`` likewise
``revenue:breakage``        paid credit that ended unused
``lot:<id>``                one grant of credit (liability)
``shortfall:<scope>:<org>`` charges, refunds and lost disputes that no credit covered; the next credit pays it (asset)
``asset:clearing:<processor>``, ``asset:bank``, ``expense:processor_fees``, ``liability:tax:<jurisdiction>``,
``expense:writeoff:<reason>``  payments (``ledger.payments``); of a sandbox processor with ``:sandbox`` at the end
``budget:issued``, ``budget:used``, ``budget:<scope>:<id>:<period start>``  budgets, in a unit of their own
==========================  =========================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from ruxa.ledger import records
from ruxa.store.work import Work


class Account(msgspec.Struct, frozen=True):
    """One account's sums in micros."""

    code: str
    kind: str
    unit: str
    organisation_ref: UUID | None
    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int


class Balance(msgspec.Struct, frozen=True):
    """What an organisation has of one scope (decision D18), in micros.

    balance_micros: posted credits - posted debits - charges not yet settled; held_micros: the unspent rest of open
    leases and holds, and what refunds and disputes under way keep; debt_micros: its shortfall, which the next credit
    pays first.
    """

    balance_micros: int
    held_micros: int
    debt_micros: int

    @property
    def free_micros(self) -> int:
        """What a new call can use."""
        return self.balance_micros - self.held_micros


class Lot(msgspec.Struct, frozen=True):
    """One grant of credit, in consumption order among its like."""

    id: UUID
    scope: str
    category: str
    priority: int
    effective_at: datetime
    expires_at: datetime | None
    voided_at: datetime | None
    granted_micros: int
    left_micros: int
    held_micros: int


async def every(work: Work) -> list[Account]:
    """All accounts, by code."""
    return [Account(*row) for row in await work.rows(records.ACCOUNTS)]


async def balance(work: Work, organisation_ref: UUID) -> dict[str, Balance]:
    """By scope: ``sandbox`` and ``live``."""
    return {row[0]: Balance(*row[1:]) for row in await work.rows(records.BALANCE, organisation_ref)}


async def balances(work: Work, organisation_refs: Sequence[UUID]) -> dict[UUID, dict[str, Balance]]:
    """``balance`` of many organisations in one statement."""
    found: dict[UUID, dict[str, Balance]] = {ref: {} for ref in organisation_refs}
    for ref, scope, *sums in await work.rows(records.BALANCES, list(organisation_refs)):
        found[ref][scope] = Balance(*sums)
    return found


async def lots(work: Work, organisation_ref: UUID) -> list[Lot]:
    """An organisation's grants of credit."""
    return [Lot(*row) for row in await work.rows(records.LOTS, organisation_ref)]
