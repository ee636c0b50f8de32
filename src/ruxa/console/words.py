"""Every text a page shows, from ``catalogues/<language>.toml``: messages, plural forms, money, numbers and times.

A message is plain text with ``{name}`` places; markup enters only as an already safe value of a place. A key that has
the forms ``one`` and ``other`` is chosen by its place ``n``. English is the reference: a test holds every other
language to its keys and places.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

from markupsafe import Markup, escape

from ruxa.kernel import money

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
NAMES: dict[Language, str] = {"en": "English", "zh": "中文"}
CATALOGUES = Path(__file__).parent / "catalogues"

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, str):
            flat[prefix + key] = value
        else:
            flat.update(_flatten(cast("Mapping[str, Any]", value), f"{prefix}{key}."))
    return flat


@cache
def load(language: Language, folder: Path = CATALOGUES) -> Mapping[str, str]:
    """The catalogue as flat ``area.key`` -> message, read once a process."""
    with (folder / f"{language}.toml").open("rb") as file:
        return _flatten(tomllib.load(file))


def prefer(accept: str) -> Language:
    """The best of our languages for an ``Accept-Language`` header; English when none fits."""
    best: tuple[float, Language] = (0.0, "en")
    for part in accept.split(",")[:20]:
        tag, _, weight = part.strip().partition(";q=")
        try:
            rank = float(weight) if weight else 1.0
        except ValueError:
            continue
        for language in LANGUAGES:
            if tag.lower().split("-")[0] == language and rank > best[0]:
                best = (rank, language)
    return best[1]


class Words:
    """One language's texts and formats."""

    def __init__(self, language: Language, messages: Mapping[str, str], reference: Mapping[str, str]) -> None:
        self.language: Language = language
        self._messages = messages
        self._reference = reference

    def has(self, key: str) -> bool:
        """Whether the reference language knows ``key`` (with or without plural forms)."""
        return key in self._reference or f"{key}.other" in self._reference

    def raw(self, key: str, n: int | None = None) -> str:
        """The message before places are filled. A key the reference lacks is a programmer's error."""
        if n is not None and f"{key}.other" in self._reference:
            one = f"{key}.one"
            key = one if n == 1 and one in self._messages else f"{key}.other"
        text = self._messages.get(key) or self._reference.get(key)
        assert text is not None, f"no message {key}"
        return text

    def t(self, key: str, /, **places: object) -> Markup:
        """The message with its places filled, safe for a page: values are escaped unless they are Markup."""
        n = places.get("n")
        text = escape(self.raw(key, n if isinstance(n, int) else None))
        return text.format(**places) if places else text.format()

    def plain(self, key: str, /, **places: object) -> str:
        """The message as plain text, for JSON, mail subjects and scripts."""
        n = places.get("n")
        return self.raw(key, n if isinstance(n, int) else None).format(**places)

    def number(self, value: int) -> str:
        """``12345`` -> ``12,345``."""
        return f"{value:,}"

    def amount(self, micros: int, places: int = 2) -> str:
        """USD without the unit: ``1234567890`` -> ``1,234.56``; a page always writes the unit beside it.

        Two decimals are what people read, except under a cent, where they would say that there is nothing.
        """
        if places == 2 and 0 < abs(micros) < 10_000:
            return self.exact(micros)
        sign = "−" if micros < 0 else ""
        whole, dot, rest = money.usd(abs(micros), places).partition(".")
        return f"{sign}{int(whole):,}{dot}{rest}"

    def spend(self, micros: int) -> str:
        """An amount with as many decimals as it takes to see it: two from 100 USD on, four from a cent on, else six."""
        return self.amount(micros, 2 if micros >= 100_000_000 else 4 if micros >= 10_000 else 6)

    def exact(self, micros: int) -> str:
        """An amount in full, as a price or a budget: two decimals, more where it has them (``1000`` -> ``0.001``)."""
        whole, _, rest = self.amount(micros, 6).partition(".")
        return f"{whole}.{rest.rstrip('0').ljust(2, '0')}"

    def day(self, day: date) -> str:
        """``24 Nov 2026`` or ``2026年11月24日``."""
        if self.language == "zh":
            return f"{day.year}年{day.month}月{day.day}日"
        return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"

    def date(self, at: datetime) -> str:
        """The UTC day of ``at``."""
        return self.day(at.astimezone(UTC).date())

    def time(self, at: datetime) -> str:
        """``15:41:58``, UTC."""
        return at.astimezone(UTC).strftime("%H:%M:%S")

    def moment(self, at: datetime) -> str:
        """Date, time and zone."""
        return (
            f"{self.date(at)} {self.time(at)} UTC" if self.language == "zh" else f"{self.date(at)}, {self.time(at)} UTC"
        )

    def span(self, milliseconds: int) -> str:
        """A duration: ``612 ms``, ``2.41 s``, ``3 min``."""
        if milliseconds < 1000:
            return f"{milliseconds} ms"
        if milliseconds < 120_000:
            return f"{milliseconds / 1000:.2f} s"
        return f"{milliseconds // 60_000} min"


class Library:
    """All languages, loaded once."""

    def __init__(self, folder: Path = CATALOGUES) -> None:
        loaded = {language: load(language, folder) for language in LANGUAGES}
        self._words = {language: Words(language, loaded[language], loaded["en"]) for language in LANGUAGES}

    def words(self, language: Language) -> Words:
        """The texts of ``language``."""
        return self._words[language]


def language(value: str | None) -> Language | None:
    """``value`` when it is one of ours."""
    return value if value in LANGUAGES else None
