"""Message batches as Anthropic's SDKs write and read them (anthropic-sdk-python 2.12.0): orders, objects, results.

A batch here is a batch of ours (``openai_media.kept``) whose endpoint is ``/v1/messages``; only its words differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ruxa.dialects.anthropic_messages.read import style
from ruxa.dialects.anthropic_messages.write import JSON_LINE, PAGE_DEFAULT, PAGE_MAX, error_body
from ruxa.dialects.body import ABSENT, cut, given, take
from ruxa.dialects.dialect import Rendered
from ruxa.dialects.headers import field, rfc3339
from ruxa.kernel import bounds
from ruxa.kernel.errors import CallerError, Forbidden, InvalidCall, NotFound

ENDPOINT = "/v1/messages"
PREFIX = "msgbatch_"
_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
_TRUE = msgspec.Raw(b"true")

_encode = msgspec.json.Encoder().encode


class _Request(msgspec.Struct, gc=False):
    custom_id: str
    params: msgspec.Raw


class _Response(msgspec.Struct, gc=False):
    status_code: int
    body: msgspec.Raw


class _Fault(msgspec.Struct, gc=False):
    code: str
    message: str


class _Outcome(msgspec.Struct, gc=False):
    custom_id: str
    response: _Response | None = None
    error: _Fault | None = None


class _Named(msgspec.Struct, gc=False):
    custom_id: str


class Counts(msgspec.Struct, kw_only=True):
    """What became of a batch's requests; ``processing``: those without an outcome while it runs."""

    processing: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A batch for its object; times in unix seconds. hex: its id; state: ``in_progress``, ``canceling``, ``ended``."""

    hex: str
    state: str
    counts: Counts
    created_s: int
    expires_s: int
    cancelling_s: int | None
    ended_s: int | None


_decode_requests = msgspec.json.Decoder(list[_Request]).decode
_decode_outcome = msgspec.json.Decoder(_Outcome).decode
_decode_named = msgspec.json.Decoder(_Named).decode


def read_order(body: bytes) -> bytes:
    """The requests of a new batch as the lines of a batch's file, ``params`` as they stand. Raises InvalidCall."""
    raw = cut(body).get("requests", ABSENT)
    if not given(raw):
        raise InvalidCall("requests: Field required", code="missing_field", param="requests")
    requests = take("requests", _decode_requests, raw, style)
    if not requests:
        raise _wrong("requests", "List should have at least 1 item")
    if len(requests) > bounds.BATCH_LINES_MAX:
        raise _wrong("requests", f"List should have at most {bounds.BATCH_LINES_MAX} items")
    seen: set[str] = set()
    lines: list[bytes] = []
    for number, request in enumerate(requests):
        name = f"requests.{number}.custom_id"
        if not _CUSTOM_ID.match(request.custom_id):
            raise _wrong(name, "String should match pattern '^[a-zA-Z0-9_-]{1,64}$'")
        if request.custom_id in seen:
            raise _wrong(name, "custom_id should be unique within the batch")
        seen.add(request.custom_id)
        params = bytes(request.params)
        at = f"requests.{number}.params"
        if params[:1] != b"{":
            raise _wrong(at, "Input should be a valid object")
        if len(params) > bounds.BATCH_LINE_BYTES_MAX - 256:
            raise _wrong(at, f"A request has at most {bounds.BATCH_LINE_BYTES_MAX - 256} bytes")
        if cut(params).get("stream") == _TRUE:
            raise _wrong(f"{at}.stream", "Requests of a batch are not streamed")
        # Between JSON's tokens a line break is a blank, and inside of a text there is none.
        params = params.replace(b"\n", b" ").replace(b"\r", b" ")
        lines.append(
            b'{"custom_id":%b,"method":"POST","url":"%b","body":%b}\n'
            % (_encode(request.custom_id), ENDPOINT.encode(), params)
        )
    return b"".join(lines)


def _wrong(param: str, message: str) -> InvalidCall:
    return InvalidCall(f"{param}: {message}", code="invalid_value", param=param)


def page(query: Mapping[str, str]) -> tuple[int, str | None, str | None]:
    """How many, after which one, before which one. Raises InvalidCall."""
    told = query.get("limit", "")
    limit = PAGE_DEFAULT
    if told:
        if not (told.isascii() and told.isdigit() and len(told) < 6 and 1 <= int(told) <= PAGE_MAX):
            raise _wrong("limit", f"Input should be from 1 to {PAGE_MAX}")
        limit = int(told)
    after, before = query.get("after_id") or None, query.get("before_id") or None
    if after is not None and before is not None:
        raise _wrong("before_id", "Only one of before_id and after_id can be given")
    return limit, after, before


def shown(batch: Shown) -> dict[str, Any]:
    """A batch's object. The address of its results is below the base URL that a client asks, whichever it is."""
    name = PREFIX + batch.hex
    ended = batch.state == "ended"
    return {
        "id": name,
        "type": "message_batch",
        "processing_status": batch.state,
        "request_counts": msgspec.structs.asdict(batch.counts),
        "created_at": rfc3339(batch.created_s),
        "expires_at": rfc3339(batch.expires_s),
        "ended_at": None if batch.ended_s is None else rfc3339(batch.ended_s),
        "cancel_initiated_at": None if batch.cancelling_s is None else rfc3339(batch.cancelling_s),
        "archived_at": None,
        "results_url": f"/v1/messages/batches/{name}/results" if ended else None,
    }


def shown_list(batches: Sequence[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """A page of a list."""
    return {
        "data": list(batches),
        "has_more": more,
        "first_id": batches[0]["id"] if batches else None,
        "last_id": batches[-1]["id"] if batches else None,
    }


def deleted(name: str) -> dict[str, Any]:
    """What is said of a deleted batch."""
    return {"id": name, "type": "message_batch_deleted"}


def answer(body: object, request_id: str) -> Rendered:
    """A whole answer."""
    return Rendered(status=200, headers=JSON_LINE + field("request-id", request_id), body=_encode(body))


def result(line: bytes) -> tuple[str, str, bytes]:
    """A line of an output or an error file: its custom_id, what became of it, and its line of the results."""
    told = _decode_outcome(line)
    fault, response = told.error, told.response
    if response is not None and response.status_code < 400:
        return told.custom_id, "succeeded", _line(told.custom_id, b'"succeeded","message":' + bytes(response.body))
    if fault is not None and fault.code == "batch_expired":
        return told.custom_id, "expired", _line(told.custom_id, b'"expired"')
    if response is not None:
        return told.custom_id, "errored", _line(told.custom_id, b'"errored","error":' + bytes(response.body))
    return told.custom_id, "errored", unmade(told.custom_id, fault.message if fault is not None else "")


def unmade(custom_id: str, message: str) -> bytes:
    """The result of a request that was refused before it was made."""
    refusal: CallerError = Forbidden(message or "This request was not made.", code="request_unmade")
    return _line(custom_id, b'"errored","error":' + error_body(refusal, ""))


def left_out(line: bytes) -> tuple[str, bytes]:
    """A line of the batch's own file: its custom_id, and its line of the results when it was never made."""
    custom_id = _decode_named(line).custom_id
    return custom_id, _line(custom_id, b'"canceled"')


def _line(custom_id: str, told: bytes) -> bytes:
    return b'{"custom_id":%b,"result":{"type":%b}}\n' % (_encode(custom_id), told.replace(b"\n", b" "))


def no_batch() -> NotFound:
    """Anthropic's words for a batch that is not there."""
    return NotFound("There is no message batch of that id.", code="batch_not_found", param="message_batch_id")
