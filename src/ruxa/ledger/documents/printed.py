"""What is printed: a document as the rows of a page, in one language, the same for HTML and PDF."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol

import msgspec

from ruxa.kernel.money import usd
from ruxa.kernel.sealed import Sealed
from ruxa.ledger.documents.document import Document, Line, TaxRow
from ruxa.ledger.documents.profile import PURPOSE, Party


class Texts(Protocol):
    """One language of the catalogues (``console/words.py``); the keys are those of ``document``."""

    @property
    def language(self) -> str:
        """Its word: ``en`` or ``zh``."""
        ...

    def plain(self, key: str, /, **places: object) -> str:
        """A message with its places filled."""
        ...

    def day(self, day: date) -> str:
        """A day as the language writes it."""
        ...


class Row(msgspec.Struct, frozen=True):
    """One row of the table of lines."""

    text: str
    quantity: str
    amount: str
    strong: bool = False


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A document ready to be set. ``warning``: what a test document must say of itself."""

    language: str
    title: str
    number: str
    warning: str
    facts: tuple[tuple[str, str], ...]
    seller_title: str
    seller: tuple[str, ...]
    party_title: str
    party: tuple[str, ...]
    columns: tuple[str, str, str]
    rows: tuple[Row, ...]
    totals: tuple[Row, ...]
    notes: tuple[str, ...]


def page(
    one: Document,
    lines: Sequence[Line],
    taxes: Sequence[TaxRow],
    party: Sealed[Party] | None,
    texts: Texts,
    *,
    corrects: str = "",
) -> Page:
    """The page of a document. corrects: the number of what a credit note corrects."""
    say = texts.plain
    back = one.kind == "credit_note"
    whom = None if party is None else party.open(PURPOSE)
    seller = one.seller
    sold = () if seller is None else (seller.name, *seller.address, *_known(seller.country, seller.contact))
    bought = () if whom is None else (whom.name, *whom.address, *_known(whom.country, whom.contact))
    if seller is not None and seller.tax_id:
        sold = (*sold, say("document.tax_id", id=seller.tax_id))
    if whom is not None and whom.tax_id:
        bought = (*bought, say("document.tax_id", id=whom.tax_id))
    return Page(
        language=texts.language,
        title=say(f"document.{one.kind}"),
        number=one.name,
        warning=say("document.test") if one.scope == "sandbox" else "",
        facts=tuple(_facts(one, texts, corrects)),
        seller_title=say("document.seller"),
        seller=sold,
        party_title=say("document.customer"),
        party=bought,
        columns=(say("document.what"), say("document.quantity"), say("document.amount", currency=one.currency)),
        rows=tuple(
            Row(
                _text(one, line, texts),
                f"{line.quantity:,}" if line.quantity else "",
                _amount(one, -line.amount_micros if back else line.amount_micros),
                strong=line.kind in ("opening", "closing"),
            )
            for line in lines
        ),
        totals=() if one.kind == "statement" else tuple(_totals(one, taxes, texts, -1 if back else 1)),
        notes=tuple(_notes(one, taxes, whom, texts)),
    )


def amount(micros: int, *, exact: bool = False) -> str:
    """``1234567890`` -> ``1,234.56``; to the micro when ``exact``, or when it has a part of a cent."""
    places = 6 if exact or micros % 10_000 else 2
    sign = "\u2212" if micros < 0 else ""
    whole, dot, rest = usd(abs(micros), places).partition(".")
    return f"{sign}{int(whole):,}{dot}{rest}"


def _amount(one: Document, micros: int) -> str:
    return amount(micros, exact=one.kind == "statement")


def _facts(one: Document, texts: Texts, corrects: str) -> list[tuple[str, str]]:
    say = texts.plain
    found = [(say("document.number"), one.name), (say("document.issued"), texts.day(one.issued_at.date()))]
    if one.kind == "statement":
        assert one.period_from is not None
        assert one.period_until is not None
        last = date.fromordinal(one.period_until.toordinal() - 1)
        found.append((say("document.period"), f"{texts.day(one.period_from)} \u2013 {texts.day(last)}"))
        return found
    when = "document.refunded_on" if one.kind == "credit_note" else "document.paid_on"
    found.append((say(when), texts.day(one.supplied_on)))
    if corrects:
        found.append((say("document.corrects"), corrects))
    if one.reference:
        found.append((say("document.order"), one.reference))
    if one.method:
        found.append(
            (say("document.method"), say(f"document.method_{one.method}") if one.method in METHODS else one.method)
        )
    if one.processor and one.ext_id:
        found.append((say("document.payment"), f"{one.processor} {one.ext_id}"))
    return found


METHODS = frozenset({"card", "paypal", "bank_transfer"})


def _text(one: Document, line: Line, texts: Texts) -> str:
    kind = line.kind
    if one.kind == "statement":
        kind = {"credit": "credited", "refund": "refunded"}.get(kind, kind)
    return texts.plain(f"document.line_{kind}", label=line.label)


def _totals(one: Document, taxes: Sequence[TaxRow], texts: Texts, sign: int) -> list[Row]:
    say = texts.plain
    found = [Row(say("document.net"), "", amount(sign * one.net_micros))]
    for row in taxes:
        if row.note in ("charged", "processor"):
            name = " ".join(
                filter(None, (row.name or say("document.tax"), row.jurisdiction, row.rate and f"{row.rate}%"))
            )
            found.append(Row(name, "", amount(sign * row.tax_micros)))
        elif row.note == "reverse_charge":
            found.append(Row(say("document.reverse_charge_row", country=row.jurisdiction), "", amount(0)))
    return [*found, Row(say("document.gross"), "", f"{amount(sign * one.gross_micros)} {one.currency}", strong=True)]


def _notes(one: Document, taxes: Sequence[TaxRow], whom: Party | None, texts: Texts) -> list[str]:
    say = texts.plain
    found = [say(f"document.note_{one.kind}")]
    if any(row.note == "reverse_charge" for row in taxes):
        found.append(say("document.note_reverse_charge"))
    if one.party_sealed is not None and whom is None:
        found.append(say("document.note_gone"))
    if whom is not None and whom.mark:
        found.append(say("document.mark", mark=whom.mark))
    return found


def _known(*texts: str) -> list[str]:
    return [text for text in texts if text]
