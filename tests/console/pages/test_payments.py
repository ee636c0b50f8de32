"""Staff's pages of payments: a transfer that two people confirm, a refund, a dispute's freeze, the books; who may."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ruxa.egress.processors.bank import Bank

LINES = ("IBAN: DE00 0000 0000 0000 0000 00",)
PAGES = ("payments", "quarantine", "refunds", "disputes", "transfers", "books", "processors", "plans")


@pytest.fixture
def console(house: Any, made_console: Any) -> Any:
    """A console whose customers pay by bank."""
    return made_console(house, processors={"bank": Bank(LINES, livemode=False)})


async def ordered(browser: Any, usd: str) -> str:
    """An order by bank; its shown id."""
    await browser.get("/billing/top-up")
    to = await browser.post("/billing/top-up", "pay", usd="other", other=usd, by="bank.bank_transfer")
    return to.headers["location"].rpartition("/")[2]


async def arrived(first: Any, second: Any, shown: str, usd: str, line: str = "RX transfer") -> None:
    """Two people confirm that the money of an order has arrived."""
    path = f"/staff/payments/{shown}"
    await first.get(path)
    await first.post(path, "confirm", received=usd, day="2026-11-24", line=line, account="DE00")
    waiting = (await first.get("/staff/transfers")).text
    assert "Somebody else confirms" in waiting
    found = re.search(r'name="confirmation" value="(cfm_\w+)"', waiting)
    assert found
    refused = await first.post("/staff/transfers", "second", 409, confirmation=found[1])
    assert "different person" in refused.text
    await second.get("/staff/transfers")
    done = await second.post("/staff/transfers", "second", confirmation=found[1])
    assert done.headers["location"].endswith("done=transfer_second")


async def test_a_transfer_is_credited_when_two_people_have_seen_it(console: Any, books: Any) -> None:
    customer, _, _ = await console.owner()
    shown = await ordered(customer, "25")
    first, second = await console.staff("finance"), await console.staff("operator")
    reference = re.search(r"RX-[0-9A-Z-]{9}", (await customer.get(f"/billing/orders/{shown}")).text)
    assert reference
    await first.get("/staff/transfers")
    found = await first.post("/staff/transfers", "find", reference=reference[0].lower().replace("-", " "))
    assert found.headers["location"] == f"/staff/payments/{shown}"
    unknown = await first.post("/staff/transfers", "find", 422, reference="RX-0000-0000")
    assert "No order has this reference" in unknown.text
    await arrived(first, second, shown, "25")
    csv = (await first.get("/staff/transfers?as=csv&state=confirmed&find=RX%20transfer")).text.splitlines()
    assert len(csv) == 2
    assert "Nothing fits" in (await first.get("/staff/transfers?find=RX")).text
    page = (await customer.get(f"/billing/orders/{shown}")).text
    assert "25.00 USD are credited" in page
    assert "hx-trigger" not in page
    assert "25.00" in (await customer.get("/billing")).text
    again = await first.post(
        f"/staff/payments/{shown}", "confirm", 409, received="25", day="2026-11-24", line="RX transfer", account="DE00"
    )
    assert "confirmed already" in again.text
    wrong = await first.post(
        f"/staff/payments/{shown}", "confirm", 422, received="1", day="24.11.2026", line="x", account="y"
    )
    assert "A day such as" in wrong.text
    await books.prove()


async def test_a_large_refund_waits_for_somebody_else(console: Any) -> None:
    customer, _, _ = await console.owner()
    first, second = await console.staff("finance"), await console.staff("finance")
    shown = await ordered(customer, "2000")
    await arrived(first, second, shown, "2000")
    path = f"/staff/payments/{shown}"
    await first.get(path)
    assert "Between" in (await first.post(path, "refund", 422, usd="2000.01", reason="x")).text
    await first.post(path, "refund", usd="2000", reason="They left")
    assert "They left" not in (await customer.get(f"/billing/orders/{shown}")).text
    listed = (await first.get("/staff/refunds")).text
    refund = re.search(r'name="refund" value="(rfnd_\w+)"', listed)
    assert refund
    assert "Reason: They left" in listed, "whoever may approve reads why"
    assert "Somebody else decides" in listed
    assert "different person" in (await first.post("/staff/refunds", "approve", 409, refund=refund[1])).text
    await second.get("/staff/refunds")
    await second.post("/staff/refunds", "approve", refund=refund[1])
    assert "Approved" in (await second.get("/staff/refunds")).text
    await second.post("/staff/refunds", "cancel", refund=refund[1])
    assert "Cancelled" in (await customer.get(f"/billing/orders/{shown}")).text
    rows = (await first.get(f"/staff/refunds?find={shown}&state=canceled&as=json")).json()
    assert [(row["id"], row["amount_micros"]) for row in rows] == [(refund[1], 2_000_000_000)]
    assert "They left" not in (await first.get("/staff/refunds")).text, "decided: no reason to read it"
    assert "Nothing fits" in (await first.get("/staff/refunds?state=done")).text
    assert "Nothing fits" in (await first.get("/staff/refunds?find=nonsense")).text


async def test_a_customer_asks_for_what_is_unspent(console: Any) -> None:
    customer, _, _ = await console.owner()
    first, second = await console.staff("finance"), await console.staff("finance")
    shown = await ordered(customer, "30")
    await arrived(first, second, shown, "30")
    path = f"/billing/orders/{shown}"
    await customer.get(path)
    assert "Between" in (await customer.post(path, "refund", 422, usd="30.01", reason="x")).text
    assert "is needed" in (await customer.post(path, "refund", 422, usd="10")).text
    await customer.post(path, "refund", usd="10", reason="Too much")
    page = (await customer.get(path)).text
    assert "Approved" in page
    assert "20.00 USD of this payment" in page


async def test_spending_is_stopped_and_lifted(console: Any) -> None:
    customer, _, organisation_id = await console.owner()
    one = await console.staff("operator")
    await one.get("/staff/disputes")
    wrong = await one.post("/staff/disputes", "freeze", 422, organisation="org_0", scope="live")
    assert "No organisation has this id" in wrong.text
    await one.post("/staff/disputes", "freeze", organisation=f"org_{organisation_id.hex}", scope="live")
    assert "Spending is stopped by the staff" in (await customer.get("/billing")).text


async def test_the_books_balance_and_nothing_is_owed(console: Any) -> None:
    _, _, organisation_id = await console.owner()
    one = await console.staff("finance")
    page = (await one.get("/staff/books")).text
    assert "Debits equal credits" in page
    assert "asset:" in (await one.get("/staff/books?as=csv")).text
    answer = await one.post(
        "/staff/books",
        "write_off",
        422,
        organisation=f"org_{organisation_id.hex}",
        usd="1",
        account="goodwill",
        reason="x",
        scope="live",
    )
    assert "more than is owed" in answer.text


@pytest.mark.parametrize("role", ["auditor", "support"])
async def test_who_may_only_look_has_no_button_and_no_way(console: Any, role: str) -> None:
    one = await console.staff(role)
    for name in PAGES:
        answer = await one.get(f"/staff/{name}", 200 if role == "auditor" else 403)
        if role == "auditor":
            buttons = re.findall(r'name="_do" value="(\w+)"', answer.text)
            assert set(buttons) <= {"find"}, (name, buttons)
    if role == "auditor":
        await one.post("/staff/refunds", "approve", 403, refund="rfnd_" + "0" * 32)
        await one.post("/staff/transfers", "second", 403, confirmation="cfm_" + "0" * 32)
        await one.post("/staff/disputes", "freeze", 403, organisation="org_" + "0" * 32)
        await one.post("/staff/books", "write_off", 403, organisation="x", usd="1", account="fraud", reason="y")


async def test_customers_do_not_know_of_these_pages(console: Any) -> None:
    customer, _, _ = await console.owner()
    for name in PAGES:
        await customer.get(f"/staff/{name}", 404)


async def test_payments_are_found_and_filtered(console: Any) -> None:
    customer, _, organisation_id = await console.owner()
    shown = await ordered(customer, "25")
    one = await console.staff("finance")
    for asked in (shown, f"org_{organisation_id.hex}"):
        assert shown in (await one.get(f"/staff/payments?find={asked}")).text
    assert "No payments" in (await one.get("/staff/payments?find=nonsense")).text
    assert "No payments" in (await one.get("/staff/payments?state=paid")).text
    assert shown in (await one.get("/staff/payments?state=open&processor=bank")).text
    assert shown in (await one.get("/staff/payments?as=csv")).text
    assert "Quarantine" in (await one.get("/staff/quarantine")).text
