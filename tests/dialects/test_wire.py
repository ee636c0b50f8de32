"""The wire cases, to the byte: each folder of ``tests/wire/<dialect>/`` is a call and all that happens to it.

``case.json`` says what is expected; ``request`` is what the caller sends, ``sent`` what the provider gets, ``upstream``
what the provider answers, ``caller`` what the caller gets. Streams are fed whole, byte by byte and in sevens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ruxa.dialects import DIALECTS
from ruxa.dialects.dialect import Answer, Envelope, Place, Reader, Terms
from ruxa.dialects.paths import locate
from ruxa.kernel.errors import RuxaError

WIRE = Path(__file__).parents[1] / "wire"
CASES = sorted(file.parent.relative_to(WIRE).as_posix() for file in WIRE.glob("*/*/case.json"))
REQUEST_ID = "req_0198"


class Case:
    """One folder."""

    def __init__(self, name: str) -> None:
        self.folder = WIRE / name
        self.told: dict[str, Any] = json.loads((self.folder / "case.json").read_text(encoding="utf-8"))
        path, _, query = self.told["path"].partition("?")
        self.headers = {key.encode(): value.encode() for key, value in self.told.get("headers", {}).items()}
        place = locate(b"POST", path.encode(), query.encode(), self.headers)
        assert place is not None
        self.place: Place = place
        self.dialect = DIALECTS[place.dialect]
        terms = {
            key: value if isinstance(value, bool) else frozenset(value)
            for key, value in self.told.get("terms", {}).items()
        }
        self.terms = Terms(**terms)

    def bytes_of(self, name: str) -> bytes | None:
        file = self.folder / name
        return file.read_bytes() if file.exists() else None

    def read(self) -> Envelope:
        body = self.bytes_of("request")
        assert body is not None
        return self.dialect.read(self.place, body)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def run(reader: Reader, data: bytes, size: int) -> bytes:
    out = b"".join(reader.feed(piece) for piece in pieces(data, size)) + reader.end()
    return out + (reader.fail(reader.error, REQUEST_ID) if reader.error is not None else b"")


def shown_error(error: RuxaError | None) -> dict[str, Any] | None:
    return None if error is None else {"kind": type(error).__name__, "code": error.code, "param": error.param}


def facts(seen: Reader | Answer) -> dict[str, Any]:
    told: dict[str, Any] = {
        "usage": {key: value for key, value in msgspec.to_builtins(seen.usage).items() if value}
        if seen.usage
        else None,
        "finish": seen.finish,
        "error": shown_error(seen.error),
    }
    if not isinstance(seen, Answer):
        told |= {"done": seen.done, "peek": seen.peek}
    return told


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    case = Case(name)
    told = case.told
    if "refused" in told:
        with pytest.raises(RuxaError) as caught:
            case.dialect.refuse(case.read(), case.terms)
        assert shown_error(caught.value) == told["refused"]
        assert told["says"] in caught.value.public
        return
    envelope = case.read()
    defaults = msgspec.to_builtins(type(envelope.load)())
    load = {key: value for key, value in msgspec.to_builtins(envelope.load).items() if value != defaults[key]}
    read = {"model": envelope.model, "stream": envelope.stream, "load": load}
    assert read == told["read"]
    patched = case.dialect.patch(
        envelope,
        upstream_model=told.get("upstream_model", "up-model"),
        pseudonym=lambda given: f"ps-{given[::-1]}",
        terms=case.terms,
        output_cap=told.get("output_cap"),
    )
    assert b"".join(patched.pieces) == case.bytes_of("sent")
    assert [list(patched.dropped), list(patched.replaced)] == [told.get("dropped", []), told.get("replaced", [])]
    assert case.dialect.upstream_path(case.place, told.get("upstream_model", "up-model")).decode() == told["target"]
    forwarded = case.dialect.forward_headers(case.headers, case.terms)
    assert [forwarded.lines.decode(), list(forwarded.dropped)] == [
        told.get("header_lines", ""),
        told.get("headers_dropped", []),
    ]
    upstream = case.bytes_of("upstream")
    if upstream is None:
        return
    if not envelope.stream:
        assert facts(case.dialect.answer(envelope, upstream)) == told["answer"]
        return
    for size in (len(upstream), 1, 7):
        reader = case.dialect.stream(envelope)
        assert run(reader, upstream, size) == case.bytes_of("caller"), f"cut by {size}"
        assert facts(reader) == told["answer"], f"cut by {size}"


def test_every_dialect_has_its_cases() -> None:
    for name in DIALECTS:
        assert sum(case.startswith(name) for case in CASES) >= 10
