"""Card numbers where none belong: found by issuer range and check digit, refused by forms and bodies, never kept.

A number counts as a card's when it has 13 to 19 digits with single spaces, dots or hyphens between them at most, begins
like an issuer's (the ranges below), has not one digit only, and its check digit fits (Luhn, ISO/IEC 7812). Digits of
every script count. Ids of the house and digests are no cards: a run inside a longer word of hexadecimal digits is left
alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

DIGITS_MIN, DIGITS_MAX = 13, 19
KEPT = 4
# First and last of a range of first digits, and the lengths of its cards.
ISSUERS: Final[tuple[tuple[int, int, Sequence[int]], ...]] = (
    (4, 4, (13, 16, 19)),  # Visa
    (51, 55, range(16, 17)),  # Mastercard
    (2221, 2720, range(16, 17)),
    (34, 34, range(15, 16)),  # American Express
    (37, 37, range(15, 16)),
    (300, 305, range(14, 20)),  # Diners Club
    (36, 36, range(14, 20)),
    (38, 39, range(14, 20)),
    (3528, 3589, range(16, 20)),  # JCB
    (6011, 6011, range(16, 20)),  # Discover
    (644, 659, range(16, 20)),
    (62, 62, range(16, 20)),  # UnionPay
    (81, 81, range(16, 20)),
    (60, 60, range(16, 20)),  # RuPay and others
    (5018, 5018, range(13, 20)),  # Maestro
    (5020, 5020, range(13, 20)),
    (5038, 5038, range(13, 20)),
    (5893, 5893, range(13, 20)),
    (6304, 6304, range(13, 20)),
    (6759, 6763, range(13, 20)),
    (2200, 2204, range(16, 20)),  # Mir
    (9792, 9792, range(16, 17)),  # Troy
)
_RUN = re.compile(r"\d(?:[ \u00a0.\u2010-\u2013-]?\d){12,}")
_WORD = re.compile(r"[0-9A-Za-z_]+")
_DIGEST = re.compile(r"(?:[a-z]{2,8}_)?[0-9a-f]{32,}", re.ASCII)
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.I)
_LUHN = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def is_card(digits: str) -> bool:
    """Whether plain ASCII digits are a card's number."""
    if not DIGITS_MIN <= len(digits) <= DIGITS_MAX or len(set(digits)) == 1:
        return False
    total = sum(map(int, digits[-1::-2])) + sum(_LUHN[int(digit)] for digit in digits[-2::-2])
    return total % 10 == 0 and any(
        low <= int(digits[: len(str(low))]) <= high and len(digits) in lengths for low, high, lengths in ISSUERS
    )


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each card number in ``text``, in order."""
    if sum(map(str.isdigit, text)) < DIGITS_MIN:
        return
    blind = [match.span() for match in _UUID.finditer(text)]
    blind += [match.span() for match in _WORD.finditer(text) if _DIGEST.fullmatch(match[0])]
    for run in _RUN.finditer(text):
        places = [at for at in range(run.start(), run.end()) if text[at].isdecimal()]
        digits = "".join(str(unicodedata.decimal(text[at])) for at in places)
        # A group begins where something stands between two digits.
        begins = [at == 0 or places[at] - places[at - 1] > 1 for at in range(len(places))] + [True]
        first = 0
        while first + DIGITS_MIN <= len(digits):
            length = _length(digits, begins, first)
            if length is None:
                first += 1
                continue
            start, end = places[first], places[first + length - 1] + 1
            if not any(low <= start and end <= high for low, high in blind):
                yield start, end
            first += length


def _length(digits: str, begins: Sequence[bool], first: int) -> int | None:
    """How many digits from ``first`` on are a card's number, the most that fit; None for none.

    Within a group only the usual lengths count: thirteen digits of a longer number fit the check by chance too often.
    """
    for size in range(min(len(digits) - first, DIGITS_MAX), DIGITS_MIN - 1, -1):
        whole = begins[first] and begins[first + size]
        if (whole or size in (16, 15)) and is_card(digits[first : first + size]):
            return size
    return None


def found(text: str) -> bool:
    """Whether there is a card number in ``text``."""
    return next(spans(text), None) is not None


def masked(text: str) -> str:
    """``text`` with all but the last four digits of each card number as dots."""
    while at := list(spans(text)):
        shown = list(text)
        for start, end in at:
            digits = [place for place in range(start, end) if text[place].isdecimal()]
            for place in digits[:-KEPT]:
                shown[place] = "•"
        text = "".join(shown)
    return text


def where(value: object, path: str = "") -> str | None:
    """The path of the first string or number in a decoded JSON ``value`` with a card number in it; None for none."""
    if isinstance(value, str):
        return path if found(value) else None
    if isinstance(value, int):
        return path if is_card(str(abs(value))) else None
    if isinstance(value, float):
        # ``4242424242424242.0`` and ``4.242424242424242e15`` say the same.
        return path if value.is_integer() and is_card(f"{abs(value):.0f}") else None
    if isinstance(value, Mapping):
        for name, inner in cast("Mapping[str, object]", value).items():
            if found(name):
                return path or "body"
            if (place := where(inner, f"{path}.{name}" if path else name)) is not None:
                return place
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for number, inner in enumerate(cast("Sequence[object]", value)):
            if (place := where(inner, f"{path}.{number}" if path else str(number))) is not None:
                return place
    return None
