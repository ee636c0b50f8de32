"""Every statement of payments. The functions behind them live in ``store/schema/41_payment.sql``."""

from __future__ import annotations

from typing import Final, LiteralString

# -- orders: ORDER_FIELDS names what ORDER and its like give, in order

ORDER_FIELDS: Final = (
    "id", "reference", "organisation_ref", "scope", "processor", "method", "kind", "state", "amount_micros",
    "tax_micros", "tax_code", "currency", "save_method", "ext_id", "url", "received_minor", "refunded_minor",
    "created_at", "expires_at", "paid_at",
)  # fmt: skip
_ORDER: Final[LiteralString] = """
    SELECT o.id, o.reference, o.organisation_ref, o.scope, o.processor, o.method, o.kind, o.state, o.amount_micros,
           o.tax_micros, o.tax_code, o.currency, o.save_method, o.ext_id, o.url, o.received_minor, o.refunded_minor,
           o.created_at, o.expires_at, o.paid_at
    FROM
"""
ORDER: Final = _ORDER + "payment.orders AS o WHERE o.id = %s AND (%s::uuid IS NULL OR o.organisation_ref = %s)"
ORDER_BY_REFERENCE: Final = _ORDER + "payment.orders AS o WHERE o.reference = %s"
ORDERS: Final = (
    _ORDER
    + """payment.orders AS o WHERE (%s::uuid IS NULL OR o.organisation_ref = %s) AND o.id < %s
        AND (%s::text IS NULL OR o.state = %s) AND (%s::text IS NULL OR o.processor = %s)
    ORDER BY o.id DESC LIMIT %s
"""
)
ORDERS_POLL: Final = _ORDER + "payment.orders_poll(%s, %s, %s) AS o"
ORDERS_EXPIRE: Final = "SELECT payment.orders_expire(%s)"
ORDER_CREATE: Final = "SELECT payment.order_create(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
ORDER_BIND: Final = "SELECT payment.order_bind(%s, %s, %s)"
ORDER_CLOSE: Final = "SELECT payment.order_close(%s, %s)"

# -- facts

FACT_NOTE: Final = "SELECT outcome, reason, fact_id, order_id, organisation FROM payment.fact_note(%s, %s::jsonb)"
FACT_FIELDS: Final = (
    "id", "processor", "kind", "ext_id", "order_id", "organisation_ref", "scope", "capture_id", "amount_minor",
    "tax_micros", "fee_minor", "refunded_minor", "currency", "status", "at", "noted_at",
)  # fmt: skip
_FACT: Final[LiteralString] = """
    SELECT id, processor, kind, ext_id, order_id, organisation_ref, scope, capture_id, amount_minor, tax_micros,
           fee_minor, refunded_minor, currency, status, at, noted_at
    FROM payment.fact
"""
FACT: Final = _FACT + "WHERE id = %s"
FACTS_OF_ORDER: Final = _FACT + "WHERE order_id = %s ORDER BY noted_at, id"
QUARANTINE_FIELDS: Final = (
    "id", "processor", "kind", "ext_id", "reason", "state", "reading", "times", "first_at", "last_at", "asked_by",
)  # fmt: skip
QUARANTINE: Final = """
    SELECT id, processor, kind, ext_id, reason, state, reading, times, first_at, last_at, asked_by
    FROM payment.quarantine
    WHERE state = %s AND (reason <> 'capture_unknown' OR first_at < ruxa.now() - interval '1 day')
        AND (%s::text IS NULL OR processor = %s) AND (%s::text IS NULL OR ext_id = %s)
    ORDER BY first_at, id LIMIT %s
"""
QUARANTINE_ACCEPT: Final = (
    "SELECT outcome, reason, fact_id, order_id, organisation FROM payment.quarantine_accept(%s, %s)"
)
QUARANTINE_DISMISS: Final = "SELECT payment.quarantine_dismiss(%s, %s)"
MERCHANT_DECLARE: Final = "SELECT payment.merchant_declare(%s, %s, %s)"

# -- hints

