"""Tax: what a purchase of credit is taxed with, by engines that can be exchanged; whole cents, rounding by name.

No rate and no rule of any country is built in: the operator's ``[tax.COUNTRY]`` tables say them, and this room applies
them. Credit is taxed when it is bought (``tax_at = purchase``): it buys one kind of service only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, Protocol

import msgspec

from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.settings import BillingSettings, TaxSettings

Rounding = Literal["half_up", "half_even", "up", "down"]
# charged: by the table; reverse_charge: the customer owes it; outside: not taxed where the customer is; none: the
# seller charges no tax; processor: as the payment processor computed it.
Note = Literal["charged", "reverse_charge", "outside", "none", "processor"]

# The shapes of tax ids by the country they begin with, without spaces and marks. A shape is all that is looked at:
# whether an id is in use, only its country's register knows.
_SHAPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AT": r"ATU\d{8}",
        "BE": r"BE[01]\d{9}",
        "BG": r"BG\d{9,10}",
        "CY": r"CY\d{8}[A-Z]",
        "CZ": r"CZ\d{8,10}",
        "DE": r"DE\d{9}",
        "DK": r"DK\d{8}",
        "EE": r"EE\d{9}",
        "GR": r"EL\d{9}",
        "ES": r"ES[A-Z0-9]\d{7}[A-Z0-9]",
        "FI": r"FI\d{8}",
        "FR": r"FR[A-HJ-NP-Z0-9]{2}\d{9}",
        "HR": r"HR\d{11}",
        "HU": r"HU\d{8}",
        "IE": r"IE(\d{7}[A-W][A-I]?|\d[A-Z+*]\d{5}[A-W])",
        "IT": r"IT\d{11}",
        "LT": r"LT(\d{9}|\d{12})",
        "LU": r"LU\d{8}",
        "LV": r"LV\d{11}",
        "MT": r"MT\d{8}",
        "NL": r"NL[A-Z0-9+*]{10}\d{2}",
        "PL": r"PL\d{10}",
        "PT": r"PT\d{9}",
        "RO": r"RO\d{2,10}",
        "SE": r"SE\d{12}",
        "SI": r"SI\d{8}",
        "SK": r"SK\d{10}",
        "GB": r"GB(\d{9}|\d{12}|GD\d{3}|HA\d{3})",
        "CH": r"CHE\d{9}(MWST|TVA|IVA)?",
        "NO": r"(NO)?\d{9}(MVA)?",
    }
)
_MARKS: Final = re.compile(r"[\s./-]")
_LONGEST: Final = 30
# Rates are kept in units of a ten-thousandth of a percent.
_WHOLE: Final = 100 * 10_000


class TaxLine(msgspec.Struct, frozen=True, kw_only=True):
    """One tax of a document. jurisdiction: a country, or the processor's word; rate: percent, as text."""

    jurisdiction: str
    name: str
    rate: str
    net_minor: int
    tax_minor: int
    note: Note


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What a purchase of ``net_minor`` costs with its taxes; cents."""

    net_minor: int
    lines: tuple[TaxLine, ...]

    @property
    def tax_minor(self) -> int:
        """All its taxes."""
        return sum(line.tax_minor for line in self.lines)

    @property
    def code(self) -> str:
        """What an order says of it (``tax_code``): whose tax it is, ``none`` where nobody's."""
        return self.lines[0].jurisdiction.lower() if self.lines and self.tax_minor else "none"

    @property
    def gross_minor(self) -> int:
        """What is paid."""
        return self.net_minor + self.tax_minor


class Place(msgspec.Struct, frozen=True):
    """Where a customer is, as they say it: country (ISO 3166, "" unknown) and their tax id, if they have one."""

    country: str = ""
    tax_id: str = ""


class TaxEngine(Protocol):
    """What computes taxes. ``name`` is the setting's word."""

    name: str

    def quote(self, net_minor: int, place: Place) -> Quote:
        """The taxes of a purchase. Pure: the same question has the same answer."""
        ...


