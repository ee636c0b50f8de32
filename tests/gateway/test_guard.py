"""Calls of keys with a guard: what it looks for leaves in no dialect, whole or streamed, relayed or translated."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dialect_calls import DIALECTS, call, ends_in_error, ends_well, error_of
from fixtures_gateway import House
from three_vendors import SPEAK, sent, vendors

each_dialect = pytest.mark.parametrize("dialect", DIALECTS)
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
MAIL = "jane.doe@example.org"
CARD = "4111 1111 1111 1111"


async def ask(house: House, secret: str, dialect: str, model: str, text: str, **more: Any) -> Any:
    path, body = call(dialect, model, text, **more)
    return await house.client.post(path, json=body, headers={"authorization": f"Bearer {secret}"})


@each_dialect
@streamed_or_not
async def test_what_a_guard_masks_leaves_in_no_dialect(house: House, dialect: str, stream: bool) -> None:
    sandbox = await vendors(house)
    _, secret = await house.key(guard=("mask", "email", "card"))
    for vendor in SPEAK:
        answer = await ask(
            house, secret, dialect, f"{vendor}/chat", f"[[echo]] Write to {MAIL} and charge {CARD}.", stream=stream
        )
        assert answer.status_code == 200, answer.text
        assert MAIL not in json.dumps(sent(sandbox)), vendor
        assert CARD not in json.dumps(sent(sandbox)), vendor
        assert "[email masked]" in json.dumps(sent(sandbox))
        assert answer.headers["ruxa-guard"] == "card, email"
        if stream:
            assert ends_well(dialect, answer.content)
        row = await house.row(answer.headers["x-request-id"])
        assert (row["provider"], row["usage_source"]) == (vendor, "provider")
        assert row["amount_micros"] > 0
    plain = await ask(house, house.secret, dialect, "oc/chat", f"[[echo]] Write to {MAIL}.", stream=stream)
    assert MAIL in json.dumps(sent(sandbox)), "the other key has no guard"
    assert "ruxa-guard" not in plain.headers
    await house.stop()
    assert not house.proofs()


@each_dialect
async def test_what_a_guard_refuses_does_not_leave(house: House, dialect: str) -> None:
    sandbox = await vendors(house)
    _, secret = await house.key(guard=("refuse", "email"))
    for stream in (False, True):
        answer = await ask(house, secret, dialect, "am/chat", f"Write to {MAIL}.", stream=stream)
        assert answer.status_code == 403
        assert "guard" in error_of(dialect, answer.content)["message"]
        assert MAIL not in answer.text
    assert sandbox.requests == 0
    rows = await house.rows(2)
    assert {(row["error_code"], row["amount_micros"]) for row in rows} == {("guard_refused", 0)}


async def test_where_a_guard_cannot_look_nothing_leaves(house: House) -> None:
    sandbox = await vendors(house)
    _, secret = await house.key(guard=("mask",))
    headers = {"authorization": f"Bearer {secret}"}
    speech = {"model": "oc/chat", "input": "hello", "voice": "alloy"}
    answer = await house.client.post("/v1/audio/speech", json=speech, headers=headers)
    assert answer.status_code in (403, 404, 422)
    vectors = {"model": "oc/embedding", "input": [f"to {MAIL}", "plain"]}
    answer = await house.client.post("/v1/embeddings", json=vectors, headers=headers)
    assert answer.status_code == 200, answer.text
    assert sent(sandbox)["input"] == ["to [email masked]", "plain"]
    answer = await house.client.post("/v1/embeddings", json={**vectors, "input": [[1, 2]]}, headers=headers)
    assert answer.status_code == 403
    before = sandbox.requests
    counted = call("anthropic_messages", "am/chat", f"to {MAIL}")[1]
    del counted["max_tokens"]
    answer = await house.client.post("/v1/messages/count_tokens", json=counted, headers=headers)
    assert answer.json()["input_tokens"] > 0, answer.text
    assert MAIL not in json.dumps(sent(sandbox))
    assert sandbox.requests == before + 1


@streamed_or_not
async def test_an_answer_is_looked_into_as_well(house: House, stream: bool) -> None:
    sandbox = await vendors(house)
    _, mask = await house.key(guard=("mask", "email"))
    _, refuse = await house.key(guard=("refuse", "email"))
    # An address that only the answer puts together: the model is asked for two halves, and says them as one.
    text = "[[echo]] halves: jane.doe" + "[[x]]" + "@example.org and then more words after it"
    for vendor in SPEAK:
        answer = await ask(house, mask, "openai_chat", f"{vendor}/chat", text, stream=stream)
        assert answer.status_code == 200, answer.text
        assert "jane.doe" + "[[x]]" in json.dumps(sent(sandbox)), "nothing was found on the way out"
        assert MAIL not in answer.text
        assert "[email masked]" in answer.text
        answer = await ask(house, refuse, "openai_chat", f"{vendor}/chat", text, stream=stream)
        row = await house.row(answer.headers["x-request-id"])
        assert row["error_code"] == "guard_refused", (vendor, answer.text)
        if answer.status_code == 200:
            assert ends_in_error("openai_chat", answer.content), answer.text
        else:
            assert answer.status_code == 403
        assert MAIL not in answer.text
        if not stream:
            assert row["amount_micros"] > 0, "the provider did its work (D22)"
    await house.stop()
    assert not house.proofs()
