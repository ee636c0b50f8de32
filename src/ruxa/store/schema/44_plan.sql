-- Plans: price books that follow from the list by margins, and which organisation has which.
--
-- A margin says at which share of the list's rates, in basis points (10000 is the list's own), a book has a usage class of
-- the models that a pattern names; without a share they are not in the book. The most exact pattern decides, then the
-- class by its name before `*`; a model of which some class has no share is not in the book: refused, never free.
-- What follows is written down as rows of ledger.price, exact integers, whenever the list or a margin changes, so that a
-- charge recomputes from its price alone. A rate is rounded half up to a micro per million units, and is never rounded to
-- nothing: only a share of 0 makes something free.
--
-- Margins and plans have periods; what has started is never changed but for its end, which is never moved into the past.
-- SQLSTATEs: RX041 the period is taken or past; RX042 no such book, or not one for this; RX900 immutable.

CREATE TABLE ledger.margin (
    id          uuid PRIMARY KEY,
    book        text NOT NULL REFERENCES ledger.book (name) CHECK (book <> 'list'),
    pattern     text NOT NULL CHECK (pattern ~ '^[^\s*]*\*?$' AND length(pattern) BETWEEN 1 AND 200),
    class       text NOT NULL CHECK (class IN ('*', 'input', 'cache', 'output', 'reasoning', 'audio', 'image')),
    share       bigint CHECK (share BETWEEN 0 AND 1000000),
    effective   tstzrange NOT NULL CHECK (NOT isempty(effective) AND lower_inc(effective)),
    created_at  timestamptz NOT NULL DEFAULT ruxa.now(),
    CONSTRAINT margin_left_out CHECK (share IS NOT NULL OR class = '*'),
    CONSTRAINT margin_overlap EXCLUDE USING gist (book WITH =, pattern WITH =, class WITH =, effective WITH &&)
);
COMMENT ON TABLE ledger.margin IS
    'At which share of the list, in basis points, a book has models in a period; without a share it does not have them.';
COMMENT ON COLUMN ledger.margin.id IS 'data: none';
COMMENT ON COLUMN ledger.margin.book IS 'data: none';
COMMENT ON COLUMN ledger.margin.pattern IS 'data: none';
COMMENT ON COLUMN ledger.margin.class IS 'data: none';
COMMENT ON COLUMN ledger.margin.share IS 'data: none';
COMMENT ON COLUMN ledger.margin.effective IS 'data: none';
COMMENT ON COLUMN ledger.margin.created_at IS 'data: none';

CREATE TABLE ledger.organisation_plan (
    id               uuid PRIMARY KEY,
    organisation_ref uuid NOT NULL,
    book             text NOT NULL REFERENCES ledger.book (name) CHECK (NOT starts_with(book, 'own:')),
    effective        tstzrange NOT NULL CHECK (NOT isempty(effective) AND lower_inc(effective)),
    created_at       timestamptz NOT NULL DEFAULT ruxa.now(),
    CONSTRAINT organisation_plan_overlap EXCLUDE USING gist (organisation_ref WITH =, effective WITH &&)
);
COMMENT ON TABLE ledger.organisation_plan IS 'Which plan an organisation has in a period; without one it pays the list.';
COMMENT ON COLUMN ledger.organisation_plan.id IS 'data: none';
COMMENT ON COLUMN ledger.organisation_plan.organisation_ref IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.organisation_plan.book IS
    'data: category=user.account.settings subject=organisation purpose=billing basis=contract
     keep=transactions seal=none erase=keep:tax export=yes';
COMMENT ON COLUMN ledger.organisation_plan.effective IS 'data: none';
COMMENT ON COLUMN ledger.organisation_plan.created_at IS 'data: none';

-- Only an end that is still to come may be moved; what has not started may be taken back.
CREATE FUNCTION ledger.period_guard() RETURNS trigger
    LANGUAGE plpgsql
