-- Responses kept so that their caller can go on from them (`previous_response_id`) and ask for them again. As content.item:
-- a row belongs to the day on which it ends (`until`), and its partition, its objects (content/<until>/…) and the day key
-- that sealed it are that day's. It is found by a keyed hash of the response's id alone, by the key that made it.
--
-- The gateway reads none of it but through the functions below, each for one key.

CREATE TABLE content.response (
    id               uuid NOT NULL,
    until            date NOT NULL,
    organisation_id  uuid NOT NULL,
    key_id           uuid NOT NULL,
    mark             bytea NOT NULL CHECK (octet_length(mark) = 32),
    size_bytes       integer NOT NULL CHECK (size_bytes >= 0),
    state_sealed     bytea,
    state_object     text CHECK (length(state_object) <= 100),
    PRIMARY KEY (id, until),
    CONSTRAINT response_state CHECK (num_nonnulls(state_sealed, state_object) = 1),
    CONSTRAINT response_limit CHECK (until - (ruxa.id_time(id) AT TIME ZONE 'UTC')::date BETWEEN 1 AND 23)
) PARTITION BY RANGE (until);
ALTER TABLE content.response ALTER COLUMN mark SET STATISTICS 0;
ALTER TABLE content.response ALTER COLUMN state_sealed SET STATISTICS 0;
ALTER TABLE content.response ALTER COLUMN state_sealed SET STORAGE EXTERNAL;
CREATE INDEX response_of_key ON content.response (key_id, mark);
CREATE INDEX response_of_organisation ON content.response (organisation_id, id);
COMMENT ON TABLE content.response IS
    'A response and what it was asked, kept to go on from, sealed by organisation and last day. id: of the usage row.';
COMMENT ON COLUMN content.response.id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=provide basis=contract keep=content
     seal=none erase=delete export=yes';
COMMENT ON COLUMN content.response.until IS 'data: none';
COMMENT ON COLUMN content.response.organisation_id IS 'data: none';
COMMENT ON COLUMN content.response.key_id IS 'data: none';
COMMENT ON COLUMN content.response.mark IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=provide basis=contract keep=content
     seal=hash erase=delete export=no:operational';
COMMENT ON COLUMN content.response.size_bytes IS
    'data: category=user.telemetry subject=organisation purpose=provide basis=contract keep=content
     seal=none erase=delete export=yes';
COMMENT ON COLUMN content.response.state_sealed IS
    'data: category=user.content subject=organisation purpose=provide,legal basis=contract,legal_obligation
     keep=content seal=dual erase=shred export=yes';
COMMENT ON COLUMN content.response.state_object IS 'data: none';

-- The newest living response with that mark (of its id, under every living version of the pepper).
CREATE FUNCTION content.response_find(p_key uuid, p_marks bytea[])
    RETURNS TABLE (id uuid, until date, state_sealed bytea, state_object text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.id, r.until, r.state_sealed, r.state_object FROM content.response AS r
    WHERE r.key_id = p_key AND r.mark = ANY (p_marks) AND r.until > ruxa.today()
    ORDER BY r.id DESC LIMIT 1
$$;

-- Deletes all of that mark: their objects' names, '' when the bytes lay in the row. RX470: a hold forbids it.
CREATE FUNCTION content.response_delete(p_organisation uuid, p_key uuid, p_marks bytea[]) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF content.held(p_organisation) THEN
        RAISE EXCEPTION 'held' USING ERRCODE = 'RX470';
    END IF;
    RETURN QUERY DELETE FROM content.response AS r
        WHERE r.key_id = p_key AND r.organisation_id = p_organisation AND r.mark = ANY (p_marks)
        RETURNING coalesce(r.state_object, '');
END $$;

REVOKE ALL ON FUNCTION content.response_find(uuid, bytea[]), content.response_delete(uuid, uuid, bytea[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION content.response_find(uuid, bytea[]), content.response_delete(uuid, uuid, bytea[])
    TO ruxa_gateway;
GRANT INSERT ON content.response TO ruxa_gateway;
GRANT SELECT, DELETE ON content.response TO ruxa_console, ruxa_operator, ruxa_worker;
