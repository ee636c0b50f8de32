"""``/api/v1/provider-keys``: owners set and remove them, others see that there are some, nobody sees a key again."""

from __future__ import annotations

from typing import Any

from ruxa.ledger import prices

OWN = "sk-own-key-of-the-customer-7Qx9"


async def test_a_key_comes_in_and_is_never_shown(console: Any) -> None:
    browser, _, _ = await console.owner()
    path = "/api/v1/provider-keys"
    assert (await browser.api("GET", path)).json() == []
    made = (await browser.api("PUT", f"{path}/sandbox", {"key": OWN, "house_stands_in": True})).json()
    assert (made["provider"], made["ending"], made["house_stands_in"]) == ("sandbox", "7Qx9", True)
    again = (await browser.api("PUT", f"{path}/sandbox", {"key": OWN[::-1]})).json()
    assert (again["ending"], again["house_stands_in"]) == (OWN[::-1][-4:], False)
    assert again["id"] != made["id"]
    answer = await browser.api("GET", path)
    assert [one["id"] for one in answer.json()] == [again["id"]]
    assert OWN not in answer.text
    assert OWN[::-1] not in answer.text
    for body, status in (
        ({"key": "with blank in it"}, 400),
        ({"key": ""}, 400),
        ({"key": OWN, "x": 1}, 400),
        ({}, 400),
    ):
        assert OWN not in (await browser.api("PUT", f"{path}/sandbox", body, status=status)).text
    async with console.house.operator.work() as work:
        await prices.put(work, "sandbox/chat", prices.rates(7, 8), source="test")
        price = (await prices.current(work, "own:list"))["sandbox/chat"]
    assert (price.input_micros, price.output_micros) == (0, 0), "free, because a price says so"
    await browser.api("DELETE", f"{path}/sandbox", status=204)
    assert (await browser.api("DELETE", f"{path}/sandbox", status=404)).json()["error"]["type"] == "no_provider_key"
    assert (await browser.api("GET", path)).json() == []
