"""Bank transfers: the customer gets account lines and a reference; two members of staff confirm what the bank shows.

Nobody is called: there is no webhook, no API, and money comes from ``manual.confirm`` alone (decision D25).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

from ruxa.egress.processor import (
    Capability,
    Checkout,
    Declined,
    Entry,
    Fact,
    Hint,
    NeedsAction,
    Order,
    WebhookRefused,
)
from ruxa.egress.processors import minor
from ruxa.egress.recipient import Recipient
from ruxa.kernel.errors import InvalidCall, Unsupported

NAME: Final = "bank"
METHOD: Final = "bank_transfer"


class Bank:
    """One bank account, as ``lines`` (``IBAN: DE...``) say it."""

    def __init__(self, lines: Sequence[str], *, livemode: bool) -> None:
        """Raises InvalidCall ``bad_setting`` for no lines, or one without a label."""
        self.name: str = NAME
        self.methods: tuple[str, ...] = (METHOD,)
        self.capabilities: frozenset[Capability] = frozenset()
        self.livemode: bool = livemode
        self.account: str = ""
        self.recipient: Recipient | None = None
        self.policy_url: str = ""
        self.origins: tuple[str, ...] = ()
        self._lines: dict[str, str] = {}
        for line in lines:
            label, colon, text = line.partition(":")
            if not colon or not label.strip() or not text.strip():
                raise InvalidCall('payments.bank.lines: each says its name, as "IBAN: DE...".', code="bad_setting")
            self._lines[label.strip()] = text.strip()
        if not self._lines:
            raise InvalidCall("payments.bank.lines must say where to transfer to.", code="bad_setting")

    async def whose(self) -> str:
        """Nobody is asked."""
        return ""

    async def checkout(self, order: Order) -> Checkout:
        """See Processor."""
        if order.method != METHOD:
            raise InvalidCall("This payment method is not offered.", code="unknown_method")
        amount = f"{minor.text(order.total_minor)} {order.currency}"
        instructions = {**self._lines, "Amount": amount, "Reference": order.reference}
        return Checkout(ext_id=order.reference, url=None, instructions=instructions, expires_at=order.expires_at)

    async def fetch(self, order_id: UUID, ext_id: str) -> list[Fact]:
        """See Processor: nothing is known but what staff confirms."""
        return []

    async def read(self, kind: str, ext_id: str) -> list[Fact]:
        """As ``fetch``."""
        return []

    async def capture(self, order_id: UUID, ext_id: str) -> list[Fact]:
        """As ``fetch``."""
        return []

    async def verify(self, headers: Mapping[str, str], raw: bytes, now: datetime) -> Hint:
        """A bank sends no webhooks."""
        raise WebhookRefused("webhook_forged", "none is sent")

    async def refund(self, capture: str, amount_minor: int, key: UUID, currency: str = "USD") -> Fact:
        """Staff transfers it back."""
        raise Unsupported("A bank transfer is given back by a transfer that staff makes.", code="refund_by_hand")

    async def charge_saved(self, customer: str, saved: str, order: Order, key: UUID) -> Fact | Declined | NeedsAction:
        """Nothing is saved."""
        raise _nothing()

    async def create_customer(self, ref: str) -> str:
        """Nothing is saved."""
        raise _nothing()

    async def portal(self, customer: str, return_url: str) -> str:
        """Nothing is saved."""
        raise _nothing()

    async def events(self, since: datetime, until: datetime) -> list[Hint]:
        """None happen."""
        return []

    async def report(self, day: date) -> list[Entry]:
        """The bank's statement is the operator's."""
        return []

    async def submit_evidence(self, dispute: str, text: str) -> None:
        """There are no disputes."""
        raise _nothing()


def _nothing() -> Unsupported:
    return Unsupported("A bank transfer can't do that.", code="unsupported")
