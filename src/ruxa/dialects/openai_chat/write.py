"""Writes what OpenAI's SDKs expect besides answers: errors, model lists, rate-limit headers; reads whole answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ruxa.dialects.body import ABSENT, given
from ruxa.dialects.dialect import Allowance, Answer, ModelCard, Place, Rendered
from ruxa.dialects.headers import error_headers, field, ratelimit
from ruxa.dialects.openai_chat.figures import Figures, finish_of, usage_of
from ruxa.dialects.upstream import classify, clean, word
from ruxa.kernel.errors import NotFound, RuxaError, UpstreamBroken

_encode = msgspec.json.Encoder().encode

JSON_LINE = b"Content-Type: application/json\r\n"


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None


class _Answer(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Figures | None = None
    error: msgspec.Raw = ABSENT


class _ErrorBody(msgspec.Struct, gc=False):
    message: object = None
    type: object = None
    param: object = None
    code: object = None


class _Error(msgspec.Struct, gc=False):
    error: _ErrorBody | str | None = None
    message: object = None
    detail: object = None


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_error = msgspec.json.Decoder(_Error).decode


def read_answer(body: bytes) -> Answer:
    """Usage and finish of a chat completion or an embeddings answer, without decoding its content."""
    try:
        answer = _decode_answer(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Answer(error=UpstreamBroken("The provider's answer is not a JSON object of the expected shape."))
    if given(answer.error):
        return Answer(error=error_of(None, {}, body))
    finish = None
    for choice in answer.choices or ():
        finish = finish_of(choice.finish_reason) or finish
    return Answer(usage=None if answer.usage is None else usage_of(answer.usage), finish=finish)


def error_of(status: int | None, headers: Mapping[bytes, bytes], body: bytes) -> RuxaError:
    """A provider's error as one of ours. ``status`` None: it came inside a 200, so its words decide."""
    message, kind, code, param = "", None, None, None
    try:
        told = _decode_error(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = _Error()
    if isinstance(told.error, _ErrorBody):
        inner = told.error
        message = inner.message if isinstance(inner.message, str) else ""
        kind, code = word(inner.type), word(inner.code)
        param = clean(inner.param) if isinstance(inner.param, str) else None
        if status is None and isinstance(inner.code, int):
            status = inner.code
    elif isinstance(told.error, str):
        message = told.error
    elif isinstance(told.message, str):
        message = told.message
    elif isinstance(told.detail, str):
        message = told.detail
    quota = "insufficient_quota" in (kind, code) or code == "billing_hard_limit_reached"
    if status is None or not 400 <= status < 600:
        status = _status_of(kind, code)
    return classify(status, headers, message=message, type_=kind, code=code, param=param, quota=quota)


def _status_of(kind: str | None, code: str | None) -> int:
    """The status an error inside a stream would have had."""
    if code == "rate_limit_exceeded" or kind in ("requests", "tokens", "rate_limit_error"):
        return 429
    if kind == "overloaded_error" or code in ("server_overloaded", "engine_overloaded", "slow_down"):
        return 503
    return 400 if kind == "invalid_request_error" else 502


def error_body(error: RuxaError, request_id: str) -> bytes:
    """``{"error": {message, type, param, code, request_id}}``, compact."""
    return _encode(
        {
            "error": {
                "message": error.public,
                "type": _type_of(error),
                "param": error.param,
                "code": error.code,
                "request_id": request_id,
            }
        }
    )


def _type_of(error: RuxaError) -> str:
    status = error.status
    if status == 401:
        return "authentication_error"
    if status == 402 or error.code == "insufficient_quota":
        return "insufficient_quota"
    if status == 403:
        return "permission_error"
    if status == 429:
        return "rate_limit_error"
    if status in (500, 502, 504):
        return "server_error"
    if status == 503:
        return "service_unavailable_error"
    return "invalid_request_error"


def write_error(error: RuxaError, request_id: str) -> Rendered:
    """An error as OpenAI sends it."""
    return Rendered(
        status=error.status,
        headers=JSON_LINE + error_headers(error, request_id),
        body=error_body(error, request_id),
    )


def write_models(cards: Sequence[ModelCard]) -> Rendered:
    """``GET /v1/models`` (W69)."""
    return Rendered(
        status=200, headers=JSON_LINE, body=_encode({"object": "list", "data": [_card(card) for card in cards]})
    )


def write_model(place: Place, cards: Sequence[ModelCard]) -> Rendered:
    """``GET /v1/models/{model}``. Raises NotFound."""
    for card in cards:
        if card.name == place.model:
            return Rendered(status=200, headers=JSON_LINE, body=_encode(_card(card)))
    raise unknown_model(place.model)


def unknown_model(name: str) -> NotFound:
    """W68."""
    return NotFound(
        f"The model '{clean(name)}' does not exist or you do not have access to it.",
        code="model_not_found",
        param="model",
    )


def _card(card: ModelCard) -> dict[str, object]:
    return {"id": card.name, "object": "model", "created": card.created_s, "owned_by": card.owner}


def limit_headers(allowance: Allowance) -> bytes:
    """``x-ratelimit-*`` beside ``ratelimit-*``."""
    lines = ratelimit(allowance)
    if allowance.requests is not None:
        lines += field("x-ratelimit-limit-requests", allowance.requests)
        lines += field("x-ratelimit-remaining-requests", allowance.requests_left or 0)
        lines += field("x-ratelimit-reset-requests", f"{allowance.requests_reset_s}s")
    if allowance.tokens is not None:
        lines += field("x-ratelimit-limit-tokens", allowance.tokens)
        lines += field("x-ratelimit-remaining-tokens", allowance.tokens_left or 0)
        lines += field("x-ratelimit-reset-tokens", f"{allowance.tokens_reset_s}s")
    return lines
