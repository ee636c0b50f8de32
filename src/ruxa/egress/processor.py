"""Processor: who takes payments for this house, behind one contract; what its API confirms is a fact, all else a hint.

Money is believed only as a :class:`Fact`: read from the processor's API, by us, with our own key. A webhook that was
verified is a :class:`Hint`: it says where to look and nothing more, so that forged bodies, repeats, any order and no
webhook at all end alike. Amounts are whole minor units (cents of USD). A processor learns from us an amount, a random
reference of the order and what it says about itself; never a name, an e-mail address or whose organisation it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Final, Literal, Protocol
from uuid import UUID

import msgspec

from ruxa.egress.recipient import Recipient
from ruxa.kernel.errors import RuxaError

Capability = Literal["saved", "portal", "disputes", "events", "report", "refund"]
Kind = Literal["capture", "refund", "dispute", "fee", "payout"]
Status = Literal["open", "pending", "succeeded", "failed", "canceled", "won", "lost", "expired"]

# How final a status is: what is known of an object only grows, whatever order its states are read in. A capture that
# was reached is never unreached (what goes back is a refund or a dispute of its own); a dispute ends once.
RANKS: Final[Mapping[Status, int]] = {
    "open": 10,
    "pending": 20,
    "failed": 30,
    "expired": 30,
    "canceled": 40,
    "succeeded": 50,
    "won": 60,
    "lost": 60,
}


# The code of a ProcessorRefused by which ``events`` and ``report`` say that there is more than they may read.
TOO_MUCH: Final = "processor_too_much"
_URL: Final = re.compile(r"[!-~]{9,2000}\Z", re.ASCII)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A top-up that a customer asked for, as a processor is told of it.

    id: random, the only reference that leaves; amount_minor: what the customer gets as credit; tax_minor: what is paid
    on top, so the payment is ``total_minor``; customer: the processor's own id of the customer, if it knows one;
    save_method: keep the method for later charges without the customer; reference: what people copy (bank transfers).
    """

    id: UUID
    reference: str
    amount_minor: int
    tax_minor: int = 0
    currency: str = "USD"
    description: str
    method: str
    customer: str | None = None
    save_method: bool = False
    success_url: str
    cancel_url: str
    expires_at: datetime
    livemode: bool

    @property
    def total_minor(self) -> int:
        """What is paid: credit and tax."""
        return self.amount_minor + self.tax_minor


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """Where the customer pays: the processor's page ``url``, or ``instructions`` (label -> text) for a transfer.

    ext_id: the processor's id of it: what ``fetch`` takes.
    """

    ext_id: str
    url: str | None
    instructions: Mapping[str, str] | None = None
    expires_at: datetime


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What may be known of a card. The fingerprint is the processor's own and is kept only as a keyed hash."""

    brand: str
    last4: str
    exp_month: int
    exp_year: int
    fingerprint: str


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What a processor's API says of one object of its: a capture, refund, dispute, fee or payout.

    ext_id: its id there; parent: the capture that a refund, dispute or fee belongs to; amount_minor: gross and never
    negative, tax included; tax_minor: the part of a capture that the processor itself computed as tax, None when it
    computes none; fee_minor: what the processor keeps of it, None while unknown; rank: of ``RANKS``; account: whose
    account it is, as the processor says; customer, saved: the processor's ids of the customer and of a method that may
    be charged again.
    """

    kind: Kind
    ext_id: str
    order_id: UUID | None
    parent: str | None = None
    amount_minor: int
    tax_minor: int | None = None
    currency: str
    fee_minor: int | None = None
    status: Status
    rank: int
    at: datetime
    livemode: bool
    account: str
    card: Card | None = None
    customer: str | None = None
    saved: str | None = None


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """A verified webhook, or an event of the processor's list: where to look.

    event_id: what must not come twice: Stripe's event, PayPal's transmission; kind: the event's type; ext_id: the
    object to read; order_id: the order it says it belongs to, to be believed only when the object says so too.
    """

    event_id: str
    kind: str
    ext_id: str
    order_id: UUID | None
    at: datetime


class Declined(msgspec.Struct, frozen=True, kw_only=True):
    """A charge that was refused. retry: whether the same card may be tried again later (never for a stolen one)."""

    code: str
    retry: bool


class NeedsAction(msgspec.Struct, frozen=True, kw_only=True):
    """A charge that waits for the customer: the bank wants to see them. url: where, "" when a new checkout is needed.

    ext_id: the processor's id of the charge that waits.
    """

    url: str
    ext_id: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a processor's own books of a day, for reconciliation. Amounts are signed: what its balance gained.

    ext_id: the line's id there; source: the capture, refund, dispute or payout it is about; parent: the capture of a
    refund or dispute, where it is said; gross - fee = net.
    """

    ext_id: str
    kind: Literal["capture", "refund", "dispute", "dispute_won", "fee", "payout", "other"]
    source: str
    parent: str | None = None
    order_id: UUID | None = None
    gross_minor: int
    fee_minor: int
    net_minor: int
    currency: str
    at: datetime


