"""What OpenAI's dialects share: the sentences for wrong values, errors, model lists, rate-limit headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import msgspec

from ruxa.dialects.body import NULL_RAW, kind_word, kind_words, take
from ruxa.dialects.dialect import Allowance, Claim, Forwarded, Load, ModelCard, Place, Rendered, Terms
from ruxa.dialects.headers import error_headers, field, join, ratelimit, words
from ruxa.dialects.table import Table
from ruxa.dialects.upstream import classify, clean, word
from ruxa.kernel.errors import InvalidCall, NotFound, RuxaError

TOKENS_MAX = 2**31 - 1
JSON_LINE = b"Content-Type: application/json\r\n"


class _ErrorBody(msgspec.Struct, gc=False):
    message: object = None
    type: object = None
    param: object = None
    code: object = None


class _Error(msgspec.Struct, gc=False):
    error: _ErrorBody | str | None = None
    message: object = None
    detail: object = None


_encode = msgspec.json.Encoder().encode
_decode_error = msgspec.json.Decoder(_Error).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_int = msgspec.json.Decoder(int).decode
_NO_HEADERS = Forwarded()


def read_model(members: dict[str, msgspec.Raw]) -> str:
    """The model asked for. Raises InvalidCall when it is missing or empty."""
    raw = members.get("model")
    if raw is None:
        refuse_missing("model")
    model = take("model", _decode_text, raw, style)
    if not model or len(model) > 256:
        refuse_value("model", "'model' must be a non-empty string of at most 256 characters.")
    return model


def read_tokens(name: str, raw: msgspec.Raw) -> int | None:
    """A bound on tokens, None for null."""
    return None if raw == NULL_RAW else read_int(name, raw, TOKENS_MAX)


def read_int(name: str, raw: msgspec.Raw, most: int) -> int:
    """A whole number from 1 to ``most``."""
    text = bytes(raw)
    if text.isdigit() and len(text) < 10 and (value := int(text)) and value <= most:
        return value
    value = take(name, _decode_int, raw, style)
    if not 1 <= value <= most:
        refuse_value(name, f"Invalid value for '{name}': expected an integer from 1 to {most}.")
    return value


def take_media(load: Load, raw: msgspec.Raw) -> None:
    """Counts the bytes of ``raw`` as media instead of text."""
    load.media_bytes += len(raw)
    load.text_bytes -= len(raw)


def recipient(name: str, param: str) -> Claim:
    """A claim that names a further recipient."""
    return Claim(kind="recipient", name=name, param=param)


def style(path: str, expected: str, got: str) -> str:
    """OpenAI's sentence for a wrong type."""
    return f"Invalid type for '{path}': expected {_article(expected)}, but got {_article(got)} instead."


def _article(word: str) -> str:
    if word in ("null", "nothing", "another", "valid text", "broken text", "a value", "a valid value"):
        return word
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def refuse_type(name: str, members: dict[str, msgspec.Raw], table: Table) -> NoReturn:
    """A member of a kind that its field does not allow."""
    message = style(name, kind_words(table[name].kinds), kind_word(members[name]))
    raise InvalidCall(message, code="invalid_type", param=name)


def refuse_missing(name: str) -> NoReturn:
    """A member that has to be there."""
    raise InvalidCall(f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name)


def refuse_value(name: str, message: str) -> NoReturn:
    """A value that cannot be."""
    raise InvalidCall(message, code="invalid_value", param=name)


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


def forward_headers(headers: Mapping[bytes, bytes], terms: Terms) -> Forwarded:
    """The caller's headers that go to a provider: none but ``openai-beta`` words that the terms name."""
    if b"openai-beta" not in headers:
        return _NO_HEADERS
    asked = words(headers, b"openai-beta")
    kept = [word for word in asked if word in terms.pass_betas]
    gone = tuple(f"openai-beta:{word}" for word in asked if word not in terms.pass_betas)
    lines = b"OpenAI-Beta: " + join(kept) + b"\r\n" if kept else b""
    return Forwarded(lines=lines, dropped=gone)


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


class OpenAIFormat:
    """What is alike in every dialect of OpenAI's; each adds its own reading, patching and watching (``Dialect``)."""

    content_type: bytes = b"application/json"
    stream_type: bytes = b"text/event-stream; charset=utf-8"

    def forward_headers(self, headers: Mapping[bytes, bytes], terms: Terms) -> Forwarded:
        """See ``dialect.Dialect``."""
        return forward_headers(headers, terms)

    def upstream_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> RuxaError:
        """See ``dialect.Dialect``."""
        return error_of(status, headers, body)

    def error(self, error: RuxaError, request_id: str) -> Rendered:
        """See ``dialect.Dialect``."""
        return write_error(error, request_id)

    def unknown_model(self, name: str) -> NotFound:
        """See ``dialect.Dialect``."""
        return unknown_model(name)

    def models(self, place: Place, cards: Sequence[ModelCard]) -> Rendered:
        """See ``dialect.Dialect``."""
        return write_models(cards)

    def model(self, place: Place, cards: Sequence[ModelCard]) -> Rendered:
        """See ``dialect.Dialect``."""
        return write_model(place, cards)

    def limit_headers(self, allowance: Allowance) -> bytes:
        """See ``dialect.Dialect``."""
        return limit_headers(allowance)
