"""A newcomer's way in real Chromium: sign up, verify by the outbox, key, playground, activity, ledger line."""

from __future__ import annotations

import re
import secrets
from typing import Any

from playwright.sync_api import expect


def test_sign_up_to_ledger_line(window: Any, server: Any) -> None:
    page = window.page()
    email = f"newcomer.{secrets.token_hex(4)}@example.org"

    window.go(page, "/")
    expect(page.locator("#curl-text")).to_contain_text(server.base_url)
    page.click("text=Get a key")
    page.fill("#f-email", email)
    page.fill("#f-name", "Nora Newcomer")
    page.fill("#f-password", "plum-ferry-orchid-41-oak")
    page.check("input[name=adult]")
    page.check("input[name=terms]")
    page.click("text=Create account")
    expect(page.locator("h1")).to_have_text("Look into your mail")

    page.click("text=Open the outbox")
    mail = page.locator(".mailbox > li", has_text=email).first
    mail.locator("text=Follow the link").click()
    page.click("text=Confirm and go on")
    expect(page.locator(".greet")).to_contain_text("Welcome")
    expect(page.locator(".steps li.done")).to_have_count(1)

    page.click("nav.side >> text=Billing")
    window.also = re.compile(r"127\.0\.0\.1:\d+$")
    page.click("main >> text=Top up")
    page.check("input[name=usd][value='5']", force=True)
    page.click("text=See the price")
    page.click("button:has-text('Pay 5.00 USD')")
    page.fill("input[name=number]", "4242424242424242")
    page.fill("input[name=expiry]", "12/30")
    page.fill("input[name=cvc]", "123")
    page.click("button:has-text('Pay $')")
    expect(page.locator(".banner-pass")).to_contain_text("Your balance is 5.00 USD", timeout=20_000)

    page.click("nav.side >> text=Keys")
    expect(page.locator(".empty")).to_contain_text("No keys yet")
    page.fill("#f-name", "first-key")
    page.click("button:has-text('Create key')")
    secret = page.locator("#newkey").inner_text()
    assert re.fullmatch(r"rx_live_[0-9A-Za-z]{39}", secret)
    status, headers, _ = server.chat("Hello from the key.", key=secret)
    assert status == 200
    by_key = headers["x-request-id"]
    page.click("text=I have saved it")
    expect(page.locator("td.a", has_text="first-key")).to_be_visible()
    assert secret not in page.content()

    page.click("nav.side >> text=Playground")
    page.fill("#system", "Be brief.")
    page.fill("#message", "Count to three.")
    page.press("#message", "Enter")
    answer = page.locator(".turn-answer")
    answer.locator(".turn-facts a").wait_for(timeout=10_000)
    expect(answer.locator(".turn-text")).to_contain_text("Sandbox")
    expect(answer.locator(".turn-facts")).to_contain_text("Cost 0.0000")
    by_page = answer.locator(".turn-facts a").inner_text()

    page.click("nav.side >> text=Activity")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.fill("input[name=id]", by_key)
    page.press("input[name=id]", "Enter")
    page.wait_for_url(f"**/activity/{by_key}")
    expect(page.locator("#cost")).to_be_visible()

    window.go(page, f"/activity/{by_page}")
    expect(page.locator("#money")).to_contain_text(by_page)
    charged = page.locator(".stat-n").first.inner_text()
    page.click("nav.side >> text=Billing")
    line = page.locator("tbody tr", has=page.locator(f"a[href='/activity/{by_page}']"))
    expect(line).to_contain_text(charged.split()[0])

    page.click("button[popovertarget=who]")
    page.click("text=Sign out")
    expect(page.locator(".greet")).to_contain_text("signed out")
    window.go(page, "/home")
    assert "/sign-in" in page.url


def test_stop_ends_an_answer(window: Any, server: Any) -> None:
    page = window.sign_in(server)
    window.go(page, "/playground")
    page.fill("#message", "Write as slowly as you can. " * 40)
    # The request id comes with the answer's head; an answer stopped before has none to show.
    with page.expect_response("**/v1/chat/completions"):
        page.click("#send")
    page.click("#stop")
    page.locator(".turn-facts a").wait_for(timeout=10_000)
    expect(page.locator("#send")).to_be_visible()


def test_three_dialects_and_an_image(window: Any, server: Any) -> None:
    page = window.sign_in(server)
    window.go(page, "/playground")
    png = bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c636060606000000005"
        "0001a5f645400000000049454e44ae426082"
    )
    for number, dialect in enumerate(("openai", "anthropic", "gemini")):
        page.select_option("#dialect", dialect)
        page.set_input_files("#image", {"name": "dot.png", "mimeType": "image/png", "buffer": png})
        page.locator("#thumbs img").wait_for()
        page.fill("#message", f"Hello {dialect}")
        page.press("#message", "Enter")
        answer = page.locator(".turn-answer").nth(number)
        answer.locator(".turn-facts a").wait_for(timeout=10_000)
        expect(answer.locator(".turn-text")).to_contain_text("image/png")
        expect(page.locator("#code")).to_contain_text("curl")


def test_a_wrong_answer_is_said(window: Any, server: Any) -> None:
    window.allowed_statuses |= {404}
    page = window.sign_in(server)
    window.go(page, "/playground")
    page.evaluate(
        "document.getElementById('model').append(new Option('sandbox/nothing', 'sandbox/nothing', true, true))"
    )
    page.fill("#message", "Hello")
    page.press("#message", "Enter")
    expect(page.locator(".turn-bad")).to_contain_text("404")


def test_without_javascript(windows: Any, server: Any) -> None:
    window = windows(java_script_enabled=False)
    page = window.page()
    window.go(page, "/sign-in")
    page.fill("#f-email", server.demo["owner_email"])
    page.fill("#f-password", server.demo["owner_password"])
    page.click("button[value=sign_in]")
    expect(page.locator("h1")).to_have_text("Home")
    window.go(page, "/activity")
    page.select_option("select[name=status]", "failed")
    page.click("text=Filter")
    assert "status=failed" in page.url
    window.go(page, "/keys")
    page.fill("#f-name", "plain-key")
    page.click("button:has-text('Create key')")
    expect(page.locator("#newkey")).to_contain_text("rx_live_")
    page.click("text=plain-key >> nth=1")
    page.click("button[popovertarget=revoke]")
    page.click("#revoke >> text=Revoke key")
    expect(page.locator(".greet")).to_contain_text("revoked")
    window.go(page, "/playground")
    expect(page.locator("#plain-curl")).to_be_visible()
