"""Embeddings in Google's words: ``embedContent`` for one text, ``batchEmbedContents`` for several."""

from __future__ import annotations

from typing import NoReturn

import msgspec

from ruxa.dialects.body import cut
from ruxa.dialects.call import Embedding, Vectors
from ruxa.dialects.dialect import Place
from ruxa.dialects.gemini_generate.members import Members, refuse
from ruxa.dialects.gemini_generate.turns import Json
from ruxa.dialects.losses import Loss
from ruxa.dialects.translator import Aim, Written
from ruxa.kernel.errors import InvalidCall, UpstreamBroken

REQUESTS_MAX = 2048

_encode = msgspec.json.Encoder().encode


class _Values(msgspec.Struct, gc=False):
    values: list[float]


class _Figures(msgspec.Struct, gc=False, rename="camel"):
    prompt_token_count: int | None = None


class _Answer(msgspec.Struct, gc=False, rename="camel"):
    embedding: _Values | None = None
    embeddings: list[_Values] | None = None
    usage_metadata: _Figures | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def read_embedding(place: Place, body: bytes) -> Embedding:
    """See ``translator.Embedder``. All requests of a batch must want the same size."""
    cut(body)
    asked = Members(body, "")
    losses: list[Loss] = []
    single = place.endpoint == "embed"
    wanted = [_one(asked, losses)] if single else [_one(each, losses) for each in asked.objects("requests")]
    asked.text("model")
    losses.extend(asked.lost())
    if not wanted:
        _refuse_missing("requests")
    if len(wanted) > REQUESTS_MAX:
        refuse("requests", f"at most {REQUESTS_MAX} requests can be in one batch")
    first = wanted[0]
    for index, each in enumerate(wanted):
        if each.dimensions != first.dimensions:
            refuse(f"requests[{index}].output_dimensionality", "all requests of a batch must want the same size")
        for name, differs in (("task_type", each.purpose != first.purpose), ("title", each.title != first.title)):
            if differs:
                losses.append(Loss(name, f"requests[{index}].{name}"))
    return Embedding(
        model=place.model,
        inputs=[text for each in wanted for text in each.inputs],
        dimensions=first.dimensions,
        purpose=first.purpose,
        title=first.title,
        single=single,
        losses=tuple(losses),
    )


def _one(asked: Members, losses: list[Loss]) -> Embedding:
    content = asked.inner("content")
    if content is None:
        _refuse_missing(asked.at("content"))
    content.text("role")
    texts: list[str] = []
    for part in content.objects("parts"):
        text = part.text("text")
        if text is None:
            refuse(part.path, "only text can be embedded by this model")
        texts.append(text)
        losses.extend(part.lost("parts."))
    if not texts:
        _refuse_missing(content.at("parts"))
    asked.text("model")
    config = asked.inner("embedContentConfig")
    purpose, title = asked.text("taskType"), asked.text("title")
    size = asked.integer("outputDimensionality")
    if config is not None:
        purpose, title = config.text("taskType") or purpose, config.text("title") or title
        size = config.integer("outputDimensionality") or size
        losses.extend(config.lost("embed_content_config."))
    if size is not None and size < 1:
        refuse(asked.at("outputDimensionality"), "expected a positive integer")
    if asked.path:
        losses.extend(asked.lost("requests."))
    return Embedding(model="", inputs=["".join(texts)], dimensions=size, purpose=purpose or "", title=title or "")


def write_embedding(wanted: Embedding, aim: Aim) -> Written:
    """See ``translator.Embedder``. Raises InvalidCall: Google takes texts, not tokens."""
    model = f"models/{aim.model}"
    requests: list[Json] = []
    for index, text in enumerate(wanted.inputs):
        if not isinstance(text, str):
            raise InvalidCall(
                "This model embeds texts; token lists belong to another one.",
                code="tokens_not_supported",
                param=f"input[{index}]",
            )
        told: Json = {"model": model, "content": {"parts": [{"text": text}]}}
        if wanted.purpose:
            told["taskType"] = wanted.purpose
        if wanted.title:
            told["title"] = wanted.title
        if wanted.dimensions is not None:
            told["outputDimensionality"] = wanted.dimensions
        requests.append(told)
    body = requests[0] if wanted.single and requests else {"requests": requests}
    return Written(body=_encode(body), losses=wanted.losses)


def read_vectors(body: bytes) -> Vectors:
    """See ``translator.Embedder``."""
    try:
        told = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer is not a JSON object of the expected shape.") from None
    found = told.embeddings if told.embeddings is not None else [told.embedding] if told.embedding else []
    if not found:
        raise UpstreamBroken("The provider's answer holds no vector.")
    tokens = None if told.usage_metadata is None else told.usage_metadata.prompt_token_count
    return Vectors(vectors=[each.values for each in found], tokens=tokens)


def write_vectors(vectors: Vectors, wanted: Embedding, model: str) -> bytes:
    """See ``translator.Embedder``."""
    told: Json
    if wanted.single and vectors.vectors:
        told = {"embedding": {"values": vectors.vectors[0]}}
    else:
        told = {"embeddings": [{"values": each} for each in vectors.vectors]}
    if vectors.tokens is not None:
        told["usageMetadata"] = {"promptTokenCount": vectors.tokens, "totalTokenCount": vectors.tokens}
    return _encode(told)


def _refuse_missing(path: str) -> NoReturn:
    raise InvalidCall(f"* EmbedContentRequest.{path}: {path} is not specified\n", code="missing_field", param=path)
