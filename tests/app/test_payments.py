"""Payments' wiring: what the settings make, what a demo plays, and a hint that is looked at as soon as it is told."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from fixtures_access import House, Signals, house, hurry
from payment_shop import counter
from ruxa.app import payments
from ruxa.egress.processor import Hint
from ruxa.egress.processors.sandbox import access
from ruxa.egress.recipient import Register
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.settings import BillingSettings, ProcessorSettings, Settings
from ruxa.ledger.payments import inbox

__all__ = ["house", "hurry"]


def live(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Settings:
    """An operator's own accounts."""
    for name, value in (("K", "sk_live_1"), ("W", "whsec_1 whsec_2"), ("S", "secret")):
        monkeypatch.setenv(name, value)
    told = {
        "bank": ProcessorSettings(lines=("IBAN: DE00",)),
        "paypal": ProcessorSettings(client_id="A1", key="env:S", webhook_id="W1"),
        "stripe": ProcessorSettings(key="env:K", webhook_secret="env:W", where="US"),
    }
    return Settings(payments=told, **changes)


async def test_the_settings_make_processors_whose_hosts_are_pinned_and_who_publish_a_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register = Register(Signals())
    async with AsyncExitStack() as stack:
        made = payments.processors(live(monkeypatch), register, Clock(), stack)
    assert list(made) == ["stripe", "paypal", "bank"]
    assert [one.livemode for one in made.values()] == [True, True, True]
    assert set(register.destinations()) == {
        ("api.stripe.com", 443),
        ("api-m.paypal.com", 443),
        ("api.paypal.com", 443),
    }
    for name in ("stripe", "paypal"):
        recipient = made[name].recipient
        assert recipient is not None
        assert recipient.role == "processor"
        assert recipient.source == made[name].policy_url != ""
        assert all(origin.startswith("https://") for origin in made[name].origins)
    assert made["bank"].recipient is None


async def test_a_demo_plays_all_of_them_on_this_machine() -> None:
    register = Register(Signals())
    async with AsyncExitStack() as stack:
        played = access.fresh().at("http://127.0.0.1:4711")
        made = payments.processors(Settings(), register, Clock(), stack, sandbox=played)
    assert list(made) == ["stripe", "paypal", "bank"]
    assert not any(one.livemode for one in made.values())
    assert set(register.destinations()) == {("127.0.0.1", 4711)}
    assert {one.role for one in register.find("127.0.0.1", 4711)} == {"own"}
    assert {origin for one in made.values() for origin in one.origins} == {"http://127.0.0.1:4711"}


@pytest.mark.parametrize(
    "url", ["http://api.stripe.com", "ftp://x", "https://", "https://u:p@api.stripe.com", "nonsense"]
)
async def test_a_key_is_never_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    given = live(monkeypatch)
    told = ProcessorSettings(key="env:K", webhook_secret="env:W", base_url=url)
    async with AsyncExitStack() as stack:
        with pytest.raises(InvalidCall):
            payments.processors(
                Settings(payments={**given.payments, "stripe": told}), Register(Signals()), Clock(), stack
            )


def test_good_settings_pass_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    payments.check(live(monkeypatch))
    payments.check(live(monkeypatch, billing=BillingSettings(tax="processor")))
    payments.check(Settings())


async def test_a_hint_is_looked_at_when_it_is_told(house: House) -> None:
    async with counter(house) as shop, AsyncExitStack() as stack:
        order, checkout = await shop.order("stripe", 1000)
        await shop.pays(checkout)
        await payments.listen(house.database.url("ruxa_worker"), shop.collection, stack)
        told = Hint(
            event_id="return:1", kind="return", ext_id=checkout.ext_id, order_id=order.id, at=shop.till.clock.now()
        )
        async with house.console.work() as work:
            assert await inbox.put(work, "stripe", told)
        async with asyncio.timeout(2):
            while (await shop.known(order.id)).state != "paid":
                await asyncio.sleep(0.02)
