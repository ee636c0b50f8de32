-- Answers kept for who asks the same again: of calls that were to be made once (Idempotency-Key, 24 hours), and of calls
-- whose answers may be used again (exact-match cache). As content.item: a row belongs to the day on which it ends
-- (`until`), and its partition and the day key that sealed it are that day's; from `expires_at` on it is not found.
--
-- The gateway reads none of it but through the functions below, each for one key.

CREATE TABLE content.repeat (
    id               uuid NOT NULL,
    until            date NOT NULL,
    organisation_id  uuid NOT NULL,
    key_id           uuid NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('once', 'cache')),
    mark             bytea NOT NULL CHECK (octet_length(mark) = 32),
    body_mark        bytea NOT NULL CHECK (octet_length(body_mark) = 32),
    state            text NOT NULL CHECK (state IN ('running', 'kept', 'told')),
    amount_micros    bigint NOT NULL DEFAULT 0 CHECK (amount_micros >= 0),
    answer_sealed    bytea,
    busy_until       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    PRIMARY KEY (id, until),
    CONSTRAINT repeat_answer CHECK ((state = 'kept') = (answer_sealed IS NOT NULL)),
    CONSTRAINT repeat_limit CHECK (until - (ruxa.id_time(id) AT TIME ZONE 'UTC')::date BETWEEN 1 AND 2)
) PARTITION BY RANGE (until);
ALTER TABLE content.repeat ALTER COLUMN mark SET STATISTICS 0;
ALTER TABLE content.repeat ALTER COLUMN body_mark SET STATISTICS 0;
ALTER TABLE content.repeat ALTER COLUMN answer_sealed SET STATISTICS 0;
ALTER TABLE content.repeat ALTER COLUMN answer_sealed SET STORAGE EXTERNAL;
CREATE INDEX repeat_of_key ON content.repeat (key_id, mark);
CREATE INDEX repeat_of_organisation ON content.repeat (organisation_id);
COMMENT ON TABLE content.repeat IS
    'An answer for who asks the same again, sealed by organisation and last day. id: of the first call''s usage row.';
COMMENT ON COLUMN content.repeat.id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=provide basis=contract keep=content
     seal=none erase=delete export=no:operational';
COMMENT ON COLUMN content.repeat.until IS 'data: none';
COMMENT ON COLUMN content.repeat.organisation_id IS 'data: none';
COMMENT ON COLUMN content.repeat.key_id IS 'data: none';
COMMENT ON COLUMN content.repeat.kind IS 'data: none';
COMMENT ON COLUMN content.repeat.mark IS
    'data: category=user.content subject=organisation purpose=provide basis=contract keep=content
     seal=hash erase=delete export=no:operational';
COMMENT ON COLUMN content.repeat.body_mark IS
    'data: category=user.content subject=organisation purpose=provide basis=contract keep=content
     seal=hash erase=delete export=no:operational';
COMMENT ON COLUMN content.repeat.state IS 'data: none';
COMMENT ON COLUMN content.repeat.amount_micros IS 'data: none';
COMMENT ON COLUMN content.repeat.answer_sealed IS
    'data: category=user.content subject=organisation purpose=provide basis=contract keep=content
     seal=dual erase=shred export=no:operational';
COMMENT ON COLUMN content.repeat.busy_until IS 'data: none';
COMMENT ON COLUMN content.repeat.expires_at IS 'data: none';

