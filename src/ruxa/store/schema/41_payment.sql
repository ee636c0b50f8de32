-- Payments: orders, what processors confirm about them (facts), hints to look, refunds, disputes, auto top-up, freezes
-- and the marks against abuse. Amounts of processors are whole minor units (cents), of the ledger micros.
--
-- No login writes these tables: they hold EXECUTE on the functions below. Every one that moves an organisation's money
-- takes the organisation's advisory lock first. A fact's id follows from what it is about, the transfers it makes have it
-- as their ref, and only the difference between what its status meant and means is posted: so repeats, any order and
-- races end alike.
--
-- SQLSTATEs of this file: RX070 no such order; RX075 no such bound, or not in its range; RX076 not there, or not in the
-- state for this; RX077 more than is owed. Refusals that people see are answers, not errors.

CREATE SCHEMA payment;
REVOKE ALL ON SCHEMA payment FROM PUBLIC;

-- Limits that the operator may change. Large credits, refunds and write-offs need two people.

CREATE TABLE payment.bound (
    name   text PRIMARY KEY CHECK (name ~ '^[a-z_]{3,40}$'),
    value  bigint NOT NULL CHECK (value >= 0)
);
COMMENT ON TABLE payment.bound IS 'The limits of payments by name; the operator may change the numbers.';
INSERT INTO payment.bound (name, value) VALUES
    ('four_eyes_micros', 1000000000), ('orders_hour', 20), ('orders_day', 60), ('address_hour', 10),
    ('address_day', 40), ('card_organisations_day', 3), ('declines_day', 8), ('trial_mark_days', 365);

CREATE FUNCTION payment.bound(p_name text) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT b.value FROM payment.bound AS b WHERE b.name = p_name $$;

CREATE FUNCTION payment.bound_put(p_name text, p_value bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE payment.bound SET value = p_value WHERE name = p_name AND p_value >= 0;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such bound, or not in its range' USING ERRCODE = 'RX075';
    END IF;
END $$;

-- Whose account at a processor our key belongs to: what the operator declared, else what the first fact said.

CREATE TABLE payment.merchant (
    processor  text NOT NULL CHECK (processor ~ '^[a-z][a-z0-9_]{1,31}$'),
    livemode   boolean NOT NULL,
    account    text NOT NULL CHECK (length(account) <= 120),
    PRIMARY KEY (processor, livemode)
);
COMMENT ON TABLE payment.merchant IS 'Our own account at each processor; facts of another one are quarantined.';

CREATE FUNCTION payment.merchant_declare(p_processor text, p_livemode boolean, p_account text) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO payment.merchant VALUES (p_processor, p_livemode, p_account)
        ON CONFLICT (processor, livemode) DO UPDATE SET account = excluded.account
$$;

-- Orders

CREATE TABLE payment.orders (
    id               uuid PRIMARY KEY,
    reference        text NOT NULL UNIQUE CHECK (reference ~ '^RX-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$'),
    organisation_ref uuid NOT NULL,
    scope            text NOT NULL CHECK (scope IN ('sandbox', 'live')),
    processor        text NOT NULL CHECK (processor ~ '^[a-z][a-z0-9_]{1,31}$'),
    method           text NOT NULL CHECK (method ~ '^[a-z][a-z0-9_]{1,31}$'),
    kind             text NOT NULL CHECK (kind IN ('checkout', 'auto', 'manual')),
    amount_micros    bigint NOT NULL CHECK (amount_micros BETWEEN 10000 AND 1000000000000 AND amount_micros % 10000 = 0),
    tax_micros       bigint NOT NULL CHECK (tax_micros BETWEEN 0 AND amount_micros AND tax_micros % 10000 = 0),
    tax_code         text NOT NULL CHECK (tax_code ~ '^[a-z0-9_-]{1,40}$'),
    currency         text NOT NULL DEFAULT 'USD' CHECK (currency = 'USD'),
    save_method      boolean NOT NULL,
    state            text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'pending', 'paid', 'partial', 'failed',
        'canceled', 'expired', 'refunded', 'disputed', 'charged_back')),
    closed           text CHECK (closed IN ('canceled', 'expired')),
    ext_id           text CHECK (length(ext_id) BETWEEN 1 AND 200),
    url              text CHECK (length(url) <= 2000),
    received_minor   bigint NOT NULL DEFAULT 0 CHECK (received_minor >= 0),
    refunded_minor   bigint NOT NULL DEFAULT 0,
    made_by          text NOT NULL CHECK (length(made_by) <= 80),
    created_at       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    paid_at          timestamptz,
    polled_at        timestamptz,
    CONSTRAINT orders_refunded CHECK (refunded_minor BETWEEN 0 AND received_minor)
);
CREATE UNIQUE INDEX orders_ext ON payment.orders (processor, ext_id) WHERE ext_id IS NOT NULL;
CREATE INDEX orders_organisation ON payment.orders (organisation_ref, id);
CREATE INDEX orders_waiting ON payment.orders (created_at) WHERE state IN ('open', 'pending', 'partial');
COMMENT ON TABLE payment.orders IS
    'Top-ups that were asked for; the state follows from the facts. amount is the credit, tax on top of it.';

CREATE FUNCTION payment.orders_guard() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (NEW.id, NEW.reference, NEW.organisation_ref, NEW.scope, NEW.processor, NEW.method, NEW.kind, NEW.amount_micros,
            NEW.tax_micros, NEW.tax_code, NEW.currency, NEW.save_method, NEW.made_by, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.reference, OLD.organisation_ref, OLD.scope, OLD.processor, OLD.method, OLD.kind,
            OLD.amount_micros, OLD.tax_micros, OLD.tax_code, OLD.currency, OLD.save_method, OLD.made_by, OLD.created_at)
        OR (OLD.ext_id IS NOT NULL AND NEW.ext_id IS DISTINCT FROM OLD.ext_id) OR NEW.received_minor < OLD.received_minor
            AND NEW.state <> 'failed' THEN
        RAISE EXCEPTION 'immutable' USING ERRCODE = 'RX900';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER orders_known BEFORE UPDATE ON payment.orders FOR EACH ROW EXECUTE FUNCTION payment.orders_guard();
CREATE TRIGGER orders_kept BEFORE DELETE ON payment.orders FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER orders_kept_whole BEFORE TRUNCATE ON payment.orders EXECUTE FUNCTION ledger.deny();

-- Facts

CREATE FUNCTION payment.fact_id(p_processor text, p_kind text, p_ext_id text) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ledger.account_id('fact ' || p_processor || ' ' || p_kind || ' ' || p_ext_id);

-- How final a status is. A refund or a payout may come back after it went out; nothing else goes backwards.
CREATE FUNCTION payment.rank(p_kind text, p_status text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN p_kind IN ('refund', 'payout') AND p_status IN ('failed', 'canceled') THEN 55
        WHEN p_status = 'open' THEN 10
        WHEN p_status = 'pending' THEN 20
        WHEN p_status IN ('failed', 'expired') THEN 30
        WHEN p_status = 'canceled' THEN 40
        WHEN p_status = 'succeeded' THEN 50
        WHEN p_status IN ('won', 'lost') THEN 60
    END;

-- What a status means for money: nothing, a hold, a posting.
CREATE FUNCTION payment.weight(p_kind text, p_status text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN p_kind IN ('refund', 'dispute') AND p_status IN ('open', 'pending') THEN 'hold'
        WHEN p_kind IN ('capture', 'refund', 'payout', 'fee') AND p_status = 'succeeded' THEN 'post'
        WHEN p_kind = 'dispute' AND p_status = 'lost' THEN 'post'
        ELSE 'none'
    END;

CREATE TABLE payment.fact (
    id               uuid PRIMARY KEY,
    processor        text NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('capture', 'refund', 'dispute', 'fee', 'payout')),
    ext_id           text NOT NULL CHECK (length(ext_id) BETWEEN 1 AND 200),
    order_id         uuid REFERENCES payment.orders (id),
    capture_id       uuid REFERENCES payment.fact (id),
    organisation_ref uuid,
    scope            text NOT NULL CHECK (scope IN ('sandbox', 'live')),
    amount_minor     bigint NOT NULL CHECK (amount_minor BETWEEN 0 AND 100000000000),
    tax_micros       bigint NOT NULL DEFAULT 0,
    fee_minor        bigint CHECK (fee_minor BETWEEN 0 AND 100000000000),
    refunded_minor   bigint NOT NULL DEFAULT 0,
    asked_minor      bigint NOT NULL DEFAULT 0 CHECK (asked_minor >= 0),
    taken_minor      bigint NOT NULL DEFAULT 0 CHECK (taken_minor >= 0),
    taken_tax_micros bigint NOT NULL DEFAULT 0,
    currency         text NOT NULL CHECK (currency = 'USD'),
    status           text NOT NULL CHECK (payment.rank(kind, status) IS NOT NULL),
    account          text NOT NULL CHECK (length(account) <= 120),
    livemode         boolean NOT NULL,
    at               timestamptz NOT NULL,
    noted_at         timestamptz NOT NULL,
    changed_at       timestamptz NOT NULL,
    UNIQUE (processor, kind, ext_id),
    CONSTRAINT fact_id_derived CHECK (id = payment.fact_id(processor, kind, ext_id)),
    CONSTRAINT fact_mode CHECK (livemode = (scope = 'live')),
    CONSTRAINT fact_of_order CHECK ((kind IN ('capture', 'refund', 'dispute')) <= (order_id IS NOT NULL)),
    CONSTRAINT fact_parent CHECK ((kind IN ('refund', 'dispute')) <= (capture_id IS NOT NULL)),
    CONSTRAINT fact_organisation CHECK ((order_id IS NULL) = (organisation_ref IS NULL)),
    CONSTRAINT refund_within_capture CHECK (refunded_minor >= 0 AND refunded_minor + asked_minor <= amount_minor),
    CONSTRAINT fact_tax CHECK (tax_micros BETWEEN 0 AND amount_minor * 10000
        AND (kind <> 'capture' OR taken_tax_micros BETWEEN 0 AND tax_micros))
);
CREATE INDEX fact_order ON payment.fact (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX fact_capture ON payment.fact (capture_id) WHERE capture_id IS NOT NULL;
COMMENT ON TABLE payment.fact IS
    'What a processor''s API confirmed of one object. Of a capture: refunded, asked (refunds under way) and taken '
    '(refunds and disputes, held or posted). Its id is the ref of its transfers, and a capture''s that of its lot.';

CREATE FUNCTION payment.fact_guard() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    same payment.fact;
BEGIN
    same := NEW;
    same.status := OLD.status;
    same.fee_minor := OLD.fee_minor;
    same.refunded_minor := OLD.refunded_minor;
    same.asked_minor := OLD.asked_minor;
    same.taken_minor := OLD.taken_minor;
    same.taken_tax_micros := OLD.taken_tax_micros;
    same.changed_at := OLD.changed_at;
    -- Before it weighs anything an object may still change: a checkout that was not paid, a dispute's tax.
    IF payment.weight(OLD.kind, OLD.status) = 'none' THEN
        same.amount_minor := OLD.amount_minor;
        same.tax_micros := OLD.tax_micros;
    END IF;
    IF same IS DISTINCT FROM OLD OR (OLD.fee_minor IS NOT NULL AND NEW.fee_minor IS DISTINCT FROM OLD.fee_minor)
        OR (NEW.status <> OLD.status
            AND payment.rank(NEW.kind, NEW.status) <= payment.rank(OLD.kind, OLD.status)) THEN
        RAISE EXCEPTION 'immutable' USING ERRCODE = 'RX900';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fact_forward BEFORE UPDATE ON payment.fact FOR EACH ROW EXECUTE FUNCTION payment.fact_guard();
CREATE TRIGGER fact_kept BEFORE DELETE ON payment.fact FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER fact_kept_whole BEFORE TRUNCATE ON payment.fact EXECUTE FUNCTION ledger.deny();

CREATE TABLE payment.quarantine (
    id         uuid PRIMARY KEY,
    processor  text NOT NULL,
    kind       text NOT NULL,
    ext_id     text NOT NULL,
    reason     text NOT NULL CHECK (reason IN ('field', 'amount', 'currency', 'account', 'mode', 'order',
        'second_capture', 'contradiction', 'refund_exceeds_capture', 'capture_unknown')),
    state      text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'cleared', 'accepted', 'dismissed')),
    reading    jsonb NOT NULL,
    parent     text,
    times      integer NOT NULL DEFAULT 1,
    first_at   timestamptz NOT NULL,
    last_at    timestamptz NOT NULL,
    asked_by   uuid,
    asked_minor bigint,
    settled_by uuid,
    settled_at timestamptz,
    CHECK ((asked_by IS NULL) = (asked_minor IS NULL)),
    CONSTRAINT quarantine_second_person CHECK (state <> 'accepted' OR asked_by IS NULL OR settled_by <> asked_by)
);
CREATE UNIQUE INDEX quarantine_waiting ON payment.quarantine (processor, kind, ext_id, reason) WHERE state = 'waiting';
CREATE INDEX quarantine_parent ON payment.quarantine (processor, parent) WHERE state = 'waiting';
COMMENT ON TABLE payment.quarantine IS
    'What a processor said that does not fit: seen, named, never credited but by people. asked: who would credit a large '
    'one, and how much of it they saw.';
CREATE TRIGGER quarantine_kept BEFORE DELETE ON payment.quarantine FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER quarantine_kept_whole BEFORE TRUNCATE ON payment.quarantine EXECUTE FUNCTION ledger.deny();

-- Hints

CREATE TABLE payment.inbox (
    processor   text NOT NULL CHECK (length(processor) BETWEEN 2 AND 32),
    event_id    text NOT NULL CHECK (length(event_id) BETWEEN 1 AND 200),
    kind        text NOT NULL CHECK (length(kind) <= 120),
    ext_id      text NOT NULL CHECK (length(ext_id) <= 200),
    order_id    uuid,
    at          timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    state       text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'ignored')),
    tries       integer NOT NULL DEFAULT 0,
    next_at     timestamptz NOT NULL,
    code        text CHECK (length(code) <= 80),
    PRIMARY KEY (processor, event_id)
);
CREATE INDEX inbox_due ON payment.inbox (next_at) WHERE state = 'waiting';
CREATE INDEX inbox_newest ON payment.inbox (processor, at);
COMMENT ON TABLE payment.inbox IS 'Verified webhooks as hints: ids and times, no body.';

-- Up to when each processor's list of events was read without a gap.

CREATE TABLE payment.looked (
    processor text NOT NULL CHECK (processor ~ '^[a-z][a-z0-9_]{1,31}$'),
    livemode  boolean NOT NULL,
    until     timestamptz NOT NULL,
    PRIMARY KEY (processor, livemode)
);
COMMENT ON TABLE payment.looked IS 'Up to when a processor''s list of events was read: from there on it is read again.';

CREATE FUNCTION payment.looked_put(p_processor text, p_livemode boolean, p_until timestamptz) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO payment.looked AS k VALUES (p_processor, p_livemode, p_until)
        ON CONFLICT (processor, livemode) DO UPDATE SET until = greatest(k.until, excluded.until)
$$;

-- What a processor knows of an organisation

CREATE TABLE payment.customer (
    organisation_ref uuid NOT NULL,
    processor        text NOT NULL,
    ext_id           text NOT NULL CHECK (length(ext_id) BETWEEN 1 AND 200),
    made_at          timestamptz NOT NULL,
    PRIMARY KEY (organisation_ref, processor)
);
COMMENT ON TABLE payment.customer IS 'The processor''s own id of an organisation.';

CREATE TABLE payment.saved_method (
    organisation_ref uuid NOT NULL,
    processor        text NOT NULL,
    ext_id           text NOT NULL CHECK (length(ext_id) BETWEEN 1 AND 200),
    method           text NOT NULL,
    brand            text CHECK (length(brand) <= 40),
    last4            text CHECK (last4 ~ '^[0-9]{4}$'),
    exp_month        smallint CHECK (exp_month BETWEEN 1 AND 12),
    exp_year         smallint CHECK (exp_year BETWEEN 2000 AND 2200),
    fingerprint_hash bytea CHECK (octet_length(fingerprint_hash) = 32),
    saved_at         timestamptz NOT NULL,
    PRIMARY KEY (organisation_ref, processor, ext_id)
);
ALTER TABLE payment.saved_method ALTER COLUMN fingerprint_hash SET STATISTICS 0;
COMMENT ON TABLE payment.saved_method IS 'A method that a processor keeps for charges without the customer.';

-- Refunds: our wishes.

