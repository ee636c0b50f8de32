"""Billing: topping up, what an order says in each state, auto top-up, documents, details and alerts."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ruxa.egress.processors.bank import Bank
from ruxa.kernel import ids

LINES = ("Account holder: Ruxa Ltd", "IBAN: DE00 0000 0000 0000 0000 00")


@pytest.fixture
def console(house: Any, made_console: Any) -> Any:
    """A console whose customers pay by bank."""
    return made_console(house, processors={"bank": Bank(LINES, livemode=False)})


async def ordered(browser: Any, usd: str = "12.50") -> str:
    """An order by bank; its shown id."""
    await browser.get("/billing/top-up")
    to = await browser.post("/billing/top-up", "pay", usd="other", other=usd, by="bank.bank_transfer")
    return to.headers["location"].rpartition("/")[2]


async def test_the_price_is_shown_before_and_the_order_has_the_bank_s_lines(console: Any) -> None:
    browser, _, _ = await console.owner()
    assert "Bank transfer" in (await browser.get("/billing/top-up")).text
    to = await browser.post("/billing/top-up", "review", usd="25", by="bank.bank_transfer")
    assert to.headers["location"] == "/billing/top-up?usd=25.00&by=bank.bank_transfer"
    price = (await browser.get(to.headers["location"])).text
    for said in ("25.00", "Paid credit does not expire", "sandbox", "can be refunded"):
        assert said in price
    shown = await ordered(browser)
    page = (await browser.get(f"/billing/orders/{shown}")).text
    reference = re.search(r"RX-[0-9A-Z]{4}-[0-9A-Z]{4}", page)
    assert reference
    assert "DE00 0000" in page
    assert 'hx-trigger="every 2s"' in page
    listed = (await browser.get("/billing/orders")).text
    assert reference[0] in listed
    assert reference[0] in (await browser.get("/billing/orders?as=csv")).text
    assert (await browser.get("/billing/orders?as=json")).json()[0]["amount_micros"] == 12_500_000
    await browser.post(f"/billing/orders/{shown}", "cancel")
    assert "was cancelled" in (await browser.get(f"/billing/orders/{shown}")).text


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("0", "above 0"),
        ("-3", "above 0"),
        ("0.001", "at most two decimals"),
        ("20000", "Between 1 and 10,000 USD"),
        ("12 EUR", "US dollars"),
        ("", "such as 25"),
    ],
)
async def test_a_wrong_amount_is_said_beside_its_field_and_nothing_is_lost(console: Any, other: str, said: str) -> None:
    browser, _, _ = await console.owner()
    await browser.get("/billing/top-up")
    answer = await browser.post("/billing/top-up", "review", 422, usd="other", other=other, by="bank.bank_transfer")
    assert said in answer.text
    assert f'value="{other}"' in answer.text or not other
    await browser.post("/billing/top-up", "pay", 422, usd="other", other=other, by="bank.bank_transfer")
    assert "No payments yet" in (await browser.get("/billing/orders")).text


async def test_nobody_else_sees_an_order(console: Any) -> None:
    browser, _, _ = await console.owner()
    shown = await ordered(browser)
    other, _, _ = await console.owner()
    await other.get(f"/billing/orders/{shown}", 404)
    await other.get("/billing/top-up")
    await other.post(f"/billing/orders/{shown}", "cancel", 404)
    await browser.get(f"/billing/orders/{ids.text('order', ids.fresh())}", 404)
    await browser.get("/billing/orders/nonsense", 404)


async def test_empty_pages_say_what_to_do(console: Any) -> None:
    browser, _, _ = await console.owner()
    for path, said in (
        ("/billing", "No credit"),
        ("/billing/orders", "Top up to begin"),
        ("/billing/auto", "No processor of this server keeps methods"),
        ("/billing/documents", "After your first payment"),
        ("/billing/alerts", "Nothing so far"),
    ):
        assert said in (await browser.get(path)).text, path


async def test_billing_details_are_kept_sealed_and_faults_are_beside_their_fields(console: Any) -> None:
    browser, _, _ = await console.owner()
    path = "/billing/details"
    await browser.get(path)
    fields = {"name": "Fernhill Studio Ltd", "address": "1 Hill Road\nLondon", "country": "GB", "contact": "PO 7"}
    await browser.post(path, "save", tax_id="GB123456789", **fields)
    page = (await browser.get(path)).text
    for said in ("Fernhill Studio Ltd", "1 Hill Road\nLondon", "GB123456789", "PO 7"):
        assert said in page
    wrong = await browser.post(path, "save", 422, tax_id="GB1", **fields)
    assert "not a tax id" in wrong.text
    assert 'value="GB1"' in wrong.text
    assert "1 Hill Road\nLondon" in wrong.text
    card = await browser.post(path, "save", 422, **{**fields, "contact": "4242 4242 4242 4242"})
    assert "looks like a card number" in card.text
    assert "4242 4242" not in card.text
    assert "PO 7" in (await browser.get(path)).text


async def test_alerts_are_set(console: Any) -> None:
    browser, _, _ = await console.owner()
    await browser.get("/billing/alerts")
    await browser.post("/billing/alerts", "save", low="7.50", budget="true")
    page = (await browser.get("/billing/alerts")).text
    assert 'value="7.50"' in page
    assert page.count(" checked") == 1
    assert "at most two decimals" in (await browser.post("/billing/alerts", "save", 422, low="0.123")).text
    await browser.post("/billing/alerts", "save", low="0")
    assert 'value="0.00"' in (await browser.get("/billing/alerts")).text
