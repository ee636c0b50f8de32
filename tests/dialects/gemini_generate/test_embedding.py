"""Embeddings in Google's words, both directions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types as g

from ruxa.dialects.call import Embedding, Vectors
from ruxa.dialects.dialect import Place
from ruxa.dialects.gemini_generate.embedding import read_embedding, read_vectors, write_embedding, write_vectors
from ruxa.dialects.translator import Aim
from ruxa.kernel.errors import InvalidCall, UpstreamBroken

ONE = Place(dialect="gemini_generate", endpoint="embed", model="m")
MANY = Place(dialect="gemini_generate", endpoint="batch_embed", model="m")


def text(told: str) -> dict[str, Any]:
    return {"parts": [{"text": told}], "role": "user"}


def test_one_text() -> None:
    body = {
        "content": {"parts": [{"text": "a"}, {"text": "b"}]},
        "task_type": "RETRIEVAL_DOCUMENT",
        "title": "t",
        "outputDimensionality": "256",
        "model": "models/m",
        "more": 1,
    }
    wanted = read_embedding(ONE, json.dumps(body).encode())
    assert wanted.inputs == ["ab"]
    assert (wanted.purpose, wanted.title, wanted.dimensions, wanted.single) == ("RETRIEVAL_DOCUMENT", "t", 256, True)
    assert [loss.name for loss in wanted.losses] == ["more"]


def test_a_batch() -> None:
    """0.10: what google-genai sends."""
    requests = [{"model": "models/m", "content": text(each), "outputDimensionality": 8} for each in ("a", "你")]
    wanted = read_embedding(MANY, json.dumps({"requests": requests}).encode())
    assert wanted == Embedding(model="m", inputs=["a", "你"], dimensions=8)


def test_the_newer_config() -> None:
    body = {
        "content": text("a"),
        "embedContentConfig": {"taskType": "CLUSTERING", "outputDimensionality": 4, "autoTruncate": True},
    }
    wanted = read_embedding(ONE, json.dumps(body).encode())
    assert (wanted.purpose, wanted.dimensions) == ("CLUSTERING", 4)
    assert [loss.name for loss in wanted.losses] == ["embed_content_config.auto_truncate"]


@pytest.mark.parametrize(
    ("place", "body", "param"),
    [
        (ONE, {}, "content"),
        (ONE, {"content": {"parts": []}}, "content.parts"),
        (ONE, {"content": {"parts": [{"inlineData": {}}]}}, "content.parts[0]"),
        (ONE, {"content": {"parts": [{"text": 5}]}}, "content.parts[0].text"),
        (ONE, {"content": text("a"), "outputDimensionality": 0}, "output_dimensionality"),
        (MANY, {}, "requests"),
        (MANY, {"requests": [{}]}, "requests[0].content"),
        (
            MANY,
            {"requests": [{"content": text("a")}, {"content": text("b"), "outputDimensionality": 4}]},
            "requests[1].output_dimensionality",
        ),
    ],
)
def test_a_wrong_field_names_its_path(place: Place, body: Any, param: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        read_embedding(place, json.dumps(body).encode())
    assert caught.value.param == param


def test_what_differs_within_a_batch_is_named() -> None:
    requests = [
        {"content": text("a"), "taskType": "CLUSTERING"},
        {"content": text("b"), "taskType": "SEMANTIC_SIMILARITY"},
    ]
    wanted = read_embedding(MANY, json.dumps({"requests": requests}).encode())
    assert [(loss.name, loss.param) for loss in wanted.losses] == [("task_type", "requests[1].task_type")]


def test_requests() -> None:
    wanted = Embedding(model="m", inputs=["a", "b"], dimensions=8, purpose="CLUSTERING", title="t")
    body = json.loads(write_embedding(wanted, Aim(model="e-1")).body)
    assert body["requests"][1] == {
        "model": "models/e-1",
        "content": {"parts": [{"text": "b"}]},
        "taskType": "CLUSTERING",
        "title": "t",
        "outputDimensionality": 8,
    }
    single = json.loads(write_embedding(Embedding(model="m", inputs=["a"], single=True), Aim(model="e-1")).body)
    assert single == {"model": "models/e-1", "content": {"parts": [{"text": "a"}]}}
    with pytest.raises(InvalidCall) as caught:
        write_embedding(Embedding(model="m", inputs=["a", [1, 2]]), Aim(model="e-1"))
    assert caught.value.param == "input[1]"


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("tokens", [None, 7])
def test_vectors(single: bool, tokens: int | None) -> None:
    vectors = Vectors(vectors=[[0.5, -1.0]] if single else [[0.5], [1.5]], tokens=tokens)
    body = write_vectors(vectors, Embedding(model="m", inputs=["a"], single=single), "m")
    assert read_vectors(body) == vectors
    if not single:
        g.EmbedContentResponse.model_validate(json.loads(body))


@pytest.mark.parametrize("body", [b"", b"{}", b'{"embeddings":[]}', b'{"embedding":{"values":["a"]}}'])
def test_what_are_no_vectors(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read_vectors(body)
