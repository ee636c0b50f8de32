"""Heads and chunked bodies without a socket: what the reader hands on and where a body ends."""

from __future__ import annotations

import pytest

from ruxa.gateway.framing import Chunks, Repeat, RequestReader, repeat_of
from ruxa.kernel.errors import RuxaError, TooLarge


def reader() -> RequestReader:
    return RequestReader(url_bytes_max=100, headers_max=5, peer="192.0.2.7", secure=True)


def test_a_reader_goes_from_head_to_head() -> None:
    heads = reader()
    first = heads.read(b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
    heads.skip(b"a")
    heads.skip(b"bc")
    second = heads.read(b"GET /d HTTP/1.1\r\nHost: y\r\n\r\n")
    assert (first.method, first.path, first.query, first.headers[b"host"]) == (b"POST", b"/a", b"b", b"x")
    assert (second.method, second.path, second.query, second.headers) == (b"GET", b"/d", b"", {b"host": b"y"})
    assert (second.peer, second.secure, second.http10) == ("192.0.2.7", True, False)


def test_a_reader_goes_on_behind_chunks_and_a_declined_offer() -> None:
    heads = reader()
    heads.read(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n")
    heads.renew()
    heads.read(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\n")
    heads.skip(b"a")
    assert heads.read(b"GET /d HTTP/1.1\r\nHost: y\r\n\r\n").path == b"/d"


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"GET /" + b"a" * 100 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "url_too_long"),
        (b"GET / HTTP/1.1\r\nHost: x\r\na: 1\r\nb: 1\r\nc: 1\r\nd: 1\r\ne: 1\r\n\r\n", 431, "headers_too_many"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nexpect: a\r\nExpect: a\r\n\r\n", 400, "duplicate_header"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "host_missing"),
    ],
)
def test_refusals_have_a_status_and_a_code(head: bytes, status: int, code: str) -> None:
    with pytest.raises(RuxaError) as caught:
        reader().read(head)
    assert (caught.value.status, caught.value.code) == (status, code)


def test_repeated_headers_are_joined_or_refused_whatever_their_case() -> None:
    request = reader().read(b"GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\na:\t2 \r\nA:3\r\n\r\n")
    assert request.headers == {b"host": b"x", b"a": b"1, 2, 3"}


def repeat(head: bytes) -> Repeat | None:
    return repeat_of(head, reader().read(head))


def test_a_head_is_known_again_whatever_its_length() -> None:
    head = b"POST /a HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: %b \r\nA: b\r\n\r\n"
    known = repeat(head % b"3")
    assert known is not None
    for digits in (b"3", b"0", b"17", b"0000000003", b"4294967295"):
        again = head % digits
        assert known.length(again + b"abc") == (len(again), int(digits))
    assert known.request(17).headers == {b"host": b"x", b"content-length": b"17", b"a": b"b"}
    assert known.request(3).path == b"/a"


@pytest.mark.parametrize(
    "other",
    [
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nA: c\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nA: b\r\nB: c\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n\r\nA: b\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\ncontent-length: 3\r\nA: b\r\n\r\n",
        b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nA: b\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\nA: b\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3 3\r\nA: b\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: \xb23\r\nA: b\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: \r\nA: b\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 12345678901\r\nA: b\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3",
        b"\r\nPOST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nA: b\r\n\r\n",
    ],
)
def test_a_head_that_differs_in_anything_else_is_another(other: bytes) -> None:
    known = repeat(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nA: b\r\n\r\n")
    assert known is not None
    assert known.length(other) is None


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nA: 1\r\na: 2\r\nContent-Length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_only_a_plain_head_is_known_again(head: bytes) -> None:
    assert repeat(head) is None


def test_chunks_end_where_they_say() -> None:
    chunks = Chunks(10)
    assert chunks.feed(b"3\r\nab") is None
    assert chunks.feed(b"c\r") is None
    assert chunks.feed(b"\n7;x=y\r\ndefghij\r\n0\r\nT: v\r\n") is None
    assert chunks.feed(b"\r\nGET") == b"GET"
    assert chunks.body == b"abcdefghij"
    with pytest.raises(TooLarge):
        Chunks(10).feed(b"b\r\n")
    with pytest.raises(TooLarge):
        Chunks(10).feed(b"6\r\nabcdef\r\n5\r\n")
