"""Files and batches in OpenAI's shape: uploads and orders read, file and batch objects and lists written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec

from ruxa.dialects import multipart
from ruxa.dialects.body import ABSENT, cut, given, take
from ruxa.dialects.dialect import Endpoint, Place, Rendered
from ruxa.dialects.headers import field
from ruxa.dialects.multipart import Part
from ruxa.dialects.openai import JSON_LINE, refuse_missing, refuse_value, style
from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall, NotFound

Purpose = Literal["batch", "user_data", "vision"]
PURPOSES: tuple[str, ...] = get_args(Purpose)
KEPT: frozenset[Endpoint] = frozenset(
    {"files", "file", "file_content", "upload", "batches", "batch", "batch_cancel", "batch_results"}
)
# What a batch may be made of.
ENDPOINTS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/moderations",
    "/v1/images/generations",
)
WINDOW = "24h"
LIFE_S_MAX = 30 * 86_400
NAME_CHARS_MAX = 255
PAGE_MAX = 10_000
BATCH_PAGE = 20
BATCH_PAGE_MAX = 100
CUSTOM_ID_CHARS_MAX = 512
METADATA_PAIRS_MAX = 16
METADATA_KEY_CHARS_MAX = 64
METADATA_CHARS_MAX = 512

_encode = msgspec.json.Encoder().encode
_decode_text = msgspec.json.Decoder(str).decode


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is uploaded. life_s: its end as the caller chose it."""

    purpose: Purpose
    name: str
    media_type: str
    data: memoryview
    life_s: int | None


