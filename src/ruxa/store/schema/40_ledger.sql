-- Money: accounts, transfers, lots, leases, budgets, prices, usage rows, the journal's segments, and their proofs.
-- Amounts are bigint micros (0.000001 USD), prices micros per million units, time is ruxa.now().
--
-- No login writes these tables: they hold EXECUTE on the functions below, which run as the owner. Every function that
-- moves an organisation's money takes the organisation's advisory lock first, then lease rows, then accounts.
--
-- SQLSTATEs of this file (Conflict in the product): RX001 no such pending transfer; RX002 amount exceeds it; RX003
-- accounts of different units; RX004 no such account, or closed; RX005 the id exists with other contents; RX006 no such
-- lease; RX007 amount exceeds the hold; RX020 the segment never began; RX021 it is acknowledged or refused; RX022
-- acknowledged with another hash; RX023 the staging table is not ours; RX024 a hold that is over; RX041 the price's
-- period is taken or past; RX050 the day is not over for long enough; RX051 an older day is still there; RX052 its evidence
-- is not ready; RX053 the record is younger than its time; RX054 money of
-- that year is pending, or not sealed; RX900 immutable.

CREATE SCHEMA ledger;
REVOKE ALL ON SCHEMA ledger FROM PUBLIC;

-- ids

CREATE FUNCTION ledger.unix_ms(moment timestamptz) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN floor(extract(epoch FROM moment) * 1000)::bigint;

-- A UUIDv7 of that moment whose other bits follow from the seed. The last bit is 0: it is free for a resolution's id.
CREATE FUNCTION ledger.derived_id(moment timestamptz, seed text) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (lpad(to_hex(ledger.unix_ms(moment)), 12, '0') || '7' || left(h, 3) || '8' || substr(h, 4, 14)
        || substr('02468ace', (get_byte(b, 31) & 7) + 1, 1))::uuid
    FROM (SELECT encode(s, 'hex') AS h, s AS b FROM (SELECT sha256(convert_to(seed, 'UTF8')) AS s) AS hashed) AS hashes
$$;

-- The one id that can resolve a pending transfer: so the primary key refuses a second resolution.
CREATE FUNCTION ledger.resolution_id(pending uuid) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (left(pending::text, 35) || translate(right(pending::text, 1), '02468ace', '13579bdf'))::uuid;

CREATE FUNCTION ledger.account_id(code text) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (left(h, 12) || '8' || substr(h, 13, 3) || '8' || substr(h, 16, 15))::uuid
    FROM (SELECT encode(sha256(convert_to(code, 'UTF8')), 'hex') AS h) AS hashed
$$;

-- Nothing of these tables is changed or taken away, until its year is over (ledger.year_end).
CREATE FUNCTION ledger.deny() RETURNS trigger
    LANGUAGE plpgsql
AS $$
DECLARE
    ending text := coalesce(current_setting('ruxa.ending_year', true), '');
BEGIN
    IF TG_OP = 'DELETE' AND ending ~ '^[0-9]{4}$' THEN
        IF ruxa.now() >= ledger.kept_until(make_date(ending::integer, 12, 31)) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'immutable' USING ERRCODE = 'RX900';
END $$;

-- Accounts. A counted account keeps its sums in the row; the system's own are not counted (their row would be hot) and
-- are added up from the transfers.

CREATE TABLE ledger.account (
    id               uuid PRIMARY KEY,
    code             text NOT NULL UNIQUE CHECK (length(code) BETWEEN 3 AND 120),
    kind             text NOT NULL CHECK (kind IN ('asset', 'liability', 'revenue', 'expense', 'memo')),
    unit             text NOT NULL DEFAULT 'usd_micros' CHECK (unit IN ('usd_micros', 'budget_micros')),
    organisation_ref uuid,
    scope            text CHECK (scope IN ('sandbox', 'live')),
    no_overdraft     boolean NOT NULL,
    counted          boolean NOT NULL,
    dr_pending       bigint NOT NULL DEFAULT 0 CHECK (dr_pending >= 0),
    dr_posted        bigint NOT NULL DEFAULT 0 CHECK (dr_posted >= 0),
    cr_pending       bigint NOT NULL DEFAULT 0 CHECK (cr_pending >= 0),
    cr_posted        bigint NOT NULL DEFAULT 0 CHECK (cr_posted >= 0),
    opened_at        timestamptz NOT NULL DEFAULT ruxa.now(),
    closed_at        timestamptz,
    CONSTRAINT account_code_id CHECK (id = ledger.account_id(code)),
    CONSTRAINT account_no_overdraft CHECK (NOT no_overdraft OR dr_posted + dr_pending <= cr_posted),
    CONSTRAINT account_counted CHECK (counted OR NOT no_overdraft),
    CONSTRAINT account_unit CHECK ((kind = 'memo') = (unit = 'budget_micros'))
) WITH (fillfactor = 50);
CREATE INDEX account_organisation ON ledger.account (organisation_ref) WHERE organisation_ref IS NOT NULL;
COMMENT ON TABLE ledger.account IS 'One account with its four counters; lots, budgets and shortfalls are accounts too.';

CREATE TRIGGER account_kept BEFORE DELETE ON ledger.account FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER account_kept_whole BEFORE TRUNCATE ON ledger.account EXECUTE FUNCTION ledger.deny();

-- Transfers, in yearly partitions by the time in their id. That both accounts exist is checked by the trigger: a
-- foreign key would lock the system accounts' rows in every transfer of everybody.

CREATE SEQUENCE ledger.transfer_seq;

CREATE TABLE ledger.transfer (
    id               uuid NOT NULL,
    seq              bigint NOT NULL DEFAULT nextval('ledger.transfer_seq'),
    state            text NOT NULL CHECK (state IN ('posted', 'pending', 'post', 'void')),
    debit_id         uuid NOT NULL,
    credit_id        uuid NOT NULL,
    amount_micros    bigint NOT NULL CHECK (amount_micros >= 0),
    pending_id       uuid,
    code             text NOT NULL CHECK (code ~ '^[a-z_]{2,40}$'),
    organisation_ref uuid,
    scope            text CHECK (scope IN ('sandbox', 'live')),
    ref              uuid,
    at               timestamptz NOT NULL DEFAULT ruxa.now(),
    PRIMARY KEY (id),
    CONSTRAINT transfer_two_accounts CHECK (debit_id <> credit_id),
    CONSTRAINT transfer_amount CHECK ((amount_micros = 0) = (state = 'void')),
    CONSTRAINT transfer_resolution CHECK ((state IN ('post', 'void')) = (pending_id IS NOT NULL)),
    CONSTRAINT transfer_resolution_id CHECK (pending_id IS NULL OR id = ledger.resolution_id(pending_id)),
    CONSTRAINT transfer_pending_even CHECK (state <> 'pending' OR id <> ledger.resolution_id(id))
) PARTITION BY RANGE (id);
CREATE INDEX transfer_order ON ledger.transfer (seq);
CREATE INDEX transfer_organisation ON ledger.transfer (organisation_ref, id) WHERE organisation_ref IS NOT NULL;
CREATE INDEX transfer_ref ON ledger.transfer (ref) WHERE ref IS NOT NULL;
COMMENT ON TABLE ledger.transfer IS
    'One movement from debit to credit; never changed. A pending one is resolved once, by a post or a void.';

-- A transfer moves the counters of its accounts. AFTER: a repeat that inserts nothing moves nothing.
CREATE FUNCTION ledger.transfer_apply() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pending ledger.transfer;
    debit ledger.account;
    credit ledger.account;
    pend bigint := 0;
    post bigint := 0;
BEGIN
    SELECT * INTO debit FROM ledger.account WHERE id = NEW.debit_id;
    SELECT * INTO credit FROM ledger.account WHERE id = NEW.credit_id;
    IF debit.id IS NULL OR credit.id IS NULL THEN
        RAISE EXCEPTION 'no such account' USING ERRCODE = 'RX004';
    END IF;
    IF NEW.pending_id IS NULL AND (debit.closed_at IS NOT NULL OR credit.closed_at IS NOT NULL) THEN
        RAISE EXCEPTION 'account closed' USING ERRCODE = 'RX004';
    END IF;
    IF debit.unit <> credit.unit THEN
        RAISE EXCEPTION 'units differ' USING ERRCODE = 'RX003';
    END IF;
    IF NEW.state = 'posted' THEN
        post := NEW.amount_micros;
    ELSIF NEW.state = 'pending' THEN
        pend := NEW.amount_micros;
    ELSE
        SELECT * INTO pending FROM ledger.transfer WHERE id = NEW.pending_id AND state = 'pending';
        IF pending.id IS NULL OR pending.debit_id <> NEW.debit_id OR pending.credit_id <> NEW.credit_id THEN
            RAISE EXCEPTION 'no such pending transfer' USING ERRCODE = 'RX001';
        END IF;
        IF NEW.amount_micros > pending.amount_micros THEN
            RAISE EXCEPTION 'more than was pending' USING ERRCODE = 'RX002';
        END IF;
        pend := -pending.amount_micros;
        post := NEW.amount_micros;
    END IF;
    -- Always in the order of ids, so that two transfers never wait for each other.
    IF NEW.debit_id < NEW.credit_id THEN
        UPDATE ledger.account SET dr_pending = dr_pending + pend, dr_posted = dr_posted + post
            WHERE id = NEW.debit_id AND counted;
        UPDATE ledger.account SET cr_pending = cr_pending + pend, cr_posted = cr_posted + post
            WHERE id = NEW.credit_id AND counted;
    ELSE
        UPDATE ledger.account SET cr_pending = cr_pending + pend, cr_posted = cr_posted + post
            WHERE id = NEW.credit_id AND counted;
        UPDATE ledger.account SET dr_pending = dr_pending + pend, dr_posted = dr_posted + post
            WHERE id = NEW.debit_id AND counted;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER transfer_counts AFTER INSERT ON ledger.transfer FOR EACH ROW EXECUTE FUNCTION ledger.transfer_apply();
CREATE TRIGGER transfer_kept BEFORE UPDATE OR DELETE ON ledger.transfer FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER transfer_kept_whole BEFORE TRUNCATE ON ledger.transfer EXECUTE FUNCTION ledger.deny();

CREATE FUNCTION ledger.year_ensure(year integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part text := 'transfer_' || year;
BEGIN
    IF to_regclass('ledger.' || part) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger.transfer partition', 0));
    IF to_regclass('ledger.' || part) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE ledger.%I PARTITION OF ledger.transfer FOR VALUES FROM (%L) TO (%L)', part,
        ruxa.id_floor(make_timestamptz(year, 1, 1, 0, 0, 0, 'UTC')),
        ruxa.id_floor(make_timestamptz(year + 1, 1, 1, 0, 0, 0, 'UTC')));
    EXECUTE format('CREATE TRIGGER transfer_kept_whole BEFORE TRUNCATE ON ledger.%I EXECUTE FUNCTION ledger.deny()',
        part);
END $$;

-- What was answered is on disk, whatever the server's default: a worker spends what a lost commit would have lent.
CREATE FUNCTION ledger.commit_durably() RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END $$;

