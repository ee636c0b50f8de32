"""Every statement of the ledger. The functions behind them live in ``store/schema/40_ledger.sql``."""

from __future__ import annotations

from typing import Final, LiteralString

# -- prices: PRICE_FIELDS names the columns of PRICES_NOW and PRICE_HISTORY in order

PRICE_FIELDS: Final = (
    "id",
    "model",
    "book",
    "list_id",
    "aliases",
    "source",
    "input_micros",
    "output_micros",
    "cache_read_micros",
    "cache_write_5m_micros",
    "cache_write_1h_micros",
    "reasoning_micros",
    "audio_input_micros",
    "audio_output_micros",
    "image_micros",
    "long_from_tokens",
    "long_input_micros",
    "long_output_micros",
    "long_cache_read_micros",
    "long_cache_write_5m_micros",
    "long_cache_write_1h_micros",
    "long_reasoning_micros",
    "input_tokens_max",
    "output_tokens_max",
    "image_tokens_max",
    "page_tokens_max",
    "units",
)

_PRICE: Final[LiteralString] = """
    SELECT id, model, book, list_id, aliases, source, input_micros, output_micros, cache_read_micros,
           cache_write_5m_micros, cache_write_1h_micros, reasoning_micros, audio_input_micros, audio_output_micros,
           image_micros, long_from_tokens, long_input_micros, long_output_micros, long_cache_read_micros,
           long_cache_write_5m_micros, long_cache_write_1h_micros, long_reasoning_micros, input_tokens_max,
           output_tokens_max, image_tokens_max, page_tokens_max, units, lower(effective), upper(effective)
    FROM ledger.price
"""
PRICES_NOW: Final = _PRICE + "WHERE book = %s AND effective @> ruxa.now() ORDER BY model"
PRICE_HISTORY: Final = _PRICE + "WHERE book = %s AND model = %s ORDER BY lower(effective) DESC"
PRICE_IDS_NOW: Final = "SELECT id FROM ledger.price WHERE effective @> ruxa.now()"
PRICES_BY_ID: Final = _PRICE + "WHERE id = ANY (%s::uuid[]) ORDER BY book, model"
PRICES_ENDING: Final = """
    SELECT model FROM ledger.price WHERE book = 'list' GROUP BY model HAVING NOT bool_or(upper_inf(effective))
"""
PRICE_PUT: Final = "SELECT ledger.price_put(%s, %s, %s, %s, %s, %s::jsonb)"
PRICE_RETIRE: Final = "SELECT ledger.price_retire(%s, %s)"

# -- plans (``store/schema/44_plan.sql``)

BOOKS: Final = "SELECT name, beyond_list FROM ledger.book ORDER BY name"
BOOK_CREATE: Final = "SELECT ledger.book_create(%s, %s)"
OWN_BOOK: Final = "SELECT ledger.own_book(%s)"
MARGINS_NOW: Final = """
    SELECT pattern, class, share, lower(effective), upper(effective) FROM ledger.margin
    WHERE book = %s AND (upper_inf(effective) OR upper(effective) > ruxa.now())
    ORDER BY pattern, class, lower(effective)
"""
MARGIN_PUT: Final = "SELECT ledger.margin_put(%s, %s, %s, %s, %s, %s)"
MARGIN_END: Final = "SELECT ledger.margin_end(%s, %s, %s, %s)"
PLAN_OF: Final = "SELECT book, until_ms FROM ledger.plan_of(%s)"
PLAN_ASSIGN: Final = "SELECT ledger.plan_assign(%s, %s, %s, %s)"
PLAN_HISTORY: Final = """
    SELECT book, lower(effective), upper(effective) FROM ledger.organisation_plan
    WHERE organisation_ref = %s ORDER BY lower(effective) DESC
"""
PLAN_COUNTS: Final = """
    SELECT book, count(*) FROM ledger.organisation_plan WHERE effective @> ruxa.now() GROUP BY book
"""
MARGIN_REPORT: Final = """
    SELECT organisation_ref, month, book, model, scope, calls, amount_micros, waived_micros, cost_micros
    FROM ledger.margins(%s, %s, %s)
"""

# -- routes closed for prepaid calls; the functions are in ``store/schema/45_routes.sql``

ROUTES_CLOSED: Final = """
    SELECT p.model, c.price_id, c.over_percent, c.closed_at
    FROM ledger.route_closed AS c JOIN ledger.price AS p ON p.id = c.price_id
    WHERE p.effective @> ruxa.now() ORDER BY p.model
"""
ROUTE_CLOSE: Final = "SELECT ledger.route_close(%s, %s)"
ROUTE_OPEN: Final = "SELECT ledger.route_open(%s)"

# -- routes: ROUTE_FIELDS names what ROUTES_NOW and ROUTE_HISTORY give, in order (``store/schema/46_route.sql``)

