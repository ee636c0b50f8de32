"""Counts of what left: added up, taken once, put back when they could not be written down."""

from __future__ import annotations

import pytest

from ruxa.egress.recipient import Recipient, Register
from ruxa.egress.tally import UNDECLARED, Line, Tally
from ruxa.kernel.errors import NoUpstream
from wire_parts import Told


def test_counts_add_up_and_are_taken_once() -> None:
    tally = Tally()
    tally.add("openai", "api.test", "user.content", 2)
    tally.add("openai", "api.test", "user.content")
    tally.add("openai", "api.test", "user.unique_id.pseudonymous", 0)
    lines = tally.take()
    assert lines == [Line("openai", "api.test", "user.content", 3)]
    assert tally.take() == []
    tally.add("openai", "api.test", "user.content")
    tally.put_back(lines)
    assert tally.take() == [Line("openai", "api.test", "user.content", 4)]


def test_what_is_refused_is_counted() -> None:
    register = Register(Told())
    for _ in range(2):
        with pytest.raises(NoUpstream):
            register.check("Elsewhere.test.", 443)
    assert register.tally.take() == [Line(UNDECLARED, "elsewhere.test", UNDECLARED, 2)]


def test_a_recipient_speaks_the_data_maps_words() -> None:
    said = {"name": "x", "role": "provider", "who": "X", "where": "US", "safeguard": "none"}
    assert Recipient(what=("user.content",), why=("provide",), **said).what  # pyright: ignore[reportArgumentType]
    for what, why in ((("prompts",), ("provide",)), (("user.content",), ("sale",))):
        with pytest.raises(ValueError, match="no word of the data map"):
            Recipient(what=what, why=why, **said)  # pyright: ignore[reportArgumentType]
