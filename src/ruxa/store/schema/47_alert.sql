-- Alerts about money: what an organisation wants to be told, what was told, and what it spent a day, to tell what is
-- unusual. A line is opened when a bound is crossed and ended when it is crossed back: each is told once a crossing.

CREATE TABLE ledger.alert_setting (
    organisation_ref uuid PRIMARY KEY,
    low_micros       bigint NOT NULL CHECK (low_micros BETWEEN 0 AND 1000000000000),
    budget           boolean NOT NULL,
    payment          boolean NOT NULL,
    unusual          boolean NOT NULL,
    changed_at       timestamptz NOT NULL
);
COMMENT ON TABLE ledger.alert_setting IS
    'What an organisation is told by mail; low_micros of 0: not of a low balance. Without a row: the usual.';

CREATE TABLE ledger.alert (
    id               uuid PRIMARY KEY,
    organisation_ref uuid NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('low_balance', 'budget_80', 'budget_100', 'payment_failed', 'auto_off',
        'auto_paused', 'unusual', 'dispute')),
    subject          text NOT NULL CHECK (length(subject) BETWEEN 1 AND 120),
    micros           bigint NOT NULL,
    bound_micros     bigint NOT NULL,
    began_at         timestamptz NOT NULL,
    ended_at         timestamptz,
    told_at          timestamptz
);
CREATE UNIQUE INDEX alert_once ON ledger.alert (organisation_ref, kind, subject) WHERE ended_at IS NULL;
CREATE INDEX alert_untold ON ledger.alert (began_at) WHERE told_at IS NULL;
CREATE INDEX alert_began ON ledger.alert (began_at);
COMMENT ON TABLE ledger.alert IS
    'Bounds that were crossed: once while it lasts. subject: scope, budget and its period, order, dispute or day.';

CREATE TABLE ledger.spend_day (
    organisation_ref uuid NOT NULL,
    day              date NOT NULL,
    micros           bigint NOT NULL CHECK (micros >= 0),
    PRIMARY KEY (day, organisation_ref)
);
COMMENT ON TABLE ledger.spend_day IS 'What an organisation spent on a UTC day, for eight days: what is unusual is told by it.';

