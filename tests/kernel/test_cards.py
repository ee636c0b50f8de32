"""Card numbers: the processors' test numbers are found in any spelling, and what only looks long is let alone."""

from __future__ import annotations

import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa.kernel import cards, ids

# What Stripe and PayPal publish for tests, one of each issuer.
NUMBERS = (
    "4242424242424242",
    "4000056655665556",
    "5555555555554444",
    "2223003122003222",
    "5105105105105100",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
    "3056930009020004",
    "36227206271667",
    "6555900000604105",
    "3566002020360505",
    "6200000000000005",
    "6205500000000000004",
    "4222222222222",
)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_card_is_found_however_it_is_written(number: str) -> None:
    spaced = " ".join(number[at : at + 4] for at in range(0, len(number), 4))
    wide = number.translate({ord("0") + one: 0xFF10 + one for one in range(10)})
    for text in (
        number,
        spaced,
        spaced.replace(" ", "-"),
        spaced.replace(" ", "\u00a0"),
        wide,
        f"my card is {number}, thanks",
        f"card:{spaced}.",
        f"card{number}x",
        f"12/29 {number} 123",
    ):
        assert cards.found(text), text
        shown = cards.masked(text)
        assert not cards.found(shown), shown
        assert "•" * 5 in shown.replace(" ", "").replace("-", "").replace("\u00a0", "")
    assert cards.masked(f"({number})").endswith(number[-4:] + ")")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4242424242424241",
        "0000000000000000",
        "4444444444444444444444",
        "1764000000000",
        "9007199254740991",
        "DE89370400440532013000",
        "+49 30 901820",
        "2026-11-24 15:36:47",
        "424242424242",
        "4242 4242 4242 424",
        "1234567890123456",
    ],
)
def test_other_numbers_are_let_alone(text: str) -> None:
    assert not cards.found(text)
    assert cards.masked(text) == text


@given(st.uuids())
def test_ids_and_digests_are_no_cards(value: uuid.UUID) -> None:
    for text in (value.hex, str(value), ids.text("org", value), value.hex * 2):
        assert not cards.found(text)


def test_an_id_made_of_a_card_s_digits_is_an_id() -> None:
    digits = "4242424242424242" * 2
    assert not cards.found(f"req_{digits}")
    assert cards.found("4242424242424242 " + digits[:15])


@given(st.text())
def test_masking_leaves_no_card_and_no_other_letter_alone(text: str) -> None:
    shown = cards.masked(text)
    assert len(shown) == len(text)
    assert not cards.found(shown)
    assert cards.masked(shown) == shown


@given(st.from_regex(r"[0-9 -]{13,60}", fullmatch=True))
def test_masking_digits_ends(text: str) -> None:
    assert not cards.found(cards.masked(text))


def test_a_body_names_the_field() -> None:
    assert cards.where({"a": 1, "b": [{"c": "ok"}, {"c": "4242 4242 4242 4242"}]}) == "b.1.c"
    assert cards.where({"amount_minor": 4242424242424242}) == "amount_minor"
    assert cards.where({"4242424242424242": 1}) == "body"
    assert cards.where("4242424242424242") == ""
    assert cards.where({"a": 1.5, "b": None, "c": True, "micros": 50_000_000}) is None


@pytest.mark.parametrize(
    "text",
    [
        "[4242424242424242.0]", "[378282246310005.0]", "[-4242424242424242.00]", '{"a": [1, 4242424242424242e0]}',
        "[" * 300 + '"4242 4242 4242 4242"' + "]" * 300, '{"4242-4242-4242-4242": 1}', '["\\u0034242424242424242"]',
        '{"a": "{\\"number\\": 4242424242424242}"}',
    ],
)  # fmt: skip
def test_a_card_is_found_however_a_body_says_it(text: str) -> None:
    assert cards.where(msgspec.json.decode(text)) is not None


@pytest.mark.parametrize("text", ["[4242424242424242.5]", "[1e300]", "[0.0]", "[4242424242424241.0]", "[true]"])
def test_other_numbers_are_no_cards(text: str) -> None:
    assert cards.where(msgspec.json.decode(text)) is None
