"""Another vendor's thinking is left out of a relayed call; nothing else of it is touched (W33)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ruxa.dialects import DIALECTS, signature
from ruxa.dialects.dialect import Envelope, Patched, Terms
from ruxa.dialects.paths import locate
from ruxa.dialects.shape import Shape, settings_of

TERMS = Terms(allowed=frozenset({"*"}))
PATHS = {
    "anthropic_messages": b"/v1/messages",
    "gemini_generate": b"/v1beta/models/m:generateContent",
    "openai_responses": b"/v1/responses",
}
FOREIGN = signature.pack("openai", "of somebody else???>>>")
NOBODYS = signature.pack("", "")


def read(path: bytes, body: Any) -> Envelope:
    place = locate(b"POST", path, b"", {})
    assert place is not None
    return DIALECTS[place.dialect].read(place, body if isinstance(body, bytes) else json.dumps(body).encode())


def patched(envelope: Envelope) -> Patched:
    dialect = DIALECTS[envelope.place.dialect]
    return dialect.patch(envelope, upstream_model="up", pseudonym=lambda given: given, terms=TERMS)


def sent(path: bytes, body: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    made = patched(read(path, body))
    assert made.length == sum(map(len, made.pieces))
    return json.loads(b"".join(made.pieces)), made.dropped


def messages(*blocks: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": list(blocks)}]
    return {"model": "m", "max_tokens": 9, "messages": [*turns, {"role": "user", "content": "Go on."}]}


@pytest.mark.parametrize("proof", ["", FOREIGN, NOBODYS])
def test_anthropic_gets_no_thinking_but_its_own(proof: str) -> None:
    text = {"type": "text", "text": 'He wrote "signature":"" and no more.'}
    own = {"type": "thinking", "thinking": "mine", "signature": "Eq=="}
    body, lossy = sent(
        PATHS["anthropic_messages"], messages({"type": "thinking", "thinking": "x", "signature": proof}, own, text)
    )
    assert body["messages"][1]["content"] == [own, text]
    assert lossy == ("thinking",)


def test_a_turn_of_nothing_else_is_left_out() -> None:
    body, _ = sent(PATHS["anthropic_messages"], messages({"type": "redacted_thinking", "data": FOREIGN}))
    assert [turn["role"] for turn in body["messages"]] == ["user", "user"]


@pytest.mark.parametrize("spelled", [FOREIGN, FOREIGN.replace("+", "-").replace("/", "_")])
@pytest.mark.parametrize("name", ["thoughtSignature", "thought_signature"])
def test_google_gets_no_proof_but_its_own(spelled: str, name: str) -> None:
    parts: list[Any] = [
        {"text": "theirs", "thought": True, name: spelled},
        {"text": "said", name: spelled},
        {"functionCall": {"name": "f", "args": {"n": 1.0}}, name: spelled},
        {"functionCall": {"name": "g"}, name: "R29vZ2xl"},
    ]
    body, lossy = sent(PATHS["gemini_generate"], {"contents": [{"role": "model", "parts": parts}]})
    assert body["contents"][0]["parts"] == [
        {"text": "said"},
        {"functionCall": {"name": "f", "args": {"n": 1.0}}, name: "skip_thought_signature_validator"},
        parts[3],
    ]
    assert lossy == ("thinking",)


def test_openai_gets_no_reasoning_but_its_own() -> None:
    own = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    items = [
        {"role": "user", "content": "Hi."},
        {"type": "reasoning", "id": "rs_0", "summary": [], "encrypted_content": FOREIGN},
        own,
    ]
    body, lossy = sent(PATHS["openai_responses"], {"model": "m", "input": items})
    assert body["input"] == [items[0], own]
    assert lossy == ("thinking",)


def test_what_bears_no_mark_is_not_touched() -> None:
    body = (
        b'{"model":"m","max_tokens":9,"messages":[ {"role":"user","content":[{"type":"text","text":"a"}]},'
        b'{"role":"assistant","content":[{"type": "thinking","thinking":"","signature":"Eq=="}]} ]}'
    )
    made = patched(read(PATHS["anthropic_messages"], body))
    assert b"".join(made.pieces) == body.replace(b'"m"', b'"up"')
    assert made.dropped == ()


def test_a_call_of_a_known_shape_is_looked_into_too() -> None:
    compact = json.dumps(messages({"type": "text", "text": "a"}), separators=(",", ":")).encode()
    plain = read(PATHS["anthropic_messages"], compact)
    settings = settings_of(plain, "messages")
    shaping = DIALECTS["anthropic_messages"].shaping
    assert settings is not None
    assert shaping is not None
    shape = Shape(plain.place, settings, shaping)
    assert shape.read(plain.place, compact) is not None
    marked = messages({"type": "thinking", "thinking": "x", "signature": FOREIGN})
    assert shape.read(plain.place, json.dumps(marked, separators=(",", ":")).encode()) is None
