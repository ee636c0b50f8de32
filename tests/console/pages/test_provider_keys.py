"""The page of own provider keys: set by owners, shown by its last characters only, removed for good."""

from __future__ import annotations

from typing import Any

from ruxa.ledger import prices

OWN = "sk-own-key-of-the-customer-7Qx9"


async def test_an_owner_sets_and_removes_a_key(console: Any) -> None:
    async with console.house.operator.work() as work:
        await prices.put(work, "sandbox/chat", prices.rates(7, 8), source="test")
    browser, _, _ = await console.owner()
    path = "/keys/providers"
    assert "Own provider keys" in (await browser.get(path)).text
    refused = await browser.post(path, "put", provider="sandbox", secret="with blank in it", status=422)
    assert "without blanks" in refused.text
    assert "with blank in it" not in refused.text
    await browser.post(path, "put", provider="nobody", secret=OWN, status=422)
    await browser.post(path, "put", provider="sandbox", secret=OWN, house="true")
    page = (await browser.get(path)).text
    assert "7Qx9" in page
    assert OWN not in page
    assert "stands in" in page
    await browser.post(path, "remove", provider="sandbox")
    assert "7Qx9" not in (await browser.get(path)).text
