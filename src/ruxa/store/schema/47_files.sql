-- Files that callers upload, and batches of calls over them. As content.item: a row belongs to the day on which it ends
-- (`until`), and its partition, its objects (content/<until>/…) and the day key that sealed it are that day's. A caller
-- may choose an earlier end (`expires_at`): from then on a file is not found, and a job deletes it.
--
-- The gateway reads none of these tables: it calls the functions below, each for one organisation.

CREATE TABLE content.file (
    id               uuid NOT NULL,
    until            date NOT NULL,
    organisation_id  uuid NOT NULL,
    key_id           uuid NOT NULL,
    livemode         boolean NOT NULL,
    purpose          text NOT NULL CHECK (purpose IN ('batch', 'batch_output', 'user_data', 'vision', 'upload')),
    media_type       text NOT NULL CHECK (length(media_type) <= 100),
    size_bytes       bigint NOT NULL CHECK (size_bytes >= 0),
    name_sealed      bytea NOT NULL,
    body_sealed      bytea,
    body_object      text CHECK (length(body_object) <= 100),
    expires_at       timestamptz NOT NULL,
    PRIMARY KEY (id, until),
    CONSTRAINT file_body CHECK (num_nonnulls(body_sealed, body_object) = 1),
    CONSTRAINT file_limit CHECK (until - (ruxa.id_time(id) AT TIME ZONE 'UTC')::date BETWEEN 1 AND 23),
    CONSTRAINT file_end CHECK (expires_at <= until::timestamp AT TIME ZONE 'UTC')
) PARTITION BY RANGE (until);
ALTER TABLE content.file ALTER COLUMN name_sealed SET STATISTICS 0;
ALTER TABLE content.file ALTER COLUMN body_sealed SET STATISTICS 0;
ALTER TABLE content.file ALTER COLUMN body_sealed SET STORAGE EXTERNAL;
CREATE INDEX file_of_organisation ON content.file (organisation_id, id);
CREATE INDEX file_over ON content.file (expires_at);
COMMENT ON TABLE content.file IS 'A file that a key uploaded or a batch wrote, sealed by organisation and last day.';
COMMENT ON COLUMN content.file.id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=provide basis=contract keep=content
     seal=none erase=delete export=yes';
COMMENT ON COLUMN content.file.until IS 'data: none';
COMMENT ON COLUMN content.file.organisation_id IS 'data: none';
COMMENT ON COLUMN content.file.key_id IS 'data: none';
COMMENT ON COLUMN content.file.livemode IS 'data: none';
COMMENT ON COLUMN content.file.purpose IS 'data: none';
COMMENT ON COLUMN content.file.media_type IS 'data: none';
COMMENT ON COLUMN content.file.size_bytes IS
    'data: category=user.telemetry subject=organisation purpose=provide basis=contract keep=content
     seal=none erase=delete export=yes';
COMMENT ON COLUMN content.file.name_sealed IS
    'data: category=user.content subject=organisation purpose=provide,legal basis=contract,legal_obligation
     keep=content seal=dual erase=shred export=yes';
COMMENT ON COLUMN content.file.body_sealed IS
    'data: category=user.content subject=organisation purpose=provide,legal basis=contract,legal_obligation
     keep=content seal=dual erase=shred export=yes';
COMMENT ON COLUMN content.file.body_object IS 'data: none';
COMMENT ON COLUMN content.file.expires_at IS 'data: none';