-- What is known of a call that was to be made once; a row in the state 'fresh' when it is the first, which is then noted
-- as running. The marks: of its name under every living version of the pepper, newest first; likewise of its body.
CREATE FUNCTION content.repeat_begin(
    p_id uuid, p_organisation uuid, p_key uuid, p_marks bytea[], p_body_marks bytea[], p_life_s integer, p_busy_s integer
) RETURNS TABLE (state text, id uuid, until date, same boolean, amount_micros bigint, answer_sealed bytea, wait_s integer)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_row content.repeat;
    moment timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(p_key::text || encode(p_marks[cardinality(p_marks)], 'hex'), 0));
    moment := ruxa.now();
    DELETE FROM content.repeat AS r WHERE r.key_id = p_key AND r.expires_at <= moment;
    SELECT * INTO found_row FROM content.repeat AS r
        WHERE r.key_id = p_key AND r.kind = 'once' AND r.mark = ANY (p_marks) ORDER BY r.id DESC LIMIT 1;
    IF FOUND THEN
        RETURN QUERY SELECT
            CASE WHEN found_row.state = 'running' AND found_row.busy_until <= moment THEN 'told' ELSE found_row.state END,
            found_row.id, found_row.until, found_row.body_mark = ANY (p_body_marks), found_row.amount_micros,
            found_row.answer_sealed,
            greatest(1, ceil(extract(epoch FROM least(found_row.busy_until - moment, interval '5 seconds'))))::integer;
        RETURN;
    END IF;
    INSERT INTO content.repeat AS r (id, until, organisation_id, key_id, kind, mark, body_mark, state, busy_until, expires_at)
        VALUES (p_id, (ruxa.id_time(p_id) AT TIME ZONE 'UTC')::date + 2, p_organisation, p_key, 'once', p_marks[1],
            p_body_marks[1], 'running', moment + make_interval(secs => p_busy_s), moment + make_interval(secs => p_life_s));
    RETURN QUERY SELECT 'fresh', p_id, NULL::date, true, 0::bigint, NULL::bytea, 0;
END $$;

-- The call is over: its answer is kept, or only that there was one.
CREATE FUNCTION content.repeat_end(p_id uuid, p_key uuid, p_until date, p_amount bigint, p_answer bytea) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE content.repeat SET state = CASE WHEN p_answer IS NULL THEN 'told' ELSE 'kept' END, amount_micros = p_amount,
        answer_sealed = p_answer
    WHERE id = p_id AND until = p_until AND key_id = p_key AND state = 'running'
$$;

-- The call came to nothing: it may be made again.
CREATE FUNCTION content.repeat_drop(p_id uuid, p_key uuid, p_until date) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM content.repeat WHERE id = p_id AND until = p_until AND key_id = p_key AND state = 'running'
$$;

-- The newest answer to the same call of the same key that may be used again and is not older than `p_age_s`.
CREATE FUNCTION content.cached(p_key uuid, p_marks bytea[], p_age_s integer)
    RETURNS TABLE (id uuid, until date, answer_sealed bytea)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.id, r.until, r.answer_sealed FROM content.repeat AS r
    WHERE r.key_id = p_key AND r.kind = 'cache' AND r.mark = ANY (p_marks) AND r.expires_at > ruxa.now()
      AND ruxa.id_time(r.id) > ruxa.now() - make_interval(secs => p_age_s)
    ORDER BY r.id DESC LIMIT 1
$$;

CREATE FUNCTION content.cache(
    p_id uuid, p_until date, p_organisation uuid, p_key uuid, p_mark bytea, p_life_s integer, p_answer bytea
) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO content.repeat (id, until, organisation_id, key_id, kind, mark, body_mark, state, answer_sealed, busy_until,
            expires_at)
        VALUES (p_id, p_until, p_organisation, p_key, 'cache', p_mark, p_mark, 'kept', p_answer, ruxa.now(),
            ruxa.now() + make_interval(secs => p_life_s))
        ON CONFLICT DO NOTHING
$$;

REVOKE ALL ON FUNCTION content.repeat_begin(uuid, uuid, uuid, bytea[], bytea[], integer, integer),
    content.repeat_end(uuid, uuid, date, bigint, bytea), content.repeat_drop(uuid, uuid, date),
    content.cached(uuid, bytea[], integer), content.cache(uuid, date, uuid, uuid, bytea, integer, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION content.repeat_begin(uuid, uuid, uuid, bytea[], bytea[], integer, integer),
    content.repeat_end(uuid, uuid, date, bigint, bytea), content.repeat_drop(uuid, uuid, date),
    content.cached(uuid, bytea[], integer), content.cache(uuid, date, uuid, uuid, bytea, integer, bytea) TO ruxa_gateway;
GRANT SELECT, DELETE ON content.repeat TO ruxa_console, ruxa_operator, ruxa_worker;
