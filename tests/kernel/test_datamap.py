"""The data map's grammar: what a declaration must say, and that every other wording is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa.kernel import datamap
from ruxa.kernel.datamap import Undeclared

EMAIL = (
    "data: category=user.contact.email subject=member purpose=provide basis=contract "
    "keep=account seal=subject erase=shred export=yes"
)
WORDS = dict(word.split("=") for word in EMAIL.removeprefix("data: ").split())


def said(**changed: str) -> str:
    """The declaration with some words changed."""
    return "data: " + " ".join(f"{name}={value}" for name, value in {**WORDS, **changed}.items())


def test_reads_the_example_of_the_grammar() -> None:
    found = datamap.parse(EMAIL)
    assert found is not None
    assert found.categories == ("user.contact.email",)
    assert (found.subject, found.keep, found.seal, found.erase) == ("member", "account", "subject", "shred")
    assert found.purposes == ("provide",)
    assert found.bases == ("contract",)
    assert found.export
    assert found.key_class == "account"


def test_none_is_a_value_and_silence_is_a_failure() -> None:
    assert datamap.parse("data: none") is None
    for comment in (None, "", "an address", "none", "Data: none", "see data: none"):
        with pytest.raises(Undeclared, match="no data: declaration"):
            datamap.parse(comment)


@pytest.mark.parametrize("name", WORDS)
def test_every_word_is_needed(name: str) -> None:
    words = {key: value for key, value in WORDS.items() if key != name}
    with pytest.raises(Undeclared, match=f"missing {name}"):
        datamap.parse("data: " + " ".join(f"{key}={value}" for key, value in words.items()))


@pytest.mark.parametrize("name", WORDS)
def test_every_vocabulary_is_closed(name: str) -> None:
    with pytest.raises(Undeclared):
        datamap.parse(said(**{name: "whatever"}))


@pytest.mark.parametrize(
    "comment",
    [
        EMAIL + " sold=no",
        EMAIL + " subject=member",
        EMAIL + " noise",
        "data: none category=user",
        "data: category=",
        said(purpose="sale"),
        said(purpose="provide,provide"),
        said(purpose="provide,security", basis="contract,consent,contract"),
        said(purpose="marketing"),
        said(erase="keep"),
        said(erase="keep:whim"),
        said(erase="delete:tax"),
        said(export="no"),
        said(export="no:laziness"),
        said(export="yes:secret"),
        said(erase="delete"),
        said(seal="none"),
        said(seal="blind", erase="delete"),
        said(keep="operations"),
    ],
)
def test_contradictions_and_inventions_are_refused(comment: str) -> None:
    with pytest.raises(Undeclared):
        datamap.parse(comment)


def test_one_basis_for_all_purposes_or_one_for_each() -> None:
    one = datamap.parse(said(purpose="provide,security"))
    each = datamap.parse(said(purpose="provide,security", basis="contract,legitimate_interest"))
    assert one is not None
    assert each is not None
    assert one.bases == ("contract", "contract")
    assert each.bases == ("contract", "legitimate_interest")


def test_may_be_broken_over_lines_and_followed_by_text() -> None:
    found = datamap.parse("data: " + "\n   ".join(EMAIL.removeprefix("data: ").split()) + "\n\nWhere to write to.")
    assert found == datamap.parse(EMAIL)
    assert datamap.parse("data: none\n\nCounts only.") is None


def test_kept_and_not_exported_say_why() -> None:
    found = datamap.parse(said(seal="hash", erase="keep:proof", export="no:derived"))
    assert found is not None
    assert (found.erase, found.erase_ground) == ("keep", "proof")
    assert (found.export, found.export_reason) == (False, "derived")
    assert found.key_class is None


@given(st.text())
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    with contextlib.suppress(Undeclared):
        datamap.parse("data: " + text)


def test_every_sealable_retention_class_has_a_key_class() -> None:
    assert set(datamap.KEY_CLASSES) <= set(datamap.KEEPS)
    for keep in datamap.KEY_CLASSES:
        found = datamap.parse(said(keep=keep))
        assert found is not None
        assert found.key_class == datamap.KEY_CLASSES[keep]
