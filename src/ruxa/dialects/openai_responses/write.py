"""Reads whole responses; writes the terminal event of a stream that failed."""

from __future__ import annotations

import msgspec

from ruxa.dialects.body import ABSENT, given
from ruxa.dialects.dialect import Answer
from ruxa.dialects.openai import error_of
from ruxa.dialects.openai_responses.figures import CALLS, Figures, finish_of, usage_of
from ruxa.kernel.errors import RuxaError, UpstreamBroken

_encode = msgspec.json.Encoder().encode
# Codes of a failed response that are ours or the provider's fault; every other one is the caller's.
_FAULTS = frozenset(
    {"server_error", "rate_limit_exceeded", "vector_store_timeout", "server_is_overloaded", "slow_down"}
)


class Item(msgspec.Struct, gc=False):
    """An item of the output as far as the meter reads it."""

    type: str = ""


class Incomplete(msgspec.Struct, gc=False):
    """Why a response is not complete."""

    reason: str | None = None


class Failure(msgspec.Struct, gc=False):
    """The error of a failed response."""

    code: object = None
    message: object = None
    type: object = None
    param: object = None


class Told(msgspec.Struct, gc=False):
    """A response as far as the meter reads it."""

    id: str = ""
    model: str = ""
    created_at: float = 0
    status: str = ""
    output: list[Item] | None = None
    usage: Figures | None = None
    incomplete_details: Incomplete | None = None
    error: msgspec.Raw = ABSENT


_decode = msgspec.json.Decoder(Told).decode
_decode_failure = msgspec.json.Decoder(Failure).decode


def read_answer(body: bytes) -> Answer:
    """Usage and finish of a whole response, without decoding its content."""
    try:
        told = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Answer(error=UpstreamBroken("The provider's answer is not a JSON object of the expected shape."))
    if told.output is None and not told.status and not given(told.error):
        return Answer(error=UpstreamBroken("The provider's answer is not a response."))
    return answer_of(told)


def answer_of(told: Told) -> Answer:
    """What a response says in the end."""
    usage = None if told.usage is None else usage_of(told.usage)
    if given(told.error) or told.status in ("failed", "cancelled"):
        return Answer(usage=usage, error=failure_of(told.error))
    calls = any(item.type in CALLS for item in told.output or ())
    reason = told.incomplete_details.reason if told.incomplete_details is not None else None
    return Answer(usage=usage, finish=finish_of(told.status, reason, calls))


def failure_of(raw: msgspec.Raw) -> RuxaError:
    """The error of a failed response, or of an ``error`` event, as one of ours."""
    try:
        told = _decode_failure(raw) if given(raw) else Failure()
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = Failure()
    kind = None if told.type == "error" else told.type
    if isinstance(told.code, str) and told.code not in _FAULTS and not kind:
        kind = "invalid_request_error"
    inner = {"message": told.message, "code": told.code, "type": kind, "param": told.param}
    return error_of(None, {}, _encode({"error": inner}))


def failed(error: RuxaError, request_id: str, told: Told, number: int) -> bytes:
    """The event ``response.failed`` (W58): after it nothing follows."""
    response: dict[str, object] = {
        "id": told.id or f"resp_{request_id.removeprefix('req_')}",
        "object": "response",
        "created_at": int(told.created_at),
        "status": "failed",
        "error": {**error_words(error), "request_id": request_id},
        "incomplete_details": None,
        "model": told.model,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }
    event = {"type": "response.failed", "sequence_number": number, "response": response}
    return b"event: response.failed\ndata: " + _encode(event) + b"\n\n"


def error_words(error: RuxaError) -> dict[str, object]:
    """The error of a failed response: one of the vendor's codes, our own beside it."""
    status = error.status
    if status == 429 or error.code == "insufficient_quota":
        code = "rate_limit_exceeded"
    else:
        code = "invalid_prompt" if 400 <= status < 500 else "server_error"
    return {"code": code, "message": error.public, "type": error.code, "param": error.param}
