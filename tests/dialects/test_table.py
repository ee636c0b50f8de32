"""The closed table: what a target's terms permit, and pieces of large bodies that are no copies."""

from __future__ import annotations

import json

import pytest

from ruxa.dialects import DIALECTS
from ruxa.dialects.anthropic_messages.table import MESSAGES
from ruxa.dialects.dialect import Envelope, Patched, Place, Terms
from ruxa.dialects.gemini_generate.table import GENERATE, camel, snake
from ruxa.dialects.openai_chat.table import CHAT
from ruxa.dialects.openai_responses.table import CREATE
from ruxa.dialects.table import PIECE_BYTES_MIN
from ruxa.kernel.errors import Unsupported

CHAT_PLACE = Place(dialect="openai_chat", endpoint="chat")
OPENAI = DIALECTS["openai_chat"]


def read(**more: object) -> Envelope:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **more}
    return OPENAI.read(CHAT_PLACE, json.dumps(body, separators=(",", ":")).encode())


def patch(envelope: Envelope, terms: Terms) -> Patched:
    return OPENAI.patch(envelope, upstream_model="up", pseudonym=str.upper, terms=terms)


@pytest.mark.parametrize(
    ("allowed", "passes"),
    [
        (set(), False),
        ({"service_tier:priority"}, False),
        ({"service_tier"}, False),
        ({"service_tier:flex"}, True),
        ({"service_tier:*"}, True),
        ({"*"}, True),
    ],
)
def test_a_claim_needs_its_name(allowed: set[str], passes: bool) -> None:
    envelope = read(service_tier="flex")
    terms = Terms(allowed=frozenset(allowed))
    if passes:
        assert b'"service_tier":"flex"' in b"".join(patch(envelope, terms).pieces)
        return
    with pytest.raises(Unsupported) as caught:
        patch(envelope, terms)
    assert (caught.value.code, caught.value.param) == ("price_not_allowed", "service_tier")


@pytest.mark.parametrize("tier", ["auto", "default", None])
def test_free_values_are_no_claims(tier: str | None) -> None:
    assert read(service_tier=tier).claims == ()


def test_the_customers_own_key_passes_unknown_fields() -> None:
    envelope = read(frobnicate=1)
    assert patch(envelope, Terms()).dropped == ("frobnicate",)
    mine = patch(envelope, Terms(own_key=True))
    assert mine.dropped == ()
    assert b'"frobnicate":1' in b"".join(mine.pieces)


def test_what_is_ours_or_needs_a_kept_call_never_passes() -> None:
    envelope = read(models=["a/b"], metadata={"who": "anna"}, frobnicate=1)
    mine = patch(envelope, Terms(own_key=True))
    assert mine.dropped == ("models", "metadata")
    assert set(json.loads(b"".join(mine.pieces))) & {"models", "metadata", "frobnicate"} == {"frobnicate"}


def test_large_content_is_passed_without_a_copy() -> None:
    text = "x" * PIECE_BYTES_MIN
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], "user": "u"}).encode()
    for given in (body, body.replace(b'": ', b'":').replace(b', "', b',"')):
        patched = patch(OPENAI.read(CHAT_PLACE, given), Terms())
        views = [piece for piece in patched.pieces if isinstance(piece, memoryview)]
        assert any(view.obj is given and len(view) > PIECE_BYTES_MIN for view in views)
        assert sum(len(piece) for piece in patched.pieces) == patched.length
        assert json.loads(b"".join(patched.pieces))["user"] == "U"


def test_identities_of_the_design_have_their_class_everywhere() -> None:
    for name in ("user", "safety_identifier", "prompt_cache_key", "client_metadata"):
        assert CHAT[name].kind == CREATE[name].kind == "identity"
    assert MESSAGES["metadata"].kind == "identity"
    assert CHAT["store"].kind == CREATE["store"].kind == GENERATE["store"].kind == "own"
    assert "previous_response_id" not in CHAT


def test_gemini_names_have_both_forms() -> None:
    assert snake("maxOutputTokens") == "max_output_tokens"
    assert camel("max_output_tokens") == camel("maxOutputTokens") == "maxOutputTokens"
    for name, field in GENERATE.items():
        assert GENERATE[camel(name)] is field
        assert GENERATE[snake(name)] is field
