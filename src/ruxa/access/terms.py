"""The texts people agree to at sign-up: versioned by date, kept by hash, accepted once per version.

The texts lie in ``terms/<version>-<document>.<locale>.md``. A published version never changes its text; a new text is
a new date.
"""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from functools import cache
from importlib import resources
from typing import Final, Literal
from uuid import UUID

import msgspec

from ruxa.access import records
from ruxa.kernel.errors import Conflict, InvalidCall
from ruxa.store.work import Work

Name = Literal["terms", "refunds"]
Locale = Literal["en", "zh"]

CURRENT: Final = date(2026, 11, 24)
ACCEPTED: Final[tuple[Name, ...]] = ("terms", "refunds")
LOCALES: Final[tuple[Locale, ...]] = ("en", "zh")


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One text in one language; ``text`` is Markdown with one title."""

    name: str
    version: date
    locale: str
    text: str

    @property
    def sha256(self) -> bytes:
        """The hash under which it is published and accepted."""
        return hashlib.sha256(self.text.encode()).digest()


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """Who accepted what is known from where this is asked; here: which text, when."""

    name: str
    version: date
    locale: str
    sha256: bytes
    at: datetime


@cache
def document(name: Name, locale: Locale) -> Document:
    """The current text."""
    file = resources.files("ruxa.access").joinpath("terms", f"{CURRENT.isoformat()}-{name}.{locale}.md")
    return Document(name=name, version=CURRENT, locale=locale, text=file.read_text(encoding="utf-8"))


def locale_of(wanted: str) -> Locale:
    """The nearest language there is: ``zh-CN`` -> ``zh``, unknown ones -> ``en``."""
    return "zh" if wanted.casefold().startswith("zh") else "en"


def check(version: date | None) -> None:
    """InvalidCall ``terms_not_accepted`` unless the version that was shown and agreed to is the current one."""
    if version != CURRENT:
        raise InvalidCall("Read and accept the current terms first.", code="terms_not_accepted", param="terms")


async def publish(work: Work, text: Document) -> None:
    """Makes a text known; Conflict ``terms_changed`` when this version is known with another text."""
    known = await records.insert_terms(work, text.name, text.version, text.locale, text.sha256)
    if known != text.sha256:
        raise Conflict("A published version never changes its text.", code="terms_changed", detail=text.name)


async def accept(work: Work, member_id: UUID, version: date | None, locale: Locale) -> None:
    """The member accepts every current text, shown in ``locale``; a second time keeps the first instant."""
    check(version)
    for name in ACCEPTED:
        text = document(name, locale)
        await publish(work, text)
        await records.insert_acceptance(work, member_id, name, text.version, locale, text.sha256)


async def accepted_by(work: Work, member_id: UUID) -> list[Acceptance]:
    """What the member accepted, oldest first."""
    return [
        Acceptance(name=row[0], version=row[1], locale=row[2], sha256=row[3], at=row[4])
        for row in await records.acceptances(work, member_id)
    ]
