"""What the live stage does at the real processors, done at the sandbox's: so that the stage itself is known to work."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

import processor_lives
from payment_tills import Till, till


@pytest.fixture
async def house() -> AsyncGenerator[Till]:
    async with till() as made:
        yield made


async def test_a_life_at_stripe(house: Till) -> None:
    await processor_lives.stripe(house.stripe)


async def test_a_life_at_paypal(house: Till) -> None:
    await processor_lives.paypal(house.paypal)
