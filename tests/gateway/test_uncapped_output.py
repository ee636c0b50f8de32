"""An answer without a cap costs at most what its payer has: where the longest answer is not covered, it is capped."""

from __future__ import annotations

from typing import Any

import pytest

from dialect_calls import DIALECTS, call
from fixtures_gateway import House


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "anthropic_messages"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_small_balance_buys_no_long_answer(house: House, dialect: str, stream: bool) -> None:
    await house.begin(credit_micros=9_200)
    await house.serve()
    spent = 0
    for _ in range(2):
        answer = await _ask(house, dialect, "[[tokens=60000]] x", stream=stream)
        assert answer.status_code == 200
        assert 0 < int(answer.headers["ruxa-output-cap"]) < 10_000
        row = await house.row(answer.headers["x-request-id"])
        assert row["waived_micros"] == 0
        spent += row["amount_micros"]
    assert spent <= 9_200
    await house.stop()
    assert not house.proofs()


async def test_a_covered_answer_is_not_capped(house: House) -> None:
    await house.begin(credit_micros=5_000_000)
    await house.serve()
    for _ in range(3):
        answer = await _ask(house, "openai_chat", "[[tokens=60000]] x", stream=False)
        assert "ruxa-output-cap" not in answer.headers
        assert answer.json()["usage"]["completion_tokens"] == 60_000
        assert (await house.row(answer.headers["x-request-id"]))["waived_micros"] == 0


async def _ask(house: House, dialect: str, text: str, **more: Any) -> Any:
    path, body = call(dialect, "sandbox/chat", text, **more)
    return await house.client.post(path, json=body, headers=house.headers())
