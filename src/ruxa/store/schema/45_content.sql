-- Content of calls: what a caller sent and got, kept only for keys that ask for it (store_days), at most 23 days (D30).
--
-- A row belongs to the day on which it ends (`until`), whatever its key's number of days: its partition, its objects
-- (content/<until>/…) and the day key that sealed it are that day's. So one key destroyed ends all that was due, and
-- an item that was to live 1 day never waits for one that was to live 23.

CREATE SCHEMA content;
REVOKE ALL ON SCHEMA content FROM PUBLIC;
GRANT USAGE ON SCHEMA content TO ruxa_gateway, ruxa_console, ruxa_worker, ruxa_operator;

CREATE TABLE content.item (
    id               uuid NOT NULL,
    until            date NOT NULL,
    organisation_id  uuid NOT NULL,
    key_id           uuid NOT NULL,
    request_state    text NOT NULL CHECK (request_state IN ('stored', 'too_large', 'none', 'lost')),
    request_type     text CHECK (length(request_type) <= 100),
    request_bytes    integer NOT NULL CHECK (request_bytes >= 0),
    request_sealed   bytea,
    request_object   text CHECK (length(request_object) <= 100),
    answer_state     text NOT NULL CHECK (answer_state IN ('stored', 'too_large', 'none', 'lost')),
    answer_type      text CHECK (length(answer_type) <= 100),
    answer_bytes     integer NOT NULL CHECK (answer_bytes >= 0),
    answer_sealed    bytea,
    answer_object    text CHECK (length(answer_object) <= 100),
    refusal_sealed   bytea,
    PRIMARY KEY (id, until),
    CONSTRAINT item_request CHECK ((request_state = 'stored') = (num_nonnulls(request_sealed, request_object) = 1)),
    CONSTRAINT item_answer CHECK ((answer_state = 'stored') = (num_nonnulls(answer_sealed, answer_object) = 1)),
    -- The limit itself, counted from the oldest moment of the call's day.
    CONSTRAINT item_limit CHECK (until - (ruxa.id_time(id) AT TIME ZONE 'UTC')::date BETWEEN 1 AND 23)
) PARTITION BY RANGE (until);
ALTER TABLE content.item ALTER COLUMN request_sealed SET STATISTICS 0;
ALTER TABLE content.item ALTER COLUMN answer_sealed SET STATISTICS 0;
ALTER TABLE content.item ALTER COLUMN refusal_sealed SET STATISTICS 0;
-- Sealed bytes do not get smaller: no time is spent on trying.
ALTER TABLE content.item ALTER COLUMN request_sealed SET STORAGE EXTERNAL;
ALTER TABLE content.item ALTER COLUMN answer_sealed SET STORAGE EXTERNAL;
ALTER TABLE content.item ALTER COLUMN refusal_sealed SET STORAGE EXTERNAL;
CREATE INDEX item_of_key ON content.item (key_id, id);
CREATE INDEX item_of_organisation ON content.item (organisation_id, id);
COMMENT ON TABLE content.item IS
    'What one call sent and got, sealed by organisation and last day; dropped by the day. id: of the usage row.';
COMMENT ON COLUMN content.item.id IS
    'data: category=user.unique_id.pseudonymous subject=organisation purpose=provide basis=contract keep=content
     seal=none erase=delete export=yes';
COMMENT ON COLUMN content.item.until IS 'data: none';
COMMENT ON COLUMN content.item.organisation_id IS 'data: none';
COMMENT ON COLUMN content.item.key_id IS 'data: none';
COMMENT ON COLUMN content.item.request_state IS 'data: none';
COMMENT ON COLUMN content.item.request_type IS 'data: none';
COMMENT ON COLUMN content.item.request_bytes IS
    'data: category=user.telemetry subject=organisation purpose=provide basis=contract keep=content
     seal=none erase=delete export=yes';
COMMENT ON COLUMN content.item.request_sealed IS
    'data: category=user.content subject=organisation purpose=provide,legal basis=contract,legal_obligation
     keep=content seal=dual erase=shred export=yes';
COMMENT ON COLUMN content.item.request_object IS 'data: none';
COMMENT ON COLUMN content.item.answer_state IS 'data: none';
COMMENT ON COLUMN content.item.answer_type IS 'data: none';
COMMENT ON COLUMN content.item.answer_bytes IS
    'data: category=user.telemetry subject=organisation purpose=provide basis=contract keep=content
     seal=none erase=delete export=yes';
COMMENT ON COLUMN content.item.answer_sealed IS
    'data: category=user.content subject=organisation purpose=provide,legal basis=contract,legal_obligation
     keep=content seal=dual erase=shred export=yes';
COMMENT ON COLUMN content.item.answer_object IS 'data: none';
COMMENT ON COLUMN content.item.refusal_sealed IS
    'data: category=user.content subject=organisation purpose=support,legal basis=contract,legal_obligation
     keep=content seal=dual erase=shred export=no:third_party';

-- The gateway only writes, and can't read back what it wrote.
GRANT INSERT ON content.item TO ruxa_gateway;
GRANT SELECT, DELETE ON content.item TO ruxa_console, ruxa_operator;
-- The worker copies what a hold is to keep, under the hold's key, before it goes.
GRANT SELECT, DELETE ON content.item TO ruxa_worker;
