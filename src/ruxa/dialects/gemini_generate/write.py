"""Writes what Google's SDKs expect besides answers: errors, model lists; reads whole answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ruxa.dialects.body import ABSENT, given
from ruxa.dialects.dialect import Allowance, Answer, Finish, ModelCard, Place, Rendered
from ruxa.dialects.gemini_generate.figures import Figures, finish_of, usage_of
from ruxa.dialects.headers import error_headers, ratelimit
from ruxa.dialects.upstream import classify, clean, word
from ruxa.kernel.errors import InvalidCall, NotFound, RuxaError, UpstreamBroken

_encode = msgspec.json.Encoder().encode

JSON_LINE = b"Content-Type: application/json; charset=UTF-8\r\n"
PAGE_DEFAULT = 50
PAGE_MAX = 1000

# google.rpc code names by HTTP status
STATUSES: dict[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class _Candidate(msgspec.Struct, gc=False, rename="camel"):
    finish_reason: str | None = None


class _Feedback(msgspec.Struct, gc=False, rename="camel"):
    block_reason: str | None = None


class Told(msgspec.Struct, gc=False, rename="camel"):
    """What Ruxa reads of an answer or of one event of a stream."""

    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: Figures | None = None
    error: msgspec.Raw = ABSENT

    @property
    def finish(self) -> Finish | None:
        """How it ended, if it did: the last candidate's reason, or the prompt was blocked."""
        if self.prompt_feedback is not None and self.prompt_feedback.block_reason is not None:
            return "filter"
        for candidate in reversed(self.candidates or ()):
            if candidate.finish_reason is not None:
                return finish_of(candidate.finish_reason)
        return None


class _ErrorBody(msgspec.Struct, gc=False):
    code: object = None
    message: object = None
    status: object = None


class _Error(msgspec.Struct, gc=False):
    error: _ErrorBody | None = None


decode_told = msgspec.json.Decoder(Told).decode
_decode_error = msgspec.json.Decoder(_Error).decode
_decode_errors = msgspec.json.Decoder(list[_Error]).decode


def read_answer(body: bytes) -> Answer:
    """Usage and finish of a whole answer, without decoding its content; a token count has neither."""
    try:
        told = decode_told(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Answer(error=UpstreamBroken("The provider's answer is not a JSON object of the expected shape."))
    if given(told.error):
        return Answer(error=error_of(None, {}, body))
    return Answer(
        usage=None if told.usage_metadata is None else usage_of(told.usage_metadata),
        finish=told.finish,
    )


def error_of(status: int | None, headers: Mapping[bytes, bytes], body: bytes) -> RuxaError:
    """A provider's error as one of ours. ``status`` None: it came inside a 200, so its own code decides."""
    message, kind = "", None
    told: _ErrorBody | None = None
    try:
        told = _decode_errors(body)[0].error if body.lstrip()[:1] == b"[" else _decode_error(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, IndexError):
        told = None
    if told is not None:
        message = told.message if isinstance(told.message, str) else ""
        kind = word(told.status)
        if status is None and isinstance(told.code, int):
            status = told.code
    if status is None or not 400 <= status < 600:
        status = 502
    if status == 400 and "API key not valid" in message:
        status = 401
    return classify(status, headers, message=message, type_=kind, code=None)


def error_object(error: RuxaError, request_id: str) -> bytes:
    """``{"error": {code, message, status, details}}`` with ErrorInfo, BadRequest and RetryInfo (W67)."""
    details: list[dict[str, object]] = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": error.code.upper(),
            "domain": "ruxa",
            "metadata": {"request_id": request_id},
        }
    ]
    if error.param is not None:
        violation = {"field": error.param, "description": error.public}
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]})
    if error.retry_after_s is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{error.retry_after_s}s"})
    status = STATUSES.get(error.status, "INVALID_ARGUMENT" if error.status < 500 else "INTERNAL")
    body = {"error": {"code": error.status, "message": error.public, "status": status, "details": details}}
    return _encode(body)


def write_error(error: RuxaError, request_id: str) -> Rendered:
    """An error as Google sends it."""
    return Rendered(
        status=error.status,
        headers=JSON_LINE + error_headers(error, request_id),
        body=error_object(error, request_id),
    )


def write_models(place: Place, cards: Sequence[ModelCard]) -> Rendered:
    """``GET /v1beta/models`` with ``pageSize`` and ``pageToken`` (W69). Raises InvalidCall."""
    size = _number(place.query, "pageSize", PAGE_DEFAULT) or PAGE_DEFAULT
    start = _number(place.query, "pageToken", 0)
    page = cards[start : start + min(size, PAGE_MAX)]
    body: dict[str, object] = {"models": [_card(card) for card in page]}
    if start + len(page) < len(cards):
        body["nextPageToken"] = str(start + len(page))
    return Rendered(status=200, headers=JSON_LINE, body=_encode(body))


def _number(query: dict[str, str], name: str, default: int) -> int:
    value = query.get(name, "")
    if not value:
        return default
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise InvalidCall(f"Invalid value at '{name}': expected an integer", code="invalid_value", param=name)
    return int(value)


def write_model(place: Place, cards: Sequence[ModelCard]) -> Rendered:
    """``GET /v1beta/models/{model}``. Raises NotFound."""
    for card in cards:
        if card.name == place.model:
            return Rendered(status=200, headers=JSON_LINE, body=_encode(_card(card)))
    raise unknown_model(place.model)


def unknown_model(name: str) -> NotFound:
    """W68."""
    return NotFound(
        f"models/{clean(name)} is not found for API version v1beta, or is not supported for this method.",
        code="model_not_found",
        param="model",
    )


def _card(card: ModelCard) -> dict[str, object]:
    methods = ["embedContent", "batchEmbedContents"] if card.embeds else ["generateContent", "countTokens"]
    shown: dict[str, object] = {
        "name": f"models/{card.name}",
        "version": "001",
        "displayName": card.display_name or card.name,
        "description": card.description,
        "supportedGenerationMethods": methods,
    }
    if card.input_tokens_max is not None:
        shown["inputTokenLimit"] = card.input_tokens_max
    if card.output_tokens_max is not None:
        shown["outputTokenLimit"] = card.output_tokens_max
    if card.thinks:
        shown["thinking"] = True
    return shown


def limit_headers(allowance: Allowance) -> bytes:
    """Google has no names of its own: the common ones."""
    return ratelimit(allowance)
