"""The console as an application: every page renders for who may see it, and for nobody else."""

from __future__ import annotations

from typing import Any


async def test_public_pages_render(console: Any) -> None:
    browser = console.browser()
    for path in ("/", "/sign-up", "/sign-in", "/reset", "/terms", "/refunds", "/privacy", "/outbox", "/docs/api"):
        page = await browser.get(path)
        assert "<h1" in page.text, path


async def test_member_pages_render(console: Any) -> None:
    browser, _, _ = await console.owner()
    for path in (
        "/home",
        "/home?period=week",
        "/home?period=month",
        "/playground",
        "/activity",
        "/keys",
        "/billing",
        "/team",
        "/settings",
    ):
        page = await browser.get(path)
        assert "<h1" in page.text, path


async def test_staff_pages_render(console: Any) -> None:
    browser, _ = await console.operator()
    for path in ("/staff/organisations", "/staff/ledger", "/staff/system", "/outbox"):
        page = await browser.get(path)
        assert "<h1" in page.text, path