class FileShown(msgspec.Struct, frozen=True, kw_only=True):
    """A file as the lists show it; times in unix seconds."""

    id: str
    bytes: int
    created_s: int
    name: str
    purpose: str
    expires_s: int


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that is asked for."""

    endpoint: str
    input_file: str
    metadata: dict[str, str] | None
    output_life_s: int | None


class BatchShown(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as the lists show it; times in unix seconds."""

    id: str
    endpoint: str
    input_file: str
    state: str
    created_s: int
    expires_s: int
    total: int
    completed: int
    failed: int
    output_file: str | None = None
    error_file: str | None = None
    begun_s: int | None = None
    finalizing_s: int | None = None
    cancelling_s: int | None = None
    ended_s: int | None = None
    metadata: dict[str, str] | None = None
    fault_code: str | None = None
    fault_line: int | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a batch. body: as it was written, to the byte."""

    custom_id: str
    body: bytes


class _After(msgspec.Struct, gc=False):
    anchor: str = ""
    seconds: int = 0


class _Line(msgspec.Struct, gc=False):
    custom_id: str
    method: str = "POST"
    url: str = ""
    body: msgspec.Raw = ABSENT


_decode_after = msgspec.json.Decoder(_After).decode
_decode_metadata = msgspec.json.Decoder(dict[str, str]).decode
_decode_line = msgspec.json.Decoder(_Line).decode


def read_upload(place: Place, body: bytes) -> Upload:
    """A form with a file. Raises InvalidCall."""
    if not place.boundary:
        error = InvalidCall("Send this as multipart/form-data.", code="unsupported_content_type")
        error.status = 415
        raise error
    named: dict[str, Part] = {}
    for part in multipart.read(body, place.boundary):
        if part.name in named:
            raise InvalidCall(f"Duplicate field: '{part.base}'.", code="duplicate_field", param=part.base)
        named[part.name] = part
    file = named.get("file")
    if file is None or file.filename is None:
        refuse_missing("file")
    if "purpose" not in named:
        refuse_missing("purpose")
    purpose = multipart.text_of(body, named["purpose"])
    if purpose not in PURPOSES:
        refuse_value("purpose", f"'purpose' is one of {', '.join(PURPOSES)}: other files have no use here.")
    anchor, seconds = named.get("expires_after[anchor]"), named.get("expires_after[seconds]")
    life_s = None
    if anchor is not None or seconds is not None:
        told = multipart.text_of(body, seconds) if seconds is not None else ""
        life_s = _life(
            multipart.text_of(body, anchor) if anchor is not None else "",
            int(told) if told.isascii() and told.isdigit() and len(told) < 10 else 0,
            "expires_after",
        )
    return Upload(
        purpose=msgspec.convert(purpose, Purpose),
        name=_name(file.filename),
        media_type=file.media_type or "application/octet-stream",
        data=memoryview(body)[file.start : file.end],
        life_s=life_s,
    )


def _name(said: str) -> str:
    plain = "".join(char for char in said.replace("\\", "/").rpartition("/")[2] if char.isprintable())
    return plain[-NAME_CHARS_MAX:] or "file"


def _life(anchor: str, seconds: int, param: str) -> int:
    if anchor != "created_at":
        refuse_value(param, f"'{param}.anchor' is 'created_at'.")
    if not bounds.FILE_LIFE_S_MIN <= seconds <= LIFE_S_MAX:
        refuse_value(param, f"'{param}.seconds' is from {bounds.FILE_LIFE_S_MIN} to {LIFE_S_MAX}.")
    return seconds


def read_order(body: bytes) -> Order:
    """What a batch is asked for with. Raises InvalidCall."""
    members = cut(body)

    def text(name: str) -> str:
        raw = members.get(name, ABSENT)
        if not given(raw):
            refuse_missing(name)
        return take(name, _decode_text, raw, style)

    input_file, endpoint = text("input_file_id"), text("endpoint")
    if text("completion_window") != WINDOW:
        refuse_value("completion_window", f"'completion_window' is '{WINDOW}'.")
    if endpoint not in ENDPOINTS:
        refuse_value("endpoint", f"'endpoint' is one of {', '.join(ENDPOINTS)}.")
    metadata = None
    if given(raw := members.get("metadata", ABSENT)):
        metadata = take("metadata", _decode_metadata, raw, style)
        if (
            len(metadata) > METADATA_PAIRS_MAX
            or any(len(key) > METADATA_KEY_CHARS_MAX for key in metadata)
            or any(len(value) > METADATA_CHARS_MAX for value in metadata.values())
        ):
            refuse_value("metadata", "'metadata' has at most 16 pairs of at most 64 and 512 characters.")
    life_s = None
    if given(raw := members.get("output_expires_after", ABSENT)):
        after = take("output_expires_after", _decode_after, raw, style)
        life_s = _life(after.anchor, after.seconds, "output_expires_after")
    return Order(endpoint=endpoint, input_file=input_file, metadata=metadata, output_life_s=life_s)


def read_line(text: bytes | memoryview, endpoint: str) -> Line:
    """One line of a batch's file. Raises InvalidCall whose code says what is wrong with it."""
    try:
        line = _decode_line(text)
    except msgspec.ValidationError:
        raise InvalidCall("It needs custom_id, method, url and body.", code="invalid_request") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidCall("It is not a JSON object.", code="invalid_json_line") from None
    if not line.custom_id or len(line.custom_id) > CUSTOM_ID_CHARS_MAX:
        raise InvalidCall("Its custom_id is empty or too long.", code="invalid_custom_id")
    if line.method != "POST":
        raise InvalidCall("Its method is not POST.", code="invalid_method")
    if line.url != endpoint:
        raise InvalidCall("Its url is not the batch's endpoint.", code="mismatched_endpoint")
    body = bytes(line.body)
    if body[:1] != b"{":
        raise InvalidCall("Its body is not a JSON object.", code="invalid_body")
    return Line(custom_id=line.custom_id, body=body)


def outcome(line_id: str, custom_id: str, status: int, request_id: str, body: bytes) -> bytes:
    """A line of an output file or an error file: what a call was answered."""
    answer = body if body[:1] in (b"{", b"[") else _encode(body.decode("utf-8", "replace"))
    return b'{"id":%b,"custom_id":%b,"response":{"status_code":%d,"request_id":%b,"body":%b},"error":null}\n' % (
        _encode(line_id),
        _encode(custom_id),
        status,
        _encode(request_id),
        answer.replace(b"\n", b" "),
    )