CREATE TABLE payment.refund (
    id               uuid PRIMARY KEY,
    order_id         uuid NOT NULL REFERENCES payment.orders (id),
    capture_id       uuid NOT NULL REFERENCES payment.fact (id),
    organisation_ref uuid NOT NULL,
    scope            text NOT NULL,
    amount_minor     bigint NOT NULL CHECK (amount_minor > 0),
    tax_micros       bigint NOT NULL CHECK (tax_micros BETWEEN 0 AND amount_minor * 10000),
    state            text NOT NULL CHECK (state IN ('waiting', 'approved', 'sending', 'sent', 'done', 'failed',
        'canceled')),
    reason_sealed    bytea,
    asked_by         text NOT NULL CHECK (length(asked_by) BETWEEN 1 AND 80),
    approved_by      text CHECK (length(approved_by) BETWEEN 1 AND 80),
    fact_id          uuid UNIQUE REFERENCES payment.fact (id),
    ext_id           text CHECK (length(ext_id) <= 200),
    failure          text CHECK (length(failure) <= 80),
    tries            integer NOT NULL DEFAULT 0,
    next_at          timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    changed_at       timestamptz NOT NULL,
    CONSTRAINT refund_second_person CHECK (approved_by <> asked_by)
);
CREATE INDEX refund_order ON payment.refund (order_id);
CREATE INDEX refund_capture ON payment.refund (capture_id);
CREATE INDEX refund_due ON payment.refund (next_at) WHERE state IN ('approved', 'sending');
COMMENT ON TABLE payment.refund IS 'Refunds as they were asked for; done when the processor''s fact says so.';
CREATE TRIGGER refund_known BEFORE UPDATE OF id, order_id, capture_id, organisation_ref, scope, amount_minor, tax_micros,
    asked_by ON payment.refund FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER refund_kept BEFORE DELETE ON payment.refund FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER refund_kept_whole BEFORE TRUNCATE ON payment.refund EXECUTE FUNCTION ledger.deny();

CREATE TABLE payment.evidence (
    dispute_id       uuid PRIMARY KEY REFERENCES payment.fact (id),
    organisation_ref uuid NOT NULL,
    text_sealed      bytea NOT NULL,
    state            text NOT NULL CHECK (state IN ('waiting', 'sent')),
    made_by          text NOT NULL CHECK (length(made_by) BETWEEN 1 AND 80),
    made_at          timestamptz NOT NULL
);
COMMENT ON TABLE payment.evidence IS 'What we answer to a dispute.';

-- Bank transfers

