"""The words of a guard: one spelling, every kind written out, and nothing that is only nearly one."""

from __future__ import annotations

import pytest

from ruxa.access import guards
from ruxa.access.guards import Guard
from ruxa.kernel.errors import InvalidCall


def test_words_mean_a_guard() -> None:
    assert guards.of(()) is None
    assert guards.of(("mask",)) == Guard("mask")
    assert guards.of(("refuse", "card", "email")) == Guard("refuse", frozenset({"email", "card"}))
    assert "media" not in Guard("mask").kinds


def test_words_are_written_in_one_way() -> None:
    assert guards.read(()) == ()
    assert guards.read(("refuse", "secret", "email", "email")) == ("refuse", "email", "secret")
    assert guards.read(("mask",)) == ("mask", "email", "phone", "iban", "card", "ip", "national_id", "secret")
    assert guards.read(("mask", "media")) == ("mask", "media")
    assert guards.of(guards.read(("mask",))) == Guard("mask")


@pytest.mark.parametrize("words", [("email",), ("",), ("mask", "e-mail"), ("mask", "refuse"), ("MASK",), ("mask", "")])
def test_what_is_no_guard_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidCall) as caught:
        guards.of(words)
    assert (caught.value.code, caught.value.param) == ("bad_guard", "guard")
