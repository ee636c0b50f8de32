"""A payment processor of somebody else's: Acme has a page to pay on and an API that says what became of it.

The smallest that is whole: ``GET /payments/ID`` is the only thing believed, and what it can't do it says by its
capabilities. Taken from here as a start for a real one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

import msgspec

from ruxa.egress.processor import (
    RANKS,
    Capability,
    Checkout,
    Declined,
    Entry,
    Fact,
    Hint,
    NeedsAction,
    Order,
    Status,
    WebhookRefused,
)
from ruxa.egress.processors import hints, wire
from ruxa.egress.processors.thirds import Offered
from ruxa.kernel.errors import InvalidCall, Unsupported

POLICY: Final = "https://acme.example/privacy"
STATES: Final[Mapping[str, Status]] = {"waiting": "open", "paid": "succeeded", "refused": "failed"}


class Payment(msgspec.Struct, frozen=True):
    """What Acme says of a payment; all other fields are dropped."""

    id: str
    state: str
    cents: int
    order: str
    page: str
    made: int


class Acme:
    """One account at Acme."""

    def __init__(self, offered: Offered) -> None:
        if offered.key is None or offered.base_url is None:
            raise InvalidCall("payments.acme needs key and base_url.", code="bad_setting")
        self.name = "acme"
        self.methods: tuple[str, ...] = offered.methods or ("wallet",)
        self.capabilities: frozenset[Capability] = frozenset()
        self.livemode = offered.options.get("mode", "test") == "live"
        self.account = offered.account or "acme-main"
        self.recipient = offered.recipient("Acme Payments Ltd", POLICY)
        self.policy_url = POLICY
        self.origins = offered.pages or ("https://pay.acme.example",)
        self._wire = wire.Wire(offered.pool, offered.base_url, self.recipient)
        self._headers = {"authorization": f"Bearer {offered.key.open('billing')}", "content-type": "application/json"}

    async def _ask(self, method: str, target: str, body: object = None, key: str = "") -> Payment:
        headers = self._headers | ({"idempotency-key": key} if key else {})
        raw = b"" if body is None else msgspec.json.encode(body)
        reply = await self._wire.ask(method, target, headers, raw)
        if reply.status >= 500:
            raise wire.away("acme", reply.status)
        if reply.status >= 400:
            raise wire.nonsense("acme")
        return wire.read(reply.body, Payment, "acme")

    async def whose(self) -> str:
        """See Processor."""
        return self.account

    async def checkout(self, order: Order) -> Checkout:
        """See Processor."""
        told = {"order": str(order.id), "cents": order.total_minor, "back": order.success_url}
        made = await self._ask("POST", "/payments", told, key=f"order-{order.id}")
        return Checkout(ext_id=made.id, url=made.page, expires_at=order.expires_at)

    async def fetch(self, order_id: UUID, ext_id: str) -> list[Fact]:
        """See Processor."""
        return [fact for fact in await self.read("payment", ext_id) if fact.order_id == order_id]

    async def capture(self, order_id: UUID, ext_id: str) -> list[Fact]:
        """See Processor; Acme captures by itself."""
        return await self.fetch(order_id, ext_id)

    async def read(self, kind: str, ext_id: str) -> list[Fact]:
        """See Processor."""
        found = await self._ask("GET", f"/payments/{ext_id}")
        if found.state not in STATES:
            raise wire.nonsense("acme state")
        status = STATES[found.state]
        return [
            Fact(
                kind="capture",
                ext_id=found.id,
                order_id=UUID(found.order),
                amount_minor=found.cents,
                currency="USD",
                status=status,
                rank=RANKS[status],
                at=datetime.fromtimestamp(found.made, UTC),
                livemode=self.livemode,
                account=self.account,
            )
        ]

    async def verify(self, headers: Mapping[str, str], raw: bytes, now: datetime) -> Hint:
        """See Processor: what Acme sends says only where to look, and is not even that without its word."""
        if headers.get("x-acme") != "hello":
            raise WebhookRefused("webhook_forged", "word")
        payment = hints.body(raw, Payment)
        return hints.made(f"acme:{payment.id}:{payment.state}", "payment", payment.id, None, now)

    async def refund(self, capture: str, amount_minor: int, key: UUID, currency: str = "USD") -> Fact:
        """Acme gives nothing back by its API."""
        raise Unsupported("Acme gives back by hand.", code="refund_by_hand")

    async def charge_saved(self, customer: str, saved: str, order: Order, key: UUID) -> Fact | Declined | NeedsAction:
        """Nothing is saved."""
        raise Unsupported("Acme saves nothing.", code="unsupported")

    async def create_customer(self, ref: str) -> str:
        """Nothing is saved."""
        raise Unsupported("Acme saves nothing.", code="unsupported")

    async def portal(self, customer: str, return_url: str) -> str:
        """There is none."""
        raise Unsupported("Acme has none.", code="no_portal")

    async def events(self, since: datetime, until: datetime) -> list[Hint]:
        """No list."""
        return []

    async def report(self, day: date) -> list[Entry]:
        """No books."""
        return []

    async def submit_evidence(self, dispute: str, text: str) -> None:
        """No disputes."""
        raise Unsupported("Acme has no disputes.", code="unsupported")


def make(offered: Offered) -> Acme:
    """The entry point."""
    return Acme(offered)
