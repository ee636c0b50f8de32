"""``/api/v1`` about money: orders, details, alerts and statements; staff's side with two people; who may not."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from fixtures_access import BASE_URL
from ruxa.access import keys
from ruxa.egress.processors.bank import Bank
from ruxa.kernel import ids
from ruxa.kernel.sealed import Sealed

SAME = {"origin": BASE_URL, "host": BASE_URL.removeprefix("http://"), "sec-fetch-site": "same-origin"}


@pytest.fixture
def console(house: Any, made_console: Any) -> Any:
    """A console whose customers pay by bank."""
    return made_console(house, processors={"bank": Bank(("IBAN: DE00",), livemode=False)})


async def key_of(console: Any, organisation_id: Any, scope: str) -> str:
    """A key with one scope."""
    async with console.house.console.work() as work:
        wish = keys.KeyWish(name=Sealed("k"), scopes=(scope,))  # type: ignore[arg-type]
        made = await keys.create(work, console.house.vault, organisation_id, wish)
        return made.secret.open("provide")


async def ordered(browser: Any, micros: int = 25_000_000) -> dict[str, Any]:
    """A fresh order by bank."""
    wish = {"micros": micros, "by": "bank.bank_transfer"}
    return (await browser.api("POST", "/api/v1/orders", wish, status=201)).json()


async def test_an_order_from_asking_to_two_people_who_saw_it(console: Any) -> None:
    customer, _, organisation_id = await console.owner()
    first, second = await console.staff("finance"), await console.staff("finance")
    (way,) = (await customer.api("GET", "/api/v1/payment-ways")).json()
    assert (way["by"], way["livemode"], way["saves"]) == ("bank.bank_transfer", False, False)
    begun = await ordered(customer)
    assert begun["url"] is None
    assert begun["instructions"]["IBAN"] == "DE00"
    order = begun["order"]["id"]
    arrival = {"micros": 25_000_000, "day": "2026-11-24", "reference": "RX", "account": "DE00"}
    path = f"/api/v1/staff/orders/{order}"
    made = (await first.api("POST", f"{path}/arrivals", arrival, status=201)).json()["id"]
    assert (await first.api("POST", f"{path}/arrivals", arrival, status=409)).json()["error"]["type"] == "entry_known"
    own = await first.api("POST", f"/api/v1/staff/transfers/{made}/confirm", status=409)
    assert own.json()["error"]["type"] == "second_person"
    assert [one["id"] for one in (await second.api("GET", "/api/v1/staff/transfers")).json()] == [made]
    await second.api("POST", f"/api/v1/staff/transfers/{made}/confirm", status=204)
    shown = (await customer.api("GET", f"/api/v1/orders/{order}")).json()
    assert (shown["state"], shown["received_micros"]) == ("paid", 25_000_000)
    assert (await customer.api("GET", "/api/v1/balance")).json()["sandbox_micros"] == 25_000_000
    found = (await first.api("GET", path)).json()
    assert found["organisation"] == f"org_{organisation_id.hex}"
    assert [one["kind"] for one in found["facts"]] == ["capture"]
    month = shown["created_at"][:7]
    statement = await customer.api("GET", f"/api/v1/statements/{month}?money=sandbox")
    assert statement.headers["content-type"].startswith("text/csv")
    assert "top_up,,1,25000000" in statement.text
    refund = (
        await customer.api("POST", f"/api/v1/orders/{order}/refunds", {"micros": 10_000_000, "reason": "x"}, status=201)
    ).json()
    assert refund["state"] == "approved"
    await second.api("POST", f"/api/v1/staff/refunds/{refund['id']}/cancel", status=204)
    sums = (await first.api("GET", "/api/v1/staff/accounts")).json()
    money = [one for one in sums if one["unit"] == "usd_micros"]
    assert sum(one["debits_posted"] - one["credits_posted"] for one in money) == 0
    listed = (await first.api("GET", "/api/v1/staff/orders?status=paid&processor=bank")).json()
    assert [one["id"] for one in listed["orders"]] == [order]
    for path in ("quarantine", "refunds", "disputes", "freezes", "corrections", "processors"):
        await first.api("GET", f"/api/v1/staff/{path}")


async def test_who_asks_for_a_large_credit_is_not_its_second_person(console: Any) -> None:
    _, _, organisation_id = await console.owner()
    first, second = await console.staff("finance"), await console.staff("finance")
    async with await psycopg.AsyncConnection.connect(console.house.database.admin_url, autocommit=True) as admin:
        await admin.execute("INSERT INTO ruxa.instance (id, mode, simulated) VALUES (gen_random_uuid(), 'live', false)")
    wish = {"micros": 5_000_000_000, "scope": "live", "reason": "x"}
    path = f"/api/v1/staff/organisations/org_{organisation_id.hex}/credit"
    assert (await first.api("POST", path, wish, status=201)).json()["waits"] is True
    [one] = (await first.api("GET", "/api/v1/staff/corrections")).json()
    own = await first.api("POST", f"/api/v1/staff/corrections/{one['id']}/approve", status=409)
    assert own.json()["error"]["type"] == "second_person"
    await second.api("POST", f"/api/v1/staff/corrections/{one['id']}/approve", status=204)


@pytest.mark.parametrize("micros", [0, -1, 999_999, 1_005_000, 10_000_010_000, 10**30])
async def test_amounts_that_are_none_are_refused(console: Any, micros: int) -> None:
    customer, _, _ = await console.owner()
    wish = {"micros": micros, "by": "bank.bank_transfer"}
    answer = await customer.api("POST", "/api/v1/orders", wish, status=400)
    assert answer.json()["error"]["param"] == "micros"
    assert (await customer.api("GET", "/api/v1/orders")).json() == {"orders": [], "next": None}


async def test_a_key_reads_and_never_pays(console: Any) -> None:
    customer, _, organisation_id = await console.owner()
    order = (await ordered(customer))["order"]["id"]
    reader = await key_of(console, organisation_id, "billing:read")
    admin = await key_of(console, organisation_id, "admin:*")
    browser = console.browser()
    for path in ("orders", f"orders/{order}", "payment-methods", "documents", "alerts", "billing-details"):
        await browser.api("GET", f"/api/v1/{path}", key=reader)
    for key in (reader, admin):
        wish = {"micros": 5_000_000, "by": "bank.bank_transfer"}
        await browser.api("POST", "/api/v1/orders", wish, key=key, status=403)
        await browser.api("POST", f"/api/v1/orders/{order}/cancel", key=key, status=403)
        await browser.api("POST", f"/api/v1/orders/{order}/refunds", {"micros": 1, "reason": "x"}, key=key, status=403)
        await browser.api("DELETE", "/api/v1/auto-topup", key=key, status=403)
    other, _, _ = await console.owner()
    await other.api("GET", f"/api/v1/orders/{order}", status=404)
    await other.api("POST", f"/api/v1/orders/{order}/cancel", status=404)
    await other.api("GET", f"/api/v1/staff/orders/{order}", status=404)
    assert (await customer.api("POST", f"/api/v1/orders/{order}/cancel")).json()["state"] == "canceled"


async def test_details_and_alerts_are_set_and_wrong_ones_named(console: Any) -> None:
    customer, _, _ = await console.owner()
    details = {"name": "Fernhill", "address": ["1 Hill Road"], "country": "GB", "tax_id": "GB123456789"}
    await customer.api("PUT", "/api/v1/billing-details", details)
    shown = (await customer.api("GET", "/api/v1/billing-details")).json()
    assert {name: shown[name] for name in details} == details
    wrong = await customer.api("PUT", "/api/v1/billing-details", {**details, "tax_id": "GB1"}, status=400)
    assert wrong.json()["error"]["type"] == "bad_tax_id"
    card = await customer.api("PUT", "/api/v1/billing-details", {**details, "contact": "4242424242424242"}, status=400)
    assert (card.json()["error"]["type"], card.json()["error"]["param"]) == ("card_number", "contact")
    wish = {"low_balance_micros": 7_000_000, "budget": True, "payment": False, "unusual": True}
    await customer.api("PUT", "/api/v1/alerts", wish)
    assert (await customer.api("GET", "/api/v1/alerts")).json() == wish
    await customer.api("PUT", "/api/v1/alerts", {**wish, "low_balance_micros": -1}, status=400)
    assert (await customer.api("GET", "/api/v1/alerts/told")).json() == []
    await customer.api("GET", "/api/v1/auto-topup", status=404)
    auto = {
        "threshold_micros": 1_000_000,
        "target_micros": 5_000_000,
        "monthly_cap_micros": 20_000_000,
        "processor": "bank",
        "saved": "x",
    }
    assert (await customer.api("PUT", "/api/v1/auto-topup", auto, status=409)).json()["error"]["type"]
    await customer.api("GET", f"/api/v1/documents/doc_{ids.fresh().hex}/pdf", status=404)
    await customer.api("GET", "/api/v1/statements/2026-13", status=400)


@pytest.mark.parametrize("micros", [0, -10_000, 1, 10_001, 10**16, 10**30, 1.5, None, True])
async def test_an_amount_that_cannot_be_paid_is_refused_wherever_it_comes_from(console: Any, micros: object) -> None:
    """Zero, below zero, fractions of a cent, huge, no whole number at all: 400, and nothing is begun or booked."""
    customer, _, organisation_id = await console.owner()
    one = await console.staff("operator")
    order = (await ordered(customer))["order"]["id"]
    shown = f"/api/v1/staff/organisations/org_{organisation_id.hex}"
    arrival = {"day": "2026-11-24", "reference": "RX", "account": "DE00"}
    for browser, path, body in (
        (customer, "/api/v1/orders", {"by": "bank.bank_transfer"}),
        (customer, f"/api/v1/orders/{order}/refunds", {"reason": "x"}),
        (one, f"/api/v1/staff/orders/{order}/refunds", {"reason": "x"}),
        (one, f"/api/v1/staff/orders/{order}/arrivals", arrival),
    ):
        answer = await browser.api("POST", path, body | {"micros": micros}, status=400)
        assert answer.json()["error"]["type"], path
    # Credit by hand is to the micro: only what is not above zero, or no number that we book, is refused.
    if type(micros) is int and micros in (1, 10_001):
        return
    owed = {"organisation": f"org_{organisation_id.hex}", "account": "goodwill", "reason": "x"}
    for path, body in (
        (f"{shown}/credit", {"scope": "live", "reason": "x"}),
        (f"{shown}/credit", {"scope": "sandbox", "reason": "x"}),
        ("/api/v1/staff/writeoffs", owed),
    ):
        answer = await one.client.post(path, json=body | {"micros": micros}, headers=SAME | {"x-csrf-token": one.csrf})
        assert answer.status_code in (400, 409), (path, answer.text)
    assert (await customer.api("GET", "/api/v1/balance")).json()["balance_micros"] == 0
    assert len((await customer.api("GET", "/api/v1/orders")).json()["orders"]) == 1
