"""The fields of Stripe's objects that we look at; all others are dropped where they arrive."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

_T = TypeVar("_T")


class Page(msgspec.Struct, Generic[_T], frozen=True):
    """One page of a list."""

    data: list[_T]
    has_more: bool


class Account(msgspec.Struct, frozen=True):
    """Whose key it is."""

    id: str


class Customer(msgspec.Struct, frozen=True):
    """A customer; ``deleted`` when it was."""

    id: str
    deleted: bool = False


class Portal(msgspec.Struct, frozen=True):
    """A session of the billing portal."""

    url: str


class CardDetails(msgspec.Struct, frozen=True):
    """What is known of a card."""

    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    fingerprint: str | None = None


class MethodDetails(msgspec.Struct, frozen=True):
    """How a charge was paid."""

    card: CardDetails | None = None


class Books(msgspec.Struct, frozen=True):
    """A balance transaction: what an object did to our balance."""

    id: str
    amount: int
    fee: int
    net: int
    currency: str
    created: int
    reporting_category: str = "other"
    source: Source | str | None = None


class Source(msgspec.Struct, frozen=True):
    """What a balance transaction is about, expanded."""

    id: str
    object: str = ""
    payment_intent: str | None = None
    metadata: dict[str, str] | None = None


class Charge(msgspec.Struct, frozen=True):
    """One charge of a payment."""

    id: str
    created: int
    status: str = ""
    amount_refunded: int = 0
    disputed: bool = False
    payment_intent: str | None = None
    balance_transaction: Books | str | None = None
    payment_method_details: MethodDetails | None = None


class Intent(msgspec.Struct, frozen=True):
    """A PaymentIntent: one payment, however many charges it takes."""

    id: str
    amount: int
    currency: str
    status: str
    created: int
    livemode: bool
    amount_received: int = 0
    metadata: dict[str, str] | None = None
    customer: str | None = None
    payment_method: str | None = None
    setup_future_usage: str | None = None
    latest_charge: Charge | str | None = None


class Total(msgspec.Struct, frozen=True):
    """The parts of a session's total."""

    amount_tax: int = 0


class Session(msgspec.Struct, frozen=True):
    """A Checkout session."""

    id: str
    status: str | None
    payment_status: str
    created: int
    expires_at: int
    livemode: bool
    amount_total: int | None = None
    currency: str | None = None
    url: str | None = None
    client_reference_id: str | None = None
    metadata: dict[str, str] | None = None
    payment_intent: Intent | str | None = None
    total_details: Total | None = None


class Refund(msgspec.Struct, frozen=True):
    """A refund."""

    id: str
    amount: int
    currency: str
    created: int
    status: str | None = None
    payment_intent: Intent | str | None = None


class Dispute(msgspec.Struct, frozen=True):
    """A dispute."""

    id: str
    amount: int
    currency: str
    created: int
    status: str
    livemode: bool
    payment_intent: str | None = None
    balance_transactions: list[Books] = []


class Payout(msgspec.Struct, frozen=True):
    """Money on its way from Stripe's balance to the bank."""

    id: str
    amount: int
    currency: str
    created: int
    status: str
    livemode: bool


class ErrorIntent(msgspec.Struct, frozen=True):
    """The payment that an error is about."""

    id: str = ""


class Trouble(msgspec.Struct, frozen=True):
    """What Stripe says when it refuses."""

    type: str = ""
    code: str | None = None
    decline_code: str | None = None
    advice_code: str | None = None
    payment_intent: ErrorIntent | None = None


class Refusal(msgspec.Struct, frozen=True):
    """The body of an error."""

    error: Trouble


class EventObject(msgspec.Struct, frozen=True):
    """The object of an event: where to look, never what to believe."""

    id: str
    client_reference_id: str | None = None
    metadata: dict[str, str] | None = None


class EventData(msgspec.Struct, frozen=True):
    """An event's payload."""

    object: EventObject


class Event(msgspec.Struct, frozen=True):
    """An event, as a webhook carries it and as the list shows it."""

    id: str
    type: str
    created: int
    livemode: bool
    data: EventData
    account: str | None = None
