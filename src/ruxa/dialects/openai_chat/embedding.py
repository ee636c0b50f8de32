"""Reads and writes embeddings: texts or lists of tokens in, vectors out, as numbers or as base64 of them."""

from __future__ import annotations

import base64
import binascii
import struct

import msgspec

from ruxa.dialects.body import cut, kind_word, take
from ruxa.dialects.call import Embedding, Vectors
from ruxa.dialects.dialect import Place
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai import read_int, read_model, refuse_missing, refuse_value, style
from ruxa.dialects.openai_chat.figures import Figures
from ruxa.dialects.openai_fields import Fields
from ruxa.dialects.translator import Aim, Written
from ruxa.kernel.errors import UpstreamBroken

DIMENSIONS_MAX = 1 << 20


class _Vector(msgspec.Struct, gc=False):
    embedding: list[float] | str
    index: int | None = None


class _Answer(msgspec.Struct, gc=False):
    data: list[_Vector]
    usage: Figures | None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_item = msgspec.json.Decoder(str | list[int]).decode
_decode_tokens = msgspec.json.Decoder(list[int]).decode
_encode = msgspec.json.Encoder().encode


def read_embedding(place: Place, body: bytes) -> Embedding:
    """See ``translator.Embedder``."""
    members = cut(body)
    fields = Fields(members, "")
    wanted = Embedding(model=read_model(members), inputs=_inputs(fields))
    fields.skip("model")
    wanted.single = isinstance(wanted.inputs[0], str) and bytes(fields.members["input"])[:1] == b'"'
    dimensions = fields.raw("dimensions")
    if dimensions is not None:
        wanted.dimensions = read_int("dimensions", dimensions, DIMENSIONS_MAX)
    form = fields.text("encoding_format")
    if form not in (None, "float", "base64"):
        refuse_value("encoding_format", "Invalid value for 'encoding_format': expected 'float' or 'base64'.")
    wanted.base64 = form == "base64"
    wanted.identity = fields.text("user") or ""
    wanted.losses = tuple(fields.lost())
    return wanted


def _inputs(fields: Fields) -> list[str | list[int]]:
    if not fields.kind("input"):
        refuse_missing("input")
    if fields.kind("input") != "array":
        return [fields.must("input")]
    raw = fields.raw("input")
    assert raw is not None
    items = take("input", _decode_items, raw, style)
    if not items:
        refuse_value("input", "'input' must not be an empty array.")
    if kind_word(items[0]) == "number":
        return [take("input", _decode_tokens, raw, style)]
    return [take(f"input[{at}]", _decode_item, item, style) for at, item in enumerate(items)]


def write_embedding(wanted: Embedding, aim: Aim) -> Written:
    """See ``translator.Embedder``. Numbers are asked for: not every server of this dialect knows base64."""
    losses = list(wanted.losses)
    inputs: object = wanted.inputs[0] if wanted.single and len(wanted.inputs) == 1 else wanted.inputs
    body: dict[str, object] = {"model": aim.model, "input": inputs, "encoding_format": "float"}
    if wanted.dimensions is not None:
        body["dimensions"] = wanted.dimensions
    if wanted.identity:
        body["user"] = wanted.identity
    if wanted.purpose:
        losses.append(Loss("task_type", "taskType"))
    if wanted.title:
        losses.append(Loss("title", "title"))
    for name in aim.refused & body.keys():
        del body[name]
    return Written(body=_encode(body), losses=tuple(losses))


def read_vectors(body: bytes) -> Vectors:
    """See ``translator.Embedder``."""
    try:
        answer = _decode_answer(body)
        placed = sorted(enumerate(answer.data), key=lambda pair: pair[0] if pair[1].index is None else pair[1].index)
        vectors = [_numbers(each.embedding) for _, each in placed]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, binascii.Error, struct.error):
        raise UpstreamBroken("The provider's answer holds no vectors.") from None
    tokens = answer.usage.prompt_tokens if answer.usage is not None else None
    return Vectors(vectors=vectors, tokens=tokens)


def write_vectors(vectors: Vectors, wanted: Embedding, model: str) -> bytes:
    """See ``translator.Embedder``."""
    data = [
        {"object": "embedding", "index": index, "embedding": packed(vector) if wanted.base64 else vector}
        for index, vector in enumerate(vectors.vectors)
    ]
    tokens = vectors.tokens or 0
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _encode({"object": "list", "data": data, "model": model, "usage": usage})


def packed(vector: list[float]) -> str:
    """Base64 of little-endian float32."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _numbers(told: list[float] | str) -> list[float]:
    if isinstance(told, list):
        return told
    data = base64.b64decode(told, validate=True)
    return list(struct.unpack(f"<{len(data) // 4}f", data))
