"""OpenAI's embeddings read and written: texts and tokens, numbers and base64, and what is refused by its path."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse

from ruxa.dialects import EMBEDDERS
from ruxa.dialects.call import Embedding, Vectors
from ruxa.dialects.dialect import Place
from ruxa.dialects.losses import Loss, told
from ruxa.dialects.translator import Aim
from ruxa.kernel.errors import InvalidCall, UpstreamBroken

CHAT = EMBEDDERS["openai_chat"]
PLACE = Place(dialect="openai_chat", endpoint="embeddings")


def read(**body: Any) -> Embedding:
    return CHAT.read_embedding(PLACE, json.dumps({"model": "m", **body}).encode())


@pytest.mark.parametrize(
    ("sent", "inputs", "single"),
    [
        ("a", ["a"], True),
        (["a", "b"], ["a", "b"], False),
        (["a"], ["a"], False),
        ([1, 2], [[1, 2]], False),
        ([[1, 2], [3]], [[1, 2], [3]], False),
    ],
)
def test_inputs_both_ways(sent: Any, inputs: list[str | list[int]], single: bool) -> None:
    wanted = read(input=sent)
    assert (wanted.inputs, wanted.single) == (inputs, single)
    again = json.loads(CHAT.write_embedding(wanted, Aim(model="g")).body)
    assert again["model"] == "g"
    assert again["encoding_format"] == "float"
    assert read(**{**again, "model": "m"}).inputs == inputs


def test_settings_and_losses() -> None:
    wanted = read(input="a", dimensions=3, encoding_format="base64", user="u", mood=1)
    assert (wanted.dimensions, wanted.base64, wanted.identity) == (3, True, "u")
    wanted.purpose, wanted.title = "RETRIEVAL_DOCUMENT", "t"
    written = CHAT.write_embedding(wanted, Aim(model="g", refused=frozenset({"user"})))
    assert json.loads(written.body) == {"model": "g", "input": "a", "encoding_format": "float", "dimensions": 3}
    assert told(written.losses) == ("mood", "task_type", "title")
    assert wanted.losses == (Loss("mood", "mood"),)


@pytest.mark.parametrize("as_base64", [False, True])
def test_vectors_both_ways(as_base64: bool) -> None:
    """Case 0.11: base64 is little-endian float32."""
    numbers = [[0.5, -1.25], [3.0, 0.0]]
    wanted = read(input=["a", "b"], encoding_format="base64" if as_base64 else "float")
    body = CHAT.write_vectors(Vectors(vectors=numbers, tokens=7), wanted, "pub")
    answer = json.loads(body)
    assert answer["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert (answer["object"], answer["model"]) == ("list", "pub")
    if not as_base64:
        CreateEmbeddingResponse.model_validate(answer)
    else:
        assert answer["data"][0]["embedding"] == base64.b64encode(struct.pack("<2f", 0.5, -1.25)).decode()
    assert CHAT.read_vectors(body) == Vectors(vectors=numbers, tokens=7)


def test_vectors_are_put_in_order() -> None:
    body = b'{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1]}]}'
    assert CHAT.read_vectors(body) == Vectors(vectors=[[1.0], [2.0]])


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"data":1}', b'{"data":[{"embedding":"!"}]}', b'{"data":[{"embedding":"AAA="}]}']
)
def test_what_holds_no_vectors_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        CHAT.read_vectors(body)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": 1}, "input"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"input": [1, "a"]}, "input[1]"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "user": 1}, "user"),
    ],
)
def test_a_malformed_field_is_refused_by_its_path(body: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        read(**body)
    assert caught.value.param == path
