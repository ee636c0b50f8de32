"""Freezes: an organisation's spending and paying stopped, by a dispute or by staff; each has a human review (D44).

Leases are called back at once and none is lent while a freeze lasts (402 ``spending_frozen``). A dispute stops payments
by its method, a person's freeze and card testing all of them; what was paid already is credited all the same.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from ruxa.ledger.payments import records
from ruxa.store.work import Work


class Freeze(msgspec.Struct, frozen=True, kw_only=True):
    """One freeze. cause: ``dispute``, ``card_testing`` or ``staff``; method: of a dispute: payments by it are refused.

    decision: ``lift`` or ``keep``, by a person; None while nobody looked.
    """

    id: UUID
    organisation_ref: UUID
    scope: str
    cause: str
    method: str | None
    ref: UUID | None
    began_at: datetime
    ended_at: datetime | None
    reviewed_at: datetime | None
    reviewed_by: str | None
    decision: str | None


async def of(work: Work, organisation_ref: UUID) -> list[Freeze]:
    """An organisation's freezes, those in force first."""
    return [_freeze(row) for row in await work.rows(records.FREEZES_OF, organisation_ref)]


async def waiting(work: Work) -> list[Freeze]:
    """Automatic freezes that no person has looked at, oldest first, also those that ended by themselves."""
    return [_freeze(row) for row in await work.rows(records.FREEZES_WAITING)]


async def put(work: Work, organisation_ref: UUID, scope: str, by: str) -> UUID:
    """Staff stops an organisation's spending and paying; the freeze's id."""
    made: UUID = await work.value(records.FREEZE_PUT, organisation_ref, scope, by)
    return made


async def review(work: Work, freeze_id: UUID, decision: Literal["lift", "keep"], by: str) -> None:
    """A person decides; ``lift`` ends it. Raises Conflict ``RX076`` when there is no such freeze in force."""
    await work.run(records.FREEZE_REVIEW, freeze_id, decision, by)


def _freeze(row: tuple[object, ...]) -> Freeze:
    return msgspec.convert(dict(zip(records.FREEZE_FIELDS, row, strict=True)), Freeze)