CREATE TABLE content.batch (
    id               uuid NOT NULL,
    until            date NOT NULL,
    organisation_id  uuid NOT NULL,
    key_id           uuid NOT NULL,
    livemode         boolean NOT NULL,
    endpoint         text NOT NULL CHECK (length(endpoint) <= 40),
    input_file_id    uuid NOT NULL,
    output_file_id   uuid,
    error_file_id    uuid,
    output_life_s    integer CHECK (output_life_s > 0),
    metadata_sealed  bytea,
    state            text NOT NULL CHECK (state IN
        ('validating', 'failed', 'in_progress', 'finalizing', 'completed', 'expired', 'cancelling', 'cancelled')),
    fault_code       text CHECK (length(fault_code) <= 40),
    fault_line       integer,
    total            integer NOT NULL DEFAULT 0 CHECK (total >= 0),
    completed        integer NOT NULL DEFAULT 0 CHECK (completed >= 0),
    failed           integer NOT NULL DEFAULT 0 CHECK (failed >= 0),
    begun_at         timestamptz,
    finalizing_at    timestamptz,
    cancelling_at    timestamptz,
    ended_at         timestamptz,
    expires_at       timestamptz NOT NULL,
    runner           text CHECK (length(runner) <= 120),
    runner_until     timestamptz,
    PRIMARY KEY (id, until),
    CONSTRAINT batch_limit CHECK (until - (ruxa.id_time(id) AT TIME ZONE 'UTC')::date BETWEEN 1 AND 23)
) PARTITION BY RANGE (until);
ALTER TABLE content.batch ALTER COLUMN metadata_sealed SET STATISTICS 0;
CREATE INDEX batch_of_organisation ON content.batch (organisation_id, id);
CREATE INDEX batch_open ON content.batch (id) WHERE state IN ('validating', 'in_progress', 'finalizing', 'cancelling');
COMMENT ON TABLE content.batch IS 'Calls that a key wants made in its own time: a file of them in, files of answers out.';
COMMENT ON COLUMN content.batch.id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=provide basis=contract keep=content
     seal=none erase=delete export=yes';
COMMENT ON COLUMN content.batch.until IS 'data: none';
COMMENT ON COLUMN content.batch.organisation_id IS 'data: none';
COMMENT ON COLUMN content.batch.key_id IS 'data: none';
COMMENT ON COLUMN content.batch.livemode IS 'data: none';
COMMENT ON COLUMN content.batch.endpoint IS 'data: none';
COMMENT ON COLUMN content.batch.input_file_id IS 'data: none';
COMMENT ON COLUMN content.batch.output_file_id IS 'data: none';
COMMENT ON COLUMN content.batch.error_file_id IS 'data: none';
COMMENT ON COLUMN content.batch.output_life_s IS 'data: none';
COMMENT ON COLUMN content.batch.metadata_sealed IS
    'data: category=user.content subject=organisation purpose=provide,legal basis=contract,legal_obligation
     keep=content seal=dual erase=shred export=yes';
COMMENT ON COLUMN content.batch.state IS 'data: none';
COMMENT ON COLUMN content.batch.fault_code IS 'data: none';
COMMENT ON COLUMN content.batch.fault_line IS 'data: none';
COMMENT ON COLUMN content.batch.total IS
    'data: category=user.telemetry subject=organisation purpose=provide basis=contract keep=content
     seal=none erase=delete export=yes';
COMMENT ON COLUMN content.batch.completed IS
    'data: category=user.telemetry subject=organisation purpose=provide basis=contract keep=content
     seal=none erase=delete export=yes';
COMMENT ON COLUMN content.batch.failed IS
    'data: category=user.telemetry subject=organisation purpose=provide basis=contract keep=content
     seal=none erase=delete export=yes';
COMMENT ON COLUMN content.batch.begun_at IS 'data: none';
COMMENT ON COLUMN content.batch.finalizing_at IS 'data: none';
COMMENT ON COLUMN content.batch.cancelling_at IS 'data: none';
COMMENT ON COLUMN content.batch.ended_at IS 'data: none';
COMMENT ON COLUMN content.batch.expires_at IS 'data: none';
COMMENT ON COLUMN content.batch.runner IS 'data: none';
COMMENT ON COLUMN content.batch.runner_until IS 'data: none';

-- One call of a batch, from before it is made until the batch's files are written. Its id is the call's. paid: an earlier
-- call of the line was booked and its answer lost with its worker, so that no further one is charged.
CREATE TABLE content.batch_line (
    id               uuid NOT NULL,
    until            date NOT NULL,
    batch_id         uuid NOT NULL,
    organisation_id  uuid NOT NULL,
    number           integer NOT NULL CHECK (number >= 1),
    paid             boolean NOT NULL DEFAULT false,
    failed           boolean,
    outcome_sealed   bytea,
    PRIMARY KEY (id, until),
    CONSTRAINT batch_line_number UNIQUE (batch_id, number, until),
    CONSTRAINT batch_line_outcome CHECK ((failed IS NULL) = (outcome_sealed IS NULL))
) PARTITION BY RANGE (until);
ALTER TABLE content.batch_line ALTER COLUMN outcome_sealed SET STATISTICS 0;
ALTER TABLE content.batch_line ALTER COLUMN outcome_sealed SET STORAGE EXTERNAL;
CREATE INDEX batch_line_of_organisation ON content.batch_line (organisation_id);
COMMENT ON TABLE content.batch_line IS 'A call of a batch that runs, and its answer until the batch has written its files.';
COMMENT ON COLUMN content.batch_line.id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=provide basis=contract keep=content
     seal=none erase=delete export=yes';