class Untaxed:
    """The seller charges no tax."""

    name = "none"

    def quote(self, net_minor: int, place: Place) -> Quote:
        """No line at all."""
        return Quote(net_minor=net_minor, lines=())


class ByProcessor:
    """The payment processor computes the tax on its own page; what it took is on its fact."""

    name = "processor"

    def quote(self, net_minor: int, place: Place) -> Quote:
        """Not known before the payment."""
        return Quote(net_minor=net_minor, lines=())


class Table:
    """The operator's table of countries. Unknown where: taxed as at home."""

    name = "table"

    def __init__(self, home: str, countries: Mapping[str, TaxSettings], rounding: Rounding = "half_up") -> None:
        self._home = home
        self._countries = {code.upper(): one for code, one in countries.items()}
        self._rounding: Rounding = rounding

    def quote(self, net_minor: int, place: Place) -> Quote:
        """One line: charged, owed by the customer, or outside of what the seller collects."""
        country = place.country or self._home
        row = self._countries.get(country)
        note: Note = "charged"
        if row is None:
            row, note = TaxSettings(name=""), "outside"
        elif row.reverse_charge and country != self._home and of_country(place.tax_id, country):
            note = "reverse_charge"
        rate = row.rate if note == "charged" else "0"
        line = TaxLine(
            jurisdiction=country,
            name=row.name,
            rate=rate,
            net_minor=net_minor,
            tax_minor=rounded(net_minor * units(rate), _WHOLE, self._rounding),
            note=note,
        )
        return Quote(net_minor=net_minor, lines=(line,))


def engine(billing: BillingSettings, countries: Mapping[str, TaxSettings]) -> TaxEngine:
    """The engine that the settings choose."""
    match billing.tax:
        case "table":
            return Table(billing.country or "", countries, billing.rounding)
        case "processor":
            return ByProcessor()
        case "none":
            return Untaxed()


def rounded(numerator: int, denominator: int, rule: Rounding) -> int:
    """``numerator / denominator`` as a whole number; ``up`` and ``down`` are away from and towards zero."""
    assert denominator > 0
    sign = -1 if numerator < 0 else 1
    whole, rest = divmod(abs(numerator), denominator)
    match rule:
        case "up":
            more = rest > 0
        case "down":
            more = False
        case "half_up":
            more = 2 * rest >= denominator
        case "half_even":
            more = 2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1)
    return sign * (whole + more)


def units(rate: str) -> int:
    """``"8.1"`` percent in ten-thousandths of a percent: 81000."""
    whole, _, rest = rate.partition(".")
    return int(whole) * 10_000 + int(rest.ljust(4, "0") or "0")


def portion(total: int, part: int, whole: int) -> int:
    """``total x part / whole``, rounded down: what of a total belongs to the first ``part`` of a ``whole``.

    Taken from cumulated parts, the differences are never negative and add up to the total when the whole is reached.
    """
    return 0 if whole == 0 else total * part // whole


def tax_id(text: str) -> str:
    """A tax id without spaces and marks, capital. Raises InvalidCall for what can't be one."""
    plain = _MARKS.sub("", text).upper()
    if not plain:
        return ""
    if len(plain) > _LONGEST or not re.fullmatch(r"[A-Z0-9+*]+", plain):
        raise InvalidCall("That is no tax id.", code="bad_tax_id", param="tax_id")
    return plain


def of_country(plain: str, country: str) -> bool:
    """Whether a tax id has the shape of one of that country. Countries whose shapes are not known: never."""
    shape = _SHAPES.get(country)
    return shape is not None and bool(plain) and re.fullmatch(shape, plain) is not None


def checked_tax_id(text: str, country: str) -> str:
    """The id in its plain form. Raises InvalidCall ``bad_tax_id`` where the country's shape is known and differs."""
    plain = tax_id(text)
    if plain and country in _SHAPES and not of_country(plain, country):
        raise InvalidCall(
            f"A tax id of {country} looks otherwise; write it with its country's letters.",
            code="bad_tax_id",
            param="tax_id",
        )
    return plain
