"""Model lists in three shapes as the SDKs read them (W69), one model, and the rate-limit headers."""

from __future__ import annotations

import datetime
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google.genai import models as google
from hypothesis import given
from hypothesis import strategies as st

from ruxa.dialects import DIALECTS
from ruxa.dialects.dialect import Allowance, ModelCard, Name, Place, Rendered
from ruxa.dialects.headers import rfc3339, words
from ruxa.kernel.errors import InvalidCall, NotFound

CARDS = [
    ModelCard(
        name="sandbox/chat", owner="sandbox", display_name="Sandbox", created_s=1_767_225_600, output_tokens_max=64
    ),
    ModelCard(name="sandbox/embedding", owner="sandbox", embeds=True, input_tokens_max=8192),
    *(ModelCard(name=f"x/model-{index}", thinks=True) for index in range(60)),
]


def listed(name: Name, **query: str) -> dict[str, Any]:
    shown = DIALECTS[name].models(Place(dialect=name, endpoint="models", query=query), CARDS)
    assert shown.status == 200
    return httpx2.Response(200, content=shown.body).json()


def test_openai_lists_all() -> None:
    told = listed("openai_chat")
    assert told["object"] == "list"
    models = [openai.types.Model.model_validate(entry) for entry in told["data"]]
    assert [model.id for model in models] == [card.name for card in CARDS]
    assert (models[0].created, models[0].owned_by) == (1_767_225_600, "sandbox")


def test_anthropic_pages_forwards_and_backwards() -> None:
    told = listed("anthropic_messages")
    assert len(told["data"]) == 20
    assert (told["has_more"], told["first_id"], told["last_id"]) == (True, "sandbox/chat", "x/model-17")
    model = anthropic.types.ModelInfo.model_validate(told["data"][0])
    assert model.created_at == datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    assert (model.display_name, model.max_tokens) == ("Sandbox", 64)
    seen = [entry["id"] for entry in told["data"]]
    while told["has_more"]:
        told = listed("anthropic_messages", after_id=told["last_id"], limit="25")
        seen += [entry["id"] for entry in told["data"]]
    assert seen == [card.name for card in CARDS]
    before = listed("anthropic_messages", before_id="x/model-0", limit="1")
    assert [entry["id"] for entry in before["data"]] == ["sandbox/embedding"]
    assert before["has_more"] is True
    assert listed("anthropic_messages", after_id="nobody")["data"] == []


def test_gemini_pages_by_token() -> None:
    told = listed("gemini_generate")
    assert len(told["models"]) == 50
    rest = listed("gemini_generate", pageToken=told["nextPageToken"])
    assert "nextPageToken" not in rest
    assert [entry["name"] for entry in told["models"] + rest["models"]] == [f"models/{card.name}" for card in CARDS]
    assert told["models"][1]["supportedGenerationMethods"] == ["embedContent", "batchEmbedContents"]
    parsed = google._Model_from_mldev(told["models"][0])
    assert parsed["output_token_limit"] == 64
    assert listed("gemini_generate", pageSize="0")["nextPageToken"] == "50"


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("anthropic_messages", {"limit": "0"}),
        ("anthropic_messages", {"limit": "1001"}),
        ("anthropic_messages", {"limit": "x"}),
        ("anthropic_messages", {"limit": "²"}),
        ("gemini_generate", {"pageSize": "-1"}),
        ("gemini_generate", {"pageToken": "x"}),
    ],
)
def test_bad_paging(name: Name, query: dict[str, str]) -> None:
    with pytest.raises(InvalidCall):
        listed(name, **query)


@pytest.mark.parametrize("name", list(DIALECTS))
def test_one_model(name: Name) -> None:
    dialect = DIALECTS[name]
    shown = dialect.model(Place(dialect=name, endpoint="model", model="sandbox/chat"), CARDS)
    assert b"sandbox/chat" in shown.body
    with pytest.raises(NotFound) as caught:
        dialect.model(Place(dialect=name, endpoint="model", model="sandbox/none"), CARDS)
    assert caught.value.code == "model_not_found"
    assert "sandbox/none" in caught.value.public
    assert dialect.unknown_model("a/b").status == 404


def test_limits_in_each_dialects_names() -> None:
    full = Allowance(
        requests=60,
        requests_left=59,
        requests_reset_s=1,
        tokens=1000,
        tokens_left=0,
        tokens_reset_s=30,
        reset_at="2026-11-24T00:00:30Z",
    )
    shown = {name: lines(dialect.limit_headers(full)) for name, dialect in DIALECTS.items()}
    for names in shown.values():
        assert names["ratelimit-limit"] == "60"
        assert names["ratelimit-remaining"] == "59"
        assert names["ratelimit-reset"] == "1"
    assert shown["openai_chat"]["x-ratelimit-remaining-tokens"] == "0"
    assert shown["openai_chat"]["x-ratelimit-reset-requests"] == "1s"
    assert shown["anthropic_messages"]["anthropic-ratelimit-requests-remaining"] == "59"
    assert shown["anthropic_messages"]["anthropic-ratelimit-tokens-reset"] == "2026-11-24T00:00:30Z"
    for dialect in DIALECTS.values():
        assert dialect.limit_headers(Allowance()) == b""
        only = lines(dialect.limit_headers(Allowance(tokens=10, tokens_left=3, tokens_reset_s=2)))
        assert (only["ratelimit-limit"], only["ratelimit-remaining"], only["ratelimit-reset"]) == ("10", "3", "2")


def lines(block: bytes) -> dict[str, str]:
    assert block.endswith(b"\r\n")
    return dict(line.split(": ", 1) for line in block.decode().splitlines())


@given(st.integers(-(2**31), 2**33))
def test_times_are_those_of_the_calendar(unix_s: int) -> None:
    moment = datetime.datetime.fromtimestamp(0, datetime.UTC) + datetime.timedelta(seconds=unix_s)
    assert rfc3339(unix_s) == moment.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def test_words_of_a_header() -> None:
    assert words({b"x": b" a, b,,a , c"}, b"x") == ["a", "b", "c"]
    assert words({}, b"x") == []
    assert Rendered(status=200, headers=b"", body=b"").status == 200
