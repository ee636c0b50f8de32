"""Orders, grants of credit and documents as pages show them; shared, since pages never import each other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from ruxa.console import tables
from ruxa.console.page import View
from ruxa.console.words import Words
from ruxa.kernel import ids
from ruxa.ledger import accounts
from ruxa.ledger.documents.document import Document
from ruxa.ledger.payments.orders import MICROS_PER_MINOR, OPEN, Order

BADGES = {
    "open": "live",
    "pending": "live",
    "partial": "warn",
    "paid": "pass",
    "failed": "fail",
    "canceled": "none",
    "expired": "none",
    "refunded": "none",
    "disputed": "fail",
    "charged_back": "fail",
}
FINAL = frozenset(BADGES) - frozenset(OPEN)
SOON = timedelta(days=14)


class ShownOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order in words; amounts in micros."""

    id: str
    reference: str
    at: datetime
    expires_at: datetime
    paid_at: datetime | None
    how: str
    method: str
    processor: str
    kind: str
    scope: str
    state: str
    said: str
    badge: str
    amount: int
    tax: int
    total: int
    received: int
    refunded: int
    difference: int
    url: str | None
    waits: bool
    ours: bool


class ShownLot(msgspec.Struct, frozen=True, kw_only=True):
    """One grant of credit that has something left, in the order in which it is used."""

    id: str
    number: int
    what: str
    scope: str
    granted: int
    left: int
    expires_at: datetime | None
    soon: bool


class ShownDocument(msgspec.Struct, frozen=True, kw_only=True):
    """An issued document."""

    id: str
    name: str
    kind: str
    said: str
    at: datetime
    total: int
    scope: str


def order(found: Order, words: Words) -> ShownOrder:
    """``found`` as lists and its own page show it."""
    return ShownOrder(
        id=ids.text("order", found.id),
        reference=found.reference,
        at=found.created_at,
        expires_at=found.expires_at,
        paid_at=found.paid_at,
        how=how(words, found.method, found.kind),
        method=found.method,
        processor=found.processor,
        kind=found.kind,
        scope=found.scope,
        state=found.state,
        said=words.plain(f"order.state_{found.state}"),
        badge=BADGES[found.state],
        amount=found.amount_micros,
        tax=found.tax_micros,
        total=found.total_minor * MICROS_PER_MINOR,
        received=found.received_minor * MICROS_PER_MINOR,
        refunded=found.refunded_minor * MICROS_PER_MINOR,
        difference=found.difference_minor * MICROS_PER_MINOR,
        url=found.url if found.state == "open" else None,
        waits=found.state in OPEN,
        ours=found.method == "bank_transfer",
    )


def how(words: Words, method: str, kind: str = "checkout") -> str:
    """A method in words; ``auto``: charged without the customer."""
    said = words.plain(f"method.{method}") if words.has(f"method.{method}") else method
    return words.plain("method.auto", method=said) if kind == "auto" else said


def lots(found: Sequence[accounts.Lot], words: Words, now: datetime) -> list[ShownLot]:
    """What the balance is made of, in the order of use: what ends goes before what lasts."""
    living = [
        one
        for one in found
        if one.voided_at is None and one.left_micros > 0 and (one.expires_at is None or one.expires_at > now)
    ]
    living.sort(
        key=lambda one: (
            one.scope,
            one.priority,
            one.expires_at is None,
            one.expires_at or one.effective_at,
            one.effective_at,
            one.id,
        )
    )
    counts: dict[str, int] = {}
    shown: list[ShownLot] = []
    for one in living:
        counts[one.scope] = counts.get(one.scope, 0) + 1
        shown.append(
            ShownLot(
                id=ids.text("lot", one.id),
                number=counts[one.scope],
                what=words.plain(f"billing.lot_{one.category}"),
                scope=one.scope,
                granted=one.granted_micros,
                left=one.left_micros,
                expires_at=one.expires_at,
                soon=one.expires_at is not None and one.expires_at - now < SOON,
            )
        )
    return shown


def document(found: Document, words: Words) -> ShownDocument:
    """``found`` as lists show it; a credit note takes back, so its total is below zero."""
    return ShownDocument(
        id=ids.text("doc", found.id),
        name=found.name,
        kind=found.kind,
        said=words.plain(f"documents.kind_{found.kind}"),
        at=found.issued_at,
        total=-found.gross_micros if found.kind == "credit_note" else found.gross_micros,
        scope=found.scope,
    )


def file_of(kind: str, name: str, head: Sequence[str], rows: Sequence[Sequence[str | int | None]]) -> View:
    """A list as a file: ``csv`` or ``json``."""
    if kind == "csv":
        return View(body=tables.as_csv(head, rows), media_type="text/csv", filename=f"{name}.csv")
    body = msgspec.json.encode([dict(zip(head, row, strict=True)) for row in rows])
    return View(body=body, media_type="application/json", filename=f"{name}.json")


def before(shown: str | None) -> UUID | None:
    """The cursor of a list of orders. Raises NotFound when it is no order's id."""
    return ids.read("order", shown) if shown else None
