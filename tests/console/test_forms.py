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


CENT, MOST = 1_000_000, 5_000_000_000


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("5", 5_000_000),
        ("12.50", 12_500_000),
        ("$ 12.5", 12_500_000),
        ("12.50 USD", 12_500_000),
        ("1,000", 1_000_000_000),
        ("1.100000", 1_100_000),
        ("5000.00", MOST),
    ],
)
def test_a_payment_is_whole_cents(text: str, micros: int) -> None:
    assert forms.cents(text, "usd", least=CENT, most=MOST) == micros


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("0", "amount_zero"),
        ("0.00", "amount_zero"),
        ("-5", "amount_negative"),
        ("\u22125", "amount_negative"),
        ("0.001", "amount_cents"),
        ("10.005", "amount_cents"),
        ("0.99", "amount_bounds"),
        ("5000.01", "amount_bounds"),
        ("9" * 40, "amount_bounds"),
        ("12 EUR", "amount_currency"),
        ("€12", "amount_currency"),
        ("1e3", "amount_currency"),
        ("", "amount_paid"),
        ("1.2.3", "amount_paid"),
        ("१२", "amount_paid"),
    ],
)
def test_another_payment_says_what_is_wrong(text: str, fault: str) -> None:
    with pytest.raises(forms.Faults) as caught:
        forms.cents(text, "usd", least=CENT, most=MOST)
    assert caught.value.fields == {"usd": f"form.{fault}"}


def test_a_card_number_is_masked_and_refused_in_any_field_but_a_password() -> None:
    fields = {"name": ["Ann 4242 4242 4242 4242"], "password": ["4242424242424242"], "x": ["a", "5555555555554444"]}
    assert forms.refuse_cards(fields) == {"name": "form.card", "x": "form.card"}
    assert fields["name"] == ["Ann •••• •••• •••• 4242"]
    assert fields["x"] == ["a", "••••••••••••4444"]
    assert fields["password"] == ["4242424242424242"]