CREATE TABLE payment.confirmation (
    id               uuid PRIMARY KEY,
    order_id         uuid NOT NULL REFERENCES payment.orders (id),
    organisation_ref uuid NOT NULL,
    account          text NOT NULL CHECK (length(account) BETWEEN 1 AND 80),
    reference        text NOT NULL CHECK (length(reference) BETWEEN 1 AND 140),
    day              date NOT NULL,
    amount_minor     bigint NOT NULL CHECK (amount_minor BETWEEN 1 AND 100000000),
    state            text NOT NULL CHECK (state IN ('first', 'confirmed', 'withdrawn')),
    first_by         text NOT NULL CHECK (length(first_by) BETWEEN 1 AND 80),
    second_by        text CHECK (length(second_by) BETWEEN 1 AND 80),
    first_at         timestamptz NOT NULL,
    second_at        timestamptz,
    CONSTRAINT confirmation_second_person CHECK (second_by <> first_by),
    CHECK ((state = 'confirmed') = (second_by IS NOT NULL))
);
-- However a line is copied, it is one: case and blanks make no other of it. Not in SQL: a body that the planner puts in
-- place of the call, for some logins and not for others, is no longer what ON CONFLICT names.
CREATE FUNCTION payment.entry(p_text text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN upper(regexp_replace(p_text, '\s', '', 'g'));
END $$;
CREATE UNIQUE INDEX confirmation_entry ON payment.confirmation
    (payment.entry(account), payment.entry(reference), day, amount_minor) WHERE state <> 'withdrawn';
CREATE INDEX confirmation_order ON payment.confirmation (order_id);
COMMENT ON TABLE payment.confirmation IS 'Lines of the bank''s statement, each confirmed by two people.';
CREATE TRIGGER confirmation_known BEFORE UPDATE OF id, order_id, organisation_ref, account, reference, day, amount_minor,
    first_by, first_at ON payment.confirmation FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER confirmation_kept BEFORE DELETE ON payment.confirmation FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER confirmation_kept_whole BEFORE TRUNCATE ON payment.confirmation EXECUTE FUNCTION ledger.deny();

-- Credits and write-offs that wait for a second person; the others are recorded as done by one.

CREATE TABLE payment.wish (
    id               uuid PRIMARY KEY,
    kind             text NOT NULL CHECK (kind IN ('credit', 'writeoff', 'void')),
    organisation_ref uuid NOT NULL,
    scope            text NOT NULL CHECK (scope IN ('sandbox', 'live')),
    amount_micros    bigint NOT NULL CHECK (amount_micros BETWEEN 1 AND 1000000000000),
    account          text CHECK (account ~ '^[a-z_]{2,40}$'),
    reason_sealed    bytea,
    state            text NOT NULL CHECK (state IN ('waiting', 'done', 'rejected')),
    asked_by         text NOT NULL CHECK (length(asked_by) BETWEEN 1 AND 80),
    settled_by       text CHECK (length(settled_by) BETWEEN 1 AND 80),
    asked_at         timestamptz NOT NULL,
    settled_at       timestamptz,
    lot_id           uuid REFERENCES ledger.lot (id),
    CHECK ((kind = 'writeoff') = (account IS NOT NULL)),
    CHECK ((kind = 'void') = (lot_id IS NOT NULL)),
    CONSTRAINT wish_second_person CHECK (state <> 'done' OR settled_by IS NULL OR settled_by <> asked_by)
);
CREATE INDEX wish_waiting ON payment.wish (asked_at) WHERE state = 'waiting';
CREATE INDEX wish_organisation ON payment.wish (organisation_ref);
COMMENT ON TABLE payment.wish IS 'Credits by hand, write-offs and credit taken back, with the second person of large ones.';
CREATE TRIGGER wish_known BEFORE UPDATE OF id, kind, organisation_ref, scope, amount_micros, account, asked_by, asked_at, lot_id
    ON payment.wish FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER wish_kept BEFORE DELETE ON payment.wish FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER wish_kept_whole BEFORE TRUNCATE ON payment.wish EXECUTE FUNCTION ledger.deny();

-- Freezes

CREATE TABLE payment.freeze (
    id               uuid PRIMARY KEY,
    organisation_ref uuid NOT NULL,
    scope            text NOT NULL CHECK (scope IN ('sandbox', 'live')),
    cause            text NOT NULL CHECK (cause IN ('dispute', 'card_testing', 'staff')),
    method           text,
    ref              uuid,
    began_at         timestamptz NOT NULL,
    began_by         text NOT NULL CHECK (length(began_by) BETWEEN 1 AND 80),
    ended_at         timestamptz,
    reviewed_at      timestamptz,
    reviewed_by      text CHECK (length(reviewed_by) BETWEEN 1 AND 80),
    decision         text CHECK (decision IN ('lift', 'keep')),
    CHECK ((reviewed_at IS NULL) = (reviewed_by IS NULL) AND (reviewed_at IS NULL) = (decision IS NULL)),
    CONSTRAINT freeze_lifted CHECK (decision IS DISTINCT FROM 'lift' OR ended_at IS NOT NULL)
);
CREATE UNIQUE INDEX freeze_ref ON payment.freeze (ref) WHERE ref IS NOT NULL;
CREATE INDEX freeze_in_force ON payment.freeze (organisation_ref, scope) WHERE ended_at IS NULL;
CREATE INDEX freeze_waiting ON payment.freeze (began_at) WHERE reviewed_at IS NULL;
COMMENT ON TABLE payment.freeze IS
    'Stops of an organisation''s spending and paying: a dispute stops payments by its method, staff and card testing all of '
    'them. The automatic ones wait for a person.';
CREATE TRIGGER freeze_kept BEFORE DELETE ON payment.freeze FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER freeze_kept_whole BEFORE TRUNCATE ON payment.freeze EXECUTE FUNCTION ledger.deny();

-- Auto top-up

CREATE TABLE payment.auto (
    organisation_ref   uuid PRIMARY KEY,
    scope              text NOT NULL CHECK (scope IN ('sandbox', 'live')),
    state              text NOT NULL CHECK (state IN ('on', 'off', 'paused')),
    reason             text CHECK (length(reason) <= 40),
    threshold_micros   bigint NOT NULL CHECK (threshold_micros >= 0),
    target_micros      bigint NOT NULL CHECK (target_micros > threshold_micros),
    monthly_cap_micros bigint NOT NULL CHECK (monthly_cap_micros >= target_micros),
    processor          text NOT NULL,
    saved              text NOT NULL,
    failures           integer NOT NULL DEFAULT 0 CHECK (failures BETWEEN 0 AND 3),
    next_at            timestamptz,
    recovery_url       text CHECK (length(recovery_url) <= 2000),
    changed_at         timestamptz NOT NULL
);
CREATE INDEX auto_on ON payment.auto (organisation_ref) WHERE state = 'on';
COMMENT ON TABLE payment.auto IS 'Auto top-up: threshold, target and monthly cap, and how it stands.';

CREATE TABLE payment.attempt (
    id               uuid PRIMARY KEY,
    organisation_ref uuid NOT NULL,
    number           integer NOT NULL,
    order_id         uuid NOT NULL UNIQUE REFERENCES payment.orders (id),
    amount_micros    bigint NOT NULL CHECK (amount_micros > 0),
    charged_micros   bigint NOT NULL,
    customer         text CHECK (length(customer) BETWEEN 1 AND 200),
    saved            text CHECK (length(saved) BETWEEN 1 AND 200),
    month            date NOT NULL CHECK (extract(day FROM month) = 1),
    cap_micros       bigint NOT NULL,
    state            text NOT NULL CHECK (state IN ('open', 'succeeded', 'failed', 'action')),
    code             text CHECK (length(code) <= 80),
    begun_at         timestamptz NOT NULL,
    ended_at         timestamptz,
    sent_at          timestamptz,
    UNIQUE (organisation_ref, number),
    CONSTRAINT attempt_charged CHECK (charged_micros >= amount_micros)
);
CREATE UNIQUE INDEX attempt_one_open ON payment.attempt (organisation_ref) WHERE state = 'open';
CREATE INDEX attempt_open ON payment.attempt (begun_at) WHERE state = 'open';
COMMENT ON TABLE payment.attempt IS
    'Charges of auto top-up, one open at a time; open ones count towards the cap. amount is the credit, charged what the '
    'method pays, tax included. customer, saved: what is charged, and charged again when no answer came, until it ended.';
CREATE TRIGGER attempt_known BEFORE UPDATE OF id, organisation_ref, number, order_id, amount_micros, charged_micros, month,
    cap_micros, begun_at ON payment.attempt FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE FUNCTION payment.attempt_guard() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (NEW.saved, NEW.customer) IS DISTINCT FROM (OLD.saved, OLD.customer)
        AND NOT (NEW.state <> 'open' AND NEW.saved IS NULL AND NEW.customer IS NULL) THEN
        RAISE EXCEPTION 'immutable' USING ERRCODE = 'RX900';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER attempt_by_one_method BEFORE UPDATE OF customer, saved ON payment.attempt
    FOR EACH ROW EXECUTE FUNCTION payment.attempt_guard();
CREATE TRIGGER attempt_kept BEFORE DELETE ON payment.attempt FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER attempt_kept_whole BEFORE TRUNCATE ON payment.attempt EXECUTE FUNCTION ledger.deny();

-- Marks against abuse: keyed hashes that name nobody and end.

CREATE TABLE payment.velocity_mark (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind  text NOT NULL CHECK (kind IN ('organisation', 'address', 'card', 'decline')),
    hash  bytea NOT NULL CHECK (octet_length(hash) = 32),
    other bytea CHECK (octet_length(other) = 32),
    at    timestamptz NOT NULL
);
CREATE INDEX velocity_recent ON payment.velocity_mark (kind, hash, at);
ALTER TABLE payment.velocity_mark ALTER COLUMN hash SET STATISTICS 0;
ALTER TABLE payment.velocity_mark ALTER COLUMN other SET STATISTICS 0;
COMMENT ON TABLE payment.velocity_mark IS 'Tries to pay of the last two days, as keyed hashes.';

CREATE TABLE payment.trial_mark (
    hash    bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    ends_at timestamptz NOT NULL
);
ALTER TABLE payment.trial_mark ALTER COLUMN hash SET STATISTICS 0;
COMMENT ON TABLE payment.trial_mark IS 'Who had a trial: slow keyed hashes of their own key, tied to nothing, with an end.';

-- The system's own accounts, made when first used.

CREATE FUNCTION payment.account(p_code text, p_kind text, p_scope text) RETURNS uuid
    LANGUAGE plpgsql
AS $$
DECLARE
    named text := p_code || CASE WHEN p_scope = 'sandbox' THEN ':sandbox' ELSE '' END;
BEGIN
    INSERT INTO ledger.account (id, code, kind, unit, scope, no_overdraft, counted)
        VALUES (ledger.account_id(named), named, p_kind, 'usd_micros', p_scope, false, false)
        ON CONFLICT DO NOTHING;
    RETURN ledger.account_id(named);
END $$;

CREATE FUNCTION payment.shortfall(p_organisation uuid, p_scope text) RETURNS uuid
    LANGUAGE plpgsql
AS $$
DECLARE
    named text := ledger.shortfall_code(p_organisation, p_scope);
BEGIN
    INSERT INTO ledger.account (id, code, kind, organisation_ref, scope, no_overdraft, counted, opened_at)
        VALUES (ledger.account_id(named), named, 'asset', p_organisation, p_scope, false, true, ruxa.now())
        ON CONFLICT DO NOTHING;
    RETURN ledger.account_id(named);
END $$;

-- One transfer of a fact or a refund; its id follows from the ref and its place among the ref's transfers.
CREATE FUNCTION payment.move(
    p_ref uuid, p_state text, p_debit uuid, p_credit uuid, p_amount bigint, p_code text, p_organisation uuid,
    p_scope text
) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    IF p_amount > 0 THEN
        PERFORM ledger.enter(ledger.derived_id(ruxa.now(), concat_ws(' ', p_ref, p_code, p_state,
            (SELECT count(*) FROM ledger.transfer WHERE ref = p_ref))), p_state, p_debit, p_credit, p_amount, p_code,
            p_organisation, p_scope, p_ref);
    END IF;
END $$;

-- Takes `net` and `tax` of a capture back to the processor: from its lot what is free, the rest as a debt.
CREATE FUNCTION payment.take(c payment.fact, p_ref uuid, p_code text, p_state text, p_net bigint, p_tax bigint)
    RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    clearing uuid := payment.account('asset:clearing:' || c.processor, 'asset', c.scope);
    lot_account uuid;
    free bigint;
    from_lot bigint;
BEGIN
    SELECT a.id, a.cr_posted - a.dr_posted - a.dr_pending INTO lot_account, free
        FROM ledger.lot AS l JOIN ledger.account AS a ON a.id = l.account_id WHERE l.id = c.id;
    from_lot := greatest(least(coalesce(free, 0), p_net), 0);
    PERFORM payment.move(p_ref, p_state, lot_account, clearing, from_lot, p_code, c.organisation_ref, c.scope);
    IF p_net > from_lot THEN
        PERFORM payment.move(p_ref, p_state, payment.shortfall(c.organisation_ref, c.scope), clearing,
            p_net - from_lot, p_code || '_debt', c.organisation_ref, c.scope);
    END IF;
    IF p_tax > 0 THEN
        PERFORM payment.move(p_ref, p_state, payment.account('liability:tax:' || (
            SELECT o.tax_code FROM payment.orders AS o WHERE o.id = c.order_id), 'liability', c.scope), clearing, p_tax,
            p_code || '_tax', c.organisation_ref, c.scope);
    END IF;
END $$;

-- Voids what is pending for a fact or a refund.
CREATE FUNCTION payment.release(p_ref uuid) RETURNS void
    LANGUAGE sql
AS $$
    SELECT ledger.resolve(t.id, 0, 'returned') FROM ledger.transfer AS t
    WHERE t.ref = p_ref AND t.state = 'pending'
        AND NOT EXISTS (SELECT FROM ledger.transfer AS r WHERE r.id = ledger.resolution_id(t.id))
    ORDER BY t.seq
$$;

-- Undoes a posted taking: the debt first, the rest to the lot.
CREATE FUNCTION payment.give_back(c payment.fact, p_ref uuid, p_code text, p_net bigint, p_tax bigint) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    clearing uuid := payment.account('asset:clearing:' || c.processor, 'asset', c.scope);
    debtor uuid := payment.shortfall(c.organisation_ref, c.scope);
    owed bigint;
BEGIN
    SELECT greatest(least(a.dr_posted - a.cr_posted, p_net), 0) INTO owed FROM ledger.account AS a WHERE a.id = debtor;
    PERFORM payment.move(p_ref, 'posted', clearing, debtor, owed, p_code || '_debt_back', c.organisation_ref, c.scope);
    PERFORM payment.move(p_ref, 'posted', clearing, (SELECT l.account_id FROM ledger.lot AS l WHERE l.id = c.id),
        p_net - owed, p_code || '_back', c.organisation_ref, c.scope);
    IF p_tax > 0 THEN
        PERFORM payment.move(p_ref, 'posted', clearing, payment.account('liability:tax:' || (
            SELECT o.tax_code FROM payment.orders AS o WHERE o.id = c.order_id), 'liability', c.scope), p_tax,
            p_code || '_tax_back', c.organisation_ref, c.scope);
    END IF;
END $$;

-- The tax in `amount` more of a capture, so that all of it together is the capture's tax; never more than the amount: a
-- refund and a dispute may be about the same cents, and one of them may have ended since.
CREATE FUNCTION payment.tax_part(c payment.fact, p_minor bigint) RETURNS bigint
    LANGUAGE sql STABLE
    RETURN least(c.tax_micros - c.taken_tax_micros, p_minor * 10000,
        CASE WHEN c.taken_minor + p_minor < c.amount_minor
            THEN round(c.tax_micros::numeric * p_minor / greatest(c.amount_minor, 1))::bigint END);

-- What an order's facts make of it.
CREATE FUNCTION payment.order_state(o payment.orders) RETURNS text
    LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN count(*) FILTER (WHERE f.kind = 'dispute' AND f.status IN ('open', 'pending')) > 0 THEN 'disputed'
        WHEN count(*) FILTER (WHERE f.kind = 'dispute' AND f.status = 'lost') > 0 THEN 'charged_back'
        WHEN sum(f.amount_minor) FILTER (WHERE f.kind = 'capture' AND f.status = 'succeeded')
            <= sum(f.amount_minor) FILTER (WHERE f.kind = 'refund' AND f.status = 'succeeded') THEN 'refunded'
        WHEN sum(f.amount_minor * 10000 - f.tax_micros) FILTER (WHERE f.kind = 'capture' AND f.status = 'succeeded')
            >= o.amount_micros THEN 'paid'
        WHEN count(*) FILTER (WHERE f.kind = 'capture' AND f.status = 'succeeded') > 0 THEN 'partial'
        WHEN count(*) FILTER (WHERE f.kind = 'capture' AND f.status = 'pending') > 0 THEN 'pending'
        WHEN o.closed IS NOT NULL THEN o.closed
        ELSE coalesce((array_agg(f.status ORDER BY payment.rank(f.kind, f.status) DESC, f.ext_id)
            FILTER (WHERE f.kind = 'capture'))[1], 'open') END
    FROM payment.fact AS f WHERE f.order_id = o.id
$$;

CREATE FUNCTION payment.order_settle(p_id uuid) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    o payment.orders;
    fresh text;
BEGIN
    SELECT * INTO o FROM payment.orders WHERE id = p_id FOR NO KEY UPDATE;
    fresh := payment.order_state(o);
    UPDATE payment.orders AS u SET state = fresh,
        received_minor = coalesce(f.received, 0), refunded_minor = coalesce(f.refunded, 0),
        paid_at = coalesce(u.paid_at, CASE WHEN f.received > 0 THEN ruxa.now() END),
        url = CASE WHEN fresh IN ('open', 'pending') THEN u.url END
        FROM (SELECT sum(x.amount_minor) FILTER (WHERE x.kind = 'capture' AND x.status = 'succeeded') AS received,
                sum(x.amount_minor) FILTER (WHERE x.kind = 'refund' AND x.status = 'succeeded') AS refunded
            FROM payment.fact AS x WHERE x.order_id = p_id) AS f
        WHERE u.id = p_id;
    IF fresh IN ('paid', 'partial', 'disputed', 'refunded', 'charged_back') THEN
        UPDATE payment.attempt SET state = 'succeeded', code = NULL, ended_at = ruxa.now(), customer = NULL, saved = NULL
            WHERE order_id = p_id AND state <> 'succeeded';
        IF FOUND THEN
            UPDATE payment.auto SET failures = 0, next_at = NULL, recovery_url = NULL,
                state = CASE WHEN state = 'paused' AND reason = 'action' THEN 'on' ELSE state END,
                reason = CASE WHEN state = 'paused' AND reason = 'action' THEN NULL ELSE reason END
                WHERE organisation_ref = o.organisation_ref;
        END IF;
    END IF;
END $$;

-- Whether these two may be one person: the same, or real money and one of them unnamed (a command line at which nobody
-- said who sits there). Who is named has a kind and an id.
CREATE FUNCTION payment.one_person(p_one text, p_other text, p_scope text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN p_one = p_other OR p_scope = 'live' AND NOT (p_one LIKE '%_:_%' AND p_other LIKE '%_:_%');

-- Freezing

CREATE FUNCTION payment.freeze_begin(
    p_organisation uuid, p_scope text, p_cause text, p_method text, p_ref uuid, p_by text
) RETURNS uuid
    LANGUAGE plpgsql
AS $$
DECLARE
    made uuid := ledger.derived_id(ruxa.now(), gen_random_uuid()::text);
BEGIN
    INSERT INTO payment.freeze AS z (id, organisation_ref, scope, cause, method, ref, began_at, began_by)
        VALUES (made, p_organisation, p_scope, p_cause, p_method, p_ref, ruxa.now(), p_by)
        ON CONFLICT (ref) WHERE ref IS NOT NULL DO UPDATE SET ended_at = NULL WHERE z.decision IS NULL;
    PERFORM pg_notify('lease_recall', p_organisation::text);
    RETURN made;
END $$;

CREATE FUNCTION payment.frozen(p_organisation uuid, p_scope text) RETURNS boolean
    LANGUAGE sql STABLE
AS $$
    SELECT EXISTS (SELECT FROM payment.freeze AS f
        WHERE f.organisation_ref = p_organisation AND f.scope = p_scope AND f.ended_at IS NULL)
$$;

-- A wish of a refund that ends without one: what it held is free, what it kept of the capture too.
CREATE FUNCTION payment.refund_drop(p_id uuid, p_state text, p_why text) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    w payment.refund;
BEGIN
    UPDATE payment.refund SET state = p_state, failure = p_why, changed_at = ruxa.now()
        WHERE id = p_id AND fact_id IS NULL AND state IN ('waiting', 'approved', 'sending', 'sent') RETURNING * INTO w;
    IF FOUND THEN
        PERFORM payment.release(p_id);
        UPDATE payment.fact SET asked_minor = asked_minor - w.amount_minor, taken_minor = taken_minor - w.amount_minor,
            taken_tax_micros = taken_tax_micros - w.tax_micros WHERE id = w.capture_id;
    END IF;
END $$;

-- Noting a fact

CREATE TYPE payment.reading AS (
    kind text, ext_id text, order_id uuid, parent text, amount_minor bigint, tax_minor bigint, currency text,
    fee_minor bigint, status text, at timestamptz, livemode boolean, account text
);

CREATE FUNCTION payment.quarantine_put(p_processor text, r payment.reading, p_reason text) RETURNS void
    LANGUAGE sql
AS $$
    INSERT INTO payment.quarantine AS q (id, processor, kind, ext_id, reason, reading, parent, first_at, last_at)
        VALUES (ledger.derived_id(ruxa.now(), gen_random_uuid()::text), left(p_processor, 32), left(r.kind, 32),
            left(r.ext_id, 200), p_reason, to_jsonb(r), left(r.parent, 200), ruxa.now(), ruxa.now())
        ON CONFLICT (processor, kind, ext_id, reason) WHERE state = 'waiting'
            DO UPDATE SET times = least(q.times, 2000000000) + 1, last_at = excluded.last_at,
                -- What is taken up later is the furthest that was read, not the last.
                reading = CASE WHEN coalesce(payment.rank(q.kind, q.reading ->> 'status'), 0)
                    > coalesce(payment.rank(q.kind, excluded.reading ->> 'status'), 0)
                    THEN q.reading ELSE excluded.reading END
$$;

-- The order and capture that a reading is about; nulls when it is about none that is known.
CREATE FUNCTION payment.about(p_processor text, r payment.reading, OUT o payment.orders, OUT c payment.fact)
    LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF r.kind = 'capture' THEN
        SELECT * INTO o FROM payment.orders WHERE id = r.order_id AND processor = p_processor;
    ELSIF r.kind <> 'payout' THEN
        SELECT * INTO c FROM payment.fact
            WHERE id = payment.fact_id(p_processor, 'capture', r.parent) AND status = 'succeeded';
        IF r.parent IS NULL AND r.order_id IS NOT NULL AND r.kind <> 'fee' THEN
            -- It names its order alone: good enough when that has one capture.
            SELECT * INTO c FROM payment.fact AS f WHERE f.order_id = r.order_id AND f.processor = p_processor
                AND f.kind = 'capture' AND f.status = 'succeeded'
                AND NOT EXISTS (SELECT FROM payment.fact AS g WHERE g.order_id = f.order_id AND g.kind = 'capture'
                    AND g.status = 'succeeded' AND g.id <> f.id);
        END IF;
        SELECT * INTO o FROM payment.orders WHERE id = c.order_id;
    END IF;
END $$;

-- p_sure: a person looked and accepts the amount as it is.
CREATE FUNCTION payment.note(
    p_processor text, r payment.reading, p_sure boolean,
    OUT outcome text, OUT reason text, OUT fact_id uuid, OUT order_id uuid, OUT organisation uuid
)
    LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz;
    place text;
    known payment.fact;
    fresh payment.fact;
    o payment.orders;
    c payment.fact;
    found_about record;
    was text := 'none';
    now_is text;
    net bigint;
    clearing uuid;
    wish payment.refund;
    parked payment.quarantine;
    ours text;
    held boolean;
BEGIN
    fact_id := payment.fact_id(p_processor, r.kind, r.ext_id);
    place := CASE WHEN r.livemode THEN 'live' ELSE 'sandbox' END;
    IF payment.rank(r.kind, r.status) IS NULL OR r.ext_id IS NULL OR length(r.ext_id) NOT BETWEEN 1 AND 200
        OR r.at IS NULL OR r.livemode IS NULL OR r.account IS NULL OR length(r.account) > 120
        OR r.kind NOT IN ('capture', 'refund', 'dispute', 'fee', 'payout')
        OR (r.kind <> 'dispute' AND r.status IN ('won', 'lost'))
        OR r.at NOT BETWEEN '2000-01-01' AND ruxa.now() + interval '2 days' THEN
        reason := 'field';
    ELSIF r.amount_minor IS NULL OR r.amount_minor NOT BETWEEN 0 AND 100000000000
        OR (r.amount_minor = 0 AND payment.weight(r.kind, r.status) <> 'none')
        OR r.fee_minor NOT BETWEEN 0 AND 100000000000
        OR r.tax_minor NOT BETWEEN 0 AND r.amount_minor THEN
        reason := 'amount';
    ELSIF r.currency IS DISTINCT FROM 'USD' THEN
        reason := 'currency';
    ELSE
        INSERT INTO payment.merchant VALUES (p_processor, r.livemode, r.account) ON CONFLICT DO NOTHING;
        IF (SELECT m.account FROM payment.merchant AS m WHERE m.processor = p_processor AND m.livemode = r.livemode)
            <> r.account THEN
            reason := 'account';
        END IF;
    END IF;
    IF reason IS NULL THEN
        found_about := payment.about(p_processor, r);
        o := found_about.o;
        IF o.id IS NULL AND r.kind = 'capture' THEN
            reason := 'order';
        ELSIF o.id IS NULL AND r.kind IN ('refund', 'dispute') THEN
            reason := 'capture_unknown';
        ELSIF o.id IS NOT NULL AND (o.scope = 'live') <> r.livemode THEN
            reason := 'mode';
        ELSIF o.id IS NOT NULL AND r.order_id <> o.id THEN
            reason := 'contradiction';
        END IF;
    END IF;
    -- The lock comes before anything that is read to decide by; what was read above never changes.
    IF o.id IS NOT NULL THEN
        PERFORM ledger.lock_organisation(o.organisation_ref);
        order_id := o.id;
        organisation := o.organisation_ref;
    ELSE
        PERFORM ledger.lock_organisation(payment.fact_id(coalesce(p_processor, ''), 'processor', ''));
    END IF;
    moment := ruxa.now();
    IF reason = 'capture_unknown' THEN
        -- It may have come while we waited for the processor's lock, under which what is parked is taken up. Its
        -- organisation's lock comes before that one: the caller begins again.
        found_about := payment.about(p_processor, r);
        IF (found_about.o).id IS NOT NULL THEN
            RAISE EXCEPTION 'again' USING ERRCODE = '40001';
        END IF;
    END IF;
    IF reason IS NULL THEN
        SELECT * INTO known FROM payment.fact WHERE id = fact_id FOR NO KEY UPDATE;
        held := FOUND;
        c := (payment.about(p_processor, r)).c;
        SELECT * INTO o FROM payment.orders WHERE id = o.id;
        IF held AND (r.kind <> 'fee' AND (known.order_id, known.capture_id) IS DISTINCT FROM (o.id, c.id)
            OR (known.amount_minor <> r.amount_minor AND payment.weight(known.kind, known.status) <> 'none'
                AND payment.rank(r.kind, r.status) >= payment.rank(r.kind, known.status))
            OR known.scope <> place) THEN
            reason := 'contradiction';
        ELSIF held AND known.status <> r.status AND payment.rank(r.kind, known.status) = payment.rank(r.kind, r.status)
            AND r.kind <> 'capture' AND r.status IN ('won', 'lost') THEN
            reason := 'contradiction';
        ELSIF r.kind = 'capture' AND r.status IN ('pending', 'succeeded') AND o.method <> 'bank_transfer' AND NOT p_sure
            AND NOT (held AND known.status = 'succeeded') THEN
            IF r.amount_minor * 10000 - coalesce(r.tax_minor * 10000, o.tax_micros) <> o.amount_micros THEN
                reason := 'amount';
            ELSIF r.status = 'succeeded' AND EXISTS (SELECT FROM payment.fact AS f WHERE f.order_id = o.id
                AND f.kind = 'capture' AND f.status = 'succeeded' AND f.id <> fact_id) THEN
                reason := 'second_capture';
            END IF;
        END IF;
    END IF;
    IF reason IS NOT NULL THEN
        PERFORM payment.quarantine_put(coalesce(p_processor, ''), r, reason);
        outcome := CASE reason WHEN 'capture_unknown' THEN 'parked' ELSE 'quarantined' END;
        RETURN;
    END IF;

    IF held THEN
        was := payment.weight(known.kind, known.status);
        IF payment.rank(r.kind, r.status) <= payment.rank(r.kind, known.status) THEN
            outcome := 'unchanged';
            r.status := known.status;
        END IF;
    END IF;
    now_is := payment.weight(r.kind, r.status);
    clearing := payment.account('asset:clearing:' || p_processor, 'asset', place);
    fresh := known;
    IF NOT held THEN
        fresh := ROW(fact_id, p_processor, r.kind, r.ext_id, o.id, c.id, o.organisation_ref, place, r.amount_minor, 0,
            NULL, 0, 0, 0, 0, r.currency, r.status, r.account, r.livemode, r.at, moment, moment)::payment.fact;
    END IF;

    -- A refund of more than was captured is nothing that we believe.
    IF r.kind = 'refund' AND was = 'none' AND now_is <> 'none' THEN
        SELECT * INTO wish FROM payment.refund AS w WHERE w.capture_id = c.id AND w.fact_id IS NULL
            AND w.state IN ('sending', 'sent') AND w.amount_minor = r.amount_minor
            AND (w.ext_id IS NULL OR w.ext_id = r.ext_id)
            ORDER BY (w.ext_id IS NULL), w.created_at, w.id LIMIT 1;
        IF c.refunded_minor + r.amount_minor > c.amount_minor THEN
            PERFORM payment.quarantine_put(p_processor, r, 'refund_exceeds_capture');
            outcome := 'quarantined';
            reason := 'refund_exceeds_capture';
            RETURN;
        END IF;
        IF wish.id IS NOT NULL THEN
            PERFORM payment.refund_drop(wish.id, wish.state, NULL);
        END IF;
        -- Made at the processor, not here: our own wishes give way, the newest first.
        LOOP
            SELECT * INTO c FROM payment.fact WHERE id = c.id;
            EXIT WHEN c.refunded_minor + c.asked_minor + r.amount_minor <= c.amount_minor;
            PERFORM payment.refund_drop((SELECT w.id FROM payment.refund AS w WHERE w.capture_id = c.id
                AND w.fact_id IS NULL AND w.state IN ('waiting', 'approved', 'sending', 'sent')
                ORDER BY w.created_at DESC, w.id DESC LIMIT 1), 'failed', 'refunded_elsewhere');
        END LOOP;
    END IF;

    IF held AND was = 'none' AND (known.amount_minor <> r.amount_minor) THEN
        fresh.amount_minor := r.amount_minor;
    END IF;
    IF r.kind = 'capture' AND was = 'none' AND now_is = 'post' THEN
        fresh.tax_micros := CASE WHEN r.tax_minor IS NOT NULL THEN r.tax_minor * 10000
            ELSE round((o.received_minor + fresh.amount_minor)::numeric * 10000 * o.tax_micros
                    / (o.amount_micros + o.tax_micros))::bigint
                - coalesce((SELECT sum(f.tax_micros) FROM payment.fact AS f WHERE f.order_id = o.id
                    AND f.kind = 'capture' AND f.status = 'succeeded'), 0)::bigint END;
    ELSIF r.kind IN ('refund', 'dispute') AND was = 'none' AND now_is <> 'none' THEN
        fresh.tax_micros := payment.tax_part(c, fresh.amount_minor);
    END IF;
    fresh.status := r.status;
    IF held THEN
        IF was = now_is AND fresh.status = known.status AND (r.fee_minor IS NULL OR known.fee_minor IS NOT NULL)
            AND NOT (r.kind = 'dispute' AND now_is = 'hold') THEN
            outcome := 'unchanged';
        END IF;
        UPDATE payment.fact SET status = fresh.status, amount_minor = fresh.amount_minor, tax_micros = fresh.tax_micros,
            changed_at = CASE WHEN fresh.status <> known.status THEN moment ELSE changed_at END
            WHERE id = fact_id;
    ELSE
        INSERT INTO payment.fact SELECT fresh.*;
    END IF;
    net := fresh.amount_minor * 10000 - fresh.tax_micros;

    IF r.kind = 'capture' THEN
        IF was = 'none' AND now_is = 'post' THEN
            PERFORM ledger.lot_enter(fact_id, o.organisation_ref, o.scope, 'paid', net, 100, NULL,
                'capture:' || fact_id, NULL, o.made_by, clearing, 'topup');
            PERFORM payment.move(fact_id, 'posted', clearing, payment.account('liability:tax:' || o.tax_code,
                'liability', place), fresh.tax_micros, 'topup_tax', o.organisation_ref, place);
        END IF;
    ELSIF r.kind IN ('refund', 'dispute') THEN
        IF was = 'hold' AND now_is = 'hold' AND r.kind = 'dispute' AND EXISTS (
            SELECT FROM ledger.transfer AS t WHERE t.ref = fact_id AND t.state = 'pending' AND t.code = 'dispute_debt'
                AND NOT EXISTS (SELECT FROM ledger.transfer AS x WHERE x.id = ledger.resolution_id(t.id)))
            AND (SELECT a.cr_posted - a.dr_posted - a.dr_pending FROM ledger.lot AS l
                JOIN ledger.account AS a ON a.id = l.account_id WHERE l.id = c.id) > 0 THEN
            -- Leases came back since: what was a debt is held of the lot now.
            PERFORM payment.release(fact_id);
            PERFORM payment.take(c, fact_id, 'dispute', 'pending', net, fresh.tax_micros);
            outcome := 'posted';
        END IF;
        IF was <> now_is THEN
            IF was = 'hold' THEN
                PERFORM payment.release(fact_id);
            ELSIF was = 'post' THEN
                PERFORM payment.give_back(c, fact_id, r.kind, net, fresh.tax_micros);
            END IF;
            IF now_is = 'hold' THEN
                PERFORM payment.take(c, fact_id, r.kind, 'pending', net, fresh.tax_micros);
            ELSIF now_is = 'post' THEN
                PERFORM payment.take(c, fact_id, r.kind, 'posted', net, fresh.tax_micros);
            END IF;
            IF was = 'none' THEN
                UPDATE payment.fact SET taken_minor = taken_minor + fresh.amount_minor,
                    taken_tax_micros = taken_tax_micros + fresh.tax_micros,
                    refunded_minor = refunded_minor + CASE r.kind WHEN 'refund' THEN fresh.amount_minor ELSE 0 END
                    WHERE id = c.id;
            ELSIF now_is = 'none' THEN
                UPDATE payment.fact SET taken_minor = taken_minor - fresh.amount_minor,
                    taken_tax_micros = taken_tax_micros - fresh.tax_micros,
                    refunded_minor = refunded_minor - CASE r.kind WHEN 'refund' THEN fresh.amount_minor ELSE 0 END
                    WHERE id = c.id;
            END IF;
        END IF;
        IF r.kind = 'refund' THEN
            IF wish.id IS NOT NULL THEN
                UPDATE payment.refund SET fact_id = note.fact_id, ext_id = r.ext_id WHERE id = wish.id;
            END IF;
            UPDATE payment.refund AS w SET changed_at = moment, state = CASE now_is WHEN 'hold' THEN 'sent'
                    WHEN 'post' THEN 'done' ELSE 'failed' END,
                failure = CASE WHEN now_is = 'none' THEN r.status END
                WHERE w.fact_id = note.fact_id AND w.state <> CASE now_is WHEN 'hold' THEN 'sent' WHEN 'post' THEN 'done'
                    ELSE 'failed' END;
        ELSIF now_is <> 'none' AND was = 'none' THEN
            PERFORM payment.freeze_begin(o.organisation_ref, o.scope, 'dispute', o.method, fact_id, 'system');
            UPDATE payment.auto SET state = 'off', reason = 'dispute', changed_at = moment
                WHERE organisation_ref = o.organisation_ref AND state <> 'off';
            PERFORM payment.refund_drop(w.id, 'canceled', 'dispute') FROM payment.refund AS w
                WHERE w.capture_id = c.id AND w.state IN ('waiting', 'approved') ORDER BY w.id;
        ELSIF now_is = 'none' AND was <> 'none' THEN
            UPDATE payment.freeze SET ended_at = moment WHERE ref = note.fact_id AND ended_at IS NULL
                AND decision IS NULL;
        END IF;
    ELSIF r.kind = 'payout' AND was <> now_is THEN
        IF now_is = 'post' THEN
            PERFORM payment.move(fact_id, 'posted', payment.account('asset:bank', 'asset', place), clearing, net,
                'payout', NULL, place);
        ELSIF was = 'post' THEN
            PERFORM payment.move(fact_id, 'posted', clearing, payment.account('asset:bank', 'asset', place), net,
                'payout_back', NULL, place);
        END IF;
    ELSIF r.kind = 'fee' AND was = 'none' AND now_is = 'post' THEN
        PERFORM payment.move(fact_id, 'posted', payment.account('expense:processor_fees', 'expense', place), clearing,
            net, 'fee', o.organisation_ref, place);
    END IF;
    -- What the processor keeps of it is known now or later, and once; of a dispute also when that was won.
    IF r.kind <> 'fee' AND r.fee_minor IS NOT NULL AND fresh.fee_minor IS NULL
        AND (now_is = 'post' OR r.kind = 'dispute' AND r.status = 'won') THEN
        UPDATE payment.fact SET fee_minor = r.fee_minor WHERE id = fact_id;
        PERFORM payment.move(fact_id, 'posted', payment.account('expense:processor_fees', 'expense', place), clearing,
            r.fee_minor * 10000, 'fee', o.organisation_ref, place);
        outcome := 'posted';
    END IF;
    IF o.id IS NOT NULL THEN
        PERFORM payment.order_settle(o.id);
    END IF;
    UPDATE payment.quarantine SET state = 'cleared', settled_at = moment
        WHERE processor = p_processor AND kind = r.kind AND ext_id = r.ext_id AND state = 'waiting'
            AND quarantine.reason <> 'contradiction';
    outcome := coalesce(outcome, CASE WHEN was = now_is THEN 'noted' ELSE 'posted' END);

    IF r.kind = 'capture' AND was = 'none' AND now_is = 'post' THEN
        -- Refunds and disputes that came before it. Whoever parks one holds this lock until the commit.
        PERFORM ledger.lock_organisation(payment.fact_id(p_processor, 'processor', ''));
        FOR parked IN SELECT * FROM payment.quarantine WHERE processor = p_processor AND state = 'waiting'
            AND reason = 'capture_unknown'
            AND (parent = r.ext_id OR parent IS NULL AND reading ->> 'order_id' = o.id::text) ORDER BY first_at, id
        LOOP
            PERFORM payment.note(p_processor, jsonb_populate_record(NULL::payment.reading, parked.reading), false);
        END LOOP;
    END IF;
END $$;

CREATE FUNCTION payment.fact_note(
    p_processor text, p_reading jsonb,
    OUT outcome text, OUT reason text, OUT fact_id uuid, OUT order_id uuid, OUT organisation uuid
)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT n.outcome, n.reason, n.fact_id, n.order_id, n.organisation
    FROM payment.note(p_processor, jsonb_populate_record(NULL::payment.reading, p_reading), false) AS n
$$;

CREATE FUNCTION payment.quarantine_accept(
    p_id uuid, p_by uuid,
    OUT outcome text, OUT reason text, OUT fact_id uuid, OUT order_id uuid, OUT organisation uuid
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    q payment.quarantine;
    whose uuid;
    minor bigint;
BEGIN
    SELECT o.organisation_ref INTO whose FROM payment.quarantine AS w
        JOIN payment.orders AS o ON o.id = (w.reading ->> 'order_id')::uuid WHERE w.id = p_id;
    IF FOUND THEN
        PERFORM ledger.lock_organisation(whose);
    END IF;
    SELECT * INTO q FROM payment.quarantine WHERE id = p_id FOR NO KEY UPDATE;
    IF q.state IS DISTINCT FROM 'waiting' OR q.reason NOT IN ('amount', 'second_capture') OR q.kind <> 'capture' THEN
        RAISE EXCEPTION 'not there, or not in the state for this' USING ERRCODE = 'RX076';
    END IF;
    minor := (q.reading ->> 'amount_minor')::bigint;
    -- As credits by hand: over the bound two people, what one alone accepted within a day counts together. Who comes
    -- second agrees to what the first saw; what the processor says anew is looked at anew.
    IF (q.reading ->> 'livemode')::boolean AND EXISTS (SELECT FROM ruxa.instance AS i WHERE i.mode = 'live')
        AND minor * 10000 + coalesce((SELECT sum((w.reading ->> 'amount_minor')::bigint) * 10000
                FROM payment.quarantine AS w JOIN payment.orders AS o ON o.id = (w.reading ->> 'order_id')::uuid
                WHERE o.organisation_ref = whose AND w.state = 'accepted' AND w.asked_by IS NULL
                    AND (w.reading ->> 'livemode')::boolean AND w.settled_at > ruxa.now() - interval '1 day'), 0)
            > payment.bound('four_eyes_micros')
    THEN
        IF q.asked_by IS NULL OR q.asked_minor <> minor THEN
            UPDATE payment.quarantine SET asked_by = p_by, asked_minor = minor WHERE id = p_id;
            outcome := 'waiting';
        ELSIF q.asked_by = p_by THEN
            outcome := 'waiting';
            reason := 'second_person';
        END IF;
        IF outcome IS NOT NULL THEN
            order_id := (q.reading ->> 'order_id')::uuid;
            organisation := whose;
            fact_id := payment.fact_id(q.processor, q.kind, q.ext_id);
            RETURN;
        END IF;
    ELSE
        -- One is enough: who asked before is not counted for it.
        UPDATE payment.quarantine SET asked_by = NULL, asked_minor = NULL WHERE id = p_id AND asked_by IS NOT NULL;
    END IF;
    SELECT n.outcome, n.reason, n.fact_id, n.order_id, n.organisation
        INTO outcome, reason, fact_id, order_id, organisation
        FROM payment.note(q.processor, jsonb_populate_record(NULL::payment.reading, q.reading), true) AS n;
    IF outcome <> 'quarantined' THEN
        UPDATE payment.quarantine SET state = 'accepted', settled_by = p_by, settled_at = ruxa.now() WHERE id = p_id;
    END IF;
END $$;

CREATE FUNCTION payment.quarantine_dismiss(p_id uuid, p_by uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE payment.quarantine SET state = 'dismissed', settled_by = p_by, settled_at = ruxa.now()
        WHERE id = p_id AND state = 'waiting';
    RETURN FOUND;
END $$;

-- Orders: making, binding, closing

CREATE FUNCTION payment.order_make(
    p_id uuid, p_reference text, p_organisation uuid, p_amount bigint, p_tax bigint, p_tax_code text, p_processor text,
    p_method text, p_kind text, p_scope text, p_save boolean, p_expires timestamptz, p_by text
) RETURNS text
    LANGUAGE plpgsql
AS $$
DECLARE
    known payment.orders;
BEGIN
    PERFORM ledger.lock_organisation(p_organisation);
    SELECT * INTO known FROM payment.orders WHERE id = p_id;
    IF FOUND THEN
        IF (known.organisation_ref, known.amount_micros, known.tax_micros, known.processor, known.method, known.scope)
            IS DISTINCT FROM (p_organisation, p_amount, p_tax, p_processor, p_method, p_scope) THEN
            RAISE EXCEPTION 'exists with other contents' USING ERRCODE = 'RX005';
        END IF;
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM payment.freeze AS f WHERE f.organisation_ref = p_organisation AND f.scope = p_scope
        AND f.ended_at IS NULL AND f.cause = 'staff') THEN
        RETURN 'payments_stopped';
    ELSIF EXISTS (SELECT FROM payment.freeze AS f WHERE f.organisation_ref = p_organisation AND f.scope = p_scope
        AND f.ended_at IS NULL AND (f.method = p_method OR f.cause = 'card_testing')) THEN
        RETURN 'method_blocked';
    END IF;
    IF (SELECT count(*) FROM payment.orders AS o WHERE o.organisation_ref = p_organisation
        AND o.state IN ('open', 'pending') AND o.expires_at > ruxa.now()) >= 50 THEN
        RETURN 'too_many_open_orders';
    END IF;
    INSERT INTO payment.orders (id, reference, organisation_ref, scope, processor, method, kind, amount_micros,
            tax_micros, tax_code, save_method, made_by, created_at, expires_at)
        VALUES (p_id, p_reference, p_organisation, p_scope, p_processor, p_method, p_kind, p_amount, p_tax, p_tax_code,
            p_save, p_by, ruxa.now(), p_expires);
    RETURN NULL;
END $$;

CREATE FUNCTION payment.order_create(
    p_id uuid, p_reference text, p_organisation uuid, p_amount bigint, p_tax bigint, p_tax_code text, p_processor text,
    p_method text, p_kind text, p_scope text, p_save boolean, p_expires timestamptz, p_by text
) RETURNS text
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT payment.order_make(p_id, p_reference, p_organisation, p_amount, p_tax, p_tax_code, p_processor, p_method,
        p_kind, p_scope, p_save, p_expires, p_by)
$$;

CREATE FUNCTION payment.order_bind(p_id uuid, p_ext_id text, p_url text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    o payment.orders;
BEGIN
    SELECT * INTO o FROM payment.orders WHERE id = p_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such order' USING ERRCODE = 'RX070';
    ELSIF o.ext_id <> p_ext_id THEN
        RAISE EXCEPTION 'exists with other contents' USING ERRCODE = 'RX005';
    END IF;
    UPDATE payment.orders SET ext_id = p_ext_id, url = CASE WHEN state IN ('open', 'pending') THEN p_url END
        WHERE id = p_id;
END $$;

CREATE FUNCTION payment.order_end(p_id uuid, p_how text) RETURNS boolean
    LANGUAGE plpgsql
AS $$
DECLARE
    o payment.orders;
BEGIN
    SELECT * INTO o FROM payment.orders WHERE id = p_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such order' USING ERRCODE = 'RX070';
    END IF;
    PERFORM ledger.lock_organisation(o.organisation_ref);
    UPDATE payment.orders SET closed = p_how WHERE id = p_id AND state IN ('open', 'failed') AND closed IS NULL;
    IF FOUND THEN
        PERFORM payment.order_settle(p_id);
        RETURN true;
    END IF;
    RETURN false;
END $$;

CREATE FUNCTION payment.order_close(p_id uuid, p_how text) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT payment.order_end(p_id, p_how) $$;

-- An order is asked about at that pace for half an hour, in which nearly everybody pays; then ever less often, a twentieth of
-- its age, at most an hour. Who comes back from the processor's page, and every webhook, has it asked about at once.
CREATE FUNCTION payment.orders_poll(p_processor text, p_seconds integer, p_limit integer) RETURNS SETOF payment.orders
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE payment.orders AS o SET polled_at = ruxa.now() FROM (
        SELECT d.id FROM payment.orders AS d
        WHERE (p_processor IS NULL OR d.processor = p_processor) AND d.ext_id IS NOT NULL
            AND (d.state = 'pending' OR d.state IN ('open', 'failed', 'expired', 'canceled')
                AND d.expires_at > ruxa.now() - interval '1 day')
            AND coalesce(d.polled_at, d.created_at) <= ruxa.now() - CASE
                WHEN p_seconds > 0 AND d.created_at < ruxa.now() - interval '30 minutes'
                    THEN greatest(make_interval(secs => p_seconds), least((ruxa.now() - d.created_at) / 20, interval '1 hour'))
                ELSE make_interval(secs => p_seconds) END
        ORDER BY coalesce(d.polled_at, d.created_at) LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    ) AS due WHERE o.id = due.id RETURNING o.*
$$;

CREATE FUNCTION payment.orders_expire(p_limit integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one uuid;
    ended integer := 0;
BEGIN
    -- In the order of organisations, as everybody who locks more than one.
    FOR one IN SELECT o.id FROM payment.orders AS o WHERE o.state = 'open' AND o.closed IS NULL
        AND o.expires_at <= ruxa.now() - interval '1 hour' ORDER BY o.organisation_ref, o.id LIMIT p_limit
    LOOP
        ended := ended + payment.order_end(one, 'expired')::integer;
    END LOOP;
    RETURN ended;
END $$;

-- Hints

CREATE FUNCTION payment.inbox_put(
    p_processor text, p_event text, p_kind text, p_ext_id text, p_order uuid, p_at timestamptz
) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ledger.commit_durably();
    INSERT INTO payment.inbox (processor, event_id, kind, ext_id, order_id, at, received_at, next_at)
        VALUES (p_processor, p_event, p_kind, p_ext_id, p_order, p_at, ruxa.now(), ruxa.now())
        ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM pg_notify('payment_hint', p_processor);
        RETURN true;
    END IF;
    RETURN false;
END $$;

CREATE FUNCTION payment.inbox_due(p_processor text, p_limit integer) RETURNS SETOF payment.inbox
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE payment.inbox AS i SET next_at = ruxa.now() + interval '2 minutes' FROM (
        SELECT d.processor, d.event_id FROM payment.inbox AS d
        WHERE d.state = 'waiting' AND d.next_at <= ruxa.now() AND (p_processor IS NULL OR d.processor = p_processor)
        ORDER BY d.next_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    ) AS due WHERE i.processor = due.processor AND i.event_id = due.event_id RETURNING i.*
$$;

CREATE FUNCTION payment.inbox_done(p_processor text, p_event text, p_what text) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE payment.inbox SET state = p_what, code = NULL
        WHERE processor = p_processor AND event_id = p_event AND state = 'waiting' AND p_what IN ('done', 'ignored')
$$;

CREATE FUNCTION payment.inbox_failed(p_processor text, p_event text, p_code text) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE payment.inbox SET tries = tries + 1, code = left(p_code, 80),
        next_at = ruxa.now() + make_interval(secs => least(10 * 2 ^ least(tries, 12), 3600))
        WHERE processor = p_processor AND event_id = p_event AND state = 'waiting'
$$;

-- Refunds

CREATE FUNCTION payment.refund_ask(
    p_id uuid, p_organisation uuid, p_order uuid, p_minor bigint, p_reason bytea, p_by text, p_beyond boolean
) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    o payment.orders;
    c payment.fact;
    known payment.refund;
    tax bigint;
    free bigint;
BEGIN
    PERFORM ledger.lock_organisation(p_organisation);
    SELECT * INTO known FROM payment.refund WHERE id = p_id;
    IF FOUND THEN
        IF (known.order_id, known.amount_minor, known.organisation_ref) IS DISTINCT FROM (p_order, p_minor, p_organisation)
        THEN
            RAISE EXCEPTION 'exists with other contents' USING ERRCODE = 'RX005';
        END IF;
        RETURN NULL;
    END IF;
    SELECT * INTO o FROM payment.orders WHERE id = p_order AND organisation_ref = p_organisation;
    IF NOT FOUND THEN
        RETURN 'no_order';
    END IF;
    -- The capture with most to give; an order by card has one.
    SELECT * INTO c FROM payment.fact AS f WHERE f.order_id = p_order AND f.kind = 'capture' AND f.status = 'succeeded'
        ORDER BY f.amount_minor - f.refunded_minor - f.asked_minor DESC, f.id LIMIT 1 FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 'not_captured';
    ELSIF EXISTS (SELECT FROM payment.fact AS d WHERE d.order_id = p_order AND d.kind = 'dispute'
        AND d.status IN ('open', 'pending')) THEN
        RETURN 'dispute_open';
    ELSIF p_minor <= 0 OR p_minor > c.amount_minor - c.refunded_minor - c.asked_minor
        OR EXISTS (SELECT FROM payment.fact AS d WHERE d.capture_id = c.id AND d.kind = 'dispute' AND d.status = 'lost'
            AND d.amount_minor + c.refunded_minor + c.asked_minor + p_minor > c.amount_minor) THEN
        RETURN 'refund_exceeds_capture';
    END IF;
    tax := payment.tax_part(c, p_minor);
    SELECT a.cr_posted - a.dr_posted - a.dr_pending INTO free FROM ledger.lot AS l
        JOIN ledger.account AS a ON a.id = l.account_id WHERE l.id = c.id;
    IF free < p_minor * 10000 - tax THEN
        -- What leases hold unspent comes back within moments: asking again then may do.
        PERFORM pg_notify('lease_recall', p_organisation::text);
        IF NOT p_beyond THEN
            RETURN 'refund_exceeds_unspent';
        END IF;
    END IF;
    INSERT INTO payment.refund (id, order_id, capture_id, organisation_ref, scope, amount_minor, tax_micros, state,
            reason_sealed, asked_by, next_at, created_at, changed_at)
        VALUES (p_id, p_order, c.id, p_organisation, c.scope, p_minor, tax,
            -- In parts it is as large as at once: what no second person saw counts together.
            CASE WHEN (p_minor + coalesce((SELECT sum(w.amount_minor) FROM payment.refund AS w WHERE w.capture_id = c.id
                AND w.approved_by IS NULL AND w.state NOT IN ('failed', 'canceled')), 0)) * 10000
                    > payment.bound('four_eyes_micros') THEN 'waiting' ELSE 'approved' END,
            p_reason, p_by, ruxa.now(), ruxa.now(), ruxa.now());
    PERFORM payment.take(c, p_id, 'refund', 'pending', p_minor * 10000 - tax, tax);
    UPDATE payment.fact SET asked_minor = asked_minor + p_minor, taken_minor = taken_minor + p_minor,
        taken_tax_micros = taken_tax_micros + tax WHERE id = c.id;
    RETURN NULL;
END $$;

CREATE FUNCTION payment.refund_approve(p_id uuid, p_by text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w payment.refund;
BEGIN
    SELECT * INTO w FROM payment.refund WHERE id = p_id FOR NO KEY UPDATE;
    IF w.state IS DISTINCT FROM 'waiting' THEN
        RETURN 'wrong_state';
    ELSIF payment.one_person(w.asked_by, p_by, w.scope) THEN
        RETURN 'second_person';
    END IF;
    UPDATE payment.refund SET state = 'approved', approved_by = p_by, changed_at = ruxa.now() WHERE id = p_id;
    RETURN NULL;
END $$;

CREATE FUNCTION payment.refund_cancel(p_id uuid, p_by text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w payment.refund;
BEGIN
    SELECT * INTO w FROM payment.refund WHERE id = p_id;
    IF NOT FOUND THEN
        RETURN 'wrong_state';
    END IF;
    PERFORM ledger.lock_organisation(w.organisation_ref);
    SELECT * INTO w FROM payment.refund WHERE id = p_id FOR NO KEY UPDATE;
    IF w.state NOT IN ('waiting', 'approved') THEN
        RETURN 'wrong_state';
    END IF;
    PERFORM payment.refund_drop(p_id, 'canceled', left('by ' || p_by, 80));
    RETURN NULL;
END $$;

CREATE FUNCTION payment.refunds_due(p_limit integer) RETURNS SETOF uuid
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE payment.refund AS w SET state = 'sending', tries = w.tries + 1, next_at = ruxa.now() + interval '2 minutes',
        changed_at = ruxa.now()
    FROM (
        SELECT d.id FROM payment.refund AS d WHERE d.state IN ('approved', 'sending') AND d.next_at <= ruxa.now()
            AND NOT EXISTS (SELECT FROM payment.fact AS f WHERE f.order_id = d.order_id AND f.kind = 'dispute'
                AND f.status IN ('open', 'pending'))
        ORDER BY d.next_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    ) AS due WHERE w.id = due.id RETURNING w.id
$$;

CREATE FUNCTION payment.refund_sent(p_id uuid, p_ext_id text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w payment.refund;
BEGIN
    SELECT * INTO w FROM payment.refund WHERE id = p_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'not there, or not in the state for this' USING ERRCODE = 'RX076';
    END IF;
    PERFORM ledger.lock_organisation(w.organisation_ref);
    UPDATE payment.refund SET state = 'sent', ext_id = p_ext_id, changed_at = ruxa.now()
        WHERE id = p_id AND state = 'sending' AND fact_id IS NULL;
    RETURN (SELECT o.processor FROM payment.orders AS o WHERE o.id = w.order_id);
END $$;

CREATE FUNCTION payment.refund_refused(p_id uuid, p_code text, p_final boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w payment.refund;
BEGIN
    SELECT * INTO w FROM payment.refund WHERE id = p_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'not there, or not in the state for this' USING ERRCODE = 'RX076';
    END IF;
    PERFORM ledger.lock_organisation(w.organisation_ref);
    IF p_final THEN
        PERFORM payment.refund_drop(p_id, 'failed', left(p_code, 80));
    ELSE
        UPDATE payment.refund SET failure = left(p_code, 80),
            next_at = ruxa.now() + make_interval(secs => least(60 * 2 ^ least(tries, 10), 21600))
            WHERE id = p_id AND state = 'sending';
    END IF;
END $$;

CREATE FUNCTION payment.refundable(p_order uuid) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(max(CASE WHEN a.cr_posted - a.dr_posted - a.dr_pending <= 0 THEN 0
        -- Gross of what is free, down to a cent.
        ELSE least(c.amount_minor - c.refunded_minor - c.asked_minor,
            (a.cr_posted - a.dr_posted - a.dr_pending)::numeric * c.amount_minor
                / greatest(c.amount_minor * 10000 - c.tax_micros, 1))::numeric END), 0)::numeric(20, 4)::bigint * 10000
    FROM payment.fact AS c JOIN ledger.lot AS l ON l.id = c.id JOIN ledger.account AS a ON a.id = l.account_id
    WHERE c.order_id = p_order AND c.kind = 'capture' AND c.status = 'succeeded'
        AND NOT EXISTS (SELECT FROM payment.fact AS d WHERE d.order_id = p_order AND d.kind = 'dispute'
            AND d.status IN ('open', 'pending', 'lost'))
$$;

-- Disputes

CREATE VIEW payment.dispute AS
    SELECT d.id, d.ext_id, d.processor, d.order_id, d.organisation_ref, d.scope, d.amount_minor, d.status,
        coalesce(m.held, 0) AS held_micros, coalesce(m.debt, 0) AS debt_micros, d.at AS opened_at, d.changed_at,
        e.text_sealed AS evidence_sealed, e.made_by AS evidence_by, e.state AS evidence_state
    FROM payment.fact AS d LEFT JOIN payment.evidence AS e ON e.dispute_id = d.id
        LEFT JOIN LATERAL (
            SELECT sum(t.amount_micros) FILTER (WHERE t.code = 'dispute')::bigint AS held,
                sum(t.amount_micros) FILTER (WHERE t.code = 'dispute_debt')::bigint AS debt
            FROM ledger.transfer AS t WHERE t.ref = d.id AND t.state IN ('pending', 'posted')
                AND NOT EXISTS (SELECT FROM ledger.transfer AS r WHERE r.id = ledger.resolution_id(t.id))
        ) AS m ON true
    WHERE d.kind = 'dispute';
COMMENT ON VIEW payment.dispute IS 'Disputes with what is held of the lot, what is a debt, and our answer.';

CREATE FUNCTION payment.evidence_put(p_dispute uuid, p_text bytea, p_by text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO payment.evidence (dispute_id, organisation_ref, text_sealed, state, made_by, made_at)
        SELECT d.id, d.organisation_ref, p_text, 'waiting', p_by, ruxa.now() FROM payment.fact AS d
        WHERE d.id = p_dispute AND d.kind = 'dispute' AND d.status = 'open'
        ON CONFLICT (dispute_id) DO UPDATE SET text_sealed = excluded.text_sealed, state = 'waiting',
            made_by = excluded.made_by, made_at = excluded.made_at
            WHERE evidence.state = 'waiting';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'not there, or not in the state for this' USING ERRCODE = 'RX076';
    END IF;
END $$;

CREATE FUNCTION payment.evidence_sent(p_dispute uuid) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ UPDATE payment.evidence SET state = 'sent' WHERE dispute_id = p_dispute $$;

-- Freezes

CREATE FUNCTION payment.freeze_put(p_organisation uuid, p_scope text, p_by text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ledger.lock_organisation(p_organisation);
    RETURN payment.freeze_begin(p_organisation, p_scope, 'staff', NULL, NULL, p_by);
END $$;

CREATE FUNCTION payment.freeze_review(p_id uuid, p_decision text, p_by text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE payment.freeze SET decision = p_decision, reviewed_by = p_by, reviewed_at = ruxa.now(),
        ended_at = CASE WHEN p_decision = 'lift' THEN coalesce(ended_at, ruxa.now()) ELSE ended_at END
        WHERE id = p_id AND (decision IS NULL OR ended_at IS NULL);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'not there, or not in the state for this' USING ERRCODE = 'RX076';
    END IF;
END $$;

-- Bank transfers

CREATE FUNCTION payment.confirm_first(
    p_id uuid, p_order uuid, p_minor bigint, p_day date, p_reference text, p_account text, p_by text
) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    o payment.orders;
BEGIN
    SELECT * INTO o FROM payment.orders WHERE id = p_order AND method = 'bank_transfer';
    IF NOT FOUND THEN
        RETURN 'no_order';
    ELSIF payment.one_person(p_by, 'any:other', o.scope) THEN
        RETURN 'person_unnamed';
    END IF;
    INSERT INTO payment.confirmation (id, order_id, organisation_ref, account, reference, day, amount_minor, state,
            first_by, first_at)
        VALUES (p_id, p_order, o.organisation_ref, p_account, p_reference, p_day, p_minor, 'first', p_by, ruxa.now())
        ON CONFLICT (payment.entry(account), payment.entry(reference), day, amount_minor) WHERE state <> 'withdrawn'
            DO NOTHING;
    RETURN CASE WHEN FOUND THEN NULL ELSE 'entry_known' END;
END $$;

CREATE FUNCTION payment.confirm_second(
    p_id uuid, p_by text,
    OUT refusal text, OUT outcome text, OUT reason text, OUT fact_id uuid, OUT order_id uuid, OUT organisation uuid
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    f payment.confirmation;
    o payment.orders;
BEGIN
    SELECT * INTO f FROM payment.confirmation WHERE id = p_id;
    IF NOT FOUND THEN
        refusal := 'wrong_state';
        RETURN;
    END IF;
    PERFORM ledger.lock_organisation(f.organisation_ref);
    SELECT * INTO f FROM payment.confirmation WHERE id = p_id FOR NO KEY UPDATE;
    IF f.state <> 'first' THEN
        refusal := 'wrong_state';
        RETURN;
    END IF;
    SELECT * INTO o FROM payment.orders WHERE id = f.order_id;
    IF payment.one_person(f.first_by, p_by, o.scope) THEN
        refusal := 'second_person';
        RETURN;
    END IF;
    UPDATE payment.confirmation SET state = 'confirmed', second_by = p_by, second_at = ruxa.now() WHERE id = p_id;
    SELECT n.outcome, n.reason, n.fact_id, n.order_id, n.organisation
        INTO outcome, reason, fact_id, order_id, organisation
        FROM payment.note(o.processor, ROW('capture', f.id::text, o.id, NULL, f.amount_minor, NULL, 'USD', NULL,
            'succeeded', ruxa.now(), o.scope = 'live', coalesce((SELECT m.account FROM payment.merchant AS m
                WHERE m.processor = o.processor AND m.livemode = (o.scope = 'live')), ''))::payment.reading, true) AS n;
END $$;

CREATE FUNCTION payment.confirm_withdraw(p_id uuid, p_by text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE payment.confirmation SET state = 'withdrawn', second_at = ruxa.now() WHERE id = p_id AND state = 'first';
    RETURN CASE WHEN FOUND THEN NULL ELSE 'wrong_state' END;
END $$;

-- Credits, write-offs, lots taken back

CREATE FUNCTION payment.wish_do(w payment.wish) RETURNS text
    LANGUAGE plpgsql
AS $$
DECLARE
    debtor uuid;
    owed bigint;
BEGIN
    PERFORM ledger.lock_organisation(w.organisation_ref);
    IF w.kind = 'credit' THEN
        PERFORM ledger.lot_enter(w.id, w.organisation_ref, w.scope, 'paid', w.amount_micros, 100, NULL,
            'lot:' || replace(w.id::text, '-', ''), w.reason_sealed, w.asked_by,
            ledger.account_id('asset:operator_credit'), 'credit');
        RETURN NULL;
    ELSIF w.kind = 'void' THEN
        UPDATE ledger.lot SET voided_at = ruxa.now() WHERE id = w.lot_id AND voided_at IS NULL;
        IF NOT FOUND THEN
            RETURN 'no_lot';
        END IF;
        PERFORM ledger.lot_empty(w.lot_id);
        PERFORM pg_notify('lease_recall', w.organisation_ref::text);
        RETURN NULL;
    END IF;
    debtor := payment.shortfall(w.organisation_ref, w.scope);
    SELECT a.dr_posted - a.cr_posted INTO owed FROM ledger.account AS a WHERE a.id = debtor;
    IF w.amount_micros > owed THEN
        RETURN 'no_debt';
    END IF;
    PERFORM payment.move(w.id, 'posted', payment.account('expense:writeoff:' || w.account, 'expense', w.scope),
        debtor, w.amount_micros, 'writeoff', w.organisation_ref, w.scope);
    RETURN NULL;
END $$;

-- One person is enough for sandbox money, up to the bound, and where no real money is. In parts it is as large as at once:
-- what one person alone did for the organisation within a day counts together.
CREATE FUNCTION payment.wish_alone(p_kind text, p_organisation uuid, p_scope text, p_amount bigint) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN p_scope = 'sandbox' OR p_amount + coalesce((SELECT sum(v.amount_micros) FROM payment.wish AS v
            WHERE v.organisation_ref = p_organisation AND v.kind = p_kind AND v.scope = 'live' AND v.state = 'done'
                AND v.settled_by IS NULL AND v.asked_at > ruxa.now() - interval '1 day'), 0)
            <= payment.bound('four_eyes_micros')
        OR NOT EXISTS (SELECT FROM ruxa.instance AS i WHERE i.mode = 'live');

-- Done at once (true), or waiting for a second person: over the bound, for real money of a live instance.
CREATE FUNCTION payment.wish_put(
    p_id uuid, p_kind text, p_organisation uuid, p_scope text, p_amount bigint, p_account text, p_reason bytea, p_by text
) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w payment.wish;
    alone boolean;
    refusal text;
BEGIN
    PERFORM ledger.lock_organisation(p_organisation);
    SELECT * INTO w FROM payment.wish WHERE id = p_id;
    IF FOUND THEN
        IF (w.kind, w.organisation_ref, w.scope, w.amount_micros, w.account)
            IS DISTINCT FROM (p_kind, p_organisation, p_scope, p_amount, p_account) THEN
            RAISE EXCEPTION 'exists with other contents' USING ERRCODE = 'RX005';
        END IF;
        RETURN w.state = 'done';
    END IF;
    alone := payment.wish_alone(p_kind, p_organisation, p_scope, p_amount);
    w := ROW(p_id, p_kind, p_organisation, p_scope, p_amount, p_account, p_reason,
        CASE WHEN alone THEN 'done' ELSE 'waiting' END, p_by, NULL, ruxa.now(),
        CASE WHEN alone THEN ruxa.now() END, NULL)::payment.wish;
    INSERT INTO payment.wish SELECT w.*;
    IF alone THEN
        refusal := payment.wish_do(w);
        IF refusal IS NOT NULL THEN
            RAISE EXCEPTION 'more than is owed' USING ERRCODE = 'RX077';
        END IF;
    END IF;
    RETURN alone;
END $$;

CREATE FUNCTION payment.wish_approve(p_id uuid, p_by text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w payment.wish;
    refusal text;
BEGIN
    SELECT * INTO w FROM payment.wish WHERE id = p_id;
    IF NOT FOUND THEN
        RETURN 'wrong_state';
    END IF;
    PERFORM ledger.lock_organisation(w.organisation_ref);
    SELECT * INTO w FROM payment.wish WHERE id = p_id FOR NO KEY UPDATE;
    IF w.state <> 'waiting' THEN
        RETURN 'wrong_state';
    ELSIF payment.one_person(w.asked_by, p_by, w.scope) THEN
        RETURN 'second_person';
    END IF;
    refusal := payment.wish_do(w);
    IF refusal IS NULL THEN
        UPDATE payment.wish SET state = 'done', settled_by = p_by, settled_at = ruxa.now() WHERE id = p_id;
    END IF;
    RETURN refusal;
END $$;

CREATE FUNCTION payment.wish_reject(p_id uuid, p_by text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE payment.wish SET state = 'rejected', settled_by = p_by, settled_at = ruxa.now()
        WHERE id = p_id AND state = 'waiting';
    RETURN CASE WHEN FOUND THEN NULL ELSE 'wrong_state' END;
END $$;

-- Takes back what is left of a lot that nobody paid for: at once (moved: what nothing held), or waiting (moved NULL).
CREATE FUNCTION payment.lot_void(
    p_id uuid, p_lot uuid, p_reason bytea, p_by text, OUT refusal text, OUT moved bigint
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    l ledger.lot;
    rest bigint;
    free bigint;
    alone boolean;
    w payment.wish;
BEGIN
    SELECT * INTO l FROM ledger.lot WHERE id = p_lot;
    IF NOT FOUND THEN
        refusal := 'no_lot';
        RETURN;
    END IF;
    PERFORM ledger.lock_organisation(l.organisation_ref);
    SELECT * INTO l FROM ledger.lot WHERE id = p_lot FOR NO KEY UPDATE;
    SELECT a.cr_posted - a.dr_posted, a.cr_posted - a.dr_posted - a.dr_pending INTO rest, free
        FROM ledger.account AS a WHERE a.id = l.account_id;
    IF l.voided_at IS NOT NULL THEN
        refusal := 'no_lot';
    ELSIF EXISTS (SELECT FROM payment.fact AS f WHERE f.id = p_lot) THEN
        refusal := 'lot_was_paid';
    ELSIF rest <= 0 THEN
        refusal := 'lot_is_spent';
    ELSIF EXISTS (SELECT FROM payment.wish AS v WHERE v.lot_id = p_lot AND v.state = 'waiting') THEN
        refusal := 'lot_waits';
    ELSE
        alone := payment.wish_alone('void', l.organisation_ref, l.scope, rest);
        w := ROW(p_id, 'void', l.organisation_ref, l.scope, rest, NULL, p_reason,
            CASE WHEN alone THEN 'done' ELSE 'waiting' END, p_by, NULL, ruxa.now(),
            CASE WHEN alone THEN ruxa.now() END, p_lot)::payment.wish;
        INSERT INTO payment.wish SELECT w.*;
        IF alone THEN
            refusal := payment.wish_do(w);
            moved := free;
        END IF;
    END IF;
END $$;

-- Auto top-up

CREATE FUNCTION payment.auto_put(
    p_organisation uuid, p_scope text, p_enabled boolean, p_threshold bigint, p_target bigint, p_cap bigint,
    p_processor text, p_saved text
) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ledger.lock_organisation(p_organisation);
    IF p_enabled AND NOT EXISTS (SELECT FROM payment.saved_method AS s WHERE s.organisation_ref = p_organisation
        AND s.processor = p_processor AND s.ext_id = p_saved) THEN
        RETURN 'no_saved_method';
    END IF;
    INSERT INTO payment.auto AS a (organisation_ref, scope, state, reason, threshold_micros, target_micros,
            monthly_cap_micros, processor, saved, changed_at)
        VALUES (p_organisation, p_scope, CASE WHEN p_enabled THEN 'on' ELSE 'off' END,
            CASE WHEN p_enabled THEN NULL ELSE 'owner' END, p_threshold, p_target, p_cap, p_processor, p_saved,
            ruxa.now())
        ON CONFLICT (organisation_ref) DO UPDATE SET scope = excluded.scope, state = excluded.state,
            reason = excluded.reason, threshold_micros = excluded.threshold_micros,
            target_micros = excluded.target_micros, monthly_cap_micros = excluded.monthly_cap_micros,
            processor = excluded.processor, saved = excluded.saved, changed_at = excluded.changed_at,
            failures = CASE WHEN p_enabled AND a.state <> 'on' THEN 0 ELSE a.failures END,
            next_at = CASE WHEN p_enabled AND a.state <> 'on' THEN NULL ELSE a.next_at END, recovery_url = NULL;
    RETURN NULL;
END $$;

CREATE FUNCTION payment.auto_stop(p_organisation uuid, p_reason text) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE payment.auto SET state = 'off', reason = p_reason, changed_at = ruxa.now()
        WHERE organisation_ref = p_organisation AND state <> 'off'
$$;

-- Charged or being charged in the month of a moment, tax included: a cap is what the method pays at most.
CREATE FUNCTION payment.auto_month(p_organisation uuid, p_now timestamptz) RETURNS bigint
    LANGUAGE sql STABLE
AS $$
    SELECT coalesce(sum(t.charged_micros), 0)::bigint FROM payment.attempt AS t
    WHERE t.organisation_ref = p_organisation AND t.state IN ('open', 'succeeded', 'action')
        AND t.month = date_trunc('month', p_now AT TIME ZONE 'UTC')::date
$$;

-- What an organisation's auto top-up wants now; null when nothing.
CREATE FUNCTION payment.auto_wants(a payment.auto, p_now timestamptz) RETURNS bigint
    LANGUAGE sql VOLATILE
AS $$
    SELECT w.amount FROM (
        SELECT least(ceil((a.target_micros - b.balance_micros + b.debt_micros) / 10000.0)::bigint * 10000,
            (a.monthly_cap_micros - payment.auto_month(a.organisation_ref, p_now)) / 10000 * 10000,
            1000000000000) AS amount
        FROM ledger.balance(a.organisation_ref) AS b
        WHERE b.scope = a.scope AND b.balance_micros - b.debt_micros < a.threshold_micros
    ) AS w
    WHERE a.state = 'on' AND (a.next_at IS NULL OR a.next_at <= p_now) AND w.amount >= 500000
        AND NOT payment.frozen(a.organisation_ref, a.scope)
        AND NOT EXISTS (SELECT FROM payment.attempt AS t
            WHERE t.organisation_ref = a.organisation_ref AND t.state = 'open')
$$;

CREATE FUNCTION payment.auto_due(p_limit integer)
    RETURNS TABLE (organisation_ref uuid, scope text, amount_micros bigint, room_micros bigint, processor text, method text)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.organisation_ref, a.scope, w.amount, a.monthly_cap_micros - payment.auto_month(a.organisation_ref, ruxa.now()),
        a.processor, coalesce(s.method, 'card')
    FROM payment.auto AS a CROSS JOIN LATERAL (SELECT payment.auto_wants(a, ruxa.now()) AS amount) AS w
        LEFT JOIN payment.saved_method AS s ON s.organisation_ref = a.organisation_ref
            AND s.processor = a.processor AND s.ext_id = a.saved
    WHERE a.state = 'on' AND w.amount IS NOT NULL LIMIT p_limit
$$;

CREATE FUNCTION payment.auto_begin(p_organisation uuid, p_amount bigint, p_tax bigint, p_tax_code text, p_reference text)
    RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a payment.auto;
    moment timestamptz;
    wants bigint;
    made uuid;
    ordered uuid;
    nth integer;
BEGIN
    PERFORM ledger.lock_organisation(p_organisation);
    moment := ruxa.now();
    SELECT * INTO a FROM payment.auto WHERE organisation_ref = p_organisation FOR NO KEY UPDATE;
    wants := payment.auto_wants(a, moment);
    IF wants IS NULL OR wants < p_amount
        OR p_amount + p_tax > a.monthly_cap_micros - payment.auto_month(p_organisation, moment) THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(max(t.number), 0) + 1 INTO nth FROM payment.attempt AS t WHERE t.organisation_ref = p_organisation;
    made := ledger.derived_id(moment, 'attempt ' || p_organisation || ' ' || nth);
    ordered := ledger.derived_id(moment, 'order of attempt ' || p_organisation || ' ' || nth);
    IF payment.order_make(ordered, p_reference, p_organisation, p_amount, p_tax, p_tax_code, a.processor,
        coalesce((SELECT s.method FROM payment.saved_method AS s WHERE s.organisation_ref = p_organisation
            AND s.processor = a.processor AND s.ext_id = a.saved), 'card'),
        'auto', a.scope, false, moment + interval '1 day', 'auto') IS NOT NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO payment.attempt (id, organisation_ref, number, order_id, amount_micros, charged_micros, customer, saved,
            month, cap_micros, state, begun_at, sent_at)
        VALUES (made, p_organisation, nth, ordered, p_amount, p_amount + p_tax, (SELECT c.ext_id FROM payment.customer AS c
                WHERE c.organisation_ref = p_organisation AND c.processor = a.processor), a.saved,
            date_trunc('month', moment AT TIME ZONE 'UTC')::date, a.monthly_cap_micros, 'open', moment, moment);
    RETURN made;
END $$;

CREATE FUNCTION payment.attempts_open(p_seconds integer, p_limit integer) RETURNS SETOF uuid
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE payment.attempt AS t SET sent_at = ruxa.now() FROM (
        SELECT d.id FROM payment.attempt AS d WHERE d.state = 'open'
            AND d.sent_at <= ruxa.now() - make_interval(secs => p_seconds)
        ORDER BY d.sent_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    ) AS due WHERE t.id = due.id RETURNING t.id
$$;

-- What became of a charge. Failed: again after 1, 6 and 24 hours, off at the third; refused: off at once.
CREATE FUNCTION payment.attempt_ended(
    p_id uuid, p_state text, p_code text, p_url text, OUT state text, OUT tell text, OUT failures integer
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    t payment.attempt;
    a payment.auto;
    moment timestamptz;
BEGIN
    SELECT * INTO t FROM payment.attempt WHERE id = p_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'not there, or not in the state for this' USING ERRCODE = 'RX076';
    END IF;
    PERFORM ledger.lock_organisation(t.organisation_ref);
    moment := ruxa.now();
    SELECT * INTO t FROM payment.attempt WHERE id = p_id FOR NO KEY UPDATE;
    SELECT * INTO a FROM payment.auto WHERE organisation_ref = t.organisation_ref FOR NO KEY UPDATE;
    state := coalesce(a.state, 'off');
    failures := coalesce(a.failures, 0);
    IF p_state = 'open' OR t.state = 'succeeded' OR (t.state <> 'open' AND p_state <> 'succeeded') THEN
        RETURN;
    END IF;
    UPDATE payment.attempt SET state = CASE p_state WHEN 'refused' THEN 'failed' ELSE p_state END, code = left(p_code, 80),
        ended_at = moment, customer = NULL, saved = NULL WHERE id = p_id;
    IF p_state = 'succeeded' THEN
        failures := 0;
    ELSIF p_state = 'action' THEN
        state := CASE WHEN state = 'on' THEN 'paused' ELSE state END;
        tell := 'paused';
    ELSE
        failures := least(failures + 1, 3);
        IF p_state = 'refused' OR failures >= 3 THEN
            state := 'off';
            tell := 'off';
        ELSE
            tell := 'failed';
        END IF;
        UPDATE payment.orders SET closed = 'canceled' WHERE id = t.order_id AND state = 'open' AND closed IS NULL;
        PERFORM payment.order_settle(t.order_id);
    END IF;
    UPDATE payment.auto SET state = attempt_ended.state, failures = attempt_ended.failures, changed_at = moment,
        reason = CASE WHEN attempt_ended.state = a.state THEN reason WHEN p_state = 'action' THEN 'action'
            WHEN p_state = 'refused' THEN 'card' ELSE 'failures' END,
        recovery_url = CASE WHEN p_state = 'action' THEN p_url ELSE NULL END,
        next_at = CASE WHEN p_state IN ('failed', 'refused') THEN moment + (ARRAY[interval '1 hour',
            interval '6 hours', interval '24 hours'])[attempt_ended.failures] END
        WHERE organisation_ref = t.organisation_ref;
END $$;

-- What a processor knows of an organisation

CREATE FUNCTION payment.customer_put(p_organisation uuid, p_processor text, p_ext_id text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO payment.customer VALUES (p_organisation, p_processor, p_ext_id, ruxa.now()) ON CONFLICT DO NOTHING;
    RETURN (SELECT c.ext_id FROM payment.customer AS c
        WHERE c.organisation_ref = p_organisation AND c.processor = p_processor);
END $$;

CREATE FUNCTION payment.method_seen(
    p_order uuid, p_customer text, p_saved text, p_brand text, p_last4 text, p_month integer, p_year integer,
    p_fingerprint bytea
) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    o payment.orders;
BEGIN
    SELECT * INTO o FROM payment.orders WHERE id = p_order;
    IF p_customer IS NOT NULL THEN
        INSERT INTO payment.customer VALUES (o.organisation_ref, o.processor, left(p_customer, 200), ruxa.now())
            ON CONFLICT DO NOTHING;
    END IF;
    IF p_saved IS NOT NULL AND o.save_method THEN
        INSERT INTO payment.saved_method VALUES (o.organisation_ref, o.processor, left(p_saved, 200), o.method,
                left(p_brand, 40), CASE WHEN p_last4 ~ '^[0-9]{4}$' THEN p_last4 END,
                CASE WHEN p_month BETWEEN 1 AND 12 THEN p_month END,
                CASE WHEN p_year BETWEEN 2000 AND 2200 THEN p_year END, p_fingerprint, ruxa.now())
            ON CONFLICT DO NOTHING;
    END IF;
    IF p_fingerprint IS NOT NULL AND NOT EXISTS (SELECT FROM payment.velocity_mark AS v WHERE v.kind = 'card'
        AND v.hash = p_fingerprint AND v.other = sha256(uuid_send(o.organisation_ref))
        AND v.at > ruxa.now() - interval '1 day') THEN
        INSERT INTO payment.velocity_mark (kind, hash, other, at)
            VALUES ('card', p_fingerprint, sha256(uuid_send(o.organisation_ref)), ruxa.now());
        -- A card is known only once it was used: who comes last with one that many others used waits for a person.
        IF (SELECT count(DISTINCT v.other) FROM payment.velocity_mark AS v WHERE v.kind = 'card'
            AND v.hash = p_fingerprint AND v.at > ruxa.now() - interval '1 day')
                > payment.bound('card_organisations_day') THEN
            PERFORM payment.freeze_begin(o.organisation_ref, o.scope, 'card_testing', o.method, o.id, 'system');
        END IF;
    END IF;
END $$;

CREATE FUNCTION payment.method_remove(p_organisation uuid, p_processor text, p_saved text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM payment.saved_method
        WHERE organisation_ref = p_organisation AND processor = p_processor AND ext_id = p_saved;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE payment.auto SET state = 'off', reason = 'method_removed', changed_at = ruxa.now()
        WHERE organisation_ref = p_organisation AND processor = p_processor AND saved = p_saved AND state <> 'off';
    RETURN true;
END $$;

-- Marks against abuse

CREATE FUNCTION payment.velocity(p_organisation uuid, p_address bytea, p_card bytea) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own bytea := sha256(uuid_send(p_organisation));
    moment timestamptz;
    hour timestamptz;
    day timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('payment velocity', 0));
    moment := ruxa.now();
    hour := moment - interval '1 hour';
    day := moment - interval '1 day';
    IF (SELECT count(*) FROM payment.velocity_mark AS v WHERE v.kind = 'organisation' AND v.hash = own AND v.at > hour)
            >= payment.bound('orders_hour')
        OR (SELECT count(*) FROM payment.velocity_mark AS v WHERE v.kind = 'organisation' AND v.hash = own AND v.at > day)
            >= payment.bound('orders_day') THEN
        RETURN 'organisation';
    ELSIF p_address IS NOT NULL AND (
        (SELECT count(*) FROM payment.velocity_mark AS v WHERE v.kind = 'address' AND v.hash = p_address AND v.at > hour)
            >= payment.bound('address_hour')
        OR (SELECT count(*) FROM payment.velocity_mark AS v WHERE v.kind = 'address' AND v.hash = p_address
            AND v.at > day) >= payment.bound('address_day')) THEN
        RETURN 'address';
    ELSIF p_card IS NOT NULL AND (SELECT count(DISTINCT v.other) FROM payment.velocity_mark AS v
        WHERE v.kind = 'card' AND v.hash = p_card AND v.other <> own AND v.at > day)
            >= payment.bound('card_organisations_day') THEN
        RETURN 'card';
    ELSIF (SELECT count(*) FROM payment.velocity_mark AS v WHERE v.kind = 'decline'
        AND v.hash IN (own, p_address, p_card) AND v.at > day) >= payment.bound('declines_day') THEN
        RETURN 'declines';
    END IF;
    INSERT INTO payment.velocity_mark (kind, hash, other, at)
        SELECT m.kind, m.hash, own, moment FROM (VALUES ('organisation', own), ('address', p_address), ('card', p_card))
            AS m (kind, hash) WHERE m.hash IS NOT NULL;
    RETURN NULL;
END $$;

-- Counts a declined charge; true when there are too many: then top-ups of the organisation are stopped.
CREATE FUNCTION payment.declined(p_organisation uuid, p_address bytea, p_card bytea) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own bytea := sha256(uuid_send(p_organisation));
BEGIN
    PERFORM ledger.lock_organisation(p_organisation);
    INSERT INTO payment.velocity_mark (kind, hash, other, at)
        SELECT 'decline', m.hash, own, ruxa.now() FROM (VALUES (own), (p_address), (p_card)) AS m (hash)
        WHERE m.hash IS NOT NULL;
    RETURN (SELECT count(*) FROM payment.velocity_mark AS v WHERE v.kind = 'decline' AND v.hash = own
        AND v.at > ruxa.now() - interval '1 day') >= payment.bound('declines_day');
END $$;

CREATE FUNCTION payment.trial_claim(p_marks bytea[]) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('payment trial', 0));
    IF EXISTS (SELECT FROM payment.trial_mark AS m WHERE m.hash = ANY (p_marks) AND m.ends_at > ruxa.now()) THEN
        RETURN false;
    END IF;
    INSERT INTO payment.trial_mark (hash, ends_at)
        SELECT DISTINCT m.hash, ruxa.now() + make_interval(days => payment.bound('trial_mark_days')::integer)
        FROM unnest(p_marks) AS m (hash)
        ON CONFLICT (hash) DO UPDATE SET ends_at = excluded.ends_at;
    RETURN true;
END $$;

-- What is over its time: hints, marks, links. How many rows.
CREATE FUNCTION payment.sweep() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone bigint;
    every bigint := 0;
BEGIN
    DELETE FROM payment.inbox WHERE received_at < ruxa.now() - interval '30 days';
    GET DIAGNOSTICS gone = ROW_COUNT;
    every := every + gone;
    DELETE FROM payment.velocity_mark WHERE at < ruxa.now() - interval '2 days';
    GET DIAGNOSTICS gone = ROW_COUNT;
    every := every + gone;
    DELETE FROM payment.trial_mark WHERE ends_at <= ruxa.now();
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN every + gone;
END $$;

-- The proofs of payments, in the numbers after the ledger's (ledger.proofs): one statement, one snapshot.

CREATE FUNCTION payment.proofs() RETURNS TABLE (name text, value bigint, examined bigint, sample text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH moved AS MATERIALIZED (
        SELECT t.id, t.ref, t.code, t.debit_id, t.credit_id, t.amount_micros, t.state, t.organisation_ref, t.scope,
            t.state = 'posted' AS posted, t.state = 'pending' AND NOT EXISTS (
                SELECT FROM ledger.movement AS r WHERE r.id = ledger.resolution_id(t.id)) AS pending
        FROM ledger.movement AS t
        WHERE t.state IN ('posted', 'pending') AND t.code IN ('topup', 'topup_tax', 'fee', 'payout', 'payout_back',
            'refund', 'refund_debt', 'refund_tax', 'refund_back', 'refund_debt_back', 'refund_tax_back',
            'dispute', 'dispute_debt', 'dispute_tax', 'dispute_back', 'dispute_debt_back', 'dispute_tax_back')
            -- A lot of the category refund is a gift of the house.
            AND NOT (t.code = 'refund' AND EXISTS (SELECT FROM ledger.lot AS l WHERE l.account_id = t.credit_id))
    ), sums AS MATERIALIZED (
        SELECT m.ref,
            coalesce(sum(m.amount_micros) FILTER (WHERE m.posted AND m.code IN ('topup', 'payout', 'refund',
                'refund_debt', 'dispute', 'dispute_debt')), 0)
            - coalesce(sum(m.amount_micros) FILTER (WHERE m.posted AND m.code IN ('payout_back', 'refund_back',
                'refund_debt_back', 'dispute_back', 'dispute_debt_back')), 0) AS net,
            coalesce(sum(m.amount_micros) FILTER (WHERE m.posted AND m.code IN ('topup_tax', 'refund_tax',
                'dispute_tax')), 0)
            - coalesce(sum(m.amount_micros) FILTER (WHERE m.posted AND m.code IN ('refund_tax_back',
                'dispute_tax_back')), 0) AS tax,
            coalesce(sum(m.amount_micros) FILTER (WHERE m.pending AND m.code IN ('refund', 'refund_debt', 'dispute',
                'dispute_debt')), 0) AS held,
            coalesce(sum(m.amount_micros) FILTER (WHERE m.pending AND m.code IN ('refund_tax', 'dispute_tax')), 0)
                AS held_tax,
            coalesce(sum(m.amount_micros) FILTER (WHERE m.posted AND m.code = 'fee'), 0) AS fee
        FROM moved AS m GROUP BY m.ref
    ), facts AS MATERIALIZED (
        SELECT f.*, payment.weight(f.kind, f.status) AS weight, f.amount_minor * 10000 - f.tax_micros AS net
        FROM payment.fact AS f
    ), clearing AS MATERIALIZED (
        SELECT a.id, a.code,
            coalesce(sum(CASE WHEN m.debit_id = a.id THEN m.amount_micros ELSE -m.amount_micros END), 0) AS amount
        FROM ledger.account AS a LEFT JOIN moved AS m ON m.posted AND a.id IN (m.debit_id, m.credit_id)
        WHERE a.code LIKE 'asset:clearing:%' GROUP BY a.id, a.code
    ), found AS (
        SELECT 'I17 every fact has exactly its postings' AS name, f.id::text AS id,
            CASE f.kind
                WHEN 'fee' THEN (coalesce(s.fee, 0), coalesce(s.net, 0))
                    <> (CASE WHEN f.weight = 'post' THEN f.net ELSE 0 END, 0)
                ELSE (coalesce(s.net, 0), coalesce(s.tax, 0), coalesce(s.held, 0), coalesce(s.held_tax, 0),
                        coalesce(s.fee, 0))
                    <> (CASE WHEN f.weight = 'post' THEN f.net ELSE 0 END,
                        CASE WHEN f.weight = 'post' THEN f.tax_micros ELSE 0 END,
                        CASE WHEN f.weight = 'hold' THEN f.net ELSE 0 END,
                        CASE WHEN f.weight = 'hold' THEN f.tax_micros ELSE 0 END, coalesce(f.fee_minor, 0) * 10000)
                END AS bad
        FROM facts AS f LEFT JOIN sums AS s ON s.ref = f.id
        UNION ALL
        SELECT 'I18 every posting of a payment has its fact', m.id::text,
            f.id IS NULL AND (w.id IS NULL OR NOT m.state = 'pending' OR m.code NOT LIKE 'refund%')
                OR m.organisation_ref IS DISTINCT FROM coalesce(f.organisation_ref, w.organisation_ref)
                OR m.scope IS DISTINCT FROM coalesce(f.scope, w.scope)
        FROM moved AS m LEFT JOIN payment.fact AS f ON f.id = m.ref LEFT JOIN payment.refund AS w ON w.id = m.ref
        UNION ALL
        SELECT 'I19 what processors hold for us equals their facts', c.code,
            c.amount <> coalesce((SELECT sum(CASE WHEN f.weight <> 'post' THEN 0 WHEN f.kind = 'capture' THEN f.amount_minor
                        ELSE -f.amount_minor END - CASE WHEN f.kind = 'fee' THEN 0 ELSE coalesce(f.fee_minor, 0) END) * 10000
                FROM facts AS f WHERE (f.weight = 'post' OR f.fee_minor IS NOT NULL) AND c.id = ledger.account_id('asset:clearing:' || f.processor
                    || CASE WHEN f.scope = 'sandbox' THEN ':sandbox' ELSE '' END)), 0)
        FROM clearing AS c
        UNION ALL
        SELECT 'I20 an order''s state follows from its facts', o.id::text,
            o.state <> payment.order_state(o)
            OR o.received_minor <> coalesce((SELECT sum(f.amount_minor) FROM payment.fact AS f WHERE f.order_id = o.id
                AND f.kind = 'capture' AND f.status = 'succeeded'), 0)
            OR o.refunded_minor <> coalesce((SELECT sum(f.amount_minor) FROM payment.fact AS f WHERE f.order_id = o.id
                AND f.kind = 'refund' AND f.status = 'succeeded'), 0)
        FROM payment.orders AS o
        UNION ALL
        SELECT 'I21 tax owed equals the facts'' tax', a.code,
            coalesce((SELECT sum(CASE WHEN m.credit_id = a.id THEN m.amount_micros ELSE -m.amount_micros END)
                FROM moved AS m WHERE m.posted AND a.id IN (m.debit_id, m.credit_id)), 0)
            <> coalesce((SELECT sum(CASE f.kind WHEN 'capture' THEN f.tax_micros ELSE -f.tax_micros END)
                FROM facts AS f JOIN payment.orders AS o ON o.id = f.order_id WHERE f.weight = 'post'
                    AND a.id = ledger.account_id('liability:tax:' || o.tax_code
                        || CASE WHEN o.scope = 'sandbox' THEN ':sandbox' ELSE '' END)), 0)
        FROM ledger.account AS a WHERE a.code LIKE 'liability:tax:%'
        UNION ALL
        SELECT 'I22 nothing is refunded beyond its capture', c.id::text,
            c.refunded_minor + c.asked_minor > c.amount_minor
            OR c.refunded_minor <> coalesce((SELECT sum(f.amount_minor) FROM payment.fact AS f WHERE f.capture_id = c.id
                AND f.kind = 'refund' AND payment.weight(f.kind, f.status) <> 'none'), 0)
            OR c.asked_minor <> coalesce((SELECT sum(w.amount_minor) FROM payment.refund AS w WHERE w.capture_id = c.id
                AND w.fact_id IS NULL AND w.state IN ('waiting', 'approved', 'sending', 'sent')), 0)
            OR c.taken_minor <> c.asked_minor + coalesce((SELECT sum(f.amount_minor) FROM payment.fact AS f
                WHERE f.capture_id = c.id AND f.kind IN ('refund', 'dispute')
                    AND payment.weight(f.kind, f.status) <> 'none'), 0)
        FROM payment.fact AS c WHERE c.kind = 'capture'
        UNION ALL
        SELECT 'I23 a refund under way holds its amount', w.id::text,
            coalesce(s.held, 0) + coalesce(s.held_tax, 0) <> CASE WHEN w.fact_id IS NULL
                AND w.state IN ('waiting', 'approved', 'sending', 'sent') THEN w.amount_minor * 10000 ELSE 0 END
            OR (w.state = 'done') <> (w.fact_id IS NOT NULL AND EXISTS (SELECT FROM payment.fact AS f
                WHERE f.id = w.fact_id AND f.status = 'succeeded'))
        FROM payment.refund AS w LEFT JOIN sums AS s ON s.ref = w.id
        UNION ALL
        SELECT 'I24 auto top-up stays within its cap, one at a time', t.id::text,
            (SELECT sum(u.charged_micros) FROM payment.attempt AS u WHERE u.organisation_ref = t.organisation_ref
                AND u.month = t.month AND u.number <= t.number AND u.state <> 'failed') > t.cap_micros
            OR (t.state = 'open') AND EXISTS (SELECT FROM payment.attempt AS u
                WHERE u.organisation_ref = t.organisation_ref AND u.number > t.number AND u.state = 'open')
            OR (t.state = 'succeeded') <> EXISTS (SELECT FROM payment.fact AS f WHERE f.order_id = t.order_id
                AND f.kind = 'capture' AND f.status = 'succeeded')
        FROM payment.attempt AS t
        UNION ALL
        SELECT 'I25 a dispute stops spending until a person or its end lifts that', f.id::text,
            NOT EXISTS (SELECT FROM payment.freeze AS z WHERE z.ref = f.id AND z.organisation_ref = f.organisation_ref
                AND (z.ended_at IS NULL OR z.decision = 'lift'))
        FROM facts AS f WHERE f.kind = 'dispute' AND f.weight <> 'none'
        UNION ALL
        SELECT 'I26 credits by hand and write-offs have their people', w.id::text,
            CASE WHEN w.kind = 'writeoff' THEN coalesce((SELECT sum(t.amount_micros) FROM ledger.movement AS t
                    WHERE t.ref = w.id AND t.code = 'writeoff' AND t.state = 'posted'), 0)
                ELSE coalesce((SELECT sum(t.amount_micros) FROM ledger.movement AS t JOIN ledger.lot AS l
                    ON l.id = w.id AND t.credit_id = l.account_id WHERE t.ref = w.id AND t.code = 'credit'), 0) END
            <> CASE WHEN w.state = 'done' THEN w.amount_micros ELSE 0 END
        FROM payment.wish AS w WHERE w.kind IN ('credit', 'writeoff')
        UNION ALL
        SELECT 'I26 credits by hand and write-offs have their people', l.id::text, NOT EXISTS (SELECT FROM payment.wish AS w
            WHERE w.lot_id = l.id AND w.kind = 'void' AND w.state = 'done')
        FROM ledger.lot AS l WHERE l.voided_at IS NOT NULL
    ), known (name) AS (
        VALUES ('I17 every fact has exactly its postings'), ('I18 every posting of a payment has its fact'),
            ('I19 what processors hold for us equals their facts'), ('I20 an order''s state follows from its facts'),
            ('I21 tax owed equals the facts'' tax'), ('I22 nothing is refunded beyond its capture'),
            ('I23 a refund under way holds its amount'), ('I24 auto top-up stays within its cap, one at a time'),
            ('I25 a dispute stops spending until a person or its end lifts that'),
            ('I26 credits by hand and write-offs have their people')
    )
    SELECT k.name, count(f.id) FILTER (WHERE f.bad), count(f.id),
        coalesce((array_agg(f.id) FILTER (WHERE f.bad))[1:5], '{}')
    FROM known AS k LEFT JOIN found AS f ON f.name = k.name
    GROUP BY k.name
$$;

-- The data map (D37).

COMMENT ON COLUMN payment.bound.name IS 'data: none';
COMMENT ON COLUMN payment.bound.value IS 'data: none';
COMMENT ON COLUMN payment.merchant.processor IS 'data: none';
COMMENT ON COLUMN payment.merchant.livemode IS 'data: none';
COMMENT ON COLUMN payment.merchant.account IS 'data: none';
COMMENT ON COLUMN payment.orders.id IS 'data: none';
COMMENT ON COLUMN payment.orders.reference IS 'data: none';
COMMENT ON COLUMN payment.orders.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.orders.scope IS 'data: none';
COMMENT ON COLUMN payment.orders.processor IS 'data: none';
COMMENT ON COLUMN payment.orders.method IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.orders.kind IS 'data: none';
COMMENT ON COLUMN payment.orders.amount_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.orders.tax_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.orders.tax_code IS
    'data: category=user.location.imprecise subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.orders.currency IS 'data: none';
COMMENT ON COLUMN payment.orders.save_method IS 'data: none';
COMMENT ON COLUMN payment.orders.state IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.orders.closed IS 'data: none';
COMMENT ON COLUMN payment.orders.ext_id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.orders.url IS 'data: none';
COMMENT ON COLUMN payment.orders.received_minor IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.orders.refunded_minor IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.orders.made_by IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.orders.created_at IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.orders.expires_at IS 'data: none';
COMMENT ON COLUMN payment.orders.paid_at IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.orders.polled_at IS 'data: none';
COMMENT ON COLUMN payment.fact.id IS 'data: none';
COMMENT ON COLUMN payment.fact.processor IS 'data: none';
COMMENT ON COLUMN payment.fact.kind IS 'data: none';
COMMENT ON COLUMN payment.fact.ext_id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.fact.order_id IS 'data: none';
COMMENT ON COLUMN payment.fact.capture_id IS 'data: none';
COMMENT ON COLUMN payment.fact.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.fact.scope IS 'data: none';
COMMENT ON COLUMN payment.fact.amount_minor IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.fact.tax_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.fact.fee_minor IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=no:operational';
COMMENT ON COLUMN payment.fact.refunded_minor IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.fact.asked_minor IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.fact.taken_minor IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.fact.taken_tax_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.fact.currency IS 'data: none';
COMMENT ON COLUMN payment.fact.status IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.fact.account IS 'data: none';
COMMENT ON COLUMN payment.fact.livemode IS 'data: none';
COMMENT ON COLUMN payment.fact.at IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.fact.noted_at IS 'data: none';
COMMENT ON COLUMN payment.fact.changed_at IS 'data: none';
COMMENT ON COLUMN payment.quarantine.id IS 'data: none';
COMMENT ON COLUMN payment.quarantine.processor IS 'data: none';
COMMENT ON COLUMN payment.quarantine.kind IS 'data: none';
COMMENT ON COLUMN payment.quarantine.ext_id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=no:operational';
COMMENT ON COLUMN payment.quarantine.reason IS 'data: none';
COMMENT ON COLUMN payment.quarantine.state IS 'data: none';
COMMENT ON COLUMN payment.quarantine.reading IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=no:operational';
COMMENT ON COLUMN payment.quarantine.parent IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=no:operational';
COMMENT ON COLUMN payment.quarantine.times IS 'data: none';
COMMENT ON COLUMN payment.quarantine.first_at IS 'data: none';
COMMENT ON COLUMN payment.quarantine.last_at IS 'data: none';
COMMENT ON COLUMN payment.quarantine.asked_by IS
    'data: category=user.unique_id.pseudonymous subject=staff purpose=security,billing basis=legal_obligation,legal_obligation keep=transactions
     seal=none erase=keep:tax export=no:security';
COMMENT ON COLUMN payment.quarantine.asked_minor IS 'data: none';
COMMENT ON COLUMN payment.quarantine.settled_by IS
    'data: category=user.unique_id.pseudonymous subject=staff purpose=security,billing basis=legal_obligation,legal_obligation keep=transactions
     seal=none erase=keep:tax export=no:security';
COMMENT ON COLUMN payment.quarantine.settled_at IS 'data: none';
COMMENT ON COLUMN payment.looked.processor IS 'data: none';
COMMENT ON COLUMN payment.looked.livemode IS 'data: none';
COMMENT ON COLUMN payment.looked.until IS 'data: none';
COMMENT ON COLUMN payment.inbox.processor IS 'data: none';
COMMENT ON COLUMN payment.inbox.event_id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=operations
     seal=none erase=keep:security export=no:operational';
COMMENT ON COLUMN payment.inbox.kind IS 'data: none';
COMMENT ON COLUMN payment.inbox.ext_id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=operations
     seal=none erase=keep:security export=no:operational';
COMMENT ON COLUMN payment.inbox.order_id IS 'data: none';
COMMENT ON COLUMN payment.inbox.at IS 'data: none';
COMMENT ON COLUMN payment.inbox.received_at IS 'data: none';
COMMENT ON COLUMN payment.inbox.state IS 'data: none';
COMMENT ON COLUMN payment.inbox.tries IS 'data: none';
COMMENT ON COLUMN payment.inbox.next_at IS 'data: none';
COMMENT ON COLUMN payment.inbox.code IS 'data: none';
COMMENT ON COLUMN payment.customer.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.customer.processor IS 'data: none';
COMMENT ON COLUMN payment.customer.ext_id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.customer.made_at IS 'data: none';
COMMENT ON COLUMN payment.saved_method.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.saved_method.processor IS 'data: none';
COMMENT ON COLUMN payment.saved_method.ext_id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.saved_method.method IS
    'data: category=user.financial.credit_card subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.saved_method.brand IS
    'data: category=user.financial.credit_card subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.saved_method.last4 IS
    'data: category=user.financial.credit_card subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.saved_method.exp_month IS
    'data: category=user.financial.credit_card subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.saved_method.exp_year IS
    'data: category=user.financial.credit_card subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.saved_method.fingerprint_hash IS
    'data: category=user.financial.credit_card subject=organisation purpose=security basis=legitimate_interest keep=account
     seal=hash erase=delete export=no:derived';
COMMENT ON COLUMN payment.saved_method.saved_at IS 'data: none';
COMMENT ON COLUMN payment.refund.id IS 'data: none';
COMMENT ON COLUMN payment.refund.order_id IS 'data: none';
COMMENT ON COLUMN payment.refund.capture_id IS 'data: none';
COMMENT ON COLUMN payment.refund.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.refund.scope IS 'data: none';
COMMENT ON COLUMN payment.refund.amount_minor IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.refund.tax_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.refund.state IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.refund.reason_sealed IS
    'data: category=user.content.private subject=organisation purpose=billing basis=contract keep=transactions
     seal=subject erase=shred export=yes';
COMMENT ON COLUMN payment.refund.asked_by IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.refund.approved_by IS
    'data: category=user.unique_id.pseudonymous subject=staff purpose=security,billing basis=legal_obligation,legal_obligation keep=transactions
     seal=none erase=keep:tax export=no:security';
COMMENT ON COLUMN payment.refund.fact_id IS 'data: none';
COMMENT ON COLUMN payment.refund.ext_id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.refund.failure IS 'data: none';
COMMENT ON COLUMN payment.refund.tries IS 'data: none';
COMMENT ON COLUMN payment.refund.next_at IS 'data: none';
COMMENT ON COLUMN payment.refund.created_at IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.refund.changed_at IS 'data: none';
COMMENT ON COLUMN payment.evidence.dispute_id IS 'data: none';
COMMENT ON COLUMN payment.evidence.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.evidence.text_sealed IS
    'data: category=user.content.private subject=organisation purpose=billing basis=contract keep=transactions
     seal=subject erase=shred export=yes';
COMMENT ON COLUMN payment.evidence.state IS 'data: none';
COMMENT ON COLUMN payment.evidence.made_by IS
    'data: category=user.unique_id.pseudonymous subject=staff purpose=security,billing basis=legal_obligation,legal_obligation keep=transactions
     seal=none erase=keep:tax export=no:security';
COMMENT ON COLUMN payment.evidence.made_at IS 'data: none';
COMMENT ON COLUMN payment.confirmation.id IS 'data: none';
COMMENT ON COLUMN payment.confirmation.order_id IS 'data: none';
COMMENT ON COLUMN payment.confirmation.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.confirmation.account IS 'data: none';
COMMENT ON COLUMN payment.confirmation.reference IS
    'data: category=user.financial.bank_account subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.confirmation.day IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.confirmation.amount_minor IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.confirmation.state IS 'data: none';
COMMENT ON COLUMN payment.confirmation.first_by IS
    'data: category=user.unique_id.pseudonymous subject=staff purpose=security,billing basis=legal_obligation,legal_obligation keep=transactions
     seal=none erase=keep:tax export=no:security';
COMMENT ON COLUMN payment.confirmation.second_by IS
    'data: category=user.unique_id.pseudonymous subject=staff purpose=security,billing basis=legal_obligation,legal_obligation keep=transactions
     seal=none erase=keep:tax export=no:security';
COMMENT ON COLUMN payment.confirmation.first_at IS 'data: none';
COMMENT ON COLUMN payment.confirmation.second_at IS 'data: none';
COMMENT ON COLUMN payment.wish.id IS 'data: none';
COMMENT ON COLUMN payment.wish.kind IS 'data: none';
COMMENT ON COLUMN payment.wish.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.wish.scope IS 'data: none';
COMMENT ON COLUMN payment.wish.amount_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.wish.account IS 'data: none';
COMMENT ON COLUMN payment.wish.reason_sealed IS
    'data: category=user.content.private subject=organisation purpose=billing basis=contract keep=transactions
     seal=subject erase=shred export=yes';
COMMENT ON COLUMN payment.wish.state IS 'data: none';
COMMENT ON COLUMN payment.wish.asked_by IS
    'data: category=user.unique_id.pseudonymous subject=staff purpose=security,billing basis=legal_obligation,legal_obligation keep=transactions
     seal=none erase=keep:tax export=no:security';
COMMENT ON COLUMN payment.wish.settled_by IS
    'data: category=user.unique_id.pseudonymous subject=staff purpose=security,billing basis=legal_obligation,legal_obligation keep=transactions
     seal=none erase=keep:tax export=no:security';
COMMENT ON COLUMN payment.wish.asked_at IS 'data: none';
COMMENT ON COLUMN payment.wish.settled_at IS 'data: none';
COMMENT ON COLUMN payment.wish.lot_id IS 'data: none';
COMMENT ON COLUMN payment.freeze.id IS 'data: none';
COMMENT ON COLUMN payment.freeze.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.freeze.scope IS 'data: none';
COMMENT ON COLUMN payment.freeze.cause IS
    'data: category=user.account subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.freeze.method IS 'data: none';
COMMENT ON COLUMN payment.freeze.ref IS 'data: none';
COMMENT ON COLUMN payment.freeze.began_at IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.freeze.began_by IS
    'data: category=user.unique_id.pseudonymous subject=staff purpose=security,billing basis=legal_obligation,legal_obligation keep=transactions
     seal=none erase=keep:tax export=no:security';
COMMENT ON COLUMN payment.freeze.ended_at IS 'data: none';
COMMENT ON COLUMN payment.freeze.reviewed_at IS 'data: none';
COMMENT ON COLUMN payment.freeze.reviewed_by IS
    'data: category=user.unique_id.pseudonymous subject=staff purpose=security,billing basis=legal_obligation,legal_obligation keep=transactions
     seal=none erase=keep:tax export=no:security';
COMMENT ON COLUMN payment.freeze.decision IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.auto.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.auto.scope IS 'data: none';
COMMENT ON COLUMN payment.auto.state IS
    'data: category=user.account.settings subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.auto.reason IS
    'data: category=user.account.settings subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.auto.threshold_micros IS
    'data: category=user.account.settings subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.auto.target_micros IS
    'data: category=user.account.settings subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.auto.monthly_cap_micros IS
    'data: category=user.account.settings subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.auto.processor IS
    'data: category=user.account.settings subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.auto.saved IS
    'data: category=user.account.settings subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.auto.failures IS
    'data: category=user.account.settings subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN payment.auto.next_at IS 'data: none';
COMMENT ON COLUMN payment.auto.recovery_url IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=account
     seal=none erase=delete export=no:secret';
COMMENT ON COLUMN payment.auto.changed_at IS 'data: none';
COMMENT ON COLUMN payment.attempt.id IS 'data: none';
COMMENT ON COLUMN payment.attempt.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.attempt.number IS 'data: none';
COMMENT ON COLUMN payment.attempt.order_id IS 'data: none';
COMMENT ON COLUMN payment.attempt.amount_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.attempt.charged_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.attempt.customer IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.attempt.saved IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.attempt.month IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.attempt.cap_micros IS 'data: none';
COMMENT ON COLUMN payment.attempt.state IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.attempt.code IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.attempt.begun_at IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN payment.attempt.ended_at IS 'data: none';
COMMENT ON COLUMN payment.attempt.sent_at IS 'data: none';
COMMENT ON COLUMN payment.velocity_mark.id IS 'data: none';
COMMENT ON COLUMN payment.velocity_mark.kind IS 'data: none';
COMMENT ON COLUMN payment.velocity_mark.hash IS
    'data: category=user.unique_id.pseudonymous subject=visitor purpose=security basis=legitimate_interest keep=security
     seal=hash erase=keep:security export=no:derived';
COMMENT ON COLUMN payment.velocity_mark.other IS
    'data: category=user.unique_id.pseudonymous subject=visitor purpose=security basis=legitimate_interest keep=security
     seal=hash erase=keep:security export=no:derived';
COMMENT ON COLUMN payment.velocity_mark.at IS 'data: none';
COMMENT ON COLUMN payment.trial_mark.hash IS
    'data: category=user.unique_id.pseudonymous subject=visitor purpose=security basis=legitimate_interest keep=audit
     seal=hash erase=keep:security export=no:derived';
COMMENT ON COLUMN payment.trial_mark.ends_at IS 'data: none';

-- Who may do what. What makes money of a processor's word is the worker's; a door puts hints.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA payment FROM PUBLIC;
GRANT USAGE ON SCHEMA payment TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT SELECT ON payment.orders, payment.fact, payment.quarantine, payment.refund, payment.dispute, payment.freeze,
    payment.auto, payment.attempt, payment.customer, payment.saved_method, payment.confirmation, payment.wish,
    payment.bound, payment.merchant, payment.inbox, payment.evidence, payment.looked
    TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT EXECUTE ON FUNCTION
    payment.fact_id(text, text, text), payment.rank(text, text), payment.weight(text, text),
    payment.bound(text), payment.refundable(uuid), payment.proofs(),
    payment.order_create(uuid, text, uuid, bigint, bigint, text, text, text, text, text, boolean, timestamptz, text),
    payment.order_bind(uuid, text, text), payment.order_close(uuid, text),
    payment.inbox_put(text, text, text, text, uuid, timestamptz),
    payment.refund_ask(uuid, uuid, uuid, bigint, bytea, text, boolean), payment.refund_approve(uuid, text),
    payment.refund_cancel(uuid, text), payment.evidence_put(uuid, bytea, text),
    payment.freeze_put(uuid, text, text), payment.freeze_review(uuid, text, text),
    payment.confirm_first(uuid, uuid, bigint, date, text, text, text), payment.confirm_second(uuid, text),
    payment.confirm_withdraw(uuid, text),
    payment.wish_put(uuid, text, uuid, text, bigint, text, bytea, text), payment.wish_approve(uuid, text),
    payment.wish_reject(uuid, text), payment.lot_void(uuid, uuid, bytea, text),
    payment.auto_put(uuid, text, boolean, bigint, bigint, bigint, text, text), payment.auto_stop(uuid, text),
    payment.customer_put(uuid, text, text), payment.method_remove(uuid, text, text),
    payment.velocity(uuid, bytea, bytea), payment.declined(uuid, bytea, bytea), payment.trial_claim(bytea[]),
    payment.quarantine_accept(uuid, uuid), payment.quarantine_dismiss(uuid, uuid)
    TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT EXECUTE ON FUNCTION
    payment.fact_note(text, jsonb), payment.merchant_declare(text, boolean, text), payment.bound_put(text, bigint),
    payment.looked_put(text, boolean, timestamptz),
    payment.orders_poll(text, integer, integer), payment.orders_expire(integer),
    payment.inbox_due(text, integer), payment.inbox_done(text, text, text), payment.inbox_failed(text, text, text),
    payment.refunds_due(integer), payment.refund_sent(uuid, text), payment.refund_refused(uuid, text, boolean),
    payment.evidence_sent(uuid), payment.auto_due(integer),
    payment.auto_begin(uuid, bigint, bigint, text, text), payment.attempts_open(integer, integer),
    payment.attempt_ended(uuid, text, text, text),
    payment.method_seen(uuid, text, text, text, text, integer, integer, bytea), payment.sweep()
    TO ruxa_worker, ruxa_operator;
