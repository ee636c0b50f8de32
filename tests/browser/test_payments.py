"""Chromium pays by each method on the sandbox processor's pages, sees the balance change by itself, gets its papers."""

from __future__ import annotations

import re
import secrets
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

SOON_MS = 20_000


def begin(window: Any, page: Any, by: str, usd: str = "5", *, save: bool = False) -> None:
    """Chooses amount and way, sees the price, goes on to pay."""
    window.go(page, "/billing/top-up")
    page.check(f"input[name=usd][value='{usd}']", force=True)
    page.check(f"input[name=by][value='{by}']", force=True)
    page.click("button:has-text('See the price')")
    expect(page.locator("tfoot")).to_contain_text(f"{usd}.00")
    if save:
        page.check("input[name=save]")
    page.locator("main form button[type=submit]").last.click()
    page.wait_for_load_state()


def card(page: Any, number: str) -> None:
    """Types a test card on the sandbox processor's page."""
    page.fill("input[name=number]", number)
    page.fill("input[name=expiry]", "12/30")
    page.fill("input[name=cvc]", "123")
    page.click("button:has-text('Pay $')")
    page.wait_for_load_state()


def balance(window: Any, page: Any) -> int:
    """Cents of the balance, as Billing shows it."""
    window.go(page, "/billing")
    shown = page.locator(".stat-n").first.inner_text()
    return int(re.sub(r"[^0-9]", "", shown.split("USD")[0]))


def order_of(page: Any) -> str:
    """The id of the payment whose page this is."""
    return str(page.url).rpartition("/")[2].partition("?")[0]


def papers(window: Any, page: Any, server: Any, order: str) -> None:
    """Downloads what a payment is written down as; the worker would issue it within a minute."""
    server.cli_json("invoice", "issue")
    window.go(page, f"/billing/orders/{order}")
    with page.expect_download() as download:
        page.locator("#order a:has-text('PDF')").first.click()
    found = download.value
    assert found.suggested_filename.endswith(".pdf")
    with open(found.path(), "rb") as file:
        assert file.read(5) == b"%PDF-"


@pytest.fixture
def window(windows: Any, server: Any) -> Any:
    """A window that may also go to the sandbox processor of this machine, and nowhere else."""
    del server
    made = windows(accept_downloads=True)
    made.also = re.compile(r"127\.0\.0\.1:\d+$")
    return made


def test_by_card_the_balance_changes_without_a_reload(window: Any, server: Any) -> None:
    page = window.sign_in(server)
    before = balance(window, page)
    begin(window, page, "stripe.card", save=True)
    assert urlsplit(page.url).netloc != urlsplit(server.base_url).netloc, "paid on the processor's own page"
    card(page, "4242424242424242")
    page.evaluate("window.kept = true")
    expect(page.locator(".banner-pass")).to_contain_text("5.00 USD are credited", timeout=SOON_MS)
    assert page.evaluate("window.kept"), "no reload"
    assert page.locator("#order[hx-trigger]").count() == 0, "it has stopped asking"
    order = order_of(page)
    assert balance(window, page) == before + 500
    expect(page.locator("table").last).to_contain_text("Top-up")
    papers(window, page, server, order)
    window.go(page, "/billing/auto")
    expect(page.locator("main")).to_contain_text("Visa ending in 4242")
    page.fill("#f-threshold", "1.00")
    if page.locator("#f-password_now").count():
        page.fill("#f-password_now", server.demo["owner_password"])
    page.click("button:has-text('Switch on')")
    expect(page.locator(".greet")).to_contain_text("Auto top-up is on")
    page.click("button:has-text('Switch off')")
    expect(page.locator(".greet")).to_contain_text("Auto top-up is off")


def test_by_card_with_proof_declined_and_left(window: Any, server: Any) -> None:
    page = window.sign_in(server)
    before = balance(window, page)
    begin(window, page, "stripe.card")
    card(page, "4000002500003155")
    page.locator("button").first.click()
    expect(page.locator(".banner-pass")).to_contain_text("credited", timeout=SOON_MS)
    window.allowed_statuses.add(402)
    begin(window, page, "stripe.card")
    card(page, "4000000000000002")
    expect(page.locator("body")).to_contain_text("declined")
    page.click("text=Cancel and go back")
    expect(page.locator("#order")).to_contain_text("You left the payment page")
    page.click("button:has-text('Cancel this payment')")
    expect(page.locator("#order")).to_contain_text("was cancelled")
    assert balance(window, page) == before + 500


