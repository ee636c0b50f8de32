"""The sandbox processor in this process, and the real adapters in front of it, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import uuid4

import msgspec

from ruxa.egress.http import Pool
from ruxa.egress.processor import Order
from ruxa.egress.processors.paypal import PayPal
from ruxa.egress.processors.sandbox import access, paypal_trust, server
from ruxa.egress.processors.sandbox.wire import Answer, Call
from ruxa.egress.processors.stripe import Stripe
from ruxa.egress.recipient import Recipient, Register
from ruxa.egress.timers import Wheel
from ruxa.kernel.clock import Clock
from ruxa.kernel.signals import Field, Level


class Heard:
    """Signals, kept."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Field]]] = []

    def emit(self, event: str, level: Level = "info", **fields: Field) -> None:
        """See Sink."""
        del level
        self.events.append((event, fields))

    def named(self, event: str) -> list[dict[str, Field]]:
        """The fields of every such signal."""
        return [fields for name, fields in self.events if name == event]


class Till:
    """One sandbox processor with a Stripe and a PayPal adapter in front of it."""

    def __init__(self, sandbox: server.Server, pool: Pool, clock: Clock, heard: Heard) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.pool = pool
        self.heard = heard
        self.stripe = self.another_stripe()
        self.paypal = self.another_paypal()

    def another_stripe(self, **changes: Any) -> Stripe:
        """A Stripe adapter with other settings."""
        secrets = self.sandbox.access
        told: dict[str, Any] = {
            "key": secrets.stripe_key,
            "webhook_secrets": (secrets.stripe_webhook_secret,),
            "base_url": secrets.url,
            "pages": (secrets.url,),
            "recipient": recipient("stripe"),
        }
        return Stripe(self.pool, **(told | changes))

    def another_paypal(self, **changes: Any) -> PayPal:
        """A PayPal adapter with other settings."""
        secrets = self.sandbox.access
        told: dict[str, Any] = {
            "client_id": secrets.paypal_client_id,
            "secret": secrets.paypal_client_secret,
            "webhook_id": secrets.paypal_webhook_id,
            "clock": self.clock,
            "base_url": secrets.url,
            "roots_target": "/_sandbox/paypal/root.pem",
            "recipient": recipient("paypal"),
        }
        return PayPal(self.pool, **(told | changes))

    def order(self, method: str, cents: int = 1000, **changes: Any) -> Order:
        """What a customer asked for."""
        told: dict[str, Any] = {
            "id": uuid4(),
            "reference": "RX-AAAA-BBBB",
            "amount_minor": cents,
            "description": "Prepaid API credit",
            "method": method,
            "success_url": "http://127.0.0.1:1/billing?back=paid",
            "cancel_url": "http://127.0.0.1:1/billing?back=left",
            "expires_at": self.clock.now() + timedelta(hours=1),
            "livemode": False,
        }
        return Order(**(told | changes))

    async def browse(self, url: str, **form: str) -> Answer:
        """What a browser would send to a page of the processor's."""
        parts = urlsplit(url)
        return await self.sandbox.serve(
            Call(
                method="POST" if form else "GET",
                path=parts.path,
                query=parse_qsl(parts.query),
                headers={"content-type": "application/x-www-form-urlencoded"},
                body=urlencode(form).encode(),
                peer="127.0.0.1",
            )
        )

    async def pay(self, url: str, number: str = "4242424242424242") -> Answer:
        """Pays on Stripe's page."""
        return await self.browse(url, number=number, expiry="12 / 34", cvc="123")

    async def approve(self, url: str, funding: str = "pays") -> Answer:
        """Approves on PayPal's page."""
        return await self.browse(url, answer="approve", funding=funding)

    async def control(self, name: str, **told: Any) -> Any:
        """What happens at the processor's."""
        answer = await self.sandbox.serve(
            Call(
                method="POST",
                path=f"/_sandbox/{name}",
                query=[],
                headers={"content-type": "application/json"},
                body=msgspec.json.encode(told),
                peer="127.0.0.1",
            )
        )
        assert answer.status == 200, answer.body
        return msgspec.json.decode(answer.body)


def recipient(name: str) -> Recipient:
    """As a demo declares it."""
    return Recipient(
        name=name,
        role="own",
        who="the sandbox processor",
        what=("user.payment", "user.unique_id.pseudonymous"),
        why=("billing",),
        where="own",
        safeguard="nothing leaves this machine",
    )


@cache
def made_once(name: str) -> dict[str, Any]:
    """A root and a signer as the sandbox makes them, once for all tests of a process: it takes a while."""
    return {"id": name, **msgspec.structs.asdict(paypal_trust.make(Clock().now()))}


@asynccontextmanager
async def till(clock: Clock | None = None, *, live: bool = False) -> AsyncGenerator[Till]:
    """One of them, until the end. live: it says that real money moves."""
    clock = clock or Clock()
    heard = Heard()
    sandbox = await server.serve(access=access.fresh(live=live), clock=clock)
    for name in ("paypal", "other"):
        sandbox.books.put("trust", dict(made_once(name)))
    wheel = Wheel()
    pool = Pool(Register(heard), wheel=wheel)
    try:
        yield Till(sandbox, pool, clock, heard)
    finally:
        await pool.close()
        wheel.stop()
        await sandbox.close()
