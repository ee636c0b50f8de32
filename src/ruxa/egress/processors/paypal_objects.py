"""The fields of PayPal's objects that we look at; all others are dropped where they arrive."""

from __future__ import annotations

import msgspec


class Token(msgspec.Struct, frozen=True):
    """An access token; it lives ``expires_in`` seconds."""

    access_token: str
    expires_in: int


class Money(msgspec.Struct, frozen=True):
    """An amount as a decimal text."""

    currency_code: str
    value: str


class Link(msgspec.Struct, frozen=True):
    """Where to go on."""

    href: str
    rel: str


class Payee(msgspec.Struct, frozen=True):
    """Whose account it is."""

    merchant_id: str = ""


class Breakdown(msgspec.Struct, frozen=True):
    """What PayPal keeps of a capture."""

    paypal_fee: Money | None = None


class Related(msgspec.Struct, frozen=True):
    """Ids of related objects."""

    order_id: str | None = None


class Supplement(msgspec.Struct, frozen=True):
    """What a capture belongs to."""

    related_ids: Related | None = None


class Capture(msgspec.Struct, frozen=True):
    """Money taken."""

    id: str
    status: str
    amount: Money
    create_time: str
    custom_id: str | None = None
    payee: Payee | None = None
    seller_receivable_breakdown: Breakdown | None = None
    supplementary_data: Supplement | None = None


class Refund(msgspec.Struct, frozen=True):
    """Money given back."""

    id: str
    status: str
    amount: Money
    create_time: str
    custom_id: str | None = None
    links: list[Link] = []


class Payments(msgspec.Struct, frozen=True):
    """What became of an order."""

    captures: list[Capture] = []
    refunds: list[Refund] = []


class Unit(msgspec.Struct, frozen=True):
    """What is bought."""

    amount: Money | None = None
    custom_id: str | None = None
    payee: Payee | None = None
    payments: Payments | None = None


class Customer(msgspec.Struct, frozen=True):
    """PayPal's own id of a customer."""

    id: str | None = None


class Vault(msgspec.Struct, frozen=True):
    """A saved method."""

    id: str | None = None
    status: str | None = None
    customer: Customer | None = None


class Attributes(msgspec.Struct, frozen=True):
    """What was kept of a payment source."""

    vault: Vault | None = None


class Wallet(msgspec.Struct, frozen=True):
    """A PayPal account as a payment source; whose it is is not looked at."""

    attributes: Attributes | None = None


class Source(msgspec.Struct, frozen=True):
    """What is paid with."""

    paypal: Wallet | None = None


class Order(msgspec.Struct, frozen=True):
    """An order."""

    id: str
    status: str
    create_time: str | None = None
    purchase_units: list[Unit] = []
    payment_source: Source | None = None
    links: list[Link] = []


class Disputed(msgspec.Struct, frozen=True):
    """The payment that a dispute is about."""

    seller_transaction_id: str = ""
    custom: str | None = None


class Outcome(msgspec.Struct, frozen=True):
    """How a dispute ended."""

    outcome_code: str = ""


class Movement(msgspec.Struct, frozen=True):
    """Money that a dispute moved."""

    affected_party: str = ""
    type: str = ""
    reason: str = ""
    amount: Money | None = None


class Dispute(msgspec.Struct, frozen=True):
    """A dispute."""

    dispute_id: str
    create_time: str
    status: str
    dispute_amount: Money
    disputed_transactions: list[Disputed] = []
    dispute_outcome: Outcome | None = None
    money_movements: list[Movement] = []


class Issue(msgspec.Struct, frozen=True):
    """One reason of a refusal."""

    issue: str = ""


class Refusal(msgspec.Struct, frozen=True):
    """The body of an error."""

    name: str = ""
    error: str = ""
    details: list[Issue] = []
    links: list[Link] = []


class Verified(msgspec.Struct, frozen=True):
    """What PayPal itself thinks of a webhook."""

    verification_status: str


class EventResource(msgspec.Struct, frozen=True):
    """The object of an event: where to look, never what to believe."""

    id: str | None = None
    dispute_id: str | None = None
    custom_id: str | None = None
    payee: Payee | None = None
    purchase_units: list[Unit] = []


class Event(msgspec.Struct, frozen=True):
    """An event, as a webhook carries it and as the list shows it."""

    id: str
    event_type: str
    create_time: str
    resource: EventResource


class Events(msgspec.Struct, frozen=True):
    """A page of the event list, newest first."""

    events: list[Event] = []
    links: list[Link] = []


class Transaction(msgspec.Struct, frozen=True):
    """A line of PayPal's books."""

    transaction_id: str
    transaction_event_code: str
    transaction_initiation_date: str
    transaction_amount: Money
    transaction_status: str = "S"
    paypal_reference_id: str | None = None
    fee_amount: Money | None = None
    custom_field: str | None = None


class TransactionDetail(msgspec.Struct, frozen=True):
    """A line with all that belongs to it, of which we look at one part."""

    transaction_info: Transaction


class Transactions(msgspec.Struct, frozen=True):
    """A page of the transaction search."""

    transaction_details: list[TransactionDetail] = []
    total_pages: int = 1
