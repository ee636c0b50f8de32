"""Signatures that are kept for clients that lose them: each organisation's own, bounded in number and in bytes."""

from __future__ import annotations

from uuid import UUID

from ruxa.gateway.marks import Marks

ONE, TWO = UUID(int=1), UUID(int=2)


def test_each_organisation_finds_its_own() -> None:
    marks = Marks()
    marks.of(ONE).keep("call_a", ("google", "signature"))
    assert marks.of(ONE).find("call_a") == ("google", "signature")
    assert marks.of(TWO).find("call_a") is None
    assert marks.of(ONE).find("call_b") is None
    assert marks.of(ONE).find("") is None
    marks.of(ONE).keep("call_a", ("google", "another"))
    assert marks.of(ONE).find("call_a") == ("google", "another")
    assert len(marks) == 1


def test_the_least_used_goes_first() -> None:
    own = Marks(marks_max=3)
    for name in "abc":
        own.of(ONE).keep(name, ("google", "x"))
    assert own.of(ONE).find("a")
    own.of(ONE).keep("d", ("google", "x"))
    assert [own.of(ONE).find(name) is not None for name in "abcd"] == [True, False, True, True]


def test_bytes_are_bounded_whatever_the_number() -> None:
    marks = Marks(bytes_max=1000)
    for number in range(50):
        marks.of(ONE).keep(f"{number:03}", ("google", "x" * 97))
    assert len(marks) == 10
    marks.of(ONE).keep("big", ("google", "x" * 5000))
    assert len(marks) == 0, "what is larger than all of the room is not kept either"
