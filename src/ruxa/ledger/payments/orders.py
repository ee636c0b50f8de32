"""Orders: top-ups that customers asked for. Their state follows from their facts; money comes from ``facts`` only."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import msgspec

from ruxa.egress import processor
from ruxa.kernel import ids
from ruxa.kernel.errors import Conflict, InvalidCall
from ruxa.ledger.payments import records
from ruxa.store.work import Work

Kind = Literal["checkout", "auto", "manual"]
Scope = Literal["live", "sandbox"]
State = Literal[
    "open", "pending", "paid", "partial", "failed", "canceled", "expired", "refunded", "disputed", "charged_back"
]  # fmt: skip
OPEN: Final[tuple[State, ...]] = ("open", "pending", "partial")

MICROS_PER_MINOR: Final = 10_000
ORDER_MICROS_MAX: Final = 1_000_000_000_000
# Crockford's digits: none that is read as another.
_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LAST: Final = UUID(int=2**128 - 1)
_REFUSALS: Final = {
    "payments_stopped": "Payments are stopped while we look at this account; write to us.",
    "method_blocked": "A payment by this method is in dispute; choose another method or write to us.",
    "too_many_open_orders": "Too many payments are open; finish or cancel one first.",
}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One order; micros.

    amount_micros: the credit; tax_micros: on top of it; both are paid (``total_minor``). received_minor: what captures
    brought, tax included; refunded_minor: what went back; difference_minor: received - total, where something was
    received. ext_id, url: the processor's checkout, once bound; the url only while the order is open.
    """

    id: UUID
    reference: str
    organisation_ref: UUID
    scope: Scope
    processor: str
    method: str
    kind: Kind
    state: State
    amount_micros: int
    tax_micros: int
    tax_code: str
    currency: str
    save_method: bool
    ext_id: str | None
    url: str | None
    received_minor: int
    refunded_minor: int
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None

    @property
    def amount_minor(self) -> int:
        """The credit in cents."""
        return self.amount_micros // MICROS_PER_MINOR

    @property
    def tax_minor(self) -> int:
        """The tax in cents."""
        return self.tax_micros // MICROS_PER_MINOR

    @property
    def total_minor(self) -> int:
        """What is to be paid, in cents."""
        return self.amount_minor + self.tax_minor

    @property
    def difference_minor(self) -> int:
        """Over-payment (positive) or what is missing (negative) of an order of which something was received."""
        return self.received_minor - self.total_minor if self.received_minor else 0


def told(order: Order, *, success_url: str, cancel_url: str, customer: str | None = None) -> processor.Order:
    """What of an order leaves the house: a random reference and an amount; no name, no address, no organisation."""
    return processor.Order(
        id=order.id,
        reference=order.reference,
        amount_minor=order.amount_minor,
        tax_minor=order.tax_minor,
        currency=order.currency,
        description=f"Prepaid API credit, {order.reference}",
        method=order.method,
        customer=customer,
        save_method=order.save_method,
        success_url=success_url,
        cancel_url=cancel_url,
        expires_at=order.expires_at,
        livemode=order.scope == "live",
    )


async def create(
    work: Work,
    organisation_ref: UUID,
    *,
    amount_micros: int,
    tax_micros: int,
    processor: str,
    method: str,
    kind: Kind,
    scope: Scope,
    save_method: bool,
    expires_at: datetime,
    tax_code: str = "none",
    order_id: UUID | None = None,
) -> Order:
    """An open order. ``order_id``: the caller's own id makes a repeat harmless.

    Raises InvalidCall ``amount_out_of_range`` (not positive, no whole cents, over a million), Conflict
    ``payments_stopped``, ``method_blocked``, ``too_many_open_orders``.
    """
    checked(amount_micros, tax_micros)
    made = order_id or ids.fresh()
    refusal: str | None = await work.value(
        records.ORDER_CREATE,
        made,
        reference(),
        organisation_ref,
        amount_micros,
        tax_micros,
        tax_code,
        processor,
        method,
        kind,
        scope,
        save_method,
        expires_at,
        work.principal,
    )
    if refusal is not None:
        raise Conflict(_REFUSALS[refusal], code=refusal)
    order = await find(work, made)
    assert order is not None
    return order


def checked(amount_micros: int, tax_micros: int = 0) -> None:
    """Raises InvalidCall ``amount_out_of_range`` unless both are whole cents, the first positive, neither huge."""
    if (
        not 0 < amount_micros <= ORDER_MICROS_MAX
        or not 0 <= tax_micros <= amount_micros
        or amount_micros % MICROS_PER_MINOR
        or tax_micros % MICROS_PER_MINOR
    ):
        raise InvalidCall(
            "An amount is a positive whole number of cents, at most 1,000,000 USD.", code="amount_out_of_range"
        )


async def bind(work: Work, order_id: UUID, ext_id: str, url: str | None) -> None:
    """Notes the processor's checkout. Raises Conflict ``RX070`` (no such order), ``RX005`` (bound to another)."""
    await work.run(records.ORDER_BIND, order_id, ext_id, url)


async def close(work: Work, order_id: UUID, how: Literal["canceled", "expired"]) -> bool:
    """Ends an order that nothing was received for; False when it has ended. Money that comes later still counts."""
    done: bool = await work.value(records.ORDER_CLOSE, order_id, how)
    return done


async def find(work: Work, order_id: UUID, organisation_ref: UUID | None = None) -> Order | None:
    """One order; of that organisation only, when it is given."""
    row = await work.row(records.ORDER, order_id, organisation_ref, organisation_ref)
    return None if row is None else _order(row)


async def by_reference(work: Work, shown: str) -> Order | None:
    """The order that a bank transfer names: spaces, case and look-alike letters do not matter."""
    digits = "".join(c for c in shown.upper().translate(_ALIKE) if c in _DIGITS)
    row = await work.row(records.ORDER_BY_REFERENCE, f"RX-{digits[-8:-4]}-{digits[-4:]}") if len(digits) >= 8 else None
    return None if row is None else _order(row)


_ALIKE: Final = str.maketrans("OIL", "011")


async def listed(
    work: Work,
    organisation_ref: UUID | None = None,
    *,
    before: UUID | None = None,
    state: State | None = None,
    processor: str | None = None,
    limit: int = 50,
) -> list[Order]:
    """Orders, newest first (of everybody when no organisation is named); ``before``: the last id of the page before."""
    asked = (organisation_ref, organisation_ref, before or LAST, state, state, processor, processor, limit)
    return [_order(row) for row in await work.rows(records.ORDERS, *asked)]


async def open_older(work: Work, seconds: int, *, processor: str | None = None, limit: int = 100) -> list[Order]:
    """For the poller: bound orders that wait for money, older than ``seconds`` and not asked about as long.

    Marks them as asked about now, so that two pollers do not ask about the same. An order is asked about until a day
    after its end, one that is ``pending`` as long as it is.
    """
    return [_order(row) for row in await work.rows(records.ORDERS_POLL, processor, seconds, limit)]


async def expire(work: Work, *, limit: int = 100) -> int:
    """Closes open orders that ended an hour ago; how many."""
    count: int = await work.value(records.ORDERS_EXPIRE, limit)
    return count


def reference() -> str:
    """A fresh reference, as people copy it: ``RX-7K2M-0QZD``."""
    digits = "".join(secrets.choice(_DIGITS) for _ in range(8))
    return f"RX-{digits[:4]}-{digits[4:]}"


def _order(row: tuple[object, ...]) -> Order:
    return msgspec.convert(dict(zip(records.ORDER_FIELDS, row, strict=True)), Order)
