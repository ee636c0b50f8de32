"""Every statement of reconciliation. The functions behind them live in ``store/schema/43_reconciliation.sql``."""

from __future__ import annotations

from typing import Final, LiteralString

TODAY: Final = "SELECT ruxa.today()"
RECONCILE: Final = "SELECT compared, differs, opened, gone FROM ledger.reconcile(%s, %s, %s, %s, %s::jsonb)"
OF_WHOLE: Final = "SELECT ledger.difference_of_whole(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
RAN: Final = "SELECT max(day) FROM ledger.reconciliation_run WHERE processor = %s AND scope = %s"
# DIFFERENCE_FIELDS names what these give, in order.
DIFFERENCE_FIELDS: Final = (
    "id", "processor", "scope", "day", "kind", "object", "ext_id", "organisation_ref", "here", "there", "currency",
    "found_at", "owner_id", "state", "outcome", "reference", "ended_by", "ended_at", "age_days",
)  # fmt: skip
_DIFFERENCE: Final[LiteralString] = """
    SELECT id, processor, scope, day, kind, object, ext_id, organisation_ref, here, there, currency, found_at, owner_id,
           state, outcome, reference, ended_by, ended_at,
           floor(extract(epoch FROM coalesce(ended_at, ruxa.now()) - found_at) / 86400)::integer
    FROM ledger.difference
"""
DIFFERENCE: Final = _DIFFERENCE + "WHERE id = %s"
DIFFERENCES: Final = (
    _DIFFERENCE
    + """WHERE (%s::text IS NULL OR state = %s) AND (%s::text IS NULL OR processor = %s)
    AND (%s::uuid IS NULL OR owner_id = %s) ORDER BY (state <> 'open'), found_at, id LIMIT %s
"""
)
OF_DAYS: Final = _DIFFERENCE + "WHERE day >= %s AND day < %s OR state = 'open' ORDER BY found_at, id"
ASSIGN: Final = "SELECT ledger.difference_assign(%s, %s)"
RESOLVE: Final = "SELECT ledger.difference_resolve(%s, %s, %s, %s)"
TOTALS: Final = """
    SELECT processor, scope, day, object, currency, count_here, here, count_there, there, fee_here, fee_there
    FROM ledger.reconciliation_totals(%s, %s)
"""
CLEARING: Final = "SELECT processor, scope, here_micros, there_minor FROM ledger.clearing()"
UPSTREAM: Final = "SELECT day, sent, tries, charged, free FROM ledger.upstream(%s, %s)"
JOURNAL: Final = """
    SELECT day, debit, credit, code, scope, amount_micros, entries, document, reference FROM ledger.journal(%s, %s)
"""
