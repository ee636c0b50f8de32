"""Taxes: whole cents by named rounding, the operator's table, reverse charge by the shape of tax ids."""

from __future__ import annotations

from fractions import Fraction
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.settings import BillingSettings, TaxSettings
from ruxa.ledger.documents import tax
from ruxa.ledger.documents.tax import Place, Rounding, Table

COUNTRIES = {
    "DE": TaxSettings(rate="19", name="USt"),
    "FR": TaxSettings(rate="20", name="TVA", reverse_charge=True),
    "GR": TaxSettings(rate="24", name="\u03a6\u03a0\u0391", reverse_charge=True),
    "CH": TaxSettings(rate="8.1", name="MWST"),
}
TABLE = Table("DE", COUNTRIES)
ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)
cents = st.integers(0, 10**10)


@pytest.mark.parametrize(
    ("place", "rate", "tax_minor", "note"),
    [
        (Place("DE"), "19", 1900, "charged"),
        (Place("DE", "DE123456789"), "19", 1900, "charged"),
        (Place("FR"), "20", 2000, "charged"),
        (Place("FR", "FR12345678901"), "0", 0, "reverse_charge"),
        (Place("FR", "DE123456789"), "20", 2000, "charged"),
        (Place("FR", "FR1"), "20", 2000, "charged"),
        (Place("GR", "EL123456789"), "0", 0, "reverse_charge"),
        (Place("GR", "GR123456789"), "24", 2400, "charged"),
        (Place("CH", "CHE123456789MWST"), "8.1", 810, "charged"),
        (Place("US"), "0", 0, "outside"),
        (Place(), "19", 1900, "charged"),
    ],
)
def test_a_purchase_is_taxed_as_the_table_says(place: Place, rate: str, tax_minor: int, note: str) -> None:
    quote = TABLE.quote(10_000, place)
    (line,) = quote.lines
    assert (line.rate, line.tax_minor, line.note) == (rate, tax_minor, note)
    assert line.jurisdiction == (place.country or "DE")
    assert quote.gross_minor == 10_000 + tax_minor
    assert quote.code == (line.jurisdiction.lower() if tax_minor else "none")


@given(cents, st.integers(0, 999_999), st.sampled_from(ROUNDINGS))
def test_rounding_is_to_the_cent_and_as_named(net: int, rate: int, rule: Rounding) -> None:
    exact = Fraction(net * rate, 1_000_000)
    found = tax.rounded(net * rate, 1_000_000, rule)
    assert abs(found - exact) < 1
    assert tax.rounded(-net * rate, 1_000_000, rule) == -found
    match rule:
        case "up":
            assert found >= exact
        case "down":
            assert found <= exact
        case "half_up":
            assert found - exact <= Fraction(1, 2)
            assert exact - found < Fraction(1, 2)
        case "half_even":
            assert found == round(exact)


def test_the_rules_differ_where_they_should() -> None:
    assert [tax.rounded(25, 10, rule) for rule in ROUNDINGS] == [3, 2, 3, 2]
    assert [tax.rounded(35, 10, rule) for rule in ROUNDINGS] == [4, 4, 4, 3]


@given(cents, st.lists(st.integers(1, 10**6), min_size=1, max_size=8))
def test_portions_of_cumulated_parts_are_never_negative_and_reach_the_whole(total: int, parts: list[int]) -> None:
    whole, so_far, given_ = sum(parts), 0, 0
    for part in parts:
        piece = tax.portion(total, so_far + part, whole) - tax.portion(total, so_far, whole)
        assert piece >= 0
        so_far, given_ = so_far + part, given_ + piece
    assert given_ == total


def test_rates_are_read_exactly() -> None:
    assert [tax.units(rate) for rate in ("19", "8.1", "0", "7.7777", "0.5")] == [190_000, 81_000, 0, 77_777, 5_000]


def test_tax_ids_lose_their_marks_and_are_checked_where_the_shape_is_known() -> None:
    assert tax.checked_tax_id(" de 123.456-789 ", "DE") == "DE123456789"
    assert tax.checked_tax_id("CHE-123.456.789 MWST", "CH") == "CHE123456789MWST"
    assert tax.checked_tax_id("12-3456789", "US") == "123456789"
    assert tax.checked_tax_id("", "DE") == ""
    for text, country in (("DE12345678", "DE"), ("x" * 40, "US"), ("<b>", "US"), ("FR12345678901", "DE")):
        with pytest.raises(InvalidCall) as told:
            tax.checked_tax_id(text, country)
        assert told.value.code == "bad_tax_id"


def test_the_settings_choose_the_engine() -> None:
    def quoted(word: str) -> int:
        chosen = tax.engine(BillingSettings(tax=word, country="DE"), {"de": TaxSettings(rate="19")})  # type: ignore[arg-type]
        assert chosen.name == word
        return chosen.quote(10_000, Place("DE")).tax_minor

    assert [quoted(word) for word in ("none", "processor", "table")] == [0, 0, 1900]
