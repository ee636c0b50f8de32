"""Where one HTTP/1 request ends and the next begins: heads read by llhttp in its strict mode, chunked bodies by us.

Two readers that disagree about a boundary let one caller speak in another's name, so whatever is ambiguous is
refused: both framings, repeated framing or credential headers, bare line feeds, folded lines, odd chunk sizes.
Pure: bytes in, values or a RuxaError out; no socket, no clock.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import httptools
import msgspec

from ruxa.kernel.codec import clone
from ruxa.kernel.errors import CallerError, InvalidCall, RuxaError, TooLarge

# A second one of these is refused: to join them or to pick one would be to guess what the next reader sees.
SINGLE = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"idempotency-key",
        b"transfer-encoding",
        b"x-api-key",
        b"x-goog-api-key",
    }
)

CHUNK_LINE_BYTES_MAX = 1024
TRAILER_BYTES_MAX = 8 * 1024
_DIGITS = re.compile(rb"[0-9A-Fa-f]{1,8}\Z")
_EXTENSIONS = re.compile(
    rb"(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
    rb"(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]*|\"(?:[\t !\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*\"))?)*\Z"
)
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\Z")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,10})[ \t]*(?=\r\n)", re.IGNORECASE)
_ABSOLUTE = re.compile(rb"https?://([^/?#\s]+)(/[^#\s]*|\?[^#\s]*)?\Z", re.IGNORECASE)


def refused(status: int, code: str, public: str) -> CallerError:
    """A caller's error of HTTP itself, with a status that the tree has no class for."""
    error = TooLarge(public, code=code) if status in (413, 414, 431) else InvalidCall(public, code=code)
    error.status = status
    return error


class Request(msgspec.Struct, eq=False):
    """One request, whole: the body has been read up to its bound before anybody sees it.

    method: upper case; path: raw, percent-encoded as it came, without the query; query: raw, without ``?``;
    headers: lower-case names, repeated list headers joined by ``, ``, a repeated framing or credential header was
    refused; peer: the address of the socket's other end (not of X-Forwarded-For); secure: it came over TLS;
    known: what ``serve`` found out from the head alone; shared with the connection's next requests of the same head.
    """

    method: bytes
    path: bytes
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes
    peer: str
    http10: bool
    secure: bool
    known: dict[str, Any] = {}


class Repeat:
    """A head that the connection's next request may repeat but for the digits of its content-length, as clients do.

    Such a head needs no parser: its lines are those that the parser has accepted, byte for byte.
    """

    __slots__ = ("_after", "_before", "_request", "_said", "_start", "_within")

    def __init__(self, before: bytes, after: bytes, request: Request) -> None:
        self._before = before
        self._after = after
        self._request = request
        self._start = len(before)
        self._within = len(after) + 10
        self._said = int(request.headers[b"content-length"])

    def whole(self, data: bytes, body_bytes_max: int) -> Request | None:
        """The request, when ``data`` is the head again with all of its body, which is not larger than that, and no
        byte more or less."""
        if not data.startswith(self._before):
            return None
        start, after = self._start, self._after
        at = data.find(after, start, start + self._within)
        digits = data[start:at]
        if at <= start or not digits.isdigit():
            return None
        length = int(digits)
        at += len(after)
        if len(data) - at != length or length > body_bytes_max:
            return None
        request = clone(self._request)
        if length != self._said:
            request.headers = {**request.headers, b"content-length": b"%d" % length}
        request.body = data[at:]
        return request

    def length(self, data: bytes) -> tuple[int, int] | None:
        """Where the head that ``data`` begins with ends, and the length of its body; None for another head."""
        if not data.startswith(self._before):
            return None
        start, after = self._start, self._after
        at = data.find(after, start, start + self._within)
        digits = data[start:at]
        return (at + len(after), int(digits)) if at > start and digits.isdigit() else None

    def request(self, length: int) -> Request:
        """What the head means with a body of ``length`` bytes, without the body."""
        request = clone(self._request)
        if length != self._said:
            request.headers = {**request.headers, b"content-length": b"%d" % length}
        return request


