"""Chromium pays on the sandbox processor's own pages: cards, 3-D Secure, refusals, PayPal, the portal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import stripe
from playwright.sync_api import Browser, Page, expect

from processors_sandbox import Sandbox, running

_AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running() as made:
        yield made


@pytest.fixture(scope="module")
def client(sandbox: Sandbox) -> Any:
    return stripe.StripeClient(sandbox.access.stripe_key, base_addresses={"api": sandbox.access.url}).v1


def ours(url: str) -> bool:
    """Nothing is loaded from anywhere else."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost") or url.startswith("data:")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    faults: list[str] = []
    made = context.new_page()
    made.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    made.on("pageerror", lambda error: faults.append(str(error)))
    made.on("request", lambda request: faults.append(request.url) if not ours(request.url) else None)
    yield made
    context.close()
    assert not faults


def back(sandbox: Sandbox) -> str:
    """The shop, on another origin than the processor: the page's policy must let the form lead there."""
    return sandbox.access.url.replace("127.0.0.1", "localhost")


def session_of(sandbox: Sandbox, client: Any, **more: Any) -> Any:
    price = {"currency": "usd", "unit_amount": 2500, "product_data": {"name": "Ruxa <credit>"}}
    return client.checkout.sessions.create(
        params={
            "mode": "payment",
            "success_url": back(sandbox) + "/?paid={CHECKOUT_SESSION_ID}",
            "cancel_url": back(sandbox) + "/?canceled",
            "line_items": [{"quantity": 1, "price_data": price}],
            **more,
        }
    )


def test_a_card_is_declined_another_asks_the_bank_and_pays(sandbox: Sandbox, client: Any, page: Page) -> None:
    session = session_of(sandbox, client, saved_payment_method_options={"payment_method_save": "enabled"})
    page.goto(session.url)
    expect(page.get_by_role("note")).to_contain_text("This is the sandbox. No money moves and no real card is taken.")
    expect(page.locator("dl")).to_contain_text("Ruxa <credit>")
    page.get_by_label("Test card number").fill("4000 0000 0000 0002")
    page.get_by_role("button", name="Pay $25.00").click()
    expect(page.get_by_role("alert")).to_have_text("Your card was declined. Nothing was paid; try another card.")
    assert page.get_by_label("Test card number").input_value() == ""
    page.get_by_label("Test card number").fill("4000 0025 0000 3155")
    page.get_by_label("Keep this card for later").check()
    page.get_by_role("button", name="Pay $25.00").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your bank asks: is it you?")
    page.get_by_role("button", name="Yes, pay").click()
    page.wait_for_url(f"{back(sandbox)}/?paid={session.id}")
    done = client.checkout.sessions.retrieve(session.id)
    assert (done.status, done.payment_status) == ("complete", "paid")
    # The kept card is offered the next time, and the portal deletes it.
    again = session_of(sandbox, client, customer=done.customer)
    page.goto(again.url)
    page.get_by_role("button", name="Pay with Visa ending in 3155").click()
    page.wait_for_url(f"{back(sandbox)}/?paid={again.id}")
    portal = client.billing_portal.sessions.create(params={"customer": done.customer, "return_url": back(sandbox)})
    page.goto(portal.url)
    page.get_by_role("button", name="Delete Visa ending in 3155").click()
    expect(page.get_by_text("No card is saved.")).to_be_visible()
    page.get_by_role("link", name="Go back").click()
    page.wait_for_url(back(sandbox) + "/")


def test_a_real_card_is_refused_and_a_customer_may_leave(sandbox: Sandbox, client: Any, page: Page) -> None:
    session = session_of(sandbox, client)
    page.goto(session.url)
    page.get_by_label("Test card number").fill("4111 1111 1111 1111")
    page.get_by_role("button", name="Pay $25.00").click()
    expect(page.get_by_role("alert")).to_contain_text("That is not a test card, so it was refused and forgotten.")
    page.get_by_role("link", name="Cancel and go back").click()
    page.wait_for_url(back(sandbox) + "/?canceled")
    assert client.checkout.sessions.retrieve(session.id).status == "open"


def test_paypal_is_approved_and_canceled(sandbox: Sandbox, page: Page) -> None:
    access = sandbox.access
    auth = (access.paypal_client_id, access.paypal_client_secret)
    token = sandbox.http.post("/v1/oauth2/token", auth=auth, data={"grant_type": "client_credentials"}).json()
    bearer = {"authorization": f"Bearer {token['access_token']}"}
    for button, word in (("Approve", "back"), ("Cancel and go back", "canceled")):
        context = {"return_url": f"{back(sandbox)}/?back", "cancel_url": f"{back(sandbox)}/?canceled"}
        body = {
            "intent": "CAPTURE",
            "purchase_units": [{"amount": {"currency_code": "USD", "value": "25.00"}}],
            "application_context": context,
        }
        order = sandbox.http.post("/v2/checkout/orders", json=body, headers=bearer).json()
        page.goto(next(one["href"] for one in order["links"] if one["rel"] == "approve"))
        page.get_by_role("button", name=button).click()
        page.wait_for_url(f"{back(sandbox)}/?{word}&token={order['id']}*")


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1440)])
def test_pages_are_accessible_and_fit(sandbox: Sandbox, client: Any, browser: Browser, scheme: Any, width: int) -> None:
    customer = client.customers.create()
    client.payment_methods.attach("pm_card_visa", params={"customer": customer.id})
    session = session_of(sandbox, client, customer=customer.id)
    taxed = session_of(sandbox, client, automatic_tax={"enabled": True})
    portal = client.billing_portal.sessions.create(params={"customer": customer.id})
    waiting = client.payment_intents.create(
        params={"amount": 900, "currency": "usd", "payment_method": "pm_card_authenticationRequired", "confirm": True}
    )
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = context.new_page()
    for url in (session.url, taxed.url, portal.url, waiting.next_action.redirect_to_url.url, sandbox.access.url):
        page.goto(url)
        for summary in page.locator("summary").all():
            summary.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, url
        page.evaluate(_AXE.read_text())
        found = page.evaluate("axe.run().then(r => r.violations.map(one => [one.id, one.nodes.map(n => n.html)]))")
        assert found == [], url
    context.close()
