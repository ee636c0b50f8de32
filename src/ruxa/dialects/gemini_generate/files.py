"""Files in Google's shape: how an upload begins and goes on, file objects and their lists."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ruxa.dialects.body import ABSENT, cut, given, take
from ruxa.dialects.dialect import Rendered
from ruxa.dialects.gemini_generate.read import field, style
from ruxa.dialects.gemini_generate.write import JSON_LINE
from ruxa.dialects.headers import field as line
from ruxa.dialects.headers import rfc3339
from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall, NotFound, TooLarge

COMMANDS = ("start", "upload", "finalize", "query", "cancel")
PREFIX = "files/"
NAME_CHARS_MAX = 255
PAGE_DEFAULT = 10
PAGE_MAX = 100

_HEX = re.compile(r"[0-9a-f]{32}")
_DIGITS = re.compile(rb"[0-9]{1,15}")
_encode = msgspec.json.Encoder().encode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """An upload that is asked for. size: of the whole file, as its sender says."""

    name: str
    media_type: str
    size: int


class FileShown(msgspec.Struct, frozen=True, kw_only=True):
    """A file as Google shows it; times in unix seconds; uri: where a call finds it."""

    hex: str
    bytes: int
    media_type: str
    created_s: int
    expires_s: int
    name: str
    uri: str


def commands(headers: Mapping[bytes, bytes]) -> frozenset[str]:
    """What a request of the upload protocol asks for. Raises InvalidCall."""
    words = headers.get(b"x-goog-upload-command", b"").decode("latin-1").lower().split(",")
    said = frozenset(command for command in COMMANDS for word in words if word.strip() == command)
    if not said or len(said) != len({word.strip() for word in words}):
        raise unfit("X-Goog-Upload-Command", f"it is one of {', '.join(COMMANDS)}, or 'upload, finalize'")
    return said


def read_start(headers: Mapping[bytes, bytes], body: bytes) -> Begun:
    """The request that begins an upload. Raises InvalidCall, TooLarge."""
    if headers.get(b"x-goog-upload-protocol", b"").strip().lower() != b"resumable":
        raise unfit("X-Goog-Upload-Protocol", "files are uploaded by the protocol 'resumable'")
    size = number(headers, b"x-goog-upload-header-content-length")
    if size > bounds.FILE_BYTES_MAX:
        raise TooLarge(f"A file has at most {bounds.FILE_BYTES_MAX} bytes.", code="file_too_large")
    members = cut(body) if body.strip() else {}
    raw = members.get("file", ABSENT)
    file = take("file", _decode_members, raw, style) if given(raw) else {}
    if _word(file, "name"):
        raise InvalidCall(
            "A file's name is given here; leave 'file.name' out.", code="invalid_value", param="file.name"
        )
    said = headers.get(b"x-goog-upload-file-name", b"").decode("latin-1")
    name = _word(file, "displayName") or said.replace("\\", "/").rpartition("/")[2]
    plain = "".join(char for char in name if char.isprintable())[-NAME_CHARS_MAX:]
    kind = headers.get(b"x-goog-upload-header-content-type", b"").decode("latin-1") or _word(file, "mimeType")
    return Begun(name=plain or "file", media_type=kind or "application/octet-stream", size=size)


def number(headers: Mapping[bytes, bytes], name: bytes) -> int:
    """A header that is a number of bytes. Raises InvalidCall."""
    value = headers.get(name, b"").strip()
    if _DIGITS.fullmatch(value) is None:
        raise unfit("-".join(word.capitalize() for word in name.decode().split("-")), "it is a number of bytes")
    return int(value)


def _word(members: Mapping[str, msgspec.Raw], name: str) -> str:
    raw = field(dict(members), name)
    return take(f"file.{name}", _decode_text, raw, style) if raw is not None and given(raw) else ""


def unfit(name: str, why: str) -> InvalidCall:
    """For a header that is missing or not as it has to be, in Google's words."""
    return InvalidCall(f"Invalid value at '{name}': {why}", code="invalid_value", param=name)


def hex_of(item: str) -> str:
    """The id that a path names. Raises NotFound."""
    if _HEX.fullmatch(item) is None:
        raise no_file()
    return item


def page(query: Mapping[str, str]) -> tuple[int, str | None]:
    """How many, after which one. Raises InvalidCall."""
    told, token = query.get("pageSize", ""), query.get("pageToken", "")
    if told and not (told.isascii() and told.isdigit() and len(told) < 6):
        raise InvalidCall("Invalid value at 'page_size': a number is expected", code="invalid_value", param="page_size")
    if token and _HEX.fullmatch(token) is None:
        raise InvalidCall("Invalid value at 'page_token'", code="invalid_value", param="page_token")
    return min(int(told or 0) or PAGE_DEFAULT, PAGE_MAX), token or None


def file_object(shown: FileShown) -> dict[str, Any]:
    """A file object."""
    return {
        "name": PREFIX + shown.hex,
        "displayName": shown.name,
        "mimeType": shown.media_type,
        "sizeBytes": str(shown.bytes),
        "createTime": rfc3339(shown.created_s),
        "updateTime": rfc3339(shown.created_s),
        "expirationTime": rfc3339(shown.expires_s),
        "uri": shown.uri,
        "state": "ACTIVE",
        "source": "UPLOADED",
    }


def shown_list(objects: Sequence[dict[str, Any]], *, after: str) -> dict[str, Any]:
    """A page of a list. after: the token of the next one, '' for none."""
    told: dict[str, Any] = {"files": list(objects)} if objects else {}
    return {**told, "nextPageToken": after} if after else told


def answer(body: object, request_id: str, more: bytes = b"") -> Rendered:
    """A whole answer. more: header lines."""
    return Rendered(
        status=200, headers=JSON_LINE + line("x-request-id", request_id) + more, body=_encode(body) if body else b"{}"
    )


def no_file() -> NotFound:
    """Google tells nobody whether a file that is another's is there; we do neither."""
    return NotFound("There is no such file, or it is another's.", code="file_not_found", param="name")


def no_upload() -> NotFound:
    """For an upload that never was, is over, or was left."""
    return NotFound("There is no such upload; begin it again.", code="upload_not_found", param="upload_id")
