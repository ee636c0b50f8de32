"""Document: an issued invoice, receipt, credit note or monthly statement, as it was issued and for ever."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from ruxa.kernel.errors import NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.ledger.documents import records
from ruxa.ledger.documents.profile import Party, subject_of
from ruxa.ledger.documents.seller import Seller
from ruxa.ledger.documents.tax import Note
from ruxa.store.vault import Vault
from ruxa.store.work import Work

Kind = Literal["invoice", "receipt", "credit_note", "statement"]
Language = Literal["en", "zh"]
COLUMN: Final = "ledger.document.party_sealed"
MICROS_PER_MINOR: Final = 10_000
_LAST: Final = UUID(int=2**128 - 1)


class Line(msgspec.Struct, frozen=True):
    """One line. kind: ``credit`` (bought), ``refund``, or a kind of a statement; label: a model or a reference."""

    kind: str
    label: str
    quantity: int
    amount_micros: int


class TaxRow(msgspec.Struct, frozen=True):
    """One tax; micros. rate: percent, "" where only the processor knows it."""

    jurisdiction: str
    name: str
    rate: str
    net_micros: int
    tax_micros: int
    note: Note


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One document. ``name`` is its number as people know it, unique in the house (``RX-INV-2026-000007``).

    gross = net + tax; amounts of a credit note are what is given back, positive. supplied_on: the tax moment;
    reference, processor, method, ext_id: of the order and its payment; corrects_id: of a credit note; scope
    ``sandbox``: a test document, no invoice. sha256: over all that it says; pdf_sha256: of its first printing.
    """

    id: UUID
    kind: Kind
    name: str
    organisation_ref: UUID
    scope: Literal["sandbox", "live"]
    corrects_id: UUID | None
    order_id: UUID | None
    fact_id: UUID | None
    reference: str | None
    processor: str | None
    method: str | None
    ext_id: str | None
    currency: str
    net_micros: int
    tax_micros: int
    gross_micros: int
    supplied_on: date
    period_from: date | None
    period_until: date | None
    place_country: str | None
    place_evidence: str
    fiscal_year: int
    language: Language
    seller: Seller | None
    party_sealed: bytes | None
    issued_at: datetime
    sha256: bytes
    pdf_sha256: bytes | None


async def find(work: Work, document_id: UUID, organisation_ref: UUID | None = None) -> Document:
    """One document, of that organisation when it is given. NotFound, also for one that this login may not see."""
    row = await work.row(records.DOCUMENT, document_id, organisation_ref, organisation_ref)
    if row is None:
        raise NotFound("No such document.")
    return _document(row)


async def by_name(work: Work, name: str) -> Document:
    """The document of a number. NotFound."""
    row = await work.row(records.BY_NAME, name.strip().upper())
    if row is None:
        raise NotFound("No such document.")
    return _document(row)


async def listed(work: Work, organisation_ref: UUID, *, before: UUID | None = None, limit: int = 50) -> list[Document]:
    """An organisation's documents, newest first; ``before``: the last id of the page before."""
    return [_document(row) for row in await work.rows(records.LISTED, organisation_ref, before or _LAST, limit)]


async def of_all(
    work: Work,
    *,
    kind: Kind | None = None,
    since: date | None = None,
    until: date | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> list[Document]:
    """Everybody's documents, newest first; issued from ``since`` to before ``until``."""
    return [
        _document(row)
        for row in await work.rows(records.OF_ALL, before or _LAST, kind, kind, since, since, until, until, limit)
    ]


async def of_fact(work: Work, fact_id: UUID) -> list[Document]:
    """The documents of a capture or refund."""
    return [_document(row) for row in await work.rows(records.OF_FACT, fact_id)]


async def of_order(work: Work, order_id: UUID) -> list[Document]:
    """The documents of an order, oldest first."""
    return [_document(row) for row in await work.rows(records.OF_ORDER, order_id)]


async def corrections(work: Work, document_id: UUID) -> list[Document]:
    """The credit notes of a document, oldest first."""
    return [_document(row) for row in await work.rows(records.CORRECTIONS, document_id)]


async def lines(work: Work, document_id: UUID) -> list[Line]:
    """What it lists."""
    return [Line(*row) for row in await work.rows(records.LINES, document_id)]


async def taxes(work: Work, document_id: UUID) -> list[TaxRow]:
    """Its taxes."""
    return [TaxRow(*row) for row in await work.rows(records.TAXES, document_id)]


async def party(work: Work, vault: Vault, one: Document, *, purpose: str = "billing") -> Sealed[Party] | None:
    """Whom it is for; None when it names nobody, or its years are over and the key is gone."""
    if one.party_sealed is None:
        return None
    subject = await subject_of(work, one.organisation_ref)
    try:
        opened = await vault.open(COLUMN, subject, one.id, one.party_sealed, purpose=purpose, year=one.fiscal_year)
    except NotFound:
        return None
    return Sealed(msgspec.json.decode(opened.open(purpose), type=Party), COLUMN, ("billing", "legal"))


async def printed(work: Work, document_id: UUID, sha256: bytes) -> bool:
    """Notes the hash of the first printing; False when another one was noted (printed by another release)."""
    same: bool = await work.value(records.PRINTED, document_id, sha256)
    return same


async def over(work: Work) -> int:
    """How many documents have been kept for their years."""
    count: int = await work.value(records.OVER)
    return count


async def end(work: Work, *, limit: int = 500) -> int:
    """Deletes some of those, what corrects first; how many."""
    count: int = await work.value(records.END, limit)
    return count


def _document(row: Sequence[Any]) -> Document:
    fields = dict(zip(records.DOCUMENT_FIELDS, row, strict=True))
    fields["seller"] = msgspec.json.decode(fields["seller"], type=Seller | None)
    for name in ("party_sealed", "sha256", "pdf_sha256"):
        fields[name] = None if fields[name] is None else bytes(fields[name])
    return Document(**fields)
