"""No page and no body takes a card number: every form and every body refuses one, and none has a field for it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from ruxa.console import forms
from ruxa.console.pages import PAGES
from ruxa.console.words import CATALOGUES

CARD = "4242 4242 4242 4242"
CARDISH = re.compile(r"card|\bpan\b|cvv|cvc|csc|expir(?:y|ation)|cc-", re.I)
ALLOWED = {"guard_kinds"}


class Fields(HTMLParser):
    """The named fields of a page's forms, with what a browser would fill into them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag in ("input", "textarea", "select") and said.get("name"):
            self.found.append((said["name"], said.get("type", ""), said.get("autocomplete", "")))


def page_fields(text: str) -> list[tuple[str, str, str]]:
    parser = Fields()
    parser.feed(text)
    return parser.found


async def test_no_form_has_a_field_for_a_card(console: Any) -> None:
    operator, _ = await console.operator()
    seen = 0
    for page in PAGES:
        path = page.path if isinstance(page.path, str) else page.path[0]
        if "{" in path:
            continue
        answer = await operator.client.get(path, headers={"host": "127.0.0.1:8000"}, follow_redirects=True)
        for name, kind, fills in page_fields(answer.text):
            seen += 1
            assert not CARDISH.search(f"{name} {fills}") or name in ALLOWED or kind == "radio", (path, name, fills)
    assert seen > 60


async def test_every_form_refuses_a_card_number_and_shows_only_its_end(console: Any) -> None:
    operator, _ = await console.operator()
    tried = 0
    for page in PAGES:
        path = page.path if isinstance(page.path, str) else page.path[0]
        if "{" in path:
            continue
        for do in (*page.actions, *page.doors):
            answer = await operator.client.post(
                path,
                data={"_do": do, "_csrf": operator.csrf, "anything": f"mine is {CARD}"},
                headers={"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"},
                follow_redirects=False,
            )
            assert answer.status_code in (422, 303), (path, do, answer.status_code)
            assert CARD not in answer.text
            tried += answer.status_code == 422
    assert tried > 20


async def test_a_card_number_comes_back_masked_beside_its_field(console: Any) -> None:
    browser, _, _ = await console.owner()
    answer = await browser.post("/keys", "create", 422, name=f"for {CARD}", scopes="chat")
    assert "This looks like a card number" in answer.text
    assert "for •••• •••• •••• 4242" in answer.text
    assert CARD not in answer.text
    assert "No keys yet" in (await browser.get("/keys")).text
    assert CARD not in (await browser.get(f"/activity?model={CARD}")).text


@pytest.mark.parametrize(
    "body", [{"name": CARD}, {"name": "x", "models": ["5555555555554444"]}, {"name": 4242424242424242}]
)
async def test_a_body_with_a_card_number_is_refused(console: Any, body: dict[str, Any]) -> None:
    browser, _, _ = await console.owner()
    answer = await browser.api("POST", "/api/v1/keys", body, status=400)
    assert CARD not in answer.text
    if body["name"] == CARD:
        assert (answer.json()["error"]["type"], answer.json()["error"]["param"]) == ("card_number", "name")
    assert (await browser.api("GET", "/api/v1/keys")).json()["keys"] == []


async def test_no_body_has_a_field_for_a_card(console: Any) -> None:
    found = (await console.browser().get("/api/v1/openapi.json")).json()
    bodies = {
        reference.rpartition("/")[2]
        for item in found["paths"].values()
        for operation in item.values()
        for reference in re.findall(r"#/components/schemas/[\w.]+", json.dumps(operation.get("requestBody", {})))
    }
    names = {name for body in bodies for name in found["components"]["schemas"][body].get("properties", {})}
    assert len(names) > 10
    assert not {name for name in names if CARDISH.search(name)} - {"expires_at", "expiry"}


def test_the_message_is_in_every_language() -> None:
    for file in CATALOGUES.glob("*.toml"):
        assert "\ncard = " in file.read_text(encoding="utf-8")
    assert forms.refuse_cards({}) == {}


async def test_a_body_that_is_nested_without_end_is_refused_not_broken(console: Any) -> None:
    browser, _, _ = await console.owner()
    headers = {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
    headers |= {"x-csrf-token": browser.csrf, "content-type": "application/json"}
    answer = await browser.client.request("POST", "/api/v1/keys", content=b"[" * 50_000, headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "too_deep")