def repeat_of(head: bytes, request: Request) -> Repeat | None:
    """How ``head``, which was read as ``request`` and says its body's length, would be repeated."""
    found = _LENGTH.search(head)
    if found is None or request.http10 or len(request.headers) != head.count(b"\n") - 2 or b"expect" in request.headers:
        return None
    return Repeat(head[: found.start(1)], head[found.end(1) :], request)


class RequestReader:
    """Heads of one connection, in order; after ``read`` the body must be passed by ``skip`` or ``renew``.

    The parser calls C functions only: every header goes to ``dict.__setitem__``. A repeated name would be lost
    there, so the names are counted against the lines of the head, which are not ambiguous once llhttp has accepted it.
    """

    __slots__ = ("_headers_max", "_peer", "_raw", "_secure", "_url_bytes_max", "on_header", "parser")

    def __init__(self, *, url_bytes_max: int, headers_max: int, peer: str, secure: bool) -> None:
        self._url_bytes_max = url_bytes_max
        self._headers_max = headers_max
        self._peer = peer
        self._secure = secure
        self._raw: dict[bytes, bytes] = {}
        self.on_header = self._raw.__setitem__
        self.parser = httptools.HttpRequestParser(self)

    def read(self, head: bytes) -> Request:
        """``head`` up to and with its empty line -> the request without its body.

        Raises a RuxaError; then the connection must not be read any further.
        """
        parts = head.split(b" ", 2)
        if len(parts) != 3:
            raise _not_http()
        method, target, rest = parts
        http10 = False
        if not rest.startswith(b"HTTP/1.1\r\n"):
            if not rest.startswith(b"HTTP/1.0\r\n"):
                raise _other_version(rest)
            http10 = True
        if len(target) > self._url_bytes_max:
            raise refused(414, "url_too_long", "The URL is too long.")
        raw = self._raw
        raw.clear()
        upgrade = False
        try:
            self.parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            upgrade = True
        except httptools.HttpParserInvalidMethodError:
            raise refused(501, "method_unknown", "This method is not known.") from None
        except httptools.HttpParserError:
            raise _malformed(raw) from None
        headers = {name.lower(): value.rstrip() for name, value in raw.items()}
        if len(headers) != head.count(b"\n") - 2:
            headers = _repeated(head)
        if len(headers) > self._headers_max:
            raise refused(431, "headers_too_many", "The request has too many headers.")
        if b"host" not in headers and not http10:
            raise refused(400, "host_missing", "The host header is missing.")
        coding = headers.get(b"transfer-encoding")
        if coding is not None:
            _check_coding(coding, http10)
        if upgrade:
            self._upgrade(method, headers, head)
        path, _, query = target.partition(b"?")
        if path[:1] != b"/" or target.find(b"\n") >= 0:
            path, query = _odd_target(method, target, headers)
        return Request(method, path, query, headers, b"", self._peer, http10, self._secure)

    def skip(self, body: bytes) -> None:
        """The parser passes over a body of a known length (or a part of it); costs nothing per byte."""
        self.parser.feed_data(body)

    def renew(self) -> None:
        """A fresh parser: the last body was chunked and read by ``Chunks``."""
        self.parser = httptools.HttpRequestParser(self)

    def close(self) -> None:
        """Undo the cycle between this and the parser, so that no collector is needed."""
        del self.parser
        del self.on_header

    def _upgrade(self, method: bytes, headers: dict[bytes, bytes], head: bytes) -> None:
        if method == b"CONNECT":
            raise refused(405, "method_not_allowed", "This is not a forward proxy.")
        if b"websocket" in headers.get(b"upgrade", b"").lower():
            raise refused(400, "websocket_unsupported", "Websockets are not supported here; use HTTP.")
        # Any other offer (h2c) is declined by going on in HTTP/1.1. llhttp would skip the body: it reads the head
        # again without the offer.
        lines = head.split(b"\r\n")
        self.renew()
        self.parser.feed_data(
            b"\r\n".join(line for line in lines if not line.lower().startswith((b"upgrade:", b"connection:")))
        )


def _not_http() -> CallerError:
    return refused(400, "malformed_request", "The request is not well-formed HTTP.")


