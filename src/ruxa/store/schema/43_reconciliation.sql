-- Reconciliation: a processor's own books, line by line, against what we know and posted. A difference has a name, an
-- owner and an age, and ends by being seen to be none or by a person's word. Amounts are minor units, signed as the
-- processor's balance gained.
--
-- SQLSTATEs of this file: RX085 no such difference, or it is resolved.

CREATE TABLE ledger.reconciliation_entry (
    processor        text NOT NULL CHECK (processor ~ '^[a-z][a-z0-9_]{1,31}$'),
    scope            text NOT NULL CHECK (scope IN ('sandbox', 'live')),
    ext_id           text NOT NULL CHECK (length(ext_id) BETWEEN 1 AND 200),
    kind             text NOT NULL CHECK (kind IN ('capture', 'refund', 'dispute', 'dispute_won', 'fee', 'payout', 'other')),
    source           text NOT NULL CHECK (length(source) BETWEEN 1 AND 200),
    day              date NOT NULL,
    gross_minor      bigint NOT NULL,
    fee_minor        bigint NOT NULL,
    net_minor        bigint NOT NULL,
    currency         text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    organisation_ref uuid,
    at               timestamptz NOT NULL,
    -- PayPal's books may have two lines of one id: what a dispute took, and what it gave back.
    PRIMARY KEY (processor, scope, ext_id, kind),
    CONSTRAINT entry_sum CHECK (gross_minor - fee_minor = net_minor)
);
CREATE INDEX reconciliation_source ON ledger.reconciliation_entry (processor, scope, source);
CREATE INDEX reconciliation_day ON ledger.reconciliation_entry (processor, scope, day);
COMMENT ON TABLE ledger.reconciliation_entry IS 'The processors'' own books as they were read; never changed.';
CREATE TRIGGER reconciliation_entry_kept BEFORE UPDATE OR DELETE ON ledger.reconciliation_entry
    FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER reconciliation_entry_kept_whole BEFORE TRUNCATE ON ledger.reconciliation_entry
    EXECUTE FUNCTION ledger.deny();

-- Their sums in years that are gone (ledger.year_end).
CREATE TABLE ledger.opening_entry (
    processor text NOT NULL,
    scope     text NOT NULL CHECK (scope IN ('sandbox', 'live')),
    net_minor bigint NOT NULL,
    PRIMARY KEY (processor, scope)
);
COMMENT ON TABLE ledger.opening_entry IS 'What the lines of years that are gone left in each processor''s balance.';

CREATE TABLE ledger.reconciliation_run (
    id         uuid PRIMARY KEY,
    processor  text NOT NULL,
    scope      text NOT NULL,
    day        date NOT NULL,
    at         timestamptz NOT NULL,
    entries    bigint NOT NULL,
    compared   bigint NOT NULL,
    differs    bigint NOT NULL
);
CREATE INDEX reconciliation_run_day ON ledger.reconciliation_run (processor, scope, day);
COMMENT ON TABLE ledger.reconciliation_run IS 'When a day was compared, how much of it, how much differed.';

CREATE TABLE ledger.difference (
    id               uuid PRIMARY KEY,
    processor        text NOT NULL,
    scope            text NOT NULL,
    day              date NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('missing_here', 'missing_there', 'amount_differs', 'fee_differs',
        'currency_differs', 'status_differs', 'balance_differs', 'upstream_differs')),
    object           text NOT NULL CHECK (object IN ('capture', 'refund', 'dispute', 'fee', 'payout', 'other', 'balance',
        'calls')),
    ext_id           text NOT NULL,
    organisation_ref uuid,
    here             bigint,
    there            bigint,
    currency         text NOT NULL,
    found_at         timestamptz NOT NULL,
    owner_id         uuid,
    state            text NOT NULL CHECK (state IN ('open', 'resolved', 'gone')),
    outcome          text CHECK (outcome IN ('corrected_here', 'corrected_there', 'timing', 'written_off', 'accepted')),
    reference        text CHECK (reference ~ '^[A-Za-z0-9._/#-]{1,60}$'),
    ended_by         text CHECK (length(ended_by) BETWEEN 1 AND 80),
    ended_at         timestamptz,
    CONSTRAINT difference_ended CHECK ((state = 'open') = (ended_at IS NULL) AND (state = 'resolved') = (outcome IS NOT NULL)
        AND (outcome IS NULL) = (ended_by IS NULL))
);
CREATE UNIQUE INDEX difference_open ON ledger.difference (processor, scope, kind, object, ext_id) WHERE state = 'open';
CREATE INDEX difference_waiting ON ledger.difference (found_at) WHERE state = 'open';
COMMENT ON TABLE ledger.difference IS
    'Where our books and another''s differ: open, resolved by a person, or gone by itself at a later comparison.';