def unmade(line_id: str, custom_id: str, code: str, message: str) -> bytes:
    """A line of an error file: a call that was not made."""
    return (
        _encode({"id": line_id, "custom_id": custom_id, "response": None, "error": {"code": code, "message": message}})
        + b"\n"
    )


def page(query: Mapping[str, str], usual: int, most: int) -> tuple[int, str | None, bool]:
    """How many, after which one, and whether the oldest comes first. Raises InvalidCall."""
    told = query.get("limit", "")
    limit = usual
    if told:
        if not (told.isascii() and told.isdigit() and len(told) < 7 and 1 <= int(told) <= most):
            refuse_value("limit", f"'limit' is from 1 to {most}.")
        limit = int(told)
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        refuse_value("order", "'order' is 'asc' or 'desc'.")
    return limit, query.get("after") or None, order == "asc"


def file_object(shown: FileShown) -> dict[str, Any]:
    """A file object."""
    return {
        "id": shown.id,
        "object": "file",
        "bytes": shown.bytes,
        "created_at": shown.created_s,
        "expires_at": shown.expires_s,
        "filename": shown.name,
        "purpose": shown.purpose,
        "status": "processed",
        "status_details": None,
    }


def batch_object(shown: BatchShown) -> dict[str, Any]:
    """A batch object."""
    state = shown.state
    errors = None
    if shown.fault_code is not None:
        fault = {
            "code": shown.fault_code,
            "line": shown.fault_line,
            "message": _FAULTS.get(shown.fault_code),
            "param": None,
        }
        errors = {"object": "list", "data": [fault]}
    return {
        "id": shown.id,
        "object": "batch",
        "endpoint": shown.endpoint,
        "errors": errors,
        "input_file_id": shown.input_file,
        "completion_window": WINDOW,
        "status": state,
        "output_file_id": shown.output_file,
        "error_file_id": shown.error_file,
        "created_at": shown.created_s,
        "in_progress_at": shown.begun_s,
        "expires_at": shown.expires_s,
        "finalizing_at": shown.finalizing_s,
        "completed_at": shown.ended_s if state == "completed" else None,
        "failed_at": shown.ended_s if state == "failed" else None,
        "expired_at": shown.ended_s if state == "expired" else None,
        "cancelling_at": shown.cancelling_s,
        "cancelled_at": shown.ended_s if state == "cancelled" else None,
        "request_counts": {"total": shown.total, "completed": shown.completed, "failed": shown.failed},
        "metadata": shown.metadata,
    }


_FAULTS = {
    "invalid_json_line": "A line is not a JSON object.",
    "invalid_request": "A line needs custom_id, method, url and body.",
    "invalid_custom_id": "A custom_id is empty or too long.",
    "duplicate_custom_id": "A custom_id comes twice.",
    "invalid_method": "A line's method is not POST.",
    "mismatched_endpoint": "A line's url is not the batch's endpoint.",
    "invalid_body": "A line's body is not a JSON object.",
    "streamed": "A line asks for a stream.",
    "line_too_large": "A line is too large.",
    "empty_file": "The input file has no lines.",
    "too_many_lines": "The input file has too many lines.",
    "input_file_gone": "The input file is not there any more.",
    "key_revoked": "The key that made the batch is not valid any more.",
}


def shown_list(objects: Sequence[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """A page of a list."""
    return {
        "object": "list",
        "data": list(objects),
        "first_id": objects[0]["id"] if objects else None,
        "last_id": objects[-1]["id"] if objects else None,
        "has_more": more,
    }


def deleted(file_id: str) -> dict[str, Any]:
    """What is said of a deleted file."""
    return {"id": file_id, "object": "file", "deleted": True}


def answer(body: object, request_id: str) -> Rendered:
    """A whole answer."""
    return Rendered(status=200, headers=JSON_LINE + field("x-request-id", request_id), body=_encode(body))


def no_file() -> NotFound:
    """OpenAI's words for a file that is not there."""
    return NotFound("No such File object.", code="file_not_found", param="id")


def no_batch() -> NotFound:
    """OpenAI's words for a batch that is not there."""
    return NotFound("No such batch.", code="batch_not_found", param="id")