class ProcessorRefused(RuxaError):
    """The processor answered and said no, or said nonsense. code: its own word; nothing is believed to have happened.

    known: False when it cannot be known whether anything happened: ask again with the same key, or look.
    """

    status = 502
    default_code = "processor_refused"

    def __init__(self, public: str, *, code: str | None = None, detail: str = "", known: bool = True) -> None:
        super().__init__(public, code=code, detail=detail)
        self.known = known


class WebhookRefused(RuxaError):
    """A webhook that is not believed.

    code: ``webhook_malformed`` 400, ``webhook_forged`` 401, ``webhook_stale`` 401 (older or newer than 300 s),
    ``webhook_foreign`` 403 (another account), ``webhook_mode`` 403 (test events in live mode, or the other way),
    ``webhook_repeated`` 409.
    """

    default_code = "webhook_forged"
    _STATUS: Final = {
        "webhook_malformed": 400,
        "webhook_forged": 401,
        "webhook_stale": 401,
        "webhook_foreign": 403,
        "webhook_mode": 403,
        "webhook_repeated": 409,
    }

    def __init__(self, code: str, reason: str) -> None:
        """``reason``: one word for the signal; what the webhook said is never repeated."""
        super().__init__("This webhook is not accepted.", code=code, detail=reason)
        self.status = self._STATUS[code]


class Processor(Protocol):
    """One payment processor. Every call may raise ProcessorRefused, or UpstreamError when it can't be reached.

    name: of the settings table; methods: words a customer chooses by (``card``, ``paypal``, ``bank_transfer``);
    livemode: whether real money moves; account: whose account our key belongs to, "" while that is not known;
    recipient, policy_url: who it is and where it publishes how it treats data; origins: of the pages that a customer
    is sent to (``https://host``).
    """

    name: str
    methods: tuple[str, ...]
    capabilities: frozenset[Capability]
    livemode: bool
    account: str
    recipient: Recipient | None
    policy_url: str
    origins: tuple[str, ...]

    async def whose(self) -> str:
        """The account that our key belongs to, asked for now: whether it is taken; "" where there is none."""
        ...

    async def checkout(self, order: Order) -> Checkout:
        """Make the page the customer pays on. Asked twice for one order it gives the same one."""
        ...

    async def fetch(self, order_id: UUID, ext_id: str) -> list[Fact]:
        """All there is to know about an order now; ``ext_id`` is that of its Checkout or of its charge."""
        ...

    async def read(self, kind: str, ext_id: str) -> list[Fact]:
        """What a hint pointed at, by its own ``kind`` and ``ext_id``; nothing when it is nothing of ours."""
        ...

    async def capture(self, order_id: UUID, ext_id: str) -> list[Fact]:
        """Take the money of an order that its payer approved, where that is a step of its own; else as ``fetch``."""
        ...

    async def verify(self, headers: Mapping[str, str], raw: bytes, now: datetime) -> Hint:
        """Whether a webhook is genuine; header names are lower case. Raises WebhookRefused."""
        ...

    async def refund(self, capture: str, amount_minor: int, key: UUID, currency: str = "USD") -> Fact:
        """Give back a part of a capture; the same ``key`` never gives back twice. Capability ``refund``."""
        ...

    async def charge_saved(self, customer: str, saved: str, order: Order, key: UUID) -> Fact | Declined | NeedsAction:
        """Charge a saved method without the customer; the same ``key`` never charges twice. Capability ``saved``."""
        ...

    async def create_customer(self, ref: str) -> str:
        """The processor's id of a customer who is ``ref`` (a pseudonym) there. Capability ``saved``."""
        ...

    async def portal(self, customer: str, return_url: str) -> str:
        """A page of the processor's where a customer sees and deletes saved methods. Capability ``portal``."""
        ...

    async def events(self, since: datetime, until: datetime) -> list[Hint]:
        """What happened from ``since`` to ``until``, both included, oldest first, for when webhooks did not reach us.

        Capability ``events``. Raises ProcessorRefused ``processor_too_much`` when that is more than
        ``bounds.EVENT_PAGES_MAX`` pages: whoever asks takes a shorter time.
        """
        ...

    async def report(self, day: date) -> list[Entry]:
        """The processor's own books of one UTC day, all of it or ProcessorRefused. Capability ``report``."""
        ...

    async def submit_evidence(self, dispute: str, text: str) -> None:
        """Answer a dispute. Capability ``disputes``."""
        ...


def leads_to(processor: Processor, url: str) -> bool:
    """Whether a page is the processor's own, as its ``origins`` declare them: nobody is sent anywhere else."""
    return _URL.match(url) is not None and url.startswith(tuple(f"{origin}/" for origin in processor.origins))


def own_page(processor: Processor, url: str) -> str:
    """The page, if ``leads_to``. Raises ProcessorRefused ``processor_nonsense``."""
    if not leads_to(processor, url):
        raise ProcessorRefused(
            "The payment processor gave an answer that makes no sense.",
            code="processor_nonsense",
            detail=f"{processor.name} page",
            known=False,
        )
    return url
