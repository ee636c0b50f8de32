"""Addresses and names: accepted forms, one lookup form, and refusals that quote nothing."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures_access import House
from ruxa.access import addresses
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.sealed import Sealed


@pytest.mark.parametrize(
    ("given_address", "written"),
    [
        (" Grace@Example.COM ", "Grace@example.com"),
        ("ops@box.internal", "ops@box.internal"),
        ("ops@box.test", "ops@box.test"),
        ("jörg@exämple.com", "jörg@exämple.com"),
    ],
)
def test_accepted(given_address: str, written: str) -> None:
    assert addresses.address(Sealed(given_address)).open("provide") == written


@given(st.text(max_size=80))
def test_anything_is_accepted_or_refused_without_being_quoted(text: str) -> None:
    try:
        addresses.address(Sealed(text + "canary"))
    except InvalidCall as error:
        told = "".join(traceback.format_exception(error))
        refused = (error.code, error.__cause__, error.__context__, "canary" in told.replace('text + "canary"', ""))
    else:
        refused = ("email_invalid", None, None, False)
    assert refused == ("email_invalid", None, None, False)


async def test_case_and_composition_do_not_make_another_person(house: House) -> None:
    def index(text: str) -> bytes:
        return addresses.index(house.vault, addresses.address(Sealed(text)))

    assert index("Grace@example.com") == index("gRACE@EXAMPLE.com")
    assert index("caf\u00e9@example.com") == index("cafe\u0301@example.com")
    assert index("grace@example.com") != index("grace@example.org")
    assert len(index("grace@example.com")) == 32


@pytest.mark.parametrize("text", ["  Grace \t Hopper ", "Grace\u00a0Hopper", "Grace\nHopper"])
def test_spaces_in_names_are_tidied(text: str) -> None:
    assert addresses.name(Sealed(text)).open("provide") == "Grace Hopper"


@pytest.mark.parametrize("text", ["", "   ", "x" * 101, "a\x07b", "a\u0378b", "\ud83d"])
def test_bad_names(text: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        addresses.name(Sealed(text), param="organisation_name")
    assert caught.value.param == "organisation_name"
