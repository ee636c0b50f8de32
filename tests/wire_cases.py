"""Odd and ordinary requests, and what a door says to them: a table for its tests."""

from __future__ import annotations

from ruxa.kernel import bounds

POST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
GET = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


# What comes in -> status of each answer, and whether the connection is closed after the last.
CONFORMANCE: dict[str, tuple[bytes, list[int], bool]] = {
    "get": (GET, [200], False),
    "post": (POST, [200], False),
    "pipelined": (GET + POST + GET, [200, 200, 200], False),
    "close asked": (GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), [200], True),
    "nothing after close": (GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + GET, [200], True),
    "1.0 closes": (b"GET / HTTP/1.0\r\n\r\n", [200], True),
    "1.0 keeps when asked": (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + GET, [200, 200], False),
    "options star": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", [200], False),
    "absolute form": (b"GET http://x/a?b HTTP/1.1\r\nHost: y\r\n\r\n", [200], False),
    "absolute with user": (b"GET http://u@x/a HTTP/1.1\r\nHost: y\r\n\r\n", [400], True),
    "leading empty lines": (b"\r\n\r\n" + GET, [200], False),
    "chunked": (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + GET, [200, 200], False),
    "chunked, extension, trailer": (CHUNKED + b"3;n=v\r\nabc\r\n0\r\nT: v\r\n\r\n" + GET, [200, 200], False),
    "cookies repeated": (b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n", [200], False),
    "h2c offer declined": (
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AA\r\n\r\n" + GET,
        [200, 200],
        False,
    ),
    "h2c offer with a body": (
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab" + GET,
        [200, 200],
        False,
    ),
    # Framing that two readers may read in two ways
    "length and chunked": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        [400],
        True,
    ),
    "chunked and length": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        [400],
        True,
    ),
    "length twice": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", [400], True),
    "lengths differ": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", [400], True),
    "length list": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc", [400], True),
    "length signed": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", [400], True),
    "length negative": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\nabc", [400], True),
    "length hex": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc", [400], True),
    "length empty": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nabc", [400], True),
    "length endless": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\nabc", [400], True),
    "gzip coding": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", [501], True),
    "gzip, chunked": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [501], True),
    "xchunked": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", [400], True),
    "chunked twice": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        [400],
        True,
    ),
    "chunked in 1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400], True),
    "chunk size 0x": (CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", [400], True),
    "chunk size signed": (CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n", [400], True),
    "chunk size empty": (CHUNKED + b"\r\nabc\r\n0\r\n\r\n", [400], True),
    "chunk size with space": (CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n", [400], True),
    "chunk size endless": (CHUNKED + b"fffffffff\r\nabc", [400], True),
    "chunk too long": (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", [400], True),
    "chunk line feed only": (CHUNKED + b"3\nabc\n0\n\n", [400], True),
    "chunk extension line feed": (CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n", [400], True),
    "chunk extension bomb": (CHUNKED + b"3;" + b"a" * 2000 + b"\r\nabc\r\n0\r\n\r\n", [400], True),
    "trailer bomb": (
        CHUNKED + b"0\r\n" + b"T: " + b"v" * 900 + b"\r\n" + (b"T: " + b"v" * 900 + b"\r\n") * 9,
        [400],
        True,
    ),
    # Heads
    "bare line feeds": (b"GET / HTTP/1.1\nHost: x\n\n\r\n\r\n", [400], True),
    "line feed in a header": (b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", [400], True),
    "return only": (b"GET / HTTP/1.1\rHost: x\r\r\r\n\r\n", [400], True),
    "folded line": (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", [400], True),
    "space before the first name": (b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", [400], True),
    "space before the colon": (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", [400], True),
    "no name": (b"GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n", [400], True),
    "no colon": (b"GET / HTTP/1.1\r\nHost: x\r\nabc\r\n\r\n", [400], True),
    "odd name": (b"GET / HTTP/1.1\r\nHost: x\r\na(b: c\r\n\r\n", [400], True),
    "nul in a name": (b"GET / HTTP/1.1\r\nHost: x\r\na\0b: c\r\n\r\n", [400], True),
    "nul in a value": (b"GET / HTTP/1.1\r\nHost: x\r\na: b\0c\r\n\r\n", [400], True),
    "control in a value": (b"GET / HTTP/1.1\r\nHost: x\r\na: b\x01c\r\n\r\n", [400], True),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", [400], True),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", [400], True),
    "two hosts in two cases": (b"GET / HTTP/1.1\r\nHost: x\r\nhOST: x\r\n\r\n", [400], True),
    "two credentials": (
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n",
        [400],
        True,
    ),
    "two x-api-key": (b"GET / HTTP/1.1\r\nHost: x\r\nx-api-key: a\r\nX-Api-Key: a\r\n\r\n", [400], True),
    "two content types": (
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\n",
        [400],
        True,
    ),
    "no version": (b"GET /\r\n\r\n", [400], True),
    "no version, a trick": (b"GET /x\r\nHost: HTTP/1.1\r\n\r\n", [400], True),
    "no version, a trick in the query": (b"GET /?x\r\nHost: HTTP/1.1\r\n\r\n", [400], True),
    "version 2": (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", [505], True),
    "version 1.2": (b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", [505], True),
    "http 2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505], True),
    "other protocol": (b"DESCRIBE / RTSP/1.0\r\nHost: x\r\n\r\n", [400], True),
    "method in lower case": (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", [501], True),
    "method unknown": (b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n", [501], True),
    "connect": (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", [405], True),
    "two spaces": (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", [400], True),
    "space in the url": (b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", [400], True),
    "nul in the url": (b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", [400], True),
    "bytes over 127 in the url": (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", [400], True),
    "relative url": (b"GET a HTTP/1.1\r\nHost: x\r\n\r\n", [400], True),
    "star but get": (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", [400], True),
    "tls on a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", [400], True),
    "websocket": (
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
        [400],
        True,
    ),
    # Bounds
    "long url": (b"GET /" + b"a" * bounds.URL_BYTES_MAX + b" HTTP/1.1\r\nHost: x\r\n\r\n", [414], True),
    "endless url": (b"GET /" + b"a" * (2 * bounds.URL_BYTES_MAX), [414], True),
    "header bomb": (b"GET / HTTP/1.1\r\nHost: x\r\na: " + b"b" * bounds.HEADER_BYTES_MAX + b"\r\n\r\n", [431], True),
    "endless header": (b"GET / HTTP/1.1\r\nHost: x\r\na: " + b"b" * (2 * bounds.HEADER_BYTES_MAX), [431], True),
    "many headers": (
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"a%d: b\r\n" % i for i in range(bounds.HEADERS_MAX)) + b"\r\n",
        [431],
        True,
    ),
    "large body announced": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\nabc" % (bounds.BODY_BYTES_MAX + 1),
        [413],
        True,
    ),
    "large chunk announced": (CHUNKED + b"%x\r\nabc" % (bounds.BODY_BYTES_MAX + 1), [413], True),
    "expectation unknown": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: the-best\r\n\r\n",
        [417],
        True,
    ),
    "expectation met": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
        [100],
        False,
    ),
    "large body not invited": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n",
        [413],
        True,
    ),
}