def test_by_paypal_and_its_papers(window: Any, server: Any) -> None:
    page = window.sign_in(server)
    window.go(page, "/billing/details")
    page.fill("#f-name", "Fernhill Studio Ltd")
    page.fill("#f-address", "1 Hill Road")
    page.fill("#f-country", "GB")
    page.click("main form button[type=submit]")
    before = balance(window, page)
    begin(window, page, "paypal.paypal", "10")
    page.click("button[value=approve]")
    page.wait_for_load_state()
    page.evaluate("window.kept = true")
    expect(page.locator(".banner-pass")).to_contain_text("10.00 USD are credited", timeout=SOON_MS)
    assert page.evaluate("window.kept"), "no reload"
    order = order_of(page)
    assert balance(window, page) == before + 1000
    papers(window, page, server, order)
    page.locator("#order a:has-text('View')").first.click()
    expect(page.locator("body")).to_contain_text("10.00")


def test_by_bank_when_two_of_the_staff_have_seen_it(window: Any, windows: Any, server: Any) -> None:
    customer = window.sign_in(server)
    before = balance(window, customer)
    begin(window, customer, "bank.bank_transfer", "25")
    order = customer.url.rpartition("/")[2]
    reference = re.search(r"RX-[0-9A-Z]{4}-[0-9A-Z]{4}", customer.inner_text("main"))
    assert reference
    customer.evaluate("window.kept = true")

    staff = window.page()
    window.go(staff, "/staff/transfers")
    staff.fill("#f-reference", reference[0].lower())
    staff.click("button:has-text('Find')")
    staff.wait_for_url(f"**/staff/payments/{order}")
    staff.fill("#f-received", "25")
    staff.fill("#f-day", "2026-11-24")
    staff.fill("#f-account", "DE00")
    staff.fill("#f-line", reference[0])
    staff.click("button:has-text('I see it on the statement')")
    window.go(staff, "/staff/transfers")
    expect(staff.locator("main")).to_contain_text("Somebody else confirms")
    assert staff.locator("button:has-text('I see it too')").count() == 0

    other = windows()
    second = colleague(other, server)
    other.go(second, "/staff/transfers")
    second.locator("tr", has_text=reference[0]).locator("button:has-text('I see it too')").click()
    expect(second.locator(".greet")).to_contain_text("credited")
    expect(customer.locator(".banner-pass")).to_contain_text("25.00 USD are credited", timeout=SOON_MS)
    assert customer.evaluate("window.kept"), "no reload"
    assert balance(window, customer) == before + 2500
    papers(window, customer, server, order)


def colleague(window: Any, server: Any) -> Any:
    """A tab in which a second member of the staff is signed in."""
    email, password = f"second.{secrets.token_hex(4)}@example.org", "plum-ferry-orchid-41-oak"
    told = server.cli_json("operator", "add", email, "--role", "finance")
    page = window.page()
    page.goto(told["link"])
    page.fill("#f-name", "Second Person")
    page.fill("#f-password", password)
    for box in page.locator("main input[type=checkbox]").all():
        box.check()
    page.locator("main form button[type=submit]").last.click()
    page.wait_for_load_state()
    window.go(page, "/sign-in")
    if page.locator("#f-email").count():
        page.fill("#f-email", email)
        page.fill("#f-password", password)
        page.click("button[value=sign_in]")
        page.wait_for_url(re.compile("/(home|staff)"))
    return page


def test_without_scripts_a_link_looks_again(windows: Any, server: Any) -> None:
    window = windows(java_script_enabled=False)
    window.also = re.compile(r"127\.0\.0\.1:\d+$")
    page = window.sign_in(server)
    begin(window, page, "stripe.card")
    card(page, "4242424242424242")
    for _ in range(20):
        if page.locator(".banner-pass").count():
            break
        page.click("button:has-text('Look again')")
        page.wait_for_timeout(500)
    expect(page.locator(".banner-pass")).to_contain_text("credited")
