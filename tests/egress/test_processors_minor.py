"""Money at the edge: cents and decimal texts, exactly or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa.egress.processor import ProcessorRefused
from ruxa.egress.processors import minor


@given(st.integers(-(10**11), 10**11))
def test_what_is_written_is_read_again(cents: int) -> None:
    assert minor.of(minor.text(cents), "USD") == cents


@pytest.mark.parametrize(("text", "cents"), [("5", 500), ("5.0", 500), ("5.00", 500), ("0.01", 1), ("-12.34", -1234)])
def test_every_way_of_writing(text: str, cents: int) -> None:
    assert minor.of(text, "usd") == cents


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("1.234", "USD"),
        ("1e3", "USD"),
        ("1,00", "USD"),
        ("", "USD"),
        (" 1", "USD"),
        ("NaN", "USD"),
        ("٣", "USD"),
        ("12345678901", "USD"),
        ("500", "JPY"),
        ("5.00", "KWD"),
    ],
)
def test_what_is_no_amount_in_hundredths_is_refused(text: str, currency: str) -> None:
    with pytest.raises(ProcessorRefused):
        minor.of(text, currency)
