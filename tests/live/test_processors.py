"""Against the real Stripe and PayPal, in their test modes: ``RUXA_LIVE_TEST=stripe,paypal`` and your own test keys."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator

import pytest

import processor_lives
from payment_tills import Heard, recipient
from ruxa.egress.http import Pool
from ruxa.egress.processors import paypal
from ruxa.egress.processors.paypal import PayPal
from ruxa.egress.processors.stripe import Stripe
from ruxa.egress.recipient import Register
from ruxa.egress.timers import Wheel
from ruxa.kernel.clock import Clock

NAMED = [name.strip() for name in os.environ.get("RUXA_LIVE_TEST", "").split(",") if name.strip()]


@pytest.fixture
async def pool() -> AsyncGenerator[Pool]:
    wheel = Wheel()
    made = Pool(Register(Heard()), wheel=wheel)
    yield made
    await made.close()
    wheel.stop()


@pytest.mark.parametrize("name", NAMED or ["nobody"])
async def test_a_life_at_the_real_processor(name: str, pool: Pool) -> None:
    match name:
        case "stripe":
            key = os.environ["RUXA_LIVE_STRIPE_KEY"]
            assert key.startswith(("sk_test_", "rk_test_")), "a test key only"
            await processor_lives.stripe(Stripe(pool, key=key, webhook_secrets=(), recipient=recipient("stripe")))
        case "paypal":
            adapter = PayPal(
                pool,
                client_id=os.environ["RUXA_LIVE_PAYPAL_ID"],
                secret=os.environ["RUXA_LIVE_PAYPAL_SECRET"],
                webhook_id="",
                clock=Clock(),
                base_url=paypal.SANDBOX_API,
                recipient=recipient("paypal"),
            )
            await processor_lives.paypal(adapter)
        case _:
            pytest.fail(f"RUXA_LIVE_TEST knows stripe and paypal, not {name}")