INBOX_PUT: Final = "SELECT payment.inbox_put(%s, %s, %s, %s, %s, %s)"
INBOX_FIELDS: Final = ("processor", "event_id", "kind", "ext_id", "order_id", "received_at", "tries")
INBOX_DUE: Final = (
    "SELECT processor, event_id, kind, ext_id, order_id, received_at, tries FROM payment.inbox_due(%s, %s)"
)
INBOX_DONE: Final = "SELECT payment.inbox_done(%s, %s, %s)"
INBOX_FAILED: Final = "SELECT payment.inbox_failed(%s, %s, %s)"
INBOX_NEWEST: Final = "SELECT max(at) FROM payment.inbox WHERE processor = %s"
LOOKED: Final = "SELECT until FROM payment.looked WHERE processor = %s AND livemode = %s"
LOOKED_PUT: Final = "SELECT payment.looked_put(%s, %s, %s)"

# -- refunds

REFUND_FIELDS: Final = (
    "id", "order_id", "organisation_ref", "scope", "processor", "capture_ext_id", "amount_minor", "tax_micros",
    "state", "reason_sealed", "asked_by", "approved_by", "fact_id", "failure", "tries", "created_at", "changed_at",
)  # fmt: skip
_REFUND: Final[LiteralString] = """
    SELECT w.id, w.order_id, w.organisation_ref, w.scope, c.processor, c.ext_id, w.amount_minor, w.tax_micros, w.state,
           w.reason_sealed, w.asked_by, w.approved_by, w.fact_id, w.failure, w.tries, w.created_at, w.changed_at
    FROM payment.refund AS w JOIN payment.fact AS c ON c.id = w.capture_id
"""
REFUND: Final = _REFUND + "WHERE w.id = %s"
REFUNDS: Final = (
    _REFUND
    + """WHERE (%s::uuid IS NULL OR w.order_id = %s) AND (%s::uuid IS NULL OR w.organisation_ref = %s)
        AND (%s::text IS NULL OR w.state = %s) AND w.id < %s
    ORDER BY w.id DESC LIMIT %s
"""
)
REFUNDS_OF: Final = _REFUND + "WHERE w.id = ANY (%s) ORDER BY w.created_at, w.id"
REFUNDS_DUE: Final = "SELECT payment.refunds_due(%s)"
REFUND_ASK: Final = "SELECT payment.refund_ask(%s, %s, %s, %s, %s, %s, %s)"
REFUND_APPROVE: Final = "SELECT payment.refund_approve(%s, %s)"
REFUND_CANCEL: Final = "SELECT payment.refund_cancel(%s, %s)"
REFUND_SENT: Final = "SELECT payment.refund_sent(%s, %s)"
REFUND_REFUSED: Final = "SELECT payment.refund_refused(%s, %s, %s)"
REFUNDABLE: Final = "SELECT payment.refundable(%s)"

# -- disputes

DISPUTE_FIELDS: Final = (
    "id", "ext_id", "processor", "order_id", "organisation_ref", "scope", "amount_minor", "status", "held_micros",
    "debt_micros", "opened_at", "changed_at", "evidence_sealed", "evidence_by", "evidence_state",
)  # fmt: skip
_DISPUTE: Final[LiteralString] = """
    SELECT id, ext_id, processor, order_id, organisation_ref, scope, amount_minor, status, held_micros, debt_micros,
           opened_at, changed_at, evidence_sealed, evidence_by, evidence_state
    FROM payment.dispute
"""
DISPUTE: Final = _DISPUTE + "WHERE id = %s"
DISPUTES: Final = (
    _DISPUTE
    + """WHERE (%s::uuid IS NULL OR organisation_ref = %s) AND (NOT %s OR status IN ('open', 'pending'))
        AND (%s::uuid IS NULL OR order_id = %s) AND (%s::text IS NULL OR status = %s)
        AND (%s::uuid IS NULL OR (opened_at, id) < (%s, %s))
    ORDER BY opened_at DESC, id DESC LIMIT %s
"""
)
EVIDENCE_PUT: Final = "SELECT payment.evidence_put(%s, %s, %s)"
EVIDENCE_DUE: Final = _DISPUTE + "WHERE evidence_state = 'waiting' AND status = 'open' ORDER BY opened_at, id"
EVIDENCE_SENT: Final = "SELECT payment.evidence_sent(%s)"

# -- freezes

