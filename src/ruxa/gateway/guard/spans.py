"""Spans: where in a text something stands that a guard looks for, by kind, in time that grows with the text alone.

A text is looked at through a mask of one byte a character (digit, capital, small letter, all else as it is), in which
plain searches find the few places where something may begin. Only there do patterns run, each with a bounded reach,
and only what has true check digits, where there are any, counts. No pattern can go back over a long stretch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address

import msgspec

from ruxa.access.guards import Kind
from ruxa.gateway.guard import checks, national, secrets

REACH = 1024
"""Characters within which everything is known that can be known: a longer find is known by its beginning."""

Check = Callable[[str], bool]


class Span(msgspec.Struct, frozen=True, order=True):
    """A find: the characters from ``start`` to ``end``."""

    start: int
    end: int
    kind: Kind


_SHOWN = bytes(
    0x39 if 0x30 <= c <= 0x39 else 0x41 if 0x41 <= c <= 0x5A else 0x61 if 0x61 <= c <= 0x7A else c for c in range(256)
)
_UNBROKEN = bytes(0x78 if chr(c).isascii() and (chr(c).isalnum() or chr(c) in "_-+/=.") else 0x20 for c in range(256))
_RUN = b"x" * 15  # no key is shorter
_NUMBERED = re.compile(rb"9[-9 .()/]{5,}+")
_LOCAL = frozenset(".!#$%&'*+?^_`~-")
_LOCAL_MAX = 64
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,62})\.){1,8}[^\W\d_]{2,63}")
_SPACED = re.compile(r"[- .()/]")

_CARD = re.compile(r"(?<![0-9])(?:[2-6][0-9]{12,18}|[2-6][0-9]{3}([ -])[0-9]{2,7}(?:\1[0-9]{2,7}){1,3})(?![0-9])")
_PHONES = (
    # with a country's code: + or 00, then 8 to 14 digits
    re.compile(r"(?<![0-9A-Za-z+])(?:\+|00)[1-9](?:[ .()/-]{0,2}[0-9]){7,13}(?![0-9])"),
    re.compile(r"(?<![0-9])(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[-. ])[2-9][0-9]{2}[-. ][0-9]{4}(?![0-9])"),  # America
    re.compile(  # within a country: 0, and no date
        r"(?<![0-9.:/-])(?![0-3]?[0-9][/.-][0-3]?[0-9][/.-](?:19|20)[0-9]{2})"
        r"\(?0[1-9](?:[ ./()-]{0,2}[0-9]){7,10}(?![0-9])"
    ),
    re.compile(r"(?<![0-9.])1[3-9][0-9]{9}(?![0-9])"),  # China, mobile
    re.compile(r"(?<![0-9])[6-9][0-9]{4}[ -][0-9]{5}(?![0-9])"),  # India, mobile
)
_IPV4 = re.compile(
    r"(?<![0-9.])(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})(?!\.?[0-9])"
)
_IPV6_LONG = re.compile(r"(?<![0-9A-Za-z:.])(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?![0-9A-Za-z:])")
_NOBODY = frozenset({"0.0.0.0", "255.255.255.255"})  # noqa: S104 - addresses of nobody, not ones to listen on

_NIR = re.compile(
    r"(?<![0-9])[123478] ?[0-9]{2} ?[0-9]{2} ?(?:[0-9]{2}|2[ABab]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}(?![0-9])"
)

# Ids in digits alone: how many at least, the pattern, and what tells a true one.
_DIGIT_IDS: tuple[tuple[int, re.Pattern[str], Check], ...] = (
    (9, re.compile(r"(?<![0-9-])[0-9]{3}([- ])[0-9]{2}\1[0-9]{4}(?![0-9-])"), national.ssn),
    (11, re.compile(r"(?<![0-9])[1-9][0-9]{10}(?![0-9])"), national.steuer_id),
    (11, re.compile(r"(?<![0-9])[1-9][0-9] [0-9]{3} [0-9]{3} [0-9]{3}(?![0-9])"), national.steuer_id),
    (11, re.compile(r"(?<![0-9])[0-9]{11}(?![0-9])"), national.pesel),
    (11, re.compile(r"(?<![0-9])[0-9]{11}(?![0-9])"), national.cpf),
    (11, re.compile(r"(?<![0-9])[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}(?![0-9])"), national.cpf),
    (12, re.compile(r"(?<![0-9])[2-9][0-9]{3}([ -]?)[0-9]{4}\1[0-9]{4}(?![0-9])"), national.aadhaar),
    (14, _NIR, national.nir),
    (17, re.compile(r"(?<![0-9])[1-9][0-9]{16}[0-9Xx](?![0-9A-Za-z])"), national.resident_id),
)
_NINO = re.compile(
    r"(?<![A-Za-z0-9])[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D](?![A-Za-z0-9])"
)
_DNI = re.compile(r"(?<![A-Za-z0-9])(?:[0-9]{8}|[XYZxyz][- ]?[0-9]{7})[- ]?[A-Za-z](?![A-Za-z0-9])")


def find(text: str, kinds: frozenset[Kind]) -> list[Span]:
    """Everything of these kinds, in order; finds that overlap are one, of the kind of the longest."""
    found: list[Span] = []
    shown = text.encode("latin-1", "replace")
    mask = shown.translate(_SHOWN)
    if "email" in kinds and "@" in text:
        found += [Span(start, end, "email") for start, end in _emails(text)]
    if "secret" in kinds and (secrets.BLOCK in text or _RUN in shown.translate(_UNBROKEN)):
        found += [Span(start, end, "secret") for start, end in secrets.found(text)]
    if mask.count(b"9") >= 4:
        found += _numbers(text, mask, kinds)
    if "ip" in kinds and ("::" in text or mask.count(b":") >= 7):
        found += [Span(start, end, "ip") for start, end in _ipv6(text)]
    return _merged(found) if found else found


def _merged(found: list[Span]) -> list[Span]:
    found.sort()
    merged: list[Span] = []
    for span in found:
        last = merged[-1] if merged else None
        if last is None or span.start >= last.end:
            merged.append(span)
        else:
            kind = span.kind if span.end - span.start > last.end - last.start else last.kind
            merged[-1] = Span(last.start, max(last.end, span.end), kind)
    return merged


def _emails(text: str) -> Iterator[tuple[int, int]]:
    """Around each ``@``: what can stand before it, at most 64 characters, and a domain behind it."""
    at = text.find("@")
    while at >= 0:
        start = at
        while start > 0 and at - start < _LOCAL_MAX and (text[start - 1].isalnum() or text[start - 1] in _LOCAL):
            start -= 1
        domain = _DOMAIN.match(text, at + 1) if start < at else None
        if domain is not None:
            yield start, domain.end()
        at = text.find("@", at + 1)


def _numbers(text: str, mask: bytes, kinds: frozenset[Kind]) -> Iterator[Span]:
    for region in _NUMBERED.finditer(mask):
        start, end = max(region.start() - 2, 0), min(region.end() + 3, len(text))
        digits = mask.count(b"9", region.start(), region.end())
        if digits >= 8 or mask.count(b".", region.start(), region.end()) >= 3:
            yield from _in_region(text, start, end, digits, kinds)
    if "iban" in kinds:
        for shape in (b"AA99", b"aa99"):
            for at in _places(mask, shape):
                span = _iban(text, at)
                if span is not None:
                    yield span
    if "national_id" in kinds:
        yield from _lettered(text, mask)


def _places(mask: bytes, shape: bytes) -> Iterator[int]:
    at = mask.find(shape)
    while at >= 0:
        yield at
        at = mask.find(shape, at + 1)


def _in_region(text: str, start: int, end: int, digits: int, kinds: frozenset[Kind]) -> Iterator[Span]:
    """The finds in a stretch of digits and what separates them, which may begin and end a little outside."""
    if "card" in kinds and digits >= 13:
        yield from _cards(text, start, end)
    if "national_id" in kinds:
        for least, pattern, check in _DIGIT_IDS:
            if digits >= least:
                yield from _checked(pattern, text, start, end, "national_id", check)
    if "ip" in kinds:
        yield from _checked(_IPV4, text, start, end, "ip", None)
    if "phone" in kinds and digits >= 8:
        for pattern in _PHONES:
            yield from _checked(pattern, text, start, end, "phone", None)


def _cards(text: str, start: int, end: int) -> Iterator[Span]:
    """Cards; what follows one, a date or a code, may look like another group of it."""
    at = start
    while (match := _CARD.search(text, at, min(end + 1, len(text)))) is not None:
        told = match[0]
        at = match.start() + 1
        while told:
            digits = _SPACED.sub("", told)
            if 13 <= len(digits) <= 19 and national.card(digits):
                at = match.start() + len(told)
                yield Span(match.start(), at, "card")
                break
            told = told[: max(told.rfind(" "), told.rfind("-"), 0)]


def _checked(
    pattern: re.Pattern[str], text: str, start: int, end: int, kind: Kind, check: Check | None
) -> Iterator[Span]:
    at = start
    while (match := pattern.search(text, at, min(end + 1, len(text)))) is not None:
        told = match[0]
        true = told not in _NOBODY and not told.startswith("127.") if kind == "ip" else True
        if check is not None:
            true = check(_SPACED.sub("", told))
        elif kind == "phone":
            true = _dialled(told)
        if true:
            yield Span(match.start(), match.end(), kind)
            at = match.end()
        else:
            at = match.start() + 1


def _dialled(told: str) -> bool:
    """A number without a country's code is a phone's only if somebody wrote it like one, not as a bare count."""
    if told.startswith(("+", "00", "1", "(")):
        return True
    return any(char in " -/()." for char in told) or len(told) >= 10


def _iban(text: str, at: int) -> Span | None:
    """As many characters as the country's account numbers have, spaces not counted."""
    wanted = checks.IBAN_LENGTHS.get(text[at : at + 2].upper(), 0)
    if not wanted or (at > 0 and text[at - 1].isalnum()):
        return None
    end, taken = at, ""
    while end < len(text) and len(taken) < wanted:
        char = text[end]
        if char.isascii() and char.isalnum():
            taken += char.upper()
        elif char != " " or text[end - 1] == " ":
            return None
        end += 1
    if (end < len(text) and text[end].isalnum()) or not checks.iban(taken):
        return None
    return Span(at, end, "iban")


