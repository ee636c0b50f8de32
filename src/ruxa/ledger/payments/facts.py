"""Facts: the only place where what a processor confirms becomes money. Any number of times, in any order, at once."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from ruxa.egress.processor import Fact
from ruxa.kernel.errors import Conflict, Unavailable
from ruxa.kernel.signals import Sink
from ruxa.ledger.payments import records
from ruxa.store.work import Work

Kept = Literal["waiting", "cleared", "accepted", "dismissed"]
Outcome = Literal["posted", "noted", "unchanged", "parked", "quarantined", "waiting"]
# The database's numbers end there; what is larger is quarantined all the same.
_HUGE: Final = 10**17


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What a fact did.

    outcome: ``posted`` (money moved), ``noted`` (its status alone), ``unchanged`` (known), ``parked`` (a refund or
    dispute whose capture is not known yet: taken up when it is), ``quarantined`` (does not fit, see ``reason``),
    ``waiting`` (``accept`` alone: for a second person).
    """

    outcome: Outcome
    reason: str | None
    fact_id: UUID
    order_id: UUID | None
    organisation_ref: UUID | None


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """A fact as it is known: of an order, or (payouts, some fees) of the processor."""

    id: UUID
    processor: str
    kind: str
    ext_id: str
    order_id: UUID | None
    organisation_ref: UUID | None
    scope: str
    capture_id: UUID | None
    amount_minor: int
    tax_micros: int
    fee_minor: int | None
    refunded_minor: int
    currency: str
    status: str
    at: datetime
    noted_at: datetime


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that does not fit. reading: what the processor said; times: how often it came; asked_by: who accepted a
    large one first.

    reason: ``field``, ``amount``, ``currency``, ``account``, ``mode``, ``order`` (unknown), ``second_capture`` (paid
    twice), ``contradiction`` (it said otherwise before), ``refund_exceeds_capture``, ``capture_unknown`` (parked).
    """

    id: UUID
    processor: str
    kind: str
    ext_id: str
    reason: str
    state: str
    reading: dict[str, object]
    times: int
    first_at: datetime
    last_at: datetime
    asked_by: UUID | None


async def note(
    work: Work,
    processor: str,
    fact: Fact,
    *,
    fingerprint_hash: bytes | None = None,
    signals: Sink | None = None,
) -> Effect:
    """Makes a fact count, once. Needs the login ``worker`` or ``operator``: a door puts a hint instead.

    fingerprint_hash: keyed hash of the card's fingerprint; a saved method and the marks of card testing carry it. What
    is quarantined is told to ``signals`` as ``payment.quarantined``.
    """
    reading = {
        "kind": fact.kind,
        "ext_id": fact.ext_id,
        "order_id": fact.order_id,
        "parent": fact.parent,
        "amount_minor": max(-1, min(fact.amount_minor, _HUGE)),
        "tax_minor": None if fact.tax_minor is None else max(-1, min(fact.tax_minor, _HUGE)),
        "currency": fact.currency,
        "fee_minor": None if fact.fee_minor is None else max(-1, min(fact.fee_minor, _HUGE)),
        "status": fact.status,
        "at": fact.at,
        "livemode": fact.livemode,
        "account": fact.account,
    }
    row = await _noting(work, processor, msgspec.json.encode(reading).decode().replace("\\u0000", "?"))
    effect = Effect(outcome=row[0], reason=row[1], fact_id=row[2], order_id=row[3], organisation_ref=row[4])
    if effect.outcome == "quarantined" and signals is not None:
        signals.emit("payment.quarantined", "error", provider=processor, kind=fact.kind, reason=effect.reason)
    if effect.organisation_ref is not None and effect.outcome != "quarantined" and fact.kind == "capture":
        card = fact.card
        await work.run(
            records.METHOD_SEEN,
            effect.order_id,
            fact.customer,
            fact.saved,
            None if card is None else card.brand,
            None if card is None else card.last4,
            None if card is None else card.exp_month,
            None if card is None else card.exp_year,
            fingerprint_hash,
        )
        if fact.status == "failed" and effect.outcome != "unchanged":
            # A refused card counts against whoever tried it, and against the card (see ``limits``).
            await work.run(records.DECLINED, effect.organisation_ref, None, fingerprint_hash)
    return effect


async def _noting(work: Work, processor: str, reading: str) -> tuple[Any, ...]:
    """A refund and its capture may come at once; then whoever waited begins again."""
    for left in (2, 1, 0):
        try:
            async with work.savepoint():
                row = await work.row(records.FACT_NOTE, processor, reading)
                assert row is not None
                return row
        except Unavailable as error:
            if error.code != "database_busy" or not left:
                raise
    raise AssertionError


async def of_order(work: Work, order_id: UUID) -> list[Noted]:
    """What is known of an order, in the order of knowing."""
    return [_noted(row) for row in await work.rows(records.FACTS_OF_ORDER, order_id)]


async def find(work: Work, fact_id: UUID) -> Noted | None:
    """One fact."""
    row = await work.row(records.FACT, fact_id)
    return None if row is None else _noted(row)


async def quarantined(
    work: Work, *, state: Kept = "waiting", processor: str | None = None, ext_id: str | None = None, limit: int = 100
) -> list[Quarantined]:
    """What waits for a person, or what became of it, oldest first (parked ones once they are a day old)."""
    chosen = (state, processor, processor, ext_id, ext_id, limit)
    return [
        Quarantined(**dict(zip(records.QUARANTINE_FIELDS, row, strict=True)))
        for row in await work.rows(records.QUARANTINE, *chosen)
    ]


async def accept(work: Work, quarantine_id: UUID, by: UUID) -> Effect:
    """Staff: the money is there all the same (``amount``, ``second_capture``): credit it as it is.

    Over the four-eyes bound (with what one person alone accepted for the organisation within a day) it is ``waiting``
    first, for a second person. Raises Conflict ``second_person``, and ``RX076`` when the reason is another or it is
    settled.
    """
    row = await work.row(records.QUARANTINE_ACCEPT, quarantine_id, by)
    assert row is not None
    if row[1] == "second_person":
        raise Conflict("A second, different person must accept it.", code="second_person")
    return Effect(outcome=row[0], reason=row[1], fact_id=row[2], order_id=row[3], organisation_ref=row[4])


async def dismiss(work: Work, quarantine_id: UUID, by: UUID) -> bool:
    """Staff: looked at, nothing to credit; False when it is settled."""
    done: bool = await work.value(records.QUARANTINE_DISMISS, quarantine_id, by)
    return done


async def declare_account(work: Work, processor: str, livemode: bool, account: str) -> None:
    """Whose account at the processor our key belongs to; facts of another are quarantined.

    Undeclared, the first fact says it: it was read with our key. Login ``worker`` or ``operator``.
    """
    await work.run(records.MERCHANT_DECLARE, processor, livemode, account)


def _noted(row: tuple[object, ...]) -> Noted:
    return msgspec.convert(dict(zip(records.FACT_FIELDS, row, strict=True)), Noted)
