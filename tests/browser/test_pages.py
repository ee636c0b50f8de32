"""Every page in real Chromium: both themes, phone to wide, both languages, axe, keyboard; nothing of a third party."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from conftest import Sizes

PUBLIC = ("/", "/sign-up", "/sign-in", "/reset", "/terms", "/refunds", "/privacy", "/contact", "/outbox", "/docs/api")
BILLING = ("", "/top-up", "/top-up?usd=5.00&by=stripe.card", "/auto", "/orders", "/documents", "/details", "/alerts")
MONEY = ("payments", "quarantine", "refunds", "disputes", "transfers", "books", "reconciliation", "processors", "plans")
MEMBER = (
    "/home",
    "/home?period=week",
    "/playground",
    "/activity",
    "/keys",
    "/team",
    "/settings",
    *(f"/billing{part}" for part in BILLING),
)
STAFF = (
    "/staff/organisations",
    "/staff/ledger",
    "/staff/system",
    "/staff/backups",
    "/outbox",
    *(f"/staff/{part}" for part in MONEY),
)
# Their scripts draw by the width they find.
DRAWN = ("/home",)
WIDTHS = (360, 820, 1600)
GROUND = "getComputedStyle(document.body).backgroundColor"
SHOTS = os.environ.get("RUXA_SCREENSHOTS")


@pytest.fixture(scope="module")
def filled(server: Any) -> list[str]:
    """Pages that need something to show: a call, a failed one, a key, an organisation."""
    _, headers, _ = server.chat("Something to look at.")
    server.chat("Something that fails.", model="sandbox/fail-500")
    key = server.cli_json("key", "list", "--org", server.organisation)[0]["id"]
    return [
        f"/activity/{headers['x-request-id']}",
        f"/keys/{key}",
        f"/staff/organisations/{server.organisation}",
    ]


def look(window: Any, page: Any, path: str, *widths: int, name: str = "") -> list[str]:
    """Opens a page; what is wrong with its width at each width of the screen. The last one stays."""
    faults: list[str] = []
    for number, width in enumerate(widths):
        page.set_viewport_size({"width": width, "height": 900})
        if number == 0 or path.startswith(DRAWN):
            window.go(page, path)
            if path == "/staff/ledger":
                page.click("main button[type=submit]")
                page.wait_for_load_state()
        if SHOTS:
            shot = path.strip("/").replace("/", "-").replace("?", "-") or "landing"
            page.screenshot(path=Path(SHOTS) / f"{shot}-{width}{name}.png", full_page=True)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            faults.append(f"{path} is {wide} px too wide at {width}{name}")
    return faults


@pytest.mark.parametrize("area", ["public", "member", "staff"])
def test_pages_fit_the_screen_and_axe_finds_nothing_serious(
    windows: Any, server: Any, filled: list[str], area: str, sizes: Sizes
) -> None:
    """In both themes, from phone to wide; the dark one differs by its colours, other rules are the long stage's."""
    window = windows()
    faults: list[str] = []
    page = window.page() if area == "public" else window.enter(server)
    for path in {"public": PUBLIC, "member": MEMBER, "staff": (*STAFF, *filled)}[area]:
        page.emulate_media(color_scheme="light")
        faults += look(window, page, path, *WIDTHS, 1440)
        faults += window.axe(page)
        light = page.evaluate(GROUND)
        page.emulate_media(color_scheme="dark")
        assert page.evaluate(GROUND) != light, path
        faults += window.axe(page) if sizes.long else window.axe_colours(page)
    assert not faults, "\n".join(faults)


def test_chinese_fits_too(windows: Any, server: Any, filled: list[str]) -> None:
    window = windows(locale="zh-CN")
    faults: list[str] = []
    page = window.page()
    for path in PUBLIC:
        faults += look(window, page, path, 390, 1440, name="-zh")
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    page = window.enter(server)
    window.go(page, "/settings")
    page.select_option("#f-language", "zh")
    page.click("main form >> text=Save")
    expect(page.locator("h1")).to_have_text("设置")
    for path in (*MEMBER, *STAFF, *filled):
        faults += look(window, page, path, 390, 1440, name="-zh")
    window.go(page, "/settings")
    page.select_option("#f-language", "en")
    page.locator("main form").first.locator("button[type=submit]").click()
    expect(page.locator("h1")).to_have_text("Settings")
    assert not faults, "\n".join(faults)