FREEZE_FIELDS: Final = (
    "id", "organisation_ref", "scope", "cause", "method", "ref", "began_at", "ended_at", "reviewed_at", "reviewed_by",
    "decision",
)  # fmt: skip
_FREEZE: Final[LiteralString] = """
    SELECT id, organisation_ref, scope, cause, method, ref, began_at, ended_at, reviewed_at, reviewed_by, decision
    FROM payment.freeze
"""
FREEZES_OF: Final = _FREEZE + "WHERE organisation_ref = %s ORDER BY ended_at DESC NULLS FIRST, began_at DESC"
FREEZES_WAITING: Final = _FREEZE + "WHERE reviewed_at IS NULL AND cause <> 'staff' ORDER BY began_at, id"
FREEZE_PUT: Final = "SELECT payment.freeze_put(%s, %s, %s)"
FREEZE_REVIEW: Final = "SELECT payment.freeze_review(%s, %s, %s)"

# -- auto top-up

AUTO_FIELDS: Final = (
    "organisation_ref", "scope", "state", "reason", "threshold_micros", "target_micros", "monthly_cap_micros",
    "processor", "saved", "failures", "next_at", "recovery_url", "month_micros",
)  # fmt: skip
AUTO: Final = """
    SELECT a.organisation_ref, a.scope, a.state, a.reason, a.threshold_micros, a.target_micros, a.monthly_cap_micros,
           a.processor, a.saved, a.failures, a.next_at, a.recovery_url,
           (SELECT coalesce(sum(t.charged_micros), 0)::bigint FROM payment.attempt AS t
            WHERE t.organisation_ref = a.organisation_ref AND t.state <> 'failed'
                AND t.month = date_trunc('month', ruxa.now() AT TIME ZONE 'UTC')::date)
    FROM payment.auto AS a WHERE a.organisation_ref = %s
"""
AUTO_PUT: Final = "SELECT payment.auto_put(%s, %s, %s, %s, %s, %s, %s, %s)"
AUTO_STOP: Final = "SELECT payment.auto_stop(%s, %s)"
DUE_FIELDS: Final = ("organisation_ref", "scope", "amount_micros", "room_micros", "processor", "method")
AUTO_DUE: Final = (
    "SELECT organisation_ref, scope, amount_micros, room_micros, processor, method FROM payment.auto_due(%s)"
)
AUTO_BEGIN: Final = "SELECT payment.auto_begin(%s, %s, %s, %s, %s)"
ATTEMPT_FIELDS: Final = (
    "id", "organisation_ref", "order_id", "number", "state", "amount_micros", "tax_micros", "processor", "customer",
    "saved", "is_kept", "code", "begun_at",
)  # fmt: skip
_ATTEMPT: Final[LiteralString] = """
    SELECT t.id, t.organisation_ref, t.order_id, t.number, t.state, t.amount_micros, o.tax_micros, o.processor,
           t.customer, t.saved, EXISTS (SELECT FROM payment.saved_method AS s
               WHERE s.organisation_ref = t.organisation_ref AND s.processor = o.processor AND s.ext_id = t.saved),
           t.code, t.begun_at
    FROM payment.attempt AS t JOIN payment.orders AS o ON o.id = t.order_id
"""
ATTEMPT: Final = _ATTEMPT + "WHERE t.id = %s"
ATTEMPTS: Final = _ATTEMPT + "WHERE t.organisation_ref = %s ORDER BY t.number DESC LIMIT %s"
ATTEMPTS_OF: Final = _ATTEMPT + "WHERE t.id = ANY (%s) ORDER BY t.begun_at, t.id"
ATTEMPTS_OPEN: Final = "SELECT payment.attempts_open(%s, %s)"
ATTEMPT_ENDED: Final = "SELECT state, tell, failures FROM payment.attempt_ended(%s, %s, %s, %s)"

# -- what processors know of organisations

