"""Issuing: what a payment that was credited, and a refund that was made, are written down as; each once, however often.

A capture gets a *receipt* (what was paid, how, when) and, where the seller has a name and the organisation a billing
profile, an *invoice* with its taxes; one that writes its profile later asks for the invoice then. Money that goes back
gets a *credit note* against the invoice, else against the receipt. All of it follows from the facts: this may be called
at any time, twice at once, and again.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import msgspec

from ruxa.kernel import codec, ids
from ruxa.kernel.errors import Conflict, NotFound
from ruxa.kernel.sealed import Sealed
from ruxa.ledger.documents import document, profile, records, tax
from ruxa.ledger.documents.document import COLUMN, MICROS_PER_MINOR, Kind, Line, TaxRow
from ruxa.ledger.documents.profile import PURPOSE, Party
from ruxa.ledger.documents.seller import Terms
from ruxa.ledger.documents.tax import Place, Quote
from ruxa.ledger.payments import facts, orders
from ruxa.ledger.payments.facts import Noted
from ruxa.ledger.payments.orders import Order
from ruxa.store.vault import Vault
from ruxa.store.work import Work


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A document before it has its number."""

    kind: Kind
    organisation_ref: UUID
    scope: str
    origin: str
    party: Sealed[Party] | None
    lines: tuple[Line, ...]
    taxes: tuple[TaxRow, ...] = ()
    net_micros: int
    tax_micros: int = 0
    supplied_on: date
    currency: str = "USD"
    fields: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


async def issue_for(work: Work, vault: Vault, terms: Terms, order_id: UUID) -> list[UUID]:
    """The documents of an order's captures and of what went back of them, issued where they are missing; their ids.

    NotFound when there is no such order. An order of which nothing was received has none.
    """
    order = await orders.find(work, order_id)
    if order is None:
        raise NotFound("No such order.")
    found: list[UUID] = []
    known = await facts.of_order(work, order_id)
    for capture in known:
        if capture.kind == "capture" and capture.status == "succeeded" and capture.amount_minor > 0:
            found += await _for_capture(work, vault, terms, order, capture)
    for back in known:
        if _went_back(back):
            found += await _for_refund(work, vault, terms, order, back)
    return found


async def credit_note_for(work: Work, vault: Vault, terms: Terms, fact_id: UUID) -> list[UUID]:
    """The credit note of a refund or lost dispute, by its fact; issued once. NotFound, Conflict ``not_given_back``."""
    back = await facts.find(work, fact_id)
    if back is None or back.order_id is None:
        raise NotFound("No such refund.")
    if not _went_back(back):
        raise Conflict("Nothing has gone back yet.", code="not_given_back")
    await issue_for(work, vault, terms, back.order_id)
    return [one.id for one in await document.of_fact(work, fact_id)]


async def invoice_for(work: Work, vault: Vault, terms: Terms, order_id: UUID) -> list[UUID]:
    """The invoices of an order that was paid before the organisation wrote its profile; what went back of it since is
    credited at once.

    Raises Conflict ``no_seller``, ``no_profile``, ``nothing_paid``; NotFound.
    """
    if terms.seller is None:
        raise Conflict("Invoices need [billing] name in the settings.", code="no_seller")
    order = await orders.find(work, order_id)
    if order is None:
        raise NotFound("No such order.")
    if await profile.find(work, vault, order.organisation_ref) is None:
        raise Conflict("An invoice needs a name and an address: fill in the billing profile first.", code="no_profile")
    if not order.received_minor:
        raise Conflict("Nothing was paid for this order yet.", code="nothing_paid")
    made = await issue_for(work, vault, terms, order_id)
    return [one for one in made if (await document.find(work, one)).kind == "invoice"]


def place_of(party: Sealed[Party] | None) -> Place:
    """Where a party is taxed; unknown for none."""
    return Place() if party is None else party.open(PURPOSE).place


def rows_of(quote: Quote) -> tuple[TaxRow, ...]:
    """The lines of a quote, in micros."""
    return tuple(
        TaxRow(
            line.jurisdiction,
            line.name,
            line.rate,
            line.net_minor * MICROS_PER_MINOR,
            line.tax_minor * MICROS_PER_MINOR,
            line.note,
        )
        for line in quote.lines
    )


async def enter(work: Work, vault: Vault, terms: Terms, draft: Draft) -> UUID:
    """Gives a draft its number; the id, the first one's when the origin was issued before."""
    known: UUID | None = await work.value(records.BY_ORIGIN, draft.origin)
    if known is not None:
        return known
    now: datetime = await work.value(records.NOW)
    year = terms.fiscal_year(now)
    document_id = ids.fresh()
    sealed, language, place = None, "en", Place()
    if draft.party is not None:
        party = draft.party.open(PURPOSE)
        language, place = party.language, party.place
        marked = msgspec.structs.replace(party, mark=secrets.token_hex(16))
        subject = await profile.subject_of(work, draft.organisation_ref)
        sealed = await vault.seal(COLUMN, subject, document_id, codec.canonical(marked).decode(), year=year)
    fields = draft.fields | {
        "id": document_id,
        "kind": draft.kind,
        "series": terms.series_of(draft.kind, draft.scope),
        "year": year,
        "organisation_ref": draft.organisation_ref,
        "scope": draft.scope,
        "origin": draft.origin,
        "currency": draft.currency,
        "net_micros": draft.net_micros,
        "tax_micros": draft.tax_micros,
        "gross_micros": draft.net_micros + draft.tax_micros,
        "supplied_on": draft.supplied_on,
        "place_country": place.country or None,
        "place_evidence": _evidence(place),
        "fiscal_year": year,
        "language": language,
        "seller": codec.canonical(terms.seller).decode(),
    }
    issued: UUID = await work.value(
        records.ISSUE,
        codec.encode(fields).decode(),
        sealed,
        _arrays(draft.lines),
        _arrays(draft.taxes),
    )
    return issued