AS $$
DECLARE
    kept constant interval := '10 seconds';
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF lower(OLD.effective) > ruxa.now() THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'immutable' USING ERRCODE = 'RX900';
    END IF;
    IF to_jsonb(NEW) - 'effective' IS DISTINCT FROM to_jsonb(OLD) - 'effective'
        OR lower(NEW.effective) <> lower(OLD.effective) OR upper(OLD.effective) < ruxa.now() - kept
        OR upper(NEW.effective) < ruxa.now() - kept THEN
        RAISE EXCEPTION 'immutable' USING ERRCODE = 'RX900';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER margin_kept BEFORE UPDATE OR DELETE ON ledger.margin
    FOR EACH ROW EXECUTE FUNCTION ledger.period_guard();
CREATE TRIGGER margin_kept_whole BEFORE TRUNCATE ON ledger.margin EXECUTE FUNCTION ledger.deny();
CREATE TRIGGER organisation_plan_kept BEFORE UPDATE OR DELETE ON ledger.organisation_plan
    FOR EACH ROW EXECUTE FUNCTION ledger.period_guard();
CREATE TRIGGER organisation_plan_kept_whole BEFORE TRUNCATE ON ledger.organisation_plan EXECUTE FUNCTION ledger.deny();

-- Prices that follow

-- The most exact margin of a model's class at a moment; null when none names it.
CREATE FUNCTION ledger.margin_of(p_book text, p_model text, p_class text, p_at timestamptz) RETURNS ledger.margin
    LANGUAGE sql STABLE
AS $$
    SELECT m FROM ledger.margin AS m
    WHERE m.book = p_book AND m.effective @> p_at AND m.class IN (p_class, '*')
        AND CASE WHEN right(m.pattern, 1) = '*' THEN starts_with(p_model, left(m.pattern, -1))
            ELSE p_model = m.pattern END
    ORDER BY right(m.pattern, 1) = '*', length(m.pattern) DESC, m.class = '*'
    LIMIT 1
$$;

