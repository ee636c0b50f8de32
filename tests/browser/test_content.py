"""Stored content in real Chromium: seen on request, never run, downloaded, deleted, also on a phone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from fixtures_server import RunningServer, eventually

TEXT = "Kept words <img src=x onerror=document.title='ran'>"


def _call(server: RunningServer) -> tuple[str, str]:
    """A call with stored content, and its key's shown id."""
    made = server.cli_json(
        "key", "create", "--org", server.organisation, "--name", "keeps", "--store-days", "3",
        "--scopes", "chat,content:read",
    )  # fmt: skip
    _, headers, _ = server.chat(TEXT, key=made["key"])
    call = headers["x-request-id"]

    def stored() -> bool:
        status, _, body = server.http("GET", f"/api/v1/usage/{call}/content", key=made["key"])
        return status == 200 and json.loads(body)["content"] is not None

    eventually(stored)
    return call, made["id"]


def test_content_is_seen_downloaded_and_deleted(window: Any, server: RunningServer) -> None:
    call, key = _call(server)
    page = window.sign_in(server)
    window.go(page, f"/activity/{call}")
    assert TEXT not in page.content()
    page.click("text=Show what was sent and got")
    expect(page.locator(".said")).to_have_count(2)
    expect(page.locator(".said pre").first).to_contain_text(TEXT)
    assert page.title() != "ran"
    assert window.axe(page) == []
    with page.expect_download() as waiting:
        page.locator(".said", has_text="Got").locator("text=Download").click()
    assert waiting.value.suggested_filename == f"{call}-answer.json"
    assert "Kept words" in Path(waiting.value.path()).read_text()

    page.click("button[popovertarget=delete-content]")
    page.locator("#delete-content >> button.b-harm-main").click()
    expect(page.locator(".greet")).to_contain_text("The stored content is deleted")
    expect(page.locator("text=Show what was sent and got")).to_have_count(0)

    window.go(page, f"/keys/{key}")
    expect(page.locator("main")).to_contain_text("Nothing is stored")
    page.select_option("#f-store_days", "0")
    page.locator("form", has=page.locator("#f-store_days")).get_by_role("button", name="Save").click()
    expect(page.locator(".greet")).to_contain_text("Saved")
    expect(page.locator("dl")).to_contain_text(["not stored"])


def test_content_fits_a_phone(windows: Any, server: RunningServer) -> None:
    call, key = _call(server)
    for scheme in ("light", "dark"):
        window = windows(width=360, scheme=scheme)
        page = window.sign_in(server)
        window.go(page, f"/activity/{call}")
        page.click("text=Show what was sent and got")
        expect(page.locator(".said")).to_have_count(2)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert window.axe(page) == []
        window.go(page, f"/keys/{key}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.evaluate("document.documentElement.scrollHeight") < 2200
        assert window.axe(page) == []