ROUTE_FIELDS: Final = ("id", "name", "by", "models", "weights", "retires_at", "successor", "since", "until")
_ROUTE: Final = """
    SELECT id, name, chosen_by, models, weights, retires_at, successor, lower(effective), upper(effective)
    FROM ledger.route
"""
ROUTES_NOW: Final = _ROUTE + "WHERE effective @> ruxa.now() ORDER BY name"
ROUTE_HISTORY: Final = _ROUTE + "WHERE name = %s ORDER BY lower(effective) DESC"
ROUTE_PUT: Final = "SELECT ledger.route_put(%s, %s, %s, %s::text[], %s::bigint[], %s, %s)"
ROUTE_END: Final = "SELECT ledger.route_end(%s)"

# -- leases

NOW: Final = "SELECT ruxa.now()"
NOW_MS: Final = "SELECT ledger.unix_ms(ruxa.now())"
LEASE_OPEN: Final = """
    SELECT amount, refusal, free, elsewhere, ttl_ms, now_ms
    FROM ledger.lease_open(%s, %s, %s, %s::text[], %s, %s, %s, %s, %s, %s, make_interval(secs => %s))
"""
LEASE_GROW: Final = "SELECT amount, refusal FROM ledger.lease_grow(%s, %s)"
LEASE_TRIM: Final = "SELECT ledger.lease_trim(%s, %s)"
LEASE_CLOSE: Final = "SELECT ledger.lease_close(%s)"
LEASE_ABANDON: Final = "SELECT ledger.lease_abandon(%s, %s, %s, %s, %s)"
LEASE_RECALL: Final = "SELECT pg_notify('lease_recall', %s)"
LEASES_DUE: Final = "SELECT ledger.leases_due(%s)"
LEASE_EXPIRE: Final = "SELECT ledger.lease_expire(%s)"

# -- holds

HOLD_PLACE: Final = "SELECT ledger.hold_place(%s, %s, %s, %s::text[], %s, make_interval(secs => %s))"
HOLD_SETTLE: Final = "SELECT ledger.hold_settle(%s, %s)"
HOLD_RELEASE: Final = "SELECT ledger.hold_settle(%s, 0)"

# -- usage and the journal: USAGE_TYPES are the columns of USAGE_COPY in order

RUN_BEGIN: Final = "SELECT ledger.run_begin(%s)"
RUN_END: Final = "SELECT ledger.run_end(%s, %s)"
RUNS_OPEN: Final = "SELECT ledger.runs_open(%s)"
SEGMENT_BEGIN: Final = "SELECT ledger.segment_begin(%s, %s, %s)"
SEGMENT_ACKNOWLEDGE: Final = "SELECT ledger.segment_acknowledge(%s, %s, %s, %s, %s)"
SEGMENT_REFUSE: Final = "SELECT ledger.segment_refuse(%s, %s, %s, %s, %s)"
USAGE_STAGE: Final = "SELECT ledger.usage_stage()"
USAGE_COPY: Final = """
    COPY pg_temp.usage_batch (
        id, at, organisation_ref, key_id, livemode, scope, lease_id, model, provider, upstream_model, dialect, endpoint,
        stream, status, error_code, finish, input_tokens, cache_read_tokens, cache_write_5m_tokens,
        cache_write_1h_tokens, output_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, images,
        usage_source, price_id, amount_micros, waived_micros, hold_micros, latency_ms, first_token_ms, attempts, lossy
    ) FROM STDIN (FORMAT BINARY)
"""
# fmt: off
USAGE_TYPES: Final = (
    "uuid", "timestamptz", "uuid", "uuid", "bool", "text", "uuid", "text", "text", "text", "text", "text",
    "bool", "int2", "text", "text", "int4", "int4", "int4",
    "int4", "int4", "int4", "int4", "int4", "int4",
    "text", "uuid", "int8", "int8", "int8", "int4", "int4", "int2", "text[]",
)
# fmt: on

USAGE_FLUSH: Final = "SELECT booked, late, refused, reasons FROM ledger.usage_flush(%s, %s, %s)"

# -- accounts, transfers, lots, budgets

