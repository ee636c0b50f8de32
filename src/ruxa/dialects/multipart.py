"""Bodies of type ``multipart/form-data``: where each part lies, without a copy of what is inside; and writing them.

Two readers that disagree about a boundary see different forms, so what is ambiguous is refused, and nothing of a part's
head is passed on as it came: a body for a provider gets heads and a boundary of ours, with the caller's bytes between.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall

FORM_TYPE = b"multipart/form-data"
TEXT_BYTES_MAX = 1024 * 1024
"""Of a part that is read as text."""

_HEAD_BYTES_MAX = 4096
_BOUNDARY = re.compile(rb'boundary=(?:"([^"\\\r\n]{1,70})"|([!#$%&\'*+\-.^_`|~0-9A-Za-z/:=?]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb'[^\r\n"\\]{1,128}\Z')
_FIELD = re.compile(rb'([A-Za-z][A-Za-z*\-]{0,40})=(?:"((?:[^"\\\r\n]|\\.)*)"|([^\s;"]*))(?:[ \t]*;[ \t]*|[ \t]*\Z)')
_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,40}/[a-z0-9][a-z0-9.+-]{0,60}\Z")
_EXTENSION = re.compile(r"\.([A-Za-z0-9]{1,8})\Z")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part: ``name`` as sent (``image[]``); filename: None for a plain value; start, end: where its bytes lie."""

    name: str
    start: int
    end: int
    filename: str | None = None
    media_type: str = ""

    @property
    def base(self) -> str:
        """The name without what brackets add: ``image`` of ``image[]``, ``svg`` of ``svg[model]``."""
        return self.name.partition("[")[0]

    @property
    def size(self) -> int:
        """In bytes."""
        return self.end - self.start


def boundary_of(content_type: bytes | None) -> str:
    """The boundary that a content type names, '' when it is no form's."""
    if content_type is None or content_type[: len(FORM_TYPE)].lower() != FORM_TYPE:
        return ""
    found = _BOUNDARY.search(content_type, len(FORM_TYPE))
    return "" if found is None else (found[1] or found[2]).decode("latin-1")


def read(body: bytes, boundary: str) -> list[Part]:
    """The parts in order. Raises InvalidCall ``invalid_multipart``, ``too_many_parts``."""
    mark = b"--" + boundary.encode("latin-1")
    if not boundary or not body.startswith(mark):
        raise _malformed("it does not begin with its boundary")
    parts: list[Part] = []
    at = len(mark)
    between = b"\r\n" + mark
    while True:
        if body.startswith(b"--", at):
            if body[at + 2 :].strip(b" \t\r\n"):
                raise _malformed("something follows its end")
            return parts
        if not body.startswith(b"\r\n", at):
            raise _malformed("a boundary is followed by something else than a part")
        if len(parts) >= bounds.FORM_PARTS_MAX:
            raise InvalidCall(f"A form has at most {bounds.FORM_PARTS_MAX} parts.", code="too_many_parts")
        start = body.find(b"\r\n\r\n", at, at + _HEAD_BYTES_MAX)
        if start < 0:
            raise _malformed("a part has no end of its head")
        end = body.find(between, start + 4)
        if end < 0:
            raise _malformed("its last boundary is missing")
        parts.append(_part(body[at + 2 : start], start + 4, end))
        at = end + len(between)


def _part(head: bytes, start: int, end: int) -> Part:
    disposition = media_type = b""
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon or line[:1] in (b" ", b"\t"):
            raise _malformed("a part's head has a line that is no field")
        key = name.strip().lower()
        if key == b"content-disposition":
            if disposition:
                raise _malformed("a part has two dispositions")
            disposition = value.strip()
        elif key == b"content-type":
            media_type = value.strip()
        elif key == b"content-transfer-encoding" and value.strip().lower() not in (b"binary", b"8bit", b"7bit"):
            raise _malformed("a part is encoded")
    kind, _, rest = disposition.partition(b";")
    if kind.strip().lower() != b"form-data":
        raise _malformed("a part is no form-data")
    fields = _fields(rest.strip())
    name = fields.get(b"name", b"")
    if not _NAME.match(name):
        raise _malformed("a part has no plain name")
    filename = fields.get(b"filename")
    plain = media_type.partition(b";")[0].strip().lower().decode("latin-1")
    return Part(
        name=name.decode("utf-8", "replace"),
        filename=None if filename is None else filename.decode("utf-8", "replace"),
        media_type=plain if _TYPE.match(plain) else "",
        start=start,
        end=end,
    )


def _fields(text: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(text):
        field = _FIELD.match(text, at)
        if field is None:
            raise _malformed("a part's disposition cannot be read")
        key = field[1].lower()
        if key in found:
            raise _malformed("a part's disposition says something twice")
        found[key] = field[2] if field[2] is not None else field[3]
        at = field.end()
    return found


def text_of(body: bytes, part: Part) -> str:
    """A part's value as text. Raises InvalidCall naming it."""
    if part.size > TEXT_BYTES_MAX:
        raise InvalidCall(f"'{part.base}' is too long.", code="invalid_value", param=part.base)
    try:
        return body[part.start : part.end].decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidCall(f"'{part.base}' is not valid UTF-8.", code="invalid_value", param=part.base) from None


def extension_of(filename: str | None) -> str:
    """``.png`` of a file's name, '' when it has none that looks like one."""
    found = _EXTENSION.search(filename or "")
    return "" if found is None else f".{found[1].lower()}"


def head_of(part: Part) -> bytes:
    """A part's head as we write it: its name, and of a file's name nothing but the extension."""
    lines = b'Content-Disposition: form-data; name="%b"' % part.name.encode()
    if part.filename is not None:
        lines += b'; filename="%b%b"' % (part.base.encode(), extension_of(part.filename).encode())
        lines += b"\r\nContent-Type: %b" % (part.media_type or "application/octet-stream").encode()
    return lines + b"\r\n\r\n"


def boundary_for(body: bytes) -> bytes:
    """A boundary that does not occur in ``body``."""
    number = len(body)
    while (candidate := b"form-%d-data" % number) in body:
        number += 1
    return candidate


def write(boundary: bytes, parts: Sequence[tuple[bytes, bytes | memoryview]]) -> list[bytes | memoryview]:
    """The pieces of a body: each part's head (as ``head_of``) and its bytes, not copied."""
    pieces: list[bytes | memoryview] = []
    lead = b"--%b\r\n" % boundary
    for head, value in parts:
        pieces.append(lead + head)
        pieces.append(value)
        lead = b"\r\n--%b\r\n" % boundary
    pieces.append((b"\r\n--%b--\r\n" if pieces else b"--%b--\r\n") % boundary)
    return pieces


def _malformed(why: str) -> InvalidCall:
    return InvalidCall(f"The body is not a form of the announced boundary: {why}.", code="invalid_multipart")