def _lettered(text: str, mask: bytes) -> Iterator[Span]:
    """Ids with letters in them."""
    for shape in (b"AA99", b"AA 99"):
        for at in _places(mask, shape):
            match = _NINO.match(text, at)
            if match is not None and national.nino(match[0]):
                yield Span(match.start(), match.end(), "national_id")
    for shape, back in ((b"9999999A", 3), (b"9999999a", 3), (b"9999999-", 3), (b"9999999 ", 3)):
        for place in _places(mask, shape):
            for at in range(max(place - back, 0), place + 1):
                match = _DNI.match(text, at)
                if match is not None and national.dni(_SPACED.sub("", match[0])):
                    yield Span(match.start(), match.end(), "national_id")
                    break
    for word in ("2A", "2B"):
        at = text.find(word)
        while at >= 0:
            for begin in (at - 5, at - 8):
                if begin >= 0:
                    yield from _checked(_NIR, text, begin, at + 16, "national_id", national.nir)
            at = text.find(word, at + 2)


def _ipv6(text: str) -> Iterator[tuple[int, int]]:
    at = text.find("::")
    while at >= 0:
        start = at
        while start > 0 and at - start < 35 and (text[start - 1] in _HEX):
            start -= 1
        end = at + 2
        while end < len(text) and end - at < 42 and text[end] in _HEX:
            end += 1
        told = text[start:end]
        if told.endswith(":") and not told.endswith("::"):
            told = told[:-1]
        outside = (start > 0 and text[start - 1].isalnum()) or (end < len(text) and text[end].isalnum())
        if not outside and len(told) >= 6 and any(char.isdigit() for char in told) and _real(told):
            yield start, start + len(told)
        at = text.find("::", max(end, at + 2))
    for match in _IPV6_LONG.finditer(text):
        yield match.span()


_HEX = frozenset("0123456789abcdefABCDEF:")


def _real(told: str) -> bool:
    try:
        IPv6Address(told)
    except ValueError:
        return False
    return True