def test_long_words_fit(windows: Any, server: Any) -> None:
    """Names as long as German makes them, where people choose them."""
    window = windows(width=390)
    page = window.enter(server)
    window.go(page, "/keys")
    page.fill("#f-name", "Donaudampfschifffahrtselektrizitaetenhauptbetriebswerkbauunterbeamtengesellschaft")
    page.click("button:has-text('Create key')")
    expect(page.locator("#newkey")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.click("text=I have saved it")
    page.locator("td.a a", has_text="Donaudampf").click()
    expect(page.locator("h1")).to_contain_text("Donaudampf")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_wrong_field_is_in_view(windows: Any, server: Any) -> None:
    """The field at fault has the focus, also where the form scrolls and its part was folded."""
    window = windows()
    window.allowed_statuses.add(422)
    page = window.enter(server)
    window.go(page, "/keys")
    page.fill("#f-name", "x")
    page.click("summary:has-text('Limits')")
    page.fill("#f-budget", "much")
    page.click("button:has-text('Create key')")
    expect(page.locator("#budget-fault")).to_be_visible()
    expect(page.locator("#f-budget")).to_be_focused()
    expect(page.locator("#f-budget")).to_be_in_viewport()


RENAME = """async name => (await fetch('/api/v1/organisation', {
    method: 'PATCH',
    headers: {'content-type': 'application/json', 'x-csrf-token': document.querySelector('[name=_csrf]').value},
    body: JSON.stringify({name}),
})).status"""


def test_a_long_organisation_name_fits(windows: Any, server: Any, filled: list[str]) -> None:
    window = windows()
    page = window.enter(server)
    long = "Donaudampfschifffahrtselektrizitaetenhauptbetriebswerkbauunterbeamtengesellschaft in Liquidation"
    window.go(page, "/settings")
    assert page.evaluate(RENAME, long) == 200
    faults: list[str] = []
    for path in (*MEMBER, *STAFF, *filled):
        faults += look(window, page, path, 390, 1440, name="-long")
    window.go(page, "/settings")
    assert page.evaluate(RENAME, "Demo") == 200
    assert not faults, "\n".join(faults)


def test_theme_and_menu_by_keyboard(windows: Any, server: Any) -> None:
    window = windows(width=390)
    page = window.sign_in(server)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.locator("[aria-label='Switch theme']").press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    window.go(page, "/activity")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.locator("[aria-label='Open menu']").press("Enter")
    expect(page.locator("nav.side")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("nav.side")).to_be_hidden()


def test_a_filter_changes_the_list_in_place(windows: Any, server: Any, filled: list[str]) -> None:
    del filled
    window = windows()
    page = window.enter(server)
    window.go(page, "/activity")
    page.evaluate("window.kept = true")
    page.select_option("select[name=status]", "failed")
    page.wait_for_url("**status=failed*")
    expect(page.locator("#calls .s-fail").first).to_be_visible()
    expect(page.locator("#calls .s-pass")).to_have_count(0)
    assert page.evaluate("window.kept")
    page.select_option("select[name=status]", "")
    expect(page.locator("#calls .s-pass").first).to_be_visible()


def test_charts_are_drawn_with_a_table_beside(windows: Any, server: Any, filled: list[str]) -> None:
    del filled
    page = windows().enter(server)
    expect(page.locator(".plot-u canvas")).to_have_count(2)
    page.locator(".as-table summary").first.click()
    expect(page.locator(".as-table table").first.locator("tbody tr")).to_have_count(24)


def test_errors_are_pages_with_a_request_id(windows: Any, server: Any) -> None:
    window = windows()
    window.allowed_statuses |= {404}
    page = window.page()
    window.go(page, "/nowhere")
    expect(page.locator("h1")).to_have_text("There is nothing here")
    expect(page.locator("code")).to_contain_text("req_")


@pytest.mark.parametrize("path", ["/privacy", "/terms", "/refunds"])
def test_a_long_text_has_its_parts_beside_it_and_below_it_on_a_phone(windows: Any, server: Any, path: str) -> None:
    for width, beside in ((1440, True), (390, False)):
        window = windows(width=width)
        page = window.page()
        window.go(page, path)
        text, aside = (page.locator(f"{where}").first.bounding_box() for where in (".text .prose", ".text-by"))
        assert text
        assert aside
        assert (aside["x"] >= text["x"] + text["width"]) is beside
        assert (aside["y"] >= text["y"] + text["height"] - 1) is not beside
        assert page.locator(".prose .sum").count() == 0, "the sum is of the text and no part of it"
        assert page.locator(f'.text-by a[href="{path}"][aria-current=page]').count() == 1
    first = page.locator('.text-by a[href^="#part-"]')
    assert (first.count() > 0) is (path == "/privacy")