METHOD_FIELDS: Final = ("processor", "saved", "customer", "method", "brand", "last4", "exp_month", "exp_year")
METHODS: Final = """
    SELECT s.processor, s.ext_id, c.ext_id, s.method, s.brand, s.last4, s.exp_month, s.exp_year
    FROM payment.saved_method AS s
        LEFT JOIN payment.customer AS c ON c.organisation_ref = s.organisation_ref AND c.processor = s.processor
    WHERE s.organisation_ref = %s ORDER BY s.saved_at DESC, s.ext_id
"""
METHOD_SEEN: Final = "SELECT payment.method_seen(%s, %s, %s, %s, %s, %s, %s, %s)"
METHOD_REMOVE: Final = "SELECT payment.method_remove(%s, %s, %s)"
CUSTOMER: Final = "SELECT ext_id FROM payment.customer WHERE organisation_ref = %s AND processor = %s"
CUSTOMER_PUT: Final = "SELECT payment.customer_put(%s, %s, %s)"

# -- bank transfers

CONFIRM_FIRST: Final = "SELECT payment.confirm_first(%s, %s, %s, %s, %s, %s, %s)"
CONFIRM_SECOND: Final = """
    SELECT refusal, outcome, reason, fact_id, order_id, organisation FROM payment.confirm_second(%s, %s)
"""
CONFIRM_WITHDRAW: Final = "SELECT payment.confirm_withdraw(%s, %s)"
CONFIRMATION_FIELDS: Final = (
    "id", "order_id", "organisation_ref", "account", "reference", "day", "amount_minor", "state", "first_by",
    "second_by", "first_at", "second_at",
)  # fmt: skip
_CONFIRMATION: Final[LiteralString] = """
    SELECT id, order_id, organisation_ref, account, reference, day, amount_minor, state, first_by, second_by, first_at,
           second_at
    FROM payment.confirmation
"""
CONFIRMATION: Final = _CONFIRMATION + "WHERE id = %s"
CONFIRMATIONS_WAITING: Final = _CONFIRMATION + "WHERE state = 'first' ORDER BY first_at, id"
CONFIRMATIONS: Final = (
    _CONFIRMATION
    + """WHERE (%s::text IS NULL OR state = %s) AND (%s::text IS NULL OR reference = %s) AND id < %s
    ORDER BY id DESC LIMIT %s
"""
)
CONFIRMATIONS_OF: Final = _CONFIRMATION + "WHERE order_id = %s ORDER BY first_at, id"

# -- corrections by people

WISH_PUT: Final = "SELECT payment.wish_put(%s, %s, %s, %s, %s, %s, %s, %s)"
WISH_APPROVE: Final = "SELECT payment.wish_approve(%s, %s)"
WISH_REJECT: Final = "SELECT payment.wish_reject(%s, %s)"
WISH_FIELDS: Final = (
    "id", "kind", "organisation_ref", "scope", "amount_micros", "account", "reason_sealed", "asked_by", "asked_at",
    "lot_id",
)  # fmt: skip
WISHES: Final = """
    SELECT id, kind, organisation_ref, scope, amount_micros, account, reason_sealed, asked_by, asked_at, lot_id
    FROM payment.wish WHERE state = 'waiting' ORDER BY asked_at, id
"""
LOT_VOID: Final = "SELECT refusal, moved FROM payment.lot_void(%s, %s, %s, %s)"
DEBT_FIELDS: Final = ("id", "at", "scope", "code", "ref", "amount_micros", "pending")
DEBTS: Final = """
    SELECT t.id, t.at, t.scope, t.code, t.ref,
           CASE WHEN t.debit LIKE 'shortfall:%%' THEN t.amount_micros ELSE -t.amount_micros END, t.state = 'pending'
    FROM ledger.statement_line AS t
    WHERE t.organisation_ref = %s AND t.state IN ('posted', 'pending') AND t.amount_micros > 0
      AND (t.debit LIKE 'shortfall:%%' OR t.credit LIKE 'shortfall:%%')
      AND NOT EXISTS (SELECT FROM ledger.statement_line AS r WHERE r.id = ledger.resolution_id(t.id))
    ORDER BY t.seq DESC LIMIT %s
"""

# -- limits and upkeep

VELOCITY: Final = "SELECT payment.velocity(%s, %s, %s)"
DECLINED: Final = "SELECT payment.declined(%s, %s, %s)"
TRIAL_CLAIM: Final = "SELECT payment.trial_claim(%s::bytea[])"
BOUND: Final = "SELECT payment.bound(%s)"
BOUND_PUT: Final = "SELECT payment.bound_put(%s, %s)"
SWEEP: Final = "SELECT payment.sweep()"
