"""National ids: which numbers name a person. Each takes what a pattern of ``spans`` found, without its separators."""

from __future__ import annotations

from collections import Counter
from datetime import date

from ruxa.gateway.guard.checks import iso7064_11_10, luhn, verhoeff, weighted

_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_NIE = {"X": "0", "Y": "1", "Z": "2"}
_CN = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CN_CHECK = "10X98765432"
_PESEL = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)
_CENTURIES = {0: 1900, 1: 2000, 2: 2100, 3: 2200, 4: 1800}  # a PESEL's month says the century
_NINO_NEVER = frozenset({"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"})


def ssn(digits: str) -> bool:
    """The United States: no area 000, 666 or 900 and over, no group 00, no serial 0000. There is no check digit."""
    return digits[:3] not in ("000", "666") and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"


def nino(text: str) -> bool:
    """The United Kingdom: prefixes that were never given out are none. There is no check digit."""
    return text[:2].upper() not in _NINO_NEVER


def steuer_id(digits: str) -> bool:
    """Germany: of the first ten digits one comes twice or three times, all others at most once."""
    counts = Counter(digits[:10]).values()
    repeated = [count for count in counts if count > 1]
    return digits[0] != "0" and len(repeated) == 1 and repeated[0] <= 3 and iso7064_11_10(digits)


def nir(text: str) -> bool:
    """France: the key is 97 less the number modulo 97, Corsica's letters counted as 19 and 18."""
    number = text[:13].upper().replace("2A", "19", 1).replace("2B", "18", 1)
    return number.isdigit() and int(text[13:]) == 97 - int(number) % 97


def dni(text: str) -> bool:
    """Spain, residents and foreigners: the letter is the number modulo 23."""
    number = _NIE.get(text[0].upper(), text[0]) + text[1:-1]
    return _DNI[int(number) % 23] == text[-1].upper()


def _real(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def pesel(digits: str) -> bool:
    """Poland: a day of birth and a check digit."""
    month = int(digits[2:4])
    born = _CENTURIES.get(month // 20, 0) + int(digits[:2])
    check = (10 - weighted(digits, _PESEL) % 10) % 10
    return check == int(digits[10]) and _real(born, month % 20, int(digits[4:6]))


def resident_id(text: str) -> bool:
    """China: a day of birth and a check digit (ISO 7064, MOD 11-2)."""
    check = _CN_CHECK[weighted(text, _CN) % 11]
    return check == text[17].upper() and _real(int(text[6:10]), int(text[10:12]), int(text[12:14]))


def aadhaar(digits: str) -> bool:
    """India: twelve digits from 2 on, with a check digit."""
    return digits[0] in "23456789" and verhoeff(digits)


def cpf(digits: str) -> bool:
    """Brazil: two check digits; one digit eleven times is none."""
    if len(set(digits)) == 1:
        return False
    for size in (9, 10):
        rest = weighted(digits[:size], tuple(range(size + 1, 1, -1))) * 10 % 11 % 10
        if rest != int(digits[size]):
            return False
    return True


def card(digits: str) -> bool:
    """A payment card: a known first digit, not one digit only, and a check digit."""
    return digits[0] in "23456" and len(set(digits)) > 1 and luhn(digits)
