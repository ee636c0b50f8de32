"""Every statement of the ledger's documents. The functions behind them live in ``store/schema/42_document.sql``."""

from __future__ import annotations

from typing import Final, LiteralString

SUBJECT: Final = "SELECT ledger.billing_subject(%s)"
NOW: Final = "SELECT ruxa.now()"

# -- profiles

PROFILE: Final = """
    SELECT id, profile_sealed, changed_at FROM ledger.billing_profile WHERE organisation_ref = %s
"""
PROFILE_PUT: Final = "SELECT ledger.profile_put(%s, %s, %s)"
PROFILE_DROP: Final = "SELECT ledger.profile_drop(%s)"

# -- documents: DOCUMENT_FIELDS names what DOCUMENT gives, in order

DOCUMENT_FIELDS: Final = (
    "id",
    "kind",
    "name",
    "organisation_ref",
    "scope",
    "corrects_id",
    "order_id",
    "fact_id",
    "reference",
    "processor",
    "method",
    "ext_id",
    "currency",
    "net_micros",
    "tax_micros",
    "gross_micros",
    "supplied_on",
    "period_from",
    "period_until",
    "place_country",
    "place_evidence",
    "fiscal_year",
    "language",
    "seller",
    "party_sealed",
    "issued_at",
    "sha256",
    "pdf_sha256",
)
_DOCUMENT: Final[LiteralString] = """
    SELECT id, kind, name, organisation_ref, scope, corrects_id, order_id, fact_id, reference, processor, method,
           ext_id, currency, net_micros, tax_micros, gross_micros, supplied_on, period_from, period_until,
           place_country, place_evidence, fiscal_year, language, seller, party_sealed, issued_at, sha256, pdf_sha256
    FROM ledger.document
"""
DOCUMENT: Final = _DOCUMENT + "WHERE id = %s AND (%s::uuid IS NULL OR organisation_ref = %s)"
BY_NAME: Final = _DOCUMENT + "WHERE name = %s"
BY_ORIGIN: Final = "SELECT id FROM ledger.document WHERE origin = %s"
LISTED: Final = _DOCUMENT + "WHERE organisation_ref = %s AND id < %s ORDER BY id DESC LIMIT %s"
OF_ALL: Final = (
    _DOCUMENT
    + "WHERE id < %s AND (%s::text IS NULL OR kind = %s) AND (%s::date IS NULL OR issued_at >= %s)"
    + " AND (%s::date IS NULL OR issued_at < %s) ORDER BY id DESC LIMIT %s"
)
OF_FACT: Final = _DOCUMENT + "WHERE fact_id = %s ORDER BY kind, id"
OF_ORDER: Final = _DOCUMENT + "WHERE order_id = %s ORDER BY id"
CORRECTIONS: Final = _DOCUMENT + "WHERE corrects_id = %s ORDER BY id"
LINES: Final = """
    SELECT kind, label, quantity, amount_micros FROM ledger.document_line WHERE document_id = %s ORDER BY ord
"""
TAXES: Final = """
    SELECT jurisdiction, name, rate, net_micros, tax_micros, note FROM ledger.document_tax
    WHERE document_id = %s ORDER BY ord
"""
ISSUE: Final = "SELECT ledger.document_issue(%s::jsonb, %s, %s::jsonb, %s::jsonb)"
DUE: Final = "SELECT ledger.documents_due(ruxa.now() - make_interval(secs => %s), %s)"
PRINTED: Final = "SELECT ledger.document_printed(%s, %s)"
OVER: Final = "SELECT ledger.documents_over()"
END: Final = "SELECT ledger.documents_end(%s)"

# -- statements and exports

STATEMENT: Final = "SELECT kind, label, quantity, amount_micros FROM ledger.statement_of(%s, %s, %s, %s)"
STATEMENTS_DUE: Final = "SELECT organisation_ref, scope FROM ledger.statements_due(%s, %s, %s, %s)"
LINES_UP: Final = """
    SELECT id, at, state, code, debit, credit, amount_micros, scope, ref, lot_id
    FROM ledger.statement_line
    WHERE organisation_ref = %s AND id > %s AND at >= %s AND at < %s ORDER BY id LIMIT %s
"""