-- First in every function that moves an organisation's money.
CREATE FUNCTION ledger.lock_organisation(organisation uuid) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM ledger.commit_durably();
    -- A process that is frozen between this statement and its commit must not keep the organisation locked: below the
    -- lock_timeout of the others, so that they still get their turn.
    PERFORM set_config('idle_in_transaction_session_timeout', '4s', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger ' || organisation::text, 0));
    PERFORM ledger.year_ensure(extract(year FROM ruxa.now() AT TIME ZONE 'UTC')::integer);
END $$;

-- Lots: grants of credit.

CREATE TABLE ledger.lot (
    id               uuid PRIMARY KEY,
    account_id       uuid NOT NULL UNIQUE REFERENCES ledger.account (id),
    organisation_ref uuid NOT NULL,
    scope            text NOT NULL CHECK (scope IN ('sandbox', 'live')),
    category         text NOT NULL CHECK (category IN ('paid', 'promo', 'refund', 'compensation')),
    priority         smallint NOT NULL DEFAULT 100 CHECK (priority BETWEEN 0 AND 999),
    effective_at     timestamptz NOT NULL,
    expires_at       timestamptz,
    voided_at        timestamptz,
    origin           text NOT NULL UNIQUE CHECK (length(origin) BETWEEN 3 AND 120),
    funding_id       uuid NOT NULL REFERENCES ledger.account (id),
    reason_sealed    bytea,
    made_by          text NOT NULL CHECK (length(made_by) <= 80),
    created_at       timestamptz NOT NULL,
    UNIQUE (id, organisation_ref, scope),
    CHECK (expires_at IS NULL OR expires_at > effective_at)
);
CREATE INDEX lot_order ON ledger.lot (organisation_ref, scope, priority, expires_at NULLS LAST, created_at, id)
    WHERE voided_at IS NULL;
CREATE INDEX lot_end ON ledger.lot (expires_at) WHERE expires_at IS NOT NULL;
COMMENT ON TABLE ledger.lot IS
    'A grant of credit with the scope it may buy; consumed by priority, end, promo before paid, age.';

CREATE TRIGGER lot_kept BEFORE DELETE ON ledger.lot FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER lot_kept_whole BEFORE TRUNCATE ON ledger.lot EXECUTE FUNCTION ledger.deny();

-- Budgets: a limit per period. Each period has an account of its own that is credited when it is first drawn on.

CREATE TABLE ledger.budget (
    scope            text NOT NULL CHECK (scope IN ('key', 'organisation')),
    id               uuid NOT NULL,
    organisation_ref uuid NOT NULL,
    limit_micros     bigint CHECK (limit_micros >= 0),
    period           text NOT NULL CHECK (period IN ('day', 'month', 'total')),
    changed_at       timestamptz NOT NULL,
    PRIMARY KEY (scope, id),
    CHECK (scope <> 'organisation' OR id = organisation_ref)
);
COMMENT ON TABLE ledger.budget IS 'What a key or an organisation may spend in a period; no limit when it is null.';

-- Leases, and holds: the same thing for one long task.

CREATE TABLE ledger.lease (
    id               uuid PRIMARY KEY,
    kind             text NOT NULL CHECK (kind IN ('lease', 'hold')),
    organisation_ref uuid NOT NULL,
    scope            text NOT NULL CHECK (scope IN ('sandbox', 'live')),
    worker           text CHECK (length(worker) <= 80),
    run              bigint,
    amount_micros    bigint NOT NULL CHECK (amount_micros >= 0),
    spent_micros     bigint NOT NULL DEFAULT 0,
    extra_micros     bigint NOT NULL DEFAULT 0 CHECK (extra_micros >= 0),
    lost_micros      bigint NOT NULL DEFAULT 0 CHECK (lost_micros >= 0),
    state            text NOT NULL CHECK (state IN ('open', 'suspense', 'closed')),
    opened_at        timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    closed_at        timestamptz,
    UNIQUE (id, organisation_ref, scope),
    CONSTRAINT lease_spent CHECK (spent_micros BETWEEN 0 AND amount_micros),
    CHECK ((state = 'closed') = (closed_at IS NOT NULL)),
    CHECK (kind = 'hold' OR (worker IS NOT NULL AND run IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX lease_due ON ledger.lease (expires_at) WHERE state <> 'closed';
CREATE INDEX lease_living ON ledger.lease (organisation_ref) WHERE state <> 'closed';
COMMENT ON TABLE ledger.lease IS
    'Credit lent to a worker. spent: its charges; extra: charges beyond it or after its close; lost: the platform''s.';

CREATE TRIGGER lease_kept BEFORE DELETE ON ledger.lease FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER lease_kept_whole BEFORE TRUNCATE ON ledger.lease EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER lease_known BEFORE UPDATE OF id, organisation_ref, scope ON ledger.lease
    FOR EACH ROW EXECUTE FUNCTION ledger.deny();

-- Lane 0 is money, each further lane a budget; every lane covers the whole lease. The keys carry organisation and
-- scope, so that a lease can never draw on another's lots or on money of the other colour.
CREATE TABLE ledger.lease_slice (
    lease_id         uuid NOT NULL,
    lane             smallint NOT NULL CHECK (lane >= 0),
    ord              smallint NOT NULL,
    organisation_ref uuid NOT NULL,
    scope            text NOT NULL,
    account_id       uuid NOT NULL REFERENCES ledger.account (id),
    lot_id           uuid,
    amount_micros    bigint NOT NULL CHECK (amount_micros >= 0),
    pending_id       uuid NOT NULL UNIQUE,
    PRIMARY KEY (lease_id, lane, ord),
    FOREIGN KEY (lease_id, organisation_ref, scope) REFERENCES ledger.lease (id, organisation_ref, scope),
    FOREIGN KEY (lot_id, organisation_ref, scope) REFERENCES ledger.lot (id, organisation_ref, scope),
    CHECK ((lane = 0) = (lot_id IS NOT NULL))
);
COMMENT ON TABLE ledger.lease_slice IS 'Which lots and budgets a lease draws on, each by a pending transfer.';

CREATE TRIGGER lease_slice_kept BEFORE DELETE ON ledger.lease_slice FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER lease_slice_kept_whole BEFORE TRUNCATE ON ledger.lease_slice EXECUTE FUNCTION ledger.deny();

-- Price books. `list` is what providers charge; the others follow from it by their margins (44_plan.sql): a plan's, and
-- `own:<book>` for calls on a customer's own provider key. beyond_list: what a plan does not name costs what the list says.

CREATE TABLE ledger.book (
    name        text PRIMARY KEY CHECK (name ~ '^(own:)?[a-z0-9][a-z0-9-]{0,39}$'),
    beyond_list boolean NOT NULL CHECK (NOT beyond_list OR (name <> 'list' AND NOT starts_with(name, 'own:'))),
    created_at  timestamptz NOT NULL DEFAULT ruxa.now()
);
COMMENT ON TABLE ledger.book IS 'The price books there are: the list, plans, and what calls on own provider keys cost.';
INSERT INTO ledger.book (name, beyond_list) VALUES ('list', false);
CREATE TRIGGER book_kept BEFORE UPDATE OR DELETE ON ledger.book FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER book_kept_whole BEFORE TRUNCATE ON ledger.book EXECUTE FUNCTION ledger.deny();

CREATE TABLE ledger.price (
    id                         uuid PRIMARY KEY,
    model                      text NOT NULL CHECK (model ~ '^[^/\s]+/\S+$' AND length(model) <= 200),
    book                       text NOT NULL DEFAULT 'list' REFERENCES ledger.book (name),
    list_id                    uuid REFERENCES ledger.price (id),
    aliases                    text[] NOT NULL DEFAULT '{}',
    effective                  tstzrange NOT NULL CHECK (NOT isempty(effective) AND lower_inc(effective)),
    source                     text NOT NULL CHECK (length(source) BETWEEN 1 AND 120),
    input_micros               bigint NOT NULL CHECK (input_micros >= 0),
    output_micros              bigint NOT NULL CHECK (output_micros >= 0),
    cache_read_micros          bigint NOT NULL CHECK (cache_read_micros >= 0),
    cache_write_5m_micros      bigint NOT NULL CHECK (cache_write_5m_micros >= 0),
    cache_write_1h_micros      bigint NOT NULL CHECK (cache_write_1h_micros >= 0),
    reasoning_micros           bigint NOT NULL CHECK (reasoning_micros >= 0),
    audio_input_micros         bigint NOT NULL CHECK (audio_input_micros >= 0),
    audio_output_micros        bigint NOT NULL CHECK (audio_output_micros >= 0),
    image_micros               bigint NOT NULL CHECK (image_micros >= 0),
    long_from_tokens           bigint CHECK (long_from_tokens > 0),
    long_input_micros          bigint NOT NULL CHECK (long_input_micros >= 0),
    long_output_micros         bigint NOT NULL CHECK (long_output_micros >= 0),
    long_cache_read_micros     bigint NOT NULL CHECK (long_cache_read_micros >= 0),
    long_cache_write_5m_micros bigint NOT NULL CHECK (long_cache_write_5m_micros >= 0),
    long_cache_write_1h_micros bigint NOT NULL CHECK (long_cache_write_1h_micros >= 0),
    long_reasoning_micros      bigint NOT NULL CHECK (long_reasoning_micros >= 0),
    input_tokens_max           bigint CHECK (input_tokens_max > 0),
    output_tokens_max          bigint CHECK (output_tokens_max > 0),
    image_tokens_max           bigint NOT NULL CHECK (image_tokens_max >= 0),
    page_tokens_max            bigint NOT NULL CHECK (page_tokens_max >= 0),
    units                      text NOT NULL CHECK (units IN ('tokens', 'seconds', 'characters')),
    created_at                 timestamptz NOT NULL DEFAULT ruxa.now(),
    CONSTRAINT price_overlap EXCLUDE USING gist (book WITH =, model WITH =, effective WITH &&),
    CONSTRAINT price_derived CHECK ((book = 'list') = (list_id IS NULL))
);
COMMENT ON TABLE ledger.price IS
    'What a model costs in a book and period, micros per million units; never changed once started. list_id: the price of
     the list that it follows from.';

-- Once a price has started only its end may be moved, as long as it is still to come, and only to a moment that is not
-- past. What has not started in a book that follows from the list may be made anew.
CREATE FUNCTION ledger.price_guard() RETURNS trigger
    LANGUAGE plpgsql
AS $$
DECLARE
    same ledger.price;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.book <> 'list' AND lower(OLD.effective) > ruxa.now() THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'immutable' USING ERRCODE = 'RX900';
    END IF;
    same := NEW;
    same.effective := OLD.effective;
    IF same IS DISTINCT FROM OLD OR lower(NEW.effective) <> lower(OLD.effective)
        OR upper(OLD.effective) < ruxa.now() - interval '10 seconds'
        OR upper(NEW.effective) < ruxa.now() - interval '10 seconds' THEN
        RAISE EXCEPTION 'immutable' USING ERRCODE = 'RX900';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER price_kept BEFORE UPDATE OR DELETE ON ledger.price
    FOR EACH ROW EXECUTE FUNCTION ledger.price_guard();
CREATE TRIGGER price_kept_whole BEFORE TRUNCATE ON ledger.price EXECUTE FUNCTION ledger.deny();

-- The journal's permanent record: runs of workers, segments of runs.

CREATE TABLE ledger.journal_run (
    worker     text NOT NULL CHECK (length(worker) BETWEEN 1 AND 80),
    run        bigint NOT NULL CHECK (run > 0),
    began_at   timestamptz NOT NULL,
    ended_at   timestamptz,
    PRIMARY KEY (worker, run)
);
COMMENT ON TABLE ledger.journal_run IS 'One start of a gateway worker; ended once its journal is drained.';

CREATE TABLE ledger.journal_segment (
    worker     text NOT NULL,
    run        bigint NOT NULL,
    number     bigint NOT NULL CHECK (number >= 0),
    state      text NOT NULL CHECK (state IN ('open', 'acknowledged', 'refused')),
    sha256     bytea CHECK (octet_length(sha256) = 32),
    rows       bigint CHECK (rows >= 0),
    booked     bigint NOT NULL DEFAULT 0 CHECK (booked >= 0),
    refused    bigint NOT NULL DEFAULT 0 CHECK (refused >= 0),
    refusals   text[] NOT NULL DEFAULT '{}',
    refused_ids uuid[] NOT NULL DEFAULT '{}',
    reason     text CHECK (reason IN ('age', 'damaged')),
    began_at   timestamptz NOT NULL,
    ended_at   timestamptz,
    PRIMARY KEY (worker, run, number),
    FOREIGN KEY (worker, run) REFERENCES ledger.journal_run (worker, run),
    CHECK ((state = 'open') = (ended_at IS NULL)),
    CHECK ((state = 'open') = (sha256 IS NULL)),
    CHECK ((state = 'refused') = (reason IS NOT NULL)),
    CHECK (state = 'open' OR refused_ids = '{}')
);
COMMENT ON TABLE ledger.journal_segment IS
    'One file of a worker''s journal; kept for ever, so that it is booked once. Of its rows: booked, refused, and by what; which were refused only until it ends.';

-- Usage rows: the call's record and its charge. Partitions by the day in the id. A row whose organisation or scope is
-- not its lease's is refused, and one whose price is not there: by a trigger that looks once for all rows of a statement,
-- because a foreign key looks, and locks, for each. What it looks for is never deleted and keeps what identifies it.

CREATE TABLE ledger.usage_event (
    id                    uuid NOT NULL,
    at                    timestamptz NOT NULL,
    organisation_ref      uuid NOT NULL,
    key_id                uuid NOT NULL,
    livemode              boolean NOT NULL,
    scope                 text NOT NULL CHECK (scope IN ('sandbox', 'live')),
    lease_id              uuid,
    model                 text NOT NULL CHECK (length(model) <= 200),
    provider              text CHECK (length(provider) <= 80),
    upstream_model        text CHECK (length(upstream_model) <= 200),
    dialect               text NOT NULL CHECK (length(dialect) <= 40),
    endpoint              text NOT NULL CHECK (length(endpoint) <= 40),
    stream                boolean NOT NULL,
    status                smallint NOT NULL CHECK (status BETWEEN 0 AND 999),
    error_code            text CHECK (length(error_code) <= 80),
    finish                text CHECK (length(finish) <= 40),
    input_tokens          integer NOT NULL CHECK (input_tokens >= 0),
    cache_read_tokens     integer NOT NULL CHECK (cache_read_tokens >= 0),
    cache_write_5m_tokens integer NOT NULL CHECK (cache_write_5m_tokens >= 0),
    cache_write_1h_tokens integer NOT NULL CHECK (cache_write_1h_tokens >= 0),
    output_tokens         integer NOT NULL CHECK (output_tokens >= 0),
    reasoning_tokens      integer NOT NULL CHECK (reasoning_tokens >= 0),
    audio_input_tokens    integer NOT NULL CHECK (audio_input_tokens >= 0),
    audio_output_tokens   integer NOT NULL CHECK (audio_output_tokens >= 0),
    images                integer NOT NULL CHECK (images >= 0),
    usage_source          text NOT NULL CHECK (usage_source IN ('provider', 'counted', 'policy', 'cached', 'none')),
    price_id              uuid,
    amount_micros         bigint NOT NULL CHECK (amount_micros >= 0),
    waived_micros         bigint NOT NULL CHECK (waived_micros >= 0),
    hold_micros           bigint NOT NULL CHECK (hold_micros >= 0),
    latency_ms            integer NOT NULL CHECK (latency_ms >= 0),
    first_token_ms        integer CHECK (first_token_ms >= 0),
    attempts              smallint NOT NULL CHECK (attempts >= 0),
    lossy                 text[] NOT NULL CHECK (cardinality(lossy) <= 100),
    late                  boolean NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT usage_paid CHECK (amount_micros = 0 OR (lease_id IS NOT NULL AND price_id IS NOT NULL)),
    CONSTRAINT usage_waived CHECK (waived_micros = 0 OR (lease_id IS NOT NULL AND price_id IS NOT NULL)),
    CONSTRAINT usage_scope CHECK (model = '' OR (scope = 'sandbox') = starts_with(model, 'sandbox/')),
    CONSTRAINT usage_test_key CHECK (livemode OR scope = 'sandbox')
) PARTITION BY RANGE (id);
CREATE INDEX usage_organisation ON ledger.usage_event (organisation_ref, id);
CREATE INDEX usage_lease_rows ON ledger.usage_event (lease_id) WHERE lease_id IS NOT NULL;
COMMENT ON TABLE ledger.usage_event IS 'One call: what it used, what it cost, which lease paid; never changed.';

-- The rows of an organisation that is being erased, and of no other, may go (ledger.usage_erase says whose).
CREATE FUNCTION ledger.usage_guard() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('ruxa.erasing_usage_of', true) = OLD.organisation_ref::text THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'immutable' USING ERRCODE = 'RX900';
END $$;
CREATE TRIGGER usage_kept BEFORE UPDATE OR DELETE ON ledger.usage_event
    FOR EACH ROW EXECUTE FUNCTION ledger.usage_guard();
CREATE TRIGGER usage_kept_whole BEFORE TRUNCATE ON ledger.usage_event EXECUTE FUNCTION ledger.deny();

CREATE FUNCTION ledger.usage_refer() RETURNS trigger
    LANGUAGE plpgsql
AS $$
DECLARE
    lease boolean;
    price boolean;
BEGIN
    SELECT bool_and(f.lease_id IS NULL OR EXISTS (SELECT FROM ledger.lease AS l
            WHERE l.id = f.lease_id AND l.organisation_ref = f.organisation_ref AND l.scope = f.scope)),
        bool_and(f.price_id IS NULL OR EXISTS (SELECT FROM ledger.price AS p WHERE p.id = f.price_id))
        INTO lease, price
        FROM (SELECT DISTINCT lease_id, organisation_ref, scope, price_id FROM fresh) AS f;
    IF NOT lease THEN
        RAISE EXCEPTION 'no such lease' USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'usage_lease';
    ELSIF NOT price THEN
        RAISE EXCEPTION 'no such price' USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'usage_price';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER usage_refers AFTER INSERT ON ledger.usage_event REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.usage_refer();

-- What remains of charges when their day is over for 83 days (D30, D31): per reference, month and price the quantities,
-- the amount and a hash of the charges; no call, no key, no day, no member. `long`: at the price's long-context rates;
-- `kind`: charged to a lease or to a task's hold. Made once a day is two days old (ledger.evidence_prepare), so that on
-- its last day (ledger.day_reduce) only sums are moved and partitions dropped.

CREATE FUNCTION ledger.usage_days() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 83;

CREATE FUNCTION ledger.transaction_years() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 7;

-- The moment until which a record of `day` is kept: the end of its fiscal year and the years after it.
CREATE FUNCTION ledger.kept_until(day date) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN make_timestamptz(extract(year FROM day)::integer + 1 + ledger.transaction_years(), 1, 1, 0, 0, 0, 'UTC');

CREATE TABLE ledger.usage_day (
    id                    uuid NOT NULL,
    organisation_ref      uuid NOT NULL,
    scope                 text NOT NULL CHECK (scope IN ('sandbox', 'live')),
    kind                  text NOT NULL CHECK (kind IN ('lease', 'hold')),
    price_id              uuid NOT NULL REFERENCES ledger.price (id),
    long                  boolean NOT NULL,
    calls                 bigint NOT NULL CHECK (calls > 0),
    input_tokens          bigint NOT NULL CHECK (input_tokens >= 0),
    cache_read_tokens     bigint NOT NULL CHECK (cache_read_tokens >= 0),
    cache_write_5m_tokens bigint NOT NULL CHECK (cache_write_5m_tokens >= 0),
    cache_write_1h_tokens bigint NOT NULL CHECK (cache_write_1h_tokens >= 0),
    output_tokens         bigint NOT NULL CHECK (output_tokens >= 0),
    reasoning_tokens      bigint NOT NULL CHECK (reasoning_tokens >= 0),
    audio_input_tokens    bigint NOT NULL CHECK (audio_input_tokens >= 0),
    audio_output_tokens   bigint NOT NULL CHECK (audio_output_tokens >= 0),
    images                bigint NOT NULL CHECK (images >= 0),
    amount_micros         bigint NOT NULL CHECK (amount_micros >= 0),
    waived_micros         bigint NOT NULL CHECK (waived_micros >= 0),
    sha256                bytea NOT NULL CHECK (octet_length(sha256) = 32),
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
COMMENT ON TABLE ledger.usage_day IS
    'Evidence of one day in the making; its partition goes with the day''s usage rows, its sums into billing_evidence.';

CREATE TABLE ledger.evidence_day (
    day         date PRIMARY KEY,
    state       text NOT NULL CHECK (state IN ('ready', 'stale', 'reduced')),
    changed_at  timestamptz NOT NULL
);
COMMENT ON TABLE ledger.evidence_day IS
    'How far a day is: its sums are ready, stale (a late row came), or moved and its rows gone for ever (reduced).';

-- A reduced day stays reduced: rows for it are refused as long as this row says so.
CREATE FUNCTION ledger.evidence_day_guard() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    IF OLD.state = 'reduced' THEN
        RAISE EXCEPTION 'immutable' USING ERRCODE = 'RX900';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER evidence_day_kept BEFORE UPDATE OR DELETE ON ledger.evidence_day
    FOR EACH ROW EXECUTE FUNCTION ledger.evidence_day_guard();
CREATE TRIGGER evidence_day_kept_whole BEFORE TRUNCATE ON ledger.evidence_day EXECUTE FUNCTION ledger.deny();

CREATE TABLE ledger.billing_evidence (
    organisation_ref      uuid NOT NULL,
    month                 date NOT NULL CHECK (extract(day FROM month) = 1),
    price_id              uuid NOT NULL REFERENCES ledger.price (id),
    scope                 text NOT NULL CHECK (scope IN ('sandbox', 'live')),
    kind                  text NOT NULL CHECK (kind IN ('lease', 'hold')),
    long                  boolean NOT NULL,
    calls                 bigint NOT NULL CHECK (calls > 0),
    input_tokens          bigint NOT NULL CHECK (input_tokens >= 0),
    cache_read_tokens     bigint NOT NULL CHECK (cache_read_tokens >= 0),
    cache_write_5m_tokens bigint NOT NULL CHECK (cache_write_5m_tokens >= 0),
    cache_write_1h_tokens bigint NOT NULL CHECK (cache_write_1h_tokens >= 0),
    output_tokens         bigint NOT NULL CHECK (output_tokens >= 0),
    reasoning_tokens      bigint NOT NULL CHECK (reasoning_tokens >= 0),
    audio_input_tokens    bigint NOT NULL CHECK (audio_input_tokens >= 0),
    audio_output_tokens   bigint NOT NULL CHECK (audio_output_tokens >= 0),
    images                bigint NOT NULL CHECK (images >= 0),
    amount_micros         bigint NOT NULL CHECK (amount_micros >= 0),
    waived_micros         bigint NOT NULL CHECK (waived_micros >= 0),
    sha256                bytea NOT NULL CHECK (octet_length(sha256) = 32),
    PRIMARY KEY (organisation_ref, month, price_id, scope, kind, long)
);
COMMENT ON TABLE ledger.billing_evidence IS
    'What remains of usage: reference, month, price, quantities, amount, hash. Sums only grow; kept with transactions.';

-- Organisations whose usage ended before its days' time: their leases are compared all together (I14), not one by one.
CREATE TABLE ledger.erased_reference (
    organisation_ref uuid PRIMARY KEY,
    at               timestamptz NOT NULL DEFAULT ruxa.now()
);
COMMENT ON TABLE ledger.erased_reference IS 'References of erased organisations, whose charges are in the billing evidence only.';

-- The sums of a month only grow, and are kept until seven years after the fiscal year (P56).
CREATE FUNCTION ledger.evidence_guard() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF ruxa.now() < ledger.kept_until(OLD.month) THEN
            RAISE EXCEPTION 'younger than its time' USING ERRCODE = 'RX053';
        END IF;
        RETURN OLD;
    END IF;
    IF (NEW.organisation_ref, NEW.month, NEW.price_id, NEW.scope, NEW.kind, NEW.long)
            <> (OLD.organisation_ref, OLD.month, OLD.price_id, OLD.scope, OLD.kind, OLD.long)
        OR NEW.calls <= OLD.calls OR NEW.amount_micros < OLD.amount_micros OR NEW.waived_micros < OLD.waived_micros THEN
        RAISE EXCEPTION 'immutable' USING ERRCODE = 'RX900';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER evidence_kept BEFORE UPDATE OR DELETE ON ledger.billing_evidence
    FOR EACH ROW EXECUTE FUNCTION ledger.evidence_guard();
CREATE TRIGGER evidence_kept_whole BEFORE TRUNCATE ON ledger.billing_evidence EXECUTE FUNCTION ledger.deny();

-- Makes a day's partition, unless it was there and is reduced: that one never comes back.
CREATE FUNCTION ledger.day_ensure(day date) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    part text := 'usage_event_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF to_regclass('ledger.' || part) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Whoever reduces a day holds this table until the commit, and then the next statement sees the day's state.
    LOCK TABLE ONLY ledger.usage_event IN SHARE UPDATE EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM ledger.evidence_day AS d WHERE d.day = day_ensure.day AND d.state = 'reduced') THEN
        RETURN;
    END IF;
    IF ruxa.partition_create('ledger.usage_event'::regclass, day) THEN
        EXECUTE format('CREATE TRIGGER usage_kept_whole BEFORE TRUNCATE ON ledger.%I EXECUTE FUNCTION ledger.deny()',
            part);
        EXECUTE format('CREATE TRIGGER usage_refers AFTER INSERT ON ledger.%I REFERENCING NEW TABLE AS fresh '
            'FOR EACH STATEMENT EXECUTE FUNCTION ledger.usage_refer()', part);
    END IF;
END $$;

-- Seals: a chain of hashes over the transfers, so that a changed row shows.

CREATE TABLE ledger.seal (
    number     bigint PRIMARY KEY CHECK (number > 0),
    first_seq  bigint NOT NULL,
    last_seq   bigint NOT NULL,
    transfers  bigint NOT NULL CHECK (transfers > 0),
    sha256     bytea NOT NULL CHECK (octet_length(sha256) = 32),
    sealed_at  timestamptz NOT NULL,
    CHECK (first_seq <= last_seq)
);
COMMENT ON TABLE ledger.seal IS 'Each seal hashes a run of transfers together with the seal before it.';

CREATE TRIGGER seal_kept BEFORE UPDATE OR DELETE ON ledger.seal FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER seal_kept_whole BEFORE TRUNCATE ON ledger.seal EXECUTE FUNCTION ledger.deny();

-- What remains of years that are over (ledger.year_end, 51_year.sql): every account's sums, and the movements of what
-- went on in a later year. A seal of which transfers are gone keeps its hash; its rest has another over what is left.

CREATE TABLE ledger.opening (
    account_id       uuid PRIMARY KEY REFERENCES ledger.account (id),
    organisation_ref uuid,
    dr_posted        bigint NOT NULL DEFAULT 0,
    cr_posted        bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE ledger.opening IS 'What was posted to each account in years whose transfers are gone.';

CREATE TABLE ledger.kept_transfer (
    id               uuid PRIMARY KEY,
    seq              bigint NOT NULL,
    state            text NOT NULL,
    debit_id         uuid NOT NULL,
    credit_id        uuid NOT NULL,
    amount_micros    bigint NOT NULL,
    pending_id       uuid,
    code             text NOT NULL,
    organisation_ref uuid,
    scope            text,
    ref              uuid,
    at               timestamptz NOT NULL
);
CREATE INDEX kept_transfer_order ON ledger.kept_transfer (seq);
CREATE INDEX kept_transfer_ref ON ledger.kept_transfer (ref);
COMMENT ON TABLE ledger.kept_transfer IS
    'Transfers of years that are over whose order or lease is not: they go with it, a year later.';
CREATE TRIGGER kept_transfer_kept BEFORE UPDATE OR DELETE ON ledger.kept_transfer
    FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER kept_transfer_kept_whole BEFORE TRUNCATE ON ledger.kept_transfer EXECUTE FUNCTION ledger.deny();

CREATE TABLE ledger.opening_usage (
    organisation_ref uuid NOT NULL,
    scope            text NOT NULL CHECK (scope IN ('sandbox', 'live')),
    amount_micros    bigint NOT NULL,
    waived_micros    bigint NOT NULL,
    PRIMARY KEY (organisation_ref, scope)
);
COMMENT ON TABLE ledger.opening_usage IS
    'By how much the charges that are left exceed what the leases that are left spent: those that went over a year''s end.';

CREATE TABLE ledger.seal_rest (
    number    bigint PRIMARY KEY REFERENCES ledger.seal (number),
    transfers bigint NOT NULL CHECK (transfers >= 0),
    sha256    bytea NOT NULL CHECK (octet_length(sha256) = 32)
);
COMMENT ON TABLE ledger.seal_rest IS 'What is left of a seal''s transfers, hashed together with the seal''s own hash.';

CREATE TABLE ledger.year_ended (
    year       integer PRIMARY KEY,
    transfers  bigint NOT NULL,
    kept       bigint NOT NULL,
    seal       bigint REFERENCES ledger.seal (number),
    sha256     bytea,
    ended_at   timestamptz NOT NULL
);
COMMENT ON TABLE ledger.year_ended IS
    'Years whose transfers are gone: how many there were and were kept, and the hash of the last seal over them.';
CREATE TRIGGER year_ended_kept BEFORE UPDATE OR DELETE ON ledger.year_ended FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER year_ended_kept_whole BEFORE TRUNCATE ON ledger.year_ended EXECUTE FUNCTION ledger.deny();

CREATE VIEW ledger.movement AS
    SELECT id, seq, state, debit_id, credit_id, amount_micros, pending_id, code, organisation_ref, scope, ref, at
    FROM ledger.transfer
    UNION ALL
    SELECT id, seq, state, debit_id, credit_id, amount_micros, pending_id, code, organisation_ref, scope, ref, at
    FROM ledger.kept_transfer;
COMMENT ON VIEW ledger.movement IS 'Every transfer that is there.';

-- The system's own accounts.

INSERT INTO ledger.account (id, code, kind, unit, scope, no_overdraft, counted)
SELECT ledger.account_id(code), code, kind, unit, scope, false, false
FROM (VALUES
    ('asset:operator_credit', 'asset', 'usd_micros', NULL),
    ('asset:sandbox_credit', 'asset', 'usd_micros', 'sandbox'),
    ('expense:promo', 'expense', 'usd_micros', NULL),
    ('expense:abandoned', 'expense', 'usd_micros', NULL),
    ('revenue:usage:live', 'revenue', 'usd_micros', 'live'),
    ('revenue:usage:sandbox', 'revenue', 'usd_micros', 'sandbox'),
    ('revenue:breakage', 'revenue', 'usd_micros', NULL),
    ('budget:issued', 'memo', 'budget_micros', NULL),
    ('budget:used', 'memo', 'budget_micros', NULL)
) AS named (code, kind, unit, scope);

-- Transfers, one by one

CREATE FUNCTION ledger.enter(
    p_id uuid, p_state text, p_debit uuid, p_credit uuid, p_amount bigint, p_code text, p_organisation uuid,
    p_scope text, p_ref uuid, p_pending uuid DEFAULT NULL
) RETURNS void
    LANGUAGE sql
AS $$
    INSERT INTO ledger.transfer (id, state, debit_id, credit_id, amount_micros, code, organisation_ref, scope, ref,
        pending_id)
    VALUES (p_id, p_state, p_debit, p_credit, p_amount, p_code, p_organisation, p_scope, p_ref, p_pending)
$$;

-- Resolves a pending transfer: posts `amount` of it, or voids it when that is 0.
CREATE FUNCTION ledger.resolve(p_pending uuid, p_amount bigint, p_code text) RETURNS void
    LANGUAGE sql
AS $$
    INSERT INTO ledger.transfer (id, state, debit_id, credit_id, amount_micros, code, organisation_ref, scope, ref,
        pending_id)
    SELECT ledger.resolution_id(t.id), CASE WHEN p_amount = 0 THEN 'void' ELSE 'post' END, t.debit_id, t.credit_id,
        p_amount, CASE WHEN p_amount = 0 THEN 'returned' ELSE p_code END, t.organisation_ref, t.scope, t.ref, t.id
    FROM ledger.transfer AS t WHERE t.id = p_pending
$$;

-- A transfer between named accounts: the operator's way to correct. True when it is new; the same again is false.
CREATE FUNCTION ledger.transfer_post(
    p_id uuid, p_debit text, p_credit text, p_amount bigint, p_code text, p_organisation uuid, p_ref uuid,
    p_pending boolean
) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known ledger.transfer;
    wanted text := CASE WHEN p_pending THEN 'pending' ELSE 'posted' END;
BEGIN
    IF p_organisation IS NOT NULL THEN
        PERFORM ledger.lock_organisation(p_organisation);
    END IF;
    PERFORM ledger.year_ensure(extract(year FROM ruxa.id_time(p_id) AT TIME ZONE 'UTC')::integer);
    SELECT * INTO known FROM ledger.transfer WHERE id = p_id;
    IF FOUND THEN
        IF known.state <> wanted OR known.debit_id <> ledger.account_id(p_debit)
            OR known.credit_id <> ledger.account_id(p_credit) OR known.amount_micros <> p_amount
            OR known.code <> p_code OR known.organisation_ref IS DISTINCT FROM p_organisation
            OR known.ref IS DISTINCT FROM p_ref THEN
            RAISE EXCEPTION 'exists with other contents' USING ERRCODE = 'RX005';
        END IF;
        RETURN false;
    END IF;
    PERFORM ledger.enter(p_id, wanted, ledger.account_id(p_debit), ledger.account_id(p_credit), p_amount, p_code,
        p_organisation, NULL, p_ref);
    RETURN true;
END $$;

CREATE FUNCTION ledger.transfer_resolve(p_pending uuid, p_amount bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known ledger.transfer;
    done ledger.transfer;
BEGIN
    SELECT * INTO known FROM ledger.transfer WHERE id = p_pending AND state = 'pending';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such pending transfer' USING ERRCODE = 'RX001';
    END IF;
    IF known.organisation_ref IS NOT NULL THEN
        PERFORM ledger.lock_organisation(known.organisation_ref);
    END IF;
    SELECT * INTO done FROM ledger.transfer WHERE id = ledger.resolution_id(p_pending);
    IF FOUND THEN
        IF done.amount_micros <> p_amount THEN
            RAISE EXCEPTION 'exists with other contents' USING ERRCODE = 'RX005';
        END IF;
        RETURN false;
    END IF;
    PERFORM ledger.resolve(p_pending, p_amount, known.code);
    RETURN true;
END $$;

-- Lots

-- The lots an organisation can draw on at a moment, in consumption order, with what is free of each.
CREATE FUNCTION ledger.lots_usable(p_organisation uuid, p_scope text, p_now timestamptz)
    RETURNS TABLE (lot_id uuid, account_id uuid, free bigint, expires_at timestamptz)
    LANGUAGE sql STABLE
AS $$
    SELECT l.id, a.id, a.cr_posted - a.dr_posted - a.dr_pending, l.expires_at
    FROM ledger.lot AS l JOIN ledger.account AS a ON a.id = l.account_id
    WHERE l.organisation_ref = p_organisation AND l.scope = p_scope AND l.voided_at IS NULL
        AND l.effective_at <= p_now AND (l.expires_at IS NULL OR l.expires_at > p_now + interval '1 second')
        AND a.cr_posted - a.dr_posted - a.dr_pending > 0
    ORDER BY l.priority, l.expires_at NULLS LAST, (l.category <> 'promo'), l.created_at, l.id
$$;

CREATE FUNCTION ledger.shortfall_code(p_organisation uuid, p_scope text) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN 'shortfall:' || p_scope || ':' || replace(p_organisation::text, '-', '');

-- A lot, once for each origin: the same origin again gives the first one's id and moves nothing. What the organisation
-- still owes (its shortfall) is paid first.
CREATE FUNCTION ledger.lot_enter(
    p_id uuid, p_organisation uuid, p_scope text, p_category text, p_amount bigint, p_priority integer,
    p_expires timestamptz, p_origin text, p_reason bytea, p_made_by text, p_funding uuid, p_code text
) RETURNS uuid
    LANGUAGE plpgsql
AS $$
DECLARE
    moment timestamptz;
    known ledger.lot;
    named text := 'lot:' || replace(p_id::text, '-', '');
    debt bigint;
BEGIN
    PERFORM ledger.lock_organisation(p_organisation);
    moment := ruxa.now();
    SELECT * INTO known FROM ledger.lot WHERE origin = p_origin;
    IF FOUND THEN
        IF known.organisation_ref <> p_organisation OR known.scope <> p_scope OR known.category <> p_category
            OR NOT EXISTS (SELECT FROM ledger.transfer WHERE ref = known.id AND credit_id = known.account_id
                AND amount_micros = p_amount AND state = 'posted') THEN
            RAISE EXCEPTION 'exists with other contents' USING ERRCODE = 'RX005';
        END IF;
        RETURN known.id;
    END IF;
    INSERT INTO ledger.account (id, code, kind, organisation_ref, scope, no_overdraft, counted, opened_at)
        VALUES (ledger.account_id(named), named, 'liability', p_organisation, p_scope, true, true, moment);
    INSERT INTO ledger.lot (id, account_id, organisation_ref, scope, category, priority, effective_at, expires_at,
            origin, funding_id, reason_sealed, made_by, created_at)
        VALUES (p_id, ledger.account_id(named), p_organisation, p_scope, p_category, p_priority, moment, p_expires,
            p_origin, p_funding, p_reason, p_made_by, moment);
    PERFORM ledger.enter(ledger.derived_id(moment, named), 'posted', p_funding, ledger.account_id(named), p_amount,
        p_code, p_organisation, p_scope, p_id);
    SELECT dr_posted - cr_posted INTO debt FROM ledger.account
        WHERE code = ledger.shortfall_code(p_organisation, p_scope);
    IF debt > 0 THEN
        PERFORM ledger.enter(ledger.derived_id(moment, named || ' debt'), 'posted', ledger.account_id(named),
            ledger.account_id(ledger.shortfall_code(p_organisation, p_scope)), least(debt, p_amount), 'debt',
            p_organisation, p_scope, p_id);
    END IF;
    RETURN p_id;
END $$;

-- Credit that somebody of the house grants; the lot's id. A large one for real money in live mode needs two people:
-- payment.wish_put (SQLSTATE RX071).
CREATE FUNCTION ledger.lot_grant(
    p_id uuid, p_organisation uuid, p_scope text, p_category text, p_amount bigint, p_priority integer,
    p_expires timestamptz, p_origin text, p_reason bytea, p_made_by text
) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_scope = 'live' AND p_amount > payment.bound('four_eyes_micros')
        AND EXISTS (SELECT FROM ruxa.instance AS i WHERE i.mode = 'live')
        AND NOT EXISTS (SELECT FROM ledger.lot AS l WHERE l.origin = p_origin) THEN
        RAISE EXCEPTION 'needs a second person' USING ERRCODE = 'RX071';
    END IF;
    RETURN ledger.lot_enter(p_id, p_organisation, p_scope, p_category, p_amount, p_priority, p_expires, p_origin,
        p_reason, p_made_by, ledger.account_id(CASE WHEN p_scope = 'sandbox' THEN 'asset:sandbox_credit'
            WHEN p_category = 'paid' THEN 'asset:operator_credit' ELSE 'expense:promo' END),
        CASE WHEN p_scope = 'sandbox' THEN 'sandbox_credit' WHEN p_category = 'paid' THEN 'credit' ELSE p_category END);
END $$;

CREATE FUNCTION ledger.lots_expired(p_limit integer) RETURNS SETOF uuid
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.id FROM ledger.lot AS l JOIN ledger.account AS a ON a.id = l.account_id
    WHERE (l.expires_at <= ruxa.now() OR l.voided_at IS NOT NULL) AND a.cr_posted - a.dr_posted - a.dr_pending > 0
    ORDER BY coalesce(l.expires_at, l.voided_at) LIMIT p_limit
$$;

-- What is left of a lot that has ended goes to breakage (paid) or back where it came from, as it does of a voided one;
-- the micros moved. Its organisation is locked.
CREATE FUNCTION ledger.lot_empty(p_id uuid) RETURNS bigint
    LANGUAGE plpgsql
AS $$
DECLARE
    found_lot ledger.lot;
    rest bigint;
    moment timestamptz := ruxa.now();
BEGIN
    SELECT * INTO found_lot FROM ledger.lot WHERE id = p_id;
    SELECT cr_posted - dr_posted - dr_pending INTO rest FROM ledger.account WHERE id = found_lot.account_id;
    IF rest <= 0 OR found_lot.voided_at IS NULL AND (found_lot.expires_at IS NULL OR found_lot.expires_at > moment) THEN
        RETURN 0;
    END IF;
    PERFORM ledger.enter(ledger.derived_id(moment, gen_random_uuid()::text), 'posted', found_lot.account_id,
        CASE WHEN found_lot.voided_at IS NULL AND found_lot.category = 'paid' AND found_lot.scope = 'live'
            THEN ledger.account_id('revenue:breakage') ELSE found_lot.funding_id END,
        rest, CASE WHEN found_lot.voided_at IS NULL THEN 'expired' ELSE 'voided' END, found_lot.organisation_ref,
        found_lot.scope, found_lot.id);
    RETURN rest;
END $$;

CREATE FUNCTION ledger.lot_expire(p_id uuid) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_lot ledger.lot;
BEGIN
    SELECT * INTO found_lot FROM ledger.lot WHERE id = p_id;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    PERFORM ledger.lock_organisation(found_lot.organisation_ref);
    RETURN ledger.lot_empty(p_id);
END $$;

-- Budgets

CREATE FUNCTION ledger.budget_period(p_period text, p_now timestamptz, OUT starts text, OUT ends timestamptz)
    LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    day timestamp := date_trunc('day', p_now AT TIME ZONE 'UTC');
    month timestamp := date_trunc('month', p_now AT TIME ZONE 'UTC');
BEGIN
    IF p_period = 'day' THEN
        starts := to_char(day, 'YYYY-MM-DD');
        ends := (day + interval '1 day') AT TIME ZONE 'UTC';
    ELSIF p_period = 'month' THEN
        starts := to_char(month, 'YYYY-MM-DD');
        ends := (month + interval '1 month') AT TIME ZONE 'UTC';
    ELSE
        starts := 'total';
    END IF;
END $$;

CREATE FUNCTION ledger.budget_code(p_scope text, p_id uuid, p_starts text) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN 'budget:' || p_scope || ':' || replace(p_id::text, '-', '') || ':' || p_starts;

-- The account of the running period, opened and credited to the limit when new or raised; what is free of it.
-- A limit that was lowered binds here: the account keeps the credit it had, the smaller limit counts.
CREATE FUNCTION ledger.budget_open(
    p_budget ledger.budget, p_now timestamptz, OUT account_id uuid, OUT free bigint, OUT ends timestamptz
)
    LANGUAGE plpgsql
AS $$
DECLARE
    period record;
    named text;
    a ledger.account;
BEGIN
    period := ledger.budget_period(p_budget.period, p_now);
    ends := period.ends;
    named := ledger.budget_code(p_budget.scope, p_budget.id, period.starts);
    account_id := ledger.account_id(named);
    INSERT INTO ledger.account (id, code, kind, unit, organisation_ref, no_overdraft, counted, opened_at)
        VALUES (account_id, named, 'memo', 'budget_micros', p_budget.organisation_ref, true, true, p_now)
        ON CONFLICT DO NOTHING;
    SELECT * INTO a FROM ledger.account WHERE id = account_id;
    IF p_budget.limit_micros > a.cr_posted THEN
        PERFORM ledger.enter(ledger.derived_id(p_now, named || ' ' || p_budget.limit_micros || ' ' || a.cr_posted),
            'posted', ledger.account_id('budget:issued'), account_id, p_budget.limit_micros - a.cr_posted,
            'budget', p_budget.organisation_ref, NULL, p_budget.id);
        a.cr_posted := p_budget.limit_micros;
    END IF;
    free := least(a.cr_posted, p_budget.limit_micros) - a.dr_posted - a.dr_pending;
END $$;

-- Sets, raises, lowers or (null) lifts a limit. Lowered: what lies unused in leases is called back.
CREATE FUNCTION ledger.budget_put(p_scope text, p_id uuid, p_organisation uuid, p_limit bigint, p_period text)
    RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    old ledger.budget;
    new ledger.budget;
BEGIN
    PERFORM ledger.lock_organisation(p_organisation);
    SELECT * INTO old FROM ledger.budget WHERE scope = p_scope AND id = p_id;
    IF FOUND AND old.organisation_ref <> p_organisation THEN
        RAISE EXCEPTION 'exists with other contents' USING ERRCODE = 'RX005';
    END IF;
    INSERT INTO ledger.budget AS b (scope, id, organisation_ref, limit_micros, period, changed_at)
        VALUES (p_scope, p_id, p_organisation, p_limit, p_period, ruxa.now())
        ON CONFLICT (scope, id) DO UPDATE
            SET limit_micros = p_limit, period = p_period, changed_at = excluded.changed_at
        RETURNING * INTO new;
    IF p_limit IS NOT NULL THEN
        PERFORM ledger.budget_open(new, ruxa.now());
    END IF;
    IF old.scope IS NULL OR p_limit < coalesce(old.limit_micros, 9223372036854775807) THEN
        PERFORM pg_notify('lease_recall', p_organisation::text);
    END IF;
END $$;

CREATE FUNCTION ledger.budget_state(p_scope text, p_id uuid)
    RETURNS TABLE (limit_micros bigint, period text, period_start text, used_micros bigint, held_micros bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.limit_micros, b.period, p.starts, coalesce(a.dr_posted, 0), coalesce(a.dr_pending, 0)
    FROM ledger.budget AS b
        CROSS JOIN LATERAL ledger.budget_period(b.period, ruxa.now()) AS p
        LEFT JOIN ledger.account AS a ON a.code = ledger.budget_code(b.scope, b.id, p.starts)
    WHERE b.scope = p_scope AND b.id = p_id
$$;

-- Leases

-- Adds `amount` to one lane of a lease: lane 0 from the lots in order, another from its budget. The end of the
-- earliest lot drawn on.
CREATE FUNCTION ledger.lease_draw(
    p_lease ledger.lease, p_lane integer, p_budget uuid, p_amount bigint, p_now timestamptz
) RETURNS timestamptz
    LANGUAGE plpgsql
AS $$
DECLARE
    rest bigint := p_amount;
    piece bigint;
    next_ord integer;
    pending uuid;
    source record;
    earliest timestamptz;
BEGIN
    SELECT coalesce(max(ord), 0) INTO next_ord FROM ledger.lease_slice
        WHERE lease_id = p_lease.id AND lane = p_lane;
    FOR source IN
        SELECT u.lot_id, u.account_id, u.free, u.expires_at
        FROM ledger.lots_usable(p_lease.organisation_ref, p_lease.scope, p_now) AS u WHERE p_lane = 0
        UNION ALL
        SELECT NULL, p_budget, p_amount, NULL WHERE p_lane > 0
    LOOP
        EXIT WHEN rest = 0;
        piece := least(rest, source.free);
        next_ord := next_ord + 1;
        pending := ledger.derived_id(p_now, p_lease.id || ' ' || p_lane || ' ' || next_ord || ' ' || piece);
        PERFORM ledger.enter(pending, 'pending', source.account_id, CASE WHEN p_lane = 0
            THEN ledger.account_id('revenue:usage:' || p_lease.scope) ELSE ledger.account_id('budget:used') END,
            piece, p_lease.kind, p_lease.organisation_ref, p_lease.scope, p_lease.id);
        INSERT INTO ledger.lease_slice (lease_id, lane, ord, organisation_ref, scope, account_id, lot_id,
                amount_micros, pending_id)
            VALUES (p_lease.id, p_lane, next_ord, p_lease.organisation_ref, p_lease.scope, source.account_id,
                source.lot_id, piece, pending);
        earliest := least(earliest, source.expires_at);
        rest := rest - piece;
    END LOOP;
    IF rest > 0 THEN
        RAISE EXCEPTION 'less is free than was counted' USING ERRCODE = 'RX007';
    END IF;
    RETURN earliest;
END $$;

-- Opens a lease (or a hold) of between p_minimum and p_want micros from the balance and every budget that applies.
-- p_hold: the size of the call at hand; when less than 20 of it are free the lease is exactly that call's.
-- Nothing free: amount 0 and the refusal; `elsewhere` is what lies unspent in other leases. The same id again: the
-- same lease.
CREATE FUNCTION ledger.lease_begin(
    p_kind text, p_id uuid, p_organisation uuid, p_scope text, p_budgets text[], p_worker text, p_run bigint,
    p_want bigint, p_hold bigint, p_minimum bigint, p_workers integer, p_ttl interval,
    OUT amount bigint, OUT refusal text, OUT free bigint, OUT elsewhere bigint, OUT ttl_ms bigint, OUT now_ms bigint
)
    LANGUAGE plpgsql
AS $$
DECLARE
    moment timestamptz;
    known ledger.lease;
    named text;
    b ledger.budget;
    opened record;
    budget_accounts uuid[] := '{}';
    room bigint;
    tightest uuid;
    ends timestamptz;
    lane integer := 0;
    earliest timestamptz;
BEGIN
    PERFORM ledger.lock_organisation(p_organisation);
    moment := ruxa.now();
    now_ms := ledger.unix_ms(moment);
    elsewhere := 0;
    SELECT * INTO known FROM ledger.lease WHERE id = p_id;
    IF FOUND THEN
        IF known.organisation_ref <> p_organisation OR known.scope <> p_scope OR known.kind <> p_kind THEN
            RAISE EXCEPTION 'exists with other contents' USING ERRCODE = 'RX005';
        END IF;
        amount := known.amount_micros;
        free := 0;
        ttl_ms := greatest(ledger.unix_ms(known.expires_at) - now_ms, 0);
        IF known.state = 'closed' THEN
            amount := 0;
            refusal := 'lease_closed';
        END IF;
        RETURN;
    END IF;
    amount := 0;
    ttl_ms := 0;
    free := 0;
    IF payment.frozen(p_organisation, p_scope) THEN
        refusal := 'spending_frozen';
        RETURN;
    END IF;
    SELECT coalesce(sum(u.free), 0) INTO free FROM ledger.lots_usable(p_organisation, p_scope, moment) AS u;
    IF free < p_minimum THEN
        refusal := 'insufficient_credits';
        SELECT coalesce(sum(l.amount_micros - l.spent_micros), 0) INTO elsewhere FROM ledger.lease AS l
            WHERE l.organisation_ref = p_organisation AND l.scope = p_scope AND l.state = 'open' AND l.kind = 'lease';
        RETURN;
    END IF;
    room := free;
    FOREACH named IN ARRAY p_budgets || ('organisation:' || p_organisation::text) LOOP
        SELECT * INTO b FROM ledger.budget
            WHERE scope = split_part(named, ':', 1) AND id = split_part(named, ':', 2)::uuid;
        IF NOT FOUND OR b.organisation_ref <> p_organisation THEN
            -- A key that is said to have a budget and has none here may not spend.
            CONTINUE WHEN split_part(named, ':', 1) = 'organisation';
            refusal := 'key_budget_exceeded';
            free := 0;
            RETURN;
        END IF;
        CONTINUE WHEN b.limit_micros IS NULL;
        opened := ledger.budget_open(b, moment);
        budget_accounts := budget_accounts || opened.account_id;
        ends := least(ends, opened.ends);
        IF opened.free < room THEN
            room := opened.free;
            tightest := opened.account_id;
        END IF;
    END LOOP;
    IF room < p_minimum THEN
        SELECT split_part(a.code, ':', 2) || '_budget_exceeded' INTO refusal FROM ledger.account AS a
            WHERE a.id = tightest;
        free := greatest(room, 0);
        SELECT coalesce(sum(l.amount_micros - l.spent_micros), 0) INTO elsewhere FROM ledger.lease AS l
            WHERE l.organisation_ref = p_organisation AND l.state = 'open' AND l.kind = 'lease' AND EXISTS (
                SELECT FROM ledger.lease_slice AS s WHERE s.lease_id = l.id AND s.account_id = tightest);
        RETURN;
    END IF;
    IF room < 20 * p_hold::numeric THEN
        amount := least(room, p_hold);
    ELSE
        amount := greatest(p_hold, least(p_want, room / (2 * greatest(p_workers, 1))));
    END IF;
    known := ROW(p_id, p_kind, p_organisation, p_scope, p_worker, p_run, amount, 0, 0, 0, 'open', moment,
        moment + p_ttl, NULL)::ledger.lease;
    INSERT INTO ledger.lease SELECT known.*;
    earliest := ledger.lease_draw(known, 0, NULL, amount, moment);
    FOREACH tightest IN ARRAY budget_accounts LOOP
        lane := lane + 1;
        PERFORM ledger.lease_draw(known, lane, tightest, amount, moment);
    END LOOP;
    -- A lease ends before the lots it draws on, and soon after its budgets' period.
    IF ends IS NOT NULL THEN
        ends := greatest(ends, moment + least(p_ttl, interval '5 seconds'));
    END IF;
    ends := least(known.expires_at, earliest, ends);
    IF ends < known.expires_at AND p_kind = 'lease' THEN
        UPDATE ledger.lease SET expires_at = ends WHERE id = p_id;
        known.expires_at := ends;
    END IF;
    free := room - amount;
    ttl_ms := ledger.unix_ms(known.expires_at) - now_ms;
END $$;

CREATE FUNCTION ledger.lease_open(
    p_id uuid, p_organisation uuid, p_scope text, p_budgets text[], p_worker text, p_run bigint, p_want bigint,
    p_hold bigint, p_minimum bigint, p_workers integer, p_ttl interval,
    OUT amount bigint, OUT refusal text, OUT free bigint, OUT elsewhere bigint, OUT ttl_ms bigint, OUT now_ms bigint
)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.amount, b.refusal, b.free, b.elsewhere, b.ttl_ms, b.now_ms
    FROM ledger.lease_begin('lease', p_id, p_organisation, p_scope, p_budgets, p_worker, p_run, p_want, p_hold,
        p_minimum, p_workers, p_ttl) AS b
$$;

-- The lease's organisation is locked, then the lease's row; null when there is no such lease.
CREATE FUNCTION ledger.lease_lock(p_id uuid) RETURNS ledger.lease
    LANGUAGE plpgsql
AS $$
DECLARE
    l ledger.lease;
BEGIN
    SELECT * INTO l FROM ledger.lease WHERE id = p_id;
    IF FOUND THEN
        PERFORM ledger.lock_organisation(l.organisation_ref);
        SELECT * INTO l FROM ledger.lease WHERE id = p_id FOR NO KEY UPDATE;
    END IF;
    RETURN l;
END $$;

-- Makes an open lease as large as `target`, if so much is free; what it is then, and why not more.
CREATE FUNCTION ledger.lease_grow(p_id uuid, p_target bigint, OUT amount bigint, OUT refusal text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    l ledger.lease;
    more bigint;
    moment timestamptz;
    room bigint;
    strand record;
    limited bigint;
BEGIN
    l := ledger.lease_lock(p_id);
    amount := coalesce(l.amount_micros, 0);
    more := p_target - amount;
    IF l.id IS NULL OR l.state = 'closed' THEN
        refusal := 'lease_closed';
        RETURN;
    END IF;
    IF more <= 0 THEN
        RETURN;
    END IF;
    moment := ruxa.now();
    IF payment.frozen(l.organisation_ref, l.scope) THEN
        refusal := 'spending_frozen';
        RETURN;
    END IF;
    SELECT coalesce(sum(u.free), 0) INTO room FROM ledger.lots_usable(l.organisation_ref, l.scope, moment) AS u;
    IF room < more THEN
        refusal := 'insufficient_credits';
        RETURN;
    END IF;
    FOR strand IN SELECT DISTINCT s.lane, s.account_id FROM ledger.lease_slice AS s
        WHERE s.lease_id = p_id AND s.lane > 0 ORDER BY s.lane
    LOOP
        SELECT least(a.cr_posted, coalesce(b.limit_micros, a.cr_posted)) - a.dr_posted - a.dr_pending INTO limited
            FROM ledger.account AS a LEFT JOIN ledger.budget AS b
                ON b.scope = split_part(a.code, ':', 2) AND b.id = split_part(a.code, ':', 3)::uuid
            WHERE a.id = strand.account_id;
        IF limited < more THEN
            SELECT split_part(a.code, ':', 2) || '_budget_exceeded' INTO refusal FROM ledger.account AS a
                WHERE a.id = strand.account_id;
            RETURN;
        END IF;
    END LOOP;
    UPDATE ledger.lease SET amount_micros = p_target WHERE id = p_id;
    PERFORM ledger.lease_draw(l, 0, NULL, more, moment);
    FOR strand IN SELECT DISTINCT s.lane, s.account_id FROM ledger.lease_slice AS s
        WHERE s.lease_id = p_id AND s.lane > 0 ORDER BY s.lane
    LOOP
        PERFORM ledger.lease_draw(l, strand.lane, strand.account_id, more, moment);
    END LOOP;
    amount := p_target;
END $$;

-- Gives back what a lease has beyond `keep` (never below what it spent); what it is then.
CREATE FUNCTION ledger.lease_trim(p_id uuid, p_keep bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    l ledger.lease;
    keep bigint;
    cut bigint;
    current_lane integer := -1;
    excess bigint;
    pending uuid;
    old ledger.transfer;
    s ledger.lease_slice;
BEGIN
    l := ledger.lease_lock(p_id);
    IF l.id IS NULL OR l.state = 'closed' THEN
        RETURN 0;
    END IF;
    keep := greatest(p_keep, l.spent_micros);
    IF keep >= l.amount_micros THEN
        RETURN l.amount_micros;
    END IF;
    FOR s IN SELECT * FROM ledger.lease_slice WHERE lease_id = p_id AND amount_micros > 0 ORDER BY lane, ord DESC LOOP
        IF s.lane <> current_lane THEN
            current_lane := s.lane;
            excess := l.amount_micros - keep;
        END IF;
        CONTINUE WHEN excess = 0;
        cut := least(s.amount_micros, excess);
        excess := excess - cut;
        SELECT * INTO old FROM ledger.transfer WHERE id = s.pending_id;
        PERFORM ledger.resolve(s.pending_id, 0, 'returned');
        pending := s.pending_id;
        IF cut < s.amount_micros THEN
            pending := ledger.derived_id(ruxa.now(), s.pending_id || ' ' || (s.amount_micros - cut));
            PERFORM ledger.enter(pending, 'pending', old.debit_id, old.credit_id, s.amount_micros - cut, old.code,
                old.organisation_ref, old.scope, old.ref);
        END IF;
        UPDATE ledger.lease_slice SET amount_micros = s.amount_micros - cut, pending_id = pending
            WHERE lease_id = s.lease_id AND lane = s.lane AND ord = s.ord;
    END LOOP;
    UPDATE ledger.lease SET amount_micros = keep WHERE id = p_id;
    RETURN keep;
END $$;

-- Posts what a locked lease spent, lot by lot in order, and gives the rest back.
CREATE FUNCTION ledger.lease_end(p_lease ledger.lease) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    s ledger.lease_slice;
    current_lane integer := -1;
    rest bigint;
    piece bigint;
BEGIN
    FOR s IN SELECT * FROM ledger.lease_slice WHERE lease_id = p_lease.id AND amount_micros > 0 ORDER BY lane, ord LOOP
        IF s.lane <> current_lane THEN
            current_lane := s.lane;
            rest := p_lease.spent_micros;
        END IF;
        piece := least(rest, s.amount_micros);
        rest := rest - piece;
        PERFORM ledger.resolve(s.pending_id, piece, 'usage');
    END LOOP;
    UPDATE ledger.lease SET state = 'closed', closed_at = ruxa.now() WHERE id = p_lease.id;
END $$;

-- The lease's micros as posted; null when there is no such lease. Again: the same.
CREATE FUNCTION ledger.lease_close(p_id uuid) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    l ledger.lease;
BEGIN
    l := ledger.lease_lock(p_id);
    IF l.state <> 'closed' AND l.kind = 'lease' THEN
        PERFORM ledger.lease_end(l);
    END IF;
    RETURN l.spent_micros;
END $$;

-- Closes a lease of which it is not known whether it was opened; if it was not, it never will be.
CREATE FUNCTION ledger.lease_abandon(p_id uuid, p_organisation uuid, p_scope text, p_worker text, p_run bigint)
    RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    l ledger.lease;
    moment timestamptz;
BEGIN
    PERFORM ledger.lock_organisation(p_organisation);
    SELECT * INTO l FROM ledger.lease WHERE id = p_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        moment := ruxa.now();
        INSERT INTO ledger.lease (id, kind, organisation_ref, scope, worker, run, amount_micros, state, opened_at,
                expires_at, closed_at)
            VALUES (p_id, 'lease', p_organisation, p_scope, p_worker, p_run, 0, 'closed', moment, moment, moment);
    ELSIF l.organisation_ref <> p_organisation OR l.kind <> 'lease' THEN
        RAISE EXCEPTION 'exists with other contents' USING ERRCODE = 'RX005';
    ELSIF l.state <> 'closed' THEN
        PERFORM ledger.lease_end(l);
    END IF;
END $$;

-- Leases and holds whose time is over, oldest first.
CREATE FUNCTION ledger.leases_due(p_limit integer) RETURNS SETOF uuid
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.id FROM ledger.lease AS l
        LEFT JOIN ledger.journal_run AS r ON r.worker = l.worker AND r.run = l.run
    WHERE (l.state = 'open' AND l.expires_at <= ruxa.now())
        OR (l.state = 'suspense' AND (l.expires_at <= ruxa.now() - interval '900 seconds' OR r.ended_at IS NOT NULL))
    ORDER BY l.expires_at LIMIT p_limit
$$;

-- One step of a lease whose time is over: `suspense` (its money stays held for the worker's journal), then `closed`
-- once the run's journal is drained or after 15 minutes. A hold is released at its end. Its state.
CREATE FUNCTION ledger.lease_expire(p_id uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    l ledger.lease;
    moment timestamptz;
BEGIN
    l := ledger.lease_lock(p_id);
    moment := ruxa.now();
    IF l.id IS NULL OR l.state = 'closed' OR l.expires_at > moment THEN
        RETURN l.state;
    END IF;
    IF l.kind = 'hold' OR l.expires_at <= moment - interval '900 seconds' OR EXISTS (
        SELECT FROM ledger.journal_run AS r WHERE r.worker = l.worker AND r.run = l.run AND r.ended_at IS NOT NULL)
    THEN
        PERFORM ledger.lease_end(l);
        RETURN 'closed';
    END IF;
    UPDATE ledger.lease SET state = 'suspense' WHERE id = p_id AND state = 'open';
    RETURN 'suspense';
END $$;

-- Charges a locked lease's organisation outside the lease: from what is free, then as shortfall. Budgets as far as
-- they reach.
CREATE FUNCTION ledger.charge_beyond(p_lease ledger.lease, p_amount bigint) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    moment timestamptz := ruxa.now();
    rest bigint := p_amount;
    piece bigint;
    source record;
    revenue uuid := ledger.account_id('revenue:usage:' || p_lease.scope);
    named text := ledger.shortfall_code(p_lease.organisation_ref, p_lease.scope);
BEGIN
    FOR source IN SELECT * FROM ledger.lots_usable(p_lease.organisation_ref, p_lease.scope, moment) LOOP
        EXIT WHEN rest = 0;
        piece := least(rest, source.free);
        rest := rest - piece;
        PERFORM ledger.enter(ledger.derived_id(moment, gen_random_uuid()::text), 'posted', source.account_id, revenue,
            piece, 'late', p_lease.organisation_ref, p_lease.scope, p_lease.id);
    END LOOP;
    IF rest > 0 THEN
        INSERT INTO ledger.account (id, code, kind, organisation_ref, scope, no_overdraft, counted, opened_at)
            VALUES (ledger.account_id(named), named, 'asset', p_lease.organisation_ref, p_lease.scope, false, true,
                moment)
            ON CONFLICT DO NOTHING;
        PERFORM ledger.enter(ledger.derived_id(moment, gen_random_uuid()::text), 'posted', ledger.account_id(named),
            revenue, rest, 'shortfall', p_lease.organisation_ref, p_lease.scope, p_lease.id);
    END IF;
    FOR source IN
        SELECT a.id, a.cr_posted - a.dr_posted - a.dr_pending AS free FROM ledger.account AS a
        WHERE a.id IN (SELECT s.account_id FROM ledger.lease_slice AS s WHERE s.lease_id = p_lease.id AND s.lane > 0)
        ORDER BY a.id
    LOOP
        CONTINUE WHEN source.free <= 0;
        PERFORM ledger.enter(ledger.derived_id(moment, gen_random_uuid()::text), 'posted', source.id,
            ledger.account_id('budget:used'), least(p_amount, source.free), 'late', p_lease.organisation_ref,
            p_lease.scope, p_lease.id);
    END LOOP;
END $$;

-- Holds

-- Keeps exactly `amount` for one task until its end; null, or the refusal. The same id again: the same hold.
CREATE FUNCTION ledger.hold_place(
    p_id uuid, p_organisation uuid, p_scope text, p_budgets text[], p_amount bigint, p_ttl interval
) RETURNS text
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.refusal FROM ledger.lease_begin('hold', p_id, p_organisation, p_scope, p_budgets, NULL, NULL, p_amount,
        p_amount, p_amount, 1, p_ttl) AS b
$$;

-- Posts `amount` of a hold and gives the rest back; 0 releases it. True when new; the same again is false.
CREATE FUNCTION ledger.hold_settle(p_id uuid, p_amount bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    l ledger.lease;
BEGIN
    l := ledger.lease_lock(p_id);
    IF l.id IS NULL OR l.kind <> 'hold' THEN
        RAISE EXCEPTION 'no such hold' USING ERRCODE = 'RX006';
    END IF;
    IF l.state = 'closed' THEN
        IF l.spent_micros <> p_amount THEN
            RAISE EXCEPTION 'the hold is over' USING ERRCODE = 'RX024';
        END IF;
        RETURN false;
    END IF;
    IF p_amount > l.amount_micros OR p_amount < 0 THEN
        RAISE EXCEPTION 'more than was held' USING ERRCODE = 'RX007';
    END IF;
    UPDATE ledger.lease SET spent_micros = p_amount WHERE id = p_id RETURNING * INTO l;
    PERFORM ledger.lease_end(l);
    RETURN true;
END $$;

-- The journal

CREATE FUNCTION ledger.run_begin(p_worker text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fresh bigint;
BEGIN
    PERFORM ledger.commit_durably();
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger run ' || p_worker, 0));
    SELECT coalesce(max(run), 0) + 1 INTO fresh FROM ledger.journal_run WHERE worker = p_worker;
    INSERT INTO ledger.journal_run (worker, run, began_at) VALUES (p_worker, fresh, ruxa.now());
    RETURN fresh;
END $$;

-- Nothing of the run is on file any more. Its leases end with it: those whose intent went with an acknowledged segment
-- are in no journal, and nobody can spend them.
CREATE FUNCTION ledger.run_end(p_worker text, p_run bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    left_open uuid;
BEGIN
    UPDATE ledger.journal_run SET ended_at = ruxa.now() WHERE worker = p_worker AND run = p_run AND ended_at IS NULL;
    FOR left_open IN
        SELECT id FROM ledger.lease
            WHERE worker = p_worker AND run = p_run AND kind = 'lease' AND state <> 'closed'
            ORDER BY organisation_ref, id
    LOOP
        PERFORM ledger.lease_close(left_open);
    END LOOP;
END $$;

CREATE FUNCTION ledger.runs_open(p_worker text) RETURNS SETOF bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT run FROM ledger.journal_run WHERE worker = p_worker AND ended_at IS NULL ORDER BY run
$$;

-- Registers a segment of a run; its state. A run that this database never saw (restored, moved) is registered too.
CREATE FUNCTION ledger.segment_begin(p_worker text, p_run bigint, p_number bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment timestamptz := ruxa.now();
    found_state text;
BEGIN
    PERFORM ledger.commit_durably();
    INSERT INTO ledger.journal_run (worker, run, began_at) VALUES (p_worker, p_run, moment) ON CONFLICT DO NOTHING;
    INSERT INTO ledger.journal_segment (worker, run, number, state, began_at)
        VALUES (p_worker, p_run, p_number, 'open', moment) ON CONFLICT DO NOTHING;
    SELECT state INTO found_state FROM ledger.journal_segment
        WHERE worker = p_worker AND run = p_run AND number = p_number;
    RETURN found_state;
END $$;

CREATE FUNCTION ledger.segment_end(
    p_worker text, p_run bigint, p_number bigint, p_state text, p_sha256 bytea, p_rows bigint, p_reason text
) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    known ledger.journal_segment;
BEGIN
    PERFORM ledger.commit_durably();
    SELECT * INTO known FROM ledger.journal_segment
        WHERE worker = p_worker AND run = p_run AND number = p_number FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the segment never began' USING ERRCODE = 'RX020';
    END IF;
    IF known.state <> 'open' THEN
        IF known.state <> p_state OR known.sha256 <> p_sha256 THEN
            RAISE EXCEPTION 'ended with another hash' USING ERRCODE = 'RX022';
        END IF;
        RETURN;
    END IF;
    UPDATE ledger.journal_segment
        SET state = p_state, sha256 = p_sha256, rows = p_rows, reason = p_reason, ended_at = ruxa.now(),
            refused = refused + cardinality(refused_ids), refused_ids = '{}'
        WHERE worker = p_worker AND run = p_run AND number = p_number;
END $$;

CREATE FUNCTION ledger.segment_acknowledge(p_worker text, p_run bigint, p_number bigint, p_sha256 bytea, p_rows bigint)
    RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ledger.segment_end(p_worker, p_run, p_number, 'acknowledged', p_sha256, p_rows, NULL)
$$;

CREATE FUNCTION ledger.segment_refuse(p_worker text, p_run bigint, p_number bigint, p_sha256 bytea, p_reason text)
    RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ledger.segment_end(p_worker, p_run, p_number, 'refused', p_sha256, NULL, p_reason)
$$;

-- Makes the session's staging table. It belongs to the owner: the caller may fill it and not alter what it is.
CREATE FUNCTION ledger.usage_stage() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('pg_temp.usage_batch') IS NULL THEN
        CREATE TEMPORARY TABLE usage_batch (LIKE ledger.usage_event) ON COMMIT DELETE ROWS;
        ALTER TABLE pg_temp.usage_batch DROP COLUMN late;
        EXECUTE format('GRANT INSERT ON pg_temp.usage_batch TO %I', session_user);
    END IF;
END $$;

-- Books the staged rows, each once. Refused rows come back with the wall that refused them; the rest is not held up.
CREATE FUNCTION ledger.usage_flush(
    p_worker text, p_run bigint, p_segment bigint,
    OUT booked bigint, OUT late bigint, OUT refused uuid[], OUT reasons text[]
)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    segment_state text;
    moment timestamptz := ruxa.now();
    item record;
    locked uuid[] := '{}';
    oldest uuid;
    newest uuid;
    row_id uuid;
    wall text;
    leases uuid[] := '{}';
    amounts bigint[] := '{}';
    waivers bigint[] := '{}';
    over uuid[];
    plain boolean := true;
    i integer;
    l ledger.lease;
    inside bigint;
    beyond bigint;
    lost bigint;
    calendar date;
    following uuid;
    aged date[] := '{}';
BEGIN
    booked := 0;
    late := 0;
    refused := '{}';
    reasons := '{}';
    PERFORM ledger.commit_durably();
    PERFORM FROM pg_class WHERE oid = to_regclass('pg_temp.usage_batch') AND relkind = 'r'
        AND relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the staging table is not ours' USING ERRCODE = 'RX023';
    END IF;
    SELECT state INTO segment_state FROM ledger.journal_segment
        WHERE worker = p_worker AND run = p_run AND number = p_segment FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the segment never began' USING ERRCODE = 'RX020';
    ELSIF segment_state <> 'open' THEN
        RAISE EXCEPTION 'the segment has ended' USING ERRCODE = 'RX021';
    END IF;

    -- Days that can still be booked have their partition; older ones are gone, later ones are a clock's mistake.
    oldest := ruxa.id_floor(((moment AT TIME ZONE 'UTC')::date - ledger.usage_days() + 1)::timestamp
        AT TIME ZONE 'UTC');
    newest := ruxa.id_floor(((moment AT TIME ZONE 'UTC')::date + 2)::timestamp AT TIME ZONE 'UTC');
    -- Day by day, not row by row: a batch has one or two.
    row_id := (SELECT b.id FROM pg_temp.usage_batch AS b
        WHERE b.id >= oldest AND b.id < newest ORDER BY b.id LIMIT 1);
    WHILE row_id IS NOT NULL LOOP
        calendar := (ruxa.id_time(row_id) AT TIME ZONE 'UTC')::date;
        following := ruxa.id_floor((calendar + 1)::timestamp AT TIME ZONE 'UTC');
        PERFORM ledger.day_ensure(calendar);
        IF calendar < (moment AT TIME ZONE 'UTC')::date - 1 THEN
            aged := aged || calendar;
        END IF;
        -- A clock that went back may make a day young again whose rows are gone.
        IF EXISTS (SELECT FROM ledger.evidence_day AS d WHERE d.day = calendar AND d.state = 'reduced') THEN
            refused := refused || ARRAY(SELECT DISTINCT b.id FROM pg_temp.usage_batch AS b
                WHERE b.id >= row_id AND b.id < following);
        END IF;
        row_id := (SELECT b.id FROM pg_temp.usage_batch AS b
            WHERE b.id >= following AND b.id < newest ORDER BY b.id LIMIT 1);
    END LOOP;
    refused := refused || ARRAY(SELECT DISTINCT b.id FROM pg_temp.usage_batch AS b
        WHERE b.id < oldest OR b.id >= newest);
    IF cardinality(refused) > 0 THEN
        reasons := array_fill('day'::text, ARRAY[cardinality(refused)]);
        DELETE FROM pg_temp.usage_batch AS b WHERE b.id = ANY (refused);
    END IF;

    -- Money outside a lease needs the organisation's lock, which comes before lease rows. Who needs it is guessed
    -- here without a lock and checked below with one.
    FOR item IN
        SELECT l.organisation_ref FROM ledger.lease AS l JOIN (
            SELECT b.lease_id, sum(b.amount_micros) AS amount, sum(b.waived_micros) AS waived
            FROM pg_temp.usage_batch AS b GROUP BY b.lease_id
        ) AS g ON g.lease_id = l.id
        WHERE l.state = 'closed' OR l.spent_micros + g.amount > l.amount_micros OR g.waived > 0
        GROUP BY l.organisation_ref ORDER BY l.organisation_ref
    LOOP
        PERFORM ledger.lock_organisation(item.organisation_ref);
        locked := locked || item.organisation_ref;
    END LOOP;
    PERFORM FROM ledger.lease AS l WHERE l.id IN (SELECT b.lease_id FROM pg_temp.usage_batch AS b)
        ORDER BY l.id FOR NO KEY UPDATE;
    over := ARRAY(SELECT l.id FROM ledger.lease AS l
        WHERE l.state = 'closed' AND l.id IN (SELECT b.lease_id FROM pg_temp.usage_batch AS b));

    -- Nearly always every row is new and without a fault. That is tried first: as they came, without looking for each
    -- row whether it is there; the key refuses a row that is.
    BEGIN
        INSERT INTO ledger.usage_event
            SELECT b.*, coalesce(b.lease_id = ANY (over), false) FROM pg_temp.usage_batch AS b;
        FOR item IN
            SELECT b.lease_id, sum(b.amount_micros)::bigint AS amount, sum(b.waived_micros)::bigint AS waived,
                count(*) AS n
            FROM pg_temp.usage_batch AS b GROUP BY b.lease_id
        LOOP
            booked := booked + item.n;
            IF item.lease_id IS NOT NULL THEN
                late := late + CASE WHEN item.lease_id = ANY (over) THEN item.n ELSE 0 END;
                leases := leases || item.lease_id;
                amounts := amounts || item.amount;
                waivers := waivers || item.waived;
            END IF;
        END LOOP;
    EXCEPTION WHEN integrity_constraint_violation THEN
        plain := false;
    END;

    IF NOT plain THEN
        BEGIN
            FOR item IN
                WITH fresh AS (
                    INSERT INTO ledger.usage_event
                    SELECT b.*, coalesce(b.lease_id = ANY (over), false)
                    FROM pg_temp.usage_batch AS b
                    WHERE b.id >= oldest AND b.id < newest
                    ORDER BY b.id
                    ON CONFLICT DO NOTHING
                    RETURNING lease_id, amount_micros, waived_micros, usage_event.late
                )
                SELECT f.lease_id, sum(f.amount_micros)::bigint AS amount, sum(f.waived_micros)::bigint AS waived,
                    count(*) AS n, count(*) FILTER (WHERE f.late) AS n_late
                FROM fresh AS f GROUP BY f.lease_id
            LOOP
                booked := booked + item.n;
                late := late + item.n_late;
                IF item.lease_id IS NOT NULL THEN
                    leases := leases || item.lease_id;
                    amounts := amounts || item.amount;
                    waivers := waivers || item.waived;
                END IF;
            END LOOP;
        EXCEPTION WHEN integrity_constraint_violation THEN
            -- Some row hits a wall: one by one, so that only that row is refused.
            booked := 0;
            late := 0;
            leases := '{}';
            amounts := '{}';
            waivers := '{}';
            FOR row_id IN
                SELECT DISTINCT b.id FROM pg_temp.usage_batch AS b WHERE b.id >= oldest AND b.id < newest ORDER BY b.id
            LOOP
                BEGIN
                    FOR item IN
                        WITH fresh AS (
                            INSERT INTO ledger.usage_event
                            SELECT b.*, coalesce(b.lease_id = ANY (over), false)
                            FROM pg_temp.usage_batch AS b WHERE b.id = row_id
                            ON CONFLICT DO NOTHING
                            RETURNING lease_id, amount_micros, waived_micros, usage_event.late
                        )
                        SELECT * FROM fresh
                    LOOP
                        booked := booked + 1;
                        late := late + item.late::integer;
                        IF item.lease_id IS NOT NULL THEN
                            leases := leases || item.lease_id;
                            amounts := amounts || item.amount_micros;
                            waivers := waivers || item.waived_micros;
                        END IF;
                    END LOOP;
                EXCEPTION WHEN integrity_constraint_violation THEN
                    GET STACKED DIAGNOSTICS wall = CONSTRAINT_NAME;
                    refused := refused || row_id;
                    -- Without a name: its day was reduced since we looked, and has no partition any more.
                    reasons := reasons || CASE WHEN wall = '' THEN 'day' ELSE wall END;
                END;
            END LOOP;
        END;
    END IF;

    FOR i IN 1 .. cardinality(leases) LOOP
        SELECT * INTO l FROM ledger.lease WHERE id = leases[i];
        lost := 0;
        IF l.state = 'closed' THEN
            inside := 0;
            beyond := least(amounts[i],
                greatest(l.amount_micros - l.spent_micros - l.extra_micros - l.lost_micros, 0));
            lost := amounts[i] - beyond;
        ELSE
            inside := least(amounts[i], l.amount_micros - l.spent_micros);
            beyond := amounts[i] - inside;
        END IF;
        IF beyond + lost + waivers[i] > 0 AND l.organisation_ref <> ALL (locked) THEN
            -- The lease was closed between the guess and the lock: the caller sends the same rows again.
            RAISE EXCEPTION 'again' USING ERRCODE = '40001';
        END IF;
        UPDATE ledger.lease SET spent_micros = spent_micros + inside, extra_micros = extra_micros + beyond,
            lost_micros = lost_micros + lost WHERE id = l.id;
        IF beyond > 0 THEN
            PERFORM ledger.charge_beyond(l, beyond);
        END IF;
        IF lost + waivers[i] > 0 THEN
            PERFORM ledger.enter(ledger.derived_id(moment, gen_random_uuid()::text), 'posted',
                ledger.account_id('expense:abandoned'), ledger.account_id('revenue:usage:' || l.scope),
                lost + waivers[i], 'abandoned', l.organisation_ref, l.scope, l.id);
        END IF;
    END LOOP;
    -- After the rows: whoever makes a day's evidence meanwhile waits for them or is seen here.
    UPDATE ledger.evidence_day SET state = 'stale', changed_at = moment WHERE day = ANY (aged) AND state = 'ready';
    -- With the rows, in one transaction: what a segment became is as certain as they are (proof I16).
    IF usage_flush.booked > 0 OR cardinality(usage_flush.refused) > 0 THEN
        UPDATE ledger.journal_segment AS s SET booked = s.booked + usage_flush.booked,
            refused_ids = ARRAY(SELECT DISTINCT unnest(s.refused_ids || usage_flush.refused)),
            refusals = ARRAY(SELECT DISTINCT unnest(s.refusals || usage_flush.reasons) ORDER BY 1)
            WHERE s.worker = p_worker AND s.run = p_run AND s.number = p_segment;
    END IF;
    IF booked > 0 THEN
        PERFORM pg_notify('usage_flushed', '');
    END IF;
END $$;

-- Prices

-- Books a list price from `starts` on and closes the one in force then; the row's id. Nothing changes when it says the
-- same. What follows from it in other books is made in the same transaction.
CREATE FUNCTION ledger.price_put(
    p_id uuid, p_model text, p_aliases text[], p_source text, p_starts timestamptz, p_rates jsonb
) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment timestamptz;
    starts timestamptz;
    old ledger.price;
    fresh ledger.price;
    same ledger.price;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger prices', 0));
    moment := ruxa.now();
    starts := coalesce(p_starts, moment);
    fresh := jsonb_populate_record(NULL::ledger.price, p_rates);
    fresh.id := p_id;
    fresh.book := 'list';
    fresh.list_id := NULL;
    fresh.model := p_model;
    fresh.aliases := p_aliases;
    fresh.source := p_source;
    fresh.effective := tstzrange(starts, NULL);
    fresh.created_at := moment;
    SELECT * INTO old FROM ledger.price WHERE book = 'list' AND model = p_model AND effective @> starts;
    IF FOUND THEN
        same := fresh;
        same.id := old.id;
        same.effective := old.effective;
        same.created_at := old.created_at;
        IF same IS NOT DISTINCT FROM old THEN
            -- It was to retire, and does not.
            IF NOT upper_inf(old.effective) AND NOT EXISTS (SELECT FROM ledger.price
                    WHERE book = 'list' AND model = p_model AND lower(effective) >= upper(old.effective)) THEN
                UPDATE ledger.price SET effective = tstzrange(lower(effective), NULL) WHERE id = old.id;
                PERFORM ledger.books_make(p_model, moment);
                PERFORM pg_notify('price_changed', '');
            END IF;
            RETURN old.id;
        END IF;
    END IF;
    IF starts < moment OR EXISTS (SELECT FROM ledger.price
            WHERE book = 'list' AND model = p_model AND lower(effective) >= starts) THEN
        RAISE EXCEPTION 'the period is taken or past' USING ERRCODE = 'RX041';
    END IF;
    UPDATE ledger.price SET effective = tstzrange(lower(effective), starts) WHERE id = old.id;
    INSERT INTO ledger.price SELECT fresh.*;
    PERFORM ledger.books_make(p_model, moment);
    PERFORM pg_notify('price_changed', '');
    RETURN p_id;
END $$;

-- The exact charge of a usage row at a price, as ledger.prices.charge in the product.
CREATE FUNCTION ledger.charge_of(u ledger.usage_event, p ledger.price) RETURNS numeric
    LANGUAGE sql IMMUTABLE
AS $$
    SELECT ceil((
        CASE WHEN u.input_tokens::bigint + u.cache_read_tokens + u.cache_write_5m_tokens + u.cache_write_1h_tokens
            + u.audio_input_tokens > p.long_from_tokens
        THEN u.input_tokens::numeric * p.long_input_micros + u.output_tokens::numeric * p.long_output_micros
            + u.cache_read_tokens::numeric * p.long_cache_read_micros
            + u.cache_write_5m_tokens::numeric * p.long_cache_write_5m_micros
            + u.cache_write_1h_tokens::numeric * p.long_cache_write_1h_micros
            + u.reasoning_tokens::numeric * p.long_reasoning_micros
        ELSE u.input_tokens::numeric * p.input_micros + u.output_tokens::numeric * p.output_micros
            + u.cache_read_tokens::numeric * p.cache_read_micros
            + u.cache_write_5m_tokens::numeric * p.cache_write_5m_micros
            + u.cache_write_1h_tokens::numeric * p.cache_write_1h_micros
            + u.reasoning_tokens::numeric * p.reasoning_micros
        END
        + u.audio_input_tokens::numeric * p.audio_input_micros
        + u.audio_output_tokens::numeric * p.audio_output_micros
        + u.images::numeric * p.image_micros
    ) / 1000000)
$$;

-- Upkeep

-- Partitions for the days and years ahead (and today's); how many days are there now.
CREATE FUNCTION ledger.partitions_ahead(p_days integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := (ruxa.now() AT TIME ZONE 'UTC')::date;
    i integer;
BEGIN
    FOR i IN -1 .. p_days LOOP
        PERFORM ledger.day_ensure(today + i);
    END LOOP;
    FOR i IN 0 .. 1 LOOP
        PERFORM ledger.year_ensure(extract(year FROM today)::integer + i);
    END LOOP;
    RETURN p_days + 2;
END $$;

-- Evidence

-- The days that have rows, oldest first, with what is known of their evidence.
CREATE FUNCTION ledger.usage_days_present() RETURNS TABLE (day date, state text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.day, d.state FROM (
        SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'ledger.usage_event'::regclass
    ) AS p LEFT JOIN ledger.evidence_day AS d ON d.day = p.day
    ORDER BY p.day
$$;

-- The moment of the oldest usage row; null when there is none.
CREATE FUNCTION ledger.usage_oldest() RETURNS timestamptz
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ruxa.id_time(u.id) FROM ledger.usage_event AS u ORDER BY u.id LIMIT 1
$$;

-- A day's rows of organisations whose deletion is on hold, whole, oldest first from after an id: they are sealed anew
-- under the hold's key before the day is reduced.
CREATE FUNCTION ledger.usage_rows(p_day date, p_organisations uuid[], p_after uuid, p_limit integer)
    RETURNS TABLE (id uuid, organisation_ref uuid, body text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT u.id, u.organisation_ref, to_jsonb(u)::text FROM ledger.usage_event AS u
    WHERE u.id >= ruxa.id_floor(p_day::timestamp AT TIME ZONE 'UTC')
        AND u.id < ruxa.id_floor((p_day + 1)::timestamp AT TIME ZONE 'UTC')
        AND (p_organisations IS NULL OR u.organisation_ref = ANY (p_organisations))
        AND (p_after IS NULL OR u.id > p_after)
    ORDER BY u.id LIMIT p_limit
$$;

-- Adds up a day that is over for two days or more; how many charges, null when there is nothing to do. A row that comes
-- later makes the sums stale, and the next call makes them anew.
CREATE FUNCTION ledger.evidence_prepare(p_day date) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET jit = off
AS $$
DECLARE
    part text := 'ledger.usage_event_' || to_char(p_day, 'YYYYMMDD');
    low uuid := ruxa.id_floor(p_day::timestamp AT TIME ZONE 'UTC');
    high uuid := ruxa.id_floor((p_day + 1)::timestamp AT TIME ZONE 'UTC');
    charges bigint;
BEGIN
    IF p_day >= ruxa.today() - 1 THEN
        RAISE EXCEPTION 'the day is not over' USING ERRCODE = 'RX050';
    END IF;
    -- In the order in which everybody takes them: the root, then the day. No row of the day is under way after this.
    LOCK TABLE ONLY ledger.usage_event IN ACCESS SHARE MODE;
    IF to_regclass(part) IS NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE 'LOCK TABLE ONLY ' || part || ' IN SHARE MODE';
    IF EXISTS (SELECT FROM ledger.evidence_day AS d WHERE d.day = p_day AND d.state <> 'stale') THEN
        RETURN NULL;
    END IF;
    PERFORM ruxa.partition_create('ledger.usage_day'::regclass, p_day);
    DELETE FROM ledger.usage_day WHERE id >= low AND id < high;
    INSERT INTO ledger.usage_day (id, organisation_ref, scope, kind, price_id, long, calls, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, images,
            amount_micros, waived_micros, sha256)
        SELECT ledger.derived_id(p_day::timestamp AT TIME ZONE 'UTC',
                concat_ws('|', c.organisation_ref, c.scope, c.kind, c.price_id, c.long)),
            c.organisation_ref, c.scope, c.kind, c.price_id, c.long, count(*),
            sum(c.input_tokens),
            sum(c.cache_read_tokens),
            sum(c.cache_write_5m_tokens),
            sum(c.cache_write_1h_tokens),
            sum(c.output_tokens),
            sum(c.reasoning_tokens),
            sum(c.audio_input_tokens),
            sum(c.audio_output_tokens),
            sum(c.images),
            sum(c.amount_micros), sum(c.waived_micros),
            sha256(string_agg(sha256(convert_to(concat_ws('|', c.id,
                c.input_tokens, c.cache_read_tokens, c.cache_write_5m_tokens, c.cache_write_1h_tokens, c.output_tokens, c.reasoning_tokens, c.audio_input_tokens, c.audio_output_tokens, c.images,
                c.amount_micros, c.waived_micros), 'UTF8')), ''::bytea ORDER BY c.id))
        FROM (
            SELECT u.*, l.kind, coalesce(u.input_tokens::bigint + u.cache_read_tokens + u.cache_write_5m_tokens
                + u.cache_write_1h_tokens + u.audio_input_tokens > p.long_from_tokens, false) AS long
            FROM ledger.usage_event AS u JOIN ledger.price AS p ON p.id = u.price_id
                JOIN ledger.lease AS l ON l.id = u.lease_id
            WHERE u.id >= low AND u.id < high AND (u.amount_micros > 0 OR u.waived_micros > 0)
        ) AS c
        GROUP BY c.organisation_ref, c.scope, c.kind, c.price_id, c.long;
    SELECT coalesce(sum(calls), 0) INTO charges FROM ledger.usage_day WHERE id >= low AND id < high;
    INSERT INTO ledger.evidence_day AS d (day, state, changed_at) VALUES (p_day, 'ready', ruxa.now())
        ON CONFLICT (day) DO UPDATE SET state = 'ready', changed_at = excluded.changed_at;
    RETURN charges;
END $$;

-- Ends a day: its sums go into the month's evidence, its rows and its sums of the day are dropped. How many charges.
-- Oldest first, so that each month's hash chains its days in order. Again: null, and nothing.
CREATE FUNCTION ledger.day_reduce(p_day date) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    low uuid := ruxa.id_floor(p_day::timestamp AT TIME ZONE 'UTC');
    high uuid := ruxa.id_floor((p_day + 1)::timestamp AT TIME ZONE 'UTC');
    part text := 'ledger.usage_event_' || to_char(p_day, 'YYYYMMDD');
    charges bigint;
BEGIN
    PERFORM ledger.commit_durably();
    IF p_day > ruxa.today() - ledger.usage_days() THEN
        RAISE EXCEPTION 'younger than its time' USING ERRCODE = 'RX053';
    END IF;
    -- Who waits here makes everybody wait behind: briefly, or another time. The whole table is taken last, and only for
    -- the dropping: calls are booked into the other days meanwhile.
    PERFORM set_config('lock_timeout', '500ms', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('ruxa.day_reduce', 0));
    LOCK TABLE ONLY ledger.usage_event IN ACCESS SHARE MODE;
    IF EXISTS (SELECT FROM ledger.usage_days_present() AS p WHERE p.day < p_day) THEN
        RAISE EXCEPTION 'an older day is there' USING ERRCODE = 'RX051';
    END IF;
    IF to_regclass(part) IS NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE 'LOCK TABLE ONLY ' || part || ' IN SHARE MODE';
    IF NOT EXISTS (SELECT FROM ledger.evidence_day AS d WHERE d.day = p_day AND d.state = 'ready' FOR UPDATE) THEN
        RAISE EXCEPTION 'its evidence is not ready' USING ERRCODE = 'RX052';
    END IF;
    SELECT coalesce(sum(calls), 0) INTO charges FROM ledger.usage_day WHERE id >= low AND id < high;
    INSERT INTO ledger.billing_evidence AS e (organisation_ref, month, price_id, scope, kind, long, calls,
            input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, images,
            amount_micros, waived_micros, sha256)
        SELECT s.organisation_ref, date_trunc('month', p_day::timestamp)::date, s.price_id, s.scope, s.kind, s.long,
            s.calls, s.input_tokens, s.cache_read_tokens, s.cache_write_5m_tokens, s.cache_write_1h_tokens, s.output_tokens, s.reasoning_tokens, s.audio_input_tokens, s.audio_output_tokens, s.images,
            s.amount_micros, s.waived_micros, sha256(s.sha256)
        FROM ledger.usage_day AS s WHERE s.id >= low AND s.id < high
        ORDER BY s.organisation_ref, s.price_id, s.scope, s.kind, s.long
        ON CONFLICT (organisation_ref, month, price_id, scope, kind, long) DO UPDATE SET
            calls = e.calls + excluded.calls, input_tokens = e.input_tokens + excluded.input_tokens,
            cache_read_tokens = e.cache_read_tokens + excluded.cache_read_tokens,
            cache_write_5m_tokens = e.cache_write_5m_tokens + excluded.cache_write_5m_tokens,
            cache_write_1h_tokens = e.cache_write_1h_tokens + excluded.cache_write_1h_tokens,
            output_tokens = e.output_tokens + excluded.output_tokens,
            reasoning_tokens = e.reasoning_tokens + excluded.reasoning_tokens,
            audio_input_tokens = e.audio_input_tokens + excluded.audio_input_tokens,
            audio_output_tokens = e.audio_output_tokens + excluded.audio_output_tokens,
            images = e.images + excluded.images,
            amount_micros = e.amount_micros + excluded.amount_micros,
            waived_micros = e.waived_micros + excluded.waived_micros,
            sha256 = sha256(e.sha256 || excluded.sha256);
    UPDATE ledger.evidence_day SET state = 'reduced', changed_at = ruxa.now() WHERE day = p_day;
    -- A journal that nobody ended: of its refused rows only the number is known on.
    UPDATE ledger.journal_segment SET refused = refused + cardinality(refused_ids), refused_ids = '{}'
        WHERE state = 'open' AND refused_ids <> '{}' AND began_at < (p_day + 1)::timestamp AT TIME ZONE 'UTC';
    PERFORM ledger.free_keep(low, high, NULL);
    LOCK TABLE ONLY ledger.usage_event IN ACCESS EXCLUSIVE MODE;
    PERFORM ruxa.partition_remove('ledger.usage_event'::regclass, p_day);
    PERFORM ruxa.partition_remove('ledger.usage_day'::regclass, p_day);
    RETURN charges;
END $$;

-- Ends an organisation's usage before its days' time, because the organisation is erased: the sums of its charges go into
-- the months' evidence, its rows and its sums of days are deleted. How many rows. Rows that come late: again.
CREATE FUNCTION ledger.usage_erase(p_organisation uuid) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one_day date;
    low uuid;
    high uuid;
    gone bigint;
    every bigint := 0;
BEGIN
    PERFORM ledger.commit_durably();
    INSERT INTO ledger.erased_reference (organisation_ref) VALUES (p_organisation) ON CONFLICT DO NOTHING;
    PERFORM set_config('ruxa.erasing_usage_of', p_organisation::text, true);
    FOR one_day IN
        SELECT DISTINCT (ruxa.id_time(u.id) AT TIME ZONE 'UTC')::date FROM ledger.usage_event AS u
        WHERE u.organisation_ref = p_organisation ORDER BY 1
    LOOP
        low := ruxa.id_floor(one_day::timestamp AT TIME ZONE 'UTC');
        high := ruxa.id_floor((one_day + 1)::timestamp AT TIME ZONE 'UTC');
        PERFORM ledger.free_keep(low, high, p_organisation);
        WITH taken AS (
            DELETE FROM ledger.usage_event AS u
            WHERE u.organisation_ref = p_organisation AND u.id >= low AND u.id < high RETURNING u.*
        ), charge AS (
            SELECT t.*, l.kind, coalesce(t.input_tokens::bigint + t.cache_read_tokens + t.cache_write_5m_tokens
                + t.cache_write_1h_tokens + t.audio_input_tokens > p.long_from_tokens, false) AS long
            FROM taken AS t JOIN ledger.price AS p ON p.id = t.price_id JOIN ledger.lease AS l ON l.id = t.lease_id
            WHERE t.amount_micros > 0 OR t.waived_micros > 0
        ), kept AS (
            INSERT INTO ledger.billing_evidence AS e (organisation_ref, month, price_id, scope, kind, long, calls,
                    input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, images,
                    amount_micros, waived_micros, sha256)
                SELECT c.organisation_ref, date_trunc('month', one_day::timestamp)::date, c.price_id, c.scope, c.kind, c.long,
                    count(*), sum(c.input_tokens), sum(c.cache_read_tokens), sum(c.cache_write_5m_tokens),
                    sum(c.cache_write_1h_tokens), sum(c.output_tokens), sum(c.reasoning_tokens),
                    sum(c.audio_input_tokens), sum(c.audio_output_tokens), sum(c.images),
                    sum(c.amount_micros), sum(c.waived_micros),
                    sha256(sha256(string_agg(sha256(convert_to(concat_ws('|', c.id,
                        c.input_tokens, c.cache_read_tokens, c.cache_write_5m_tokens, c.cache_write_1h_tokens, c.output_tokens, c.reasoning_tokens, c.audio_input_tokens, c.audio_output_tokens, c.images,
                        c.amount_micros, c.waived_micros), 'UTF8')), ''::bytea ORDER BY c.id)))
                FROM charge AS c
                GROUP BY c.organisation_ref, c.scope, c.kind, c.price_id, c.long
                ORDER BY c.price_id, c.scope, c.kind, c.long
                ON CONFLICT (organisation_ref, month, price_id, scope, kind, long) DO UPDATE SET
                    calls = e.calls + excluded.calls, input_tokens = e.input_tokens + excluded.input_tokens,
                    cache_read_tokens = e.cache_read_tokens + excluded.cache_read_tokens,
                    cache_write_5m_tokens = e.cache_write_5m_tokens + excluded.cache_write_5m_tokens,
                    cache_write_1h_tokens = e.cache_write_1h_tokens + excluded.cache_write_1h_tokens,
                    output_tokens = e.output_tokens + excluded.output_tokens,
                    reasoning_tokens = e.reasoning_tokens + excluded.reasoning_tokens,
                    audio_input_tokens = e.audio_input_tokens + excluded.audio_input_tokens,
                    audio_output_tokens = e.audio_output_tokens + excluded.audio_output_tokens,
                    images = e.images + excluded.images,
                    amount_micros = e.amount_micros + excluded.amount_micros,
                    waived_micros = e.waived_micros + excluded.waived_micros,
                    sha256 = sha256(e.sha256 || excluded.sha256)
        )
        SELECT count(*) INTO gone FROM taken;
        every := every + gone;
    END LOOP;
    -- After the rows: whoever made a day's sums meanwhile has committed them by now.
    DELETE FROM ledger.usage_day WHERE organisation_ref = p_organisation;
    PERFORM set_config('ruxa.erasing_usage_of', '', true);
    RETURN every;
END $$;

-- The exact cost of an evidence row, before the rounding up of each call.
CREATE FUNCTION ledger.cost_of(e ledger.billing_evidence, p ledger.price) RETURNS numeric
    LANGUAGE sql IMMUTABLE
AS $$
    SELECT (CASE WHEN e.long
        THEN e.input_tokens::numeric * p.long_input_micros + e.output_tokens::numeric * p.long_output_micros
            + e.cache_read_tokens::numeric * p.long_cache_read_micros
            + e.cache_write_5m_tokens::numeric * p.long_cache_write_5m_micros
            + e.cache_write_1h_tokens::numeric * p.long_cache_write_1h_micros
            + e.reasoning_tokens::numeric * p.long_reasoning_micros
        ELSE e.input_tokens::numeric * p.input_micros + e.output_tokens::numeric * p.output_micros
            + e.cache_read_tokens::numeric * p.cache_read_micros
            + e.cache_write_5m_tokens::numeric * p.cache_write_5m_micros
            + e.cache_write_1h_tokens::numeric * p.cache_write_1h_micros
            + e.reasoning_tokens::numeric * p.reasoning_micros
        END
        + e.audio_input_tokens::numeric * p.audio_input_micros
        + e.audio_output_tokens::numeric * p.audio_output_micros
        + e.images::numeric * p.image_micros
    ) / 1000000
$$;

CREATE FUNCTION ledger.seal_hash(p_before bytea, p_first bigint, p_last bigint, OUT sha256 bytea, OUT transfers bigint)
    LANGUAGE sql STABLE
AS $$
    SELECT sha256(coalesce(p_before, ''::bytea) || convert_to(coalesce(string_agg(
        concat_ws('|', t.seq, t.id, t.state, t.debit_id, t.credit_id, t.amount_micros, coalesce(t.pending_id::text, '-'),
            t.code, coalesce(t.organisation_ref::text, '-'), coalesce(t.scope, '-'), coalesce(t.ref::text, '-'),
            ledger.unix_ms(t.at)), E'\n' ORDER BY t.seq), ''), 'UTF8')), count(*)
    FROM ledger.movement AS t WHERE t.seq BETWEEN p_first AND p_last
$$;

-- Seals the transfers that are older than five minutes (so that none of an earlier number is still to commit), at most
-- `p_limit` of them; how many.
CREATE FUNCTION ledger.seal(p_limit integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    head ledger.seal;
    upto bigint;
    made record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger seal', 0));
    SELECT * INTO head FROM ledger.seal ORDER BY number DESC LIMIT 1;
    SELECT max(t.seq) INTO upto FROM (
        SELECT seq, at FROM ledger.transfer WHERE seq > coalesce(head.last_seq, 0) ORDER BY seq LIMIT p_limit
    ) AS t WHERE t.at < ruxa.now() - interval '5 minutes';
    IF upto IS NULL THEN
        RETURN 0;
    END IF;
    made := ledger.seal_hash(head.sha256, coalesce(head.last_seq, 0) + 1, upto);
    INSERT INTO ledger.seal (number, first_seq, last_seq, transfers, sha256, sealed_at)
        VALUES (coalesce(head.number, 0) + 1, coalesce(head.last_seq, 0) + 1, upto, made.transfers, made.sha256,
            ruxa.now());
    RETURN made.transfers;
END $$;

-- What an organisation has, by scope: balance = posted credits - posted debits - charges not yet settled; held = what
-- open leases and holds have not spent, and what refunds and disputes under way keep; debt = its shortfall.
CREATE FUNCTION ledger.balance(p_organisation uuid)
    RETURNS TABLE (organisation_ref uuid, scope text, balance_micros bigint, held_micros bigint, debt_micros bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH lots AS (
        SELECT l.scope, sum(a.cr_posted - a.dr_posted) AS amount, sum(a.dr_pending) AS pending
        FROM ledger.lot AS l JOIN ledger.account AS a ON a.id = l.account_id
        WHERE l.organisation_ref = p_organisation GROUP BY l.scope
    ), leases AS (
        SELECT l.scope, sum(l.spent_micros) AS spent
        FROM ledger.lease AS l WHERE l.organisation_ref = p_organisation AND l.state <> 'closed' GROUP BY l.scope
    )
    SELECT p_organisation, s.scope, (coalesce(lots.amount, 0) - coalesce(leases.spent, 0))::bigint,
        (coalesce(lots.pending, 0) - coalesce(leases.spent, 0))::bigint, coalesce(a.dr_posted - a.cr_posted, 0)::bigint
    FROM (VALUES ('sandbox'), ('live')) AS s (scope)
        LEFT JOIN lots ON lots.scope = s.scope
        LEFT JOIN leases ON leases.scope = s.scope
        LEFT JOIN ledger.account AS a ON a.code = ledger.shortfall_code(p_organisation, s.scope)
$$;

-- Views for statements

CREATE VIEW ledger.account_balance AS
    SELECT a.code, a.kind, a.unit, a.organisation_ref,
        CASE WHEN a.counted THEN a.dr_posted ELSE (coalesce(d.posted, 0) + coalesce(o.dr_posted, 0))::bigint END
            AS debits_posted,
        CASE WHEN a.counted THEN a.cr_posted ELSE (coalesce(c.posted, 0) + coalesce(o.cr_posted, 0))::bigint END
            AS credits_posted,
        CASE WHEN a.counted THEN a.dr_pending ELSE coalesce(d.pending, 0)::bigint END AS debits_pending,
        CASE WHEN a.counted THEN a.cr_pending ELSE coalesce(c.pending, 0)::bigint END AS credits_pending
    FROM ledger.account AS a
        LEFT JOIN ledger.opening AS o ON o.account_id = a.id
        LEFT JOIN (
            SELECT t.debit_id AS id, sum(t.amount_micros) FILTER (WHERE t.state IN ('posted', 'post')) AS posted,
                sum(t.amount_micros) FILTER (WHERE t.state = 'pending' AND r.id IS NULL) AS pending
            FROM ledger.movement AS t LEFT JOIN ledger.movement AS r
                ON t.state = 'pending' AND r.id = ledger.resolution_id(t.id)
            GROUP BY t.debit_id
        ) AS d ON d.id = a.id
        LEFT JOIN (
            SELECT t.credit_id AS id, sum(t.amount_micros) FILTER (WHERE t.state IN ('posted', 'post')) AS posted,
                sum(t.amount_micros) FILTER (WHERE t.state = 'pending' AND r.id IS NULL) AS pending
            FROM ledger.movement AS t LEFT JOIN ledger.movement AS r
                ON t.state = 'pending' AND r.id = ledger.resolution_id(t.id)
            GROUP BY t.credit_id
        ) AS c ON c.id = a.id;
COMMENT ON VIEW ledger.account_balance IS 'Every account with its sums; those of the system''s own are added up.';

CREATE VIEW ledger.lot_line AS
    SELECT l.id, l.organisation_ref, l.scope, l.category, l.priority, l.effective_at, l.expires_at, l.voided_at,
        l.origin, l.reason_sealed, l.made_by, l.created_at, a.cr_posted AS granted_micros,
        a.cr_posted - a.dr_posted AS left_micros, a.dr_pending AS held_micros
    FROM ledger.lot AS l JOIN ledger.account AS a ON a.id = l.account_id;
COMMENT ON VIEW ledger.lot_line IS 'Lots with what was granted, what is left and what of that is held.';

CREATE VIEW ledger.statement_line AS
    SELECT t.id, t.seq, t.at, t.state, t.code, t.organisation_ref, t.scope, t.ref, d.code AS debit, c.code AS credit,
        t.amount_micros, s.id AS lot_id
    FROM ledger.transfer AS t JOIN ledger.account AS d ON d.id = t.debit_id
        JOIN ledger.account AS c ON c.id = t.credit_id
        LEFT JOIN ledger.lot AS s ON s.account_id IN (t.debit_id, t.credit_id)
    WHERE d.unit = 'usd_micros';
COMMENT ON VIEW ledger.statement_line IS 'The transfers of money with their accounts'' names.';

CREATE VIEW ledger.charge AS
    SELECT u.*, CASE WHEN u.lease_id IS NULL THEN 'free' WHEN u.late OR l.state = 'closed' THEN 'posted'
            ELSE 'settling' END AS line_state,
        l.closed_at AS lease_closed_at
    FROM ledger.usage_event AS u LEFT JOIN ledger.lease AS l ON l.id = u.lease_id;
COMMENT ON VIEW ledger.charge IS 'Usage rows as ledger lines: free, settling (their lease is open) or posted.';

-- The proofs: each counts what is wrong, of how many, with up to five ids. One statement, one snapshot.

CREATE FUNCTION ledger.proofs() RETURNS TABLE (name text, value bigint, examined bigint, sample text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH resolved AS MATERIALIZED (
        SELECT t.pending_id FROM ledger.movement AS t WHERE t.pending_id IS NOT NULL
    ), moves AS MATERIALIZED (
        SELECT t.debit_id, t.credit_id,
            sum(t.amount_micros) FILTER (WHERE t.state IN ('posted', 'post')) AS posted,
            sum(t.amount_micros) FILTER (WHERE t.state = 'pending' AND r.pending_id IS NULL) AS pending
        FROM ledger.movement AS t LEFT JOIN resolved AS r ON r.pending_id = t.id AND t.state = 'pending'
        GROUP BY t.debit_id, t.credit_id
    ), moved AS MATERIALIZED (
        SELECT side.id, sum(side.dr_posted) AS dr_posted, sum(side.cr_posted) AS cr_posted,
            sum(side.dr_pending) AS dr_pending, sum(side.cr_pending) AS cr_pending
        FROM (
            SELECT m.debit_id AS id, m.posted AS dr_posted, 0 AS cr_posted, m.pending AS dr_pending, 0 AS cr_pending
            FROM moves AS m
            UNION ALL
            SELECT m.credit_id, 0, m.posted, 0, m.pending FROM moves AS m
            UNION ALL
            SELECT o.account_id, o.dr_posted, o.cr_posted, 0, 0 FROM ledger.opening AS o
        ) AS side GROUP BY side.id
    ), sums AS (
        SELECT a.unit, CASE WHEN a.counted THEN a.dr_posted ELSE coalesce(m.dr_posted, 0) END AS debits_posted,
            CASE WHEN a.counted THEN a.cr_posted ELSE coalesce(m.cr_posted, 0) END AS credits_posted,
            CASE WHEN a.counted THEN a.dr_pending ELSE coalesce(m.dr_pending, 0) END AS debits_pending,
            CASE WHEN a.counted THEN a.cr_pending ELSE coalesce(m.cr_pending, 0) END AS credits_pending
        FROM ledger.account AS a LEFT JOIN moved AS m ON m.id = a.id
    ), used AS MATERIALIZED (
        SELECT u.lease_id, sum(u.amount_micros) AS amount, sum(u.waived_micros) AS waived
        FROM ledger.usage_event AS u WHERE u.lease_id IS NOT NULL GROUP BY u.lease_id
    ), lanes AS MATERIALIZED (
        SELECT s.lease_id, s.lane, sum(s.amount_micros) AS amount, count(r.id) FILTER (WHERE s.amount_micros > 0) AS ended,
            count(*) FILTER (WHERE s.amount_micros > 0) AS slices,
            coalesce(sum(r.amount_micros) FILTER (WHERE s.amount_micros > 0), 0) AS posted
        FROM ledger.lease_slice AS s LEFT JOIN ledger.movement AS r ON r.id = ledger.resolution_id(s.pending_id)
        GROUP BY s.lease_id, s.lane
    ), outside AS MATERIALIZED (
        SELECT t.ref AS lease_id, sum(t.amount_micros) FILTER (WHERE t.code IN ('late', 'shortfall')) AS beyond,
            sum(t.amount_micros) FILTER (WHERE t.code = 'abandoned') AS abandoned
        FROM ledger.movement AS t JOIN ledger.account AS d ON d.id = t.debit_id AND d.unit = 'usd_micros'
        WHERE t.code IN ('late', 'shortfall', 'abandoned') GROUP BY t.ref
    ), oldest AS (
        -- A lease is compared by itself while no row of it can be in a reduced day; I14 compares all of them together.
        SELECT coalesce(max((d.day + 1)::timestamp AT TIME ZONE 'UTC') + interval '1 hour', '-infinity') AS at
        FROM ledger.evidence_day AS d WHERE d.state = 'reduced'
    ), spent AS (
        SELECT s.organisation_ref, s.scope, sum(s.amount) AS amount, sum(s.waived) AS waived
        FROM (
            SELECT l.organisation_ref, l.scope, l.spent_micros + l.extra_micros + l.lost_micros AS amount,
                coalesce(o.abandoned, 0) - l.lost_micros AS waived
            FROM ledger.lease AS l LEFT JOIN outside AS o ON o.lease_id = l.id WHERE l.kind = 'lease'
            UNION ALL
            SELECT o.organisation_ref, o.scope, o.amount_micros, o.waived_micros FROM ledger.opening_usage AS o
        ) AS s GROUP BY s.organisation_ref, s.scope
    ), charged AS (
        SELECT c.organisation_ref, c.scope, sum(c.amount) AS amount, sum(c.waived) AS waived
        FROM (
            SELECT l.organisation_ref, l.scope, u.amount, u.waived
            FROM used AS u JOIN ledger.lease AS l ON l.id = u.lease_id AND l.kind = 'lease'
            UNION ALL
            SELECT e.organisation_ref, e.scope, e.amount_micros, e.waived_micros
            FROM ledger.billing_evidence AS e WHERE e.kind = 'lease'
        ) AS c GROUP BY c.organisation_ref, c.scope
    ), chain AS MATERIALIZED (
        SELECT s.number, coalesce(r.sha256, s.sha256) = h.sha256 AND coalesce(r.transfers, s.transfers) = h.transfers
            AND s.first_seq = coalesce(lag(s.last_seq) OVER w, 0) + 1 AS intact
        FROM (SELECT *, lag(sha256) OVER (ORDER BY number) AS before FROM ledger.seal) AS s
            LEFT JOIN ledger.seal_rest AS r ON r.number = s.number
            CROSS JOIN LATERAL ledger.seal_hash(CASE WHEN r.number IS NULL THEN s.before ELSE s.sha256 END, s.first_seq,
                s.last_seq) AS h
        WINDOW w AS (ORDER BY s.number)
    ), found AS (
        SELECT 'I1 counters equal the sum of transfers' AS name, a.code AS id,
            (a.dr_posted, a.cr_posted, a.dr_pending, a.cr_pending)
                IS DISTINCT FROM (coalesce(m.dr_posted, 0)::bigint, coalesce(m.cr_posted, 0)::bigint,
                    coalesce(m.dr_pending, 0)::bigint, coalesce(m.cr_pending, 0)::bigint) AS bad
        FROM ledger.account AS a LEFT JOIN moved AS m ON m.id = a.id WHERE a.counted
        UNION ALL
        SELECT 'I2 no lot and no budget below zero', a.code, a.dr_posted + a.dr_pending > a.cr_posted
        FROM ledger.account AS a WHERE a.no_overdraft
        UNION ALL
        SELECT 'I3 a lease''s spending equals its charges', l.id::text,
            l.spent_micros + l.extra_micros + l.lost_micros <> coalesce(u.amount, 0)
        FROM ledger.lease AS l LEFT JOIN used AS u ON u.lease_id = l.id, oldest AS o
        WHERE l.kind = 'lease' AND l.opened_at > o.at
            AND l.organisation_ref NOT IN (SELECT r.organisation_ref FROM ledger.erased_reference AS r)
        UNION ALL
        SELECT 'I4 a closed lease is posted to the micro', l.id::text,
            n.ended <> n.slices OR n.posted <> l.spent_micros
        FROM ledger.lease AS l JOIN lanes AS n ON n.lease_id = l.id WHERE l.state = 'closed'
        UNION ALL
        SELECT 'I5 an open lease''s money is pending', l.id::text, n.ended <> 0
        FROM ledger.lease AS l JOIN lanes AS n ON n.lease_id = l.id WHERE l.state <> 'closed'
        UNION ALL
        SELECT 'I6 slices cover their lease', l.id::text,
            coalesce(n.amount, 0) <> l.amount_micros
        FROM ledger.lease AS l LEFT JOIN lanes AS n ON n.lease_id = l.id
        UNION ALL
        SELECT 'I7 every charge has its lease, organisation and scope', u.id::text,
            (u.lease_id IS NULL AND u.amount_micros > 0)
                OR (u.lease_id IS NOT NULL AND (l.id IS NULL OR l.organisation_ref <> u.organisation_ref OR l.scope <> u.scope))
        FROM ledger.usage_event AS u LEFT JOIN ledger.lease AS l ON l.id = u.lease_id
        UNION ALL
        SELECT 'I8 the books balance', s.unit,
            sum(s.debits_posted) <> sum(s.credits_posted) OR sum(s.debits_pending) <> sum(s.credits_pending)
        FROM sums AS s GROUP BY s.unit
        UNION ALL
        SELECT 'I9 late, shortfall and abandoned equal their transfers', l.id::text,
            l.extra_micros <> coalesce(o.beyond, 0) OR l.lost_micros + coalesce(u.waived, 0) <> coalesce(o.abandoned, 0)
        FROM ledger.lease AS l LEFT JOIN outside AS o ON o.lease_id = l.id LEFT JOIN used AS u ON u.lease_id = l.id,
            oldest AS d
        WHERE l.opened_at > d.at
            AND l.organisation_ref NOT IN (SELECT r.organisation_ref FROM ledger.erased_reference AS r)
        UNION ALL
        SELECT 'I10 sandbox and live money never meet', s.lease_id || ' ' || s.ord,
            o.scope <> l.scope OR o.organisation_ref <> l.organisation_ref
        FROM ledger.lease_slice AS s JOIN ledger.lot AS o ON o.id = s.lot_id JOIN ledger.lease AS l ON l.id = s.lease_id
        UNION ALL
        SELECT 'I11 every charge recomputes from its price', u.id::text,
            u.amount_micros + u.waived_micros <> ledger.charge_of(u, p)
        FROM ledger.usage_event AS u JOIN ledger.price AS p ON p.id = u.price_id
        UNION ALL
        SELECT 'I12 the chain of seals is intact', c.number::text, NOT c.intact FROM chain AS c
        UNION ALL
        SELECT 'I13 nothing is left an hour after a lot''s end', l.id::text,
            a.cr_posted - a.dr_posted - a.dr_pending > 0
        FROM ledger.lot AS l JOIN ledger.account AS a ON a.id = l.account_id
        WHERE l.expires_at < ruxa.now() - interval '1 hour'
        UNION ALL
        SELECT 'I14 charges and evidence equal what leases spent',
            coalesce(s.organisation_ref, c.organisation_ref) || ' ' || coalesce(s.scope, c.scope),
            (coalesce(s.amount, 0), coalesce(s.waived, 0)) <> (coalesce(c.amount, 0), coalesce(c.waived, 0))
        FROM spent AS s FULL JOIN charged AS c ON c.organisation_ref = s.organisation_ref AND c.scope = s.scope
        UNION ALL
        SELECT 'I15 evidence recomputes from its price to the rounding',
            concat_ws(' ', e.organisation_ref, e.month, e.price_id),
            e.amount_micros + e.waived_micros < ledger.cost_of(e, p)
                OR e.amount_micros + e.waived_micros >= ledger.cost_of(e, p) + e.calls
                OR (e.scope = 'sandbox') <> starts_with(p.model, 'sandbox/')
        FROM ledger.billing_evidence AS e JOIN ledger.price AS p ON p.id = e.price_id
        UNION ALL
        -- More booked than read back is a journal's torn end, whose rows the database had already.
        SELECT 'I16 every journaled call has its row or a named refusal', concat_ws(' ', s.worker, s.run, s.number),
            s.rows > s.booked + s.refused
        FROM ledger.journal_segment AS s WHERE s.state = 'acknowledged'
    ), known (name) AS (
        VALUES ('I1 counters equal the sum of transfers'), ('I2 no lot and no budget below zero'),
            ('I3 a lease''s spending equals its charges'), ('I4 a closed lease is posted to the micro'),
            ('I5 an open lease''s money is pending'), ('I6 slices cover their lease'),
            ('I7 every charge has its lease, organisation and scope'), ('I8 the books balance'),
            ('I9 late, shortfall and abandoned equal their transfers'), ('I10 sandbox and live money never meet'),
            ('I11 every charge recomputes from its price'), ('I12 the chain of seals is intact'),
            ('I13 nothing is left an hour after a lot''s end'), ('I14 charges and evidence equal what leases spent'),
            ('I15 evidence recomputes from its price to the rounding'),
            ('I16 every journaled call has its row or a named refusal')
    )
    SELECT k.name, count(f.id) FILTER (WHERE f.bad), count(f.id),
        coalesce((array_agg(f.id) FILTER (WHERE f.bad))[1:5], '{}')
    FROM known AS k LEFT JOIN found AS f ON f.name = k.name
    GROUP BY k.name
$$;

SELECT ledger.partitions_ahead(7);

-- The data map (D37). Nothing here is sealed but an operator's reason: amounts, models and times are, in public.

COMMENT ON COLUMN ledger.account.id IS 'data: none';
COMMENT ON COLUMN ledger.account.code IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.account.kind IS 'data: none';
COMMENT ON COLUMN ledger.account.unit IS 'data: none';
COMMENT ON COLUMN ledger.account.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.account.scope IS 'data: none';
COMMENT ON COLUMN ledger.account.no_overdraft IS 'data: none';
COMMENT ON COLUMN ledger.account.counted IS 'data: none';
COMMENT ON COLUMN ledger.account.dr_pending IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.account.dr_posted IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.account.cr_pending IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.account.cr_posted IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.account.opened_at IS 'data: none';
COMMENT ON COLUMN ledger.account.closed_at IS 'data: none';
COMMENT ON COLUMN ledger.transfer.id IS 'data: none';
COMMENT ON COLUMN ledger.transfer.seq IS 'data: none';
COMMENT ON COLUMN ledger.transfer.state IS 'data: none';
COMMENT ON COLUMN ledger.transfer.debit_id IS 'data: none';
COMMENT ON COLUMN ledger.transfer.credit_id IS 'data: none';
COMMENT ON COLUMN ledger.transfer.amount_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.transfer.pending_id IS 'data: none';
COMMENT ON COLUMN ledger.transfer.code IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.transfer.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.transfer.scope IS 'data: none';
COMMENT ON COLUMN ledger.transfer.ref IS 'data: none';
COMMENT ON COLUMN ledger.transfer.at IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.lot.id IS 'data: none';
COMMENT ON COLUMN ledger.lot.account_id IS 'data: none';
COMMENT ON COLUMN ledger.lot.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.lot.scope IS 'data: none';
COMMENT ON COLUMN ledger.lot.category IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.lot.priority IS 'data: none';
COMMENT ON COLUMN ledger.lot.effective_at IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.lot.expires_at IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.lot.voided_at IS 'data: none';
COMMENT ON COLUMN ledger.lot.origin IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.lot.funding_id IS 'data: none';
COMMENT ON COLUMN ledger.lot.reason_sealed IS
    'data: category=user.content.private subject=organisation purpose=billing basis=contract keep=transactions
     seal=subject erase=shred export=yes';
COMMENT ON COLUMN ledger.lot.made_by IS
    'data: category=user.unique_id.pseudonymous subject=staff purpose=security,billing basis=legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.lot.created_at IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.budget.scope IS 'data: none';
COMMENT ON COLUMN ledger.budget.id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.budget.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.budget.limit_micros IS
    'data: category=user.account.settings subject=organisation purpose=provide,limit basis=contract
     keep=account seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.budget.period IS
    'data: category=user.account.settings subject=organisation purpose=provide,limit basis=contract
     keep=account seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.budget.changed_at IS 'data: none';
COMMENT ON COLUMN ledger.lease.id IS 'data: none';
COMMENT ON COLUMN ledger.lease.kind IS 'data: none';
COMMENT ON COLUMN ledger.lease.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.lease.scope IS 'data: none';
COMMENT ON COLUMN ledger.lease.worker IS 'data: none';
COMMENT ON COLUMN ledger.lease.run IS 'data: none';
COMMENT ON COLUMN ledger.lease.amount_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.lease.spent_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.lease.extra_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.lease.lost_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.lease.state IS 'data: none';
COMMENT ON COLUMN ledger.lease.opened_at IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.lease.expires_at IS 'data: none';
COMMENT ON COLUMN ledger.lease.closed_at IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.lease_slice.lease_id IS 'data: none';
COMMENT ON COLUMN ledger.lease_slice.lane IS 'data: none';
COMMENT ON COLUMN ledger.lease_slice.ord IS 'data: none';
COMMENT ON COLUMN ledger.lease_slice.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.lease_slice.scope IS 'data: none';
COMMENT ON COLUMN ledger.lease_slice.account_id IS 'data: none';
COMMENT ON COLUMN ledger.lease_slice.lot_id IS 'data: none';
COMMENT ON COLUMN ledger.lease_slice.amount_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.lease_slice.pending_id IS 'data: none';
COMMENT ON COLUMN ledger.book.name IS 'data: none';
COMMENT ON COLUMN ledger.book.beyond_list IS 'data: none';
COMMENT ON COLUMN ledger.book.created_at IS 'data: none';
COMMENT ON COLUMN ledger.price.id IS 'data: none';
COMMENT ON COLUMN ledger.price.model IS 'data: none';
COMMENT ON COLUMN ledger.price.book IS 'data: none';
COMMENT ON COLUMN ledger.price.list_id IS 'data: none';
COMMENT ON COLUMN ledger.price.aliases IS 'data: none';
COMMENT ON COLUMN ledger.price.effective IS 'data: none';
COMMENT ON COLUMN ledger.price.source IS 'data: none';
COMMENT ON COLUMN ledger.price.input_micros IS 'data: none';
COMMENT ON COLUMN ledger.price.output_micros IS 'data: none';
COMMENT ON COLUMN ledger.price.cache_read_micros IS 'data: none';
COMMENT ON COLUMN ledger.price.cache_write_5m_micros IS 'data: none';
COMMENT ON COLUMN ledger.price.cache_write_1h_micros IS 'data: none';
COMMENT ON COLUMN ledger.price.reasoning_micros IS 'data: none';
COMMENT ON COLUMN ledger.price.audio_input_micros IS 'data: none';
COMMENT ON COLUMN ledger.price.audio_output_micros IS 'data: none';
COMMENT ON COLUMN ledger.price.image_micros IS 'data: none';
COMMENT ON COLUMN ledger.price.long_from_tokens IS 'data: none';
COMMENT ON COLUMN ledger.price.long_input_micros IS 'data: none';
COMMENT ON COLUMN ledger.price.long_output_micros IS 'data: none';
COMMENT ON COLUMN ledger.price.long_cache_read_micros IS 'data: none';
COMMENT ON COLUMN ledger.price.long_cache_write_5m_micros IS 'data: none';
COMMENT ON COLUMN ledger.price.long_cache_write_1h_micros IS 'data: none';
COMMENT ON COLUMN ledger.price.long_reasoning_micros IS 'data: none';
COMMENT ON COLUMN ledger.price.input_tokens_max IS 'data: none';
COMMENT ON COLUMN ledger.price.output_tokens_max IS 'data: none';
COMMENT ON COLUMN ledger.price.image_tokens_max IS 'data: none';
COMMENT ON COLUMN ledger.price.page_tokens_max IS 'data: none';
COMMENT ON COLUMN ledger.price.units IS 'data: none';
COMMENT ON COLUMN ledger.price.created_at IS 'data: none';
COMMENT ON COLUMN ledger.journal_run.worker IS 'data: none';
COMMENT ON COLUMN ledger.journal_run.run IS 'data: none';
COMMENT ON COLUMN ledger.journal_run.began_at IS 'data: none';
COMMENT ON COLUMN ledger.journal_run.ended_at IS 'data: none';
COMMENT ON COLUMN ledger.journal_segment.worker IS 'data: none';
COMMENT ON COLUMN ledger.journal_segment.run IS 'data: none';
COMMENT ON COLUMN ledger.journal_segment.number IS 'data: none';
COMMENT ON COLUMN ledger.journal_segment.state IS 'data: none';
COMMENT ON COLUMN ledger.journal_segment.sha256 IS 'data: none';
COMMENT ON COLUMN ledger.journal_segment.rows IS 'data: none';
COMMENT ON COLUMN ledger.journal_segment.booked IS 'data: none';
COMMENT ON COLUMN ledger.journal_segment.refused IS 'data: none';
COMMENT ON COLUMN ledger.journal_segment.refusals IS 'data: none';
COMMENT ON COLUMN ledger.journal_segment.refused_ids IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=provide,billing basis=contract
     keep=usage seal=none erase=keep:proof export=no:operational';
COMMENT ON COLUMN ledger.journal_segment.reason IS 'data: none';
COMMENT ON COLUMN ledger.journal_segment.began_at IS 'data: none';
COMMENT ON COLUMN ledger.journal_segment.ended_at IS 'data: none';
COMMENT ON COLUMN ledger.usage_event.id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=provide,billing basis=contract
     keep=usage seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.at IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=provide,billing basis=contract
     keep=usage seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.key_id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=provide,billing basis=contract
     keep=usage seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.livemode IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.scope IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.lease_id IS 'data: none';
COMMENT ON COLUMN ledger.usage_event.model IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.provider IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.upstream_model IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.dialect IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.endpoint IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.stream IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.status IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.error_code IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.finish IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.input_tokens IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.cache_read_tokens IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.cache_write_5m_tokens IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.cache_write_1h_tokens IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.output_tokens IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.reasoning_tokens IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.audio_input_tokens IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.audio_output_tokens IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.images IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.usage_source IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.price_id IS 'data: none';
COMMENT ON COLUMN ledger.usage_event.amount_micros IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.waived_micros IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.hold_micros IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.latency_ms IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.first_token_ms IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.attempts IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.lossy IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_event.late IS 'data: none';
COMMENT ON COLUMN ledger.usage_day.id IS 'data: none';
COMMENT ON COLUMN ledger.usage_day.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=provide,billing basis=contract
     keep=usage seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_day.scope IS 'data: none';
COMMENT ON COLUMN ledger.usage_day.kind IS 'data: none';
COMMENT ON COLUMN ledger.usage_day.price_id IS 'data: none';
COMMENT ON COLUMN ledger.usage_day.long IS 'data: none';
COMMENT ON COLUMN ledger.usage_day.calls IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_day.input_tokens IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_day.cache_read_tokens IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_day.cache_write_5m_tokens IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_day.cache_write_1h_tokens IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_day.output_tokens IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_day.reasoning_tokens IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_day.audio_input_tokens IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_day.audio_output_tokens IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_day.images IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_day.amount_micros IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_day.waived_micros IS
    'data: category=user.telemetry subject=organisation purpose=provide,billing basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.usage_day.sha256 IS 'data: none';
COMMENT ON COLUMN ledger.erased_reference.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.erased_reference.at IS 'data: none';
COMMENT ON COLUMN ledger.evidence_day.day IS 'data: none';
COMMENT ON COLUMN ledger.evidence_day.state IS 'data: none';
COMMENT ON COLUMN ledger.evidence_day.changed_at IS 'data: none';
COMMENT ON COLUMN ledger.billing_evidence.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.billing_evidence.month IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.billing_evidence.price_id IS 'data: none';
COMMENT ON COLUMN ledger.billing_evidence.scope IS 'data: none';
COMMENT ON COLUMN ledger.billing_evidence.kind IS 'data: none';
COMMENT ON COLUMN ledger.billing_evidence.long IS 'data: none';
COMMENT ON COLUMN ledger.billing_evidence.calls IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.billing_evidence.input_tokens IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.billing_evidence.cache_read_tokens IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.billing_evidence.cache_write_5m_tokens IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.billing_evidence.cache_write_1h_tokens IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.billing_evidence.output_tokens IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.billing_evidence.reasoning_tokens IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.billing_evidence.audio_input_tokens IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.billing_evidence.audio_output_tokens IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.billing_evidence.images IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.billing_evidence.amount_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.billing_evidence.waived_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.billing_evidence.sha256 IS 'data: none';
COMMENT ON COLUMN ledger.seal.number IS 'data: none';
COMMENT ON COLUMN ledger.seal.first_seq IS 'data: none';
COMMENT ON COLUMN ledger.seal.last_seq IS 'data: none';
COMMENT ON COLUMN ledger.seal.transfers IS 'data: none';
COMMENT ON COLUMN ledger.seal.sha256 IS 'data: none';
COMMENT ON COLUMN ledger.seal.sealed_at IS 'data: none';
COMMENT ON COLUMN ledger.opening.account_id IS 'data: none';
COMMENT ON COLUMN ledger.opening.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.opening.dr_posted IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.opening.cr_posted IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.kept_transfer.id IS 'data: none';
COMMENT ON COLUMN ledger.kept_transfer.seq IS 'data: none';
COMMENT ON COLUMN ledger.kept_transfer.state IS 'data: none';
COMMENT ON COLUMN ledger.kept_transfer.debit_id IS 'data: none';
COMMENT ON COLUMN ledger.kept_transfer.credit_id IS 'data: none';
COMMENT ON COLUMN ledger.kept_transfer.amount_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.kept_transfer.pending_id IS 'data: none';
COMMENT ON COLUMN ledger.kept_transfer.code IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.kept_transfer.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.kept_transfer.scope IS 'data: none';
COMMENT ON COLUMN ledger.kept_transfer.ref IS 'data: none';
COMMENT ON COLUMN ledger.kept_transfer.at IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.opening_usage.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.opening_usage.scope IS 'data: none';
COMMENT ON COLUMN ledger.opening_usage.amount_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.opening_usage.waived_micros IS
    'data: category=user.payment subject=organisation purpose=billing basis=contract keep=transactions
     seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.seal_rest.number IS 'data: none';
COMMENT ON COLUMN ledger.seal_rest.transfers IS 'data: none';
COMMENT ON COLUMN ledger.seal_rest.sha256 IS 'data: none';
COMMENT ON COLUMN ledger.year_ended.year IS 'data: none';
COMMENT ON COLUMN ledger.year_ended.transfers IS 'data: none';
COMMENT ON COLUMN ledger.year_ended.kept IS 'data: none';
COMMENT ON COLUMN ledger.year_ended.seal IS 'data: none';
COMMENT ON COLUMN ledger.year_ended.sha256 IS 'data: none';
COMMENT ON COLUMN ledger.year_ended.ended_at IS 'data: none';

-- Who may do what. Functions are the only way in; the gateway reads prices and nothing else.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
GRANT USAGE ON SCHEMA ledger TO ruxa_gateway, ruxa_console, ruxa_worker, ruxa_operator;
GRANT EXECUTE ON FUNCTION ledger.unix_ms(timestamptz), ledger.resolution_id(uuid)
    TO ruxa_gateway, ruxa_console, ruxa_worker, ruxa_operator;

GRANT SELECT ON ledger.book, ledger.price TO ruxa_gateway, ruxa_console, ruxa_worker, ruxa_operator;
GRANT EXECUTE ON FUNCTION
    ledger.lease_open(uuid, uuid, text, text[], text, bigint, bigint, bigint, bigint, integer, interval),
    ledger.lease_grow(uuid, bigint), ledger.lease_trim(uuid, bigint), ledger.lease_close(uuid),
    ledger.lease_abandon(uuid, uuid, text, text, bigint),
    ledger.hold_place(uuid, uuid, text, text[], bigint, interval), ledger.hold_settle(uuid, bigint),
    ledger.run_begin(text), ledger.run_end(text, bigint), ledger.runs_open(text),
    ledger.segment_begin(text, bigint, bigint), ledger.segment_acknowledge(text, bigint, bigint, bytea, bigint),
    ledger.segment_refuse(text, bigint, bigint, bytea, text), ledger.usage_stage(),
    ledger.usage_flush(text, bigint, bigint), ledger.balance(uuid)
    TO ruxa_gateway;

GRANT SELECT ON ledger.charge, ledger.statement_line, ledger.lot_line, ledger.account_balance
    TO ruxa_console, ruxa_operator;
GRANT EXECUTE ON FUNCTION
    ledger.lot_grant(uuid, uuid, text, text, bigint, integer, timestamptz, text, bytea, text),
    ledger.budget_put(text, uuid, uuid, bigint, text), ledger.budget_state(text, uuid), ledger.balance(uuid),
    ledger.price_put(uuid, text, text[], text, timestamptz, jsonb), ledger.proofs()
    TO ruxa_console, ruxa_operator;

GRANT EXECUTE ON FUNCTION
    ledger.leases_due(integer), ledger.lease_expire(uuid), ledger.lots_expired(integer), ledger.lot_expire(uuid),
    ledger.partitions_ahead(integer), ledger.seal(integer), ledger.proofs(), ledger.balance(uuid),
    ledger.hold_settle(uuid, bigint), ledger.usage_days_present(), ledger.usage_oldest(),
    ledger.usage_rows(date, uuid[], uuid, integer),
    ledger.evidence_prepare(date), ledger.day_reduce(date)
    TO ruxa_worker, ruxa_operator;
GRANT SELECT ON ledger.billing_evidence TO ruxa_console, ruxa_operator, ruxa_worker;
GRANT SELECT ON ledger.evidence_day TO ruxa_console, ruxa_operator, ruxa_worker;
-- The worker replays the journals of gateways that are gone.
GRANT EXECUTE ON FUNCTION
    ledger.run_end(text, bigint), ledger.runs_open(text), ledger.segment_begin(text, bigint, bigint),
    ledger.segment_acknowledge(text, bigint, bigint, bytea, bigint),
    ledger.segment_refuse(text, bigint, bigint, bytea, text), ledger.usage_stage(),
    ledger.usage_flush(text, bigint, bigint), ledger.lease_abandon(uuid, uuid, text, text, bigint)
    TO ruxa_worker;
GRANT EXECUTE ON FUNCTION
    ledger.transfer_post(uuid, text, text, bigint, text, uuid, uuid, boolean), ledger.transfer_resolve(uuid, bigint)
    TO ruxa_operator;