TRANSFER_POST: Final = "SELECT ledger.transfer_post(%s, %s, %s, %s, %s, %s, %s, %s)"
TRANSFER_RESOLVE: Final = "SELECT ledger.transfer_resolve(%s, %s)"
ACCOUNTS: Final = """
    SELECT code, kind, unit, organisation_ref, debits_posted, credits_posted, debits_pending, credits_pending
    FROM ledger.account_balance ORDER BY code
"""
LOT_GRANT: Final = "SELECT ledger.lot_grant(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
LOTS: Final = """
    SELECT id, scope, category, priority, effective_at, expires_at, voided_at, granted_micros, left_micros, held_micros
    FROM ledger.lot_line WHERE organisation_ref = %s
    ORDER BY voided_at NULLS FIRST, priority, expires_at NULLS LAST, (category <> 'promo'), id
"""
LOTS_EXPIRED: Final = "SELECT ledger.lots_expired(%s)"
LOT_EXPIRE: Final = "SELECT ledger.lot_expire(%s)"
BALANCE: Final = """
    SELECT scope, balance_micros, held_micros, debt_micros FROM ledger.balance(%s) ORDER BY scope
"""
BALANCES: Final = """
    SELECT b.organisation_ref, b.scope, b.balance_micros, b.held_micros, b.debt_micros
    FROM unnest(%s::uuid[]) AS o (ref), LATERAL ledger.balance(o.ref) AS b
"""
BUDGET_PUT: Final = "SELECT ledger.budget_put(%s, %s, %s, %s, %s)"
BUDGET: Final = """
    SELECT limit_micros, period, period_start, used_micros, held_micros FROM ledger.budget_state(%s, %s)
"""

# -- statements

LINES: Final = """
    SELECT id, at, state, code, debit, credit, amount_micros, scope, ref, lot_id
    FROM ledger.statement_line WHERE organisation_ref = %s AND id < %s ORDER BY id DESC LIMIT %s
"""
CHARGE: Final = """
    SELECT id, at, model, provider, status, usage_source, price_id, amount_micros, waived_micros, scope, lease_id,
           line_state, lease_closed_at
    FROM ledger.charge WHERE id = %s
"""
LEASE_LINES: Final = """
    SELECT id, at, state, code, debit, credit, amount_micros, scope, ref, lot_id
    FROM ledger.statement_line WHERE ref = %s ORDER BY seq
"""

# -- years that are over

YEARS_OVER: Final = "SELECT ledger.years_over(%s)"
YEAR_ROWS: Final = "SELECT id, organisation_ref, body FROM ledger.year_rows(%s, %s, %s, %s)"
YEAR_END: Final = "SELECT ledger.year_end(%s, %s)"
YEAR_DROP: Final = "SELECT ledger.year_drop(%s)"

# -- proofs and upkeep

PROOFS: Final = """
    SELECT p.name, p.value, p.examined, p.sample
    FROM (SELECT * FROM ledger.proofs() UNION ALL SELECT * FROM payment.proofs()
        UNION ALL SELECT * FROM ledger.document_proofs()) AS p ORDER BY p.name
"""
PARTITIONS_AHEAD: Final = "SELECT ledger.partitions_ahead(%s)"
SEAL: Final = "SELECT ledger.seal(%s)"

# -- evidence

USAGE_DAYS: Final = "SELECT day, state FROM ledger.usage_days_present()"
USAGE_OLDEST: Final = "SELECT ledger.usage_oldest()"
USAGE_ROWS: Final = "SELECT id, organisation_ref, body FROM ledger.usage_rows(%s, %s::uuid[], %s, %s)"
EVIDENCE_PREPARE: Final = "SELECT ledger.evidence_prepare(%s)"
DAY_REDUCE: Final = "SELECT ledger.day_reduce(%s)"
EVIDENCE: Final = """
    SELECT organisation_ref, month, price_id, scope, kind, long, calls, input_tokens, cache_read_tokens,
           cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, audio_input_tokens,
           audio_output_tokens, images, amount_micros, waived_micros, sha256
    FROM ledger.billing_evidence WHERE organisation_ref = %s ORDER BY month DESC, price_id, scope, kind, long
"""

# -- activity

_CALL: Final[LiteralString] = """
    SELECT id, at, organisation_ref, key_id, livemode, scope, lease_id, model, provider, upstream_model, dialect,
           endpoint, stream, status, error_code, finish, input_tokens, cache_read_tokens, cache_write_5m_tokens,
           cache_write_1h_tokens, output_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, images,
           usage_source, price_id, amount_micros, waived_micros, hold_micros, latency_ms, first_token_ms, attempts,
           lossy, line_state
    FROM ledger.charge
"""
_CALLS: Final[LiteralString] = (
    _CALL
    + """
    WHERE organisation_ref = %s AND id > %s AND id < %s
      AND (%s::text IS NULL OR model = %s) AND (%s::uuid IS NULL OR key_id = %s)
      AND (%s::text IS NULL OR (status >= 400) = (%s = 'failed'))
"""
)
CALLS_DOWN: Final = _CALLS + "ORDER BY id DESC LIMIT %s"
CALLS_UP: Final = _CALLS + "ORDER BY id LIMIT %s"
CALL: Final = _CALL + "WHERE id = %s"
CALL_OF: Final = _CALL + "WHERE id = %s AND organisation_ref = %s"
