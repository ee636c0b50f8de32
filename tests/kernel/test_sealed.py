"""Sealed: no way of showing it shows the value; only a purpose opens it."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import string
import traceback

import msgspec
import pytest

from ruxa.kernel.errors import Forbidden
from ruxa.kernel.sealed import Sealed

CANARY = "canary-5f1d@example.org"


@pytest.fixture
def value() -> Sealed[str]:
    return Sealed(CANARY, "access.member.email", ("provide", "security"))


def test_only_a_declared_purpose_opens(value: Sealed[str]) -> None:
    assert value.open("provide") == CANARY
    with pytest.raises(Forbidden) as caught:
        value.open("marketing")
    assert caught.value.code == "purpose_not_declared"
    assert CANARY not in caught.value.detail + caught.value.public


def test_a_value_from_no_column_opens_for_any_purpose_of_the_map_and_no_other() -> None:
    assert Sealed(CANARY).open("provide") == CANARY
    with pytest.raises(Forbidden):
        Sealed(CANARY).open("sale")


def test_no_text_form_shows_it(value: Sealed[str], caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("t").warning("%s %r %s", value, value, [value])
    shown = [
        repr(value), str(value), f"{value}", f"{value!r:>40}", f"{value:s}",
        string.Template("$v").substitute(v=value), str([value]), str({"v": value}), caplog.text,
    ]  # fmt: skip
    assert all("<sealed access.member.email>" in text for text in shown)
    assert CANARY not in "".join(shown)


def test_no_encoder_takes_it(value: Sealed[str]) -> None:
    for encode in (json.dumps, msgspec.json.encode, msgspec.to_builtins, pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            encode(value)  # type: ignore[operator]
        assert CANARY not in str(caught.value)


def test_it_has_no_dictionary_and_a_traceback_does_not_show_it(value: Sealed[str]) -> None:
    assert not hasattr(value, "__dict__")
    try:
        value.open("sale")
    except Forbidden as error:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "<sealed access.member.email>" in text
    assert CANARY not in text


def test_equality_tells_nothing(value: Sealed[str]) -> None:
    assert value != Sealed(CANARY)
    assert value == value