async def _for_capture(work: Work, vault: Vault, terms: Terms, order: Order, capture: Noted) -> list[UUID]:
    written = await profile.find(work, vault, order.organisation_ref)
    party = None if written is None else written.party
    tax_minor = capture.tax_micros // MICROS_PER_MINOR
    quote = _charged(terms, order, capture.amount_minor - tax_minor, tax_minor, place_of(party))
    net = quote.net_minor * MICROS_PER_MINOR
    found: list[UUID] = []
    for kind in ("receipt", "invoice"):
        if kind == "invoice" and (terms.seller is None or party is None):
            continue
        draft = Draft(
            kind=kind,
            organisation_ref=order.organisation_ref,
            scope=order.scope,
            origin=f"{kind}:{capture.id.hex}",
            party=party,
            lines=(Line("credit", order.reference, 1, net),),
            taxes=rows_of(quote),
            net_micros=net,
            tax_micros=capture.tax_micros,
            supplied_on=capture.at.astimezone(UTC).date(),
            currency=capture.currency,
            fields=_payment(order, capture),
        )
        found.append(await enter(work, vault, terms, draft))
    return found


async def _for_refund(work: Work, vault: Vault, terms: Terms, order: Order, back: Noted) -> list[UUID]:
    assert back.capture_id is not None
    issued = {one.kind: one for one in await document.of_fact(work, back.capture_id)}
    corrected = issued.get("invoice") or issued.get("receipt")
    if corrected is None:
        return []
    before = await document.corrections(work, corrected.id)
    for one in before:
        if one.fact_id == back.id:
            return [one.id]
    gross = min(back.amount_minor * MICROS_PER_MINOR, corrected.gross_micros - sum(one.gross_micros for one in before))
    if gross <= 0:
        return []
    given = sum(one.tax_micros for one in before)
    taxed = min(back.tax_micros, corrected.tax_micros - given, gross)
    taxes = given_back(await document.taxes(work, corrected.id), given, gross, taxed)
    draft = Draft(
        kind="credit_note",
        organisation_ref=order.organisation_ref,
        scope=order.scope,
        origin=f"credit_note:{back.id.hex}:{corrected.id.hex}",
        party=await document.party(work, vault, corrected),
        lines=(Line("refund", corrected.name, 1, gross - taxed),),
        taxes=tuple(taxes),
        net_micros=gross - taxed,
        tax_micros=taxed,
        supplied_on=back.at.astimezone(UTC).date(),
        currency=back.currency,
        fields=_payment(order, back) | {"corrects_id": corrected.id},
    )
    return [await enter(work, vault, terms, draft)]


def given_back(taxes: Sequence[TaxRow], before_micros: int, gross_micros: int, tax_micros: int) -> list[TaxRow]:
    """The taxes of a credit note of ``tax_micros``, split as the corrected document has them, in whole cents.

    before_micros: the tax that earlier credit notes gave back. Taken from what is given back so far, so that all credit
    notes together say of each tax exactly as much as the document when all of it is given back.
    """
    whole = sum(row.tax_micros for row in taxes)
    found: list[TaxRow] = []
    rest = tax_micros
    for row in taxes[:-1]:
        cents = row.tax_micros // MICROS_PER_MINOR
        so_far = tax.portion(cents, before_micros, whole)
        part = (tax.portion(cents, before_micros + tax_micros, whole) - so_far) * MICROS_PER_MINOR
        found.append(msgspec.structs.replace(row, tax_micros=part))
        rest -= part
    found += [msgspec.structs.replace(row, tax_micros=rest) for row in taxes[-1:]]
    return [msgspec.structs.replace(row, net_micros=gross_micros - tax_micros) for row in found]


def _charged(terms: Terms, order: Order, net_minor: int, tax_minor: int, place: Place) -> Quote:
    """The taxes that were charged with a capture: as quoted now when that is as much, else as they were taken."""
    quote = terms.engine.quote(net_minor, place)
    if quote.tax_minor == tax_minor and terms.engine.name != "processor":
        return quote
    if tax_minor == 0:
        return Quote(net_minor=net_minor, lines=())
    taken = tax.TaxLine(
        jurisdiction=order.tax_code.upper() if order.tax_code != "none" else place.country or order.processor,
        name="",
        rate="",
        net_minor=net_minor,
        tax_minor=tax_minor,
        note="processor" if terms.engine.name == "processor" else "charged",
    )
    return Quote(net_minor=net_minor, lines=(taken,))


def _went_back(one: Noted) -> bool:
    done = one.status == "succeeded" if one.kind == "refund" else one.kind == "dispute" and one.status == "lost"
    return done and one.capture_id is not None and one.amount_minor > 0


def _payment(order: Order, fact: Noted) -> dict[str, Any]:
    return {
        "order_id": order.id,
        "fact_id": fact.id,
        "reference": order.reference,
        "processor": order.processor,
        "method": order.method,
        "ext_id": fact.ext_id,
    }


def _evidence(place: Place) -> str:
    if not place.country:
        return "none"
    return "address_and_tax_id" if place.tax_id else "address"


def _arrays(rows: Sequence[Line] | Sequence[TaxRow]) -> str:
    """Rows as arrays, in the order of the columns."""
    return codec.encode([msgspec.structs.astuple(row) for row in rows]).decode()