COMMENT ON COLUMN content.batch_line.until IS 'data: none';
COMMENT ON COLUMN content.batch_line.batch_id IS 'data: none';
COMMENT ON COLUMN content.batch_line.organisation_id IS 'data: none';
COMMENT ON COLUMN content.batch_line.number IS 'data: none';
COMMENT ON COLUMN content.batch_line.paid IS 'data: none';
COMMENT ON COLUMN content.batch_line.failed IS 'data: none';
COMMENT ON COLUMN content.batch_line.outcome_sealed IS
    'data: category=user.content subject=organisation purpose=provide,legal basis=contract,legal_obligation
     keep=content seal=dual erase=shred export=yes';

-- Whether a hold forbids now to delete anything of the organisation, or of the member.
CREATE FUNCTION content.held(p_subject uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM privacy.hold AS h
        WHERE h.subject_id = p_subject AND h.ended_at IS NULL AND h.ends_at > ruxa.now()
            AND (h.approved_at IS NOT NULL OR h.placed_at > ruxa.now() - interval '3 days'));
END $$;

CREATE FUNCTION content.file_find(p_organisation uuid, p_livemode boolean, p_id uuid) RETURNS SETOF content.file
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT f.* FROM content.file AS f
    WHERE f.id = p_id AND f.organisation_id = p_organisation AND f.livemode = p_livemode
        AND f.until > ruxa.today() AND f.expires_at > ruxa.now()
$$;

-- Newest first unless p_oldest; from after an id. The bytes of small files are left out, and what is under way ('upload').
CREATE FUNCTION content.file_list(
    p_organisation uuid, p_livemode boolean, p_purpose text, p_after uuid, p_oldest boolean, p_limit integer
) RETURNS TABLE (
    id uuid, until date, purpose text, size_bytes bigint, name_sealed bytea, expires_at timestamptz, media_type text
)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT f.id, f.until, f.purpose, f.size_bytes, f.name_sealed, f.expires_at, f.media_type FROM content.file AS f
    WHERE f.organisation_id = p_organisation AND f.livemode = p_livemode
        AND f.until > ruxa.today() AND f.expires_at > ruxa.now()
        AND f.purpose <> 'upload' AND (p_purpose IS NULL OR f.purpose = p_purpose)
        AND (p_after IS NULL OR CASE WHEN p_oldest THEN f.id > p_after ELSE f.id < p_after END)
    ORDER BY CASE WHEN p_oldest THEN f.id END, CASE WHEN NOT p_oldest THEN f.id END DESC
    LIMIT p_limit
$$;

CREATE FUNCTION content.file_count(p_organisation uuid) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*) FROM content.file AS f WHERE f.organisation_id = p_organisation
$$;

-- Deletes one: its object's name, '' when its bytes lay in the row; null when there is none. RX470: a hold forbids it.
CREATE FUNCTION content.file_delete(p_organisation uuid, p_livemode boolean, p_id uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone text;
BEGIN
    IF content.held(p_organisation) THEN
        RAISE EXCEPTION 'held' USING ERRCODE = 'RX470';
    END IF;
    DELETE FROM content.file AS f WHERE f.id = p_id AND f.organisation_id = p_organisation AND f.livemode = p_livemode
        AND f.expires_at > ruxa.now() RETURNING coalesce(f.body_object, '') INTO gone;
    RETURN gone;
END $$;

CREATE FUNCTION content.batch_find(p_organisation uuid, p_livemode boolean, p_id uuid) RETURNS SETOF content.batch
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.* FROM content.batch AS b
    WHERE b.id = p_id AND b.organisation_id = p_organisation AND b.livemode = p_livemode AND b.until > ruxa.today()
$$;

CREATE FUNCTION content.batch_list(p_organisation uuid, p_livemode boolean, p_after uuid, p_limit integer)
    RETURNS SETOF content.batch
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.* FROM content.batch AS b
    WHERE b.organisation_id = p_organisation AND b.livemode = p_livemode AND b.until > ruxa.today()
        AND (p_after IS NULL OR b.id < p_after)
    ORDER BY b.id DESC LIMIT p_limit
$$;

CREATE FUNCTION content.batches_open(p_organisation uuid) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*) FROM content.batch AS b WHERE b.organisation_id = p_organisation
        AND b.state IN ('validating', 'in_progress', 'finalizing', 'cancelling')
