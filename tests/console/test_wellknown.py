"""``security.txt`` and the contact page: the fields of RFC 9116, and only a contact that exists."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Any

import pytest

from ruxa.console import wellknown


def fields(text: str) -> dict[str, str]:
    assert text.endswith("\n")
    lines: list[list[str]] = [line.split(": ", 1) for line in text.splitlines()]
    assert len({name for name, _ in lines}) == len(lines)
    return {line[0]: line[1] for line in lines}


async def test_without_a_setting_the_contact_page_is_named(console: Any) -> None:
    browser = console.browser()
    answer = await browser.get(wellknown.PATH)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    found = fields(answer.text)
    assert found.keys() == {"Contact", "Expires", "Preferred-Languages", "Canonical"}
    assert found["Contact"] == "http://127.0.0.1:8000/contact"
    assert found["Canonical"] == "http://127.0.0.1:8000/.well-known/security.txt"
    assert found["Preferred-Languages"] == "en, zh"
    left = datetime.fromisoformat(found["Expires"]) - console.house.database.clock.now()
    assert timedelta(days=30) < left < timedelta(days=365)
    assert "whoever started this demo" in (await browser.get("/contact")).text


@pytest.mark.parametrize(
    ("contact", "address"),
    [("help@ruxa.example", "mailto:help@ruxa.example"), ("https://ruxa.example/report", "https://ruxa.example/report")],
)
async def test_the_operator_s_contact_is_named(console: Any, contact: str, address: str) -> None:
    made = sys.modules[type(console).__module__].made
    browser = made(console.house, mode="live", operator="Example <Ltd>", contact=contact).browser()
    assert fields((await browser.get(wellknown.PATH)).text)["Contact"] == address
    page = (await browser.get("/contact")).text
    assert f'<a href="{address}">{contact}</a>' in page
    assert "Example &lt;Ltd&gt;" in page


async def test_a_foreign_host_gets_no_canonical_address(console: Any) -> None:
    answer = await console.browser().client.get(wellknown.PATH, headers={"host": "evil.example"})
    assert answer.status_code == 400
