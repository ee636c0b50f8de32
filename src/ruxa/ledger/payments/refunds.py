"""Refunds: asked for, approved by a second person when large, sent with a key of their own, done when the fact says so.

A refund goes back where the money came from, in its currency, at most what was captured and not refunded, and never
while a dispute is open (decision D25). The unspent part is held from the moment of asking.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import msgspec

from ruxa.egress.processor import Fact
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict, NotFound
from ruxa.ledger.payments import facts, orders, people, records
from ruxa.store.work import Work

State = Literal["waiting", "approved", "sending", "sent", "done", "failed", "canceled"]
_REFUSALS: Final = {
    "refund_exceeds_capture": "More than was paid and not yet refunded.",
    "refund_exceeds_unspent": "More than is unspent of this payment.",
    "dispute_open": "This payment is in dispute; a refund waits for its end.",
    "not_captured": "Nothing was received for this order.",
    "second_person": "A second person must approve it.",
    "wrong_state": "This refund is not waiting for that.",
}


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """One refund. amount: gross, tax included; tax_micros: the part of it that is tax; key: the processor's
    idempotency key is the refund's id; capture_ext_id: what the processor is asked to refund."""

    id: UUID
    order_id: UUID
    organisation_ref: UUID
    scope: str
    processor: str
    capture_ext_id: str
    amount_minor: int
    tax_micros: int
    state: State
    reason_sealed: bytes | None
    asked_by: str
    approved_by: str | None
    fact_id: UUID | None
    failure: str | None
    tries: int
    created_at: datetime
    changed_at: datetime

    @property
    def amount_micros(self) -> int:
        """The amount in micros."""
        return self.amount_minor * orders.MICROS_PER_MINOR


async def ask(
    work: Work,
    organisation_ref: UUID,
    order_id: UUID,
    amount_micros: int,
    reason_sealed: bytes | None,
    by: str,
    *,
    beyond_unspent: bool = False,
    refund_id: UUID | None = None,
) -> Refund:
    """Wishes a refund and holds what is unspent. ``waiting`` when over the four-eyes bound, else ``approved``.

    by: who asks (``member:<hex>``, ``staff:<hex>``); beyond_unspent: staff's choice, the rest becomes a debt. The
    row that the reason is sealed for is ``refund_id``. Raises Conflict ``refund_exceeds_capture``,
    ``refund_exceeds_unspent``, ``dispute_open``, ``not_captured``, ``person_unnamed``; NotFound; InvalidCall
    ``amount_out_of_range``.
    """
    orders.checked(amount_micros)
    made = refund_id or ids.fresh()
    refusal: str | None = await work.value(
        records.REFUND_ASK,
        made,
        organisation_ref,
        order_id,
        amount_micros // orders.MICROS_PER_MINOR,
        reason_sealed,
        by,
        beyond_unspent,
    )
    if refusal == "no_order":
        raise NotFound("No such order.")
    if refusal is not None:
        raise Conflict(_REFUSALS[refusal], code=refusal)
    refund = await find(work, made)
    assert refund is not None
    if refund.state == "waiting" and refund.scope == "live" and not people.named(by):
        raise people.unnamed()
    return refund


async def approve(work: Work, refund_id: UUID, by: str) -> None:
    """The second pair of eyes. Raises Conflict ``second_person`` (the asker's own), ``wrong_state``."""
    _refuse(await work.value(records.REFUND_APPROVE, refund_id, by))


async def cancel(work: Work, refund_id: UUID, by: str) -> None:
    """Drops a refund that was not sent; what it held is free again. Raises Conflict ``wrong_state``."""
    _refuse(await work.value(records.REFUND_CANCEL, refund_id, by))


async def due(work: Work, *, limit: int = 20) -> list[Refund]:
    """Refunds to send now, marked ``sending`` for two minutes; again with the same id as key when no answer came.

    None whose payment is in dispute, none without approval.
    """
    due_now = [row[0] for row in await work.rows(records.REFUNDS_DUE, limit)]
    return [_refund(row) for row in await work.rows(records.REFUNDS_OF, due_now)]


async def sent(work: Work, refund_id: UUID, fact: Fact) -> facts.Effect:
    """The processor took it: ties its fact to the refund and notes it."""
    processor: str = await work.value(records.REFUND_SENT, refund_id, fact.ext_id)
    return await facts.note(work, processor, fact)


async def refused(work: Work, refund_id: UUID, code: str, *, final: bool) -> None:
    """The processor said no. final: it never will; what was held is free again. Else it is sent again later."""
    await work.run(records.REFUND_REFUSED, refund_id, code, final)


async def find(work: Work, refund_id: UUID) -> Refund | None:
    """One refund."""
    row = await work.row(records.REFUND, refund_id)
    return None if row is None else _refund(row)


async def listed(
    work: Work,
    *,
    order_id: UUID | None = None,
    organisation_ref: UUID | None = None,
    state: State | None = None,
    before: UUID | None = None,
    limit: int = 100,
) -> list[Refund]:
    """Refunds, newest first, from below ``before``; of an order or organisation, in a state."""
    chosen = (order_id, order_id, organisation_ref, organisation_ref, state, state)
    rows = await work.rows(records.REFUNDS, *chosen, before or orders.LAST, limit)
    return [_refund(row) for row in rows]


async def refundable(work: Work, order_id: UUID) -> int:
    """Micros that can be refunded of an order without making a debt: unspent, captured, not asked for yet."""
    micros: int = await work.value(records.REFUNDABLE, order_id)
    return micros


def _refuse(refusal: str | None) -> None:
    if refusal is not None:
        raise Conflict(_REFUSALS[refusal], code=refusal)


def _refund(row: tuple[object, ...]) -> Refund:
    return msgspec.convert(dict(zip(records.REFUND_FIELDS, row, strict=True)), Refund)
