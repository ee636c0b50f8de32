"""Saved methods: what a processor keeps for charges without the customer. Known here: id, brand, last digits."""

from __future__ import annotations

from uuid import UUID

import msgspec

from ruxa.ledger.payments import records
from ruxa.store.work import Work


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """A saved method; ``saved`` and ``customer`` are the processor's ids."""

    processor: str
    saved: str
    customer: str | None
    method: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None


async def listed(work: Work, organisation_ref: UUID) -> list[Method]:
    """An organisation's saved methods, newest first."""
    return [
        msgspec.convert(dict(zip(records.METHOD_FIELDS, row, strict=True)), Method)
        for row in await work.rows(records.METHODS, organisation_ref)
    ]


async def remove(work: Work, organisation_ref: UUID, processor: str, saved: str) -> bool:
    """Forgets a method, and ends the auto top-up that used it; False when there is none."""
    gone: bool = await work.value(records.METHOD_REMOVE, organisation_ref, processor, saved)
    return gone


async def customer(work: Work, organisation_ref: UUID, processor: str) -> str | None:
    """The processor's id of the organisation, if it has one there."""
    found: str | None = await work.value(records.CUSTOMER, organisation_ref, processor)
    return found


async def put_customer(work: Work, organisation_ref: UUID, processor: str, ext_id: str) -> str:
    """Notes the processor's id; the one that holds (the first that was noted)."""
    held: str = await work.value(records.CUSTOMER_PUT, organisation_ref, processor, ext_id)
    return held