-- A rate of the list at a share of it: half up, and never nothing for something. As ledger.plans.scaled in the product.
CREATE FUNCTION ledger.scaled(p_rate bigint, p_share bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN p_rate = 0 OR p_share = 0 THEN 0
        ELSE greatest(div(p_rate::numeric * p_share + 5000, 10000)::bigint, 1) END;

-- Writes down what a model costs in a book from a moment on: one row for each stretch of time in which neither the list
-- nor the margins change.
CREATE FUNCTION ledger.book_make(p_book text, p_model text, p_moment timestamptz) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    edge record;
    listed ledger.price;
    was ledger.price;
    fresh ledger.price;
    same ledger.price;
    wanted ledger.price[] := '{}';
    n integer := 0;
    input bigint;
    cache bigint;
    output bigint;
    reasoning bigint;
    audio bigint;
    image bigint;
BEGIN
    FOR edge IN
        WITH moments AS (
            SELECT p_moment AS at
            UNION SELECT unnest(ARRAY[lower(effective), upper(effective)]) FROM ledger.price
                WHERE book = 'list' AND model = p_model
            UNION SELECT unnest(ARRAY[lower(effective), upper(effective)]) FROM ledger.margin WHERE book = p_book
        )
        SELECT at, lead(at) OVER (ORDER BY at) AS until FROM moments WHERE at >= p_moment ORDER BY at
    LOOP
        SELECT * INTO listed FROM ledger.price WHERE book = 'list' AND model = p_model AND effective @> edge.at;
        CONTINUE WHEN NOT FOUND;
        input := (ledger.margin_of(p_book, p_model, 'input', edge.at)).share;
        cache := (ledger.margin_of(p_book, p_model, 'cache', edge.at)).share;
        output := (ledger.margin_of(p_book, p_model, 'output', edge.at)).share;
        reasoning := (ledger.margin_of(p_book, p_model, 'reasoning', edge.at)).share;
        audio := (ledger.margin_of(p_book, p_model, 'audio', edge.at)).share;
        image := (ledger.margin_of(p_book, p_model, 'image', edge.at)).share;
        CONTINUE WHEN num_nulls(input, cache, output, reasoning, audio, image) > 0;
        fresh := listed;
        fresh.id := ledger.derived_id(p_moment, gen_random_uuid()::text);
        fresh.book := p_book;
        fresh.list_id := listed.id;
        fresh.source := left('plan ' || p_book || ' of ' || listed.source, 120);
        fresh.effective := tstzrange(edge.at, edge.until);
        fresh.created_at := p_moment;
        fresh.input_micros := ledger.scaled(listed.input_micros, input);
        fresh.cache_read_micros := ledger.scaled(listed.cache_read_micros, cache);
        fresh.cache_write_5m_micros := ledger.scaled(listed.cache_write_5m_micros, cache);
        fresh.cache_write_1h_micros := ledger.scaled(listed.cache_write_1h_micros, cache);
        fresh.output_micros := ledger.scaled(listed.output_micros, output);
        fresh.reasoning_micros := ledger.scaled(listed.reasoning_micros, reasoning);
        fresh.audio_input_micros := ledger.scaled(listed.audio_input_micros, audio);
        fresh.audio_output_micros := ledger.scaled(listed.audio_output_micros, audio);
        fresh.image_micros := ledger.scaled(listed.image_micros, image);
        fresh.long_input_micros := ledger.scaled(listed.long_input_micros, input);
        fresh.long_cache_read_micros := ledger.scaled(listed.long_cache_read_micros, cache);
        fresh.long_cache_write_5m_micros := ledger.scaled(listed.long_cache_write_5m_micros, cache);
        fresh.long_cache_write_1h_micros := ledger.scaled(listed.long_cache_write_1h_micros, cache);
        fresh.long_output_micros := ledger.scaled(listed.long_output_micros, output);
        fresh.long_reasoning_micros := ledger.scaled(listed.long_reasoning_micros, reasoning);
        IF n > 0 AND upper((wanted[n]).effective) = edge.at THEN
            same := fresh;
            same.id := (wanted[n]).id;
            same.effective := (wanted[n]).effective;
            IF same IS NOT DISTINCT FROM wanted[n] THEN
                same.effective := tstzrange(lower(same.effective), edge.until);
                wanted[n] := same;
                CONTINUE;
            END IF;
        END IF;
        wanted := wanted || fresh;
        n := n + 1;
    END LOOP;

    DELETE FROM ledger.price WHERE book = p_book AND model = p_model AND lower(effective) > p_moment;
    SELECT * INTO was FROM ledger.price WHERE book = p_book AND model = p_model AND effective @> p_moment;
    IF FOUND THEN
        IF n > 0 AND lower((wanted[1]).effective) = p_moment THEN
            same := wanted[1];
            same.id := was.id;
            same.effective := was.effective;
            same.created_at := was.created_at;
            IF same IS NOT DISTINCT FROM was THEN
                IF upper(was.effective) IS DISTINCT FROM upper((wanted[1]).effective) THEN
                    UPDATE ledger.price SET effective = tstzrange(lower(was.effective), upper((wanted[1]).effective))
                        WHERE id = was.id;
                END IF;
                wanted := wanted[2:];
                was := NULL;
            END IF;
        END IF;
        IF was.id IS NOT NULL THEN
            UPDATE ledger.price SET effective = tstzrange(lower(was.effective), p_moment) WHERE id = was.id;
        END IF;
    END IF;
    INSERT INTO ledger.price SELECT (w).* FROM unnest(wanted) AS w;
END $$;

-- Every book's price of a model.
CREATE FUNCTION ledger.books_make(p_model text, p_moment timestamptz) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    one text;
BEGIN
    FOR one IN SELECT b.name FROM ledger.book AS b WHERE b.name <> 'list' ORDER BY b.name LOOP
        PERFORM ledger.book_make(one, p_model, p_moment);
    END LOOP;
END $$;

-- A list price ends at a moment without a successor; its row, null when the model has no price then.
CREATE FUNCTION ledger.price_retire(p_model text, p_at timestamptz) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment timestamptz;
    ends timestamptz;
    retired uuid;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger prices', 0));
    moment := ruxa.now();
    ends := coalesce(p_at, moment);
    IF ends < moment OR EXISTS (SELECT FROM ledger.price
            WHERE book = 'list' AND model = p_model AND lower(effective) >= ends) THEN
        RAISE EXCEPTION 'the period is taken or past' USING ERRCODE = 'RX041';
    END IF;
    UPDATE ledger.price SET effective = tstzrange(lower(effective), ends)
        WHERE book = 'list' AND model = p_model AND (upper_inf(effective) OR upper(effective) > moment)
        RETURNING id INTO retired;
    IF FOUND THEN
        PERFORM ledger.books_make(p_model, moment);
        PERFORM pg_notify('price_changed', '');
    END IF;
    RETURN retired;
END $$;

-- Margins

-- Every price of a book that a pattern names.
CREATE FUNCTION ledger.margin_made(p_book text, p_pattern text, p_moment timestamptz) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    one text;
BEGIN
    FOR one IN SELECT DISTINCT p.model FROM ledger.price AS p
        WHERE p.book = 'list' AND (upper_inf(p.effective) OR upper(p.effective) > p_moment)
            AND CASE WHEN right(p_pattern, 1) = '*' THEN starts_with(p.model, left(p_pattern, -1))
                ELSE p.model = p_pattern END
        ORDER BY p.model
    LOOP
        PERFORM ledger.book_make(p_book, one, p_moment);
    END LOOP;
    PERFORM pg_notify('price_changed', '');
END $$;

-- Ends a margin at a moment; its row, null when there is none to end.
CREATE FUNCTION ledger.margin_end(p_book text, p_pattern text, p_class text, p_at timestamptz) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment timestamptz;
    ends timestamptz;
    ended uuid;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger prices', 0));
    moment := ruxa.now();
    ends := coalesce(p_at, moment);
    IF ends < moment THEN
        RAISE EXCEPTION 'the period is taken or past' USING ERRCODE = 'RX041';
    END IF;
    DELETE FROM ledger.margin
        WHERE book = p_book AND pattern = p_pattern AND class = p_class AND lower(effective) >= ends;
    UPDATE ledger.margin SET effective = tstzrange(lower(effective), ends)
        WHERE book = p_book AND pattern = p_pattern AND class = p_class AND lower(effective) < ends
            AND (upper_inf(effective) OR upper(effective) > ends)
        RETURNING id INTO ended;
    PERFORM ledger.margin_made(p_book, p_pattern, moment);
    RETURN ended;
END $$;

-- A margin from a moment on, in the place of what was booked for later; the row in force. Nothing changes when it says
-- the same.
CREATE FUNCTION ledger.margin_put(
    p_id uuid, p_book text, p_pattern text, p_class text, p_share bigint, p_starts timestamptz
) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment timestamptz;
    starts timestamptz;
    old ledger.margin;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger prices', 0));
    moment := ruxa.now();
    starts := coalesce(p_starts, moment);
    IF p_book = 'list' OR NOT EXISTS (SELECT FROM ledger.book WHERE name = p_book) THEN
        RAISE EXCEPTION 'no such book' USING ERRCODE = 'RX042';
    ELSIF starts < moment THEN
        RAISE EXCEPTION 'the period is taken or past' USING ERRCODE = 'RX041';
    END IF;
    SELECT * INTO old FROM ledger.margin
        WHERE book = p_book AND pattern = p_pattern AND class = p_class AND effective @> starts;
    IF FOUND AND old.share IS NOT DISTINCT FROM p_share AND upper_inf(old.effective) THEN
        RETURN old.id;
    END IF;
    DELETE FROM ledger.margin
        WHERE book = p_book AND pattern = p_pattern AND class = p_class AND lower(effective) >= starts
            AND lower(effective) > moment;
    IF old.id IS NOT NULL AND old.share IS NOT DISTINCT FROM p_share THEN
        UPDATE ledger.margin SET effective = tstzrange(lower(effective), NULL) WHERE id = old.id;
        PERFORM ledger.margin_made(p_book, p_pattern, moment);
        RETURN old.id;
    END IF;
    UPDATE ledger.margin SET effective = tstzrange(lower(effective), starts) WHERE id = old.id;
    INSERT INTO ledger.margin (id, book, pattern, class, share, effective)
        VALUES (p_id, p_book, p_pattern, p_class, p_share, tstzrange(starts, NULL));
    PERFORM ledger.margin_made(p_book, p_pattern, moment);
    RETURN p_id;
END $$;

-- The book of what calls on own provider keys cost beside a book, made when it is first needed: free, by a margin that
-- says so.
CREATE FUNCTION ledger.own_book(p_book text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger prices', 0));
    IF starts_with(p_book, 'own:') OR NOT EXISTS (SELECT FROM ledger.book WHERE name = p_book) THEN
        RAISE EXCEPTION 'no such book' USING ERRCODE = 'RX042';
    END IF;
    INSERT INTO ledger.book (name, beyond_list) VALUES ('own:' || p_book, false) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM ledger.margin_put(ledger.derived_id(ruxa.now(), gen_random_uuid()::text), 'own:' || p_book, '*', '*', 0, NULL);
    END IF;
    RETURN 'own:' || p_book;
END $$;

-- Makes a plan without margins, beside the book of its calls on own provider keys; false when there is one of that name.
CREATE FUNCTION ledger.book_create(p_name text, p_beyond_list boolean) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger prices', 0));
    IF starts_with(p_name, 'own:') THEN
        RAISE EXCEPTION 'no such book' USING ERRCODE = 'RX042';
    END IF;
    INSERT INTO ledger.book (name, beyond_list) VALUES (p_name, p_beyond_list) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM ledger.own_book(p_name);
    PERFORM pg_notify('price_changed', '');
    RETURN true;
END $$;

-- Organisations

-- The plan that an organisation has now, and when that ends.
CREATE FUNCTION ledger.plan_of(p_organisation uuid) RETURNS TABLE (book text, until_ms bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(min(p.book) FILTER (WHERE p.effective @> n.moment), 'list'),
        ledger.unix_ms(min(lower(p.effective)) FILTER (WHERE lower(p.effective) > n.moment))
    FROM (SELECT ruxa.now() AS moment) AS n LEFT JOIN ledger.organisation_plan AS p ON p.organisation_ref = p_organisation
$$;

-- An organisation's plan from a moment on, in the place of what was booked for later; the row in force. Every gateway asks
-- again before its next call.
CREATE FUNCTION ledger.plan_assign(p_id uuid, p_organisation uuid, p_book text, p_starts timestamptz) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment timestamptz;
    starts timestamptz;
    old ledger.organisation_plan;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger plan ' || p_organisation, 0));
    moment := ruxa.now();
    starts := coalesce(p_starts, moment);
    IF starts_with(p_book, 'own:') OR NOT EXISTS (SELECT FROM ledger.book WHERE name = p_book) THEN
        RAISE EXCEPTION 'no such book' USING ERRCODE = 'RX042';
    ELSIF starts < moment THEN
        RAISE EXCEPTION 'the period is taken or past' USING ERRCODE = 'RX041';
    END IF;
    SELECT * INTO old FROM ledger.organisation_plan WHERE organisation_ref = p_organisation AND effective @> starts;
    IF FOUND AND old.book = p_book AND upper_inf(old.effective) THEN
        RETURN old.id;
    END IF;
    DELETE FROM ledger.organisation_plan
        WHERE organisation_ref = p_organisation AND lower(effective) >= starts AND lower(effective) > moment;
    IF old.id IS NOT NULL AND old.book = p_book THEN
        UPDATE ledger.organisation_plan SET effective = tstzrange(lower(effective), NULL) WHERE id = old.id;
    ELSE
        UPDATE ledger.organisation_plan SET effective = tstzrange(lower(effective), starts) WHERE id = old.id;
        INSERT INTO ledger.organisation_plan (id, organisation_ref, book, effective)
            VALUES (p_id, p_organisation, p_book, tstzrange(starts, NULL));
    END IF;
    PERFORM ledger.own_book(p_book);
    PERFORM access.tell_organisation(p_organisation);
    RETURN coalesce((SELECT o.id FROM ledger.organisation_plan AS o
        WHERE o.organisation_ref = p_organisation AND o.effective @> starts), p_id);
END $$;

-- Calls that cost the platform something and nobody anything, of days whose rows are gone: what of them the report of
-- margins needs, for all organisations together and at the list's price, so that nothing says whose they were.

CREATE TABLE ledger.free_month (
    month                 date NOT NULL CHECK (extract(day FROM month) = 1),
    price_id              uuid NOT NULL REFERENCES ledger.price (id),
    scope                 text NOT NULL CHECK (scope IN ('sandbox', 'live')),
    long                  boolean NOT NULL,
    calls                 bigint NOT NULL CHECK (calls > 0),
    input_tokens          bigint NOT NULL,
    cache_read_tokens     bigint NOT NULL,
    cache_write_5m_tokens bigint NOT NULL,
    cache_write_1h_tokens bigint NOT NULL,
    output_tokens         bigint NOT NULL,
    reasoning_tokens      bigint NOT NULL,
    audio_input_tokens    bigint NOT NULL,
    audio_output_tokens   bigint NOT NULL,
    images                bigint NOT NULL,
    PRIMARY KEY (month, price_id, scope, long)
);
COMMENT ON TABLE ledger.free_month IS
    'Sums of calls that nobody was charged for, of days whose rows are gone: by the month and the list''s price, of everybody.';

COMMENT ON COLUMN ledger.free_month.month IS 'data: none';
COMMENT ON COLUMN ledger.free_month.price_id IS 'data: none';
COMMENT ON COLUMN ledger.free_month.scope IS 'data: none';
COMMENT ON COLUMN ledger.free_month.long IS 'data: none';
COMMENT ON COLUMN ledger.free_month.calls IS 'data: none';
COMMENT ON COLUMN ledger.free_month.input_tokens IS 'data: none';
COMMENT ON COLUMN ledger.free_month.cache_read_tokens IS 'data: none';
COMMENT ON COLUMN ledger.free_month.cache_write_5m_tokens IS 'data: none';
COMMENT ON COLUMN ledger.free_month.cache_write_1h_tokens IS 'data: none';
COMMENT ON COLUMN ledger.free_month.output_tokens IS 'data: none';
COMMENT ON COLUMN ledger.free_month.reasoning_tokens IS 'data: none';
COMMENT ON COLUMN ledger.free_month.audio_input_tokens IS 'data: none';
COMMENT ON COLUMN ledger.free_month.audio_output_tokens IS 'data: none';
COMMENT ON COLUMN ledger.free_month.images IS 'data: none';

CREATE FUNCTION ledger.free_keep(p_low uuid, p_high uuid, p_organisation uuid) RETURNS void
    LANGUAGE sql
AS $$
    INSERT INTO ledger.free_month AS f
        SELECT date_trunc('month', ruxa.id_time(p_low) AT TIME ZONE 'UTC')::date, u.list_id, u.scope, u.long, count(*),
            sum(u.input_tokens), sum(u.cache_read_tokens), sum(u.cache_write_5m_tokens), sum(u.cache_write_1h_tokens),
            sum(u.output_tokens), sum(u.reasoning_tokens), sum(u.audio_input_tokens), sum(u.audio_output_tokens),
            sum(u.images)
        FROM (
            SELECT c.*, l.id AS list_id, coalesce(c.input_tokens::bigint + c.cache_read_tokens + c.cache_write_5m_tokens
                + c.cache_write_1h_tokens + c.audio_input_tokens > l.long_from_tokens, false) AS long
            FROM ledger.usage_event AS c JOIN ledger.price AS p ON p.id = c.price_id
                JOIN ledger.price AS l ON l.id = coalesce(p.list_id, p.id)
            WHERE c.id >= p_low AND c.id < p_high AND c.amount_micros = 0 AND c.waived_micros = 0
                AND c.usage_source NOT IN ('none', 'cached') AND NOT starts_with(p.book, 'own:')
                AND (p_organisation IS NULL OR c.organisation_ref = p_organisation)
        ) AS u
        GROUP BY u.list_id, u.scope, u.long
        ON CONFLICT (month, price_id, scope, long) DO UPDATE SET
            calls = f.calls + excluded.calls, input_tokens = f.input_tokens + excluded.input_tokens,
            cache_read_tokens = f.cache_read_tokens + excluded.cache_read_tokens,
            cache_write_5m_tokens = f.cache_write_5m_tokens + excluded.cache_write_5m_tokens,
            cache_write_1h_tokens = f.cache_write_1h_tokens + excluded.cache_write_1h_tokens,
            output_tokens = f.output_tokens + excluded.output_tokens,
            reasoning_tokens = f.reasoning_tokens + excluded.reasoning_tokens,
            audio_input_tokens = f.audio_input_tokens + excluded.audio_input_tokens,
            audio_output_tokens = f.audio_output_tokens + excluded.audio_output_tokens,
            images = f.images + excluded.images
$$;

-- What charges brought in and what the list says that they cost, by organisation, month, book and model: from the usage
-- rows there are and the evidence of those that are gone; calls that nobody was charged for are everybody's (null) once
-- their rows are gone. Of calls on own provider keys the platform pays nothing. Costs
-- are exact, rounded half up once a line.
CREATE FUNCTION ledger.margins(p_from date, p_until date, p_organisation uuid)
    RETURNS TABLE (organisation_ref uuid, month date, book text, model text, scope text, calls bigint,
        amount_micros bigint, waived_micros bigint, cost_micros bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH sums AS (
        SELECT u.organisation_ref, date_trunc('month', ruxa.id_time(u.id) AT TIME ZONE 'UTC')::date AS month, u.price_id,
            u.scope, 'lease' AS kind,
            coalesce(u.input_tokens::bigint + u.cache_read_tokens + u.cache_write_5m_tokens + u.cache_write_1h_tokens
                + u.audio_input_tokens > p.long_from_tokens, false) AS long,
            count(*) AS calls, sum(u.input_tokens)::bigint AS input, sum(u.cache_read_tokens)::bigint AS read,
            sum(u.cache_write_5m_tokens)::bigint AS write_5m, sum(u.cache_write_1h_tokens)::bigint AS write_1h,
            sum(u.output_tokens)::bigint AS output, sum(u.reasoning_tokens)::bigint AS reasoning,
            sum(u.audio_input_tokens)::bigint AS heard, sum(u.audio_output_tokens)::bigint AS spoken,
            sum(u.images)::bigint AS images, sum(u.amount_micros)::bigint AS amount, sum(u.waived_micros)::bigint AS waived
        FROM ledger.usage_event AS u JOIN ledger.price AS p ON p.id = u.price_id
        WHERE u.id >= ruxa.id_floor(p_from::timestamp AT TIME ZONE 'UTC')
            AND u.id < ruxa.id_floor(p_until::timestamp AT TIME ZONE 'UTC')
            AND (p_organisation IS NULL OR u.organisation_ref = p_organisation)
            AND u.usage_source NOT IN ('none', 'cached')
        GROUP BY 1, 2, 3, 4, 6
        UNION ALL
        SELECT e.organisation_ref, e.month, e.price_id, e.scope, e.kind, e.long, e.calls, e.input_tokens,
            e.cache_read_tokens, e.cache_write_5m_tokens, e.cache_write_1h_tokens, e.output_tokens, e.reasoning_tokens,
            e.audio_input_tokens, e.audio_output_tokens, e.images, e.amount_micros, e.waived_micros
        FROM ledger.billing_evidence AS e
        WHERE e.month >= p_from AND e.month < p_until
            AND (p_organisation IS NULL OR e.organisation_ref = p_organisation)
        UNION ALL
        SELECT NULL, f.month, f.price_id, f.scope, 'lease', f.long, f.calls, f.input_tokens, f.cache_read_tokens,
            f.cache_write_5m_tokens, f.cache_write_1h_tokens, f.output_tokens, f.reasoning_tokens, f.audio_input_tokens,
            f.audio_output_tokens, f.images, 0, 0
        FROM ledger.free_month AS f
        WHERE f.month >= p_from AND f.month < p_until AND p_organisation IS NULL
    )
    SELECT s.organisation_ref, s.month, p.book, p.model, s.scope, sum(s.calls)::bigint, sum(s.amount)::bigint,
        sum(s.waived)::bigint,
        CASE WHEN starts_with(p.book, 'own:') THEN 0 ELSE round(sum(ledger.cost_of(ROW(s.organisation_ref, s.month,
            s.price_id, s.scope, s.kind, s.long, s.calls, s.input, s.read, s.write_5m, s.write_1h, s.output, s.reasoning,
            s.heard, s.spoken, s.images, s.amount, s.waived, NULL)::ledger.billing_evidence, l)))::bigint END
    FROM sums AS s
    JOIN ledger.price AS p ON p.id = s.price_id
    JOIN ledger.price AS l ON l.id = coalesce(p.list_id, p.id)
    GROUP BY s.organisation_ref, s.month, p.book, p.model, s.scope
    ORDER BY s.month DESC, s.organisation_ref, p.book, p.model, s.scope
$$;

REVOKE ALL ON FUNCTION ledger.margin_of(text, text, text, timestamptz), ledger.scaled(bigint, bigint),
    ledger.book_make(text, text, timestamptz), ledger.books_make(text, timestamptz),
    ledger.price_retire(text, timestamptz), ledger.margin_made(text, text, timestamptz),
    ledger.margin_end(text, text, text, timestamptz),
    ledger.margin_put(uuid, text, text, text, bigint, timestamptz), ledger.own_book(text),
    ledger.book_create(text, boolean), ledger.plan_of(uuid),
    ledger.plan_assign(uuid, uuid, text, timestamptz), ledger.margins(date, date, uuid), ledger.period_guard(),
    ledger.free_keep(uuid, uuid, uuid)
    FROM PUBLIC;
GRANT SELECT ON ledger.margin TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT SELECT ON ledger.organisation_plan TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT EXECUTE ON FUNCTION ledger.plan_of(uuid) TO ruxa_gateway, ruxa_console, ruxa_operator;
GRANT EXECUTE ON FUNCTION ledger.own_book(text), ledger.margins(date, date, uuid) TO ruxa_console, ruxa_operator;
GRANT EXECUTE ON FUNCTION ledger.price_retire(text, timestamptz), ledger.margin_end(text, text, text, timestamptz),
    ledger.margin_put(uuid, text, text, text, bigint, timestamptz), ledger.book_create(text, boolean),
    ledger.plan_assign(uuid, uuid, text, timestamptz) TO ruxa_operator, ruxa_console;
