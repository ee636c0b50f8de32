-- A year that is over: its transfers go, with the leases, orders, lots, budgets and evidence that ended in it (P56).
--
-- A transfer belongs to the year in which its movement began: a resolution is in the partition of what it resolves. What
-- is not over (an order that was refunded a year later, a lease over midnight of New Year) keeps its transfers in
-- ledger.kept_transfer and goes with the year in which it ended. What remains of a year: every account's sums
-- (ledger.opening), so that counters and books still prove themselves, and the chain's hashes.

-- Calendar years of which there are transfers and whose time is over. A fiscal year that begins in another month than
-- January ends so much later.
CREATE FUNCTION ledger.years_over(p_fiscal_month integer) RETURNS SETOF integer
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT y.year FROM (
        SELECT right(c.relname, 4)::integer AS year FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'ledger.transfer'::regclass AND c.relname ~ '^transfer_[0-9]{4}$'
    ) AS y
    WHERE ruxa.now() >= ledger.kept_until(make_date(y.year, 12, 31)) + make_interval(months => p_fiscal_month - 1)
    ORDER BY y.year
$$;

-- A year's transfers of organisations whose deletion is on hold, whole, in the order of their ids from after one.
CREATE FUNCTION ledger.year_rows(p_year integer, p_organisations uuid[], p_after uuid, p_limit integer)
    RETURNS TABLE (id uuid, organisation_ref uuid, body text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.id, t.organisation_ref,
        (to_jsonb(t) || jsonb_build_object('debit', d.code, 'credit', c.code))::text
    FROM ledger.movement AS t JOIN ledger.account AS d ON d.id = t.debit_id JOIN ledger.account AS c ON c.id = t.credit_id
    WHERE t.id < ruxa.id_floor(make_timestamptz(p_year + 1, 1, 1, 0, 0, 0, 'UTC'))
        AND t.organisation_ref = ANY (p_organisations) AND (p_after IS NULL OR t.id > p_after)
    ORDER BY t.id LIMIT p_limit
$$;

-- Ends the oldest year there is; how many transfers went. The caller sees to it that the proofs are right before and
-- after, in this very transaction. Nobody has to wait for it; the empty partition goes afterwards (ledger.year_drop).
CREATE FUNCTION ledger.year_end(p_year integer, p_fiscal_month integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ends timestamptz := make_timestamptz(p_year + 1, 1, 1, 0, 0, 0, 'UTC');
    high uuid := ruxa.id_floor(ends);
    oldest integer;
    went bigint;
    stayed bigint;
    low_seq bigint;
    high_seq bigint;
    last ledger.seal;
BEGIN
    PERFORM ledger.commit_durably();
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger.year_end', 0));
    SELECT min(y) INTO oldest FROM ledger.years_over(p_fiscal_month) AS y;
    IF oldest IS NULL OR p_year > oldest AND NOT p_year = ANY (ARRAY(SELECT ledger.years_over(p_fiscal_month))) THEN
        RAISE EXCEPTION 'younger than its time' USING ERRCODE = 'RX053';
    ELSIF p_year > oldest THEN
        RAISE EXCEPTION 'an older year is there' USING ERRCODE = 'RX051';
    ELSIF p_year < oldest OR EXISTS (SELECT FROM ledger.year_ended AS y WHERE y.year = p_year) THEN
        RETURN 0;
    END IF;
    SELECT min(t.seq), max(t.seq) INTO low_seq, high_seq FROM ledger.movement AS t WHERE t.id < high;
    IF high_seq > coalesce((SELECT max(s.last_seq) FROM ledger.seal AS s), 0) OR EXISTS (
        SELECT FROM ledger.transfer AS t WHERE t.id < high AND t.state = 'pending'
            AND NOT EXISTS (SELECT FROM ledger.transfer AS r WHERE r.id = ledger.resolution_id(t.id))
    ) THEN
        RAISE EXCEPTION 'money of that year is pending' USING ERRCODE = 'RX054';
    END IF;
    PERFORM set_config('ruxa.ending_year', p_year::text, true);

    -- What is over: everything about it is of this year or an earlier one.
    CREATE TEMP TABLE year_lease ON COMMIT DROP AS
        SELECT l.id FROM ledger.lease AS l
        WHERE l.state = 'closed' AND l.closed_at < ends
            AND NOT EXISTS (SELECT FROM ledger.lease_slice AS s WHERE s.lease_id = l.id AND s.pending_id >= high)
            AND NOT EXISTS (SELECT FROM ledger.transfer AS t WHERE t.ref = l.id AND t.id >= high);
    CREATE TEMP TABLE year_order ON COMMIT DROP AS
        SELECT o.id FROM payment.orders AS o
        WHERE o.state NOT IN ('open', 'pending', 'partial') AND o.created_at < ends AND o.expires_at < ends
            AND coalesce(o.paid_at, o.created_at) < ends
            AND NOT EXISTS (
                SELECT FROM payment.fact AS f WHERE f.order_id = o.id AND (f.changed_at >= ends
                    OR EXISTS (SELECT FROM ledger.transfer AS t WHERE t.ref = f.id AND t.id >= high)
                    OR EXISTS (SELECT FROM payment.freeze AS z WHERE z.ref = f.id
                        AND (z.ended_at IS NULL OR z.ended_at >= ends OR z.reviewed_at IS NULL))))
            AND NOT EXISTS (
                SELECT FROM payment.refund AS w WHERE w.order_id = o.id AND (w.changed_at >= ends
                    OR w.state NOT IN ('done', 'failed', 'canceled')
                    OR EXISTS (SELECT FROM ledger.transfer AS t WHERE t.ref = w.id AND t.id >= high)))
            AND NOT EXISTS (SELECT FROM payment.confirmation AS c WHERE c.order_id = o.id
                AND (c.state = 'first' OR coalesce(c.second_at, c.first_at) >= ends))
            AND NOT EXISTS (SELECT FROM payment.attempt AS a WHERE a.order_id = o.id
                AND (a.ended_at IS NULL OR a.ended_at >= ends));
    CREATE TEMP TABLE year_fact ON COMMIT DROP AS
        SELECT f.id FROM payment.fact AS f WHERE f.order_id IN (SELECT id FROM year_order)
        UNION ALL
        SELECT f.id FROM payment.fact AS f WHERE f.order_id IS NULL AND f.changed_at < ends
            AND NOT EXISTS (SELECT FROM ledger.transfer AS t WHERE t.ref = f.id AND t.id >= high);
    CREATE TEMP TABLE year_wish ON COMMIT DROP AS
        SELECT w.id FROM payment.wish AS w
        WHERE w.kind <> 'void' AND w.state <> 'waiting' AND coalesce(w.settled_at, w.asked_at) < ends
            AND NOT EXISTS (SELECT FROM ledger.transfer AS t WHERE t.ref = w.id AND t.id >= high);
    -- The transfers of what is not over.
    CREATE TEMP TABLE year_stays ON COMMIT DROP AS
        SELECT t.id FROM ledger.movement AS t
        WHERE t.id < high AND (
            EXISTS (SELECT FROM ledger.lease AS l WHERE l.id = t.ref AND l.id NOT IN (SELECT id FROM year_lease))
            OR EXISTS (SELECT FROM ledger.lease_slice AS s WHERE s.pending_id = coalesce(t.pending_id, t.id)
                AND s.lease_id NOT IN (SELECT id FROM year_lease))
            OR EXISTS (SELECT FROM payment.fact AS f WHERE f.id = t.ref AND f.id NOT IN (SELECT id FROM year_fact))
            OR EXISTS (SELECT FROM payment.refund AS w WHERE w.id = t.ref
                AND w.order_id NOT IN (SELECT id FROM year_order))
            OR EXISTS (SELECT FROM payment.wish AS w WHERE w.id = t.ref AND w.kind <> 'void'
                AND w.id NOT IN (SELECT id FROM year_wish)));
    CREATE UNIQUE INDEX ON year_stays (id);

    -- Every account's sums, before the rows go.
    INSERT INTO ledger.opening AS o (account_id, organisation_ref, dr_posted, cr_posted)
        SELECT s.account_id, a.organisation_ref, sum(s.dr), sum(s.cr) FROM (
            SELECT t.debit_id AS account_id, t.amount_micros AS dr, 0 AS cr FROM ledger.movement AS t
            WHERE t.id < high AND t.state IN ('posted', 'post') AND t.id NOT IN (SELECT id FROM year_stays)
            UNION ALL
            SELECT t.credit_id, 0, t.amount_micros FROM ledger.movement AS t
            WHERE t.id < high AND t.state IN ('posted', 'post') AND t.id NOT IN (SELECT id FROM year_stays)
        ) AS s JOIN ledger.account AS a ON a.id = s.account_id
        GROUP BY s.account_id, a.organisation_ref ORDER BY s.account_id
        ON CONFLICT (account_id) DO UPDATE SET dr_posted = o.dr_posted + excluded.dr_posted,
            cr_posted = o.cr_posted + excluded.cr_posted;
    DELETE FROM ledger.kept_transfer WHERE id NOT IN (SELECT id FROM year_stays);
    INSERT INTO ledger.kept_transfer
        SELECT t.id, t.seq, t.state, t.debit_id, t.credit_id, t.amount_micros, t.pending_id, t.code, t.organisation_ref,
            t.scope, t.ref, t.at
        FROM ledger.transfer AS t WHERE t.id < high AND t.id IN (SELECT id FROM year_stays);
    GET DIAGNOSTICS stayed = ROW_COUNT;
    -- What ended with them.
    DELETE FROM ledger.lease_slice WHERE lease_id IN (SELECT id FROM year_lease);
    DELETE FROM ledger.lease WHERE id IN (SELECT id FROM year_lease);
    DELETE FROM payment.evidence WHERE dispute_id IN (SELECT id FROM year_fact);
    DELETE FROM payment.freeze WHERE ref IN (SELECT id FROM year_fact)
        OR ref IS NULL AND reviewed_at < ends AND ended_at < ends;
    DELETE FROM payment.refund WHERE order_id IN (SELECT id FROM year_order);
    DELETE FROM payment.attempt WHERE order_id IN (SELECT id FROM year_order);
    DELETE FROM payment.confirmation WHERE order_id IN (SELECT id FROM year_order);
    DELETE FROM payment.fact WHERE id IN (SELECT id FROM year_fact);
    DELETE FROM payment.orders WHERE id IN (SELECT id FROM year_order);
    DELETE FROM payment.wish WHERE id IN (SELECT id FROM year_wish);
    DELETE FROM payment.quarantine WHERE state <> 'waiting' AND coalesce(settled_at, last_at) < ends;
    DELETE FROM ledger.difference WHERE state <> 'open' AND ended_at < ends;
    WITH gone AS (
        DELETE FROM ledger.reconciliation_entry WHERE at < ends RETURNING processor, scope, net_minor
    )
    INSERT INTO ledger.opening_entry AS o (processor, scope, net_minor)
        SELECT g.processor, g.scope, sum(g.net_minor) FROM gone AS g GROUP BY g.processor, g.scope
        ON CONFLICT (processor, scope) DO UPDATE SET net_minor = o.net_minor + excluded.net_minor;
    DELETE FROM ledger.billing_evidence WHERE month < ends::date;

    DELETE FROM ledger.transfer WHERE id < high;
    GET DIAGNOSTICS went = ROW_COUNT;

    -- The seals over what went.
    INSERT INTO ledger.seal_rest AS r (number, transfers, sha256)
        SELECT s.number, h.transfers, h.sha256
        FROM ledger.seal AS s CROSS JOIN LATERAL ledger.seal_hash(s.sha256, s.first_seq, s.last_seq) AS h
        WHERE s.last_seq >= low_seq AND s.first_seq <= high_seq AND h.transfers <> s.transfers
        ON CONFLICT (number) DO UPDATE SET transfers = excluded.transfers, sha256 = excluded.sha256;
    SELECT * INTO last FROM ledger.seal AS s WHERE s.first_seq <= high_seq ORDER BY s.number DESC LIMIT 1;
    INSERT INTO ledger.year_ended (year, transfers, kept, seal, sha256, ended_at)
        VALUES (p_year, went, stayed, last.number, last.sha256, ruxa.now());

    PERFORM ledger.year_accounts_end(ends);

    -- Charges and leases that went over the year's end: what is left of one side has its other side here.
    DELETE FROM ledger.opening_usage;
    INSERT INTO ledger.opening_usage (organisation_ref, scope, amount_micros, waived_micros)
        SELECT d.organisation_ref, d.scope, sum(d.amount), sum(d.waived) FROM (
            SELECT l.organisation_ref, l.scope, u.amount_micros AS amount, u.waived_micros AS waived
            FROM ledger.usage_event AS u JOIN ledger.lease AS l ON l.id = u.lease_id AND l.kind = 'lease'
            UNION ALL
            SELECT e.organisation_ref, e.scope, e.amount_micros, e.waived_micros
            FROM ledger.billing_evidence AS e WHERE e.kind = 'lease'
            UNION ALL
            SELECT l.organisation_ref, l.scope, -(l.spent_micros + l.extra_micros + l.lost_micros),
                l.lost_micros - coalesce((SELECT sum(t.amount_micros) FROM ledger.movement AS t
                    JOIN ledger.account AS a ON a.id = t.debit_id AND a.unit = 'usd_micros'
                    WHERE t.ref = l.id AND t.code = 'abandoned'), 0)
            FROM ledger.lease AS l WHERE l.kind = 'lease'
        ) AS d GROUP BY d.organisation_ref, d.scope HAVING sum(d.amount) <> 0 OR sum(d.waived) <> 0;
    PERFORM set_config('ruxa.ending_year', '', true);
    RETURN went - stayed;
END $$;

-- Drops a year's partition once it was ended. Who waits for it waits half a second at most.
CREATE FUNCTION ledger.year_drop(p_year integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('ledger.transfer_' || p_year) IS NULL THEN
        RETURN;
    END IF;
    PERFORM set_config('lock_timeout', '500ms', true);
    LOCK TABLE ONLY ledger.transfer IN ACCESS EXCLUSIVE MODE;
    IF NOT EXISTS (SELECT FROM ledger.year_ended AS y WHERE y.year = p_year)
        OR EXISTS (SELECT FROM ledger.transfer AS t WHERE t.id < ruxa.id_floor(make_timestamptz(p_year + 1, 1, 1, 0, 0, 0, 'UTC'))
            AND t.id >= ruxa.id_floor(make_timestamptz(p_year, 1, 1, 0, 0, 0, 'UTC'))) THEN
        RAISE EXCEPTION 'younger than its time' USING ERRCODE = 'RX053';
    END IF;
    EXECUTE 'DROP TABLE ledger.transfer_' || p_year;
END $$;

-- Lots that are empty and budgets whose period is past, with their accounts, once no movement of theirs is left.
CREATE FUNCTION ledger.year_accounts_end(p_ends timestamptz) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CREATE TEMP TABLE year_account ON COMMIT DROP AS
        SELECT a.id, a.unit, a.dr_posted, a.cr_posted, l.id AS lot_id
        FROM ledger.account AS a LEFT JOIN ledger.lot AS l ON l.account_id = a.id
        WHERE a.counted AND a.dr_pending = 0 AND a.cr_pending = 0 AND a.opened_at < p_ends
            AND (l.id IS NOT NULL AND a.dr_posted = a.cr_posted AND l.created_at < p_ends
                OR a.unit = 'budget_micros' AND split_part(a.code, ':', 4) ~ '^[0-9]{4}-'
                    AND left(split_part(a.code, ':', 4), 10)::date < p_ends::date)
            AND NOT EXISTS (SELECT FROM ledger.lease_slice AS s WHERE s.account_id = a.id)
            AND a.id NOT IN (SELECT t.debit_id FROM ledger.movement AS t UNION SELECT t.credit_id FROM ledger.movement AS t)
            AND NOT EXISTS (SELECT FROM payment.wish AS w WHERE w.lot_id = l.id
                AND (w.state = 'waiting' OR coalesce(w.settled_at, w.asked_at) >= p_ends));
    -- A budget is issued and used against two accounts of the house: their sums lose what goes.
    UPDATE ledger.opening AS o SET dr_posted = o.dr_posted - s.issued FROM (
        SELECT coalesce(sum(cr_posted), 0) AS issued FROM year_account WHERE unit = 'budget_micros'
    ) AS s WHERE o.account_id = ledger.account_id('budget:issued');
    UPDATE ledger.opening AS o SET cr_posted = o.cr_posted - s.used FROM (
        SELECT coalesce(sum(dr_posted), 0) AS used FROM year_account WHERE unit = 'budget_micros'
    ) AS s WHERE o.account_id = ledger.account_id('budget:used');
    DELETE FROM payment.wish WHERE kind = 'void' AND lot_id IN (SELECT lot_id FROM year_account);
    DELETE FROM ledger.lot WHERE id IN (SELECT lot_id FROM year_account);
    DELETE FROM ledger.opening WHERE account_id IN (SELECT id FROM year_account);
    DELETE FROM ledger.account WHERE id IN (SELECT id FROM year_account);
END $$;

REVOKE ALL ON FUNCTION ledger.years_over(integer), ledger.year_rows(integer, uuid[], uuid, integer),
    ledger.year_end(integer, integer), ledger.year_drop(integer), ledger.year_accounts_end(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.years_over(integer), ledger.year_rows(integer, uuid[], uuid, integer),
    ledger.year_end(integer, integer), ledger.year_drop(integer) TO ruxa_worker, ruxa_operator;
