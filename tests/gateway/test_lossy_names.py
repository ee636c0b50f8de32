"""Names of dropped fields are the caller's own words: they end no header, unbook no row, and are kept only if plain."""

from __future__ import annotations

import json
from typing import Any

from fixtures_gateway import House

EVIL = ("a\r\nx-evil: 1", "b\x00", "mail@kestrel.example", "future_knob")


def body(*names: str) -> dict[str, Any]:
    fields = dict.fromkeys(names, 1)
    return {"model": "sandbox/chat", "messages": [{"role": "user", "content": "x"}], **fields}


async def test_a_name_ends_no_header_and_unbooks_no_row(house: House) -> None:
    await house.begin()
    await house.serve()
    for name in EVIL:
        answer = await house.client.post("/v1/chat/completions", json=body(name), headers=house.headers())
        assert answer.status_code == 200
        assert "x-evil" not in answer.headers
        plain = name == "future_knob"
        assert answer.headers["ruxa-lossy"] == ("future_knob" if plain else "1 more")
        row = await house.row(answer.headers["x-request-id"])
        assert row["amount_micros"] == int(answer.headers["ruxa-cost-micros"]) > 0
        assert row["lossy"] == (["future_knob"] if plain else [])
    await house.stop()
    assert not house.proofs()
    assert not list(house.place.glob("journal/*/*.rxj"))


async def test_ten_thousand_names_make_a_short_header_and_a_short_refusal(house: House) -> None:
    await house.begin()
    await house.serve()
    many = body(*(f"field_{number}" for number in range(10_000)))
    answer = await house.client.post("/v1/chat/completions", json=many, headers=house.headers())
    assert answer.status_code == 200
    assert answer.headers["ruxa-lossy"].endswith("field_11, 9988 more")
    strict = house.headers(**{"ruxa-strict": "true"})
    refused = await house.client.post("/v1/chat/completions", content=json.dumps(many), headers=strict)
    assert refused.status_code == 400
    assert len(refused.content) < 2000