CREATE FUNCTION ledger.alerts_of(p_organisation uuid)
    RETURNS TABLE (low_micros bigint, budget boolean, payment boolean, unusual boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(s.low_micros, 5000000), coalesce(s.budget, true), coalesce(s.payment, true), coalesce(s.unusual, true)
    FROM (VALUES (p_organisation)) AS o (ref) LEFT JOIN ledger.alert_setting AS s ON s.organisation_ref = o.ref
$$;

CREATE FUNCTION ledger.alerts_put(
    p_organisation uuid, p_low bigint, p_budget boolean, p_payment boolean, p_unusual boolean
) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO ledger.alert_setting VALUES (p_organisation, p_low, p_budget, p_payment, p_unusual, ruxa.now())
    ON CONFLICT (organisation_ref) DO UPDATE SET low_micros = p_low, budget = p_budget, payment = p_payment,
        unusual = p_unusual, changed_at = ruxa.now()
$$;

-- Notes that a bound is crossed; nothing while that is known.
CREATE FUNCTION ledger.alert_open(
    p_organisation uuid, p_kind text, p_subject text, p_micros bigint, p_bound bigint, p_once boolean
) RETURNS integer
    LANGUAGE plpgsql
AS $$
DECLARE
    made integer;
BEGIN
    IF p_once AND EXISTS (SELECT FROM ledger.alert AS a
            WHERE a.organisation_ref = p_organisation AND a.kind = p_kind AND a.subject = p_subject) THEN
        RETURN 0;
    END IF;
    INSERT INTO ledger.alert (id, organisation_ref, kind, subject, micros, bound_micros, began_at)
        VALUES (gen_random_uuid(), p_organisation, p_kind, p_subject, p_micros, p_bound, ruxa.now())
        ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END $$;

-- Looks at balances, budgets, payments, auto top-up and disputes; how many bounds were crossed just now.
CREATE FUNCTION ledger.alerts_look() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found integer := 0;
    moment timestamptz := ruxa.now();
BEGIN
    -- Low balance: who ever had as much as the bound, of a scope that is paid for. Over again: it ends.
    WITH low AS MATERIALIZED (
        SELECT h.organisation_ref AS ref, h.scope, b.balance_micros AS micros, s.low_micros AS bound
        FROM (
            SELECT l.organisation_ref, l.scope, sum(a.cr_posted) AS granted
            FROM ledger.lot AS l JOIN ledger.account AS a ON a.id = l.account_id
            WHERE l.scope = 'live' OR EXISTS (SELECT FROM payment.orders AS o
                WHERE o.organisation_ref = l.organisation_ref AND o.scope = l.scope AND o.received_minor > 0)
            GROUP BY l.organisation_ref, l.scope
        ) AS h
        CROSS JOIN LATERAL ledger.alerts_of(h.organisation_ref) AS s
        JOIN LATERAL ledger.balance(h.organisation_ref) AS b ON b.scope = h.scope
        WHERE h.granted >= s.low_micros AND b.balance_micros < s.low_micros
    ), over AS (
        UPDATE ledger.alert AS a SET ended_at = moment
        WHERE a.kind = 'low_balance' AND a.ended_at IS NULL
            AND NOT EXISTS (SELECT FROM low AS l WHERE l.ref = a.organisation_ref AND l.scope = a.subject)
    )
    SELECT coalesce(sum(ledger.alert_open(l.ref, 'low_balance', l.scope, l.micros, l.bound, false)), 0) INTO found
        FROM low AS l;

    -- Budgets: at 80 % and when nothing is left that a call could use; once a period. The cap of a playground's key is
    -- ours: nobody set it, and its key is in no list.
    found := found + coalesce((
        SELECT sum(ledger.alert_open(u.organisation_ref, CASE WHEN u.full THEN 'budget_100' ELSE 'budget_80' END,
            u.subject, u.used, u.limit_micros, true))
        FROM (
            SELECT b.organisation_ref, b.scope || ':' || translate(b.id::text, '-', '') || ':' || p.starts AS subject,
                a.dr_posted AS used, b.limit_micros, a.dr_posted::numeric * 1000 >= b.limit_micros::numeric * 995 AS full
            FROM ledger.budget AS b
                CROSS JOIN LATERAL ledger.budget_period(b.period, moment) AS p
                JOIN ledger.account AS a ON a.code = ledger.budget_code(b.scope, b.id, p.starts)
            WHERE b.limit_micros > 0 AND a.dr_posted::numeric * 100 >= b.limit_micros::numeric * 80
                AND NOT EXISTS (SELECT FROM access.key AS k
                    WHERE b.scope = 'key' AND k.id = b.id AND k.kind = 'playground')
        ) AS u CROSS JOIN LATERAL ledger.alerts_of(u.organisation_ref) AS s WHERE s.budget
    ), 0);

    -- Payments that failed within a day; auto top-up that was stopped or waits; disputes.
    found := found + coalesce((
        SELECT sum(ledger.alert_open(o.organisation_ref, 'payment_failed', translate(o.id::text, '-', ''),
            o.amount_micros, 0, true))
        FROM payment.orders AS o CROSS JOIN LATERAL ledger.alerts_of(o.organisation_ref) AS s
        WHERE o.state = 'failed' AND o.created_at > moment - interval '1 day' AND s.payment
    ), 0);
    UPDATE ledger.alert AS a SET ended_at = moment
        WHERE a.kind IN ('auto_off', 'auto_paused') AND a.ended_at IS NULL AND NOT EXISTS (
            SELECT FROM payment.auto AS t WHERE t.organisation_ref = a.organisation_ref
                AND ((a.kind = 'auto_off' AND t.state = 'off' AND t.reason IN ('failures', 'card'))
                    OR (a.kind = 'auto_paused' AND t.state = 'paused')));
    found := found + coalesce((
        SELECT sum(ledger.alert_open(t.organisation_ref, CASE t.state WHEN 'off' THEN 'auto_off' ELSE 'auto_paused' END,
            'auto', 0, t.monthly_cap_micros, false))
        FROM payment.auto AS t CROSS JOIN LATERAL ledger.alerts_of(t.organisation_ref) AS s
        WHERE s.payment AND ((t.state = 'off' AND t.reason IN ('failures', 'card')) OR t.state = 'paused')
    ), 0);
    -- A dispute stops spending: that is told whatever the settings say.
    found := found + coalesce((
        SELECT sum(ledger.alert_open(f.organisation_ref, 'dispute', translate(f.id::text, '-', ''),
            f.amount_minor * 10000, 0, true))
        FROM payment.fact AS f WHERE f.kind = 'dispute' AND f.status IN ('open', 'pending')
    ), 0);
    RETURN found;
END $$;

-- Adds up today and yesterday; who spent today over 10 USD and over 3 times the mean of the seven days before is told,
-- once a day. Who is here for less than three days has no usual yet.
CREATE FUNCTION ledger.alerts_spend() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := (ruxa.now() AT TIME ZONE 'UTC')::date;
    found integer;
BEGIN
    DELETE FROM ledger.spend_day WHERE day < today - 8;
    INSERT INTO ledger.spend_day
        SELECT u.organisation_ref, (ruxa.id_time(u.id) AT TIME ZONE 'UTC')::date AS of_day, sum(u.amount_micros)
        FROM ledger.usage_event AS u
        WHERE u.id >= ruxa.id_floor(((today - 1)::timestamp) AT TIME ZONE 'UTC') AND u.amount_micros > 0
        GROUP BY 1, 2
        ON CONFLICT (day, organisation_ref) DO UPDATE SET micros = EXCLUDED.micros;
    SELECT coalesce(sum(ledger.alert_open(t.organisation_ref, 'unusual', today::text, t.micros, b.mean, true)), 0)
        INTO found
        FROM ledger.spend_day AS t
            CROSS JOIN LATERAL (SELECT (sum(d.micros) / 7)::bigint AS mean, min(d.day) AS since FROM ledger.spend_day AS d
                WHERE d.organisation_ref = t.organisation_ref AND d.day BETWEEN today - 7 AND today - 1) AS b
            CROSS JOIN LATERAL ledger.alerts_of(t.organisation_ref) AS s
        WHERE t.day = today AND t.micros > 10000000 AND t.micros > 3 * b.mean AND b.since <= today - 3 AND s.unusual;
    RETURN found;
END $$;

-- What is to be told now, oldest first.
CREATE FUNCTION ledger.alerts_untold(p_limit integer)
    RETURNS TABLE (id uuid, organisation_ref uuid, kind text, subject text, micros bigint, bound_micros bigint)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.id, a.organisation_ref, a.kind, a.subject, a.micros, a.bound_micros FROM ledger.alert AS a
    WHERE a.told_at IS NULL ORDER BY a.began_at, a.id LIMIT p_limit FOR UPDATE SKIP LOCKED
$$;

CREATE FUNCTION ledger.alert_told(p_id uuid) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ UPDATE ledger.alert SET told_at = ruxa.now() WHERE id = p_id AND told_at IS NULL $$;

-- The latest of an organisation, for its pages.
CREATE FUNCTION ledger.alerts_listed(p_organisation uuid, p_limit integer)
    RETURNS TABLE (id uuid, kind text, subject text, micros bigint, bound_micros bigint, began_at timestamptz,
        ended_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.id, a.kind, a.subject, a.micros, a.bound_micros, a.began_at, a.ended_at FROM ledger.alert AS a
    WHERE a.organisation_ref = p_organisation ORDER BY a.began_at DESC, a.id LIMIT p_limit
$$;

-- What is over its time: lines that were told, after the days that usage is kept.
CREATE FUNCTION ledger.alerts_sweep(p_days integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone bigint;
BEGIN
    DELETE FROM ledger.alert WHERE began_at < ruxa.now() - make_interval(days => p_days)
        AND (ended_at IS NOT NULL OR kind NOT IN ('low_balance', 'auto_off', 'auto_paused'));
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

COMMENT ON COLUMN ledger.alert_setting.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=communicate basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.alert_setting.low_micros IS
    'data: category=user.account.settings subject=organisation purpose=communicate basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.alert_setting.budget IS
    'data: category=user.account.settings subject=organisation purpose=communicate basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.alert_setting.payment IS
    'data: category=user.account.settings subject=organisation purpose=communicate basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.alert_setting.unusual IS
    'data: category=user.account.settings subject=organisation purpose=communicate basis=contract keep=account
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.alert_setting.changed_at IS 'data: none';
COMMENT ON COLUMN ledger.alert.id IS 'data: none';
COMMENT ON COLUMN ledger.alert.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=communicate basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.alert.kind IS
    'data: category=user.behavior.purchase_history subject=organisation purpose=communicate basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.alert.subject IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=communicate basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.alert.micros IS
    'data: category=user.payment subject=organisation purpose=communicate basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.alert.bound_micros IS 'data: none';
COMMENT ON COLUMN ledger.alert.began_at IS 'data: none';
COMMENT ON COLUMN ledger.alert.ended_at IS 'data: none';
COMMENT ON COLUMN ledger.alert.told_at IS 'data: none';
COMMENT ON COLUMN ledger.spend_day.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=communicate basis=contract keep=usage
     seal=none erase=delete export=yes';
COMMENT ON COLUMN ledger.spend_day.day IS 'data: none';
COMMENT ON COLUMN ledger.spend_day.micros IS
    'data: category=user.telemetry subject=organisation purpose=communicate basis=contract keep=usage
     seal=none erase=delete export=yes';

REVOKE ALL ON FUNCTION ledger.alerts_of(uuid), ledger.alerts_put(uuid, bigint, boolean, boolean, boolean),
    ledger.alert_open(uuid, text, text, bigint, bigint, boolean), ledger.alerts_look(), ledger.alerts_spend(),
    ledger.alerts_untold(integer), ledger.alert_told(uuid), ledger.alerts_listed(uuid, integer),
    ledger.alerts_sweep(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.alerts_of(uuid), ledger.alerts_put(uuid, bigint, boolean, boolean, boolean),
    ledger.alerts_listed(uuid, integer) TO ruxa_console, ruxa_operator;
GRANT EXECUTE ON FUNCTION ledger.alerts_of(uuid), ledger.alerts_look(), ledger.alerts_spend(),
    ledger.alerts_untold(integer), ledger.alert_told(uuid), ledger.alerts_sweep(integer) TO ruxa_worker, ruxa_operator;