$$;

-- The caller wants no more of it; null when there is no such batch. One that has ended stays as it is.
CREATE FUNCTION content.batch_cancel(p_organisation uuid, p_livemode boolean, p_id uuid) RETURNS SETOF content.batch
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE content.batch AS b SET state = 'cancelling', cancelling_at = ruxa.now()
        WHERE b.id = p_id AND b.organisation_id = p_organisation AND b.livemode = p_livemode
            AND b.state IN ('validating', 'in_progress');
    RETURN QUERY SELECT b.* FROM content.batch_find(p_organisation, p_livemode, p_id) AS b;
END $$;

-- Forgets a batch that has ended; whether there was one.
CREATE FUNCTION content.batch_delete(p_organisation uuid, p_livemode boolean, p_id uuid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF content.held(p_organisation) THEN
        RAISE EXCEPTION 'held' USING ERRCODE = 'RX470';
    END IF;
    DELETE FROM content.batch AS b WHERE b.id = p_id AND b.organisation_id = p_organisation AND b.livemode = p_livemode
        AND b.ended_at IS NOT NULL;
    RETURN FOUND;
END $$;

-- The oldest batch that nobody runs, for p_runner (worker:run) to run p_seconds long unless renewed. What an earlier run
-- of the same worker held is free at once: two never live at the same time, and its journal has been read. What another
-- worker held is free once its run has ended, journal and all, so that it is known what was booked; or after 15 minutes.
CREATE FUNCTION content.batch_claim(p_runner text, p_seconds integer) RETURNS SETOF content.batch
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE content.batch AS b SET runner = p_runner, runner_until = ruxa.now() + make_interval(secs => p_seconds)
    FROM (
        SELECT o.id, o.until FROM content.batch AS o
        WHERE o.state IN ('validating', 'in_progress', 'finalizing', 'cancelling') AND o.until > ruxa.today()
            AND (o.runner_until IS NULL
                OR o.runner <> p_runner
                    AND regexp_replace(o.runner, ':[0-9]+$', '') = regexp_replace(p_runner, ':[0-9]+$', '')
                OR o.runner_until < ruxa.now() AND (o.runner = p_runner
                    OR o.runner_until < ruxa.now() - interval '15 minutes'
                    OR NOT EXISTS (SELECT FROM ledger.journal_run AS r
                        WHERE r.worker = regexp_replace(o.runner, ':[0-9]+$', '') AND r.ended_at IS NULL
                            AND r.run = substring(o.runner FROM '[0-9]+$')::bigint)))
        ORDER BY o.id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS one
    WHERE b.id = one.id AND b.until = one.until
    RETURNING b.*
$$;

-- Still at it: its state now; null when somebody else has it.
CREATE FUNCTION content.batch_renew(p_id uuid, p_runner text, p_seconds integer) RETURNS text
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE content.batch AS b SET runner_until = CASE WHEN p_seconds > 0 THEN
        ruxa.now() + make_interval(secs => p_seconds) END
    WHERE b.id = p_id AND b.runner = p_runner
        AND b.state IN ('validating', 'in_progress', 'finalizing', 'cancelling')
    RETURNING b.state
$$;

-- Its lines are in order: how many they are.
CREATE FUNCTION content.batch_begin(p_id uuid, p_runner text, p_total integer) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE content.batch AS b SET total = p_total, begun_at = coalesce(b.begun_at, ruxa.now()),
        state = CASE WHEN b.state = 'validating' THEN 'in_progress' ELSE b.state END
    WHERE b.id = p_id AND b.runner = p_runner AND b.state IN ('validating', 'in_progress', 'cancelling')
$$;

-- The lines that have their answer.
CREATE FUNCTION content.batch_done(p_id uuid, p_until date) RETURNS SETOF integer
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.number FROM content.batch_line AS l
    WHERE l.batch_id = p_id AND l.until = p_until AND l.failed IS NOT NULL
$$;

-- Before a line's call is made: whether the line was paid for already; null when no call is to be made. An earlier call
-- of the line that has no answer failed, or ended with its worker: if it was booked, no further one is charged.
CREATE FUNCTION content.line_begin(p_batch uuid, p_number integer, p_call uuid, p_runner text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one content.batch;
    was_paid boolean;
BEGIN
    SELECT b.* INTO one FROM content.batch AS b
        WHERE b.id = p_batch AND b.runner = p_runner AND b.state = 'in_progress' FOR SHARE;
    IF one.id IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO content.batch_line AS l (id, until, batch_id, organisation_id, number)
        VALUES (p_call, one.until, one.id, one.organisation_id, p_number)
        ON CONFLICT (batch_id, number, until) DO UPDATE SET id = excluded.id, paid = l.paid
            OR EXISTS (SELECT FROM ledger.usage_event AS u WHERE u.id = l.id AND u.amount_micros > 0)
            WHERE l.failed IS NULL
        RETURNING l.paid INTO was_paid;
    RETURN was_paid;
END $$;

-- A line has its answer.
CREATE FUNCTION content.line_end(p_batch uuid, p_until date, p_call uuid, p_failed boolean, p_outcome bytea)
    RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE content.batch_line AS l SET failed = p_failed, outcome_sealed = p_outcome
        WHERE l.id = p_call AND l.until = p_until AND l.batch_id = p_batch AND l.failed IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE content.batch AS b SET completed = b.completed + (NOT p_failed)::integer, failed = b.failed + p_failed::integer
        WHERE b.id = p_batch AND b.until = p_until;
    RETURN true;
END $$;

-- Answers in the order of their lines, from after a line.
CREATE FUNCTION content.batch_outcomes(p_id uuid, p_until date, p_failed boolean, p_after integer, p_limit integer)
    RETURNS TABLE (number integer, id uuid, outcome_sealed bytea)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.number, l.id, l.outcome_sealed FROM content.batch_line AS l
    WHERE l.batch_id = p_id AND l.until = p_until AND l.failed = p_failed AND l.number > p_after
    ORDER BY l.number LIMIT p_limit
$$;

-- No further line is begun; the files are being written.
CREATE FUNCTION content.batch_close(p_id uuid, p_runner text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE content.batch AS b SET finalizing_at = coalesce(b.finalizing_at, ruxa.now()),
        state = CASE WHEN b.state = 'in_progress' THEN 'finalizing' ELSE b.state END
    WHERE b.id = p_id AND b.runner = p_runner AND b.state IN ('in_progress', 'cancelling')
$$;

-- It is over; its lines are in its files. False when somebody else has it.
CREATE FUNCTION content.batch_end(
    p_id uuid, p_runner text, p_state text, p_output uuid, p_error uuid, p_fault_code text, p_fault_line integer
) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one content.batch;
BEGIN
    UPDATE content.batch AS b SET state = p_state, output_file_id = p_output, error_file_id = p_error,
        fault_code = p_fault_code, fault_line = p_fault_line, ended_at = ruxa.now(), runner = NULL, runner_until = NULL
        WHERE b.id = p_id AND b.runner = p_runner
            AND b.state IN ('validating', 'in_progress', 'finalizing', 'cancelling')
            AND p_state IN ('failed', 'completed', 'expired', 'cancelled')
        RETURNING * INTO one;
    IF one.id IS NULL THEN
        RETURN false;
    END IF;
    DELETE FROM content.batch_line AS l WHERE l.batch_id = p_id AND l.until = one.until;
    RETURN true;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA content FROM PUBLIC;
GRANT EXECUTE ON FUNCTION content.held(uuid) TO ruxa_console, ruxa_worker, ruxa_operator;
GRANT INSERT ON content.file, content.batch TO ruxa_gateway;
GRANT EXECUTE ON FUNCTION
    content.file_find(uuid, boolean, uuid), content.file_list(uuid, boolean, text, uuid, boolean, integer),
    content.file_count(uuid), content.file_delete(uuid, boolean, uuid), content.batch_find(uuid, boolean, uuid),
    content.batch_list(uuid, boolean, uuid, integer), content.batches_open(uuid),
    content.batch_cancel(uuid, boolean, uuid), content.batch_delete(uuid, boolean, uuid),
    content.batch_claim(text, integer),
    content.batch_renew(uuid, text, integer), content.batch_begin(uuid, text, integer), content.batch_done(uuid, date),
    content.line_begin(uuid, integer, uuid, text), content.line_end(uuid, date, uuid, boolean, bytea),
    content.batch_outcomes(uuid, date, boolean, integer, integer), content.batch_close(uuid, text),
    content.batch_end(uuid, text, text, uuid, uuid, text, integer)
    TO ruxa_gateway;
GRANT SELECT, DELETE ON content.file, content.batch, content.batch_line TO ruxa_console, ruxa_operator, ruxa_worker;
