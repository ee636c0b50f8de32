"""A payment's life at a processor by our adapter: at the sandbox processor, and with keys of your own at a real one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from ruxa.egress.processor import Fact, Order, Processor, leads_to
from ruxa.egress.processors.paypal import PayPal
from ruxa.egress.processors.stripe import Stripe
from ruxa.kernel.clock import Clock


def order(method: str, **changes: Any) -> Order:
    """Ten dollars and a tax of 1.90."""
    told: dict[str, Any] = {
        "id": uuid4(),
        "reference": f"RX-{uuid4().hex[:4].upper()}-TEST",
        "amount_minor": 1000,
        "tax_minor": 190,
        "description": "Prepaid API credit",
        "method": method,
        "success_url": "https://example.com/billing?back=paid",
        "cancel_url": "https://example.com/billing?back=left",
        "expires_at": Clock().now() + timedelta(minutes=40),
        "livemode": False,
    }
    return Order(**(told | changes))


async def opens(processor: Processor, wanted: Order) -> None:
    """A page to pay on, of the processor's own, and nothing paid yet; asked twice it is the same page."""
    checkout = await processor.checkout(wanted)
    assert checkout.url is not None
    assert leads_to(processor, checkout.url), checkout.url
    assert (await processor.checkout(wanted)).ext_id == checkout.ext_id
    facts = await processor.fetch(wanted.id, checkout.ext_id)
    assert all(one.status in ("open", "pending") for one in facts), facts


async def stripe(adapter: Stripe) -> None:
    """A saved test card is charged once, half of it goes back, lists and books know it."""
    began = Clock().now() - timedelta(minutes=1)
    assert not adapter.livemode, "never with a key that moves real money"
    account = await adapter.whose()
    assert account.startswith("acct_")
    await opens(adapter, order("card"))
    customer = await adapter.create_customer(uuid4().hex)
    sdk = await adapter._sdk()  # pyright: ignore[reportPrivateUsage] - the customer's own part, on the page
    card = await sdk.v1.payment_methods.attach_async("pm_card_visa", {"customer": customer})
    wanted, key = order("card", customer=customer), uuid4()
    outcome = await adapter.charge_saved(customer, card.id, wanted, key)
    assert isinstance(outcome, Fact), outcome
    assert (outcome.status, outcome.amount_minor, outcome.order_id) == ("succeeded", 1190, wanted.id)
    assert (outcome.account, outcome.livemode) == (account, False)
    again = await adapter.charge_saved(customer, card.id, wanted, key)
    assert isinstance(again, Fact)
    assert again.ext_id == outcome.ext_id, "the same key charged twice"
    back_key = uuid4()
    back = [await adapter.refund(outcome.ext_id, 595, back_key) for _ in range(2)]
    assert back[0].ext_id == back[1].ext_id, "the same key gave back twice"
    read = {one.kind: one for one in await adapter.read("charge.refunded", outcome.ext_id)}
    assert (read["capture"].amount_minor, read["refund"].amount_minor) == (1190, 595)
    hints = await adapter.events(began, Clock().now())
    assert any(one.ext_id == outcome.ext_id for one in hints)
    entries = await adapter.report(Clock().now().date())
    assert any(one.source == outcome.ext_id and one.gross_minor == 1190 for one in entries)


async def paypal(adapter: PayPal) -> None:
    """A page to approve on, an event list and books; what a payer does on the page no machine can do."""
    assert not adapter.livemode, "never with an account that moves real money"
    await adapter.whose()
    await opens(adapter, order("paypal"))
    now = Clock().now()
    await adapter.events(now - timedelta(days=1), now)
    await adapter.report((now - timedelta(days=2)).date())
