"""Writes what Anthropic's SDKs expect besides answers: errors, model lists, rate-limit headers; reads whole answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from ruxa.dialects.anthropic_messages.figures import Figures, finish_of, usage_of
from ruxa.dialects.dialect import Allowance, Answer, ModelCard, Place, Rendered
from ruxa.dialects.headers import error_headers, field, ratelimit, rfc3339
from ruxa.dialects.upstream import classify, clean, word
from ruxa.kernel.errors import InvalidCall, NotFound, RuxaError, UpstreamBroken, UpstreamBusy

_encode = msgspec.json.Encoder().encode

JSON_LINE = b"Content-Type: application/json\r\n"
PAGE_DEFAULT = 20
PAGE_MAX = 1000

# error type <-> status, both ways
TYPES: dict[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class _Answer(msgspec.Struct, gc=False):
    type: str = ""
    usage: Figures | None = None
    stop_reason: str | None = None


class _ErrorBody(msgspec.Struct, gc=False):
    type: object = None
    message: object = None
    details: object = None


class _Error(msgspec.Struct, gc=False):
    error: _ErrorBody | None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_error = msgspec.json.Decoder(_Error).decode


def read_answer(body: bytes) -> Answer:
    """Usage and stop reason of a message, without decoding its content; a token count has neither."""
    try:
        answer = _decode_answer(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Answer(error=UpstreamBroken("The provider's answer is not a JSON object of the expected shape."))
    if answer.type == "error":
        return Answer(error=error_of(None, {}, body))
    return Answer(usage=None if answer.usage is None else usage_of(answer.usage), finish=finish_of(answer.stop_reason))


def error_of(status: int | None, headers: Mapping[bytes, bytes], body: bytes) -> RuxaError:
    """A provider's error as one of ours. ``status`` None: it came inside a 200, so its type decides."""
    message, kind, code = "", None, None
    try:
        told = _decode_error(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = None
    if told is not None:
        message = told.message if isinstance(told.message, str) else ""
        kind = word(told.type)
        if isinstance(told.details, dict):
            code = word(cast("dict[str, object]", told.details).get("error_code"))
    if status is None or not 400 <= status < 600:
        status = STATUSES.get(kind or "", 502)
    quota = kind == "billing_error" or "credit balance is too low" in message
    return classify(status, headers, message=message, type_=kind, code=code, quota=quota)


def status_of(error: RuxaError) -> int:
    """The status that Anthropic's SDKs know for it: an overloaded provider is 529, one that limits us 429 (W66)."""
    return 529 if isinstance(error, UpstreamBusy) and error.status != 429 else error.status


def error_body(error: RuxaError, request_id: str) -> bytes:
    """``{"type": "error", "error": {type, message, details}, "request_id"}``, compact."""
    status = status_of(error)
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    if error.code == "insufficient_quota":
        kind = "billing_error"
    details: dict[str, object] = {"error_code": error.code}
    if error.param is not None:
        details["param"] = error.param
    return _encode(
        {
            "type": "error",
            "error": {"type": kind, "message": error.public, "details": details},
            "request_id": request_id,
        }
    )


def write_error(error: RuxaError, request_id: str) -> Rendered:
    """An error as Anthropic sends it."""
    return Rendered(
        status=status_of(error),
        headers=JSON_LINE + error_headers(error, request_id),
        body=error_body(error, request_id),
    )


def write_models(place: Place, cards: Sequence[ModelCard]) -> Rendered:
    """``GET /v1/models`` with ``limit``, ``after_id`` and ``before_id`` (W69). Raises InvalidCall."""
    names = [card.name for card in cards]
    limit = _limit(place.query.get("limit"))
    first, last = 0, len(cards)
    after, before = place.query.get("after_id"), place.query.get("before_id")
    if after is not None:
        first = names.index(after) + 1 if after in names else len(cards)
    if before is not None:
        last = names.index(before) if before in names else 0
    if before is not None and after is None:
        page, more = cards[max(last - limit, 0) : last], last > limit
    else:
        page, more = cards[first : min(first + limit, last)], first + limit < last
    body = {
        "data": [_card(card) for card in page],
        "has_more": more,
        "first_id": page[0].name if page else None,
        "last_id": page[-1].name if page else None,
    }
    return Rendered(status=200, headers=JSON_LINE, body=_encode(body))


def _limit(value: str | None) -> int:
    if value is None:
        return PAGE_DEFAULT
    if not value.isdecimal() or not 1 <= int(value[:6]) <= PAGE_MAX:
        raise InvalidCall(f"limit: Input should be from 1 to {PAGE_MAX}", code="invalid_value", param="limit")
    return int(value)


def write_model(place: Place, cards: Sequence[ModelCard]) -> Rendered:
    """``GET /v1/models/{model}``. Raises NotFound."""
    for card in cards:
        if card.name == place.model:
            return Rendered(status=200, headers=JSON_LINE, body=_encode(_card(card)))
    raise unknown_model(place.model)


def unknown_model(name: str) -> NotFound:
    """W68."""
    return NotFound(f"model: {clean(name)}", code="model_not_found", param="model")


def _card(card: ModelCard) -> dict[str, object]:
    return {
        "type": "model",
        "id": card.name,
        "display_name": card.display_name or card.name,
        "created_at": rfc3339(card.created_s),
        "lifecycle": "active",
        "max_input_tokens": card.input_tokens_max,
        "max_tokens": card.output_tokens_max,
    }


def limit_headers(allowance: Allowance) -> bytes:
    """``anthropic-ratelimit-*`` beside ``ratelimit-*``; the reset times only when the time is known."""
    lines = ratelimit(allowance)
    for unit, limit, left in (
        ("requests", allowance.requests, allowance.requests_left),
        ("tokens", allowance.tokens, allowance.tokens_left),
    ):
        if limit is None:
            continue
        lines += field(f"anthropic-ratelimit-{unit}-limit", limit)
        lines += field(f"anthropic-ratelimit-{unit}-remaining", left or 0)
        if allowance.reset_at:
            lines += field(f"anthropic-ratelimit-{unit}-reset", allowance.reset_at)
    return lines