CREATE TRIGGER difference_known BEFORE UPDATE OF id, processor, scope, day, kind, object, ext_id, organisation_ref,
    found_at ON ledger.difference FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER difference_kept BEFORE DELETE ON ledger.difference FOR EACH ROW EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER difference_kept_whole BEFORE TRUNCATE ON ledger.difference EXECUTE FUNCTION ledger.deny();

-- What a posted fact did to the processor's balance; null while it is not final there.
CREATE FUNCTION ledger.fact_gain(f payment.fact) RETURNS bigint
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    RETURN CASE
        WHEN f.kind = 'capture' AND f.status = 'succeeded' THEN f.amount_minor
        WHEN f.kind IN ('refund', 'payout') AND f.status = 'succeeded' THEN -f.amount_minor
        WHEN f.kind = 'fee' AND f.status = 'succeeded' THEN -f.amount_minor
        WHEN f.kind = 'dispute' AND f.status IN ('open', 'pending', 'lost') THEN -f.amount_minor
        WHEN f.kind = 'dispute' AND f.status = 'won' THEN 0 END;

-- Compares what these objects are here and there; a row for each difference. Lines of kind `other` have nothing here.
CREATE FUNCTION ledger.differences_of(p_processor text, p_scope text, p_sources text[])
    RETURNS TABLE (kind text, object text, ext_id text, organisation_ref uuid, here bigint, there bigint, currency text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH there AS (
        SELECT CASE e.kind WHEN 'dispute_won' THEN 'dispute' ELSE e.kind END AS object, e.source,
            sum(CASE e.kind WHEN 'fee' THEN e.net_minor ELSE e.gross_minor END) AS gross,
            sum(e.fee_minor) FILTER (WHERE e.kind <> 'fee') AS fee, min(e.currency) AS currency
        FROM ledger.reconciliation_entry AS e
        WHERE e.processor = p_processor AND e.scope = p_scope AND e.source = ANY (p_sources)
        GROUP BY 1, 2
    ), here AS (
        SELECT f.kind AS object, f.ext_id AS source, ledger.fact_gain(f) AS gain, f.fee_minor AS fee, f.currency,
            f.organisation_ref, f.status
        FROM payment.fact AS f
        WHERE f.processor = p_processor AND f.scope = p_scope AND f.ext_id = ANY (p_sources)
    ), pair AS (
        SELECT coalesce(h.object, t.object) AS object, coalesce(h.source, t.source) AS source, h.organisation_ref, h.gain,
            h.fee AS fee_here, t.gross, t.fee AS fee_there, h.object IS NOT NULL AS is_here, t.object IS NOT NULL AS is_there,
            coalesce(t.currency, h.currency) AS currency, h.currency AS currency_here, t.currency AS currency_there
        FROM here AS h FULL JOIN there AS t ON t.object = h.object AND t.source = h.source
    )
    SELECT d.kind, p.object, p.source, p.organisation_ref, d.here, d.there, p.currency
    FROM pair AS p CROSS JOIN LATERAL (
        SELECT 'missing_here' AS kind, NULL::bigint AS here, p.gross AS there WHERE p.is_there AND NOT p.is_here
        UNION ALL
        SELECT 'missing_there', p.gain, NULL WHERE p.is_here AND NOT p.is_there AND p.gain <> 0
        UNION ALL
        SELECT 'status_differs', 0, p.gross WHERE p.is_here AND p.is_there AND p.gain IS NULL AND p.gross <> 0
        UNION ALL
        SELECT 'currency_differs', p.gain, p.gross WHERE p.currency_here <> p.currency_there
        UNION ALL
        SELECT 'amount_differs', p.gain, p.gross
            WHERE p.is_here AND p.is_there AND p.gain <> p.gross AND p.currency_here = p.currency_there
        UNION ALL
        SELECT 'fee_differs', p.fee_here, p.fee_there
            WHERE p.is_here AND p.is_there AND p.object <> 'fee' AND p.gain IS NOT NULL
                AND p.currency_here = p.currency_there AND coalesce(p.fee_here, 0) <> p.fee_there
    ) AS d
$$;

-- Takes a day's books in and compares: what they name, what was posted here on that day, and whatever was open.
-- Entries: ext_id, kind, source, gross, fee, net, currency, at.
CREATE FUNCTION ledger.reconcile(p_id uuid, p_processor text, p_scope text, p_day date, p_entries jsonb)
    RETURNS TABLE (compared bigint, differs bigint, opened bigint, gone bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    sources text[];
    moment timestamptz;
BEGIN
    PERFORM ledger.commit_durably();
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger reconcile ' || p_processor || ' ' || p_scope, 0));
    moment := ruxa.now();
    INSERT INTO ledger.reconciliation_entry (processor, scope, ext_id, kind, source, day, gross_minor, fee_minor,
            net_minor, currency, organisation_ref, at)
        SELECT p_processor, p_scope, e.one->>0, e.one->>1, e.one->>2, p_day, (e.one->>3)::bigint, (e.one->>4)::bigint,
            (e.one->>5)::bigint, e.one->>6, f.organisation_ref, (e.one->>7)::timestamptz
        FROM jsonb_array_elements(p_entries) AS e (one)
            LEFT JOIN payment.fact AS f ON f.processor = p_processor AND f.ext_id = e.one->>2
                AND f.kind = CASE e.one->>1 WHEN 'dispute_won' THEN 'dispute' ELSE e.one->>1 END
        ON CONFLICT DO NOTHING;
    SELECT array_agg(DISTINCT s.source) INTO sources FROM (
        SELECT e.source FROM ledger.reconciliation_entry AS e
            WHERE e.processor = p_processor AND e.scope = p_scope AND e.day = p_day
        UNION ALL
        SELECT f.ext_id FROM payment.fact AS f WHERE f.processor = p_processor AND f.scope = p_scope
            AND f.at >= p_day::timestamp AT TIME ZONE 'UTC' AND f.at < (p_day + 1)::timestamp AT TIME ZONE 'UTC'
        UNION ALL
        SELECT d.ext_id FROM ledger.difference AS d
            WHERE d.processor = p_processor AND d.scope = p_scope AND d.state = 'open'
    ) AS s;
    sources := coalesce(sources, '{}');
    -- What differs no more is gone; what a person accepted is not found again.
    UPDATE ledger.difference AS d SET state = 'gone', ended_at = moment
        WHERE d.processor = p_processor AND d.scope = p_scope AND d.state = 'open'
            AND d.object NOT IN ('balance', 'calls') AND NOT EXISTS (
                SELECT FROM ledger.differences_of(p_processor, p_scope, sources) AS r
                WHERE (r.kind, r.object, r.ext_id) = (d.kind, d.object, d.ext_id));
    GET DIAGNOSTICS gone = ROW_COUNT;
    UPDATE ledger.difference AS d SET here = r.here, there = r.there
        FROM ledger.differences_of(p_processor, p_scope, sources) AS r
        WHERE d.processor = p_processor AND d.scope = p_scope AND d.state = 'open'
            AND (r.kind, r.object, r.ext_id) = (d.kind, d.object, d.ext_id)
            AND (d.here, d.there) IS DISTINCT FROM (r.here, r.there);
    INSERT INTO ledger.difference (id, processor, scope, day, kind, object, ext_id, organisation_ref, here, there,
            currency, found_at, state)
        SELECT gen_random_uuid(), p_processor, p_scope, p_day, r.kind, r.object, r.ext_id, r.organisation_ref, r.here,
            r.there, r.currency, moment, 'open'
        FROM ledger.differences_of(p_processor, p_scope, sources) AS r
        WHERE NOT EXISTS (SELECT FROM ledger.difference AS d WHERE d.processor = p_processor AND d.scope = p_scope
            AND (d.kind, d.object, d.ext_id) = (r.kind, r.object, r.ext_id) AND (d.state = 'open'
                OR d.state = 'resolved' AND (d.here, d.there) IS NOT DISTINCT FROM (r.here, r.there)));
    GET DIAGNOSTICS opened = ROW_COUNT;
    compared := cardinality(sources);
    SELECT count(*) INTO differs FROM ledger.difference AS d
        WHERE d.processor = p_processor AND d.scope = p_scope AND d.state = 'open';
    INSERT INTO ledger.reconciliation_run (id, processor, scope, day, at, entries, compared, differs)
        VALUES (p_id, p_processor, p_scope, p_day, moment, jsonb_array_length(p_entries), compared, differs);
    RETURN NEXT;
END $$;

CREATE FUNCTION ledger.difference_assign(p_id uuid, p_owner uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE ledger.difference SET owner_id = p_owner WHERE id = p_id AND state = 'open';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such difference' USING ERRCODE = 'RX085';
    END IF;
END $$;

CREATE FUNCTION ledger.difference_resolve(p_id uuid, p_outcome text, p_reference text, p_by text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE ledger.difference SET state = 'resolved', outcome = p_outcome, reference = p_reference, ended_by = p_by,
        ended_at = ruxa.now() WHERE id = p_id AND state = 'open';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such difference' USING ERRCODE = 'RX085';
    END IF;
END $$;

-- A day's totals of a processor, here by facts and there by its books, by kind of object.
CREATE FUNCTION ledger.reconciliation_totals(p_from date, p_until date)
    RETURNS TABLE (processor text, scope text, day date, object text, currency text, count_here bigint, here bigint,
        count_there bigint, there bigint, fee_here bigint, fee_there bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.processor, s.scope, s.day, s.object, s.currency, sum(s.ch)::bigint, sum(s.h)::bigint, sum(s.ct)::bigint,
        sum(s.t)::bigint, sum(s.fh)::bigint, sum(s.ft)::bigint
    FROM (
        SELECT f.processor, f.scope, (f.at AT TIME ZONE 'UTC')::date AS day, f.kind AS object, f.currency, 1 AS ch,
            ledger.fact_gain(f) AS h, 0 AS ct, 0 AS t, coalesce(f.fee_minor, 0) AS fh, 0 AS ft
        FROM payment.fact AS f WHERE ledger.fact_gain(f) IS NOT NULL
            AND f.at >= p_from::timestamp AT TIME ZONE 'UTC' AND f.at < p_until::timestamp AT TIME ZONE 'UTC'
        UNION ALL
        SELECT e.processor, e.scope, e.day, CASE e.kind WHEN 'dispute_won' THEN 'dispute' ELSE e.kind END, e.currency, 0,
            0, 1, CASE e.kind WHEN 'fee' THEN e.net_minor ELSE e.gross_minor END, 0,
            CASE e.kind WHEN 'fee' THEN 0 ELSE e.fee_minor END
        FROM ledger.reconciliation_entry AS e WHERE e.day >= p_from AND e.day < p_until
    ) AS s GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
$$;

-- The balance that a processor owes us by our books, and by its own as far as they were read. What is in dispute is
-- pending in ours and taken already in its.
CREATE FUNCTION ledger.clearing() RETURNS TABLE (processor text, scope text, here_micros bigint, there_minor bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH there AS (
        SELECT e.processor, e.scope, sum(e.net_minor) AS net
        FROM (
            SELECT r.processor, r.scope, r.net_minor FROM ledger.reconciliation_entry AS r
            UNION ALL
            SELECT o.processor, o.scope, o.net_minor FROM ledger.opening_entry AS o
        ) AS e GROUP BY 1, 2
    ), here AS (
        SELECT split_part(b.code, ':', 3) AS processor, CASE WHEN b.code LIKE '%:sandbox' THEN 'sandbox' ELSE 'live' END
            AS scope, b.debits_posted - b.credits_posted - coalesce((SELECT sum(f.amount_minor) * 10000
                FROM payment.fact AS f WHERE f.kind = 'dispute' AND f.status IN ('open', 'pending')
                    AND f.processor = split_part(b.code, ':', 3) AND (f.scope = 'sandbox') = (b.code LIKE '%:sandbox')),
                0) AS amount
        FROM ledger.account_balance AS b WHERE b.code LIKE 'asset:clearing:%'
    )
    SELECT coalesce(h.processor, t.processor), coalesce(h.scope, t.scope), coalesce(h.amount, 0)::bigint, t.net::bigint
    FROM here AS h FULL JOIN there AS t ON (t.processor, t.scope) = (h.processor, h.scope) ORDER BY 1, 2
$$;

-- The journal of a period for an accounting program: payments one by one, usage and grants by day, customers' lots and
-- debts as one account each. Every row is a debit and a credit of the same amount.
CREATE FUNCTION ledger.account_class(p_code text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN p_code LIKE 'lot:%' THEN 'liability:customer_credit'
        WHEN p_code LIKE 'shortfall:%' THEN 'asset:customer_debt:' || split_part(p_code, ':', 2)
        ELSE p_code END;

CREATE FUNCTION ledger.journal(p_from timestamptz, p_until timestamptz)
    RETURNS TABLE (day date, debit text, credit text, code text, scope text, amount_micros bigint, entries bigint,
        document text, reference text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH moved AS (
        SELECT (t.at AT TIME ZONE 'UTC')::date AS day, ledger.account_class(d.code) AS debit,
            ledger.account_class(c.code) AS credit, t.code, coalesce(t.scope, 'live') AS scope, t.amount_micros,
            f.id AS fact_id, f.ext_id
        FROM ledger.transfer AS t JOIN ledger.account AS d ON d.id = t.debit_id AND d.unit = 'usd_micros'
            JOIN ledger.account AS c ON c.id = t.credit_id LEFT JOIN payment.fact AS f ON f.id = t.ref
        WHERE t.state IN ('posted', 'post') AND t.at >= p_from AND t.at < p_until
    ), named AS (
        SELECT DISTINCT ON (o.fact_id) o.fact_id, o.name FROM ledger.document AS o
        WHERE o.fact_id IN (SELECT m.fact_id FROM moved AS m)
        ORDER BY o.fact_id, (o.kind = 'receipt'), o.issued_at, o.id
    )
    SELECT m.day, m.debit, m.credit, m.code, m.scope, sum(m.amount_micros)::bigint, count(*), coalesce(n.name, ''),
        coalesce(m.ext_id, '')
    FROM moved AS m LEFT JOIN named AS n ON n.fact_id = m.fact_id
    WHERE m.debit <> m.credit
    GROUP BY 1, 2, 3, 4, 5, n.name, m.ext_id, m.fact_id
    ORDER BY 1, n.name NULLS LAST, m.ext_id NULLS LAST, 2, 3, 4
$$;

-- Calls as counted at the door out, against calls in the books, by day (D24): what left for providers, and what has a
-- row: charged, or named free.
CREATE FUNCTION ledger.upstream(p_from date, p_until date)
    RETURNS TABLE (day date, sent bigint, tries bigint, charged bigint, free bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH sent AS (
        SELECT s.day, sum(s.most) AS sends FROM (
            SELECT e.day, e.recipient, e.host, max(e.sends) AS most FROM privacy.egress_daily AS e
                JOIN privacy.recipient AS r ON r.name = e.recipient AND r.host = e.host
                    AND (r.role = 'provider' OR r.name = 'sandbox')
            WHERE e.day >= p_from AND e.day < p_until GROUP BY 1, 2, 3
        ) AS s GROUP BY s.day
    ), booked AS (
        SELECT (u.at AT TIME ZONE 'UTC')::date AS day, sum(u.attempts) AS tries,
            count(*) FILTER (WHERE u.amount_micros > 0) AS charged, count(*) FILTER (WHERE u.amount_micros = 0) AS free
        FROM ledger.usage_event AS u
        WHERE u.id >= ruxa.id_floor(p_from::timestamp AT TIME ZONE 'UTC')
            AND u.id < ruxa.id_floor(p_until::timestamp AT TIME ZONE 'UTC') AND u.attempts > 0
        GROUP BY 1
    )
    SELECT coalesce(s.day, b.day), coalesce(s.sends, 0)::bigint, coalesce(b.tries, 0)::bigint,
        coalesce(b.charged, 0), coalesce(b.free, 0)
    FROM sent AS s FULL JOIN booked AS b ON b.day = s.day ORDER BY 1;
END $$;

-- Opens, updates or ends the one difference that is about a whole: a balance, a day's calls.
CREATE FUNCTION ledger.difference_of_whole(
    p_id uuid, p_processor text, p_scope text, p_day date, p_kind text, p_object text, p_ext_id text, p_here bigint,
    p_there bigint, p_currency text, p_differs boolean
) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known ledger.difference;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger reconcile ' || p_processor || ' ' || p_scope, 0));
    SELECT * INTO known FROM ledger.difference AS d WHERE (d.processor, d.scope, d.kind, d.object, d.ext_id)
        = (p_processor, p_scope, p_kind, p_object, p_ext_id) AND (d.state = 'open' OR d.state = 'resolved'
            AND (d.here, d.there) IS NOT DISTINCT FROM (p_here, p_there)) ORDER BY d.state = 'resolved' LIMIT 1;
    IF known.state = 'open' AND NOT p_differs THEN
        UPDATE ledger.difference SET state = 'gone', ended_at = ruxa.now() WHERE id = known.id;
    ELSIF known.state = 'open' THEN
        UPDATE ledger.difference SET here = p_here, there = p_there WHERE id = known.id;
    ELSIF p_differs AND known.id IS NULL THEN
        INSERT INTO ledger.difference (id, processor, scope, day, kind, object, ext_id, here, there, currency, found_at,
                state)
            VALUES (p_id, p_processor, p_scope, p_day, p_kind, p_object, p_ext_id, p_here, p_there, p_currency,
                ruxa.now(), 'open');
        RETURN true;
    END IF;
    RETURN false;
END $$;

-- The data map (D37)

COMMENT ON COLUMN ledger.opening_entry.processor IS 'data: none';
COMMENT ON COLUMN ledger.opening_entry.scope IS 'data: none';
COMMENT ON COLUMN ledger.opening_entry.net_minor IS 'data: none';
COMMENT ON COLUMN ledger.reconciliation_entry.processor IS 'data: none';
COMMENT ON COLUMN ledger.reconciliation_entry.scope IS 'data: none';
COMMENT ON COLUMN ledger.reconciliation_entry.ext_id IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.reconciliation_entry.kind IS 'data: none';
COMMENT ON COLUMN ledger.reconciliation_entry.source IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.reconciliation_entry.day IS 'data: none';
COMMENT ON COLUMN ledger.reconciliation_entry.gross_minor IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.reconciliation_entry.fee_minor IS 'data: none';
COMMENT ON COLUMN ledger.reconciliation_entry.net_minor IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.reconciliation_entry.currency IS 'data: none';
COMMENT ON COLUMN ledger.reconciliation_entry.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.reconciliation_entry.at IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.reconciliation_run.id IS 'data: none';
COMMENT ON COLUMN ledger.reconciliation_run.processor IS 'data: none';
COMMENT ON COLUMN ledger.reconciliation_run.scope IS 'data: none';
COMMENT ON COLUMN ledger.reconciliation_run.day IS 'data: none';
COMMENT ON COLUMN ledger.reconciliation_run.at IS 'data: none';
COMMENT ON COLUMN ledger.reconciliation_run.entries IS 'data: none';
COMMENT ON COLUMN ledger.reconciliation_run.compared IS 'data: none';
COMMENT ON COLUMN ledger.reconciliation_run.differs IS 'data: none';
COMMENT ON COLUMN ledger.difference.id IS 'data: none';
COMMENT ON COLUMN ledger.difference.processor IS 'data: none';
COMMENT ON COLUMN ledger.difference.scope IS 'data: none';
COMMENT ON COLUMN ledger.difference.day IS 'data: none';
COMMENT ON COLUMN ledger.difference.kind IS 'data: none';
COMMENT ON COLUMN ledger.difference.object IS 'data: none';
COMMENT ON COLUMN ledger.difference.ext_id IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.difference.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing,legal
     basis=contract,legal_obligation keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.difference.here IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.difference.there IS
    'data: category=user.payment subject=organisation purpose=billing,legal basis=contract,legal_obligation
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.difference.currency IS 'data: none';
COMMENT ON COLUMN ledger.difference.found_at IS 'data: none';
COMMENT ON COLUMN ledger.difference.owner_id IS
    'data: category=user.unique_id.pseudonymous subject=staff purpose=security,billing basis=legal_obligation
     keep=transactions seal=none erase=keep:tax export=no:operational';
COMMENT ON COLUMN ledger.difference.state IS 'data: none';
COMMENT ON COLUMN ledger.difference.outcome IS 'data: none';
COMMENT ON COLUMN ledger.difference.reference IS 'data: none';
COMMENT ON COLUMN ledger.difference.ended_by IS
    'data: category=user.unique_id.pseudonymous subject=staff purpose=security,billing basis=legal_obligation
     keep=transactions seal=none erase=keep:tax export=no:operational';
COMMENT ON COLUMN ledger.difference.ended_at IS 'data: none';

-- Who may do what

REVOKE ALL ON FUNCTION
    ledger.fact_gain(payment.fact), ledger.differences_of(text, text, text[]),
    ledger.reconcile(uuid, text, text, date, jsonb), ledger.difference_assign(uuid, uuid),
    ledger.difference_resolve(uuid, text, text, text), ledger.reconciliation_totals(date, date), ledger.clearing(),
    ledger.account_class(text), ledger.journal(timestamptz, timestamptz), ledger.upstream(date, date),
    ledger.difference_of_whole(uuid, text, text, date, text, text, text, bigint, bigint, text, boolean)
    FROM PUBLIC;
GRANT SELECT ON ledger.reconciliation_entry, ledger.reconciliation_run, ledger.difference
    TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT EXECUTE ON FUNCTION
    ledger.reconciliation_totals(date, date), ledger.clearing(), ledger.journal(timestamptz, timestamptz),
    ledger.upstream(date, date)
    TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT EXECUTE ON FUNCTION ledger.difference_assign(uuid, uuid), ledger.difference_resolve(uuid, text, text, text)
    TO ruxa_console, ruxa_operator;
GRANT EXECUTE ON FUNCTION ledger.reconcile(uuid, text, text, date, jsonb),
    ledger.difference_of_whole(uuid, text, text, date, text, text, text, bigint, bigint, text, boolean)
    TO ruxa_worker, ruxa_operator;