def _other_version(rest: bytes) -> CallerError:
    if _VERSION.match(rest):
        return refused(505, "version_unsupported", "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    return _not_http()


def _malformed(raw: dict[bytes, bytes]) -> CallerError:
    """Why llhttp refused: a transfer coding that nobody here knows has its own status."""
    headers = {name.lower(): value for name, value in raw.items()}
    coding = headers.get(b"transfer-encoding")
    if coding is not None and b"content-length" not in headers and b"chunked" not in coding.lower():
        return refused(501, "transfer_encoding_unsupported", "Only the transfer coding chunked is understood.")
    return _not_http()


def _check_coding(coding: bytes, http10: bool) -> None:
    if http10:
        raise _not_http()
    if coding.lower() != b"chunked":
        raise refused(501, "transfer_encoding_unsupported", "Only the transfer coding chunked is understood.")


def _repeated(head: bytes) -> dict[bytes, bytes]:
    """The headers of an accepted head when a name occurs twice: lists are joined, the single ones refused."""
    headers: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n")[1:-2]:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if name in headers:
            if name in SINGLE:
                raise refused(400, "duplicate_header", f"The header {name.decode('latin-1')} occurs twice.")
            headers[name] += (b"; " if name == b"cookie" else b", ") + value
        else:
            headers[name] = value
    return headers


def _odd_target(method: bytes, target: bytes, headers: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    if target == b"*" and method == b"OPTIONS":
        return b"*", b""
    found = _ABSOLUTE.match(target)
    if found is None or b"@" in found[1]:
        raise refused(400, "malformed_url", "The URL is not understood.")
    headers[b"host"] = found[1]
    path, _, query = (found[2] or b"/").partition(b"?")
    return path or b"/", query


class Chunks:
    """One chunked body, fed as it comes; ``body`` grows up to ``bytes_max``. Extensions and trailers are dropped."""

    __slots__ = ("_carry", "_left", "_state", "_trailer_bytes", "body", "bytes_max")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.body: bytearray = bytearray()
        self._carry: bytes = b""
        self._left: int = 0
        self._state: Literal["size", "data", "after", "trailer"] = "size"
        self._trailer_bytes: int = 0

    def feed(self, data: bytes) -> bytes | None:
        """None while the body goes on, else what follows its end. Raises TooLarge or InvalidCall."""
        if self._carry:
            data = self._carry + data
            self._carry = b""
        at = 0
        size = len(data)
        while True:
            if self._state == "data":
                take = min(self._left, size - at)
                self.body += data[at : at + take] if take != size else data
                at += take
                self._left -= take
                if self._left:
                    return None
                self._state = "after"
            if self._state == "after":
                if size - at < 2:
                    if data[at:] not in (b"", b"\r"):
                        raise _bad_chunk()
                    self._carry = data[at:]
                    return None
                if data[at : at + 2] != b"\r\n":
                    raise _bad_chunk()
                at += 2
                self._state = "size"
            end = data.find(b"\r\n", at, at + CHUNK_LINE_BYTES_MAX + 2)
            if end < 0:
                if size - at > CHUNK_LINE_BYTES_MAX or b"\n" in data[at:]:
                    raise _bad_chunk()
                self._carry = data[at:]
                return None
            line = data[at:end]
            at = end + 2
            if self._state == "size":
                self._begin(line)
            elif not line:
                return data[at:]
            else:
                self._trailer_bytes += len(line)
                if self._trailer_bytes > TRAILER_BYTES_MAX or not _TRAILER.match(line):
                    raise refused(400, "malformed_request", "The trailers are malformed.")

    def _begin(self, line: bytes) -> None:
        digits = line.partition(b";")[0]
        if not _DIGITS.match(digits) or not _EXTENSIONS.match(line, len(digits)):
            raise _bad_chunk()
        self._left = int(digits, 16)
        self._state = "data" if self._left else "trailer"
        if len(self.body) + self._left > self.bytes_max:
            raise too_large(self.bytes_max)


def _bad_chunk() -> RuxaError:
    return refused(400, "malformed_request", "The chunked body is malformed.")


def too_large(bytes_max: int) -> TooLarge:
    """413 that names the bound in bytes."""
    return TooLarge(f"The request body is larger than {bytes_max} bytes.")
