"""Every error of the house in every dialect, to the byte: ``tests/wire/errors.json`` (W65 to W68)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google.genai import errors as google

from ruxa.dialects import DIALECTS
from ruxa.dialects.dialect import Envelope, Load, Name, Place, Reader
from ruxa.kernel import errors

GOLDEN = Path(__file__).parents[1] / "wire" / "errors.json"
CANARY = "canary-of-the-private-detail"


def leaves(kind: type[errors.RuxaError] = errors.RuxaError) -> list[type[errors.RuxaError]]:
    """The kinds that a dialect can be asked to tell: those of the kernel's tree."""
    below = [sub for sub in kind.__subclasses__() if sub.__module__ == errors.__name__]
    return [kind] if not below else [leaf for sub in below for leaf in leaves(sub)]


def make(kind: type[errors.RuxaError]) -> errors.RuxaError:
    more: dict[str, Any] = {"status": 418} if kind is errors.UpstreamRefused else {}
    if kind.retryable:
        more["retry_after_s"] = 7
    if kind is errors.InvalidCall:
        more["param"] = "messages[0].content"
    return kind(f"Public text of {kind.__name__}, with “quotes”.", detail=CANARY, **more)


def rendered() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for kind in sorted(leaves(), key=lambda kind: kind.__name__):
        for name, dialect in DIALECTS.items():
            shown = dialect.error(make(kind), "req_0198")
            found.setdefault(kind.__name__, {})[name] = {
                "status": shown.status,
                "headers": shown.headers.decode(),
                "body": shown.body.decode(),
                "stream": reader_of(name).fail(make(kind), "req_0198").decode(),
            }
    return found


def reader_of(name: Name) -> Reader:
    place = Place(dialect=name, endpoint="chat")
    return DIALECTS[name].stream(Envelope(place=place, body=b"", members={}, model="", load=Load()))


def test_every_error_in_every_dialect_is_as_agreed() -> None:
    assert rendered() == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_no_detail_ever_leaves() -> None:
    assert CANARY not in json.dumps(rendered())


@pytest.mark.parametrize("kind", leaves())
def test_the_sdks_know_the_errors(kind: type[errors.RuxaError]) -> None:
    error = make(kind)
    request = httpx2.Request("POST", "http://127.0.0.1/v1/x")
    for name, dialect in DIALECTS.items():
        shown = dialect.error(error, "req_0198")
        lines = [line.split(": ", 1) for line in shown.headers.decode().splitlines()]
        response = httpx2.Response(
            shown.status, headers=[(key, value) for key, value in lines], content=shown.body, request=request
        )
        if name.startswith("openai_"):
            known = openai.OpenAI(api_key="x")._make_status_error_from_response(response)
            assert isinstance(known, openai.APIStatusError)
            assert known.code == error.code
            assert known.request_id == "req_0198"
            assert error.public in known.message
        elif name == "anthropic_messages":
            told = anthropic.Anthropic(api_key="x")._make_status_error_from_response(response)
            assert told.request_id == "req_0198"
            body: Any = told.body
            assert body["error"]["message"] == error.public
        else:
            theirs = google.ClientError if shown.status < 500 else google.ServerError
            with pytest.raises(theirs) as caught:
                google.APIError.raise_for_response(response)
            assert caught.value.message == error.public
            assert caught.value.status == json.loads(shown.body)["error"]["status"]
