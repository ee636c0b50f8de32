"""Seller: who issues documents and on which terms, from the settings; each document keeps it as it was then."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final

import msgspec

from ruxa.kernel.settings import Settings
from ruxa.ledger.documents import tax
from ruxa.ledger.documents.tax import TaxEngine

# What a document's number begins with, after the operator's own prefix. Test documents have numbers of their own.
MARKS: Final = {"invoice": "INV", "receipt": "RCP", "credit_note": "CN", "statement": "ST"}


class Seller(msgspec.Struct, frozen=True, kw_only=True):
    """As documents print it."""

    name: str
    address: tuple[str, ...] = ()
    country: str = ""
    tax_id: str = ""
    contact: str = ""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """All that issuing needs to know of the operator. seller: None when no name is configured: receipts only."""

    seller: Seller | None
    engine: TaxEngine
    series: str = ""
    fiscal_year_month: int = 1
    rounding: tax.Rounding = "half_up"

    def fiscal_year(self, at: datetime | date) -> int:
        """The fiscal year of a moment (UTC), by the calendar year it ends in."""
        day = at.astimezone(UTC).date() if isinstance(at, datetime) else at
        return day.year + (self.fiscal_year_month > 1 and day.month >= self.fiscal_year_month)

    def series_of(self, kind: str, scope: str) -> str:
        """The series that numbers documents of a kind: live and test money never share one."""
        return f"{self.series}{'' if scope == 'live' else 'TEST-'}{MARKS[kind]}"


def terms(settings: Settings) -> Terms:
    """The terms of the settings."""
    billing = settings.billing
    seller = None
    if billing.name:
        seller = Seller(
            name=billing.name,
            address=billing.address,
            country=billing.country or "",
            tax_id=billing.tax_id or "",
            contact=billing.contact or settings.contact or "",
        )
    return Terms(
        seller=seller,
        engine=tax.engine(billing, settings.tax),
        series=billing.series,
        fiscal_year_month=billing.fiscal_year_month,
        rounding=billing.rounding,
    )
