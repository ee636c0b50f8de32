"""Forms: typed fields, faults beside them, exact amounts, redirects that never leave."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa.console import forms


class Form(msgspec.Struct, frozen=True):
    name: str
    count: int = 0
    adult: bool = False
    password: str | None = None


def test_fields_become_a_struct() -> None:
    assert forms.read(Form, {"name": " a ", "count": "3", "adult": "true", "_do": "x"}) == Form("a", 3, True)
    assert forms.read(Form, {"name": "a", "count": ""}) == Form("a")
    assert forms.read(Form, {"name": "a", "password": " kept "}).password == " kept "


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({}, {"name": "form.needed"}),
        ({"name": "  "}, {"name": "form.needed"}),
        ({"name": "a", "count": "x"}, {"count": "form.invalid"}),
        ({"name": "a", "adult": "maybe"}, {"adult": "form.invalid"}),
    ],
)
def test_a_fault_names_its_field(fields: dict[str, str], fault: dict[str, str]) -> None:
    with pytest.raises(forms.Faults) as caught:
        forms.read(Form, fields)
    assert caught.value.fields == fault


@given(st.integers(0, 10**18 - 1))
def test_amounts_are_exact(micros: int) -> None:
    whole, rest = divmod(micros, 1_000_000)
    assert forms.micros(f"{whole}.{rest:06d}", "usd") == micros


@pytest.mark.parametrize("text", ["", ".", "-1", "1e3", "1.2345678", "١", "0x1", "1 000", "1.2.3", "nan", "9" * 13])
def test_other_amounts_are_refused(text: str) -> None:
    with pytest.raises(forms.Faults):
        forms.micros(text, "usd")


def test_thousands_may_be_parted() -> None:
    assert forms.micros("1,234.5", "usd") == 1_234_500_000
    assert forms.micros(".5", "usd") == 500_000


@pytest.mark.parametrize(
    ("to", "path"),
    [
        ("/keys?x=1", "/keys?x=1"),
        (None, "/"),
        ("", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\nset-cookie: x", "/"),
    ],
)
def test_a_redirect_never_leaves(to: str | None, path: str) -> None:
    assert forms.local_path(to) == path
