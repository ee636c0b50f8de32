"""Form bodies: read without a copy, refused where two readers could differ, written with heads of ours."""

from __future__ import annotations

import email
import email.policy

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa.dialects import multipart
from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall

NAMES = st.text("abcdefghijklmnopqrstuvwxyz_[]", min_size=1, max_size=12)
FORM = st.lists(st.tuples(NAMES, st.binary(max_size=200), st.none() | st.just("a b.PNG")), min_size=1, max_size=8)


def body_of(*parts: tuple[str, str], boundary: str = "X") -> bytes:
    lines = [f"--{boundary}\r\n{head}\r\n\r\n{value}\r\n" for head, value in parts]
    return "".join([*lines, f"--{boundary}--\r\n"]).encode()


@given(FORM)
def test_what_the_usual_client_writes_is_read_and_written_for_any_reader(
    form: list[tuple[str, bytes, str | None]],
) -> None:
    files = [(name, (filename, value)) for name, value, filename in form]
    request = httpx.Request("POST", "http://localhost", files=files)
    body = request.read()
    boundary = multipart.boundary_of(request.headers["content-type"].encode())
    parts = multipart.read(body, boundary)
    assert [(part.name, body[part.start : part.end], part.filename) for part in parts] == form
    ours = multipart.boundary_for(body)
    pieces = multipart.write(
        ours, [(multipart.head_of(part), memoryview(body)[part.start : part.end]) for part in parts]
    )
    assert all(isinstance(piece, memoryview) for piece in pieces[1::2])
    written = b"".join(pieces)
    again = multipart.read(written, ours.decode())
    assert [(part.name, written[part.start : part.end]) for part in again] == [(name, value) for name, value, _ in form]
    # A reader that is not ours sees the same parts.
    whole = email.message_from_bytes(
        b"Content-Type: multipart/form-data; boundary=" + ours + b"\r\n\r\n" + written, policy=email.policy.HTTP
    )
    theirs = [
        (part.get_param("name", header="content-disposition"), part.get_payload(decode=True))
        for part in whole.iter_parts()
    ]
    assert [name for name, _ in theirs] == [name for name, _, _ in form]


@given(st.binary(max_size=400))
def test_no_body_breaks_the_reader(body: bytes) -> None:
    for text in (
        body,
        b"--X\r\n" + body,
        b"--X\r\nContent-Disposition: form-data; name=a\r\n\r\n" + body + b"\r\n--X--",
    ):
        try:
            parts = multipart.read(text, "X")
        except InvalidCall as error:
            assert error.code in ("invalid_multipart", "too_many_parts")  # noqa: PT017
        else:
            assert all(0 <= part.start <= part.end <= len(text) for part in parts)


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ('Content-Disposition: form-data; name="a"; name="b"', "twice"),
        ('Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"', "two dispositions"),
        ('Content-Disposition: form-data; name="a\\"b"', "no plain name"),
        ("Content-Disposition: form-data", "no plain name"),
        ('Content-Disposition: attachment; name="a"', "no form-data"),
        ('Content-Disposition: form-data; name="a"\r\n folded: yes', "no field"),
        ('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64', "encoded"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(head: str, why: str) -> None:
    with pytest.raises(InvalidCall, match=why):
        multipart.read(body_of((head, "value")), "X")


def test_bounds_and_ends() -> None:
    part = ('Content-Disposition: form-data; name="a"', "v")
    multipart.read(body_of(*[part] * bounds.FORM_PARTS_MAX), "X")
    with pytest.raises(InvalidCall) as caught:
        multipart.read(body_of(*[part] * (bounds.FORM_PARTS_MAX + 1)), "X")
    assert caught.value.code == "too_many_parts"
    for broken in (b"", b"--Y--", b"preamble\r\n" + body_of(part), body_of(part) + b"more", body_of(part)[:-6]):
        with pytest.raises(InvalidCall):
            multipart.read(broken, "X")


def test_a_head_tells_nothing_of_the_file_but_its_kind() -> None:
    (part,) = multipart.read(
        body_of(
            ('Content-Disposition: form-data; name="file"; filename="Jane Doe.MP3"\r\nContent-Type: audio/mpeg', "x")
        ),
        "X",
    )
    assert multipart.head_of(part) == (
        b'Content-Disposition: form-data; name="file"; filename="file.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n'
    )
    assert multipart.extension_of("a.b/../c") == ""
    assert multipart.extension_of(None) == ""


@pytest.mark.parametrize(
    ("said", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", "abc"),
        (b'Multipart/Form-Data; charset=utf-8; boundary="a b"', "a b"),
        (b"application/json", ""),
        (b"multipart/mixed; boundary=abc", ""),
        (b"multipart/form-data", ""),
        (None, ""),
    ],
)
def test_the_boundary_is_the_content_types(said: bytes | None, boundary: str) -> None:
    assert multipart.boundary_of(said) == boundary
